package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"

	"github.com/towline/towline/e2e/mysqltest"
)

func TestParseType(t *testing.T) {
	for _, c := range []struct {
		text string
		want schema.Column
	}{
		{"tinyint(1)", schema.Column{Type: schema.TypeTinyInt, Length: 1}},
		{"tinyint(4)", schema.Column{Type: schema.TypeTinyInt}},
		{"tinyint(1) unsigned", schema.Column{Type: schema.TypeTinyInt, Unsigned: true}},
		{"int(11)", schema.Column{Type: schema.TypeInt}},
		{"bigint unsigned", schema.Column{Type: schema.TypeBigInt, Unsigned: true}},
		{"int(5) unsigned zerofill", schema.Column{Type: schema.TypeInt, Unsigned: true, Zerofill: true}},
		{"decimal(65,30)", schema.Column{Type: schema.TypeDecimal, Precision: 65, Scale: 30}},
		{"float", schema.Column{Type: schema.TypeFloat}},
		{"double(8,2) unsigned", schema.Column{Type: schema.TypeDouble, Precision: 8, Scale: 2, Unsigned: true}},
		{"datetime(6)", schema.Column{Type: schema.TypeDateTime, Scale: 6}},
		{"timestamp", schema.Column{Type: schema.TypeTimestamp}},
		{"year(4)", schema.Column{Type: schema.TypeYear}},
		{"bit(64)", schema.Column{Type: schema.TypeBit, Length: 64}},
		{"vector(2048)", schema.Column{Type: schema.TypeVector, Length: 2048}},
		{"geomcollection", schema.Column{Type: schema.TypeGeometry, Subtype: "geometrycollection"}},
		{"geometry", schema.Column{Type: schema.TypeGeometry}},
		{"polygon", schema.Column{Type: schema.TypeGeometry, Subtype: "polygon"}},
		{"uuid", schema.Column{Type: schema.TypeChar, Length: 36, Charset: "ascii", Collation: "ascii_general_ci", Subtype: "uuid"}},
		{"varchar(3) /*M!100301 COMPRESSED*/", schema.Column{Type: schema.TypeVarchar, Length: 3}},
		{"enum('a /* b */','c') /*x*/", schema.Column{Type: schema.TypeEnum, Elements: []string{"a /* b */", "c"}}},
		{"longblob", schema.Column{Type: schema.TypeLongBlob}},
		{`enum('a,b','c''d')`, schema.Column{Type: schema.TypeEnum, Elements: []string{"a,b", "c'd"}}},
		{`enum('')`, schema.Column{Type: schema.TypeEnum, Elements: []string{""}}},
		{`set('x','(y)',') unsigned')`, schema.Column{Type: schema.TypeSet, Elements: []string{"x", "(y)", ") unsigned"}}},
		{`enum('a\\','\n\r\0','é','\'')`, schema.Column{Type: schema.TypeEnum, Elements: []string{`a\`, "\n\r\x00", "é", "'"}}},
	} {
		var got schema.Column
		if err := parseType(c.text, &got); err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, %v", c.text, got, err)
		}
	}
	for _, bad := range []string{"", "uuid(3)", "int /* x", "enum('a'", "enum(a)", "enum('a'x)", "enum('a',)", "decimal(10)", "int(x)", "int(1", "int signed", "varchar", "char"} {
		if err := parseType(bad, new(schema.Column)); err == nil {
			t.Errorf("%q is taken for a type", bad)
		}
	}
}

func TestMain(m *testing.M) { os.Exit(mysqltest.Main(m).Run()) }

// open connects to a server and gives a database of the test's own.
func open(t *testing.T) (*sql.Conn, string) {
	pool, err := sql.Open("mysql", mysqltest.Shared(t).DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := "catalog_" + strings.ToLower(t.Name())
	run(t, conn, "SET NAMES utf8mb4", "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name+" CHARACTER SET latin1", "USE "+name)
	t.Cleanup(func() {
		run(t, conn, "DROP DATABASE "+name)
		conn.Close()
	})
	if err := Prepare(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	return conn, name
}

func run(t *testing.T, conn *sql.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.ExecContext(context.Background(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestColumns(t *testing.T) {
	conn, db := open(t)
	run(t, conn, "SET SESSION sql_mode = ''", "CREATE TABLE t ("+
		`a ENUM('a,b','c''d','back\\slash','é','','x\ny') CHARACTER SET utf8mb4, b SET('x','y z'), c CHAR(5) CHARACTER SET binary,
		e NATIONAL VARCHAR(7), g TEXT(10), k VARCHAR(5) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, l TINYINT(1), m TINYINT(1) UNSIGNED,
		n INT(5) ZEROFILL, p DECIMAL, s FLOAT(7,3), u BIT(9), w SERIAL, y TIMESTAMP NULL, z TIME(6) NOT NULL,
		ab GEOMETRY SRID 4326, ac GEOMETRYCOLLECTION, af INT AS (l + 1) INVISIBLE, ag INT AS (l + 1) STORED,
		dg DATETIME DEFAULT (now()), q ENUM('?') CHARACTER SET utf8mb4, PRIMARY KEY (z, g(3)), UNIQUE (m, l), UNIQUE uu (k(2), u))`)
	infos, err := Read(t.Context(), conn, func(d, _ string) bool { return d == db })
	if err != nil || len(infos) != 1 || infos[0].Err != nil {
		t.Fatal(infos, err)
	}
	d := infos[0].Def
	const null = true
	want := []schema.Column{
		{Name: "a", Type: schema.TypeEnum, Nullable: null, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci",
			Elements: []string{"a,b", "c'd", `back\slash`, "é", "", "x\ny"}},
		{Name: "b", Type: schema.TypeSet, Nullable: null, Charset: "latin1", Collation: "latin1_swedish_ci", Elements: []string{"x", "y z"}},
		{Name: "c", Type: schema.TypeBinary, Nullable: null, Length: 5},
		{Name: "e", Type: schema.TypeVarchar, Nullable: null, Length: 7, Charset: "utf8mb3", Collation: "utf8mb3_general_ci"},
		{Name: "g", Type: schema.TypeTinyText, Charset: "latin1", Collation: "latin1_swedish_ci"},
		{Name: "k", Type: schema.TypeVarchar, Nullable: null, Length: 5, Charset: "utf8mb4", Collation: "utf8mb4_bin"},
		{Name: "l", Type: schema.TypeTinyInt, Nullable: null, Length: 1},
		{Name: "m", Type: schema.TypeTinyInt, Nullable: null, Unsigned: true},
		{Name: "n", Type: schema.TypeInt, Nullable: null, Unsigned: true, Zerofill: true},
		{Name: "p", Type: schema.TypeDecimal, Nullable: null, Precision: 10},
		{Name: "s", Type: schema.TypeFloat, Nullable: null, Precision: 7, Scale: 3},
		{Name: "u", Type: schema.TypeBit, Nullable: null, Length: 9},
		{Name: "w", Type: schema.TypeBigInt, Unsigned: true, AutoIncrement: true},
		{Name: "y", Type: schema.TypeTimestamp, Nullable: null},
		{Name: "z", Type: schema.TypeTime, Scale: 6},
		{Name: "ab", Type: schema.TypeGeometry, Nullable: null, SRID: 4326, HasSRID: true},
		{Name: "ac", Type: schema.TypeGeometry, Nullable: null, Subtype: "geometrycollection"},
		{Name: "af", Type: schema.TypeInt, Nullable: null, Generated: true, Invisible: true},
		{Name: "ag", Type: schema.TypeInt, Nullable: null, Generated: true},
		{Name: "dg", Type: schema.TypeDateTime, Nullable: null},
		{Name: "q", Type: schema.TypeEnum, Nullable: null, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci", Elements: []string{"?"}},
	}
	for i, c := range d.Table.Columns {
		if fmt.Sprint(c) != fmt.Sprint(want[i]) {
			t.Errorf("got  %+v\nwant %+v", c, want[i])
		}
	}
	if s := fmt.Sprintln(len(want), d.Table.Key, d.Table.Primary, d.Table.Unique, d.Engine, d.Charset, d.Collation, infos[0].Doubtful); s !=
		"21 [14 4] true [[5 11] [7 6] [12]] InnoDB latin1 latin1_swedish_ci [q]\n" {
		t.Error(s)
	}
	b := ddl.AppendDef(nil, d)
	back, rest, err := ddl.ParseDef(append(b, 7))
	if err != nil || len(rest) != 1 || !slices.Equal(ddl.AppendDef(nil, back), b) || back.Table.ID() != d.Table.ID() {
		t.Error("the binary form of the Def does not come back", err)
	}
	for i := range b {
		if _, _, err := ddl.ParseDef(b[:i]); err == nil {
			t.Fatalf("%d of %d bytes are taken for a Def", i, len(b))
		}
	}
}

func TestKeys(t *testing.T) {
	conn, db := open(t)
	for _, c := range []struct{ table, want string }{
		{"a INT", "[] false []"},
		{"a INT, UNIQUE (a)", "[] false [[0]]"},
		{"a INT NOT NULL, UNIQUE (a)", "[0] false []"},
		{"a INT NOT NULL, b INT NOT NULL, UNIQUE (a, b), UNIQUE (b)", "[1] false [[0 1]]"},
		{"a INT NOT NULL, b INT NOT NULL, UNIQUE (b), UNIQUE (a), UNIQUE (a DESC)", "[0] false [[1]]"},
		{"a INT AS (b) NOT NULL, b INT NOT NULL, UNIQUE (b), UNIQUE (a)", "[1] false [[0]]"},
		{"a VARCHAR(9) NOT NULL, UNIQUE (a(3))", "[] false [[0]]"},
		{"a VARCHAR(9) NOT NULL, PRIMARY KEY (a(3))", "[0] true []"},
		{"a INT NOT NULL, UNIQUE ((a + 1)), UNIQUE (a, (a + 2))", "[] false []"},
		{"a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (b, a), KEY (a), UNIQUE (a, b)", "[1 0] true [[0 1]]"},
	} {
		run(t, conn, "DROP TABLE IF EXISTS k", "CREATE TABLE k ("+c.table+")")
		d, err := Table(t.Context(), conn, db, "k")
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(d.Key, d.Primary, d.Unique); got != c.want {
			t.Errorf("%s: %s, want %s", c.table, got, c.want)
		}
	}
}

func TestGeneratedPrimaryKey(t *testing.T) {
	conn, db := open(t)
	run(t, conn, "SET SESSION sql_generate_invisible_primary_key = ON", "CREATE TABLE g (a INT)")
	g, err := Table(t.Context(), conn, db, "g")
	if err != nil || g.Columns[0].Name != "my_row_id" || !g.Columns[0].Invisible || !g.Primary {
		t.Fatal(g, err)
	}
	run(t, conn, "SET SESSION show_gipk_in_create_table_and_information_schema = OFF")
	if _, err := Table(t.Context(), conn, db, "g"); err == nil || !strings.Contains(err.Error(), "hidden") {
		t.Errorf("a hidden key is not noticed: %v", err)
	}
}

func TestManyTables(t *testing.T) {
	conn, db := open(t)
	names := []string{"plain", "q'uo`te\"", "ünï", "dot.slash/", "CASE", "case"}
	for i := range maxNames {
		names = append(names, fmt.Sprintf("t%03d", i))
	}
	for _, n := range names {
		run(t, conn, "CREATE TABLE `"+strings.ReplaceAll(n, "`", "``")+"` (id INT PRIMARY KEY)")
	}
	run(t, conn, "CREATE VIEW v AS SELECT * FROM plain")
	slices.Sort(names)
	for _, n := range []int{len(names), 4} { // by database, and by name
		tables, err := Tables(t.Context(), conn, func(d, name string) bool { return d == db && slices.Contains(names[:n], name) })
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range tables {
			got = append(got, x.Name)
		}
		if !slices.Equal(got, names[:n]) {
			t.Errorf("got %q", got)
		}
	}
	for _, n := range []string{"v", "none"} {
		if _, err := Table(t.Context(), conn, db, n); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", n, err)
		}
	}
	dbs, err := Databases(t.Context(), conn)
	if err != nil || !slices.Contains(dbs, ddl.Database{Name: db, Charset: "latin1", Collation: "latin1_swedish_ci"}) {
		t.Error(dbs, err)
	}
}

// Names that differ in letter case or accents alone are two tables.
func TestNamesThatAreAlike(t *testing.T) {
	for name, opts := range map[string][]mysqltest.Option{"mysql": nil, "mariadb": {mysqltest.MariaDB()}} {
		t.Run(name, func(t *testing.T) {
			srv := mysqltest.Start(t, opts...)
			srv.Exec(t, "CREATE DATABASE alike; CREATE TABLE alike.t (a INT); CREATE TABLE alike.T (b INT PRIMARY KEY); CREATE TABLE alike.`Ť` (c INT, d INT)")
			for i, want := range []string{"T b", "t a", "Ť c d"} {
				infos, err := Read(t.Context(), srv.DB(), func(db, name string) bool { return db == "alike" && (i == 2 || strings.HasPrefix(want, name)) })
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, x := range infos {
					text := x.Name
					for _, c := range x.Def.Table.Columns {
						text += " " + c.Name
					}
					got = append(got, text)
				}
				if i == 2 {
					want = "T b, t a, " + want
				}
				if strings.Join(got, ", ") != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}
