package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/deadletter"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/rocketlog"
	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/rockettest"
)

// team is some workers of one cluster, which copy a database.
type team struct {
	t       *testing.T
	srv     *mysqltest.Server
	db      string
	workers []*rocketWorker
	next    int
}

// quick are short leases.
var quick = map[string]string{"session.timeout.ms": "3000", "heartbeat.interval.ms": "500", "scheduled.rebalance.max.delay.ms": "500",
	"defaultTopicQueueNums": "3", "log.retention.ms": "86400000", "connectClusterId": "shop"}

// change commits a row.
func (m *team) change() {
	m.next++
	m.srv.Exec(m.t, fmt.Sprintf("INSERT INTO %s.a VALUES (%d)", m.db, m.next))
}

// arrivedAll waits, at a worker, until all is in all targets.
func (m *team) arrivedAll(w *rocketWorker) {
	m.t.Helper()
	w.await("all in the targets", func() bool { code, _ := w.ask("GET", "/v1/status?wait=20s", ""); return code == 200 })
}

// arrived waits, at a worker, until all is in the target, and compares.
func (m *team) arrived(w *rocketWorker) {
	m.t.Helper()
	m.arrivedAll(w)
	got := fmt.Sprint(m.srv.Query(m.t, "SELECT id FROM "+m.db+"_copy.a ORDER BY id"))
	if want := fmt.Sprint(m.srv.Query(m.t, "SELECT id FROM "+m.db+".a ORDER BY id")); got != want {
		m.t.Fatalf("the copy has %s, want %s", got, want)
	}
}

// owner waits until a connector's task runs, other than at a worker, and
// returns where.
func (m *team) owner(by *rocketWorker, connector, not string) (w *rocketWorker) {
	m.t.Helper()
	by.await("an owner of "+connector, func() bool {
		var st struct {
			Tasks []struct {
				State  string
				Worker string `json:"worker_id"`
			}
		}
		_, text := by.ask("GET", "/connectors/"+connector+"/status", "")
		if json.Unmarshal([]byte(text), &st) != nil || len(st.Tasks) != 1 || st.Tasks[0].State != "RUNNING" || st.Tasks[0].Worker == not {
			return false
		}
		i := slices.IndexFunc(m.workers, func(w *rocketWorker) bool { return w.addr == st.Tasks[0].Worker })
		if i < 0 {
			return false
		}
		w = m.workers[i]
		return true
	})
	return w
}

// settled waits until, by the word of a worker, some workers are the members, and
// each task runs where it is to: nothing moves as long as nothing happens.
func (m *team) settled(by *rocketWorker, members ...*rocketWorker) {
	m.t.Helper()
	by.await("all tasks where they belong", func() bool {
		_, text := by.ask("GET", "/v1/cluster", "")
		var c herder.Cluster
		if json.Unmarshal([]byte(text), &c) != nil || c.Mode != "distributed" || len(c.Members) != len(members) || len(c.Assignments) == 0 {
			return false
		}
		for _, w := range members {
			if !slices.ContainsFunc(c.Members, func(o herder.Member) bool { return o.Worker == w.addr && o.State == "alive" }) {
				return false
			}
		}
		return !slices.ContainsFunc(c.Assignments, func(a herder.Assignment) bool { return a.State != worker.StateRunning || a.Worker != a.Assigned })
	})
}

// settledOwner is owner once nothing moves.
func (m *team) settledOwner(connector string) *rocketWorker {
	m.t.Helper()
	m.settled(m.workers[0], m.workers...)
	return m.owner(m.workers[0], connector, "")
}

// without returns the workers but for one.
func (m *team) without(w *rocketWorker) []*rocketWorker {
	return slices.DeleteFunc(slices.Clone(m.workers), func(o *rocketWorker) bool { return o == w })
}

// other returns a worker that is not one.
func (m *team) other(w *rocketWorker) *rocketWorker {
	return m.workers[(slices.Index(m.workers, w)+1)%len(m.workers)]
}

// TestWorkersShareConnectors lets three workers be killed, stopped for longer
// than their leases last, and restarted one by one, and the broker too. What is in
// the topics, and in the target, is there once.
func TestWorkersShareConnectors(t *testing.T) {
	t.Parallel()
	srv := mysqltest.Shared(t)
	m := &team{t: t, srv: srv, db: srv.CreateDB(t)}
	t.Cleanup(func() { srv.DB().Exec("DROP DATABASE IF EXISTS " + m.db + "_copy") })
	srv.Exec(t, "CREATE TABLE "+m.db+".a (id INT PRIMARY KEY)")
	m.change()
	c := rockettest.Start(t, rockettest.Config{})
	for range 3 {
		m.workers = append(m.workers, startRocket(t, c, quick))
	}
	for _, w := range m.workers {
		w.up()
	}
	in := strings.Replace(source(srv, srv.User, srv.Password, m.db), `"topic.prefix"`, `"database.server.id": 7003, "topic.prefix"`, 1) // TestMoveToRocketMQ has one named so, too
	m.workers[0].must(201, "POST", "/connectors", in)
	m.workers[1].must(201, "POST", "/connectors", target(srv, srv.User, srv.Password, m.db+"_copy"))
	m.arrived(m.workers[2])
	m.sameEverywhere()
	m.statusEverywhere()
	m.lettersAnywhere()
	m.topicIsMade(c)

	dead := m.settledOwner("in")
	dead.kill()
	m.change()
	m.settled(m.other(dead), m.without(dead)...)
	m.owner(m.other(dead), "in", dead.addr)
	m.arrived(m.other(dead))
	dead.launch()
	dead.up()
	m.arrived(dead)

	for _, connector := range []string{"in", "copy"} {
		m.zombie(connector)
	}

	for _, w := range m.workers { // a rolling restart
		if r := w.proc.stop(); r.code != exitOK {
			t.Errorf("exit code %d:\n%s", r.code, w.log())
		}
		m.change()
		w.launch()
		w.up()
	}
	m.arrived(m.workers[0])

	if err := c.Brokers[0].Kill(); err != nil {
		t.Fatal(err)
	}
	m.change()
	if err := c.Brokers[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.arrived(m.workers[1])
	m.ledger(c)
	m.granted()
}

// TestWorkerNames: a worker is known by the machine where its listeners would
// name every one alike.
func TestWorkerNames(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, want string }{
		{`{"namesrvAddr": "mq:9876"}`, host + ":8083"},
		{`{"namesrvAddr": "mq:9876", "listeners": "http://127.0.0.1:8090,http://10.0.0.7:8091"}`, host + ":8090"},
		{`{"namesrvAddr": "mq:9876", "listeners": "http://localhost:8090"}`, host + ":8090"},
		{`{"namesrvAddr": "mq:9876", "listeners": "http://[::]:8090", "rest.advertised.port": 80}`, host + ":80"},
		{`{"namesrvAddr": "mq:9876", "listeners": "http://10.0.0.7:8090"}`, "10.0.0.7:8090"},
		{`{"namesrvAddr": "mq:9876", "rest.advertised.host.name": "w1"}`, "w1:8083"},
		{`{"namesrvAddr": "mq:9876", "rest.advertised.host.name": "127.0.0.1"}`, "127.0.0.1:8083"},
	} {
		s := newSandbox(t)
		f, err := readWorker(filepath.Join(s.dir, s.write("worker.json", c.file)))
		if err != nil || f.cluster.WorkerID != c.want {
			t.Errorf("%s is known as %q, want %q, %v", c.file, f.cluster.WorkerID, c.want, err)
		}
	}
}

// granted looks at what the target knows of who may write: the generation of the
// configuration, and the epoch of the claim that the task was last given out with.
func (m *team) granted() {
	m.t.Helper()
	const rows = "._towline_offsets WHERE connector = 'copy' AND topic = '' AND `partition` = -1"
	got := fmt.Sprint(m.srv.Query(m.t, "SELECT SUM(task = -1 AND epoch > 0), SUM(task = 0) > 0, MIN(IF(task = 0, `offset`, 1 << 60)) > MAX(IF(task = -1, epoch, 0)) FROM "+m.db+"_copy"+rows))
	if got != "[[1 1 1]]" {
		m.t.Errorf("the target has been told of no generation, or of no epoch: %s; it has %v", got, m.srv.Query(m.t, "SELECT task, lane, epoch, `offset` FROM "+m.db+"_copy"+rows))
	}
}

// zombie stops the owner of a connector until another has taken over, and lets it
// go on then.
func (m *team) zombie(connector string) {
	m.t.Helper()
	old := m.settledOwner(connector) // else it may be no owner any more when it stops
	signal := func(s syscall.Signal) {
		if err := old.proc.cmd.Process.Signal(s); err != nil {
			m.t.Fatal(err)
		}
	}
	said := strings.Count(old.log(), "taken this one for dead")
	m.change() // may be on its way when it stops
	signal(syscall.SIGSTOP)
	m.change()
	m.settled(m.other(old), m.without(old)...) // it is expelled, which it will hear
	m.owner(m.other(old), connector, old.addr)
	signal(syscall.SIGCONT)
	m.change()
	old.await("word of its death", func() bool { return strings.Count(old.log(), "taken this one for dead") > said })
	m.arrived(m.other(old))
	old.await("it to be a member again", func() bool { code, _ := old.ask("GET", "/health", ""); return code == 200 })
	m.arrived(old)
}

// sameEverywhere: all workers answer the same.
func (m *team) sameEverywhere() {
	m.t.Helper()
	for _, path := range []string{"/connectors", "/connectors/in", "/connectors/copy/tasks", "/connectors/in/offsets"} {
		for _, w := range m.workers[1:] {
			w.await(path+" as elsewhere", func() bool { // others use the server too: positions move
				_, want := m.workers[0].ask("GET", path, "")
				_, got := w.ask("GET", path, "")
				return got == want
			})
		}
	}
	m.settled(m.workers[0], m.workers...)
}

// statusEverywhere: all workers show all tasks, with who runs them.
func (m *team) statusEverywhere() {
	m.t.Helper()
	for _, w := range m.workers {
		w.await("the status of all tasks", func() bool {
			var st worker.Status
			code, text := w.ask("GET", "/v1/status", "")
			if code != 200 || json.Unmarshal([]byte(text), &st) != nil || len(st.Connectors) != 2 || !st.Arrived {
				return false
			}
			for _, c := range st.Connectors {
				if len(c.Tasks) != 1 || c.Tasks[0].State != worker.StateRunning || c.Tasks[0].Worker != m.owner(w, c.Name, "").addr ||
					c.Type == "source" && (c.Position == "" || len(c.Tables) == 0) {
					return false
				}
			}
			return st.Connectors[0].Name == "copy"
		})
		w.await("the metrics of the cluster", func() bool {
			_, text := w.ask("GET", "/metrics?tables=false", "")
			return strings.Contains(text, "\ntowline_cluster_members 3\n") && strings.Contains(text, "\ntowline_cluster_lease_renewals_total ")
		})
	}
	m.workers[0].await("the lag of a partition", func() bool {
		_, text := m.owner(m.workers[0], "copy", "").ask("GET", "/metrics", "")
		return strings.Contains(text, `towline_partition_lag_messages{connector="copy",partition="2",task="0",topic="t.`+m.db+`.a"} 0`)
	})
}

// lettersAnywhere: dead letters are sent again by a worker that runs no task of
// their connector, or not all of them.
func (m *team) lettersAnywhere() {
	m.t.Helper()
	const n = 12
	to := m.db + "_strict"
	m.t.Cleanup(func() { m.srv.DB().Exec("DROP DATABASE IF EXISTS " + to) })
	m.srv.Exec(m.t, fmt.Sprintf("CREATE DATABASE %s; CREATE TABLE %[1]s.b (id INT PRIMARY KEY, v VARCHAR(3)); CREATE TABLE %s.b (id INT PRIMARY KEY, v VARCHAR(20))", to, m.db))
	conf := strings.Replace(target(m.srv, m.srv.User, m.srv.Password, to), `"connector.class"`,
		`"tasks.max": "3", "errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead", "schema.evolution": "none", "connector.class"`, 1)
	conf = strings.Replace(conf, `"topics.regex": "t\\..*"`, fmt.Sprintf(`"topics": "t.%s.b"`, m.db), 1)
	conf = strings.Replace(conf, `"name": "copy"`, `"name": "strict"`, 1)
	m.workers[0].must(201, "POST", "/connectors", conf)
	for i := range n {
		m.srv.Exec(m.t, fmt.Sprintf("INSERT INTO %s.b VALUES (%d, 'too long')", m.db, i))
	}
	m.arrivedAll(m.workers[0])
	m.settled(m.workers[0], m.workers...)
	var page deadletter.Page
	m.workers[1].await("all dead letters", func() bool { // brokers tell others late what is there, and it may not know the connector yet
		page = deadletter.Page{}
		code, text := m.workers[1].ask("GET", "/v1/connectors/strict/deadletters", "")
		return code == 200 && json.Unmarshal([]byte(text), &page) == nil && len(page.Letters) >= n
	})
	if len(page.Letters) != n {
		m.t.Fatalf("%d rows have the dead letters %+v", n, page.Letters)
	}
	m.srv.Exec(m.t, "ALTER TABLE "+to+".b MODIFY v VARCHAR(20)")
	ids := map[*rocketWorker][]int64{} // a third of them by each worker
	for i, l := range page.Letters {
		w := m.workers[i%len(m.workers)]
		ids[w] = append(ids[w], l.ID)
	}
	for w, ids := range ids {
		body, err := json.Marshal(map[string]any{"ids": append(ids, 9999)})
		if err != nil {
			m.t.Fatal(err)
		}
		var done struct{ Letters []worker.Retried }
		code, text := w.ask("POST", "/v1/connectors/strict/retry", string(body))
		if err := json.Unmarshal([]byte(text), &done); err != nil || code != 200 || len(done.Letters) != len(ids)+1 {
			m.t.Fatalf("%s answers %d %s, %v", w.addr, code, text, err)
		}
		for i, l := range done.Letters {
			if sent := l.State == deadletter.Sent; sent != (i < len(ids)) || sent == (l.Error != "") {
				m.t.Errorf("%s says of letter %d: %+v", w.addr, l.ID, l)
			}
		}
	}
	if got := m.srv.Query(m.t, "SELECT COUNT(*) FROM "+to+".b")[0][0]; got != fmt.Sprint(n) {
		m.t.Errorf("the target has %s rows of %d", got, n)
	}
	m.workers[2].must(204, "DELETE", "/connectors/strict", "")
}

// topicIsMade: with the queues and the retention that were asked for.
func (m *team) topicIsMade(c *rockettest.Cluster) {
	m.t.Helper()
	cl := remoting.New(remoting.Options{})
	defer cl.Close()
	topic, err := cl.TopicConfig(m.t.Context(), c.Brokers[0].Addr, "shop%t|2E"+m.db+"|2Ea")
	if err != nil {
		m.t.Fatal(err)
	}
	if topic.Queues != 3 || topic.Attributes["reserve.time"] != "24" {
		m.t.Errorf("the broker has %+v", topic)
	}
}

// ledger reads the topic: in each partition the Seqs of changes rise, and each row
// is inserted once, or was there when the snapshot was taken.
func (m *team) ledger(c *rockettest.Cluster) {
	m.t.Helper()
	log, err := rocketlog.Open(m.t.Context(), rocketlog.Options{NameServers: []string{c.NameServer}, Namespace: "shop", Wait: time.Minute})
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	inserted, read := map[int64]bool{}, map[int64]bool{}
	for p := range int32(3) {
		last := uint64(0)
		for _, r := range m.records(log, "t."+m.db+".a", p) {
			id := r.After[0].Int()
			if r.Op == connect.OpRead {
				read[id] = true
				continue
			}
			if inserted[id] || r.Seq <= last {
				m.t.Errorf("partition %d has %c of row %d with Seq %d behind %d (seen before: %t)", p, r.Op, id, r.Seq, last, inserted[id])
			}
			last, inserted[id] = r.Seq, true
		}
	}
	for id := range int64(m.next) {
		if !inserted[id+1] && !read[id+1] {
			m.t.Errorf("row %d is missing in the topic", id+1)
		}
	}
}

// records returns the rows of a partition.
func (m *team) records(log connect.Log, topic string, p int32) (list []connect.Record) {
	m.t.Helper()
	from, end, err := log.Bounds(m.t.Context(), topic, p)
	if err != nil {
		m.t.Fatal(err)
	}
	r, err := log.OpenReader(m.t.Context(), []connect.Cursor{{Topic: topic, Partition: p, Offset: from}})
	if err != nil {
		m.t.Fatal(err)
	}
	defer r.Close()
	var conv frame.Converter
	for from < end {
		var msgs connect.Messages
		var b connect.Batch
		if err := r.Read(m.t.Context(), &msgs, 1<<20); err != nil {
			m.t.Fatal(err)
		}
		if err := conv.Decode(&b, msgs.List); err != nil {
			m.t.Fatal(err)
		}
		for i := range b.Records {
			if b.Records[i].Op.HasRow() {
				list = append(list, b.Records[i])
			}
		}
		from = msgs.List[len(msgs.List)-1].Offset + 1
	}
	return list
}
