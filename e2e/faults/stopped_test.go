package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/workload"
)

// stoppedBy returns why a connector has stopped a table, "" if it has not.
func (r *rig) stoppedBy(connector, table string) string {
	r.t.Helper()
	st, err := r.proc.Status(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range st.Connectors {
		for _, t := range c.Tables {
			if c.Name == connector && t.Table == table && t.State == "stopped" {
				return t.Reason
			}
		}
	}
	return ""
}

// A table that the target does not take is left behind, whatever kills there
// are, while all others arrive; once it is mended and read anew, it is as the
// source has it, too.
func TestKilledWhileTheTargetRefusesATable(t *testing.T) {
	r := newRig(t, options{rows: 2000, noLedger: true, load: workload.Options{Writers: 3, Types: true, Pause: 2 * time.Millisecond}})
	r.refused(r.writing)
}

// refused has the target refuse a table for a while, beside what begin begins.
func (r *rig) refused(begin func() (stop func())) {
	t := r.t
	t.Helper()
	r.source.Exec(t, "CREATE TABLE work.extra (id INT PRIMARY KEY, v INT NOT NULL); INSERT INTO work.extra VALUES (1, 1), (2, 2), (3, 3)")
	r.target.Exec(t, "CREATE DATABASE IF NOT EXISTS work; CREATE TABLE work.extra (id INT PRIMARY KEY, v INT NOT NULL, CONSTRAINT small CHECK (v < 100))")
	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	stop := begin()
	for i := range kills(t, 6) {
		r.source.Exec(t, "REPLACE INTO work.extra VALUES (?, ?), (2, 100)", 10+i, i)
		time.Sleep(rand.N(500 * time.Millisecond))
		r.proc.Kill()
		r.start()
	}
	r.source.Exec(t, "DELETE FROM work.extra WHERE id = 1")
	stop()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if why := r.stoppedBy("mirror", "work.extra"); strings.Contains(why, "small") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the table is not stopped by its check: %q", why)
		}
	}
	r.target.Exec(t, "ALTER TABLE work.extra DROP CHECK small")
	for i := range kills(t, 6) {
		if answer, err := r.signal("execute-snapshot", `{"data-collections": ["work\\.extra"]}`); err != nil || !strings.Contains(answer, "work.extra") {
			t.Fatal(answer, err)
		}
		r.source.Exec(t, "REPLACE INTO work.extra VALUES (?, ?)", 100+i, i)
		time.Sleep(rand.N(200 * time.Millisecond))
		r.proc.Kill()
		r.start()
	}
	r.settle()
	if why := r.stoppedBy("mirror", "work.extra"); why != "" {
		t.Error(why)
	}
	var stopped int
	if err := r.target.DB().QueryRow("SELECT COUNT(*) FROM towline._towline_offsets_stopped").Scan(&stopped); err != nil || stopped != 0 {
		t.Error(fmt.Sprint(stopped, " tables are stopped at the target: "), err)
	}
}
