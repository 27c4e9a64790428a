package ddl

import (
	"strings"
)

type kind uint8

const (
	end      kind = iota
	word          // a bare word: a keyword or a name
	quoted        // a quoted name
	text          // a string
	number        // digits, maybe with a point and an exponent
	hexa          // x'..', 0x..
	bits          // b'..', 0b..
	mark          // one character of punctuation
	unclosed      // a string, name or comment without an end
)

// token is one token. val is the meaning: a word as it stands, a name or a
// string without quotes and escapes, the digits of a literal.
type token struct {
	kind kind
	val  string
	pos  int
}

// lexer takes the text of a statement apart.
type lexer struct {
	src     string
	pos     int
	mode    SQLMode
	version int
	maria   bool
	nested  bool // inside an executable comment whose text counts
	afterID bool // the last token was a name
	dot     bool // the last token was a dot after a name
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isWord(c byte) bool {
	return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '$' || c >= 0x80
}

func (l *lexer) at(i int) byte {
	if l.pos+i < len(l.src) {
		return l.src[l.pos+i]
	}
	return 0
}

// next returns the next token; at the end it returns end for ever.
func (l *lexer) next() token {
	if !l.skip() {
		return token{kind: unclosed, val: "comment", pos: l.pos}
	}
	if l.pos >= len(l.src) {
		if l.nested {
			return token{kind: unclosed, val: "comment", pos: l.pos}
		}
		return token{kind: end, pos: l.pos}
	}
	start := l.pos
	t := l.scan()
	t.pos = start
	l.dot = t.kind == mark && t.val == "." && l.afterID
	l.afterID = t.kind == word || t.kind == quoted
	return t
}

func (l *lexer) scan() token {
	switch c := l.src[l.pos]; {
	case c == '\'':
		return l.string(c, text)
	case c == '"' && l.mode&ANSIQuotes == 0:
		return l.string(c, text)
	case c == '"' || c == '`':
		return l.name(c)
	case l.dot && isWord(c):
		return l.word()
	case c|0x20 == 'x' && l.at(1) == '\'':
		return l.literal(hexa)
	case c|0x20 == 'b' && l.at(1) == '\'':
		return l.literal(bits)
	case isDigit(c) || c == '.' && !l.afterID && isDigit(l.at(1)):
		return l.number()
	case isWord(c):
		return l.word()
	}
	l.pos++
	return token{kind: mark, val: l.src[l.pos-1 : l.pos]}
}

// skip passes over spaces and comments; false means a comment without end.
func (l *lexer) skip() bool {
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		switch {
		case isSpace(c):
			l.pos++
		case c == '#', c == '-' && l.at(1) == '-' && (l.at(2) <= ' ' || l.at(2) == 0x7f):
			l.line()
		case c == '/' && l.at(1) == '*' && (l.at(2) == '!' || l.maria && l.at(2) == 'M' && l.at(3) == '!') && !l.nested:
			if !l.executable() {
				return false
			}
		case c == '/' && l.at(1) == '*':
			n := strings.Index(l.src[l.pos+2:], "*/")
			if n < 0 {
				return false
			}
			l.pos += n + 4
		case c == '*' && l.at(1) == '/' && l.nested:
			l.nested = false
			l.pos += 2
		default:
			return true
		}
	}
	return true
}

func (l *lexer) line() {
	if n := strings.IndexByte(l.src[l.pos:], '\n'); n >= 0 {
		l.pos += n + 1
		return
	}
	l.pos = len(l.src)
}

// executable enters a comment that begins with "/*!" if its text counts for
// this version, and passes over it if not.
func (l *lexer) executable() bool {
	l.pos += 3
	if l.at(-1) == 'M' {
		l.pos++
	}
	n := 0
	for n < 6 && isDigit(l.at(n)) {
		n++
	}
	if n < 5 {
		l.nested = true
		return true
	}
	v := 0
	for _, d := range l.src[l.pos : l.pos+n] {
		v = v*10 + int(d-'0')
	}
	l.pos += n
	if v <= l.version && (!l.maria || v < 50700 || v > 99999) { // which are for MySQL alone
		l.nested = true
		return true
	}
	for depth := 1; l.pos < len(l.src); {
		switch {
		case l.at(0) == '*' && l.at(1) == '/':
			l.pos += 2
			if depth--; depth == 0 {
				return true
			}
		case l.at(0) == '/' && l.at(1) == '*':
			l.pos += 2
			depth++
		default:
			l.pos++
		}
	}
	return false
}

func (l *lexer) word() token {
	start := l.pos
	for l.pos < len(l.src) && isWord(l.src[l.pos]) {
		l.pos++
	}
	return token{kind: word, val: l.src[start:l.pos]}
}

// number reads a number, or the name that begins with digits.
func (l *lexer) number() token {
	start := l.pos
	if l.at(0) == '0' && (l.at(1) == 'x' || l.at(1) == 'b') {
		w := l.word()
		if k := radix(w.val); k != word {
			return token{kind: k, val: w.val[2:]}
		}
		return w
	}
	digits := func() {
		for l.pos < len(l.src) && isDigit(l.src[l.pos]) {
			l.pos++
		}
	}
	digits()
	if l.at(0) == '.' {
		l.pos++
		digits()
	} else if c := l.at(0); isWord(c) && c|0x20 != 'e' {
		l.pos = start
		return l.word()
	}
	if l.at(0)|0x20 == 'e' {
		sign := 0
		if c := l.at(1); c == '+' || c == '-' {
			sign = 1
		}
		if isDigit(l.at(1 + sign)) {
			l.pos += 1 + sign
			digits()
		} else if !strings.Contains(l.src[start:l.pos], ".") {
			l.pos = start
			return l.word()
		}
	}
	return token{kind: number, val: l.src[start:l.pos]}
}

// radix says whether a word that begins with 0x or 0b is a literal.
func radix(w string) kind {
	if len(w) > 2 && w[1] == 'x' && strings.Trim(w[2:], "0123456789abcdefABCDEF") == "" {
		return hexa
	}
	if len(w) > 2 && w[1] == 'b' && strings.Trim(w[2:], "01") == "" {
		return bits
	}
	return word
}

// literal reads x'..' and b'..'.
func (l *lexer) literal(k kind) token {
	n := strings.IndexByte(l.src[l.pos+2:], '\'')
	if n < 0 {
		l.pos = len(l.src)
		return token{kind: unclosed, val: "string"}
	}
	val := l.src[l.pos+2 : l.pos+2+n]
	l.pos += n + 3
	return token{kind: k, val: val}
}

// name reads a quoted name.
func (l *lexer) name(quote byte) token {
	var b strings.Builder
	for l.pos++; l.pos < len(l.src); l.pos++ {
		c := l.src[l.pos]
		if c == quote {
			if l.at(1) != quote {
				l.pos++
				return token{kind: quoted, val: b.String()}
			}
			l.pos++
		}
		b.WriteByte(c)
	}
	return token{kind: unclosed, val: "name"}
}

// string reads a string and resolves its escapes.
func (l *lexer) string(quote byte, k kind) token {
	var b strings.Builder
	for l.pos++; l.pos < len(l.src); l.pos++ {
		c := l.src[l.pos]
		switch {
		case c == quote && l.at(1) == quote:
			l.pos++
			b.WriteByte(c)
		case c == quote:
			l.pos++
			return token{kind: k, val: b.String()}
		case c == '\\' && l.mode&NoBackslashEscapes == 0 && l.pos+1 < len(l.src):
			l.pos++
			unescape(&b, l.src[l.pos])
		default:
			b.WriteByte(c)
		}
	}
	return token{kind: unclosed, val: "string"}
}

func unescape(b *strings.Builder, c byte) {
	switch c {
	case '0':
		c = 0
	case 'b':
		c = '\b'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'Z':
		c = 26
	case '%', '_':
		b.WriteByte('\\')
	}
	b.WriteByte(c)
}
