package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"

	"github.com/towline/towline/schema/catalog"
)

// rights are what a user may do, those of its active roles too.
type rights struct {
	account string   // as a GRANT names it
	grants  []grant  // on all databases and on single ones
	global  []string // privileges on *.*, in upper case
}

// grant is what a user may do in the databases that a pattern matches.
type grant struct {
	database *regexp.Regexp
	list     []string
}

var grantLine = regexp.MustCompile("^GRANT (.+) ON (\\*|`(?:[^`]|``)+`)\\.\\* TO ")

// readRights asks the server.
func readRights(ctx context.Context, db *sql.DB) (rights, error) {
	var r rights
	var account string
	if err := db.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&account); err != nil {
		return r, err
	}
	user, host := account, "%"
	if i := strings.LastIndexByte(account, '@'); i >= 0 {
		user, host = account[:i], account[i+1:]
	}
	r.account = fmt.Sprintf("'%s'@'%s'", strings.ReplaceAll(user, "'", "''"), host)
	query := "SHOW GRANTS"
	var roles sql.NullString
	if err := db.QueryRowContext(ctx, "SELECT CURRENT_ROLE()").Scan(&roles); err == nil && roles.String != "" && roles.String != "NONE" {
		query = "SHOW GRANTS FOR CURRENT_USER() USING " + roles.String
	}
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return r, err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return r, err
		}
		r.add(line)
	}
	return r, rows.Err()
}

// add takes over a line of SHOW GRANTS. Those on single tables do not count.
func (r *rights) add(line string) {
	m := grantLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	var list []string
	for p := range strings.SplitSeq(m[1], ",") {
		list = append(list, strings.ToUpper(strings.TrimSpace(p)))
	}
	if m[2] == "*" {
		r.global = append(r.global, list...)
		return
	}
	r.grants = append(r.grants, grant{likePattern(strings.ReplaceAll(m[2][1:len(m[2])-1], "``", "`")), list})
}

// likePattern returns the expression of a pattern with % and _.
func likePattern(like string) *regexp.Regexp {
	var b strings.Builder
	for i := 0; i < len(like); i++ {
		switch c := like[i]; {
		case c == '\\' && i+1 < len(like):
			i++
			b.WriteString(regexp.QuoteMeta(like[i : i+1]))
		case c == '%':
			b.WriteString(".*")
		case c == '_':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(like[i : i+1]))
		}
	}
	return regexp.MustCompile("^(?s:" + b.String() + ")$")
}

// has reports whether the user has a privilege on all databases.
func (r *rights) has(privilege string) bool { return grants(r.global, privilege) }

// on reports whether the user has a privilege on all tables of a database.
func (r *rights) on(database, privilege string) bool {
	if r.has(privilege) {
		return true
	}
	for _, g := range r.grants {
		if g.database.MatchString(database) && grants(g.list, privilege) {
			return true
		}
	}
	return false
}

func grants(list []string, privilege string) bool {
	for _, p := range list {
		if p == privilege || p == "ALL PRIVILEGES" {
			return true
		}
	}
	return false
}

// grants looks at what the user needs for the log.
func (c *checker) grants(ctx context.Context) (err error) {
	if c.rights, err = readRights(ctx, c.db); err != nil {
		return err
	}
	for _, p := range []string{"REPLICATION SLAVE", "REPLICATION CLIENT"} {
		if c.rights.has(p) || p == "REPLICATION CLIENT" && (c.rights.has("SUPER") || c.rights.has("BINLOG MONITOR")) { // as MariaDB calls it
			c.ok("the user has %s", p)
			continue
		}
		c.fatal(fmt.Sprintf("GRANT %s ON *.* TO %s", p, c.rights.account), "the user lacks %s", p)
	}
	return nil
}

// readable looks whether the user may read the captured tables: it sees them
// with any other privilege too.
func (c *checker) readable(ctx context.Context, infos []catalog.Info) error {
	for i := range infos {
		if infos[i].Err != nil || c.rights.on(infos[i].Database, "SELECT") {
			continue
		}
		v, err := c.s.filter.view(infos[i].Def.Table)
		if err != nil {
			continue // unfit has told
		}
		columns := make([]string, len(v.table.Columns))
		for j := range v.table.Columns {
			columns[j] = quoteIdent(v.table.Columns[j].Name)
		}
		name := quoteIdent(infos[i].Database) + "." + quoteIdent(infos[i].Name)
		rows, err := c.db.QueryContext(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+name+" LIMIT 0")
		if err == nil {
			err = rows.Close()
		}
		switch n, words := code(err); n {
		case 0:
			if err != nil {
				return err
			}
		case erTableDenied, erColumnDenied:
			c.fatal(fmt.Sprintf("GRANT SELECT ON %s TO %s", name, c.rights.account), "the user may not read table %s, so it cannot be copied: %s", name, words)
		default:
			c.warn("see there", "table %s cannot be read: %s", name, words)
		}
	}
	return nil
}

// lockable looks whether a table without a key can be locked for its copy.
func (c *checker) lockable(info *catalog.Info) {
	if c.needs.Locks && !c.rights.on(info.Database, "LOCK TABLES") {
		c.warn(fmt.Sprintf("GRANT LOCK TABLES ON %s.* TO %s", quoteIdent(info.Database), c.rights.account),
			"the user lacks LOCK TABLES on table %s.%s, which has no key: its copy needs that if the table is large or changes all the time", quoteIdent(info.Database), quoteIdent(info.Name))
	}
}

// signals looks at the table of signals.
func (c *checker) signals(infos []catalog.Info) {
	if c.needs.SignalTable == "" {
		return
	}
	for i := range infos {
		if !strings.EqualFold(infos[i].Database+"."+infos[i].Name, c.needs.SignalTable) || infos[i].Err != nil {
			continue
		}
		var missing []string
		for _, want := range []string{"id", "type", "data"} {
			if t := infos[i].Def.Table; t.Column(want) < 0 {
				missing = append(missing, want)
			}
		}
		if len(missing) > 0 {
			c.fatal("CREATE TABLE as the page for operators has it", "the table of signals %s lacks the columns %s", c.needs.SignalTable, strings.Join(missing, ", "))
			return
		}
		c.ok("signals come from %s", c.needs.SignalTable)
		return
	}
	c.fatal(fmt.Sprintf("create it, have the lists include it, and GRANT SELECT ON %s TO %s", c.needs.SignalTable, c.rights.account),
		"the table of signals %s is not captured: it is not there, left out by the lists, or not to be seen by the user", c.needs.SignalTable)
}

// action looks whether heartbeat.action.query can be executed: the server
// prepares it, which checks it and what it needs.
func (c *checker) action(ctx context.Context) error {
	if c.s.action == "" {
		return nil
	}
	st, err := c.db.PrepareContext(ctx, c.s.action)
	if err == nil {
		c.ok("%s can be executed", optActionQuery)
		return st.Close()
	}
	n, words := code(err)
	switch n {
	case 0:
		return err
	case erTableDenied, erColumnDenied, erDBAccessDenied, erNoPrivilege:
		c.fatal(fmt.Sprintf("GRANT what it needs TO %s", c.rights.account), "%s cannot be executed: %s", optActionQuery, words)
	case erNotPrepared:
		c.ok("%s is a statement that cannot be looked at beforehand", optActionQuery)
	default:
		c.fatal("correct "+optActionQuery, "it cannot be executed: %s", words)
	}
	return nil
}
