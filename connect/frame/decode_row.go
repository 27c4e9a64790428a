package frame

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// readRows reads the rows of a record and returns the index after them, or
// bad.
func readRows(p []byte, i int, r *connect.Record, head uint16, tab *table, dst *connect.Batch) int {
	if head&headAfter != 0 {
		if len(p)-i < tab.bitmap+len(tab.cols) { // a value has a byte at least
			return bad
		}
		r.After = dst.NewRow(len(tab.cols))
		if i = readRow(p, i, r.After, tab); i < 0 {
			return bad
		}
	}
	switch {
	case head&headBefore == 0:
		return i
	case r.After != nil:
		return readDifference(p, i, r, tab, dst)
	case len(p)-i < tab.bitmap+len(tab.cols):
		return bad
	}
	r.Before = dst.NewRow(len(tab.cols))
	return readRow(p, i, r.Before, tab)
}

// readRow reads a row, of which bitmap and a byte for each value are there.
func readRow(p []byte, i int, row schema.Row, tab *table) int {
	odd := p[i : i+tab.bitmap]
	i += tab.bitmap
	cols := tab.cols[:len(row)]
	var u uint64
	for k := range row {
		if odd[k>>3]>>(k&7)&1 != 0 {
			if i = readOdd(p, i, &row[k]); i < 0 {
				return bad
			}
			continue
		}
		c := &cols[k]
		switch c.kind {
		case schema.Int:
			if u, i = uvarint(p, i); i < 0 {
				return bad
			}
			row[k] = schema.MakeInt(unzigzag(u))
		case schema.String, schema.JSON, schema.Bytes, schema.RawString, schema.Geometry, schema.Vector:
			if u, i = uvarint(p, i); i < 0 || u > uint64(len(p)-i) {
				return bad
			}
			row[k] = schema.MakeBytes(c.kind, p[i:i+int(u)])
			i += int(u)
		case schema.DateTime:
			if len(p)-i < 8 {
				return bad
			}
			row[k] = unpackDateTime(binary.LittleEndian.Uint64(p[i:]), c.aux)
			i += 8
		default:
			if i = readBare(p, i, &row[k], c.kind, c.wide, c.aux); i < 0 {
				return bad
			}
		}
	}
	return i
}

func unpackDateTime(num uint64, aux uint32) schema.Value {
	return schema.MakePackedDateTime(num>>20, uint32(num&(1<<20-1)), int(aux))
}

// readBare reads a value of a known kind and scale.
func readBare(p []byte, i int, v *schema.Value, kind schema.Kind, wide bool, aux uint32) int {
	switch kind {
	case schema.Null, schema.Absent:
		*v = schema.FromRaw(kind, 0, aux, nil)
		return i
	case schema.DateTime, schema.Timestamp, schema.Float64:
		if len(p)-i < 8 {
			return bad
		}
		*v = fixed8(kind, binary.LittleEndian.Uint64(p[i:]), aux)
		return i + 8
	case schema.Float32:
		if len(p)-i < 4 {
			return bad
		}
		*v = schema.MakeFloat32(math.Float32frombits(binary.LittleEndian.Uint32(p[i:])))
		return i + 4
	}
	u, i := uvarint(p, i)
	if i < 0 {
		return bad
	}
	if wide || kind.IsBytes() {
		if u > uint64(len(p)-i) {
			return bad
		}
		end := i + int(u)
		*v = schema.FromRaw(kind, 0, aux, p[i:end:end])
		return end
	}
	*v = number(kind, u, aux)
	return i
}

// fixed8 makes a value of 8 bytes.
func fixed8(kind schema.Kind, num uint64, aux uint32) schema.Value {
	switch kind {
	case schema.DateTime:
		return unpackDateTime(num, aux)
	case schema.Timestamp:
		return schema.MakeTimestamp(int64(num), int(aux))
	}
	return schema.FromRaw(kind, num, aux, nil)
}

// number makes a value of a varint.
func number(kind schema.Kind, u uint64, aux uint32) schema.Value {
	switch kind {
	case schema.Int, schema.Time, schema.Decimal:
		u = uint64(unzigzag(u))
	case schema.Date:
		u = bits.RotateLeft64(u, -dateRotation)
	}
	return schema.FromRaw(kind, u, aux, nil)
}

// readOdd reads a value that says itself what it is.
func readOdd(p []byte, i int, v *schema.Value) int {
	if i >= len(p) {
		return bad
	}
	tag := p[i]
	i++
	kind, wide := schema.Kind(tag&oddKind), tag&oddWide != 0
	if !kind.Valid() || wide && kind != schema.Decimal || tag > oddKind|oddWide|oddAux {
		return bad
	}
	var aux uint64
	if tag&oddAux != 0 {
		if aux, i = uvarint(p, i); i < 0 || aux > uint64(maxScale(kind)) {
			return bad
		}
	}
	return readBare(p, i, v, kind, wide, uint32(aux))
}

// readDifference makes Before from After and what differs.
func readDifference(p []byte, i int, r *connect.Record, tab *table, dst *connect.Batch) int {
	if len(p)-i < tab.bitmap {
		return bad
	}
	differs := p[i : i+tab.bitmap]
	i += tab.bitmap
	r.Before = dst.NewRow(len(tab.cols))
	copy(r.Before, r.After)
	for at, set := range differs {
		for ; set != 0; set &= set - 1 {
			k := at*8 + bits.TrailingZeros8(set)
			if k >= len(r.Before) {
				return bad
			}
			if i = readOdd(p, i, &r.Before[k]); i < 0 {
				return bad
			}
		}
	}
	return i
}
