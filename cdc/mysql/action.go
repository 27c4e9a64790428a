package mysql

import (
	"context"
	"database/sql"
	"time"
)

// act executes heartbeat.action.query now and then until ctx ends. What fails
// is told and tried again: changes flow all the same.
func (s *Source) act(ctx context.Context, db *sql.DB) {
	tick := time.NewTicker(s.settings.actionEvery)
	defer tick.Stop()
	failing := false
	for {
		_, err := db.ExecContext(ctx, s.settings.action)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			s.settings.log.Warn("mysql: "+optActionQuery+" fails and is tried again", "error", s.settings.explain("execute a statement on", err))
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
