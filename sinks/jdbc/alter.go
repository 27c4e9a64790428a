package jdbc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

// change is how a source table came to another shape, as far as it is written.
type change struct {
	was, now       *schema.Table
	from           []int // for each column of now the one of was, -1: new
	wasKey, nowKey []int
	keys           bool // the target's keys are the source's
	full           bool // what goes, narrows or moves at the source does so in the target, too
}

// alteration makes the ALTER TABLE by which a table of the target follows a
// change. It does to the table what the statement did to the source's and
// leaves alone what only the target has. Asked again after it was executed it
// finds nothing to do, but for columns that move to where they are.
type alteration struct {
	*change
	def    *ddl.Def // the target's table
	extras map[string]extra
	cs     *charsets

	at      []int // for each column of now, the column of def; -1: none
	added   []int // columns of now
	dropped map[string]bool
	keeps   []*ddl.Index // indexes that stay
	clauses []string
	uniques []string // clauses that make a unique key by which no row is found
	faults  []string
}

func planChange(c *change, def *ddl.Def, extras map[string]extra, cs *charsets) *alteration {
	a := &alteration{change: c, def: def, extras: extras, cs: cs, dropped: map[string]bool{}}
	a.locate()
	if !c.full {
		for i := range c.now.Columns {
			a.rename(i)
		}
		return a
	}
	a.drop()
	moved := movedOf(c.from)
	for i := range c.now.Columns {
		a.column(i, moved[i])
	}
	a.indexes()
	return a
}

// statement returns the ALTER TABLE, "" if there is nothing to do.
func (a *alteration) statement(n name, uniques bool) string {
	clauses := a.clauses
	if uniques {
		clauses = append(slices.Clip(clauses), a.uniques...)
	}
	if len(clauses) == 0 {
		return ""
	}
	return "ALTER TABLE " + n.quoted() + " " + strings.Join(clauses, ", ")
}

// locate finds the columns in the target: under the new name if the change was
// made already.
func (a *alteration) locate() {
	a.at = make([]int, len(a.now.Columns))
	for i, f := range a.from {
		a.at[i] = find(a.def.Table, a.now.Columns[i].Name)
		if f < 0 || strings.EqualFold(a.was.Columns[f].Name, a.now.Columns[i].Name) {
			continue
		}
		old := find(a.def.Table, a.was.Columns[f].Name)
		switch {
		case old < 0:
		case a.at[i] < 0:
			a.at[i] = old
		default:
			a.faults = append(a.faults, fmt.Sprintf("column %s was renamed to %s at the source, and the table has both: drop the one that is not needed",
				quoted(a.was.Columns[f].Name), quoted(a.now.Columns[i].Name)))
		}
	}
}

// renamed reports whether the target has column i of now under another name.
func (a *alteration) renamed(i int) bool {
	return a.at[i] >= 0 && !strings.EqualFold(a.def.Table.Columns[a.at[i]].Name, a.now.Columns[i].Name)
}

func (a *alteration) rename(i int) {
	if a.renamed(i) {
		a.clauses = append(a.clauses, "RENAME COLUMN "+quoted(a.def.Table.Columns[a.at[i]].Name)+" TO "+quoted(a.now.Columns[i].Name))
	}
}

func (a *alteration) drop() {
	for k := range a.was.Columns {
		c := &a.was.Columns[k]
		if slices.Contains(a.from, k) || find(a.now, c.Name) >= 0 {
			continue
		}
		if t := find(a.def.Table, c.Name); t >= 0 && !slices.Contains(a.at, t) {
			a.dropped[strings.ToLower(c.Name)] = true
			a.clauses = append(a.clauses, "DROP COLUMN "+quoted(a.def.Table.Columns[t].Name))
		}
	}
}

// column has column i of now become what it is at the source.
func (a *alteration) column(i int, moved bool) {
	src := holding(&a.now.Columns[i])
	if a.from[i] < 0 {
		if a.at[i] < 0 {
			a.added = append(a.added, i)
			b := appendColumn([]byte("ADD COLUMN "), &src, slices.Contains(a.nowKey, i), a.cs)
			a.clauses = append(a.clauses, string(b)+a.place(i, false))
		}
		return
	}
	if a.at[i] < 0 {
		return // it is added with what else is missing
	}
	c := a.def.Table.Columns[a.at[i]]
	was := holding(&a.was.Columns[a.from[i]])
	was.Name = src.Name
	modified := !a.sameDefinition(&was, &src) && !a.sameDefinition(&c, &src)
	if c.Generated || !modified && !moved {
		a.rename(i)
		return
	}
	x := a.extras[c.Name]
	b := []byte("MODIFY COLUMN ")
	if a.renamed(i) {
		b = append(appendIdent([]byte("CHANGE COLUMN "), c.Name), ' ')
	}
	if modified {
		if f, _ := fitOf(&src, &c, a.cs); f != fits || src.Type != c.Type || !slices.Equal(src.Elements, c.Elements) {
			x.def, x.text = nil, "" // it may not be one of the new type
		}
		c = src
	}
	c.Name = src.Name
	b = appendModified(b, &c, x, a.cs)
	if moved {
		b = append(b, a.place(i, true)...)
	}
	a.clauses = append(a.clauses, string(b))
}

// sameDefinition reports whether both would be made alike, whatever their names.
func (a *alteration) sameDefinition(c, d *schema.Column) bool {
	x, y := *c, *d
	x.Name, y.Name = "", ""
	return string(appendColumn(nil, &x, false, a.cs)) == string(appendColumn(nil, &y, false, a.cs))
}

// place says where column i of now goes: behind the one before it. A new
// column behind all others needs no word.
func (a *alteration) place(i int, always bool) string {
	last := true
	for k := i + 1; k < len(a.at); k++ {
		last = last && a.at[k] < 0
	}
	if last && !always {
		return ""
	}
	for k := i - 1; k >= 0; k-- {
		if a.at[k] >= 0 || slices.Contains(a.added, k) {
			return " AFTER " + quoted(a.now.Columns[k].Name)
		}
	}
	return " FIRST"
}

// movedOf tells which columns stand elsewhere among the others than before: as
// few as possible, by the longest run that rises.
func movedOf(from []int) []bool {
	best, before := make([]int, len(from)), make([]int, len(from))
	end := -1
	for i, f := range from {
		before[i] = -1
		if f < 0 {
			continue
		}
		best[i] = 1
		for k := range i {
			if from[k] >= 0 && from[k] < f && best[k]+1 > best[i] {
				best[i], before[i] = best[k]+1, k
			}
		}
		if end < 0 || best[i] > best[end] {
			end = i
		}
	}
	moved := make([]bool, len(from))
	for i, f := range from {
		moved[i] = f >= 0
	}
	for ; end >= 0; end = before[end] {
		moved[end] = false
	}
	return moved
}
