package jdbc

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

// eventTypes are the types that go by row events, at their limits.
const eventTypes = `(
 id bigint unsigned NOT NULL AUTO_INCREMENT, ti tinyint, tb tinyint(1), tu tinyint unsigned, si smallint, su smallint unsigned, mi mediumint, mu mediumint unsigned,
 i int, iu int unsigned zerofill, bi bigint, bu bigint unsigned, f float, fm float(7,3), fu float unsigned, d double, dm double(10,2),
 n1 decimal(10,3), n2 decimal(65,30), n3 decimal(18,0) unsigned, n4 decimal(2,2), n5 decimal(9,9), n6 decimal(19,10), n7 decimal(30,0),
 b1 bit(1), b10 bit(10), b16 bit(16), b64 bit(64), y year, dt date, t0 time, t1 time(1), t3 time(3), t6 time(6), m0 datetime, m2 datetime(2), m4 datetime(4), m6 datetime(6),
 s0 timestamp NULL, s1 timestamp(1) NULL, s6 timestamp(6) NULL, c char(10), c0 char(0), c255 char(255), vc varchar(60), v300 varchar(300), lat varchar(50) CHARACTER SET latin1,
 latc char(50) CHARACTER SET latin1, u3 varchar(50) CHARACTER SET utf8mb3, asc_ varchar(300) CHARACTER SET ascii, tt tinytext, tx text, mt mediumtext, lt longtext,
 bn binary(5), bn255 binary(255), vb varbinary(300), tbl tinyblob, bl blob, mb mediumblob, lb longblob,
 e enum('a','b''c','d,e','\\','' ), st set('x','y z','q''r'), s64 set(SIXTYFOUR), j json, v vector(3),
 PRIMARY KEY (id))`

var eventRows = []string{
	`(id) VALUES (0)`,
	`(id, ti, tb, tu, si, su, mi, mu, i, iu, bi, bu) VALUES (18446744073709551615, -128, 1, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808, 18446744073709551615)`,
	`(id, ti, si, mi, i, bi) VALUES (22, 127, 32767, 8388607, 2147483647, 9223372036854775807), (23, -1, -1, -1, -1, -1)`,
	`(id, f, fm, fu, d, dm) VALUES (3, 1.1, 1234.567, 3.4028234e38, 1.7976931348623157e308, -12345678.91), (4, -0e0, -0.5, 0, -0e0, 0), (5, 1.17549435e-38, 0, 0, 4.9406564584124654e-324, 0)`,
	`(id, n1, n2, n3) VALUES (8, -0.001, -99999999999999999999999999999999999.999999999999999999999999999999, 999999999999999999)`,
	`(id, n1, n2, n4, n5, n6, n7) VALUES (9, 1234567.891, 0.000000000000000000000000000001, -0.99, 0.123456789, -123456789.0123456789, -999999999999999999999999999999), (24, 0, 0, 0, 0, 0, 0), (25, -1, 1, 0.5, -0.000000001, 1, 1000000000)`,
	`(id, b1, b10, b16, b64) VALUES (10, b'1', b'1000000001', 258, 18446744073709551615), (26, 0, 0, 0, 0)`,
	`(id, y, dt, t0, t1, t3, t6, m0, m2, m4, m6, s0, s1, s6) VALUES (11, 0, '0000-00-00', '-838:59:59', '-00:00:01.5', '-00:00:00.001', '838:59:59.000000', '0000-00-00', '0000-00-00', '1999-12-31 23:59:59.9999', '9999-12-31 23:59:59.999999', '0000-00-00', '0000-00-00', '0000-00-00')`,
	`(id, y, dt, t0, t1, t3, t6, m0, m2, m4, m6, s0, s1, s6) VALUES (12, 2155, '2020-00-15', '-00:00:01', '12:34:56.7', '-12:34:56.789', '-00:00:00.000001', '2020-02-31', '1000-01-01 00:00:00.01', '2020-01-00 12:00:00', '2020-01-00 12:00:00.000001', '1970-01-01 00:00:01', '2001-02-03 04:05:06.7', '2038-01-19 03:14:07.999999')`,
	`(id, c, c0, c255, vc, v300, lat, latc, u3, asc_, tt, tx, mt, lt) VALUES (13, 'a''b\\c', '', '😀', 'trail  ', REPEAT('中', 300), 'café ÿ', 'naïve', '中文é', REPEAT('x', 300), '''', '\\', '"\n\r\0\Z%_', '中')`,
	`(id, c, c255, vc, tx, lt) VALUES (14, '中中中中中中中中中中', REPEAT('é', 255), '😀''); DROP TABLE x; -- ', REPEAT('x''\\', 20000), REPEAT('long', 100000))`,
	`(id, bn, bn255, vb, tbl, bl, mb, lb) VALUES (15, x'0001', REPEAT(x'00ff', 127), x'00275C0A0DFF1A22', x'', x'E327', x'F09F9880', REPEAT(x'005C27FF', 100000)), (27, x'0102030400', x'', x'20', x'00', x'00', x'00', x'00')`,
	`(id, e, st, s64, j) VALUES (16, 'b''c', 'x,q''r', 9223372036854775809, '{"a":[1,1.5,"x''y\\\\",null,true,{"b":"中"}],"c":1e100,"d":-0.0,"e":18446744073709551615}'), (17, '', '', 1, '"s"'), (18, '\\', 'x,y z,q''r', 18446744073709551615, 'null')`,
	`(id, v) VALUES (19, STRING_TO_VECTOR('[1,-2.5,3e10]')), (20, STRING_TO_VECTOR('[0]'))`,
}

// TestRowEventsAreAsStatements writes each type by row events and by
// statements, as new rows and over others, and finds the tables equal.
func TestRowEventsAreAsStatements(t *testing.T) {
	srv := mysqltest.Shared(t)
	src := srv.CreateDB(t)
	const mode = "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00', NAMES utf8mb4; "
	srv.Exec(t, mode+"CREATE TABLE "+src+".types "+strings.Replace(eventTypes, "SIXTYFOUR", setMembers(64), 1))
	for _, r := range eventRows {
		srv.Exec(t, mode+"INSERT INTO "+src+".types "+r)
	}
	srv.Exec(t, mode+"INSERT INTO "+src+".types (id, e, st) VALUES (21, 0, 0)")
	shape := shapeOf(t, srv.DB(), src, "types", "shop")
	rows := readRows(t, srv.DB(), src, shape)
	var dbs []string
	for _, least := range []int{1, math.MaxInt} {
		dst := srv.CreateDB(t)
		dbs = append(dbs, dst)
		s := openTest(t, srv.DSN(dst))
		s.least = least
		var f feed
		var inserts, updates []connect.Record
		for i, r := range rows {
			other := append(schema.Row{r[0]}, rows[(i+1)%len(rows)][1:]...)
			inserts = append(inserts, connect.Record{Op: connect.OpInsert, Table: shape, After: other})
			updates = append(updates, connect.Record{Op: connect.OpUpdate, Table: shape, Before: other, After: r})
		}
		f.write(t, s, inserts...)
		f.write(t, s, inserts...) // they replace those that are there
		f.write(t, s, updates...)
		for i := range updates { // one by one, so that each event has just the columns that its row needs
			u := updates[i]
			u.Flags |= connect.Exact
			back := u
			back.Before, back.After = u.After, u.Before
			f.write(t, s, back)
			f.write(t, s, u)
		}
		if want := 5 * len(rows); least == 1 && s.asEvents != want {
			t.Errorf("%d rows went as events, want %d", s.asEvents, want)
		}
		same(t, readRows(t, srv.DB(), dst, shape), rows, shape)
	}
	sums := srv.Query(t, "CHECKSUM TABLE "+dbs[0]+".types, "+dbs[1]+".types, "+src+".types")
	if sums[0][1] != sums[1][1] || sums[0][1] != sums[2][1] {
		t.Errorf("the tables differ: %v", sums)
	}
	expect(t, srv, "SELECT SUM(JSON_STORAGE_SIZE(a.j) <> JSON_STORAGE_SIZE(b.j)) FROM "+dbs[0]+".types a JOIN "+dbs[1]+".types b USING (id)", "0")
}

// TestUpdatesWriteWhatChanges changes a column at the target behind the sink's
// back, which shows whether an update has written it.
func TestUpdatesWriteWhatChanges(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".p (id INT PRIMARY KEY, a INT, b INT)")
	shape := shapeOf(t, srv.DB(), db, "p", "shop")
	s := openTest(t, srv.DSN(db))
	s.least = 1
	row := func(id, a, b int64) schema.Row {
		return schema.Row{schema.MakeInt(id), schema.MakeInt(a), schema.MakeInt(b)}
	}
	update := func(before, after schema.Row, flags connect.Flags) connect.Record {
		return connect.Record{Op: connect.OpUpdate, Flags: flags, Table: shape, Before: before, After: after}
	}
	var f feed
	f.write(t, s, connect.Record{Op: connect.OpInsert, Table: shape, After: row(1, 1, 1)}, connect.Record{Op: connect.OpInsert, Table: shape, After: row(2, 1, 1)})
	for _, c := range []struct {
		name string
		recs []connect.Record
		want string
	}{
		{"exact", []connect.Record{update(row(1, 1, 1), row(1, 2, 1), connect.Exact)}, "1:2:77 2:1:77"},
		{"nothing changes", []connect.Record{update(row(1, 2, 1), row(1, 2, 1), connect.Exact)}, "1:2:77 2:1:77"},
		{"two of one key", []connect.Record{update(row(1, 2, 1), row(1, 3, 1), connect.Exact), update(row(1, 3, 1), row(1, 4, 1), connect.Exact)}, "1:4:77 2:1:77"},
		{"the second is not", []connect.Record{update(row(1, 4, 1), row(1, 5, 1), connect.Exact), update(row(1, 5, 1), row(1, 6, 1), 0)}, "1:6:1 2:1:77"},
		{"another key is not", []connect.Record{update(row(1, 6, 1), row(1, 7, 1), connect.Exact), update(row(2, 1, 1), row(2, 2, 1), 0)}, "1:7:1 2:2:1"},
		{"gone and back", []connect.Record{{Op: connect.OpDelete, Flags: connect.Exact, Table: shape, Before: row(1, 7, 1)},
			{Op: connect.OpInsert, Flags: connect.Exact, Table: shape, After: row(1, 7, 2)}}, "1:7:2 2:2:77"},
	} {
		srv.Exec(t, "UPDATE "+db+".p SET b = 77")
		f.write(t, s, c.recs...)
		if got := srv.Query(t, "SELECT GROUP_CONCAT(CONCAT_WS(':', id, a, b) ORDER BY id SEPARATOR ' ') FROM "+db+".p")[0][0]; got != c.want {
			t.Errorf("%s: the table is %s, want %s", c.name, got, c.want)
		}
	}
	if s.asEvents != 2+7 {
		t.Errorf("%d rows went as events", s.asEvents)
	}
}

// wide makes n rows of table p, whose columns are id and s.
func wide(p *schema.Table, op connect.Op, n int, text string) []connect.Record {
	var recs []connect.Record
	for i := range n {
		r := connect.Record{Op: op, Table: p, After: schema.Row{schema.MakeInt(int64(i)), schema.MakeString(fmt.Sprint(text, i))}}
		if op == connect.OpUpdate {
			r.Before = r.After
		}
		recs = append(recs, r)
	}
	return recs
}

// TestRowEventsFallBack has row events meet what they must not pass over.
func TestRowEventsFallBack(t *testing.T) {
	srv := mysqltest.Shared(t)
	p := plain(t, "p", true)
	count := func(db, cond string) string { return "SELECT COUNT(*) FROM " + db + ".p WHERE " + cond }
	for _, c := range []struct {
		name, before string
		op           connect.Op
		failed       string
		check, want  string
		events       int
	}{
		{"rows of updates are missing", "CREATE TABLE %s.p (id INT PRIMARY KEY, s VARCHAR(20)); INSERT INTO %[1]s.p VALUES (3,'')", connect.OpUpdate, "", "s = CONCAT('x', id)", "10", 10},
		{"rows of updates are missing, unique keys", "CREATE TABLE %s.p (id INT PRIMARY KEY, s VARCHAR(20) UNIQUE); INSERT INTO %[1]s.p VALUES (3,'')", connect.OpUpdate, "", "s = CONCAT('x', id)", "10", 0},
		{"a foreign key", "CREATE TABLE %s.q (id INT PRIMARY KEY); CREATE TABLE %[1]s.p (id INT PRIMARY KEY, s VARCHAR(20), FOREIGN KEY (id) REFERENCES %[1]s.q (id))", connect.OpInsert, "", "s = CONCAT('x', id)", "10", 10},
		{"rows of inserts are there", "CREATE TABLE %s.p (id INT PRIMARY KEY, s VARCHAR(20)); INSERT INTO %[1]s.p VALUES (3,'')", connect.OpInsert, "", "s = CONCAT('x', id)", "10", 10},
		{"a unique value is taken", "CREATE TABLE %s.p (id INT PRIMARY KEY, s VARCHAR(20) UNIQUE); INSERT INTO %[1]s.p VALUES (33,'x7')", connect.OpInsert, "7", "id = 33 OR s = CONCAT('x', id)", "10", 0},
		{"a row is there in a table with unique keys", "CREATE TABLE %s.p (id INT PRIMARY KEY, s VARCHAR(20) UNIQUE); INSERT INTO %[1]s.p VALUES (3,'q')", connect.OpInsert, "", "s = CONCAT('x', id)", "10", 0},
		{"reads over rows in a table with unique keys", "CREATE TABLE %s.p (id INT PRIMARY KEY, s VARCHAR(20) UNIQUE); INSERT INTO %[1]s.p VALUES (3,'x4')", connect.OpRead, "", "s = CONCAT('x', id)", "10", 10},
		{"a check is violated", "CREATE TABLE %s.p (id INT PRIMARY KEY, s VARCHAR(20), CHECK (id <> 5))", connect.OpRead, "5", "s = CONCAT('x', id)", "9", 0},
		{"triggers", "CREATE TABLE %s.p (id INT PRIMARY KEY, s VARCHAR(20)); CREATE TRIGGER %[1]s.tr BEFORE INSERT ON %[1]s.p FOR EACH ROW SET NEW.s = 'trigger'", connect.OpInsert, "", "s = 'trigger'", "10", 0},
		{"a generated column", "CREATE TABLE %s.p (id INT PRIMARY KEY, g INT AS (id * 2), s VARCHAR(20))", connect.OpInsert, "", "s = CONCAT('x', id) AND g = 2 * id", "10", 0},
		{"an invisible column", "CREATE TABLE %s.p (id INT PRIMARY KEY, g INT DEFAULT 3 INVISIBLE, s VARCHAR(20))", connect.OpInsert, "", "s = CONCAT('x', id) AND g = 3", "10", 0},
		{"other order, other types", "CREATE TABLE %s.p (s TEXT, id BIGINT PRIMARY KEY)", connect.OpInsert, "", "s = CONCAT('x', id)", "10", 10},
		{"no room for text", "CREATE TABLE %s.p (id INT PRIMARY KEY, s VARCHAR(20) CHARACTER SET gbk)", connect.OpInsert, "", "s = CONCAT('x', id)", "10", 0},
		{"a partial key", "CREATE TABLE %s.p (s VARCHAR(20), id INT NOT NULL, UNIQUE (id))", connect.OpInsert, "", "s = CONCAT('x', id)", "10", 0},
		{"partitions", "CREATE TABLE %s.p (id INT PRIMARY KEY, s VARCHAR(20)) PARTITION BY HASH(id) PARTITIONS 3", connect.OpInsert, "", "s = CONCAT('x', id)", "10", 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := srv.CreateDB(t)
			srv.Exec(t, fmt.Sprintf(c.before, db))
			s := openTest(t, srv.DSN(db))
			var f feed
			err := f.try(s, wide(p, c.op, 10, "x")...)
			if err != nil && c.failed == "" || c.failed != "" && failures(t, err) != c.failed {
				t.Fatalf("got %v, want the failures %q", err, c.failed)
			}
			expect(t, srv, count(db, c.check), c.want)
			if s.asEvents != c.events {
				t.Errorf("%d rows went as events, want %d", s.asEvents, c.events)
			}
		})
	}
}

// TestRowEventsCheckValues sends values that a column does not take, which the
// server would store as they are.
func TestRowEventsCheckValues(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".p (id TINYINT UNSIGNED PRIMARY KEY, s VARCHAR(4) CHARACTER SET utf8mb3 NOT NULL)")
	p := plain(t, "p", true)
	s := openTest(t, srv.DSN(db), "schema.evolution", "none")
	var f feed
	got := f.try(s, insert(p, 1, "good"), insert(p, 2, "toolong"), insert(p, 3, schema.Value{}), insert(p, 256, "x"), insert(p, -1, "x"), insert(p, 4, "😀"), insert(p, 5, "中中中中"))
	if failures(t, got) != "1,2,3,4,5" {
		t.Errorf("got %v", got)
	}
	expect(t, srv, "SELECT GROUP_CONCAT(CONCAT(id, s) ORDER BY id) FROM "+db+".p", "1good,5中中中中")
}

// TestRowEventsSeeTheTableChange changes a table between two batches so that
// columns of one type change places.
func TestRowEventsSeeTheTableChange(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".p (id INT PRIMARY KEY AUTO_INCREMENT, a VARCHAR(20), b VARCHAR(20))")
	p := shapeOf(t, srv.DB(), db, "p", "shop")
	s := openTest(t, srv.DSN(db))
	var f feed
	f.write(t, s, insert(p, 1, "a", "b"))
	f.write(t, s, insert(p, 2, "a", "b")) // AUTO_INCREMENT has moved, which is no change
	srv.Exec(t, "ALTER TABLE "+db+".p MODIFY b VARCHAR(20) AFTER id")
	f.write(t, s, insert(p, 3, "a", "b"))
	if s.asEvents != 3 {
		t.Errorf("%d rows went as events", s.asEvents)
	}
	srv.Exec(t, "CREATE TRIGGER "+db+".tr BEFORE INSERT ON "+db+".p FOR EACH ROW SET NEW.a = 'A'")
	f.write(t, s, insert(p, 4, "a", "b"))
	srv.Exec(t, "DROP TRIGGER "+db+".tr; ALTER TABLE "+db+".p MODIFY a VARCHAR(20) CHARACTER SET latin1")
	f.write(t, s, insert(p, 5, "é", "b"))
	expect(t, srv, "SELECT GROUP_CONCAT(CONCAT(id, a, b) ORDER BY id) FROM "+db+".p", "1ab,2ab,3ab,4Ab,5éb")
}

// TestRowEventsNeedRights opens sinks of users with some rights or others.
func TestRowEventsNeedRights(t *testing.T) {
	srv := mysqltest.Shared(t)
	p := plain(t, "p", true)
	for i, c := range []struct {
		global, table string
		events        int
	}{
		{"", "TRIGGER", 0},
		{"BINLOG_ADMIN", "TRIGGER", 0}, // may not set gtid_next
		{"REPLICATION_APPLIER", "REFERENCES", 0},
		{"REPLICATION_APPLIER", "TRIGGER", 10},
		{"BINLOG_ADMIN, SESSION_VARIABLES_ADMIN", "TRIGGER", 10},
	} {
		db, user := srv.CreateDB(t), fmt.Sprintf("rights%d", i)
		srv.Exec(t, fmt.Sprintf("DROP USER IF EXISTS %s; CREATE USER %[1]s IDENTIFIED BY 'p'; GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, %s ON %s.* TO %[1]s", user, c.table, db))
		if c.global != "" {
			srv.Exec(t, fmt.Sprintf("GRANT %s ON *.* TO %s", c.global, user))
		}
		odb := srv.CreateDB(t)
		srv.Exec(t, fmt.Sprintf("GRANT ALL ON %s.* TO %s", odb, user))
		s := openTest(t, fmt.Sprintf("%s:p@tcp(%s)/%s", user, srv.Addr(), db), "offsets.table", odb+".offsets")
		var f feed
		f.write(t, s, wide(p, connect.OpInsert, 10, "x")...)
		f.write(t, s, connect.Record{Op: connect.OpTruncate, Table: p})
		f.write(t, s, wide(p, connect.OpRead, 10, "y")...)
		expect(t, srv, "SELECT COUNT(*) FROM "+db+".p WHERE s = CONCAT('y', id)", "10")
		if s.asEvents != 2*c.events {
			t.Errorf("%s, %s: %d rows went as events, want %d", c.global, c.table, s.asEvents, 2*c.events)
		}
		srv.Exec(t, fmt.Sprintf("REVOKE INSERT, UPDATE ON %s.* FROM %s", db, user))
		_ = s.Close()
		open(t, s)
		// BINLOG_ADMIN goes without the rights on tables.
		if err := f.try(s, wide(p, connect.OpInsert, 10, "z")...); err == nil && !strings.HasPrefix(c.global, "BINLOG") {
			t.Errorf("%s, %s: rows are written without the right to", c.global, c.table)
		}
	}
}

// TestRowEventsWaitForLocks has another session hold a row for as long as the
// server lets the sink wait once.
func TestRowEventsWaitForLocks(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	p := plain(t, "p", true)
	s := openTest(t, srv.DSN(db))
	var f feed
	f.write(t, s, wide(p, connect.OpInsert, 10, "x")...)
	if _, err := s.main.conn.ExecContext(t.Context(), "SET SESSION innodb_lock_wait_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	tx, err := srv.DB().BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("UPDATE " + db + ".p SET s = 'other' WHERE id = 5"); err != nil {
		t.Fatal(err)
	}
	release := time.AfterFunc(1500*time.Millisecond, func() { _ = tx.Rollback() })
	defer release.Stop()
	f.write(t, s, wide(p, connect.OpUpdate, 10, "y")...)
	expect(t, srv, "SELECT COUNT(*) FROM "+db+".p WHERE s = CONCAT('y', id)", "10")
}

// TestRowEventsOfTransactionsOverWrites has row events fail in the second
// Write of a transaction, and the first stay.
func TestRowEventsOfTransactionsOverWrites(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	p := plain(t, "p", true)
	s := openTest(t, srv.DSN(db))
	var f feed
	for _, b := range [][]connect.Record{wide(p, connect.OpInsert, 5, "x"), wide(p, connect.OpUpdate, 10, "y")} {
		if err := s.Write(t.Context(), f.batch(b...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.try(s); err != nil {
		t.Fatal(err)
	}
	expect(t, srv, "SELECT COUNT(*) FROM "+db+".p WHERE s = CONCAT('y', id)", "10")
	if s.asEvents != 15 {
		t.Errorf("%d rows went as events, want 15", s.asEvents)
	}
}

// TestRowEventsRest has updates meet missing rows again and again, and find
// them at last.
func TestRowEventsRest(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	p := plain(t, "p", true)
	s := openTest(t, srv.DSN(db))
	var f feed
	f.write(t, s, connect.Record{Op: connect.OpSchema, Table: p})
	update := func() *rest { return &s.lastRoute.direct.update }
	for i := range 60 {
		if i < 40 {
			srv.Exec(t, "DELETE FROM "+db+".p")
		}
		f.write(t, s, wide(p, connect.OpUpdate, 3, fmt.Sprint("v", i, "-"))...)
		expect(t, srv, fmt.Sprintf("SELECT COUNT(*) FROM %s.p WHERE s = CONCAT('v%d-', id)", db, i), "3")
		if want := map[int]int{0: 16, 15: 16, 16: 32, 47: 32}[i]; want != 0 && update().period != want {
			t.Errorf("write %d: the rest is %d, want %d", i, update().period, want)
		}
	}
	if *update() != (rest{}) || s.asEvents != 180 {
		t.Errorf("the rest is %+v; %d rows went as events", *update(), s.asEvents)
	}
}

// TestRowEventsInTheTargetsLog looks at what row events leave in the target
// beside rows: the next AUTO_INCREMENT, and a log that a replica follows.
func TestRowEventsInTheTargetsLog(t *testing.T) {
	srv, replica := mysqltest.Shared(t), mysqltest.Start(t)
	db := srv.CreateDB(t)
	replica.Exec(t, "SET GLOBAL gtid_purged = ?", srv.Query(t, "SELECT @@GLOBAL.gtid_executed")[0][0])
	replica.Exec(t, "CREATE DATABASE "+db)
	replica.Exec(t, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '%s', SOURCE_PORT = %d, SOURCE_USER = 'root', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA", srv.Host, srv.Port))
	table := db + ".p"
	srv.Exec(t, "CREATE TABLE "+table+" (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(20))")
	p := plain(t, "p", true)
	s := openTest(t, srv.DSN(db))
	var f feed
	f.write(t, s, wide(p, connect.OpInsert, 50, "x")...)
	f.write(t, s, wide(p, connect.OpUpdate, 50, "y")...)
	if s.asEvents != 100 {
		t.Errorf("%d rows went as events, want 100", s.asEvents)
	}
	srv.Exec(t, "INSERT INTO "+table+" (s) VALUES ('next')")
	expect(t, srv, "SELECT id FROM "+table+" WHERE s = 'next'", "50")
	expect(t, replica, "SELECT WAIT_FOR_EXECUTED_GTID_SET('"+srv.Query(t, "SELECT @@GLOBAL.gtid_executed")[0][0]+"', 600)", "0")
	expect(t, replica, "SELECT COUNT(*) FROM "+table+" WHERE s = CONCAT('y', id) OR s = 'next'", "51")
}

// TestRowEventsOfRandomJSON compares documents that this package has encoded
// with those that the server has.
func TestRowEventsOfRandomJSON(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	seed := connecttest.Seed(t)
	rnd := rand.New(rand.NewPCG(seed, 7))
	srv.Exec(t, "CREATE TABLE "+db+".docs (id INT PRIMARY KEY, j JSON)")
	shape := shapeOf(t, srv.DB(), db, "docs", "shop")
	s := openTest(t, srv.DSN(db))
	var f feed
	var recs []connect.Record
	texts := []string{"{}", "[]", `""`, "0", "-0", "-0.0", "32767", "32768", "-32768", "-32769", "2147483647", "2147483648", "-2147483648", "-2147483649",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616",
		"1e0", "1.5e-300", "true", "false", "null", `"\u00e9\ud83d\ude00\b\f\n\r\t\/\\\""`, `{"": 1}`,
		`["` + strings.Repeat("x", 127) + `"]`, `["` + strings.Repeat("x", 128) + `", 70000]`, `"` + strings.Repeat("y", 70000) + `"`,
		`[` + strings.Repeat("70000, ", 9000) + `1]`, `[` + strings.Repeat("1, ", 30000) + `-1]`, `{"a": [` + strings.Repeat(`"q", `, 40000) + `null], "b": -5, "c": 100000, "dd": true}`,
		strings.Repeat("[", 99) + "1" + strings.Repeat("]", 99)}
	for range 400 {
		texts = append(texts, randomJSON(rnd, 4))
	}
	for i, text := range texts {
		// As the server prints it, since it puts keys in their order.
		var as string
		if err := srv.DB().QueryRow("SELECT CAST(? AS JSON)", text).Scan(&as); err != nil {
			t.Fatalf("%.100s: %v", text, err)
		}
		recs = append(recs, connect.Record{Op: connect.OpInsert, Table: shape, After: schema.Row{schema.MakeInt(int64(i)), schema.MakeBytes(schema.JSON, []byte(as))}})
	}
	f.write(t, s, recs...)
	if s.asEvents != len(recs) {
		t.Errorf("%d rows of %d went as events", s.asEvents, len(recs))
	}
	for i, text := range texts {
		var same bool
		var has, size, want string
		err := srv.DB().QueryRow("SELECT j = CAST(? AS JSON) AND JSON_TYPE(j) = JSON_TYPE(CAST(? AS JSON)), j, JSON_STORAGE_SIZE(j), JSON_STORAGE_SIZE(CAST(CAST(j AS CHAR) AS JSON)) FROM "+db+".docs WHERE id = ?", text, text, i).Scan(&same, &has, &size, &want)
		if err != nil || !same || size != want || has != string(recs[i].After[1].Bytes()) {
			t.Errorf("%.200s is stored as %.200s of size %s, want %s (%v)", text, has, size, want, err)
		}
	}
}

// randomJSON returns a document.
func randomJSON(rnd *rand.Rand, depth int) string {
	n := rnd.IntN(9)
	if depth == 0 {
		n = rnd.IntN(7)
	}
	switch n {
	case 0:
		return "null"
	case 1:
		return "true"
	case 2:
		return fmt.Sprint(int64(rnd.Uint64()) >> rnd.IntN(64))
	case 3:
		return fmt.Sprint(rnd.Uint64() >> rnd.IntN(64))
	case 4:
		return fmt.Sprintf("%.3f", rnd.NormFloat64()*1000)
	case 5, 6:
		return randomText(rnd)
	}
	var parts []string
	for range rnd.IntN(6) {
		part := randomJSON(rnd, depth-1)
		if n == 7 {
			part = randomText(rnd) + ":" + part
		}
		parts = append(parts, part)
	}
	if n == 7 {
		return "{" + strings.Join(parts, ",") + "}"
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func randomText(rnd *rand.Rand) string {
	pieces := []string{"a", "B", "é", "中", "😀", `\"`, `\\`, `\n`, `\u0001`, " ", "0123456789012345678901234567890123456789"}
	var b strings.Builder
	for range rnd.IntN(6) {
		b.WriteString(pieces[rnd.IntN(len(pieces))])
	}
	return `"` + b.String() + `"`
}
