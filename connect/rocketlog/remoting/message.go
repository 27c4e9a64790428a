package remoting

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Properties of a message are names and values with a byte 1 between and a
// byte 2 behind, so neither may hold those.
const (
	nameEnd  = 1
	valueEnd = 2
)

// MaxProperties is the most bytes of properties that a broker takes.
const MaxProperties = 32767

// AppendProperty appends a property.
func AppendProperty[T string | []byte](dst []byte, name string, value T) []byte {
	dst = append(append(dst, name...), nameEnd)
	return append(append(dst, value...), valueEnd)
}

// AppendMessage appends a message to the body of a batch. Its own body is the
// two parts one after the other; its properties are appended by props.
func AppendMessage(dst, body1, body2 []byte, props func(dst []byte) []byte) []byte {
	begin, size := len(dst), len(body1)+len(body2)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // size; magic, checksum and flag are the broker's
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = append(append(append(dst, body1...), body2...), 0, 0)
	at := len(dst)
	dst = props(dst)
	binary.BigEndian.PutUint16(dst[at-2:], uint16(len(dst)-at))
	binary.BigEndian.PutUint32(dst[begin:], uint32(len(dst)-begin))
	return dst
}

// Message is one message as a broker stores it. Its bytes are those of the
// answer that it came in.
type Message struct {
	Offset int64
	Stored int64 // milliseconds since 1970
	Body   []byte
	Props  []byte
}

// Property returns the value of a property.
func (m *Message) Property(name string) (value []byte, ok bool) {
	for rest := m.Props; len(rest) > 0; {
		end := bytes.IndexByte(rest, valueEnd)
		if end < 0 {
			end = len(rest)
		}
		p := rest[:end]
		if len(p) > len(name) && p[len(name)] == nameEnd && string(p[:len(name)]) == name {
			return p[len(name)+1:], true
		}
		rest = rest[min(end+1, len(rest)):]
	}
	return nil, false
}

// Each calls f with every property.
func (m *Message) Each(f func(name, value []byte)) {
	for rest := m.Props; len(rest) > 0; {
		end := bytes.IndexByte(rest, valueEnd)
		if end < 0 {
			end = len(rest)
		}
		if name, value, ok := bytes.Cut(rest[:end], []byte{nameEnd}); ok {
			f(name, value)
		}
		rest = rest[min(end+1, len(rest)):]
	}
}

// Stored messages begin with one of these; the second is for topics of more
// than 127 bytes.
const (
	magicV1 = 0xdaa320a7
	magicV2 = 0xdaa320ab
)

// Bits of a message's system flag.
const (
	sysCompressed = 1
	sysBornV6     = 1 << 4
	sysStoreV6    = 1 << 5
)

// appendStored appends the messages of a pull's answer to dst.
func appendStored(dst []Message, b []byte) ([]Message, error) {
	for len(b) > 0 {
		if len(b) < 4 {
			return dst, fmt.Errorf("remoting: %d bytes are behind the last message", len(b))
		}
		size := int(binary.BigEndian.Uint32(b))
		if size < 4 || size > len(b) {
			return dst, fmt.Errorf("remoting: a message of %d bytes in %d", size, len(b))
		}
		m, err := parseStored(b[4:size])
		if err != nil {
			return dst, err
		}
		dst, b = append(dst, m), b[size:]
	}
	return dst, nil
}

// cutter cuts fields off a message; once one is missing all are empty.
type cutter struct {
	b    []byte
	lost bool
}

func (c *cutter) take(n int) []byte {
	if c.lost = c.lost || n < 0 || n > len(c.b); c.lost {
		return make([]byte, 8)
	}
	p := c.b[:n:n]
	c.b = c.b[n:]
	return p
}

func (c *cutter) u32() uint32 { return binary.BigEndian.Uint32(c.take(4)) }
func (c *cutter) u64() uint64 { return binary.BigEndian.Uint64(c.take(8)) }
func (c *cutter) u16() uint16 { return binary.BigEndian.Uint16(c.take(2)) }

func (c *cutter) host(v6 bool) {
	if v6 {
		c.take(16 + 4)
	} else {
		c.take(4 + 4)
	}
}

// parseStored parses a message behind its size.
func parseStored(b []byte) (Message, error) {
	c := cutter{b: b}
	var m Message
	magic, sum := c.u32(), c.u32()
	if magic != magicV1 && magic != magicV2 {
		return m, fmt.Errorf("remoting: a stored message begins with %08x, which is not known", magic)
	}
	c.take(4 + 4) // queue, flag
	m.Offset = int64(c.u64())
	c.take(8) // place in the broker's log
	sys := c.u32()
	c.take(8) // born
	c.host(sys&sysBornV6 != 0)
	m.Stored = int64(c.u64())
	c.host(sys&sysStoreV6 != 0)
	c.take(4 + 8) // times consumed, transaction
	m.Body = c.take(int(c.u32()))
	if magic == magicV1 {
		c.take(int(c.take(1)[0])) // topic
	} else {
		c.take(int(c.u16()))
	}
	m.Props = c.take(int(c.u16()))
	if c.lost {
		return m, fmt.Errorf("remoting: the message at offset %d is cut short", m.Offset)
	}
	if sys&sysCompressed != 0 {
		return m, fmt.Errorf("remoting: the message at offset %d is compressed by its sender, which is not read here", m.Offset)
	}
	if got := crc32.ChecksumIEEE(m.Body) & 0x7fffffff; sum != 0 && got != sum {
		return m, fmt.Errorf("remoting: the message at offset %d is damaged: its checksum is %08x, it says %08x", m.Offset, got, sum)
	}
	return m, nil
}
