package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// stepping raises the counters of random rows, with a rest between two
// transactions, until stop is called.
func (r *rig) stepping(rest time.Duration) (stop func()) {
	return r.repeating(rest, func() error {
		at, n := rand.IntN(steps), 1+rand.IntN(30)
		_, err := r.source.DB().ExecContext(r.t.Context(), fmt.Sprintf("UPDATE %s.steps SET n = n + 1 WHERE id BETWEEN %d AND %d", database, at, at+n))
		return err
	})
}

// repeating calls step, with a rest between two calls, until it fails or stop is
// called.
func (r *rig) repeating(rest time.Duration, step func() error) (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := step(); err != nil {
				done <- err
				return
			}
			time.Sleep(rest)
		}
		done <- nil
	}()
	return func() {
		r.t.Helper()
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	}
}

// steps is the number of rows that stepping is about.
const steps = 300

// book makes a sink, or gives it another number of tasks, that notes each state of
// a row in the target: what comes twice is there twice.
func (r *rig) book(tasks int) {
	r.t.Helper()
	body, err := json.Marshal(map[string]string{"connector.class": "jdbc", "topics": "w." + database + ".steps",
		"connection.url": fmt.Sprintf("jdbc:mysql://%s:%d/", r.target.Host, r.target.Port), "connection.user": r.target.User, "connection.password": r.target.Password,
		"table.name.format": "book.steps", "insert.mode": "insert", "pk.mode": "none", "delete.enabled": "false",
		"errors.retry.delay.max.ms": "1000", "lanes": "2", "tasks.max": fmt.Sprint(tasks)})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.proc.Put(r.t.Context(), "/connectors/book/config", string(body)); err != nil {
		r.t.Fatal(err)
	}
	var info struct{ Tasks []struct{ Task int } }
	answer, err := r.proc.Get(r.t.Context(), "/connectors/book")
	if err == nil {
		err = json.Unmarshal(answer, &info)
	}
	if err != nil || len(info.Tasks) != tasks {
		r.t.Fatalf("with tasks.max=%d the connector is %s, %v", tasks, answer, err)
	}
}

// The tasks of sinks become more and fewer while changes flow, by another
// configuration while the program runs and by another file when it was killed: each
// change is in the target once.
func TestTasksChangeUnderKills(t *testing.T) {
	r := newRig(t, options{rows: 500, load: light(), noLedger: true, source: map[string]string{"topic.creation.default.partitions": "8"}})
	r.makeSteps()
	r.start()
	r.book(1)
	if err := r.proc.Wait(t.Context(), patience); err != nil { // the copy is there, and each state of a row is told by a change
		t.Fatal(err)
	}
	stopSteps, stop := r.stepping(time.Millisecond), r.writing()
	for _, tasks := range []int{4, 2, 3, 8, 1, 3} {
		r.book(tasks)
		if _, err := r.proc.Post(t.Context(), fmt.Sprintf("/connectors/book/tasks/%d/restart", rand.IntN(tasks)), ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(500 * time.Millisecond))
		r.proc.Kill()
		r.mirror(tasks)
		r.killing(kills(t, 6) / 6)
	}
	stopSteps()
	stop()
	r.settle()
	r.checkBook()
}

// Columns that come while several tasks write to their table are there in the end,
// once, with their values: rows that have them come before and after the one message
// that tells of them.
func TestColumnsComeToSeveralTasks(t *testing.T) {
	r := newRig(t, options{rows: 10, load: light(), noLedger: true, source: map[string]string{"topic.creation.default.partitions": "8"},
		sink: map[string]string{"tasks.max": "4", "lanes": "2"}})
	r.makeSteps()
	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	stop := r.stepping(time.Millisecond)
	for i := range 6 {
		r.source.Exec(t, fmt.Sprintf("ALTER TABLE %s.steps ADD COLUMN c%d INT NULL", database, i))
		r.source.Exec(t, fmt.Sprintf("UPDATE %s.steps SET c%d = n", database, i))
	}
	stop()
	r.settle()
	if got, want := shapesOf(t, r.target.DB(), database), shapesOf(t, r.source.DB(), database); got != want {
		t.Errorf("the target's tables are\n%s\nand the source's\n%s", got, want)
	}
}

func (r *rig) makeSteps() {
	r.t.Helper()
	r.source.Exec(r.t, "CREATE TABLE "+database+".steps (id INT PRIMARY KEY, n INT NOT NULL)")
	r.source.Exec(r.t, fmt.Sprintf("INSERT INTO %s.steps WITH RECURSIVE c (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < %d) SELECT i, 0 FROM c", database, steps-1))
}

// mirror gives the rig's own sink another number of tasks, from the next start on.
func (r *rig) mirror(tasks int) {
	r.sink["tasks.max"] = fmt.Sprint(tasks)
	r.file("mirror", r.sink)
}

// checkBook wants each state of each row once, and the offsets of all partitions.
func (r *rig) checkBook() {
	r.t.Helper()
	sum := r.source.Query(r.t, "SELECT COUNT(*), SUM(n) FROM "+database+".steps")
	if got := r.target.Query(r.t, "SELECT COUNT(*), SUM(n) FROM "+database+".steps"); fmt.Sprint(got) != fmt.Sprint(sum) {
		r.t.Errorf("the mirror has %v, and the source %v", got, sum)
	}
	if got := r.target.Query(r.t, "SELECT COUNT(DISTINCT id), SUM(m) FROM (SELECT id, MAX(n) m FROM book.steps GROUP BY id) x"); fmt.Sprint(got) != fmt.Sprint(sum) {
		r.t.Errorf("the book ends at %v, and the source at %v", got, sum)
	}
	for _, row := range r.target.Query(r.t, "SELECT id, COUNT(*), COUNT(DISTINCT n), MAX(n) FROM book.steps GROUP BY id HAVING COUNT(*) <> COUNT(DISTINCT n) OR COUNT(*) <> MAX(n) + 1 LIMIT 5") {
		r.t.Errorf("row %s has %s states in the book, %s different ones, and the last is %s", row[0], row[1], row[2], row[3])
	}
	var all struct{ Offsets []json.RawMessage }
	answer, err := r.proc.Get(r.t.Context(), "/connectors/book/offsets")
	if err == nil {
		err = json.Unmarshal(answer, &all)
	}
	if err != nil || len(all.Offsets) != 8 {
		r.t.Errorf("the offsets are %s, %v", answer, err)
	}
	r.t.Logf("book: %v states", r.target.Query(r.t, "SELECT COUNT(*) FROM book.steps"))
}
