package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/e2e/mysqltest"
)

// servers are the two ends of the demo.
type servers struct {
	source, target       *sql.DB
	sourceDSN, targetDSN *mysql.Config
	own                  []*mysqltest.Server
}

// Ports of the demo's own servers: the same each time, since connector files
// name them.
const (
	sourcePort = 23901
	targetPort = 23902
)

func startServers(ctx context.Context, dir string) (*servers, error) {
	s := &servers{}
	var err error
	if s.source, s.sourceDSN, err = s.one(ctx, "DEMO_SOURCE", "demo-source", sourcePort); err != nil {
		return nil, errors.Join(fmt.Errorf("source: %w", err), s.stop())
	}
	if s.target, s.targetDSN, err = s.one(ctx, "DEMO_TARGET", "demo-target", targetPort); err != nil {
		return nil, errors.Join(fmt.Errorf("target: %w", err), s.stop())
	}
	if _, err := os.Stat(dataDir(dir)); err != nil {
		return s, s.clear(ctx) // a new demo: what an older one left does not fit
	}
	return s, nil
}

// clear empties our own servers of an older demo.
func (s *servers) clear(ctx context.Context) error {
	if len(s.own) < 2 {
		return nil
	}
	for _, db := range []*sql.DB{s.source, s.target} {
		for _, name := range []string{shopDB, "towline"} {
			if _, err := db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// one opens the server that a variable of the environment names, or starts
// one of our own.
func (s *servers) one(ctx context.Context, env, name string, port int) (*sql.DB, *mysql.Config, error) {
	dsn := os.Getenv(env)
	if dsn == "" {
		fmt.Printf("Starting MySQL %s on port %d ...\n", name, port)
		srv, err := mysqltest.Launch(ctx, mysqltest.Config{DataDir: name, Port: port, ServerID: uint32(port), Fast: true})
		if err != nil {
			return nil, nil, err
		}
		s.own = append(s.own, srv)
		dsn = srv.DSN("")
	}
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", env, err)
	}
	conn, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, nil, err
	}
	db := sql.OpenDB(conn)
	if err := db.PingContext(ctx); err != nil {
		return nil, nil, err
	}
	return db, cfg, nil
}

func (s *servers) stop() error {
	var errs []error
	for _, db := range []*sql.DB{s.source, s.target} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	for _, srv := range s.own {
		errs = append(errs, srv.Close())
	}
	return errors.Join(errs...)
}
