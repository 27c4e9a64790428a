package faults

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/process"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/e2e/workload"
)

// clusterTime is for how long the cluster's soak has faults, which
// TOWLINE_CLUSTER_SOAK says; 0s: one of each of some kinds. Without it there is no
// soak: it takes both cores for a minute.
func clusterTime(t *testing.T) time.Duration {
	d, ok := durationOf(t, "TOWLINE_CLUSTER_SOAK")
	if !ok {
		t.Skip("TOWLINE_CLUSTER_SOAK says for how long: 0s for a few faults, 15m")
	}
	return d
}

// Leases of the team's workers.
const (
	teamSession = 3 * time.Second
	teamDelay   = 500 * time.Millisecond
)

// within is how soon after the last fault all has to run.
const within = 30 * time.Second

// team is a rig whose program is several workers of one cluster, with bad networks
// between them and the servers.
type team struct {
	*rig
	r       *rand.Rand // of faults
	brokers *rockettest.Cluster
	workers []*process.Process
	wires   []*mysqltest.Proxy
	hook    *counter
	url     string // of hook
	extras  int    // connectors that have been made beside those that stay
	gone    map[string]bool
	queues  int // of each topic
	shaper  *shaper
}

// newTeam returns a team whose topics have one queue each, where tables may be
// emptied, dropped and reshaped and the mirror follows all of it, or four, where
// they only grow.
func newTeam(t *testing.T, seed uint64) *team {
	m := &team{r: rand.New(rand.NewPCG(seed, 1)), hook: newCounter(), gone: map[string]bool{}, queues: []int{1, 4}[seed%2]}
	one, evolution := m.queues == 1, "basic"
	if one {
		evolution = "full"
	}
	t.Logf("topics of %d queues, schema.evolution=%s", m.queues, evolution)
	m.brokers = rockettest.Start(t, rockettest.Config{Brokers: 2, Front: front})
	through := func(s *mysqltest.Server) (string, int) {
		p := s.Proxy(t)
		m.wires = append(m.wires, p)
		return p.Host(), p.Port()
	}
	m.rig = newRig(t, options{rows: 500, noLedger: true, nameServer: m.brokers.NameServer,
		load: workload.Options{Seed: seed, Writers: 2, Keyless: true, Types: true, DDL: true, Truncate: one, Reshape: one, Big: 1000,
			XA: true, JSON: true, Compression: true, Light: 2, Rate: 100, Pause: 10 * time.Millisecond},
		sourceAddr: func(r *rig) (string, int) { return through(r.source) },
		targetAddr: func(r *rig) (string, int) { return through(r.target) },
		source:     map[string]string{"database.include.list": database + ",ops", "signal.data.collection": "ops.signals"},
		sink:       map[string]string{"tasks.max": "3", "lanes": "2", "schema.evolution": evolution}})
	m.wires = append(m.wires, wiresTo(t, m.brokers)...)
	server := httptest.NewServer(m.hook)
	t.Cleanup(server.Close)
	m.url = server.URL
	for i := range 3 {
		name := fmt.Sprintf("w%d", i+1)
		p := m.worker(name, map[string]any{"namesrvAddr": m.brokers.NameServer, "defaultTopicQueueNums": m.queues, "rest.advertised.host.name": "127.0.0.1",
			"session.timeout.ms": teamSession.Milliseconds(), "heartbeat.interval.ms": 500, "scheduled.rebalance.max.delay.ms": teamDelay.Milliseconds()})
		p.Env = []string{"WHO=" + name}
		m.target.Exec(t, fmt.Sprintf("CREATE USER %s@'%%'; GRANT ALL ON *.* TO %[1]s@'%%'", name))
		m.workers = append(m.workers, p)
	}
	m.workers[0].Args = m.proc.Args
	t.Cleanup(m.end)
	return m
}

// end ends the workers. If the test has failed it shows the ends of their logs, and
// keeps them whole, with what each goroutine did, the statements about shapes and
// what became of them in the topics, where the test has a folder for it.
func (m *team) end() {
	keep := func(name string, text []byte, err error) {
		if err == nil {
			err = os.WriteFile(filepath.Join(m.t.ArtifactDir(), name), text, 0o600)
		}
		if err != nil {
			m.t.Error(err)
		}
	}
	for _, w := range m.workers {
		if !m.t.Failed() {
			w.Kill()
			continue
		}
		m.t.Logf("the log of %s ends:\n%s", w.Address, w.LogTail(40))
		w.Abort()
		log, err := os.ReadFile(w.Log)
		keep(filepath.Base(w.Log), log, err)
	}
	if m.t.Failed() && m.shaper != nil {
		keep("statements.sql", []byte(strings.Join(m.shaper.all, ";\n")), nil)
		keep("shapes.txt", m.tellShapes(), nil)
	}
}

// begin starts all, and waits until the copies are there: from then on each state
// of a counter is told by a change.
func (m *team) begin() {
	m.t.Helper()
	m.makeSteps()
	m.source.Exec(m.t, "CREATE DATABASE "+shapesDB+"; CREATE DATABASE ops; CREATE TABLE ops.signals (id VARCHAR(42) PRIMARY KEY, type VARCHAR(32) NOT NULL, data TEXT)")
	m.target.Exec(m.t, "CREATE DATABASE book")
	for _, w := range m.workers {
		if err := w.Start(); err != nil {
			m.t.Fatal(err)
		}
	}
	m.register("book", 1, 1)
	m.ask("PUT", "/connectors/hook/config", m.hooked(2), 200, 201)
	m.await("the connectors of files", 0, func() string {
		if code, _, _ := m.once(m.workers[0], "GET", "/connectors/mirror", ""); code != 200 {
			return "the mirror is not there"
		}
		return ""
	})
	m.beginShapes()
	m.arrived()
}

// register makes a connector that notes each state of a counter in a table of its
// name, and by whom it was noted; or changes it.
func (m *team) register(name string, tasks, batch int) {
	m.t.Helper()
	if _, err := m.target.DB().ExecContext(m.t.Context(), "CREATE TABLE IF NOT EXISTS book."+name+" (id INT NOT NULL, n INT NOT NULL, "+
		"session BIGINT NOT NULL DEFAULT (CONNECTION_ID()), who VARCHAR(100) NOT NULL DEFAULT (USER()), at DATETIME(6) NOT NULL DEFAULT (NOW(6)), KEY (id))"); err != nil {
		m.t.Error(err)
	}
	m.ask("PUT", "/connectors/"+name+"/config", text(map[string]string{"connector.class": "jdbc", "topics": "w." + database + ".steps",
		"connection.url": m.sink["connection.url"], "connection.user": "${env:WHO}", "table.name.format": "book." + name, "insert.mode": "insert",
		"pk.mode": "none", "delete.enabled": "false", "errors.retry.delay.max.ms": "1000", "lanes": "2", "tasks.max": fmt.Sprint(tasks), "batch.size": fmt.Sprint(1000 + batch)}), 200, 201)
}

func (m *team) hooked(tasks int) string {
	return text(map[string]string{"connector.class": "webhook", "topics": "w." + database + ".steps", "http.url": m.url, "retry.max.attempts": "0",
		"errors.retry.delay.max.ms": "1000", "tasks.max": fmt.Sprint(tasks)})
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// once sends a request to a worker.
func (m *team) once(w *process.Process, method, path, body string) (code int, answer string, err error) {
	req, err := http.NewRequestWithContext(m.t.Context(), method, "http://"+w.Address+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// ask sends a request to one worker after the other until one has answered with one
// of some codes. None of the others may say that the request is wrong.
func (m *team) ask(method, path, body string, codes ...int) string {
	m.t.Helper()
	at, last := rand.IntN(len(m.workers)), ""
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline) && m.t.Context().Err() == nil; at++ {
		code, answer, err := m.once(m.workers[at%len(m.workers)], method, path, body)
		for _, c := range codes {
			if code == c && err == nil {
				return answer
			}
		}
		if last = fmt.Sprintf("%s %s: %d %s, %v", method, path, code, answer, err); code >= 400 && code < 500 && code != http.StatusConflict {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	m.t.Error(last)
	return ""
}

// await waits until why says nothing, at the most for a time; 0: a long one.
func (m *team) await(what string, atMost time.Duration, why func() string) {
	m.t.Helper()
	begun, last := time.Now(), ""
	for deadline := begun.Add(cmp.Or(atMost, 3*time.Minute)); ; time.Sleep(50 * time.Millisecond) {
		left := why()
		if left == "" {
			m.t.Logf("%s: after %.1f s%.100s", what, time.Since(begun).Seconds(), last)
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s does not come: %s", what, left)
		}
		last = "; last " + left
	}
}

// idle says what does not run yet, by the word of each worker.
func (m *team) idle() string {
	for _, w := range m.workers {
		if code, answer, err := m.once(w, "GET", "/health", ""); code != 200 {
			return fmt.Sprintf("%s is not well: %s, %v", w.Address, answer, err)
		}
		_, answer, err := m.once(w, "GET", "/connectors?expand=status", "")
		var all map[string]struct {
			Status struct {
				Tasks []struct{ State, Trace string }
			}
		}
		if err == nil {
			err = json.Unmarshal([]byte(answer), &all)
		}
		if err != nil || len(all) < 6 {
			return fmt.Sprintf("%s answers %s, %v", w.Address, answer, err)
		}
		for name, c := range all {
			for _, task := range c.Status.Tasks {
				if task.State != "RUNNING" {
					return fmt.Sprintf("a task of %s is %s %s", name, task.State, task.Trace)
				}
			}
			if len(c.Status.Tasks) == 0 {
				return name + " has no tasks"
			}
		}
	}
	return ""
}

// arrived waits until all that is committed is in all targets.
func (m *team) arrived() {
	m.t.Helper()
	m.await("all in the targets", 10*time.Minute, func() string {
		code, answer, err := m.once(m.workers[rand.IntN(len(m.workers))], "GET", "/v1/status?wait=15s", "")
		if code != 200 {
			return fmt.Sprint(code, answer, err)
		}
		return ""
	})
}

// TestClusterSoak has three workers move the random workload through two brokers
// while they are killed, stopped for longer than their leases, and restarted,
// brokers are killed, networks are bad, tables change, and connectors come, change
// and go. In the
// end no change is lost and none was taken twice; for each row they came in order;
// and no task was ever in two places.
func TestClusterSoak(t *testing.T) {
	long := clusterTime(t)
	seed := seedOf(t)
	if os.Getenv("TOWLINE_SEED") == "" {
		seed = uint64(time.Now().UnixNano())
	}
	m := newTeam(t, seed)
	m.begin()
	claims := m.watchClaims()
	stopSteps, stop, stopShapes := m.stepping(20*time.Millisecond), m.writing(), m.shaping()
	stopChanging := m.changing()
	m.trouble(long)
	stopChanging()
	atMost := time.Duration(0)
	if long > 0 {
		m.fault(m.r.IntN(len(m.faults())))
		atMost = within
	}
	m.await("all runs", atMost, m.idle)
	stopSteps()
	stopShapes()
	stop()
	m.t.Logf("%d statements of DDL", m.load.Altered())
	m.arrived()
	claims()
	m.equal()
	m.equalShapes()
	m.checkBooks()
	m.hook.check(t, m.counters())
	m.checkTopics()
}
