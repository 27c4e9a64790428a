package mysql

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// sweepStory has every kind of event; each line is a session of its own, and
// DB2 a second database.
var sweepStory = []string{
	"CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT); CREATE TABLE u (id INT PRIMARY KEY, j JSON); CREATE TABLE DB2.t (id INT PRIMARY KEY, v VARCHAR(40)); CREATE TABLE nokey (v INT)",
	"INSERT INTO t VALUES (1, 'a'), (2, 'b'); BEGIN; INSERT INTO DB2.t VALUES (1, 'x'); INSERT INTO u VALUES (1, '{\"k\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxx\", \"n\": [1, 2, 3]}'); INSERT INTO nokey VALUES (1), (1); COMMIT",
	"ALTER TABLE t ADD COLUMN w INT NOT NULL DEFAULT 4, ALGORITHM = INSTANT",
	"XA START 'a'; INSERT INTO t VALUES (3, 'xa', 1); UPDATE DB2.t SET v = 'xa'; XA END 'a'; XA PREPARE 'a'",
	"XA START 'gone'; DELETE FROM u; XA END 'gone'; XA PREPARE 'gone'",
	"SET binlog_transaction_compression = ON; BEGIN; INSERT INTO t VALUES (4, REPEAT('packed', 5000), 1); UPDATE t SET w = w + 1 WHERE id IN (1, 2); DELETE FROM t WHERE id = 4; COMMIT",
	"XA ROLLBACK 'gone'",
	"SET binlog_row_value_options = PARTIAL_JSON, binlog_rows_query_log_events = ON; UPDATE u SET j = JSON_SET(j, '$.n[1]', 'two', '$.m', 5); UPDATE u SET id = 2, j = JSON_REMOVE(j, '$.n[0]')",
	"FLUSH LOGS",
	"INSERT INTO t VALUES (5, REPEAT('huge', 200000), 1), (6, REPEAT('HUGE', 100000), 2); INSERT INTO nokey WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i FROM n; DELETE FROM nokey WHERE v > 3",
	"XA COMMIT 'a'",
	"XA START 'one'; INSERT INTO t VALUES (7, 'one', 0); XA END 'one'; XA COMMIT 'one' ONE PHASE",
	"RENAME TABLE t TO s, DB2.t TO t, s TO DB2.t; INSERT INTO t VALUES (8, 'swapped'); BEGIN; SAVEPOINT a; DELETE FROM u; ROLLBACK TO a; UPDATE DB2.t SET w = 0 WHERE id = 1; COMMIT",
	"SET SESSION binlog_format = STATEMENT; CREATE TEMPORARY TABLE u (x INT); TRUNCATE TABLE u; DROP TABLE u",
	"CREATE TABLE sel (PRIMARY KEY (id)) SELECT id, v FROM t; TRUNCATE TABLE nokey; DROP TABLE nokey",
	"CREATE DATABASE IF NOT EXISTS DB2; CREATE TABLE p (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2; INSERT INTO p VALUES (1), (2); ALTER TABLE p TRUNCATE PARTITION p0; INSERT INTO p VALUES (4); DROP TABLE sel, DB2.t",
	"INSERT INTO p VALUES (5)",
}

// relay passes bytes between a reader and its server, and cuts the connection
// on which the log comes after a number of packets.
type relay struct {
	ln     net.Listener
	server string

	mu   sync.Mutex
	left int // packets of the log until the cut; negative: never
	wg   sync.WaitGroup
}

func newRelay(t *testing.T, server string) *relay {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{ln: ln, server: server, left: -1}
	r.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() { ln.Close(); r.wg.Wait() })
	return r
}

func (r *relay) cutAfter(n int) { r.mu.Lock(); r.left = n; r.mu.Unlock() }

func (r *relay) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", r.server)
	if err != nil {
		return
	}
	defer server.Close()
	dumps := make(chan struct{})
	r.wg.Go(func() {
		defer server.Close()
		var once sync.Once
		_ = eachPacket(client, func(p []byte) error {
			if len(p) > 4 && p[3] == 0 && (p[4] == 0x12 || p[4] == 0x1e) { // COM_BINLOG_DUMP and its GTID form
				once.Do(func() { close(dumps) })
			}
			_, err := server.Write(p)
			return err
		})
	})
	_ = eachPacket(server, func(p []byte) error {
		select {
		case <-dumps:
			if !r.pass() {
				return io.EOF
			}
		default:
		}
		_, err := client.Write(p)
		return err
	})
}

// pass reports whether one more packet of the log may pass.
func (r *relay) pass() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == 0 {
		return false
	}
	if r.left > 0 {
		r.left--
	}
	return true
}

// eachPacket calls f for each packet with its head.
func eachPacket(from io.Reader, f func([]byte) error) error {
	for {
		p := make([]byte, 4, 4096)
		if _, err := io.ReadFull(from, p); err != nil {
			return err
		}
		n := int(p[0]) | int(p[1])<<8 | int(p[2])<<16
		p = append(p, make([]byte, n)...)
		if _, err := io.ReadFull(from, p[4:]); err != nil {
			return err
		}
		if err := f(p); err != nil {
			return err
		}
	}
}

// Wherever the connection is cut, the sequence of records is the same.
func TestCutAfterEveryEvent(t *testing.T) {
	for _, m := range []struct {
		name   string
		tagged bool
		opts   []mysqltest.Option
	}{{"gtid", false, nil}, {"tagged", true, []mysqltest.Option{mysqltest.Flags("--binlog-row-metadata=FULL")}}, {"file", false, []mysqltest.Option{mysqltest.NoGTID()}}} {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, m.opts...))
			second := r.srv.CreateDB(t)
			r.values[optDBInclude] = r.db + "," + second
			r.values[optSSLMode] = "disabled"
			rel := newRelay(t, r.srv.Addr())
			r.values[optPort] = strconv.Itoa(rel.ln.Addr().(*net.TCPAddr).Port)
			s := r.open(t, nil, nil)
			for i, line := range sweepStory {
				if m.tagged {
					line = "SET gtid_next = '" + []string{"AUTOMATIC", "AUTOMATIC:blue", "AUTOMATIC:red"}[i%3] + "'; " + line
				}
				r.exec(t, strings.ReplaceAll(line, "DB2", second))
			}
			first := newTape(nil)
			readUntil(t, s, first, func(tp *tape) bool { return len(tp.stops) > 0 })
			all := newTape(first.entries())
			until(t, s, all)
			s.Close()
			whole := newTape(nil)
			whole.records = append(append(whole.records, first.records...), all.records...)
			if len(whole.records) < 900 || r.reason("t") != "" {
				t.Fatalf("%d records, %s", len(whole.records), r.reason("t"))
			}
			start := first.stops[0]
			n := 1
			for ; sweepOnce(t, r, rel, start, whole, n); n++ {
			}
			t.Logf("%d cuts, %d records", n-1, len(whole.records))
			if n < 100 {
				t.Errorf("the log has only %d events", n)
			}
		})
	}
}

// readUntil reads until enough says so.
func readUntil(t *testing.T, s *Source, tp *tape, enough func(*tape) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !enough(tp) {
		var b connect.Batch
		if err := s.Read(ctx, &b); err != nil {
			t.Fatal(err)
		}
		tp.add(&b)
	}
}

// sweepOnce reads from start over a connection that is cut after n packets,
// goes on from what was saved, and compares with what is expected. It reports
// whether there was a cut.
func sweepOnce(t *testing.T, r *rig, rel *relay, start stopAt, whole *tape, n int) (cut bool) {
	t.Helper()
	rel.cutAfter(n)
	s := r.source(t)
	if err := s.Open(t.Context(), start.pos, start.state); err != nil {
		t.Fatal(err)
	}
	tp := newTape(start.state)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := untilErr(ctx, s, tp)
	s.Close()
	rel.cutAfter(-1)
	if ctx.Err() != nil {
		t.Fatalf("cut after %d packets: %v", n, err)
	}
	if err != nil {
		last := stopAt{start.pos, start.state, 0}
		if k := len(tp.stops); k > 0 {
			last = tp.stops[k-1]
		}
		tp.records = tp.records[:last.records] // what came of an open transaction comes again
		s = r.source(t)
		if err := s.Open(t.Context(), last.pos, last.state); err != nil {
			t.Fatal(err)
		}
		until(t, s, tp)
		s.Close()
	}
	want := whole.records[start.records:]
	for i := range max(len(want), len(tp.records)) {
		if i >= len(want) || i >= len(tp.records) || tp.records[i] != want[i] {
			t.Fatalf("cut after %d packets: record %d of %d, want %d: %.300s", n, i, len(tp.records), len(want), fmt.Sprint(tp.records[min(i, len(tp.records)-1)]))
		}
	}
	return err != nil
}
