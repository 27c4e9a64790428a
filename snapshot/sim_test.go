package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// simServer is a server whose transactions are in the log some time before
// they can be seen, and become visible in any order that row locks allow.
// Every value is a version: the number of the change that made it.
type simServer struct {
	mu      sync.Mutex
	rng     *rand.Rand
	log     []simTx
	shape   [2]*schema.Table // with and without a key
	logical map[int64]uint64 // the keyed table at the log's end
	visible map[int64]uint64 // as a SELECT sees it
	initial map[int64]uint64
	bag     map[uint64]int64 // the other table's rows: version to value, as visible
	locked  bool             // the other table is locked
	version uint64
	pending int // transactions that are not visible
	ddl     bool
}

type simTx struct {
	changes []simChange
	visible bool
}

type simChange struct {
	table   int
	op      connect.Op
	flags   connect.Flags
	key     int64
	was, is uint64
	shape   *schema.Table
	seq     uint64
	all     map[int64]uint64 // of a change of all rows: what they are then
}

func simShape(name string, keyed bool, extra int) *schema.Table {
	t := &schema.Table{Database: "sim", Name: name, Columns: []schema.Column{
		{Name: "id", Type: schema.TypeBigInt}, {Name: "v", Type: schema.TypeBigInt}}}
	if keyed {
		t.Key, t.Primary = []int{0}, true
	}
	for i := range extra {
		t.Columns = append(t.Columns, schema.Column{Name: "x" + strconv.Itoa(i), Type: schema.TypeInt, Nullable: true})
	}
	t, err := schema.New(t)
	if err != nil {
		panic(err)
	}
	return t
}

func newSim(rng *rand.Rand, rows int, ddl bool) *simServer {
	s := &simServer{rng: rng, logical: map[int64]uint64{}, bag: map[uint64]int64{}, ddl: ddl}
	s.shape[0], s.shape[1] = simShape("keyed", true, 0), simShape("bag", false, 0)
	for i := range rows {
		s.version++
		s.logical[int64(i*3)] = s.version
		s.version++
		s.bag[s.version] = int64(i % 3)
	}
	s.visible, s.initial = maps.Clone(s.logical), maps.Clone(s.logical)
	return s
}

// busy reports whether a transaction that is not visible yet holds key.
func (s *simServer) busy(table int, key int64) bool {
	for i := len(s.log) - 1; i >= 0; i-- {
		if s.log[i].visible {
			continue
		}
		for _, c := range s.log[i].changes {
			if c.table == table && (table == 0 && c.key == key || table == 1) {
				return true
			}
		}
	}
	return false
}

// write puts a random transaction into the log.
func (s *simServer) write(keys int) {
	if s.ddl && s.rng.IntN(40) == 0 {
		for s.pending > 0 { // a statement that changes a table waits for its transactions
			s.commit()
		}
		s.alter()
		return
	}
	var tx simTx
	used := map[int64]bool{}
	for range 1 + s.rng.IntN(4) {
		k := s.rng.Int64N(int64(keys))
		if used[k] || s.busy(0, k) {
			continue
		}
		used[k] = true
		s.change(&tx, k)
		if m := s.rng.Int64N(int64(keys)); s.rng.IntN(3) == 0 && !used[m] && !s.busy(0, m) {
			used[m] = true
			s.change(&tx, m)
		}
	}
	if s.rng.IntN(3) == 0 && !s.locked && !s.busy(1, 0) {
		s.changeBag(&tx)
	}
	if len(tx.changes) > 0 {
		s.log = append(s.log, tx)
		s.pending++
	}
}

func (s *simServer) change(tx *simTx, k int64) {
	s.version++
	c := simChange{key: k, was: s.logical[k], is: s.version, shape: s.shape[0], seq: s.version}
	switch {
	case c.was == 0:
		c.op = connect.OpInsert
	case s.rng.IntN(3) == 0:
		c.op, c.is = connect.OpDelete, 0
	default:
		c.op = connect.OpUpdate
	}
	if c.is == 0 {
		delete(s.logical, k)
	} else {
		s.logical[k] = c.is
	}
	tx.changes = append(tx.changes, c)
}

func (s *simServer) changeBag(tx *simTx) {
	s.version++
	c := simChange{table: 1, op: connect.OpInsert, key: s.rng.Int64N(3), is: s.version, shape: s.shape[1], seq: s.version}
	if len(s.bag) > 0 && s.rng.IntN(2) == 0 {
		c.op, c.was = connect.OpDelete, slices.Sorted(maps.Keys(s.bag))[s.rng.IntN(len(s.bag))]
		c.key, c.is = s.bag[c.was], 0
	}
	tx.changes = append(tx.changes, c)
}

// alter truncates the keyed table, widens it, or gives all its rows new
// values that no row event tells of.
func (s *simServer) alter() {
	s.version++
	c := simChange{op: connect.OpTruncate, shape: s.shape[0], seq: s.version}
	switch s.rng.IntN(3) {
	case 0:
		clear(s.logical)
	case 1:
		c.op = connect.OpSchema
		s.shape[0] = simShape("keyed", true, len(s.shape[0].Columns)-1)
	default:
		c.op, c.flags = connect.OpSchema, connect.Reread
		for k := range s.logical {
			s.version++
			s.logical[k] = s.version
		}
		c.seq = s.version
	}
	c.shape, c.all = s.shape[0], maps.Clone(s.logical)
	s.visible = maps.Clone(s.logical)
	s.log = append(s.log, simTx{changes: []simChange{c}, visible: true})
}

// commit makes a random transaction of the log visible.
func (s *simServer) commit() {
	var hidden []int
	for i := range s.log {
		if !s.log[i].visible {
			hidden = append(hidden, i)
		}
	}
	if len(hidden) == 0 {
		return
	}
	tx := &s.log[hidden[s.rng.IntN(len(hidden))]]
	tx.visible = true
	s.pending--
	for _, c := range tx.changes {
		switch {
		case c.table == 1 && c.is == 0:
			delete(s.bag, c.was)
		case c.table == 1:
			s.bag[c.is] = c.key
		case c.is == 0:
			delete(s.visible, c.key)
		default:
			s.visible[c.key] = c.is
		}
	}
}

func (s *simServer) high() High { return High{File: "binlog.000001", Pos: uint64(len(s.log)) * 10} }

// anchored reports whether the first n transactions are visible.
func (s *simServer) anchored(a Anchor) bool {
	n, _ := strconv.Atoi(a.GTIDs)
	return !slices.ContainsFunc(s.log[:n], func(tx simTx) bool { return !tx.visible })
}

func simKey(k int64) Key { return binary.BigEndian.AppendUint64(nil, uint64(k)) }

func (s *simServer) inRange(lo, hi Key) []int64 {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.visible)), func(k int64) bool {
		x := string(simKey(k))
		return lo != nil && x <= string(lo) || hi != nil && x > string(hi)
	})
}

// read is the SELECT of a chunk.
func (s *simServer) read(c *Chunk) error {
	c.Parts, c.End, c.Cut, c.Rows, c.Bytes = nil, c.Hi, false, 0, 0
	i := 0
	if c.Table.Name == "bag" {
		i = 1
	}
	if len(s.shape[i].Columns) != len(c.Table.Columns) {
		return fmt.Errorf("sim: %w", ErrShape)
	}
	add := func(key int64, version uint64) {
		if n := len(c.Parts); n == 0 || len(c.Parts[n-1].Records) >= 2 {
			c.Parts = append(c.Parts, c.NewBatch())
		}
		p := c.Parts[len(c.Parts)-1]
		r := p.Add()
		r.Op, r.Table, r.After = connect.OpRead, c.Table, p.NewRow(len(c.Table.Columns))
		r.After[0], r.After[1] = schema.MakeInt(key), schema.MakeInt(int64(version))
		c.Rows, c.Bytes = c.Rows+1, c.Bytes+16
	}
	if i == 1 {
		for v, k := range s.bag {
			add(k, v)
		}
		return nil
	}
	keys := s.inRange(c.Lo, c.Hi)
	if strings.Contains(c.Filter, "odd") {
		keys = slices.DeleteFunc(keys, func(k int64) bool { return k%2 == 0 })
	}
	if len(keys) >= c.MaxRows {
		keys = keys[:c.MaxRows]
		c.Cut, c.End = true, simKey(keys[len(keys)-1])
	}
	for _, k := range keys {
		add(k, s.visible[k])
	}
	return nil
}

// split returns any place in the range, whether there is a row or not.
func (s *simServer) split(lo, hi Key) Key {
	keys := s.inRange(lo, hi)
	if len(keys) < 2 {
		return nil
	}
	at := keys[s.rng.IntN(len(keys)-1)]
	if next := keys[slices.Index(keys, at)+1]; next > at+1 {
		at += s.rng.Int64N(next - at)
	}
	return simKey(at)
}

// simChanges streams a simServer's log.
type simChanges struct {
	s      *simServer
	next   int // transaction
	inside int // change of it
	shapes [2]*schema.Table
	closed chan struct{}
	faults []error
}

func (c *simChanges) Open(_ context.Context, from offsets.Position, _ []offsets.Entry) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.next, c.inside, c.closed = simPos(from), 0, make(chan struct{})
	if from == nil {
		c.next = len(c.s.log)
	}
	c.shapes = [2]*schema.Table{simShape("keyed", true, 0), c.s.shape[1]}
	for _, tx := range c.s.log[:c.next] {
		for _, ch := range tx.changes {
			if ch.op == connect.OpSchema {
				c.shapes[0] = ch.shape
			}
		}
	}
	return nil
}

func simPos(p offsets.Position) int {
	n, _ := strconv.Atoi(string(p))
	return n
}

// stateAt returns the keyed table as of a place in the log.
func (s *simServer) stateAt(n int) map[int64]uint64 {
	state := maps.Clone(s.initial)
	for _, tx := range s.log[:n] {
		for _, c := range tx.changes {
			switch {
			case c.all != nil:
				state = maps.Clone(c.all)
			case c.table == 0 && c.is == 0:
				delete(state, c.key)
			case c.table == 0:
				state[c.key] = c.is
			}
		}
	}
	return state
}

// fill puts a few transactions, or part of one, into b.
func (c *simChanges) fill(b *connect.Batch) {
	for range 1 + c.s.rng.IntN(3) {
		if c.next == len(c.s.log) {
			break
		}
		tx := c.s.log[c.next]
		for c.inside < len(tx.changes) {
			c.add(b, &tx.changes[c.inside])
			c.inside++
			if c.inside < len(tx.changes) && c.s.rng.IntN(8) == 0 {
				return
			}
		}
		b.Records[len(b.Records)-1].Flags |= connect.TxEnd
		c.next, c.inside = c.next+1, 0
	}
	b.Pos = offsets.Position(strconv.Itoa(c.next))
}

func (c *simChanges) add(b *connect.Batch, ch *simChange) {
	r := b.Add()
	r.Op, r.Flags, r.Table, r.Seq = ch.op, ch.flags, ch.shape, ch.seq
	r.Origin = b.NewOrigin()
	r.Origin.File, r.Origin.Pos = "binlog.000001", uint64(c.next)*10+1
	row := func(v uint64) schema.Row {
		row := b.NewRow(len(ch.shape.Columns))
		row[0], row[1] = schema.MakeInt(ch.key), schema.MakeInt(int64(v))
		return row
	}
	if ch.op == connect.OpSchema {
		c.shapes[ch.table] = ch.shape
	}
	if !ch.op.HasRow() {
		return
	}
	if ch.was != 0 {
		r.Before = row(ch.was)
	}
	if ch.is != 0 {
		r.After = row(ch.is)
	}
}

func (c *simChanges) Read(ctx context.Context, b *connect.Batch) error {
	for i := 0; ; i++ {
		c.s.mu.Lock()
		if c.next < len(c.s.log) || i > 3 {
			c.fill(b)
		}
		c.s.mu.Unlock()
		if len(b.Records) > 0 || b.Pos != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.closed:
			return errors.New("sim: closed")
		case <-time.After(100 * time.Microsecond):
		}
	}
}

func (c *simChanges) OpenAnew(ctx context.Context, lost offsets.Position, state []offsets.Entry) error {
	return errors.New("sim: no position is ever lost")
}
func (c *simChanges) Commit(context.Context, offsets.Position) error { return nil }
func (c *simChanges) Head(context.Context) (offsets.Position, error) { return nil, nil }
func (c *simChanges) Close() error                                   { close(c.closed); return nil }
func (c *simChanges) Anchor(p offsets.Position) Anchor {
	return Anchor{GTIDs: string(p), ServerUUID: "sim"}
}
func (c *simChanges) Reached(p offsets.Position, h High) bool      { return uint64(simPos(p))*10 >= h.Pos }
func (c *simChanges) Tables() []*schema.Table                      { return c.shapes[:] }
func (c *simChanges) Topic(t *schema.Table) string                 { return "t" }
func (c *simChanges) Stop(t *schema.Table, reason error)           { c.faults = append(c.faults, reason) }
func (c *simChanges) Halted() [][2]string                          { return nil }
func (c *simChanges) Resume(context.Context, string, string) error { return nil }
func (c *simChanges) Stopped(string, string) (string, bool)        { return "", false }

// target is where batches end up: it applies them, drops what a restart
// replays as the worker does, and checks that no key goes back.
type target struct {
	rows  map[int64]uint64
	newer map[int64]uint64 // the highest version seen of a key
	bag   map[uint64]int64
	pos   offsets.Position
	state map[string]offsets.Position
	seq   uint64
	reads int
	exact int // records that say what the row was
}

func newTarget() *target {
	return &target{rows: map[int64]uint64{}, newer: map[int64]uint64{}, bag: map[uint64]int64{}, state: map[string]offsets.Position{}}
}

func (t *target) entries() (list []offsets.Entry) {
	for _, k := range slices.Sorted(maps.Keys(t.state)) {
		list = append(list, offsets.Entry{Key: k, Pos: t.state[k]})
	}
	return list
}

func (t *target) apply(b *connect.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		if r.Op != connect.OpRead && r.Origin != nil && !r.Origin.Snapshot {
			if r.Seq <= t.seq {
				continue
			}
			t.seq = r.Seq
		}
		if err := t.applyOne(r); err != nil {
			return err
		}
	}
	if b.Pos == nil && len(b.State) > 0 {
		return errors.New("state in a batch without a position")
	}
	if b.Pos != nil {
		if simPos(b.Pos) < simPos(t.pos) {
			return fmt.Errorf("position went back from %s to %s", t.pos, b.Pos)
		}
		t.pos = slices.Clone(b.Pos)
	}
	for _, e := range b.State {
		if t.state[e.Key] = slices.Clone(e.Pos); e.Pos == nil {
			delete(t.state, e.Key)
		}
	}
	return nil
}

func (t *target) applyOne(r *connect.Record) error {
	if r.Op == connect.OpSchema {
		return nil
	}
	if r.Table.Name == "bag" {
		return t.applyBag(r)
	}
	if r.Op == connect.OpTruncate {
		clear(t.rows)
		return nil
	}
	k := r.Key()[0].Int()
	v := uint64(r.Key()[1].Int())
	if r.Op == connect.OpRead {
		t.reads++
	}
	if r.Flags&connect.Exact != 0 {
		t.exact++
		var was uint64
		if r.Before != nil {
			was = uint64(r.Before[1].Int())
		}
		if t.rows[k] != was {
			return fmt.Errorf("%c: key %d is said to have version %d, and has %d", r.Op, k, was, t.rows[k])
		}
	}
	if r.Op == connect.OpDelete {
		t.newer[k] = max(t.newer[k], r.Seq)
		delete(t.rows, k)
		return nil
	}
	if v < t.newer[k] {
		return fmt.Errorf("%c: key %d goes back from version %d to %d", r.Op, k, t.newer[k], v)
	}
	t.newer[k] = v
	t.rows[k] = v
	return nil
}

func (t *target) applyBag(r *connect.Record) error {
	if r.Op == connect.OpTruncate {
		clear(t.bag)
		return nil
	}
	k, v := r.Key()[0].Int(), uint64(r.Key()[1].Int())
	_, there := t.bag[v]
	if there != (r.Op == connect.OpDelete) {
		return fmt.Errorf("bag: %c of row %d, which is there: %t", r.Op, v, there)
	}
	if r.Op == connect.OpDelete {
		delete(t.bag, v)
	} else {
		t.bag[v] = k
	}
	return nil
}
