package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/catalog"
	"github.com/towline/towline/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(mysqltest.Main(m)) }

// testText knows utf8mb4 and latin1, as far as tests use it.
func testText(charset string) (func(dst, src []byte) ([]byte, bool), bool) {
	switch charset {
	case "utf8mb4":
		return nil, true
	case "latin1":
		return func(dst, src []byte) ([]byte, bool) {
			for _, c := range src {
				dst = utf8.AppendRune(dst, rune(c))
			}
			return dst, true
		}, false
	}
	return nil, false
}

func openReader(t *testing.T, srv *mysqltest.Server, user, password string) *Reader {
	t.Helper()
	r := New(Config{Dial: Dial(srv.Addr(), user, password), Text: testText})
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func shapeOf(t *testing.T, srv *mysqltest.Server, db, name string) *schema.Table {
	t.Helper()
	conn, err := srv.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := catalog.Prepare(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	s, err := catalog.Table(t.Context(), conn, db, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func anchorOf(t *testing.T, srv *mysqltest.Server) snapshot.Anchor {
	row := srv.Query(t, "SELECT @@global.gtid_executed, @@server_uuid")[0]
	return snapshot.Anchor{GTIDs: strings.ReplaceAll(row[0], "\n", ""), ServerUUID: row[1]}
}

func newChunk(t *schema.Table, a snapshot.Anchor) *snapshot.Chunk {
	return &snapshot.Chunk{Table: t, Anchor: a, MaxRows: 1 << 20, MaxBytes: 1 << 30, PartBytes: 1 << 20,
		NewBatch: func() *connect.Batch { return new(connect.Batch) }}
}

// rowsOf returns the text of all rows of a chunk.
func rowsOf(c *snapshot.Chunk) (rows [][]string) {
	for _, p := range c.Parts {
		for i := range p.Records {
			var texts []string
			for n, v := range p.Records[i].After {
				text := "NULL"
				if !v.IsNull() {
					text = string(v.AppendText(nil, &c.Table.Columns[n]))
				}
				texts = append(texts, text)
			}
			rows = append(rows, texts)
		}
	}
	return rows
}

// typesTable has a column of every type, and rows of its extremes.
const typesTable = `(id INT PRIMARY KEY, t1 TINYINT, t1u TINYINT UNSIGNED, t2 SMALLINT, t2u SMALLINT UNSIGNED ZEROFILL, t3 MEDIUMINT, t3u MEDIUMINT UNSIGNED,
 t4 INT, t4u INT UNSIGNED, t8 BIGINT, t8u BIGINT UNSIGNED, f FLOAT, f73 FLOAT(7,3), d DOUBLE, de DECIMAL(10,2), dez DECIMAL(12,3) ZEROFILL, dew DECIMAL(65,30), dewz DECIMAL(40,10) ZEROFILL,
 b1 BIT(1), b10 BIT(10), b64 BIT(64), y YEAR, da DATE, ti TIME, ti6 TIME(6), dt DATETIME, dt3 DATETIME(3), dt6 DATETIME(6), ts TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL,
 c CHAR(5), vc VARCHAR(300), l1 VARCHAR(20) CHARACTER SET latin1, tx TEXT, lt LONGTEXT, bi BINARY(4), vb VARBINARY(10), bl BLOB,
 e ENUM('a,b','c''d',''), s SET('x','y','z'), j JSON, p POINT, gv INT GENERATED ALWAYS AS (t4 + 1) VIRTUAL, iv INT INVISIBLE)`

const typesRows = `
(1, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808, 18446744073709551615, 16777216, 1234.567, 1.7976931348623157e308, -99999999.99, 12.5,
 -12345678901234567890123456789012345.123456789012345678901234567891, 0.5, b'1', b'1000000001', b'1111111111111111111111111111111111111111111111111111111111111111', 2155, '9999-12-31', '-838:59:59', '-00:00:00.000001',
 '9999-12-31 23:59:59', '2021-02-03 04:05:06.789', '1000-01-01 00:00:00.000001', '2038-01-19 03:14:07', '1970-01-01 00:00:01.000001',
 'ab  ', REPEAT('é', 300), x'e9', 'text', REPEAT('long', 20000), x'61620000', x'00ff00', x'00', 'a,b', 'x,z', '{"b": 1.0, "a": [1, null, "é"]}', ST_GeomFromText('POINT(1 2)'), DEFAULT, 7),
(2, NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,DEFAULT,NULL),
(3, 0,0,0,0,0,0,0,0,0,0,0,0,-0.0,0,0,0,0,b'0',b'0',b'0',0,'0000-00-00','00:00:00','00:00:00','0000-00-00','2020-00-15 01:02:03','0000-00-00','0000-00-00','0000-00-00','','','','','','','','','','','{}',NULL,DEFAULT,NULL)`

// castOf returns what column i looks like to the server itself.
func castOf(c *schema.Column) string {
	switch {
	case c.Type == schema.TypeFloat: // FLOAT prints 6 digits; as a DOUBLE all of them
		return "CAST(CAST(" + quote(c.Name) + " AS DOUBLE) AS CHAR)"
	case c.Type == schema.TypeBit, c.Type == schema.TypeGeometry, c.Type.IsBinary():
		return "HEX(" + quote(c.Name) + ")"
	case c.Type == schema.TypeDecimal, c.Zerofill:
		return "CAST(" + quote(c.Name) + " + 0 AS CHAR)"
	}
	return "CAST(" + quote(c.Name) + " AS CHAR CHARACTER SET utf8mb4)"
}

func TestTypesAsTheServerPrintsThem(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".t "+typesTable+" CHARACTER SET utf8mb4")
	shape := shapeOf(t, srv, db, "t")
	var list []string
	for i := range shape.Columns {
		if !shape.Columns[i].Generated {
			list = append(list, shape.Columns[i].Name)
		}
	}
	conn, err := srv.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	values := strings.ReplaceAll(typesRows, "DEFAULT,", "")
	for _, q := range []string{"SET time_zone='+00:00', sql_mode=''", "INSERT INTO " + db + ".t (" + strings.Join(list, ",") + ") VALUES " + values} {
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	r := openReader(t, srv, srv.User, srv.Password)
	c := newChunk(shape, anchorOf(t, srv))
	if err := r.ReadChunk(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	rows := rowsOf(c)
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for i := range shape.Columns {
		col := &shape.Columns[i]
		var want [3]*string
		for n := range want {
			q := fmt.Sprintf("SELECT %s FROM %s.t WHERE id = %d", castOf(col), db, n+1)
			if err := conn.QueryRowContext(t.Context(), q).Scan(&want[n]); err != nil {
				t.Fatal(err)
			}
			got, text := rows[n][i], "NULL"
			if want[n] != nil {
				text = *want[n]
			}
			switch {
			case strings.HasPrefix(castOf(col), "HEX") && got != "NULL":
				got = strings.ToUpper(fmt.Sprintf("%x", got))
				if col.Type == schema.TypeBit {
					got, text = strings.TrimLeft(got, "0"), strings.TrimLeft(text, "0")
				}
			case col.Type == schema.TypeFloat && text != "NULL":
				got = string(schema.MakeFloat64(c.Parts[0].Records[n].After[i].Float()).AppendText(nil, col))
			}
			if got != text {
				t.Errorf("row %d, %s (%s): got %.80s, want %.80s", n+1, col.Name, col.Type, got, text)
			}
		}
	}
}

// members64 are as many members as a SET can have.
var members64 = func() string {
	var b strings.Builder
	for i := range 64 {
		fmt.Fprintf(&b, ",'m%d'", i)
	}
	return b.String()[1:]
}()

// keyTables are tables by the columns of their key, with rows whose order no
// client should have to know.
var keyTables = []struct{ name, columns, key, rows string }{
	{"int", "k INT", "k", "SELECT n - 50 FROM seq"},
	{"tiny", "k TINYINT UNSIGNED", "k", "SELECT n + 100 FROM seq"},
	{"small", "k SMALLINT", "k", "SELECT 300 * (n - 50) FROM seq"},
	{"medium", "k MEDIUMINT", "k", "SELECT 70000 * (n - 50) FROM seq"},
	{"all_int", "k BIGINT", "k", "SELECT IF(n < 50, -9223372036854775807 + n, 9223372036854775807 - n) FROM seq"},
	{"ubig", "k BIGINT UNSIGNED", "k", "SELECT 18446744073709551615 - n FROM seq"},
	{"gaps", "k BIGINT", "k", "SELECT n * n * n * (1 - 2 * (n % 2)) FROM seq"},
	{"decimal", "k DECIMAL(30,5)", "k", "SELECT n / 7 - 10 FROM seq"},
	{"float", "k FLOAT", "k", "SELECT n / 7 - 10 FROM seq"},
	{"double", "k DOUBLE", "k", "SELECT n / 7e10 - 10 FROM seq"},
	{"bit", "k BIT(12)", "k", "SELECT n * 11 FROM seq"},
	{"year", "k YEAR", "k", "SELECT IF(n = 1, 0, 1900 + n) FROM seq"},
	{"date", "k DATE", "k", "SELECT '2020-01-30' + INTERVAL n DAY FROM seq"},
	{"zerodate", "k DATETIME(3)", "k", "SELECT IF(n = 1, '0000-00-00', IF(n = 2, '2020-00-15', '2020-01-30' + INTERVAL n HOUR)) FROM seq"},
	{"time", "k TIME(6)", "k", "SELECT SEC_TO_TIME((n - 50) * 3700.25) FROM seq"},
	{"timestamp", "k TIMESTAMP(6)", "k", "SELECT '2021-10-31 00:00:00' + INTERVAL n * 1000500 MICROSECOND FROM seq"},
	{"ci", "k VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci", "k", "SELECT CONCAT(CHAR(65 + n % 26 + 32 * (n % 2)), 'é', n) FROM seq"},
	{"latin", "k VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_german1_ci", "k", "SELECT CONCAT(CONVERT(UNHEX(HEX(192 + n % 60)) USING latin1), n) FROM seq"},
	{"gbk", "k VARCHAR(40) CHARACTER SET gbk", "k", "SELECT CONCAT(_gbk x'D6D0', n) FROM seq"},
	{"char", "k CHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "k", "SELECT CONCAT('a', n) FROM seq"},
	{"binary", "k BINARY(16)", "k", "SELECT UNHEX(CONCAT(LEFT(SHA2(n, 256), 28), '0000')) FROM seq"},
	{"varbinary", "k VARBINARY(20)", "k", "SELECT UNHEX(REPEAT('00', n % 20 )) FROM seq WHERE n < 20"},
	{"enum", "k ENUM('z','a','m','b'), i INT", "k, i", "SELECT 1 + n % 4, n FROM seq"},
	{"set", "k SET('z','a','m','b'), i INT", "k, i", "SELECT n % 16, n FROM seq"},
	{"set64", "k SET(" + members64 + ")", "k", "SELECT n << 58 | n FROM seq WHERE n < 64"},
	{"set64_composite", "i INT, k SET(" + members64 + ")", "i, k DESC", "SELECT n % 2, (n % 16) << 60 | n FROM seq"},
	{"bit64_composite", "i INT, k BIT(64)", "i, k DESC", "SELECT n % 2, (n % 16) << 60 | n FROM seq"},
	{"double_composite", "i INT, k DOUBLE", "i, k DESC", "SELECT n % 2, (n - 50) * 1e300 FROM seq"},
	{"composite", "k INT, i VARCHAR(10), d DATE", "i, k, d", "SELECT n % 3, CHAR(97 + n % 4), '2020-01-01' + INTERVAL n DAY FROM seq"},
	{"prefix", "k VARCHAR(50), i INT", "i, k(3)", "SELECT CONCAT(n, 'xyzxyz'), n % 5 FROM seq"},
}

func TestChunksMakeUpTheTable(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	conn, err := srv.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exec := func(q string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	exec("SET sql_mode='', time_zone='+00:00'")
	r := openReader(t, srv, srv.User, srv.Password)
	for _, k := range keyTables {
		t.Run(k.name, func(t *testing.T) {
			table := db + ".`" + k.name + "`"
			exec("CREATE TABLE " + table + " (" + k.columns + ", v INT, PRIMARY KEY (" + k.key + "))")
			exec("INSERT INTO " + table + " (" + columnNames(k.columns) + ") WITH RECURSIVE seq AS (SELECT 1 n UNION ALL SELECT n + 1 FROM seq WHERE n < 100) " + k.rows)
			var n int
			if err := conn.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
				t.Fatal(err)
			}
			walk(t, r, shapeOf(t, srv, db, k.name), anchorOf(t, srv), n)
		})
	}
}

// A shape that is known from the log alone calls a unique key primary.
func TestUniqueKeyInPlaceOfPrimary(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".t (v INT, k INT NOT NULL, UNIQUE (k)); INSERT INTO "+db+".t WITH RECURSIVE seq AS (SELECT 1 n UNION ALL SELECT n + 1 FROM seq WHERE n < 40) SELECT n, 100 - n FROM seq")
	s := *shapeOf(t, srv, db, "t")
	s.Primary, s.UniqueUnknown = true, true
	shape, err := schema.New(&s)
	if err != nil {
		t.Fatal(err)
	}
	walk(t, openReader(t, srv, srv.User, srv.Password), shape, anchorOf(t, srv), 40)
}

func columnNames(columns string) string {
	var names []string
	for _, c := range strings.Split(columns, ", ") {
		names = append(names, strings.Fields(c)[0])
	}
	return strings.Join(names, ", ")
}

// walk reads a table in ranges that were split off, in chunks of 5 rows, and
// checks that it gets want different rows.
func walk(t *testing.T, r *Reader, shape *schema.Table, a snapshot.Anchor, want int) {
	t.Helper()
	seen := map[string]bool{}
	var lo snapshot.Key
	for end := false; !end; {
		hi, err := r.Split(t.Context(), shape, lo, nil, 2)
		if err != nil {
			t.Fatal(err)
		}
		end = hi == nil
		for more := true; more; {
			c := newChunk(shape, a)
			c.Lo, c.Hi, c.MaxRows = lo, hi, 5
			if err := r.ReadChunk(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			for _, p := range c.Parts {
				for i := range p.Records {
					seen[string(connect.AppendKey(nil, p.Records[i].After, shape.Key))] = true
				}
			}
			if len(seen) > want || c.Rows > 5 {
				t.Fatalf("%d rows in all, %d in a chunk of 5", len(seen), c.Rows)
			}
			lo, more = c.End, c.Cut
		}
	}
	if len(seen) != want {
		t.Fatalf("got %d rows, want %d", len(seen), want)
	}
}

func TestChunkIsCutByBytes(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".t (id INT PRIMARY KEY, b LONGBLOB)")
	for i := range 6 {
		srv.Exec(t, fmt.Sprintf("INSERT INTO %s.t VALUES (%d, REPEAT('x', 300000))", db, i))
	}
	shape := shapeOf(t, srv, db, "t")
	r := openReader(t, srv, srv.User, srv.Password)
	c := newChunk(shape, anchorOf(t, srv))
	c.MaxBytes, c.PartBytes = 500000, 250000
	if err := r.ReadChunk(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if c.Rows != 2 || !c.Cut || string(c.End) != "1" || len(c.Parts) != 2 || c.High.File == "" {
		t.Fatalf("%d rows, cut %t at %q, %d parts, high %+v", c.Rows, c.Cut, c.End, len(c.Parts), c.High)
	}
	c.Lo = c.End
	if err := r.ReadChunk(t.Context(), c); err != nil || c.Rows != 2 {
		t.Fatalf("then %d rows, %v", c.Rows, err)
	}
}

// Without GTIDs a read must wait for whoever holds a row.
func TestLockingReadWaits(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".t (id INT PRIMARY KEY, v INT)")
	srv.Exec(t, "INSERT INTO "+db+".t VALUES (1, 1), (2, 1), (3, 1)")
	shape := shapeOf(t, srv, db, "t")
	for _, change := range []string{"UPDATE %s.t SET v = v + 1 WHERE id = 2", "DELETE FROM %s.t WHERE id = 3", "INSERT INTO %s.t VALUES (4, 1)"} {
		tx, err := srv.DB().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), fmt.Sprintf(change, db)); err != nil {
			t.Fatal(err)
		}
		r := openReader(t, srv, srv.User, srv.Password)
		if _, err := r.conn.Execute("SET SESSION innodb_lock_wait_timeout = 600"); err != nil { // however long the test needs to see that it waits
			t.Fatal(err)
		}
		a := anchorOf(t, srv)
		a.GTIDs = ""
		c := newChunk(shape, a)
		done := make(chan error)
		go func() { done <- r.ReadChunk(context.Background(), c) }()
		waitFor(t, func() bool {
			return srv.Query(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%FROM `"+db+"`%FOR SHARE' AND INFO NOT LIKE '%PROCESSLIST%'")[0][0] == "1"
		})
		select {
		case err := <-done:
			t.Fatalf("%s: the read did not wait: %v", change, err)
		case <-time.After(100 * time.Millisecond):
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := srv.Query(t, "SELECT id, v FROM "+db+".t ORDER BY id")
		if got := rowsOf(c); !slices.EqualFunc(got, want, slices.Equal) {
			t.Fatalf("%s: got %v, want %v", change, got, want)
		}
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("it does not come to that")
}

func TestReadLocked(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".t (v INT)")
	srv.Exec(t, "SET SESSION sql_generate_invisible_primary_key=OFF")
	srv.Exec(t, "INSERT INTO "+db+".t VALUES (1), (1), (2)")
	shape := shapeOf(t, srv, db, "t")
	if len(shape.Key) > 0 {
		t.Skip("the server gives every table a key")
	}
	r := openReader(t, srv, srv.User, srv.Password)
	var high snapshot.High
	rows := 0
	err := r.ReadLocked(t.Context(), snapshot.Locked{Table: shape, Anchor: anchorOf(t, srv), PartBytes: 1, First: new(connect.Batch),
		Begin: func(h snapshot.High) error {
			high = h
			srv.Exec(t, "INSERT INTO "+db+".t VALUES (3)") // the lock is gone, the view is older
			return nil
		},
		Give: func(b *connect.Batch) (*connect.Batch, error) { rows += len(b.Records); return new(connect.Batch), nil }})
	if err != nil || rows != 3 || high.File == "" {
		t.Fatalf("%d rows at %+v, %v", rows, high, err)
	}
	c := newChunk(shape, anchorOf(t, srv))
	if err := r.ReadChunk(t.Context(), c); err != nil || c.Rows != 4 {
		t.Fatalf("then %d rows, %v", c.Rows, err)
	}
}

func TestErrors(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".t (id INT PRIMARY KEY, v INT)")
	srv.Exec(t, "INSERT INTO "+db+".t VALUES (1, 1)")
	shape := shapeOf(t, srv, db, "t")
	a := anchorOf(t, srv)
	r := openReader(t, srv, srv.User, srv.Password)
	for _, alter := range []string{"ALTER TABLE %s.t RENAME COLUMN v TO w", "ALTER TABLE %s.t CHANGE COLUMN w v BIGINT",
		"ALTER TABLE %s.t MODIFY v INT UNSIGNED", "ALTER TABLE %s.t MODIFY v INT, DROP PRIMARY KEY", "DROP TABLE %s.t"} {
		srv.Exec(t, fmt.Sprintf(alter, db))
		if err := r.ReadChunk(t.Context(), newChunk(shape, a)); !errors.Is(err, snapshot.ErrShape) {
			t.Errorf(alter+": %v", db, err)
		}
		if _, err := r.High(t.Context()); err != nil { // the connection is still good
			t.Fatal(err)
		}
	}
	other := a
	other.ServerUUID = "00000000-0000-0000-0000-000000000001"
	if err := r.ReadChunk(t.Context(), newChunk(shape, other)); err == nil || errors.Is(err, snapshot.ErrShape) {
		t.Errorf("another server: %v", err)
	}
	srv.Exec(t, "CREATE TABLE "+db+".t (id INT PRIMARY KEY, v INT)")
	user := "u" + db
	srv.Exec(t, "CREATE USER '"+user+"'@'%' IDENTIFIED BY 'x'")
	srv.Exec(t, "GRANT REPLICATION CLIENT ON *.* TO '"+user+"'@'%'")
	poor := openReader(t, srv, user, "x")
	err := poor.ReadChunk(t.Context(), newChunk(shape, a))
	if !connect.IsPermanent(err) || !strings.Contains(err.Error(), "GRANT SELECT ON `"+db+"`.*") {
		t.Errorf("no grant: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	waitFor(t, func() bool { return r.ReadChunk(ctx, newChunk(shape, a)) != nil })
}
