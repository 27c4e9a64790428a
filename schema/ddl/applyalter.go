package ddl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/schema"
)

func (st *Statement) applyAlter(m Model) []Outcome {
	a, n := st.alter, st.Tables[0]
	out := Outcome{Name: n, Effect: a.effect}
	if prev := m.Def(n.Database, n.Table); prev == nil {
		if a.ifExists {
			return nil // or a table that nothing is known of, as before
		}
		out.Err = ErrUnknownTable
		if len(a.elements.columns) > 0 || a.convert {
			out.Effect |= Rewrites
		}
	} else {
		var done *alteration
		out.Def, done, out.Err = st.alterDef(prev)
		out.Effect |= done.effect
		out.Columns = done.names
	}
	outs := []Outcome{out}
	if a.exchange != nil {
		x := Outcome{Name: *a.exchange, Effect: a.effect, Def: m.Def(a.exchange.Database, a.exchange.Table)}
		outs = append(outs, x.known())
	}
	if a.to != nil && *a.to != n {
		moved := outs[0]
		moved.Name, moved.From = *a.to, &n
		if moved.Def != nil {
			d := moved.Def
			moved.Def, moved.Err = rebuild(d, *a.to, slices.Clone(d.Table.Columns), cloneIndexes(d.Indexes))
		}
		outs[0] = moved
		outs = append(outs, Outcome{Name: n, To: a.to})
	}
	return outs
}

// alteration is the state of one ALTER TABLE.
type alteration struct {
	builder
	spec   *alterSpec
	prev   *Def
	names  map[string]string // the new name of each old column, by the old one in lower case; "" for dropped ones
	effect Effect
}

func (st *Statement) alterDef(prev *Def) (*Def, *alteration, error) {
	n := st.Tables[0]
	a := &alteration{spec: st.alter.without(prev), prev: prev, names: map[string]string{}, effect: Rewrites} // until more is known
	set, err := st.options.apply(&st.ctx, textSet{prev.Charset, prev.Collation}, textSet{prev.Charset, prev.Collation})
	if err != nil {
		return nil, a, err
	}
	a.builder = builder{ctx: &st.ctx, set: set, convert: st.alter.convert}
	a.oldColumns()
	a.newColumns()
	a.oldIndexes()
	if a.spec.dropForeign && !st.ctx.MariaDB {
		a.free = len(a.indexes)
	}
	a.addKeys(a.spec.elements.keys)
	a.checkNames()
	if a.err != nil {
		return nil, a, fmt.Errorf("ddl: %s %s does not fit the shape that is known: %w", st.Verb, n, a.err)
	}
	a.effect = 0
	a.compare()
	d := *prev
	d.Charset, d.Collation = set.charset, set.collation
	if st.options.engine != "" {
		d.Engine = st.options.engine
		if d.Engine == "BLACKHOLE" && prev.Engine != d.Engine {
			a.effect |= Removes | Empties
		}
	}
	next, err := rebuild(&d, n, a.cols, a.finish())
	return next, a, err
}

// without returns a as it is for a table like d: without what is to be done only
// if something exists or does not.
func (a *alterSpec) without(d *Def) *alterSpec {
	column := func(name string) bool { return columnIndex(d.Table.Columns, name) >= 0 }
	index := func(name string) bool {
		return slices.ContainsFunc(d.Indexes, func(x Index) bool { return strings.EqualFold(x.Name, name) })
	}
	n := *a
	n.elements.columns, n.elements.keys = nil, nil
	for _, c := range a.elements.columns {
		if !c.onlyIf || (c.old != "") == column(cmp.Or(c.old, c.name)) {
			n.elements.columns = append(n.elements.columns, c)
		}
	}
	for _, k := range a.elements.keys {
		if !k.onlyIf || !index(k.name) {
			n.elements.keys = append(n.elements.keys, k)
		}
	}
	gone := func(there func(string) bool) func(string) bool {
		return func(name string) bool { return containsFold(a.ifThere, name) && !there(name) }
	}
	n.dropColumns = slices.DeleteFunc(slices.Clone(a.dropColumns), gone(column))
	n.dropKeys = slices.DeleteFunc(slices.Clone(a.dropKeys), gone(index))
	n.dropConstraints = slices.DeleteFunc(slices.Clone(a.dropConstraints), gone(index))
	return &n
}

// replacing returns the new definition of an old column, nil when it has none.
func (a *alteration) replacing(name string) *columnSpec {
	for _, c := range a.spec.elements.columns {
		if c.old != "" && strings.EqualFold(c.old, name) {
			return c
		}
	}
	return nil
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(x, s) })
}

// oldColumns carries over the columns that stay, those that move too.
func (a *alteration) oldColumns() {
	for i := range a.prev.Table.Columns {
		c := a.prev.Table.Columns[i]
		key := lower(c.Name)
		if containsFold(a.spec.dropColumns, c.Name) {
			a.names[key] = ""
			continue
		}
		if s := a.replacing(c.Name); s != nil {
			a.names[key] = s.name
			if t := s.typ.col.Type; a.convert && (t >= schema.TypeTinyText && t <= schema.TypeLongText || t >= schema.TypeTinyBlob && t <= schema.TypeLongBlob) {
				a.fail("column %q: %w", s.name, ErrConvert)
			}
			a.cols = append(a.cols, a.resolve(s))
			continue
		}
		if to, ok := a.spec.renames[key]; ok {
			c.Name = to
		}
		if invisible, ok := a.spec.visibility[key]; ok {
			c.Invisible = invisible
		}
		if a.convert && c.FixedSize() == 0 {
			a.convertText(&c)
		}
		a.names[key] = c.Name
		a.cols = append(a.cols, c)
	}
}

// newColumns puts the columns that are new or move in their places, one after
// the other in the order of the text.
func (a *alteration) newColumns() {
	for _, s := range a.spec.elements.columns {
		if s.old != "" && !s.place.set {
			continue
		}
		c := a.resolve(s)
		if i := columnIndex(a.cols, s.name); s.old != "" && i >= 0 {
			a.cols = slices.Delete(a.cols, i, i+1)
		}
		at := len(a.cols)
		if s.place.first {
			at = 0
		} else if s.place.set {
			at = columnIndex(a.cols, s.place.after) + 1
			if at == 0 {
				a.fail("there is no column %q to go after", s.place.after)
			}
		}
		a.cols = slices.Insert(a.cols, at, c)
	}
	if hasGeneratedKey(a.prev) { // it stays in front of all
		if i := columnIndex(a.cols, generatedKey); i > 0 {
			c := a.cols[i]
			a.cols = slices.Insert(slices.Delete(a.cols, i, i+1), 0, c)
		}
	}
}

// checkNames checks that all that the statement names was there: if not, the
// shape that is known was not the server's.
func (a *alteration) checkNames() {
	column := func(name string) {
		if _, ok := a.names[lower(name)]; !ok {
			a.fail("there is no column %q", name)
		}
	}
	index := func(name string) {
		if !slices.ContainsFunc(a.prev.Indexes, func(x Index) bool { return strings.EqualFold(x.Name, name) }) {
			a.fail("there is no index %q", name)
		}
	}
	for _, n := range a.spec.dropColumns {
		column(n)
	}
	for _, s := range a.spec.elements.columns {
		if s.old != "" {
			column(s.old)
		}
	}
	for n := range a.spec.renames {
		column(n)
	}
	for n := range a.spec.visibility {
		column(n)
	}
	for _, n := range a.spec.dropKeys {
		index(n)
	}
	for n := range a.spec.renameKeys {
		index(n)
	}
}

// compare finds out what the statement did to the rows.
func (a *alteration) compare() {
	for _, s := range a.spec.elements.columns {
		if s.old != "" {
			continue
		}
		if c := a.cols[columnIndex(a.cols, s.name)]; s.filled || c.AutoIncrement || !c.Nullable {
			a.effect |= Rewrites // the rows that are there have a value now
		}
	}
	for i := range a.prev.Table.Columns {
		old := &a.prev.Table.Columns[i]
		if name := a.names[lower(old.Name)]; name != "" {
			if j := columnIndex(a.cols, name); j >= 0 {
				a.effect |= a.conversion(old, &a.cols[j])
			}
		}
	}
}

// conversion says what the change of a column's definition may have done to
// its values. Where in doubt they have changed.
func (a *alteration) conversion(old, next *schema.Column) Effect {
	var e Effect
	if old.Charset != next.Charset {
		e |= Recodes
		if !contains(next.Charset, old.Charset) {
			e |= Rewrites
		}
	}
	replaced := a.replacing(old.Name) != nil
	if replaced && (old.Generated || next.Generated) ||
		old.Nullable && !next.Nullable && a.ctx.SQLMode&Strict == 0 ||
		next.AutoIncrement && !old.AutoIncrement ||
		!widens(old, next) {
		e |= Rewrites
	}
	return e
}

// widens reports whether every value of old is the same value in next, but
// for the charset of text.
func widens(old, next *schema.Column) bool {
	if old.Unsigned != next.Unsigned || old.Scale != next.Scale || old.Precision > next.Precision ||
		old.Subtype != next.Subtype || old.SRID != next.SRID {
		return false
	}
	if old.Type != next.Type {
		varying := old.Type == schema.TypeVarchar && next.Type >= schema.TypeTinyText && next.Type <= schema.TypeLongText
		if varying {
			return next.Type >= blobType(schema.TypeTinyText, old.Length*textSet{charset: next.Charset}.maxLen())
		}
		return next.Type > old.Type && (old.Type.IsInteger() && next.Type.IsInteger() ||
			old.Type >= schema.TypeTinyText && next.Type <= schema.TypeLongText ||
			old.Type >= schema.TypeTinyBlob && next.Type <= schema.TypeLongBlob)
	}
	switch old.Type {
	case schema.TypeFloat, schema.TypeDouble:
		return old.Precision == next.Precision
	case schema.TypeBinary, schema.TypeVector:
		return old.Length == next.Length
	case schema.TypeEnum, schema.TypeSet:
		return len(old.Elements) <= len(next.Elements) && slices.Equal(old.Elements, next.Elements[:len(old.Elements)])
	case schema.TypeTinyInt:
		return true
	}
	return old.Length <= next.Length
}
