package convert

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/towline/towline/schema"
)

func appendAvroText(dst []byte, s string) []byte {
	return append(binary.AppendVarint(dst, int64(len(s))), s...)
}

func appendAvroBytes(dst, b []byte) []byte {
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

// appendValue appends a value that is there and not NULL. Errors leave garbage
// behind dst's length.
func (e *avroEncoder) appendValue(dst []byte, f *field, v schema.Value) ([]byte, error) {
	kind := v.Kind()
	if kind == schema.RawString {
		return dst, fmt.Errorf("a rawstring of %d bytes is not text in charset %s; correct the row, or use value.converter=frame, which holds it", len(v.Bytes()), f.column.Charset)
	}
	if err := f.takes(kind); err != nil {
		return dst, err
	}
	switch f.form {
	case formBool:
		return append(dst, byte(min(v.Uint(), 1))), nil
	case formInt16, formInt32, formInt64, formUnsignedLong:
		return appendAvroInteger(dst, f, v)
	case formUnsigned:
		buf := binary.BigEndian.AppendUint64(make([]byte, 1, 9), v.Uint())
		return appendAvroBytes(dst, shortest(buf)), nil
	case formFloat32:
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(v.Float()))), nil
	case formFloat64:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float())), nil
	case formDecimal, formDecimalDouble, formDecimalString:
		return e.appendDecimalValue(dst, f.form, v)
	case formText, formJSON:
		if !utf8.Valid(v.Bytes()) {
			return dst, errors.New("a string is not UTF-8")
		}
		return appendAvroBytes(dst, v.Bytes()), nil
	case formBinary:
		return e.appendBinary(dst, v.Bytes()), nil
	case formBits:
		var buf [8]byte
		binary.LittleEndian.PutUint64(buf[:], v.Uint())
		return appendAvroBytes(dst, buf[:min((f.column.Length+7)/8, 8)]), nil
	case formYear:
		return binary.AppendVarint(dst, int64(v.Uint())), nil
	case formEnum:
		el, err := f.element(v.Uint())
		return appendAvroText(dst, el), err
	case formSet:
		return appendAvroSet(dst, f, v.Uint())
	case formGeometry, formPoint:
		return appendAvroGeometry(dst, v.Bytes(), f.form == formPoint)
	case formVector:
		return appendAvroVector(dst, v.Bytes())
	case formISODate, formISODateTime, formISOTime, formZoned:
		return e.appendISO(dst, f, v), nil
	}
	n, err := e.epochCount(f, v)
	return binary.AppendVarint(dst, n), err
}

func appendAvroInteger(dst []byte, f *field, v schema.Value) ([]byte, error) {
	if err := f.fitsSigned(v); err != nil {
		return dst, err
	}
	n := int64(0)
	if v.Kind() == schema.Int {
		n = v.Int()
	} else {
		n = int64(v.Uint())
	}
	if (f.form == formInt16 || f.form == formInt32) && int64(int32(n)) != n {
		return dst, fmt.Errorf("%s %d is beyond the column's range", v.Kind(), n)
	}
	return binary.AppendVarint(dst, n), nil
}

func (e *avroEncoder) appendDecimalValue(dst []byte, form form, v schema.Value) ([]byte, error) {
	if n, narrow := v.Narrow(); narrow && form == formDecimal {
		var buf [8]byte
		binary.BigEndian.PutUint64(buf[:], uint64(n))
		return appendAvroBytes(dst, shortest(buf[:])), nil
	}
	var buf [80]byte
	digits := v.AppendDecimal(buf[:0])
	switch form {
	case formDecimalString:
		return appendAvroBytes(dst, digits), nil
	case formDecimalDouble:
		f, err := strconv.ParseFloat(text(digits), 64)
		if err != nil || !holdsDecimal(f, digits) {
			return dst, fmt.Errorf("a double does not hold decimal %s; set %s=precise or string", string(digits), optDecimal)
		}
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f)), nil
	}
	var raw [32]byte
	b, ok := appendUnscaled(raw[:0], digits)
	if !ok {
		return dst, fmt.Errorf("%q is not a decimal of at most 65 digits", string(digits))
	}
	return appendAvroBytes(dst, b), nil
}

func (e *avroEncoder) appendBinary(dst, b []byte) []byte {
	switch e.opts.Binary {
	case BinaryBase64:
		dst = binary.AppendVarint(dst, int64(base64.StdEncoding.EncodedLen(len(b))))
		return base64.StdEncoding.AppendEncode(dst, b)
	case BinaryBase64URL:
		dst = binary.AppendVarint(dst, int64(base64.URLEncoding.EncodedLen(len(b))))
		return base64.URLEncoding.AppendEncode(dst, b)
	case BinaryHex:
		dst = binary.AppendVarint(dst, int64(hex.EncodedLen(len(b))))
		return hex.AppendEncode(dst, b)
	}
	return appendAvroBytes(dst, b)
}

// appendISO appends the text that JSON has between quotes. It is shorter than
// 64 bytes, so its length is one byte and stands where the first quote did.
func (e *avroEncoder) appendISO(dst []byte, f *field, v schema.Value) []byte {
	begin := len(dst)
	dst = e.Encoder.appendISO(dst, f, v)
	dst = dst[:len(dst)-1]
	dst[begin] = byte(len(dst)-begin-1) << 1
	return dst
}

func appendAvroSet(dst []byte, f *field, mask uint64) ([]byte, error) {
	if err := f.checkSet(mask); err != nil {
		return dst, err
	}
	n := -1 // commas are one less than elements
	for i, el := range f.column.Elements {
		if mask&(1<<i) != 0 {
			n += 1 + len(el)
		}
	}
	dst = binary.AppendVarint(dst, int64(max(n, 0)))
	some := 0
	for i, el := range f.column.Elements {
		if mask&(1<<i) != 0 {
			dst = append(comma(dst, some), el...)
			some++
		}
	}
	return dst, nil
}

func appendAvroGeometry(dst, b []byte, point bool) ([]byte, error) {
	if len(b) < 9 {
		return dst, fmt.Errorf("geometry of %d bytes is too short", len(b))
	}
	srid, wkb := binary.LittleEndian.Uint32(b), b[4:]
	if point {
		x, y, ok := pointOf(wkb)
		if !ok {
			return dst, fmt.Errorf("geometry %x is not a point", wkb)
		}
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(y))
		dst = append(dst, second) // the bytes of a point are optional, those of others are not
	}
	dst = appendAvroBytes(dst, wkb)
	switch {
	case srid == 0:
		return append(dst, first), nil
	case srid > math.MaxInt32:
		return dst, fmt.Errorf("the SRID %d of a geometry is beyond 31 bits", srid)
	}
	return binary.AppendVarint(append(dst, second), int64(srid)), nil
}

func appendAvroVector(dst, b []byte) ([]byte, error) {
	if len(b)%4 != 0 {
		return dst, fmt.Errorf("vector of %d bytes is not a run of floats", len(b))
	}
	if len(b) > 0 {
		dst = append(binary.AppendVarint(dst, int64(len(b)/4)), b...) // little-endian here and there
	}
	return append(dst, 0), nil
}
