package ddl

import (
	"fmt"
	"strings"
)

// Kind says what a statement does, as far as shapes are concerned.
type Kind uint8

// The kinds.
const (
	// Other statements cannot change the shape or the rows of a table, or
	// change what is no base table.
	Other Kind = iota
	// Transaction control: BEGIN, COMMIT, SAVEPOINT, XA and so on.
	Transaction
	// DML changes rows, and stands as text where rows should stand.
	DML
	CreateTable
	AlterTable // also CREATE INDEX and DROP INDEX
	RenameTable
	DropTable
	TruncateTable
	CreateDatabase
	AlterDatabase
	DropDatabase
)

var kindNames = [...]string{"other", "transaction", "dml", "create table", "alter table", "rename table", "drop table",
	"truncate table", "create database", "alter database", "drop database"}

// String returns the kind in words.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Name names a table, or a database where Table is "".
type Name struct{ Database, Table string }

// String returns database.table.
func (n Name) String() string {
	if n.Table == "" {
		return n.Database
	}
	return n.Database + "." + n.Table
}

// Statement is one statement that Parse has read.
type Statement struct {
	Kind Kind
	// Verb is the statement's first words in capitals, for messages.
	Verb string
	// Tables are the tables that the statement changes, in the order of the
	// text; a RENAME has old and new names in turn. For DML they are given
	// where they stand at the beginning, and nil means unknown.
	Tables []Name
	// Database is the database that the statement creates, alters or drops.
	Database string
	// Temporary says that the tables are temporary, which nobody follows.
	Temporary bool
	// IfExists is IF EXISTS or IF NOT EXISTS.
	IfExists bool

	ctx     Context
	create  *createSpec
	alter   *alterSpec
	options options
}

// createSpec is what CREATE TABLE says.
type createSpec struct {
	like     *Name
	replace  bool // OR REPLACE
	query    bool // AS SELECT: columns that the text does not show
	elements elements
}

// elements are columns and keys, in the order of the text.
type elements struct {
	columns []*columnSpec
	keys    []*keySpec
}

// options are the options of a table or database that matter.
type options struct {
	charset, collation string // as written, "" when not
	defaultCharset     bool   // CHARACTER SET DEFAULT
	engine             string
}

// place says where a column goes.
type place struct {
	set   bool
	first bool
	after string
}

// columnSpec is a column's definition before the rules of its table are
// applied to it.
type columnSpec struct {
	name  string
	typ   typeSpec
	place place
	// old is the column that CHANGE or MODIFY replaces.
	old string
	// onlyIf is IF EXISTS of CHANGE and MODIFY, IF NOT EXISTS of ADD.
	onlyIf bool

	null, notNull, autoIncrement bool
	generated, stored, invisible bool
	primary, unique              bool
	filled                       bool // rows that are there get a value other than NULL
	hasSRID                      bool
	srid                         uint32
	collation                    string
}

// keySpec is an index before it has a name.
type keySpec struct {
	name            string
	primary, unique bool
	special         bool // FULLTEXT or SPATIAL
	implicit        bool // made for a foreign key
	parts           []Part
	onlyIf          bool // IF NOT EXISTS
}

// alterSpec is what ALTER TABLE says, by kind of clause.
type alterSpec struct {
	elements        elements // columns to add and to replace, in the order of the text
	dropColumns     []string
	renames         map[string]string // columns, by the old name in lower case
	visibility      map[string]bool   // columns, by name in lower case: invisible
	dropKeys        []string          // "PRIMARY" for the primary key
	renameKeys      map[string]string // by the old name in lower case
	dropConstraints []string
	dropForeign     bool     // a foreign key, or a constraint that may be one
	ifExists        bool     // of the table
	ifThere         []string // what is dropped only if it is there
	convert         bool     // CONVERT TO CHARACTER SET with the statement's options
	to              *Name
	exchange        *Name
	effect          Effect
}

func lower(s string) string { return strings.ToLower(s) }

func upper(s string) string { return strings.ToUpper(s) }

// Error says what of a statement was not understood.
type Error struct {
	// What was expected or is not known.
	What string
	// Near is the text at the place, shortened; Offset is its byte offset.
	Near   string
	Offset int
	// Verb is the statement's first words, as far as they were read.
	Verb string
	// Tables are the tables that the statement is known to touch. nil: which
	// ones is not known, it may be any.
	Tables []Name
}

// Error returns the message.
func (e *Error) Error() string {
	near := "the end"
	if e.Near != "" {
		near = fmt.Sprintf("%q", e.Near)
	}
	verb := e.Verb
	if verb == "" {
		verb = "statement"
	}
	return fmt.Sprintf("ddl: parse %s: %s at byte %d near %s", verb, e.What, e.Offset, near)
}

// NewName returns the name that ALTER TABLE ... RENAME gives; ok is false for
// other statements.
func (st *Statement) NewName() (n Name, ok bool) {
	if st.alter == nil || st.alter.to == nil {
		return n, false
	}
	return *st.alter.to, true
}

// Like returns the table that CREATE TABLE ... LIKE takes for a model; ok is
// false for other statements.
func (st *Statement) Like() (n Name, ok bool) {
	if st.create == nil || st.create.like == nil {
		return n, false
	}
	return *st.create.like, true
}
