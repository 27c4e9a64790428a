package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// rejoin compares what was delivered with what the server has. What the server
// has and we have not is read; the inverse, changes that were delivered and
// that this server never had, is an error that names them, unless optLost
// gives them up: then the tables that they changed are emptied and read anew,
// and so are those of a transaction that another server has sent in part. pos
// is corrected.
func (s *Source) rejoin(ctx context.Context, db *sql.DB, server gtid.UUID, sh *shapes, pos *position, lost *losses) (marks, []offsets.Entry, error) {
	var names []tableName
	all := false
	if lost != nil {
		if names, all = sh.touch.changedBy(lost.set); !s.settings.givenUp.covers(lost) {
			return marks{}, nil, s.settings.lostError(server, pos, lost, names, all)
		}
		lost.undo(pos)
		s.settings.log.Warn("mysql: transactions that were delivered are given up, since the server does not have them; tables that they changed are copied anew",
			"gtids", lost.String(), "tables", tableList(names, all))
	}
	var fresh []offsets.Entry
	if p := sh.touch.partial; p != nil && server != pos.server {
		fresh = append(fresh, offsets.Entry{Key: keyPartial})
		sh.touch.partial = nil
		if !p.id.SubsetOf(pos.gtids) { // with MariaDB it never is; it was the one behind pos
			names = append(names, p.tables...)
			s.settings.log.Warn("mysql: a transaction was delivered in part when the server was exchanged; the tables that it changes are copied anew",
				"gtid", p.id.String(), "tables", tableList(p.tables, false))
		}
	}
	if lost != nil || len(names) > 0 {
		m, more, err := s.asTheyAre(ctx, db, sh, names, all)
		return m, append(fresh, more...), err
	}
	return marks{}, fresh, nil
}

// losses are transactions that were delivered and that the server does not have.
type losses struct {
	set *gtid.Set // as touches count them
	// With MariaDB they are, in each domain, those behind one up to another.
	after, upTo *gtid.Domains
}

// String says which ones they are.
func (l *losses) String() string {
	if l.upTo == nil {
		return fmt.Sprintf("%s (%d in all)", l.set, l.set.Len())
	}
	return fmt.Sprintf("those after %s up to %s (at most %d)", l.after, l.upTo, l.set.Len())
}

// accept is what gives them up.
func (l *losses) accept() string {
	if l.upTo == nil {
		return l.set.String()
	}
	return l.upTo.String()
}

// undo takes them out of a position.
func (l *losses) undo(pos *position) {
	if l.upTo == nil {
		pos.gtids.Subtract(l.set)
		return
	}
	for _, at := range l.after.All() {
		pos.domains.Set(at)
	}
}

// givenUp are the transactions that may be missing at the server.
type givenUp struct {
	set     *gtid.Set
	domains *gtid.Domains // of MariaDB: up to there
}

func parseGivenUp(text string) (g givenUp, err error) {
	if g.set, err = gtid.Parse(text); err == nil {
		g.domains = new(gtid.Domains)
		return g, nil
	}
	g.set = new(gtid.Set)
	domains, derr := gtid.ParseDomains(text)
	if derr != nil && strings.Contains(text, ":") {
		return g, err
	}
	g.domains = domains
	return g, derr
}

func (g *givenUp) covers(l *losses) bool {
	if l.upTo == nil {
		return l.set.SubsetOf(g.set)
	}
	return l.upTo.Within(g.domains)
}

// lostError says which changes were delivered that the server does not have.
func (s *settings) lostError(server gtid.UUID, pos *position, lost *losses, names []tableName, all bool) error {
	if server == pos.server {
		return fmt.Errorf("%w: transactions %s were captured, but server %s does not have them any more: its log was reset, or it lost them in a crash, or it was restored from a backup; "+
			"they changed %s; to copy those anew and go on set %s to %s, or take a new snapshot", connect.ErrPositionLost, lost, gtid.FormatUUID(server), tableList(names, all), optLost, lost.accept())
	}
	return connect.Permanent(fmt.Errorf("transactions that were delivered from server %s are not on server %s: %s; they changed %s; which rows, the topics know: a file sink that is made now shows them by these GTIDs (source.gtid); "+
		"either connect to a server that has them (or let this one replicate them), or give them up: set %s to %s and start again, which empties those tables in the targets and copies them from this server",
		gtid.FormatUUID(pos.server), gtid.FormatUUID(server), lost, tableList(names, all), optLost, lost.accept()))
}

// tableList names tables.
func tableList(names []tableName, all bool) string {
	const most = 20
	switch {
	case all:
		return "any of the captured tables (they are older than what is known of each table)"
	case len(names) == 0:
		return "no captured table"
	}
	list := make([]string, 0, most+1)
	for _, n := range names[:min(len(names), most)] {
		list = append(list, n.String())
	}
	if more := len(names) - most; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}

// asTheyAre gives tables the shape that the server has now and has them emptied
// and read anew. Undecided XA transactions are forgotten, for the server may
// not have them. As with Resume, statements that the log still holds may not
// fit, which each table map is checked for.
func (s *Source) asTheyAre(ctx context.Context, db *sql.DB, sh *shapes, names []tableName, all bool) (m marks, fresh []offsets.Entry, err error) {
	now, err := s.settings.catalogNow(ctx, db)
	if err != nil {
		return m, nil, err
	}
	if all {
		names = sh.names(func(tableName) bool { return true })
		for n := range now.defs {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b tableName) int { return strings.Compare(a.String(), b.String()) })
	for _, n := range slices.Compact(names) {
		if !s.settings.filter.table(n.db, n.table) || sh.stopped(n) {
			continue
		}
		if s.settings.noReread {
			e, _ := sh.stop(n, "changes of it were delivered that the server does not have; with snapshot.mode=no_data nothing is copied, so copy the table anew yourself")
			fresh = append(fresh, e)
			continue
		}
		if t := sh.shown(n); t != nil {
			m.gone = append(m.gone, t)
		}
		fresh = append(fresh, sh.set(n, now.defs[n]))
		if reason, bad := now.halted[n]; bad {
			e, _ := sh.stop(n, reason)
			fresh = append(fresh, e)
		} else if t := sh.shown(n); t != nil {
			m.reread = append(m.reread, t)
		}
	}
	for key, x := range sh.xa.byKey {
		for i := range x.parts {
			fresh = append(fresh, offsets.Entry{Key: partKey(key, i)})
		}
	}
	sh.xa = undecided{byKey: map[string]*prepared{}}
	return m, fresh, nil
}

// catalogNow reads the tables as the server has them now.
func (s *settings) catalogNow(ctx context.Context, db *sql.DB) (*shapes, error) {
	conn, err := catalogSession(ctx, db)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	now := &shapes{filter: s.filter}
	return now, now.readCatalog(ctx, conn)
}

// catchingUp returns why the server may yet get transactions that it lacks: it
// is a replica that is still being fed. Where it cannot be asked it is none.
func catchingUp(ctx context.Context, db *sql.DB, lost *gtid.Set) error {
	row, err := firstRow(ctx, db, "SHOW REPLICA STATUS")
	if n, _ := code(err); n != 0 || row == nil {
		return nil
	}
	if err != nil {
		return err
	}
	if !strings.EqualFold(row["Replica_SQL_Running"], "Yes") {
		return nil
	}
	retrieved, err := gtid.Parse(row["Retrieved_Gtid_Set"])
	if err != nil {
		return err
	}
	if strings.EqualFold(row["Replica_IO_Running"], "No") && !lost.SubsetOf(retrieved) {
		return nil
	}
	return fmt.Errorf("%w: it lacks %s", errBehind, lost)
}

var errBehind = errors.New("the server is a replica that has not yet applied all that was delivered; it is asked again until it has, or does not replicate any more")

// lookElsewhere ends the dump if the address leads to another server by now
// that has more than we have, while nothing came since the last look: ours is
// left behind, though it still answers. It returns where we are.
func (s *Source) lookElsewhere(ctx context.Context, db *sql.DB, d *dump, last offsets.Position) offsets.Position {
	s.reached.mu.Lock()
	at := slices.Clone(s.reached.at)
	s.reached.mu.Unlock()
	pos, err := parsePosition(at)
	if err != nil || !bytes.Equal(at, last) || !pos.mode.gtids() {
		return at
	}
	var text string
	if err := db.QueryRowContext(ctx, "SELECT "+identityOf(pos.mode == byDomain)).Scan(&text); err != nil {
		return at // it may be away; Read tells if ours is
	}
	server, err := gtid.ParseUUID(text)
	if err != nil || server == pos.server {
		return at
	}
	if there, err := head(ctx, db, pos.mode, server); err != nil || pos.covers(&there) {
		return at
	}
	d.end(fmt.Errorf("the address leads to server %s now, which has more than server %s sends, whose log we read; connecting again", text, gtid.FormatUUID(pos.server)))
	return at
}
