package pairs

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

// world is one way to run everything.
type world struct {
	name     string
	src, dst *mysqltest.Server // no dst: nothing is written to a target
	settings string            // of src
	options  map[string]string // of the source
}

// TestPairs runs every fixture through both ways in several worlds. Two at a
// time run beside each other, each with a source of its own.
func TestPairs(t *testing.T) {
	summer, odd := startSummer(t), startOdd(t)
	fixtures := slices.Concat(numberFixtures(), timeFixtures(), stringFixtures(), jsonFixtures(), shapeFixtures(), charsetFixtures(t, summer))
	for _, pair := range [][]world{{
		{"minimal gtid", summer, odd, "binlog_row_metadata = MINIMAL", map[string]string{"snapshot.fetch.size": "2"}},
		{"full file", odd, summer, "binlog_row_metadata = FULL", map[string]string{"snapshot.fetch.size": "5", "snapshot.max.threads": "1"}},
	}, {
		{"full gtid compressed", summer, nil, "binlog_row_metadata = FULL, GLOBAL binlog_transaction_compression = ON", map[string]string{"snapshot.max.threads": "3"}},
		{"minimal file", odd, nil, "binlog_row_metadata = MINIMAL", map[string]string{"snapshot.fetch.size": "1"}},
	}} {
		t.Run("pair", func(t *testing.T) {
			for _, w := range pair {
				t.Run(w.name, func(t *testing.T) {
					t.Parallel()
					w.src.Exec(t, "SET GLOBAL "+w.settings)
					r := &run{rig: newRig(t, w.src, w.dst, w.options), fixtures: fixtures, set: map[string]*fixture{}}
					for i := range fixtures {
						r.set[fixtures[i].name] = &fixtures[i]
					}
					r.all(t)
				})
			}
		})
	}
	if log := summer.Query(t, "SHOW BINARY LOG STATUS")[0][0]; !slices.ContainsFunc(summer.Query(t, "SHOW BINLOG EVENTS IN '"+log+"'"),
		func(row []string) bool { return row[2] == "Transaction_payload" }) {
		t.Error("the server has compressed nothing")
	}
}

// run is one pass of the fixtures through a rig.
type run struct {
	*rig
	fixtures []fixture
	set      map[string]*fixture
	says     map[string]serverTable // what the source said last
}

// images are rows by table and id.
type images map[string]map[string]image

type image struct {
	table *schema.Table
	row   schema.Row
}

func (r *run) all(t *testing.T) {
	r.make(t)
	r.open(t)
	want := 0
	for i := range r.fixtures {
		want += r.fixtures[i].count()
	}
	records := r.read(t, func(_ *connect.Batch, n int) bool { return n >= want })
	first := r.pick(t, "snapshot", records, connect.OpRead, afterOf)
	r.judge(t, "snapshot", first)
	r.deliver(t, "snapshot", records)

	records = r.do(t, "UPDATE # SET touch = touch + 1")
	r.same(t, "update, before", r.pick(t, "update", records, connect.OpUpdate, beforeOf), first)
	updated := r.pick(t, "update", records, connect.OpUpdate, afterOf)
	r.judge(t, "update", updated)
	r.deliver(t, "update", records)

	records = r.do(t, "DELETE FROM #")
	r.same(t, "delete", r.pick(t, "delete", records, connect.OpDelete, beforeOf), updated)
	r.empty()
	r.deliver(t, "delete", records)

	records = r.do(t, "")
	inserted := r.pick(t, "insert", records, connect.OpInsert, afterOf)
	r.same(t, "insert", inserted, first)
	r.judge(t, "insert", inserted)
	r.deliver(t, "insert", records)

	records = r.again(t)
	again := r.pick(t, "recreate", records, 0, afterOf)
	r.same(t, "recreate", again, first)
	r.judge(t, "recreate", again)
	r.deliver(t, "recreate", records)
}

func afterOf(rec *connect.Record) schema.Row  { return rec.After }
func beforeOf(rec *connect.Record) schema.Row { return rec.Before }

// make makes and fills the tables.
func (r *run) make(t *testing.T) {
	t.Helper()
	var q []string
	for i := range r.fixtures {
		q = append(q, r.fixtures[i].create(), r.fixtures[i].insert())
	}
	exec(t, r.src, r.db, q...)
}

// do runs a statement on all tables, or fills them, and reads what comes.
func (r *run) do(t *testing.T, statement string) []connect.Record {
	t.Helper()
	var q []string
	for i := range r.fixtures {
		f := &r.fixtures[i]
		if statement == "" {
			q = append(q, f.insert())
		} else {
			q = append(q, strings.Replace(statement, "#", quote(f.name), 1))
		}
	}
	exec(t, r.src, r.db, q...)
	return r.head(t)
}

// again drops the tables, makes them again and fills them. New tables are
// copied too, so their rows come as inserts, as reads, or as both.
func (r *run) again(t *testing.T) []connect.Record {
	t.Helper()
	var q []string
	for i := range r.fixtures {
		f := &r.fixtures[i]
		q = append(q, "DROP TABLE "+quote(f.name), f.create(), f.insert())
	}
	exec(t, r.src, r.db, q...)
	records := r.head(t)
	for !r.complete(records) && !t.Failed() {
		records = append(records, r.read(t, func(*connect.Batch, int) bool { return true })...)
	}
	return records
}

// complete reports whether records have all rows of all tables.
func (r *run) complete(records []connect.Record) bool {
	ids := map[string]map[int64]bool{}
	for i := range records {
		if rec := &records[i]; rec.Op.HasRow() {
			if ids[rec.Table.Name] == nil {
				ids[rec.Table.Name] = map[int64]bool{}
			}
			ids[rec.Table.Name][rec.After[rec.Table.Column("id")].Int()] = true
		}
	}
	return !slices.ContainsFunc(r.fixtures, func(f fixture) bool { return len(ids[f.name]) < f.count() })
}

// pick returns one image of each record, all of which must have an op. With
// op 0 they are inserts and reads, and the same row may come more than once.
func (r *run) pick(t *testing.T, stage string, records []connect.Record, op connect.Op, of func(*connect.Record) schema.Row) images {
	t.Helper()
	all := images{}
	for i := range records {
		rec := &records[i]
		if !rec.Op.HasRow() {
			continue
		}
		if rec.Op != op && (op != 0 || rec.Op != connect.OpInsert && rec.Op != connect.OpRead) {
			t.Errorf("%s: a record %c of %s: %s", stage, rec.Op, rec.Table, describe(rec.Table, rec.Key(), nil))
			continue
		}
		name, row := rec.Table.Name, of(rec)
		if len(row) != len(rec.Table.Columns) {
			t.Fatalf("%s: a row of %s has %d values for %d columns", stage, rec.Table, len(row), len(rec.Table.Columns))
		}
		id := strconv.FormatInt(row[rec.Table.Column("id")].Int(), 10)
		if all[name] == nil {
			all[name] = map[string]image{}
		}
		if _, ok := all[name][id]; ok && op != 0 {
			t.Errorf("%s: row %s of %s comes twice", stage, id, name)
		}
		all[name][id] = image{rec.Table, row}
	}
	for i := range r.fixtures {
		if f := &r.fixtures[i]; len(all[f.name]) != f.count() {
			t.Errorf("%s: table %s has %d rows, want %d", stage, f.name, len(all[f.name]), f.count())
		}
	}
	return all
}

// same compares images of the same rows.
func (r *run) same(t *testing.T, stage string, got, want images) {
	t.Helper()
	for i := range r.fixtures {
		name := r.fixtures[i].name
		shape := r.fixtures[i].doubtful
		for id, w := range want[name] {
			g, ok := got[name][id]
			if !ok {
				continue // told before
			}
			if !g.row.Equal(w.row) {
				t.Errorf("%s: %s differs:%s", stage, name, describe(w.table, w.row, g.row))
			}
			if !shape && (!g.table.SameLayout(w.table) || g.table.ID() != w.table.ID()) {
				shape = true
				t.Errorf("%s: table %s is\n%s\nand was\n%s", stage, name, plain(g.table), plain(w.table))
			}
		}
	}
}

// plain shows all of a table.
func plain(t *schema.Table) string {
	return fmt.Sprintf("key %v, primary %v, unique %v, unknown %v, columns %+v", t.Key, t.Primary, t.Unique, t.UniqueUnknown, t.Columns)
}

// judge compares images with what the server says.
func (r *run) judge(t *testing.T, stage string, got images) {
	t.Helper()
	r.says = map[string]serverTable{}
	session(t, r.src, func(ctx context.Context, conn *sql.Conn) error {
		for i := range r.fixtures {
			says, err := ask(ctx, conn, r.db, r.fixtures[i].name, nil)
			if err != nil {
				return err
			}
			r.says[r.fixtures[i].name] = says
		}
		return nil
	})
	for i := range r.fixtures {
		f := &r.fixtures[i]
		says := r.says[f.name]
		if len(says.rows) != f.count() {
			t.Fatalf("%s: the server has %d rows of %s, want %d", stage, len(says.rows), f.name, f.count())
		}
		for id, row := range says.rows {
			if g, ok := got[f.name][id]; ok {
				r.judgeRow(t, stage, f, id, g, &says, row)
			}
		}
		for _, g := range got[f.name] {
			says.checkShape(t, g.table)
			break
		}
	}
}

func (r *run) judgeRow(t *testing.T, stage string, f *fixture, id string, g image, says *serverTable, row []string) {
	t.Helper()
	for n := range min(len(says.columns), len(g.row)) {
		c := &says.columns[n]
		if diff := c.compare(g.row[n], &g.table.Columns[n], row[n]); diff != "" {
			t.Errorf("%s: %s, row %s, column %s (%s %s) %s", stage, f.name, id, c.name, c.columnType, c.charset, diff)
		}
	}
}

// empty notes that the source has no rows.
func (r *run) empty() {
	for name, s := range r.says {
		s.rows = nil
		r.says[name] = s
	}
}

// deliver writes records to the target, and compares its tables with what the
// source said.
func (r *run) deliver(t *testing.T, stage string, records []connect.Record) {
	t.Helper()
	if t.Failed() {
		t.FailNow()
	}
	if r.dst == nil {
		return
	}
	r.write(t, r.set, records)
	session(t, r.dst, func(ctx context.Context, conn *sql.Conn) error {
		for i := range r.fixtures {
			f := &r.fixtures[i]
			if f.sourceOnly {
				continue
			}
			want := r.says[f.name]
			got, err := ask(ctx, conn, r.db, f.name, want.columns)
			if err != nil {
				return err
			}
			compareRows(t, stage, f.name, got, want)
		}
		return nil
	})
}

func compareRows(t *testing.T, stage, table string, got, want serverTable) {
	t.Helper()
	if len(got.rows) != len(want.rows) {
		t.Errorf("%s: the target has %d rows of %s, the source %d", stage, len(got.rows), table, len(want.rows))
	}
	for id, row := range want.rows {
		for n, v := range got.rows[id] {
			if c := &want.columns[n]; v != row[n] {
				t.Errorf("%s: %s, row %s, column %s (%s %s) is %s in the target and %s in the source", stage, table, id, c.name, c.columnType, c.charset, trimmed(v), trimmed(row[n]))
			}
		}
	}
}
