package jdbc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/sinks/apply"
)

// transaction is the target's transaction.
type transaction struct {
	open bool // BEGIN was sent or is in the packet
	// inherited: it was open when the Write began; a savepoint marks where.
	inherited bool
	touched   map[string]bool // tables with changes in it
	// verified are the tables, by their targets, that are known not to change
	// before it ends.
	verified map[string]*route
}

// packet is statements that wait to be sent together.
type packet struct {
	buf []byte
	// want is the number of rows that each statement must match, -1: any.
	want []want
}

type want struct {
	rows  int64
	table string
}

// errMissing says that a row which has to be there is not.
var errMissing = errData{errors.New("no row")}

func (p *packet) reset() { p.buf, p.want = p.buf[:0], p.want[:0] }

// begin starts a statement.
func (p *packet) begin(text string) {
	if len(p.buf) > 0 {
		p.buf = append(p.buf, ';')
	}
	p.buf = append(p.buf, text...)
}

// end ends one.
func (p *packet) end(rows int64, table string) { p.want = append(p.want, want{rows, table}) }

func (p *packet) add(text string) { p.begin(text); p.end(-1, "") }

// packetBytes is the size at which a packet is sent: enough that a round trip
// costs little, and little enough that the server's memory for it stays warm.
const packetBytes = 1 << 20

// room is how long a statement may grow before it is ended.
func (s *Sink) room() int { return min(packetBytes, s.main.maxPacket/4) }

// send sends the packet.
func (s *Sink) send(ctx context.Context) error {
	if len(s.packet.buf) == 0 {
		return nil
	}
	defer s.packet.reset()
	if n := len(s.packet.buf); n >= s.main.maxPacket {
		// The server would cut the connection.
		return errData{fmt.Errorf("a row takes a statement of %d bytes and the server takes %d: raise its max_allowed_packet", n, s.main.maxPacket)}
	}
	matched, err := s.main.exec(ctx, s.packet.buf)
	if err != nil {
		return err
	}
	if len(matched) != len(s.packet.want) {
		return fmt.Errorf("the server has answered %d of %d statements", len(matched), len(s.packet.want))
	}
	for i, w := range s.packet.want {
		if w.rows >= 0 && matched[i] != w.rows {
			return errData{fmt.Errorf("table %s has no row that is as the source says it was (%w)", w.table, errMissing)}
		}
	}
	return nil
}

// checks reports whether a statement of the packet is to be checked.
func (s *Sink) checks() bool {
	return slices.ContainsFunc(s.packet.want, func(w want) bool { return w.rows >= 0 })
}

// begin opens the transaction, or marks the place in it to come back to. The
// mark is sent at once: were it not there when something fails, the one of an
// earlier Write would be taken for it.
func (s *Sink) begin(ctx context.Context) error {
	if s.tx.open {
		if s.tx.inherited {
			s.packet.add("SAVEPOINT w")
			return s.send(ctx)
		}
		return nil
	}
	s.packet.add("BEGIN")
	s.tx = transaction{open: true, touched: map[string]bool{}}
	return nil
}

// rollback brings the transaction back to where the Write began.
func (s *Sink) rollback(ctx context.Context) error {
	s.packet.reset()
	s.tx.verified = nil // what was locked since the mark is so no more
	if s.tx.inherited {
		s.packet.add("ROLLBACK TO w")
		return s.send(ctx)
	}
	s.packet.add("ROLLBACK")
	s.tx = transaction{}
	return s.send(ctx)
}

// pass applies the records of the batch that are not committed yet, and ends
// the transaction if the batch has a State.
func (s *Sink) pass(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	for i := s.batch.done; i < len(s.batch.b.Records); i++ {
		if s.skips(i) {
			continue
		}
		if err := s.take(ctx, i, &s.batch.b.Records[i]); err != nil {
			return err
		}
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	if err := s.refused(ctx); err != nil {
		return err
	}
	return s.finish(ctx)
}

// take takes in one record.
func (s *Sink) take(ctx context.Context, i int, r *connect.Record) error {
	if done, err := s.takeApart(ctx, i, r); done || err != nil {
		return s.about(r, err)
	}
	return s.about(r, s.takeIn(ctx, i, r))
}

// takeApart takes in a record of a table of which not all is to be written, and
// reports whether that was all there is to do for it.
func (s *Sink) takeApart(ctx context.Context, i int, r *connect.Record) (done bool, err error) {
	if r.Table == nil || r.Op == connect.OpMessage {
		return false, nil
	}
	if !r.Op.HasRow() {
		bar, err := r.Barrier()
		if err != nil {
			return true, connect.Permanent(err)
		}
		if key := barrierOf(r); bar != nil && key != nil {
			return s.takeBarrier(ctx, i, r, *key, bar)
		}
	}
	if len(s.barriers.list) > 0 {
		if b := s.behind(r); b != nil {
			return s.takeBehind(i, r, b), nil
		}
	}
	if len(s.stops.list) > 0 {
		if st := s.stopOf(r); st != nil {
			return s.takeStopped(ctx, i, r, st)
		}
	}
	return false, nil
}

func (s *Sink) takeIn(ctx context.Context, i int, r *connect.Record) error {
	switch {
	case r.Op == connect.OpTruncate:
		return s.truncate(ctx, i, r)
	case r.Op == connect.OpSchema:
		return s.reshape(ctx, i, r)
	case r.Op == connect.OpMessage: // not of a row
		return nil
	case !r.Op.HasRow():
		return connect.Permanent(fmt.Errorf("jdbc: record %d of topic %s has the unknown operation %q", r.Offset, r.Topic, r.Op))
	case !s.applies(r):
		return nil
	}
	rt, err := s.routeFor(ctx, i, r)
	if err != nil {
		return err
	}
	g := rt.group
	if g == nil {
		if g, err = s.join(ctx, rt); err != nil {
			return err
		}
	}
	if err := g.add(i, r, s.set.mode); err != nil {
		s.fail(i, fmt.Errorf("table %s: %w", rt.name, err))
	}
	return nil
}

// applies reports whether the configuration has a use for r. The half of an
// update that moves a key is no delete to the user.
func (s *Sink) applies(r *connect.Record) bool {
	if apply.Upserted(r) {
		return true
	}
	return s.set.keyMode != keyNone && (s.set.deletes || r.Flags&connect.KeyMoved != 0)
}

// join gives a route a group: one that another route to the same table has, if
// both write alike, else one of its own, after what there is.
func (s *Sink) join(ctx context.Context, rt *route) (*group, error) {
	key := rt.target
	g := s.targets[key]
	if g != nil && !g.route.sameWrites(rt) {
		if err := s.flush(ctx); err != nil {
			return nil, err
		}
		g = nil
	}
	if g == nil {
		if rt.own == nil {
			rt.own = newGroup(rt)
		}
		g = rt.own
		s.targets[key] = g
		s.groups = append(s.groups, g)
		s.tx.touched[key] = true
	}
	if g.route == rt {
		rt.group = g
	}
	return g, nil
}

// flush applies what the groups have.
func (s *Sink) flush(ctx context.Context) error {
	for _, g := range s.groups {
		if err := s.applyGroup(ctx, g); err != nil {
			return err
		}
	}
	s.dropGroups()
	return nil
}

func (s *Sink) dropGroups() {
	for _, g := range s.groups {
		g.reset()
		g.route.group = nil
	}
	clear(s.groups)
	s.groups = s.groups[:0]
	clear(s.targets)
}

// Idle implements connect.Idler: between Writes all is sent, and what it was
// gathered in goes.
func (s *Sink) Idle() {
	if len(s.groups) > 0 || len(s.packet.buf) > 0 || len(s.events.buf) > 0 {
		return
	}
	s.packet, s.events.buf, s.lists = packet{}, nil, lists{}
	for _, rt := range s.byID {
		rt.own = nil
	}
}

func (s *Sink) applyGroup(ctx context.Context, g *group) error {
	switch {
	case s.batch.careful:
		return s.aboutGroup(g, s.applyCarefully(ctx, g))
	case g.table == nil:
		return s.inOrder(ctx, g, all(len(g.list), &s.lists.order))
	case s.direct(g):
		return s.byEvents(ctx, g)
	}
	return s.byKey(ctx, g)
}

// truncate empties a table, or drops it.
//
// TRUNCATE TABLE commits, so it stands between two transactions: what came
// before it is committed and noted as passed, then the table is emptied. A
// stop in between has the record come again, and empty a table that nothing
// was written to since: this lane writes only after it, and the worker lets
// no other lane go on before this Write returns, by when the record is noted
// as passed, too.
func (s *Sink) truncate(ctx context.Context, i int, r *connect.Record) error {
	if !s.empties(r) {
		return s.followed(ctx, i, r)
	}
	do, deed := s.catalogue.truncate, "truncate"
	if r.Flags&connect.Dropped != 0 && s.set.drops == dropTable {
		do, deed = s.catalogue.drop, "drop"
	}
	n, err := s.set.format.name(r.Topic, r.Table, s.set.database)
	if err != nil {
		return connect.Permanent(fmt.Errorf("jdbc: %w", err))
	}
	if err := s.commitAhead(ctx, i); err != nil {
		return err
	}
	if err := do(ctx, n); err != nil {
		return fmt.Errorf("%s table %s: %w", deed, n, err)
	}
	if r.Flags&connect.Dropped != 0 {
		s.forget() // another table may come under its name
	}
	return s.followed(ctx, i, r)
}

// empties reports whether a truncation, or the end of a table, is followed.
func (s *Sink) empties(r *connect.Record) bool {
	if r.Flags&connect.Dropped != 0 {
		return s.set.drops != dropIgnore
	}
	return s.set.truncates
}

// errAhead is about what came before the record at hand, which is not the cause.
type errAhead struct{ error }

func (e errAhead) Unwrap() error { return e.error }

// commitAhead ends the transaction before record end, between two States, and
// begins another one.
func (s *Sink) commitAhead(ctx context.Context, end int) error {
	if err := s.endBefore(ctx, end); err != nil {
		return errAhead{err}
	}
	s.batch.done = end
	s.tx.inherited = false
	return s.begin(ctx)
}

// endBefore commits what came before record end.
func (s *Sink) endBefore(ctx context.Context, end int) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	if err := s.refused(ctx); err != nil {
		return err
	}
	commit := func() error { return s.commit(ctx, end, false) }
	if len(s.batch.failed) > 0 {
		commit = func() error { return s.commitRows(ctx, end) }
	}
	return commit()
}

// finish ends the Write.
func (s *Sink) finish(ctx context.Context) error {
	n := len(s.batch.b.Records)
	switch {
	case len(s.batch.failed) > 0 && s.ledger.lanes == 1 && (s.tx.inherited || len(s.batch.b.State) == 0):
		s.notePassed(n) // durable with the State to come
		return s.send(ctx)
	case len(s.batch.failed) > 0:
		return s.commitRows(ctx, n)
	case len(s.batch.b.State) > 0:
		return s.commit(ctx, n, true)
	case s.ledger.lanes == 1:
		s.notePassed(n)
		return s.send(ctx)
	}
	// With more lanes, what is open here would hold the others up: a batch
	// without State comes before something that concerns whole tables.
	return s.commit(ctx, n, false)
}

// commit commits the records before end, with the batch's State or else with
// how far they are ahead of it.
func (s *Sink) commit(ctx context.Context, end int, state bool) (err error) {
	var passed map[place]ahead
	entries := s.batch.b.State
	if !state {
		s.notePassed(end)
		entries, passed = nil, s.passed
	}
	s.appendStops()
	s.packet.begin("")
	if s.packet.buf, err = s.ledger.appendSave(s.packet.buf, entries, passed); err != nil {
		return connect.Permanent(err)
	}
	s.packet.end(-1, "")
	if err := s.commitPacket(ctx); err != nil {
		return err
	}
	if state {
		s.forgetPassed(entries)
	}
	return nil
}

// forgetPassed drops the counts of partitions that a State has overtaken.
func (s *Sink) forgetPassed(entries []offsets.Entry) {
	for i := 0; i < len(entries) && len(s.passed) > 0; i++ {
		if topic, partition, err := offsets.ParseMarkKey(entries[i].Key); err == nil {
			delete(s.passed, place{topic, partition})
		}
	}
}

// commitRows commits without any State: records have failed and are to come
// again, should the task be stopped before they are dealt with.
func (s *Sink) commitRows(ctx context.Context, end int) (err error) {
	s.notePassed(end)
	s.appendStops()
	s.packet.begin("")
	if s.packet.buf, err = s.ledger.appendSave(s.packet.buf, nil, nil); err != nil {
		return err
	}
	s.packet.end(-1, "")
	return s.commitPacket(ctx)
}

func (s *Sink) commitPacket(ctx context.Context) error {
	if s.checks() {
		if err := s.send(ctx); err != nil {
			return err
		}
	}
	s.packet.add("COMMIT")
	if err := s.send(ctx); err != nil {
		return err
	}
	s.tx = transaction{}
	s.ledger.saved()
	s.keptStops()
	return nil
}

// fail notes a record that failed.
func (s *Sink) fail(i int, err error) {
	s.batch.failed = append(s.batch.failed, connect.RecordError{Index: i, Err: err})
}

// sortFailed orders failures by record, the first of each.
func sortFailed(failed []connect.RecordError) []connect.RecordError {
	slices.SortStableFunc(failed, func(a, b connect.RecordError) int { return a.Index - b.Index })
	return slices.CompactFunc(failed, func(a, b connect.RecordError) bool { return a.Index == b.Index })
}
