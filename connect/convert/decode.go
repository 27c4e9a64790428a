package convert

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// decoder reads messages that have schemas.
type decoder struct {
	binary BinaryMode
	max    int                   // schemas to keep
	values map[string]*rowSchema // by their JSON
	keys   map[string]*keySchema // likewise
	// tables are the last ones seen, by prefix.database.table: what the key of
	// a tombstone is a key of.
	tables  map[string]*shape
	strings map[string]string
	buf     []byte
	// prefix is what the last value with a schema had before its payload, and
	// prefixOf the schema in there. Neighbours have the same, mostly.
	prefix   []byte
	prefixOf *rowSchema
}

func newDecoder(binary BinaryMode, max int) decoder {
	return decoder{binary: binary, max: max, values: map[string]*rowSchema{}, keys: map[string]*keySchema{},
		tables: map[string]*shape{}, strings: map[string]string{}}
}

var errNoSchema = errors.New("convert: the message has no schema, and without one the types of its values are not known; " +
	"set value.converter.schemas.enable=true where it is written, or use value.converter=frame at both ends")

// decode appends the record of one message.
func (d *decoder) decode(dst *connect.Batch, m *connect.Message) error {
	if m.Value == nil {
		if m.Count == 0 || m.Key == nil {
			return nil // it follows the delete that says the same
		}
		return d.tombstone(dst, m)
	}
	if payload, ok := d.known(m.Value); ok {
		return d.value(dst, m, d.prefixOf, payload)
	}
	head, payload, err := split(m.Value)
	if err != nil {
		return err
	}
	if kind, ok := kindsOfMessages[string(head)]; ok {
		return d.message(dst, m, kind, payload)
	}
	rs, err := d.rowSchema(head)
	if err != nil {
		return err
	}
	if cap(head) > cap(payload) { // the schema stands first
		d.prefix = append(d.prefix[:0], m.Value[:cap(m.Value)-cap(payload)]...)
		d.prefixOf = rs
	}
	return d.value(dst, m, rs, payload)
}

// known returns the payload of a value that begins with the prefix and has
// nothing behind the payload.
func (d *decoder) known(value []byte) (payload []byte, ok bool) {
	if d.prefixOf == nil || !bytes.HasPrefix(value, d.prefix) {
		return nil, false
	}
	s := scanner{b: value, pos: len(d.prefix)}
	payload, err := s.raw()
	if err != nil || s.take('}') != nil || s.end() != nil {
		return nil, false // split says why
	}
	return payload, true
}

// value appends the record that a payload tells of.
func (d *decoder) value(dst *connect.Batch, m *connect.Message, rs *rowSchema, payload []byte) (err error) {
	if rs.envelope {
		err = d.envelope(dst, m, rs, payload)
	} else {
		err = d.flat(dst, m, rs, payload)
	}
	if err != nil {
		return fmt.Errorf("convert: a message with schema %s: %w", rs.name, err)
	}
	return nil
}

// split returns the two parts of a message.
func split(b []byte) (head, payload []byte, err error) {
	s := scanner{b: b}
	if s.peek() != '{' {
		return nil, nil, errNoSchema
	}
	err = s.object(func(name []byte) (err error) {
		switch string(name) {
		case "schema":
			head, err = s.raw()
		case "payload":
			payload, err = s.raw()
		default:
			return errNoSchema
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	switch {
	case errors.Is(err, errNoSchema):
		return nil, nil, err
	case err != nil:
		return nil, nil, fmt.Errorf("convert: the message is not JSON: %w", err)
	case len(head) == 0 || head[0] != '{' || payload == nil:
		return nil, nil, errNoSchema
	}
	return head, payload, nil
}

// change is the payload of an envelope, taken apart.
type change struct {
	before, after, source, transaction []byte // nil: null or not there
	op                                 connect.Op
}

func (d *decoder) envelope(dst *connect.Batch, m *connect.Message, rs *rowSchema, payload []byte) error {
	c, err := parseChange(payload)
	if err != nil {
		return err
	}
	r := dst.Add()
	*r = connect.Record{Topic: m.Topic, Partition: m.Partition, Op: c.op, Time: m.Time}
	src := source{rec: r}
	if c.source != nil {
		if err := d.source(dst, &src, c.source); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	sh, err := d.shape(rs, src.db, src.table, m.Key)
	if err != nil {
		return err
	}
	r.Table = sh.table
	if r.Before, err = sh.row(dst, d, c.before); err != nil {
		return fmt.Errorf("before: %w", err)
	}
	if r.After, err = sh.row(dst, d, c.after); err != nil {
		return fmt.Errorf("after: %w", err)
	}
	if err := c.check(); err != nil {
		return err
	}
	if err := d.headers(dst, r, m); err != nil || c.transaction == nil {
		return err
	}
	all := dst.NewHeaders(len(r.Headers) + 1)
	all[copy(all, r.Headers)] = connect.Header{Key: connect.HeaderTransaction, Value: c.transaction}
	r.Headers = all
	return nil
}

// check tells whether the rows that the op needs are there.
func (c *change) check() error {
	before, after := false, false
	switch c.op {
	case connect.OpRead, connect.OpInsert, connect.OpUpdate:
		after = true
	case connect.OpDelete:
		before = true
	}
	if before && c.before == nil || after && c.after == nil {
		return fmt.Errorf("op %c lacks its row", c.op)
	}
	return nil
}

func parseChange(payload []byte) (c change, err error) {
	s := scanner{b: payload}
	if s.peek() != '{' {
		return c, errors.New("the payload is not an object")
	}
	err = s.object(func(name []byte) error {
		v, err := s.raw()
		if err != nil {
			return err
		}
		some := v
		if string(v) == "null" {
			some = nil
		}
		switch string(name) {
		case "before":
			c.before = some
		case "after":
			c.after = some
		case "source":
			c.source = some
		case "transaction":
			c.transaction = some
		case "op":
			if len(v) != 3 || bytes.IndexByte([]byte("crudt"), v[1]) < 0 {
				return fmt.Errorf("op %s is not one of c, r, u, d, t", v)
			}
			c.op = connect.Op(v[1])
		}
		return nil
	})
	if err == nil && c.op == 0 {
		err = errors.New("the envelope has no op")
	}
	return c, err
}

func (d *decoder) flat(dst *connect.Batch, m *connect.Message, rs *rowSchema, payload []byte) error {
	r := dst.Add()
	*r = connect.Record{Topic: m.Topic, Partition: m.Partition, Op: connect.OpRead, Time: m.Time, Flags: connect.Unwrapped}
	db, table := tableName(rs.name)
	sh, err := d.shape(rs, db, table, m.Key)
	if err != nil {
		return err
	}
	r.Table = sh.table
	if err := d.headers(dst, r, m); err != nil {
		return err
	}
	if string(payload) == "null" {
		return errors.New("the payload is null")
	}
	r.After, err = sh.row(dst, d, payload)
	return err
}

// tombstone makes a delete of a message that has a key and no value.
func (d *decoder) tombstone(dst *connect.Batch, m *connect.Message) error {
	head, payload, err := split(m.Key)
	if err != nil {
		return err
	}
	ks, err := d.keySchema(head)
	if err != nil {
		return err
	}
	sh := ks.shape
	if full := d.tables[base(ks.name)]; full != nil {
		sh = full
	}
	r := dst.Add()
	*r = connect.Record{Topic: m.Topic, Partition: m.Partition, Op: connect.OpDelete, Time: m.Time, Flags: connect.Unwrapped, Table: sh.table}
	if r.Before, err = sh.row(dst, d, payload); err != nil {
		return fmt.Errorf("convert: a key with schema %s: %w", ks.name, err)
	}
	for _, k := range sh.table.Key {
		if kind := r.Before[k].Kind(); kind == schema.Absent || kind == schema.Null {
			return fmt.Errorf("convert: a key with schema %s lacks column %s", ks.name, sh.table.Columns[k].Name)
		}
	}
	return d.headers(dst, r, m)
}

// headers takes what Encode put into headers, and leaves the others to r.
func (d *decoder) headers(dst *connect.Batch, r *connect.Record, m *connect.Message) error {
	rest := 0
	for _, h := range m.Headers {
		switch h.Key {
		case headerSeq:
			n, err := strconv.ParseUint(text(h.Value), 10, 64)
			if err != nil {
				return fmt.Errorf("header %s is %q, which is not a number", headerSeq, h.Value)
			}
			r.Seq = n
		case headerTxEnd:
			r.Flags |= connect.TxEnd
		case headerNewKey, headerOldKey:
			r.Flags |= connect.KeyMoved
		case headerOp:
			if len(h.Value) != 1 || !connect.Op(h.Value[0]).HasRow() {
				return fmt.Errorf("header %s is %q, which is no op of a row", headerOp, h.Value)
			}
			if r.Flags&connect.Unwrapped != 0 && (connect.Op(h.Value[0]) == connect.OpDelete || r.Op != connect.OpDelete) {
				r.Op = connect.Op(h.Value[0])
			}
		default:
			rest++
		}
	}
	if rest == 0 {
		return nil
	}
	r.Headers = dst.NewHeaders(rest)[:0]
	for _, h := range m.Headers {
		switch h.Key {
		case headerSeq, headerTxEnd, headerNewKey, headerOldKey, headerOp:
		default:
			r.Headers = append(r.Headers, h)
		}
	}
	return nil
}
