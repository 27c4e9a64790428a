package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// By file and position nothing tells which statements are on their way: one that
// is in the log may not be seen in the catalog for a while (until the disk, or a
// semi-synchronous replica, has it), and on tables of old engines one may be seen
// that is not in the log yet. While it is so it holds its table, and whoever opens
// the table waits for it. Only a table that is being made cannot be waited for: its
// name is not known. If it slips through, its first table map stops it; where the
// user may hold up all statements none does.

// settleTables is how many tables are opened by one statement.
const settleTables = 50

// lockStatements has statements that define tables wait until unlock, and waits for
// those that run. It returns false where the user has no right to do so
// (BACKUP_ADMIN), the server is too old, or a statement takes longer than wait.
func lockStatements(ctx context.Context, conn *sql.Conn, wait time.Duration) (unlock func(), ok bool, err error) {
	unlock = func() {}
	if err := waitFor(ctx, conn, wait); err != nil {
		return unlock, false, err
	}
	_, err = conn.ExecContext(ctx, "LOCK INSTANCE FOR BACKUP")
	if n, _ := code(err); n != 0 {
		return unlock, false, nil
	}
	if err != nil {
		return unlock, false, err
	}
	return func() { // that fails with the connection, which held the lock
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "UNLOCK INSTANCE")
	}, true, nil
}

// settle waits until no statement that is known is between the log and the
// catalog. Tables that cannot be opened are passed over.
func (s *shapes) settle(ctx context.Context, conn *sql.Conn, wait time.Duration) error {
	if err := waitFor(ctx, conn, wait); err != nil {
		return err
	}
	names := s.names(func(tableName) bool { return true })
	for len(names) > 0 {
		n := min(len(names), settleTables)
		if err := openTables(ctx, conn, names[:n]); err != nil {
			return err
		}
		names = names[n:]
	}
	return nil
}

// openTables opens tables: together, or where that is refused one by one.
func openTables(ctx context.Context, conn *sql.Conn, names []tableName) error {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprintf("(SELECT 1 FROM %s.%s LIMIT 0)", quoteIdent(n.db), quoteIdent(n.table))
	}
	_, err := conn.ExecContext(ctx, strings.Join(parts, " UNION ALL "))
	switch n, _ := code(err); {
	case n == errLockWait || n == errDeadlock:
		return fmt.Errorf("a statement holds one of the tables %s to %s, so that their shapes at the end of the log cannot be read; they are read again: %w", names[0], names[len(names)-1], err)
	case n == 0:
		return err
	case len(names) == 1:
		return nil
	}
	for i := range names {
		if err := openTables(ctx, conn, names[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// Errors of the server.
const (
	errLockWait = 1205
	errDeadlock = 1213
)

// waitFor sets how long the session waits for a table.
func waitFor(ctx context.Context, conn *sql.Conn, wait time.Duration) error {
	_, err := conn.ExecContext(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d", max(1, int(wait.Seconds()))))
	return err
}
