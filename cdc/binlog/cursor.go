package binlog

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// cursor takes a body apart. After the first fault all reads give zero and
// bad is set, so that callers check once at the end.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) fail() {
	c.bad, c.b = true, nil
}

// take returns the next n bytes, nil if there are fewer.
func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.fail()
		return nil
	}
	p := c.b[:n:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) u8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if p := c.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if p := c.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if p := c.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// uint reads n <= 8 bytes, little-endian.
func (c *cursor) uint(n uint64) uint64 {
	var v uint64
	for i, b := range c.take(n) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

// packed reads a length-encoded integer of the client protocol.
func (c *cursor) packed() uint64 {
	switch n := c.u8(); n {
	default:
		return uint64(n)
	case 252:
		return c.uint(2)
	case 253:
		return c.uint(3)
	case 254:
		return c.uint(8)
	case 251, 255:
		c.fail()
		return 0
	}
}

// packedBytes reads bytes with their packed length in front.
func (c *cursor) packedBytes() []byte { return c.take(c.packed()) }

// short reads bytes with a one-byte length in front.
func (c *cursor) short() []byte { return c.take(uint64(c.u8())) }

// zero reads the NUL that ends a name.
func (c *cursor) zero() {
	if c.u8() != 0 {
		c.fail()
	}
}

// cstring reads up to a NUL.
func (c *cursor) cstring() []byte {
	i := bytes.IndexByte(c.b, 0)
	if i < 0 {
		c.fail()
		return nil
	}
	p := c.b[:i:i]
	c.b = c.b[i+1:]
	return p
}

// varint reads an unsigned number of the server's serialization library: as
// many one-bits at the low end of the first byte as bytes follow, then the
// number in the bits that are left, little-endian.
func (c *cursor) varint() uint64 {
	if len(c.b) == 0 {
		c.fail()
		return 0
	}
	n := bits.TrailingZeros8(^c.b[0]) + 1
	p := c.take(uint64(n))
	if p == nil {
		return 0
	}
	if n == 9 {
		return binary.LittleEndian.Uint64(p[1:])
	}
	var v uint64
	for i, b := range p {
		v |= uint64(b) << (8 * i)
	}
	return v >> n
}

// signed reads a signed number of the serialization library; its sign is the
// lowest bit.
func (c *cursor) signed() int64 {
	v := c.varint()
	if v&1 == 0 {
		return int64(v >> 1)
	}
	return -1 - int64(v>>1)
}
