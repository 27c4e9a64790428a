package worker

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

func loads(owners []int32, tasks int) []int32 {
	load := make([]int32, tasks)
	for _, o := range owners {
		load[o]++
	}
	return load
}

// Within a topic the tasks differ by one partition at the most, and another task
// takes no more than its part, from the others alone.
func TestShareOutIsEvenAndMovesLittle(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		topic, n, tasks := fmt.Sprint("t", r.Uint32()), 1+r.Int32N(70), 1+r.IntN(40)
		owners := shareOut(topic, n, tasks)
		fair := n / int32(tasks)
		for task, l := range loads(owners, tasks) {
			if l < fair || l > fair+1 {
				t.Fatalf("%s: of %d partitions task %d of %d has %d", topic, n, task, tasks, l)
			}
		}
		more := shareOut(topic, n, tasks+1)
		moved := int32(0)
		for p := range owners {
			if owners[p] == more[p] {
				continue
			}
			if moved++; int(more[p]) != tasks {
				t.Fatalf("%s: with %d tasks instead of %d partition %d of %d moves from task %d to %d", topic, tasks+1, tasks, p, n, owners[p], more[p])
			}
		}
		if least := n / int32(tasks+1); moved < least || moved > least+1 {
			t.Fatalf("%s: with %d tasks instead of %d, %d of %d partitions move; the least is %d", topic, tasks+1, tasks, moved, n, least)
		}
	}
}

// Over many topics all tasks have alike, whatever the number of partitions.
func TestShareOutIsEvenOverTopics(t *testing.T) {
	const topics = 4000
	for _, n := range []int32{1, 2, 3, 5, 8, 13} {
		for _, tasks := range []int{2, 3, 4, 7, 16} {
			load := make([]int32, tasks)
			for i := range topics {
				for _, o := range shareOut(fmt.Sprintf("shop.table_%d", i), n, tasks) {
					load[o]++
				}
			}
			mean := float64(topics*n) / float64(tasks)
			for task, l := range load {
				if d := float64(l)/mean - 1; d < -0.2 || d > 0.2 {
					t.Errorf("%d partitions, %d tasks: task %d has %d, and the mean is %.0f", n, tasks, task, l, mean)
				}
			}
		}
	}
}

// What a partition's task is decides what is read from where: another build
// must not say otherwise while tasks of both run.
func TestShareOutStaysAsItIs(t *testing.T) {
	for _, c := range []struct {
		topic string
		tasks int
		want  string
	}{
		{"shop.orders", 3, "[0 0 2 2 1 1 1 2]"}, {"shop.orders", 4, "[0 0 2 2 1 1 3 3]"}, {"shop.items", 3, "[0 0 0 2 1 1 1 2]"},
	} {
		if got := fmt.Sprint(shareOut(c.topic, 8, c.tasks)); got != c.want {
			t.Errorf("%s over %d tasks: %s, want %s", c.topic, c.tasks, got, c.want)
		}
	}
}

func TestListedTopicsAreDealtInTurn(t *testing.T) {
	s := &shares{tasks: 3, listed: []string{"a", "b", "c", "d"}, owners: map[string][]int32{}}
	for i, topic := range s.listed {
		if got := s.owner(topic, 1, 0); got != i%3 {
			t.Errorf("topic %s is task %d's", topic, got)
		}
	}
	if got := fmt.Sprint(loads(s.shareOut("a", 7), 3)); got != "[2 2 3]" && got != "[2 3 2]" && got != "[3 2 2]" {
		t.Errorf("7 partitions of a listed topic: %s", got)
	}
}

func TestOneTaskForWholeTransactions(t *testing.T) {
	g := newRig(t, 1, true, true)
	w := g.worker(map[string]string{"transaction.mode": "source", "tasks.max": "4"})
	if n := len(w.Tasks("dst")); n != 1 {
		t.Fatalf("%d tasks share one partition", n)
	}
}

// A change of a table's shape goes to one of several partitions, and is marked as
// such; with a column renamed it stops the source.
func TestShapesInSeveralPartitions(t *testing.T) {
	tab := tables(t)[0]
	other := *tab
	other.Columns = slices.Clone(tab.Columns)
	other.Columns[1].Name = "number"
	renamed, err := schema.New(&other)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now   *schema.Table
		from  []int
		fault string
	}{
		{tab, []int{0, 1}, ""}, {renamed, []int{0, -1}, ""},
		{renamed, []int{0, 1}, "column seq renamed to number, which topic one with its 8 partitions cannot carry"},
	} {
		var b connect.Batch
		r := b.Add()
		r.Op, r.Topic, r.Table = connect.OpSchema, "one", c.now
		r.SetSchemaChange(&b, &connect.SchemaChange{Was: tab, Now: c.now, From: c.from})
		err := scatter(&b, r, 8)
		if got := fmt.Sprint(err); c.fault == "" && err != nil || !strings.Contains(got, c.fault) || err != nil && !connect.IsPermanent(err) {
			t.Errorf("%v: %v, want %q", c.from, err, c.fault)
		}
		if !r.Scattered() {
			t.Errorf("%v: the change is not marked", c.from)
		}
	}
}

// Each change arrives once and in order while tasks come and go between runs,
// and fail in them.
func TestTasksShareASink(t *testing.T) {
	for _, lanes := range []string{"1", "3"} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("lanes=%s/seed=%d", lanes, seed), func(t *testing.T) {
				t.Parallel()
				g := newRig(t, seed, true, false)
				g.partitions = 8
				r := rand.New(rand.NewPCG(seed, 3))
				for range 4 {
					g.run(map[string]string{"lanes": lanes, "tasks.max": strconv.Itoa(1 + r.IntN(5))}, 10*time.Millisecond)
				}
				g.run(map[string]string{"lanes": lanes, "tasks.max": "3"}, 0)
				g.check(true)
			})
		}
	}
}

// The same where the worker keeps the marks, and the target none.
func TestTasksShareASinkWithoutState(t *testing.T) {
	for seed := range uint64(2) {
		g := newRig(t, seed, false, false)
		g.partitions = 8
		for tasks := range 5 {
			g.run(map[string]string{"lanes": "2", "tasks.max": strconv.Itoa(1 + (tasks*3)%5)}, 15*time.Millisecond)
		}
		g.faults.left = 0
		g.run(map[string]string{"lanes": "2", "tasks.max": "2"}, 0)
		g.check(false)
		n := len(g.ledger())
		g.run(map[string]string{"lanes": "2", "tasks.max": "5"}, 0)
		if again := len(g.ledger()) - n; again > 0 {
			t.Fatalf("%d records came again to other tasks, though all had been done", again)
		}
	}
}

// Another number of tasks while all is running: those of the old one end before
// those of the new one begin. Offsets are the connector's, and its tasks are
// restarted, paused and stopped one by one and together.
func TestTasksChangeWhileRunning(t *testing.T) {
	for seed := range uint64(3) {
		g := newRig(t, seed, true, false)
		g.partitions = 8
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		conf := func(tasks int) *config.Connector {
			c, err := config.Build(g.reg, &config.File{Name: "dst", Config: map[string]string{"connector.class": "target", "topics.regex": ".*",
				"errors.retry.delay.max.ms": "5", "lanes": "2", "tasks.max": strconv.Itoa(tasks)}})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		w := g.worker(map[string]string{"lanes": "2", "tasks.max": "1"})
		done := make(chan error, 1)
		go func() { done <- w.Stay(ctx) }()
		r := rand.New(rand.NewPCG(seed, 4))
		for _, tasks := range []int{4, 2, 3, 5, 1, 8} {
			sleep(ctx, time.Duration(r.IntN(10))*time.Millisecond)
			if err := w.Change(conf(tasks), TargetRunning); err != nil {
				t.Fatal(err)
			}
			one := r.IntN(tasks)
			if ids, err := w.Restart(conf(tasks), TargetRunning, func(s TaskStatus) bool { return s.ID == one }); err != nil || len(ids) != 1 || ids[0] != one {
				t.Fatalf("restart of task %d of %d: %v, %v", one, tasks, ids, err)
			}
			if n := len(w.Tasks("dst")); n != tasks {
				t.Fatalf("%d tasks, want %d", n, tasks)
			}
			w.Aim("dst", TargetPaused)
			if err := w.Settle(ctx, "dst"); err != nil {
				t.Fatal(err)
			}
			w.Aim("dst", TargetRunning)
		}
		if err := w.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		g.faults.end()
		checkMarks(t, ctx, w, g)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		g.check(true)
	}
}

// checkMarks wants the offsets of a sink at the end of each partition, sets them
// back and forth, and has them read by as many tasks.
func checkMarks(t *testing.T, ctx context.Context, w *Worker, g *rig) {
	t.Helper()
	all, err := g.log.Topics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := map[partition]int64{}
	for topic, n := range all {
		for i := range n {
			_, end, err := g.log.Bounds(ctx, topic, i)
			if err != nil {
				t.Fatal(err)
			}
			want[partition{topic, i}] = end
		}
	}
	var marks []Mark
	for { // a task that has failed after all had arrived begins a bit before the end once more
		if marks, err = w.Marks(ctx, "dst"); err != nil {
			t.Fatal(err)
		}
		got := map[partition]int64{}
		for _, m := range marks {
			got[partition{m.Topic, m.Partition}] = m.Offset
		}
		if maps.Equal(got, want) {
			break
		}
		if !sleep(ctx, time.Millisecond) {
			t.Fatalf("the marks are %v, want %v", got, want)
		}
	}
	w.Aim("dst", TargetStopped)
	if err := w.Settle(ctx, "dst"); err != nil {
		t.Fatal(err)
	}
	for _, back := range []int64{1, 0} {
		for i := range marks {
			m := &marks[i]
			m.Mark = offsets.Mark{Offset: max(0, want[partition{m.Topic, m.Partition}]-back)}
		}
		if err := w.SetMarks(ctx, "dst", marks); err != nil {
			t.Fatal(err)
		}
		now, err := w.Marks(ctx, "dst")
		if err != nil || fmt.Sprint(now) != fmt.Sprint(marks) {
			t.Fatalf("the marks are %v, %v after they were set to %v", now, err, marks)
		}
	}
	w.Aim("dst", TargetRunning)
}
