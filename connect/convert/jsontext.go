package convert

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

const upperHex = "0123456789ABCDEF"

// appendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD. See appendQuoted.
func appendString(dst []byte, s string, pairs bool) []byte {
	dst, _ = appendQuoted(dst, s, pairs)
	return dst
}

// appendQuoted appends s as a JSON string. Quotes, backslashes and control
// characters are escaped and nothing else is, but where pairs is set
// characters beyond U+FFFF become two escapes, which is how Jackson writes
// UTF-8. valid is false if bytes of s were not UTF-8.
func appendQuoted(dst []byte, s string, pairs bool) (_ []byte, valid bool) {
	dst = append(dst, '"')
	begin := 0 // of what is copied as it is
	valid = true
	for i := plain(s, 0); i < len(s); i = plain(s, i) {
		c := s[i]
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
			valid = false
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
	return append(append(dst, s[begin:]...), '"'), valid
}

// plain returns where the first byte of s from i on stands that is not ASCII
// or is to be escaped, or the length of s. It looks at eight bytes at once.
func plain(s string, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^'"'*ones, w^'\\'*ones
		// The lowest high bit that is set is right: what is wrong above it are
		// borrows.
		if m := (w | (w-' '*ones)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & high; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
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
func appendFloat(dst []byte, f float64, size int) []byte {
	abs := math.Abs(f)
	if abs == 0 || abs >= 1e-3 && abs < 1e7 {
		begin := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, size)
		for _, c := range dst[begin:] {
			if c == '.' {
				return dst
			}
		}
		return append(dst, ".0"...)
	}
	var buf [32]byte
	b := strconv.AppendFloat(buf[:0], f, 'e', -1, size)
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
