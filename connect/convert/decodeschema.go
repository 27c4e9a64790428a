package convert

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// connectSchema is a schema as Kafka Connect's JsonConverter writes it.
type connectSchema struct {
	Type       string            `json:"type"`
	Optional   bool              `json:"optional"`
	Name       string            `json:"name,omitempty"`
	Version    int               `json:"version,omitempty"`
	Doc        string            `json:"doc,omitempty"`
	Default    json.RawMessage   `json:"default,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Items      *connectSchema    `json:"items,omitempty"` // of an array
	Fields     []connectSchema   `json:"fields,omitempty"`
	Field      string            `json:"field,omitempty"`
}

// rowSchema is the schema of a value.
type rowSchema struct {
	name     string
	envelope bool
	fields   []connectSchema
	fixed    *shape            // where the schema carries the table
	made     map[string]*shape // else, by database, table and schema of the key
}

// keySchema is the schema of a key.
type keySchema struct {
	name   string
	fields []connectSchema
	shape  *shape // of the key columns alone
}

// shape is a table and how its columns are read.
type shape struct {
	table   *schema.Table
	columns []readColumn // in the order of the schema's fields
}

type readColumn struct {
	name   []byte // as JSON has it between quotes
	index  int    // in the table
	column *schema.Column
	read   reader
}

// rowSchema returns the schema that head describes.
func (d *decoder) rowSchema(head []byte) (*rowSchema, error) {
	if rs := d.values[string(head)]; rs != nil {
		return rs, nil
	}
	rs, err := d.parseRowSchema(head)
	if err != nil {
		return nil, fmt.Errorf("convert: the schema of a value: %w", err)
	}
	if len(d.values) >= d.max {
		clear(d.values)
	}
	d.values[string(head)] = rs
	return rs, nil
}

func (d *decoder) parseRowSchema(head []byte) (*rowSchema, error) {
	var cs connectSchema
	if err := json.Unmarshal(head, &cs); err != nil {
		return nil, err
	}
	rs, t, err := rowSchemaOf(&cs)
	if err != nil || t == nil {
		return rs, err
	}
	rs.fixed, err = newShape(t, rs.fields)
	return rs, err
}

// rowSchemaOf returns what the schema of a value says, and the table that it
// carries, if it does.
func rowSchemaOf(cs *connectSchema) (*rowSchema, *schema.Table, error) {
	if cs.Type != "struct" {
		return nil, nil, fmt.Errorf("it is a %q, not a struct", cs.Type)
	}
	rs := &rowSchema{name: cs.Name, made: map[string]*shape{}}
	row := cs
	if strings.HasSuffix(cs.Name, ".Envelope") {
		rs.envelope = true
		row = nil
		for i := range cs.Fields {
			if f := &cs.Fields[i]; f.Field == "after" && f.Type == "struct" {
				row = f
			}
		}
		if row == nil {
			return nil, nil, errors.New("the envelope has no struct after")
		}
	}
	rs.fields = row.Fields
	form := row.Parameters[tableParameter]
	if form == "" {
		return rs, nil, nil
	}
	b, err := base64.StdEncoding.DecodeString(form)
	if err != nil {
		return nil, nil, fmt.Errorf("parameter %s: %w", tableParameter, err)
	}
	t, _, err := schema.ParseTable(b)
	if err != nil {
		return nil, nil, fmt.Errorf("parameter %s: %w", tableParameter, err)
	}
	return rs, t, nil
}

// shape returns the table of a message's rows.
func (d *decoder) shape(rs *rowSchema, db, table string, key []byte) (*shape, error) {
	sh := rs.fixed
	if sh == nil {
		var err error
		if sh, err = d.madeShape(rs, db, table, key); err != nil {
			return nil, err
		}
	}
	if name := base(rs.name); d.tables[name] != sh {
		if len(d.tables) >= d.max {
			clear(d.tables)
		}
		d.tables[name] = sh
	}
	return sh, nil
}

// madeShape makes a table up from the schemas of value and key.
func (d *decoder) madeShape(rs *rowSchema, db, table string, key []byte) (*shape, error) {
	var ks *keySchema
	d.buf = append(append(append(append(d.buf[:0], db...), 0), table...), 0)
	if key != nil {
		head, _, err := split(key)
		if err != nil {
			return nil, err
		}
		if ks, err = d.keySchema(head); err != nil {
			return nil, err
		}
		d.buf = append(d.buf, head...)
	}
	if sh := rs.made[string(d.buf)]; sh != nil {
		return sh, nil
	}
	var keys []connectSchema
	if ks != nil {
		keys = ks.fields
	}
	t, err := makeTable(db, table, rs.fields, keys)
	if err != nil {
		return nil, err
	}
	sh, err := newShape(t, rs.fields)
	if err != nil {
		return nil, err
	}
	if len(rs.made) >= d.max {
		clear(rs.made)
	}
	rs.made[string(d.buf)] = sh
	return sh, nil
}

// makeTable makes a table up from the fields of a value and of its key.
func makeTable(db, name string, fields, keys []connectSchema) (*schema.Table, error) {
	t := &schema.Table{Database: db, Name: name, UniqueUnknown: true, Columns: make([]schema.Column, len(fields))}
	for i := range fields {
		f := &fields[i]
		isKey := slices.ContainsFunc(keys, func(k connectSchema) bool { return k.Field == f.Field })
		if err := makeColumn(&t.Columns[i], f, isKey); err != nil {
			return nil, err
		}
	}
	for i := range keys {
		k := t.Column(keys[i].Field)
		if k < 0 {
			return nil, fmt.Errorf("the key has a column %q that the value does not have", keys[i].Field)
		}
		t.Key = append(t.Key, k)
	}
	return schema.New(t)
}

// keySchema returns the schema of a key.
func (d *decoder) keySchema(head []byte) (*keySchema, error) {
	if ks := d.keys[string(head)]; ks != nil {
		return ks, nil
	}
	ks, err := parseKeySchema(head)
	if err != nil {
		return nil, fmt.Errorf("convert: the schema of a key: %w", err)
	}
	if len(d.keys) >= d.max {
		clear(d.keys)
	}
	d.keys[string(head)] = ks
	return ks, nil
}

func parseKeySchema(head []byte) (*keySchema, error) {
	var cs connectSchema
	if err := json.Unmarshal(head, &cs); err != nil {
		return nil, err
	}
	if cs.Type != "struct" {
		return nil, fmt.Errorf("it is a %q, not a struct", cs.Type)
	}
	db, name := tableName(cs.Name)
	t, err := makeTable(db, name, cs.Fields, cs.Fields)
	if err != nil {
		return nil, err
	}
	sh, err := newShape(t, cs.Fields)
	return &keySchema{name: cs.Name, fields: cs.Fields, shape: sh}, err
}

// newShape says how the fields of a schema are read into rows of t.
func newShape(t *schema.Table, fields []connectSchema) (*shape, error) {
	sh := &shape{table: t, columns: make([]readColumn, len(fields))}
	for i := range fields {
		f := &fields[i]
		k := t.Column(f.Field)
		if k < 0 {
			return nil, fmt.Errorf("table %s has no column %q", t, f.Field)
		}
		name := appendString(nil, f.Field, true)
		rc := &sh.columns[i]
		rc.name, rc.index, rc.column = name[1:len(name)-1], k, &t.Columns[k]
		if rc.read = readerOf(f, rc.column); rc.read == nil {
			return nil, fmt.Errorf("column %q: there is no way to read a %s %q into a %s", f.Field, f.Type, f.Name, rc.column.Type)
		}
	}
	return sh, nil
}

// row reads a row; nil gives nil. Columns that are not there are absent.
func (sh *shape) row(dst *connect.Batch, d *decoder, raw []byte) (schema.Row, error) {
	if raw == nil {
		return nil, nil
	}
	row := dst.NewRow(len(sh.table.Columns))
	for i := range row {
		row[i] = schema.MakeAbsent()
	}
	s := scanner{b: raw}
	next := 0
	err := s.object(func(name []byte) error {
		rc := sh.column(name, next)
		if rc == nil {
			return fmt.Errorf("the schema has no column %q", name)
		}
		next++
		if s.null() {
			row[rc.index] = schema.Value{}
			return nil
		}
		v, err := rc.read(dst, d, &s, rc.column)
		if err != nil {
			return fmt.Errorf("column %s: %w", rc.column.Name, err)
		}
		row[rc.index] = v
		return nil
	})
	if err == nil {
		err = s.end()
	}
	return row, err
}

// column finds a column by name: most often the next one.
func (sh *shape) column(name []byte, next int) *readColumn {
	if next < len(sh.columns) && string(sh.columns[next].name) == string(name) {
		return &sh.columns[next]
	}
	for i := range sh.columns {
		if string(sh.columns[i].name) == string(name) {
			return &sh.columns[i]
		}
	}
	return nil
}
