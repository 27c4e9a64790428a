package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/workload"
)

// signal sends a signal and returns its answer. The program answers before its
// source is open, so it is asked again for as long as nobody is there to take
// the signal.
func (r *rig) signal(kind, data string) (string, error) {
	body := fmt.Sprintf(`{"id": "test", "type": %q, "data": %s}`, kind, data)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		b, err := r.proc.Post(r.t.Context(), "/v1/signals", body)
		if err == nil || !strings.Contains(err.Error(), "503") || time.Now().After(deadline) {
			return string(b), err
		}
	}
}

const allTables = `{"data-collections": ["work\\..*"]}`

// Copies that an operator commands, of all tables again and again, through all
// channels, while writers write and the program is killed: in the end the
// target equals the source.
func TestKilledWhileTablesAreCopiedAgain(t *testing.T) {
	copiedAgain(t, options{rows: 20000}, kills(t, 10))
}

// The same of tables whose rows are in several partitions, which several tasks
// read: one without a key is emptied at one place of all of them.
func TestKilledWhileTablesInPartitionsAreCopiedAgain(t *testing.T) {
	copiedAgain(t, options{rows: 3000, source: map[string]string{"topic.creation.default.partitions": "4"},
		sink: map[string]string{"tasks.max": "3", "lanes": "2"}}, kills(t, 6))
}

// copiedAgain commands copies and kills the program, n times.
func copiedAgain(t *testing.T, o options, n int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "signals")
	signals := map[string]string{"database.include.list": database + ",ops", "signal.data.collection": "ops.signals", "signal.file": file}
	maps.Copy(signals, o.source)
	o.source, o.noLedger = signals, true
	o.load = workload.Options{Writers: 3, Types: true, Keyless: true, Pause: 2 * time.Millisecond}
	r := newRig(t, o)
	r.source.Exec(t, "CREATE DATABASE ops; CREATE TABLE ops.signals (id VARCHAR(42) PRIMARY KEY, type VARCHAR(32) NOT NULL, data TEXT)")
	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	stop := r.writing()
	for i := range n {
		switch i % 4 {
		case 0:
			if answer, err := r.signal("execute-snapshot", allTables); err != nil || !strings.Contains(answer, "work.") {
				t.Fatal(answer, err)
			}
		case 1:
			r.source.Exec(t, "INSERT INTO ops.signals VALUES (UUID(), 'execute-snapshot', ?)", allTables)
		case 2:
			f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(f, `{"id": "f%d", "type": "execute-snapshot", "data": %s}`+"\n", i, allTables)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		default:
			for _, kind := range []string{"pause-snapshot", "resume-snapshot"} {
				if answer, err := r.signal(kind, "{}"); err != nil {
					t.Fatal(answer, err)
				}
			}
		}
		time.Sleep(rand.N(900 * time.Millisecond))
		r.proc.Kill()
		r.start()
	}
	stop()
	r.settle()
}

// What was answered is done, whatever happens then.
func TestASignalSurvivesAKill(t *testing.T) {
	r := newRig(t, options{rows: 3000, noLedger: true, load: light()})
	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	if _, err := r.signal("pause-snapshot", "{}"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.signal("execute-snapshot", allTables); err != nil {
		t.Fatal(err)
	}
	r.proc.Kill()
	r.start()
	waits := func() (n int) {
		st, err := r.proc.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range st.Connectors {
			for _, table := range c.Tables {
				if table.State == "waiting" && strings.Contains(table.Reason, "paused") {
					n++
				}
			}
		}
		return n
	}
	for deadline := time.Now().Add(patience); waits() == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the copies that were asked for, and that they are paused, are forgotten")
		}
	}
	r.target.Exec(t, "DELETE FROM work.accounts")
	if _, err := r.signal("resume-snapshot", "{}"); err != nil {
		t.Fatal(err)
	}
	r.settle()
}

// A table that was stopped is followed again, without the rows that were
// deleted in between.
func TestAStoppedTableIsFollowedAgain(t *testing.T) {
	for name, o := range map[string]options{"one partition": {}, "several": {source: map[string]string{"topic.creation.default.partitions": "4"},
		sink: map[string]string{"tasks.max": "2"}}} {
		t.Run(name, func(t *testing.T) { followedAgain(t, o) })
	}
}

func followedAgain(t *testing.T, o options) {
	t.Helper()
	o.rows, o.noLedger, o.load = 500, true, light()
	r := newRig(t, o)
	r.source.Exec(t, "CREATE TABLE work.extra (id INT PRIMARY KEY, v INT); INSERT INTO work.extra VALUES (1, 1), (2, 2), (3, 3)")
	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	stop := r.writing()
	for range 3 {
		r.source.Exec(t, "SET SESSION binlog_row_image = MINIMAL; UPDATE work.extra SET v = v + 1 WHERE id = 2; SET SESSION binlog_row_image = DEFAULT")
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			st, err := r.proc.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if st.Table("work.extra").State == "stopped" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the table is not stopped")
			}
		}
		r.source.Exec(t, "DELETE FROM work.extra WHERE id = 1; INSERT INTO work.extra VALUES (4, 4) ON DUPLICATE KEY UPDATE v = v + 1")
		if answer, err := r.signal("execute-snapshot", `{"data-collections": ["work.extra"]}`); err != nil || !strings.Contains(answer, "followed again") {
			st, serr := r.proc.Status(t.Context())
			t.Fatalf("%s %v; %+v %v", answer, err, st.Table("work.extra"), serr)
		}
		r.source.Exec(t, "INSERT INTO work.extra VALUES (1, 10); UPDATE work.extra SET v = v * 2; ALTER TABLE work.extra ADD COLUMN IF_NOT INT")
		r.source.Exec(t, "ALTER TABLE work.extra DROP COLUMN IF_NOT")
	}
	r.proc.Kill()
	r.start()
	stop()
	r.settle()
}
