package ddl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/schema"
)

// Effect says what a statement did to rows without row events.
type Effect uint8

// The effects.
const (
	// Rewrites: rows may hold other values than row events said, or there may
	// be rows that no event told of; they must be read again.
	Rewrites Effect = 1 << iota
	// Removes: rows may have vanished.
	Removes
	// Empties: the table has no rows now.
	Empties
	// Recodes: text was converted to another charset. Without Rewrites it is
	// the same text, for the new charset holds all that the old one does.
	Recodes
)

// String lists the effects.
func (e Effect) String() string {
	var names []string
	for i, n := range [...]string{"rewrites", "removes", "empties", "recodes"} {
		if e&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ",")
}

// Outcome is what a statement did to one name.
type Outcome struct {
	Name Name
	// Def is the table's definition after the statement; nil when nothing
	// has that name any more, or when Err is set.
	Def *Def
	// From is the name that this table had before the statement, To the name
	// that the table which was here has after it.
	From, To *Name
	// Columns is, after an ALTER TABLE, the name that each column has now, by
	// the one it had before in lower case: "" if it is gone. nil: not known.
	Columns map[string]string
	// Database is set for databases, whose Name has no table; nil means that
	// the database is gone, with all its tables.
	Database *Database
	Effect   Effect
	// Err says why the shape after the statement is not known. The table may
	// not be followed any further by this history.
	Err error
}

// Model is what is known before a statement.
type Model interface {
	// Def returns the definition of a table, nil when none is known.
	Def(db, table string) *Def
	// Database returns the defaults of a database; ok is false when they are
	// not known.
	Database(db string) (d Database, ok bool)
}

// The reasons of Outcome.Err that callers may want to tell apart.
var (
	ErrUnknownTable    = errors.New("no shape is known from before the statement")
	ErrUnknownDatabase = errors.New("the default charset of the database is not known")
	ErrQuery           = errors.New("the columns come from a query, which the statement's text does not show")
	ErrConvert         = errors.New("a TEXT or BLOB that is both defined and converted by one statement gets a size that cannot be told")
	ErrElements        = errors.New("the elements of an ENUM or SET cannot be told from their bytes in another charset")
)

// Apply returns what a statement did to each name it touches. The outcomes
// hold together, as of after the statement; no name is there twice. Names
// whose definition does not change are left out, as are temporary tables.
func Apply(st *Statement, m Model) []Outcome {
	if st.Temporary {
		return nil
	}
	switch st.Kind {
	case CreateTable:
		return st.applyCreate(m)
	case AlterTable:
		return st.applyAlter(m)
	case RenameTable:
		return st.applyRename(m)
	case DropTable:
		return st.applyDrop()
	case TruncateTable:
		n := st.Tables[0]
		x := Outcome{Name: n, Effect: Removes | Empties, Def: m.Def(n.Database, n.Table)}
		return []Outcome{x.known()}
	case CreateDatabase, AlterDatabase:
		return st.applyDatabase(m)
	case DropDatabase:
		return []Outcome{{Name: Name{Database: st.Database}, Effect: Removes | Empties}}
	}
	return nil
}

// known sets Err when there is no Def.
func (o Outcome) known() Outcome {
	if o.Def == nil {
		o.Err = ErrUnknownTable
	}
	return o
}

func (st *Statement) applyDrop() []Outcome {
	var out []Outcome
	for _, n := range st.Tables {
		if !slices.ContainsFunc(out, func(o Outcome) bool { return o.Name == n }) {
			out = append(out, Outcome{Name: n, Effect: Removes | Empties})
		}
	}
	return out
}

func (st *Statement) applyDatabase(m Model) []Outcome {
	old, known := m.Database(st.Database)
	if st.Kind == CreateDatabase && known && st.IfExists {
		return nil
	}
	set := textSet{old.Charset, old.Collation}
	if st.Kind == CreateDatabase || !known {
		set, _ = lookCollation(st.ctx.ServerCollation)
	}
	set, err := st.options.apply(&st.ctx, set, st.serverSet())
	n := Name{Database: st.Database}
	if err == nil && set.charset == "" {
		err = ErrUnknownDatabase
	}
	return []Outcome{{Name: n, Database: &Database{st.Database, set.charset, set.collation}, Err: err}}
}

func (st *Statement) serverSet() textSet {
	s, _ := lookCollation(st.ctx.ServerCollation)
	return s
}

// apply returns the default charset that the options make of set; def is
// what CHARACTER SET DEFAULT stands for.
func (o *options) apply(c *Context, set, def textSet) (textSet, error) {
	if o.defaultCharset {
		set = def
	}
	if o.charset != "" {
		set, _ = c.lookCharset(o.charset)
	}
	if o.collation != "" {
		coll, _ := lookCollation(o.collation)
		if o.charset != "" && coll.charset != o.charset {
			return set, fmt.Errorf("ddl: collation %s is not one of charset %s", o.collation, o.charset)
		}
		set = coll
	}
	return set, nil
}

// databaseSet returns the default charset of a database.
func (st *Statement) databaseSet(m Model, db string) textSet {
	if d, ok := m.Database(db); ok {
		return textSet{d.Charset, d.Collation}
	}
	if db == st.ctx.Database {
		s, _ := lookCollation(st.ctx.DatabaseCollation)
		return s
	}
	return textSet{}
}

// applyRename follows the names through all steps, so that swaps come out as
// what they are.
func (st *Statement) applyRename(m Model) []Outcome {
	origin := map[Name]Name{} // where the table under a name came from; the empty Name: nothing is there
	from := func(n Name) Name {
		if o, ok := origin[n]; ok {
			return o
		}
		return n
	}
	var touched []Name
	for i := 0; i+1 < len(st.Tables); i += 2 {
		a, b := st.Tables[i], st.Tables[i+1]
		origin[b] = from(a)
		origin[a] = Name{}
		touched = append(touched, a, b)
	}
	to := map[Name]Name{}
	for n, o := range origin {
		to[o] = n
	}
	var out []Outcome
	done := map[Name]bool{}
	for _, n := range touched {
		o := origin[n]
		if done[n] || o == n {
			continue
		}
		done[n] = true
		moved, ok := to[n]
		if !ok && o == (Name{}) {
			continue // a name that was used only on the way
		}
		x := Outcome{Name: n}
		if ok {
			x.To = &moved
		}
		if o != (Name{}) {
			x = renamed(x, o, m.Def(o.Database, o.Table))
		}
		out = append(out, x)
	}
	return out
}

// renamed completes the outcome of a table that was called from and had the
// definition d.
func renamed(x Outcome, from Name, d *Def) Outcome {
	x.From = &from
	if d == nil {
		x.Err = ErrUnknownTable
		return x
	}
	x.Def, x.Err = rebuild(d, x.Name, slices.Clone(d.Table.Columns), cloneIndexes(d.Indexes))
	return x
}

// rebuild returns a Def with the options of d and a new name, columns and
// indexes.
func rebuild(d *Def, n Name, cols []schema.Column, indexes []Index) (*Def, error) {
	next, err := NewDef(&schema.Table{Database: n.Database, Name: n.Table, Columns: cols}, indexes)
	if err != nil {
		return nil, fmt.Errorf("ddl: %w", err)
	}
	next.Engine, next.Charset, next.Collation = d.Engine, d.Charset, d.Collation
	return next, nil
}

func cloneIndexes(list []Index) []Index {
	list = slices.Clone(list)
	for i := range list {
		list[i].Parts = slices.Clone(list[i].Parts)
	}
	return list
}

func (st *Statement) applyCreate(m Model) []Outcome {
	n := st.Tables[0]
	if st.IfExists && m.Def(n.Database, n.Table) != nil {
		return nil
	}
	def, err := st.createDef(m, n)
	out := Outcome{Name: n, Def: def, Err: err}
	if st.create.replace && m.Def(n.Database, n.Table) != nil {
		out.Effect = Removes | Empties
	}
	return []Outcome{out}
}

func (st *Statement) createDef(m Model, n Name) (*Def, error) {
	c := st.create
	if c.like != nil {
		src := m.Def(c.like.Database, c.like.Table)
		if src == nil {
			return nil, fmt.Errorf("ddl: table %s is made like %s: %w", n, c.like, ErrUnknownTable)
		}
		b := builder{ctx: &st.ctx, indexes: cloneIndexes(src.Indexes)}
		if !st.ctx.MariaDB {
			b.free = len(b.indexes) // foreign keys are not copied
		}
		b.dropRedundant()
		return rebuild(src, n, slices.Clone(src.Table.Columns), b.indexes)
	}
	if c.query {
		return nil, fmt.Errorf("ddl: table %s: %w", n, ErrQuery)
	}
	db := st.databaseSet(m, n.Database)
	set, err := st.options.apply(&st.ctx, db, db)
	if err != nil {
		return nil, err
	}
	if set.charset == "" {
		return nil, fmt.Errorf("ddl: table %s: %w", n, ErrUnknownDatabase)
	}
	b := builder{ctx: &st.ctx, set: set}
	for _, spec := range c.elements.columns {
		b.cols = append(b.cols, b.resolve(spec))
	}
	b.addKeys(c.elements.keys)
	d := &Def{Engine: st.options.engine, Charset: set.charset, Collation: set.collation}
	if d.Engine == "" {
		d.Engine = st.ctx.Engine
	}
	if d.Engine == "" {
		d.Engine = "InnoDB"
	}
	indexes := b.finish()
	if st.ctx.GeneratePrimaryKey && d.Engine == "InnoDB" {
		b.generatePrimaryKey(c.elements.columns)
		indexes = b.indexes
	}
	if b.err != nil {
		return nil, fmt.Errorf("ddl: table %s: %w", n, b.err)
	}
	return rebuild(d, n, b.cols, indexes)
}
