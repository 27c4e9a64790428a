package frame

import (
	"hash/crc32"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// MaxSize is how many bytes a frame has at most, unless a single record takes
// more: that one goes alone.
const MaxSize = 256 << 10

// fullSize is how long a frame is, compressed or not, that is dear for what is in
// it and not for being one.
const fullSize = 32 << 10

const (
	magic      = "TWF"
	version    = 1
	fixedSize  = 9 // of the header up to the body
	coveredOff = 8 // where what the checksum covers begins
)

// Is reports whether p begins as a frame does.
func Is(p []byte) bool { return len(p) >= len(magic) && string(p[:len(magic)]) == magic }

// Flags of a frame.
const (
	flagPacked = 1 << iota // what follows the flags is one block of S2
	knownFlags = 1<<iota - 1
)

// Bodies of these sizes are compressed. Smaller ones have little to gain. Of
// larger ones, which hold one huge record, a broken or hostile block of a few
// bytes could say that it unpacks to any size.
const (
	minPacked = 256
	maxPacked = MaxSize + 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The head of a record: op in the low bits, then what follows.
const (
	headOp      = 7
	headAfter   = 1 << 3
	headBefore  = 1 << 4
	headFlags   = 1 << 5
	headTable   = 1 << 6
	headSeq     = 1 << 7
	headTime    = 1 << 8
	headOrigin  = 1 << 9
	headRow     = 1 << 10
	headHeaders = 1 << 11
	headKnown   = 1<<12 - 1
)

const (
	originThere = 1 << iota
	originSnapshot
	originServer
	originThread
	originSID
	originTag
	originFile
	originQuery
)

const (
	oddKind = 1<<5 - 1
	oddWide = 1 << 5
	oddAux  = 1 << 6
)

// ops has the op of each code in a head.
var ops = [8]connect.Op{1: connect.OpRead, 2: connect.OpInsert, 3: connect.OpUpdate, 4: connect.OpDelete,
	5: connect.OpTruncate, 6: connect.OpSchema, 7: connect.OpMessage}

// opCodes is the inverse of ops; 0 is none.
var opCodes = func() (codes [256]uint16) {
	for i, op := range ops {
		if op != 0 {
			codes[op] = uint16(i)
		}
	}
	return codes
}()

// column is what a column implies about its values.
type column struct {
	kind schema.Kind
	wide bool // a Decimal with text
	aux  uint32
}

// columnsOf returns what t's columns imply. It is part of the format.
func columnsOf(t *schema.Table) []column {
	cols := make([]column, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		cols[i].kind = kindOf(c)
		switch cols[i].kind {
		case schema.Decimal, schema.Time, schema.DateTime, schema.Timestamp:
			cols[i].aux = uint32(c.Scale)
		}
		cols[i].wide = cols[i].kind == schema.Decimal && c.Precision > schema.MaxNarrowDecimal
	}
	return cols
}

// maxScale returns the largest scale that values of a kind can have.
func maxScale(kind schema.Kind) uint32 {
	switch kind {
	case schema.Decimal:
		return 255
	case schema.Time, schema.DateTime, schema.Timestamp:
		return 6
	}
	return 0
}

func kindOf(c *schema.Column) schema.Kind {
	switch {
	case c.Type.IsInteger() && c.Unsigned:
		return schema.Uint
	case c.Type.IsInteger():
		return schema.Int
	case c.Type.IsText():
		return schema.String
	case c.Type.IsBinary():
		return schema.Bytes
	}
	switch c.Type {
	case schema.TypeFloat:
		return schema.Float32
	case schema.TypeDouble:
		return schema.Float64
	case schema.TypeDecimal:
		return schema.Decimal
	case schema.TypeBit:
		return schema.Bit
	case schema.TypeYear:
		return schema.Year
	case schema.TypeDate:
		return schema.Date
	case schema.TypeTime:
		return schema.Time
	case schema.TypeDateTime:
		return schema.DateTime
	case schema.TypeTimestamp:
		return schema.Timestamp
	case schema.TypeEnum:
		return schema.Enum
	case schema.TypeSet:
		return schema.Set
	case schema.TypeJSON:
		return schema.JSON
	case schema.TypeGeometry:
		return schema.Geometry
	case schema.TypeVector:
		return schema.Vector
	}
	return schema.Null // unknown here: all its values are odd
}

// dateRotation brings the low bits of a packed date, which are 0, to the top.
const dateRotation = 27

// Converter is the frame converter. The zero Converter is ready for use.
type Converter struct {
	enc encoder
	dec decoder
}

var _ connect.Packer = (*Converter)(nil)

// Encode appends the frames of b to dst.
func (c *Converter) Encode(dst *connect.Messages, b *connect.Batch) error {
	return c.enc.encode(dst, b)
}

// FullSize implements connect.Packer.
func (c *Converter) FullSize() int { return fullSize }

// Idle implements connect.Idler: what batches were written to goes.
func (c *Converter) Idle() {
	c.enc.buf, c.enc.body, c.enc.places, c.enc.open, c.enc.groups = nil, nil, nil, nil, groups{}
}

// Decode appends the records of src to dst. Their bytes point into src.
func (c *Converter) Decode(dst *connect.Batch, src []connect.Message) error {
	return c.dec.decode(dst, src)
}

// Plugin returns the converter as a plug-in.
func Plugin() connect.Plugin {
	return connect.Plugin{
		Name:    "frame",
		Aliases: []string{"io.towline.FrameConverter"},
		Doc:     "Compact binary batches: the fastest form, for topics that only Towline reads.",
		Schemas: true,
		Converter: func(connect.Config, connect.Env) (connect.Converter, error) {
			return new(Converter), nil
		},
	}
}
