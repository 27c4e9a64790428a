package jdbc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
	"github.com/towline/towline/sinks/apply"
)

// alias names the new rows in ON DUPLICATE KEY UPDATE. It must not be the
// name of the table.
const alias = "`towline new`"

// column is a column that is written.
type column struct {
	src    int // in rows
	source *schema.Column
	ident  string // quoted, as the target has it
	form   form
	// limit is the number of characters that the target takes, 0 where the
	// source cannot have more: the server would cut spaces off without a word.
	limit int
	enum  bool // may hold the error value, number 0
	// member: the target has an ENUM or SET here, and it takes numbers or
	// elements; see member.go.
	member bool
	empty  bool // it is a SET with the member ''
	wide   bool // it is a SET of 64 members, given by number
}

// route is how the rows of one shape get into one table.
type route struct {
	name   name
	quoted string
	shape  *schema.Table
	cols   []column
	// key holds the source columns that identify a row, nil: none, rows are
	// found by all they hold.
	key     []int
	keyCols []column
	// apart: keys are compared column by column, not as tuples.
	apart bool
	// unique holds the source columns of the target's other unique keys;
	// always says that there are some which rows do not show. With either the
	// table is guarded.
	unique  [][]int
	always  bool
	guarded bool
	ordered bool // changes are made one after the other, as they come
	enums   bool // a column may hold the error value

	insert     string // up to VALUES
	upsert     string // what follows the rows
	deleteFrom string // up to the list of keys
	where      string // the same in an UPDATE
	target     string // name as the server tells tables apart
	direct     directness
	own        *group // memory for the changes of a batch
	group      *group // the changes of the batch, nil: none yet
}

// newRoute works out how rows of t get into a table of shape sh.
func newRoute(n name, t *schema.Table, key []int, sh *shape, set *settings, cs *charsets) (*route, error) {
	def := sh.def
	rt := &route{name: n, quoted: n.quoted(), shape: t, key: key}
	rt.ordered = len(key) == 0 || set.mode == modeInsert
	if err := rt.setColumns(def, set, cs); err != nil {
		return nil, err
	}
	index, err := rt.setKey(def, set)
	if err != nil {
		return nil, err
	}
	rt.setUnique(def, index)
	rt.guarded = (len(rt.unique) > 0 || rt.always) && !rt.ordered
	rt.setStatements(index)
	if sh.create != "" {
		rt.direct = directness{events: newRowEvents(rt, def, index, cs), create: sh.create}
	}
	return rt, nil
}

func (rt *route) setColumns(def *ddl.Def, set *settings, cs *charsets) error {
	for i := range rt.shape.Columns {
		s := &rt.shape.Columns[i]
		if !set.wants(s.Name) && !slices.Contains(rt.key, i) {
			continue
		}
		k := find(def.Table, s.Name)
		if k < 0 {
			return fmt.Errorf("column %s is missing", quoted(s.Name))
		}
		d := &def.Table.Columns[k]
		if d.Generated {
			continue // the target computes it
		}
		f, spelled := fitOf(d, s, cs)
		c := newColumn(i, s, d, spelled)
		if f == narrow && (d.Type == schema.TypeChar || d.Type == schema.TypeVarchar) {
			c.limit = max(d.Length, 1)
		}
		rt.enums = rt.enums || c.enum
		rt.cols = append(rt.cols, c)
	}
	if len(rt.cols) == 0 {
		return errors.New("there is no column to write")
	}
	return nil
}

// setKey finds the unique key of the target over the columns of the key, and
// returns its name.
func (rt *route) setKey(def *ddl.Def, set *settings) (index string, err error) {
	if len(rt.key) == 0 {
		return "", nil
	}
	for _, k := range rt.key {
		s := &rt.shape.Columns[k]
		d := &def.Table.Columns[find(def.Table, s.Name)]
		if !sameOrder(d, s) {
			return "", fmt.Errorf("column %s, which belongs to the key, has the collation %s, which takes values for the same that %s tells apart", quoted(d.Name), d.Collation, s.Collation)
		}
		spelled := formPlain
		for _, c := range rt.cols {
			if c.src == k {
				spelled = c.form
			}
		}
		c := newColumn(k, s, d, spelled)
		rt.keyCols = append(rt.keyCols, c)
		rt.apart = rt.apart || c.member && len(rt.key) > 1
	}
	for i := range def.Indexes {
		if x := &def.Indexes[i]; x.Unique && rt.isKey(def, x) {
			return x.Name, nil
		}
	}
	if set.mode != modeInsert {
		var names []string
		for _, c := range rt.keyCols {
			names = append(names, c.ident)
		}
		return "", fmt.Errorf("it has no primary or unique key over (%s), by which rows are found: add one", strings.Join(names, ", "))
	}
	return "", nil
}

// isKey reports whether x has the columns of the key and no others.
func (rt *route) isKey(def *ddl.Def, x *ddl.Index) bool {
	if len(x.Parts) != len(rt.key) {
		return false
	}
	for _, p := range x.Parts {
		col := find(rt.shape, p.Column)
		if p.Column == "" || !slices.Contains(rt.key, col) {
			return false
		}
		if p.Prefix > 0 && !big(&def.Table.Columns[find(def.Table, p.Column)]) {
			return false
		}
	}
	return true
}

// setUnique collects the other unique keys of the target.
func (rt *route) setUnique(def *ddl.Def, index string) {
	for i := range def.Indexes {
		x := &def.Indexes[i]
		if !x.Unique || x.Name == index {
			continue
		}
		var cols []int
		for _, p := range x.Parts {
			k := find(def.Table, p.Column)
			if p.Column == "" || k < 0 || def.Table.Columns[k].Generated {
				rt.always = true
				continue
			}
			if s := find(rt.shape, p.Column); s >= 0 {
				cols = append(cols, s)
			}
		}
		if len(cols) > 0 {
			rt.unique = append(rt.unique, cols)
		}
	}
}

func (rt *route) setStatements(index string) {
	b := append(append([]byte("INSERT INTO "), rt.quoted...), ' ')
	for i := range rt.cols {
		b = append(append(b, "(,"[min(i, 1)]), rt.cols[i].ident...)
	}
	rt.insert = string(append(b, ") VALUES "...))
	if len(rt.key) == 0 {
		return
	}
	rt.upsert = rt.upsertTail()
	b = append([]byte("DELETE "), rt.hint(index)...)
	b = append(append(b, "FROM "...), rt.quoted...)
	rt.where = " WHERE ("
	if !rt.apart {
		rt.where = string(append(rt.appendKeyNames([]byte(" WHERE ")), " IN ("...))
	}
	rt.deleteFrom = string(append(b, rt.where...))
}

// hint has a DELETE go by the key also where the server would rather read a
// small table whole, and wait for rows that other lanes hold.
func (rt *route) hint(index string) string {
	if index == "" {
		return ""
	}
	return "/*+ INDEX(" + quoted(rt.name.table) + " " + quoted(index) + ") */ "
}

func (rt *route) appendKeyNames(b []byte) []byte {
	if len(rt.keyCols) == 1 {
		return append(b, rt.keyCols[0].ident...)
	}
	for i, c := range rt.keyCols {
		b = append(append(b, "(,"[min(i, 1)]), c.ident...)
	}
	return append(b, ')')
}

// upsertTail is ON DUPLICATE KEY UPDATE for all that is not the key. In a
// guarded table the row hit may be another one, by another unique key; then
// the key becomes NULL, which its column refuses.
func (rt *route) upsertTail() string {
	b := []byte(" AS " + alias + " ON DUPLICATE KEY UPDATE ")
	sep := ""
	if rt.guarded {
		for _, c := range rt.keyCols {
			own, other := quoted(rt.name.table)+"."+c.ident, alias+"."+c.ident
			if c.member {
				own, other = number(own), number(other)
			}
			b = append(b, sep+c.ident+" = IF("+own+" <=> "+other+", "+own+", NULL)"...)
			sep = ", "
		}
	}
	for _, c := range rt.cols {
		if !slices.Contains(rt.key, c.src) {
			b = append(b, sep+c.ident+" = "+c.renewed()...)
			sep = ", "
		}
	}
	if sep == "" { // nothing but the key
		c := rt.keyCols[0]
		b = append(b, c.ident+" = "+c.renewed()...)
	}
	return string(b)
}

// sameWrites reports whether rows of o's shape may be written as rt's are.
func (rt *route) sameWrites(o *route) bool {
	return rt == o || rt.insert == o.insert && rt.shape.SameLayout(o.shape) && slices.Equal(rt.key, o.key)
}

// group is the changes of one table that a batch has so far.
type group struct {
	route *route
	table *apply.Table   // by key
	list  []apply.Change // in order, where the route is ordered
}

func newGroup(rt *route) *group {
	g := &group{route: rt}
	if !rt.ordered {
		g.table = apply.NewTable(rt.key, rt.unique, rt.always)
	}
	return g
}

// changes returns what there is to apply.
func (g *group) changes() []apply.Change {
	if g.table != nil {
		return g.table.Changes
	}
	return g.list
}

// add takes in a record. Where changes are made in order, Partial marks an
// update of the row First.
func (g *group) add(i int, r *connect.Record, mode string) error {
	if g.table != nil {
		return g.table.Add(i, r)
	}
	c := apply.Change{Row: r.After, Last: i}
	switch {
	case !apply.Upserted(r):
		c.Row, c.Gone = r.Before, true
	case r.Op == connect.OpUpdate && mode != modeInsert:
		if r.Before == nil {
			return errors.New("an update of a table without a key has no image of the row before")
		}
		c.First, c.Partial = r.Before, true
	}
	if c.Row == nil {
		return errors.New("a change of a table without a key has no image of the row")
	}
	g.list = append(g.list, c)
	return nil
}

func (g *group) reset() {
	if g.table != nil {
		g.table.Reset()
	}
	clear(g.list)
	g.list = g.list[:0]
}
