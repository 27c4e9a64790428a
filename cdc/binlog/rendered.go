package binlog

import (
	"bytes"
	"encoding/binary"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// rare decodes what needs memory of the batch, and the formats of old servers.
// fixed is the value, or the length in front of body.
func (d *decoder) rare(c *column, fixed, body []byte) (schema.Value, error) {
	switch c.op {
	case opSkip, opSkipLong:
		return schema.Value{}, nil
	case opJSON, opText:
		return d.remember(c, body)
	case opBinary:
		return d.binary(c, body)
	case opUUID, opINET:
		return d.fixed(c, body)
	case opPacked:
		b, err := unpackValue(d, body)
		if err != nil || c.text == nil {
			return schema.MakeBytes(c.kind, b), err
		}
		return d.text(c, b), nil
	case opWideDecimal:
		return d.wideDecimal(c, fixed)
	case opOldTime:
		return oldTime(fixed)
	case opOldDateTime:
		return oldDateTime(fixed)
	default:
		return schema.MakeTimestamp(int64(binary.LittleEndian.Uint32(fixed))*1e6, 0), nil
	}
}

// remember renders body, unless it is what the column had in the image before.
func (d *decoder) remember(c *column, body []byte) (v schema.Value, err error) {
	var m *memo
	if int(c.memo) < len(d.memos) && d.partial == nil {
		if m = &d.memos[c.memo]; m.value.Kind() != schema.Null && bytes.Equal(m.body, body) {
			return m.value, nil
		}
	}
	if c.op == opJSON {
		v, err = d.json(c, body)
	} else {
		v = d.text(c, body)
	}
	if m != nil && err == nil {
		m.body, m.value = body, v
	}
	return v, err
}

func (d *decoder) json(c *column, body []byte) (schema.Value, error) {
	if d.partial != nil {
		return d.partialJSON(int(c.document), body)
	}
	return d.document(body)
}

// document renders a whole document.
func (d *decoder) document(body []byte) (schema.Value, error) {
	n := len(body)
	if n > maxScratch {
		out, err := AppendJSON(make([]byte, 0, n+n/4), body)
		d.rendered += len(out)
		return schema.MakeBytes(schema.JSON, out), err
	}
	out, err := AppendJSON(d.batch.Scratch(3*n+64), body) // rarely more
	if err != nil {
		return schema.Value{}, err
	}
	d.rendered += len(out)
	return schema.MakeBytes(schema.JSON, d.batch.Use(out)), nil
}

// maxScratch is the largest value that is rendered into the batch's own
// memory. The batch keeps that for ever, so larger ones get memory that is
// freed with them.
const maxScratch = 16 << 10

// text converts text that is not UTF-8. What its charset cannot decode stays
// as it is.
func (d *decoder) text(c *column, body []byte) schema.Value {
	if c.text.Verbatim(body) {
		return schema.MakeBytes(schema.String, body)
	}
	n := len(body)
	large := n > maxScratch
	var room []byte
	if large {
		room = make([]byte, 0, n+n/2)
	} else {
		room = d.batch.Scratch(3 * n)
	}
	out, ok := c.text.Decode(room, body)
	if !ok {
		return schema.MakeBytes(schema.RawString, body)
	}
	d.rendered += len(out)
	if !large {
		out = d.batch.Use(out)
	}
	return schema.MakeBytes(schema.String, out)
}

// binary restores the zero bytes that the log strips from the end of a BINARY.
func (d *decoder) binary(c *column, body []byte) (schema.Value, error) {
	n := int(c.pad)
	if len(body) == n {
		return schema.MakeBytes(schema.Bytes, body), nil
	}
	if len(body) > n {
		return schema.Value{}, errLength
	}
	out := d.batch.Alloc(n)
	clear(out[copy(out, body):])
	d.rendered += n
	return schema.MakeBytes(schema.Bytes, out), nil
}

// fixed makes text of a value of fixed size, of which the log strips zero bytes
// from the end.
func (d *decoder) fixed(c *column, body []byte) (schema.Value, error) {
	var b [16]byte
	if len(body) > int(c.pad) {
		return schema.Value{}, errLength
	}
	copy(b[:], body)
	out := d.batch.Scratch(maxFixedText)
	switch {
	case c.op == opUUID:
		out = connect.AppendUUID(out, b)
	case c.pad == 4:
		out = appendINET4(out, b[:4])
	default:
		out = appendINET6(out, b)
	}
	d.rendered += len(out)
	return schema.MakeBytes(schema.String, d.batch.Use(out)), nil
}

func (d *decoder) wideDecimal(c *column, fixed []byte) (schema.Value, error) {
	out, ok := c.decimal.appendText(d.batch.Scratch(maxDecimalText), fixed)
	if !ok {
		return schema.Value{}, errDecimal
	}
	if c.decimal.precision <= schema.MaxNarrowDecimal {
		v, err := schema.ParseDecimal(out, c.decimal.precision, int(c.fsp))
		return v, err
	}
	d.rendered += len(out)
	return schema.MakeWideDecimal(d.batch.Use(out), int(c.fsp)), nil
}
