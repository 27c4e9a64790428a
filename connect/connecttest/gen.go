package connecttest

import (
	"fmt"
	"math/rand/v2"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// Gen makes random tables, rows and transactions. What it makes follows from
// its seed and the calls alone. Set the exported fields before the first call.
type Gen struct {
	*rand.Rand
	// Types that columns may have; empty: all.
	Types []schema.Type
	// Odd mixes in values that columns do not imply: absent ones, text that
	// its charset cannot decode, and numbers of other kinds and scales.
	Odd bool
	// Strict leaves out what only lenient SQL modes store: zero and partial
	// dates, the error value of an ENUM.
	Strict bool
	// Keyed gives every table a key.
	Keyed bool
	// MaxBytes bounds text and binary values; 0 is 100.
	MaxBytes int
	// Headers puts headers on some of the records.
	Headers bool
	// RowsOnly leaves out truncates and schema records.
	RowsOnly bool
	// Partitions of each topic; 0 is 1.
	Partitions int32

	seq    uint64
	time   int64
	pos    uint64
	gno    int64
	live   map[*schema.Table]*history
	tables int
	buf    []byte
}

// history is what is in a table after all that a Gen has told of it.
type history struct {
	rows []schema.Row    // with memory of their own
	keys map[string]bool // of rows; nil without a key
}

// NewGen returns a Gen with that seed.
func NewGen(seed uint64) *Gen {
	return &Gen{
		Rand: rand.New(rand.NewPCG(seed, 0)),
		seq:  1<<connect.SeqEpochShift | 1000,
		time: 1750000000_000000,
		gno:  1,
		live: map[*schema.Table]*history{},
	}
}

// oneIn is true once in n times.
func (g *Gen) oneIn(n int) bool { return g.IntN(n) == 0 }

// Rows returns the rows that t has after all transactions so far, in no
// order. They are the Gen's.
func (g *Gen) Rows(t *schema.Table) []schema.Row {
	if h := g.live[t]; h != nil {
		return h.rows
	}
	return nil
}

// Fill adds at least n records to b: whole transactions on some of the
// tables, whose updates and deletes are of rows that are there. It sets Pos.
func (g *Gen) Fill(b *connect.Batch, tables []*schema.Table, n int) {
	for begin := len(b.Records); len(b.Records) < begin+n; {
		g.Transaction(b, tables)
	}
	b.Pos = fmt.Appendf(nil, "%020d", g.seq)
}

// Transaction adds one transaction to b: some events of some rows each.
func (g *Gen) Transaction(b *connect.Batch, tables []*schema.Table) {
	g.time += 1 + g.Int64N(5000)
	if g.oneIn(2) {
		g.gno++
	}
	for range 1 + g.IntN(3) {
		g.event(b, tables[g.IntN(len(tables))])
	}
	b.Records[len(b.Records)-1].Flags |= connect.TxEnd
}

// event adds the records of one event on one table.
func (g *Gen) event(b *connect.Batch, t *schema.Table) {
	h := g.history(t)
	ops := []connect.Op{connect.OpInsert, connect.OpInsert, connect.OpInsert, connect.OpUpdate, connect.OpUpdate, connect.OpDelete, connect.OpRead}
	op := ops[g.IntN(len(ops))]
	if !g.RowsOnly && g.oneIn(20) {
		op = connect.OpSchema
		if g.oneIn(3) {
			op = connect.OpTruncate
			clear(h.keys)
			h.rows = nil
		}
	}
	if len(h.rows) == 0 && (op == connect.OpUpdate || op == connect.OpDelete) {
		op = connect.OpInsert
	}
	o := g.origin(b, op)
	if !op.HasRow() {
		g.record(b, t, op, o, nil, nil)
		return
	}
	for row := range int32(1 + g.IntN(6)) {
		if len(h.rows) == 0 && (op == connect.OpUpdate || op == connect.OpDelete) {
			return
		}
		begin := len(b.Records)
		g.change(b, t, op, o)
		for i := begin; i < len(b.Records); i++ {
			b.Records[i].Row = row
		}
	}
}

// change adds the records of one row.
func (g *Gen) change(b *connect.Batch, t *schema.Table, op connect.Op, o *connect.Origin) {
	h := g.history(t)
	if op == connect.OpInsert || op == connect.OpRead {
		after := g.newRow(b, t)
		g.put(h, t, after)
		g.record(b, t, op, o, nil, after)
		return
	}
	i := g.IntN(len(h.rows))
	before := copyRow(b, h.rows[i])
	g.remove(h, t, i)
	switch {
	case op == connect.OpDelete:
		g.record(b, t, op, o, before, nil)
	case len(t.Key) > 0 && g.oneIn(5):
		after := g.newRow(b, t)
		g.put(h, t, after)
		g.record(b, t, connect.OpDelete, o, before, nil).Flags |= connect.KeyMoved
		g.record(b, t, connect.OpInsert, o, nil, after).Flags |= connect.KeyMoved
	default:
		after := b.NewRow(len(before))
		copy(after, before)
		for k := range after {
			if !t.IsKey(k) && g.oneIn(3) {
				after[k] = g.Value(b, &t.Columns[k])
			}
		}
		g.put(h, t, after)
		g.record(b, t, op, o, before, after)
	}
}

// record adds one record.
func (g *Gen) record(b *connect.Batch, t *schema.Table, op connect.Op, o *connect.Origin, before, after schema.Row) *connect.Record {
	if op != connect.OpRead {
		g.seq++
	}
	r := b.Add()
	r.Op, r.Table, r.Topic, r.Before, r.After = op, t, "gen."+t.String(), before, after
	r.Seq, r.Time, r.Origin = g.seq, g.time, o
	if op == connect.OpSchema && g.oneIn(2) {
		r.Flags |= connect.Reread
	}
	if g.Headers && g.oneIn(4) {
		r.Headers = b.NewHeaders(1 + g.IntN(3))
		for i := range r.Headers {
			r.Headers[i] = connect.Header{Key: fmt.Sprintf("h%d", g.IntN(5)), Value: g.binary(b, g.IntN(10))}
		}
	}
	if g.Partitions > 1 {
		var hash uint64
		hash, g.buf = r.Hash(connect.SpreadOf(t), g.buf)
		r.Partition = int32(hash % uint64(g.Partitions))
	}
	for _, row := range []schema.Row{before, after} {
		for i := range row {
			b.Grow(row[i].Size())
		}
	}
	return r
}

// origin returns a new origin, now and then none.
func (g *Gen) origin(b *connect.Batch, op connect.Op) *connect.Origin {
	if g.oneIn(20) {
		return nil
	}
	g.pos += uint64(g.IntN(2000))
	o := b.NewOrigin()
	o.ServerID, o.Thread, o.Time = 1+uint32(g.seq>>12&3), g.Uint32N(100), g.time/1e6*1e6
	o.File, o.Pos, o.Snapshot = fmt.Sprintf("binlog.%06d", 1+g.pos>>16), g.pos&(1<<16-1), op == connect.OpRead
	if g.gno&1 == 0 {
		o.GNO = g.gno
		copy(o.SID[:], "0123456789abcdef")
		if g.gno&2 == 0 {
			o.Tag = "tag"
		}
	}
	return o
}

func (g *Gen) history(t *schema.Table) *history {
	h := g.live[t]
	if h == nil {
		h = &history{}
		if len(t.Key) > 0 {
			h.keys = map[string]bool{}
		}
		g.live[t] = h
	}
	return h
}

func (g *Gen) put(h *history, t *schema.Table, row schema.Row) {
	h.rows = append(h.rows, row.Clone())
	if h.keys != nil {
		h.keys[string(connect.AppendKey(nil, row, t.Key))] = true
	}
}

func (g *Gen) remove(h *history, t *schema.Table, i int) {
	if h.keys != nil {
		delete(h.keys, string(connect.AppendKey(nil, h.rows[i], t.Key)))
	}
	n := len(h.rows) - 1
	h.rows[i], h.rows[n] = h.rows[n], nil
	h.rows = h.rows[:n]
}

// newRow returns a row whose key is not in the table.
func (g *Gen) newRow(b *connect.Batch, t *schema.Table) schema.Row {
	h := g.history(t)
	for {
		row := g.Row(b, t)
		if h.keys == nil || !h.keys[string(connect.AppendKey(nil, row, t.Key))] {
			return row
		}
	}
}

// copyRow returns a copy of row in b's memory.
func copyRow(b *connect.Batch, row schema.Row) schema.Row {
	c := b.NewRow(len(row))
	for i, v := range row {
		if c[i] = v; v.Size() > 0 {
			num, aux, p := v.Raw()
			q := b.Alloc(len(p))
			copy(q, p)
			c[i] = schema.FromRaw(v.Kind(), num, aux, q)
		}
	}
	return c
}
