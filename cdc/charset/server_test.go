package charset

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"github.com/towline/towline/e2e/mysqltest"
)

// openServer connects to the server to compare with, or skips the test.
func openServer(t *testing.T) *sql.Conn {
	t.Helper()
	db, err := sql.Open("mysql", mysqltest.Shared(t).DSN(""))
	if err != nil {
		t.Fatalf("open server: %v", err)
	}
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// compare asks the server about every string the statement yields as s and checks each. NO_MERGE and HEX keep the
// server from sharing one buffer among the conversions of a row.
func compare(t *testing.T, conn *sql.Conn, c *Charset, source string, wantRows int) {
	t.Helper()
	query := fmt.Sprintf(`SELECT /*+ NO_MERGE(v) */ HEX(s), HEX(CONVERT(CONVERT(s USING %[1]s) USING utf8mb4)),
		IFNULL(LENGTH(CONVERT(s USING %[1]s)) = LENGTH(s)
			AND HEX(CONVERT(CONVERT(CONVERT(s USING %[1]s) USING utf8mb4) USING %[1]s)) = HEX(s), FALSE)
		FROM (%[2]s) AS v`, c, source)
	rows, err := conn.QueryContext(context.Background(), query)
	if err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var src, want sql.NullString
		var back bool
		if err := rows.Scan(&src, &want, &back); err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		check(t, c, unhex(t, src.String), unhex(t, want.String), want.Valid && back)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	if n != wantRows {
		t.Fatalf("%s: the server answered for %d strings of %d", c, n, wantRows)
	}
}

// TestServerShortStrings compares every string of one and of two bytes, and random longer ones, in every charset.
func TestServerShortStrings(t *testing.T) {
	conn := openServer(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	const allBytes = `WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 255),
		n AS (SELECT LPAD(HEX(i), 2, '0') AS h FROM c) `
	for i := range charsets {
		c := &charsets[i]
		t.Run(c.name, func(t *testing.T) {
			compare(t, conn, c, allBytes+`SELECT UNHEX(h) AS s FROM n`, 256)
			compare(t, conn, c, allBytes+`SELECT UNHEX(CONCAT(a.h, b.h)) AS s FROM n a, n b`, 65536)
			for range 4 {
				var values []string
				for range 2000 {
					values = append(values, fmt.Sprintf("ROW(x'%x')", randomString(rnd, c)))
				}
				compare(t, conn, c, "SELECT column_0 AS s FROM (VALUES "+strings.Join(values, ",")+") AS l", len(values))
			}
		})
	}
}

// randomString makes three or four bytes, often such as begin or continue a character.
func randomString(rnd *rand.Rand, c *Charset) []byte {
	s := make([]byte, 3+rnd.IntN(2))
	for i := range s {
		s[i] = byte(rnd.Uint32())
	}
	switch {
	case c.name == "gb18030" && rnd.IntN(4) > 0:
		return appendGB18030(nil, uint32(rnd.IntN(126*10*126*10)))
	case c.form == formTable && c.maxLen == 3 && rnd.IntN(4) > 0:
		s[0], s[1], s[2] = 0x8F, s[1]|0x80, s[2]|0x80
	case c.form == formUTF32:
		s[0], s[1] = 0, byte(rnd.IntN(0x12))
	case c.form == formUTF8 || c.form == formUTF8MB3:
		s[0] |= 0xC0
		for i := 1; i < len(s); i++ {
			s[i] = s[i]&0x3F | 0x80
		}
	case c.form == formUTF16:
		s[0] = 0xD0 | s[0]&0x0F
	}
	return s
}

// TestServerColumns writes random text to a column of every charset and reads it back both ways: as the raw bytes
// that a source of changes sees, and converted by the server for a utf8mb4 client.
func TestServerColumns(t *testing.T) {
	conn := openServer(t)
	ctx := context.Background()
	exec := func(query string) {
		t.Helper()
		if _, err := conn.ExecContext(ctx, query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	database := fmt.Sprintf("towline_charset_%08x", uint32(seed))
	exec("CREATE DATABASE " + database)
	defer exec("DROP DATABASE " + database)
	for i := range charsets {
		c := &charsets[i]
		if c.name == "binary" {
			continue
		}
		var tab table
		if c.form == formTable {
			tab = readTable(c.name)
		}
		exec("DROP TABLE IF EXISTS " + database + ".s")
		exec(fmt.Sprintf("CREATE TABLE %s.s (id INT PRIMARY KEY, v TEXT CHARACTER SET %s)", database, c))
		var texts, values []string
		for id := range 200 {
			texts = append(texts, randomText(rnd, c, tab))
			values = append(values, fmt.Sprintf("(%d, CONVERT(x'%x' USING utf8mb4))", id, texts[id]))
		}
		exec("SET NAMES utf8mb4")
		exec("INSERT INTO " + database + ".s VALUES " + strings.Join(values, ","))
		converted := readColumn(t, conn, database)
		exec("SET character_set_results = NULL")
		raw := readColumn(t, conn, database)
		for id, text := range texts {
			if converted[id] != text {
				t.Fatalf("%s: the server returned %q for %q", c, converted[id], text)
			}
			check(t, c, []byte(raw[id]), []byte(text), true)
			code, ok := c.Encode(nil, []byte(text))
			if !ok || !bytes.Equal(code, []byte(raw[id])) {
				t.Fatalf("%s: Encode(%q) = x'%x', %v; the server wrote x'%x'", c, text, code, ok, raw[id])
			}
		}
	}
}

func readColumn(t *testing.T, conn *sql.Conn, database string) []string {
	t.Helper()
	rows, err := conn.QueryContext(context.Background(), "SELECT v FROM "+database+".s ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// randomText makes up to forty characters that the charset has.
func randomText(rnd *rand.Rand, c *Charset, tab table) string {
	var b []byte
	for n := rnd.IntN(40); n > 0; {
		r := rune(rnd.IntN(0x110000)) >> rnd.IntN(14)
		if len(tab.codes) > 0 && rnd.IntN(4) > 0 {
			r = tab.codes[rnd.IntN(len(tab.codes))].r
		}
		if text := string(r); r != 0xFFFD && text != "\uFFFD" {
			if _, ok := c.Encode(nil, []byte(text)); ok {
				b = append(b, text...)
				n--
			}
		}
	}
	return string(b)
}

// TestServerCollations compares the list with the server's own.
func TestServerCollations(t *testing.T) {
	conn := openServer(t)
	rows, err := conn.QueryContext(context.Background(), `SELECT ID, COLLATION_NAME, CHARACTER_SET_NAME, PAD_ATTRIBUTE = 'PAD SPACE'
		FROM information_schema.COLLATIONS`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id uint16
		var name, charset string
		var pad bool
		if err := rows.Scan(&id, &name, &charset, &pad); err != nil {
			t.Fatal(err)
		}
		c, ok := CollationByID(id)
		if !ok || c.Name != name || c.Charset.Name() != charset || c.PadSpace != pad {
			t.Errorf("collation %d: have %+v, the server says %s of %s, pad space %v", id, c, name, charset, pad)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
