package connect

import "github.com/towline/towline/schema"

// Message is what travels in a log: one record or many, encoded by a
// Converter.
type Message struct {
	Topic     string
	Partition int32
	Count     int32 // records inside
	Offset    int64 // place in the partition; set by the log
	Time      int64 // microseconds since 1970: that of the last record
	Key       []byte
	Value     []byte // nil: a tombstone
	Headers   []Header
	// Source and Seq are kept by logs that are not Atomic, so that a source that
	// goes on after a crash finds what is there: the task that appended the
	// message, set by the worker, and the Seq up to which all of its changes for
	// this partition are in this message and those before it, set by the
	// Converter (0: not told). Other logs may drop them.
	Source string
	Seq    uint64
	// Op, Table and Origin are those of the one record inside, where a Converter
	// makes a message of each: a log may show them to readers who know nothing of
	// Converters, and gives none of them back. Origin belongs to the batch.
	Op     Op
	Table  *schema.Table
	Origin *Origin
}

// Messages is a run of messages and the memory they point into. The caller
// owns it; the rules are those of Batch.
type Messages struct {
	List []Message

	array   array[Message] // that List lies in
	bytes   slab[byte]
	headers slab[Header]
	size    int
}

const messageSlab = 256 << 10

// Reset empties m and gives its memory back.
func (m *Messages) Reset() {
	m.List, m.size = m.array.give(m.List, &messageStock), 0
	m.bytes.rewind(&byteStock)
	m.headers.reset(&headerStock)
}

// Add appends a zero Message and returns it. It is valid until the next Add.
func (m *Messages) Add() *Message {
	n := len(m.List)
	if n == cap(m.List) {
		m.List = m.array.room(m.List, 1, &messageStock)
	}
	m.List = m.List[:n+1]
	return &m.List[n]
}

// Alloc returns n bytes in m's memory, with no capacity beyond them. Their
// content is not defined.
func (m *Messages) Alloc(n int) []byte { m.size += n; return m.bytes.take(n, messageSlab, &byteStock) }

// Scratch returns an empty slice in m's memory with room for at least n bytes,
// to append to; pass what was appended to Use. Nothing else may be allocated
// from m in between.
func (m *Messages) Scratch(n int) []byte { return m.bytes.peek(n, messageSlab, &byteStock) }

// Use keeps p, which was appended to the slice of the last Scratch.
func (m *Messages) Use(p []byte) []byte { m.size += len(p); return m.bytes.keep(p) }

// NewHeaders returns n zero headers in m's memory.
func (m *Messages) NewHeaders(n int) []Header { return m.headers.take(n, headerSlab, &headerStock) }

// Size returns the bytes that were taken from m's memory since Reset.
func (m *Messages) Size() int { return m.size }
