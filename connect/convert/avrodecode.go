package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/registry"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/avro"
)

// lookupTimeout is how long a registry may take to return a schema.
const lookupTimeout = 60 * time.Second

// avroDecoder reads messages by the schema that each was written with.
type avroDecoder struct {
	decoder
	registry registry.Registry
	writers  map[uint32]*avroWriter
	last     *avroWriter
	cursor   avro.Cursor           // in the key or value that is being read
	whole    map[string]*avroShape // the tables seen last, by the base of their schemas' names
}

func newAvroDecoder(binary BinaryMode, max int, reg registry.Registry) *avroDecoder {
	return &avroDecoder{decoder: newDecoder(binary, max), registry: reg, writers: map[uint32]*avroWriter{}, whole: map[string]*avroShape{}}
}

// decode implements messageReader.
func (d *avroDecoder) decode(dst *connect.Batch, m *connect.Message) error {
	if m.Value == nil {
		if m.Count == 0 || m.Key == nil {
			return nil // it follows the delete that says the same
		}
		return d.tombstone(dst, m)
	}
	w, err := d.open(m.Value)
	if err != nil {
		return err
	}
	d.cursor = avro.Cursor{B: m.Value, Pos: avroHead}
	c := &d.cursor
	switch {
	case w.message != "":
		err = d.message(dst, m, w, c)
	case w.fault != nil:
		err = w.fault
	case w.rows.envelope:
		err = d.envelope(dst, m, w, c)
	default:
		err = d.flat(dst, m, w, c)
	}
	if err == nil && c.Pos < len(c.B) {
		err = fmt.Errorf("%d bytes follow the value", len(c.B)-c.Pos)
	}
	if err != nil {
		return fmt.Errorf("convert: a message with schema %d, %s: %w", w.id, w.name, err)
	}
	return nil
}

var errNoAvro = errors.New("convert: the message does not begin with a zero and the id of a schema, as Avro with a registry does; " +
	"it was written with another value.converter, or by a program that uses no registry")

// open returns the schema of a key or value.
func (d *avroDecoder) open(b []byte) (*avroWriter, error) {
	if len(b) < avroHead || b[0] != 0 {
		return nil, errNoAvro
	}
	id := binary.BigEndian.Uint32(b[1:])
	if d.last == nil || d.last.id != id {
		w := d.writers[id]
		if w == nil {
			var err error
			if w, err = d.writer(id); err != nil {
				return nil, err
			}
		}
		d.last = w
	}
	return d.last, nil
}

// writer asks the registry for a schema.
func (d *avroDecoder) writer(id uint32) (*avroWriter, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	text, err := d.registry.Schema(ctx, id)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, fmt.Errorf("convert: the message is of schema %d, which the registry does not have: it comes from elsewhere, or the registry is another: %w", id, err)
	} else if err != nil {
		return nil, fmt.Errorf("convert: schema %d: %w", id, err)
	}
	s, err := avro.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("convert: schema %d: %w", id, err)
	}
	if len(d.writers) >= d.max {
		clear(d.writers)
	}
	w := newAvroWriter(id, s)
	d.writers[id] = w
	return w, nil
}

func (d *avroDecoder) envelope(dst *connect.Batch, m *connect.Message, w *avroWriter, c *avro.Cursor) error {
	r := dst.Add()
	*r = connect.Record{Topic: m.Topic, Partition: m.Partition, Time: m.Time}
	src := source{rec: r}
	sh := w.fixed
	if sh == nil { // which table it is stands behind the rows
		ahead := *c
		if err := d.parts(dst, w, &ahead, &src, nil); err != nil {
			return err
		}
		var err error
		if sh, err = d.made(w, src.db, src.table, m.Key); err != nil {
			return err
		}
		src = source{rec: r}
	}
	d.remember(w, sh)
	r.Table = sh.table
	if err := d.parts(dst, w, c, &src, sh); err != nil {
		return err
	}
	src.setOrigin(dst)
	after := r.Op == connect.OpRead || r.Op == connect.OpInsert || r.Op == connect.OpUpdate
	if r.Op == connect.OpDelete && r.Before == nil || after && r.After == nil {
		return fmt.Errorf("op %c lacks its row", r.Op)
	}
	place := r.Headers // what parts has found in the envelope
	if err := d.headers(dst, r, m); err != nil || len(place) == 0 {
		return err
	}
	if len(r.Headers) == 0 {
		r.Headers = place
		return nil
	}
	all := dst.NewHeaders(len(r.Headers) + 1)
	all[copy(all, r.Headers)] = place[0]
	r.Headers = all
	return nil
}

// parts reads the fields of an envelope into src and its record. Without a
// shape it passes over the rows.
func (d *avroDecoder) parts(dst *connect.Batch, w *avroWriter, c *avro.Cursor, src *source, sh *avroShape) (err error) {
	r := src.rec
	r.Op = 0
	for i := range w.parts {
		p := &w.parts[i]
		switch {
		case p.role == partSource:
			err = d.source(dst, w, c, src, p)
		case sh == nil || p.role == partOther:
			err = c.Skip(p.typ)
		case p.role == partBefore:
			r.Before, err = d.optionalRow(dst, sh, c, p)
		case p.role == partAfter:
			r.After, err = d.optionalRow(dst, sh, c, p)
		case p.role == partOp:
			r.Op, err = readOp(c, p)
		case p.role == partTransaction:
			err = d.transaction(dst, c, r, p)
		}
		if err != nil {
			return fmt.Errorf("field %s: %w", p.name, err)
		}
	}
	if sh != nil && r.Op == 0 {
		return errors.New("the envelope has no op")
	}
	return nil
}

// there reads whether a value that may be null is there.
func (p *avroPart) there(c *avro.Cursor) (bool, error) {
	if p.null < 0 {
		return true, nil
	}
	n, err := c.Long()
	if err == nil && n != 0 && n != 1 {
		err = fmt.Errorf("the value is of type %d of a union that has 2", n)
	}
	return n != int64(p.null), err
}

func (d *avroDecoder) optionalRow(dst *connect.Batch, sh *avroShape, c *avro.Cursor, p *avroPart) (schema.Row, error) {
	there, err := p.there(c)
	if !there || err != nil {
		return nil, err
	}
	return sh.row(dst, d, c)
}

func readOp(c *avro.Cursor, p *avroPart) (connect.Op, error) {
	there, err := p.there(c)
	if !there || err != nil {
		return 0, err
	}
	b, err := c.Bytes()
	if err != nil {
		return 0, err
	}
	if len(b) == 1 {
		switch b[0] {
		case 'c', 'r', 'u', 'd', 't':
			return connect.Op(b[0]), nil
		}
	}
	return 0, fmt.Errorf("%q is not one of c, r, u, d, t", b)
}

func (d *avroDecoder) transaction(dst *connect.Batch, c *avro.Cursor, r *connect.Record, p *avroPart) error {
	there, err := p.there(c)
	if !there || err != nil {
		return err
	}
	if d.buf, err = appendAsJSON(d.buf[:0], p.of, c, 0); err != nil {
		return err
	}
	v := dst.Alloc(len(d.buf))
	copy(v, d.buf)
	r.Headers = dst.NewHeaders(1)
	r.Headers[0] = connect.Header{Key: connect.HeaderTransaction, Value: v}
	return nil
}

func (d *avroDecoder) flat(dst *connect.Batch, m *connect.Message, w *avroWriter, c *avro.Cursor) error {
	r := dst.Add()
	*r = connect.Record{Topic: m.Topic, Partition: m.Partition, Op: connect.OpRead, Time: m.Time, Flags: connect.Unwrapped}
	sh := w.fixed
	if sh == nil {
		db, table := tableName(w.rows.name)
		var err error
		if sh, err = d.made(w, db, table, m.Key); err != nil {
			return err
		}
	}
	d.remember(w, sh)
	r.Table = sh.table
	if err := d.headers(dst, r, m); err != nil {
		return err
	}
	var err error
	r.After, err = sh.row(dst, d, c)
	return err
}

// remember keeps the shape of a table for the tombstones of its rows.
func (d *avroDecoder) remember(w *avroWriter, sh *avroShape) {
	if d.whole[w.base] != sh {
		if len(d.whole) >= d.max {
			clear(d.whole)
		}
		d.whole[w.base] = sh
	}
}

// tombstone makes a delete of a message that has a key and no value.
func (d *avroDecoder) tombstone(dst *connect.Batch, m *connect.Message) error {
	w, err := d.open(m.Key)
	if err != nil {
		return err
	}
	d.cursor = avro.Cursor{B: m.Key, Pos: avroHead}
	c := &d.cursor
	fail := func(err error) error {
		return fmt.Errorf("convert: a key with schema %d, %s: %w", w.id, w.name, err)
	}
	var whole *schema.Table
	if sh := d.whole[w.base]; sh != nil {
		whole = sh.table
	}
	sh, err := w.keyShape(whole, d.max)
	if err != nil {
		return fail(err)
	}
	r := dst.Add()
	*r = connect.Record{Topic: m.Topic, Partition: m.Partition, Op: connect.OpDelete, Time: m.Time, Flags: connect.Unwrapped, Table: sh.table}
	if r.Before, err = sh.row(dst, d, c); err != nil {
		return fail(err)
	}
	if c.Pos < len(c.B) {
		return fail(fmt.Errorf("%d bytes follow the key", len(c.B)-c.Pos))
	}
	for _, k := range sh.table.Key {
		if kind := r.Before[k].Kind(); kind == schema.Absent || kind == schema.Null {
			return fail(fmt.Errorf("it lacks column %s", sh.table.Columns[k].Name))
		}
	}
	return d.headers(dst, r, m)
}

// message reads an OpMessage back.
func (d *avroDecoder) message(dst *connect.Batch, m *connect.Message, w *avroWriter, c *avro.Cursor) error {
	value, err := appendAsJSON(nil, w.schema, c, 0)
	if err != nil {
		return err
	}
	var key []byte
	if m.Key != nil {
		kw, err := d.open(m.Key)
		if err != nil {
			return err
		}
		kc := avro.Cursor{B: m.Key, Pos: avroHead}
		if key, err = appendAsJSON(nil, kw.schema, &kc, 0); err != nil {
			return fmt.Errorf("its key: %w", err)
		}
	}
	r := dst.Add()
	*r = connect.Record{Topic: m.Topic, Partition: m.Partition, Time: m.Time}
	r.SetMessage(dst, w.message, key, value)
	return d.headers(dst, r, m)
}
