package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// splitLog is a log that is not atomic: an append that fails leaves any part of
// each partition's messages, from the first on, and no entries unless all of
// them are there.
type splitLog struct {
	*memlog.Log
	faults *faults
	r      *rand.Rand
	left   int // messages of appends that failed
}

func (l *splitLog) Atomic() bool { return false }

func (l *splitLog) Append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	byPart := map[partition][]int{}
	var order []partition
	for i := range msgs {
		p := partition{msgs[i].Topic, msgs[i].Partition}
		if byPart[p] == nil {
			order = append(order, p)
		}
		byPart[p] = append(byPart[p], i)
	}
	fail := l.faults.hit()
	wrote := 0
	for _, p := range order {
		n := len(byPart[p])
		if fail {
			n = l.r.IntN(n + 1)
		}
		for _, i := range byPart[p][:n] {
			if err := l.Log.Append(ctx, msgs[i:i+1], nil); err != nil {
				return err
			}
			wrote++
		}
	}
	if fail {
		l.left += wrote
		return errInjected
	}
	if l.faults.hit() {
		l.left += wrote
		return errInjected
	}
	return l.Log.Store().Save(ctx, entries...)
}

// TestExactlyOnceWithoutAtomicAppends lets appends fail half-way, and after they
// are done but before anything is saved.
func TestExactlyOnceWithoutAtomicAppends(t *testing.T) {
	left := 0
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newRig(t, seed, true, seed%2 == 1)
			g.faults.rate = 0.08
			log := &splitLog{Log: memlog.New(), faults: g.faults, r: rand.New(rand.NewPCG(seed, 3))}
			g.log = log
			g.partitions = 1 + int(seed%4)
			g.src.age = time.Duration(seed/4%2) * 2 * gatherAge
			for range 3 {
				g.run(map[string]string{"lanes": "2"}, 15*time.Millisecond)
			}
			g.run(map[string]string{"lanes": "2"}, 0)
			g.check(true)
			left += log.left
		})
	}
	if left == 0 {
		t.Error("no append failed half-way")
	}
}

// TestLandedTellsWhatIsThere goes through what records there are.
func TestLandedTellsWhatIsThere(t *testing.T) {
	tab := tables(t)[0]
	l := &landed{seqs: map[partition]uint64{{"t", 0}: 5}}
	for _, c := range []struct {
		op   connect.Op
		part int32
		seq  uint64
		want bool
	}{
		{connect.OpInsert, 0, 5, true}, {connect.OpInsert, 0, 6, false}, {connect.OpInsert, 1, 5, false}, {connect.OpDelete, 0, 4, true},
		{connect.OpRead, 0, 4, false}, {connect.OpSchema, 0, 4, false},
		{connect.OpTruncate, 0, 4, true}, {connect.OpTruncate, 0, 5, false},
	} {
		r := &connect.Record{Op: c.op, Topic: "t", Partition: c.part, Seq: c.seq, Table: tab}
		if got := l.has(r); got != c.want {
			t.Errorf("%c of partition %d with Seq %d: %v", c.op, c.part, c.seq, got)
		}
	}
	var b connect.Batch
	for kind, want := range map[connect.Kind]bool{connect.KindTransaction: true, connect.KindHeartbeat: false} {
		r := b.Add()
		r.Topic, r.Seq = "t", 4
		r.SetMessage(&b, kind, nil, nil)
		if got := l.has(r); got != want {
			t.Errorf("%s: %v", kind, got)
		}
	}
}

// TestLandedIsOfOneTask: what other tasks, or nobody, wrote to a partition says
// nothing.
func TestLandedIsOfOneTask(t *testing.T) {
	ctx := t.Context()
	log := &splitLog{Log: memlog.New(), faults: &faults{}}
	if err := log.CreateTopic(ctx, "t", 1); err != nil {
		t.Fatal(err)
	}
	write := func(source string, seq uint64) {
		t.Helper()
		if err := log.Append(ctx, []connect.Message{{Topic: "t", Value: []byte("v"), Source: source, Seq: seq}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	// opened returns what a task knows that is opened now.
	opened := func() uint64 {
		t.Helper()
		task := &sourceTask{id: taskID{connector: "a"}, log: log}
		if _, _, err := task.load(ctx); err != nil {
			t.Fatal(err)
		}
		if err := task.readBack(ctx, "t", 1); err != nil {
			t.Fatal(err)
		}
		return task.landed.seqs[partition{"t", 0}]
	}
	mine := offsets.SourceKey("a", 0)
	write(mine, 9) // before the task's first mark: of another life
	if n := opened(); n != 0 {
		t.Errorf("a new task finds %d", n)
	}
	write(offsets.SourceKey("b", 0), 7)
	write("", 8)
	if n := opened(); n != 0 {
		t.Errorf("the task finds %d of others", n)
	}
	write(mine, 3)
	write(mine, 0)
	write(offsets.SourceKey("b", 0), 10)
	if n := opened(); n != 3 {
		t.Errorf("the task finds %d, want 3", n)
	}
}

// TestDoneSeq: after the first half of a moved row its change is not done where the
// second one has the same Seq. Where it has its own, what is read again is known.
func TestDoneSeq(t *testing.T) {
	tab := &schema.Table{}
	for _, c := range []struct {
		r    connect.Record
		want uint64
	}{
		{connect.Record{Op: connect.OpDelete, Flags: connect.KeyMoved | connect.Half, Seq: 7, Table: tab}, 6},
		{connect.Record{Op: connect.OpDelete, Flags: connect.KeyMoved, Seq: 7, Table: tab}, 7},
		{connect.Record{Op: connect.OpInsert, Flags: connect.KeyMoved, Seq: 7, Table: tab}, 7},
		{connect.Record{Op: connect.OpDelete, Seq: 7, Table: tab}, 7},
		{connect.Record{Op: connect.OpDelete, Flags: connect.KeyMoved | connect.Half, Table: tab}, 0},
	} {
		if got := c.r.DoneSeq(); got != c.want {
			t.Errorf("%c with flags %d: %d, want %d", c.r.Op, c.r.Flags, got, c.want)
		}
	}
}
