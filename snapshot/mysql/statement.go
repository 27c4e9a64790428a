package mysql

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/towline/towline/schema"
	"github.com/towline/towline/snapshot"
)

// quote returns an identifier in backticks.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// tableRef returns the name of t, with the index to walk. A shape that is
// known from the log alone may call a unique key primary.
func tableRef(t *schema.Table) string {
	ref := quote(t.Database) + "." + quote(t.Name)
	if t.Primary && !t.UniqueUnknown {
		ref += " FORCE INDEX (PRIMARY)"
	}
	return ref
}

// wide makes eight bytes of a number that MariaDB would send in as few as it
// has; other servers take it for a comment.
const wide = "/*M! | 0*/"

// columnList returns the columns at the given indexes as they are selected.
func columnList(t *schema.Table, columns []int) string {
	var b strings.Builder
	for n, i := range columns {
		if n > 0 {
			b.WriteString(", ")
		}
		c := &t.Columns[i]
		if c.Type == schema.TypeEnum || c.Type == schema.TypeSet {
			b.WriteString("CAST(" + quote(c.Name) + " AS UNSIGNED)" + wide)
			continue
		}
		b.WriteString(quote(c.Name))
	}
	return b.String()
}

func allColumns(t *schema.Table) []int {
	all := make([]int, len(t.Columns))
	for i := range all {
		all[i] = i
	}
	return all
}

// strideQuery asks for the key of the row that is rows rows behind lo.
func strideQuery(t *schema.Table, lo, hi snapshot.Key, rows int) string {
	return "SELECT " + columnList(t, t.Key) + " FROM " + tableRef(t) + where(t, lo, hi) + orderBy(t) +
		" LIMIT 1 OFFSET " + strconv.Itoa(rows-1)
}

// endsQuery asks for the first and the last key of a range.
func endsQuery(t *schema.Table, lo, hi snapshot.Key) string {
	name := quote(t.Columns[t.Key[0]].Name)
	return "SELECT MIN(" + name + "), MAX(" + name + ") FROM " + tableRef(t) + where(t, lo, hi)
}

// sizeQuery asks for the name, the rows and the length of a row of those of
// the tables that are in one database.
func sizeQuery(database string, tables []*schema.Table) string {
	var names []string
	for _, t := range tables {
		if t.Database == database {
			names = append(names, textLiteral(t.Name))
		}
	}
	return "SELECT CONVERT(TABLE_NAME USING utf8mb4), COALESCE(TABLE_ROWS, 0), COALESCE(AVG_ROW_LENGTH, 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = " +
		textLiteral(database) + " AND TABLE_NAME IN (" + strings.Join(names, ", ") + ")"
}

// chunkQuery asks for the rows of a chunk. lock ends it.
func chunkQuery(c *snapshot.Chunk, lock string) string {
	t := c.Table
	q := "SELECT " + columnList(t, allColumns(t)) + " FROM " + tableRef(t)
	if len(t.Key) > 0 {
		q += where(t, c.Lo, c.Hi, c.Filter) + orderBy(t) + " LIMIT " + strconv.Itoa(c.MaxRows)
	}
	return q + lock
}

func orderBy(t *schema.Table) string {
	names := make([]string, len(t.Key))
	for n, i := range t.Key {
		names[n] = operand(&t.Columns[i])
	}
	return " ORDER BY " + strings.Join(names, ", ")
}

// where returns the condition of the range (lo, hi], with more conditions.
func where(t *schema.Table, lo, hi snapshot.Key, filters ...string) string {
	var terms []string
	for _, f := range filters {
		if f != "" {
			terms = append(terms, "("+f+")")
		}
	}
	if lo != nil {
		terms = append(terms, beyond(t, lo, ">", ">=", ">")...)
	}
	if hi != nil {
		terms = append(terms, beyond(t, hi, "<", "<=", "<=")...)
	}
	if len(terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(terms, " AND ")
}

// beyond returns the terms for keys on one side of key: op compares all but
// the last column, last the last one. loose, on the first column alone, tells
// the optimizer again what the rest implies.
func beyond(t *schema.Table, key snapshot.Key, op, loose, last string) []string {
	values := strings.Split(string(key), "\x00")
	names := make([]string, len(t.Key))
	for n, i := range t.Key {
		names[n] = operand(&t.Columns[i])
	}
	if len(values) == 1 {
		return []string{names[0] + " " + last + " " + values[0]}
	}
	var b strings.Builder
	b.WriteByte('(')
	for n := range values {
		if n > 0 {
			b.WriteString(" OR ")
		}
		b.WriteByte('(')
		for i := range n {
			b.WriteString(names[i] + " = " + values[i] + " AND ")
		}
		cmp := op
		if n == len(values)-1 {
			cmp = last
		}
		b.WriteString(names[n] + " " + cmp + " " + values[n] + ")")
	}
	b.WriteByte(')')
	return []string{names[0] + " " + loose + " " + values[0], b.String()}
}

// operand returns c as it is compared and sorted. The server compares a SET
// with a number as if its 64th member were a sign, and sorts it so too unless
// an index does; the cast costs the index, but has one order.
func operand(c *schema.Column) string {
	if c.Type == schema.TypeSet && len(c.Elements) == 64 {
		return "CAST(" + quote(c.Name) + " AS UNSIGNED)"
	}
	return quote(c.Name)
}

// keyOf returns the Key of a row: row holds the values of t's key columns.
func keyOf(t *schema.Table, row schema.Row) (snapshot.Key, error) {
	var b []byte
	for n, i := range t.Key {
		if n > 0 {
			b = append(b, 0)
		}
		var err error
		if b, err = appendLiteral(b, row[n], &t.Columns[i]); err != nil {
			return nil, fmt.Errorf("mysql: key of table %s: column %s: %w", t, t.Columns[i].Name, err)
		}
	}
	return b, nil
}

// appendLiteral appends v as the server compares it with column c.
func appendLiteral(dst []byte, v schema.Value, c *schema.Column) ([]byte, error) {
	switch v.Kind() {
	case schema.Int, schema.Uint, schema.Decimal:
		return v.AppendText(dst, c), nil
	case schema.Year:
		return append(v.AppendText(append(dst, '\''), c), '\''), nil
	case schema.Enum, schema.Set, schema.Bit:
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	case schema.Float32, schema.Float64: // as a DOUBLE, which holds either exactly
		return strconv.AppendFloat(dst, v.Float(), 'e', -1, 64), nil
	case schema.Date, schema.Time, schema.DateTime, schema.Timestamp:
		return append(v.AppendText(append(dst, '\''), c), '\''), nil
	case schema.Bytes:
		return appendHex(dst, v.Bytes()), nil
	case schema.RawString:
		dst = appendHex(append(append(append(dst, '_'), c.Charset...), ' '), v.Bytes())
		return append(append(dst, " COLLATE "...), c.Collation...), nil
	case schema.String:
		if c.FixedSize() > 0 {
			return append(append(append(dst, '\''), v.Bytes()...), '\''), nil
		}
		if c.Charset == "utf8mb4" {
			dst = appendHex(append(dst, "_utf8mb4 "...), v.Bytes())
		} else {
			dst = appendHex(append(dst, "CONVERT(_utf8mb4 "...), v.Bytes())
			dst = append(append(append(dst, " USING "...), c.Charset...), ')')
		}
		return append(append(dst, " COLLATE "...), c.Collation...), nil
	}
	return nil, fmt.Errorf("a %s cannot bound a chunk", v.Kind())
}

func appendHex(dst, b []byte) []byte {
	dst = append(dst, "x'"...)
	return append(hex.AppendEncode(dst, b), '\'')
}

// textLiteral returns s as a string literal.
func textLiteral(s string) string { return string(appendHex([]byte("_utf8mb4 "), []byte(s))) }
