package jdbc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// Large groups of changes are given to the server as row events, in BINLOG
// statements: what a replica reads from its source. The server neither parses
// literals nor makes values of them, and applies the rows as a replica would.
// That takes about half of the time of its processor that the same rows take
// in statements.
//
// The events must be right, for the server does not look into them: it fires
// no triggers, takes columns by their place and stores the bytes as they are.
// So a table takes this way only where all that is known to hold (newRowEvents,
// newCell), the transaction has looked that the table is still as it was, and
// holds it so (verify), and each value was checked here (cell.append).
// Whatever else there is, any error included, is done again by statements,
// which find what is wrong and with which record.
//
// Inserts into a table without other unique keys are made with
// rbr_exec_mode=IDEMPOTENT: a row that is there is replaced. (With other keys
// it would also remove rows that meet the new one in those.) Updates are STRICT,
// and send all columns, so that a row that is there becomes what it is at the
// source; of rows that are known to be there as they were before
// (connect.Exact) only the columns that change. A row that is not there is an
// error. Then updates are made as inserts for a while, which cost more: a
// snapshot is on its way, and the stream changes rows that are not copied yet.
// Deletes are statements, which cost the server no more.

// Values of rbr_exec_mode.
const (
	modeIdempotent = "IDEMPOTENT"
	modeStrict     = "STRICT"
)

// minEvents is how many changes of a table are worth row events: looking at
// the table costs the server as much as some rows.
const minEvents = 32

// errEvents wraps an error of row events, after which the batch is applied in
// another way: by statements or, with again set, by other events.
type errEvents struct {
	error
	again bool
}

func (e errEvents) Unwrap() error { return e.error }

// errChanged says that a table is not as it was when it was looked at.
var errChanged = errors.New("the table has changed")

// restPeriod is how many groups of a table go another way after row events have
// failed; it doubles with each failure that follows, up to maxRest. Each failure
// is a line in the server's log.
const (
	restPeriod = 16
	maxRest    = 1024
)

// rest is for how many groups something is left alone.
type rest struct{ left, period int }

func (r *rest) begin() {
	r.period = min(max(2*r.period, restPeriod), maxRest)
	r.left = r.period
}

// over counts a group and reports whether the rest was over before it.
func (r *rest) over() bool {
	if r.left == 0 {
		return true
	}
	r.left--
	return false
}

// directness is what a route knows of its row events.
type directness struct {
	events *rowEvents // nil: statements only
	create string     // the table's definition that they are for
	all    rest       // from events
	update rest       // from updates
}

// offerEvents has the session take row events, if the user may.
func (s *session) offerEvents(ctx context.Context) error {
	if _, err := s.conn.ExecContext(ctx, formatStatement()); err != nil {
		if serverError(err) != nil {
			return nil // it has no right to, or does not know them
		}
		return err
	}
	// The format is what a log begins with, and leaves it to the log to say
	// which transaction comes.
	if _, err := s.conn.ExecContext(ctx, "SET SESSION gtid_next = 'AUTOMATIC'"); err != nil {
		return err
	}
	s.events = true
	return nil
}

// direct reports whether the changes of g go by row events.
func (s *Sink) direct(g *group) bool {
	d := &g.route.direct
	if !s.main.events || d.events == nil || s.batch.statements || s.set.mode != modeUpsert || len(g.table.Changes) < s.least || !d.all.over() {
		return false
	}
	for i := range g.table.Changes {
		if g.table.Changes[i].Partial {
			return false
		}
	}
	return true
}

// byEvents applies a keyed group by row events.
func (s *Sink) byEvents(ctx context.Context, g *group) error {
	if err := s.verify(ctx, g.route); err != nil {
		return err
	}
	d := &g.route.direct
	updates := g.route.guarded || d.update.over()
	s.sortEvents(g, updates)
	l := &s.lists
	if err := s.deleteKeys(ctx, g, l.gone); err != nil {
		return err
	}
	mode := modeIdempotent
	if g.route.guarded {
		mode = modeStrict
	}
	err := s.putEvents(ctx, g, mode, writeEvent, l.rows)
	if err == nil && !g.route.guarded {
		err = s.sendEvents(ctx, mode)
	}
	if err == nil {
		d.events.setAfter(g.table.Changes, l.single)
		err = s.putEvents(ctx, g, modeStrict, updateEvent, l.single)
	}
	if err == nil {
		err = s.sendEvents(ctx, modeStrict)
	}
	if err != nil {
		s.events.reset()
		return d.failed(g, err)
	}
	if d.all.period = 0; updates {
		d.update.period = 0
	}
	s.asEvents += len(l.rows) + len(l.single)
	return nil
}

// failed returns an error of row events as one that has the batch applied in
// another way, where there is one.
func (d *directness) failed(g *group, err error) error {
	switch {
	case isConflict(err), serverError(err) == nil && !errors.Is(err, errCell) && !errors.Is(err, errJSON):
		return err
	case isCode(err, errNoRow) && !g.route.guarded:
		d.update.begin()
		return errEvents{err, true}
	}
	d.all.begin()
	return errEvents{err, false}
}

// sortEvents divides the changes of a group into rows to delete, to write, and,
// if there are to be updates, to update.
func (s *Sink) sortEvents(g *group, updates bool) {
	l := &s.lists
	l.gone, l.rows, l.single = l.gone[:0], l.rows[:0], l.single[:0]
	for i := range g.table.Changes {
		c := &g.table.Changes[i]
		moved := c.Moved && g.route.guarded
		if c.Gone || moved {
			l.gone = append(l.gone, int32(i))
		}
		switch {
		case c.Gone:
		case c.First != nil && !moved && updates:
			l.single = append(l.single, int32(i))
		default:
			l.rows = append(l.rows, int32(i))
		}
	}
}

// putEvents appends events of one kind, and sends them where they fill up.
func (s *Sink) putEvents(ctx context.Context, g *group, mode string, kind byte, list []int32) error {
	room := s.room()
	for _, i := range list {
		row := g.table.Changes[i].Row
		if size := rowBytes(row); size >= room {
			if err := s.sendEvents(ctx, mode); err != nil {
				return err
			}
		}
		if err := s.events.row(g.route.direct.events, kind, row); err != nil {
			return err
		}
		if len(s.events.buf) >= room {
			if err := s.sendEvents(ctx, mode); err != nil {
				return err
			}
		}
	}
	return nil
}

func rowBytes(row schema.Row) (size int) {
	for i := range row {
		size += row[i].Size()
	}
	return size
}

// sendEvents sends the events there are. A BINLOG statement is the last of its
// packet, since the server does not tell that more results follow it.
func (s *Sink) sendEvents(ctx context.Context, mode string) error {
	if len(s.events.buf) == 0 {
		return nil
	}
	defer s.events.reset()
	if len(s.events.buf)/3*4+len(s.packet.buf)+packetSpare > s.main.maxPacket {
		return errCell
	}
	if s.main.execMode != mode {
		s.packet.add("SET SESSION rbr_exec_mode = " + mode)
	}
	s.packet.begin("")
	s.packet.buf = s.events.appendStatement(s.packet.buf)
	s.packet.end(-1, "")
	s.main.execMode = mode
	err := s.send(ctx)
	if err != nil {
		s.main.execMode = "" // which of the two statements has failed is not known
	}
	return err
}

// verify makes sure that the table is as the route's events take it, and that
// it stays so until the transaction ends: a SELECT keeps others from changing
// it.
func (s *Sink) verify(ctx context.Context, rt *route) error {
	if s.tx.verified[rt.target] == rt {
		return nil
	}
	if err := s.send(ctx); err != nil {
		return err
	}
	rows, err := s.main.conn.QueryContext(ctx, "SELECT 1 FROM "+rt.quoted+" LIMIT 0; "+showCreate(rt.name)+"; "+selectTriggers, rt.name.db, rt.name.table)
	if err != nil {
		return err
	}
	defer rows.Close()
	rows.NextResultSet()
	create, err := scanCreate(rows)
	if err != nil {
		return err
	}
	var triggers int
	if rows.NextResultSet() && rows.Next() {
		err = rows.Scan(&triggers)
	}
	if err = errors.Join(err, rows.Err()); err != nil {
		return err
	}
	if create != rt.direct.create || triggers > 0 {
		if s.batch.renewed {
			return errEvents{errChanged, false}
		}
		return errChanged
	}
	if s.tx.verified == nil {
		s.tx.verified = map[string]*route{}
	}
	s.tx.verified[rt.target] = rt
	return nil
}

const selectTriggers = "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ?"

func showCreate(n name) string { return "SHOW CREATE TABLE " + n.quoted() }

// scanCreate returns the statement that SHOW CREATE TABLE shows, without the
// next AUTO_INCREMENT.
func scanCreate(rows *sql.Rows) (string, error) {
	var table, create string
	if !rows.Next() {
		return "", errors.Join(errors.New("the server has not answered SHOW CREATE TABLE"), rows.Err())
	}
	if columns, err := rows.Columns(); err == nil && len(columns) != 2 {
		return "", connect.Permanent(errors.New("it is a view; rows are written to tables only"))
	}
	if err := rows.Scan(&table, &create); err != nil {
		return "", err
	}
	const auto = " AUTO_INCREMENT="
	options := strings.LastIndexByte(create, '\n') + 1
	if i := strings.Index(create[options:], auto); i >= 0 {
		rest := create[options+i+len(auto):]
		create = create[:options+i] + strings.TrimLeft(rest, "0123456789")
	}
	return create, nil
}

// readCreate returns the definition of a table, "" where triggers may act on
// it: there are some, or the user may not see them.
func readCreate(ctx context.Context, conn *sql.Conn, n name) (string, error) {
	var triggers, sees int
	if err := conn.QueryRowContext(ctx, selectTriggers, n.db, n.table).Scan(&triggers); err != nil || triggers > 0 {
		return "", err
	}
	if err := conn.QueryRowContext(ctx, selectSees, n.db, n.db, n.table).Scan(&sees); err != nil || sees == 0 {
		return "", err
	}
	rows, err := conn.QueryContext(ctx, showCreate(n))
	if err != nil {
		return "", fmt.Errorf("show table %s: %w", n, err)
	}
	defer rows.Close()
	create, err := scanCreate(rows)
	return create, errors.Join(err, rows.Err())
}

// selectSees finds the right to see a table's triggers. Rights that a role
// gives are not among these.
const selectSees = `SELECT
	(SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = g AND PRIVILEGE_TYPE = 'TRIGGER') +
	(SELECT COUNT(*) FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE = g AND PRIVILEGE_TYPE = 'TRIGGER' AND ? LIKE TABLE_SCHEMA) +
	(SELECT COUNT(*) FROM information_schema.TABLE_PRIVILEGES WHERE GRANTEE = g AND PRIVILEGE_TYPE = 'TRIGGER' AND TABLE_SCHEMA = ? AND TABLE_NAME = ?)
	FROM (SELECT CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1))) AS g) AS me`
