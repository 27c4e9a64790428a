// Package transform holds the built-in transforms and predicates, with Kafka
// Connect's and Debezium's names and keys.
//
// A transform edits the rows of a batch in the batch's own memory. One that
// changes the shape of rows derives a new table once for each table that it
// meets and keeps it, so its cost for a record is that of copying Values.
// Both images of a row are changed alike. Records without rows (OpTruncate,
// OpSchema) get the derived table and are left alone otherwise; so are messages
// (OpMessage), whose topic only may change.
//
// Transforms have no goroutines and are used by one. Faults that concern a
// table's shape are permanent errors; single records do not fail here.
package transform

import (
	"fmt"
	"slices"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// Plugins returns the built-in transforms.
func Plugins() []connect.Plugin {
	return []connect.Plugin{replaceFieldPlugin(), insertFieldPlugin(), regexRouterPlugin(), filterPlugin(), maskFieldPlugin(), unwrapPlugin()}
}

// Predicates returns the built-in predicates.
func Predicates() []connect.Plugin {
	return []connect.Plugin{topicMatchesPlugin(), tombstonePlugin(), headerPlugin()}
}

// sideOption takes the $Value behind a class name. Keys are part of the row
// here, so a transform of the key alone has no meaning.
func sideOption() connect.Option {
	return connect.Option{Name: "side", Type: connect.TypeString, Default: "Value", Importance: connect.Low,
		Doc: "Which side of the record is transformed; set by `$Value` behind the class name. The key is made of the row's key columns and follows it.",
		Check: func(v string) error {
			if v != "Value" {
				return fmt.Errorf("the record's key is made of its row's key columns and cannot be transformed alone; write $Value")
			}
			return nil
		}}
}

// maxDerived bounds how many derived tables are kept; tables change seldom,
// but a process may run for years.
const maxDerived = 4096

// derived keeps, for each input table, what a transform made of it.
type derived[T any] struct {
	last    *schema.Table
	lastVal T
	all     map[*schema.Table]T
	derive  func(*schema.Table) (T, error)
}

func newDerived[T any](derive func(*schema.Table) (T, error)) *derived[T] {
	return &derived[T]{all: map[*schema.Table]T{}, derive: derive}
}

func (d *derived[T]) of(t *schema.Table) (T, error) {
	if t == d.last {
		return d.lastVal, nil
	}
	v, ok := d.all[t]
	if !ok {
		var err error
		if v, err = d.derive(t); err != nil {
			return v, connect.Permanent(err)
		}
		if len(d.all) >= maxDerived {
			clear(d.all)
		}
		d.all[t] = v
	}
	d.last, d.lastVal = t, v
	return v, nil
}

// project returns t with only the columns at keep, in that order and with
// those names. All key columns must stay.
func project(t *schema.Table, keep []int, names []string) (*schema.Table, error) {
	p, err := t.Project(keep)
	if err != nil {
		return nil, err
	}
	n := *p // whose columns are new
	for i := range n.Columns {
		n.Columns[i].Name = names[i]
	}
	return schema.New(&n)
}

// extend returns t with more columns at its end.
func extend(t *schema.Table, more ...schema.Column) (*schema.Table, error) {
	n := *t
	n.Columns = append(slices.Clip(slices.Clone(t.Columns)), more...)
	return schema.New(&n)
}

// extendRow returns row with n more Values in b's memory; nil stays nil.
func extendRow(b *connect.Batch, row schema.Row, n int) schema.Row {
	if row == nil {
		return nil
	}
	r := b.NewRow(len(row) + n)
	copy(r, row)
	return r
}
