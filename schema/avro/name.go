package avro

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Escape returns s as a name that Avro allows. What it does not allow becomes
// _u and four hexadecimal digits, for each unit of UTF-16; so does an
// underscore that would look like the begin of that. Names that Avro allows
// otherwise stay what they are.
func Escape(s string) string {
	plain := s != ""
	for i := 0; i < len(s); i++ {
		plain = plain && allowed(s[i], i) && !escapes(s[i:])
	}
	if plain {
		return s
	}
	if s == "" {
		return "_u"
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1: // not UTF-8: half of a pair, which no text has
			fmt.Fprintf(&b, "_u%04x", 0xDC00+int(s[i]))
		case r < utf8.RuneSelf && allowed(s[i], i) && !escapes(s[i:]):
			b.WriteByte(s[i])
		default:
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, "_u%04x", u)
			}
		}
		i += n
	}
	return b.String()
}

func allowed(c byte, i int) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= '0' && c <= '9' && i > 0
}

// escapes reports whether s begins with what Escape writes.
func escapes(s string) bool {
	_, ok := unit(s)
	return ok || s == "_u"
}

// unit reads an escape.
func unit(s string) (uint16, bool) {
	if len(s) < 6 || s[0] != '_' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return uint16(n), err == nil && s[2] != '+' && s[2] != '-'
}

// Unescape is the inverse of Escape.
func Unescape(name string) string {
	if name == "_u" {
		return ""
	}
	if !strings.Contains(name, "_u") {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		u, ok := unit(name[i:])
		if !ok {
			b.WriteByte(name[i])
			i++
			continue
		}
		i += 6
		r := rune(u)
		if utf16.IsSurrogate(r) {
			low, _ := unit(name[i:])
			if pair := utf16.DecodeRune(r, rune(low)); pair != utf8.RuneError {
				i += 6
				r = pair
			} else if r >= 0xDC80 && r <= 0xDCFF {
				b.WriteByte(byte(r - 0xDC00))
				continue
			}
		}
		b.WriteRune(r)
	}
	return b.String()
}

// FullName returns a name of parts with dots between them, each as Avro allows.
func FullName(name string) string {
	parts := strings.Split(name, ".")
	for i := range parts {
		parts[i] = Escape(parts[i])
	}
	return strings.Join(parts, ".")
}

// SplitName returns namespace and name of a full name.
func SplitName(full string) (space, name string) {
	i := strings.LastIndexByte(full, '.')
	return full[:max(i, 0)], full[i+1:]
}
