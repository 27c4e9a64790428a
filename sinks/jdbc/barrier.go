package jdbc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/towline/towline/connect"
)

// A truncation, or the begin of a table that was stopped, concerns rows of all
// partitions, which are read one before the other, by several tasks perhaps. It
// stands in each of them (connect.Barrier). Whoever gets to it first empties the
// table; of the other partitions all that stands before the barrier is left out,
// for it is of rows that are gone. So no partition waits for another one, and
// what is there in the end is what there would be had all come to it at once. A
// change of columns that rows of both shapes cannot be mixed for comes with such a
// truncation, and is made while the table is empty.
//
// Behind a DROP, or another shape, what was told of shapes before it counts for
// nothing, behind a TRUNCATE it does; so these are two kinds.
//
// The table of barriers has the last barrier of each table and kind (partition
// -1), and for each partition the last one that it has passed. That a barrier
// begins is committed before the table is emptied, with the number that every
// commit checks (see stop.go): from there on nothing from before it comes into
// the table. That the table is empty is committed after it, and only then what
// stands behind the barrier. Emptying a table commits by itself and may go on in
// the server when its client is gone; so it is done under a lock by name, which
// the server holds as long as that session lives, and whoever gets the lock next
// looks again at what is to be done. A kill between two steps has the table
// emptied once more, before anybody has written to it.
const createBarriers = `CREATE TABLE IF NOT EXISTS %s (
  connector varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  barrier char(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'made of kind, topic and source',
  ` + "`partition`" + ` int NOT NULL COMMENT 'that has passed it; -1: the barrier',
  kind char(1) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  topic varchar(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  source varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'the table at the source',
  id varchar(1000) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'later ones are greater',
  state varchar(10) CHARACTER SET ascii NOT NULL,
  partitions int NOT NULL DEFAULT 0,
  dropped tinyint NOT NULL DEFAULT 0,
  ` + "`offset`" + ` bigint NOT NULL DEFAULT -1 COMMENT 'of the barrier in the partition',
  PRIMARY KEY (connector, barrier, ` + "`partition`" + `)
) ENGINE=InnoDB`

// barriersSuffix follows the name of the table of offsets.
const barriersSuffix = "_barriers"

// Kinds of barriers. Those that have not emptied the table are there to be known
// by the partitions that come to them later.
const (
	barrierEmpty  = "t"    // TRUNCATE
	barrierAnew   = "d"    // DROP, or other columns: what shapes were told before it are of no use behind it
	barrierFailed = "f"    // of that kind, which has not emptied a table since it is stopped
	barrierReread = "r"    // a stopped table begins anew
	barrierSeen   = "s"    // of that kind, which has not, since nothing was stopped
	barrierLock   = "lock" // no kind, but what is locked while a table is emptied
)

// States of a barrier.
const (
	stateEmptying = "emptying" // it has begun: nothing from before it is written any more
	stateEmptied  = "emptied"
	stateOver     = "over" // all partitions have passed it
	statePassed   = "passed"
	stateSeen     = "seen"
)

// barrierKey names the barriers of a kind of one table.
type barrierKey struct{ kind, topic, source string }

// barrier is one that not all partitions have passed.
type barrier struct {
	key        barrierKey
	id         string
	seq        uint64 // of the record that it was made of
	time       int64
	partitions int32
	dropped    bool            // nothing from before it matters, shapes included
	passed     map[int32]int64 // where it stood in the partitions that have
}

// pass is a partition that has passed a barrier, which is not committed yet.
type pass struct {
	key       barrierKey
	id        string
	partition int32
	offset    int64
	last      bool // of all
}

// barriers are those that a lane knows of.
type barriers struct {
	table name
	there bool // the table of them is
	list  map[barrierKey]*barrier
	// of remembers which of them are of a record's table, until list changes.
	of     map[routeKey][3]*barrier
	passes []pass
	seen   map[barrierKey]connect.Barrier // likewise not committed
}

func barrierOf(r *connect.Record) *barrierKey {
	k := barrierKey{topic: r.Home(), source: r.Table.String()}
	switch {
	case r.Op == connect.OpTruncate && (r.Flags&connect.Dropped != 0 || r.HasSchemaChange()):
		k.kind = barrierAnew
	case r.Op == connect.OpTruncate:
		k.kind = barrierEmpty
	case r.Op == connect.OpSchema && r.Flags&connect.Reread != 0:
		k.kind = barrierReread
	default:
		return nil
	}
	return &k
}

// as is k of another kind.
func (k barrierKey) as(kind string) barrierKey {
	k.kind = kind
	return k
}

// takeBarrier takes in a record that is a barrier, and reports whether that was
// all there is to do for it. A shape is made way for in the first partition only.
func (s *Sink) takeBarrier(ctx context.Context, i int, r *connect.Record, key barrierKey, bar *connect.Barrier) (done bool, err error) {
	n, err := s.set.format.name(r.Topic, r.Table, s.set.database)
	if err != nil {
		return true, connect.Permanent(fmt.Errorf("jdbc: %w", err))
	}
	if r.Op == connect.OpTruncate && !s.empties(r) {
		return true, s.notEmptied(ctx, i, r)
	}
	if err := s.makeBarriers(ctx); err != nil {
		return true, fmt.Errorf("create table %s: %w", s.barriers.table, err)
	}
	if r.Op == connect.OpTruncate {
		return true, s.emptyAt(ctx, i, r, n, key, bar)
	}
	rest := r.Partition != 0
	st := s.stopOf(r)
	for _, kind := range []string{barrierAnew, barrierEmpty} {
		if b := s.barriers.list[key.as(kind)]; s.isBeyond(b, r) { // it was emptied since, and what the copy began with is over
			s.passBarrier(key, bar, r)
			s.barriers.seen[key.as(barrierSeen)] = *bar
			return rest || s.takeBehind(i, r, b), nil
		}
	}
	if open := s.barriers.list[key]; st == nil || st.anew || open != nil && open.id == bar.ID {
		s.passBarrier(key, bar, r)
		s.barriers.seen[key.as(barrierSeen)] = *bar
		if st != nil && !st.anew { // it was stopped again behind this
			s.batch.left++
			return true, nil
		}
		return rest, nil
	}
	began, err := s.rereadAt(ctx, i, r, st, key, bar)
	return rest || !began, err
}

// emptyAt has a table emptied, or dropped, unless that was done when another
// partition came here.
func (s *Sink) emptyAt(ctx context.Context, i int, r *connect.Record, n name, key barrierKey, bar *connect.Barrier) error {
	st := s.stopOf(r)
	if err := s.commitAhead(ctx, i); err != nil {
		return err
	}
	change, err := s.changeOf(r)
	if err != nil {
		return connect.Permanent(fmt.Errorf("jdbc: table %s: %w", r.Table, err))
	}
	gone := r.Flags&connect.Dropped != 0
	e := emptying{key: key, other: key.as(barrierFailed), bar: bar, at: r, name: n, dropped: gone || r.HasSchemaChange(), change: change, stmt: "TRUNCATE TABLE " + n.quoted()}
	if gone && s.set.drops == dropTable {
		e.stmt = "DROP TABLE IF EXISTS " + n.quoted()
	}
	if s.stops.there {
		e.then = "DELETE FROM " + s.stops.table.quoted() + s.whereStop(n)
	}
	err = s.emptyOnce(ctx, &e)
	if lerr := s.loadStops(ctx); lerr != nil {
		return errors.Join(err, lerr)
	}
	if err = s.about(r, err); err != nil {
		if st == nil || st.anew {
			return err
		}
		if _, err := s.cannotEmpty(err, st); err != nil {
			return err
		}
		s.barriers.seen[e.other] = *bar // it stays stopped, and nobody empties it for this
	}
	s.passBarrier(key, bar, r)
	if e.dropped {
		s.forget() // another table may come under its name, or the same with other columns
	}
	return nil
}

// notEmptied takes in a truncation that is not followed here. What was done to the
// columns then is done among rows of both shapes.
func (s *Sink) notEmptied(ctx context.Context, i int, r *connect.Record) error {
	if r.Partition != 0 || s.set.evolution == evolveNone {
		return nil
	}
	h, err := r.SchemaChange()
	if err != nil {
		return connect.Permanent(err)
	}
	if was, now, ok := h.Renamed(); ok {
		return connect.Permanent(fmt.Errorf("jdbc: table %s: column %s was renamed to %s at the source, and rows of before may still come in other partitions: "+
			"have the table emptied then (truncate.enabled=true), or give its rows a topic with one partition", r.Table, quoted(was), quoted(now)))
	}
	return s.followed(ctx, i, r)
}

// rereadAt has a stopped table begin anew, unless another partition has passed
// this place when it was not stopped yet. It reports whether the table takes
// records again.
func (s *Sink) rereadAt(ctx context.Context, i int, r *connect.Record, st *stop, key barrierKey, bar *connect.Barrier) (anew bool, err error) {
	if other := s.sharer(s.targetKey(st.name), st, r); other != "" {
		s.staysStopped(st, r, other)
		s.barriers.seen[key.as(barrierSeen)] = *bar
		return false, nil
	}
	if err := s.commitAhead(ctx, i); err != nil {
		return false, err
	}
	e := emptying{key: key, other: key.as(barrierSeen), bar: bar, at: r, then: "UPDATE " + s.stops.table.quoted() + " SET state = " + literal(string(connect.TableCopying)) +
		", since = CURRENT_TIMESTAMP(6)" + s.whereStop(st.name)}
	if s.set.mode == modeUpsert && s.set.deletes {
		e.stmt = "TRUNCATE TABLE " + st.name.quoted()
	}
	err = s.emptyOnce(ctx, &e)
	if lerr := s.loadStops(ctx); lerr != nil {
		return false, errors.Join(err, lerr)
	}
	if err != nil {
		if _, err := s.cannotEmpty(s.about(r, err), st); err != nil {
			return false, err
		}
		s.barriers.seen[e.other] = *bar
		s.passBarrier(key, bar, r)
		return false, nil
	}
	s.passBarrier(key, bar, r)
	if st = s.stopOf(r); st != nil && !st.anew {
		s.batch.left++
		return false, nil
	}
	return true, nil
}

// passBarrier notes that the partition of r has passed a barrier.
func (s *Sink) passBarrier(key barrierKey, bar *connect.Barrier, r *connect.Record) {
	b := s.barriers.list[key]
	if b == nil || b.id > bar.ID || r.Partition >= b.partitions {
		return
	}
	if _, ok := b.passed[r.Partition]; ok {
		return
	}
	b.passed[r.Partition] = r.Offset
	s.barriers.passes = append(s.barriers.passes, pass{key: key, id: b.id, partition: r.Partition, offset: r.Offset, last: len(b.passed) >= int(b.partitions)})
}

// behind returns the barrier that a record stands before while the table is
// beyond it; nil: none. It may come after its partition has passed that: records
// that failed beside others come again.
func (s *Sink) behind(r *connect.Record) *barrier {
	key := routeKey{r.Table, r.Home()}
	list, ok := s.barriers.of[key]
	if !ok {
		k := barrierKey{barrierEmpty, r.Home(), r.Table.String()}
		list = [3]*barrier{s.barriers.list[k.as(barrierAnew)], s.barriers.list[k], s.barriers.list[k.as(barrierReread)]}
		if len(s.barriers.of) >= maxRoutes {
			clear(s.barriers.of)
		}
		s.barriers.of[key] = list
	}
	for _, b := range list {
		if s.isBeyond(b, r) {
			return b
		}
	}
	return nil
}

// isBeyond reports whether a table is beyond a barrier, if there is one, that r
// stands before.
func (s *Sink) isBeyond(b *barrier, r *connect.Record) bool {
	if b == nil {
		return false
	}
	at, passed := b.passed[r.Partition]
	switch {
	case passed && r.Offset >= at:
		return false
	case b.isBefore(r):
		if !passed {
			s.passBarrier(b.key, &connect.Barrier{ID: b.id}, r)
		}
		return false
	}
	return true
}

// isBefore reports whether a record that comes from a partition which has not
// passed the barrier is for certain of after it: where reading begins behind the
// barrier, there the log may have lost it already, and partitions that the topic
// has had since never had it.
func (b *barrier) isBefore(r *connect.Record) bool {
	if r.Partition >= b.partitions {
		return r.Seq > b.seq || r.Seq == b.seq && r.Op == connect.OpRead
	}
	return r.Seq > b.seq && r.Time >= b.time
}

// takeBehind takes in a record that stands before a barrier which its table is
// beyond. Only what it says of the table's shape is of use.
func (s *Sink) takeBehind(i int, r *connect.Record, b *barrier) (done bool) {
	switch {
	case r.Flags&connect.Again != 0: // whoever sent it is to know
		s.fail(i, errors.New("jdbc: the table was emptied since (by a TRUNCATE, a DROP or a new copy)"))
	case r.Op == connect.OpSchema:
		st := s.stopOf(r)
		return b.dropped || st != nil && !st.anew
	default:
		s.batch.behind++
	}
	return true
}

// lockByName takes a lock that is the session's, and returns what gives it back:
// a session that might still have it is not used again.
func lockByName(ctx context.Context, conn *sql.Conn, name string) (unlock func(), err error) {
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, 60)", name).Scan(&got); err != nil {
		return nil, fmt.Errorf("take the lock %s: %w", name, err)
	}
	if got.Int64 != 1 {
		return nil, fmt.Errorf("the lock %s, under which a table is emptied or changed, was not to be had for a minute", name)
	}
	return func() { _ = conn.Raw(func(any) error { return errBadConn }) }, nil
}
