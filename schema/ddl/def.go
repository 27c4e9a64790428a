package ddl

import (
	"slices"
	"strings"

	"github.com/towline/towline/schema"
)

// Def is the definition of one table as of one version: its shape, and what
// the next DDL statement may build on. Immutable, shared by pointer.
type Def struct {
	Table *schema.Table
	// Engine as information_schema spells it, "" when not known.
	Engine string
	// Charset and Collation are the table's defaults, which new columns take.
	Charset, Collation string
	// Indexes holds all indexes, ordered by name.
	Indexes []Index
}

// Index is one index of a table.
type Index struct {
	// Name is "PRIMARY" for the primary key.
	Name    string
	Unique  bool // the primary key too
	Primary bool
	// Implicit says that the server made the index for a foreign key and will
	// drop it once another index does its work. Only known of tables whose
	// DDL has been read.
	Implicit bool
	// Special: FULLTEXT or SPATIAL, which does no work of another index.
	Special bool
	Parts   []Part
}

// Part is one part of an index.
type Part struct {
	// Column is the column's name, "" for an expression.
	Column string
	// Prefix is the number of characters or bytes indexed, 0 for all. Of an
	// index that is not unique a server may cut it short, which DDL does not
	// show.
	Prefix int
}

// Database is what a table may inherit from its database.
type Database struct {
	Name               string
	Charset, Collation string
}

// NewDef returns the Def of the table that t, with columns but without keys,
// and the indexes describe; it fills in t's keys by the one rule that every
// reader of shapes follows:
//
// Key is the primary key. Without one it is a unique key over whole columns
// that cannot be NULL; of several the one without generated columns goes
// first, then the one of fewest columns, then the one whose columns come
// first in the table. Unique holds the other unique keys without expressions,
// each once, ordered by their columns; keys over prefixes are among them, for
// what is unique by its beginning is unique.
//
// t and indexes belong to the Def afterwards.
func NewDef(t *schema.Table, indexes []Index) (*Def, error) {
	slices.SortFunc(indexes, func(a, b Index) int { return strings.Compare(a.Name, b.Name) })
	t.Key, t.Unique, t.Primary, t.UniqueUnknown = nil, nil, false, false
	for i := range indexes {
		if indexes[i].Primary {
			t.Key, t.Primary = columnsOf(t, &indexes[i]), true
		}
	}
	if !t.Primary {
		t.Key = standIn(t, indexes)
	}
	for i := range indexes {
		cols := columnsOf(t, &indexes[i])
		if indexes[i].Unique && !indexes[i].Primary && cols != nil && !slices.Equal(cols, t.Key) {
			t.Unique = append(t.Unique, cols)
		}
	}
	slices.SortFunc(t.Unique, slices.Compare[[]int])
	t.Unique = slices.CompactFunc(t.Unique, slices.Equal[[]int])
	t, err := schema.New(t)
	if err != nil {
		return nil, err
	}
	return &Def{Table: t, Indexes: indexes}, nil
}

// columnsOf returns the columns of an index, nil when one of its parts is an
// expression.
func columnsOf(t *schema.Table, x *Index) []int {
	cols := make([]int, len(x.Parts))
	for i, p := range x.Parts {
		if cols[i] = columnIndex(t.Columns, p.Column); cols[i] < 0 {
			return nil
		}
	}
	return cols
}

// standIn returns the columns of the unique key that stands in for a primary
// key, nil when there is none.
func standIn(t *schema.Table, indexes []Index) (key []int) {
	generated := func(cols []int) int {
		if slices.ContainsFunc(cols, func(c int) bool { return t.Columns[c].Generated }) {
			return 1
		}
		return 0
	}
	for i := range indexes {
		x := &indexes[i]
		cols := columnsOf(t, x)
		if !x.Unique || cols == nil ||
			slices.ContainsFunc(x.Parts, func(p Part) bool { return p.Prefix > 0 }) ||
			slices.ContainsFunc(cols, func(c int) bool { return t.Columns[c].Nullable }) {
			continue
		}
		if key == nil || slices.Compare(append([]int{generated(cols), len(cols)}, cols...),
			append([]int{generated(key), len(key)}, key...)) < 0 {
			key = cols
		}
	}
	return key
}

// columnIndex finds a column by name, in any letter case as the server does.
func columnIndex(cols []schema.Column, name string) int {
	if name == "" {
		return -1
	}
	return slices.IndexFunc(cols, func(c schema.Column) bool { return strings.EqualFold(c.Name, name) })
}
