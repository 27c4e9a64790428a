package mysql

import (
	"reflect"
	"slices"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

// changeOf returns how a table came from the shape old to the shape t; nil if
// it was not there, or is as it was. permuted says that values have changed
// their columns; see ddl.Outcome.Origins.
func changeOf(o *ddl.Outcome, old, t *schema.Table) (c *connect.SchemaChange, permuted bool) {
	if old == nil {
		return nil, false
	}
	c = &connect.SchemaChange{Was: old, Now: t}
	c.From, permuted = o.Origins(old, t)
	if old.ID() == t.ID() && !permuted {
		return nil, false
	}
	return c, permuted
}

// keyRewritten reports whether values that are to be unique may have changed:
// rows that are downstream could not be found by them any more, or would be in
// the way of those that are read anew.
func keyRewritten(c *connect.SchemaChange) bool {
	changed := func(i int) bool {
		if c.From[i] < 0 {
			return true
		}
		x, y := c.Was.Columns[c.From[i]], c.Now.Columns[i]
		x.Name, x.Invisible = y.Name, y.Invisible
		return !reflect.DeepEqual(x, y)
	}
	same := func(was, now int) bool { return c.From[now] == was }
	return !slices.EqualFunc(c.Was.Key, c.Now.Key, same) || slices.ContainsFunc(c.Now.Key, changed) ||
		slices.ContainsFunc(c.Now.Unique, func(u []int) bool { return slices.ContainsFunc(u, changed) })
}
