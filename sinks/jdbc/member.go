package jdbc

import (
	"slices"
	"strconv"

	"github.com/towline/towline/schema"
)

// ENUM and SET columns go by number, in which the server has its ways:
//
// A column that is copied or computed goes through its text where it is a
// SET. The member '' has the text of no member at all, so it is lost.
//
// In a list of tuples the columns are compared by their text with the text of
// the number, so that few are found; alone they are compared as numbers.
//
// A SET is a signed number when it is compared with one. The 64th member is
// the sign.
//
// Cast to a number they are what they should be, at the cost of the index.

// newColumn returns the column i of rows, s, as the target's column d takes it.
func newColumn(i int, s, d *schema.Column, spelled form) column {
	c := column{src: i, source: s, ident: quoted(d.Name), form: spelled, enum: s.Type == schema.TypeEnum}
	set := d.Type == schema.TypeSet
	c.member = set || d.Type == schema.TypeEnum
	c.empty = set && slices.Contains(d.Elements, "")
	c.wide = set && len(d.Elements) == 64 && spelled == formPlain
	return c
}

// number returns an operand that is an ENUM or SET as its number.
func number(operand string) string { return "CAST(" + operand + " AS UNSIGNED)" }

// renewed returns the column's value in the new row of an upsert.
func (c *column) renewed() string {
	if c.empty {
		return number(alias + "." + c.ident)
	}
	return alias + "." + c.ident
}

// apartKeys is how many keys a condition with OR has at most: the server looks
// through all of them for every row.
const apartKeys = 256

// comma returns what stands between keys.
func (rt *route) comma() string {
	if rt.apart {
		return " OR "
	}
	return ","
}

// appendKeyApart appends a condition for each column of the key.
func (rt *route) appendKeyApart(dst []byte, row schema.Row) (_ []byte, err error) {
	for i := range rt.keyCols {
		c := &rt.keyCols[i]
		if i > 0 {
			dst = append(dst, " AND "...)
		}
		dst = append(append(dst, c.ident...), '=')
		if dst, err = c.appendOperand(dst, row); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// appendOperand appends the column's value in row, to be compared with it.
func (c *column) appendOperand(dst []byte, row schema.Row) ([]byte, error) {
	if v := row[c.src]; c.wide && v.Kind() == schema.Set {
		return strconv.AppendInt(dst, int64(v.Uint()), 10), nil
	}
	return c.append(dst, row)
}
