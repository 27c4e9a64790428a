package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
)

// mariaSession is what a replica of MariaDB tells the server before it asks for
// the log: that it knows GTIDs, and up to where it has the log. The server is to
// be strict: a place that its log does not have, between others that it has, is
// one that another server was at when this one went on without it.
func mariaSession(pos *position) string {
	const knows = "SET @mariadb_slave_capability = 4"
	if pos.mode == byFile {
		return knows
	}
	return fmt.Sprintf("%s, @slave_connect_state = '%s', @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0", knows, pos.domains)
}

// readDomains returns the end of MariaDB's log.
func readDomains(ctx context.Context, db *sql.DB) (*gtid.Domains, error) {
	var text string
	if err := db.QueryRowContext(ctx, "SELECT @@global.gtid_binlog_pos").Scan(&text); err != nil {
		return nil, err
	}
	return gtid.ParseDomains(text)
}

// logged returns the last GTID that MariaDB's log has had of each domain and
// server.
func logged(ctx context.Context, db *sql.DB) ([]gtid.Last, error) {
	var text string
	if err := db.QueryRowContext(ctx, "SELECT @@global.gtid_binlog_state").Scan(&text); err != nil {
		return nil, err
	}
	return gtid.ParseLasts(text)
}

// behindMaria returns what was delivered and MariaDB's log does not have, nil for
// nothing. Within a domain transactions have one order, so that is all that
// follows the last one of ours which the log has. Whether it still has what
// follows pos the server says when it is asked for the log.
func behindMaria(ctx context.Context, db *sql.DB, pos *position, server gtid.UUID) (*losses, error) {
	have, err := logged(ctx, db)
	if err != nil {
		return nil, err
	}
	l := &losses{set: new(gtid.Set), after: new(gtid.Domains), upTo: new(gtid.Domains)}
	for _, at := range pos.domains.All() {
		common := at
		common.GNO = 0
		for _, h := range have {
			if h.Domain == at.Domain && h.Server == at.Server {
				common.GNO = min(h.GNO, at.GNO)
			}
		}
		switch {
		case common.GNO == at.GNO:
			continue
		case common.GNO == 0 || server == pos.server:
			return nil, fmt.Errorf("%w: transactions up to %s were captured, but the log of server %s ends at %q: it was reset, or lost them in a crash, or it is a replica without log_slave_updates, or not the same data; "+
				"connect to a server that has them, or take a new snapshot", connect.ErrPositionLost, pos.domains, gtid.FormatUUID(server), lastsText(have))
		}
		l.after.Set(common)
		l.upTo.Set(at)
		l.set.AddInterval(domainSID(at.Domain), connect.DomainTag, gtid.Interval{First: int64(common.GNO) + 1, Last: int64(at.GNO)})
	}
	if l.set.Empty() {
		return nil, nil
	}
	return l, catchingUpMaria(ctx, db, l.upTo)
}

func lastsText(list []gtid.Last) string {
	var d gtid.Domains
	for _, l := range list {
		d.Set(l)
	}
	return d.String()
}

// domainSID stands for all servers of a domain: numbers rise over them.
func domainSID(domain uint32) gtid.UUID { return connect.DomainSID(domain, 0) }

// originOf returns a GTID as touches count it.
func originOf(g *binlog.GTID) origin {
	o := origin{g.SID, g.Tag, g.GNO}
	if g.Tag == connect.DomainTag {
		o.sid = domainSID(g.Last().Domain)
	}
	return o
}

// passed returns the transactions up to a position, as touches count them.
func (p *position) passed() *gtid.Set {
	if p.mode != byDomain {
		return p.gtids.Clone()
	}
	set := new(gtid.Set)
	for _, l := range p.domains.All() {
		set.AddInterval(domainSID(l.Domain), connect.DomainTag, gtid.Interval{First: 1, Last: int64(l.GNO)})
	}
	return set
}

// existsMaria returns an error if x is no place of the log of MariaDB.
func (s *Source) existsMaria(ctx context.Context, db *sql.DB, x *position) error {
	have, err := logged(ctx, db)
	if err != nil {
		return s.settings.explain("ask for the transactions of", err)
	}
	for _, at := range x.domains.All() {
		if !slices.ContainsFunc(have, func(h gtid.Last) bool { return h.Domain == at.Domain && h.Server == at.Server && h.GNO >= at.GNO }) {
			return connect.Permanent(fmt.Errorf("the server does not have the transaction %d-%d-%d", at.Domain, at.Server, at.GNO))
		}
	}
	end, err := readDomains(ctx, db)
	if err != nil || end.Within(x.domains) {
		return err
	}
	// One that another server made, or that the log has passed over, the server
	// tells when it is asked for what follows.
	err = s.eventsFrom(ctx, x, true, func(h *binlog.Header, _ []byte) (bool, error) { return h.Type == binlog.MariaGTIDEvent, nil })
	n, words := code(err)
	if n != erLogFatal {
		return s.settings.explain("look for a place in the log of", err)
	}
	if err = s.settings.lost(err, x); !errors.Is(err, connect.ErrPositionLost) {
		return err
	}
	return connect.Permanent(fmt.Errorf("the server's log has no place %s: it says %q", x.domains, words))
}

// catchingUpMaria returns why the server may yet get transactions that it lacks,
// as catchingUp.
func catchingUpMaria(ctx context.Context, db *sql.DB, lost *gtid.Domains) error {
	row, err := firstRow(ctx, db, "SHOW REPLICA STATUS")
	if n, _ := code(err); n != 0 || row == nil {
		return nil
	}
	if err != nil {
		return err
	}
	if !strings.EqualFold(row["Slave_SQL_Running"], "Yes") {
		return nil
	}
	retrieved, err := gtid.ParseDomains(row["Gtid_IO_Pos"])
	if err != nil {
		return err
	}
	if strings.EqualFold(row["Slave_IO_Running"], "No") && !lost.Within(retrieved) {
		return nil
	}
	return fmt.Errorf("%w: it lacks %s", errBehind, lost)
}
