package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema/ddl"
)

// A server whose InnoDB carries out foreign keys by itself changes the rows of
// child tables without a word in the log. Servers from 9.6 on do it with
// statements whose rows are logged, unless innodb_native_foreign_keys is ON;
// they say so with a flag in every row event. Without the flag a change of a
// parent that cascades stops the children.

// cascade is a foreign key that changes rows of its child.
type cascade struct {
	name               string
	parent, child      tableName
	columns            []string // of the parent, lower case
	onDelete, onUpdate bool
}

// cascades are the foreign keys of captured children that cascade, and of
// tables between.
type cascades struct {
	read     func(ctx context.Context) ([]cascade, error)
	byParent map[tableName][]cascade
	known    bool
}

func (c *cascades) load(ctx context.Context) error {
	list, err := c.read(ctx)
	if err != nil {
		return err
	}
	c.byParent, c.known = map[tableName][]cascade{}, true
	for _, k := range list {
		c.byParent[k.parent] = append(c.byParent[k.parent], k)
	}
	return nil
}

const queryCascades = "SELECT r.CONSTRAINT_NAME, r.CONSTRAINT_SCHEMA, r.TABLE_NAME, r.UNIQUE_CONSTRAINT_SCHEMA, r.REFERENCED_TABLE_NAME, r.DELETE_RULE, r.UPDATE_RULE, k.REFERENCED_COLUMN_NAME " +
	"FROM information_schema.REFERENTIAL_CONSTRAINTS r JOIN information_schema.KEY_COLUMN_USAGE k ON k.CONSTRAINT_SCHEMA = r.CONSTRAINT_SCHEMA AND k.CONSTRAINT_NAME = r.CONSTRAINT_NAME AND k.TABLE_NAME = r.TABLE_NAME " +
	"WHERE r.DELETE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT') OR r.UPDATE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT') ORDER BY 2, 3, 1, k.ORDINAL_POSITION"

func readCascades(ctx context.Context, db *sql.DB) ([]cascade, error) {
	rows, err := db.QueryContext(ctx, queryCascades)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []cascade
	for rows.Next() {
		var k cascade
		var onDelete, onUpdate, column string
		if err := rows.Scan(&k.name, &k.child.db, &k.child.table, &k.parent.db, &k.parent.table, &onDelete, &onUpdate, &column); err != nil {
			return nil, err
		}
		column = strings.ToLower(column)
		if n := len(list); n > 0 && list[n-1].name == k.name && list[n-1].child == k.child {
			list[n-1].columns = append(list[n-1].columns, column)
			continue
		}
		k.columns, k.onDelete, k.onUpdate = []string{column}, cascading(onDelete), cascading(onUpdate)
		list = append(list, k)
	}
	return list, rows.Err()
}

func cascading(rule string) bool {
	return rule == "CASCADE" || rule == "SET NULL" || rule == "SET DEFAULT"
}

// silentCascades reports whether a server does not log what cascades.
func (f facts) silentCascades() bool {
	native, known := f["innodb_native_foreign_keys"]
	return !known || strings.EqualFold(native, "ON")
}

// cascadeFix is what to do about cascades that are not logged.
const cascadeFix = "let the server log them (MySQL 9.6 and later with innodb_native_foreign_keys=OFF), or have the application or a trigger change the children instead of the foreign key"

// cascaded stops the tables that a row event has changed by foreign keys that
// the log is silent about.
func (q *sequencer) cascaded(ctx context.Context, ev *binlog.RowsEvent, m *binlog.TableMap) error {
	if !q.shapes.keys.known {
		if err := q.shapes.keys.load(ctx); err != nil {
			return err
		}
	}
	parent := tableName{m.Database, m.Name}
	if len(q.shapes.keys.byParent[parent]) == 0 {
		return nil
	}
	for _, k := range q.shapes.keys.byParent[parent] {
		if ev.Kind == binlog.RowsDelete && k.onDelete || ev.Kind == binlog.RowsUpdate && k.onUpdate && q.mayChange(ev, m, k.columns) {
			q.stopChildren(k, map[tableName]bool{})
		}
	}
	return nil
}

// stopChildren stops the child of k, and its children in turn.
func (q *sequencer) stopChildren(k cascade, seen map[tableName]bool) {
	if seen[k.child] {
		return
	}
	seen[k.child] = true
	if q.s.filter.table(k.child.db, k.child.table) {
		q.stop(k.child, fmt.Sprintf("a change of table %s at %s:%d changes rows of it too, by the foreign key %s, which this server does not log; %s, then take a new snapshot of the table",
			k.parent, q.file, q.offset, k.name, cascadeFix))
	}
	for _, next := range q.shapes.keys.byParent[k.child] {
		q.stopChildren(next, seen)
	}
}

// mayChange reports whether an update changes one of the columns, for all that
// can be known.
func (q *sequencer) mayChange(ev *binlog.RowsEvent, m *binlog.TableMap, columns []string) bool {
	known := q.shapes.table(tableName{m.Database, m.Name})
	if known == nil {
		return true
	}
	plan, err := binlog.NewPlan(m, known)
	if err != nil {
		return true
	}
	var b connect.Batch
	if err := plan.DecodeRows(&b, ev, &binlog.Stamp{}); err != nil {
		return true
	}
	for i := range b.Records {
		r := &b.Records[i]
		if r.Before == nil || r.After == nil {
			return true // the key has moved
		}
		for c := range known.Columns {
			if slices.Contains(columns, strings.ToLower(known.Columns[c].Name)) && !r.Before[c].Equal(r.After[c]) {
				return true
			}
		}
	}
	return false
}

// forgetCascades has the foreign keys read anew, after a statement that may
// have changed them, when they are needed: by then the catalog has it, for what
// cascades waits for the statement's end.
func (q *sequencer) forgetCascades(st *ddl.Statement) {
	switch st.Kind {
	case ddl.CreateTable, ddl.AlterTable, ddl.RenameTable:
		q.shapes.keys.known = false
	}
}

// silentChildren returns the captured tables whose rows cascades may change,
// each with its foreign keys.
func silentChildren(list []cascade, f *filter) string {
	children := map[string][]string{}
	for _, k := range list {
		if f.table(k.child.db, k.child.table) {
			n := k.child.String()
			children[n] = append(children[n], k.name)
		}
	}
	var text []string
	for _, n := range slices.SortedFunc(maps.Keys(children), cmp.Compare) {
		text = append(text, fmt.Sprintf("%s (%s)", n, strings.Join(children[n], ", ")))
	}
	return strings.Join(text, ", ")
}

// foreignKeys looks for cascades that are not in the log.
func (c *checker) foreignKeys(ctx context.Context) error {
	list, err := readCascades(ctx, c.db)
	if err != nil {
		return err
	}
	children := silentChildren(list, c.s.filter)
	switch {
	case children == "":
	case c.facts.silentCascades():
		c.warn(cascadeFix, "the server does not log what foreign keys change by cascade: when a parent's row is deleted or its key changes, the child stops: %s", children)
	default:
		c.ok("the server logs what foreign keys change by cascade")
	}
	return nil
}

// warnCascades tells at a start of cascades that are not in the log.
func (s *Source) warnCascades(ctx context.Context, db *sql.DB, f facts, c *cascades) error {
	c.read = func(ctx context.Context) ([]cascade, error) { return readCascades(ctx, db) }
	if !f.silentCascades() {
		return nil
	}
	if err := c.load(ctx); err != nil {
		return err
	}
	var list []cascade
	for _, l := range c.byParent {
		list = append(list, l...)
	}
	if children := silentChildren(list, s.settings.filter); children != "" {
		s.settings.log.Warn("the server does not log what foreign keys change by cascade: the child stops when that happens", "tables", children, "fix", cascadeFix)
	}
	return nil
}
