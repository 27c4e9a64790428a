package jdbc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

// keyTypes are types of key columns, and values that a comparison may miss.
var keyTypes = []struct{ name, typ, values string }{
	{"bigint", "BIGINT", "-9223372036854775808|-1|0|9223372036854775807"},
	{"ubigint", "BIGINT UNSIGNED", "0|9223372036854775807|9223372036854775808|18446744073709551615"},
	{"decimal", "DECIMAL(65,30)", "-99999999999999999999999999999999999.999999999999999999999999999999|-0.000000000000000000000000000001|0|1.5"},
	{"float", "FLOAT", "-3.4028234e38|-0.1|-0e0|1e-45|0.1|16777216"},
	{"float_sized", "FLOAT(10,2)", "-99999999.99|-0.1|0|1234.56|99999999.99"},
	{"double", "DOUBLE", "-1.7976931348623157e308|-0e0|4.9406564584124654e-324|0.1|9007199254740993"},
	{"bit9", "BIT(9)", "0|1|255|256|511"},
	{"bit64", "BIT(64)", "0|9223372036854775807|9223372036854775808|18446744073709551615"},
	{"year", "YEAR", "0|1901|2000|2155"},
	{"date", "DATE", "'0000-00-00'|'2020-00-15'|'2020-02-31'|'9999-12-31'"},
	{"datetime", "DATETIME(6)", "'0000-00-00'|'2020-00-15 00:00:00.000001'|'9999-12-31 23:59:59.999999'"},
	{"timestamp", "TIMESTAMP(3)", "0|'1970-01-02'|'2021-03-28 02:30:00.001'|'2038-01-19 03:14:07.999'"},
	{"time", "TIME(6)", "'-838:59:59'|'-00:00:00.000001'|0|'838:59:59'"},
	{"char", "CHAR(5)", "''|'a'|'\\\\'|'b\\tc'"},
	{"varchar_bin", "VARCHAR(9) COLLATE utf8mb4_0900_bin", "''|' '|'a'|'a '|'A'|'a\\0'"},
	{"varchar_pad", "VARCHAR(9) COLLATE utf8mb4_bin", "''|'a'|'A'|'a\\t'"},
	{"latin1", "VARCHAR(9) CHARACTER SET latin1", "''|'\u00e9'|'\u20ac'|'z'"},
	{"utf16", "VARCHAR(9) CHARACTER SET utf16 COLLATE utf16_bin", "''|'\U0001F600'|'z'"},
	{"binary", "BINARY(4)", "''|x'6100'|x'61002000'|x'FFFFFFFF'"},
	{"varbinary", "VARBINARY(4)", "''|x'00'|x'0000'|x'6100'|x'61'|x'6120'"},
	{"enum", "ENUM('a','b','1')", "1|2|3"},
	{"enum_zero", "ENUM('a','b')", "0|1|2"},
	{"enum_empty", "ENUM('a','','b')", "1|2|3"},
	{"enum_empty_zero", "ENUM('a','','b')", "0|1|2|3"},
	{"set", "SET('a','b','c')", "0|1|2|3|7"},
	{"set_empty", "SET('a','','b')", "0|1|2|3|4|5|6|7"},
	{"set_wide", "SET(" + setMembers(64) + ")", "0|1|3|9223372036854775807|9223372036854775808|9223372036854775809|18446744073709551614|18446744073709551615"},
	{"set_wide_empty", "SET(''," + setMembers(63) + ")", "0|2|3|9223372036854775806|9223372036854775808|18446744073709551614"},
}

func setMembers(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("'m%02d'", i)
	}
	return strings.Join(list, ",")
}

// keyShapes are keys with column k, alone or beside another, in tables with
// and without another unique key.
var keyShapes = []struct{ name, keys string }{
	{"alone", "PRIMARY KEY (k)"},
	{"first", "PRIMARY KEY (k, n)"},
	{"second", "PRIMARY KEY (n, k)"},
	{"alone_guarded", "PRIMARY KEY (k), UNIQUE KEY (u)"},
	{"first_guarded", "PRIMARY KEY (k, n), UNIQUE KEY (u)"},
}

// TestKeysOfEveryTypeAreFound inserts rows under keys of every type, updates
// them and deletes them, one by one and together.
func TestKeysOfEveryTypeAreFound(t *testing.T) {
	srv := mysqltest.Shared(t)
	src, dst := srv.CreateDB(t), srv.CreateDB(t)
	for _, shape := range keyShapes {
		for _, k := range keyTypes {
			t.Run(shape.name+"/"+k.name, func(t *testing.T) {
				table := shape.name + "_" + k.name
				srv.Exec(t, "SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00', NAMES utf8mb4; CREATE TABLE "+src+"."+table+
					" (k "+k.typ+" NOT NULL, n INT NOT NULL, u INT, v INT, "+shape.keys+")")
				for i, v := range strings.Split(k.values, "|") {
					srv.Exec(t, fmt.Sprintf("SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00', NAMES utf8mb4; INSERT INTO %s.%s VALUES (%s, 1, %d, 0)", src, table, v, i))
				}
				def := shapeOf(t, srv.DB(), src, table, "shop")
				checkKeys(t, srv, dst, def, readRows(t, srv.DB(), src, def))
			})
		}
	}
}

func checkKeys(t *testing.T, srv *mysqltest.Server, dst string, def *schema.Table, rows []schema.Row) {
	t.Helper()
	s := openTest(t, srv.DSN(dst))
	var f feed
	records := func(op connect.Op, v, u int, rows ...schema.Row) (list []connect.Record) {
		for i, r := range rows {
			before := append(schema.Row(nil), r...)
			rows[i] = append(schema.Row(nil), r...)
			rows[i][3] = schema.MakeInt(int64(v))
			rows[i][2] = schema.MakeInt(r[2].Int() + int64(u))
			rec := connect.Record{Op: op, Table: def, Before: before, After: rows[i]}
			switch op {
			case connect.OpInsert:
				rec.Before = nil
			case connect.OpDelete:
				rec.After = nil
			}
			list = append(list, rec)
		}
		return list
	}
	check := func() {
		t.Helper()
		same(t, readRows(t, srv.DB(), dst, def), rows, def)
	}
	f.write(t, s, records(connect.OpInsert, 0, 0, rows...)...)
	check()
	f.write(t, s, records(connect.OpUpdate, 1, 0, rows...)...)
	check()
	f.write(t, s, records(connect.OpUpdate, 2, 100, rows...)...) // a unique value moves
	check()
	for _, list := range [][]schema.Row{rows[:1], rows[1:2], rows[2:]} {
		f.write(t, s, records(connect.OpDelete, 0, 0, append([]schema.Row(nil), list...)...)...)
		rows = rows[len(list):]
		check()
	}
}

// TestKeylessSetsAreFoundByAllTheirMembers has rows that are the same number
// as far as a DOUBLE goes.
func TestKeylessSetsAreFoundByAllTheirMembers(t *testing.T) {
	srv := mysqltest.Shared(t)
	src, dst := srv.CreateDB(t), srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+src+".sets (id INT, s SET("+setMembers(64)+")); INSERT INTO "+src+".sets VALUES (1, 9223372036854775808), (1, 9223372036854775809), (1, 9223372036854775811)")
	def := shapeOf(t, srv.DB(), src, "sets", "shop")
	s := openTest(t, srv.DSN(dst))
	var f feed
	rows := readRows(t, srv.DB(), src, def)
	for _, r := range rows {
		f.write(t, s, connect.Record{Op: connect.OpInsert, Table: def, After: r})
	}
	f.write(t, s, connect.Record{Op: connect.OpDelete, Table: def, Before: rows[2]}, connect.Record{Op: connect.OpDelete, Table: def, Before: rows[1]})
	same(t, readRows(t, srv.DB(), dst, def), rows[:1], def)
}

// TestUpdateModeFindsSetsInKeys has no upsert to fall back on.
func TestUpdateModeFindsSetsInKeys(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".sets (id INT, k SET("+setMembers(64)+"), v INT, PRIMARY KEY (id, k)); INSERT INTO "+db+".sets VALUES (1, 3, 0), (2, 18446744073709551615, 0), (3, 9223372036854775808, 0)")
	def := shapeOf(t, srv.DB(), db, "sets", "shop")
	s := openTest(t, srv.DSN(db), "insert.mode", "update")
	var f feed
	rows := readRows(t, srv.DB(), db, def)
	var updates []connect.Record
	for i, r := range rows {
		rows[i] = append(schema.Row(nil), r...)
		rows[i][2] = schema.MakeInt(7)
		updates = append(updates, connect.Record{Op: connect.OpUpdate, Table: def, Before: r, After: rows[i]})
	}
	f.write(t, s, updates...)
	same(t, readRows(t, srv.DB(), db, def), rows, def)
}

// TestErrorValueOfKeyHidesNoOtherChange has rows under the error value of an
// ENUM, with a number that the target would cut.
func TestErrorValueOfKeyHidesNoOtherChange(t *testing.T) {
	srv := mysqltest.Shared(t)
	src, dst := srv.CreateDB(t), srv.CreateDB(t)
	srv.Exec(t, "SET sql_mode = ''; CREATE TABLE "+src+".zero (k ENUM('a','b') PRIMARY KEY, u INT UNIQUE, v INT); INSERT INTO "+src+".zero VALUES (0, 1, 100);"+
		"CREATE TABLE "+dst+".zero (k ENUM('a','b') PRIMARY KEY, u INT UNIQUE, v TINYINT)")
	def := shapeOf(t, srv.DB(), src, "zero", "shop")
	rows := readRows(t, srv.DB(), src, def)
	s := openTest(t, srv.DSN(dst), "schema.evolution", "none")
	var f feed
	bad := append(schema.Row(nil), rows[0]...)
	bad[2] = schema.MakeInt(300)
	for range 2 { // without the row and with it
		if err := f.try(s, connect.Record{Op: connect.OpUpdate, Table: def, Before: rows[0], After: bad}); err == nil || !strings.Contains(err.Error(), "Out of range") {
			t.Errorf("the row is written: %v", err)
		}
		f.write(t, s, connect.Record{Op: connect.OpUpdate, Table: def, Before: rows[0], After: rows[0]})
		same(t, readRows(t, srv.DB(), dst, def), rows, def)
	}
}
