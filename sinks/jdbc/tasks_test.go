package jdbc

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// taskSink returns the sink of a lane of one of several tasks.
func taskSink(t testing.TB, url string, env connect.Env, args ...string) *Sink {
	t.Helper()
	s := newTestSink(t, url, env.Lane, max(env.Lanes, 1), args...)
	s.env.Task, s.env.Tasks, s.env.Generation, s.env.Epoch = env.Task, max(env.Tasks, env.Task+1), env.Generation, env.Epoch
	return s
}

func reopen(t testing.TB, s *Sink) []offsets.Entry {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, s)
}

func marksOf(t testing.TB, entries []offsets.Entry) string {
	t.Helper()
	var list []string
	for _, e := range entries {
		m, err := offsets.ParseMark(e.Pos)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s:%d", e.Key, m.Offset))
	}
	return strings.Join(list, " ")
}

// part gives records and the State behind them another partition.
func part(p int32, first int64, recs ...connect.Record) *connect.Batch {
	for i := range recs {
		recs[i].Topic, recs[i].Partition, recs[i].Offset = "topic", p, first+int64(i)
	}
	m := offsets.Mark{Offset: first + int64(len(recs))}
	return &connect.Batch{Records: recs, State: []offsets.Entry{{Key: offsets.MarkKey("topic", p), Pos: m.Position()}}}
}

func TestPartitionsMoveBetweenTasks(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	p := plain(t, "p", false) // what comes twice is there twice
	first := taskSink(t, srv.DSN(db), connect.Env{Task: 0})
	open(t, first)
	second := taskSink(t, srv.DSN(db), connect.Env{Task: 1})
	open(t, second)
	for i := range int64(3) { // side by side: neither fences the other
		for k, s := range []*Sink{first, second} {
			if err := s.Write(t.Context(), part(int32(k), i, insert(p, int(10*i)+k, "x"))); err != nil {
				t.Fatal(err)
			}
		}
	}
	moved := taskSink(t, srv.DSN(db), connect.Env{Task: 0})
	if got := marksOf(t, open(t, moved)); got != "topic/0:3 topic/1:3" {
		t.Fatalf("the marks are %s", got)
	}
	// The one before is still there, and commits once more.
	if err := second.Write(t.Context(), part(1, 3, insert(p, 31, "x"))); err != nil {
		t.Fatal(err)
	}
	again := part(1, 3, insert(p, 31, "x"))
	if err := moved.Write(t.Context(), again); err == nil || !strings.Contains(err.Error(), "partition 1 of topic topic") || connect.IsPermanent(err) {
		t.Fatalf("a change is written twice: %v", err)
	}
	if got := marksOf(t, reopen(t, moved)); got != "topic/0:3 topic/1:4" {
		t.Fatalf("the marks are %s", got)
	}
	if err := moved.Write(t.Context(), part(1, 4, insert(p, 41, "x"))); err != nil {
		t.Fatal(err)
	}
	if err := second.Write(t.Context(), part(1, 4, insert(p, 41, "x"))); err == nil || connect.IsPermanent(err) {
		t.Fatalf("a change is written twice: %v", err)
	}
	expect(t, srv, "SELECT id, COUNT(*) FROM "+db+".p WHERE id % 10 = 1 GROUP BY id ORDER BY id", "1,1 11,1 21,1 31,1 41,1")
}

// Records that a task has committed ahead of a mark are known to the next one,
// and it to them.
func TestWhatIsAheadMovesToo(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	p := plain(t, "p", false)
	old := taskSink(t, srv.DSN(db), connect.Env{Task: 1, Lanes: 2})
	open(t, old)
	young := taskSink(t, srv.DSN(db), connect.Env{Task: 0, Lanes: 2})
	open(t, young)
	b := part(5, 0, insert(p, 1, "x"), insert(p, 2, "x"))
	b.State = nil // with several lanes that is committed, ahead of the mark
	if err := old.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	b = part(5, 0, insert(p, 1, "x"), insert(p, 2, "x"), insert(p, 3, "x"))
	if err := young.Write(t.Context(), b); err == nil || connect.IsPermanent(err) {
		t.Fatalf("changes are written twice: %v", err)
	}
	reopen(t, young)
	if err := young.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	expect(t, srv, "SELECT id, COUNT(*) FROM "+db+".p GROUP BY id ORDER BY id", "1,1 2,1 3,1")
}

// A task that is stopped while what is ahead of a mark comes again leaves that as
// it was: neither a mark before it nor another end of a transaction in the midst
// of it makes the rest come twice.
func TestWhatIsAheadOutlivesMarks(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	p := plain(t, "p", false)
	message := func(offset int64, ids ...int) (list []connect.Record) {
		for _, id := range ids {
			r := insert(p, id, "x")
			r.Topic, r.Offset = "topic", offset
			list = append(list, r)
		}
		return list
	}
	s := taskSink(t, srv.DSN(db), connect.Env{Lanes: 2})
	open(t, s)
	write := func(mark offsets.Mark, records ...connect.Record) {
		t.Helper()
		b := &connect.Batch{Records: records}
		if mark.Offset >= 0 {
			b.State = []offsets.Entry{{Key: offsets.MarkKey("topic", 0), Pos: mark.Position()}}
		}
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	none := offsets.Mark{Offset: -1}
	write(none, append(message(0, 1, 2), message(1, 3, 4, 5, 6)...)...)
	reopen(t, s)
	write(offsets.Mark{Offset: 1}, message(0, 1, 2)...) // before all of it
	reopen(t, s)
	write(none, message(1, 3)...) // in the midst
	reopen(t, s)
	write(offsets.Mark{Offset: 1, Index: 2}, message(1, 3, 4)...)
	reopen(t, s)
	write(offsets.Mark{Offset: 3}, append(message(1, 5, 6, 7), message(2, 8)...)...)
	expect(t, srv, "SELECT id, COUNT(*) FROM "+db+".p GROUP BY id ORDER BY id", "1,1 2,1 3,1 4,1 5,1 6,1 7,1 8,1")
	reopen(t, s)
	if len(s.ledger.beyond) > 0 {
		t.Errorf("still ahead: %v", s.ledger.beyond)
	}
}

// Where a transform has brought topics together, what is ahead of the mark of one is
// not taken for the other's.
func TestWhatIsAheadInRoutedTopics(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	p := plain(t, "p", false)
	s := taskSink(t, srv.DSN(db), connect.Env{Lanes: 2})
	open(t, s)
	write := func(from string, id int) {
		t.Helper()
		r := insert(p, id, "x")
		r.Topic, r.Offset = from, 5
		r.Reroute("all")
		if err := s.Write(t.Context(), &connect.Batch{Records: []connect.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
	write("a", 1)
	reopen(t, s)
	write("b", 2)
	write("a", 1)
	expect(t, srv, "SELECT id, COUNT(*) FROM "+db+".p GROUP BY id ORDER BY id", "1,1 2,1")
}

// The table as it was when a sink was one task: its marks go on.
func TestOffsetsOfOneTaskGoOn(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, fmt.Sprintf(createOffsets, name{db, "_towline_offsets"}.quoted()))
	for lane := range 2 {
		srv.Exec(t, fmt.Sprintf("INSERT INTO %s._towline_offsets (connector, task, lane, topic, `partition`, lanes, epoch, `offset`, idx) VALUES "+
			"('test', 0, %[2]d, '', -1, 2, 7, -1, %[3]d), ('test', 0, %[2]d, 'topic', 0, 2, 7, 3, 0), ('test', 0, %[2]d, 'topic', 1, 2, 0, 5, 0)", db, lane, connect.LaneSplit))
	}
	p := plain(t, "p", true)
	var sinks []*Sink
	for i := range 4 {
		s := taskSink(t, srv.DSN(db), connect.Env{Task: i / 2, Lane: i % 2, Lanes: 2, Tasks: 2})
		if got := marksOf(t, open(t, s)); got != "topic/0:3 topic/1:5" {
			t.Fatalf("lane %d of task %d begins at %s", i%2, i/2, got)
		}
		sinks = append(sinks, s)
	}
	for i, s := range sinks {
		if err := s.Write(t.Context(), part(int32(i/2), 9, insert(p, i, "x"))); err != nil {
			t.Fatal(err)
		}
	}
	// Another number of lanes, told by whichever task comes first.
	for _, task := range []int{1, 0} {
		for lane := range 3 {
			s := taskSink(t, srv.DSN(db), connect.Env{Task: task, Lane: lane, Lanes: 3, Tasks: 2})
			if got := marksOf(t, open(t, s)); got != "topic/0:10 topic/1:10" {
				t.Fatalf("lane %d of task %d begins at %s", lane, task, got)
			}
		}
	}
	expect(t, srv, "SELECT MIN(lanes), MAX(lanes), COUNT(*) FROM "+db+"._towline_offsets WHERE task >= 0 AND `partition` = -1", "3,3,6")
}

func TestOlderConfigurationsAndTasksAreFenced(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	p := plain(t, "p", true)
	old := taskSink(t, srv.DSN(db), connect.Env{Task: 2, Generation: 5, Epoch: 50})
	open(t, old)
	if err := old.Write(t.Context(), part(2, 0, insert(p, 1, "old"))); err != nil {
		t.Fatal(err)
	}
	young := taskSink(t, srv.DSN(db), connect.Env{Task: 0, Generation: 6, Epoch: 60})
	open(t, young)
	fenced := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, connect.ErrFenced) {
			t.Errorf("%s: got %v, want ErrFenced", what, err)
		}
	}
	fenced("a commit of an older configuration", old.Write(t.Context(), part(2, 1, insert(p, 2, "late"))))
	for _, task := range []int{0, 2, 3} {
		_, err := taskSink(t, srv.DSN(db), connect.Env{Task: task, Generation: 5, Epoch: 70}).openAndClose(t)
		fenced("a task of an older configuration", err)
	}
	_, err := taskSink(t, srv.DSN(db), connect.Env{Task: 0, Generation: 6, Epoch: 59}).openAndClose(t)
	fenced("an older holder of the task", err)
	if err := young.Write(t.Context(), part(0, 0, insert(p, 3, "young"))); err != nil {
		t.Fatalf("those that were refused have fenced the one that holds the task: %v", err)
	}
	next := taskSink(t, srv.DSN(db), connect.Env{Task: 0, Generation: 6, Epoch: 61})
	open(t, next)
	fenced("a commit of the holder before", young.Write(t.Context(), part(0, 1, insert(p, 4, "late"))))
	if err := next.Write(t.Context(), part(0, 1, insert(p, 5, "next"))); err != nil {
		t.Fatal(err)
	}
	expect(t, srv, "SELECT id, s FROM "+db+".p ORDER BY id", "1,old 3,young 5,next")

	// The workers' state is made anew: its numbers begin at 1.
	anew := connect.Env{Task: 0, Generation: 1, Epoch: 2}
	_, err = taskSink(t, srv.DSN(db), anew).openAndClose(t)
	fenced("a task of a state that was made anew", err)
	_, mend, _ := strings.Cut(err.Error(), "those of before: ")
	mend, _, _ = strings.Cut(mend, ";")
	srv.Exec(t, mend)
	first := taskSink(t, srv.DSN(db), anew)
	open(t, first)
	fenced("a commit of who held the task before", next.Write(t.Context(), part(0, 2, insert(p, 6, "late"))))
	if err := first.Write(t.Context(), part(0, 2, insert(p, 7, "anew"))); err != nil {
		t.Fatal(err)
	}
	_, err = taskSink(t, srv.DSN(db), connect.Env{Task: 0, Generation: 1, Epoch: 1}).openAndClose(t)
	fenced("an older holder of the new state", err)
	expect(t, srv, "SELECT id, s FROM "+db+".p ORDER BY id", "1,old 3,young 5,next 7,anew")
}

// Tasks that meet the same new tables, and new columns of them, at the same time.
func TestTasksMakeAndChangeTablesTogether(t *testing.T) {
	srv := mysqltest.Shared(t)
	for _, evolution := range []string{evolveBasic, evolveFull} {
		db := srv.CreateDB(t)
		const tasks, tables, columns = 4, 3, 4
		defer srv.Exec(t, "DROP DATABASE IF EXISTS "+db+"_x")
		var group sync.WaitGroup
		errs := make([]error, tasks)
		for task := range tasks {
			s := taskSink(t, srv.DSN(db+"_x"), connect.Env{Task: task, Tasks: tasks}, "schema.evolution", evolution, "offsets.table", db+"._towline_offsets")
			open(t, s)
			group.Go(func() {
				at := int64(0)
				for n := range columns {
					for k := range tables {
						shape := grown(t, fmt.Sprintf("t%d", k), n)
						row := []any{100*n + task}
						for range n {
							row = append(row, task)
						}
						b := part(int32(task), at, insert(shape, row...))
						at++
						if errs[task] = s.Write(t.Context(), b); errs[task] != nil {
							return
						}
					}
				}
			})
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatalf("%s: %v", evolution, err)
		}
		for k := range tables {
			expect(t, srv, fmt.Sprintf("SELECT COUNT(*), COUNT(DISTINCT id), COUNT(c1), COUNT(c2), COUNT(c3) FROM %s_x.t%d", db, k), "16,16,12,8,4")
		}
	}
}

// Of a topic with several partitions, rows of a new shape may come before what
// tells of it: values in a new column are theirs, and not of an earlier column.
func TestValuesOfANewColumnMayComeFirst(t *testing.T) {
	srv := mysqltest.Shared(t)
	for _, scattered := range []bool{true, false} {
		db := srv.CreateDB(t)
		s := openTest(t, srv.DSN(db))
		was, now := grown(t, "t", 1), grown(t, "t", 2)
		b := part(0, 0, insert(was, 1, 1))
		if err := s.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := s.Write(t.Context(), part(3, 0, insert(now, 2, 2, 2))); err != nil {
			t.Fatal(err)
		}
		told := part(0, 1, connect.Record{Op: connect.OpSchema, Table: now}, insert(now, 3, 3, 3))
		told.Records[0].SetSchemaChange(told, &connect.SchemaChange{Was: was, Now: now, From: []int{0, 1, -1}})
		if scattered {
			told.Records[0].SetScattered(told)
		}
		if err := s.Write(t.Context(), told); (err == nil) != scattered {
			t.Fatalf("scattered %v: %v", scattered, err)
		}
		if scattered {
			expect(t, srv, "SELECT id, c1, IFNULL(c2, '-') FROM "+db+".t ORDER BY id", "1,1,- 2,2,2 3,3,3")
		}
	}
}

// grown returns the shape of a table that has got n more columns.
func grown(t testing.TB, table string, n int) *schema.Table {
	x := &schema.Table{Database: "shop", Name: table, Key: []int{0}, Primary: true, Columns: []schema.Column{{Name: "id", Type: schema.TypeInt}}}
	for i := range n {
		x.Columns = append(x.Columns, schema.Column{Name: fmt.Sprintf("c%d", i+1), Type: schema.TypeInt, Nullable: true})
	}
	return mustTable(t, x)
}
