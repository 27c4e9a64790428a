package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/process"
)

const sbTable = "CREATE TABLE bench.sb (id BIGINT PRIMARY KEY, k INT NOT NULL, c VARCHAR(120) NOT NULL, pad VARCHAR(60) NOT NULL, amount DECIMAL(12,2) NOT NULL, at DATETIME(6) NOT NULL, doc JSON)"

// launch starts a durable server for measuring.
func launch(ctx context.Context) (*mysqltest.Server, error) {
	return mysqltest.Launch(ctx, mysqltest.Config{Fast: true, Flags: []string{"--innodb-buffer-pool-size=1G", "--innodb-redo-log-capacity=1G", "--max-binlog-size=1G", "--binlog-expire-logs-seconds=0"}})
}

// source starts a server whose table sb has its rows.
func (b *bench) source(ctx context.Context) (*mysqltest.Server, error) {
	s, err := launch(ctx)
	if err != nil {
		return nil, err
	}
	if err := fill(s, b.rows); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// fill makes the table sb with n rows.
func fill(s *mysqltest.Server, n int) error {
	stmts := []string{"CREATE DATABASE IF NOT EXISTS bench", "DROP TABLE IF EXISTS bench.sb", sbTable}
	const step = 20000
	for lo := 0; lo < n; lo += step {
		stmts = append(stmts, fmt.Sprintf(`INSERT INTO bench.sb WITH RECURSIVE s (n) AS (SELECT %d UNION ALL SELECT n+1 FROM s WHERE n < %d)
			SELECT n, n %% 1000, RPAD(MD5X(n), 110, 'c'), RPAD('p', 50, 'p'), n / 7, '2024-01-01' + INTERVAL n SECOND, JSON_OBJECT('n', n, 'half', n / 2, 'tag', 'abc') FROM s`, lo+1, min(lo+step, n)))
	}
	for _, q := range stmts {
		q = strings.ReplaceAll(q, "MD5X(n)", "SHA2(n, 256)")
		if _, err := s.DB().Exec("SET SESSION cte_max_recursion_depth = 10000000; " + q); err != nil {
			return fmt.Errorf("%.60s: %w", q, err)
		}
	}
	return nil
}

// update changes n rows, by several sessions in transactions of per rows.
func update(ctx context.Context, s *mysqltest.Server, rows, n, per int) error {
	const sessions = 4
	var wg sync.WaitGroup
	errs := make(chan error, sessions)
	for w := range sessions {
		wg.Go(func() {
			for i := w * per; i < n; i += sessions * per {
				lo := i % rows
				if _, err := s.DB().ExecContext(ctx, "UPDATE bench.sb SET k = k + 1, amount = amount + 1 WHERE id > ? AND id <= ?", lo, lo+per); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// connectors are configurations by name.
type connectors map[string]map[string]string

// towline returns a process with the given connectors, in a folder of its own.
func (b *bench) towline(name string, list connectors) (*process.Process, error) {
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := &process.Process{Bin: b.bin, Data: filepath.Join(dir, "data"), Log: filepath.Join(dir, "log")}
	for n, c := range list {
		path, err := process.Connector(dir, n, c)
		if err != nil {
			return nil, err
		}
		p.Args = append(p.Args, path)
	}
	return p, nil
}

func sourceConfig(s *mysqltest.Server, mode string) map[string]string {
	return map[string]string{"connector.class": "mysql", "database.hostname": s.Host, "database.port": fmt.Sprint(s.Port), "database.user": s.User,
		"database.password": s.Password, "database.include.list": "bench", "topic.prefix": "b", "snapshot.mode": mode}
}

func sinkConfig(s *mysqltest.Server) map[string]string {
	return map[string]string{"connector.class": "jdbc", "topics.regex": `b\..*`, "connection.url": fmt.Sprintf("jdbc:mysql://%s:%d/", s.Host, s.Port),
		"connection.user": s.User, "connection.password": s.Password, "table.name.format": "${database}.${table}"}
}

// once runs a process with the given connectors until all has arrived.
func (b *bench) once(ctx context.Context, name string, list connectors) (time.Duration, error) {
	p, err := b.towline(name, list)
	if err != nil {
		return 0, err
	}
	return untilArrived(ctx, p)
}

// untilArrived starts p, waits until all has arrived, stops it, and returns
// how long that took.
func untilArrived(ctx context.Context, p *process.Process) (time.Duration, error) {
	begin := time.Now()
	if err := p.Start(); err != nil {
		return 0, err
	}
	defer p.Kill()
	if err := p.AwaitUp(ctx); err != nil {
		return 0, err
	}
	if err := p.Wait(ctx, 10*time.Minute); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	return took, p.Stop()
}
