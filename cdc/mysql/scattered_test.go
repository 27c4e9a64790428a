package mysql

import (
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

// What rows of both shapes may be mixed for, and what a table is emptied and read
// anew for where they are in several partitions.
func TestWhatSeveralPartitionsBear(t *testing.T) {
	const def = "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, a VARCHAR(20), b INT NOT NULL, e ENUM('x','y'), d DECIMAL(9,3), t DATETIME(3), u INT, UNIQUE (u))"
	for stmt, bears := range map[string]bool{
		"ADD COLUMN n INT": true, "ADD COLUMN n INT FIRST": true, "MODIFY a VARCHAR(30)": true, "MODIFY b BIGINT NOT NULL": true, "MODIFY b INT": true,
		"MODIFY e ENUM('x','y','z')": true, "MODIFY d DECIMAL(10,4)": true, "MODIFY t DATETIME(6)": true, "MODIFY id BIGINT NOT NULL": true, "MODIFY a VARCHAR(20) FIRST": true,
		"ADD COLUMN n INT NOT NULL": false, "DROP COLUMN a": false, "RENAME COLUMN a TO c": false, "MODIFY a VARCHAR(10)": false, "MODIFY a TEXT": false,
		"MODIFY b INT UNSIGNED NOT NULL": false, "MODIFY b SMALLINT NOT NULL": false, "MODIFY u INT NOT NULL": false, "MODIFY e ENUM('y','x')": false, "MODIFY d DECIMAL(9,4)": false,
		"MODIFY t DATETIME": false, "ADD UNIQUE (b)": false, "DROP INDEX u": false, "DROP PRIMARY KEY, ADD PRIMARY KEY (b)": false, "MODIFY id DECIMAL(10) NOT NULL": false,
		"MODIFY a VARCHAR(20) COLLATE utf8mb4_bin": false,
	} {
		was, now, o := altered(t, def, "ALTER TABLE t "+stmt)
		c := &connect.SchemaChange{Was: was, Now: now}
		c.From, _ = o.Origins(was, now)
		if got := carried(c); got != bears {
			t.Errorf("%s: %v, want %v", stmt, got, bears)
		}
	}
}

// oneTable is the model of statements on one table.
type oneTable struct{ def *ddl.Def }

func (m *oneTable) Def(string, string) *ddl.Def { return m.def }

func (m *oneTable) Database(db string) (ddl.Database, bool) {
	return ddl.Database{Name: db, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}, true
}

// altered returns a table before and after a statement.
func altered(t *testing.T, create, alter string) (was, now *schema.Table, o *ddl.Outcome) {
	t.Helper()
	var m oneTable
	for _, stmt := range []string{create, alter} {
		st, err := ddl.Parse(stmt, ddl.Context{Database: "db"})
		if err != nil {
			t.Fatalf("%s: %v", stmt, err)
		}
		outs := ddl.Apply(st, &m)
		if len(outs) != 1 || outs[0].Err != nil || outs[0].Def == nil {
			t.Fatalf("%s: %+v", stmt, outs)
		}
		m.def, was, now, o = outs[0].Def, now, outs[0].Def.Table, &outs[0]
	}
	return was, now, o
}
