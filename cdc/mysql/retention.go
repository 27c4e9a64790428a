package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/towline/towline/offsets"
)

// The names of gauges.
const (
	gaugeBehind = "log.behind.bytes"
	gaugeLeft   = "log.left.seconds"
)

// retentionEvery is how often the server is asked for its log files.
const retentionEvery = time.Minute

// reached is how far Read has got.
type reached struct {
	mu     sync.Mutex
	file   string
	pos    uint64
	commit int64 // of the last transaction, microseconds since 1970
	at     offsets.Position
}

func (r *reached) set(file string, pos uint64, commit int64, at offsets.Position) {
	r.mu.Lock()
	r.file, r.pos, r.at = file, pos, append(r.at[:0], at...)
	if commit > 0 {
		r.commit = commit
	}
	r.mu.Unlock()
}

// logFiles is what a server says of its log.
type logFiles struct {
	expire time.Duration // after which it purges a file; 0: never
	now    int64         // seconds since 1970
	names  []string
	sizes  []uint64
}

func readLogFiles(ctx context.Context, db *sql.DB) (l logFiles, err error) {
	var seconds int64
	if err := db.QueryRowContext(ctx, "SELECT @@global.binlog_expire_logs_seconds, UNIX_TIMESTAMP()").Scan(&seconds, &l.now); err != nil {
		return l, err
	}
	l.expire = time.Duration(seconds) * time.Second
	rows, err := db.QueryContext(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return l, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return l, err
	}
	for rows.Next() {
		var name string
		var size uint64
		into := []any{&name, &size}
		for range len(columns) - len(into) {
			into = append(into, new(sql.RawBytes))
		}
		if err := rows.Scan(into...); err != nil {
			return l, err
		}
		l.names, l.sizes = append(l.names, name), append(l.sizes, size)
	}
	return l, rows.Err()
}

// behind returns the bytes of log from a place to the end, and after how long
// at the earliest the server purges the file of that place: it counts from the
// last event in it, which is not older than the one read last. The file that
// the server writes to is never purged. ok is false if it has no such file.
func (l *logFiles) behind(file string, pos uint64, commit int64) (bytes uint64, left time.Duration, ok bool) {
	left = math.MaxInt64
	for i, name := range l.names {
		if name == file {
			ok = true
			bytes = l.sizes[i] - min(pos, l.sizes[i])
			if i < len(l.names)-1 && l.expire > 0 && commit > 0 {
				left = l.expire - time.Duration(l.now*1e6-commit)*time.Microsecond
			}
		} else if ok {
			bytes += l.sizes[i]
		}
	}
	return bytes, left, ok
}

// watchLog looks now and then at how long the server still has what is to be
// read next, and warns before it is too late; and whether it is still the
// server that the address leads to.
func (s *Source) watchLog(ctx context.Context, db *sql.DB, d *dump) {
	tick := time.NewTicker(s.settings.lookEvery)
	defer tick.Stop()
	warned := false
	var at offsets.Position
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		warned = s.lookAtLog(ctx, db, warned)
		at = s.lookElsewhere(ctx, db, d, at)
	}
}

// lookAtLog sets the gauges, and warns unless it has.
func (s *Source) lookAtLog(ctx context.Context, db *sql.DB, warned bool) bool {
	l, err := readLogFiles(ctx, db)
	if err != nil {
		return warned // the doctor tells of a privilege that is missing, and Read of a server that is gone
	}
	s.reached.mu.Lock()
	file, pos, commit := s.reached.file, s.reached.pos, s.reached.commit
	s.reached.mu.Unlock()
	bytes, left, ok := l.behind(file, pos, commit)
	if !ok {
		return warned
	}
	s.env.Gauge(gaugeBehind, float64(bytes))
	if l.expire == 0 {
		return false
	}
	s.env.Gauge(gaugeLeft, min(left, l.expire).Seconds())
	if left > l.expire/4 {
		return false
	}
	if !warned {
		s.settings.log.Warn(fmt.Sprintf("mysql: the server may purge the log that is to be read next (%s) in %s; then only a new snapshot helps. "+
			"Raise binlog_expire_logs_seconds at the server until the connector has caught up", file, max(left, 0).Round(time.Second)), "bytes behind", bytes)
	}
	return true
}
