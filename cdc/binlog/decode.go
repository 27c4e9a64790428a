package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// The faults of a row image. Where they happened is added once, at the end.
var (
	errShort    = errors.New("the image ends in the middle of a value")
	errDecimal  = errors.New("not a decimal number")
	errTemporal = errors.New("not a date or time")
	errLength   = errors.New("longer than the column")
	errPair     = errors.New("the image before the change has no image after it")
)

// DecodeRows appends the records of ev to b, with everything set that the
// source knows of them. An update whose key changed becomes a delete and an
// insert, flagged KeyMoved. When it fails the records of b and st are as they
// were.
func (p *Plan) DecodeRows(b *connect.Batch, ev *RowsEvent, st *Stamp) error {
	if ev.Columns != len(p.columns) {
		return fmt.Errorf("binlog: table %s: a row event has %d columns, its TABLE_MAP %d", p.table, ev.Columns, len(p.columns))
	}
	if !allSet(ev.present, ev.Columns) || !allSet(ev.presentAfter, ev.Columns) {
		return fmt.Errorf("binlog: table %s: a row event leaves out columns because of binlog_row_image; "+
			"full images are needed: SET PERSIST binlog_row_image=FULL, and the same in sessions that set it themselves", p.table)
	}
	first := len(b.Records)
	d := decoder{plan: p, batch: b, data: ev.images, stamp: st, seq: st.Seq}
	var err error
	if ev.packed {
		if d.data, err = unpackImages(b, ev); err != nil {
			return fmt.Errorf("binlog: table %s: %w", p.table, err)
		}
	}
	switch {
	case ev.Partial:
		d.partial = takePartial(p.documents)
		err = d.updates()
		d.partial.release()
	case ev.Kind == RowsUpdate:
		err = d.updates()
	default:
		err = d.changes(ev.Kind == RowsDelete)
	}
	if err != nil {
		clear(b.Records[first:])
		b.Records = b.Records[:first]
		return d.fault(err)
	}
	st.Seq = d.seq
	b.Grow(len(d.data) + d.rendered)
	return nil
}

// decoder is the state of one DecodeRows.
type decoder struct {
	plan     *Plan
	batch    *connect.Batch
	stamp    *Stamp
	data     []byte // of which the images before pos are done
	pos      int
	row      int32 // number of the row
	column   int   // in which decoding failed
	rendered int   // bytes written into the batch
	seq      uint64
	partial  *partialUpdate // of an event that is Partial
	memos    [memos]memo
}

// memos is how many columns of a table have a memo.
const memos = 4

// memo is the last value of a column that was rendered. Most updates leave
// such a column as it was, and rendering is dearer than all else.
type memo struct {
	body  []byte
	value schema.Value
}

func (d *decoder) fault(err error) error {
	name := ""
	if d.column < len(d.plan.columns) {
		name = d.plan.logged.Columns[d.column].Name
	}
	return fmt.Errorf("binlog: table %s: row %d of a row event: column %d %q: %w", d.plan.table, d.row+1, d.column+1, name, err)
}

// add appends a record without its images.
func (d *decoder) add(op connect.Op, flags connect.Flags) *connect.Record {
	r, st := d.batch.Add(), d.stamp
	r.Op, r.Flags, r.Row = op, flags, d.row
	r.Table, r.Topic, r.Origin = d.plan.table, st.Topic, st.Origin
	r.Seq, r.Time = d.seq, st.Time
	d.seq++
	return r
}

// changes decodes an event of inserts or deletes.
func (d *decoder) changes(deletes bool) error {
	for ; d.pos < len(d.data); d.row++ {
		row, err := d.image()
		if err != nil {
			return err
		}
		row = d.project(row)
		if deletes {
			d.add(connect.OpDelete, 0).Before = row
		} else {
			d.add(connect.OpInsert, 0).After = row
		}
	}
	return nil
}

func (d *decoder) updates() error {
	for ; d.pos < len(d.data); d.row++ {
		before, err := d.image()
		if err != nil {
			return err
		}
		if d.pos >= len(d.data) {
			return errPair
		}
		if d.partial != nil {
			if err := d.partialHead(); err != nil {
				return err
			}
		}
		after, err := d.image()
		if err != nil {
			return err
		}
		before, after = d.project(before), d.project(after)
		if d.partial != nil {
			d.partial.nextRow()
		}
		if d.keyMoved(before, after) {
			d.add(connect.OpDelete, connect.KeyMoved).Before = before
			d.add(connect.OpInsert, connect.KeyMoved).After = after
			continue
		}
		r := d.add(connect.OpUpdate, 0)
		r.Before, r.After = before, after
	}
	return nil
}

// project drops the columns of an image that rows do not have.
func (d *decoder) project(row schema.Row) schema.Row {
	keep := d.plan.keep
	if keep == nil {
		return row
	}
	for i, k := range keep { // k >= i
		row[i] = row[k]
	}
	return row[:len(keep):len(keep)]
}

func (d *decoder) keyMoved(before, after schema.Row) bool {
	for _, k := range d.plan.key {
		if !before[k].Equal(after[k]) {
			return true
		}
	}
	return false
}

// image decodes the image at d.pos. This is the loop that all speed depends
// on, so the frequent types are done in place, and all of them alike: load 8
// bytes, which hold the whole value, or the length in front of it.
func (d *decoder) image() (schema.Row, error) {
	data := d.data
	pos := d.pos + d.plan.nulls
	if pos > len(data) {
		return nil, errShort
	}
	nulls := data[d.pos:pos]
	row := d.batch.NewRow(len(d.plan.columns))
	columns := d.plan.columns[:len(row)]
	for i := range columns {
		if nulls[i>>3]>>(i&7)&1 != 0 {
			continue // values of a new row are NULL
		}
		c := &columns[i]
		at := pos
		pos += int(c.width)
		if pos > len(data) {
			return d.fail(i, errShort)
		}
		var x uint64
		if at+8 <= len(data) {
			x = binary.LittleEndian.Uint64(data[at:])
		} else {
			x = tail(data[at:])
		}
		switch c.op {
		case opInt:
			s := c.shift & 63
			row[i] = schema.MakeInt(int64(x<<s) >> s)
		case opUint:
			s := c.shift & 63
			row[i] = schema.MakeUint(x << s >> s)
		case opMask:
			s := c.shift & 63
			row[i] = schema.MakeNum(c.kind, x<<s>>s)
		case opNumber:
			row[i] = schema.MakeNum(c.kind, bits.ReverseBytes64(x)>>(c.shift&63))
		case opFloat:
			row[i] = schema.MakeFloat32(math.Float32frombits(uint32(x)))
		case opDouble:
			row[i] = schema.MakeFloat64(math.Float64frombits(x))
		case opYear:
			row[i] = year(uint8(x))
		case opDate:
			row[i] = date(uint32(x) & 0xffffff)
		case opDateTime:
			v, ok := c.dateTime(bits.ReverseBytes64(x) >> (c.shift & 63))
			if !ok {
				return d.fail(i, errTemporal)
			}
			row[i] = v
		case opTimestamp:
			v, ok := c.timestamp(bits.ReverseBytes64(x) >> (c.shift & 63))
			if !ok {
				return d.fail(i, errTemporal)
			}
			row[i] = v
		case opTime:
			v, ok := c.time(bits.ReverseBytes64(x) >> (c.shift & 63))
			if !ok {
				return d.fail(i, errTemporal)
			}
			row[i] = v
		case opDecimal:
			unscaled, ok := c.decimal.narrow(bits.ReverseBytes64(x))
			if !ok {
				return d.fail(i, errDecimal)
			}
			row[i] = schema.MakeDecimal(unscaled, int(c.fsp))
		case opUTF8, opBytes:
			n := int(uint32(x) & c.mask)
			if n > len(data)-pos {
				return d.fail(i, errShort)
			}
			b := data[pos : pos+n]
			pos += n
			kind := c.kind
			if c.op == opUTF8 && !isASCII(b) && !utf8.Valid(b) {
				kind = schema.RawString
			}
			row[i] = schema.MakeBytes(kind, b)
		default:
			n := 0
			if c.op >= opFirstLong {
				n = int(uint32(x) & c.mask)
			}
			if n > len(data)-pos {
				return d.fail(i, errShort)
			}
			v, err := d.rare(c, data[at:pos], data[pos:pos+n])
			if err != nil {
				return d.fail(i, err)
			}
			row[i] = v
			pos += n
		}
	}
	d.pos = pos
	return row, nil
}

// tail loads fewer than 8 bytes, little-endian, as if zeros followed.
func tail(b []byte) uint64 {
	var x uint64
	for i, c := range b {
		x |= uint64(c) << (8 * i)
	}
	return x
}

func (d *decoder) fail(column int, err error) (schema.Row, error) {
	d.column = column
	return nil, err
}

// isASCII reports whether no byte of b has its highest bit set.
func isASCII(b []byte) bool {
	const high = 0x8080808080808080
	var or uint64
	for len(b) >= 8 {
		or |= binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	for _, c := range b {
		or |= uint64(c)
	}
	return or&high == 0
}
