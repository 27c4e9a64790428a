package jdbc

import (
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

const allTypes = `(
 id bigint unsigned NOT NULL AUTO_INCREMENT, ti tinyint, tb tinyint(1), tu tinyint unsigned, si smallint, mi mediumint, mu mediumint unsigned,
 i int, iu int unsigned zerofill, bi bigint, f float, fm float(7,3), fu float unsigned, d double, dm double(10,2), dec1 decimal(10,3), dec2 decimal(65,30), dec0 decimal(18,0) unsigned,
 b1 bit(1), b10 bit(10), b64 bit(64), y year, dt date, t0 time, t6 time(6), dtm datetime, dtm3 datetime(3), dtm6 datetime(6),
 ts timestamp NULL, ts6 timestamp(6) NULL, c char(10), c0 char(0), vc varchar(200), lat varchar(50) CHARACTER SET latin1, gb varchar(50) CHARACTER SET gbk,
 u16 varchar(50) CHARACTER SET utf16, bin_ varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, tt tinytext, tx text, mt mediumtext, lt longtext CHARACTER SET ucs2,
 bn binary(5), vb varbinary(300), tbl tinyblob, bl blob, mb mediumblob, lb longblob,
 e enum('a','b''c','d,e','\\','' ), st set('x','y z','q''r'), j json, g geometry, p point SRID 4326, v vector(3),
 gen int GENERATED ALWAYS AS (i + 1) VIRTUAL, inv varchar(10) INVISIBLE,
 PRIMARY KEY (id), UNIQUE KEY (bi, vc(20)), UNIQUE KEY (e, dec1))`

var typeRows = []string{
	`(id) VALUES (0)`,
	`(id, ti, tb, tu, si, mi, mu, i, iu, bi) VALUES (18446744073709551615, -128, 1, 255, -32768, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808)`,
	`(id, f, fm, fu, d, dm) VALUES (3, 1.1, 1234.567, 3.4028234e38, 1.7976931348623157e308, -12345678.91)`,
	`(id, f, d) VALUES (4, -0e0, -0e0)`,
	`(id, f, d) VALUES (5, 1.17549435e-38, 4.9406564584124654e-324)`,
	`(id, f, d) VALUES (6, 16777217, 0.1)`,
	`(id, f, d) VALUES (7, 1e-45, 123456789012345678)`,
	`(id, dec1, dec2, dec0) VALUES (8, -0.001, -99999999999999999999999999999999999.999999999999999999999999999999, 999999999999999999)`,
	`(id, dec1, dec2) VALUES (9, 1234567.891, 0.000000000000000000000000000001)`,
	`(id, b1, b10, b64) VALUES (10, b'1', b'1000000001', 18446744073709551615)`,
	`(id, y, dt, t0, t6, dtm, dtm3, dtm6, ts, ts6) VALUES (11, 0, '0000-00-00', '-838:59:59', '838:59:59.000000', '0000-00-00', '0000-00-00', '9999-12-31 23:59:59.999999', '0000-00-00', '0000-00-00')`,
	`(id, y, dt, t0, t6, dtm, dtm3, dtm6, ts, ts6) VALUES (12, 2155, '2020-00-15', '-00:00:01', '-00:00:00.000001', '2020-02-31', '1000-01-01 00:00:00.001', '2020-01-00 12:00:00', '1970-01-01 00:00:01', '2038-01-19 03:14:07.999999')`,
	`(id, c, c0, vc, lat, gb, u16, bin_, tt, tx, mt, lt) VALUES (13, 'a''b\\c', '', 'trail  ', 'caf\u00e9', '中文', '😀x', 'A ', '''', '\\', '"\n\r\0\Z%_', '中')`,
	`(id, vc, tx) VALUES (14, '😀''); DROP TABLE x; -- ', REPEAT('x''\\', 20000))`,
	`(id, bn, vb, tbl, bl, mb, lb) VALUES (15, x'0001', x'00275C0A0DFF1A22', x'', x'E327', x'F09F9880', REPEAT(x'005C27FF', 100000))`,
	`(id, e, st, j) VALUES (16, 'b''c', 'x,q''r', '{"a":[1,1.5,"x''y\\\\",null,true,{"b":"中"}],"c":1e100,"d":-0.0,"e":18446744073709551615}')`,
	`(id, e, st, j) VALUES (17, '', '', '"s"')`,
	`(id, e, st, j) VALUES (18, '\\', 'x,y z,q''r', 'null')`,
	`(id, g, p, v) VALUES (19, ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))'), ST_GeomFromText('POINT(10 20)', 4326), STRING_TO_VECTOR('[1,-2.5,3e10]'))`,
	`(id, i, inv) VALUES (20, 5, 'hidden')`,
}

// fillTypes makes a source table with a row of each kind.
func fillTypes(t *testing.T, srv *mysqltest.Server, db string) {
	t.Helper()
	srv.Exec(t, "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00', NAMES utf8mb4; CREATE TABLE "+db+".types "+allTypes)
	for _, r := range typeRows {
		srv.Exec(t, "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00', NAMES utf8mb4; INSERT INTO "+db+".types "+r)
	}
	srv.Exec(t, "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'; INSERT INTO "+db+".types (id, e, st) VALUES (21, 0, 0)")
}

func TestEveryTypeArrivesUnchanged(t *testing.T) {
	srv := mysqltest.Shared(t)
	src, dst := srv.CreateDB(t), srv.CreateDB(t)
	fillTypes(t, srv, src)
	shape := shapeOf(t, srv.DB(), src, "types", "shop")
	rows := readRows(t, srv.DB(), src, shape)
	s := openTest(t, srv.DSN(dst))
	var f feed
	var reads []connect.Record
	for _, r := range rows {
		reads = append(reads, connect.Record{Op: connect.OpRead, Table: shape, After: r})
	}
	f.write(t, s, reads...)
	same(t, readRows(t, srv.DB(), dst, shape), rows, shape)

	// The table that was made is as the source's, but for what it computes.
	made := shapeOf(t, srv.DB(), dst, "types", "shop")
	for i := range shape.Columns {
		a, b := shape.Columns[i], made.Columns[i]
		a.Generated, a.Zerofill, b.Zerofill = false, false, false
		if string(schema.AppendTable(nil, &schema.Table{Columns: []schema.Column{a}})) != string(schema.AppendTable(nil, &schema.Table{Columns: []schema.Column{b}})) {
			t.Errorf("column %s: made %+v of %+v", a.Name, b, a)
		}
	}
	// Again, as updates: each row is found.
	var updates []connect.Record
	for _, r := range rows {
		updates = append(updates, connect.Record{Op: connect.OpUpdate, Table: shape, Before: r, After: r})
	}
	f.write(t, s, updates...)
	same(t, readRows(t, srv.DB(), dst, shape), rows, shape)
}

func TestKeylessRowsOfEveryTypeAreFound(t *testing.T) {
	srv := mysqltest.Shared(t)
	src, dst := srv.CreateDB(t), srv.CreateDB(t)
	fillTypes(t, srv, src)
	srv.Exec(t, "ALTER TABLE "+src+".types MODIFY id bigint unsigned NOT NULL, DROP PRIMARY KEY")
	shape := shapeOf(t, srv.DB(), src, "types", "shop")
	if len(shape.Key) > 0 {
		t.Fatal("there is a key")
	}
	rows := readRows(t, srv.DB(), src, shape)
	s := openTest(t, srv.DSN(dst))
	var f feed
	for _, r := range rows {
		f.write(t, s, connect.Record{Op: connect.OpInsert, Table: shape, After: r})
		next := append(schema.Row(nil), r...)
		next[shape.Column("ti")] = schema.MakeInt(77)
		f.write(t, s, connect.Record{Op: connect.OpUpdate, Table: shape, Before: r, After: next})
		r[shape.Column("ti")] = schema.MakeInt(77)
	}
	same(t, readRows(t, srv.DB(), dst, shape), rows, shape)
	for i, r := range rows {
		if err := f.try(s, connect.Record{Op: connect.OpDelete, Table: shape, Before: r}); err != nil {
			t.Errorf("row %d: %v", i, err)
		}
	}
	if n := len(readRows(t, srv.DB(), dst, shape)); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
