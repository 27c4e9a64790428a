package mysql

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/snapshot"
)

// decoder turns rows of the binary protocol into Rows.
type decoder struct {
	columns []column
	// aliases: values point into the packet, so it must stay in the batch.
	aliases bool
}

// op is how one column is decoded.
type op uint8

const (
	opInt8 op = iota
	opInt16
	opInt32
	opInt64
	opUint8
	opUint16
	opUint32
	opUint64
	opYear
	opFloat
	opDouble
	opNumber // an unsigned number selected in place of an ENUM or SET
	opTemporal
	opTime
	opDecimal
	opBit
	opUTF8
	opText
	opBytes
)

// column is one column of a result set.
type column struct {
	op   op
	kind schema.Kind
	*schema.Column
	decode func(dst, src []byte) ([]byte, bool)
}

// newDecoder makes the decoder of t's columns at the given indexes, which the
// server describes by fields. If the two do not fit it is an ErrShape.
func newDecoder(t *schema.Table, columns []int, fields []mysql.Field, text TextDecoder) (*decoder, error) {
	d := &decoder{columns: make([]column, len(columns))}
	for n, i := range columns {
		c, err := compile(&t.Columns[i], &fields[n], text)
		if err != nil {
			return nil, fmt.Errorf("mysql: table %s, column %s: %w", t, t.Columns[i].Name, err)
		}
		d.columns[n] = c
		d.aliases = d.aliases || c.op >= opDecimal && c.op != opBit
	}
	return d, nil
}

// integers by their type: the operation if signed, and the type on the wire.
var integers = map[schema.Type]struct {
	op   op
	wire uint8
}{
	schema.TypeTinyInt: {opInt8, mysql.MYSQL_TYPE_TINY}, schema.TypeSmallInt: {opInt16, mysql.MYSQL_TYPE_SHORT},
	schema.TypeMediumInt: {opInt32, mysql.MYSQL_TYPE_INT24}, schema.TypeInt: {opInt32, mysql.MYSQL_TYPE_LONG},
	schema.TypeBigInt: {opInt64, mysql.MYSQL_TYPE_LONGLONG},
}

// others are the types that are neither integers nor strings.
var others = map[schema.Type]struct {
	op   op
	kind schema.Kind
	wire uint8
}{
	schema.TypeFloat: {opFloat, schema.Float32, mysql.MYSQL_TYPE_FLOAT}, schema.TypeDouble: {opDouble, schema.Float64, mysql.MYSQL_TYPE_DOUBLE},
	schema.TypeDecimal: {opDecimal, schema.Decimal, mysql.MYSQL_TYPE_NEWDECIMAL}, schema.TypeBit: {opBit, schema.Bit, mysql.MYSQL_TYPE_BIT},
	schema.TypeYear: {opYear, schema.Year, mysql.MYSQL_TYPE_YEAR}, schema.TypeDate: {opTemporal, schema.Date, mysql.MYSQL_TYPE_DATE},
	schema.TypeTime: {opTime, schema.Time, mysql.MYSQL_TYPE_TIME}, schema.TypeDateTime: {opTemporal, schema.DateTime, mysql.MYSQL_TYPE_DATETIME},
	schema.TypeTimestamp: {opTemporal, schema.Timestamp, mysql.MYSQL_TYPE_TIMESTAMP}, schema.TypeJSON: {opBytes, schema.JSON, mysql.MYSQL_TYPE_JSON},
	schema.TypeGeometry: {opBytes, schema.Geometry, mysql.MYSQL_TYPE_GEOMETRY}, schema.TypeVector: {opBytes, schema.Vector, mysql.MYSQL_TYPE_VECTOR},
	schema.TypeEnum: {opNumber, schema.Enum, mysql.MYSQL_TYPE_LONGLONG}, schema.TypeSet: {opNumber, schema.Set, mysql.MYSQL_TYPE_LONGLONG},
}

const charsetBinary = 63

func compile(c *schema.Column, f *mysql.Field, text TextDecoder) (column, error) {
	misfit := fmt.Errorf("%w: the server sends type %d for a %s", snapshot.ErrShape, f.Type, c.Type)
	unsigned := f.Flag&mysql.UNSIGNED_FLAG != 0
	switch {
	case c.Type.IsInteger():
		n := integers[c.Type]
		if f.Type != n.wire || unsigned != c.Unsigned {
			return column{}, misfit
		}
		if unsigned {
			return column{op: n.op + opUint8 - opInt8, kind: schema.Uint, Column: c}, nil
		}
		return column{op: n.op, kind: schema.Int, Column: c}, nil
	case c.Type.IsText():
		if !isString(f.Type) || f.Charset == charsetBinary {
			return column{}, misfit
		}
		return compileText(c, text), nil
	case c.Type.IsBinary():
		if !isString(f.Type) || f.Charset != charsetBinary {
			return column{}, misfit
		}
		return column{op: opBytes, kind: schema.Bytes, Column: c}, nil
	}
	o, ok := others[c.Type]
	if !ok || f.Type != o.wire || o.op == opDecimal && int(f.Decimal) != c.Scale {
		return column{}, misfit
	}
	return column{op: o.op, kind: o.kind, Column: c}, nil
}

func compileText(c *schema.Column, text TextDecoder) column {
	if decode, utf8 := text(c.Charset); utf8 {
		return column{op: opUTF8, kind: schema.String, Column: c}
	} else if decode != nil {
		return column{op: opText, kind: schema.String, Column: c, decode: decode}
	}
	return column{op: opBytes, kind: schema.RawString, Column: c}
}

func isString(wire uint8) bool {
	switch wire {
	case mysql.MYSQL_TYPE_VARCHAR, mysql.MYSQL_TYPE_VAR_STRING, mysql.MYSQL_TYPE_STRING, mysql.MYSQL_TYPE_TINY_BLOB,
		mysql.MYSQL_TYPE_MEDIUM_BLOB, mysql.MYSQL_TYPE_LONG_BLOB, mysql.MYSQL_TYPE_BLOB:
		return true
	}
	return false
}

// row decodes packet p into a row in b's memory; the values alias p.
func (d *decoder) row(b *connect.Batch, p []byte) (schema.Row, error) {
	nulls := 1
	pos := 1 + (len(d.columns)+9)/8
	if len(p) < pos || p[0] != 0 {
		return nil, errProtocol
	}
	row := b.NewRow(len(d.columns))
	for i := range d.columns {
		if p[nulls+(i+2)/8]>>((i+2)%8)&1 != 0 {
			continue
		}
		v, n, err := d.columns[i].value(b, p[pos:])
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", d.columns[i].Name, err)
		}
		row[i] = v
		pos += n
	}
	if pos != len(p) {
		return nil, errProtocol
	}
	b.Grow(len(p))
	return row, nil
}

// widths of values of fixed size.
var widths = [...]int{opInt8: 1, opInt16: 2, opInt32: 4, opInt64: 8, opUint8: 1, opUint16: 2, opUint32: 4, opUint64: 8,
	opYear: 2, opFloat: 4, opDouble: 8, opNumber: 8}

// value decodes the value at the begin of p and returns how long it was.
func (c *column) value(b *connect.Batch, p []byte) (schema.Value, int, error) {
	if int(c.op) < len(widths) {
		if len(p) < widths[c.op] {
			return schema.Value{}, 0, errProtocol
		}
		return c.fixed(p), widths[c.op], nil
	}
	body, size, err := lengthEncoded(p)
	if err != nil {
		return schema.Value{}, 0, err
	}
	v, err := c.variable(b, body)
	return v, size, err
}

func (c *column) fixed(p []byte) schema.Value {
	switch c.op {
	case opInt8:
		return schema.MakeInt(int64(int8(p[0])))
	case opInt16:
		return schema.MakeInt(int64(int16(binary.LittleEndian.Uint16(p))))
	case opInt32:
		return schema.MakeInt(int64(int32(binary.LittleEndian.Uint32(p))))
	case opInt64:
		return schema.MakeInt(int64(binary.LittleEndian.Uint64(p)))
	case opUint8:
		return schema.MakeUint(uint64(p[0]))
	case opUint16:
		return schema.MakeUint(uint64(binary.LittleEndian.Uint16(p)))
	case opUint32:
		return schema.MakeUint(uint64(binary.LittleEndian.Uint32(p)))
	case opUint64:
		return schema.MakeUint(binary.LittleEndian.Uint64(p))
	case opYear:
		return schema.MakeNum(schema.Year, uint64(binary.LittleEndian.Uint16(p)))
	case opFloat:
		return schema.MakeFloat32(math.Float32frombits(binary.LittleEndian.Uint32(p)))
	case opDouble:
		return schema.MakeFloat64(math.Float64frombits(binary.LittleEndian.Uint64(p)))
	}
	return schema.MakeNum(c.kind, binary.LittleEndian.Uint64(p))
}

func (c *column) variable(b *connect.Batch, p []byte) (schema.Value, error) {
	switch c.op {
	case opTemporal:
		return c.temporal(p)
	case opTime:
		return c.time(p)
	case opDecimal:
		return c.decimal(p)
	case opBit:
		var n uint64
		for _, x := range p {
			n = n<<8 | uint64(x)
		}
		return schema.MakeNum(schema.Bit, n), nil
	case opUTF8:
		if !utf8.Valid(p) {
			return schema.MakeBytes(schema.RawString, p), nil
		}
	case opText:
		out, ok := c.decode(b.Scratch(3*len(p)), p)
		if !ok {
			return schema.MakeBytes(schema.RawString, p), nil
		}
		b.Grow(len(out))
		return schema.MakeBytes(schema.String, b.Use(out)), nil
	}
	return schema.MakeBytes(c.kind, p), nil
}

// temporal decodes a DATE, DATETIME or TIMESTAMP: 0, 4, 7 or 11 bytes, the
// rest being zeros.
func (c *column) temporal(p []byte) (schema.Value, error) {
	var f schema.Civil
	switch len(p) {
	case 11:
		f.Micro = int(binary.LittleEndian.Uint32(p[7:]))
		fallthrough
	case 7:
		f.Hour, f.Minute, f.Second = int(p[4]), int(p[5]), int(p[6])
		fallthrough
	case 4:
		f.Year, f.Month, f.Day = int(binary.LittleEndian.Uint16(p)), int(p[2]), int(p[3])
	case 0:
	default:
		return schema.Value{}, errProtocol
	}
	switch c.kind {
	case schema.Date:
		return schema.MakeDate(f.Year, f.Month, f.Day), nil
	case schema.DateTime:
		return schema.MakeDateTime(f, c.Scale), nil
	}
	micros, _ := schema.MakeDateTime(f, 6).EpochMicros() // 0 if all is zero
	return schema.MakeTimestamp(micros, c.Scale), nil
}

// time decodes a TIME: 0, 8 or 12 bytes.
func (c *column) time(p []byte) (schema.Value, error) {
	var micros int64
	switch len(p) {
	case 12:
		micros = int64(binary.LittleEndian.Uint32(p[8:]))
		fallthrough
	case 8:
		hours := int64(binary.LittleEndian.Uint32(p[1:]))*24 + int64(p[5])
		micros += ((hours*60+int64(p[6]))*60 + int64(p[7])) * 1e6
		if p[0] != 0 {
			micros = -micros
		}
	case 0:
	default:
		return schema.Value{}, errProtocol
	}
	return schema.MakeTime(micros, c.Scale), nil
}

// decimal strips the zeros that ZEROFILL puts in front.
func (c *column) decimal(p []byte) (schema.Value, error) {
	if c.Zerofill {
		for len(p) > 1 && p[0] == '0' && p[1] != '.' {
			p = p[1:]
		}
	}
	if len(p) > 0 && p[0] == '-' && len(bytes.Trim(p, "-0.")) == 0 {
		p = p[1:]
	}
	if len(p) == 0 {
		return schema.Value{}, errProtocol
	}
	return schema.ParseDecimal(p, c.Precision, c.Scale)
}

// lengthEncoded returns the string at the begin of p and how long it is with
// its length.
func lengthEncoded(p []byte) (body []byte, size int, err error) {
	if len(p) == 0 {
		return nil, 0, errProtocol
	}
	n, at := uint64(p[0]), 1
	switch p[0] {
	case 0xfc:
		at = 3
	case 0xfd:
		at = 4
	case 0xfe:
		at = 9
	case 0xfb, 0xff:
		return nil, 0, errProtocol
	}
	if len(p) < at {
		return nil, 0, errProtocol
	}
	if at > 1 {
		n = 0
		for i := at - 1; i > 0; i-- {
			n = n<<8 | uint64(p[i])
		}
	}
	if n > uint64(len(p)-at) {
		return nil, 0, errProtocol
	}
	size = at + int(n)
	return p[at:size:size], size, nil
}
