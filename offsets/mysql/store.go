// Package mysql is the offsets.Store that keeps its entries in a table of a
// MySQL server, which any number of processes may share.
//
// The table is made when it is not there:
//
//	CREATE TABLE towline_offsets (k VARBINARY(700) PRIMARY KEY, v LONGBLOB NOT NULL)
//
// # Order and durability
//
// A Save is one transaction; it is as durable as the server makes a commit
// (innodb_flush_log_at_trx_commit=1, which is its default). A Load is one
// statement, so it sees whole saves only. Keys are bytes and are compared as
// such.
//
// # Concurrency
//
// A Store is safe for concurrent use. A Save that met another one in a deadlock
// is done again.
//
// # Errors
//
// They are those of the server. As with any Store nothing is known after a Save
// that failed.
package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/offsets"
)

const (
	maxKey = 700 // bytes
	// maxBytes and maxRows are what one statement writes at most: servers take
	// packets of 64 MiB and 65535 parameters, older ones smaller packets.
	maxBytes = 2 << 20
	maxRows  = 1000
	// attempts is how often a Save is begun that ends in deadlocks.
	attempts = 10
)

// Numbers of errors after which a transaction is simply begun again.
const (
	errLockWait = 1205
	errDeadlock = 1213
)

// Store is an offsets.Store in a table. Make one with Open.
type Store struct {
	db    *sql.DB
	table string // quoted
}

var _ offsets.Store = (*Store)(nil)

// Open returns the Store in a table, "name" or "database.name", which it makes
// if it is not there. The pool stays the caller's, who closes it.
func Open(ctx context.Context, db *sql.DB, table string) (*Store, error) {
	s := &Store{db: db}
	for i, part := range strings.Split(table, ".") {
		if part == "" || i > 1 {
			return nil, fmt.Errorf("offsets/mysql: %q is not the name of a table; write name or database.name", table)
		}
		if i > 0 {
			s.table += "."
		}
		s.table += "`" + strings.ReplaceAll(part, "`", "``") + "`"
	}
	if _, err := db.ExecContext(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (k VARBINARY(%d) NOT NULL PRIMARY KEY, v LONGBLOB NOT NULL) ENGINE=InnoDB", s.table, maxKey)); err != nil {
		return nil, fmt.Errorf("offsets/mysql: make table %s: %w", table, err)
	}
	return s, nil
}

// Load returns all entries whose key begins with prefix, ordered by key.
func (s *Store) Load(ctx context.Context, prefix string) ([]offsets.Entry, error) {
	query, args := "SELECT k, v FROM "+s.table+" WHERE k >= ?", []any{[]byte(prefix)}
	if end := offsets.After(prefix); end != "" {
		query, args = query+" AND k < ?", append(args, []byte(end))
	}
	rows, err := s.db.QueryContext(ctx, query+" ORDER BY k", args...)
	if err != nil {
		return nil, fmt.Errorf("offsets/mysql: load %q: %w", prefix, err)
	}
	defer rows.Close()
	var list []offsets.Entry
	for rows.Next() {
		var key, pos []byte
		if err := rows.Scan(&key, &pos); err != nil {
			return nil, fmt.Errorf("offsets/mysql: load %q: %w", prefix, err)
		}
		list = append(list, offsets.Entry{Key: string(key), Pos: append(offsets.Position{}, pos...)})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("offsets/mysql: load %q: %w", prefix, err)
	}
	return list, nil
}

// Save writes all entries or none.
func (s *Store) Save(ctx context.Context, entries ...offsets.Entry) error {
	last := make(map[string]int, len(entries))
	for i, e := range entries {
		if len(e.Key) > maxKey {
			return fmt.Errorf("offsets/mysql: save %.60q: a key of %d bytes is longer than %d", e.Key, len(e.Key), maxKey)
		}
		last[e.Key] = i
	}
	var set, gone []offsets.Entry
	for i, e := range entries {
		switch {
		case last[e.Key] != i: // a later one wins
		case e.Pos == nil:
			gone = append(gone, e)
		default:
			set = append(set, e)
		}
	}
	for n := 1; ; n++ {
		err := s.save(ctx, set, gone)
		var me *mysql.MySQLError
		if err == nil || n == attempts || !errors.As(err, &me) || me.Number != errDeadlock && me.Number != errLockWait {
			return err
		}
	}
}

func (s *Store) save(ctx context.Context, set, gone []offsets.Entry) error {
	if len(set)+len(gone) == 0 {
		return nil
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("offsets/mysql: save: %w", err)
	}
	defer tx.Rollback() // nothing once it is committed
	for len(set) > 0 {
		n := fit(set)
		args := make([]any, 0, 2*n)
		for _, e := range set[:n] {
			args = append(args, []byte(e.Key), []byte(e.Pos))
		}
		if _, err := tx.ExecContext(ctx, "REPLACE INTO "+s.table+" (k, v) VALUES (?,?)"+strings.Repeat(",(?,?)", n-1), args...); err != nil {
			return fmt.Errorf("offsets/mysql: save: %w", err)
		}
		set = set[n:]
	}
	for len(gone) > 0 {
		n := fit(gone)
		args := make([]any, 0, n)
		for _, e := range gone[:n] {
			args = append(args, []byte(e.Key))
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+s.table+" WHERE k IN (?"+strings.Repeat(",?", n-1)+")", args...); err != nil {
			return fmt.Errorf("offsets/mysql: save: %w", err)
		}
		gone = gone[n:]
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("offsets/mysql: save: %w", err)
	}
	return nil
}

// fit returns how many entries go into one statement, at least one.
func fit(list []offsets.Entry) int {
	size := 0
	for i, e := range list {
		if size += len(e.Key) + len(e.Pos); i > 0 && size > maxBytes || i == maxRows {
			return i
		}
	}
	return len(list)
}
