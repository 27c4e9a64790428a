package connecttest

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is a list of batches that grows; positions are indexes into it.
type upstream struct {
	mu      sync.Mutex
	gen     *Gen
	tables  []*schema.Table
	batches []*connect.Batch
	changed chan struct{}
	finite  bool
}

func newUpstream(seed uint64, finite bool) *upstream {
	u := &upstream{gen: NewGen(seed), changed: make(chan struct{}), finite: finite}
	u.tables = u.gen.Tables(2)
	for range 30 {
		u.more()
	}
	return u
}

func (u *upstream) more() {
	u.mu.Lock()
	defer u.mu.Unlock()
	b := new(connect.Batch)
	for b.Records == nil || !slices.ContainsFunc(b.Records, func(r connect.Record) bool { return r.Op != connect.OpRead }) {
		u.gen.Transaction(b, u.tables)
	}
	u.batches = append(u.batches, b)
	close(u.changed)
	u.changed = make(chan struct{})
}

func at(pos offsets.Position) int {
	n, _ := strconv.Atoi(string(pos))
	return n
}

// listSource reads an upstream, and keeps its count of batches in State.
type listSource struct {
	u      *upstream
	next   int
	closed chan struct{}
}

func (s *listSource) Open(_ context.Context, from offsets.Position, state []offsets.Entry) error {
	s.next, s.closed = 0, make(chan struct{})
	if from != nil {
		s.next = at(from)
		if len(state) != 1 || string(state[0].Pos) != string(from) {
			return errors.New("state does not go with the position")
		}
	}
	return nil
}

func (s *listSource) Read(ctx context.Context, b *connect.Batch) error {
	for {
		s.u.mu.Lock()
		changed, n := s.u.changed, len(s.u.batches)
		s.u.mu.Unlock()
		if s.next < n {
			break
		}
		if s.u.finite {
			return io.EOF
		}
		select {
		case <-changed:
		case <-s.closed:
			return errors.New("closed")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	CopyBatch(b, s.u.batches[s.next])
	s.next++
	b.Pos = strconv.AppendInt(nil, int64(s.next), 10)
	b.State = append(b.State, offsets.Entry{Key: "count", Pos: b.Pos})
	return nil
}

func (s *listSource) Commit(context.Context, offsets.Position) error { return nil }

func (s *listSource) Head(context.Context) (offsets.Position, error) {
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	return strconv.AppendInt(nil, int64(len(s.u.batches)), 10), nil
}

func (s *listSource) Close() error { close(s.closed); return nil }

func TestSourceSuite(t *testing.T) {
	for _, finite := range []bool{false, true} {
		t.Run("finite="+strconv.FormatBool(finite), func(t *testing.T) {
			seed := Seed(t)
			TestSource(t, func(t *testing.T) SourceHarness {
				u := newUpstream(seed, finite)
				h := SourceHarness{
					New:    func(*testing.T) connect.Source { return &listSource{u: u} },
					Covers: func(pos, head offsets.Position) bool { return at(pos) >= at(head) },
					More:   func(*testing.T) { u.more() },
				}
				if finite {
					h.More = nil
				}
				return h
			})
		})
	}
}

// target holds rows by table and key, and State.
type target struct {
	rows  map[string]map[string]string
	state map[string]offsets.Position
}

// mapSink mirrors rows into a target. What has no State waits for the next
// batch that has.
type mapSink struct {
	t       *target
	rows    map[string]map[string]string // with what waits
	waiting bool
}

func (s *mapSink) Open(context.Context) ([]offsets.Entry, error) {
	s.rows = map[string]map[string]string{}
	for name, rows := range s.t.rows {
		s.rows[name] = maps.Clone(rows)
	}
	var state []offsets.Entry
	for key, pos := range s.t.state {
		state = append(state, offsets.Entry{Key: key, Pos: pos})
	}
	return state, nil
}

func (s *mapSink) Write(ctx context.Context, b *connect.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range b.Records {
		r := &b.Records[i]
		name := r.Table.String()
		if s.rows[name] == nil || r.Op == connect.OpTruncate {
			s.rows[name] = map[string]string{}
		}
		if !r.Op.HasRow() {
			continue
		}
		key := string(connect.AppendKey(nil, r.Key(), r.Table.Key))
		if r.Op == connect.OpDelete {
			delete(s.rows[name], key)
		} else {
			s.rows[name][key] = rowText(r.Table, r.After)
		}
	}
	if len(b.State) == 0 {
		return nil
	}
	for _, e := range b.State {
		s.t.state[e.Key] = slices.Clone(e.Pos)
	}
	for name, rows := range s.rows {
		s.t.rows[name] = maps.Clone(rows)
	}
	return nil
}

func (s *mapSink) Close() error { return nil }

func rowText(t *schema.Table, row schema.Row) string {
	r := connect.Record{Op: connect.OpRead, Table: t, After: row}
	return DumpRecord(&r)
}

func TestSinkSuite(t *testing.T) {
	TestSink(t, func(t *testing.T) SinkHarness {
		tg := &target{rows: map[string]map[string]string{}, state: map[string]offsets.Position{}}
		return SinkHarness{
			New:        func(*testing.T) connect.Sink { return &mapSink{t: tg} },
			Tune:       func(g *Gen) { g.Keyed = true },
			KeepsState: true,
			Check: CheckRows(func(_ *testing.T, table *schema.Table) []string {
				return slices.Collect(maps.Values(tg.rows[table.String()]))
			}, rowText),
		}
	})
}

// TestGen: a Gen is the same for the same seed, its records are in order, and
// its rows are what its records make.
func TestGen(t *testing.T) {
	seed := Seed(t)
	var a, b connect.Batch
	for _, p := range []*connect.Batch{&a, &b} {
		g := NewGen(seed)
		g.Odd, g.Headers, g.Partitions = true, true, 3
		g.Fill(p, g.Tables(5), 2000)
	}
	if d := EqualBatches(&a, &b); d != "" {
		t.Fatalf("the same seed gives two batches: %s", d)
	}
	var c connect.Batch
	CopyBatch(&c, &a)
	Scribble(&a)
	if d := EqualBatches(&c, &b); d != "" {
		t.Fatalf("a copy shares memory: %s", d)
	}
	for i := range b.Records {
		if what := recordFault(&b.Records[i]); what != "" {
			t.Fatalf("record %d %s:\n%s", i, what, DumpRecord(&b.Records[i]))
		}
	}
}

// TestEqualBatches: each field counts.
func TestEqualBatches(t *testing.T) {
	edits := map[string]func(b *connect.Batch, r *connect.Record){
		"op":        func(_ *connect.Batch, r *connect.Record) { r.Op++ },
		"flags":     func(_ *connect.Batch, r *connect.Record) { r.Flags ^= connect.Reread },
		"partition": func(_ *connect.Batch, r *connect.Record) { r.Partition++ },
		"topic":     func(_ *connect.Batch, r *connect.Record) { r.Topic += "x" },
		"seq":       func(_ *connect.Batch, r *connect.Record) { r.Seq++ },
		"time":      func(_ *connect.Batch, r *connect.Record) { r.Time++ },
		"row":       func(_ *connect.Batch, r *connect.Record) { r.Row++ },
		"origin":    func(_ *connect.Batch, r *connect.Record) { r.Origin = &connect.Origin{File: "x"} },
		"headers":   func(_ *connect.Batch, r *connect.Record) { r.Headers = append(r.Headers, connect.Header{}) },
		"before":    func(_ *connect.Batch, r *connect.Record) { r.Before = append(schema.Row{}, r.After...) },
		"after":     func(_ *connect.Batch, r *connect.Record) { r.After[1] = schema.MakeInt(-77) },
		"table":     func(_ *connect.Batch, r *connect.Record) { r.Table = NewGen(99).Table() },
		"count":     func(b *connect.Batch, _ *connect.Record) { b.Add() },
		"pos":       func(b *connect.Batch, _ *connect.Record) { b.Pos = nil },
		"state":     func(b *connect.Batch, _ *connect.Record) { b.State = []offsets.Entry{{Key: "k"}} },
	}
	for name, edit := range edits {
		var a, b connect.Batch
		for _, p := range []*connect.Batch{&a, &b} {
			g := NewGen(5)
			g.Fill(p, []*schema.Table{g.WideTable()}, 50)
		}
		i := slices.IndexFunc(b.Records, func(r connect.Record) bool { return r.Op == connect.OpInsert })
		edit(&b, &b.Records[i])
		if EqualBatches(&a, &b) == "" {
			t.Errorf("%s does not count", name)
		}
	}
}
