package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/catalog"
)

// Check looks at the server, the user's privileges and the captured tables.
// Every finding says what mends it.
func Check(ctx context.Context, cfg connect.Config) ([]connect.Finding, error) {
	return CheckFor(ctx, cfg, Needs{})
}

// Needs are what else is to be done with the source.
type Needs struct {
	SignalTable string // database.table whose rows are signals; "": none
	Locks       bool   // tables without a key may be locked for a moment
}

// CheckFor is Check for a source that is used for more than its log.
func CheckFor(ctx context.Context, cfg connect.Config, needs Needs) ([]connect.Finding, error) {
	s, err := newSettings(cfg)
	if err != nil {
		return nil, err
	}
	db, err := s.openDB()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	c := checker{s: s, db: db, needs: needs}
	if err := db.PingContext(ctx); err != nil {
		err = s.explain("connect to", err)
		return []connect.Finding{{Fatal: true, What: err.Error(), Fix: "see there"}}, nil
	}
	c.ok("MySQL at %s answers", s.addr())
	for _, step := range []func(context.Context) error{c.log, c.replica, c.logFilters, c.prepared, c.foreignKeys, c.serverID, c.oneServer, c.grants, c.action, c.tables} {
		if err := step(ctx); err != nil {
			return nil, s.explain("check", err)
		}
	}
	return c.findings, nil
}

// checker gathers findings.
type checker struct {
	s        *settings
	db       *sql.DB
	needs    Needs
	facts    facts
	rights   rights
	findings []connect.Finding
}

func (c *checker) ok(format string, args ...any) {
	c.findings = append(c.findings, connect.Finding{OK: true, What: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(fix, format string, args ...any) {
	c.findings = append(c.findings, connect.Finding{What: fmt.Sprintf(format, args...), Fix: fix})
}

func (c *checker) fatal(fix, format string, args ...any) {
	c.findings = append(c.findings, connect.Finding{Fatal: true, What: fmt.Sprintf(format, args...), Fix: fix})
}

// log looks at how the server logs.
func (c *checker) log(ctx context.Context) (err error) {
	if c.facts, err = readFacts(ctx, c.db); err != nil {
		return err
	}
	f := c.facts
	if f.is("log_bin", "ON") {
		c.ok("log_bin is ON")
	} else {
		c.fatal("start the server with --log-bin", "log_bin is OFF: the server writes no binary log")
	}
	c.want("binlog_format", "ROW", true, "changes of rows are not in the log")
	c.want("binlog_row_image", "FULL", true, "rows in the log lack columns, which stops their tables")
	c.want("binlog_row_metadata", "FULL", false, "column names are not in the log and are followed through every DDL statement instead")
	if c.facts.mariaDB() {
		c.mariaDB()
		return nil
	}
	if c.s.query {
		c.want("binlog_rows_query_log_events", "ON", false, "changes do not have the statement that made them, which "+optQuery+" asks for")
	}
	c.gtids()
	c.expiry()
	return nil
}

// want finds a variable to have a value, or says what it is if it has not. A
// server that does not know the variable has the value by nature.
func (c *checker) want(name, value string, fatal bool, consequence string) {
	have, known := c.facts[name]
	switch {
	case !known:
	case strings.EqualFold(have, value):
		c.ok("%s is '%s'", name, have)
	default:
		fix := fmt.Sprintf("SET PERSIST %s = '%s'; and reconnect the sessions that are open", name, value)
		if c.facts.mariaDB() {
			fix = mariaWords(fix) + "; and set it in the server's option file, or a restart undoes it"
		}
		if fatal {
			c.fatal(fix, "%s is '%s': %s", name, have, consequence)
		} else {
			c.warn(fix, "%s is '%s': %s", name, have, consequence)
		}
	}
}

// mariaDB looks at settings that MariaDB alone has.
func (c *checker) mariaDB() {
	c.want("gtid_strict_mode", "ON", false, "the numbers of GTIDs need not rise within a domain, and then it cannot be told whether all has arrived")
	if c.s.query {
		c.want("binlog_annotate_row_events", "ON", false, "changes do not have the statement that made them, which "+optQuery+" asks for")
	}
	c.expiry()
}

func (c *checker) gtids() {
	f := c.facts
	if f.gtidMode() {
		c.ok("gtid_mode is ON")
		return
	}
	c.warn("SET PERSIST enforce_gtid_consistency = ON; SET PERSIST gtid_mode = OFF_PERMISSIVE; SET PERSIST gtid_mode = ON_PERMISSIVE; SET PERSIST gtid_mode = ON; before the first start of the connector",
		"gtid_mode is %s: the position is a file name and an offset, and the connector cannot follow to another server", f["gtid_mode"])
	if !f.is("enforce_gtid_consistency", "ON") {
		c.warn("SET PERSIST enforce_gtid_consistency = WARN; look at the error log for a day; SET PERSIST enforce_gtid_consistency = ON",
			"enforce_gtid_consistency is %s, which gtid_mode = ON needs", f["enforce_gtid_consistency"])
	}
}

// minExpiry is how long the log should be kept: longer than anybody sleeps.
const minExpiry = 24 * 3600

func (c *checker) expiry() {
	text, known := c.facts["binlog_expire_logs_seconds"]
	secs, err := strconv.ParseInt(text, 10, 64)
	switch {
	case !known || err != nil:
	case secs == 0 || secs >= minExpiry:
		c.ok("binlog_expire_logs_seconds is %d", secs)
	default:
		fix := "SET PERSIST binlog_expire_logs_seconds = 259200"
		if c.facts.mariaDB() {
			fix = mariaWords(fix)
		}
		c.warn(fix, "binlog_expire_logs_seconds is %d: when the connector is down for longer, only a new snapshot helps", secs)
	}
}

// logFilters looks for databases that the server leaves out of its log.
func (c *checker) logFilters(ctx context.Context) error {
	row, err := firstRow(ctx, c.db, "SHOW BINARY LOG STATUS")
	if n, _ := code(err); n == 1064 {
		row, err = firstRow(ctx, c.db, "SHOW MASTER STATUS")
	}
	if n, _ := code(err); n == erNoPrivilege {
		return nil // grants says it
	}
	if err != nil {
		return err
	}
	for _, option := range []string{"Binlog_Do_DB", "Binlog_Ignore_DB"} {
		if row[option] != "" {
			c.warn("start the server without --"+strings.ReplaceAll(strings.ToLower(option), "_", "-"), "%s is '%s': changes of other databases, or made while another one is the default, may be missing from the log", strings.ToLower(option), row[option])
		}
	}
	return nil
}

// prepared looks for XA transactions whose rows the log has already.
func (c *checker) prepared(ctx context.Context) error {
	n, ok, err := preparedNow(ctx, c.db)
	if n > 0 && ok {
		c.warn("XA COMMIT or XA ROLLBACK them before the first start of the connector (XA RECOVER lists them)",
			"%d XA transactions are prepared: if the connector starts for the first time now, all captured tables are copied anew when one of them is committed", n)
	}
	return err
}

func (c *checker) serverID(ctx context.Context) error {
	id := c.facts["server_id"]
	ours := strconv.FormatUint(uint64(c.s.serverID), 10)
	if id == "0" {
		c.fatal("SET PERSIST server_id = 1", "server_id is 0: the server sends its log to nobody")
		return nil
	}
	if id == ours {
		c.fatal("set "+optServerID+" to another number", "%s is %s, which is the server's own server_id", optServerID, ours)
		return nil
	}
	rows, err := c.db.QueryContext(ctx, "SHOW REPLICAS")
	if err != nil {
		return nil // an old server, or not allowed to look
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if values[0].String == ours {
			c.warn("nothing, if it is this connector; else set "+optServerID+" to another number", "a replica with our server id %s is connected (host %q)", ours, values[1].String)
		}
	}
	return rows.Err()
}

// tables looks at what the filters let through.
func (c *checker) tables(ctx context.Context) error {
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := catalog.Prepare(ctx, conn); err != nil {
		return err
	}
	used := map[*regexp.Regexp]bool{}
	infos, err := catalog.Read(ctx, conn, func(db, table string) bool {
		if systemDB(db) {
			return false
		}
		note(used, c.s.filter.dbInclude, db)
		note(used, c.s.filter.tableInclude, db+"."+table)
		return c.s.filter.table(db, table)
	})
	if err != nil {
		return err
	}
	c.unused(used, optDBInclude, c.s.filter.dbInclude)
	c.unused(used, optTableInclude, c.s.filter.tableInclude)
	if len(infos) == 0 {
		c.warn("correct the lists, or GRANT SELECT on the tables to the user", "no table is captured")
		return nil
	}
	c.ok("%d tables are captured", len(infos))
	if g := c.s.guard; g.most > 0 && len(infos) > g.most {
		say := c.warn
		if g.fail {
			say = c.fatal
		}
		say("correct the lists of databases and tables, or raise "+optGuardMax, "%s is %d", optGuardMax, g.most)
	}
	c.unusedColumns(infos)
	for i := range infos {
		c.table(&infos[i])
	}
	c.signals(infos)
	return c.readable(ctx, infos)
}

func note(used map[*regexp.Regexp]bool, list []*regexp.Regexp, name string) {
	for _, re := range list {
		if re.MatchString(name) {
			used[re] = true
		}
	}
}

func (c *checker) unused(used map[*regexp.Regexp]bool, option string, list []*regexp.Regexp) {
	for _, re := range list {
		if !used[re] {
			text := strings.TrimSuffix(strings.TrimPrefix(re.String(), "^(?i:"), ")$")
			c.warn("correct the expression, or GRANT SELECT on what it should match", "%q in %s matches nothing that the user can see", text, option)
		}
	}
}

// unusedColumns looks for expressions that match no column.
func (c *checker) unusedColumns(infos []catalog.Info) {
	used := map[*regexp.Regexp]bool{}
	f := c.s.filter
	for i := range infos {
		if infos[i].Err != nil {
			continue
		}
		t := infos[i].Def.Table
		for j := range t.Columns {
			note(used, f.columnInclude, t.String()+"."+t.Columns[j].Name)
			note(used, f.columnExclude, t.String()+"."+t.Columns[j].Name)
		}
	}
	c.unused(used, optColumnInclude, f.columnInclude)
	c.unused(used, optColumnExclude, f.columnExclude)
}

func (c *checker) table(info *catalog.Info) {
	name := quoteIdent(info.Database) + "." + quoteIdent(info.Name)
	switch {
	case info.Err != nil:
		c.fatal("GRANT SELECT ON "+name+" TO the user", "the shape of table %s cannot be read: %v", name, info.Err)
		return
	case c.unfit(info.Def.Table):
	case len(info.Def.Table.Key) == 0:
		c.lockable(info)
		c.warn("ALTER TABLE "+name+" ADD COLUMN my_row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT INVISIBLE PRIMARY KEY FIRST",
			"table %s has no key: its rows cannot be told apart, and sinks that write by key refuse it", name)
	}
	if e := info.Def.Engine; e != "" && !strings.EqualFold(e, "InnoDB") {
		c.warn("ALTER TABLE "+name+" ENGINE = InnoDB", "table %s is of engine %s, which has no transactions: a copy of it may miss changes", name, e)
	}
}

// unfit reports whether the options of columns cannot hold for a table.
func (c *checker) unfit(t *schema.Table) bool {
	_, err := c.s.filter.view(t)
	if err != nil {
		c.fatal("see there", "%v", err)
	}
	return err != nil
}

func quoteIdent(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
