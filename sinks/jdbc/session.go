package jdbc

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema/catalog"
)

// sqlMode makes the server refuse what does not fit, and take whatever
// another server could hold: zero and partial dates, days that the month does
// not have, zeros in AUTO_INCREMENT columns.
const sqlMode = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION"

// relaxedMode is sqlMode without the strictness.
const relaxedMode = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION"

// setSession makes a session take literals as they are meant.
const setSession = "SET NAMES utf8mb4; SET SESSION sql_mode = '" + sqlMode + "', time_zone = '+00:00', " +
	"foreign_key_checks = 0, unique_checks = 1, autocommit = 1, transaction_isolation = 'READ-COMMITTED', " +
	"range_optimizer_max_mem_size = 0"

// session is one connection to the target.
type session struct {
	conn *sql.Conn
	used time.Time
	// maxPacket is the longest statement that the server takes.
	maxPacket int
	// foldNames: the server takes names of tables in any letter case.
	foldNames bool
	// events: it takes row events, in execMode.
	events   bool
	execMode string
	serverID uint32
}

// newDB returns a pool that makes the sessions of one sink.
func newDB(cfg *mysql.Config) (*sql.DB, error) {
	c := cfg.Clone()
	c.DBName = "" // all names are qualified; it may have to be created
	c.MultiStatements = true
	c.ClientFoundRows = true // an UPDATE that changes nothing has found its row
	c.InterpolateParams = true
	c.MaxAllowedPacket = 1 << 30
	c.ParseTime = false
	connector, err := newConnector(c)
	if err != nil {
		return nil, fmt.Errorf("jdbc: connection.url: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(0) // a session is set up once and never given to another
	return db, nil
}

// openSession connects and sets the session up.
func openSession(ctx context.Context, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var version string
	if err := conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return nil, closing(conn, err)
	}
	if catalog.IsMariaDB(version) {
		return nil, closing(conn, connect.Permanent(fmt.Errorf("%w (%s)", errMariaDB, version)))
	}
	s := &session{conn: conn, used: time.Now()}
	if _, err := conn.ExecContext(ctx, setSession); err != nil {
		return nil, closing(conn, err)
	}
	var fold int
	err = conn.QueryRowContext(ctx, "SELECT @@max_allowed_packet, @@lower_case_table_names, @@server_id").Scan(&s.maxPacket, &fold, &s.serverID)
	if err != nil {
		return nil, closing(conn, err)
	}
	s.foldNames = fold != 0
	return s, nil
}

// errMariaDB refuses a target whose statements and row events are not ours.
var errMariaDB = errors.New("the target is MariaDB, which this sink does not write to yet: use MySQL 8.0.19 or later, or the file or webhook sink")

func closing(conn *sql.Conn, err error) error {
	_ = conn.Close() // err is what matters
	return err
}

// exec runs statements that are separated by semicolons and returns the rows
// that each has matched. The driver copies the text before it returns.
func (s *session) exec(ctx context.Context, text []byte) (matched []int64, err error) {
	err = s.conn.Raw(func(c any) error {
		res, err := c.(driver.ExecerContext).ExecContext(ctx, unsafe.String(unsafe.SliceData(text), len(text)), nil)
		if err == nil {
			matched = res.(mysql.Result).AllRowsAffected()
		}
		return err
	})
	s.used = time.Now()
	return matched, err
}

func (s *session) close() error { return s.conn.Close() }
