package workload

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// sessions is one writer's session after the other: a new one after a fault,
// and when the workload goes on at another server.
type sessions struct {
	w      *Workload
	number int // of the writer
	conn   *sql.Conn
	db     *sql.DB // that conn belongs to
}

// with calls f with a session.
func (s *sessions) with(ctx context.Context, f func(context.Context, *sql.Conn) error) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	err := f(ctx, s.conn)
	if err != nil && !answered(err) {
		s.close()
	}
	return err
}

func (s *sessions) open(ctx context.Context) error {
	db := s.w.pool()
	if s.conn != nil && s.db == db {
		return nil
	}
	s.close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	s.conn, s.db = conn, db
	set := "SET SESSION innodb_lock_wait_timeout = 1"
	if s.w.opt.Compression && s.number%2 == 0 {
		set += ", SESSION binlog_transaction_compression = ON"
	}
	if s.w.opt.JSON && s.number%3 > 0 {
		set += ", SESSION binlog_row_value_options = PARTIAL_JSON"
	}
	if _, err := conn.ExecContext(ctx, set); err != nil {
		s.close()
		return err
	}
	return nil
}

// close ends the session, which nobody else is to find in the pool.
func (s *sessions) close() {
	if s.conn == nil {
		return
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = s.conn.Close()
	s.conn = nil
}
