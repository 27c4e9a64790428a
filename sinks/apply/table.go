package apply

import (
	"fmt"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// Change is what becomes of one key.
type Change struct {
	// Row is the row as it is in the end or, where it is Gone, a row with its
	// key.
	Row schema.Row
	// First is the image before the first of the changes, nil where that is
	// not known or there was none.
	First schema.Row
	// Last is the record that came last.
	Last int
	// Gone: the row is not there any more.
	Gone bool
	// Partial: columns of Row are Absent and stay as they are in the target.
	Partial bool
	// Exact: all of its records are (see connect.Exact), so the target has the
	// row as First says.
	Exact bool
	// Moved: the row's values in another unique key may not be those that the
	// target has.
	Moved bool
}

// Step is the part of one record in a Change.
type Step struct {
	Record int
	Change int
	// Gone: the record removes this key (a delete, or an update that leads
	// away from it).
	Gone bool
}

// Table collects the changes of one table.
type Table struct {
	// Changes has one entry for each key, in order of their first records.
	Changes []Change
	// Steps has the records in order.
	Steps []Step

	key    []int
	unique [][]int
	always bool
	keys   Keys
	buf    []byte
	rows   []schema.Row // memory of merged rows
	used   int
}

// NewTable returns a Table that compacts by the values of the key columns.
// unique are the columns of other unique keys; with always set every update
// may move a row (there are unique keys over what rows do not show).
func NewTable(key []int, unique [][]int, always bool) *Table {
	return &Table{key: key, unique: unique, always: always}
}

// Reset empties t and keeps its memory.
func (t *Table) Reset() {
	clear(t.Changes)
	t.Changes, t.Steps, t.used = t.Changes[:0], t.Steps[:0], 0
	t.keys.Reset()
}

// Upserted reports whether r leaves a row behind. A delete that a transform
// has rewritten to a row is one that does.
func Upserted(r *connect.Record) bool {
	return r.Op != connect.OpDelete || r.Flags&connect.Unwrapped != 0 && r.After != nil
}

// Add takes in r, which has a row and is number record of its batch.
func (t *Table) Add(record int, r *connect.Record) error {
	if !Upserted(r) {
		return t.remove(record, r, r.Before)
	}
	if r.Op == connect.OpUpdate && r.Before != nil && t.keyDiffers(r.Before, r.After) {
		if err := t.remove(record, r, r.Before); err != nil {
			return err
		}
	}
	return t.put(record, r)
}

// remove notes that the row with before's key is gone.
func (t *Table) remove(record int, r *connect.Record, before schema.Row) error {
	c, added, err := t.change(record, r, before, true)
	if err != nil {
		return err
	}
	if added {
		c.First = before
	}
	c.Row, c.Last, c.Gone, c.Partial = before, record, true, false
	return nil
}

func (t *Table) put(record int, r *connect.Record) error {
	c, added, err := t.change(record, r, r.After, false)
	if err != nil {
		return err
	}
	moved, partial := c.Moved, r.Op == connect.OpUpdate && t.partial(r.After)
	switch {
	case r.Op == connect.OpRead:
		moved = true
	case r.Op == connect.OpUpdate && r.Before != nil && !t.keyDiffers(r.Before, r.After):
		moved = moved || t.moves(r.Before, r.After)
	case !added && c.Gone:
		moved = moved || t.moves(c.Row, r.After)
	case r.Op == connect.OpUpdate:
		moved = true // nothing is known of the row before
	}
	if added && r.Op == connect.OpUpdate {
		c.First = r.Before
	}
	row := r.After
	if partial && !added && !c.Gone {
		row = t.merge(c.Row, r.After)
		partial = t.partial(row)
	}
	c.Row, c.Last, c.Gone, c.Partial, c.Moved = row, record, false, partial, moved
	return nil
}

// change returns the Change of row's key.
func (t *Table) change(record int, r *connect.Record, row schema.Row, gone bool) (c *Change, added bool, err error) {
	for _, k := range t.key {
		if k >= len(row) || row[k].Kind() == schema.Absent || row[k].IsNull() {
			return nil, false, fmt.Errorf("the record has no value for column %d, which belongs to the key", k+1)
		}
	}
	t.buf = connect.AppendKey(t.buf[:0], row, t.key)
	n, added := t.keys.Add(t.buf)
	if added {
		t.Changes = append(t.Changes, Change{Exact: true})
	}
	t.Steps = append(t.Steps, Step{Record: record, Change: n, Gone: gone})
	c = &t.Changes[n]
	c.Exact = c.Exact && r.Flags&connect.Exact != 0
	return c, added, nil
}

func (t *Table) keyDiffers(a, b schema.Row) bool {
	for _, k := range t.key {
		if a[k].Kind() != schema.Absent && b[k].Kind() != schema.Absent && !a[k].Equal(b[k]) {
			return true
		}
	}
	return false
}

// moves reports whether the values of a unique key may differ.
func (t *Table) moves(before, after schema.Row) bool {
	if t.always {
		return true
	}
	for _, u := range t.unique {
		for _, k := range u {
			if after[k].Kind() != schema.Absent && !before[k].Equal(after[k]) {
				return true
			}
		}
	}
	return false
}

func (t *Table) partial(row schema.Row) bool {
	for i := range row {
		if row[i].Kind() == schema.Absent {
			return true
		}
	}
	return false
}

// merge returns old with what patch has of it, in t's memory.
func (t *Table) merge(old, patch schema.Row) schema.Row {
	if t.used == len(t.rows) {
		t.rows = append(t.rows, nil)
	}
	row := append(t.rows[t.used][:0], old...)
	t.rows[t.used] = row
	t.used++
	for i := range patch {
		if patch[i].Kind() != schema.Absent {
			row[i] = patch[i]
		}
	}
	return row
}
