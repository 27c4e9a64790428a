package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/connect/transform"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A change of the script that the source plays.
type change struct {
	seq   uint64
	table int
	key   int64
	txEnd bool
}

// script is all that a source will ever tell: transactions of random sizes.
func script(r *rand.Rand, transactions int) []change {
	var all []change
	for range transactions {
		n := 1 + r.IntN(4)
		if r.IntN(10) == 0 {
			n = 50 + r.IntN(200) // larger than a batch
		}
		for i := range n {
			all = append(all, change{uint64(len(all) + 1), r.IntN(3), 1000 * int64(r.IntN(20)), i == n-1})
		}
	}
	return all
}

func tables(t testing.TB) []*schema.Table {
	var list []*schema.Table
	for i := range 3 {
		tab, err := schema.New(&schema.Table{Database: "d", Name: fmt.Sprintf("t%d", i), Key: []int{0}, Primary: true,
			Columns: []schema.Column{{Name: "id", Type: schema.TypeBigInt}, {Name: "seq", Type: schema.TypeBigInt, Unsigned: true}}})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, tab)
	}
	return list
}

// faults fails every so often, until it is told to stop.
type faults struct {
	mu   sync.Mutex
	r    *rand.Rand
	rate float64
	left int
}

var errInjected = errors.New("injected fault")

func (f *faults) hit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left > 0 && f.r.Float64() < f.rate {
		f.left--
		return true
	}
	return false
}

func (f *faults) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = 0
}

type scriptSource struct {
	script []change
	tables []*schema.Table
	single bool            // all tables in one topic
	shapes []*schema.Table // other shapes of the tables, which take turns with them; nil: none
	age    time.Duration   // of the changes
	faults *faults
	r      *rand.Rand
	at     int
	closed chan struct{}
	t      testing.TB
	last   uint64 // highest position committed
}

func (s *scriptSource) Open(_ context.Context, from offsets.Position, _ []offsets.Entry) error {
	s.at = 0
	if from != nil {
		s.at = int(binary.BigEndian.Uint64(from))
	}
	if s.faults.hit() {
		return errInjected
	}
	return nil
}

func (s *scriptSource) Read(ctx context.Context, b *connect.Batch) error {
	if s.faults.hit() {
		return fmt.Errorf("the connection broke: %w", io.EOF)
	}
	if s.at == len(s.script) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	n := 1 + s.r.IntN(30)
	for n > 0 && s.at < len(s.script) {
		c := s.script[s.at]
		s.at++
		n--
		r := b.Add()
		r.Op, r.Seq, r.Table, r.Topic, r.Time = connect.OpInsert, c.seq, s.tables[c.table], "one", time.Now().Add(-s.age).UnixMicro()
		if s.shapes != nil && c.seq/25%2 == 1 {
			r.Table = s.shapes[c.table]
		}
		if !s.single {
			r.Topic = s.tables[c.table].Name
		}
		r.After = b.NewRow(2)
		r.After[0], r.After[1] = schema.MakeInt(c.key), schema.MakeUint(c.seq)
		if c.txEnd {
			r.Flags |= connect.TxEnd
		}
	}
	if s.at == 0 || s.script[s.at-1].txEnd {
		b.Pos = binary.BigEndian.AppendUint64(nil, uint64(s.at))
	}
	return nil
}

func (s *scriptSource) Commit(_ context.Context, pos offsets.Position) error {
	p := binary.BigEndian.Uint64(pos)
	if p < s.last {
		s.t.Errorf("commit went back from %d to %d", s.last, p)
	}
	s.last = p
	return nil
}

func (s *scriptSource) Head(context.Context) (offsets.Position, error) {
	return binary.BigEndian.AppendUint64(nil, uint64(len(s.script))), nil
}
func (s *scriptSource) Close() error { return nil }

// target is what the sinks of one task write to; it survives them.
type target struct {
	mu     sync.Mutex
	ledger []connect.Record // rows cloned
	marks  map[int]map[string]offsets.Position
	cuts   []int // lengths of the ledger at which it was visible
}

type targetSink struct {
	t      *target
	lane   int
	keeps  bool
	faults *faults
	slow   bool             // now and then
	open   []connect.Record // written without State yet
}

func (s *targetSink) Open(context.Context) ([]offsets.Entry, error) {
	s.open = nil
	if !s.keeps {
		return nil, nil
	}
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	entries := []offsets.Entry{}
	for k, p := range s.t.marks[s.lane] {
		entries = append(entries, offsets.Entry{Key: k, Pos: p})
	}
	return entries, nil
}

func (s *targetSink) Write(_ context.Context, b *connect.Batch) error {
	if s.faults.hit() {
		return errInjected
	}
	if s.slow && rand.IntN(3) == 0 {
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
	}
	for _, r := range b.Records {
		r.After = r.After.Clone()
		s.open = append(s.open, r)
	}
	if s.keeps && len(b.State) == 0 && !s.slow {
		return nil
	}
	s.t.mu.Lock()
	s.t.ledger = append(s.t.ledger, s.open...)
	s.t.cuts = append(s.t.cuts, len(s.t.ledger))
	if s.t.marks[s.lane] == nil {
		s.t.marks[s.lane] = map[string]offsets.Position{}
	}
	for _, e := range b.State {
		s.t.marks[s.lane][e.Key] = append(offsets.Position(nil), e.Pos...)
	}
	s.t.mu.Unlock()
	s.open = s.open[:0]
	if s.faults.hit() {
		return errInjected // done, but the answer is lost
	}
	return nil
}
func (s *targetSink) Close() error { return nil }

// faultyLog fails appends, before or after they are done.
type faultyLog struct {
	connect.Log
	faults *faults
}

func (l *faultyLog) Append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	if l.faults.hit() {
		return errInjected
	}
	if err := l.Log.Append(ctx, msgs, entries); err != nil {
		return err
	}
	if l.faults.hit() {
		return errInjected
	}
	return nil
}

// rig is a source, a log and a sink under test.
type rig struct {
	t      *testing.T
	script []change
	target *target
	log    connect.Log
	faults *faults
	src    *scriptSource
	reg    *config.Registry
	// partitions of topics; 0: one
	partitions int
}

func newRig(t *testing.T, seed uint64, keeps, single bool) *rig {
	r := rand.New(rand.NewPCG(seed, 1))
	g := &rig{t: t, script: script(r, 300), target: &target{marks: map[int]map[string]offsets.Position{}},
		faults: &faults{r: rand.New(rand.NewPCG(seed, 2)), rate: 0.03, left: 25}}
	g.log = &faultyLog{memlog.New(), g.faults}
	g.src = &scriptSource{script: g.script, tables: tables(t), single: single, faults: g.faults, r: r, t: t}
	g.reg = &config.Registry{
		Connectors: []connect.Plugin{
			{Name: "script", Source: func(connect.Config, connect.Env) (connect.Source, error) { g.src.last = 0; return g.src, nil },
				Covers: func(pos, head offsets.Position) bool {
					return binary.BigEndian.Uint64(pos) >= binary.BigEndian.Uint64(head)
				}},
			{Name: "target", Sink: func(_ connect.Config, env connect.Env) (connect.Sink, error) {
				return &targetSink{t: g.target, lane: env.Lane, keeps: keeps, faults: g.faults, slow: g.src.shapes != nil}, nil
			}},
		},
		Converters: []connect.Plugin{frame.Plugin()},
		Transforms: transform.Plugins(),
	}
	return g
}

func (g *rig) worker(sink map[string]string) *Worker {
	w := New(slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()))
	w.Use(g.log)
	sink["connector.class"], sink["topics.regex"] = "target", ".*"
	sink["errors.retry.delay.max.ms"] = "5"
	for _, f := range []*config.File{
		{Name: "src", Config: map[string]string{"connector.class": "script", "errors.retry.delay.max.ms": "5", "topic.creation.default.partitions": strconv.Itoa(max(1, g.partitions))}},
		{Name: "dst", Config: sink},
	} {
		c, err := config.Build(g.reg, f)
		if err != nil {
			g.t.Fatal(err)
		}
		if err := w.Add(c, TargetRunning); err != nil {
			g.t.Fatal(err)
		}
	}
	return w
}

// run runs a worker until all has arrived, or for a moment only.
func (g *rig) run(sink map[string]string, forSome time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w := g.worker(sink)
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	if forSome > 0 {
		sleep(ctx, forSome)
	} else if err := w.Wait(ctx); err != nil {
		g.t.Errorf("wait: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		g.t.Errorf("run: %v", err)
	}
}

// check compares the ledger with the script: each change once, in order per
// key.
func (g *rig) check(exact bool) {
	g.t.Helper()
	seen := map[uint64]int{}
	last := map[[2]int64]uint64{}
	for _, r := range g.target.ledger {
		seen[r.Seq]++
		key := [2]int64{int64(r.Table.Name[1] - '0'), r.After[0].Int()}
		if r.After[1].Uint() != r.Seq {
			g.t.Fatalf("change %d carries the row of %d", r.Seq, r.After[1].Uint())
		}
		if exact && r.Seq <= last[key] {
			g.t.Fatalf("change %d of key %v came after %d", r.Seq, key, last[key])
		}
		last[key] = r.Seq
	}
	for _, c := range g.script {
		n := seen[c.seq]
		if n == 0 || exact && n != 1 {
			g.t.Fatalf("change %d arrived %d times", c.seq, n)
		}
		if last[[2]int64{int64(c.table), c.key}] < c.seq {
			g.t.Fatalf("the last change of table %d key %d is %d, want %d or later", c.table, c.key, last[[2]int64{int64(c.table), c.key}], c.seq)
		}
	}
	if exact && len(g.target.ledger) != len(g.script) {
		g.t.Fatalf("%d changes arrived, want %d", len(g.target.ledger), len(g.script))
	}
}

func TestExactlyOnceUnderFaults(t *testing.T) {
	for _, sink := range []map[string]string{{"lanes": "1"}, {"lanes": "4"},
		{"lanes": "4", "transforms": "one", "transforms.one.type": "RegexRouter", "transforms.one.regex": ".*", "transforms.one.replacement": "all"}} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprintf("lanes=%s,%s/seed=%d", sink["lanes"], sink["transforms"], seed), func(t *testing.T) {
				g := newRig(t, seed, true, false)
				g.src.age = time.Duration(seed%2) * 2 * gatherAge
				for range 3 {
					g.run(maps.Clone(sink), 15*time.Millisecond)
				}
				g.run(maps.Clone(sink), 0)
				g.check(true)
			})
		}
	}
}

// A table whose rows are split over lanes by key at one time, and stay
// together at another, since more or less is known of it.
func TestOrderHoldsWhenTheSplitChanges(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newRig(t, seed, true, false)
			g.faults.left = 0
			for _, tab := range tables(t) {
				other := *tab
				other.UniqueUnknown = true
				s, err := schema.New(&other)
				if err != nil {
					t.Fatal(err)
				}
				g.src.shapes = append(g.src.shapes, s)
			}
			g.run(map[string]string{"lanes": "4"}, 0)
			g.check(true)
		})
	}
}

func TestAtLeastOnceWithoutState(t *testing.T) {
	for seed := range uint64(4) {
		g := newRig(t, seed, false, false)
		g.run(map[string]string{"lanes": "3"}, 30*time.Millisecond)
		g.run(map[string]string{"lanes": "3"}, 0)
		g.check(false)
	}
}

func TestWholeTransactions(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newRig(t, seed, true, true)
			for range 3 {
				g.run(map[string]string{"transaction.mode": "source"}, 15*time.Millisecond)
			}
			g.run(map[string]string{"transaction.mode": "source"}, 0)
			g.check(true)
			for i, r := range g.target.ledger {
				if r.Seq != uint64(i+1) {
					t.Fatalf("change %d stands at place %d", r.Seq, i+1)
				}
			}
			for _, n := range g.target.cuts {
				if n > 0 && !g.script[n-1].txEnd {
					t.Fatalf("the target showed %d changes, which is inside a transaction", n)
				}
			}
		})
	}
}

func TestWholeTransactionsNeedOnePartition(t *testing.T) {
	g := newRig(t, 1, true, false)
	g.faults.left = 0
	w := g.worker(map[string]string{"transaction.mode": "source"})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	err := w.Wait(ctx)
	cancel()
	<-done
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("three topics pass with transaction.mode=source: %v", err)
	}
}

func TestDeadLetters(t *testing.T) {
	g := newRig(t, 1, true, false)
	g.faults.left = 0
	refuse := errors.New("refused")
	sink := g.reg.Connectors[1].Sink
	g.reg.Connectors[1].Sink = func(c connect.Config, env connect.Env) (connect.Sink, error) {
		s, err := sink(c, env)
		return &refusing{s.(*targetSink), refuse}, err
	}
	g.run(map[string]string{"lanes": "2", "errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead"}, 0)
	refused := 0
	for _, c := range g.script {
		if c.seq%7 == 0 {
			refused++
		}
	}
	r, err := g.log.OpenReader(context.Background(), []connect.Cursor{{Topic: "dead"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	conv, _ := frame.Plugin().Converter(connect.Config{}, connect.Env{})
	got := 0
	for got < refused {
		var m connect.Messages
		var b connect.Batch
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err := r.Read(ctx, &m, 1<<20)
		cancel()
		if err != nil {
			t.Fatalf("%d of %d dead letters: %v", got, refused, err)
		}
		if err := conv.Decode(&b, m.List); err != nil {
			t.Fatal(err)
		}
		for _, rec := range b.Records {
			if rec.Seq%7 != 0 {
				t.Fatalf("change %d is a dead letter", rec.Seq)
			}
		}
		got += len(b.Records)
		if h := m.List[0].Headers; len(h) == 0 || h[0].Key != "__connect.errors.topic" {
			t.Fatalf("headers: %v", h)
		}
	}
	if n := len(g.target.ledger); n != len(g.script)-refused || got != refused {
		t.Fatalf("%d written and %d dead of %d, want %d dead", n, got, len(g.script), refused)
	}
}

// refusing fails every seventh change.
type refusing struct {
	*targetSink
	err error
}

func (s *refusing) Write(ctx context.Context, b *connect.Batch) error {
	var be connect.BatchError
	var good connect.Batch
	for i, r := range b.Records {
		if r.Seq%7 == 0 {
			be.Failed = append(be.Failed, connect.RecordError{Index: i, Err: s.err})
		} else {
			good.Records = append(good.Records, r)
		}
	}
	if len(be.Failed) == 0 {
		return s.targetSink.Write(ctx, b)
	}
	s.targetSink.keeps = false // durable now, without State
	err := s.targetSink.Write(ctx, &good)
	s.targetSink.keeps = true
	if err != nil {
		return err
	}
	return &be
}

func TestFailedTaskLeavesOthersAlone(t *testing.T) {
	g := newRig(t, 1, true, false)
	g.faults.left = 0
	g.reg.Connectors = append(g.reg.Connectors, connect.Plugin{Name: "broken",
		Sink: func(connect.Config, connect.Env) (connect.Sink, error) {
			return nil, connect.Permanent(errors.New("cannot be"))
		}})
	w := g.worker(map[string]string{})
	c, err := config.Build(g.reg, &config.File{Name: "bad", Config: map[string]string{"connector.class": "broken", "topics": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(c, TargetRunning); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	st := w.Status(ctx)
	for (len(g.ledger()) < len(g.script) || st.Connectors[2].Tasks[0].State != StateFailed) && sleep(ctx, 10*time.Millisecond) {
		st = w.Status(ctx)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("Run does not tell of the failed task")
	}
	g.check(true)
	if last := st.Connectors[2].Tasks[0]; last.State != StateFailed || last.Trace != "cannot be" {
		t.Errorf("the broken task is %+v", last)
	}
}

func (g *rig) ledger() []connect.Record {
	g.target.mu.Lock()
	defer g.target.mu.Unlock()
	return g.target.ledger
}

func TestTargetOfAnotherLogIsRefused(t *testing.T) {
	g := newRig(t, 1, true, false)
	g.faults.left = 0
	g.run(map[string]string{}, 0)
	g.check(true)
	g.log = memlog.New() // the data folder is gone, the target remembers
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	w := g.worker(map[string]string{})
	go func() { done <- w.Run(ctx) }()
	err := w.Wait(ctx)
	cancel()
	<-done
	if err == nil || !strings.Contains(err.Error(), "not of this data folder") {
		t.Fatalf("offsets of another log pass: %v", err)
	}
}

func TestBackoff(t *testing.T) {
	for i := 1; i < 100; i++ {
		if d := backoff(i, time.Minute); d > time.Minute || d < firstPause/2 {
			t.Fatalf("attempt %d pauses for %s", i, d)
		}
	}
}
