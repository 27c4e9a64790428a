package jdbc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/catalog"
	"github.com/towline/towline/schema/ddl"
)

// Values of schema.evolution.
const (
	evolveNone     = "none"
	evolveValidate = "validate-only"
	evolveBasic    = "basic"
	evolveFull     = "full"
)

// Values of drop.mode.
const (
	dropIgnore = "ignore"
	dropEmpty  = "empty"
	dropTable  = "drop"
)

// evolveRounds bounds how often a table is looked at again because another
// lane was changing it too.
const evolveRounds = 5

// catalogue reads and changes the shapes of the target's tables. It has a
// session of its own, since DDL commits whatever is open in its session.
type catalogue struct {
	db        *sql.DB
	evolution string
	charsets  *charsets
	events    bool // definitions are looked up for row events
}

// shape is a table of the target and the statements it lacks.
type shape struct {
	def *ddl.Def // nil: there is no such table
	// create is the definition that def was read from, where row events may
	// change the table.
	create string
	// todo has to be executed before rows of the source table can be written.
	todo []string
	// faults say why the table cannot take the rows at all.
	faults []string
}

// session runs f in a session for DDL.
func (c *catalogue) session(ctx context.Context, f func(*sql.Conn) error) error {
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, setSession+"; SET SESSION lock_wait_timeout = 60"); err != nil {
		return err
	}
	// A table without a primary key is to stay one. Not every user may set
	// this, and not every server knows it.
	_, _ = conn.ExecContext(ctx, "SET SESSION sql_generate_invisible_primary_key = OFF")
	if err := catalog.Prepare(ctx, conn); err != nil {
		return err
	}
	if c.charsets == nil {
		if c.charsets, err = readCharsets(ctx, conn); err != nil {
			return err
		}
	}
	return f(conn)
}

func readCharsets(ctx context.Context, conn *sql.Conn) (*charsets, error) {
	cs := &charsets{collation: map[string]string{}, maxLen: map[string]int{}}
	rows, err := conn.QueryContext(ctx, "SELECT COLLATION_NAME, CHARACTER_SET_NAME, MAXLEN FROM information_schema.COLLATIONS JOIN information_schema.CHARACTER_SETS USING (CHARACTER_SET_NAME)")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var collation, charset string
		var n int
		if err := rows.Scan(&collation, &charset, &n); err != nil {
			return nil, err
		}
		if charset == "utf8" {
			charset = "utf8mb3"
		}
		cs.collation[collation], cs.maxLen[charset] = charset, n
	}
	return cs, rows.Err()
}

// look finds out what the target lacks for rows of t.
func (c *catalogue) look(ctx context.Context, n name, t *schema.Table, key []int) (s shape, err error) {
	err = c.session(ctx, func(conn *sql.Conn) error {
		s, err = c.lookIn(ctx, conn, n, t, key)
		return err
	})
	return s, err
}

func (c *catalogue) lookIn(ctx context.Context, conn *sql.Conn, n name, t *schema.Table, key []int) (s shape, err error) {
	s.def, s.create, err = c.define(ctx, conn, n)
	if errors.Is(err, catalog.ErrNotFound) {
		there, err := hasDatabase(ctx, conn, n.db)
		if err != nil {
			return s, err
		}
		if !there {
			s.todo = append(s.todo, "CREATE DATABASE IF NOT EXISTS "+quoted(n.db))
		}
		s.todo = append(s.todo, createTable(n, t, key, c.charsets))
		return s, nil
	}
	if err != nil {
		return s, err
	}
	extras, err := readExtras(ctx, conn, n)
	if err != nil {
		return s, err
	}
	d := compare(s.def, t, extras, c.charsets)
	s.faults = append(d.faults, keyFaults(s.def, t, key)...)
	if c.evolution == evolveNone {
		s.faults = append(s.faults, d.lossy...)
		for _, col := range d.add {
			s.faults = append(s.faults, fmt.Sprintf("column %s is missing", quoted(col.Name)))
		}
		return s, nil
	}
	if !d.none() {
		s.todo = append(s.todo, alterTable(n, &d, extras, c.charsets))
	}
	return s, nil
}

// define reads a table's definition in both forms. They are one definition
// where the statement is the same before and after the other was read.
func (c *catalogue) define(ctx context.Context, conn *sql.Conn, n name) (def *ddl.Def, create string, err error) {
	if c.events {
		if create, err = readCreate(ctx, conn, n); err != nil && !isCode(err, errNoTable, errNoDatabase) {
			return nil, "", err
		}
	}
	if def, err = catalog.Def(ctx, conn, n.db, n.table); err != nil || create == "" {
		return def, "", err
	}
	again, err := readCreate(ctx, conn, n)
	if again != create {
		create = ""
	}
	return def, create, err
}

// keyFaults tells where rows of t cannot be told apart in a table that is
// there already: a column of their key is not in it, or one of its own primary
// key is not in them. Columns added or left empty for that would give rows a
// key that is not theirs.
func keyFaults(def *ddl.Def, t *schema.Table, key []int) (faults []string) {
	for _, k := range key {
		if name := t.Columns[k].Name; find(def.Table, name) < 0 {
			faults = append(faults, fmt.Sprintf("column %s, which belongs to the key of the rows, is missing in the table; add it with its values, and the key over it", quoted(name)))
		}
	}
	if len(key) == 0 || !def.Table.Primary {
		return faults
	}
	for _, k := range def.Table.Key {
		if c := &def.Table.Columns[k]; find(t, c.Name) < 0 && !c.AutoIncrement {
			faults = append(faults, fmt.Sprintf("column %s of its primary key is not in the rows", quoted(c.Name)))
		}
	}
	return faults
}

func hasDatabase(ctx context.Context, conn *sql.Conn, db string) (bool, error) {
	var n int
	err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", db).Scan(&n)
	return n > 0, err
}

func readExtras(ctx context.Context, conn *sql.Conn, n name) (map[string]extra, error) {
	rows, err := conn.QueryContext(ctx, "SELECT COLUMN_NAME, COLUMN_DEFAULT, EXTRA, COLUMN_COMMENT FROM information_schema.COLUMNS "+
		"WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?", n.db, n.table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	extras := map[string]extra{}
	for rows.Next() {
		var column string
		var x extra
		if err := rows.Scan(&column, &x.def, &x.text, &x.comment); err != nil {
			return nil, err
		}
		extras[column] = x
	}
	return extras, rows.Err()
}

// verdict returns what is wrong with a shape for the current evolution, nil
// where nothing is or can be mended.
func (c *catalogue) verdict(n name, t *schema.Table, s *shape) error {
	switch {
	case len(s.faults) > 0:
		return connect.Permanent(fmt.Errorf("jdbc: table %s cannot take the rows of %s: %s; change the table, or leave the table out of the topics",
			n, t, strings.Join(s.faults, "; ")))
	case len(s.todo) > 0 && c.evolution == evolveNone:
		return connect.Permanent(fmt.Errorf("jdbc: table %s for the rows of %s is not there: create it, or set schema.evolution=basic", n, t))
	case len(s.todo) > 0 && c.evolution == evolveValidate:
		return connect.Permanent(fmt.Errorf("jdbc: table %s does not take the rows of %s: set schema.evolution=basic, or execute: %s", n, t, strings.Join(s.todo, "; ")))
	}
	return nil
}

// guard keeps others from emptying a table while its shape is changed in a session.
type guard func(ctx context.Context, conn *sql.Conn) (unlock func(), err error)

// evolve executes what the table lacks until it lacks nothing.
func (c *catalogue) evolve(ctx context.Context, n name, t *schema.Table, key []int, g guard) (s shape, err error) {
	err = c.session(ctx, func(conn *sql.Conn) error {
		unlock, err := g(ctx, conn)
		if err != nil {
			return err
		}
		defer unlock()
		for range evolveRounds {
			if s, err = c.lookIn(ctx, conn, n, t, key); err != nil {
				return err
			}
			if err = c.verdict(n, t, &s); err != nil || len(s.todo) == 0 {
				return err
			}
			for _, stmt := range s.todo {
				if _, err := conn.ExecContext(ctx, stmt); err != nil && !isCode(err, errTableExists, errColumnTwice) {
					return fmt.Errorf("%s: %w", stmt, err)
				}
			}
		}
		return fmt.Errorf("table %s still lacks something after it was changed: %s", n, strings.Join(s.todo, "; "))
	})
	return s, err
}

// truncate empties a table; one that is not there is empty.
func (c *catalogue) truncate(ctx context.Context, n name) error {
	return c.session(ctx, func(conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, "TRUNCATE TABLE "+n.quoted())
		if isCode(err, errNoTable, errNoDatabase) {
			return nil
		}
		return err
	})
}
