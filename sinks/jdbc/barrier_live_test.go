package jdbc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// partitioned is a topic of several partitions, and tasks of a sink that read
// one or more of them each.
type partitioned struct {
	*stopRig
	topic [][]connect.Record
	tasks []*Sink
	at    []int // of each partition
	seq   uint64
	clock int64
}

func newPartitioned(t *testing.T, partitions, tasks int, args ...string) *partitioned {
	return &partitioned{stopRig: newStopRig(t, 1, args...), topic: make([][]connect.Record, partitions), tasks: make([]*Sink, tasks), at: make([]int, partitions)}
}

// open opens a task as after a kill: its partitions go on where the target has them.
func (p *partitioned) open(task int) *Sink {
	p.t.Helper()
	if s := p.tasks[task]; s != nil {
		_ = s.Close()
	}
	s := taskSink(p.t, p.url, connect.Env{Task: task, Tasks: len(p.tasks)}, p.args...)
	s.env.Tasks = len(p.tasks)
	s.env.Report = func(connect.TableStatus) {}
	s.env.MayStop = func(context.Context, string) (string, error) { return "", nil }
	s.env.Drop = func(string, int) {}
	p.tasks[task] = s
	for i := range p.at {
		if i%len(p.tasks) == task {
			p.at[i] = 0
		}
	}
	for _, e := range open(p.t, s) {
		_, n, err := offsets.ParseMarkKey(e.Key)
		if err != nil {
			p.t.Fatal(err)
		}
		m, err := offsets.ParseMark(e.Pos)
		if err != nil {
			p.t.Fatal(err)
		}
		if int(n)%len(p.tasks) == task {
			p.at[n] = int(m.Offset)
		}
	}
	return s
}

// put appends a change to a partition.
func (p *partitioned) put(partition int, r connect.Record) {
	p.seq++
	p.clock++
	r.Seq, r.Time, r.Partition, r.Offset, r.Topic = p.seq, p.clock, int32(partition), int64(len(p.topic[partition])), "topic"
	p.topic[partition] = append(p.topic[partition], r)
}

// barrier appends one to every partition, as a source task does.
func (p *partitioned) barrier(r connect.Record) {
	var b connect.Batch
	p.clock++
	r.Seq, r.Time = p.seq, p.clock
	r.Origin = &connect.Origin{File: "binlog.000001", Pos: uint64(len(p.topic[0]) + 1)}
	if r.Op == connect.OpSchema {
		r.SetScattered(&b)
	}
	r.SetBarrier(&b, int32(len(p.topic)))
	for i := range p.topic {
		r.Partition, r.Offset, r.Topic = int32(i), int64(len(p.topic[i])), "topic"
		p.topic[i] = append(p.topic[i], r)
	}
}

// next returns the next n records of a partition as a batch, and where it ends.
func (p *partitioned) next(partition, n int) (*connect.Batch, int) {
	from := p.at[partition]
	to := min(from+n, len(p.topic[partition]))
	recs := append([]connect.Record(nil), p.topic[partition][from:to]...)
	m := offsets.Mark{Offset: int64(to)}
	return &connect.Batch{Records: recs, State: []offsets.Entry{{Key: offsets.MarkKey("topic", int32(partition)), Pos: m.Position()}}}, to
}

// read has the task of a partition take its next n records.
func (p *partitioned) read(partition, n int) error {
	b, to := p.next(partition, n)
	if err := p.tasks[partition%len(p.tasks)].Write(context.Background(), b); err != nil {
		return err
	}
	p.at[partition] = to
	return nil
}

func (p *partitioned) mustRead(partition, n int) {
	p.t.Helper()
	if err := p.read(partition, n); err != nil {
		p.t.Fatal(err)
	}
}

// drain reads all that is left, in any order, with tasks that were refused begun
// anew.
func (p *partitioned) drain(dice *rand.Rand) {
	p.t.Helper()
	for tries := 0; tries < 10000; tries++ {
		var left []int
		for i := range p.topic {
			if p.at[i] < len(p.topic[i]) {
				left = append(left, i)
			}
		}
		if len(left) == 0 {
			return
		}
		i := left[dice.IntN(len(left))]
		if err := p.read(i, 1+dice.IntN(4)); err != nil {
			if connect.IsPermanent(err) {
				p.t.Fatal(err)
			}
			p.open(i % len(p.tasks))
		}
	}
	p.t.Fatal("the partitions are not read to their ends")
}

// content fails unless a table of the target has these rows.
func (p *partitioned) content(table, want string) {
	p.t.Helper()
	var got string
	if err := p.db.QueryRow("SELECT COALESCE(GROUP_CONCAT(id, v ORDER BY id SEPARATOR ' '), '') FROM " + p.to + "." + table).Scan(&got); err != nil {
		p.t.Fatal(err)
	}
	if got != want {
		p.t.Fatalf("%s has the rows %q, want %q", table, got, want)
	}
}

const plainDef = "(id INT PRIMARY KEY, v VARCHAR(20))"

// A truncation empties the table when the first partition comes to it. What the
// others have from before it is left out, and no task waits for another one,
// whichever is killed when.
func TestATruncationInSeveralPartitions(t *testing.T) {
	for _, flags := range []connect.Flags{0, connect.Dropped} {
		for _, kills := range []bool{false, true} {
			t.Run(fmt.Sprint(flags, kills), func(t *testing.T) {
				p := newPartitioned(t, 2, 2, "drop.mode", "drop", "schema.evolution", "full")
				b := p.table("b", plainDef, "")
				p.put(0, insert(b, 1, "x"))
				p.put(1, insert(b, 2, "x"))
				p.put(1, insert(b, 3, "x"))
				p.barrier(truncated(b, flags))
				p.put(0, insert(b, 4, "y"))
				p.put(1, insert(b, 5, "y"))
				p.barrier(truncated(b, 0))
				p.put(1, insert(b, 6, "z"))
				step := func(partition int, want string) {
					t.Helper()
					p.mustRead(partition, 1)
					p.content("b", want)
					if kills {
						p.open(0)
						p.open(1)
					}
				}
				p.open(0)
				p.open(1)
				step(0, "1x")
				step(1, "1x 2x")
				if p.mustRead(0, 1); flags == connect.Dropped {
					p.rows("b", -1)
				} else {
					p.content("b", "")
				}
				step(0, "4y")
				step(1, "4y") // 3x, from before the truncation
				step(1, "4y")
				step(1, "4y 5y")
				step(1, "")
				step(1, "6z")
				step(0, "6z")
				var open int
				if err := p.db.QueryRow("SELECT COUNT(*) FROM " + p.to + "._towline_offsets_barriers WHERE `partition` = -1 AND state <> 'over'").Scan(&open); err != nil || open != 0 {
					t.Errorf("%d barriers are not over, %v", open, err)
				}
			})
		}
	}
}

// A TRUNCATE that its client has given up may still wait in the server. Nobody
// writes behind it until it is through.
func TestAnOldTruncationTakesNothingOfTheNew(t *testing.T) {
	p := newPartitioned(t, 2, 2)
	b := p.table("b", plainDef, "")
	p.put(0, insert(b, 1, "x"))
	p.barrier(truncated(b, 0))
	p.put(0, insert(b, 2, "y"))
	p.put(1, insert(b, 3, "y"))
	p.open(0)
	p.open(1)
	p.mustRead(0, 1)
	holder, err := p.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if _, err := holder.ExecContext(t.Context(), "LOCK TABLES "+p.to+".b READ"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	first, _ := p.next(0, 2)
	go func() { done <- p.tasks[0].Write(ctx, first) }()
	p.waits("TRUNCATE TABLE%"+p.to+"%", 1)
	cancel() // a kill
	if err := <-done; err == nil {
		t.Fatal("the write went through")
	}
	go func() { done <- p.read(1, 2) }()
	p.waits("SELECT GET_LOCK%", 1)
	if _, err := holder.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.waits("TRUNCATE TABLE%"+p.to+"%", 0)
	p.content("b", "3y")
	p.open(0)
	p.drain(rand.New(rand.NewPCG(1, 1)))
	p.content("b", "2y 3y")
}

// waits waits until so many sessions are at statements like this.
func (p *partitioned) waits(like string, want int) {
	p.t.Helper()
	got := -1
	for range 60000 {
		if err := p.db.QueryRow("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '" + like + "' AND ID <> CONNECTION_ID()").Scan(&got); err != nil {
			p.t.Fatal(err)
		}
		if got == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatalf("%d sessions are at %s, want %d", got, like, want)
}

// A table of several partitions is stopped for all tasks, and begins anew for
// all of them where the first one comes to its copy.
func TestATableOfSeveralPartitionsStopsAlone(t *testing.T) {
	for _, kills := range []bool{false, true} {
		t.Run(fmt.Sprint(kills), func(t *testing.T) {
			p := newPartitioned(t, 2, 2)
			def := "(id INT PRIMARY KEY, v VARCHAR(20), CHECK (v <> 'no'))"
			a, b := p.table("a", plainDef, ""), p.table("b", plainDef, def)
			step := func(partition int, rows, stops string) {
				t.Helper()
				p.mustRead(partition, 1)
				p.content("b", rows)
				p.stops(stops)
				if kills {
					p.open(0)
					p.open(1)
				}
			}
			p.put(0, insert(b, 1, "x"))
			p.put(0, insert(b, 2, "no"))
			p.put(1, insert(b, 3, "x"))
			p.put(1, insert(b, 4, "x"))
			p.put(1, insert(a, 1, "x"))
			p.barrier(told(b, connect.Reread))
			p.put(0, insert(b, 5, "y"))
			p.put(1, insert(b, 6, "y"))
			p.put(0, told(b, 0))
			p.put(1, insert(b, 7, "y"))
			p.open(0)
			p.open(1)
			step(0, "1x", "")
			step(1, "1x 3x", "")
			step(0, "1x 3x", "b stopped")
			step(1, "1x 3x", "b stopped")
			step(0, "", "b copying")
			step(0, "5y", "b copying")
			step(0, "5y", "")
			step(1, "5y", "")
			p.content("a", "1x")
			step(1, "5y", "")
			step(1, "5y 6y", "")
			step(1, "5y 6y 7y", "")
		})
	}
}

// A table that is stopped when a partition has begun its copy already does not
// begin anew when another one comes to that: rows of the copy were left out.
func TestATableStoppedWithinItsCopyStaysStopped(t *testing.T) {
	p := newPartitioned(t, 2, 1)
	b := p.table("b", plainDef, "(id INT PRIMARY KEY, v VARCHAR(20), CHECK (v <> 'no'))")
	p.barrier(told(b, connect.Reread))
	p.put(0, insert(b, 1, "x"))
	p.put(0, insert(b, 2, "no"))
	p.put(0, insert(b, 3, "x"))
	p.put(1, insert(b, 4, "x"))
	p.open(0)
	for range 4 {
		p.mustRead(0, 1)
	}
	p.mustRead(1, 2)
	p.stops("b stopped")
	p.content("b", "1x")
	p.barrier(told(b, connect.Reread))
	p.put(0, insert(b, 1, "y"))
	p.mustRead(1, 1)
	p.mustRead(0, 2)
	p.stops("b copying")
	p.content("b", "1y")
}

// An operator may send a partition back to before a barrier, and not beyond one
// that it has not come to.
func TestAPartitionGoesBackBeforeABarrier(t *testing.T) {
	p := newPartitioned(t, 2, 1)
	b := p.table("b", plainDef, "")
	p.put(0, insert(b, 1, "x"))
	p.barrier(truncated(b, 0))
	p.put(0, insert(b, 2, "y"))
	p.put(1, insert(b, 3, "y"))
	p.open(0)
	p.mustRead(0, 3)
	move := func(partition int32, to int64) error {
		p.open(0)
		return p.tasks[0].Move(t.Context(), &connect.Batch{State: []offsets.Entry{{Key: offsets.MarkKey("topic", partition), Pos: offsets.Mark{Offset: to}.Position()}}})
	}
	if err := move(1, 2); err == nil || !strings.Contains(err.Error(), "has not come to that place") {
		t.Fatal(err)
	}
	p.open(0)
	p.mustRead(1, 2)
	p.content("b", "2y 3y")
	if err := move(0, 0); err != nil {
		t.Fatal(err)
	}
	p.open(0)
	for _, want := range []string{"2y 3y", "2y 3y", "2y 3y"} { // 1x is from before the truncation
		p.mustRead(0, 1)
		p.content("b", want)
	}
}

// The log may have lost the barrier of a partition already when a sink begins to
// read it, and an operator may set an offset behind one: rows from after it are
// written, and those that another source left there before are not.
func TestAPartitionIsReadFromBehindABarrier(t *testing.T) {
	for _, tasks := range []int{1, 2} {
		t.Run(fmt.Sprint(tasks), func(t *testing.T) {
			p := newPartitioned(t, 2, tasks)
			b := p.table("b", plainDef, "")
			p.seq = 100
			p.put(1, insert(b, 9, "w"))
			p.seq = 0 // of another source
			p.put(0, insert(b, 1, "x"))
			p.barrier(truncated(b, 0))
			p.put(1, insert(b, 2, "y"))
			p.put(1, insert(b, 3, "y"))
			p.put(0, insert(b, 4, "y"))
			for i := range tasks {
				p.open(i)
			}
			p.mustRead(0, 2)
			p.mustRead(1, 1)
			p.content("b", "")
			p.at[1] = 2 // behind the barrier
			p.mustRead(1, 1)
			p.content("b", "2y")
			p.open(1 % tasks)
			p.mustRead(1, 1)
			p.mustRead(0, 1)
			p.content("b", "2y 3y 4y")
			if n := len(p.open(0).barriers.list); n != 0 {
				t.Errorf("%d barriers are not passed", n)
			}
		})
	}
}

// A truncation of a source that counts from the begin, behind those of another one,
// is not taken for one that was followed long ago.
func TestATruncationOfAnotherSource(t *testing.T) {
	p := newPartitioned(t, 2, 1)
	b := p.table("b", plainDef, "")
	p.seq = 100
	p.barrier(truncated(b, 0))
	p.seq = 0
	p.put(0, insert(b, 1, "x"))
	p.barrier(truncated(b, 0))
	p.open(0)
	p.mustRead(0, 2)
	p.mustRead(1, 1)
	p.content("b", "1x")
	p.mustRead(0, 1)
	p.content("b", "1x")
	p.stops("b stopped")
	var why string
	if err := p.db.QueryRow("SELECT reason FROM " + p.to + "._towline_offsets_stopped").Scan(&why); err != nil || !strings.Contains(why, "another source has written") {
		t.Errorf("it is stopped for %q, %v", why, err)
	}
}

// Partitions that a topic has had since never had its barriers, and do not stand
// for those that did.
func TestATopicGrowsBehindABarrier(t *testing.T) {
	p := newPartitioned(t, 2, 1)
	b := p.table("b", plainDef, "")
	p.put(1, insert(b, 1, "x"))
	p.put(0, insert(b, 2, "x"))
	p.barrier(truncated(b, 0))
	p.topic, p.at = append(p.topic, nil, nil), append(p.at, 0, 0)
	p.put(3, insert(b, 3, "y"))
	old := insert(b, 2, "x") // appended again by a source that was killed
	old.Seq, old.Time, old.Partition, old.Topic = 2, 2, 2, "topic"
	p.topic[2] = append(p.topic[2], old)
	again := p.topic[0][1]
	var batch connect.Batch
	again.Headers = nil
	again.SetBarrier(&batch, 4)
	again.Partition, again.Offset = 2, 1
	p.topic[2] = append(p.topic[2], again)
	p.put(2, insert(b, 4, "y"))
	p.open(0)
	p.mustRead(0, 2)
	p.mustRead(3, 1)
	p.content("b", "3y")
	p.mustRead(2, 1)
	p.content("b", "3y")
	p.mustRead(2, 2)
	p.content("b", "3y 4y")
	p.mustRead(1, 1) // from before the barrier
	p.content("b", "3y 4y")
	p.mustRead(1, 1)
	if n := len(p.open(0).barriers.list); n != 0 {
		t.Errorf("%d barriers are not passed", n)
	}
}

// A task that has not seen yet that a table was dropped does not make it again as
// it was: it changes a shape only while no table of the topic can be dropped, and
// what it knows of barriers is all there is.
func TestADroppedTableIsNotMadeAgainAsItWas(t *testing.T) {
	p := newPartitioned(t, 2, 2, "drop.mode", "drop")
	b := p.table("b", plainDef, plainDef)
	p.put(1, insert(b, 1, "x"))
	p.barrier(truncated(b, connect.Dropped))
	p.open(0)
	p.open(1)
	late := p.tasks[1].guard(&p.topic[1][0])
	conn, err := p.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	unlock, err := late(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.read(0, 1) }()
	p.waits("SELECT GET_LOCK%", 1)
	p.rows("b", 0)
	unlock()
	conn.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.rows("b", -1)
	if conn, err = p.db.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := late(t.Context(), conn); !errors.Is(err, errChanged) {
		t.Error(err)
	}
	p.mustRead(1, 2)
	p.rows("b", -1)
}

// Where the table cannot be emptied it is stopped, alone, and begins anew once it
// can be.
func TestATruncationThatFailsStopsTheTable(t *testing.T) {
	for _, partitions := range []int{1, 2} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			p := newPartitioned(t, partitions, 1, "schema.evolution", "none", "connection.user", "careful", "connection.password", "pw")
			mustExec(t, p.db, "DROP USER IF EXISTS careful")
			mustExec(t, p.db, "CREATE USER careful IDENTIFIED BY 'pw'")
			mustExec(t, p.db, "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER ON "+p.to+".* TO careful")
			a, b := p.table("a", plainDef, plainDef), p.table("b", plainDef, plainDef)
			put := func(r connect.Record) {
				if partitions > 1 {
					p.barrier(r)
				} else {
					p.put(0, r)
				}
			}
			last := partitions - 1
			p.put(0, insert(b, 1, "x"))
			put(truncated(b, 0))
			p.put(last, insert(b, 2, "x"))
			p.put(0, insert(a, 1, "x"))
			put(told(b, connect.Reread))
			p.put(last, insert(b, 3, "x"))
			p.put(0, insert(a, 2, "x"))
			p.open(0)
			p.drain(rand.New(rand.NewPCG(1, 1)))
			p.stops("b stopped")
			p.content("a", "1x 2x")
			p.content("b", "1x")
			mustExec(t, p.db, "GRANT DROP ON "+p.to+".* TO careful")
			put(told(b, connect.Reread))
			p.put(last, insert(b, 4, "x"))
			p.open(0)
			p.drain(rand.New(rand.NewPCG(1, 1)))
			p.content("b", "4x")
			p.stops("b copying")
		})
	}
}

// Records from before a barrier that come again, since one beside them has failed,
// are left out then: the barrier is passed and empties nothing again.
func TestWhatComesAgainBeforeABarrierIsLeftOut(t *testing.T) {
	p := newPartitioned(t, 2, 1)
	b := p.table("b", plainDef, "")
	p.put(0, insert(b, 7, "w"))
	p.put(0, insert(b, 1, "x"))
	p.put(0, insert(b, 3, strings.Repeat("long", 10)))
	p.barrier(truncated(b, 0))
	p.put(0, insert(b, 2, "y"))
	p.open(0).env.MayStop = nil
	p.mustRead(0, 1)
	var be *connect.BatchError
	if err := p.read(0, 4); !errors.As(err, &be) || len(be.Failed) != 1 {
		t.Fatal(err)
	}
	p.content("b", "2y")
	p.open(0)
	p.mustRead(1, 1) // all have passed it
	p.open(0)
	p.mustRead(0, 1)
	p.content("b", "2y")
	p.topic[0][2] = insert(b, 3, "z")
	p.topic[0][2].Topic, p.topic[0][2].Offset = "topic", 2
	p.drain(rand.New(rand.NewPCG(1, 1)))
	p.content("b", "2y")
}

// A row that is refused when a statement about another table has it written is
// its own table's fault.
func TestWhatComesBeforeATruncationIsNotItsFault(t *testing.T) {
	for _, partitions := range []int{1, 2} {
		p := newPartitioned(t, partitions, 1)
		a, b := p.table("a", plainDef, "(id INT PRIMARY KEY, v VARCHAR(20), CHECK (v <> 'no'))"), p.table("b", plainDef, "")
		p.put(0, insert(b, 1, "x"))
		p.put(0, insert(a, 1, "no"))
		if partitions == 1 {
			p.put(0, truncated(b, 0))
		} else {
			p.barrier(truncated(b, 0))
		}
		p.put(0, insert(b, 2, "x"))
		p.open(0)
		p.mustRead(0, 4)
		p.stops("a stopped")
		p.content("b", "2x")
	}
}

// Whatever changes and truncations there are, in whatever order partitions are
// read and whichever tasks are killed, and with records that fail beside others:
// the table has in the end what the source has.
func TestTruncationsInAnyOrder(t *testing.T) {
	seed := connecttest.Seed(t)
	again := 0
	for round := range 4 {
		dice := rand.New(rand.NewPCG(seed, uint64(round)))
		p := newPartitioned(t, 4, 1+round%3)
		b := p.table("b", plainDef, "")
		want := p.history(dice, b)
		for i := range p.tasks {
			p.open(i)
		}
		for range 40 {
			i := dice.IntN(len(p.topic))
			task := i % len(p.tasks)
			switch dice.IntN(6) {
			case 0:
				p.open(task)
			case 1: // rows are committed, and come again since others beside them failed
				batch, _ := p.next(i, 1+dice.IntN(6))
				batch.Records = append(batch.Records, insert(b, 1000, strings.Repeat("long", 10)))
				batch.Records[len(batch.Records)-1].Topic, batch.Records[len(batch.Records)-1].Partition = "topic", int32(i)
				batch.Records[len(batch.Records)-1].Offset = 1 << 40
				p.tasks[task].env.MayStop = nil
				var be *connect.BatchError
				if err := p.tasks[task].Write(t.Context(), batch); errors.As(err, &be) {
					again++
				}
				p.open(task)
			default:
				if p.read(i, 1+dice.IntN(8)) != nil {
					p.open(task)
				}
			}
		}
		p.drain(dice)
		p.content("b", want)
	}
	if again == 0 {
		t.Error("no rows came again")
	}
}

// history fills the topic and returns the rows that are there in the end.
func (p *partitioned) history(dice *rand.Rand, b *schema.Table) string {
	rows := map[int]string{}
	for range 120 {
		id, v := 1+dice.IntN(12), string(rune('a'+dice.IntN(26)))
		at := id % len(p.topic)
		switch old, there := rows[id]; {
		case dice.IntN(15) == 0:
			p.barrier(truncated(b, 0))
			clear(rows)
		case !there:
			p.put(at, insert(b, id, v))
			rows[id] = v
		case dice.IntN(3) == 0:
			p.put(at, remove(b, id, old))
			delete(rows, id)
		default:
			p.put(at, update(b, id, old, id, v))
			rows[id] = v
		}
	}
	var list []string
	for id := range 13 {
		if v, ok := rows[id]; ok {
			list = append(list, fmt.Sprintf("%d%s", id, v))
		}
	}
	return strings.Join(list, " ")
}

// A column that is renamed is that where the first partition comes to it, in a table
// without rows. What the others have from before it is left out: rows of the old
// shape, what was told of it, and that the table was copied anew with it.
func TestAColumnIsRenamedInSeveralPartitions(t *testing.T) {
	for _, evolution := range []string{"basic", "full"} {
		for first := range 2 {
			p := newPartitioned(t, 2, 2, "schema.evolution", evolution)
			was := p.table("b", plainDef, "")
			x := *was
			x.Columns = slices.Clone(was.Columns)
			x.Columns[1].Name = "w"
			now := mustTable(t, &x)
			p.put(0, insert(was, 1, "x"))
			p.put(1, insert(was, 2, "x"))
			p.barrier(connect.Record{Op: connect.OpSchema, Flags: connect.Reread, Table: was})
			p.put(1, insert(was, 3, "x"))
			renamed := truncated(was, 0)
			renamed.SetSchemaChange(new(connect.Batch), &connect.SchemaChange{Was: was, Now: now, From: []int{0, 1}})
			p.barrier(renamed)
			p.barrier(connect.Record{Op: connect.OpSchema, Flags: connect.Reread, Table: now})
			p.put(first, insert(now, 4, "y"))
			p.barrier(truncated(now, 0))
			p.put(0, insert(now, 1, "y"))
			p.put(1, insert(now, 2, "y"))
			p.open(0)
			p.open(1)
			for _, partition := range []int{first, 1 - first} {
				for p.at[partition] < len(p.topic[partition]) {
					p.mustRead(partition, 1)
					p.open(partition)
				}
			}
			var columns, rows string
			if err := p.db.QueryRow("SELECT GROUP_CONCAT(COLUMN_NAME ORDER BY ORDINAL_POSITION) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = 'b'", p.to).Scan(&columns); err != nil || columns != "id,w" {
				t.Fatalf("%s, partition %d first: the columns are %s, %v", evolution, first, columns, err)
			}
			if err := p.db.QueryRow("SELECT GROUP_CONCAT(id, w ORDER BY id) FROM " + p.to + ".b").Scan(&rows); err != nil || rows != "1y,2y" {
				t.Fatalf("%s, partition %d first: the rows are %s, %v", evolution, first, rows, err)
			}
		}
	}
}
