package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/rockettest"
)

// sweeping changes rows of a table and, now and then, empties it, drops it and
// makes it anew, or puts another one in its place, until stop is called.
func (r *rig) sweeping(rest time.Duration) (stop func()) {
	r.t.Helper()
	const swept = "CREATE TABLE work.swept (id INT PRIMARY KEY, n INT NOT NULL, t VARCHAR(200))"
	r.source.Exec(r.t, swept)
	do := func(stmts string) error {
		for _, stmt := range strings.Split(stmts, "; ") {
			if _, err := r.source.DB().ExecContext(r.t.Context(), stmt); err != nil {
				return fmt.Errorf("%s: %w", stmt, err)
			}
		}
		return nil
	}
	n, emptied := 0, 0
	end := r.repeating(rest, func() error {
		id := rand.IntN(400)
		stmts := fmt.Sprintf("INSERT INTO work.swept VALUES (%d, %d, REPEAT('x', %d)), (%d, 0, NULL) ON DUPLICATE KEY UPDATE n = n + 1", id, n, id%200, id+1)
		switch rand.IntN(60) {
		case 0:
			stmts = "TRUNCATE TABLE work.swept"
		case 1:
			stmts = "DROP TABLE work.swept; " + swept
		case 2:
			stmts = "RENAME TABLE work.swept TO work.aside; DROP TABLE work.aside; " + swept
		case 3:
			stmts = "CREATE TABLE work.aside LIKE work.swept; INSERT INTO work.aside SELECT id + 1, n, t FROM work.swept; RENAME TABLE work.swept TO work.other, work.aside TO work.swept; DROP TABLE work.other"
		case 4, 5, 6, 7, 8, 9, 10, 11:
			stmts = fmt.Sprintf("DELETE FROM work.swept WHERE id BETWEEN %d AND %d", id, id+20)
		}
		if !strings.HasPrefix(stmts, "INSERT") && !strings.HasPrefix(stmts, "DELETE") {
			emptied++
		}
		n++
		return do(stmts)
	})
	return func() {
		r.t.Helper()
		end()
		r.t.Logf("emptied %d times", emptied)
	}
}

// Tables whose rows are in several partitions, read by several tasks, are
// truncated, dropped, made anew and exchanged, while another one that the target
// does not take is stopped alone, and read anew alone when that is mended.
func TestKilledWhileTablesInPartitionsAreEmptied(t *testing.T) {
	r := newRig(t, options{rows: 500, load: light(), noLedger: true, source: map[string]string{"topic.creation.default.partitions": "4"},
		sink: map[string]string{"tasks.max": "3", "lanes": "2"}})
	r.refused(func() func() {
		sweep, stop := r.sweeping(2*time.Millisecond), r.writing()
		return func() {
			r.t.Helper()
			sweep()
			stop()
		}
	})
}

// The same over a log that leaves any part of what was appended when the program,
// or a broker, is killed: a barrier in some partitions, or twice.
func TestKilledOverRocketMQWhileTablesInPartitionsAreEmptied(t *testing.T) {
	if os.Getenv("TOWLINE_KILLS") == "" {
		t.Skip("TOWLINE_KILLS says how often: it takes a minute")
	}
	r, c := newRocketRig(t, options{rows: 200, load: light(), noLedger: true, source: map[string]string{"topic.creation.default.partitions": "4"},
		sink:   map[string]string{"tasks.max": "3", "lanes": "2"},
		worker: map[string]any{"session.timeout.ms": 3000, "heartbeat.interval.ms": 300, "scheduled.rebalance.max.delay.ms": 100}}, rockettest.Config{})
	r.start()
	r.awaitTasks()
	sweep, stop := r.sweeping(2*time.Millisecond), r.writing()
	for i := range kills(t, 4) {
		time.Sleep(rand.N(1000 * time.Millisecond))
		if i == 1 {
			b := c.Brokers[rand.N(len(c.Brokers))]
			if err := b.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := b.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r.proc.Kill()
		r.start()
		r.awaitTasks()
	}
	sweep()
	stop()
	r.settle()
}

// awaitTasks waits until both connectors have been taken up and run.
func (r *rig) awaitTasks() {
	r.t.Helper()
	why := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		st, err := r.proc.Status(r.t.Context())
		if why = fmt.Sprint(err); err != nil {
			continue
		}
		running := 0
		for i := range st.Connectors {
			for _, task := range st.Connectors[i].Tasks {
				if task.State == "RUNNING" {
					running++
				}
			}
		}
		if running == 4 {
			return
		}
		why = fmt.Sprintf("%d of 4 tasks run: %+v", running, st.Connectors)
	}
	r.t.Fatal(why)
}
