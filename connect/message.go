package connect

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
}

// Messages is a run of messages and the memory they point into. The caller
// owns it; the rules are those of Batch.
type Messages struct {
	List []Message

	bytes   slab[byte]
	headers slab[Header]
	size    int
}

const messageSlab = 256 << 10

// Reset empties m and keeps its memory for reuse.
func (m *Messages) Reset() {
	clear(m.List)
	m.List, m.size = m.List[:0], 0
	m.bytes.rewind()
	m.headers.reset()
}

// Add appends a zero Message and returns it. It is valid until the next Add.
func (m *Messages) Add() *Message {
	n := len(m.List)
	if n < cap(m.List) {
		m.List = m.List[:n+1]
	} else {
		m.List = append(m.List, Message{})
	}
	return &m.List[n]
}

// Alloc returns n bytes in m's memory, with no capacity beyond them. Their
// content is not defined.
func (m *Messages) Alloc(n int) []byte { m.size += n; return m.bytes.take(n, messageSlab) }

// Scratch returns an empty slice in m's memory with room for at least n bytes,
// to append to; pass what was appended to Use. Nothing else may be allocated
// from m in between.
func (m *Messages) Scratch(n int) []byte { return m.bytes.peek(n, messageSlab) }

// Use keeps p, which was appended to the slice of the last Scratch.
func (m *Messages) Use(p []byte) []byte { m.size += len(p); return m.bytes.keep(p) }

// NewHeaders returns n zero headers in m's memory.
func (m *Messages) NewHeaders(n int) []Header { return m.headers.take(n, headerSlab) }

// Size returns the bytes that were taken from m's memory since Reset.
func (m *Messages) Size() int { return m.size }
