package pairs

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

// samples are short texts of which each charset has some.
var samples = []string{"abc", "aé", "äöüß", "čšž", "ąęł", "привет", "Ωλγ", "שלום", "مرحبا", "中文字", "日本語", "ｱｲｳ", "한국어", "ไทย", "ქართ", "Հայ", "ığş", "€", "ÅØ", "😀𝄞", "ａ～", "\\'\""}

// charsetFixtures makes two kinds of table. One for each charset, with text in
// all types and as a key, and one of all charsets of one byte, with each byte
// that there is, also those that stand for nothing.
func charsetFixtures(t *testing.T, srv *mysqltest.Server) []fixture {
	t.Helper()
	single := fixture{name: "every_byte", full: true}
	var list []fixture
	var columns []string
	for _, row := range srv.Query(t, "SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS ORDER BY 1") {
		if row[1] == "1" {
			columns = append(columns, fmt.Sprintf("c_%s CHAR(2) CHARACTER SET %s, v_%s VARCHAR(2) CHARACTER SET %s", row[0], row[0], row[0], row[0]))
		}
		list = append(list, charsetFixture(row[0], fitting(t, srv, row[0])))
	}
	if len(list) < 40 {
		t.Fatalf("the server has only %d charsets", len(list))
	}
	single.columns = strings.Join(columns, ", ")
	for i := range 256 {
		values := make([]string, 2*len(columns))
		for n := range values {
			values[n] = fmt.Sprintf("x'%02x'", i)
		}
		single.rows = append(single.rows, strings.Join(values, ", "))
	}
	return append(list, single)
}

// fitting returns the samples that a charset has.
func fitting(t *testing.T, srv *mysqltest.Server, charset string) (fit []string) {
	session(t, srv, func(ctx context.Context, conn *sql.Conn) error {
		var exprs []string
		for _, s := range samples {
			exprs = append(exprs, fmt.Sprintf("HEX(CONVERT(CONVERT(_utf8mb4 x'%x' USING %s) USING utf8mb4)) = '%X'", s, charset, s))
		}
		got, ptrs := make([]bool, len(exprs)), make([]any, len(exprs))
		for i := range got {
			ptrs[i] = &got[i]
		}
		if err := conn.QueryRowContext(ctx, "SELECT "+strings.Join(exprs, ", ")).Scan(ptrs...); err != nil {
			return err
		}
		for i, ok := range got {
			if ok {
				fit = append(fit, samples[i])
			}
		}
		return nil
	})
	return fit
}

func charsetFixture(charset string, texts []string) fixture {
	literal := func(s string) string { return fmt.Sprintf("_utf8mb4 x'%x'", s) }
	var elements []string
	for _, s := range texts {
		if !strings.ContainsAny(s, "\\") && !strings.Contains(s, "😀") && (charset != "binary" || s == "abc") { // the server keeps no other binary elements
			elements = append(elements, "'"+s+"'")
		}
	}
	all := strings.Join(elements, ",")
	f := fixture{name: "charset_" + charset, full: true, keys: "PRIMARY KEY (k)", columns: strings.ReplaceAll(`k CHAR(8) CHARACTER SET # NOT NULL, c CHAR(8) CHARACTER SET #, v VARCHAR(20) CHARACTER SET #,
		v300 VARCHAR(300) CHARACTER SET #, tt TINYTEXT CHARACTER SET #, t TEXT CHARACTER SET #, mt MEDIUMTEXT CHARACTER SET #, lt LONGTEXT CHARACTER SET #,
		e ENUM(`+all+`) CHARACTER SET #, s SET(`+all+`) CHARACTER SET #`, "#", charset)}
	row := func(s string, n int) {
		l := literal(s)
		f.rows = append(f.rows, fmt.Sprintf("%s, %s, %s, CONCAT(%s, ' '), %s, REPEAT(%s, 500), %s, CONCAT(%s, REPEAT(%s, 20)), %d, %d", l, l, l, l, l, l, l, literal(texts[0]), l, n, n))
	}
	for i, s := range texts {
		row(s, min(i+1, len(elements)))
	}
	row("", 0)
	f.rows = append(f.rows, literal("z  ")+", NULL, "+literal(" z ")+", NULL, NULL, NULL, NULL, NULL, NULL, NULL")
	return f
}
