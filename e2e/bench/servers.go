package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/towline/towline/e2e/mysqltest"
)

// table is one that figures are measured with, in the database bench.
type table struct {
	name, columns string
	row           string // its row n, of expressions over n and i, which is n between 1 and 60
	set           string // what an update changes
}

// narrow has three integers; sb is as sysbench has it and a little more, some
// 230 bytes a row.
var (
	narrow = table{"narrow", "(id BIGINT PRIMARY KEY, k INT NOT NULL, amount BIGINT NOT NULL)", "n, n % 1000, n * 7919", "k = k + 1"}
	sb     = table{"sb", "(id BIGINT PRIMARY KEY, k INT NOT NULL, c VARCHAR(120) NOT NULL, pad VARCHAR(60) NOT NULL, amount DECIMAL(12,2) NOT NULL, at DATETIME(6) NOT NULL, doc JSON)",
		"n, n % 1000, RPAD(SHA2(n, 256), 110, 'c'), RPAD('p', 50, 'p'), n / 7, '2024-01-01' + INTERVAL n SECOND, JSON_OBJECT('n', n, 'half', n / 2e0, 'tag', 'abc')",
		"k = k + 1, amount = amount + 1"}
)

// wide returns a table of 100 columns of all types: the one that the decoder
// is measured with.
func wide() (table, error) {
	t := table{name: "wide", set: "c33 = COALESCE(c33, 0) + 1"}
	text, err := os.ReadFile("cdc/binlog/testdata/bench.sql")
	if err != nil {
		return t, err
	}
	for l := range strings.Lines(string(text)) {
		if c, ok := strings.CutPrefix(l, "CREATE TABLE wide "); ok {
			t.columns = strings.TrimRight(c, ";\n")
		}
		if _, r, ok := strings.Cut(l, ") SELECT i, "); ok && strings.HasPrefix(l, "INSERT INTO wide ") {
			t.row = "n, " + strings.TrimSuffix(strings.TrimSpace(r), " FROM r;")
		}
	}
	if t.columns == "" || t.row == "" {
		return t, fmt.Errorf("bench.sql has no table wide")
	}
	return t, nil
}

// launch starts a server for measuring. Its commits do not wait for the disk,
// and its transactions reach its log from memory: what is measured beside it
// should not be limited by it.
func launch(ctx context.Context, flags ...string) (*mysqltest.Server, error) {
	return mysqltest.Launch(ctx, mysqltest.Config{Fast: true, Flags: append([]string{"--innodb-buffer-pool-size=1G", "--innodb-redo-log-capacity=1G",
		"--max-binlog-size=1G", "--binlog-cache-size=8M", "--binlog-expire-logs-seconds=0"}, flags...)})
}

// withoutTLS fails where a server has been talked to over TLS.
func withoutTLS(ctx context.Context, servers ...*mysqltest.Server) error {
	for _, s := range servers {
		var name string
		var n int
		if err := s.DB().QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Ssl_finished_accepts'").Scan(&name, &n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%d connections to the server at port %d used TLS, and none should", n, s.Port)
		}
	}
	return nil
}

// source starts a server whose table sb has its rows.
func (b *bench) source(ctx context.Context) (*mysqltest.Server, error) {
	b.progress("a server with %d rows", b.rows)
	s, err := launch(ctx)
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, s, sb, b.rows); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// fill makes a table anew, with n rows.
func fill(ctx context.Context, s *mysqltest.Server, t table, n int) error {
	stmts := []string{"CREATE DATABASE IF NOT EXISTS bench", "DROP TABLE IF EXISTS bench." + t.name, "CREATE TABLE bench." + t.name + " " + t.columns}
	const step = 20000
	for lo := 0; lo < n; lo += step {
		stmts = append(stmts, fmt.Sprintf("INSERT INTO bench.%s %s SELECT %s FROM s", t.name, numbers(lo+1, min(lo+step, n)), t.row))
	}
	return execAll(ctx, s, stmts)
}

// numbers is a clause that makes s, with n from one number to another and i,
// which is n between 1 and 60.
func numbers(from, to int) string {
	return fmt.Sprintf("WITH RECURSIVE r (n) AS (SELECT %d UNION ALL SELECT n+1 FROM r WHERE n < %d), s AS (SELECT n, 1 + n %% 60 AS i FROM r)", from, to)
}

func execAll(ctx context.Context, s *mysqltest.Server, stmts []string) error {
	for _, q := range stmts {
		if _, err := s.DB().ExecContext(ctx, "SET SESSION cte_max_recursion_depth = 10000000; "+q); err != nil {
			return fmt.Errorf("%.60s: %w", q, err)
		}
	}
	return nil
}

// sessions is how many connections record changes.
const sessions = 4

// update changes n rows of a table of so many rows, by several sessions in
// transactions of per rows.
func update(ctx context.Context, s *mysqltest.Server, t table, rows, n, per int) error {
	return parallel(sessions, func(w int) error {
		for i := w * per; i < n; i += sessions * per {
			lo := i % rows
			if _, err := s.DB().ExecContext(ctx, "UPDATE bench."+t.name+" SET "+t.set+" WHERE id > ? AND id <= ?", lo, lo+min(per, n-i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// parallel runs n funcs at once and returns the first error.
func parallel(n int, f func(i int) error) error {
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// checksum returns what CHECKSUM TABLE says of tables of a database, and how
// many rows they have.
func checksum(ctx context.Context, s *mysqltest.Server, database string, tables ...string) (string, error) {
	var all []string
	for _, t := range tables {
		var name string
		var sum *int64
		var rows int64
		if err := s.DB().QueryRowContext(ctx, "CHECKSUM TABLE "+database+"."+t).Scan(&name, &sum); err != nil {
			return "", err
		}
		if sum == nil {
			return "", fmt.Errorf("there is no table %s.%s", database, t)
		}
		if err := s.DB().QueryRowContext(ctx, "SELECT COUNT(*) FROM "+database+"."+t).Scan(&rows); err != nil {
			return "", err
		}
		all = append(all, fmt.Sprintf("%s: %d rows, checksum %d", t, rows, *sum))
	}
	return strings.Join(all, "; "), nil
}

// same fails where tables of two servers differ.
func same(ctx context.Context, a, b *mysqltest.Server, database string, tables ...string) error {
	want, err := checksum(ctx, a, database, tables...)
	if err != nil {
		return err
	}
	got, err := checksum(ctx, b, database, tables...)
	if err == nil && got != want {
		err = fmt.Errorf("the target has %s, the source %s", got, want)
	}
	return err
}
