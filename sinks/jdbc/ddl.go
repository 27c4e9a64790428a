package jdbc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

// maxKeyBytes is what InnoDB takes for one index.
const maxKeyBytes = 3072

// createTable returns the statement that makes a table for rows of t, with
// key as its primary key.
func createTable(n name, t *schema.Table, key []int, cs *charsets) string {
	b := append([]byte("CREATE TABLE IF NOT EXISTS "), n.quoted()...)
	b = append(b, " ("...)
	for i := range t.Columns {
		if i > 0 {
			b = append(b, ", "...)
		}
		c := holding(&t.Columns[i])
		b = appendColumn(b, &c, slices.Contains(key, i), cs)
	}
	if len(key) > 0 {
		b = appendIndex(append(b, ", PRIMARY KEY "...), t, key, cs)
	}
	for _, u := range t.Unique {
		if indexable(t, u, cs) {
			b = appendIndex(append(b, ", UNIQUE KEY "...), t, u, cs)
		}
	}
	for i := range t.Columns {
		if t.Columns[i].AutoIncrement && !leads(t, key, i) {
			b = appendIndex(append(b, ", KEY "...), t, []int{i}, cs)
		}
	}
	return string(append(b, ')'))
}

// leads reports whether column i is the first of a key.
func leads(t *schema.Table, key []int, i int) bool {
	return len(key) > 0 && key[0] == i || slices.ContainsFunc(t.Unique, func(u []int) bool { return u[0] == i })
}

// appendColumn appends the definition of a column as the source has it. What
// the source computes is a plain column here: its values come with the rows.
func appendColumn(b []byte, c *schema.Column, key bool, cs *charsets) []byte {
	b = append(appendIdent(b, c.Name), ' ')
	b = appendType(b, c, cs)
	if c.Nullable && !key {
		b = append(b, " NULL"...)
	} else {
		b = append(b, " NOT NULL"...)
	}
	if c.HasSRID {
		b = fmt.Appendf(b, " SRID %d", c.SRID)
	}
	if c.AutoIncrement {
		b = append(b, " AUTO_INCREMENT"...)
	}
	if c.Invisible {
		b = append(b, " INVISIBLE"...)
	}
	return b
}

// appendIndex appends the columns of an index. A column without a length of
// its own is indexed by its beginning.
func appendIndex(b []byte, t *schema.Table, cols []int, cs *charsets) []byte {
	for n, i := range cols {
		c := &t.Columns[i]
		b = appendIdent(append(b, "(,"[min(n, 1)]), c.Name)
		if big(c) {
			b = fmt.Appendf(b, "(%d)", maxKeyBytes/len(cols)/unit(c, cs))
		}
	}
	return append(b, ')')
}

func big(c *schema.Column) bool {
	return c.Type >= schema.TypeTinyText && c.Type <= schema.TypeLongText || c.Type >= schema.TypeTinyBlob && c.Type <= schema.TypeLongBlob
}

func unit(c *schema.Column, cs *charsets) int {
	if c.Type.IsText() {
		return cs.charBytes(c)
	}
	return 1
}

// indexable reports whether a unique key over whole columns can be made. One
// over prefixes at the source may be too long for that; the target then does
// without it.
func indexable(t *schema.Table, cols []int, cs *charsets) bool {
	size := 0
	for _, i := range cols {
		c := &t.Columns[i]
		switch {
		case big(c), c.Type == schema.TypeJSON, c.Type == schema.TypeGeometry, c.Type == schema.TypeVector:
			return false
		case c.Type.IsText(), c.Type.IsBinary():
			size += c.Length * unit(c, cs)
		default:
			size += 8
		}
	}
	return size <= maxKeyBytes
}

// extra is what a column of the target has beyond its type.
type extra struct {
	def     *string
	text    string // EXTRA
	comment string
}

// appendModified appends the definition of c, a column of the target, with
// all it had before.
func appendModified(b []byte, c *schema.Column, x extra, cs *charsets) []byte {
	plain := *c
	plain.AutoIncrement, plain.Invisible = false, false
	b = appendColumn(b, &plain, false, cs)
	upper := strings.ToUpper(x.text)
	if x.def != nil {
		b = appendDefault(append(b, " DEFAULT "...), *x.def, c, strings.Contains(upper, "DEFAULT_GENERATED"))
	}
	if strings.Contains(upper, "ON UPDATE ") {
		b = appendNow(append(b, " ON UPDATE "...), c)
	}
	if c.AutoIncrement {
		b = append(b, " AUTO_INCREMENT"...)
	}
	if c.Invisible {
		b = append(b, " INVISIBLE"...)
	}
	if x.comment != "" {
		b = appendString(append(b, " COMMENT "...), []byte(x.comment))
	}
	return b
}

func appendDefault(b []byte, def string, c *schema.Column, expression bool) []byte {
	switch {
	case expression && strings.HasPrefix(strings.ToUpper(def), "CURRENT_TIMESTAMP"):
		return appendNow(b, c)
	case expression:
		return append(append(append(b, '('), strings.ReplaceAll(def, `\'`, `'`)...), ')')
	case c.Type == schema.TypeBit:
		return append(b, def...) // b'101'
	}
	return appendString(b, []byte(def))
}

// appendNow appends the current time with as many digits as the column has,
// which is the only form that the server takes.
func appendNow(b []byte, c *schema.Column) []byte {
	b = append(b, "CURRENT_TIMESTAMP"...)
	if c.Scale > 0 {
		b = appendSizes(b, c.Scale)
	}
	return b
}

// difference is what a table of the target lacks to take the rows of a source
// table.
type difference struct {
	add    []*schema.Column // of the source
	modify []schema.Column  // of the target, as they have to be
	// faults are what no statement here mends.
	faults []string
	// lossy columns are among those to modify; unchanged, they would change
	// values without a word.
	lossy []string
}

func (d *difference) none() bool { return len(d.add) == 0 && len(d.modify) == 0 }

// compare finds the difference.
func compare(target *ddl.Def, src *schema.Table, extras map[string]extra, cs *charsets) difference {
	var d difference
	for i := range src.Columns {
		s := &src.Columns[i]
		t := find(target.Table, s.Name)
		if t < 0 {
			d.add = append(d.add, s)
			continue
		}
		if c := &target.Table.Columns[t]; !c.Generated {
			d.compareColumn(c, s, cs)
		}
	}
	for i := range target.Table.Columns {
		c := target.Table.Columns[i]
		x := extras[c.Name]
		if c.Nullable || c.Generated || c.AutoIncrement || x.def != nil || target.Table.IsKey(i) || find(src, c.Name) >= 0 {
			continue
		}
		c.Nullable = true // the rows do not have it any more
		d.modify = append(d.modify, c)
	}
	return d
}

func (d *difference) compareColumn(c, s *schema.Column, cs *charsets) {
	f, _ := fitOf(c, s, cs)
	null := s.Nullable && !c.Nullable
	if f == fits && !null {
		return
	}
	w := *c
	if f != fits {
		var ok bool
		if w, ok = widen(c, s, cs); !ok {
			if f == narrow {
				return // some values fit; the server refuses the others
			}
			d.faults = append(d.faults, fmt.Sprintf("column %s is %s, which cannot take a %s", quoted(c.Name), typeText(c, cs), typeText(s, cs)))
			return
		}
	}
	if f == lossy || f == foreign {
		d.lossy = append(d.lossy, fmt.Sprintf("column %s is %s, which would change values of a %s", quoted(c.Name), typeText(c, cs), typeText(s, cs)))
	}
	w.Nullable = c.Nullable || s.Nullable
	d.modify = append(d.modify, w)
}

func typeText(c *schema.Column, cs *charsets) string { return string(appendType(nil, c, cs)) }

// alterTable returns the statement that makes up the difference.
func alterTable(n name, d *difference, extras map[string]extra, cs *charsets) string {
	b := append([]byte("ALTER TABLE "), n.quoted()...)
	sep := " "
	for _, c := range d.add {
		plain := holding(c)
		plain.AutoIncrement = false // needs an index of its own
		b = appendColumn(append(append(b, sep...), "ADD COLUMN "...), &plain, false, cs)
		sep = ", "
	}
	for i := range d.modify {
		c := &d.modify[i]
		b = appendModified(append(append(b, sep...), "MODIFY COLUMN "...), c, extras[c.Name], cs)
		sep = ", "
	}
	return string(b)
}

// find returns the index of a column by name, in any letter case as the
// server does, or -1.
func find(t *schema.Table, column string) int {
	if i := t.Column(column); i >= 0 {
		return i
	}
	return slices.IndexFunc(t.Columns, func(c schema.Column) bool { return strings.EqualFold(c.Name, column) })
}
