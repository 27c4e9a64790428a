package ddl

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
		k.special = true
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
	k.onlyIf = p.maria("IF", "NOT", "EXISTS")
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
		case p.maria("NOT", "IGNORED"), p.maria("IGNORED"):
		case p.acceptAny("ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE") != "":
			p.accept("=")
			p.text()
		default:
			return
		}
	}
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
		k.special = true
	}
	p.expect("INDEX")
	k.onlyIf = p.maria("IF", "NOT", "EXISTS")
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
	p.dropped(p.st.alter, &p.st.alter.dropKeys, p.name)
	p.expect("ON")
	p.touch()
	p.indexLock()
	p.finish()
}

func (p *parser) indexLock() {
	p.noWait()
	for p.err == nil && p.acceptAny("ALGORITHM", "LOCK") != "" {
		p.accept("=")
		p.name()
	}
}
