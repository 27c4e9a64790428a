package convert

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema/avro"
)

// transactionBlock is the schema of where a change stands in its transaction.
var transactionBlock = mustAvro(`{"type":"record","name":"block","namespace":"event","fields":[{"name":"id","type":"string"},` +
	`{"name":"total_order","type":"long"},{"name":"data_collection_order","type":"long"}]}`)

func mustAvro(text string) *avro.Schema {
	s, err := avro.Parse(text)
	if err != nil {
		panic(err) // a constant
	}
	return s
}

// message returns the schemas of a kind of messages.
func (e *avroEncoder) message(kind connect.Kind) (*avroMessage, error) {
	if m := e.messages[kind]; m != nil {
		return m, nil
	}
	of, ok := schemasOfMessages[kind]
	if !ok {
		return nil, fmt.Errorf("convert: a message of the kind %q has no schema", kind)
	}
	m := &avroMessage{}
	var err error
	if m.key, err = newAvroSchema(of.key, true); err == nil {
		m.value, err = newAvroSchema(of.value, false)
	}
	if err != nil {
		return nil, err
	}
	e.messages[kind] = m
	return m, nil
}

// appendMessage appends the key or the value of an OpMessage.
func (e *avroEncoder) appendMessage(dst []byte, r *connect.Record, key bool) ([]byte, error) {
	kind, part, value, ok := r.Message()
	if !ok {
		return dst, fmt.Errorf("convert: a record of %s is not the message that its op says", r.Table)
	}
	m, err := e.message(kind)
	if err != nil {
		return dst, err
	}
	s := m.key
	if !key {
		s, part = m.value, value
	}
	begin := len(dst)
	typ, err := s.parsed()
	if err != nil {
		return dst, err
	}
	if dst, err = e.appendHead(dst, s, r.Topic); err != nil {
		return dst[:begin], err
	}
	if dst, err = e.appendJSON(dst, typ, part); err != nil {
		return dst[:begin], fmt.Errorf("convert: a message of the kind %s: %w", kind, err)
	}
	return dst, nil
}

// parsed returns s as what values are written by.
func (s *avroSchema) parsed() (*avro.Schema, error) {
	var err error
	if s.typ == nil {
		s.typ, err = avro.Parse(s.text)
	}
	return s.typ, err
}

// appendTransaction appends where r stands in its transaction, or null.
func (e *avroEncoder) appendTransaction(dst []byte, r *connect.Record) ([]byte, error) {
	for i := range r.Headers {
		if r.Headers[i].Key != connect.HeaderTransaction {
			continue
		}
		dst, err := e.appendJSON(append(dst, second), transactionBlock, r.Headers[i].Value)
		if err != nil {
			return dst, fmt.Errorf("convert: table %s, header %s: %w", r.Table, connect.HeaderTransaction, err)
		}
		return dst, nil
	}
	return append(dst, first), nil
}

// mostFields is how many fields a record may have that is written from JSON.
const mostFields = 32

// appendJSON appends a value of type t that is JSON.
func (e *avroEncoder) appendJSON(dst []byte, t *avro.Schema, raw []byte) ([]byte, error) {
	s := scanner{b: raw}
	switch t.Kind {
	case avro.Record:
		return e.appendObject(dst, t, &s)
	case avro.Union:
		of, ok := nullable(t)
		if !ok {
			break
		}
		if raw == nil || string(raw) == "null" {
			return binary.AppendVarint(dst, int64(nullBranch(t))), nil
		}
		return e.appendJSON(binary.AppendVarint(dst, int64(1-nullBranch(t))), of, raw)
	case avro.Array:
		return e.appendArray(dst, t, raw)
	case avro.Boolean:
		if s.word("true") {
			return append(dst, 1), nil
		} else if s.word("false") {
			return append(dst, 0), nil
		}
		return dst, fmt.Errorf("%q is neither true nor false", raw)
	case avro.Int, avro.Long:
		bits := 64
		if t.Kind == avro.Int {
			bits = 32
		}
		n, err := integer(raw, bits)
		return binary.AppendVarint(dst, n), err
	case avro.String:
		b, escapes, err := s.quoted()
		if err == nil && escapes {
			b, err = unescape(e.text[:0], b)
			e.text = b
		}
		if err == nil && !utf8.Valid(b) {
			err = errors.New("a string is not UTF-8")
		}
		return appendAvroBytes(dst, b), err
	}
	return dst, fmt.Errorf("JSON is not written as a %s", t.Kind)
}

// nullBranch returns which type of a union is null.
func nullBranch(t *avro.Schema) int {
	if t.Branches[0].Kind == avro.Null {
		return 0
	}
	return 1
}

func (e *avroEncoder) appendObject(dst []byte, t *avro.Schema, s *scanner) ([]byte, error) {
	var members [mostFields][]byte
	if len(t.Fields) > mostFields {
		return dst, fmt.Errorf("%s has more than %d fields", t.Name, mostFields)
	}
	err := s.object(func(name []byte) error {
		v, err := s.raw()
		for i := range t.Fields {
			if t.Fields[i].Name == string(name) {
				members[i] = v
				return err
			}
		}
		return fmt.Errorf("%s has no field %q", t.Name, name)
	})
	if err != nil {
		return dst, err
	}
	for i := range t.Fields {
		if dst, err = e.appendJSON(dst, t.Fields[i].Type, members[i]); err != nil {
			return dst, fmt.Errorf("field %s of %s: %w", t.Fields[i].Name, t.Name, err)
		}
	}
	return dst, nil
}

func (e *avroEncoder) appendArray(dst []byte, t *avro.Schema, raw []byte) ([]byte, error) {
	n := int64(0)
	s := scanner{b: raw}
	if err := s.array(func() error { n++; _, err := s.raw(); return err }); err != nil {
		return dst, err
	}
	if n > 0 {
		dst = binary.AppendVarint(dst, n)
		s = scanner{b: raw}
		err := s.array(func() error {
			item, err := s.raw()
			if err == nil {
				dst, err = e.appendJSON(dst, t.Items, item)
			}
			return err
		})
		if err != nil {
			return dst, err
		}
	}
	return append(dst, 0), nil
}

// appendAsJSON appends the JSON of a value of type t.
func appendAsJSON(dst []byte, t *avro.Schema, c *avro.Cursor, depth int) ([]byte, error) {
	if depth > 16 {
		return dst, errors.New("values lie in each other more than 16 deep")
	}
	switch t.Kind {
	case avro.Null:
		return append(dst, "null"...), nil
	case avro.Boolean:
		b, err := c.Bool()
		return strconv.AppendBool(dst, b), err
	case avro.Int, avro.Long:
		n, err := c.Long()
		return strconv.AppendInt(dst, n, 10), err
	case avro.Double, avro.Float:
		return appendDoubleAsJSON(dst, t, c)
	case avro.Bytes, avro.String:
		b, err := c.Bytes()
		if t.Kind == avro.Bytes {
			return append(base64.StdEncoding.AppendEncode(append(dst, '"'), b), '"'), err
		}
		dst, valid := appendQuoted(dst, text(b), false)
		if err == nil && !valid {
			err = errors.New("a string is not UTF-8")
		}
		return dst, err
	case avro.Enum:
		n, err := c.Long()
		if err == nil && (n < 0 || n >= int64(len(t.Symbols))) {
			err = fmt.Errorf("symbol %d of %s, which has %d", n, t.Name, len(t.Symbols))
		}
		if err != nil {
			return dst, err
		}
		return appendString(dst, t.Symbols[n], false), nil
	case avro.Union:
		of, err := c.Branch(t)
		if err != nil {
			return dst, err
		}
		return appendAsJSON(dst, of, c, depth+1)
	case avro.Record:
		dst = append(dst, '{')
		for i := range t.Fields {
			dst = append(appendString(comma(dst, i), avro.Unescape(t.Fields[i].Name), false), ':')
			var err error
			if dst, err = appendAsJSON(dst, t.Fields[i].Type, c, depth+1); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	case avro.Array:
		dst = append(dst, '[')
		i := 0
		err := c.Each(t, func() (err error) {
			dst, err = appendAsJSON(comma(dst, i), t.Items, c, depth+1)
			i++
			return err
		})
		return append(dst, ']'), err
	}
	return dst, fmt.Errorf("a %s has no form in JSON", t.Kind)
}

func appendDoubleAsJSON(dst []byte, t *avro.Schema, c *avro.Cursor) ([]byte, error) {
	var f float64
	var err error
	bits := 64
	if t.Kind == avro.Float {
		var single float32
		single, err = c.Float()
		f, bits = float64(single), 32
	} else {
		f, err = c.Double()
	}
	if err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
		err = fmt.Errorf("%v has no form in JSON", f)
	}
	if err != nil {
		return dst, err
	}
	return appendFloat(dst, f, bits), nil
}
