package jdbc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
)

// A table that cannot take what it is to take is stopped, and holds up no
// other: its records are left out, those of the batch in which one has failed
// and all later ones. That stands in a table of the target, written in the transaction that leaves out the first
// one, so it holds after any stop. The table begins anew where the source says
// that no row of it matters any more (TRUNCATE, DROP), or that all are read
// anew (connect.Reread): it is emptied there, and what comes is written.
//
// The table of stopped tables is made when the first one is stopped. Each
// change of it raises a number in the claims of all lanes, which every commit
// checks: a lane that has not seen the change has its transaction refused, looks
// again, and writes the batch anew.
const createStops = `CREATE TABLE IF NOT EXISTS %s (
  connector varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  target_schema varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  target_table varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  source varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'the table at the source',
  state varchar(10) CHARACTER SET ascii NOT NULL COMMENT 'stopped, or copying: it has begun anew',
  reason text CHARACTER SET utf8mb4 NOT NULL,
  since timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (connector, target_schema, target_table)
) ENGINE=InnoDB`

// stopsSuffix follows the name of the table of offsets.
const stopsSuffix = "_stopped"

// stop is one table that is stopped, or that begins anew.
type stop struct {
	name   name
	source string
	reason string
	anew   bool // it takes records again, while its copy is under way
}

// stops are the stopped tables that a lane knows of.
type stops struct {
	table name
	there bool // the table of them is
	list  map[string]*stop
	// news are changes that are not committed yet: by target, nil is one that
	// is not stopped any more.
	news map[string]*stop
	gone map[string]*stop // what nil in news was
	// of remembers which records have a stopped table, until list changes.
	of map[routeKey]*stop
	// left counts records that were left out in earlier Writes of the
	// transaction.
	left int
	// behind counts likewise those of tables that were emptied since.
	behind int
}

// errTable is an error that one table alone is the cause of.
type errTable struct {
	name   name
	topic  string
	source string
	err    error
}

func (e errTable) Error() string { return e.err.Error() }
func (e errTable) Unwrap() error { return e.err }

// about says that an error is about the table of r, where it is.
func (s *Sink) about(r *connect.Record, err error) error {
	var already errTable
	var before errAhead
	if err == nil || r.Table == nil || errors.As(err, &already) || errors.As(err, &before) || errors.Is(err, connect.ErrFenced) {
		return err
	}
	if serverError(err) == nil && !connect.IsPermanent(err) && !isData(err) || isConflict(err) || isTrouble(err) {
		return err
	}
	n, nerr := s.set.format.name(r.Topic, r.Table, s.set.database)
	if nerr != nil {
		return err
	}
	return errTable{name: n, topic: r.Home(), source: r.Table.String(), err: err}
}

// aboutGroup says that an error is about the table of g.
func (s *Sink) aboutGroup(g *group, err error) error {
	list := g.changes()
	if err == nil || len(list) == 0 {
		return err
	}
	return s.about(&s.batch.b.Records[list[0].Last], err)
}

// refused returns an error about the first table whose records have failed,
// where those are not to be told one by one.
func (s *Sink) refused(ctx context.Context) error {
	if len(s.batch.failed) == 0 || s.env.Tolerant || s.env.MayStop == nil {
		return nil
	}
	f := s.batch.failed[0]
	r := &s.batch.b.Records[f.Index]
	if why, err := s.env.MayStop(ctx, r.Home()); err != nil || why != "" {
		return nil
	}
	return s.about(r, errData{f.Err})
}

// halt stops a table, from where the batch is tried again on. It returns why
// that must not be.
func (s *Sink) halt(ctx context.Context, e errTable) error {
	if s.env.MayStop == nil {
		return e
	}
	why, err := s.env.MayStop(ctx, e.topic)
	switch {
	case err != nil:
		return errors.Join(e, err)
	case why != "":
		return fmt.Errorf("%w (the table cannot be stopped alone: %s)", e.err, why)
	}
	if err := s.makeStops(ctx); err != nil {
		return fmt.Errorf("%w (the table cannot be stopped alone: %w)", e.err, err)
	}
	s.setStop(s.targetKey(e.name), &stop{name: e.name, source: e.source, reason: e.err.Error()})
	return nil
}

// setStop changes what is known of a table, and has the next commit keep it.
func (s *Sink) setStop(key string, st *stop) {
	t := &s.stops
	if st != nil {
		t.list[key] = st
		delete(t.gone, key)
	} else {
		t.gone[key] = t.list[key]
		delete(t.list, key)
	}
	t.news[key] = st
	clear(t.of)
	s.forget()
}

// makeStops makes the table of stopped tables.
func (s *Sink) makeStops(ctx context.Context) error {
	if s.stops.there {
		return nil
	}
	err := s.catalogue.session(ctx, func(conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, fmt.Sprintf(createStops, s.stops.table.quoted()))
		return err
	})
	if err != nil {
		return fmt.Errorf("create table %s: %w", s.stops.table, err)
	}
	s.stops.there = true
	return nil
}

// loadStops reads the stopped tables, and reports what has changed. The version
// is read first: what changes in between is met at the next commit.
func (s *Sink) loadStops(ctx context.Context) (err error) {
	before := s.stops.list
	s.stops = stops{table: name{s.set.offsets.db, s.set.offsets.table + stopsSuffix}, list: map[string]*stop{}, news: map[string]*stop{},
		gone: map[string]*stop{}, of: map[routeKey]*stop{}}
	if s.ledger.stops, err = s.ledger.readStops(ctx, s.main.conn); err != nil {
		return err
	}
	if err := s.loadBarriers(ctx); err != nil {
		return err
	}
	rows, err := s.main.conn.QueryContext(ctx, "SELECT target_schema, target_table, source, state, reason FROM "+s.stops.table.quoted()+
		" WHERE connector = "+literal(s.ledger.connector))
	if isCode(err, errNoTable) {
		return nil
	}
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var st stop
		var state string
		if err := rows.Scan(&st.name.db, &st.name.table, &st.source, &state, &st.reason); err != nil {
			return err
		}
		st.anew = state == string(connect.TableCopying)
		s.stops.list[s.targetKey(st.name)] = &st
		s.report(&st, st.state())
	}
	s.stops.there = true
	for key, st := range before {
		if s.stops.list[key] == nil {
			s.report(st, connect.TableFollowing)
		}
	}
	s.forget()
	return rows.Err()
}

// dropStops forgets what was stopped, where nothing of the connector is in the
// target: all of it comes anew.
func (s *Sink) dropStops(ctx context.Context) error {
	var gone int64
	for _, t := range []struct {
		name
		there bool
	}{{s.stops.table, s.stops.there}, {s.barriers.table, s.barriers.there}} {
		if !t.there {
			continue
		}
		res, err := s.main.conn.ExecContext(ctx, "DELETE FROM "+t.quoted()+" WHERE connector = "+literal(s.ledger.connector)+
			" AND NOT EXISTS (SELECT 1 FROM "+s.ledger.table+" WHERE connector = "+literal(s.ledger.connector)+" AND `partition` >= 0)")
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		gone += n
	}
	if gone == 0 {
		return nil
	}
	return s.loadStops(ctx)
}

func (st *stop) state() connect.TableState {
	if st.anew {
		return connect.TableCopying
	}
	return connect.TableStopped
}

func (s *Sink) report(st *stop, state connect.TableState) {
	if s.env.Report == nil {
		return
	}
	status := connect.TableStatus{Table: st.source, State: state}
	if state == connect.TableStopped {
		status.Reason = fmt.Sprintf("%s; nothing is written to table %s of the target any more: mend that, and have it read anew: towline snapshot start '%s'",
			st.reason, st.name, strings.ReplaceAll(st.source, ".", `\.`))
	}
	s.env.Report(status)
}

// stopOf returns what is known of the table of a record, nil: nothing.
func (s *Sink) stopOf(r *connect.Record) *stop {
	key := routeKey{r.Table, r.Topic}
	st, ok := s.stops.of[key]
	if ok {
		return st
	}
	if n, err := s.set.format.name(r.Topic, r.Table, s.set.database); err == nil {
		if st = s.stops.list[s.targetKey(n)]; st != nil {
			s.wrote(s.targetKey(n), r.Table.String())
		}
	}
	if len(s.stops.of) >= maxRoutes {
		clear(s.stops.of)
	}
	s.stops.of[key] = st
	return st
}

// takeStopped takes in a record of a table that is stopped, or begins anew, and
// reports whether that was all there is to do for it.
func (s *Sink) takeStopped(ctx context.Context, i int, r *connect.Record, st *stop) (done bool, err error) {
	key := s.targetKey(st.name)
	begun, again := s.batch.begun[key]
	switch {
	case again && i <= begun: // it was stopped again behind that
	case r.Op == connect.OpTruncate && s.empties(r):
		if err := s.about(r, s.truncate(ctx, i, r)); err != nil {
			return s.cannotEmpty(err, st)
		}
		s.beginsAt(key, i, nil)
		return true, nil
	case r.Op != connect.OpSchema:
	case r.Flags&connect.Reread != 0 && !st.anew && !r.Scattered(): // which is a barrier, or not told in order
		return s.beginAnew(ctx, i, r, st)
	case r.Flags&connect.GivenUp != 0 && st.anew:
		s.setStop(key, &stop{name: st.name, source: st.source, reason: "the copy that it had begun anew with was given up"})
		return true, nil
	case r.Flags&(connect.Reread|connect.Unsettled|connect.GivenUp) == 0 && st.anew:
		s.setStop(key, nil)
		return false, nil
	}
	if st.anew {
		return false, nil
	}
	if r.Flags&connect.Again != 0 { // whoever sent it is to know
		s.fail(i, fmt.Errorf("jdbc: the table is stopped in the target (%s); have it read anew by a signal (towline snapshot start)", st.reason))
		return true, nil
	}
	s.batch.left++
	return true, nil
}

// cannotEmpty leaves a table stopped that was to begin anew, if err is what it
// could not be emptied for.
func (s *Sink) cannotEmpty(err error, st *stop) (done bool, _ error) {
	var table errTable
	if !errors.As(err, &table) || table.name != st.name {
		return false, err
	}
	s.setStop(s.targetKey(st.name), &stop{name: st.name, source: st.source, reason: err.Error()})
	s.batch.left++
	return true, nil
}

// beginAnew empties a table that was stopped, of which all rows are to come. A
// target that keeps what the source deletes, or each change, keeps it here too.
func (s *Sink) beginAnew(ctx context.Context, i int, r *connect.Record, st *stop) (done bool, err error) {
	key := s.targetKey(st.name)
	if other := s.sharer(key, st, r); other != "" {
		s.staysStopped(st, r, other)
		return true, nil
	}
	if err := s.commitAhead(ctx, i); err != nil {
		return false, err
	}
	if s.set.mode == modeUpsert && s.set.deletes {
		if err := s.catalogue.truncate(ctx, st.name); err != nil {
			return s.cannotEmpty(s.about(r, fmt.Errorf("truncate table %s: %w", st.name, err)), st)
		}
	}
	s.beginsAt(key, i, &stop{name: st.name, source: r.Table.String(), reason: st.reason, anew: true})
	return false, nil
}

// staysStopped leaves a table stopped that another one of the source is written to.
func (s *Sink) staysStopped(st *stop, r *connect.Record, other string) {
	next := *st
	next.reason = fmt.Sprintf("table %s is written from %s and from %s, so it cannot begin anew for one of them: stop the connector, empty the table, "+
		"delete its row from %s, start the connector, and have all of them read anew (before that it was stopped because: %s)",
		st.name, r.Table, other, s.stops.table, st.reason)
	if !strings.Contains(st.reason, "cannot begin anew for one of them") {
		s.setStop(s.targetKey(st.name), &next)
	}
	s.batch.left++
}

// beginsAt notes that a table begins anew with record i.
func (s *Sink) beginsAt(key string, i int, st *stop) {
	if s.batch.begun == nil {
		s.batch.begun = map[string]int{}
	}
	s.batch.begun[key] = i
	s.setStop(key, st)
}

// wrote notes that rows of a table of the source go to a target.
func (s *Sink) wrote(target, source string) {
	if list := s.feeders[target]; !slices.Contains(list, source) {
		s.feeders[target] = append(list, source)
	}
}

// sharer returns another table of the source whose rows go to the same table,
// "" if none is known.
func (s *Sink) sharer(key string, st *stop, r *connect.Record) string {
	source := r.Table.String()
	if st.source != source {
		return st.source
	}
	for _, other := range s.feeders[key] {
		if other != source {
			return other
		}
	}
	return ""
}

// appendStops appends the statements that keep what is new of stopped tables.
func (s *Sink) appendStops() {
	s.ledger.raised = 0
	s.appendBarriers()
	if len(s.stops.news)+len(s.barriers.passes) == 0 {
		return
	}
	p := &s.packet
	for key, st := range s.stops.news {
		if st == nil {
			n := s.stops.gone[key].name
			p.add("DELETE FROM " + s.stops.table.quoted() + s.whereStop(n))
			continue
		}
		p.add("INSERT INTO " + s.stops.table.quoted() + " (connector, target_schema, target_table, source, state, reason) VALUES (" +
			strings.Join([]string{literal(s.ledger.connector), literal(st.name.db), literal(st.name.table), literal(st.source),
				literal(string(st.state())), literal(cut(st.reason))}, ", ") +
			") AS n ON DUPLICATE KEY UPDATE source = n.source, state = n.state, reason = n.reason, since = CURRENT_TIMESTAMP(6)")
	}
	p.add(s.raiseClaims())
	s.ledger.raised = 1
}

// cut keeps a reason within its column.
func cut(reason string) string {
	const most = 16000 // characters, which may have four bytes each
	if len(reason) > most {
		return strings.ToValidUTF8(reason[:most], "") + " ..."
	}
	return strings.ToValidUTF8(reason, "?")
}

// keptStops is called when a commit has kept all that was new.
func (s *Sink) keptStops() {
	if n := s.stops.left + s.batch.left; n > 0 && s.env.Drop != nil {
		s.env.Drop("table is stopped", n) // invariant 5
	}
	if n := s.stops.behind + s.batch.behind; n > 0 && s.env.Drop != nil {
		s.env.Drop("table was emptied since", n) // invariant 5
	}
	s.stops.left, s.batch.left, s.stops.behind, s.batch.behind = 0, 0, 0, 0
	s.ledger.stops, s.ledger.raised = s.ledger.stops+s.ledger.raised, 0
	s.keptBarriers()
	for key, st := range s.stops.news {
		if st != nil {
			s.report(st, st.state())
		} else {
			s.report(s.stops.gone[key], connect.TableFollowing)
		}
	}
	clear(s.stops.news)
	clear(s.stops.gone)
}
