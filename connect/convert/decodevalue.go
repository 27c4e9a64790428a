package convert

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
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
	p := dst.Alloc(4 + len(wkb))
	binary.LittleEndian.PutUint32(p, uint32(srid))
	copy(p[4:], wkb)
	return schema.MakeBytes(schema.Geometry, p), nil
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

// readDecimal reads Kafka Connect's Decimal: a string in base64, or a number.
func readDecimal(dst *connect.Batch, d *decoder, s *scanner, c *schema.Column) (schema.Value, error) {
	if s.peek() != '"' {
		return readDecimalText(dst, d, s, c)
	}
	b, err := base64Text(dst, s)
	if err != nil {
		return schema.Value{}, err
	}
	if len(b) == 0 || len(b) > 28 {
		return schema.Value{}, fmt.Errorf("%d bytes of a decimal are not 1 to 28", len(b))
	}
	n := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if c.Type.IsInteger() {
		if !n.IsUint64() {
			return schema.Value{}, fmt.Errorf("%s is not an unsigned number of 64 bits", n)
		}
		return schema.MakeUint(n.Uint64()), nil
	}
	var buf [80]byte
	return decimalValue(dst, append(append(buf[:0], n.String()...), 'e', '-', byte('0'+c.Scale/10), byte('0'+c.Scale%10)), c)
}

// readDecimalText reads a decimal that is a number or a string of digits.
func readDecimalText(dst *connect.Batch, _ *decoder, s *scanner, c *schema.Column) (schema.Value, error) {
	var b []byte
	var err error
	if s.peek() == '"' {
		b, _, err = s.quoted()
	} else {
		b, err = s.number()
	}
	if err != nil {
		return schema.Value{}, err
	}
	if c.Type.IsInteger() {
		n, err := strconv.ParseUint(text(b), 10, 64)
		if err != nil {
			return schema.Value{}, fmt.Errorf("%q is not an unsigned number of 64 bits", b)
		}
		return schema.MakeUint(n), nil
	}
	return decimalValue(dst, b, c)
}

// decimalValue makes a value of a number with or without point and exponent.
func decimalValue(dst *connect.Batch, b []byte, c *schema.Column) (schema.Value, error) {
	p, err := canonical(dst.Scratch(80), b, c.Scale)
	if err != nil {
		return schema.Value{}, err
	}
	if digits := len(p); digits > 68 || c.Precision <= schema.MaxNarrowDecimal && digits > 20 {
		return schema.Value{}, fmt.Errorf("%q is more than a decimal(%d,%d) holds", b, c.Precision, c.Scale)
	}
	return schema.ParseDecimal(dst.Use(p), c.Precision, c.Scale)
}

// canonical appends a number with exactly scale digits behind its point.
func canonical(dst, b []byte, scale int) ([]byte, error) {
	bad := func() error { return fmt.Errorf("%q is not a decimal of scale %d", string(b), scale) }
	neg := len(b) > 0 && b[0] == '-'
	num := b
	if neg {
		num = num[1:]
	}
	var digits [160]byte
	n, point, seen, exp := 0, 0, false, 0
	for i, c := range num {
		switch {
		case c >= '0' && c <= '9' && n < 80:
			if n > 0 || c != '0' { // leading zeros count for the point alone
				digits[n] = c
				n++
			}
			if seen {
				point++
			}
			continue
		case c == '.' && !seen:
			seen = true
			continue
		case (c == 'e' || c == 'E') && i > 0:
			var err error
			if exp, err = strconv.Atoi(string(num[i+1:])); err != nil || exp > 80 || exp < -80 {
				return nil, bad()
			}
		default:
			return nil, bad()
		}
		break
	}
	if len(num) == 0 || num[0] == '.' || num[0] == 'e' || num[0] == 'E' {
		return nil, bad()
	}
	for shift := scale - point + exp; shift != 0 && n > 0; {
		if shift > 0 && n < len(digits) {
			digits[n] = '0'
			n++
			shift--
			continue
		}
		if n == len(digits) || digits[n-1] != '0' {
			return nil, bad()
		}
		n--
		shift++
	}
	if neg && n > 0 {
		dst = append(dst, '-')
	}
	if n <= scale {
		dst = append(dst, '0')
	} else {
		dst = append(dst, digits[:n-scale]...)
	}
	if scale > 0 {
		dst = append(dst, '.')
		for i := n; i < scale; i++ {
			dst = append(dst, '0')
		}
		dst = append(dst, digits[max(n-scale, 0):n]...)
	}
	return dst, nil
}
