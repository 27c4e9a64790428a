package pairs

import (
	"context"
	"database/sql"
	"slices"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// TestColumns leaves out about half of the columns of all fixtures: rows of
// the snapshot and of the log must then have the same columns, and what they
// have must be what the server says.
func TestColumns(t *testing.T) {
	for _, metadata := range []string{"MINIMAL", "FULL"} {
		t.Run(metadata, func(t *testing.T) {
			srv := mysqltest.Start(t, mysqltest.TimeZone("+00:00"), mysqltest.Flags("--binlog-row-metadata="+metadata))
			fixtures := slices.DeleteFunc(slices.Concat(numberFixtures(), timeFixtures(), stringFixtures(), jsonFixtures(), shapeFixtures()),
				func(f fixture) bool { return f.keys == "-" || f.doubtful })
			r := &run{rig: newRig(t, srv, nil, map[string]string{"column.include.list": `.*\.([a-l][^.]*|id|touch)`, "snapshot.fetch.size": "3"}), fixtures: fixtures, set: map[string]*fixture{}}
			want := 0
			for i := range fixtures {
				want += fixtures[i].count()
			}
			r.make(t)
			r.open(t)
			first := r.pick(t, "snapshot", r.read(t, func(_ *connect.Batch, n int) bool { return n >= want }), connect.OpRead, afterOf)
			r.judgeKept(t, "snapshot", first)
			r.same(t, "update, before", r.pick(t, "update", r.do(t, "UPDATE # SET touch = touch + 1"), connect.OpUpdate, beforeOf), first)
			r.do(t, "DELETE FROM #")
			inserted := r.pick(t, "insert", r.do(t, ""), connect.OpInsert, afterOf)
			r.same(t, "insert", inserted, first)
			again := r.pick(t, "recreate", r.again(t), 0, afterOf)
			r.same(t, "recreate", again, first)
			r.judgeKept(t, "recreate", again)
		})
	}
}

// judgeKept compares the columns that images have with what the server says
// of them.
func (r *run) judgeKept(t *testing.T, stage string, got images) {
	t.Helper()
	left := 0
	session(t, r.src, func(ctx context.Context, conn *sql.Conn) error {
		for i := range r.fixtures {
			f := &r.fixtures[i]
			says, err := ask(ctx, conn, r.db, f.name, nil)
			if err != nil {
				return err
			}
			for id, row := range says.rows {
				g := got[f.name][id]
				if g.table == nil {
					continue // told before
				}
				left += len(says.columns) - len(g.table.Columns)
				for n := range says.columns {
					c := &says.columns[n]
					if k := g.table.Column(c.name); k >= 0 {
						if diff := c.compare(g.row[k], &g.table.Columns[k], row[n]); diff != "" {
							t.Errorf("%s: %s, row %s, column %s (%s) %s", stage, f.name, id, c.name, c.columnType, diff)
						}
					}
				}
			}
		}
		return nil
	})
	if left < 100 {
		t.Errorf("%s: only %d values were left out", stage, left)
	}
}
