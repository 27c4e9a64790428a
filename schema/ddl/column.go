package ddl

import "strings"

// column reads a column's definition after its name; key attributes go to e.
func (p *parser) column(name string, e *elements) *columnSpec {
	c := &columnSpec{name: name, typ: p.columnType()}
	if c.typ.serial {
		c.notNull, c.autoIncrement, c.unique = true, true, true
	}
	for p.err == nil && p.columnAttribute(c, e) {
	}
	if c.primary {
		e.keys = append(e.keys, &keySpec{primary: true, unique: true, parts: []Part{{Column: name}}})
	}
	if c.unique {
		e.keys = append(e.keys, &keySpec{unique: true, parts: []Part{{Column: name}}})
	}
	e.columns = append(e.columns, c)
	return c
}

// columnAttribute reads one attribute; false when none comes next.
func (p *parser) columnAttribute(c *columnSpec, e *elements) bool {
	switch {
	case p.accept("NOT", "NULL"):
		c.notNull, c.null = true, false
	case p.accept("NULL"):
		c.null, c.notNull = true, false
	case p.accept("NOT", "SECONDARY"):
	case p.accept("DEFAULT"):
		c.filled = p.defaultValue()
	case p.accept("ON", "UPDATE"):
		p.now()
	case p.accept("AUTO_INCREMENT"):
		c.autoIncrement, c.notNull = true, true
	case p.accept("SERIAL", "DEFAULT", "VALUE"):
		c.autoIncrement, c.notNull, c.unique = true, true, true
	case p.accept("UNIQUE"):
		p.accept("KEY")
		c.unique = true
	case p.accept("PRIMARY", "KEY"), p.accept("PRIMARY"), p.accept("KEY"):
		c.primary = true
	case p.accept("COLLATE"):
		c.collation = p.collation()
	case p.accept("VISIBLE"):
		c.invisible = false
	case p.accept("INVISIBLE"):
		c.invisible = true
	case p.accept("SRID"):
		c.srid, c.hasSRID = uint32(p.number()), true
	case p.is("GENERATED"), p.is("AS"), p.is("VIRTUAL"), p.is("STORED"):
		p.generation(c)
	case p.is("REFERENCES"):
		p.references()
		if p.ctx.version() >= 90000 {
			e.keys = append(e.keys, &keySpec{implicit: true, parts: []Part{{Column: c.name}}})
		}
	default:
		return p.silentAttribute()
	}
	return true
}

// silentAttribute reads an attribute that shapes do not show.
func (p *parser) silentAttribute() bool {
	switch {
	case p.accept("COMMENT"):
		p.text()
	case p.acceptAny("COLUMN_FORMAT", "STORAGE") != "":
		p.name()
	case p.acceptAny("ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE") != "":
		p.accept("=")
		p.text()
	case p.accept("CONSTRAINT"):
		if !p.is("CHECK") {
			p.name()
		}
		p.check()
	case p.is("CHECK"):
		p.check()
	default:
		return false
	}
	return true
}

func (p *parser) generation(c *columnSpec) {
	p.accept("GENERATED", "ALWAYS")
	if p.accept("AS") {
		p.parens()
	}
	p.acceptAny("VIRTUAL", "STORED")
	c.generated, c.filled = true, true
}

func (p *parser) check() {
	p.expect("CHECK")
	p.parens()
	if !p.accept("NOT", "ENFORCED") {
		p.accept("ENFORCED")
	}
}

// now reads one of the names of the current time.
func (p *parser) now() bool {
	if p.acceptAny("CURRENT_TIMESTAMP", "NOW", "LOCALTIMESTAMP", "LOCALTIME") == "" {
		return false
	}
	if p.is("(") {
		p.parens()
	}
	return true
}

// defaultValue reads what follows DEFAULT and reports whether it is other
// than NULL.
func (p *parser) defaultValue() bool {
	switch {
	case p.accept("NULL"):
		return false
	case p.is("("):
		p.parens()
	case p.now():
	case p.acceptAny("TRUE", "FALSE") != "":
	case p.acceptAny("+", "-") != "":
		if p.next().kind != number {
			p.fail("expected a number")
		}
	default:
		if t := p.peek(0); t.kind == word { // a charset introducer, or DATE, TIME and so on before a string
			if k := p.peek(1).kind; k == text || k == hexa || k == bits {
				p.next()
			}
		}
		switch p.peek(0).kind {
		case text:
			for p.peek(0).kind == text {
				p.next()
			}
		case number, hexa, bits:
			p.next()
		default:
			p.fail("expected a default value")
		}
	}
	return true
}

// references reads REFERENCES and its actions.
func (p *parser) references() {
	p.expect("REFERENCES")
	p.tableName()
	if p.is("(") {
		p.parens()
	}
	for p.err == nil {
		switch {
		case p.accept("MATCH"):
			p.next()
		case p.is("ON", "DELETE"), p.is("ON", "UPDATE"):
			p.next()
			p.next()
			if !p.accept("SET", "NULL") && !p.accept("SET", "DEFAULT") && !p.accept("NO", "ACTION") && p.acceptAny("RESTRICT", "CASCADE") == "" {
				p.fail("expected an action")
			}
		default:
			return
		}
	}
}

// tableElement reads one element of CREATE TABLE: a column, an index, a
// constraint.
func (p *parser) tableElement(e *elements) {
	if p.isConstraint() {
		p.constraint(e)
		return
	}
	p.column(p.columnName(), e)
}

// isConstraint reports whether an index or constraint comes next. All these
// words are reserved.
func (p *parser) isConstraint() bool {
	for _, w := range [...]string{"CONSTRAINT", "PRIMARY", "UNIQUE", "KEY", "INDEX", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK"} {
		if p.is(w) {
			return true
		}
	}
	return false
}

func (p *parser) constraint(e *elements) {
	name := ""
	if p.accept("CONSTRAINT") && !p.is("PRIMARY") && !p.is("UNIQUE") && !p.is("FOREIGN") && !p.is("CHECK") {
		name = p.name()
	}
	k := &keySpec{name: name}
	switch {
	case p.accept("PRIMARY", "KEY"):
		k.primary, k.unique = true, true
		if p.indexHead(k); p.err == nil {
			k.name = ""
		}
	case p.accept("UNIQUE"):
		k.unique = true
		p.acceptAny("INDEX", "KEY")
		p.indexHead(k)
	case p.acceptAny("FULLTEXT", "SPATIAL") != "":
		k.whole = true
		p.acceptAny("INDEX", "KEY")
		p.indexHead(k)
	case p.acceptAny("INDEX", "KEY") != "":
		p.indexHead(k)
	case p.accept("FOREIGN", "KEY"):
		if !p.is("(") {
			if n := p.name(); k.name == "" {
				k.name = n
			}
		}
		p.keyParts(k)
		p.references()
		k.implicit = true
	case p.is("CHECK"):
		p.check()
		return
	default:
		p.fail("expected a constraint")
	}
	e.keys = append(e.keys, k)
}

// indexHead reads [name] [USING type] (parts) options.
func (p *parser) indexHead(k *keySpec) {
	if !p.is("(") && !p.is("USING") && !p.is("TYPE") {
		k.name = p.name()
	}
	p.indexType()
	p.keyParts(k)
	p.indexOptions()
}

func (p *parser) indexType() {
	if p.acceptAny("USING", "TYPE") != "" {
		if p.acceptAny("BTREE", "HASH", "RTREE") == "" {
			p.fail("expected BTREE or HASH")
		}
	}
}

// keyParts reads (column [(length)] [ASC|DESC], (expression), ...).
func (p *parser) keyParts(k *keySpec) {
	p.expect("(")
	for p.err == nil {
		if p.is("(") {
			p.parens()
			k.parts = append(k.parts, Part{})
		} else {
			k.parts = append(k.parts, Part{Column: p.name(), Prefix: p.length(0)})
		}
		p.acceptAny("ASC", "DESC")
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
}

func (p *parser) indexOptions() {
	for p.err == nil {
		switch {
		case p.is("USING"), p.is("TYPE"):
			p.indexType()
		case p.accept("KEY_BLOCK_SIZE"):
			p.accept("=")
			p.number()
		case p.accept("COMMENT"):
			p.text()
		case p.accept("WITH", "PARSER"):
			p.name()
		case p.acceptAny("VISIBLE", "INVISIBLE") != "":
		case p.acceptAny("ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE") != "":
			p.accept("=")
			p.text()
		default:
			return
		}
	}
}

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

// createIndex reads CREATE [UNIQUE|FULLTEXT|SPATIAL] INDEX as an ALTER TABLE.
func (p *parser) createIndex() {
	p.st.Verb, p.st.Kind = "CREATE INDEX", AlterTable
	p.st.alter = newAlter()
	p.acceptAny("ONLINE", "OFFLINE")
	k := &keySpec{}
	switch p.acceptAny("UNIQUE", "FULLTEXT", "SPATIAL") {
	case "UNIQUE":
		k.unique = true
	case "FULLTEXT", "SPATIAL":
		k.whole = true
	}
	p.expect("INDEX")
	k.name = p.name()
	p.indexType()
	p.expect("ON")
	p.touch()
	p.keyParts(k)
	p.indexOptions()
	p.indexLock()
	p.st.alter.elements.keys = []*keySpec{k}
	p.finish()
}

// dropIndex reads DROP INDEX as an ALTER TABLE.
func (p *parser) dropIndex() {
	p.st.Verb, p.st.Kind = "DROP INDEX", AlterTable
	p.st.alter = newAlter()
	p.acceptAny("ONLINE", "OFFLINE")
	p.expect("INDEX")
	p.st.alter.dropKeys = []string{p.name()}
	p.expect("ON")
	p.touch()
	p.indexLock()
	p.finish()
}

func (p *parser) indexLock() {
	for p.err == nil && p.acceptAny("ALGORITHM", "LOCK") != "" {
		p.accept("=")
		p.name()
	}
}
