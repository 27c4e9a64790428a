package peers

import (
	"context"
	"fmt"

	"github.com/towline/towline/e2e/mysqltest"
)

// Replica is a native replica with four workers.
type Replica struct {
	Server, Source *mysqltest.Server
}

// Follow lets the replica follow the source from the beginning of its log,
// without TLS, and stops it where the source is now.
func (r *Replica) Follow(ctx context.Context) error {
	_, err := r.Server.DB().ExecContext(ctx, fmt.Sprintf(`SET GLOBAL replica_parallel_workers = 4; SET GLOBAL replica_preserve_commit_order = ON;
		CHANGE REPLICATION SOURCE TO SOURCE_HOST = '%s', SOURCE_PORT = %d, SOURCE_USER = '%s', SOURCE_AUTO_POSITION = 1, SOURCE_SSL = 0, GET_SOURCE_PUBLIC_KEY = 1`,
		r.Source.Host, r.Source.Port, r.Source.User))
	if err != nil {
		return err
	}
	if err := r.Start(ctx); err != nil {
		return err
	}
	if err := r.Await(ctx); err != nil {
		return err
	}
	return r.Stop(ctx)
}

// Start starts its threads.
func (r *Replica) Start(ctx context.Context) error {
	_, err := r.Server.DB().ExecContext(ctx, "START REPLICA")
	return err
}

// Stop stops them.
func (r *Replica) Stop(ctx context.Context) error {
	_, err := r.Server.DB().ExecContext(ctx, "STOP REPLICA")
	return err
}

// Await waits until the replica is where the source is when it is called.
func (r *Replica) Await(ctx context.Context) error {
	var set string
	if err := r.Source.DB().QueryRowContext(ctx, "SELECT @@GLOBAL.gtid_executed").Scan(&set); err != nil {
		return err
	}
	var timeout int
	if err := r.Server.DB().QueryRowContext(ctx, "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 900)", set).Scan(&timeout); err != nil {
		return err
	}
	if timeout != 0 {
		return fmt.Errorf("the replica did not catch up within 15 minutes")
	}
	return nil
}
