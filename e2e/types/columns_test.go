package pairs

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
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

// TestMasked shows values on both ways only as the options let them be seen.
func TestMasked(t *testing.T) {
	srv := mysqltest.Start(t, mysqltest.TimeZone("+00:00"))
	people := fixture{name: "people", full: true, keys: "PRIMARY KEY (mail)",
		columns: "mail VARCHAR(100) NOT NULL, name VARCHAR(40), pin CHAR(4) CHARACTER SET latin1, note TEXT, photo BLOB, owner INT NOT NULL",
		rows: lines(`'a@secret', 'SecretÄ', 'secr', 'long secret', x'0102030405', 1
			'b@secret', NULL, NULL, NULL, NULL, 1
			'c@secret', 'Secret', 'é', 'x', x'01', 2`)}
	plain := fixture{name: "plain", full: true, columns: "name VARCHAR(40)", rows: []string{"'open'"}}
	r := &run{rig: newRig(t, srv, nil, map[string]string{"column.mask.hash.v2.SHA-256.with.salt.pepper": `.*\.people\.(mail|note)`, "column.mask.with.3.chars": `.*\.people\.name`,
		"column.mask.hash.SHA-512.with.salt.pepper": `.*\.pin`, "column.truncate.to.2.chars": `.*\.photo`, "message.key.columns": `.*\.people:owner,mail`, "skipped.operations": "t",
		"include.schema.changes": "true"}),
		fixtures: []fixture{people, plain}, set: map[string]*fixture{}}
	r.make(t)
	r.open(t)
	records := r.read(t, func(_ *connect.Batch, n int) bool { return n >= 4 })
	first := r.pick(t, "snapshot", records, connect.OpRead, afterOf)
	updated := r.do(t, "UPDATE # SET touch = touch + 1")
	r.same(t, "update, before", r.pick(t, "update", updated, connect.OpUpdate, beforeOf), first)
	records = append(append(records, updated...), r.do(t, "TRUNCATE #")...)
	inserted := r.do(t, "")
	r.same(t, "insert", r.pick(t, "insert", inserted, connect.OpInsert, afterOf), first)
	records = append(records, inserted...)
	messages := map[connect.Kind]int{}
	for i := range records {
		rec := &records[i]
		if kind, _, value, ok := rec.Message(); ok {
			messages[kind]++
			if strings.Contains(string(value), "ecret") {
				t.Errorf("a message shows %s", value)
			}
		}
		if rec.Op == connect.OpTruncate {
			t.Errorf("a truncation of %s was not left out", rec.Table)
		}
		if rec.Table.Name != "people" {
			continue
		}
		if !slices.Equal(rec.Table.Key, []int{6, 1}) {
			t.Errorf("the key of %c is %v", rec.Op, rec.Table.Key)
		}
		for _, row := range []schema.Row{rec.Before, rec.After} {
			for n := range row {
				if text := string(row[n].AppendText(nil, &rec.Table.Columns[n])); strings.Contains(strings.ToLower(text), "secr") || n == 5 && row[n].Size() > 2 {
					t.Errorf("%c: column %s shows %s", rec.Op, rec.Table.Columns[n].Name, text)
				}
			}
		}
	}
	if len(messages) != 1 || messages[connect.KindSchemaChange] != 2 {
		t.Errorf("%v messages", messages)
	}
	if got := first["plain"]["1"].row[1]; string(got.Bytes()) != "open" {
		t.Errorf("a column that is not masked shows %q", got.Bytes())
	}
}

// TestMessageKeys writes rows to a target by the key of their messages, also
// when that changes.
func TestMessageKeys(t *testing.T) {
	src, dst := mysqltest.Start(t, mysqltest.TimeZone("+00:00")), mysqltest.Start(t, mysqltest.TimeZone("+00:00"))
	owned := fixture{name: "owned", full: true, columns: "owner INT NOT NULL, v VARCHAR(20), w INT UNIQUE", rows: lines(`1, 'a', 1
		1, 'b', 2
		2, NULL, NULL`)}
	loose := fixture{name: "loose", full: true, keys: "-", columns: "owner INT NOT NULL, v VARCHAR(20)", rows: lines(`1, 'a'
		2, 'b'
		3, NULL`)}
	r := &run{rig: newRig(t, src, dst, map[string]string{"message.key.columns": `.*\.owned:owner,id;.*\.loose:owner`}), fixtures: []fixture{owned, loose}, set: map[string]*fixture{"owned": &owned, "loose": &loose}}
	r.all(t)
	records := r.do(t, "UPDATE # SET owner = owner + 10")
	moved := 0
	for i := range records {
		if records[i].Flags&connect.KeyMoved != 0 {
			moved++
		}
	}
	if moved != 12 {
		t.Errorf("%d halves of moved rows", moved)
	}
	r.judge(t, "move", images{})
	r.deliver(t, "move", records)
	if got := dst.Query(t, "SELECT TABLE_NAME, GROUP_CONCAT(COLUMN_NAME ORDER BY ORDINAL_POSITION) FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = '"+r.db+"' AND CONSTRAINT_NAME = 'PRIMARY' AND TABLE_NAME IN ('owned', 'loose') GROUP BY 1 ORDER BY 1"); len(got) != 2 || got[0][1] != "owner" || got[1][1] != "owner,id" {
		t.Errorf("the target's keys are %v", got)
	}
}
