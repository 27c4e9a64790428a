package binlog

import (
	"encoding/binary"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"go.uber.org/goleak"

	"github.com/towline/towline/e2e/mysqltest"
)

// TestMain shows that nothing here leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(mysqltest.Main(m)) }

var update = flag.Bool("update", false, "record the golden files anew from a server")

// server is a live MySQL, and a database of our own on it.
type server struct {
	t    testing.TB
	conn *client.Conn
	db   string
}

// live connects to a server.
func live(t testing.TB) *server {
	s := &server{t: t, conn: dial(t), db: "towline_binlog"}
	s.exec("DROP DATABASE IF EXISTS " + s.db)
	s.exec("CREATE DATABASE " + s.db + " DEFAULT CHARACTER SET utf8mb4")
	s.exec("USE " + s.db)
	s.exec("SET SESSION time_zone = '+00:00', sql_mode = 'NO_ENGINE_SUBSTITUTION'")
	t.Cleanup(func() { s.exec("DROP DATABASE " + s.db); s.conn.Close() })
	return s
}

func dial(t testing.TB) *client.Conn {
	srv := mysqltest.Shared(t)
	conn, err := client.Connect(srv.Addr(), srv.User, srv.Password, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetCharset("utf8mb4"); err != nil {
		t.Fatal(err)
	}
	return conn
}

func (s *server) exec(sql string) *mysql.Result {
	s.t.Helper()
	r, err := s.conn.Execute(sql)
	if err != nil {
		if len(sql) > 300 {
			sql = sql[:300]
		}
		s.t.Fatalf("%s: %v", sql, err)
	}
	return r
}

// script runs statements that end in ";\n".
func (s *server) script(sql string) {
	s.t.Helper()
	for _, stmt := range strings.Split(sql, ";\n") {
		if stmt = strings.TrimSpace(stmt); stmt != "" {
			s.exec(stmt)
		}
	}
}

// record runs f and returns the log file that holds what it did, as it is on
// the server.
func (s *server) record(f func()) []byte {
	s.t.Helper()
	s.exec("FLUSH BINARY LOGS")
	r := s.exec("SHOW BINARY LOG STATUS")
	file, _ := r.GetString(0, 0)
	f()
	s.exec("FLUSH BINARY LOGS")
	return dump(s.t, file)
}

// dump reads one whole file over the replication protocol.
func dump(t testing.TB, file string) []byte {
	t.Helper()
	conn := dial(t)
	defer conn.Close()
	if _, err := conn.Execute("SET @source_binlog_checksum = 'CRC32'"); err != nil {
		t.Fatal(err)
	}
	req := make([]byte, 4+11, 64)
	req[4] = mysql.COM_BINLOG_DUMP
	binary.LittleEndian.PutUint32(req[5:], 4)
	req[9] = 1 // do not wait at the end
	binary.LittleEndian.PutUint32(req[11:], 990099)
	conn.ResetSequence()
	if err := conn.WritePacket(append(req, file...)); err != nil {
		t.Fatal(err)
	}
	out := []byte(magic)
	for {
		p, err := conn.ReadPacket()
		if err != nil {
			t.Fatal(err)
		}
		if p[0] != 0 {
			if p[0] != 0xfe {
				t.Fatalf("dump of %s: %q", file, p)
			}
			return out
		}
		h, err := ParseHeader(p[1:])
		if err != nil {
			t.Fatal(err)
		}
		if h.Type == RotateEvent && h.Flags&FlagArtificial != 0 {
			if len(out) > 4 {
				return out
			}
			continue
		}
		if h.Type != HeartbeatEvent && h.Type != HeartbeatEventV2 {
			out = append(out, p[1:]...)
		}
	}
}

const magic = "\xfebin"

// oracle returns all rows of a table, each column as the server prints it in
// the form of testText, ordered by id.
func (s *server) oracle(table string) [][]string {
	s.t.Helper()
	cols := s.exec(fmt.Sprintf("SELECT COLUMN_NAME, DATA_TYPE, COALESCE(CHARACTER_SET_NAME, '') FROM information_schema.COLUMNS "+
		"WHERE TABLE_SCHEMA='%s' AND TABLE_NAME='%s' ORDER BY ORDINAL_POSITION", s.db, table))
	var exprs []string
	for i := range cols.RowNumber() {
		name, _ := cols.GetString(i, 0)
		typ, _ := cols.GetString(i, 1)
		exprs = append(exprs, oracleExpr("`"+name+"`", typ))
	}
	r := s.exec("SELECT " + strings.Join(exprs, ", ") + " FROM " + table + " ORDER BY id")
	rows := make([][]string, r.RowNumber())
	for i := range rows {
		for j := range exprs {
			null, _ := r.IsNull(i, j)
			text, _ := r.GetString(i, j)
			if null {
				text = "NULL"
			}
			rows[i] = append(rows[i], text)
		}
	}
	return rows
}

func oracleExpr(name, typ string) string {
	switch typ {
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "geometry", "point", "linestring", "polygon",
		"multipoint", "multilinestring", "multipolygon", "geomcollection", "vector":
		return "LOWER(HEX(" + name + "))"
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		return "LOWER(HEX(CONVERT(" + name + " USING utf8mb4)))"
	case "bit", "set", "enum":
		return "CAST(CAST(" + name + " AS UNSIGNED) AS CHAR)"
	case "float", "double":
		// As text a number has at most 22 characters and may be rounded; as
		// JSON it has all its digits.
		return "CAST(CAST(CAST(" + name + " AS DOUBLE) AS JSON) AS CHAR)"
	case "int":
		return "CAST(" + name + " + 0 AS CHAR)" // without zeros in front
	}
	return "CAST(" + name + " AS CHAR)"
}
