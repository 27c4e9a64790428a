package frame

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/towline/towline/schema"
)

// row writes a row at at and returns the index after it.
func (e *encoder) row(at int, row schema.Row, tab *table) int {
	e.room(at, tab.rowSize+maxRecord)
	buf, cols := e.buf, tab.cols
	odd := at
	at += tab.bitmap
	clear(buf[odd:at])
	for i := range row {
		v, c := &row[i], &cols[i]
		num, aux, b := v.Raw()
		kind := v.Kind()
		if kind != c.kind || aux != c.aux || kind == schema.Decimal && (b != nil) != c.wide {
			buf[odd+i>>3] |= 1 << (i & 7)
			at = e.odd(at, *v, tab)
			buf = e.buf
			continue
		}
		switch kind {
		case schema.Int, schema.Time:
			at = putUvarint(buf, at, zigzag(int64(num)))
		case schema.String, schema.JSON, schema.Bytes, schema.RawString, schema.Geometry, schema.Vector:
			if len(buf)-at < len(b)+tab.rowSize+maxRecord {
				e.grow(at, len(b)+tab.rowSize+maxRecord)
				buf = e.buf
			}
			at = putUvarint(buf, at, uint64(len(b)))
			at += copy(buf[at:], b)
		case schema.Decimal:
			if c.wide {
				at = e.bytes(at, b, tab)
				buf = e.buf
			} else {
				at = putUvarint(buf, at, zigzag(int64(num)))
			}
		case schema.DateTime, schema.Timestamp, schema.Float64:
			binary.LittleEndian.PutUint64(buf[at:], num)
			at += 8
		default:
			at = putNumber(buf, at, kind, num)
		}
	}
	return at
}

// bytes writes the bytes of a value.
func (e *encoder) bytes(at int, b []byte, tab *table) int {
	e.room(at, len(b)+tab.rowSize+maxRecord)
	at = putUvarint(e.buf, at, uint64(len(b)))
	return at + copy(e.buf[at:], b)
}

// putNumber writes the number of a kind without bytes.
func putNumber(buf []byte, at int, kind schema.Kind, num uint64) int {
	switch kind {
	case schema.Int, schema.Time, schema.Decimal:
		return putUvarint(buf, at, zigzag(int64(num)))
	case schema.Date:
		return putUvarint(buf, at, bits.RotateLeft64(num, dateRotation))
	case schema.Float32:
		binary.LittleEndian.PutUint32(buf[at:], uint32(num))
		return at + 4
	case schema.DateTime, schema.Timestamp, schema.Float64:
		binary.LittleEndian.PutUint64(buf[at:], num)
		return at + 8
	case schema.Null, schema.Absent:
		return at
	}
	return putUvarint(buf, at, num)
}

// odd writes a value that its column does not imply. It sets err for one that
// Decode would refuse.
func (e *encoder) odd(at int, v schema.Value, tab *table) int {
	num, aux, b := v.Raw()
	kind := v.Kind()
	wide := kind == schema.Decimal && b != nil
	if aux > maxScale(kind) {
		e.err = fmt.Errorf("%s: a %s value has the scale %d; at most %d is possible", tab, kind, aux, maxScale(kind))
	}
	tag := byte(kind)
	if wide {
		tag |= oddWide
	}
	if aux != 0 {
		tag |= oddAux
	}
	e.buf[at] = tag
	at++
	if aux != 0 {
		at = putUvarint(e.buf, at, uint64(aux))
	}
	if wide || kind.IsBytes() {
		return e.bytes(at, b, tab)
	}
	return putNumber(e.buf, at, kind, num)
}

// difference writes where before differs from after.
func (e *encoder) difference(at int, before, after schema.Row, tab *table) int {
	e.room(at, tab.rowSize+maxRecord)
	differs := at
	at += tab.bitmap
	clear(e.buf[differs:at])
	for i := range before {
		if !before[i].Equal(after[i]) {
			e.buf[differs+i>>3] |= 1 << (i & 7)
			at = e.odd(at, before[i], tab)
		}
	}
	return at
}
