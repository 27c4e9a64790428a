package avro

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Cursor reads the binary form from left to right. The zero value of Pos is the
// begin.
type Cursor struct {
	B   []byte
	Pos int
}

// ErrEnd says that a value ends too early.
var ErrEnd = errors.New("the message ends too early")

// Long reads an int or a long.
func (c *Cursor) Long() (int64, error) {
	if c.Pos < len(c.B) && c.B[c.Pos] < 0x80 { // most are short
		u := c.B[c.Pos]
		c.Pos++
		return int64(u>>1) ^ -int64(u&1), nil
	}
	n, k := binary.Varint(c.B[c.Pos:])
	switch {
	case k == 0:
		return 0, ErrEnd
	case k < 0:
		return 0, fmt.Errorf("a number at byte %d has more than 64 bits", c.Pos)
	}
	c.Pos += k
	return n, nil
}

// Int reads an int.
func (c *Cursor) Int() (int32, error) {
	n, err := c.Long()
	if err == nil && (n < math.MinInt32 || n > math.MaxInt32) {
		err = fmt.Errorf("%d before byte %d is not a number of 32 bits", n, c.Pos)
	}
	return int32(n), err
}

// Take reads n bytes.
func (c *Cursor) Take(n int) ([]byte, error) {
	if n < 0 || n > len(c.B)-c.Pos {
		return nil, ErrEnd
	}
	b := c.B[c.Pos : c.Pos+n : c.Pos+n]
	c.Pos += n
	return b, nil
}

// Bytes reads bytes or a string.
func (c *Cursor) Bytes() ([]byte, error) {
	n, err := c.Long()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > int64(len(c.B)-c.Pos) {
		return nil, fmt.Errorf("%w: %d bytes are said to follow byte %d, and %d do", ErrEnd, n, c.Pos, len(c.B)-c.Pos)
	}
	return c.Take(int(n))
}

// Bool reads a boolean.
func (c *Cursor) Bool() (bool, error) {
	b, err := c.Take(1)
	switch {
	case err != nil:
		return false, err
	case b[0] > 1:
		return false, fmt.Errorf("byte %d of a boolean is %d", c.Pos-1, b[0])
	}
	return b[0] == 1, nil
}

// Float reads a float.
func (c *Cursor) Float() (float32, error) {
	b, err := c.Take(4)
	if err != nil {
		return 0, err
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(b)), nil
}

// Double reads a double.
func (c *Cursor) Double() (float64, error) {
	b, err := c.Take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
}

// Branch reads which type of a union a value has.
func (c *Cursor) Branch(s *Schema) (*Schema, error) {
	n, err := c.Long()
	if err != nil {
		return nil, err
	}
	if n < 0 || n >= int64(len(s.Branches)) {
		return nil, fmt.Errorf("the value before byte %d is of type %d of a union that has %d", c.Pos, n, len(s.Branches))
	}
	return s.Branches[n], nil
}

// Each reads a block of an array or a map after another, and calls item for
// each item; it returns the first error.
func (c *Cursor) Each(s *Schema, item func() error) error {
	for {
		n, err := c.block(s)
		if n == 0 || err != nil {
			return err
		}
		for ; n > 0; n-- {
			if err := item(); err != nil {
				return err
			}
		}
	}
}

// block reads the number of items that follow.
func (c *Cursor) block(s *Schema) (int64, error) {
	n, err := c.Long()
	if err != nil {
		return 0, err
	}
	if n < 0 {
		if _, err = c.Long(); err != nil { // its bytes
			return 0, err
		}
		n = -n
	}
	least := s.Items.least
	if s.Kind == Map {
		least++
	}
	if rest := int64(len(c.B) - c.Pos); n < 0 || n > rest/int64(max(least, 1)) {
		return 0, fmt.Errorf("%w: %d items are said to follow byte %d, and %d bytes do", ErrEnd, n, c.Pos, rest)
	}
	return n, nil
}

// Skip passes over a value.
func (c *Cursor) Skip(s *Schema) error { return c.skip(s, 0) }

func (c *Cursor) skip(s *Schema, depth int) (err error) {
	if depth > maxDepth {
		return fmt.Errorf("values lie in each other more than %d deep", maxDepth)
	}
	switch s.Kind {
	case Boolean:
		_, err = c.Bool()
	case Int, Long, Enum:
		_, err = c.Long()
	case Float:
		_, err = c.Take(4)
	case Double:
		_, err = c.Take(8)
	case Bytes, String:
		_, err = c.Bytes()
	case Fixed:
		_, err = c.Take(s.Size)
	case Union:
		var b *Schema
		if b, err = c.Branch(s); err == nil {
			err = c.skip(b, depth+1)
		}
	case Record:
		for i := range s.Fields {
			if err = c.skip(s.Fields[i].Type, depth+1); err != nil {
				return err
			}
		}
	case Array, Map:
		err = c.Each(s, func() error {
			if s.Kind == Map {
				if _, err := c.Bytes(); err != nil {
					return err
				}
			}
			return c.skip(s.Items, depth+1)
		})
	}
	return err
}
