package binlog

import (
	"fmt"
	"slices"

	"github.com/towline/towline/cdc/charset"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// opcode says how to decode one column.
type opcode uint8

const (
	opInt opcode = iota
	opUint
	opUTF8
	opBytes
	opDateTime
	opTimestamp
	opTime
	opDate
	opDecimal
	opFloat
	opDouble
	opNumber // big-endian: Bit
	opMask   // little-endian: Enum, Set
	opYear
	opWideDecimal
	opOldTime
	opOldDateTime
	opOldTimestamp
	opSkip // left out
	opJSON // from here on with a length in front
	opText
	opBinary
	opSkipLong // left out
	opPacked   // compressed
	opUUID     // bytes that are text
	opINET
)

const opFirstLong = opJSON

// column is one step of a Plan.
type column struct {
	op       opcode
	width    uint8       // bytes of the value, or of the length in front of it
	shift    uint8       // what width bytes leave of 64 bits
	fsp      uint8       // fractional digits; scale of a decimal
	kind     schema.Kind // of opBytes, opNumber and opMask
	fracBits uint8       // of a temporal value: bits of the fraction
	document uint16      // of opJSON: how many other JSON columns come before
	fracUnit uint32      // of a temporal value: microseconds of one unit of the fraction
	mask     uint32      // covers a length of width bytes
	pad      uint32      // length that a BINARY is filled up to
	memo     uint8       // of opJSON and opText: which memo of the decoder; memos: none
	decimal  *decimalLayout
	text     *charset.Charset // nil: bytes
}

// Plan decodes row events of one table. It is immutable.
type Plan struct {
	table   *schema.Table // of the rows
	logged  *schema.Table // of the images
	columns []column      // of the images
	keep    []int         // the columns of an image that rows have; nil: all
	key     []int         // columns of rows: an update of them is a delete and an insert
	nulls   int           // bytes of an image's NULL bit map
	// documents is the number of JSON columns of an image.
	documents int
}

// NewPlan compiles the decoding of m's rows into rows of t. It fails unless
// m.Matches(t).
func NewPlan(m *TableMap, t *schema.Table) (*Plan, error) {
	if err := m.Matches(t); err != nil {
		return nil, err
	}
	p := &Plan{table: t, logged: t, columns: make([]column, len(m.Columns)), key: t.Key, nulls: (len(m.Columns) + 7) / 8}
	memo := uint8(0)
	for i := range m.Columns {
		c, err := compile(&m.Columns[i], &t.Columns[i])
		if err != nil {
			return nil, fmt.Errorf("binlog: table %s: column %d %q: %w", m, i+1, t.Columns[i].Name, err)
		}
		if c.width <= 8 {
			c.shift, c.mask = 64-8*c.width, uint32(1<<(8*uint64(c.width))-1)
		}
		if c.memo = memo; (c.op == opJSON || c.op == opText) && memo < memos {
			memo++
		}
		if c.op == opJSON {
			c.document = uint16(p.documents)
			p.documents++
		}
		p.columns[i] = c
	}
	return p, nil
}

// Project returns a plan like p, whose rows have the shape t: those columns of
// p's that keep lists, rising, all of them if it is nil. Others are not
// decoded. An update that changes a column of split, in t, becomes a delete and
// an insert, as one of the key does.
func (p *Plan) Project(t *schema.Table, keep, split []int) *Plan {
	n := *p
	n.table, n.key = t, append(slices.Clone(t.Key), split...)
	if keep == nil {
		return &n
	}
	n.keep, n.columns = keep, slices.Clone(p.columns)
	for i := range n.columns {
		if _, kept := slices.BinarySearch(keep, i); kept {
			continue
		}
		c := &n.columns[i]
		if c.long() {
			c.op = opSkipLong
		} else {
			c.op = opSkip
		}
	}
	return &n
}

// long reports whether a column has a length in front of its value.
func (c *column) long() bool { return c.op == opUTF8 || c.op == opBytes || c.op >= opFirstLong }

// Table returns the shape of the rows that p makes.
func (p *Plan) Table() *schema.Table { return p.table }

var fixedColumns = map[uint8]column{
	typeTiny: {width: 1}, typeShort: {width: 2}, typeInt24: {width: 3}, typeLong: {width: 4}, typeLongLong: {width: 8},
	typeFloat: {op: opFloat, width: 4}, typeDouble: {op: opDouble, width: 8}, typeYear: {op: opYear, width: 1},
	typeDate: {op: opDate, width: 3}, typeNewDate: {op: opDate, width: 3}, typeTime: {op: opOldTime, width: 3},
	typeDateTime: {op: opOldDateTime, width: 8}, typeTimestamp: {op: opOldTimestamp, width: 4},
}

// compile makes the step for one column. Matches has held, so that col and c
// have the same type.
func compile(col *MapColumn, c *schema.Column) (column, error) {
	out := fixedColumns[col.Type]
	switch col.Type {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong:
		if c.Unsigned {
			out.op = opUint
		}
	case typeTime2, typeDateTime2, typeTimestamp2:
		return compileTemporal(col.Type, col.Meta)
	case typeNewDecimal:
		return compileDecimal(int(col.Meta>>8), int(col.Meta&0xff))
	case typeBit:
		out = column{op: opNumber, kind: schema.Bit, width: uint8((col.Meta + 7) / 8)}
	case typeEnum, typeSet:
		out = column{op: opMask, kind: KindOf(c), width: uint8(col.Meta)}
	case typeString, typeVarchar, typeVarString:
		width := uint8(1)
		if col.Meta > 255 {
			width = 2
		}
		return compileString(c, width)
	case typeBlob:
		return compileString(c, uint8(col.Meta))
	case typeCharPacked, typeBlobPacked:
		return compilePacked(col, c)
	case typeJSON:
		out = column{op: opJSON, kind: schema.JSON, width: uint8(col.Meta)}
	case typeGeometry, typeVector:
		out = column{op: opBytes, kind: KindOf(c), width: uint8(col.Meta)}
	}
	if out.width < 1 || out.width > 8 {
		return out, fmt.Errorf("a value of type %d and %d bytes in the log is not known to this build", col.Type, out.width)
	}
	return out, nil
}

// compileString makes the step for text and binary strings with a length of
// width bytes in front.
func compileString(c *schema.Column, width uint8) (column, error) {
	out := column{op: opBytes, kind: schema.Bytes, width: width}
	if n := c.FixedSize(); n > 0 {
		out.op, out.kind, out.pad = pick(c.Subtype == schema.SubtypeUUID, opUUID, opINET), schema.String, uint32(n)
		return out, nil
	}
	if c.Type == schema.TypeBinary {
		out.op, out.pad = opBinary, uint32(c.Length)
	}
	if !c.Type.IsText() {
		return out, nil
	}
	cs, err := charset.ByName(c.Charset)
	if err != nil {
		return out, err
	}
	out.op, out.kind, out.text = opText, schema.String, cs
	if cs.Name() == "utf8mb4" {
		out.op = opUTF8
	}
	return out, nil
}

// compilePacked makes the step for a column that is compressed in the row.
func compilePacked(col *MapColumn, c *schema.Column) (column, error) {
	width := uint8(col.Meta)
	if col.Type == typeCharPacked {
		width = uint8(pick(col.Meta > 255, 2, 1))
	}
	out, err := compileString(c, width)
	out.op = opPacked
	return out, err
}

// Stamp is what the records of an event have in common.
type Stamp struct {
	Topic  string
	Time   int64           // of the commit
	Origin *connect.Origin // shared by all records; may be nil
	// Seq of the first record. DecodeRows adds the number of records that it
	// made, so that the next event goes on from there.
	Seq uint64
}
