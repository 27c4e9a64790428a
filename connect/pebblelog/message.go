package pebblelog

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema/wire"
)

// messageVersion is the first byte of a head.
const messageVersion = 1

const (
	flagKey = 1 << iota
	flagValue
	flagParts
	flagShared // in runs only
	knownFlags = flagKey | flagValue | flagParts | flagShared
)

// partBytes is the size of the parts of a large value. It is well below the
// size at which Pebble keeps a batch in memory as a memtable of its own.
const partBytes = 4 << 20

// partsOf returns the number of parts of a value; 0: it stands in the head.
func partsOf(value []byte) int {
	if len(value) <= partBytes {
		return 0
	}
	return (len(value) + partBytes - 1) / partBytes
}

// headLen returns the length of what appendHead appends.
func headLen(m *connect.Message) int {
	n := 2 + uvarintLen(uint64(uint32(m.Count))) + uvarintLen(zigzag(m.Time)) + uvarintLen(uint64(len(m.Headers)))
	if m.Key != nil {
		n += uvarintLen(uint64(len(m.Key))) + len(m.Key)
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		n += uvarintLen(uint64(len(h.Key))) + len(h.Key) + 1
		if h.Value != nil {
			n += uvarintLen(uint64(len(h.Value))+1) - 1 + len(h.Value)
		}
	}
	if parts := partsOf(m.Value); parts > 0 {
		return n + uvarintLen(uint64(len(m.Value))) + uvarintLen(uint64(parts))
	}
	return n + len(m.Value)
}

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }

// appendHead appends the head of m without its value if that is in parts.
func appendHead(dst []byte, m *connect.Message) []byte { return appendSharedHead(dst, m, 0) }

// appendSharedHead appends the head of m. The first shared bytes of its value
// are left to those of the first message of its run; 0: none are.
func appendSharedHead(dst []byte, m *connect.Message, shared int) []byte {
	parts := partsOf(m.Value)
	var flags byte
	if m.Key != nil {
		flags |= flagKey
	}
	if m.Value != nil {
		flags |= flagValue
	}
	if parts > 0 {
		flags |= flagParts
	}
	if shared > 0 {
		flags |= flagShared
	}
	dst = append(dst, messageVersion, flags)
	dst = binary.AppendUvarint(dst, uint64(uint32(m.Count)))
	dst = binary.AppendVarint(dst, m.Time)
	if m.Key != nil {
		dst = wire.AppendString(dst, m.Key)
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Headers)))
	for i := range m.Headers {
		dst = appendHeader(dst, &m.Headers[i])
	}
	if parts > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(m.Value)))
		return binary.AppendUvarint(dst, uint64(parts))
	}
	if shared > 0 {
		dst = binary.AppendUvarint(dst, uint64(shared))
	}
	return append(dst, m.Value[shared:]...)
}

func appendHeader(dst []byte, h *connect.Header) []byte {
	dst = wire.AppendString(dst, h.Key)
	if h.Value == nil {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(h.Value))+1)
	return append(dst, h.Value...)
}

var errHead = errors.New("the message does not parse")

// parseHead fills msg, all but its place, from head, which msg then points
// into. It returns the length and number of parts of a value that is not in
// head, or the length of what a value shares with base, the value of the first
// message of its run. names interns the names of headers.
func parseHead(m *connect.Messages, msg *connect.Message, head, base []byte, names map[string]string) (length, parts int, err error) {
	r := wire.NewReader(head)
	version, flags := r.Byte(), r.Byte()
	if version != messageVersion || flags&^knownFlags != 0 {
		return 0, 0, errHead
	}
	msg.Count = int32(r.Uvarint())
	msg.Time = r.Varint()
	if flags&flagKey != 0 {
		msg.Key = r.Bytes()
	}
	if n := r.Count(1); n > 0 {
		msg.Headers = m.NewHeaders(n)
		for i := range msg.Headers {
			readHeader(&r, &msg.Headers[i], names)
		}
	}
	switch {
	case flags&flagParts != 0:
		length, parts = int(r.Uvarint()), int(r.Uvarint())
		if length <= 0 || parts != (length+partBytes-1)/partBytes {
			return 0, 0, errHead
		}
	case flags&flagShared != 0:
		shared := r.Uvarint()
		rest := r.Take(uint64(len(r.Rest())))
		if shared == 0 || shared > uint64(len(base)) || flags&flagValue == 0 {
			return 0, 0, errHead
		}
		length = int(shared)
		msg.Value = m.Alloc(length + len(rest))
		copy(msg.Value[copy(msg.Value, base[:length]):], rest)
	case flags&flagValue != 0:
		msg.Value = r.Take(uint64(len(r.Rest())))
	}
	if !r.Done() {
		return 0, 0, errHead
	}
	return length, parts, nil
}

// maxNames bounds the interned names of headers of one reader.
const maxNames = 256

func readHeader(r *wire.Reader, h *connect.Header, names map[string]string) {
	name := r.Bytes()
	s, ok := names[string(name)]
	if !ok {
		s = string(name)
		if len(names) < maxNames {
			names[s] = s
		}
	}
	h.Key = s
	if n := r.Uvarint(); n > 0 {
		h.Value = r.Take(n - 1)
	}
}
