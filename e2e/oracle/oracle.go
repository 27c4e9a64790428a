// Package oracle says whether two MySQL databases hold the same rows, value
// by value, and where they differ. It shares no code with what it judges: it
// asks the servers themselves.
package oracle

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// maxDiffs is how many differences are told of one table.
const maxDiffs = 5

// Compare compares all base tables of a database of src with those of one of
// dst and returns the differences, one a line; none if they are equal. Tables
// that only dst has are passed over.
func Compare(ctx context.Context, src *sql.DB, srcDB string, dst *sql.DB, dstDB string) ([]string, error) {
	tables, err := strs(ctx, src, "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_type = 'BASE TABLE' ORDER BY 1", srcDB)
	if err != nil {
		return nil, err
	}
	if len(tables) == 0 {
		return nil, fmt.Errorf("oracle: database %s has no tables", srcDB)
	}
	var all []string
	for _, t := range tables {
		diffs, err := Table(ctx, src, srcDB, dst, dstDB, t)
		if err != nil {
			return all, fmt.Errorf("oracle: table %s: %w", t, err)
		}
		all = append(all, diffs...)
	}
	return all, nil
}

// Table compares one table.
func Table(ctx context.Context, src *sql.DB, srcDB string, dst *sql.DB, dstDB, table string) ([]string, error) {
	cols, key, err := columns(ctx, src, srcDB, table)
	if err != nil {
		return nil, err
	}
	a, err := open(ctx, src, srcDB, table, cols, key)
	if err != nil {
		return nil, err
	}
	defer a.close()
	b, err := open(ctx, dst, dstDB, table, cols, key)
	if err != nil {
		return []string{fmt.Sprintf("%s: target: %v", table, err)}, nil
	}
	defer b.close()
	return merge(table, cols, len(key), a, b)
}

type column struct{ name, typ string }

func columns(ctx context.Context, db *sql.DB, schema, table string) (cols []column, key []string, err error) {
	rows, err := db.QueryContext(ctx, "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position", schema, table)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.name, &c.typ); err != nil {
			return nil, nil, err
		}
		cols = append(cols, c)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	key, err = strs(ctx, db, "SELECT column_name FROM information_schema.key_column_usage WHERE table_schema = ? AND table_name = ? AND constraint_name = 'PRIMARY' ORDER BY ordinal_position", schema, table)
	return cols, key, err
}

func strs(ctx context.Context, db *sql.DB, query string, args ...any) ([]string, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// cursor reads rows in an order that both sides agree on. The key columns
// come first; rows of a table without a key come counted, by all columns.
type cursor struct {
	conn *sql.Conn
	rows *sql.Rows
	cur  [][]byte
	raw  []sql.RawBytes
	ok   bool
}

func open(ctx context.Context, db *sql.DB, schema, table string, cols []column, key []string) (*cursor, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "SET SESSION time_zone = '+00:00', group_concat_max_len = 1 << 30, character_set_results = NULL"); err != nil {
		conn.Close()
		return nil, err
	}
	order := key
	var exprs []string
	for _, k := range key {
		exprs = append(exprs, "HEX("+quote(k)+")")
	}
	for _, c := range cols {
		exprs = append(exprs, expr(c))
	}
	q := "SELECT " + strings.Join(exprs, ", ") + " FROM " + quote(schema) + "." + quote(table)
	if len(order) > 0 {
		hex := make([]string, len(order))
		for i := range order {
			hex[i] = fmt.Sprint(i + 1)
		}
		q += " ORDER BY " + strings.Join(hex, ", ")
	} else {
		q = fmt.Sprintf("SELECT HEX(CONCAT_WS('|', %s)) h, MIN(%s), COUNT(*) FROM %s.%s GROUP BY h ORDER BY h", allCols(cols), "''", quote(schema), quote(table))
	}
	rows, err := conn.QueryContext(ctx, q)
	if err != nil {
		conn.Close()
		return nil, err
	}
	names, err := rows.Columns()
	c := &cursor{conn: conn, rows: rows, raw: make([]sql.RawBytes, len(names)), cur: make([][]byte, len(names))}
	if err == nil {
		err = c.next()
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// expr is a column in a form that loses nothing and is the same on equal
// values: a FLOAT as the double that it is, all else as the server prints it.
func expr(c column) string {
	if c.typ == "float" {
		return "CAST(" + quote(c.name) + " AS DOUBLE)"
	}
	return quote(c.name)
}

func allCols(cols []column) string {
	var e []string
	for _, c := range cols {
		x := expr(c)
		switch c.typ {
		case "float", "double", "decimal":
			x = "CONCAT(" + x + ")" // HEX of a number rounds it
		}
		e = append(e, "IFNULL(HEX("+x+"), '-')")
	}
	return strings.Join(e, ", ")
}

func (c *cursor) next() error {
	c.ok = c.rows.Next()
	if !c.ok {
		return c.rows.Err()
	}
	dest := make([]any, len(c.raw))
	for i := range c.raw {
		dest[i] = &c.raw[i]
	}
	if err := c.rows.Scan(dest...); err != nil {
		return err
	}
	for i, r := range c.raw {
		c.cur[i] = nil
		if r != nil {
			c.cur[i] = append([]byte{}, r...)
		}
	}
	return nil
}

func (c *cursor) close() {
	c.rows.Close()
	c.conn.Close()
}

// merge walks both sides in key order.
func merge(table string, cols []column, keyLen int, a, b *cursor) ([]string, error) {
	n := keyLen
	if n == 0 {
		n = 1
	}
	var diffs []string
	for a.ok || b.ok {
		order := 0
		switch {
		case !b.ok:
			order = -1
		case !a.ok:
			order = 1
		default:
			order = slices.CompareFunc(a.cur[:n], b.cur[:n], bytes.Compare)
		}
		switch {
		case order < 0:
			diffs = append(diffs, fmt.Sprintf("%s: row %s is missing in the target", table, show(a.cur[:n])))
		case order > 0:
			diffs = append(diffs, fmt.Sprintf("%s: row %s is in the target only", table, show(b.cur[:n])))
		default:
			diffs = append(diffs, compareRow(table, cols, keyLen, a.cur, b.cur)...)
		}
		if len(diffs) >= maxDiffs {
			return append(diffs[:maxDiffs], table+": ..."), nil
		}
		if order <= 0 {
			if err := a.next(); err != nil {
				return nil, err
			}
		}
		if order >= 0 {
			if err := b.next(); err != nil {
				return nil, err
			}
		}
	}
	return diffs, nil
}

func compareRow(table string, cols []column, keyLen int, a, b [][]byte) []string {
	var diffs []string
	for i := keyLen; i < len(a); i++ {
		if bytes.Equal(a[i], b[i]) && (a[i] == nil) == (b[i] == nil) {
			continue
		}
		name := "count"
		if keyLen > 0 {
			name = cols[i-keyLen].name
		}
		diffs = append(diffs, fmt.Sprintf("%s: row %s: %s is %q in the source and %q in the target", table, show(a[:max(keyLen, 1)]), name, clip(a[i]), clip(b[i])))
	}
	return diffs
}

func show(key [][]byte) string { return "(" + string(clip(bytes.Join(key, []byte(", ")))) + ")" }

func clip(b []byte) []byte {
	if len(b) > 120 {
		return append(slices.Clip(b[:120]), "..."...)
	}
	return b
}
