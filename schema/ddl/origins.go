package ddl

import (
	"slices"
	"strings"

	"github.com/towline/towline/schema"
)

// Origins returns, for each column of now, the column of old that it was, -1
// for one that is new. old and now are the table before and after the
// statement, or both without some columns. Columns are told by their names,
// but for those that the statement has renamed.
//
// permuted says that a column has the name which another one had. Names alone
// do not tell such a table from what it was, so that whoever follows twice
// would rename twice: a column is said to be the one of its name then, or to
// be new, and its values are others.
func (o *Outcome) Origins(old, now *schema.Table) (from []int, permuted bool) {
	from = make([]int, len(now.Columns))
	for i := range now.Columns {
		name := now.Columns[i].Name
		same := columnIndex(old.Columns, name)
		from[i] = same
		if o.Columns == nil || o.From != nil {
			continue
		}
		was := slices.IndexFunc(old.Columns, func(c schema.Column) bool {
			now, ok := o.Columns[strings.ToLower(c.Name)]
			return ok && strings.EqualFold(now, name)
		})
		switch {
		case was == same:
		case same < 0 && columnIndex(now.Columns, old.Columns[was].Name) < 0:
			from[i] = was
		default:
			permuted = true
		}
	}
	return from, permuted
}
