package charset

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// The Unicode forms need no table. In all of them a lone surrogate is refused: ucs2 and utf16le columns can hold one,
// but UTF-8 has no bytes for it.

// asciiPrefix counts the bytes below 0x80 at the start of src.
func asciiPrefix(src []byte) int {
	const high = 0x8080808080808080
	i := 0
	for ; i+8 <= len(src); i += 8 {
		if m := binary.LittleEndian.Uint64(src[i:]) & high; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(src) && src[i] < utf8.RuneSelf {
		i++
	}
	return i
}

func validUTF8MB3(src []byte) bool {
	rest := src[asciiPrefix(src):]
	if !utf8.Valid(rest) {
		return false
	}
	for _, b := range rest {
		if b >= 0xF0 { // the first byte of a four-byte sequence
			return false
		}
	}
	return true
}

// unit reads a 16-bit unit whose more significant byte is src[high].
func unit(src []byte, high int) rune { return rune(src[high])<<8 | rune(src[1-high]) }

func appendUnit(dst []byte, u rune, high int) []byte {
	if high == 0 {
		return append(dst, byte(u>>8), byte(u))
	}
	return append(dst, byte(u), byte(u>>8))
}

func decodeUCS2(dst, src []byte) ([]byte, bool) {
	out := dst
	for ; len(src) >= 2; src = src[2:] {
		r := unit(src, 0)
		if utf16.IsSurrogate(r) {
			return dst, false
		}
		out = utf8.AppendRune(out, r)
	}
	if len(src) != 0 {
		return dst, false
	}
	return out, true
}

func encodeUCS2(dst, text []byte) ([]byte, bool) {
	out := dst
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if badRune(r, n) || r > 0xFFFF {
			return dst, false
		}
		out = appendUnit(out, r, 0)
		text = text[n:]
	}
	return out, true
}

func decodeUTF16(dst, src []byte, high int) ([]byte, bool) {
	out := dst
	for len(src) >= 2 {
		r := unit(src, high)
		src = src[2:]
		if utf16.IsSurrogate(r) {
			if len(src) < 2 {
				return dst, false
			}
			r = utf16.DecodeRune(r, unit(src, high))
			if r == utf8.RuneError { // no pair makes U+FFFD
				return dst, false
			}
			src = src[2:]
		}
		out = utf8.AppendRune(out, r)
	}
	if len(src) != 0 {
		return dst, false
	}
	return out, true
}

func encodeUTF16(dst, text []byte, high int) ([]byte, bool) {
	out := dst
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if badRune(r, n) {
			return dst, false
		}
		if r > 0xFFFF {
			var first rune
			first, r = utf16.EncodeRune(r)
			out = appendUnit(out, first, high)
		}
		out = appendUnit(out, r, high)
		text = text[n:]
	}
	return out, true
}

func decodeUTF32(dst, src []byte) ([]byte, bool) {
	out := dst
	for ; len(src) >= 4; src = src[4:] {
		v := binary.BigEndian.Uint32(src)
		if v > utf8.MaxRune || !utf8.ValidRune(rune(v)) {
			return dst, false
		}
		out = utf8.AppendRune(out, rune(v))
	}
	if len(src) != 0 {
		return dst, false
	}
	return out, true
}

func encodeUTF32(dst, text []byte) ([]byte, bool) {
	out := dst
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if badRune(r, n) {
			return dst, false
		}
		out = binary.BigEndian.AppendUint32(out, uint32(r))
		text = text[n:]
	}
	return out, true
}

// badRune reports whether what utf8.DecodeRune returned stands for invalid bytes, not for a written U+FFFD.
func badRune(r rune, n int) bool { return r == utf8.RuneError && n < 2 }
