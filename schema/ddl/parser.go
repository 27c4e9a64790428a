package ddl

import (
	"slices"
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

// Parse reads one statement of a server's log. The error is an *Error. The
// text must be UTF-8; the log's character_set_client says what it was.
func Parse(sql string, c Context) (*Statement, error) {
	p := &parser{ctx: &c, st: &Statement{ctx: c}}
	p.lex = lexer{src: sql, mode: c.SQLMode, version: c.version()}
	p.statement()
	if p.err != nil {
		return nil, p.err
	}
	return p.st, nil
}

var transactionVerbs = []string{"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA"}

var otherVerbs = []string{"SET", "GRANT", "REVOKE", "ANALYZE", "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM", "FLUSH", "RESET",
	"PURGE", "INSTALL", "UNINSTALL", "CACHE", "KILL", "SHOW", "USE", "LOCK", "UNLOCK", "CHANGE", "START", "STOP", "CLONE",
	"SHUTDOWN", "RESTART", "PREPARE", "EXECUTE", "DEALLOCATE", "SIGNAL", "RESIGNAL", "GET", "HELP", "EXPLAIN", "DESC",
	"DESCRIBE", "BINLOG"}

var dmlVerbs = []string{"INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD", "WITH", "CALL", "DO", "SELECT", "TABLE", "VALUES",
	"HANDLER"}

func (p *parser) statement() {
	t := p.peek(0)
	for t.kind == mark && (t.val == "(" || t.val == ";") { // a parenthesised SELECT, or nothing
		p.next()
		t = p.peek(0)
	}
	verb := strings.ToUpper(t.val)
	if t.kind == end {
		return // nothing, or only a comment
	}
	if t.kind != word {
		p.fail("expected a statement")
		return
	}
	p.st.Verb = verb
	switch {
	case p.is("START", "TRANSACTION"), slices.Contains(transactionVerbs, verb):
		p.st.Kind = Transaction
	case slices.Contains(otherVerbs, verb):
	case slices.Contains(dmlVerbs, verb):
		p.dml(verb)
	case verb == "CREATE":
		p.createStatement()
	case verb == "ALTER":
		p.alterStatement()
	case verb == "DROP":
		p.dropStatement()
	case verb == "RENAME":
		p.renameStatement()
	case verb == "TRUNCATE":
		p.truncateStatement()
	case verb == "IMPORT":
		p.fail("tables come from files, whose shapes the statement does not show")
	default:
		p.fail("this statement is not known")
	}
}

// dml makes out the table of a simple statement.
func (p *parser) dml(verb string) {
	p.st.Kind = DML
	p.next()
	if verb != "INSERT" && verb != "REPLACE" && verb != "DELETE" && verb != "UPDATE" && verb != "LOAD" {
		return
	}
	if verb == "LOAD" {
		for p.peek(0).kind != end && p.peek(0).kind != unclosed && !p.accept("INTO", "TABLE") {
			p.next()
		}
	}
	for p.acceptAny("LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE", "INTO", "FROM") != "" {
	}
	name := p.tableName()
	if p.is(",") || p.is(".") || p.is("FROM") || p.is("JOIN") || p.is("USING") || p.is("AS") && verb == "UPDATE" ||
		(verb == "UPDATE" && !p.is("SET")) {
		name = Name{} // several tables
	}
	if p.err == nil && name.Table != "" {
		p.st.Tables = []Name{name}
	}
	p.err = nil
}

// other leaves the rest of the statement unread if one of the words follows
// the verb.
func (p *parser) other(words ...string) bool {
	for _, w := range words {
		if p.is(w) {
			p.st.Verb += " " + w
			return true
		}
	}
	return false
}

func (p *parser) createStatement() {
	p.next()
	switch {
	case p.is("TABLE"), p.is("TEMPORARY", "TABLE"):
		p.createTable()
	case p.is("INDEX"), p.is("UNIQUE"), p.is("FULLTEXT"), p.is("SPATIAL", "INDEX"), p.is("ONLINE"), p.is("OFFLINE"):
		p.createIndex()
	case p.acceptAny("DATABASE", "SCHEMA") != "":
		p.st.Verb, p.st.Kind = "CREATE DATABASE", CreateDatabase
		p.st.IfExists = p.accept("IF", "NOT", "EXISTS")
		p.st.Database = p.fold(p.name())
		p.databaseOptions()
	case p.other("OR", "ALGORITHM", "DEFINER", "SQL", "VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "AGGREGATE", "EVENT", "USER",
		"ROLE", "SERVER", "LOGFILE", "TABLESPACE", "UNDO", "SPATIAL", "RESOURCE", "LIBRARY", "JSON"):
	default:
		p.fail("what it creates is not known")
	}
}

func (p *parser) alterStatement() {
	p.next()
	switch {
	case p.accept("TABLE"):
		p.alterTable()
	case p.acceptAny("DATABASE", "SCHEMA") != "":
		p.st.Verb, p.st.Kind = "ALTER DATABASE", AlterDatabase
		p.st.Database = p.fold(p.ctx.Database)
		if !p.databaseOption() {
			p.st.Database = p.fold(p.name())
		}
		p.databaseOptions()
	case p.other("ALGORITHM", "DEFINER", "SQL", "VIEW", "EVENT", "PROCEDURE", "FUNCTION", "USER", "SERVER", "INSTANCE",
		"TABLESPACE", "LOGFILE", "UNDO", "RESOURCE", "LIBRARY", "JSON"):
	default:
		p.fail("what it alters is not known")
	}
}

func (p *parser) dropStatement() {
	p.next()
	switch {
	case p.is("TABLE"), p.is("TABLES"), p.is("TEMPORARY"):
		p.dropTable()
	case p.is("INDEX"), p.is("ONLINE"), p.is("OFFLINE"):
		p.dropIndex()
	case p.acceptAny("DATABASE", "SCHEMA") != "":
		p.st.Verb, p.st.Kind = "DROP DATABASE", DropDatabase
		p.st.IfExists = p.accept("IF", "EXISTS")
		p.st.Database = p.fold(p.name())
		p.finish()
	case p.other("VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "USER", "ROLE", "SERVER", "LOGFILE", "TABLESPACE", "UNDO",
		"SPATIAL", "RESOURCE", "LIBRARY", "PREPARE"):
	default:
		p.fail("what it drops is not known")
	}
}

func (p *parser) dropTable() {
	p.st.Verb, p.st.Kind = "DROP TABLE", DropTable
	p.st.Temporary = p.accept("TEMPORARY")
	if p.acceptAny("TABLES", "TABLE") == "" {
		p.fail("expected TABLE")
	}
	p.st.IfExists = p.accept("IF", "EXISTS")
	for {
		p.touch()
		if !p.accept(",") {
			break
		}
	}
	p.acceptAny("RESTRICT", "CASCADE")
	p.finish()
}

func (p *parser) renameStatement() {
	p.next()
	if p.other("USER") {
		return
	}
	p.st.Verb, p.st.Kind = "RENAME TABLE", RenameTable
	if p.acceptAny("TABLES", "TABLE") == "" {
		p.fail("expected TABLE")
	}
	for {
		p.touch()
		p.expect("TO")
		p.touch()
		if !p.accept(",") {
			break
		}
	}
	p.finish()
}

func (p *parser) truncateStatement() {
	p.next()
	p.st.Verb, p.st.Kind = "TRUNCATE TABLE", TruncateTable
	p.accept("TABLE")
	p.touch()
	p.finish()
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
