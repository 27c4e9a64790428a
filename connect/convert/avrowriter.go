package convert

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/avro"
)

// avroWriter is a schema that messages were written with, and how they are
// read.
type avroWriter struct {
	id      uint32
	schema  *avro.Schema
	conn    connectSchema
	name    string
	base    string       // of name
	message connect.Kind // of an OpMessage
	// Of values that tell of rows:
	rows   *rowSchema
	row    *avro.Schema          // the record of a row
	parts  []avroPart            // of an envelope
	origin []avroPart            // of its source
	fixed  *avroShape            // where the schema carries the table
	shapes map[string]*avroShape // else, by database, table and schema of the key
	fault  error                 // why no row can be read
	// Of keys: how they are read, by table; nil stands for the key's own.
	keys map[*schema.Table]*avroShape
}

// avroPart is a field of an envelope or of a source.
type avroPart struct {
	name string
	role partRole
	typ  *avro.Schema
	null int          // which type of a union is null; -1: there is none
	of   *avro.Schema // but for null
}

type partRole uint8

const (
	partOther partRole = iota
	partBefore
	partAfter
	partSource
	partTransaction
	partOp
	partMillis
	partMicros
	partSnapshot
	partDB
	partTable
	partServer
	partGTID
	partFile
	partPos
	partRow
	partThread
	partQuery
)

// partKinds are the parts, and the kinds of Avro that they may have.
type partKinds map[string]struct {
	role  partRole
	kinds []avro.Kind
}

var (
	envelopeParts = partKinds{"before": {partBefore, records}, "after": {partAfter, records}, "source": {partSource, records},
		"transaction": {partTransaction, records}, "op": {partOp, texts}}
	sourceParts = partKinds{"ts_ms": {partMillis, numbers}, "ts_us": {partMicros, numbers}, "snapshot": {partSnapshot, texts}, "db": {partDB, texts},
		"table": {partTable, texts}, "server_id": {partServer, numbers}, "gtid": {partGTID, texts}, "file": {partFile, texts}, "pos": {partPos, numbers},
		"row": {partRow, numbers}, "thread": {partThread, numbers}, "query": {partQuery, texts}}

	records = []avro.Kind{avro.Record}
	texts   = []avro.Kind{avro.String}
	numbers = []avro.Kind{avro.Int, avro.Long}
)

// kindsByName are the kinds of messages by the names of their values' schemas.
var kindsByName = func() map[string]connect.Kind {
	kinds := map[string]connect.Kind{}
	for k, s := range schemasOfMessages {
		var c connectSchema
		if err := json.Unmarshal([]byte(s.value), &c); err != nil {
			panic(err) // a constant
		}
		kinds[c.Name] = k
	}
	return kinds
}()

// newAvroWriter looks at what a schema is.
func newAvroWriter(id uint32, s *avro.Schema) *avroWriter {
	w := &avroWriter{id: id, schema: s, conn: connectOf(s), shapes: map[string]*avroShape{}, keys: map[*schema.Table]*avroShape{}}
	w.name = w.conn.Name
	w.base = base(w.name)
	if w.message = kindsByName[w.name]; w.message == "" {
		w.fault = w.lookAtRows()
	}
	return w
}

func (w *avroWriter) lookAtRows() (err error) {
	var t *schema.Table
	if w.rows, t, err = rowSchemaOf(&w.conn); err != nil {
		return fmt.Errorf("it is no value of a row: %w", err)
	}
	w.row = w.schema
	if w.rows.envelope {
		if err := w.lookAtEnvelope(); err != nil {
			return err
		}
	}
	if t != nil {
		w.fixed, err = newAvroShape(t, w.row, w.rows.fields)
	}
	return err
}

func (w *avroWriter) lookAtEnvelope() (err error) {
	if w.parts, err = partsOf(w.schema, envelopeParts); err != nil {
		return err
	}
	w.row = nil
	for i := range w.parts {
		switch p := &w.parts[i]; p.role {
		case partAfter:
			w.row = p.of
		case partSource:
			if w.origin, err = partsOf(p.of, sourceParts); err != nil {
				return err
			}
		}
	}
	if w.row == nil {
		return errors.New("the envelope has no record after")
	}
	for i := range w.parts {
		if p := &w.parts[i]; p.role == partBefore && p.of != w.row {
			return errors.New("before and after of the envelope are of two types")
		}
	}
	return nil
}

// partsOf returns the fields of a record, those that are known with what they
// are.
func partsOf(s *avro.Schema, known partKinds) ([]avroPart, error) {
	parts := make([]avroPart, len(s.Fields))
	for i := range s.Fields {
		f := &s.Fields[i]
		p := &parts[i]
		*p = avroPart{name: f.Name, typ: f.Type, of: f.Type, null: -1}
		if of, ok := nullable(f.Type); ok {
			p.of, p.null = of, nullBranch(f.Type)
		}
		k, ok := known[f.Name]
		if !ok {
			continue
		}
		p.role = k.role
		if !hasKind(k.kinds, p.of.Kind) {
			return nil, fmt.Errorf("field %s of %s is a %s, not a %s", f.Name, s.Name, p.of.Kind, k.kinds[0])
		}
	}
	return parts, nil
}

func hasKind(kinds []avro.Kind, kind avro.Kind) bool {
	for _, k := range kinds {
		if k == kind {
			return true
		}
	}
	return false
}

// made returns the shape of a table that is made up from the schemas of value
// and key.
func (d *avroDecoder) made(w *avroWriter, db, table string, key []byte) (*avroShape, error) {
	d.buf = append(append(append(append(d.buf[:0], db...), 0), table...), 0)
	var keys []connectSchema
	if key != nil {
		kw, err := d.open(key)
		if err != nil {
			return nil, fmt.Errorf("its key: %w", err)
		}
		if kw.schema.Kind != avro.Record {
			return nil, fmt.Errorf("its key is a %s, not a record", kw.schema.Kind)
		}
		keys = kw.conn.Fields
		d.buf = append(d.buf, key[1:avroHead]...)
	}
	if sh := w.shapes[string(d.buf)]; sh != nil {
		return sh, nil
	}
	t, err := makeTable(db, table, w.rows.fields, keys)
	if err != nil {
		return nil, err
	}
	sh, err := newAvroShape(t, w.row, w.rows.fields)
	if err != nil {
		return nil, err
	}
	if len(w.shapes) >= d.max {
		clear(w.shapes)
	}
	w.shapes[string(d.buf)] = sh
	return sh, nil
}

// keyShape returns how keys of schema w are read into rows of whole or, if that
// is nil, of a table that has nothing but the key.
func (w *avroWriter) keyShape(whole *schema.Table, max int) (*avroShape, error) {
	if sh := w.keys[whole]; sh != nil {
		return sh, nil
	}
	if w.schema.Kind != avro.Record {
		return nil, fmt.Errorf("it is a %s, not a record", w.schema.Kind)
	}
	t := whole
	if t == nil {
		db, name := tableName(w.name)
		var err error
		if t, err = makeTable(db, name, w.conn.Fields, w.conn.Fields); err != nil {
			return nil, err
		}
	}
	sh, err := newAvroShape(t, w.schema, w.conn.Fields)
	if err != nil {
		return nil, err
	}
	if len(w.keys) >= max {
		clear(w.keys)
	}
	w.keys[whole] = sh
	return sh, nil
}

// avroShape is a table and how its columns are read.
type avroShape struct {
	table   *schema.Table
	columns []avroColumn
	partial bool // not all columns of the table are read
}

type avroColumn struct {
	index  int // in the table
	column *schema.Column
	typ    *avro.Schema
	null   int // as in avroPart
	read   avroReader
}

// newAvroShape says how the fields of a record are read into rows of t.
func newAvroShape(t *schema.Table, s *avro.Schema, fields []connectSchema) (*avroShape, error) {
	sh := &avroShape{table: t, columns: make([]avroColumn, len(fields)), partial: len(fields) < len(t.Columns)}
	for i := range fields {
		f := &fields[i]
		k := t.Column(f.Field)
		if k < 0 {
			return nil, fmt.Errorf("table %s has no column %q", t, f.Field)
		}
		ac := &sh.columns[i]
		*ac = avroColumn{index: k, column: &t.Columns[k], typ: s.Fields[i].Type, null: -1}
		if of, ok := nullable(ac.typ); ok {
			ac.null, ac.typ = nullBranch(ac.typ), of
		}
		if ac.read = avroReaderOf(f, ac.typ, ac.column); ac.read == nil {
			return nil, fmt.Errorf("column %q: there is no way to read a %s %q into a %s", f.Field, f.Type, f.Name, ac.column.Type)
		}
	}
	return sh, nil
}

// row reads a row.
func (sh *avroShape) row(dst *connect.Batch, d *avroDecoder, c *avro.Cursor) (schema.Row, error) {
	row := dst.NewRow(len(sh.table.Columns))
	if sh.partial {
		for i := range row {
			row[i] = schema.MakeAbsent()
		}
	}
	for i := range sh.columns {
		ac := &sh.columns[i]
		if ac.null >= 0 {
			n, err := c.Long()
			if err == nil && n != 0 && n != 1 {
				err = fmt.Errorf("the value is of type %d of a union that has 2", n)
			}
			if err != nil {
				return nil, fmt.Errorf("column %s: %w", ac.column.Name, err)
			}
			if n == int64(ac.null) {
				row[ac.index] = schema.Value{}
				continue
			}
		}
		v, err := ac.read(dst, d, c, ac)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", ac.column.Name, err)
		}
		row[ac.index] = v
	}
	return row, nil
}
