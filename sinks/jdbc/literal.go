package jdbc

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/towline/towline/schema"
)

// form says how the values of a column are spelled.
type form uint8

const (
	// formPlain spells a value as its own type.
	formPlain form = iota
	// formText spells all values as strings: the target's column is text and
	// the source's is not.
	formText
	// formElements spells an ENUM or SET by its elements, for a target whose
	// elements have other numbers.
	formElements
)

// appendValue appends the literal of v, a value of the source's column col.
// The session's sql_mode has no NO_BACKSLASH_ESCAPES and its charset is
// utf8mb4, so in a string only the quote and the backslash have a meaning of
// their own.
func appendValue(dst []byte, v schema.Value, col *schema.Column, f form) ([]byte, error) {
	switch v.Kind() {
	case schema.Null:
		return append(dst, "NULL"...), nil
	case schema.Absent:
		return dst, fmt.Errorf("column %s is not in the row: the source has to log whole rows (binlog_row_image=FULL)", quoted(col.Name))
	case schema.String, schema.JSON:
		return appendString(dst, v.Bytes()), nil
	case schema.RawString:
		return appendRaw(dst, v, col)
	}
	if f == formText && v.Kind() != schema.Bytes {
		return appendAsText(dst, v, col), nil
	}
	return appendPlain(dst, v, col, f), nil
}

func appendPlain(dst []byte, v schema.Value, col *schema.Column, f form) []byte {
	switch v.Kind() {
	case schema.Int:
		return strconv.AppendInt(dst, v.Int(), 10)
	case schema.Uint, schema.Year, schema.Bit:
		return strconv.AppendUint(dst, v.Uint(), 10)
	case schema.Float32, schema.Float64:
		// With an exponent a literal is a DOUBLE, the sign of zero included.
		// The double that a float widens to narrows to the same float.
		return strconv.AppendFloat(dst, v.Float(), 'e', -1, 64)
	case schema.Decimal:
		return v.AppendDecimal(dst)
	case schema.Enum, schema.Set:
		if f == formElements {
			return appendAsText(dst, v, col)
		}
		return strconv.AppendUint(dst, v.Uint(), 10)
	case schema.Bytes, schema.Geometry, schema.Vector:
		return appendString(append(dst, "_binary"...), v.Bytes())
	}
	return appendQuotedText(dst, v, col) // the temporal kinds: no quote or backslash inside
}

// appendQuotedText appends a value whose text needs no escapes.
func appendQuotedText(dst []byte, v schema.Value, col *schema.Column) []byte {
	dst = append(dst, '\'')
	dst = v.AppendText(dst, col)
	return append(dst, '\'')
}

// appendAsText appends a value's text as a string.
func appendAsText(dst []byte, v schema.Value, col *schema.Column) []byte {
	if k := v.Kind(); k != schema.Enum && k != schema.Set {
		return appendQuotedText(dst, v, col)
	}
	start := len(dst)
	dst = v.AppendText(dst, col)
	text := string(dst[start:]) // elements may hold anything
	return appendString(dst[:start], []byte(text))
}

// appendRaw appends text that is not valid in its charset, byte by byte. Only
// a column of the same charset takes it.
func appendRaw(dst []byte, v schema.Value, col *schema.Column) ([]byte, error) {
	if col.Charset == "" {
		return dst, fmt.Errorf("column %s holds bytes that are no text, and its charset is not known", quoted(col.Name))
	}
	dst = append(append(append(dst, '_'), col.Charset...), " x'"...)
	dst = hex.AppendEncode(dst, v.Bytes())
	return append(dst, '\''), nil
}

// appendString appends b as a string literal.
func appendString(dst, b []byte) []byte {
	dst = append(dst, '\'')
	for {
		n := plainPrefix(b)
		dst = append(dst, b[:n]...)
		if n == len(b) {
			return append(dst, '\'')
		}
		dst = append(dst, '\\', b[n])
		b = b[n+1:]
	}
}

// plainPrefix returns how many bytes come before the first quote or
// backslash. It looks at eight bytes at a time: a byte that differs from the
// one sought is not zero after xor, and subtracting 1 from each byte borrows
// into the high bit of one that is.
func plainPrefix(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		q, s := w^(ones*'\''), w^(ones*'\\')
		if ((q-ones)&^q|(s-ones)&^s)&highs != 0 {
			break
		}
	}
	for ; i < len(b) && b[i] != '\'' && b[i] != '\\'; i++ {
	}
	return i
}

// appendIdent appends a quoted identifier.
func appendIdent(dst []byte, name string) []byte {
	dst = append(dst, '`')
	for i := range len(name) {
		if name[i] == '`' {
			dst = append(dst, '`')
		}
		dst = append(dst, name[i])
	}
	return append(dst, '`')
}

// quoted returns a quoted identifier.
func quoted(name string) string { return string(appendIdent(nil, name)) }

// literal returns a string as a literal.
func literal(s string) string { return string(appendString(nil, []byte(s))) }
