// Package faults runs the whole program on real servers while things break:
// the program is killed, servers restart, connections are cut, the target is
// away, the disk is full. The verdict is always the same: in the end every
// target equals the source, and the ledger has each change exactly once, in
// order per key.
package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/child"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/oracle"
	"github.com/towline/towline/e2e/process"
	"github.com/towline/towline/e2e/workload"
)

var bin string // the program under test

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "towline-faults-")
	if err == nil {
		bin, err = process.Build(dir, false)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := mysqltest.Main(m).Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// rig is a source, a target, a workload and the program between them.
type rig struct {
	t      *testing.T
	dir    string
	source *mysqltest.Server
	target *mysqltest.Server
	load   *workload.Workload
	proc   *process.Process
	ledger string            // the file sink's file
	from   map[string]string // the configuration of the source
	sink   map[string]string // and of the sink to the target
	// keyless says that the load writes to a table without a key.
	keyless bool
}

const database = "work"

// patience ends what hangs, however slow the machine is.
const patience = 15 * time.Minute

// options of a rig; the zero value is a plain one.
type options struct {
	sourceFlags []mysqltest.Option
	load        workload.Options
	rows        int
	// sourceAddr and targetAddr are where the program connects to, if not to
	// the servers themselves.
	sourceAddr, targetAddr func(r *rig) (host string, port int)
	source, sink           map[string]string // more options of the connectors
	noLedger               bool
	data                   string         // folder for the program's data
	worker                 map[string]any // more of the worker's, with nameServer
	// nameServer is that of the RocketMQ cluster that topics are in; "": they are
	// in data.
	nameServer string
}

func newRig(t *testing.T, o options) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), source: mysqltest.Start(t, o.sourceFlags...), target: mysqltest.Start(t), keyless: o.load.Keyless}
	if o.load.Seed == 0 {
		o.load.Seed = seedOf(t)
	}
	t.Logf("seed %d", o.load.Seed)
	r.load = workload.New(r.source.DB(), database, o.load)
	if err := r.load.Create(t.Context(), o.rows); err != nil {
		t.Fatal(err)
	}
	r.connectors(o)
	t.Cleanup(func() {
		r.proc.Kill()
		if t.Failed() {
			t.Logf("the program's log ends:\n%s", r.proc.LogTail(25))
		}
	})
	return r
}

func (r *rig) connectors(o options) {
	r.t.Helper()
	host, port := r.source.Host, r.source.Port
	if o.sourceAddr != nil {
		host, port = o.sourceAddr(r)
	}
	thost, tport := r.target.Host, r.target.Port
	if o.targetAddr != nil {
		thost, tport = o.targetAddr(r)
	}
	source := map[string]string{"connector.class": "mysql", "database.hostname": host, "database.port": fmt.Sprint(port), "database.user": r.source.User,
		"database.password": r.source.Password, "database.include.list": database, "topic.prefix": "w", "snapshot.chunk.bytes": "65536",
		"errors.retry.delay.max.ms": "1000"}
	sink := map[string]string{"connector.class": "jdbc", "topics.regex": `w(\..*)?`, "connection.url": fmt.Sprintf("jdbc:mysql://%s:%d/", thost, tport),
		"connection.user": r.target.User, "connection.password": r.target.Password, "table.name.format": "${database}.${table}",
		"errors.retry.delay.max.ms": "1000"}
	merge(source, o.source)
	merge(sink, o.sink)
	r.from, r.sink = source, sink
	files := []string{r.file("source", source), r.file("mirror", sink)}
	if !o.noLedger {
		r.ledger = filepath.Join(r.dir, "ledger.jsonl")
		files = append(files, r.file("ledger", map[string]string{"connector.class": "file", "topics.regex": `w(\..*)?`, "file": r.ledger,
			"errors.retry.delay.max.ms": "1000"}))
	}
	if o.data == "" {
		o.data = filepath.Join(r.dir, "data")
	}
	if o.nameServer != "" {
		conf := map[string]any{"namesrvAddr": o.nameServer, "defaultTopicQueueNums": 4}
		maps.Copy(conf, o.worker)
		r.proc = r.worker("worker", conf, files...)
		return
	}
	r.proc = &process.Process{Bin: bin, Data: o.data, Log: filepath.Join(r.dir, "towline.log"), Args: files}
}

// worker returns the program as a worker that is configured by conf, beside where
// it listens. connectors are files.
func (r *rig) worker(name string, conf map[string]any, connectors ...string) *process.Process {
	r.t.Helper()
	port, err := child.LeasePort(0)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { port.Close() })
	p := &process.Process{Bin: bin, Log: filepath.Join(r.dir, name+".log"), Args: connectors,
		Address: fmt.Sprintf("127.0.0.1:%d", port.Port), Worker: filepath.Join(r.dir, name+".json")}
	conf["listeners"] = "http://" + p.Address
	text, err := json.Marshal(conf)
	if err == nil {
		err = os.WriteFile(p.Worker, text, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func merge(dst, src map[string]string) {
	for k, v := range src {
		if v == "" {
			delete(dst, k)
		} else {
			dst[k] = v
		}
	}
}

func (r *rig) file(name string, config map[string]string) string {
	path, err := process.Connector(r.dir, name, config)
	if err != nil {
		r.t.Fatal(err)
	}
	return path
}

// start starts the program and waits until it answers.
func (r *rig) start() {
	r.t.Helper()
	if err := r.proc.Start(); err != nil {
		r.t.Fatal(err)
	}
	if err := r.proc.AwaitUp(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// awaitRunning waits until every connector's task runs: an answer alone says
// only that the program does.
func (r *rig) awaitRunning() {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		st, err := r.proc.Status(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		waits := ""
		for _, c := range st.Connectors {
			if len(c.Tasks) == 0 || c.Tasks[0].State != "RUNNING" {
				waits = fmt.Sprintf("%s is not running: %+v", c.Name, c.Tasks)
			}
		}
		if waits == "" {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatal(waits)
		}
	}
}

// writing runs the workload until the function it returns is called.
func (r *rig) writing() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.load.Run(ctx) }()
	return func() {
		r.t.Helper()
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		if err := r.load.Finish(context.WithoutCancel(r.t.Context())); err != nil {
			r.t.Error(err)
		}
		r.t.Logf("%d transactions, %d refused", r.load.Transactions(), r.load.Refused())
	}
}

// settle waits until all has arrived and gives the verdict.
func (r *rig) settle() {
	r.t.Helper()
	if err := r.proc.Wait(r.t.Context(), patience); err != nil {
		r.t.Fatal(err)
	}
	r.equal()
	if r.ledger != "" {
		if err := r.proc.Stop(); err != nil {
			r.t.Error(err)
		}
		checkLedger(r.t, r.ledger, r.keyless)
	}
}

// equal compares source and target.
func (r *rig) equal() {
	r.t.Helper()
	diffs, err := oracle.Compare(r.t.Context(), r.source.DB(), database, r.target.DB(), database)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(diffs) > 0 {
		r.t.Fatalf("source and target differ:\n%s", strings.Join(diffs, "\n"))
	}
}
