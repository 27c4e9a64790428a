package ddl

import "strings"

// createTable reads CREATE [TEMPORARY] TABLE.
func (p *parser) createTable() {
	p.st.Verb, p.st.Kind = "CREATE TABLE", CreateTable
	p.st.Temporary = p.accept("TEMPORARY")
	p.expect("TABLE")
	p.st.IfExists = p.accept("IF", "NOT", "EXISTS")
	p.touch()
	c := &createSpec{}
	p.st.create = c
	if p.accept("LIKE") {
		p.like(c)
		p.finish()
		return
	}
	if p.is("(", "LIKE") {
		p.next()
		p.next()
		p.like(c)
		p.expect(")")
		p.finish()
		return
	}
	if p.is("(") && !p.is("(", "SELECT") && !p.is("(", "WITH") && !p.is("(", "(") && !p.is("(", "VALUES") && !p.is("(", "TABLE") {
		p.next()
		for p.err == nil {
			p.tableElement(&c.elements)
			if !p.accept(",") {
				break
			}
		}
		p.expect(")")
	}
	for p.err == nil && p.tableOption() {
		p.accept(",")
	}
	p.tail(c)
}

func (p *parser) like(c *createSpec) {
	n := p.tableName()
	c.like = &n
}

// tail reads what may follow the options of CREATE TABLE: partitions, and a
// query that gives more columns.
func (p *parser) tail(c *createSpec) {
	if p.is("PARTITION", "BY") {
		p.partitionBy("AS", "SELECT", "WITH", "VALUES", "IGNORE", "REPLACE", "TABLE")
	}
	if p.acceptAny("IGNORE", "REPLACE") != "" || p.is("AS") || p.is("SELECT") || p.is("WITH") || p.is("VALUES") || p.is("TABLE") || p.is("(") {
		c.query = true
		return
	}
	p.finish()
}

// partitionBy passes over a PARTITION BY clause up to one of the words.
func (p *parser) partitionBy(until ...string) {
	for p.err == nil {
		t := p.peek(0)
		if t.kind == unclosed {
			p.fail("")
		}
		if t.kind == end || t.kind == mark && t.val == ";" {
			return
		}
		for _, w := range until {
			if p.is(w) {
				return
			}
		}
		if p.is("(") {
			p.parens()
			continue
		}
		p.next()
	}
}

// plainOptions are the table options with one value that shapes do not show.
var plainOptions = map[string]bool{
	"SECONDARY_ENGINE": true, "MAX_ROWS": true, "MIN_ROWS": true, "AVG_ROW_LENGTH": true, "PASSWORD": true, "COMMENT": true,
	"COMPRESSION": true, "ENCRYPTION": true, "AUTO_INCREMENT": true, "PACK_KEYS": true, "STATS_AUTO_RECALC": true,
	"STATS_PERSISTENT": true, "STATS_SAMPLE_PAGES": true, "CHECKSUM": true, "TABLE_CHECKSUM": true, "DELAY_KEY_WRITE": true,
	"ROW_FORMAT": true, "INSERT_METHOD": true, "TABLESPACE": true, "STORAGE": true, "CONNECTION": true, "KEY_BLOCK_SIZE": true,
	"ENGINE_ATTRIBUTE": true, "SECONDARY_ENGINE_ATTRIBUTE": true, "AUTOEXTEND_SIZE": true,
	// Of MariaDB.
	"PAGE_COMPRESSED": true, "PAGE_COMPRESSION_LEVEL": true, "PAGE_CHECKSUM": true, "TRANSACTIONAL": true, "ENCRYPTED": true,
	"ENCRYPTION_KEY_ID": true,
}

// tableOption reads one table option; false when none comes next.
func (p *parser) tableOption() bool {
	if p.charsetOption() {
		return true
	}
	switch {
	case p.accept("ENGINE"):
		p.accept("=")
		p.st.options.engine = engineName(p.nameOrText())
		return true
	case p.is("DATA", "DIRECTORY"), p.is("INDEX", "DIRECTORY"):
		p.next()
		p.next()
		p.accept("=")
		p.text()
		return true
	case p.accept("UNION"):
		p.accept("=")
		p.parens()
		return true
	case p.accept("START", "TRANSACTION"):
		return true
	}
	t := p.peek(0)
	if t.kind != word || !plainOptions[strings.ToUpper(t.val)] {
		return false
	}
	p.next()
	p.accept("=")
	switch v := p.next(); v.kind {
	case word, quoted, text, number, hexa:
	default:
		p.fail("expected the option's value")
	}
	return true
}

// engineName gives an engine the name that information_schema has for it.
func engineName(s string) string {
	switch l := lower(s); l {
	case "innodb":
		return "InnoDB"
	case "myisam":
		return "MyISAM"
	case "memory", "heap":
		return "MEMORY"
	case "csv", "archive", "blackhole", "federated":
		return strings.ToUpper(l)
	case "merge", "mrg_myisam":
		return "MRG_MYISAM"
	case "ndb", "ndbcluster":
		return "ndbcluster"
	}
	return s
}
