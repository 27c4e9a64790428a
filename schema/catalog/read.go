package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

// maxNames is the number of tables up to which they are named one by one in
// the queries on their database; beyond it the whole database is read.
const maxNames = 200

// tableTypes are what counts as a table; MariaDB has two kinds.
const tableTypes = "TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')"

// shapeQuery reads tables (t), columns (c) and index parts (x) in one
// statement, so that all come from one state of the dictionary. Of the two
// comments MariaDB, which has no SRS_ID, executes the first and MySQL the second.
const shapeQuery = `SELECT 't' AS kind, TABLE_NAME AS tbl, 0 AS n, ENGINE AS name, TABLE_TYPE AS type, TABLE_COLLATION AS collation,
 '' AS flag, CREATE_OPTIONS AS extra, NULL AS num FROM information_schema.TABLES WHERE ` + tableTypes + ` AND %[1]s
UNION ALL SELECT 'c', TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, COLUMN_TYPE, COLLATION_NAME, IS_NULLABLE, EXTRA, /*M! NULL*/ /*!80000 SRS_ID*/
 FROM information_schema.COLUMNS WHERE %[1]s
UNION ALL SELECT 'x', TABLE_NAME, SEQ_IN_INDEX, INDEX_NAME, COLUMN_NAME, '', NON_UNIQUE, INDEX_TYPE, SUB_PART
 FROM information_schema.STATISTICS WHERE %[1]s`

// where returns the condition that picks names of db, and its arguments.
func where(db string, names []string) (string, []any) {
	args := []any{db}
	if len(names) > maxNames {
		return "TABLE_SCHEMA = ?", args
	}
	for _, n := range names {
		args = append(args, n)
	}
	return "TABLE_SCHEMA = ? AND TABLE_NAME IN (?" + strings.Repeat(", ?", len(names)-1) + ")", args
}

// shapeRow is one row of shapeQuery.
type shapeRow struct {
	kind, table          string
	n                    int
	name, typ, collation sql.NullString
	flag, extra          sql.NullString
	num                  sql.NullInt64
}

// raw is what shapeQuery says of one table.
type raw struct {
	table   shapeRow
	columns []shapeRow
	parts   []shapeRow
}

// readDatabase returns the tables of db among names, ordered by name; those
// that are gone are left out. Where one is, all of db is read: of names that differ
// in letter case or accents alone MariaDB looks up the first only.
func readDatabase(ctx context.Context, q Queryer, db string, names []string) ([]Info, error) {
	cond, args := where(db, names)
	raws, err := readRaws(ctx, q, db, cond, args)
	if err != nil {
		return nil, err
	}
	there := func(name string) bool { r := raws[name]; return r != nil && r.table.kind != "" }
	if len(args) > 1 && slices.ContainsFunc(names, func(n string) bool { return !there(n) }) {
		if raws, err = readRaws(ctx, q, db, "TABLE_SCHEMA = ?", []any{db}); err != nil {
			return nil, err
		}
	}
	return build(db, names, raws), nil
}

// readRaws returns what the server says of tables of db, by their names.
func readRaws(ctx context.Context, q Queryer, db, cond string, args []any) (map[string]*raw, error) {
	rows, err := q.QueryContext(ctx, fmt.Sprintf(shapeQuery, cond), slices.Concat(args, args, args)...)
	if err != nil {
		return nil, fmt.Errorf("catalog: read tables of %s: %w", db, err)
	}
	defer rows.Close()
	raws := make(map[string]*raw)
	for rows.Next() {
		var r shapeRow
		if err := rows.Scan(&r.kind, &r.table, &r.n, &r.name, &r.typ, &r.collation, &r.flag, &r.extra, &r.num); err != nil {
			return nil, fmt.Errorf("catalog: read tables of %s: %w", db, err)
		}
		t := raws[r.table]
		if t == nil {
			t = new(raw)
			raws[r.table] = t
		}
		switch r.kind {
		case "t":
			t.table = r
		case "c":
			t.columns = append(t.columns, r)
		case "x":
			t.parts = append(t.parts, r)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("catalog: read tables of %s: %w", db, err)
	}
	return raws, nil
}

func build(db string, names []string, raws map[string]*raw) []Info {
	wanted := make(map[string]bool, len(names))
	for _, n := range names {
		wanted[n] = true
	}
	var infos []Info
	for name, r := range raws {
		if r.table.kind == "" || !wanted[name] {
			continue // a view, or not asked for
		}
		info := Info{Database: db, Name: name}
		info.Partitioned = strings.Contains(strings.ToLower(r.table.extra.String), "partitioned")
		info.Def, info.Doubtful, info.Err = r.def(db, name)
		if info.Err != nil {
			info.Err = fmt.Errorf("catalog: read table %s.%s: %w", db, name, info.Err)
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos
}

// def puts the rows of one table together.
func (r *raw) def(db, name string) (def *ddl.Def, doubtful []string, err error) {
	if r.table.typ.String == versioned {
		return nil, nil, errVersioned
	}
	t := &schema.Table{Database: db, Name: name, Columns: make([]schema.Column, len(r.columns))}
	slices.SortFunc(r.columns, func(a, b shapeRow) int { return cmp.Compare(a.n, b.n) })
	if err := r.complete(); err != nil {
		return nil, nil, err
	}
	for i := range r.columns {
		if err := r.columns[i].column(&t.Columns[i]); err != nil {
			return nil, nil, err
		}
		if inDoubt(&t.Columns[i]) {
			doubtful = append(doubtful, t.Columns[i].Name)
		}
	}
	def, err = ddl.NewDef(t, r.indexes())
	if err != nil {
		return nil, nil, err
	}
	def.Engine = r.table.name.String
	def.Collation = collationName(r.table.collation.String)
	def.Charset = charsetOf(def.Collation)
	return def, doubtful, nil
}

const versioned = "SYSTEM VERSIONED"

var errVersioned = errors.New("it is system-versioned, and tables that keep the history of their rows are not supported: leave it out with table.exclude.list")

// complete checks that no column is missing. Numbers are missing where the
// user may not see a column, but also where the server has a column of its
// own for an expression in an index; such columns are mostly, not always, the
// last ones, so as many gaps as there are expressions may be theirs.
func (r *raw) complete() error {
	if len(r.columns) == 0 {
		return errors.New("its columns are hidden from this user: grant SELECT on the table")
	}
	expressions := 0
	for i := range r.parts {
		if !r.parts[i].typ.Valid {
			expressions++
		}
	}
	if gaps := r.columns[len(r.columns)-1].n - len(r.columns); gaps > expressions {
		return errors.New("some of its columns are hidden from this user: grant SELECT on the whole table, " +
			"and call Prepare on the connection where it is a generated primary key")
	}
	return nil
}

// inDoubt reports whether an element of c may have lost a character.
func inDoubt(c *schema.Column) bool {
	switch c.Charset {
	case "utf8mb4", "utf16", "utf16le", "utf32", "gb18030":
		return slices.ContainsFunc(c.Elements, func(e string) bool { return strings.Contains(e, "?") })
	}
	return false
}

// column fills c from a row on a column.
func (r *shapeRow) column(c *schema.Column) error {
	c.Name = r.name.String
	if err := parseType(r.typ.String, c); err != nil {
		return fmt.Errorf("column %q: %w", c.Name, err)
	}
	if r.collation.Valid && r.collation.String != "" {
		c.Collation = collationName(r.collation.String)
		c.Charset = charsetOf(c.Collation)
	}
	if c.Charset == "" && c.Elements != nil { // the server shows no collation where it is the binary one
		c.Charset, c.Collation = "binary", "binary"
	}
	c.Nullable = r.flag.String == "YES"
	extra := strings.FieldsFunc(strings.ToUpper(r.extra.String), func(r rune) bool { return r == ' ' || r == ',' })
	c.Generated = slices.Contains(extra, "GENERATED")
	c.Invisible = slices.Contains(extra, "INVISIBLE")
	c.AutoIncrement = slices.Contains(extra, "AUTO_INCREMENT")
	if r.num.Valid {
		c.SRID, c.HasSRID = uint32(r.num.Int64), true
	}
	return nil
}

// indexes puts the parts of the table's indexes together.
func (r *raw) indexes() []ddl.Index {
	slices.SortFunc(r.parts, func(a, b shapeRow) int {
		return cmp.Or(strings.Compare(a.name.String, b.name.String), cmp.Compare(a.n, b.n))
	})
	var indexes []ddl.Index
	for i := range r.parts {
		p := &r.parts[i]
		if p.n == 1 {
			x := ddl.Index{Name: p.name.String, Unique: p.flag.String == "0"}
			x.Primary = x.Unique && x.Name == "PRIMARY"
			x.Special = p.extra.String == "SPATIAL" || p.extra.String == "FULLTEXT"
			indexes = append(indexes, x)
		}
		part := ddl.Part{Column: p.typ.String}
		last := &indexes[len(indexes)-1]
		if !last.Special {
			part.Prefix = int(p.num.Int64)
		}
		last.Parts = append(last.Parts, part)
	}
	return indexes
}

// readFacts fills in the estimates.
func readFacts(ctx context.Context, q Queryer, db string, infos []Info) error {
	if len(infos) == 0 {
		return nil
	}
	names := make([]string, len(infos))
	at := make(map[string]*Info, len(infos))
	for i := range infos {
		names[i] = infos[i].Name
		at[infos[i].Name] = &infos[i]
	}
	cond, args := where(db, names)
	rows, err := q.QueryContext(ctx, "SELECT TABLE_NAME, TABLE_ROWS, DATA_LENGTH FROM information_schema.TABLES WHERE "+cond, args...)
	if err != nil {
		return fmt.Errorf("catalog: read sizes of %s: %w", db, err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var n, size sql.NullInt64
		if err := rows.Scan(&name, &n, &size); err != nil {
			return fmt.Errorf("catalog: read sizes of %s: %w", db, err)
		}
		if info := at[name]; info != nil {
			info.Rows, info.Bytes = n.Int64, size.Int64
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("catalog: read sizes of %s: %w", db, err)
	}
	return nil
}
