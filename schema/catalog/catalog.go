package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

// Queryer runs queries: *sql.Conn, *sql.Tx, *sql.DB.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Execer runs statements: *sql.Conn, *sql.Tx.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Info is a table's definition and what else the catalog knows of it.
type Info struct {
	Database, Name string
	// Def is nil when Err is set: the table is there but cannot be read.
	Def *ddl.Def
	Err error
	// Rows and Bytes are the server's estimates of rows and of the bytes of
	// their data; both may be far off and 24 hours old.
	Rows, Bytes int64
	// Partitioned says that the table has partitions.
	Partitioned bool
	// Doubtful names the ENUM and SET columns whose elements have a question
	// mark that may stand for another character: information_schema cannot
	// show what lies beyond the Basic Multilingual Plane.
	Doubtful []string
}

// ErrNotFound says that the server has no such base table, or does not show
// it to this user.
var ErrNotFound = errors.New("no such table, or no privilege to see it")

// Prepare sets up the session for the other functions: it makes generated
// invisible primary keys visible in information_schema (servers from 8.0.30
// on know of them; older ones ignore the statement). The setting stays with
// the session, so conn must be one connection and not a pool.
func Prepare(ctx context.Context, conn Execer) error {
	const set = "SET SESSION /*!80030 show_gipk_in_create_table_and_information_schema = ON, */ group_concat_max_len = @@session.group_concat_max_len"
	if _, err := conn.ExecContext(ctx, set); err != nil {
		return fmt.Errorf("catalog: prepare session: %w", err)
	}
	return nil
}

// Tables returns the shapes of all base tables that match, ordered by
// database and name. A nil match takes all but the server's own databases.
func Tables(ctx context.Context, q Queryer, match func(db, name string) bool) ([]*schema.Table, error) {
	infos, err := read(ctx, q, match, false)
	if err != nil {
		return nil, err
	}
	tables := make([]*schema.Table, len(infos))
	for i := range infos {
		if infos[i].Err != nil {
			return nil, infos[i].Err
		}
		tables[i] = infos[i].Def.Table
	}
	return tables, nil
}

// Table returns the shape of one base table; errors.Is(err, ErrNotFound) when
// there is none.
func Table(ctx context.Context, q Queryer, db, name string) (*schema.Table, error) {
	d, err := Def(ctx, q, db, name)
	if err != nil {
		return nil, err
	}
	return d.Table, nil
}

// Def returns the definition of one base table; errors.Is(err, ErrNotFound)
// when there is none.
func Def(ctx context.Context, q Queryer, db, name string) (*ddl.Def, error) {
	infos, err := readDatabase(ctx, q, db, []string{name})
	if err != nil {
		return nil, err
	}
	for i := range infos {
		if infos[i].Name == name || len(infos) == 1 && strings.EqualFold(infos[i].Name, name) {
			return infos[i].Def, infos[i].Err
		}
	}
	return nil, fmt.Errorf("catalog: read table %s.%s: %w", db, name, ErrNotFound)
}

// Read returns the definitions and facts of all base tables that match,
// ordered by database and name. A nil match takes all but the server's own
// databases.
func Read(ctx context.Context, q Queryer, match func(db, name string) bool) ([]Info, error) {
	return read(ctx, q, match, true)
}

func read(ctx context.Context, q Queryer, match func(db, name string) bool, facts bool) ([]Info, error) {
	names, err := list(ctx, q, match)
	if err != nil {
		return nil, err
	}
	dbs := make([]string, 0, len(names))
	for db := range names {
		dbs = append(dbs, db)
	}
	slices.Sort(dbs)
	var all []Info
	for _, db := range dbs {
		infos, err := readDatabase(ctx, q, db, names[db])
		if err != nil {
			return nil, err
		}
		if facts {
			if err := readFacts(ctx, q, db, infos); err != nil {
				return nil, err
			}
		}
		all = append(all, infos...)
	}
	return all, nil
}

// own reports whether a database belongs to the server itself.
func own(db string) bool {
	switch strings.ToLower(db) {
	case "mysql", "sys", "information_schema", "performance_schema", "ndbinfo":
		return true
	}
	return false
}

// list returns the names of the base tables that match, by database.
func list(ctx context.Context, q Queryer, match func(db, name string) bool) (map[string][]string, error) {
	rows, err := q.QueryContext(ctx, "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE "+tableTypes)
	if err != nil {
		return nil, fmt.Errorf("catalog: list tables: %w", err)
	}
	defer rows.Close()
	names := make(map[string][]string)
	for rows.Next() {
		var db, name string
		if err := rows.Scan(&db, &name); err != nil {
			return nil, fmt.Errorf("catalog: list tables: %w", err)
		}
		if match == nil && !own(db) || match != nil && match(db, name) {
			names[db] = append(names[db], name)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("catalog: list tables: %w", err)
	}
	return names, nil
}

// Databases returns the databases that the user sees, with their defaults,
// ordered by name.
func Databases(ctx context.Context, q Queryer) ([]ddl.Database, error) {
	rows, err := q.QueryContext(ctx, "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME")
	if err != nil {
		return nil, fmt.Errorf("catalog: list databases: %w", err)
	}
	defer rows.Close()
	var dbs []ddl.Database
	for rows.Next() {
		var d ddl.Database
		if err := rows.Scan(&d.Name, &d.Charset, &d.Collation); err != nil {
			return nil, fmt.Errorf("catalog: list databases: %w", err)
		}
		d.Charset, d.Collation = charsetName(d.Charset), collationName(d.Collation)
		dbs = append(dbs, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("catalog: list databases: %w", err)
	}
	return dbs, nil
}
