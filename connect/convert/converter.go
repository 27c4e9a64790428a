package convert

import (
	"fmt"
	"strconv"

	"github.com/towline/towline/connect"
)

// Headers of messages.
const (
	headerSeq    = "__towline.seq"
	headerOp     = "__towline.op"
	headerTxEnd  = "__towline.tx.end"
	headerNewKey = "__debezium.newkey"
	headerOldKey = "__debezium.oldkey"
)

// maxKeep is how large the buffer of a direction may stay between batches.
const maxKeep = 4 << 20

// converter is the Converter "json".
type converter struct {
	enc        *Encoder
	tombstones bool
	buf        []byte
	dec        decoder
}

func newConverter(cfg connect.Config, env connect.Env) *converter {
	opts := encoderOptions(cfg, env)
	c := &converter{enc: NewEncoder(opts), tombstones: cfg.Bool(optTombstones)}
	c.enc.max = int(cfg.Int(optCacheSize))
	c.dec = newDecoder(opts.Binary, c.enc.max)
	return c
}

// Encode implements connect.Converter.
func (c *converter) Encode(dst *connect.Messages, b *connect.Batch) error {
	if cap(c.buf) > maxKeep {
		c.buf = nil
	}
	var failed []connect.RecordError
	for i := range b.Records {
		if b.Records[i].Op == connect.OpSchema {
			continue
		}
		if err := c.encode(dst, b, i); err != nil {
			failed = append(failed, connect.RecordError{Index: i, Err: err})
		}
	}
	if len(failed) > 0 {
		return &connect.BatchError{Failed: failed}
	}
	return nil
}

// encode appends the messages of record i.
func (c *converter) encode(dst *connect.Messages, b *connect.Batch, i int) error {
	r := &b.Records[i]
	buf, err := c.enc.AppendKey(c.buf[:0], r)
	c.buf = buf[:0]
	if err != nil {
		return err
	}
	n := len(buf)
	rowless := r.Op == connect.OpDelete && r.Flags&connect.Unwrapped != 0 && r.After == nil // a tombstone says it all
	if rowless && n == 0 {
		return fmt.Errorf("convert: table %s: a delete without an envelope is a key without a value, but the table has no key; leave the envelope on", r.Table)
	}
	if !rowless {
		buf, err = c.enc.AppendValue(buf, r)
		c.buf = buf[:0]
		if err != nil {
			return err
		}
	}
	headers, err := c.headers(dst, b, i)
	if err != nil {
		return err
	}
	m := c.message(dst, r, buf[:n])
	m.Count, m.Headers = 1, headers
	if !rowless {
		m.Value = dst.Alloc(len(buf) - n)
		copy(m.Value, buf[n:])
	}
	if key := m.Key; c.tombstones && r.Op == connect.OpDelete && r.Flags&connect.Unwrapped == 0 && key != nil {
		m = c.message(dst, r, nil) // it holds no record: Count is 0
		m.Key = key
	}
	return nil
}

// message adds a message for r. An empty key is none.
func (c *converter) message(dst *connect.Messages, r *connect.Record, key []byte) *connect.Message {
	m := dst.Add()
	m.Topic, m.Partition, m.Time = r.Topic, r.Partition, r.Time
	if len(key) > 0 {
		m.Key = dst.Alloc(len(key))
		copy(m.Key, key)
	}
	return m
}

// headers returns the headers of record i's message, in dst's memory.
func (c *converter) headers(dst *connect.Messages, b *connect.Batch, i int) ([]connect.Header, error) {
	r := &b.Records[i]
	n := len(r.Headers) + 1
	flat, moved, end := r.Flags&connect.Unwrapped != 0 && r.Op.HasRow(), r.Flags&connect.KeyMoved != 0, r.Flags&connect.TxEnd != 0
	for _, on := range [...]bool{flat, moved, end} {
		if on {
			n++
		}
	}
	list := dst.NewHeaders(n)
	for j, h := range r.Headers {
		list[j] = connect.Header{Key: h.Key, Value: copyOf(dst, h.Value)}
	}
	j := len(r.Headers)
	var num [20]byte
	list[j] = connect.Header{Key: headerSeq, Value: copyOf(dst, strconv.AppendUint(num[:0], r.Seq, 10))}
	if flat {
		j++
		op := dst.Alloc(1)
		op[0] = byte(r.Op)
		list[j] = connect.Header{Key: headerOp, Value: op}
	}
	if end {
		j++
		list[j] = connect.Header{Key: headerTxEnd, Value: copyOf(dst, trueText)}
	}
	if moved {
		h, err := c.movedHeader(dst, b, i)
		if err != nil {
			return nil, err
		}
		list[j+1] = h
	}
	return list, nil
}

var trueText = []byte("true")

// movedHeader tells one half of a moved row of the key of the other half,
// which is next to it.
func (c *converter) movedHeader(dst *connect.Messages, b *connect.Batch, i int) (connect.Header, error) {
	h, other := connect.Header{Key: headerNewKey}, i+1
	if b.Records[i].Op != connect.OpDelete {
		h.Key, other = headerOldKey, i-1
	}
	h.Value = dst.Alloc(0)
	if other < 0 || other >= len(b.Records) || b.Records[other].Flags&connect.KeyMoved == 0 {
		return h, nil // it was dropped, or is in another batch
	}
	p := dst.Scratch(256)
	p, err := c.enc.AppendKey(p, &b.Records[other])
	if err != nil {
		return h, err
	}
	h.Value = dst.Use(p)
	return h, nil
}

// copyOf returns a copy of b in dst's memory; nil stays nil.
func copyOf(dst *connect.Messages, b []byte) []byte {
	if b == nil {
		return nil
	}
	p := dst.Alloc(len(b))
	copy(p, b)
	return p
}

// Decode implements connect.Converter.
func (c *converter) Decode(dst *connect.Batch, src []connect.Message) error {
	var failed []connect.RecordError
	for i := range src {
		m := &src[i]
		n := len(dst.Records)
		if err := c.dec.decode(dst, m); err != nil {
			dst.Records = dst.Records[:n]
			failed = append(failed, connect.RecordError{Index: i, Err: err})
			continue
		}
		dst.Grow(len(m.Key) + len(m.Value)) // about what the values take
	}
	if len(failed) > 0 {
		return &connect.BatchError{Failed: failed}
	}
	return nil
}
