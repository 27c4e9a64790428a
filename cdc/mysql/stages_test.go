package mysql

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/connect/pebblelog"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
)

// recording is a stretch of log to be read again and again.
type recording struct {
	From, Head []byte
	State      []offsets.Entry
	Rows       int
	EndFile    string
	EndPos     uint64
}

const stagesTable = `CREATE TABLE sb (id BIGINT PRIMARY KEY, k INT NOT NULL, c VARCHAR(120) NOT NULL, pad VARCHAR(60) NOT NULL, amount DECIMAL(12,2) NOT NULL, at DATETIME(6) NOT NULL, doc JSON)`

const stagesRows = 300_000

// stagesDB has the recordings; a server that was given keeps them.
const stagesDB = "towline_stages"

// BenchmarkStages reads recorded logs, each time one stage further: what the
// server sends, the events walked, decoded, encoded, and appended to a durable
// log. It prints the processor's seconds for a million rows, ours and the
// server's. TOWLINE_STAGES_ROWS says how many changes; with TOWLINE_TEST_MYSQL
// they are recorded once.
func BenchmarkStages(b *testing.B) {
	srv := mysqltest.Shared(b)
	for _, name := range []string{"update", "insert", "single"} {
		r := newRig(b, srv)
		r.values[optSSLMode] = "disabled"
		r.values[optDBInclude] = stagesDB
		rec := record(b, r, name)
		for _, st := range []struct {
			name string
			run  func(testing.TB, *rig, *recording)
		}{{"transfer", stageTransfer}, {"walk", stageWalk}, {"decode", stageDecode}, {"encode", stageEncode}, {"worker", stageWorker}, {"append", stageAppend}} {
			b.Run(name+"/"+st.name, func(b *testing.B) {
				pid := serverPID(srv.Port)
				us, they := cpuSelf(), cpuOf(pid)
				for range b.N {
					st.run(b, r, rec)
				}
				n := float64(b.N*rec.Rows) / 1e6
				b.ReportMetric(n*1e6/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric((cpuSelf()-us)/n, "cpu-s/Mrow")
				b.ReportMetric((cpuOf(pid)-they)/n, "server-s/Mrow")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// record makes the changes, or finds them.
func record(t testing.TB, r *rig, name string) *recording {
	db := r.srv.DB()
	var text string
	if err := db.QueryRow("SELECT recording FROM " + stagesDB + ".recordings WHERE name = '" + name + "'").Scan(&text); err == nil {
		rec := &recording{}
		if err := json.Unmarshal([]byte(text), rec); err != nil {
			t.Fatal(err)
		}
		return rec
	}
	n := 1_000_000
	if s := os.Getenv("TOWLINE_STAGES_ROWS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	exec := func(q string, args ...any) {
		if _, err := db.ExecContext(t.Context(), q, args...); err != nil {
			t.Fatalf("%v in %s", err, q)
		}
	}
	exec("CREATE DATABASE IF NOT EXISTS " + stagesDB)
	exec("CREATE TABLE IF NOT EXISTS " + stagesDB + ".recordings (name VARCHAR(20) PRIMARY KEY, recording JSON)")
	r.values[optDBInclude] = stagesDB
	exec("DROP TABLE IF EXISTS " + stagesDB + ".sb")
	exec("USE " + stagesDB + "; " + stagesTable)
	insert := func(lo, hi int) {
		exec(fmt.Sprintf(`SET SESSION cte_max_recursion_depth = 10000000; INSERT INTO %s.sb WITH RECURSIVE s (n) AS (SELECT %d UNION ALL SELECT n+1 FROM s WHERE n < %d)
			SELECT n, n %% 1000, RPAD(SHA2(n, 256), 110, 'c'), RPAD('p', 50, 'p'), n / 7, '2024-01-01' + INTERVAL n SECOND, JSON_OBJECT('n', n, 'half', n / 2, 'tag', 'abc') FROM s`, stagesDB, lo, hi))
	}
	if name != "insert" {
		for lo := 1; lo < stagesRows; lo += 20000 {
			insert(lo, lo+19999)
		}
	}
	s := r.open(t, nil, nil)
	var first connect.Batch
	if err := s.Read(t.Context(), &first); err != nil {
		t.Fatal(err)
	}
	rec := &recording{From: first.Pos, State: append([]offsets.Entry(nil), first.State...), Rows: n}
	switch name {
	case "insert":
		parallel(4, n/1000, func(i int) { insert(i*1000+1, i*1000+1000) })
	case "update":
		parallel(4, n/1000, func(i int) {
			lo := i * 1000 % stagesRows
			exec("UPDATE "+stagesDB+".sb SET k = k + 1, amount = amount + 1 WHERE id > ? AND id <= ?", lo, lo+1000)
		})
	case "single":
		rec.Rows = n / 5
		parallel(4, rec.Rows, func(i int) {
			exec("UPDATE "+stagesDB+".sb SET k = k + 1, amount = amount + 1 WHERE id = ?", i%stagesRows+1)
		})
	}
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rec.Head = head
	var x [3]string
	if err := db.QueryRow("SHOW BINARY LOG STATUS").Scan(&rec.EndFile, &rec.EndPos, &x[0], &x[1], &x[2]); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO "+stagesDB+".recordings VALUES (?, ?)", name, string(out))
	return rec
}

func parallel(sessions, n int, f func(int)) {
	var wg sync.WaitGroup
	for w := range sessions {
		wg.Go(func() {
			for i := w; i < n; i += sessions {
				f(i)
			}
		})
	}
	wg.Wait()
}

// stageTransfer takes what the server sends apart into packets.
func stageTransfer(t testing.TB, r *rig, rec *recording) {
	s, err := newSettings(r.config())
	if err != nil {
		t.Fatal(err)
	}
	pos, err := parsePosition(rec.From)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := s.openDump(t.Context(), &pos)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	for file := ""; ; {
		event, err := d.next()
		if err != nil {
			t.Fatal(err)
		}
		h, err := binlog.ParseHeader(event)
		if err != nil {
			t.Fatal(err)
		}
		if h.Type == binlog.RotateEvent {
			ro, err := binlog.ParseRotate(bareBody(event))
			if err != nil {
				t.Fatal(err)
			}
			file = ro.File
		}
		if file == rec.EndFile && uint64(h.LogPos) >= rec.EndPos {
			return
		}
	}
}

func stageWalk(t testing.TB, r *rig, rec *recording) {
	was := r.values[optDBInclude]
	r.values[optDBInclude] = "nothing_is_there"
	defer func() { r.values[optDBInclude] = was }()
	s := r.source(t)
	stageRead(t, s, rec, nil)
}

func stageDecode(t testing.TB, r *rig, rec *recording) { stageRead(t, r.source(t), rec, nil) }

func stageEncode(t testing.TB, r *rig, rec *recording) {
	var c frame.Converter
	var m connect.Messages
	stageRead(t, r.source(t), rec, func(b *connect.Batch) {
		m.Reset()
		if err := c.Encode(&m, b); err != nil {
			t.Fatal(err)
		}
	})
}

func stageRead(t testing.TB, s *Source, rec *recording, do func(*connect.Batch)) {
	if err := s.Open(t.Context(), rec.From, rec.State); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var b connect.Batch
	for {
		b.Reset()
		if err := s.Read(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if do != nil {
			do(&b)
		}
		if b.Pos != nil && Covers(b.Pos, rec.Head) {
			return
		}
	}
}

func stageWorker(t testing.TB, r *rig, rec *recording) {
	runWorker(t, r, rec, memlog.New())
}

func stageAppend(t testing.TB, r *rig, rec *recording) {
	l, err := pebblelog.Open(pebblelog.Options{Dir: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	runWorker(t, r, rec, l)
}

// runWorker has a worker follow the recording into a log.
func runWorker(t testing.TB, r *rig, rec *recording, l connect.Log) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	values := maps.Clone(r.values)
	values["connector.class"] = "mysql-cdc"
	reg := &config.Registry{Connectors: []connect.Plugin{Plugin()}, Converters: []connect.Plugin{frame.Plugin()}}
	c, err := config.Build(reg, &config.File{Name: "src", Config: values})
	if err != nil {
		t.Fatal(err)
	}
	prefix := offsets.SourceKey("src", 0)
	entries := []offsets.Entry{{Key: prefix + "pos", Pos: rec.From}}
	for _, e := range rec.State {
		entries = append(entries, offsets.Entry{Key: prefix + "state/" + e.Key, Pos: e.Pos})
	}
	if err := l.Append(ctx, nil, entries); err != nil {
		t.Fatal(err)
	}
	w := worker.New(slog.New(slog.DiscardHandler), worker.NewMetrics(prometheus.NewRegistry()))
	if err := w.Add(c, worker.TargetRunning); err != nil {
		t.Fatal(err)
	}
	w.Use(&stopLog{Log: l, head: rec.Head, key: prefix + "pos", stop: cancel, drop: isMem(l)})
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func isMem(l connect.Log) bool { _, ok := l.(*memlog.Log); return ok }

// stopLog ends the run when a position has come that covers head.
type stopLog struct {
	connect.Log
	head offsets.Position
	key  string
	stop func()
	drop bool // messages
}

func (l *stopLog) Append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	if l.drop {
		msgs = nil
	}
	err := l.Log.Append(ctx, msgs, entries)
	for _, e := range entries {
		if err == nil && e.Key == l.key && Covers(e.Pos, l.head) {
			l.stop()
		}
	}
	return err
}

func cpuSelf() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// serverPID finds the server on this machine by its port; 0 if it is not here.
func serverPID(port int) int {
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, d := range dirs {
		b, _ := os.ReadFile(d)
		if strings.Contains(string(b), "mysqld") && strings.Contains(string(b), "--port="+strconv.Itoa(port)) {
			pid, _ := strconv.Atoi(strings.Split(d, "/")[2])
			return pid
		}
	}
	return 0
}

func cpuOf(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	u, _ := strconv.Atoi(f[11])
	s, _ := strconv.Atoi(f[12])
	return float64(u+s) / 100
}
