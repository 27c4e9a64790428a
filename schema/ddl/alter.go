package ddl

func newAlter() *alterSpec {
	return &alterSpec{renames: map[string]string{}, visibility: map[string]bool{}, renameKeys: map[string]string{}}
}

// alterTable reads ALTER TABLE after these words.
func (p *parser) alterTable() {
	p.st.Verb, p.st.Kind = "ALTER TABLE", AlterTable
	a := newAlter()
	p.st.alter = a
	a.ifExists = p.maria("IF", "EXISTS")
	p.touch()
	p.noWait()
	for p.err == nil {
		if p.peek(0).kind == end || p.is(";") {
			break
		}
		p.alterClause(a)
		if !p.accept(",") && !p.is("PARTITION", "BY") && !p.is("REMOVE") && !p.isOption() {
			break
		}
	}
	p.finish()
}

// isOption reports whether a table option follows without a comma.
func (p *parser) isOption() bool {
	if p.is("DEFAULT") || p.is("ENGINE") || p.is("CHARSET") || p.is("CHARACTER") || p.is("COLLATE") || p.is("UNION") || p.is("DATA") {
		return true
	}
	t := p.peek(0)
	return t.kind == word && plainOptions[upper(t.val)]
}

func (p *parser) alterClause(a *alterSpec) {
	switch {
	case p.accept("ADD"):
		p.alterAdd(a)
	case p.accept("DROP"):
		p.alterDrop(a)
	case p.accept("MODIFY"):
		p.accept("COLUMN")
		onlyIf := p.maria("IF", "EXISTS")
		name := p.columnName()
		p.replacement(a, name, name).onlyIf = onlyIf
	case p.accept("CHANGE"):
		p.accept("COLUMN")
		onlyIf := p.maria("IF", "EXISTS")
		old := p.columnName()
		p.replacement(a, old, p.columnName()).onlyIf = onlyIf
	case p.accept("ALTER"):
		p.alterAlter(a)
	case p.accept("RENAME"):
		p.alterRename(a)
	case a.convert && p.is("CONVERT"):
		p.fail("a second CONVERT, whose collation cannot be told")
	case p.accept("CONVERT", "TO"):
		a.convert = true
		if !p.charsetOption() {
			p.fail("expected CHARACTER SET")
		}
		if p.is("COLLATE") {
			p.charsetOption()
		}
	case p.accept("ORDER", "BY"):
		p.orderBy()
	case p.acceptAny("ALGORITHM", "LOCK") != "":
		p.accept("=")
		p.name()
	case p.accept("FORCE"):
	case p.accept("ENABLE", "KEYS"), p.accept("DISABLE", "KEYS"):
	case p.accept("WITH", "VALIDATION"), p.accept("WITHOUT", "VALIDATION"):
	case p.accept("DISCARD", "TABLESPACE"):
		a.effect |= Removes | Empties
	case p.accept("IMPORT", "TABLESPACE"):
		a.effect |= Rewrites | Removes
	case p.accept("SECONDARY_LOAD"), p.accept("SECONDARY_UNLOAD"):
		if p.accept("PARTITION") {
			p.parens()
		}
	case p.tableOption():
	default:
		p.alterPartitions(a)
	}
}

func (p *parser) alterAdd(a *alterSpec) {
	switch {
	case p.accept("PARTITION"):
		p.partitionBy()
	case p.isConstraint():
		p.constraint(&a.elements)
	default:
		p.accept("COLUMN")
		onlyIf := p.maria("IF", "NOT", "EXISTS")
		if !p.accept("(") {
			c := p.column(p.columnName(), &a.elements)
			c.place, c.onlyIf = p.place(), onlyIf
			return
		}
		if onlyIf {
			p.fail("IF NOT EXISTS before several columns")
		}
		for p.err == nil {
			p.tableElement(&a.elements)
			if !p.accept(",") {
				break
			}
		}
		p.expect(")")
	}
}

// place reads FIRST or AFTER.
func (p *parser) place() place {
	if p.accept("FIRST") {
		return place{set: true, first: true}
	}
	if p.accept("AFTER") {
		return place{set: true, after: p.columnName()}
	}
	return place{}
}

// replacement reads the new definition of a column.
func (p *parser) replacement(a *alterSpec, old, name string) *columnSpec {
	c := p.column(name, &a.elements)
	c.old = old
	c.place = p.place()
	return c
}

// maria passes over words that only MariaDB has there.
func (p *parser) maria(words ...string) bool { return p.ctx.MariaDB && p.accept(words...) }

// dropped notes a name that DROP has, with IF EXISTS or without.
func (p *parser) dropped(a *alterSpec, list *[]string, name func() string) {
	onlyIf := p.maria("IF", "EXISTS")
	n := name()
	*list = append(*list, n)
	if onlyIf {
		a.ifThere = append(a.ifThere, n)
	}
}

func (p *parser) alterDrop(a *alterSpec) {
	switch {
	case p.accept("PARTITION"):
		a.effect |= Removes
		p.partitionBy()
	case p.accept("PRIMARY", "KEY"):
		a.dropKeys = append(a.dropKeys, "PRIMARY")
	case p.acceptAny("INDEX", "KEY") != "":
		p.dropped(a, &a.dropKeys, p.name)
	case p.accept("FOREIGN", "KEY"):
		a.dropForeign = true
		p.maria("IF", "EXISTS")
		p.name()
	case p.accept("CHECK"):
		p.maria("IF", "EXISTS")
		p.name()
	case p.accept("CONSTRAINT"):
		a.dropForeign = true
		// A constraint may be an index under this name.
		p.dropped(a, &a.dropConstraints, p.name)
	default:
		p.accept("COLUMN")
		p.dropped(a, &a.dropColumns, p.columnName)
		p.acceptAny("RESTRICT", "CASCADE")
	}
}

func (p *parser) alterAlter(a *alterSpec) {
	switch {
	case p.accept("INDEX"):
		p.name()
		if p.acceptAny("VISIBLE", "INVISIBLE") == "" {
			p.fail("expected VISIBLE or INVISIBLE")
		}
	case p.accept("CHECK"), p.accept("CONSTRAINT"):
		p.name()
		if !p.accept("NOT", "ENFORCED") {
			p.expect("ENFORCED")
		}
	default:
		p.accept("COLUMN")
		name := p.columnName()
		switch {
		case p.accept("SET", "DEFAULT"):
			p.defaultValue()
		case p.accept("DROP", "DEFAULT"):
		case p.accept("SET", "VISIBLE"):
			a.visibility[lower(name)] = false
		case p.accept("SET", "INVISIBLE"):
			a.visibility[lower(name)] = true
		default:
			p.fail("expected SET or DROP")
		}
	}
}

func (p *parser) alterRename(a *alterSpec) {
	switch {
	case p.accept("COLUMN"):
		old := p.columnName()
		p.expect("TO")
		a.renames[lower(old)] = p.columnName()
	case p.acceptAny("INDEX", "KEY") != "":
		old := p.name()
		p.expect("TO")
		a.renameKeys[lower(old)] = p.name()
	default:
		p.acceptAny("TO", "AS", "=")
		n := p.touch()
		a.to = &n
	}
}

func (p *parser) orderBy() {
	for p.err == nil {
		p.columnName()
		p.acceptAny("ASC", "DESC")
		if !p.is(",") || p.peek(1).kind != word && p.peek(1).kind != quoted {
			return
		}
		if t := p.peek(2); t.kind != end && !(t.kind == mark && (t.val == "," || t.val == "." || t.val == ";")) && t.val != "ASC" && t.val != "DESC" {
			return // the next clause
		}
		p.next()
	}
}

// alterPartitions reads the clauses on partitions that stand alone.
func (p *parser) alterPartitions(a *alterSpec) {
	switch {
	case p.accept("PARTITION", "BY"), p.accept("REORGANIZE", "PARTITION"), p.accept("COALESCE", "PARTITION"),
		p.accept("REBUILD", "PARTITION"), p.accept("OPTIMIZE", "PARTITION"), p.accept("ANALYZE", "PARTITION"),
		p.accept("CHECK", "PARTITION"), p.accept("REMOVE", "PARTITIONING"):
	case p.accept("REPAIR", "PARTITION"):
		a.effect |= Removes
	case p.accept("TRUNCATE", "PARTITION"), p.accept("DISCARD", "PARTITION"):
		a.effect |= Removes
	case p.accept("IMPORT", "PARTITION"):
		a.effect |= Rewrites | Removes
	case p.accept("EXCHANGE", "PARTITION"):
		a.effect |= Rewrites | Removes
		p.name()
		p.expect("WITH", "TABLE")
		n := p.touch()
		a.exchange = &n
		if !p.accept("WITH", "VALIDATION") {
			p.accept("WITHOUT", "VALIDATION")
		}
		return
	default:
		p.fail("this clause is not known")
	}
	p.partitionBy()
}
