package jdbc

import (
	"slices"
	"strings"

	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

// keySet is the columns of a unique key, by the names that they have in the
// target after the change, in lower case.
type keySet []string

// indexes has the target's unique keys become the source's: those that went
// there go, those that are new are made unless the target has them.
func (a *alteration) indexes() {
	for i := range a.def.Indexes {
		a.keeps = append(a.keeps, &a.def.Indexes[i])
	}
	if a.keys {
		a.dropKeys()
		a.addKeys()
	}
	for i := range a.now.Columns {
		if c := &a.now.Columns[i]; c.AutoIncrement && (a.at[i] >= 0 || slices.Contains(a.added, i)) && !a.led(c.Name) {
			a.clauses = append(a.clauses, string(appendIndex([]byte("ADD KEY "), a.now, []int{i}, a.cs)))
			a.keep(&ddl.Index{Parts: []ddl.Part{{Column: c.Name}}})
		}
	}
}

func (a *alteration) keep(x *ddl.Index) { a.keeps = append(a.keeps, x) }

// unknownUnique: only the key that finds rows is known of one of the shapes.
func (a *alteration) unknownUnique() bool { return a.was.UniqueUnknown || a.now.UniqueUnknown }

func (a *alteration) dropKeys() {
	var before, after []keySet
	for _, k := range a.keysOf(a.was, a.wasKey) {
		before = append(before, a.renamedSet(k))
	}
	for _, k := range a.keysOf(a.now, a.nowKey) {
		after = append(after, namesOf(a.now, k))
	}
	in := func(list []keySet, set keySet) bool {
		return slices.ContainsFunc(list, func(s keySet) bool { return slices.Equal(s, set) })
	}
	a.keeps = slices.DeleteFunc(a.keeps, func(x *ddl.Index) bool {
		set := a.setOf(x)
		if !x.Unique || !in(before, set) || in(after, set) && !(x.Primary && a.nullable(set)) {
			return false
		}
		if x.Primary {
			a.clauses = append(a.clauses, "DROP PRIMARY KEY")
		} else {
			a.clauses = append(a.clauses, "DROP INDEX "+quoted(x.Name))
		}
		return true
	})
}

// nullable reports whether one of these columns may be NULL now: a unique key
// that stood in for the source's primary key, and was made one here, is none
// any more then.
func (a *alteration) nullable(set keySet) bool {
	return slices.ContainsFunc(set, func(column string) bool {
		i := find(a.now, column)
		return i >= 0 && a.now.Columns[i].Nullable
	})
}

// keysOf returns the keys of a shape: the one that finds rows, and the others
// that the target can have.
func (a *alteration) keysOf(t *schema.Table, key []int) (keys [][]int) {
	if len(key) > 0 {
		keys = append(keys, key)
	}
	if a.unknownUnique() {
		return keys
	}
	for _, u := range t.Unique {
		if indexable(t, u, a.cs) {
			keys = append(keys, u)
		}
	}
	return keys
}

func (a *alteration) addKeys() {
	for i, k := range a.keysOf(a.now, a.nowKey) {
		set := namesOf(a.now, k)
		if slices.ContainsFunc(a.keeps, func(x *ddl.Index) bool { return x.Unique && slices.Equal(a.setOf(x), set) }) {
			continue
		}
		x := &ddl.Index{Unique: true}
		for _, col := range k {
			x.Parts = append(x.Parts, ddl.Part{Column: a.now.Columns[col].Name})
		}
		main := i == 0 && len(a.nowKey) > 0
		switch {
		case main && !slices.ContainsFunc(a.keeps, func(x *ddl.Index) bool { return x.Primary }):
			x.Primary = true
			a.clauses = append(a.clauses, string(appendIndex([]byte("ADD PRIMARY KEY "), a.now, k, a.cs)))
		case main:
			a.clauses = append(a.clauses, string(appendIndex([]byte("ADD UNIQUE KEY "), a.now, k, a.cs)))
		default:
			a.uniques = append(a.uniques, string(appendIndex([]byte("ADD UNIQUE KEY "), a.now, k, a.cs)))
		}
		a.keep(x)
	}
}

// led reports whether a column is the first of an index.
func (a *alteration) led(column string) bool {
	return slices.ContainsFunc(a.keeps, func(x *ddl.Index) bool {
		set := a.setOf(x)
		return len(set) > 0 && set[0] == strings.ToLower(column)
	})
}

func namesOf(t *schema.Table, cols []int) keySet {
	set := make(keySet, len(cols))
	for i, c := range cols {
		set[i] = strings.ToLower(t.Columns[c].Name)
	}
	return set
}

// renamedSet returns columns of was by the names they have now, or had last.
func (a *alteration) renamedSet(cols []int) keySet {
	set := namesOf(a.was, cols)
	for i, c := range cols {
		if k := slices.Index(a.from, c); k >= 0 {
			set[i] = strings.ToLower(a.now.Columns[k].Name)
		}
	}
	return set
}

// setOf returns the columns of one of the target's indexes.
func (a *alteration) setOf(x *ddl.Index) keySet {
	set := make(keySet, len(x.Parts))
	for i, p := range x.Parts {
		set[i] = strings.ToLower(p.Column)
		if t := find(a.def.Table, p.Column); t >= 0 {
			if k := slices.Index(a.at, t); k >= 0 {
				set[i] = strings.ToLower(a.now.Columns[k].Name)
			}
		}
	}
	return set
}
