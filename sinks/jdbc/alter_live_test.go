package jdbc

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/catalog"
	"github.com/towline/towline/schema/ddl"
)

// follower is a table at the source whose statements a sink follows.
type follower struct {
	t        *testing.T
	srv      *mysqltest.Server
	conn     *sql.Conn
	src, dst string // databases
	sink     *Sink
	feed     feed
	def      *ddl.Def
	table    *schema.Table // what records show
}

func newFollower(t *testing.T, args ...string) *follower {
	srv := mysqltest.Shared(t)
	f := &follower{t: t, srv: srv, src: srv.CreateDB(t), dst: srv.CreateDB(t)}
	conn, err := srv.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := catalog.Prepare(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	f.conn = conn
	f.exec("USE " + f.src)
	f.sink = openTest(t, srv.DSN(f.dst), args...)
	return f
}

// create makes the table at the source and announces it.
func (f *follower) create(columns string) {
	f.t.Helper()
	f.exec("CREATE TABLE t (" + columns + ")")
	f.read()
	f.feed.write(f.t, f.sink, connect.Record{Op: connect.OpSchema, Table: f.table})
}

// drop drops it.
func (f *follower) drop() {
	f.t.Helper()
	f.exec("DROP TABLE t")
	f.feed.write(f.t, f.sink, connect.Record{Op: connect.OpTruncate, Flags: connect.Dropped, Table: f.table})
}

func (f *follower) exec(stmt string) {
	f.t.Helper()
	if _, err := f.conn.ExecContext(context.Background(), stmt); err != nil {
		f.t.Fatalf("%s: %v", stmt, err)
	}
}

// read reads the table's definition from the source.
func (f *follower) read() {
	f.t.Helper()
	d, err := catalog.Def(f.t.Context(), f.conn, f.src, "t")
	if err != nil {
		f.t.Fatal(err)
	}
	f.def, f.table = d, d.Table
}

// Def implements ddl.Model.
func (f *follower) Def(db, table string) *ddl.Def { return f.def }

// Database implements ddl.Model.
func (f *follower) Database(db string) (d ddl.Database, ok bool) {
	return ddl.Database{Name: db, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}, true
}

// alter executes a statement at the source and returns the record of it; ok is
// false where the source refuses it.
func (f *follower) alter(stmt string) (r connect.Record, ok bool) {
	f.t.Helper()
	if _, err := f.conn.ExecContext(f.t.Context(), stmt); err != nil {
		return r, false
	}
	st, err := ddl.Parse(stmt, ddl.Context{Database: f.src})
	if err != nil {
		f.t.Fatal(err)
	}
	outs := ddl.Apply(st, f)
	was := f.table
	f.read()
	r = connect.Record{Op: connect.OpSchema, Table: f.table}
	c := &connect.SchemaChange{Was: was, Now: f.table}
	var permuted bool
	if c.From, permuted = outs[0].Origins(was, f.table); permuted || outs[0].Effect&ddl.Rewrites != 0 {
		r.Flags = connect.Reread
	}
	r.SetSchemaChange(&connect.Batch{}, c)
	return r, true
}

// shapeText describes the shape of t in a database: what the target is to have.
func (f *follower) shapeText(db string) string {
	f.t.Helper()
	t, err := catalog.Table(f.t.Context(), f.conn, db, "t")
	if err != nil {
		f.t.Fatal(err)
	}
	var b strings.Builder
	for i := range t.Columns {
		c := t.Columns[i]
		c.Generated, c.Zerofill = false, false
		fmt.Fprintf(&b, "%+v\n", holding(&c))
	}
	var keys []string
	for _, k := range append([][]int{t.Key}, t.Unique...) {
		keys = append(keys, fmt.Sprint(k))
	}
	slices.Sort(keys)
	return b.String() + strings.Join(keys, " ")
}

// alterCases are statements about t, and what they have the target do.
var alterCases = []struct{ create, alter, want string }{
	{"id INT PRIMARY KEY, a INT", "RENAME COLUMN a TO b", "RENAME COLUMN `a` TO `b`"},
	{"id INT PRIMARY KEY, a INT", "RENAME COLUMN id TO no", "RENAME COLUMN `id` TO `no`"},
	{"id INT PRIMARY KEY, a INT", "CHANGE a b BIGINT NOT NULL", "CHANGE COLUMN `a` `b` bigint NOT NULL"},
	{"id INT PRIMARY KEY, a INT, b INT", "RENAME COLUMN a TO b, RENAME COLUMN b TO a", "MODIFY COLUMN `a` int NULL AFTER `b`"},
	{"id INT PRIMARY KEY, a INT, b VARCHAR(9)", "DROP COLUMN a, RENAME COLUMN b TO a", "DROP COLUMN `b`, MODIFY COLUMN `a` varchar(9) character set utf8mb4 collate utf8mb4_0900_ai_ci NULL"},
	{"id INT PRIMARY KEY, a INT, b INT", "DROP COLUMN a", "DROP COLUMN `a`"},
	{"id INT PRIMARY KEY, a INT, b INT", "DROP COLUMN a, ADD COLUMN a VARCHAR(3)", "MODIFY COLUMN `a` varchar(3) character set utf8mb4 collate utf8mb4_0900_ai_ci NULL AFTER `b`"},
	{"id INT PRIMARY KEY, a INT", "ADD COLUMN b INT FIRST, ADD COLUMN c INT AFTER id, ADD COLUMN d INT", "ADD COLUMN `b` int NULL FIRST, ADD COLUMN `c` int NULL AFTER `id`, ADD COLUMN `d` int NULL"},
	{"id INT PRIMARY KEY, a INT, b INT", "MODIFY b INT FIRST", "MODIFY COLUMN `b` int NULL FIRST"},
	{"id INT PRIMARY KEY, a INT, b INT, c INT", "MODIFY a INT AFTER c", "MODIFY COLUMN `a` int NULL AFTER `c`"},
	{"id INT PRIMARY KEY, a INT, b INT", "RENAME COLUMN a TO c, MODIFY b INT AFTER id", "CHANGE COLUMN `a` `c` int NULL AFTER `b`"},
	{"id INT PRIMARY KEY, a BIGINT UNSIGNED", "MODIFY a TINYINT", "MODIFY COLUMN `a` tinyint NULL"},
	{"id INT PRIMARY KEY, a DATETIME(6)", "MODIFY a DATE", "MODIFY COLUMN `a` date NULL"},
	{"id INT PRIMARY KEY, e ENUM('a','b')", "MODIFY e ENUM('b','c','a')", "MODIFY COLUMN `e` enum('b','c','a') character set utf8mb4 collate utf8mb4_0900_ai_ci NULL"},
	{"id INT PRIMARY KEY, a VARCHAR(9), b INT", "CONVERT TO CHARACTER SET latin1", "MODIFY COLUMN `a` varchar(9) character set latin1 collate latin1_swedish_ci NULL"},
	{"id INT PRIMARY KEY, a INT", "ALTER a SET DEFAULT 5", ""},
	{"id INT PRIMARY KEY, a INT", "ADD INDEX (a), COMMENT 'x', ENGINE = InnoDB", ""},
	{"id INT PRIMARY KEY, a INT", "ALTER COLUMN a SET INVISIBLE", "MODIFY COLUMN `a` int NULL INVISIBLE"},
	{"id INT PRIMARY KEY, a INT NOT NULL", "MODIFY a INT", "MODIFY COLUMN `a` int NULL"},
	{"id INT PRIMARY KEY, a INT NOT NULL", "DROP PRIMARY KEY, ADD PRIMARY KEY (a)", "DROP PRIMARY KEY, ADD PRIMARY KEY (`a`)"},
	{"id INT PRIMARY KEY, a INT NOT NULL", "DROP PRIMARY KEY", "DROP PRIMARY KEY"},
	{"id INT, a INT", "ADD PRIMARY KEY (a, id)", "MODIFY COLUMN `id` int NOT NULL, MODIFY COLUMN `a` int NOT NULL, ADD PRIMARY KEY (`a`,`id`)"},
	{"id INT PRIMARY KEY, a INT", "DROP PRIMARY KEY, DROP COLUMN id, ADD PRIMARY KEY (a)", "DROP COLUMN `id`, MODIFY COLUMN `a` int NOT NULL, DROP PRIMARY KEY, ADD PRIMARY KEY (`a`)"},
	{"id INT PRIMARY KEY, a INT, UNIQUE (a)", "RENAME COLUMN id TO no, RENAME COLUMN a TO b, ADD UNIQUE (b, no)", "RENAME COLUMN `id` TO `no`, RENAME COLUMN `a` TO `b`, ADD UNIQUE KEY (`b`,`no`)"},
	{"id INT PRIMARY KEY, a INT, UNIQUE u (a)", "DROP INDEX u", "DROP INDEX `a`"},
	{"a INT NOT NULL, b INT NOT NULL, UNIQUE (a)", "ADD PRIMARY KEY (b)", "ADD UNIQUE KEY (`b`)"},
	{"id INT PRIMARY KEY AUTO_INCREMENT, a INT NOT NULL", "DROP PRIMARY KEY, ADD PRIMARY KEY (a), ADD KEY (id)", "DROP PRIMARY KEY, ADD PRIMARY KEY (`a`), ADD KEY (`id`)"},
	{"id INT PRIMARY KEY", "ADD COLUMN n INT NOT NULL AUTO_INCREMENT UNIQUE", "ADD COLUMN `n` int NOT NULL AUTO_INCREMENT, ADD UNIQUE KEY (`n`)"},
	{"id INT PRIMARY KEY AUTO_INCREMENT", "MODIFY id BIGINT UNSIGNED NOT NULL", "MODIFY COLUMN `id` bigint unsigned NOT NULL"},
	{"id INT PRIMARY KEY, a INT, g INT AS (a + 1)", "MODIFY g INT AS (a * 2) FIRST", "MODIFY COLUMN `g` int NULL FIRST"},
	{"id INT PRIMARY KEY, g POINT NOT NULL", "MODIFY g GEOMETRY", "MODIFY COLUMN `g` geometry NULL"},
	{"id INT PRIMARY KEY, p POINT", "ADD COLUMN g POINT NOT NULL SRID 4326, ADD COLUMN j JSON NOT NULL", "ADD COLUMN `g` point NOT NULL SRID 4326, ADD COLUMN `j` json NOT NULL"},
	{"id INT PRIMARY KEY, `o``dd, name` INT", "RENAME COLUMN `o``dd, name` TO `x``y z`", "RENAME COLUMN `o``dd, name` TO `x``y z`"},
}

// After each statement the target's table is the source's; asked again the
// sink finds nothing to do.
func TestFollowsStatements(t *testing.T) {
	f := newFollower(t, "schema.evolution", "full")
	for _, c := range alterCases {
		f.create(c.create)
		r, ok := f.alter("ALTER TABLE t " + c.alter)
		if !ok {
			t.Fatalf("%s: the source refuses %s", c.create, c.alter)
		}
		got := f.planned(r)
		if c.want != "" {
			c.want = "ALTER TABLE `" + f.dst + "`.`t` " + c.want
		}
		if got != c.want {
			t.Errorf("%s: %s: got\n%s, want\n%s", c.create, c.alter, got, c.want)
		}
		for range 2 { // the second is after a stop in between
			f.feed.write(t, f.sink, r)
			if got, want := f.shapeText(f.dst), f.shapeText(f.src); got != want {
				t.Errorf("%s: %s: the target is\n%s\nand the source\n%s", c.create, c.alter, got, want)
			}
		}
		f.drop()
	}
}

// planned returns what the sink would execute for a record.
func (f *follower) planned(r connect.Record) (stmt string) {
	f.t.Helper()
	c, err := f.sink.changeOf(&r)
	if err != nil {
		f.t.Fatal(err)
	}
	err = f.sink.catalogue.session(f.t.Context(), func(conn *sql.Conn) error {
		def, err := catalog.Def(f.t.Context(), conn, f.dst, "t")
		if err != nil {
			return err
		}
		extras, err := readExtras(f.t.Context(), conn, name{f.dst, "t"})
		stmt = planChange(c, def, extras, f.sink.catalogue.charsets).statement(name{f.dst, "t"}, true)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return stmt
}

// TestFollowsRandomStatements goes from one random shape to the next.
func TestFollowsRandomStatements(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1)) // the same each time: a run that fails tells of what has changed
	f := newFollower(t, "schema.evolution", "full")
	f.create("a INT NOT NULL PRIMARY KEY, b VARCHAR(20), c INT")
	f.exec("SET SESSION sql_mode = ''")
	var history []string
	for done := 0; done < 60; {
		stmt := "ALTER TABLE t " + randomClauses(rnd)
		r, ok := f.alter(stmt)
		if !ok {
			continue
		}
		history = append(history, stmt)
		for range 1 + rnd.IntN(2) {
			f.feed.write(t, f.sink, r)
		}
		if got, want := f.shapeText(f.dst), f.shapeText(f.src); got != want {
			t.Fatalf("after\n%s\nthe target is\n%s\nand the source\n%s", strings.Join(history, ";\n"), got, want)
		}
		done++
	}
}

func randomClauses(rnd *rand.Rand) string {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	col := func() string { return pick("a", "b", "c", "d", "e", "`f g`") }
	def := func() string {
		return pick("INT", "BIGINT", "VARCHAR(20)", "VARCHAR(9) CHARACTER SET latin1", "DECIMAL(9,3)", "ENUM('x','y')", "ENUM('y','z','x')", "DATETIME(3)", "BINARY(4)", "TINYINT UNSIGNED", "CHAR(5)") +
			pick("", "", " NOT NULL") + pick("", "", "", " INVISIBLE")
	}
	var clauses []string
	for range 1 + rnd.IntN(3) {
		clauses = append(clauses, pick(
			"ADD COLUMN "+col()+" "+def()+pick("", " FIRST", " AFTER "+col()),
			"DROP COLUMN "+col(),
			"RENAME COLUMN "+col()+" TO "+col(),
			"MODIFY "+col()+" "+def()+pick("", " FIRST", " AFTER "+col()),
			"CHANGE "+col()+" "+col()+" "+def(),
			"DROP PRIMARY KEY", "DROP PRIMARY KEY, ADD PRIMARY KEY ("+col()+")", "ADD PRIMARY KEY ("+col()+", "+col()+")",
			"ADD UNIQUE ("+col()+")", "ADD UNIQUE u ("+col()+", "+col()+")", "DROP INDEX "+pick("a", "b", "c", "u")))
	}
	if rnd.IntN(12) == 0 {
		return "CONVERT TO CHARACTER SET " + pick("latin1", "utf8mb4")
	}
	return strings.Join(clauses, ", ")
}

// A table that cannot take the rows is made anew where it has none, and only
// where the target is to follow in all.
func TestOnlyTablesWithoutRowsAreMadeAnew(t *testing.T) {
	for _, c := range []struct {
		mode, rows string
		anew       bool
	}{{"full", "", true}, {"full", "INSERT INTO t VALUES (1, 1)", false}, {"basic", "", false}} {
		f := newFollower(t, "schema.evolution", c.mode)
		f.create("a INT PRIMARY KEY, b INT")
		f.exec("USE " + f.dst + "; " + c.rows)
		f.exec("USE " + f.src)
		f.exec("DROP TABLE t; CREATE TABLE t (b INT PRIMARY KEY, c INT)")
		f.read()
		err := f.feed.try(f.sink, connect.Record{Op: connect.OpSchema, Table: f.table})
		if c.anew != (err == nil) || err != nil && !connect.IsPermanent(err) {
			t.Errorf("%+v: %v", c, err)
		}
		if anew := f.shapeText(f.dst) == f.shapeText(f.src); anew != c.anew {
			t.Errorf("%+v: made anew: %v", c, anew)
		}
		_ = f.sink.Close()
	}
}

// A column that comes back must not bring the values of the one that was kept.
func TestColumnsThatWereKeptAreNotTakenForNewOnes(t *testing.T) {
	f := newFollower(t)
	f.create("a INT PRIMARY KEY, b INT")
	f.feed.write(t, f.sink, insert(f.table, 1, 5))
	var r connect.Record
	for _, stmt := range []string{"ALTER TABLE t DROP COLUMN b", "ALTER TABLE t ADD COLUMN b INT"} {
		var ok bool
		if r, ok = f.alter(stmt); !ok {
			t.Fatal(stmt)
		}
		err := f.feed.try(f.sink, r)
		if strings.Contains(stmt, "ADD") != (connect.IsPermanent(err) && strings.Contains(err.Error(), "DROP COLUMN `b`")) {
			t.Errorf("%s: %v", stmt, err)
		}
	}
	f.exec("ALTER TABLE " + f.dst + ".t DROP COLUMN b")
	f.feed.write(t, f.sink, r)
	expect(t, f.srv, "SELECT a, b FROM "+f.dst+".t", "1,NULL")
}
