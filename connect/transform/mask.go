package transform

import (
	"context"
	"fmt"
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

func maskFieldPlugin() connect.Plugin {
	return connect.Plugin{
		Name: "MaskField", Aliases: []string{"org.apache.kafka.connect.transforms.MaskField"},
		Doc: "Replaces the values of columns by an empty or a given one. NULL stays NULL.",
		Options: []connect.Option{
			{Name: "fields", Type: connect.TypeList, Required: true, Importance: connect.High, Doc: "The columns to mask. Names that a table does not have are passed over."},
			{Name: "replacement", Type: connect.TypeString, Importance: connect.Low,
				Doc: "The value to write instead, into text and number columns alike. Without it: the empty string, zero, the zero date, `null` in JSON."},
			sideOption(),
		},
		Transform: func(cfg connect.Config, _ connect.Env) (connect.Transform, error) {
			f := &maskField{fields: cfg.List("fields"), replacement: cfg.String("replacement"), given: cfg.Given("replacement")}
			f.tables = newDerived(f.derive)
			return f, nil
		},
	}
}

type maskField struct {
	fields      []string
	replacement string
	given       bool
	tables      *derived[[]masked]
}

// masked is a column to mask and what to write there.
type masked struct {
	column int
	value  schema.Value
}

func (f *maskField) derive(t *schema.Table) ([]masked, error) {
	var list []masked
	for _, name := range f.fields {
		i := t.Column(name)
		if i < 0 {
			continue
		}
		if t.IsKey(i) {
			return nil, fmt.Errorf("table %s: column %s belongs to the key; masked, all rows would be one", t, name)
		}
		v, err := f.mask(&t.Columns[i])
		if err != nil {
			return nil, fmt.Errorf("table %s: column %s: %w", t, name, err)
		}
		list = append(list, masked{i, v})
	}
	return list, nil
}

func (f *maskField) mask(c *schema.Column) (schema.Value, error) {
	if !f.given {
		return empty(c)
	}
	switch {
	case c.Type.IsText():
		return schema.MakeString(f.replacement), nil
	case c.Type.IsInteger() && c.Unsigned:
		n, err := strconv.ParseUint(f.replacement, 10, 64)
		return schema.MakeUint(n), err
	case c.Type.IsInteger():
		n, err := strconv.ParseInt(f.replacement, 10, 64)
		return schema.MakeInt(n), err
	case c.Type == schema.TypeDouble:
		x, err := strconv.ParseFloat(f.replacement, 64)
		return schema.MakeFloat64(x), err
	case c.Type == schema.TypeFloat:
		x, err := strconv.ParseFloat(f.replacement, 32)
		return schema.MakeFloat32(float32(x)), err
	case c.Type == schema.TypeDecimal:
		return schema.ParseDecimal([]byte(f.replacement), c.Precision, c.Scale)
	}
	return schema.Value{}, fmt.Errorf("%s has no replacement %q; leave replacement out", c.Type, f.replacement)
}

// empty returns what stands for nothing in a column.
func empty(c *schema.Column) (schema.Value, error) {
	switch t := c.Type; {
	case t.IsText():
		return schema.MakeString(""), nil
	case t.IsBinary():
		return schema.MakeBytes(schema.Bytes, make([]byte, fixedLength(c))), nil
	case t.IsInteger() && c.Unsigned:
		return schema.MakeUint(0), nil
	case t.IsInteger():
		return schema.MakeInt(0), nil
	case t == schema.TypeDecimal:
		return schema.ParseDecimal(schema.MakeDecimal(0, c.Scale).AppendDecimal(nil), c.Precision, c.Scale)
	}
	switch c.Type {
	case schema.TypeFloat:
		return schema.MakeFloat32(0), nil
	case schema.TypeDouble:
		return schema.MakeFloat64(0), nil
	case schema.TypeDate:
		return schema.MakeDate(0, 0, 0), nil
	case schema.TypeDateTime:
		return schema.MakeDateTime(schema.Civil{}, c.Scale), nil
	case schema.TypeTimestamp:
		return schema.MakeTimestamp(0, c.Scale), nil
	case schema.TypeTime:
		return schema.MakeTime(0, c.Scale), nil
	case schema.TypeYear:
		return schema.MakeNum(schema.Year, 0), nil
	case schema.TypeBit:
		return schema.MakeNum(schema.Bit, 0), nil
	case schema.TypeSet:
		return schema.MakeNum(schema.Set, 0), nil
	case schema.TypeEnum:
		return schema.MakeNum(schema.Enum, 1), nil
	case schema.TypeJSON:
		return schema.MakeBytes(schema.JSON, []byte("null")), nil
	}
	return schema.Value{}, fmt.Errorf("%s has no value that stands for nothing", c.Type)
}

func fixedLength(c *schema.Column) int {
	if c.Type == schema.TypeBinary {
		return c.Length
	}
	return 0
}

// Apply implements connect.Transform.
func (f *maskField) Apply(_ context.Context, b *connect.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		if r.Op == connect.OpMessage {
			continue
		}
		list, err := f.tables.of(r.Table)
		if err != nil {
			return err
		}
		for _, m := range list {
			put(r.Before, m)
			put(r.After, m)
		}
	}
	return nil
}

func put(row schema.Row, m masked) {
	if row != nil && !row[m.column].IsNull() && row[m.column].Kind() != schema.Absent {
		row[m.column] = m.value
	}
}
