package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema/catalog"
)

// facts are global variables of a server, by name. What it does not know is
// not there.
type facts map[string]string

var factNames = []string{"version", "version_comment", "server_uuid", "server_id", "log_bin", "binlog_format", "binlog_row_image",
	"binlog_row_metadata", "binlog_rows_query_log_events", "gtid_mode", "enforce_gtid_consistency", "binlog_expire_logs_seconds",
	"binlog_order_commits", "expire_logs_days", "binlog_transaction_compression", "lower_case_table_names", "character_set_server",
	"collation_server", "binlog_checksum", "innodb_native_foreign_keys", "log_replica_updates", "log_slave_updates",
	"binlog_annotate_row_events", "gtid_strict_mode", "explicit_defaults_for_timestamp"}

func readFacts(ctx context.Context, db *sql.DB) (facts, error) {
	rows, err := db.QueryContext(ctx, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('"+strings.Join(factNames, "','")+"')")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	f := facts{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		f[strings.ToLower(name)] = value
	}
	if err := errorsOr(rows.Err(), rows.Close()); err != nil || !f.mariaDB() {
		return f, err
	}
	var identity string
	err = db.QueryRowContext(ctx, "SELECT "+catalog.MariaDBIdentity).Scan(&identity)
	f["server_uuid"] = identity
	return f, err
}

// identity is an expression for what a connection must have reached.
func (f facts) identity() string { return identityOf(f.mariaDB()) }

func identityOf(maria bool) string {
	if maria {
		return catalog.MariaDBIdentity
	}
	return "@@global.server_uuid"
}

func (f facts) mariaDB() bool { return catalog.IsMariaDB(f["version"]) }

// mode returns the scheme of positions that the server's log allows.
func (f facts) mode() mode {
	switch {
	case f.mariaDB():
		return byDomain
	case f.gtidMode():
		return byGTID
	}
	return byFile
}

func (f facts) is(name, value string) bool { return strings.EqualFold(f[name], value) }

func (f facts) uuid() (gtid.UUID, error) { return gtid.ParseUUID(f["server_uuid"]) }

func (f facts) gtidMode() bool { return f.is("gtid_mode", "ON") }

// refuse returns why the server's log cannot be followed at all.
func (f facts) refuse() error {
	switch {
	case f.mariaDB() && f["binlog_row_metadata"] == "":
		return fmt.Errorf("the server is MariaDB %s; only MariaDB 10.5 and later are supported", f["version"])
	case !f.is("log_bin", "ON"):
		return fmt.Errorf("the server writes no binary log (log_bin is OFF); start it with --log-bin")
	case f["binlog_format"] != "" && !f.is("binlog_format", "ROW"):
		return fmt.Errorf("binlog_format is %s, so that changes of rows are not in the log; SET PERSIST binlog_format = 'ROW' and reconnect all sessions", f["binlog_format"])
	case f["server_id"] == "0":
		return fmt.Errorf("server_id is 0, and such a server sends its log to nobody; SET PERSIST server_id = 1")
	}
	return nil
}

// logEnd returns the end of the log, and how many columns tell filters.
func logEnd(ctx context.Context, db *sql.DB) (file string, pos uint64, err error) {
	row, err := firstRow(ctx, db, "SHOW BINARY LOG STATUS")
	if n, _ := code(err); n == 1064 {
		row, err = firstRow(ctx, db, "SHOW MASTER STATUS")
	}
	if err != nil {
		return "", 0, err
	}
	if row == nil {
		return "", 0, connect.Permanent(fmt.Errorf("the server writes no binary log (log_bin is OFF); start it with --log-bin"))
	}
	if _, err := fmt.Sscan(row["Position"], &pos); err != nil {
		return "", 0, fmt.Errorf("position %q of the log: %w", row["Position"], err)
	}
	return row["File"], pos, nil
}

// firstRow returns the first row of a statement's result, by column; nil if
// there is none.
func firstRow(ctx context.Context, db *sql.DB, query string) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil || !rows.Next() {
		return nil, errorsOr(err, rows.Err())
	}
	values := make([]sql.NullString, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	row := make(map[string]string, len(names))
	for i, n := range names {
		row[n] = values[i].String
	}
	return row, rows.Err()
}

func errorsOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func readSet(ctx context.Context, db *sql.DB, variable string) (*gtid.Set, error) {
	var text string
	if err := db.QueryRowContext(ctx, "SELECT @@global."+variable).Scan(&text); err != nil {
		return nil, err
	}
	return gtid.Parse(text)
}

// head returns where the server is now: what is committed, by GTID, or the
// end of its log.
func head(ctx context.Context, db *sql.DB, m mode, server gtid.UUID) (position, error) {
	p := position{mode: m, server: server, gtids: new(gtid.Set)}
	var err error
	switch m {
	case byGTID:
		p.gtids, err = readSet(ctx, db, "gtid_executed")
		return p, err
	case byDomain:
		p.domains, err = readDomains(ctx, db)
		return p, err
	}
	p.file, p.pos, err = logEnd(ctx, db)
	return p, err
}

// resumable fails if the server does not have all that follows pos any more.
// It returns what lies before pos and the server does not have, nil for
// nothing. It gives the server a while to commit what it has sent already. Of
// transactions that do not count pos is made to have what the server does not
// send any more.
func resumable(ctx context.Context, db *sql.DB, f facts, pos *position, counts *sources, wait time.Duration) (lost *losses, err error) {
	server, err := f.uuid()
	if err != nil {
		return nil, err
	}
	if f.mariaDB() != (pos.mode == byDomain) {
		return nil, connect.Permanent(fmt.Errorf("the saved position %s is not one of this server, which is %s %s; connect to the server that it is of, or take a new snapshot",
			pos, f["version_comment"], f["version"]))
	}
	switch pos.mode {
	case byDomain:
		return behindMaria(ctx, db, pos, server)
	case byFile:
		if server != pos.server {
			return nil, fmt.Errorf("%w: this is server %s, but the saved position %s:%d is of server %s, and files and positions mean nothing on another server; "+
				"connect to that server, or take a new snapshot (with gtid_mode=ON a change of servers needs none)", connect.ErrPositionLost, gtid.FormatUUID(server), pos.file, pos.pos, gtid.FormatUUID(pos.server))
		}
		return nil, hasFile(ctx, db, pos)
	}
	if !f.gtidMode() {
		return nil, connect.Permanent(fmt.Errorf("gtid_mode is %s, but the saved position is a set of GTIDs; SET PERSIST gtid_mode = ON (step by step), or take a new snapshot", f["gtid_mode"]))
	}
	ours, _ := counts.part(pos.gtids)
	executed, err := executedWith(ctx, db, ours, wait)
	if err != nil {
		return nil, err
	}
	if !pos.gtids.SubsetOf(executed) {
		missing := pos.gtids.Clone()
		missing.Subtract(executed)
		set, foreign := counts.part(missing)
		pos.gtids.Subtract(foreign)
		if !set.Empty() {
			lost = &losses{set: set}
			if err := catchingUp(ctx, db, set); err != nil {
				return nil, err
			}
		}
	}
	return lost, passPurged(ctx, db, pos, counts)
}

// passPurged fails if the server has purged what comes after pos. What does not
// count is passed over.
func passPurged(ctx context.Context, db *sql.DB, pos *position, counts *sources) error {
	purged, err := readSet(ctx, db, "gtid_purged")
	if err != nil {
		return err
	}
	purged.Subtract(pos.gtids)
	gap, foreign := counts.part(purged)
	if !gap.Empty() {
		return fmt.Errorf("%w: the server has purged transactions %s from its log, which were not captured yet; take a new snapshot, and raise binlog_expire_logs_seconds",
			connect.ErrPositionLost, gap)
	}
	pos.gtids.Union(foreign)
	return nil
}

// hasFile returns nil if the server's log has the place of pos.
func hasFile(ctx context.Context, db *sql.DB, pos *position) error {
	l, err := readLogFiles(ctx, db)
	if err != nil {
		return err
	}
	i := slices.Index(l.names, pos.file)
	if i < 0 {
		return fmt.Errorf("%w: the server's log has no file %s any more, of which all up to %d was captured; take a new snapshot, and raise binlog_expire_logs_seconds",
			connect.ErrPositionLost, pos.file, pos.pos)
	}
	if pos.pos > l.sizes[i] {
		return fmt.Errorf("%w: %s was captured up to %d, but it has %d bytes at the server, which has lost the end of its log in a crash (sync_binlog) or had it reset; take a new snapshot",
			connect.ErrPositionLost, pos.file, pos.pos, l.sizes[i])
	}
	return nil
}

// executedWith returns what the server has executed, and gives it a while to
// execute want: a transaction goes out to replicas before it is committed.
func executedWith(ctx context.Context, db *sql.DB, want *gtid.Set, wait time.Duration) (*gtid.Set, error) {
	executed, err := readSet(ctx, db, "gtid_executed")
	if err != nil || want.SubsetOf(executed) {
		return executed, err
	}
	missing := want.Clone()
	missing.Subtract(executed)
	if missing.Len() > commitGroup { // surely not what is being committed
		return executed, nil
	}
	var timedOut sql.NullInt64
	if err := db.QueryRowContext(ctx, "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, ?)", missing.String(), wait.Seconds()).Scan(&timedOut); err != nil {
		return nil, err
	}
	return readSet(ctx, db, "gtid_executed")
}

// owner follows a GTID in gtid_owned: the thread that commits it.
var owner = regexp.MustCompile(`#\d+`)

// awaitOwned waits until what is being committed is. Before that others see what
// a transaction did, and the shape that a statement gave a table, while its GTID
// is not among the executed ones yet. Who takes long is not waited for: a replica
// owns the GTIDs of all that it has begun to apply.
func awaitOwned(ctx context.Context, db *sql.DB, wait time.Duration) error {
	var text string
	if err := db.QueryRowContext(ctx, "SELECT @@global.gtid_owned").Scan(&text); err != nil {
		return err
	}
	owned, err := gtid.Parse(owner.ReplaceAllString(text, ""))
	if err != nil {
		return fmt.Errorf("gtid_owned %q: %w", text, err)
	}
	_, err = executedWith(ctx, db, owned, wait)
	return err
}

// commitGroup is more transactions than a server commits at a time.
const commitGroup = 10000
