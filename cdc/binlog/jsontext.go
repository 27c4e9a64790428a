package binlog

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"github.com/towline/towline/schema"
)

const hexDigits = "0123456789abcdef"

// appendJSONString appends s between quotes. Only quotes, backslashes and
// control characters are escaped, as the server does it. Strings without them
// are copied while they are looked at.
func appendJSONString(dst, s []byte) []byte {
	if cap(dst)-len(dst) < len(s)+2 {
		dst = slices.Grow(dst, len(s)+2)
	}
	n := len(dst) + 1
	to := dst[n-1 : n+len(s)+1]
	to[0] = '"'
	to = to[1:]
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := binary.LittleEndian.Uint64(s[i:])
		if mustEscape(x) {
			break
		}
		binary.LittleEndian.PutUint64(to[i:], x)
	}
	for ; i < len(s); i++ {
		c := s[i]
		if c < 0x20 || c == '"' || c == '\\' {
			return appendEscaped(dst[:n+i], s[i:])
		}
		to[i] = c
	}
	to[i] = '"'
	return dst[:n+i+1]
}

// appendEscaped appends the rest of a string, whose first byte must be
// escaped, and the quote that ends it.
func appendEscaped(dst, s []byte) []byte {
	for len(s) > 0 {
		n := plainPrefix(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			break
		}
		dst = appendEscape(dst, s[n])
		s = s[n+1:]
	}
	return append(dst, '"')
}

// mustEscape reports whether one of the 8 bytes in x must be escaped. In each
// byte the highest bit of the sum is set where the byte must be; a borrow may
// mark a byte above a marked one too much, never one too few.
func mustEscape(x uint64) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, slash := x^'"'*ones, x^'\\'*ones
	return ((x-0x20*ones)|(quote-ones)|(slash-ones))&^x&highs != 0
}

// plainPrefix returns how many bytes of s come before the first that must be
// escaped.
func plainPrefix(s []byte) int {
	i := 0
	for i+8 <= len(s) && !mustEscape(binary.LittleEndian.Uint64(s[i:])) {
		i += 8
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(append(dst, `\u00`...), hexDigits[c>>4], hexDigits[c&15])
}

// double renders a double with the fewest digits that give it back, and so
// that it reads as a double: 1.0, not 1.
func (w *jsonWriter) double(bits uint64) error {
	f := math.Float64frombits(bits)
	if f != f || f-f != 0 {
		return errJSON
	}
	w.out = appendJSONDouble(w.out, f)
	return nil
}

func appendJSONDouble(dst []byte, f float64) []byte {
	if n := int64(f); float64(n) == f && n < 1e15 && n > -1e15 && (n != 0 || !math.Signbit(f)) {
		return append(strconv.AppendInt(dst, n, 10), ".0"...)
	}
	if d, ok := appendShortDouble(dst, f); ok {
		return d
	}
	if a := math.Abs(f); a >= 1e15 && a < 1e16 && math.Trunc(f) != f {
		return strconv.AppendFloat(dst, f, 'f', -1, 64) // 17 digits with the point among them
	}
	start := len(dst)
	dst = schema.AppendFloat(dst, f, 64)
	for _, c := range dst[start:] {
		if c == '.' || c == 'e' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

// appendShortDouble renders numbers of few decimals, which are what people
// store. With n at most 15 digits, n/1000 correctly rounded is f, and no other
// number of 15 digits is: so n has the shortest digits once zeros are cut.
func appendShortDouble(dst []byte, f float64) ([]byte, bool) {
	n := int64(math.Round(f * 1000))
	if n == 0 || n >= 1e15 || n <= -1e15 || float64(n)/1000 != f {
		return dst, false
	}
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	dst = append(strconv.AppendInt(dst, n/1000, 10), '.')
	frac := n % 1000
	dst = append(dst, byte('0'+frac/100))
	if frac%100 != 0 {
		dst = append(dst, byte('0'+frac/10%10))
		if frac%10 != 0 {
			dst = append(dst, byte('0'+frac%10))
		}
	}
	return dst, true
}

// opaque renders a value of a type that JSON does not have.
func (w *jsonWriter) opaque(b []byte) error {
	if len(b) == 0 {
		return errJSON
	}
	t := b[0]
	body, _, ok := jsonBytes(b[1:])
	if w.budget -= len(body); !ok || w.budget < 0 {
		return errJSON
	}
	switch t {
	case typeNewDecimal:
		return w.decimal(body)
	case typeDate, typeTime, typeDateTime, typeTimestamp:
		if len(body) != 8 {
			return errJSON
		}
		return w.temporal(t, int64(binary.LittleEndian.Uint64(body)))
	}
	w.out = append(w.out, `"base64:type`...)
	w.out = strconv.AppendInt(w.out, int64(t), 10)
	w.out = append(w.out, ':')
	w.out = appendBase64(w.out, body)
	w.out = append(w.out, '"')
	return nil
}

// base64Line is how many bytes the server puts on one line.
const base64Line = 57

// appendBase64 breaks lines as the server does; the line breaks are escaped,
// since they stand in a JSON string.
func appendBase64(dst, b []byte) []byte {
	for len(b) > base64Line {
		dst = base64.StdEncoding.AppendEncode(dst, b[:base64Line])
		dst = append(dst, `\n`...)
		b = b[base64Line:]
	}
	return base64.StdEncoding.AppendEncode(dst, b)
}

// decimal renders precision, scale and the same bytes as in a DECIMAL column.
func (w *jsonWriter) decimal(b []byte) error {
	if len(b) < 3 || b[0] < 1 || b[0] > maxStoredDigits || b[1] > b[0] {
		return errJSON
	}
	l := storedLayout(int(b[0]), int(b[1]))
	if len(b)-2 != l.size {
		return errJSON
	}
	var ok bool
	if w.out, ok = l.appendText(w.out, b[2:]); !ok {
		return errJSON
	}
	return nil
}

// temporal renders a date or time from the server's packed form: the fields as
// in a row, above 24 bits of microseconds; negative for a negative time.
func (w *jsonWriter) temporal(t byte, packed int64) error {
	negative := packed < 0
	if negative {
		packed = -packed
	}
	hi, micro := uint64(packed)>>24, uint32(packed&0xffffff)
	if micro >= 1e6 || negative && t != typeTime || packed < 0 {
		return errJSON
	}
	var v schema.Value
	switch t {
	case typeTime:
		micros := int64((hi>>12&1023)*3600+(hi>>6&63)*60+hi&63)*1e6 + int64(micro)
		if negative {
			micros = -micros
		}
		v = schema.MakeTime(micros, 6)
	case typeDate:
		ym := int(hi >> 22)
		v = schema.MakeDate(ym/13, ym%13, int(hi>>17&31))
	default:
		v = schema.MakePackedDateTime(hi, micro, 6)
	}
	w.out = append(v.AppendText(append(w.out, '"'), nil), '"')
	return nil
}
