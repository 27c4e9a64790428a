package transform

import (
	"context"
	"fmt"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

func insertFieldPlugin() connect.Plugin {
	field := func(name, what string) connect.Option {
		return connect.Option{Name: name, Type: connect.TypeString, Importance: connect.Medium,
			Doc: "Column for " + what + ". With `!` behind it the column is NOT NULL, with `?` or nothing it may be NULL."}
	}
	return connect.Plugin{
		Name: "InsertField", Aliases: []string{"org.apache.kafka.connect.transforms.InsertField"},
		Doc: "Adds columns with facts about the record, or a fixed value.",
		Options: []connect.Option{
			field("topic.field", "the topic's name"), field("partition.field", "the partition's number"),
			field("offset.field", "the offset of the record's message; sinks only"), field("timestamp.field", "the time of the commit at the source"),
			field("static.field", "`static.value`"),
			{Name: "static.value", Type: connect.TypeString, Importance: connect.Medium, Doc: "The fixed value, a string."},
			sideOption(),
		},
		Validate: func(cfg connect.Config) []connect.Fault {
			if (cfg.String("static.field") == "") != (cfg.String("static.value") == "") {
				return []connect.Fault{{Key: "static.field", Text: "give both static.field and static.value, or neither"}}
			}
			return nil
		},
		Transform: func(cfg connect.Config, _ connect.Env) (connect.Transform, error) { return newInsertField(cfg), nil },
	}
}

// inserted is one column to add, and what fills it.
type inserted struct {
	column schema.Column
	value  func(*connect.Record) schema.Value
}

type insertField struct {
	columns []inserted
	tables  *derived[*schema.Table]
}

func newInsertField(cfg connect.Config) *insertField {
	f := &insertField{}
	add := func(option string, c schema.Column, value func(*connect.Record) schema.Value) {
		name := cfg.String(option)
		if name == "" {
			return
		}
		c.Nullable = !strings.HasSuffix(name, "!")
		c.Name = strings.TrimRight(name, "!?")
		f.columns = append(f.columns, inserted{c, value})
	}
	text := schema.Column{Type: schema.TypeVarchar, Length: 255, Charset: "utf8mb4", Collation: "utf8mb4_bin"}
	add("topic.field", text, func(r *connect.Record) schema.Value { return schema.MakeString(r.Topic) })
	add("partition.field", schema.Column{Type: schema.TypeInt}, func(r *connect.Record) schema.Value { return schema.MakeInt(int64(r.Partition)) })
	add("offset.field", schema.Column{Type: schema.TypeBigInt}, func(r *connect.Record) schema.Value { return schema.MakeInt(r.Offset) })
	add("timestamp.field", schema.Column{Type: schema.TypeTimestamp, Scale: 6}, func(r *connect.Record) schema.Value { return schema.MakeTimestamp(r.Time, 6) })
	static := cfg.String("static.value")
	text.Length = max(255, len(static))
	add("static.field", text, func(*connect.Record) schema.Value { return schema.MakeString(static) })
	f.tables = newDerived(f.derive)
	return f
}

func (f *insertField) derive(t *schema.Table) (*schema.Table, error) {
	more := make([]schema.Column, len(f.columns))
	for i := range f.columns {
		more[i] = f.columns[i].column
		if t.Column(more[i].Name) >= 0 {
			return nil, fmt.Errorf("table %s has a column %s already; choose another name for the one to insert", t, more[i].Name)
		}
	}
	return extend(t, more...)
}

// Apply implements connect.Transform.
func (f *insertField) Apply(_ context.Context, b *connect.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		if r.Op == connect.OpMessage {
			continue
		}
		t, err := f.tables.of(r.Table)
		if err != nil {
			return err
		}
		n := len(r.Table.Columns)
		r.Table = t
		r.Before, r.After = f.row(b, r, r.Before, n), f.row(b, r, r.After, n)
	}
	return nil
}

func (f *insertField) row(b *connect.Batch, r *connect.Record, row schema.Row, n int) schema.Row {
	row = extendRow(b, row, len(f.columns))
	if row != nil {
		for i := range f.columns {
			row[n+i] = f.columns[i].value(r)
		}
	}
	return row
}
