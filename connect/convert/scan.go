package convert

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/towline/towline/connect"
)

// scanner reads JSON from left to right. It checks what it reads, and reads
// what it skips only as far as its end.
type scanner struct {
	b   []byte
	pos int
}

var errEnd = errors.New("the JSON ends too early")

func (s *scanner) space() {
	for s.pos < len(s.b) {
		switch s.b[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the first byte of the next token, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.b) {
		return s.b[s.pos]
	}
	return 0
}

// take reads one byte of punctuation.
func (s *scanner) take(c byte) error {
	if got := s.peek(); got != c {
		if got == 0 {
			return errEnd
		}
		return fmt.Errorf("%q is expected at byte %d, not %q", c, s.pos, got)
	}
	s.pos++
	return nil
}

// null reads a null if there is one.
func (s *scanner) null() bool { return s.word("null") }

func (s *scanner) word(w string) bool {
	s.space()
	if len(s.b)-s.pos >= len(w) && string(s.b[s.pos:s.pos+len(w)]) == w {
		s.pos += len(w)
		return true
	}
	return false
}

// object calls member for each member of an object, with its name as it is
// written between the quotes. member reads the value.
func (s *scanner) object(member func(name []byte) error) error {
	return s.list('{', '}', func() error {
		name, _, err := s.quoted()
		if err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		return member(name)
	})
}

// array calls item for each item of an array.
func (s *scanner) array(item func() error) error { return s.list('[', ']', item) }

func (s *scanner) list(begin, end byte, item func() error) error {
	if err := s.take(begin); err != nil {
		return err
	}
	if s.peek() == end {
		s.pos++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if s.peek() == end {
			s.pos++
			return nil
		}
		if err := s.take(','); err != nil {
			return err
		}
	}
}

// quoted reads a string and returns what is between its quotes, and whether
// there are escapes in it.
func (s *scanner) quoted() (raw []byte, escapes bool, err error) {
	if err := s.take('"'); err != nil {
		return nil, false, err
	}
	begin, all := s.pos, text(s.b)
	for i := plain(all, begin); i < len(all); i = plain(all, i) {
		switch c := all[i]; {
		case c == '"':
			s.pos = i + 1
			return s.b[begin:i], escapes, nil
		case c == '\\':
			escapes = true
			i += 2
		case c < 0x20:
			s.pos = i
			return nil, false, fmt.Errorf("a control character is in the string at byte %d", i)
		default: // not ASCII: whoever wants text looks at it
			i++
		}
		if i > len(all) {
			break
		}
	}
	s.pos = len(s.b)
	return nil, false, errEnd
}

// text reads a string. Without escapes it points into the scanned bytes, else
// into dst.
func (s *scanner) text(dst *connect.Batch) ([]byte, error) {
	raw, escapes, err := s.quoted()
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("the string before byte %d is not UTF-8", s.pos)
	}
	if !escapes {
		return raw, nil
	}
	p, err := unescape(dst.Scratch(len(raw)), raw)
	if err != nil {
		return nil, fmt.Errorf("the string before byte %d: %w", s.pos, err)
	}
	return dst.Use(p), nil
}

// unescape appends raw without its escapes; it never grows.
func unescape(dst, raw []byte) ([]byte, error) {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			continue
		}
		i++
		if i >= len(raw) {
			return nil, errEnd
		}
		switch c := raw[i]; c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n, err := unicodeEscape(raw[i-1:])
			if err != nil {
				return nil, err
			}
			dst = utf8.AppendRune(dst, r)
			i += n - 2
		default:
			return nil, fmt.Errorf("%q is no escape", raw[i-1:i+1])
		}
	}
	return dst, nil
}

// unicodeEscape reads the escape, or the two of a pair, that b begins with.
func unicodeEscape(b []byte) (r rune, n int, err error) {
	r, ok := hex4(b)
	if !ok {
		return 0, 0, errors.New("an escape has not four hexadecimal digits")
	}
	if !utf16.IsSurrogate(r) {
		return r, 6, nil
	}
	if low, ok := hex4(b[6:]); ok {
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, 12, nil
		}
	}
	return 0, 0, errors.New("half of a surrogate pair stands alone")
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// number reads a number and returns its text.
func (s *scanner) number() ([]byte, error) {
	s.space()
	begin := s.pos
	for s.pos < len(s.b) {
		switch c := s.b[s.pos]; {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			s.pos++
			continue
		}
		break
	}
	if s.pos == begin {
		return nil, fmt.Errorf("a number is expected at byte %d", begin)
	}
	return s.b[begin:s.pos], nil
}

// raw skips a value and returns its bytes.
func (s *scanner) raw() ([]byte, error) {
	s.space()
	begin := s.pos
	for depth := 0; ; {
		switch c := s.peek(); c {
		case 0:
			return nil, errEnd
		case '"':
			if _, _, err := s.quoted(); err != nil {
				return nil, err
			}
		case '{', '[':
			depth++
			s.pos++
		case '}', ']':
			if depth--; depth < 0 {
				return nil, fmt.Errorf("a value is expected at byte %d", s.pos)
			}
			s.pos++
		case ',', ':':
			if depth == 0 {
				return nil, fmt.Errorf("a value is expected at byte %d", s.pos)
			}
			s.pos++
		default:
			if err := s.literal(); err != nil {
				return nil, err
			}
		}
		if depth == 0 {
			return s.b[begin:s.pos], nil
		}
	}
}

// literal skips a number or a word.
func (s *scanner) literal() error {
	if s.word("true") || s.word("false") || s.null() {
		return nil
	}
	_, err := s.number()
	return err
}

// end reads what may follow the last value: nothing but space.
func (s *scanner) end() error {
	if s.peek() != 0 || s.pos < len(s.b) {
		return fmt.Errorf("something follows the JSON at byte %d", s.pos)
	}
	return nil
}
