package mysqltest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/e2e/child"
)

// Start starts a private server for a test and stops it at the test's end. If the test fails, the end
// of the server's error log is printed.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	child.SkipShort(tb, "a MySQL server")
	s, err := Launch(tb.Context(), newConfig(opts))
	if err != nil {
		child.Unavailable(tb, err, ErrNotInstalled)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("mysqltest: the error log of the server on port %d ends:\n%s", s.Port, s.ErrorLog(40))
		}
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// shared is the one server that the tests of a process share; the zero value is none yet.
var shared struct {
	sync.Mutex
	opts []Option
	srv  *Server
	err  error // why it could not be started; tried once only
}

// Shared is the server that all tests of the process share. The first call starts it, with the
// options given to Main, or connects to the one that TOWLINE_TEST_MYSQL names. Main stops it.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	child.SkipShort(tb, "a MySQL server")
	shared.Lock()
	defer shared.Unlock()
	if shared.srv == nil && shared.err == nil {
		shared.srv, shared.err = openShared(shared.opts)
	}
	if shared.err != nil {
		child.Unavailable(tb, shared.err, ErrNotInstalled)
	}
	return shared.srv
}

func openShared(opts []Option) (*Server, error) {
	text := os.Getenv("TOWLINE_TEST_MYSQL")
	if text == "" {
		// Not the context of the test that comes first: the server outlives it.
		return Launch(context.Background(), newConfig(opts))
	}
	dsn, err := mysql.ParseDSN(text)
	if err != nil {
		return nil, fmt.Errorf("mysqltest: read TOWLINE_TEST_MYSQL, which wants user:password@tcp(host:port)/: %w", err)
	}
	if dsn.Net != "tcp" {
		return nil, fmt.Errorf("mysqltest: TOWLINE_TEST_MYSQL names a server by %q: only tcp(host:port) will do", dsn.Net)
	}
	s, err := newServer(dsn)
	if err != nil {
		return nil, err
	}
	if err := s.db.Ping(); err != nil {
		return nil, errors.Join(fmt.Errorf("mysqltest: reach the server of TOWLINE_TEST_MYSQL at %s: %w", dsn.Addr, err), s.Close())
	}
	return s, nil
}

// StopShared stops the shared server, if any. The next Shared would start another.
func StopShared() error {
	shared.Lock()
	defer shared.Unlock()
	s := shared.srv
	shared.srv, shared.err = nil, nil
	if s == nil {
		return nil
	}
	return s.Close()
}

// Runner runs the tests of a package and then stops the shared server.
type Runner struct{ m *testing.M }

// Main is what a package's TestMain runs, with the options of the shared server:
//
//	func TestMain(m *testing.M) { os.Exit(mysqltest.Main(m).Run()) }
//
// or, with a look for leaked goroutines,
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(mysqltest.Main(m)) }
func Main(m *testing.M, opts ...Option) Runner {
	shared.Lock()
	defer shared.Unlock()
	shared.opts = opts
	return Runner{m: m}
}

// Run runs the tests and returns the exit code.
func (r Runner) Run() int {
	code := r.m.Run()
	if err := StopShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// Exec runs statements as administrator, all in one session; the test fails if one fails.
func (s *Server) Exec(tb testing.TB, query string, args ...any) {
	tb.Helper()
	if _, err := s.db.ExecContext(tb.Context(), query, args...); err != nil {
		tb.Fatalf("mysqltest: %v\nin: %.500s", err, query)
	}
}

// Query returns the rows of a query as text; NULL is "NULL".
func (s *Server) Query(tb testing.TB, query string, args ...any) [][]string {
	tb.Helper()
	out, err := s.query(tb.Context(), query, args)
	if err != nil {
		tb.Fatalf("mysqltest: %v\nin: %.500s", err, query)
	}
	return out
}

func (s *Server) query(ctx context.Context, query string, args []any) ([][]string, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	cells, ptrs := make([]sql.NullString, len(cols)), make([]any, len(cols))
	for i := range cells {
		ptrs[i] = &cells[i]
	}
	var out [][]string
	for rows.Next() {
		if err := rows.Scan(ptrs...); err != nil {
			return nil, err
		}
		row := make([]string, len(cells))
		for i, c := range cells {
			if row[i] = c.String; !c.Valid {
				row[i] = "NULL"
			}
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// CreateDB makes an empty database with a name that no other test has, and drops it at the test's
// end. Tests that share a server each work in one of their own.
func (s *Server) CreateDB(tb testing.TB) string {
	tb.Helper()
	base := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(tb.Name()))
	name := base[:min(len(base), 40)] + "_" + strings.ToLower(rand.Text()[:8])
	s.Exec(tb, "CREATE DATABASE "+name)
	tb.Cleanup(func() {
		// The test's context is over by now. A server that the test has stopped needs no tidying, and
		// a lock that the test has left must not hold up the others.
		if err := s.drop(context.Background(), name); err != nil {
			tb.Logf("mysqltest: drop database %s: %v", name, err)
		}
	})
	return name
}

// drop drops a database in a session that nobody gets after it: waiting little for locks is its own.
func (s *Server) drop(ctx context.Context, name string) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer conn.Raw(func(any) error { return driver.ErrBadConn })
	_, err = conn.ExecContext(ctx, "SET lock_wait_timeout = 10; DROP DATABASE IF EXISTS "+name)
	return err
}
