package worker

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
)

func TestTiming(t *testing.T) {
	var tm timing
	for range 98 {
		tm.add(20 * time.Microsecond)
	}
	tm.add(-time.Second) // a clock that went back
	tm.add(time.Hour)
	if n, p50, p99 := tm.count.Load(), tm.quantile(0.5), tm.quantile(0.99); n != 100 || p50 != 1<<15 || p99 != 1<<(firstBucket+numBuckets-1) {
		t.Errorf("%d times, p50 %v, p99 %v", n, p50, p99)
	}
	if got, want := tm.nanos.Load(), int64(98*20*time.Microsecond+time.Hour); got != want {
		t.Errorf("%d ns in sum, want %d", got, want)
	}
}

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		shares map[stage]float64
		source bool
		want   string
	}{
		{nil, false, ""},
		{map[stage]float64{stageRead: 0.99, stageWrite: 0.3, stageReadWait: 0.01}, false, "the log is the limit, or has nothing new: 99 % of the time in read"},
		{map[stage]float64{stageRead: 0.99, stageEncode: 0.3}, true, "the source is the limit, or has nothing new: 99 % of the time in read"},
		{map[stage]float64{stageRead: 0.9, stageWrite: 0.83}, false, "the target is the limit: 83 % of the time in write"},
		{map[stage]float64{stageRead: 0.2, stageWrite: 0.4, stageDecode: 0.1}, false, "the target is the limit: 40 % of the time in write"},
		{map[stage]float64{stageRead: 0.9, stageWrite: 0.83}, true, "the log is the limit: 83 % of the time in write"},
		{map[stage]float64{stageReadWait: 0.9, stageTransform: 0.7, stageHandOff: 0.9, stageWrite: 0.6}, true, "transforms and routing are the limit: 70 % of the time in transform"},
		{map[stage]float64{stageDecode: 0.7, stageSave: 0.6}, false, "the converter is the limit: 70 % of the time in decode"},
		{map[stage]float64{stageSave: 0.6}, false, "the log is the limit: 60 % of the time in save"},
	} {
		var shares [numStages]float64
		for s, v := range c.shares {
			shares[s] = v
		}
		if got := limitOf(&shares, c.source); got != c.want {
			t.Errorf("%v: %q, want %q", c.shares, got, c.want)
		}
	}
}

// TestSharesAddUp checks that all of a goroutine's time is in its stages.
func TestSharesAddUp(t *testing.T) {
	s := newStages()
	k := s.track(stageReadWait)
	k.enter(stageRead)
	k.enter(stageReadWait)
	k.enter(stageRead)
	list, _ := s.status(time.Now().Add(time.Hour), true)
	sum := 0.0
	for _, st := range list {
		sum += st.Share
	}
	if len(list) != 2 || sum < 0.999 || sum > 1.001 || list[1].Name != "read" || list[1].Share < 0.99 || list[1].Count != 1 {
		t.Errorf("%+v", list)
	}
	k.end()
	before := s.count(time.Now())
	if after := s.count(time.Now().Add(time.Hour)); after != before {
		t.Errorf("a goroutine that has ended still counts: %v, %v", before, after)
	}
}

// TestBusiestLane has one of two lanes write: it is the limit, whatever the
// other does.
func TestBusiestLane(t *testing.T) {
	s := newStages()
	busy, idle := s.track(stageWriteWait), s.track(stageWriteWait)
	defer busy.end()
	defer idle.end()
	busy.enter(stageWrite)
	for range 3 { // through windows
		s.turn(time.Now())
		if _, limit := s.status(time.Now().Add(time.Hour), false); limit != "the target is the limit: 100 % of the time in write" {
			t.Errorf("%q", limit)
		}
	}
	list, _ := s.status(time.Now().Add(time.Hour), false)
	for _, st := range list {
		if st.Name == "write" && (st.Share < 0.49 || st.Share > 0.51) {
			t.Errorf("the share of both lanes is %v", st.Share)
		}
	}
}

// stuckSink is in Write until it is let go.
type stuckSink struct {
	targetSink
	release <-chan struct{}
}

func (s *stuckSink) Write(ctx context.Context, b *connect.Batch) error {
	select {
	case <-s.release:
	case <-ctx.Done():
	}
	return s.targetSink.Write(ctx, b)
}

// TestStatusNamesTheLimit has a target that takes long, and looks at status
// and metrics while it does.
func TestStatusNamesTheLimit(t *testing.T) {
	g := newRig(t, 1, false, true)
	g.faults.left = 0
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	g.reg.Connectors[1].Sink = func(_ connect.Config, env connect.Env) (connect.Sink, error) {
		return &stuckSink{targetSink: targetSink{t: g.target, lane: env.Lane, faults: g.faults}, release: release}, nil
	}
	reg := prometheus.NewRegistry()
	w := New(slog.New(slog.DiscardHandler), NewMetrics(reg))
	w.Use(g.log)
	for _, f := range []*config.File{
		{Name: "src", Config: map[string]string{"connector.class": "script"}},
		{Name: "dst", Config: map[string]string{"connector.class": "target", "topics.regex": ".*", "lanes": "2"}},
	} {
		c, err := config.Build(g.reg, f)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(c, TargetRunning); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	for {
		c := w.Status(ctx).Connectors[1]
		if strings.HasPrefix(c.Limit, "the target is the limit: ") && strings.HasSuffix(c.Limit, " % of the time in write") {
			break
		}
		if !sleep(ctx, 5*time.Millisecond) {
			t.Fatalf("%q of %+v", c.Limit, c.Stages)
		}
	}
	free()
	if err := w.Wait(ctx); err != nil {
		t.Error(err)
	}
	checkStageMetrics(t, reg)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	g.check(true)
}

// checkStageMetrics looks for the stages of both tasks.
func checkStageMetrics(t *testing.T, reg *prometheus.Registry) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				if l.GetName() == "connector" || l.GetName() == "stage" {
					key += " " + l.GetValue()
				}
			}
			seen[key] = m.GetCounter().GetValue() > 0 || m.GetHistogram().GetSampleCount() > 0
		}
	}
	for _, key := range []string{
		"towline_stage_seconds_total src read", "towline_stage_seconds_total src encode", "towline_stage_batches_total src write",
		"towline_stage_seconds_total dst read", "towline_stage_seconds_total dst decode", "towline_stage_seconds_total dst write_wait",
		"towline_stage_batches_total dst write", "towline_stage_duration_seconds dst write", "towline_stage_duration_seconds dst queue",
	} {
		if !seen[key] {
			t.Errorf("%s is not there or 0", key)
		}
	}
}

// TestStagesDoNotAllocate: a stage that is entered costs a look at the clock.
func TestStagesDoNotAllocate(t *testing.T) {
	s := newStages()
	k := s.track(stageWriteWait)
	defer k.end()
	if n := testing.AllocsPerRun(100, func() { s.queued(k.enter(stageWrite), s.begun); k.enter(stageWriteWait) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkStages(b *testing.B) {
	s := newStages()
	k := s.track(stageWriteWait)
	defer k.end()
	for b.Loop() {
		k.enter(stageWrite)
		k.enter(stageWriteWait)
	}
}
