package ddl

import (
	"strconv"
	"strings"
)

// parser reads one statement. After the first fault err is set and every
// token is the end, so that all loops come to one too.
type parser struct {
	lex lexer
	buf []token // read ahead
	ctx *Context
	st  *Statement
	err *Error
}

func (p *parser) peek(i int) token {
	if p.err != nil {
		return token{kind: end}
	}
	for len(p.buf) <= i {
		p.buf = append(p.buf, p.lex.next())
	}
	return p.buf[i]
}

func (p *parser) next() token {
	t := p.peek(0)
	if p.err == nil {
		p.buf = p.buf[1:]
	}
	return t
}

// fail notes the first fault, at the token that comes next.
func (p *parser) fail(what string) {
	if p.err != nil {
		return
	}
	t := p.peek(0)
	if t.kind == unclosed {
		what = "a " + t.val + " has no end"
	}
	near := p.lex.src[min(t.pos, len(p.lex.src)):]
	if len(near) > 40 {
		near = strings.ToValidUTF8(near[:40], "") + "..."
	}
	p.err = &Error{What: what, Near: near, Offset: t.pos, Verb: p.st.Verb, Tables: p.st.Tables}
}

// is reports whether the words come next, as bare words in any letter case.
// A mark such as "(" is a word of one character.
func (p *parser) is(words ...string) bool {
	for i, w := range words {
		t := p.peek(i)
		if t.kind != word && t.kind != mark || !strings.EqualFold(t.val, w) {
			return false
		}
	}
	return true
}

// accept passes over the words if they come next.
func (p *parser) accept(words ...string) bool {
	if !p.is(words...) {
		return false
	}
	for range words {
		p.next()
	}
	return true
}

// acceptAny passes over one of the words if it comes next, and returns it in
// capitals.
func (p *parser) acceptAny(words ...string) string {
	for _, w := range words {
		if p.accept(w) {
			return w
		}
	}
	return ""
}

func (p *parser) expect(words ...string) {
	if !p.accept(words...) {
		p.fail("expected " + strings.Join(words, " "))
	}
}

// name reads an identifier.
func (p *parser) name() string {
	if t := p.peek(0); t.kind == word || t.kind == quoted {
		return p.next().val
	}
	p.fail("expected a name")
	return ""
}

// nameOrText reads a name where a string may stand for it.
func (p *parser) nameOrText() string {
	if p.peek(0).kind == text {
		return p.next().val
	}
	return p.name()
}

func (p *parser) text() string {
	if p.peek(0).kind == text {
		return p.next().val
	}
	p.fail("expected a string")
	return ""
}

func (p *parser) number() int {
	if t := p.peek(0); t.kind == number {
		if n, err := strconv.Atoi(t.val); err == nil {
			p.next()
			return n
		}
	}
	p.fail("expected a number")
	return 0
}

// fold gives the name of a table or database as the server keeps it.
func (p *parser) fold(s string) string {
	if p.ctx.LowerCaseNames {
		return lower(s)
	}
	return s
}

// tableName reads [database.]table.
func (p *parser) tableName() Name {
	if p.accept(".") { // the empty database is the default one
		return Name{p.fold(p.ctx.Database), p.fold(p.name())}
	}
	n := p.fold(p.name())
	if p.accept(".") {
		return Name{n, p.fold(p.name())}
	}
	if p.ctx.Database == "" {
		p.fail("no default database is known for table " + n)
	}
	return Name{p.fold(p.ctx.Database), n}
}

// touch reads a table's name and notes it as one that the statement changes.
func (p *parser) touch() Name {
	n := p.tableName()
	if p.err == nil {
		p.st.Tables = append(p.st.Tables, n)
	}
	return n
}

// columnName reads a column's name, which may have its table's before it.
func (p *parser) columnName() string {
	p.accept(".")
	n := p.name()
	for range 2 {
		if p.accept(".") {
			n = p.name()
		}
	}
	return n
}

// parens passes over a pair of parentheses and all within.
func (p *parser) parens() {
	p.expect("(")
	for depth := 1; depth > 0; {
		switch t := p.next(); {
		case t.kind == mark && t.val == "(":
			depth++
		case t.kind == mark && t.val == ")":
			depth--
		case t.kind == end || t.kind == unclosed:
			p.fail("expected )")
			return
		}
	}
}

// numbers reads a list of numbers in parentheses, if one comes next.
func (p *parser) numbers() []int {
	if !p.accept("(") {
		return nil
	}
	var list []int
	for {
		list = append(list, p.number())
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
	return list
}

// finish expects the end of the statement.
func (p *parser) finish() {
	for p.accept(";") {
	}
	if p.peek(0).kind != end {
		p.fail("expected the end of the statement")
	}
}

func (p *parser) databaseOptions() {
	for p.databaseOption() {
	}
	p.finish()
}

// databaseOption reads one option of CREATE or ALTER DATABASE.
func (p *parser) databaseOption() bool {
	if p.charsetOption() {
		return true
	}
	if p.is("DEFAULT", "ENCRYPTION") || p.is("ENCRYPTION") {
		p.accept("DEFAULT")
		p.next()
		p.accept("=")
		p.text()
		return true
	}
	if p.accept("READ", "ONLY") {
		p.accept("=")
		p.next()
		return true
	}
	return false
}

// charsetOption reads [DEFAULT] CHARACTER SET or [DEFAULT] COLLATE.
func (p *parser) charsetOption() bool {
	skip := 0
	if p.is("DEFAULT") {
		skip = 1
	}
	at := func(words ...string) bool {
		if skip == 1 {
			words = append([]string{"DEFAULT"}, words...)
		}
		return p.accept(words...)
	}
	o := &p.st.options
	switch {
	case at("CHARACTER", "SET"), at("CHAR", "SET"), at("CHARSET"):
		p.accept("=")
		if p.accept("DEFAULT") {
			o.defaultCharset = true
			return true
		}
		o.charset = p.charset()
	case at("COLLATE"):
		p.accept("=")
		o.collation = p.collation()
	default:
		return false
	}
	return true
}

// charset reads the name of a charset and checks that it is known.
func (p *parser) charset() string {
	t := p.peek(0)
	name := p.nameOrText()
	if s, ok := p.ctx.lookCharset(name); ok {
		return s.charset
	}
	p.unknown("charset", name, t)
	return ""
}

// collation reads the name of a collation and checks that it is known.
func (p *parser) collation() string {
	t := p.peek(0)
	name := p.nameOrText()
	if s, ok := lookCollation(name); ok {
		return s.collation
	}
	p.unknown("collation", name, t)
	return ""
}

func (p *parser) unknown(what, name string, t token) {
	if p.err == nil {
		p.buf = append([]token{t}, p.buf...)
		p.fail(what + " " + name + " is not known")
	}
}
