package jdbc

import (
	"fmt"
	"unicode/utf8"

	"github.com/towline/towline/schema"
)

// appendRow appends the values of a row in parentheses.
func (rt *route) appendRow(dst []byte, row schema.Row) (_ []byte, err error) {
	for i := range rt.cols {
		dst = append(dst, "(,"[min(i, 1)])
		if dst, err = rt.cols[i].append(dst, row); err != nil {
			return dst, fmt.Errorf("table %s: %w", rt.name, err)
		}
	}
	return append(dst, ')'), nil
}

// append appends the column's value in row.
func (c *column) append(dst []byte, row schema.Row) ([]byte, error) {
	v := row[c.src]
	if c.limit > 0 && v.Kind() == schema.String && len(v.Bytes()) > c.limit {
		if n := utf8.RuneCount(v.Bytes()); n > c.limit {
			return dst, errData{fmt.Errorf("column %s takes %d characters and the string has %d", c.ident, c.limit, n)}
		}
	}
	dst, err := appendValue(dst, v, c.source, c.form)
	if err != nil {
		return dst, errData{err}
	}
	return dst, nil
}

// appendKey appends the values of a row's key, or the condition that they are
// a row's.
func (rt *route) appendKey(dst []byte, row schema.Row) (_ []byte, err error) {
	if rt.apart {
		return rt.appendKeyApart(dst, row)
	}
	for i := range rt.keyCols {
		if len(rt.keyCols) > 1 {
			dst = append(dst, "(,"[min(i, 1)])
		} else if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = rt.keyCols[i].appendOperand(dst, row); err != nil {
			return dst, err
		}
	}
	if len(rt.keyCols) > 1 {
		dst = append(dst, ')')
	}
	return dst, nil
}

// appendSet appends SET with the columns that row has, but the key.
func (rt *route) appendSet(dst []byte, row schema.Row) (_ []byte, err error) {
	sep := " SET "
	for i := range rt.cols {
		c := &rt.cols[i]
		if row[c.src].Kind() == schema.Absent {
			continue
		}
		dst = append(append(append(dst, sep...), c.ident...), '=')
		if dst, err = c.append(dst, row); err != nil {
			return dst, fmt.Errorf("table %s: %w", rt.name, err)
		}
		sep = ","
	}
	return dst, nil
}

// appendMatch appends a condition that holds for rows which are exactly row.
func (rt *route) appendMatch(dst []byte, row schema.Row) (_ []byte, err error) {
	for i := range rt.cols {
		if i > 0 {
			dst = append(dst, " AND "...)
		}
		if dst, err = rt.cols[i].appendEqual(dst, row); err != nil {
			return dst, fmt.Errorf("table %s: %w", rt.name, err)
		}
	}
	return dst, nil
}

// appendEqual appends a condition on one column. A comparison of text goes by
// its collation, so that an index helps, and then by its characters.
func (c *column) appendEqual(dst []byte, row schema.Row) (_ []byte, err error) {
	v := row[c.src]
	before, after := c.ident+" <=> ", ""
	switch k := v.Kind(); {
	case k == schema.Null:
		return append(append(dst, c.ident...), " IS NULL"...), nil
	case c.form == formText, k == schema.String:
		before = c.ident + " <=> "
		if dst, err = c.append(append(dst, before...), row); err != nil {
			return dst, err
		}
		before = " AND CONVERT(" + c.ident + " USING utf8mb4) COLLATE utf8mb4_0900_bin <=> "
	case k == schema.JSON:
		before, after = c.ident+" <=> CAST(", " AS JSON)"
	case k == schema.RawString, k == schema.Geometry, k == schema.Vector:
		before = "CAST(" + c.ident + " AS BINARY) <=> "
		if k == schema.RawString {
			return appendString(append(append(dst, before...), "_binary"...), v.Bytes()), nil
		}
	case c.form == formPlain && (k == schema.Enum || k == schema.Set), k == schema.Enum && v.Uint() == 0:
		before = number(c.ident) + " <=> "
	}
	if dst, err = c.append(append(dst, before...), row); err != nil {
		return dst, err
	}
	return append(dst, after...), nil
}
