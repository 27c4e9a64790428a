package ddl_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"github.com/towline/towline/cdc/charset"
	"github.com/towline/towline/schema/catalog"
	"github.com/towline/towline/schema/ddl"

	"github.com/towline/towline/e2e/mysqltest"
)

// model is the simplest Model.
type model struct {
	defs map[ddl.Name]*ddl.Def
	dbs  map[string]ddl.Database
}

func newModel() *model {
	return &model{defs: map[ddl.Name]*ddl.Def{}, dbs: map[string]ddl.Database{}}
}

func (m *model) Def(db, table string) *ddl.Def { return m.defs[ddl.Name{Database: db, Table: table}] }

func (m *model) Database(db string) (ddl.Database, bool) {
	d, ok := m.dbs[db]
	return d, ok
}

// apply carries the outcomes out and returns the first error among them.
func (m *model) apply(outs []ddl.Outcome) (err error) {
	for _, o := range outs {
		if o.Err != nil {
			return fmt.Errorf("%s: %w", o.Name, o.Err)
		}
		switch {
		case o.Name.Table != "" && o.Def != nil:
			m.defs[o.Name] = o.Def
		case o.Name.Table != "":
			delete(m.defs, o.Name)
		case o.Database != nil:
			m.dbs[o.Name.Database] = *o.Database
		default:
			delete(m.dbs, o.Name.Database)
			for n := range m.defs {
				if n.Database == o.Name.Database {
					delete(m.defs, n)
				}
			}
		}
	}
	return nil
}

// describe writes out all that a Def says, but for what a catalog does not
// show.
func describe(d *ddl.Def) string {
	if d == nil {
		return "none"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s engine=%s charset=%s/%s key=%v primary=%v unique=%v\n", d.Table, d.Engine, d.Charset, d.Collation,
		d.Table.Key, d.Table.Primary, d.Table.Unique)
	for _, c := range d.Table.Columns {
		fmt.Fprintf(&b, "  %+v\n", c)
	}
	for _, x := range d.Indexes {
		x.Implicit = false
		if !x.Unique { // see Part.Prefix
			x.Parts = slices.Clone(x.Parts)
			for i := range x.Parts {
				x.Parts[i].Prefix = 0
			}
		}
		fmt.Fprintf(&b, "  index %+v\n", x)
	}
	return b.String()
}

func TestMain(m *testing.M) { os.Exit(mysqltest.Main(m).Run()) }

// server opens one connection to a server.
func server(t *testing.T) *sql.Conn {
	pool, err := sql.Open("mysql", mysqltest.Shared(t).DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := catalog.Prepare(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	return conn
}

var databases = []string{"ddl_one", "ddl_two"}

func dropDatabases(conn *sql.Conn) {
	for _, db := range databases {
		conn.ExecContext(context.Background(), "DROP DATABASE IF EXISTS "+db)
	}
}

func canEncode(name string, r rune) bool {
	cs, err := charset.ByName(name)
	if err != nil {
		return false
	}
	_, ok := cs.Encode(nil, []byte(string(r)))
	return ok
}

// follower runs statements on a server and on the model, and compares.
type follower struct {
	conn *sql.Conn
	m    *model
	ctx  ddl.Context
	// untold counts the statements whose result cannot be told.
	untold int
	last   string
}

// run returns what differs after a statement, "" for nothing; accepted says
// whether the server took it.
func (f *follower) run(t *testing.T, text string) (accepted bool, diff string) {
	t.Helper()
	if _, err := f.conn.ExecContext(t.Context(), text); err != nil {
		return false, ""
	}
	f.last = text
	st, err := ddl.Parse(text, f.ctx)
	if err != nil {
		return true, err.Error()
	}
	err = f.m.apply(ddl.Apply(st, f.m))
	if errors.Is(err, ddl.ErrElements) || errors.Is(err, ddl.ErrConvert) {
		f.resync(t)
		f.untold++
		return true, ""
	}
	if err != nil {
		return true, err.Error()
	}
	return true, f.compare(t)
}

func (f *follower) compare(t *testing.T) string {
	t.Helper()
	infos, err := catalog.Read(t.Context(), f.conn, func(db, _ string) bool { return slices.Contains(databases, db) })
	if err != nil {
		t.Fatal(err)
	}
	seen := map[ddl.Name]bool{}
	for _, i := range infos {
		n := ddl.Name{Database: i.Database, Table: i.Name}
		if i.Err != nil { // elements that a conversion left as bytes which are no text
			t.Log(i.Err, f.last)
			f.discard(t, n)
			continue
		}
		seen[n] = true
		if got, want := describe(f.m.defs[n]), describe(i.Def); got != want {
			return differing(got, want)
		}
	}
	for n := range f.m.defs {
		if !seen[n] {
			return "the server has no " + n.String()
		}
	}
	dbs, err := catalog.Databases(t.Context(), f.conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dbs {
		if slices.Contains(databases, d.Name) && f.m.dbs[d.Name] != d {
			return fmt.Sprintf("database %+v, on the server %+v", f.m.dbs[d.Name], d)
		}
	}
	return ""
}

// differing shows the lines that differ.
func differing(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	var b strings.Builder
	for i := range max(len(g), len(w)) {
		var x, y string
		if i < len(g) {
			x = g[i]
		}
		if i < len(w) {
			y = w[i]
		}
		if x != y {
			fmt.Fprintf(&b, "\n  model:  %s\n  server: %s", x, y)
		}
	}
	return b.String()
}

// TestFollowServer runs random DDL on a server and holds the model against
// the server's catalog after each statement that it takes.
// TOWLINE_TEST_STATEMENTS sets how many, TOWLINE_TEST_SEED the seed, which is
// the same in each run without it: who changes the parser tries others.
func TestFollowServer(t *testing.T) {
	conn := server(t)
	dropDatabases(conn)
	t.Cleanup(func() { dropDatabases(conn) })
	count := 300
	if n, err := strconv.Atoi(os.Getenv("TOWLINE_TEST_STATEMENTS")); err == nil {
		count = n
	}
	seed := uint64(20)
	if n, err := strconv.ParseUint(os.Getenv("TOWLINE_TEST_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("seed %d", seed)
	f := &follower{conn: conn, m: newModel()}
	f.ctx.CanEncode = canEncode
	g := &generator{r: rand.New(rand.NewPCG(seed, 1)), m: f.m}
	if err := conn.QueryRowContext(t.Context(), "SELECT @@collation_server").Scan(&f.ctx.ServerCollation); err != nil {
		t.Fatal(err)
	}
	taken, kinds, failures := 0, map[string]int{}, 0
	for tried := 0; taken < count && tried < count*8; tried++ {
		if tried%25 == 0 {
			g.session(t, f)
		}
		text := g.statement()
		before := maps.Clone(f.m.defs)
		accepted, diff := f.run(t, text)
		if accepted {
			taken++
			kinds[strings.Fields(text)[0]]++
		}
		if diff != "" {
			t.Errorf("%s\n  %+v\n%s", text, f.ctx, diff)
			for n, d := range before {
				if strings.Contains(text, strings.ReplaceAll(n.Table, "`", "``")) {
					t.Logf("before: %s", describe(d))
				}
			}
			f.resync(t)
			if failures++; failures > 8 {
				t.FailNow()
			}
		}
	}
	if f.untold*10 > taken {
		t.Errorf("too many statements cannot be told")
	}
	t.Logf("%d statements, %d of them untold: %v", taken, f.untold, kinds)
}

// A server that converts the charset of an ENUM keeps the bytes of its elements,
// also those at the end that are half a character then and that its catalog does
// not show. They are a character again in the charset after: whoever has read the
// catalog in between cannot tell the elements.
func TestElementsThatAreCutShort(t *testing.T) {
	conn := server(t)
	dropDatabases(conn)
	t.Cleanup(func() { dropDatabases(conn) })
	f := &follower{conn: conn, m: newModel()}
	f.ctx.CanEncode, f.ctx.Database, f.ctx.ServerCollation = canEncode, "ddl_one", "utf8mb4_0900_ai_ci"
	run := func(text string, untold int) {
		t.Helper()
		f.untold = 0
		if accepted, diff := f.run(t, text); !accepted || diff != "" || f.untold != untold {
			t.Errorf("%s: accepted %t, %d untold, want %d%s", text, accepted, f.untold, untold, diff)
		}
	}
	run("CREATE DATABASE ddl_one CHARACTER SET utf8mb4", 0)
	for _, cs := range []string{"sjis", "gbk", "big5", "euckr", "ujis", "gb18030"} {
		run("CREATE TABLE ddl_one.t (e ENUM('b', 'aé'), s SET('é')) CHARACTER SET latin1", 0)
		run("ALTER TABLE ddl_one.t CONVERT TO CHARACTER SET "+cs, 1)
		if e := f.m.Def("ddl_one", "t").Table.Columns[0].Elements[1]; e != "a" {
			t.Errorf("in %s the server shows %q", cs, e)
		}
		run("ALTER TABLE ddl_one.t CONVERT TO CHARACTER SET latin1", 1)
		if e := f.m.Def("ddl_one", "t").Table.Columns[0].Elements[1]; e != "aé" {
			t.Errorf("back from %s the server shows %q", cs, e)
		}
		run("DROP TABLE ddl_one.t", 0)
		run("CREATE TABLE ddl_one.t (e ENUM('y', 'n')) CHARACTER SET "+cs, 0)
		run("ALTER TABLE ddl_one.t CONVERT TO CHARACTER SET utf8mb4", 0)
		run("DROP TABLE ddl_one.t", 0)
	}
}

// The index that a server made for a foreign key goes when the key does, if a
// FULLTEXT index has its columns: in a copy of the table and in the table itself.
func TestIndexesWithoutTheirForeignKeys(t *testing.T) {
	conn := server(t)
	dropDatabases(conn)
	t.Cleanup(func() { dropDatabases(conn) })
	f := &follower{conn: conn, m: newModel()}
	f.ctx.CanEncode, f.ctx.Database, f.ctx.ServerCollation = canEncode, "ddl_one", "utf8mb4_0900_ai_ci"
	for _, text := range []string{
		"CREATE DATABASE ddl_one CHARACTER SET utf8mb4", "CREATE TABLE ddl_one.p (a VARCHAR(9) UNIQUE)",
		"CREATE TABLE ddl_one.t (b VARCHAR(9), c VARCHAR(9), FULLTEXT KEY k (b), CONSTRAINT f FOREIGN KEY (b) REFERENCES ddl_one.p (a), CONSTRAINT g FOREIGN KEY (c) REFERENCES ddl_one.p (a))",
		"CREATE TABLE ddl_one.u LIKE ddl_one.t", "CREATE INDEX x ON ddl_one.u (c, b)", "ALTER TABLE ddl_one.t RENAME ddl_one.v",
		"CREATE TABLE ddl_one.w (LIKE ddl_one.v)", "ALTER TABLE ddl_one.v DROP FOREIGN KEY f", "ALTER TABLE ddl_one.v DROP CONSTRAINT g, ADD FULLTEXT (c)",
		"CREATE TABLE ddl_one.z (b VARCHAR(9), FULLTEXT KEY k (b), CONSTRAINT h FOREIGN KEY (b) REFERENCES ddl_one.p (a))",
		"ALTER TABLE ddl_one.z DROP CONSTRAINT h", "ALTER TABLE ddl_one.z COMMENT 'x'",
		"ALTER TABLE ddl_one.z ADD CONSTRAINT h FOREIGN KEY (b) REFERENCES ddl_one.p (a)",
		"ALTER TABLE ddl_one.z DROP FOREIGN KEY h, ADD FOREIGN KEY (b) REFERENCES ddl_one.p (a)",
	} {
		if accepted, diff := f.run(t, text); !accepted || diff != "" {
			t.Errorf("%s: accepted %t%s", text, accepted, diff)
		}
	}
}

// A new column in front of a renamed one takes its name and its index, as long as
// that was.
func TestIndexesOfNewColumnsUnderOldNames(t *testing.T) {
	conn := server(t)
	dropDatabases(conn)
	t.Cleanup(func() { dropDatabases(conn) })
	f := &follower{conn: conn, m: newModel()}
	f.ctx.CanEncode, f.ctx.Database, f.ctx.ServerCollation = canEncode, "ddl_one", "utf8mb4_0900_ai_ci"
	statements := []string{"CREATE DATABASE ddl_one CHARACTER SET utf8mb4"}
	types := []string{"TINYINT", "SMALLINT UNSIGNED", "MEDIUMINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL(20,5)", "DECIMAL(9,9)", "BIT(12)", "YEAR", "DATE", "TIME(3)", "DATETIME(1)",
		"TIMESTAMP(6) NULL", "CHAR(4) CHARACTER SET ucs2", "VARCHAR(6)", "BINARY(7)", "ENUM('a','b')", "SET('a','b','c','d','e','f','g','h','i')"}
	for _, next := range []string{"VARCHAR(30) CHARACTER SET latin1", "CHAR(30)", "VARBINARY(30)"} {
		var columns, changes []string
		for i, typ := range types {
			columns = append(columns, fmt.Sprintf("c%d %s, UNIQUE KEY k%d (c%d)", i, typ, i, i))
			changes = append(changes, fmt.Sprintf("CHANGE c%d d%d %s, ADD COLUMN c%d %s FIRST", i, i, typ, i, next))
		}
		statements = append(statements, "CREATE TABLE ddl_one.t ("+strings.Join(columns, ", ")+")", "ALTER TABLE ddl_one.t "+strings.Join(changes, ", "), "DROP TABLE ddl_one.t")
	}
	for _, text := range statements {
		if accepted, diff := f.run(t, text); !accepted || diff != "" {
			t.Errorf("%s: accepted %t%s", text, accepted, diff)
		}
	}
}

// discard drops a table that the catalog cannot read.
func (f *follower) discard(t *testing.T, n ddl.Name) {
	delete(f.m.defs, n)
	for _, s := range []string{"SET SESSION foreign_key_checks = 0", "DROP TABLE `" + n.Database + "`.`" + strings.ReplaceAll(n.Table, "`", "``") + "`",
		"SET SESSION foreign_key_checks = 1"} {
		if _, err := f.conn.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// keepImplicit tells which indexes a server made for foreign keys, which its
// catalog does not.
func keepImplicit(d, old *ddl.Def) {
	if old == nil {
		return
	}
	for i := range d.Indexes {
		x := &d.Indexes[i]
		x.Implicit = slices.ContainsFunc(old.Indexes, func(o ddl.Index) bool { return o.Implicit && o.Name == x.Name && len(o.Parts) == len(x.Parts) })
	}
}

// resync takes the model from the server, so that one fault does not hide
// the next.
func (f *follower) resync(t *testing.T) {
	infos, err := catalog.Read(t.Context(), f.conn, func(db, _ string) bool { return slices.Contains(databases, db) })
	if err != nil {
		t.Fatal(err)
	}
	old := maps.Clone(f.m.defs)
	clear(f.m.defs)
	for _, i := range infos {
		n := ddl.Name{Database: i.Database, Table: i.Name}
		if i.Err != nil {
			t.Log(i.Err, f.last)
			f.discard(t, n)
			continue
		}
		f.m.defs[n] = i.Def
		keepImplicit(i.Def, old[n])
	}
	dbs, _ := catalog.Databases(t.Context(), f.conn)
	clear(f.m.dbs)
	for _, d := range dbs {
		if slices.Contains(databases, d.Name) {
			f.m.dbs[d.Name] = d
		}
	}
}
