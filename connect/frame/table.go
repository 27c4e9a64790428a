package frame

import (
	"bytes"
	"fmt"

	"github.com/towline/towline/schema"
)

// The caches are emptied when they are full: a process that needs more at
// once than this only loses speed.
const (
	maxCachedTables  = 16384
	maxCachedTopics  = 16384
	maxCachedForms   = 32 << 20 // bytes of binary forms
	maxCachedStrings = 4096
	maxCachedString  = 4096 // bytes of one
)

// table is a Table, and what a converter knows about it.
type table struct {
	*schema.Table
	form    []byte // its binary form
	cols    []column
	bitmap  int    // bytes of a bitmap of its columns
	rowSize int    // bound on the bytes of a row, but for what values point to
	frame   uint64 // the encoder's frame that it last went to
	index   int    // in that frame
}

// maxOdd bounds what an odd value takes besides its bytes: kind, scale and a
// number or length.
const maxOdd = 1 + 5 + 10

func newTable(t *schema.Table, form []byte) (*table, error) {
	cols := columnsOf(t)
	for i := range cols {
		if c := &cols[i]; c.aux > maxScale(c.kind) {
			return nil, fmt.Errorf("table %s: column %q has the scale %d; at most %d is possible",
				t, t.Columns[i].Name, t.Columns[i].Scale, maxScale(c.kind))
		}
	}
	bitmap := (len(cols) + 7) / 8
	return &table{Table: t, form: form, cols: cols, bitmap: bitmap, rowSize: bitmap + maxOdd*len(cols)}, nil
}

// encTables has the tables that an encoder has met.
type encTables struct {
	byTable map[*schema.Table]*table
	bytes   int
}

func (c *encTables) get(t *schema.Table) (*table, error) {
	if e := c.byTable[t]; e != nil {
		return e, nil
	}
	if t == nil {
		return nil, fmt.Errorf("has no table")
	}
	if t.ID() == (schema.ID{}) {
		return nil, fmt.Errorf("table %s was not made with schema.New", t)
	}
	e, err := newTable(t, schema.AppendTable(nil, t))
	if err != nil {
		return nil, err
	}
	if c.byTable == nil || len(c.byTable) >= maxCachedTables || c.bytes > maxCachedForms {
		c.byTable, c.bytes = make(map[*schema.Table]*table), 0
	}
	c.byTable[t] = e
	c.bytes += len(e.form)
	return e, nil
}

// decTables has the tables that a decoder has met.
type decTables struct {
	byID  map[schema.ID]*table
	bytes int
}

// get returns the table of an ID and a binary form. The ID finds it and the
// form proves it.
func (c *decTables) get(id schema.ID, form []byte) (*table, error) {
	if e := c.byID[id]; e != nil && bytes.Equal(e.form, form) {
		return e, nil
	}
	t, rest, err := schema.ParseTable(form)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 || t.ID() != id {
		return nil, fmt.Errorf("table %s is not the one of ID %s", t, id)
	}
	e, err := newTable(t, bytes.Clone(form))
	if err != nil {
		return nil, err
	}
	if c.byID == nil || len(c.byID) >= maxCachedTables || c.bytes > maxCachedForms {
		c.byID, c.bytes = make(map[schema.ID]*table), 0
	}
	c.byID[id] = e
	c.bytes += len(form)
	return e, nil
}

// interner makes strings that are shared and may be kept.
type interner struct{ known map[string]string }

func (in *interner) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := in.known[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) > maxCachedString {
		return s
	}
	if in.known == nil || len(in.known) >= maxCachedStrings {
		in.known = make(map[string]string)
	}
	in.known[s] = s
	return s
}
