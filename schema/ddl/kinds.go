package ddl

import (
	"slices"
	"strings"
)

// Parse reads one statement of a server's log. The error is an *Error. The
// text must be UTF-8; the log's character_set_client says what it was.
func Parse(sql string, c Context) (*Statement, error) {
	p := &parser{ctx: &c, st: &Statement{ctx: c}}
	p.lex = lexer{src: sql, mode: c.SQLMode, version: c.version(), maria: c.MariaDB}
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
	case p.ctx.MariaDB && p.is("SET", "STATEMENT"):
		p.setStatement()
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

// setStatement reads SET STATEMENT variable = value, ... FOR statement.
func (p *parser) setStatement() {
	for p.peek(0).kind != end && p.peek(0).kind != unclosed {
		if p.accept("FOR") {
			p.statement()
			return
		}
		p.next()
	}
	p.fail("expected FOR")
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
	case p.ctx.MariaDB && (p.is("OR", "REPLACE", "TABLE") || p.is("OR", "REPLACE", "TEMPORARY", "TABLE")):
		p.accept("OR", "REPLACE")
		p.createTable()
		if p.st.create != nil {
			p.st.create.replace = true
		}
	case p.ctx.MariaDB && p.is("OR", "REPLACE") && (p.is("OR", "REPLACE", "DATABASE") || p.is("OR", "REPLACE", "SCHEMA") || p.is("OR", "REPLACE", "INDEX") ||
		p.is("OR", "REPLACE", "UNIQUE") || p.is("OR", "REPLACE", "FULLTEXT") || p.is("OR", "REPLACE", "SPATIAL")):
		p.fail("what it creates in the place of another is not known")
	case p.ctx.MariaDB && p.other("SEQUENCE", "PACKAGE"):
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
	case p.ctx.MariaDB && (p.accept("ONLINE", "IGNORE", "TABLE") || p.accept("ONLINE", "TABLE")):
		p.alterTable()
	case p.ctx.MariaDB && p.other("SEQUENCE"):
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
	case p.ctx.MariaDB && p.other("SEQUENCE", "PACKAGE"):
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
	p.noWait()
	p.finish()
}

// noWait reads how long MariaDB is to wait for locks.
func (p *parser) noWait() {
	if p.ctx.MariaDB && !p.accept("NOWAIT") && p.accept("WAIT") {
		p.number()
	}
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
		p.noWait()
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
	p.noWait()
	p.finish()
}
