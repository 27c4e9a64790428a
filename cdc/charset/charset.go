package charset

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"
)

// form says how a charset is converted.
type form uint8

const (
	formTable   form = iota // by an embedded table
	formASCII               // seven bits
	formUTF8                // UTF-8 as it is: utf8mb4, and binary, which the server reads as utf8mb4
	formUTF8MB3             // UTF-8 of at most three bytes
	formUCS2                // two bytes, big-endian, no surrogates
	formUTF16               // big-endian
	formUTF16LE
	formUTF32 // big-endian
)

// Charset is one charset of the server.
type Charset struct {
	name   string
	maxLen int
	form   form
	ascii  bool // bytes below 0x80 are the ASCII characters, wherever a character may start

	decodeOnce, encodeOnce sync.Once
	dec                    *decoder
	enc                    *encoder
}

// ByName returns the charset of that name, in any letter case. "utf8" is utf8mb3, as on the server.
func ByName(name string) (*Charset, error) {
	want := strings.ToLower(name)
	if want == "utf8" {
		want = "utf8mb3"
	}
	i, found := sort.Find(len(charsets), func(i int) int { return strings.Compare(want, charsets[i].name) })
	if !found {
		return nil, fmt.Errorf("charset: unknown charset %q: not one that SHOW CHARACTER SET lists on a MySQL server", name)
	}
	return &charsets[i], nil
}

// Name returns the name the server uses, for example "utf8mb4".
func (c *Charset) Name() string { return c.name }

// String is Name.
func (c *Charset) String() string { return c.name }

// MaxLen returns the length in bytes of the longest character.
func (c *Charset) MaxLen() int { return c.maxLen }

// IsUTF8 reports whether text in this charset is its own UTF-8: utf8mb4, utf8mb3 and ascii. The bytes may still be
// malformed; Verbatim tells. It is false for binary, which is no text.
func (c *Charset) IsUTF8() bool {
	switch c.form {
	case formUTF8:
		return c.name != "binary"
	case formUTF8MB3, formASCII:
		return true
	}
	return false
}

// Verbatim reports whether src is well-formed and Decode would only copy it, so that a caller may use the bytes in
// place. False says nothing about whether Decode succeeds. It is true for valid text of an IsUTF8 charset and for
// pure ASCII in every charset that contains ASCII.
func (c *Charset) Verbatim(src []byte) bool {
	switch c.form {
	case formUTF8:
		return utf8.Valid(src)
	case formUTF8MB3:
		return validUTF8MB3(src)
	}
	return len(src) == 0 || c.ascii && asciiPrefix(src) == len(src)
}

// Decode appends the UTF-8 of src to dst. When ok is false src is not exactly representable (see the package
// comment) and out is dst as it was; bytes between its length and capacity may have changed. Three bytes of capacity
// for each byte of src are always enough to avoid an allocation.
func (c *Charset) Decode(dst, src []byte) (out []byte, ok bool) {
	if c.Verbatim(src) {
		return append(dst, src...), true
	}
	switch c.form {
	case formUCS2:
		return decodeUCS2(dst, src)
	case formUTF16:
		return decodeUTF16(dst, src, 0)
	case formUTF16LE:
		return decodeUTF16(dst, src, 1)
	case formUTF32:
		return decodeUTF32(dst, src)
	case formTable:
		return c.decoder().decode(dst, src)
	}
	return dst, false // of these forms Verbatim has the last word
}

// Encode appends text, which is UTF-8, to dst in this charset. When ok is false text is not valid UTF-8 or holds a
// character that no bytes of the charset decode to, and out is dst as it was. Unlike the server it never puts a
// question mark or a look-alike in a character's place.
func (c *Charset) Encode(dst, text []byte) (out []byte, ok bool) {
	if c.Verbatim(text) {
		return append(dst, text...), true
	}
	switch c.form {
	case formUCS2:
		return encodeUCS2(dst, text)
	case formUTF16:
		return encodeUTF16(dst, text, 0)
	case formUTF16LE:
		return encodeUTF16(dst, text, 1)
	case formUTF32:
		return encodeUTF32(dst, text)
	case formTable:
		return c.encoder().encode(dst, text)
	}
	return dst, false
}

func (c *Charset) decoder() *decoder {
	c.decodeOnce.Do(func() { c.dec = newDecoder(readTable(c.name), c.ascii) })
	return c.dec
}

func (c *Charset) encoder() *encoder {
	c.encodeOnce.Do(func() { c.enc = newEncoder(readTable(c.name), c.ascii) })
	return c.enc
}
