package convert

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// reader reads one value that is not null.
type reader func(dst *connect.Batch, d *decoder, s *scanner, c *schema.Column) (schema.Value, error)

// semanticReaders read the semantic types; those of time are in their own file.
var semanticReaders = map[string]reader{
	decimalName:                          readDecimal,
	"io.debezium.data.Bits":              readBits,
	"io.debezium.data.Enum":              readEnum,
	"io.debezium.data.EnumSet":           readSet,
	"io.debezium.data.Json":              readJSON,
	"io.debezium.data.geometry.Geometry": readGeometry,
	"io.debezium.data.geometry.Point":    readGeometry,
	"io.debezium.data.FloatVector":       readVector,
	"io.debezium.time.Year":              readYear,
}

// readerOf returns the reader for a field of a schema into a column, nil if
// there is none.
func readerOf(f *connectSchema, c *schema.Column) reader {
	if r := semanticReaders[f.Name]; r != nil {
		return r
	}
	if r := temporalReader(f.Name); r != nil {
		return r
	}
	switch f.Type {
	case "boolean":
		return readBool
	case "int8", "int16", "int32", "int64":
		return readInteger
	case "float", "float32", "double", "float64":
		if c.Type == schema.TypeDecimal {
			return readDecimalText
		}
		return readFloat
	case "bytes":
		return readBytes
	case "string":
		switch {
		case c.Type == schema.TypeDecimal:
			return readDecimalText
		case c.Type.IsBinary():
			return readBinaryText
		}
		return readText
	}
	return nil
}

func readBool(_ *connect.Batch, _ *decoder, s *scanner, _ *schema.Column) (schema.Value, error) {
	switch {
	case s.word("true"):
		return schema.MakeNum(schema.Bit, 1), nil
	case s.word("false"):
		return schema.MakeNum(schema.Bit, 0), nil
	}
	return schema.Value{}, fmt.Errorf("true or false is expected at byte %d", s.pos)
}

func readInteger(_ *connect.Batch, _ *decoder, s *scanner, c *schema.Column) (schema.Value, error) {
	b, err := s.number()
	if err != nil {
		return schema.Value{}, err
	}
	if c.Unsigned {
		n, err := strconv.ParseUint(text(b), 10, 64)
		if err != nil {
			return schema.Value{}, fmt.Errorf("%q is not an unsigned whole number", b)
		}
		return schema.MakeUint(n), nil
	}
	n, err := integer(b, 64)
	return schema.MakeInt(n), err
}

func readYear(_ *connect.Batch, _ *decoder, s *scanner, _ *schema.Column) (schema.Value, error) {
	b, err := s.number()
	if err != nil {
		return schema.Value{}, err
	}
	n, err := strconv.ParseUint(text(b), 10, 16)
	if err != nil {
		return schema.Value{}, fmt.Errorf("%q is not a year", b)
	}
	return schema.MakeNum(schema.Year, n), nil
}

func readFloat(_ *connect.Batch, _ *decoder, s *scanner, c *schema.Column) (schema.Value, error) {
	b, err := s.number()
	if err != nil {
		return schema.Value{}, err
	}
	bits := 64
	if c.Type == schema.TypeFloat {
		bits = 32
	}
	f, err := strconv.ParseFloat(text(b), bits)
	if err != nil {
		return schema.Value{}, fmt.Errorf("%q is not a number of %d bits", b, bits)
	}
	if bits == 32 {
		return schema.MakeFloat32(float32(f)), nil
	}
	return schema.MakeFloat64(f), nil
}

func readText(dst *connect.Batch, _ *decoder, s *scanner, _ *schema.Column) (schema.Value, error) {
	b, err := s.text(dst)
	return schema.MakeBytes(schema.String, b), err
}

func readJSON(dst *connect.Batch, _ *decoder, s *scanner, _ *schema.Column) (schema.Value, error) {
	b, err := s.text(dst)
	return schema.MakeBytes(schema.JSON, b), err
}

// base64Text reads a string of base64 into dst.
func base64Text(dst *connect.Batch, s *scanner) ([]byte, error) {
	raw, escapes, err := s.quoted()
	if err != nil {
		return nil, err
	}
	if escapes {
		return nil, errors.New("a string of base64 has escapes")
	}
	p := dst.Scratch(base64.StdEncoding.DecodedLen(len(raw)))
	if p, err = base64.StdEncoding.AppendDecode(p, raw); err != nil {
		return nil, err
	}
	return dst.Use(p), nil
}

func readBytes(dst *connect.Batch, _ *decoder, s *scanner, _ *schema.Column) (schema.Value, error) {
	b, err := base64Text(dst, s)
	return schema.MakeBytes(schema.Bytes, b), err
}

// readBinaryText reads binary that was written as text in the decoder's own
// binary mode.
func readBinaryText(dst *connect.Batch, d *decoder, s *scanner, _ *schema.Column) (schema.Value, error) {
	raw, err := s.text(dst)
	if err != nil {
		return schema.Value{}, err
	}
	return binaryOf(dst, d, raw)
}

func binaryOf(dst *connect.Batch, d *decoder, raw []byte) (_ schema.Value, err error) {
	p := dst.Scratch(len(raw))
	switch d.binary {
	case BinaryHex:
		p, err = hex.AppendDecode(p, raw)
	case BinaryBase64URL:
		p, err = base64.URLEncoding.AppendDecode(p, raw)
	default:
		p, err = base64.StdEncoding.AppendDecode(p, raw)
	}
	if err != nil {
		return schema.Value{}, fmt.Errorf("%w; %s must be the same here as where it was written", err, optBinary)
	}
	return schema.MakeBytes(schema.Bytes, dst.Use(p)), nil
}

func readBits(dst *connect.Batch, _ *decoder, s *scanner, _ *schema.Column) (schema.Value, error) {
	b, err := base64Text(dst, s)
	if err != nil {
		return schema.Value{}, err
	}
	return bitsOf(b)
}

func bitsOf(b []byte) (schema.Value, error) {
	if len(b) > 8 {
		return schema.Value{}, fmt.Errorf("%d bytes of bits are more than 8", len(b))
	}
	var buf [8]byte
	copy(buf[:], b)
	return schema.MakeNum(schema.Bit, binary.LittleEndian.Uint64(buf[:])), nil
}

func readEnum(dst *connect.Batch, _ *decoder, s *scanner, c *schema.Column) (schema.Value, error) {
	b, err := s.text(dst)
	if err != nil {
		return schema.Value{}, err
	}
	return enumOf(b, c)
}

func enumOf(b []byte, c *schema.Column) (schema.Value, error) {
	for i, e := range c.Elements {
		if e == text(b) {
			return schema.MakeNum(schema.Enum, uint64(i+1)), nil
		}
	}
	if len(b) > 0 {
		return schema.Value{}, fmt.Errorf("%q is not an element of the enum", b)
	}
	return schema.MakeNum(schema.Enum, 0), nil
}

func readSet(dst *connect.Batch, _ *decoder, s *scanner, c *schema.Column) (schema.Value, error) {
	b, err := s.text(dst)
	if err != nil {
		return schema.Value{}, err
	}
	return setOf(b, c)
}

func setOf(b []byte, c *schema.Column) (schema.Value, error) {
	var mask uint64
	for len(b) > 0 {
		elem := b
		if i := indexComma(b); i >= 0 {
			elem, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		at := -1
		for i, e := range c.Elements {
			if e == text(elem) && i < 64 {
				at = i
			}
		}
		if at < 0 {
			return schema.Value{}, fmt.Errorf("%q is not an element of the set", elem)
		}
		mask |= 1 << at
	}
	return schema.MakeNum(schema.Set, mask), nil
}

func indexComma(b []byte) int {
	for i, c := range b {
		if c == ',' {
			return i
		}
	}
	return -1
}

func readGeometry(dst *connect.Batch, _ *decoder, s *scanner, _ *schema.Column) (schema.Value, error) {
	var wkb []byte
	var srid uint64
	err := s.object(func(name []byte) (err error) {
		switch string(name) {
		case "wkb":
			wkb, err = base64Text(dst, s)
		case "srid":
			if s.null() {
				return nil
			}
			var b []byte
			if b, err = s.number(); err == nil {
				srid, err = strconv.ParseUint(text(b), 10, 32)
			}
		default:
			_, err = s.raw()
		}
		return err
	})
	if err != nil {
		return schema.Value{}, err
	}
	return geometryOf(dst, wkb, uint32(srid)), nil
}

func geometryOf(dst *connect.Batch, wkb []byte, srid uint32) schema.Value {
	p := dst.Alloc(4 + len(wkb))
	binary.LittleEndian.PutUint32(p, srid)
	copy(p[4:], wkb)
	return schema.MakeBytes(schema.Geometry, p)
}

func readVector(dst *connect.Batch, _ *decoder, s *scanner, _ *schema.Column) (schema.Value, error) {
	p := dst.Scratch(64)
	err := s.array(func() error {
		b, err := s.number()
		if err != nil {
			return err
		}
		f, err := strconv.ParseFloat(text(b), 32)
		if err != nil {
			return fmt.Errorf("%q is not a number of 32 bits", b)
		}
		p = binary.LittleEndian.AppendUint32(p, math.Float32bits(float32(f)))
		return nil
	})
	return schema.MakeBytes(schema.Vector, dst.Use(p)), err
}
