package ddl

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
	case p.compressed():
	case p.is("GENERATED"), p.is("AS"), p.is("VIRTUAL"), p.is("STORED"), p.ctx.MariaDB && p.is("PERSISTENT"):
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
	if kind := p.acceptAny("VIRTUAL", "STORED"); kind == "STORED" || kind == "" && p.maria("PERSISTENT") {
		c.stored = true
	}
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
			if p.ctx.MariaDB && p.peek(0).kind == word && p.peek(1).kind == mark && p.peek(1).val == "(" { // a function
				p.next()
				p.parens()
				return true
			}
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
