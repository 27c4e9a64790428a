package jdbc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/towline/towline/connect"
)

// check looks at the target: whether it answers, whether its settings let
// rows in as they are, and whether the user may write.
func check(ctx context.Context, cfg connect.Config) ([]connect.Finding, error) {
	set, url, faults := readSettings(cfg)
	if len(faults) > 0 {
		return nil, &connect.ConfigError{Name: cfg.Name(), Faults: faults}
	}
	db, err := newDB(url)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	s, err := openSession(ctx, db)
	if errors.Is(err, errMariaDB) {
		return []connect.Finding{{Fatal: true, What: err.Error(), Fix: "see there"}}, nil
	}
	if err != nil {
		return []connect.Finding{{Fatal: true, What: fmt.Sprintf("the target %s does not let user %q in: %v", url.Addr, url.User, err),
			Fix: "check connection.url, connection.user and connection.password, and that the server is up"}}, nil
	}
	defer s.close()
	findings := []connect.Finding{{OK: true, What: "the target " + url.Addr + " answers"}}
	more, err := checkServer(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("jdbc: check %s: %w", url.Addr, err)
	}
	findings = append(findings, more...)
	events, err := checkEvents(ctx, s, set, url.User)
	if err != nil {
		return nil, fmt.Errorf("jdbc: check %s: %w", url.Addr, err)
	}
	findings = append(findings, events...)
	grants, err := checkGrants(ctx, s.conn, set, url.User)
	if err != nil {
		return nil, fmt.Errorf("jdbc: check %s: %w", url.Addr, err)
	}
	return append(findings, grants...), nil
}

func checkServer(ctx context.Context, s *session) (findings []connect.Finding, err error) {
	var version, engine string
	var readOnly, superReadOnly bool
	err = s.conn.QueryRowContext(ctx, "SELECT VERSION(), @@default_storage_engine, @@global.read_only, @@global.super_read_only").
		Scan(&version, &engine, &readOnly, &superReadOnly)
	if err != nil {
		return nil, err
	}
	if old(version) {
		findings = append(findings, connect.Finding{Fatal: true, What: "the target is MySQL " + version, Fix: "use MySQL 8.0.19 or later"})
	}
	if readOnly || superReadOnly {
		findings = append(findings, connect.Finding{Fatal: true, What: "the target is read-only", Fix: "SET GLOBAL read_only = OFF"})
	}
	if !strings.EqualFold(engine, "InnoDB") {
		findings = append(findings, connect.Finding{What: "the target's default_storage_engine is " + engine + ", whose tables have no transactions",
			Fix: "SET GLOBAL default_storage_engine = InnoDB"})
	}
	if s.maxPacket < 16<<20 {
		findings = append(findings, connect.Finding{What: fmt.Sprintf("the target's max_allowed_packet is %d: rows that are larger will be refused", s.maxPacket),
			Fix: "SET GLOBAL max_allowed_packet = 67108864"})
	}
	log, err := checkLog(ctx, s)
	return append(findings, log...), err
}

// wantCache is a binlog_cache_size that most of our transactions fit into.
const wantCache = 8 << 20

// checkLog tells whether our transactions reach the target's own log without
// the detour over a file.
func checkLog(ctx context.Context, s *session) ([]connect.Finding, error) {
	var logs bool
	var cache int64
	if err := s.conn.QueryRowContext(ctx, "SELECT @@log_bin, @@global.binlog_cache_size").Scan(&logs, &cache); err != nil {
		return nil, err
	}
	if !logs || cache >= wantCache/8 {
		return nil, nil
	}
	return []connect.Finding{{What: fmt.Sprintf("the target's binlog_cache_size is %d: most transactions are larger, and go to its log through a file, "+
		"which costs its processor some percent", cache), Fix: fmt.Sprintf("SET PERSIST binlog_cache_size = %d", wantCache)}}, nil
}

// checkEvents tells whether rows go to the target in the way that costs it
// least.
func checkEvents(ctx context.Context, s *session, set *settings, user string) ([]connect.Finding, error) {
	if set.mode != modeUpsert {
		return nil, nil
	}
	// Whatever the server says to the offer, it means no.
	if err := s.offerEvents(ctx); err != nil && serverError(err) == nil {
		return nil, err
	}
	var sees int
	if err := s.conn.QueryRowContext(ctx, selectSees, set.database, set.database, "").Scan(&sees); err != nil {
		return nil, err
	}
	if s.events && sees > 0 {
		return []connect.Finding{{OK: true, What: "the target takes many rows at once as row events"}}, nil
	}
	var fix []string
	if !s.events {
		fix = append(fix, "GRANT REPLICATION_APPLIER ON *.* TO "+literal(user))
	}
	if where := "*.*"; sees == 0 {
		if set.database != "" {
			where = quoted(set.database) + ".*"
		}
		fix = append(fix, "GRANT TRIGGER ON "+where+" TO "+literal(user))
	}
	return []connect.Finding{{What: fmt.Sprintf("user %q writes to the target by statements alone, which cost it about twice the time of its processor that row events do; "+
		"they take the right to apply events, which opens no table to the user, and the right to see whether a table has triggers", user),
		Fix: strings.Join(fix, "; ")}}, nil
}

// old reports whether a server does not know aliases of inserted rows.
func old(version string) bool {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 3 {
		return false
	}
	return major < 8 || major == 8 && minor == 0 && patch < 19
}

// checkGrants looks for the privileges on the target's databases.
func checkGrants(ctx context.Context, conn *sql.Conn, set *settings, user string) ([]connect.Finding, error) {
	need := []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	if set.evolution == evolveBasic || set.evolution == evolveFull {
		need = append(need, "CREATE", "ALTER")
	}
	if set.truncates || set.drops != dropIgnore || set.evolution == evolveFull {
		need = append(need, "DROP")
	}
	where := "*.*"
	query := "SELECT DISTINCT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE LIKE ?"
	grantee := "'" + user + "'@%"
	args := []any{grantee}
	if set.database != "" {
		where = quoted(set.database) + ".*"
		query += " UNION SELECT DISTINCT PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE LIKE ? AND (TABLE_SCHEMA = ? OR ? LIKE TABLE_SCHEMA)"
		args = append(args, grantee, set.database, set.database)
	}
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	has := map[string]bool{}
	for rows.Next() {
		var p string
		if err := rows.Scan(&p); err != nil {
			return nil, err
		}
		has[p] = true
	}
	var missing []string
	for _, p := range need {
		if !has[p] {
			missing = append(missing, p)
		}
	}
	if err := rows.Err(); err != nil || len(missing) == 0 {
		return nil, err
	}
	return []connect.Finding{{What: fmt.Sprintf("user %q has no %s on %s of the target, unless by a role or on single tables", user, strings.Join(missing, ", "), where),
		Fix: fmt.Sprintf("GRANT %s ON %s TO %s", strings.Join(need, ", "), where, literal(user))}}, nil
}
