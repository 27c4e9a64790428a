package convert

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/registry"
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

// writer writes keys and values in one form.
type writer interface {
	AppendKey(dst []byte, r *connect.Record) ([]byte, error)
	AppendValue(dst []byte, r *connect.Record) ([]byte, error)
	// room returns about how much of a buffer both take.
	room(r *connect.Record) int
}

// messageReader reads what a writer has written.
type messageReader interface {
	// decode appends the record of one message.
	decode(dst *connect.Batch, m *connect.Message) error
}

// converter makes a message of each record, and a record of each message.
type converter struct {
	enc        *Encoder // of values; it writes JSON itself
	w          writer
	tombstones bool
	buf        []byte
	now        int64 // when the batch came here
	dec        messageReader
}

// newConverter returns a converter that lacks a writer and a reader.
func newConverter(opts EncoderOptions, cfg connect.Config) *converter {
	c := &converter{tombstones: cfg.Bool(optTombstones)}
	opts.Clock = func() int64 { return c.now }
	c.enc = NewEncoder(opts)
	c.enc.max = int(cfg.Int(optCacheSize))
	return c
}

// newJSON returns the Converter "json".
func newJSON(cfg connect.Config, env connect.Env) *converter {
	c := newConverter(jsonOptions(cfg, env), cfg)
	c.w = c.enc
	dec := newDecoder(c.enc.opts.Binary, c.enc.max)
	c.dec = &dec
	return c
}

// isOutage reports whether err is of a registry, and so of no single message.
func isOutage(err error) bool {
	var out *registry.Outage
	return errors.As(err, &out)
}

// Encode implements connect.Converter.
func (c *converter) Encode(dst *connect.Messages, b *connect.Batch) error {
	if cap(c.buf) > maxKeep {
		c.buf = nil
	}
	c.now = time.Now().UnixMicro()
	var failed []connect.RecordError
	for i := range b.Records {
		if b.Records[i].Op == connect.OpSchema {
			continue
		}
		if err := c.encode(dst, b, i); err != nil {
			if isOutage(err) {
				return err
			}
			failed = append(failed, connect.RecordError{Index: i, Err: err})
		}
	}
	if len(failed) > 0 {
		return &connect.BatchError{Failed: failed}
	}
	return nil
}

// maxDirect is the most room that a record may need to be written straight
// into the memory of its message. Larger ones go by way of a buffer, since
// what they need is far less than the room they might.
const maxDirect = 32 << 10

// encode appends the messages of record i.
func (c *converter) encode(dst *connect.Messages, b *connect.Batch, i int) error {
	r := &b.Records[i]
	room := c.w.room(r)
	buf := c.buf[:0]
	if room <= maxDirect {
		buf = dst.Scratch(room)
	}
	buf, n, err := c.text(buf, r)
	if room > maxDirect {
		c.buf = buf[:0]
	}
	if err != nil {
		return err
	}
	if room <= maxDirect {
		buf = dst.Use(buf)
	} else {
		buf = copyOf(dst, buf)
	}
	headers, err := c.headers(dst, b, i)
	if err != nil {
		return err
	}
	m := message(dst, r)
	m.Count, m.Headers, m.Seq = 1, headers, r.DoneSeq()
	if n > 0 {
		m.Key = buf[:n:n]
	}
	if tombstone(r) {
		return nil
	}
	m.Value = buf[n:]
	if key := m.Key; c.tombstones && r.Op == connect.OpDelete && r.Flags&connect.Unwrapped == 0 && key != nil {
		m.Seq = 0 // the change is told when the tombstone is
		m = message(dst, r)
		m.Key, m.Seq = key, r.DoneSeq() // it holds no record: Count is 0
	}
	return nil
}

// tombstone reports whether the key of r says it all.
func tombstone(r *connect.Record) bool {
	return r.Op == connect.OpDelete && r.Flags&connect.Unwrapped != 0 && r.After == nil
}

// text appends the key of r, whose length it returns, and its value.
func (c *converter) text(dst []byte, r *connect.Record) (_ []byte, key int, err error) {
	dst, err = c.w.AppendKey(dst, r)
	if err != nil {
		return dst, 0, err
	}
	key = len(dst)
	if tombstone(r) {
		if key == 0 {
			err = fmt.Errorf("convert: table %s: a delete without an envelope is a key without a value, but the table has no key; leave the envelope on", r.Table)
		}
		return dst, key, err
	}
	dst, err = c.w.AppendValue(dst, r)
	return dst, key, err
}

// message adds a message for r.
func message(dst *connect.Messages, r *connect.Record) *connect.Message {
	m := dst.Add()
	m.Topic, m.Partition, m.Time = r.Topic, r.Partition, r.Time
	m.Op, m.Table, m.Origin = r.Op, r.Table, r.Origin
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
	list := dst.NewHeaders(n)[:0]
	for _, h := range r.Headers {
		if h.Key == connect.HeaderSchemaChange {
			continue // here columns have no shape but that of each message
		}
		if flat || h.Key != connect.HeaderTransaction { // it is in the envelope
			list = append(list, connect.Header{Key: h.Key, Value: copyOf(dst, h.Value)})
		}
	}
	var num [20]byte
	list = append(list, connect.Header{Key: headerSeq, Value: copyOf(dst, strconv.AppendUint(num[:0], r.Seq, 10))})
	if flat {
		op := dst.Alloc(1)
		op[0] = byte(r.Op)
		list = append(list, connect.Header{Key: headerOp, Value: op})
	}
	if end {
		list = append(list, connect.Header{Key: headerTxEnd, Value: copyOf(dst, trueText)})
	}
	if moved {
		h, err := c.movedHeader(dst, b, i)
		if err != nil {
			return nil, err
		}
		list = append(list, h)
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
	p, err := c.w.AppendKey(p, &b.Records[other])
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
			if isOutage(err) {
				return err
			}
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
