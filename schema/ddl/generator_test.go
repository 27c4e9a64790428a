package ddl_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/schema/ddl"
)

// generator makes up DDL that a server may well take.
type generator struct {
	r    *rand.Rand
	m    *model
	ansi bool
}

func (g *generator) pick(list ...string) string { return list[g.r.IntN(len(list))] }
func (g *generator) one(n int) bool             { return g.r.IntN(n) == 0 }

// maybe returns s once in n times.
func (g *generator) maybe(n int, s string) string {
	if g.one(n) {
		return s
	}
	return ""
}

// session changes the settings that DDL depends on.
func (g *generator) session(t *testing.T, f *follower) {
	c := &f.ctx
	modes := []string{"NO_ENGINE_SUBSTITUTION"}
	for _, m := range []string{"STRICT_ALL_TABLES", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "REAL_AS_FLOAT"} {
		if g.one(2) {
			modes = append(modes, m)
		}
	}
	mode := strings.Join(modes, ",")
	c.SQLMode = ddl.ParseSQLMode(mode)
	g.ansi = c.SQLMode&ddl.ANSIQuotes != 0
	c.ImplicitTimestamps, c.GeneratePrimaryKey = g.one(3), g.one(4)
	c.UTF8MB4Collation = g.pick("utf8mb4_0900_ai_ci", "utf8mb4_0900_ai_ci", "utf8mb4_general_ci")
	c.Database = ""
	onoff := map[bool]string{true: "ON", false: "OFF"}
	for _, s := range []string{"sql_mode = '" + mode + "'", "explicit_defaults_for_timestamp = " + onoff[!c.ImplicitTimestamps],
		"sql_generate_invisible_primary_key = " + onoff[c.GeneratePrimaryKey], "default_collation_for_utf8mb4 = " + c.UTF8MB4Collation} {
		if _, err := f.conn.ExecContext(t.Context(), "SET SESSION "+s); err != nil {
			t.Fatal(s, err)
		}
	}
	for _, db := range slices.Sorted(maps.Keys(f.m.dbs)) {
		if _, err := f.conn.ExecContext(t.Context(), "USE "+db); err != nil {
			t.Fatal(err)
		}
		c.Database = db
	}
	if c.Database == "" {
		f.run(t, "CREATE DATABASE ddl_one")
		if _, err := f.conn.ExecContext(t.Context(), "USE ddl_one"); err != nil {
			t.Fatal(err)
		}
		c.Database = "ddl_one"
	}
}

func (g *generator) quote(s string) string {
	q := "`"
	if g.ansi && g.one(2) {
		q = `"`
	}
	if g.one(2) && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == "" {
		return s
	}
	return q + strings.ReplaceAll(s, q, q+q) + q
}

func (g *generator) table() string {
	known := slices.SortedFunc(maps.Keys(g.m.defs), func(a, b ddl.Name) int { return strings.Compare(a.String(), b.String()) })
	if len(known) > 0 && !g.one(12) {
		n := known[g.r.IntN(len(known))]
		return g.quote(n.Database) + "." + g.quote(n.Table)
	}
	return g.freshTable()
}

func (g *generator) freshTable() string {
	n := g.pick("t1", "t2", "t3", "t4", "odd name", "quo`te", "dot.ted", "T1", "ünï", "1e5", "2x")
	if g.one(2) {
		return "`" + strings.ReplaceAll(n, "`", "``") + "`"
	}
	if n == "1e5" {
		return "ddl_one.1e5"
	}
	return g.quote(g.pick(databases...)) + g.pick(".", " . ") + g.quote(n)
}

var columnNames = []string{"a", "b", "c", "d", "e", "f", "g", "Ab", "x y", "key", "visible", "bit", "é", "enum", "comment", "1a", "after"}

func (g *generator) column() string {
	n := g.pick(columnNames...)
	if n == "key" || n == "x y" {
		return "`" + n + "`"
	}
	return g.quote(n)
}

// existing returns a column of the table, mostly.
func (g *generator) existing(d *ddl.Def) string {
	if d == nil || g.one(15) {
		return g.column()
	}
	return "`" + d.Table.Columns[g.r.IntN(len(d.Table.Columns))].Name + "`"
}

func (g *generator) charset() string {
	return g.pick("latin1", "utf8mb4", "utf8mb4", "utf8", "utf8mb3", "gbk", "ucs2", "ascii", "binary", "utf16", "cp1251", "sjis", "utf32")
}

func (g *generator) collation() string {
	return g.pick("latin1_bin", "utf8mb4_bin", "utf8mb4_0900_as_cs", "utf8mb3_general_ci", "utf8_unicode_ci", "gbk_chinese_ci", "ucs2_bin",
		"binary", "utf8mb4_de_pb_0900_ai_ci", "latin1_german1_ci")
}

func (g *generator) textAttributes() string {
	switch g.r.IntN(9) {
	case 0:
		return " CHARACTER SET " + g.charset()
	case 1:
		return " CHARSET " + g.charset() + " BINARY"
	case 2:
		return " COLLATE " + g.collation()
	case 3:
		return g.pick(" BINARY", " ASCII", " UNICODE", " BYTE", " BINARY ASCII", " UNICODE BINARY", " BINARY CHARACTER SET latin1", " CHAR SET 'utf8mb4'")
	case 4:
		return " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	}
	return ""
}

func (g *generator) number(list ...int) string { return fmt.Sprint(list[g.r.IntN(len(list))]) }

func (g *generator) elementList() string {
	list := []string{"'a'", "'b,c'", "'it''s'", "'é'", "' x  '", `"q"`, "''", "'(y)'", `'b\\s'`, "0x61", "x'4142'", "'中'", "'z  '"}
	if g.ansi {
		list[5] = "'q'"
	}
	g.r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return "(" + strings.Join(list[:1+g.r.IntN(5)], ", ") + ")"
}

func (g *generator) dataType() string {
	numeric := g.pick("", "", " UNSIGNED", " ZEROFILL", " SIGNED", " UNSIGNED ZEROFILL")
	switch g.r.IntN(22) {
	case 0, 1:
		return g.pick("INT", "INTEGER", "BIGINT", "SMALLINT", "MEDIUMINT", "TINYINT", "INT1", "INT2", "INT3", "INT4", "INT8", "MIDDLEINT") +
			g.pick("", "", "(11)", "(1)", "(5)") + numeric
	case 2:
		return g.pick("TINYINT(1)", "BOOL", "BOOLEAN", "TINYINT (1) UNSIGNED", "TINYINT(1) ZEROFILL", "TINYINT(01)")
	case 3:
		return g.pick("DECIMAL", "DEC", "NUMERIC", "FIXED") + g.pick("", "(0)", "(5)", "(20,5)", "(65,30)", "(0,0)") + numeric
	case 4:
		return g.pick("FLOAT", "DOUBLE", "REAL", "DOUBLE PRECISION", "FLOAT4", "FLOAT8", "FLOAT(10)", "FLOAT(24)", "FLOAT(25)", "FLOAT(53)",
			"FLOAT(7,3)", "DOUBLE(8,2)", "REAL(9,4)", "FLOAT(0)") + numeric
	case 5:
		return g.pick("BIT", "BIT(8)", "BIT(64)", "BIT(1)")
	case 6:
		return g.pick("DATE", "YEAR", "YEAR(4)", "TIME", "TIME(3)", "DATETIME", "DATETIME(6)", "TIMESTAMP NULL", "TIMESTAMP(2) NULL", "DATETIME(0)")
	case 7:
		return g.pick("TIMESTAMP", "TIMESTAMP(6)", "TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP", "TIMESTAMP NULL DEFAULT NULL",
			"TIMESTAMP NOT NULL DEFAULT '2001-01-01'", "TIMESTAMP(3) DEFAULT NOW(3)", "TIMESTAMP DEFAULT LOCALTIMESTAMP()")
	case 8, 9:
		return g.pick("CHAR", "CHARACTER", "CHAR(5)", "CHAR(20)", "CHAR(0)", "CHAR (255)") + g.textAttributes()
	case 10, 11, 12:
		return g.pick("VARCHAR", "CHAR VARYING", "CHARACTER VARYING", "VARCHARACTER") +
			"(" + g.number(0, 1, 10, 20, 20, 255, 300, 16384, 20000, 40000, 65535, 70000) + ")" + g.textAttributes()
	case 13:
		return g.pick("NCHAR", "NATIONAL CHAR(7)", "NATIONAL CHARACTER(3)", "NVARCHAR(9)", "NATIONAL VARCHAR(5)", "NCHAR VARYING(6)",
			"NATIONAL CHARACTER VARYING(4)", "NCHAR VARCHAR(8)", "NATIONAL CHAR VARYING(3)") + g.pick("", " BINARY")
	case 14, 15:
		return g.pick("TEXT", "TINYTEXT", "MEDIUMTEXT", "LONGTEXT", "LONG", "LONG VARCHAR", "LONG CHAR VARYING",
			"TEXT("+g.number(0, 1, 63, 64, 85, 255, 256, 16383, 16384, 65535, 65536, 70000, 5000000, 20000000)+")") + g.textAttributes()
	case 16:
		return g.pick("BLOB", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "LONG VARBINARY", "BLOB("+g.number(0, 100, 256, 65536, 20000000)+")",
			"BINARY", "BINARY(16)", "VARBINARY(20)", "VARBINARY(70000)", "BINARY(0)")
	case 17, 18:
		return g.pick("ENUM", "SET") + g.elementList() + g.textAttributes()
	case 19:
		return g.pick("JSON", "VECTOR", "VECTOR(3)")
	case 20:
		return g.pick("GEOMETRY", "POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION",
			"GEOMCOLLECTION") + g.pick("", " SRID 4326", " SRID 0", " /*!80003 SRID 0 */")
	}
	return "SERIAL"
}

func (g *generator) attributes(alone bool) string {
	var b strings.Builder
	b.WriteString(g.pick("", "", " NULL", " NOT NULL", " NOT NULL"))
	for _, a := range []struct {
		odds int
		text string
	}{{14, " DEFAULT NULL"}, {14, " DEFAULT '1'"}, {20, " DEFAULT -1"}, {25, " DEFAULT (1+1)"}, {40, " DEFAULT _utf8mb4'x' 'y'"}, {30, " DEFAULT b'1'"},
		{40, " AUTO_INCREMENT"}, {14, " UNIQUE"}, {20, " UNIQUE KEY"}, {25, " PRIMARY KEY"}, {40, " KEY"}, {8, " COMMENT 'it''s, (a) comment'"},
		{12, " INVISIBLE"}, {14, " /*!80023 INVISIBLE */"}, {25, " VISIBLE"}, {30, " COLUMN_FORMAT DYNAMIC"}, {25, " COLLATE " + g.collation()},
		{30, " CHECK (1 < 2)"}, {40, " CONSTRAINT CHECK ((1) < 2) NOT ENFORCED"}, {30, " /*!99999 UNIQUE */"}, {60, " SERIAL DEFAULT VALUE"},
		{40, " ENGINE_ATTRIBUTE = '{}'"}} {
		b.WriteString(g.maybe(a.odds, a.text))
	}
	return b.String()
}

func (g *generator) definition() string {
	if g.one(10) {
		return g.pick("INT", "BIGINT UNSIGNED", "VARCHAR(10)", "DOUBLE") + g.textFree() + g.pick(" GENERATED ALWAYS AS (1+1)", " AS ('x')", " AS ((2))") +
			g.pick("", " VIRTUAL", " STORED") + g.pick("", "", " NOT NULL", " NULL", " UNIQUE", " INVISIBLE", " COMMENT 'g'")
	}
	return g.dataType() + g.attributes(true)
}

func (g *generator) textFree() string { return "" }

func (g *generator) parts(cols func() string) string {
	var list []string
	for range 1 + g.r.IntN(3) {
		switch g.r.IntN(10) {
		case 0:
			list = append(list, "("+cols()+" + "+g.number(1, 2, 3)+")")
		case 1, 2:
			list = append(list, cols()+"("+g.number(1, 3, 5, 10, 20)+")")
		case 3:
			list = append(list, cols()+" DESC")
		default:
			list = append(list, cols())
		}
	}
	return "(" + strings.Join(list, ", ") + ")"
}

func (g *generator) keyName() string { return g.pick("", "", "k1", "k2", "a", "`b`", "b_2") }

func (g *generator) key(cols func() string) string {
	parts := g.parts(cols)
	switch g.r.IntN(9) {
	case 0, 1:
		return g.pick("", "CONSTRAINT ", "CONSTRAINT p ") + "PRIMARY KEY " + g.pick("", "USING BTREE ") + parts
	case 2, 3, 4:
		return g.pick("", "CONSTRAINT u"+g.number(1, 2, 3)+" ", "CONSTRAINT ") + "UNIQUE " + g.pick("", "KEY ", "INDEX ") + g.keyName() + parts +
			g.pick("", " USING BTREE", " COMMENT 'x'", " INVISIBLE")
	case 5:
		return g.pick("FULLTEXT", "FULLTEXT KEY") + " " + g.keyName() + "(" + cols() + ")"
	case 6:
		return "SPATIAL INDEX " + g.keyName() + "(" + cols() + ")"
	}
	return g.pick("KEY ", "INDEX ") + g.keyName() + parts
}

func (g *generator) tableOptions() string {
	var b strings.Builder
	for _, o := range []string{"ENGINE=InnoDB", "ENGINE MyISAM", "ENGINE=memory", "COMMENT='x'", "DEFAULT CHARSET=" + g.charset(), "CHARACTER SET " + g.charset(),
		"COLLATE=" + g.collation(), "DEFAULT COLLATE " + g.collation(), "ROW_FORMAT=DYNAMIC", "AUTO_INCREMENT=7", "STATS_PERSISTENT=0",
		"CHARSET utf8mb4 COLLATE utf8mb4_bin", "KEY_BLOCK_SIZE=0", "MAX_ROWS 10"} {
		if g.one(14) {
			b.WriteString(g.pick(" ", " ", ", ")[0:1] + " " + o)
		}
	}
	return strings.ReplaceAll(b.String(), ",", " ")
}

func (g *generator) createTable() string {
	if g.one(12) {
		return "CREATE TABLE " + g.freshTable() + g.pick(" LIKE "+g.table(), " (LIKE "+g.table()+")")
	}
	var list, names []string
	for range 1 + g.r.IntN(7) {
		n := g.column()
		names = append(names, n)
		list = append(list, n+" "+g.definition())
	}
	cols := func() string { return names[g.r.IntN(len(names))] }
	for range g.r.IntN(4) {
		list = append(list, g.key(cols))
	}
	if g.one(15) {
		list = append(list, "FOREIGN KEY ("+cols()+") REFERENCES "+g.table()+" (a)")
	}
	return "CREATE TABLE " + g.maybe(8, "IF NOT EXISTS ") + g.freshTable() + " (" + strings.Join(list, g.pick(", ", ",\n -- x\n", " /* , */ ,")) + ")" + g.tableOptions() +
		g.maybe(20, " PARTITION BY HASH ("+cols()+") PARTITIONS 3")
}

func (g *generator) def(table string) *ddl.Def {
	for _, n := range slices.SortedFunc(maps.Keys(g.m.defs), func(a, b ddl.Name) int { return strings.Compare(a.String(), b.String()) }) {
		d := g.m.defs[n]
		if strings.Contains(table, strings.ReplaceAll(n.Table, "`", "``")) && strings.Contains(table, n.Database) {
			return d
		}
	}
	return nil
}

func (g *generator) index(d *ddl.Def) string {
	if d == nil || len(d.Indexes) == 0 || g.one(10) {
		return g.pick("k1", "a", "b")
	}
	return "`" + d.Indexes[g.r.IntN(len(d.Indexes))].Name + "`"
}

func (g *generator) place(cols func() string) string {
	return g.pick("", "", "", " FIRST", " AFTER "+cols(), " AFTER "+cols())
}

func (g *generator) alterClause(d *ddl.Def) string {
	cols := func() string { return g.existing(d) }
	switch g.r.IntN(26) {
	case 0, 1, 2:
		return "ADD " + g.pick("", "COLUMN ") + g.column() + " " + g.definition() + g.place(cols)
	case 3:
		return "ADD (" + g.column() + " " + g.definition() + ", " + g.column() + " " + g.definition() + ", " + g.key(cols) + ")"
	case 4, 5:
		return "DROP " + g.pick("", "COLUMN ") + cols()
	case 6, 7, 8:
		return "MODIFY " + g.pick("", "COLUMN ") + cols() + " " + g.definition() + g.place(cols)
	case 9, 10:
		return "CHANGE " + g.pick("", "COLUMN ") + cols() + " " + g.column() + " " + g.definition() + g.place(cols)
	case 11, 12:
		return "RENAME COLUMN " + cols() + " TO " + g.pick(g.column(), cols())
	case 13, 14, 15:
		return "ADD " + g.key(cols)
	case 16:
		return "DROP " + g.pick("PRIMARY KEY", "INDEX "+g.index(d), "KEY "+g.index(d), "CONSTRAINT "+g.index(d))
	case 17:
		return "RENAME " + g.pick("INDEX ", "KEY ") + g.index(d) + " TO " + g.pick("r1", "r2", "`a`")
	case 18:
		return "ALTER " + g.pick("", "COLUMN ") + cols() + g.pick(" SET DEFAULT 1", " DROP DEFAULT", " SET INVISIBLE", " SET VISIBLE", " SET DEFAULT (2)")
	case 19:
		return "CONVERT TO CHARACTER SET " + g.charset()
	case 20:
		return "CONVERT TO CHARSET utf8mb4 COLLATE " + g.pick("utf8mb4_bin", "utf8mb4_0900_as_cs")
	case 21:
		return g.pick("DEFAULT CHARSET = "+g.charset(), "COLLATE "+g.collation(), "CHARACTER SET "+g.charset(), "ENGINE=InnoDB", "ENGINE = MyISAM")
	case 22:
		return "RENAME " + g.pick("", "TO ", "AS ") + g.freshTable()
	case 23:
		return g.pick("FORCE", "ORDER BY "+cols(), "ORDER BY "+cols()+" DESC, "+cols(), "COMMENT 'a, b'", "ALTER INDEX "+g.index(d)+" INVISIBLE", "AUTO_INCREMENT = 5", "LOCK=DEFAULT",
			"ALGORITHM=COPY", "ENABLE KEYS", "ADD CHECK (1=1)", "WITHOUT VALIDATION")
	case 24:
		return "ADD FOREIGN KEY (" + cols() + ") REFERENCES " + g.table() + " (a)"
	}
	return g.pick("PARTITION BY KEY () PARTITIONS 2", "REMOVE PARTITIONING", "ADD PARTITION PARTITIONS 1", "TRUNCATE PARTITION ALL")
}

func (g *generator) statement() string {
	if len(g.m.defs) < 3 {
		return g.createTable()
	}
	switch n := g.r.IntN(100); {
	case n < 18:
		return g.createTable()
	case n < 72:
		t := g.table()
		d := g.def(t)
		var list []string
		for range 1 + g.r.IntN(1+g.r.IntN(5)) {
			list = append(list, g.alterClause(d))
		}
		if strings.Count(strings.Join(list, ", "), "CONVERT TO") > 1 {
			list = list[:1] // refused
		}
		return "ALTER TABLE " + t + " " + strings.Join(list, ", ")
	case n < 78:
		t := g.table()
		d := g.def(t)
		return "CREATE " + g.pick("", "UNIQUE ", "UNIQUE ", "FULLTEXT ", "SPATIAL ") + "INDEX " + g.pick("k1", "k2", "`c`") + " ON " + t + " " +
			g.parts(func() string { return g.existing(d) }) + g.pick("", " COMMENT 'x'", " ALGORITHM=INPLACE LOCK=NONE")
	case n < 81:
		t := g.table()
		return "DROP INDEX " + g.index(g.def(t)) + " ON " + t
	case n < 86:
		return "RENAME TABLE " + g.table() + " TO " + g.freshTable() + g.pick("", ", "+g.table()+" TO "+g.freshTable())
	case n < 88:
		a, b := g.table(), g.table()
		return "RENAME TABLE " + a + " TO ddl_one.swap, " + b + " TO " + a + ", ddl_one.swap TO " + b
	case n < 92:
		return "DROP TABLE " + g.pick("", "IF EXISTS ") + g.table() + g.pick("", ", "+g.table()) + g.pick("", " CASCADE")
	case n < 94:
		return "TRUNCATE " + g.pick("", "TABLE ") + g.table()
	case n < 96:
		return "ALTER DATABASE " + g.pick(databases...) + g.pick(" CHARACTER SET "+g.charset(), " COLLATE "+g.collation(), " DEFAULT CHARSET=utf8mb4 COLLATE utf8mb4_bin")
	case n < 98:
		return "CREATE DATABASE " + g.pick("", "IF NOT EXISTS ") + g.pick(databases...) + g.pick("", " CHARACTER SET "+g.charset(), " COLLATE "+g.collation())
	case n < 99:
		return "DROP DATABASE ddl_two"
	}
	return g.pick("ANALYZE TABLE "+g.table(), "CREATE OR REPLACE VIEW ddl_one.v AS SELECT 1 AS x", "FLUSH TABLES", "OPTIMIZE TABLE "+g.table())
}
