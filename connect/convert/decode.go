package convert

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
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
	head, payload, err := split(m.Value)
	if err != nil {
		return err
	}
	rs, err := d.rowSchema(head)
	if err != nil {
		return err
	}
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
	before, after, source []byte // nil: null or not there
	op                    connect.Op
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
	return d.headers(dst, r, m)
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

// source is what the block of that name tells.
type source struct {
	rec       *connect.Record
	db, table string
	origin    connect.Origin
}

func (d *decoder) source(dst *connect.Batch, src *source, raw []byte) error {
	s := scanner{b: raw}
	if s.peek() != '{' {
		return errors.New("it is not an object")
	}
	precise := false
	err := s.object(func(name []byte) error {
		v, err := s.raw()
		if err != nil || string(v) == "null" {
			return err
		}
		switch string(name) {
		case "ts_us":
			precise = true
			src.rec.Time, err = integer(v, 64)
		case "ts_ms":
			if !precise {
				src.rec.Time, err = integer(v, 54)
				src.rec.Time *= 1000
			}
		case "row":
			var n int64
			n, err = integer(v, 32)
			src.rec.Row = int32(n)
		default:
			err = d.origin(dst, src, name, v)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	o := src.origin
	if err == nil && (o.ServerID != 0 || o.Thread != 0 || o.GNO != 0 || o.Pos != 0 || o.File != "") {
		src.rec.Origin = dst.NewOrigin()
		*src.rec.Origin = o
		src.rec.Origin.Time = src.rec.Time
	}
	return err
}

// origin takes one member of the block.
func (d *decoder) origin(dst *connect.Batch, src *source, name, v []byte) (err error) {
	o := &src.origin
	var n int64
	switch string(name) {
	case "db":
		src.db, err = d.string(dst, v)
	case "table":
		src.table, err = d.string(dst, v)
	case "file":
		o.File, err = d.string(dst, v)
	case "snapshot":
		o.Snapshot = string(v) != `"false"`
	case "server_id":
		n, err = integer(v, 64)
		if o.ServerID = uint32(n); int64(o.ServerID) != n && err == nil {
			err = fmt.Errorf("%d is not a server id", n)
		}
	case "thread":
		n, err = integer(v, 64)
		o.Thread = uint32(n)
	case "pos":
		n, err = integer(v, 64)
		o.Pos = uint64(n)
	case "gtid":
		var b []byte
		s := scanner{b: v}
		if b, err = s.text(dst); err == nil {
			err = d.gtid(o, b)
		}
	}
	return err
}

// gtid reads uuid:gno or uuid:tag:gno.
func (d *decoder) gtid(o *connect.Origin, b []byte) error {
	last := bytes.LastIndexByte(b, ':')
	if len(b) < 37 || b[36] != ':' || last < 0 {
		return fmt.Errorf("%q is not a GTID", b)
	}
	var digits [32]byte
	n := 0
	for _, c := range b[:36] {
		if c != '-' && n < len(digits) {
			digits[n] = c
			n++
		}
	}
	if _, err := hex.Decode(o.SID[:], digits[:n]); err != nil || n != len(digits) {
		return fmt.Errorf("%q is not a GTID", b)
	}
	if last > 36 {
		o.Tag = d.intern(b[37:last])
	}
	gno, err := integer(b[last+1:], 64)
	if err != nil || gno <= 0 {
		return fmt.Errorf("%q is not a GTID", b)
	}
	o.GNO = gno
	return nil
}

// string reads a string whose memory may outlive the message.
func (d *decoder) string(dst *connect.Batch, v []byte) (string, error) {
	s := scanner{b: v}
	b, err := s.text(dst)
	if err != nil {
		return "", err
	}
	return d.intern(b), nil
}

func (d *decoder) intern(b []byte) string {
	if s, ok := d.strings[string(b)]; ok {
		return s
	}
	if len(d.strings) >= d.max {
		clear(d.strings)
	}
	s := string(b)
	d.strings[s] = s
	return s
}

// integer reads a number of at most so many bits.
func integer(b []byte, bits int) (int64, error) {
	n, err := strconv.ParseInt(text(b), 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number of %d bits", b, bits)
	}
	if bits == 54 && (n > math.MaxInt64/1000 || n < math.MinInt64/1000) {
		return 0, fmt.Errorf("%q is out of range", b)
	}
	return n, nil
}
