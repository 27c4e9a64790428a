package main

import (
	"context"
	"fmt"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/process"
)

// mirror is a pair of targets that stand at the same point of the source: one
// that Towline fills and a native replica.
type mirror struct {
	proc    *process.Process
	target  *mysqltest.Server
	replica *mysqltest.Server
}

// newMirror brings both up to the source and stops them there. The mirror is
// to be closed even when there is an error.
func (b *bench) newMirror(ctx context.Context, src *mysqltest.Server, name string) (*mirror, error) {
	m := &mirror{}
	var err error
	if m.target, err = launch(ctx); err != nil {
		return m, err
	}
	if m.proc, err = b.towline(name, connectors{"src": sourceConfig(src, "initial"), "dst": sinkConfig(m.target)}); err != nil {
		return m, err
	}
	if _, err := untilArrived(ctx, m.proc); err != nil {
		return m, err
	}
	if !b.wants("replica") {
		return m, nil
	}
	if m.replica, err = launch(ctx); err != nil {
		return m, err
	}
	_, err = m.replica.DB().ExecContext(ctx, fmt.Sprintf(`SET GLOBAL replica_parallel_workers = 4;
		CHANGE REPLICATION SOURCE TO SOURCE_HOST = '%s', SOURCE_PORT = %d, SOURCE_USER = 'root', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA`, src.Host, src.Port))
	if err != nil {
		return m, err
	}
	if _, err := m.await(ctx, src); err != nil {
		return m, err
	}
	_, err = m.replica.DB().ExecContext(ctx, "STOP REPLICA")
	return m, err
}

// catchUp starts the replica and waits until it is where the source is.
func (m *mirror) catchUp(ctx context.Context, src *mysqltest.Server) (time.Duration, error) {
	if _, err := m.replica.DB().ExecContext(ctx, "START REPLICA"); err != nil {
		return 0, err
	}
	return m.await(ctx, src)
}

func (m *mirror) await(ctx context.Context, src *mysqltest.Server) (time.Duration, error) {
	begin := time.Now()
	var set string
	if err := src.DB().QueryRowContext(ctx, "SELECT @@GLOBAL.gtid_executed").Scan(&set); err != nil {
		return 0, err
	}
	var timeout int
	if err := m.replica.DB().QueryRowContext(ctx, "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 600)", set).Scan(&timeout); err != nil {
		return 0, err
	}
	if timeout != 0 {
		return 0, fmt.Errorf("the replica did not catch up")
	}
	return time.Since(begin), nil
}

func (m *mirror) close() {
	if m.proc != nil {
		m.proc.Kill()
	}
	for _, s := range []*mysqltest.Server{m.target, m.replica} {
		if s != nil {
			s.Close()
		}
	}
}
