package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/workload"
)

// A replica takes over while the program runs and is killed, the old server
// dies, and a virtual address moves: nothing is lost, doubled or out of order.
func TestKilledInFailover(t *testing.T) {
	var address *mysqltest.Proxy
	r := newRig(t, options{rows: 2000, load: workload.Options{Writers: 3, Types: true, DDL: true, Big: 3000, Pause: 2 * time.Millisecond},
		sourceAddr: func(r *rig) (string, int) { address = r.source.Proxy(t); return address.Host(), address.Port() }})
	standby := mysqltest.Start(t)
	follow(t, standby, r.source)
	r.start()
	begun(t, r)
	r.proc.Kill()
	stop := r.writing()
	half := kills(t, 6) / 2
	r.killing(half)
	moved := make(chan error, 1)
	go func() {
		stop()
		moved <- succeed(t.Context(), standby, r.source, address)
	}()
	r.proc.Kill()
	r.killing(max(half/3, 1))
	if err := <-moved; err != nil {
		t.Fatal(err)
	}
	r.source = standby
	r.load.Use(standby.DB())
	stop = r.writing()
	r.proc.Kill()
	r.killing(max(half-half/3, 1))
	stop()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	if st, err := r.proc.Status(t.Context()); err != nil || !strings.Contains(fmt.Sprint(st.Connectors), "of epoch 1") {
		t.Errorf("the position is not of another epoch: %v %+v", err, st)
	}
	r.settle()
}

// begun waits until the source has a position.
func begun(t *testing.T, r *rig) {
	t.Helper()
	for {
		st, err := r.proc.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range st.Connectors {
			if c.Position != "" {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// succeed has a replica take the place of a server, to which nobody writes any
// more, and of its address. The server dies.
func succeed(ctx context.Context, replica, source *mysqltest.Server, address *mysqltest.Proxy) error {
	var set string
	if err := source.DB().QueryRowContext(ctx, "SELECT @@gtid_executed").Scan(&set); err != nil {
		return err
	}
	var late int
	if err := replica.DB().QueryRowContext(ctx, "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 540)", set).Scan(&late); err != nil || late != 0 {
		return fmt.Errorf("the replica does not catch up: %v", err)
	}
	if err := source.Kill(); err != nil {
		return err
	}
	address.Point(replica.Addr())
	address.Cut()
	_, err := replica.DB().ExecContext(ctx, "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF")
	return err
}

// What is gone from the log before it was read is healed: rows and tables that
// were made, changed and deleted meanwhile, and all that comes after.
func TestPurgedLogIsHealed(t *testing.T) {
	for name, o := range map[string]options{"gtid": {}, "file": {sourceFlags: []mysqltest.Option{mysqltest.NoGTID()}},
		"partitions": {source: map[string]string{"topic.creation.default.partitions": "3"}, sink: map[string]string{"tasks.max": "2"}}} {
		t.Run(name, func(t *testing.T) {
			o.rows, o.load, o.noLedger = 500, light(), true
			r := newRig(t, o)
			r.source.Exec(t, `CREATE TABLE work.fruit (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE work.gone (id INT PRIMARY KEY); CREATE TABLE work.bag (v INT);
				INSERT INTO work.fruit VALUES (1, 'apple'), (2, 'pear'), (3, 'plum'); INSERT INTO work.gone VALUES (1); INSERT INTO work.bag VALUES (1), (1), (2)`)
			r.start()
			if err := r.proc.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			// So that counts are far from those of a new beginning.
			r.source.Exec(t, "UPDATE work.fruit SET v = CONCAT(v, 's'); UPDATE work.bag SET v = v + 1")
			if err := r.proc.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			if err := r.proc.Stop(); err != nil {
				t.Fatal(err)
			}
			r.source.Exec(t, `DELETE FROM work.fruit WHERE id = 2; UPDATE work.fruit SET v = 'peach' WHERE id = 3; ALTER TABLE work.fruit ADD COLUMN w INT DEFAULT 7;
				DROP TABLE work.gone; DELETE FROM work.bag LIMIT 2; CREATE TABLE work.fresh (id INT PRIMARY KEY); INSERT INTO work.fresh VALUES (1); FLUSH BINARY LOGS`)
			purge(t, r.source)

			r.start()
			says(t, r, "snapshot.mode=when_needed")
			if err := r.proc.Stop(); err == nil {
				t.Error("a task that failed is no fault of the program")
			}
			healing := map[string]string{"snapshot.mode": "when_needed"}
			merge(healing, o.source)
			o.source = healing
			r.connectors(o)
			r.start()
			r.source.Exec(t, "INSERT INTO work.fruit VALUES (4, 'fig', 8); UPDATE work.fruit SET w = 9 WHERE id = 1; DELETE FROM work.bag LIMIT 1; INSERT INTO work.fresh VALUES (2)")
			if err := r.proc.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			if n := r.target.Query(t, "SELECT COUNT(*) FROM work.gone")[0][0]; n != "0" {
				t.Errorf("the table that is gone has %s rows", n)
			}
			r.target.Exec(t, "DROP TABLE work.gone")
			r.equal()
			// And it goes on from there, not anew.
			if err := r.proc.Stop(); err != nil {
				t.Fatal(err)
			}
			r.source.Exec(t, "DELETE FROM work.fruit WHERE id = 4; INSERT INTO work.bag VALUES (5)")
			r.start()
			if err := r.proc.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			r.equal()
			if n := strings.Count(r.proc.LogTail(1000), "the position is lost; all tables"); n != 1 {
				t.Errorf("tables were copied anew %d times", n)
			}
		})
	}
}

// purge has a server remove all files of its log but the last one. It only warns of
// those that the thread of a dump still reads, which may not have noticed yet that
// its connection has ended.
func purge(t *testing.T, s *mysqltest.Server) {
	t.Helper()
	for {
		files := s.Query(t, "SHOW BINARY LOGS")
		if len(files) == 1 {
			return
		}
		s.Exec(t, "PURGE BINARY LOGS TO '"+files[len(files)-1][0]+"'")
	}
}

// Which rows a failover has lost is in the topics: a file sink that is made then
// shows them, by the GTIDs that the error names.
func TestRowsOfALossyFailover(t *testing.T) {
	r := &rig{t: t, dir: t.TempDir(), source: mysqltest.Start(t), target: mysqltest.Start(t)}
	standby := mysqltest.Start(t)
	address := r.source.Proxy(t)
	r.connectors(options{noLedger: true, sourceAddr: func(*rig) (string, int) { return address.Host(), address.Port() }})
	t.Cleanup(func() { r.proc.Kill() })
	r.source.Exec(t, "CREATE DATABASE work; CREATE TABLE work.fruit (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO work.fruit VALUES (1, 'apple')")
	follow(t, standby, r.source)
	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	r.source.Exec(t, "INSERT INTO work.fruit VALUES (2, 'pear')")
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	kept := r.source.Query(t, "SELECT @@gtid_executed")[0][0]
	if late := standby.Query(t, "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 540)", kept)[0][0]; late != "0" {
		t.Fatal("the replica does not catch up")
	}
	standby.Exec(t, "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF")
	r.source.Exec(t, "UPDATE work.fruit SET v = 'plum' WHERE id = 1; DELETE FROM work.fruit WHERE id = 2; INSERT INTO work.fruit VALUES (3, 'fig')")
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	lost := strings.ReplaceAll(r.source.Query(t, "SELECT GTID_SUBTRACT(@@gtid_executed, ?)", kept)[0][0], "\n", "")
	address.Point(standby.Addr())
	address.Cut()
	says(t, r, lost+" (3 in all)")
	file := filepath.Join(r.dir, "lost.jsonl")
	if _, err := r.proc.Post(t.Context(), "/connectors", fmt.Sprintf(`{"name": "lost", "config": {"connector.class": "file", "topics.regex": "w\\..*", "file": %q}}`, file)); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for end := time.Now().Add(patience); len(rows) < 3; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the file shows %q", rows)
		}
		rows = rowsByGTID(t, file, func(gtid string) bool {
			return standby.Query(t, "SELECT GTID_SUBSET(?, ?)", gtid, lost)[0][0] == "1"
		})
	}
	if got, want := strings.Join(rows, " "), `work.fruit u {"id":1} work.fruit d {"id":2} work.fruit c {"id":3}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// rowsByGTID returns the changes in a file whose GTID is wanted.
func rowsByGTID(t *testing.T, file string, wanted func(gtid string) bool) (rows []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var l struct {
			Key   json.RawMessage
			Value struct {
				Op     string
				Source struct{ GTID, DB, Table string }
			}
		}
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.Value.Source.GTID != "" && wanted(l.Value.Source.GTID) {
			rows = append(rows, fmt.Sprintf("%s.%s %s %s", l.Value.Source.DB, l.Value.Source.Table, l.Value.Op, l.Key))
		}
	}
	return rows
}

// says waits until the source's task has failed with such a reason.
func says(t *testing.T, r *rig, want string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		st, err := r.proc.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		trace := ""
		for _, c := range st.Connectors {
			if c.Name == "source" && len(c.Tasks) > 0 {
				trace = c.Tasks[0].State + " " + c.Tasks[0].Trace
			}
		}
		if strings.HasPrefix(trace, "FAILED") && strings.Contains(trace, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the source's task is %q, want %q", trace, want)
		}
	}
}
