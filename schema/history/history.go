// Package history keeps the versions of tables' definitions by position, so
// that a reader of the log finds the shape that a row event was written with,
// wherever in the saved past it starts again.
//
// # Order
//
// A position is an Ordinal, which the source counts up with each transaction
// and each DDL statement. A version holds from its Ordinal on, up to the next
// version's. Versions are added in the order of the log; adding one at or
// before the newest takes back what was known from there on, which is what
// happens when the log is read again from a saved position: the same versions
// come out a second time.
//
// # Persistence
//
// Each table and each database is one entry of an offsets.Store. An entry
// holds the versions that a restart may still need: Prune drops the others.
// Changed returns the entries that differ from what it returned before; they
// must be saved in one step with the position that they belong to. When that
// fails the caller loads a new History.
//
// # Ownership and concurrency
//
// Definitions are immutable and shared. A History is not safe for concurrent
// use; its owner is the one who reads the log.
//
// # Errors
//
// Only Load fails, on entries that are not of its own making.
package history

import (
	"cmp"
	"slices"

	"github.com/towline/towline/schema/ddl"
)

// Ordinal is a position in the order of transactions and DDL statements.
type Ordinal uint64

// Version is what a table was from one Ordinal on: it has a definition, or it
// is gone, or it is stopped.
type Version struct {
	At Ordinal
	// Def is the definition; nil when the table is gone or stopped.
	Def *ddl.Def
	// Stopped says why the table is not followed any further; "" means that it
	// is not stopped.
	Stopped string
}

// Gone reports whether no table of that name was there.
func (v *Version) Gone() bool { return v.Def == nil && v.Stopped == "" }

// databaseVersion is what a database was from one Ordinal on.
type databaseVersion struct {
	at   Ordinal
	def  ddl.Database
	gone bool
}

type tableLog struct {
	versions []Version // ordered by At
	changed  bool
}

type databaseLog struct {
	versions []databaseVersion // ordered by at
	changed  bool
}

// History holds versions of tables and databases.
type History struct {
	tables    map[ddl.Name]*tableLog
	databases map[string]*databaseLog
}

// New returns an empty History.
func New() *History {
	return &History{tables: make(map[ddl.Name]*tableLog), databases: make(map[string]*databaseLog)}
}

// Lookup returns the version of a table that holds at an Ordinal, nil when
// none is known: the table was never put in, or only later. The Version is
// valid until the next change of the History.
func (h *History) Lookup(db, name string, at Ordinal) *Version {
	l := h.tables[ddl.Name{Database: db, Table: name}]
	if l == nil {
		return nil
	}
	i := after(l.versions, at)
	if i == 0 {
		return nil
	}
	return &l.versions[i-1]
}

// after returns the index of the first version that begins after at.
func after(versions []Version, at Ordinal) int {
	i, _ := slices.BinarySearchFunc(versions, at, func(v Version, at Ordinal) int {
		return cmp.Or(cmp.Compare(v.At, at), -1)
	})
	return i
}

// Put says that a table has a definition from an Ordinal on.
func (h *History) Put(db, name string, at Ordinal, d *ddl.Def) {
	h.add(ddl.Name{Database: db, Table: name}, Version{At: at, Def: d})
}

// Drop says that a table is gone from an Ordinal on. With an empty name it is
// a database that is gone, with all its tables.
func (h *History) Drop(db, name string, at Ordinal) {
	if name != "" {
		h.add(ddl.Name{Database: db, Table: name}, Version{At: at})
		return
	}
	h.addDatabase(db, databaseVersion{at: at, gone: true})
	for n := range h.tables {
		if v := h.Lookup(n.Database, n.Table, at); n.Database == db && v != nil && !v.Gone() {
			h.add(n, Version{At: at})
		}
	}
}

// Stop says that a table is not followed from an Ordinal on, and why.
func (h *History) Stop(db, name string, at Ordinal, reason string) {
	if reason == "" {
		reason = "unknown"
	}
	h.add(ddl.Name{Database: db, Table: name}, Version{At: at, Stopped: reason})
}

// Rename says that the table from is called to from an Ordinal on, with the
// definition d, which has the new name. Swaps need the definitions of all
// tables before the first Rename, as the outcomes of ddl.Apply have them.
func (h *History) Rename(from, to ddl.Name, at Ordinal, d *ddl.Def) {
	if v := h.Lookup(from.Database, from.Table, at); v != nil && v.At < at {
		h.add(from, Version{At: at})
	}
	h.add(to, Version{At: at, Def: d})
}

// PutDatabase says what a database's defaults are from an Ordinal on.
func (h *History) PutDatabase(d ddl.Database, at Ordinal) {
	h.addDatabase(d.Name, databaseVersion{at: at, def: d})
}

// Apply puts in what a statement at an Ordinal did. follow says which tables
// the History is to hold; those that it knows are kept up to date anyway. A
// table whose shape was lost is stopped with the outcome's error.
func (h *History) Apply(outs []ddl.Outcome, at Ordinal, follow func(db, name string) bool) {
	for i := range outs {
		o := &outs[i]
		db, name := o.Name.Database, o.Name.Table
		now := h.Lookup(db, name, at)
		known := now != nil
		switch {
		case name == "" && o.Database != nil:
			h.PutDatabase(*o.Database, at)
		case name == "" && o.Err == nil:
			h.Drop(db, "", at)
		case name == "", !known && !follow(db, name):
		case o.Err != nil && known && now.Stopped != "" && now.At < at: // the first reason says most
		case o.Err != nil:
			h.Stop(db, name, at, o.Err.Error())
		case known && now.Def != nil && now.Def == o.Def:
		case o.Def != nil:
			h.Put(db, name, at, o.Def)
		case known:
			h.Drop(db, name, at)
		}
	}
}

func (h *History) add(n ddl.Name, v Version) {
	l := h.tables[n]
	if l == nil {
		l = new(tableLog)
		h.tables[n] = l
	}
	i, _ := slices.BinarySearchFunc(l.versions, v.At, func(x Version, at Ordinal) int { return cmp.Compare(x.At, at) })
	l.versions = append(l.versions[:i:i], v)
	l.changed = true
}

func (h *History) addDatabase(name string, v databaseVersion) {
	l := h.databases[name]
	if l == nil {
		l = new(databaseLog)
		h.databases[name] = l
	}
	i, _ := slices.BinarySearchFunc(l.versions, v.at, func(x databaseVersion, at Ordinal) int { return cmp.Compare(x.at, at) })
	l.versions = append(l.versions[:i:i], v)
	l.changed = true
}

// Database returns the defaults of a database that hold at an Ordinal; ok is
// false when they are not known.
func (h *History) Database(name string, at Ordinal) (d ddl.Database, ok bool) {
	l := h.databases[name]
	if l == nil {
		return d, false
	}
	for _, v := range slices.Backward(l.versions) {
		if v.at <= at {
			return v.def, !v.gone
		}
	}
	return d, false
}

// Names returns the names of all tables that have a version at an Ordinal
// which is not gone, ordered.
func (h *History) Names(at Ordinal) []ddl.Name {
	var names []ddl.Name
	for n := range h.tables {
		if v := h.Lookup(n.Database, n.Table, at); v != nil && !v.Gone() {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, compareNames)
	return names
}

func compareNames(a, b ddl.Name) int {
	return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.Table, b.Table))
}

// Prune drops the versions that nobody who starts at an Ordinal of before or
// later can need. Of each table the version that holds at before stays.
func (h *History) Prune(before Ordinal) {
	for _, l := range h.tables {
		i := max(after(l.versions, before)-1, 0)
		if i < len(l.versions) && l.versions[i].Gone() && l.versions[i].At <= before {
			i++ // nothing known is as good as gone
		}
		if i > 0 {
			l.versions = slices.Clone(l.versions[i:])
			l.changed = true
		}
	}
	for _, l := range h.databases {
		i := 0
		for i+1 < len(l.versions) && l.versions[i+1].at <= before {
			i++
		}
		if i < len(l.versions) && l.versions[i].gone && l.versions[i].at <= before {
			i++
		}
		if i > 0 {
			l.versions = slices.Clone(l.versions[i:])
			l.changed = true
		}
	}
}

// View is a History as of one Ordinal; it is a ddl.Model.
type View struct {
	h  *History
	at Ordinal
}

// View returns h as of an Ordinal. For the statement at an Ordinal, ddl.Apply
// needs View(at-1): when the log is read again, what the statement did at its
// own Ordinal may be there already.
func (h *History) View(at Ordinal) View { return View{h, at} }

// Def returns the definition of a table, nil when it has none.
func (v View) Def(db, table string) *ddl.Def {
	if x := v.h.Lookup(db, table, v.at); x != nil {
		return x.Def
	}
	return nil
}

// Database returns the defaults of a database.
func (v View) Database(db string) (ddl.Database, bool) { return v.h.Database(db, v.at) }
