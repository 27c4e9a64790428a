package connecttest

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// SinkHarness is one fresh, empty target.
type SinkHarness struct {
	// New returns a Sink to the target, not opened.
	New func(t *testing.T) connect.Sink
	// Tune sets up the Gen: types that the target can hold, for one. nil: as
	// it is.
	Tune func(g *Gen)
	// KeepsState: the target keeps the State of batches, and Open returns it.
	KeepsState bool
	// Idempotent: writing batches again leaves the target as it was.
	Idempotent bool
	// Check compares the target with what was written to it; nil: not checked.
	Check func(t *testing.T, w *Written)
}

// Written is what a target has been given.
type Written struct {
	// All records in order, each once.
	All connect.Batch
	// Tables of the records. Gen.Rows gives the rows that each has by now.
	Tables []*schema.Table
	Gen    *Gen
}

// TestSink checks that the sinks to the targets which open returns keep the
// contract of connect.Sink.
func TestSink(t *testing.T, open func(t *testing.T) SinkHarness) {
	for _, c := range []struct {
		name string
		run  func(c *sinkCase)
	}{
		{"OpenAgain", testSinkOpenAgain},
		{"Write", testSinkWrite},
		{"StateOnly", testSinkStateOnly},
		{"Parts", testSinkParts},
		{"Replay", testSinkReplay},
		{"Cancelled", testSinkCancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := open(t)
			g := NewGen(Seed(t))
			if h.Tune != nil {
				h.Tune(g)
			}
			sc := &sinkCase{SinkHarness: h, t: t, ctx: deadline(t), state: map[string]string{}}
			sc.Gen, sc.Tables = g, g.Tables(2)
			c.run(sc)
		})
	}
}

type sinkCase struct {
	SinkHarness
	Written
	t      *testing.T
	ctx    context.Context
	state  map[string]string // that was written
	offset int64
	work   connect.Batch // what sinks are given, again and again
}

// open opens s and checks the State that it returns.
func (c *sinkCase) open(s connect.Sink) connect.Sink {
	c.t.Helper()
	entries, err := s.Open(c.ctx)
	must(c.t, err)
	got := map[string]string{}
	for _, e := range entries {
		got[e.Key] = string(e.Pos)
	}
	want := c.state
	if !c.KeepsState {
		want = nil
	}
	if !maps.Equal(got, want) {
		c.t.Fatalf("Open returns the State %q, want %q", got, want)
	}
	return s
}

// next returns a batch of what comes next, without State.
func (c *sinkCase) next(n int) *connect.Batch {
	var b connect.Batch
	c.Gen.Fill(&b, c.Tables, n)
	b.Pos = nil // of a source only
	CopyBatch(&c.All, &b)
	return &b
}

// nextState returns State that is ahead of all before.
func (c *sinkCase) nextState() []offsets.Entry {
	c.offset += 10
	var state []offsets.Entry
	for p := range int32(2) {
		e := offsets.Entry{Key: offsets.MarkKey("topic", p), Pos: offsets.Mark{Offset: c.offset, Index: int(p)}.Position()}
		c.state[e.Key] = string(e.Pos)
		state = append(state, e)
	}
	return state
}

// write gives s a copy of b in memory that was used before, and scribbles over
// it afterwards (invariant 7).
func (c *sinkCase) write(ctx context.Context, s connect.Sink, b *connect.Batch, state []offsets.Entry) error {
	c.work.Reset()
	CopyBatch(&c.work, b)
	for i := range c.work.Records {
		c.work.Records[i].Offset = c.offset
	}
	c.work.State = append(c.work.State, state...)
	err := s.Write(ctx, &c.work)
	Scribble(&c.work)
	return err
}

// check compares the target with what it should hold.
func (c *sinkCase) check() {
	c.t.Helper()
	if c.Check != nil {
		c.Check(c.t, &c.Written)
	}
}

func testSinkOpenAgain(c *sinkCase) {
	s := c.New(c.t)
	for range 3 {
		c.open(s)
		must(c.t, s.Close())
	}
	c.check()
}

func testSinkWrite(c *sinkCase) {
	s := c.open(c.New(c.t))
	for i := range 10 {
		must(c.t, c.write(c.ctx, s, c.next(1+c.Gen.IntN(200)), c.nextState()))
		switch i {
		case 3: // opened again
			must(c.t, s.Close())
			c.open(s)
		case 6: // another one
			must(c.t, s.Close())
			s = c.open(c.New(c.t))
		}
	}
	c.check()
	must(c.t, s.Close())
	must(c.t, c.open(c.New(c.t)).Close())
}

func testSinkStateOnly(c *sinkCase) {
	s := c.open(c.New(c.t))
	must(c.t, c.write(c.ctx, s, new(connect.Batch), c.nextState()))
	must(c.t, c.write(c.ctx, s, c.next(10), c.nextState()))
	must(c.t, c.write(c.ctx, s, new(connect.Batch), c.nextState()))
	must(c.t, s.Close())
	c.check()
	must(c.t, c.open(c.New(c.t)).Close())
}

// testSinkParts writes wholes in parts of which only the last has State.
func testSinkParts(c *sinkCase) {
	s := c.open(c.New(c.t))
	for range 3 {
		for range 3 {
			must(c.t, c.write(c.ctx, s, c.next(20), nil))
		}
		must(c.t, c.write(c.ctx, s, c.next(20), c.nextState()))
	}
	c.check()
	must(c.t, s.Close())
	must(c.t, c.open(c.New(c.t)).Close())
}

// testSinkReplay writes batches, drops the sink as a crash would after a part
// without State, and feeds another one from the last State.
func testSinkReplay(c *sinkCase) {
	if !c.KeepsState && !c.Idempotent {
		c.t.Skip("what is written again is there twice")
	}
	s := c.open(c.New(c.t))
	must(c.t, c.write(c.ctx, s, c.next(100), c.nextState()))
	var parts []*connect.Batch
	for range 3 {
		parts = append(parts, c.next(50))
		must(c.t, c.write(c.ctx, s, parts[len(parts)-1], nil))
	}
	must(c.t, s.Close())
	c.replay(parts)
	if c.Idempotent {
		c.replay(parts) // once more, all of it: the saved State was older
	}
}

// replay opens the sink, writes parts with State behind the last, and checks
// the target.
func (c *sinkCase) replay(parts []*connect.Batch) {
	c.t.Helper()
	s := c.open(c.New(c.t))
	for i, b := range parts {
		var state []offsets.Entry
		if i == len(parts)-1 {
			state = c.nextState()
		}
		must(c.t, c.write(c.ctx, s, b, state))
	}
	must(c.t, s.Close())
	c.check()
}

// testSinkCancelled: Write returns when its context is done, and the sink can
// be closed and opened again. What was written then is not known.
func testSinkCancelled(c *sinkCase) {
	s := c.open(c.New(c.t))
	must(c.t, c.write(c.ctx, s, c.next(10), c.nextState()))
	last := maps.Clone(c.state)
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	b, state := c.next(10), c.nextState()
	err := c.write(ctx, s, b, state)
	must(c.t, s.Close())
	entries, openErr := s.Open(c.ctx)
	must(c.t, openErr)
	got := map[string]string{}
	for _, e := range entries {
		got[e.Key] = string(e.Pos)
	}
	done := maps.Equal(got, c.state)
	if c.KeepsState && !done && (err == nil || !maps.Equal(got, last)) {
		c.t.Fatalf("after a cancelled Write, which gave %v, Open returns %q, want %q or the one before, %q", err, got, c.state, last)
	}
	switch {
	case err == nil || c.KeepsState && done:
	case c.KeepsState || c.Idempotent:
		must(c.t, c.write(c.ctx, s, b, state))
	default:
		must(c.t, s.Close())
		return // it may be there or not
	}
	c.check()
	must(c.t, s.Close())
}

// CheckRows is a Check for targets that mirror tables: rows returns the rows
// of a table as text, in any order, and text makes the same of a row of the
// Gen.
func CheckRows(rows func(t *testing.T, table *schema.Table) []string, text func(table *schema.Table, row schema.Row) string) func(*testing.T, *Written) {
	return func(t *testing.T, w *Written) {
		t.Helper()
		for _, table := range w.Tables {
			want := map[string]int{}
			for _, row := range w.Gen.Rows(table) {
				want[text(table, row)]++
			}
			for _, row := range rows(t, table) {
				want[row]--
			}
			for row, n := range want {
				if n != 0 {
					t.Fatalf("%s: %s", table, missing(row, n))
				}
			}
		}
	}
}

func missing(row string, n int) string {
	if n > 0 {
		return fmt.Sprintf("%d rows are missing in the target: %s", n, row)
	}
	return fmt.Sprintf("%d rows are too many in the target: %s", -n, row)
}
