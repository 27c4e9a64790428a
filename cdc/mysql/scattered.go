package mysql

import (
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// In a topic of several partitions rows of the old shape may be read after the
// statement, and rows of the new one before it. That does no harm where a target
// that is made for both takes either. Else the table is emptied at one place of all
// partitions, changed there, and read anew: no row of the old shape comes behind.

// carried reports whether rows of both shapes may come in any order.
func carried(c *connect.SchemaChange) bool {
	if !sameKeys(c) {
		return false
	}
	for i := range c.Was.Columns {
		if !slices.Contains(c.From, i) {
			return false // its values would be those of a column that comes to have its name
		}
	}
	for i, f := range c.From {
		now := &c.Now.Columns[i]
		if f < 0 {
			if !now.Nullable {
				return false
			}
			continue
		}
		keyed := slices.Contains(c.Now.Key, i) || slices.ContainsFunc(c.Now.Unique, func(u []int) bool { return slices.Contains(u, i) })
		if !widened(&c.Was.Columns[f], now, keyed) {
			return false
		}
	}
	return true
}

// sameKeys reports whether a table has the keys that it had: else its rows go to other
// partitions.
func sameKeys(c *connect.SchemaChange) bool {
	same := func(was, now []int) bool {
		return slices.EqualFunc(was, now, func(i, k int) bool { return c.From[k] == i })
	}
	return same(c.Was.Key, c.Now.Key) && slices.EqualFunc(c.Was.Unique, c.Now.Unique, same) && c.Was.UniqueUnknown == c.Now.UniqueUnknown
}

// widened reports whether a column takes all that it took before, and holds it in
// the same way, which for one by which rows are spread is all that counts.
func widened(was, now *schema.Column, keyed bool) bool {
	x, y := *was, *now
	if !strings.EqualFold(x.Name, y.Name) || x.Nullable && !y.Nullable || x.Generated != y.Generated {
		return false
	}
	switch {
	case x.Type.IsInteger() && y.Type.IsInteger():
		if x.Type > y.Type || x.Unsigned != y.Unsigned {
			return false
		}
		x.Type, x.Length = y.Type, y.Length
	case keyed:
	case x.Type == schema.TypeVarchar || x.Type == schema.TypeVarbinary:
		if x.Length <= y.Length {
			x.Length = y.Length
		}
	case x.Type == schema.TypeDecimal:
		if x.Scale <= y.Scale && x.Precision-x.Scale <= y.Precision-y.Scale {
			x.Precision, x.Scale = y.Precision, y.Scale
		}
	case x.Type == schema.TypeEnum || x.Type == schema.TypeSet:
		if len(x.Elements) <= len(y.Elements) && slices.Equal(x.Elements, y.Elements[:len(x.Elements)]) {
			x.Elements = y.Elements
		}
	case x.Type == schema.TypeTime || x.Type == schema.TypeDateTime || x.Type == schema.TypeTimestamp:
		if x.Scale <= y.Scale {
			x.Scale = y.Scale
		}
	}
	return x.Type == y.Type && x.Length == y.Length && x.Precision == y.Precision && x.Scale == y.Scale && x.Unsigned == y.Unsigned &&
		x.Charset == y.Charset && x.Collation == y.Collation && slices.Equal(x.Elements, y.Elements) &&
		x.Subtype == y.Subtype && x.HasSRID == y.HasSRID && x.SRID == y.SRID
}
