package connecttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// SourceHarness is one upstream with some changes in it, which stays as it is
// but for More.
type SourceHarness struct {
	// New returns a Source of the upstream, not opened.
	New func(t *testing.T) connect.Source
	// Covers is that of the plug-in. A source without end is read until it
	// covers the Head.
	Covers func(pos, head offsets.Position) bool
	// More makes one more transaction, of at least one record. nil: the source
	// is finite, and Read returns io.EOF at its end.
	More func(t *testing.T)
	// LooseReads: what a snapshot reads may come in another order, and with
	// another Seq, when it is resumed.
	LooseReads bool
	// Lost is a position that the upstream no longer has; nil: there is none.
	Lost offsets.Position
	// Resumes bounds the positions that are resumed from; 0 is 20.
	Resumes int
}

// TestSource checks that the sources of the upstreams which open returns keep
// the contract of connect.Source.
func TestSource(t *testing.T, open func(t *testing.T) SourceHarness) {
	for _, c := range []struct {
		name string
		run  func(c *sourceCase)
	}{
		{"Batches", testSourceBatches},
		{"OpenAgain", testSourceAgain},
		{"Resume", testSourceResume},
		{"Commit", testSourceCommit},
		{"More", testSourceMore},
		{"ReadCancelled", testSourceCancelled},
		{"ReadClosed", testSourceClosed},
		{"PositionLost", testSourceLost},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(&sourceCase{open(t), t, deadline(t)}) })
	}
}

type sourceCase struct {
	SourceHarness
	t   *testing.T
	ctx context.Context
}

// step is what is kept of one batch.
type step struct {
	records []string         // as text
	reads   []string         // likewise, where reads are loose
	pos     offsets.Position // nil: none
	state   []offsets.Entry  // all of it, after the batch
	lastSeq uint64
}

// open opens a source.
func (c *sourceCase) open(s connect.Source, from offsets.Position, state []offsets.Entry) connect.Source {
	c.t.Helper()
	must(c.t, s.Open(c.ctx, from, state))
	return s
}

// readAll reads until there is no more.
func (c *sourceCase) readAll(s connect.Source, state []offsets.Entry) []step {
	c.t.Helper()
	saved := map[string]offsets.Position{}
	for _, e := range state {
		saved[e.Key] = e.Pos
	}
	var head offsets.Position
	if c.More != nil {
		var err error
		head, err = s.Head(c.ctx)
		must(c.t, err)
	}
	var steps []step
	var b connect.Batch
	for seq := uint64(0); ; {
		b.Reset()
		err := s.Read(c.ctx, &b)
		if errors.Is(err, io.EOF) && c.More == nil {
			return steps
		}
		if err != nil {
			c.t.Fatalf("Read after %d batches: %v", len(steps), err)
		}
		seq = c.checkBatch(&b, seq)
		st := c.step(&b, saved)
		st.lastSeq = seq
		steps = append(steps, st)
		Scribble(&b) // it is the caller's (invariant 7)
		if st.pos != nil && c.More != nil && c.Covers(st.pos, head) {
			return steps
		}
	}
}

// checkBatch checks what each batch must keep to, and returns its last Seq.
func (c *sourceCase) checkBatch(b *connect.Batch, seq uint64) uint64 {
	c.t.Helper()
	if len(b.Records) == 0 && b.Pos == nil {
		c.t.Fatal("Read gave neither a record nor a Pos")
	}
	for i := range b.Records {
		r := &b.Records[i]
		if what := recordFault(r); what != "" {
			c.t.Fatalf("record %d %s:\n%s", i, what, DumpRecord(r))
		}
		change := r.Op.HasRow() && r.Op != connect.OpRead
		rest := i > 0 && r.Op == connect.OpInsert && b.Records[i-1].Flags&connect.Half != 0
		if r.Seq < seq || change && (r.Seq == seq) != rest {
			c.t.Fatalf("record %d has Seq %d after %d:\n%s", i, r.Seq, seq, DumpRecord(r))
		}
		seq = r.Seq
		if i == len(b.Records)-1 && change && b.Pos != nil && r.Flags&connect.TxEnd == 0 {
			c.t.Fatalf("a Pos inside a transaction (invariant 3), after\n%s", DumpRecord(r))
		}
	}
	return seq
}

// recordFault says what is wrong with the shape of a record.
func recordFault(r *connect.Record) string {
	if r.Table == nil {
		return "has no table"
	}
	var before, after bool
	switch r.Op {
	case connect.OpRead, connect.OpInsert:
		after = true
	case connect.OpUpdate:
		before, after = true, true
	case connect.OpDelete:
		before = true
	case connect.OpTruncate, connect.OpSchema:
	case connect.OpMessage:
		if _, _, _, ok := r.Message(); !ok {
			return "is not a message"
		}
		after = true
	default:
		return "has no valid op"
	}
	switch {
	case (r.Before != nil) != before || (r.After != nil) != after:
		return "has the wrong images for its op"
	case before && len(r.Before) != len(r.Table.Columns) || after && len(r.After) != len(r.Table.Columns):
		return "has a row that does not fit its table"
	case r.Op == connect.OpUpdate && len(r.Table.Key) > 0 &&
		!bytes.Equal(connect.AppendKey(nil, r.Before, r.Table.Key), connect.AppendKey(nil, r.After, r.Table.Key)):
		return "changes its key, and is not split"
	}
	return ""
}

// step keeps b as text and adds its State to saved.
func (c *sourceCase) step(b *connect.Batch, saved map[string]offsets.Position) step {
	st := step{pos: bytes.Clone(b.Pos)}
	for i := range b.Records {
		r := b.Records[i]
		if r.Op == connect.OpRead { // when and from where it was read may differ
			r.Time, r.Origin, r.Row = 0, nil, 0
			if c.LooseReads {
				r.Seq, r.Flags = 0, 0
				st.reads = append(st.reads, DumpRecord(&r))
				continue
			}
		}
		st.records = append(st.records, DumpRecord(&r))
	}
	for _, e := range b.State {
		if saved[e.Key] = bytes.Clone(e.Pos); e.Pos == nil {
			delete(saved, e.Key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(saved)) {
		st.state = append(st.state, offsets.Entry{Key: key, Pos: bytes.Clone(saved[key])})
	}
	return st
}

// flatten returns the records of steps in order, and what was read.
func flatten(steps []step) (records, reads []string) {
	for _, s := range steps {
		records = append(records, s.records...)
		reads = append(reads, s.reads...)
	}
	slices.Sort(reads)
	return records, reads
}

func (c *sourceCase) wantSame(got, want []step, what string) {
	c.t.Helper()
	a, aReads := flatten(got)
	b, bReads := flatten(want)
	for _, p := range [][2][]string{{a, b}, {aReads, bReads}} {
		for i := range min(len(p[0]), len(p[1])) {
			if p[0][i] != p[1][i] {
				c.t.Fatalf("%s: record %d is\n%swant\n%s", what, i, p[0][i], p[1][i])
			}
		}
		if len(p[0]) != len(p[1]) {
			c.t.Fatalf("%s: %d records, want %d", what, len(p[0]), len(p[1]))
		}
	}
}

func testSourceBatches(c *sourceCase) {
	s := c.open(c.New(c.t), nil, nil)
	steps := c.readAll(s, nil)
	must(c.t, s.Close())
	if len(steps) == 0 || steps[len(steps)-1].pos == nil {
		c.t.Fatal("what was read does not end with a Pos")
	}
	if records, reads := flatten(steps); len(records)+len(reads) == 0 {
		c.t.Fatal("the upstream has no changes: the suite needs some")
	}
}

func testSourceAgain(c *sourceCase) {
	s := c.open(c.New(c.t), nil, nil)
	first := c.readAll(s, nil)
	for range 2 {
		must(c.t, s.Close())
		c.open(s, nil, nil)
		c.wantSame(c.readAll(s, nil), first, "the same source, opened again")
	}
	must(c.t, s.Close())
}

// testSourceResume: from each Pos, with the State up to there, what follows is
// the same, with the same Seq.
func testSourceResume(c *sourceCase) {
	s := c.open(c.New(c.t), nil, nil)
	steps := c.readAll(s, nil)
	must(c.t, s.Close())
	var at []int
	for i := range steps {
		if steps[i].pos != nil {
			at = append(at, i)
		}
	}
	most := c.Resumes
	if most == 0 {
		most = 20
	}
	for n := range min(most, len(at)) {
		i := at[n*len(at)/min(most, len(at))]
		if i == len(steps)-1 {
			continue // Read would wait
		}
		s := c.open(c.New(c.t), bytes.Clone(steps[i].pos), steps[i].state)
		got := c.readAll(s, steps[i].state)
		must(c.t, s.Close())
		c.wantSame(got, steps[i+1:], fmt.Sprintf("resumed after batch %d, at %q", i, steps[i].pos))
	}
}

func testSourceCommit(c *sourceCase) {
	s := c.open(c.New(c.t), nil, nil)
	for _, st := range c.readAll(s, nil) {
		if st.pos != nil {
			must(c.t, s.Commit(c.ctx, st.pos))
		}
	}
	must(c.t, s.Close())
}

// opened returns a source that has been read to its end.
func (c *sourceCase) opened() (connect.Source, step) {
	if c.More == nil {
		c.t.Skip("the source is finite")
	}
	s := c.open(c.New(c.t), nil, nil)
	steps := c.readAll(s, nil)
	return s, steps[len(steps)-1]
}

// testSourceMore: changes that come later are read with a higher Seq, and a
// Head asked for then is covered by their Pos and not by the ones before.
func testSourceMore(c *sourceCase) {
	s, last := c.opened()
	var b connect.Batch
	for range 3 {
		c.More(c.t)
		head, err := s.Head(c.ctx)
		must(c.t, err)
		if c.Covers(last.pos, head) {
			c.t.Fatal("a Pos covers the Head of changes that came after it")
		}
		records := 0
		for !c.Covers(last.pos, head) {
			b.Reset()
			must(c.t, s.Read(c.ctx, &b))
			last.lastSeq = c.checkBatch(&b, last.lastSeq)
			records += len(b.Records)
			if b.Pos != nil {
				last.pos = bytes.Clone(b.Pos)
			}
		}
		if records == 0 {
			c.t.Fatal("the later changes were not read")
		}
	}
	must(c.t, s.Close())
}

// readUntil reads until an error comes, while act happens.
func (c *sourceCase) readUntil(ctx context.Context, s connect.Source, act func()) error {
	done := make(chan error, 1)
	go func() {
		var b connect.Batch
		for {
			b.Reset()
			if err := s.Read(ctx, &b); err != nil { // an idle source may still give positions
				done <- err
				return
			}
		}
	}()
	act()
	select {
	case err := <-done:
		return err
	case <-c.ctx.Done():
		c.t.Fatal("Read does not return")
		return nil
	}
}

func testSourceCancelled(c *sourceCase) {
	s, last := c.opened()
	ctx, cancel := context.WithCancel(c.ctx)
	if err := c.readUntil(ctx, s, cancel); err == nil || errors.Is(err, io.EOF) || connect.IsPermanent(err) {
		c.t.Fatalf("a cancelled Read gives %v", err)
	}
	must(c.t, s.Close())
	s = c.open(s, last.pos, last.state)
	c.More(c.t)
	if records, reads := flatten(c.readAll(s, last.state)); len(records)+len(reads) == 0 {
		c.t.Fatal("opened again after a cancelled Read, it does not give what came later")
	}
	must(c.t, s.Close())
}

func testSourceClosed(c *sourceCase) {
	s, _ := c.opened()
	if err := c.readUntil(c.ctx, s, func() { must(c.t, s.Close()) }); err == nil {
		c.t.Fatal("Read of a closed source gives no error")
	}
}

func testSourceLost(c *sourceCase) {
	if c.Lost == nil {
		c.t.Skip("no position is ever lost")
	}
	s := c.New(c.t)
	err := s.Open(c.ctx, c.Lost, nil)
	if err == nil {
		err = s.Read(c.ctx, new(connect.Batch))
	}
	if !errors.Is(err, connect.ErrPositionLost) {
		c.t.Fatalf("opened at a lost position, it gives %v", err)
	}
	must(c.t, s.Close())
}
