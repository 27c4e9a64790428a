package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/catalog"
	"github.com/towline/towline/snapshot"
)

// TextDecoder returns how text of a charset is decoded: decode appends the
// UTF-8 of src to dst, ok is false if the charset cannot decode it. utf8 says
// that the charset is utf8mb4, whose bytes need only be checked. A nil decode
// is an unknown charset: its text stays raw.
type TextDecoder func(charset string) (decode func(dst, src []byte) (out []byte, ok bool), utf8 bool)

// Config says where to read and how.
type Config struct {
	// Dial logs in. It passes options on to the client.
	Dial func(ctx context.Context, options ...client.Option) (*client.Conn, error)
	Text TextDecoder
	// Account names the user in errors that ask for a grant: 'user'@'host'.
	Account string
}

// Dial returns a Config.Dial for a server without TLS.
func Dial(addr, user, password string) func(context.Context, ...client.Option) (*client.Conn, error) {
	return func(ctx context.Context, options ...client.Option) (*client.Conn, error) {
		return client.ConnectWithContext(ctx, addr, user, password, "", 10*time.Second, options...)
	}
}

// Reader reads chunks over one connection.
type Reader struct {
	cfg    Config
	conn   *client.Conn
	maria  bool
	waited string // the GTID set that this connection has waited for
	uuid   string // of the server that this connection leads to
	block  []byte // that answers begin in
}

// New returns a Reader that is not connected.
func New(cfg Config) *Reader { return &Reader{cfg: cfg, block: make([]byte, firstBlock)} }

// sessionSetup makes the session independent of the server's settings.
const sessionSetup = "SET SESSION time_zone='+00:00', sql_mode='', character_set_results=NULL, autocommit=1, " +
	"transaction_isolation='READ-COMMITTED', net_write_timeout=3600, max_execution_time=0, sql_select_limit=18446744073709551615, " +
	"lock_wait_timeout=60, innodb_lock_wait_timeout=10, information_schema_stats_expiry=0"

// mariaSetup likewise, for MariaDB, which does not know the collation that the
// client asks for.
const mariaSetup = "SET SESSION character_set_client=utf8mb4, collation_connection=utf8mb4_general_ci, time_zone='+00:00', sql_mode='', character_set_results=NULL, autocommit=1, " +
	"tx_isolation='READ-COMMITTED', net_write_timeout=3600, max_statement_time=0, sql_select_limit=18446744073709551615, " +
	"lock_wait_timeout=60, innodb_lock_wait_timeout=10"

// Open connects.
func (r *Reader) Open(ctx context.Context) error {
	conn, err := r.dial(ctx)
	if err != nil {
		return err
	}
	r.conn, r.waited, r.uuid = conn, "", ""
	return nil
}

// dial opens a connection. Packets then have the plain form that rows.go
// reads.
func (r *Reader) dial(ctx context.Context) (*client.Conn, error) {
	conn, err := r.cfg.Dial(ctx, func(c *client.Conn) error {
		c.UnsetCapability(mysql.CLIENT_DEPRECATE_EOF)
		c.UnsetCapability(mysql.CLIENT_QUERY_ATTRIBUTES)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mysql: connect to read rows: %w", err)
	}
	defer closeWith(ctx, conn)()
	setup := sessionSetup
	if r.maria = catalog.IsMariaDB(conn.GetServerVersion()); r.maria {
		setup = mariaSetup
	}
	if _, err := conn.Execute(setup); err != nil {
		conn.Close()
		return nil, fmt.Errorf("mysql: set up the session that reads rows: %w", err)
	}
	return conn, nil
}

// closeWith closes conn when ctx ends, until what it returns is called.
func closeWith(ctx context.Context, conn *client.Conn) func() bool {
	return context.AfterFunc(ctx, func() { conn.Conn.Conn.Close() })
}

// Close disconnects.
func (r *Reader) Close() error {
	if r.conn == nil {
		return nil
	}
	err := r.conn.Close()
	r.conn = nil
	return err
}

// Estimate asks the server's statistics, once for each database.
func (r *Reader) Estimate(ctx context.Context, tables []*schema.Table) ([]snapshot.Size, error) {
	defer closeWith(ctx, r.conn)()
	of := map[string]map[string]snapshot.Size{} // by database and name
	for _, t := range tables {
		if of[t.Database] != nil {
			continue
		}
		sizes, err := r.sizes(t.Database, tables)
		if err != nil {
			return nil, r.explain("ask for the size of", t, err)
		}
		of[t.Database] = sizes
	}
	list := make([]snapshot.Size, len(tables))
	for i, t := range tables {
		size, ok := of[t.Database][t.Name]
		list[i] = size
		list[i].Gone = !ok
	}
	return list, nil
}

// sizes returns the sizes of those of the tables that are in one database, by
// name.
func (r *Reader) sizes(database string, tables []*schema.Table) (map[string]snapshot.Size, error) {
	res, err := r.conn.Execute(sizeQuery(database, tables))
	if err != nil {
		return nil, err
	}
	defer res.Close()
	sizes := map[string]snapshot.Size{}
	for n := range res.RowNumber() {
		name, err := res.GetString(n, 0)
		if err != nil {
			return nil, err
		}
		var size snapshot.Size
		if size.Rows, err = res.GetInt(n, 1); err != nil {
			return nil, err
		}
		if size.RowBytes, err = res.GetInt(n, 2); err != nil {
			return nil, err
		}
		sizes[strings.Clone(name)] = size
	}
	return sizes, nil
}

// High asks for the end of the log.
func (r *Reader) High(ctx context.Context) (snapshot.High, error) {
	if r.conn == nil {
		return snapshot.High{}, errors.New("mysql: not connected")
	}
	defer closeWith(ctx, r.conn)()
	return endOfLog(r.conn)
}

func endOfLog(conn *client.Conn) (snapshot.High, error) {
	query := "SHOW BINARY LOG STATUS"
	if c, err := conn.CompareServerVersion("8.2.0"); err == nil && c < 0 || catalog.IsMariaDB(conn.GetServerVersion()) {
		query = "SHOW MASTER STATUS"
	}
	res, err := conn.Execute(query)
	if err != nil {
		return snapshot.High{}, fmt.Errorf("mysql: ask for the end of the log: %w", err)
	}
	if res.RowNumber() == 0 {
		return snapshot.High{}, connect.Permanent(errors.New("mysql: the server writes no binary log; start it with --log-bin"))
	}
	file, err := res.GetString(0, 0)
	if err != nil {
		return snapshot.High{}, err
	}
	pos, err := res.GetUint(0, 1)
	return snapshot.High{File: strings.Clone(file), Pos: pos}, err
}

// anchorWait is how long one wait for transactions takes at most.
const anchorWait = 10 // seconds

// anchor checks that the connection leads to a's server and waits until all
// that a names is visible.
func (r *Reader) anchor(a snapshot.Anchor) error {
	if strings.ContainsAny(a.GTIDs, `'\`) {
		return fmt.Errorf("mysql: %q is not a set of GTIDs", a.GTIDs)
	}
	wait := "0"
	if a.GTIDs != "" && a.GTIDs != r.waited {
		wait = "WAIT_FOR_EXECUTED_GTID_SET('" + a.GTIDs + "', " + strconv.Itoa(anchorWait) + ")"
	} else if r.uuid != "" && strings.EqualFold(r.uuid, a.ServerUUID) {
		return nil // what one server showed once on one connection it shows for ever
	}
	identity := "@@server_uuid"
	if r.maria {
		identity = catalog.MariaDBIdentity
	}
	res, err := r.conn.Execute("SELECT " + identity + ", " + wait)
	if err != nil {
		return fmt.Errorf("mysql: wait until the server shows what its log has: %w", err)
	}
	uuid, err := res.GetString(0, 0)
	if err != nil {
		return err
	}
	if a.ServerUUID != "" && !strings.EqualFold(uuid, a.ServerUUID) {
		return fmt.Errorf("mysql: rows would come from server %s, but changes come from %s: both connections must lead to one server", uuid, a.ServerUUID)
	}
	if n, err := res.GetInt(0, 1); err != nil || n != 0 {
		return fmt.Errorf("mysql: server %s does not show within %d seconds what its log has", uuid, anchorWait)
	}
	r.waited, r.uuid = strings.Clone(a.GTIDs), strings.Clone(uuid)
	return nil
}

// Errors of the server that are about the table's shape, about a grant, and
// about the moment.
const (
	errDBAccess     = 1044
	errNoSuchDB     = 1049
	errBadTable     = 1051
	errShutdown     = 1053
	errBadField     = 1054
	errOutOfConns   = 1040
	errTableAccess  = 1142
	errColumnAccess = 1143
	errNoSuchTable  = 1146
	errKeyNotThere  = 1176
	errLockTimeout  = 1205
	errDeadlock     = 1213
	errSpecific     = 1227
	errInterrupted  = 1317
	errNotBase      = 1347
	errTableDefNew  = 1412
	errTimeout      = 3024
	errIdle         = 4031
)

// explain sorts an error of a statement about t.
func (r *Reader) explain(deed string, t *schema.Table, err error) error {
	var e *mysql.MyError
	if !errors.As(err, &e) {
		return fmt.Errorf("mysql: %s table %s: %w", deed, t, err)
	}
	switch e.Code {
	case errNoSuchDB, errBadTable, errBadField, errNoSuchTable, errKeyNotThere, errNotBase, errTableDefNew:
		return fmt.Errorf("mysql: %s table %s: %w (%w)", deed, t, snapshot.ErrShape, e)
	case errDBAccess, errTableAccess, errColumnAccess, errSpecific:
		privilege := "SELECT"
		if strings.Contains(deed, "lock") {
			privilege = "SELECT, LOCK TABLES"
		}
		account := r.cfg.Account
		if account == "" {
			account = "the connector's user"
		}
		return connect.Permanent(fmt.Errorf("mysql: %s table %s: %w; GRANT %s ON %s.* TO %s", deed, t, e, privilege, quote(t.Database), account))
	case errShutdown, errOutOfConns, errLockTimeout, errDeadlock, errInterrupted, errTimeout, errIdle:
		return fmt.Errorf("mysql: %s table %s: %w", deed, t, e)
	}
	return fmt.Errorf("mysql: %s table %s: %w: %w", deed, t, snapshot.ErrTable, e)
}
