package convert

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

const upperHex = "0123456789ABCDEF"

// appendString appends s as a JSON string. Quotes, backslashes and control
// characters are escaped and nothing else is, but where pairs is set
// characters beyond U+FFFF become two escapes, which is how Jackson writes
// UTF-8. Bytes that are not UTF-8 become U+FFFD; values are checked before.
func appendString(dst []byte, s string, pairs bool) []byte {
	dst = append(dst, '"')
	begin := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[begin:i]...)
			dst = appendEscape(dst, c)
			i++
			begin = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(append(dst, s[begin:i]...), "\uFFFD"...)
			begin = i + 1
		case r > 0xFFFF && pairs:
			dst = append(dst, s[begin:i]...)
			r1, r2 := utf16.EncodeRune(r)
			dst = appendUnicode(appendUnicode(dst, r1), r2)
			begin = i + n
		}
		i += n
	}
	return append(append(dst, s[begin:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return appendUnicode(dst, rune(c))
}

func appendUnicode(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', upperHex[r>>12&15], upperHex[r>>8&15], upperHex[r>>4&15], upperHex[r&15])
}

// text views b as a string. b must not change while it is used.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// appendBinary appends b as a JSON string in the form of a mode.
func appendBinary(dst, b []byte, mode BinaryMode) []byte {
	dst = append(dst, '"')
	switch mode {
	case BinaryHex:
		dst = hex.AppendEncode(dst, b)
	case BinaryBase64URL:
		dst = base64.URLEncoding.AppendEncode(dst, b)
	default:
		dst = base64.StdEncoding.AppendEncode(dst, b)
	}
	return append(dst, '"')
}

// appendFloat appends a finite float as Java prints it: with a point always,
// and an exponent below 10^-3 and from 10^7 on.
func appendFloat(dst []byte, f float64, bits int) []byte {
	abs := math.Abs(f)
	if abs == 0 || abs >= 1e-3 && abs < 1e7 {
		begin := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
		for _, c := range dst[begin:] {
			if c == '.' {
				return dst
			}
		}
		return append(dst, ".0"...)
	}
	var buf [32]byte
	b := strconv.AppendFloat(buf[:0], f, 'e', -1, bits)
	e := len(b) - 1
	for b[e] != 'e' {
		e--
	}
	dst = append(dst, b[:e]...)
	if e == 1 || e == 2 && b[0] == '-' {
		dst = append(dst, ".0"...)
	}
	dst = append(dst, 'E')
	exp := b[e+1:]
	if exp[0] == '-' {
		dst = append(dst, '-')
	}
	exp = exp[1:]
	if exp[0] == '0' {
		exp = exp[1:]
	}
	return append(dst, exp...)
}

// AppendString appends s as a JSON string in UTF-8.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s, false) }
