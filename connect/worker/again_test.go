package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/deadletter"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// shop is a target that keeps the last value of each key, and State, and
// refuses some values for as long as they are not mended.
type shop struct {
	mu      sync.Mutex
	rows    map[string]uint64
	writes  int
	refused map[uint64]bool
	opening chan struct{}                 // nil, or Open waits until it is closed
	state   []map[string]offsets.Position // by lane
}

type counter struct {
	*shop
	lane int
}

func (c counter) Open(context.Context) ([]offsets.Entry, error) {
	if c.opening != nil {
		<-c.opening
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []offsets.Entry{}
	for k, p := range c.state[c.lane] {
		list = append(list, offsets.Entry{Key: k, Pos: p})
	}
	return list, nil
}

func (c counter) Close() error { return nil }

func (c counter) Write(_ context.Context, b *connect.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var be connect.BatchError
	for i := range b.Records {
		r := &b.Records[i]
		if c.refused[r.Seq] {
			be.Failed = append(be.Failed, connect.RecordError{Index: i, Err: fmt.Errorf("value %d is refused", r.Seq)})
			continue
		}
		c.writes++
		if r.Op == connect.OpTruncate {
			clear(c.rows)
		} else if r.Op == connect.OpDelete {
			delete(c.rows, string(r.Before[0].Bytes()))
		} else {
			c.rows[string(r.After[0].Bytes())] = r.Seq
		}
	}
	if len(be.Failed) > 0 {
		return &be
	}
	for _, e := range b.State {
		c.state[c.lane][e.Key] = e.Pos
	}
	return nil
}

func (s *shop) refuse(seqs ...uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.refused)
	for _, n := range seqs {
		s.refused[n] = true
	}
}

// letterRig is a sink over a log that the test writes to.
type letterRig struct {
	*shop
	t     *testing.T
	log   *memlog.Log
	w     *Worker
	table *schema.Table
	seq   uint64
	stop  func()
}

func newLetterRig(t *testing.T) *letterRig {
	table, err := schema.New(&schema.Table{Database: "d", Name: "t", Key: []int{0}, Primary: true,
		Columns: []schema.Column{{Name: "id", Type: schema.TypeVarchar, Charset: "utf8mb4", Collation: "utf8mb4_bin"}}})
	if err != nil {
		t.Fatal(err)
	}
	g := &letterRig{t: t, log: memlog.New(), table: table,
		shop: &shop{rows: map[string]uint64{}, refused: map[uint64]bool{}, state: []map[string]offsets.Position{{}, {}, {}}}}
	if err := g.log.CreateTopic(t.Context(), "t", 1); err != nil {
		t.Fatal(err)
	}
	g.start()
	t.Cleanup(func() {
		g.stop()
		g.log.Close()
	})
	return g
}

func (g *letterRig) start() {
	plugins := &config.Registry{Converters: []connect.Plugin{frame.Plugin()}, Connectors: []connect.Plugin{{Name: "shop",
		Sink: func(_ connect.Config, env connect.Env) (connect.Sink, error) { return counter{g.shop, env.Lane}, nil }}}}
	c, err := config.Build(plugins, &config.File{Name: "s", Config: map[string]string{"connector.class": "shop", "topics": "t", "lanes": "3",
		"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead", "errors.log.enable": "false"}})
	if err != nil {
		g.t.Fatal(err)
	}
	g.w = New(slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()))
	g.w.Use(g.log)
	if err := g.w.Add(c, TargetRunning); err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.w.Run(ctx) }()
	g.stop = func() {
		cancel()
		<-done
	}
}

// change appends changes of keys and waits until the sink is through with them.
func (g *letterRig) change(op connect.Op, keys ...string) {
	g.t.Helper()
	var b connect.Batch
	var m connect.Messages
	for _, key := range keys {
		g.seq++
		r := b.Add()
		r.Op, r.Table, r.Topic, r.Seq, r.Flags = op, g.table, "t", g.seq, connect.TxEnd
		row := b.NewRow(1)
		row[0] = schema.MakeBytes(schema.String, []byte(key))
		switch op {
		case connect.OpTruncate:
		case connect.OpDelete:
			r.Before = row
		default:
			r.After = row
		}
	}
	if err := new(frame.Converter).Encode(&m, &b); err != nil {
		g.t.Fatal(err)
	}
	if err := g.log.Append(g.t.Context(), m.List, nil); err != nil {
		g.t.Fatal(err)
	}
	g.through(m.List[len(m.List)-1].Offset + 1)
}

func (g *letterRig) through(end int64) {
	g.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		marks, err := g.w.Marks(g.t.Context(), "s")
		if err != nil {
			g.t.Fatal(err)
		}
		if len(marks) > 0 && marks[0].Offset >= end {
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("the sink is at %v, not at %d", marks, end)
		}
	}
}

// retry sends letters again; want has a part of what is wrong with each, "" for
// those that are taken.
func (g *letterRig) retry(force bool, ids []int64, want ...string) {
	g.t.Helper()
	var list []Retried
	err := ErrRetry
	for deadline := time.Now().Add(time.Minute); errors.Is(err, ErrRetry) && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		list, err = g.w.Retry(g.t.Context(), "s", ids, force) // the task may not run yet
	}
	if err != nil || len(list) != len(want) {
		g.t.Fatalf("%v, %v", list, err)
	}
	for i, r := range list {
		if r.ID != ids[i] || (r.State == deadletter.Sent) != (want[i] == "") || (r.Error == "") != (want[i] == "") || !strings.Contains(r.Error, want[i]) {
			g.t.Errorf("%+v, want %q", r, want[i])
		}
	}
}

func (g *letterRig) has(want map[string]uint64) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !maps.Equal(g.rows, want) {
		g.t.Errorf("the target has %v, want %v", g.rows, want)
	}
}

func (g *letterRig) open() (ids []int64) {
	g.t.Helper()
	p, err := deadletter.List(g.t.Context(), g.log, deadletter.Query{Topic: "dead", State: deadletter.Open})
	if err != nil {
		g.t.Fatal(err)
	}
	for _, l := range p.Letters {
		ids = append(ids, l.ID)
	}
	return ids
}

// A letter that is sent again after mending is applied, once, and is no letter
// any more; one that is refused again stays what it was.
func TestRetry(t *testing.T) {
	g := newLetterRig(t)
	g.refuse(1, 2)
	g.change(connect.OpInsert, "a", "b", "c")
	g.has(map[string]uint64{"c": 3})
	g.retry(false, []int64{0, 7}, "value 1 is refused", "there is no such dead letter")
	g.refuse(2)
	g.retry(false, []int64{0, 1}, "", "value 2 is refused")
	g.has(map[string]uint64{"a": 1, "c": 3})
	if ids := g.open(); !slices.Equal(ids, []int64{1}) {
		t.Errorf("open: %v", ids)
	}
	g.retry(true, []int64{0}, "was sent again and taken already")
}

// What is newer is not overwritten, unless somebody wants that.
func TestRetryKeepsNewer(t *testing.T) {
	g := newLetterRig(t)
	g.refuse(1, 2, 4)
	g.change(connect.OpInsert, "a", "b", "c", "b") // b twice, in one message
	g.change(connect.OpUpdate, "a")
	g.refuse()
	g.retry(false, []int64{0}, "a newer change of its row (op u of d.t) stands at offset 1 of t/0")
	g.has(map[string]uint64{"a": 5, "c": 3})
	g.retry(true, []int64{0}, "")
	g.has(map[string]uint64{"a": 1, "c": 3})
	// Both changes of b are letters: in their order, each is the newest there is.
	g.retry(false, []int64{1, 2}, "", "")
	g.has(map[string]uint64{"a": 1, "b": 4, "c": 3})
}

func TestRetryInTheWrongOrder(t *testing.T) {
	g := newLetterRig(t)
	g.refuse(1, 2)
	g.change(connect.OpInsert, "b", "b")
	g.refuse()
	g.retry(false, []int64{1, 0}, "", "a newer change of its row")
	g.has(map[string]uint64{"b": 2})
}

// A change that somebody has dropped is in nobody's way.
func TestRetryBeforeDropped(t *testing.T) {
	g := newLetterRig(t)
	g.refuse(1, 2)
	g.change(connect.OpInsert, "b", "b")
	g.refuse()
	if err := deadletter.Resolve(t.Context(), g.log, "dead", 1, deadletter.Dropped); err != nil {
		t.Fatal(err)
	}
	g.retry(false, []int64{0}, "")
	g.has(map[string]uint64{"b": 1})
}

func TestRetryAfterDeleteOrTruncate(t *testing.T) {
	g := newLetterRig(t)
	g.refuse(1, 2)
	g.change(connect.OpInsert, "a", "b")
	g.change(connect.OpDelete, "a")
	g.refuse()
	g.retry(false, []int64{0}, "op d of d.t")
	g.change(connect.OpTruncate, "")
	g.retry(false, []int64{1}, "op t of d.t")
	g.has(map[string]uint64{})
}

// Where what came after a letter is gone, nobody can know.
func TestRetryOfWhatIsTrimmed(t *testing.T) {
	g := newLetterRig(t)
	g.refuse(1)
	g.change(connect.OpInsert, "a")
	g.refuse()
	if err := g.log.Trim(t.Context(), "t", 0, 1); err != nil {
		t.Fatal(err)
	}
	g.retry(false, []int64{0}, "not in the topic any more")
	g.retry(true, []int64{0}, "")
	g.has(map[string]uint64{"a": 1})
}

// killedBeforeNoted has two letters taken, and returns with the run ended as by a kill
// before the second one was noted. It returns how many records were written.
func (g *letterRig) killedBeforeNoted() (writes int) {
	g.t.Helper()
	g.refuse(1, 2)
	g.change(connect.OpInsert, "a", "b")
	g.refuse()
	g.retry(false, []int64{0, 1}, "", "")
	g.stop()
	entries, err := g.log.Store().Load(g.t.Context(), "deadletter/dead/")
	if err != nil || len(entries) != 2 {
		g.t.Fatal(entries, err)
	}
	if err := g.log.Store().Save(g.t.Context(), offsets.Entry{Key: entries[1].Key}); err != nil {
		g.t.Fatal(err)
	}
	return g.writes
}

// awaitNoted waits until no letter is open any more: what the target knows to be taken
// is noted when it is opened.
func (g *letterRig) awaitNoted() {
	g.t.Helper()
	for deadline := time.Now().Add(time.Minute); len(g.open()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("letters %v stay open", g.open())
		}
	}
}

// A run that was killed when a letter was taken, but not yet noted, has not
// written it twice when it is sent once more.
func TestRetryIsExactlyOnce(t *testing.T) {
	g := newLetterRig(t)
	writes := g.killedBeforeNoted()
	g.start()
	g.awaitNoted()
	g.retry(true, []int64{1}, "was sent again and taken already")
	if len(g.open()) != 0 || g.writes != writes {
		t.Errorf("%d writes, not %d; open %v", g.writes, writes, g.open())
	}
}

// keptBy has one lane alone keep that the second letter was taken.
func (g *letterRig) keptBy(lane int) {
	for other := range g.state {
		if other != lane {
			g.state[other][offsets.MarkKey("dead", 0)] = offsets.Mark{Offset: 1}.Position()
		}
	}
}

// Nor has one that was killed before all lanes kept which letter was taken last,
// whichever of them had it.
func TestRetryIsExactlyOnceWhereLanesDiffer(t *testing.T) {
	for lane := range 3 {
		g := newLetterRig(t)
		writes := g.killedBeforeNoted()
		g.keptBy(lane)
		g.start()
		g.awaitNoted()
		g.retry(true, []int64{1}, "was sent again and taken already")
		if len(g.open()) != 0 || g.writes != writes {
			t.Errorf("lane %d: %d writes, not %d; open %v", lane, g.writes, writes, g.open())
		}
	}
}

// Who sends a letter again while the task opens its target has seen it open, for it is
// noted only then. It is taken, and not written twice.
func TestRetryWhileTheTaskOpens(t *testing.T) {
	for lane := range 3 {
		synctest.Test(t, func(t *testing.T) {
			g := newLetterRig(t)
			writes := g.killedBeforeNoted()
			g.keptBy(lane)
			g.opening = make(chan struct{})
			g.start()
			synctest.Wait()
			time.AfterFunc(time.Second, func() { close(g.opening) }) // when all else waits
			g.retry(true, []int64{1}, "")
			if len(g.open()) != 0 || g.writes != writes {
				t.Errorf("lane %d: %d writes, not %d; open %v", lane, g.writes, writes, g.open())
			}
		})
	}
}

// Texts that a collation may take for the same name one row.
func TestLooseTexts(t *testing.T) {
	for _, same := range [][2]string{{"A", "a"}, {"é", "E"}, {"Straße", "STRASSE"}, {"a ", "a"}, {"Æ", "ae"}, {"ﬁ", "FI"}} {
		if loose(same[0]) != loose(same[1]) {
			t.Errorf("%q and %q: %q, %q", same[0], same[1], loose(same[0]), loose(same[1]))
		}
	}
	if loose("a") == loose("b") {
		t.Error("all is one")
	}
}
