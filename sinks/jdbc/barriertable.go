package jdbc

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// errBadConn has package sql close a connection.
var errBadConn = driver.ErrBadConn

// barrierHash is what a key has as its name in the table of barriers.
func (s *Sink) barrierHash(k barrierKey) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", s.ledger.connector, k.kind, k.topic, k.source))
	return hex.EncodeToString(sum[:24])
}

// makeBarriers makes the table of barriers.
func (s *Sink) makeBarriers(ctx context.Context) error {
	if s.barriers.there {
		return nil
	}
	err := s.catalogue.session(ctx, func(conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, fmt.Sprintf(createBarriers, s.barriers.table.quoted()))
		return err
	})
	s.barriers.there = err == nil
	return err
}

// guard returns what has a shape changed for a record only while no barrier has
// begun that this lane has not seen: the record may be from before one that has had
// the table dropped, and would have it made again as it was.
func (s *Sink) guard(r *connect.Record) guard {
	return func(ctx context.Context, conn *sql.Conn) (unlock func(), err error) {
		if s.writers() == 1 {
			return func() {}, nil
		}
		lock := barrierKey{kind: barrierLock, topic: r.Home(), source: r.Table.String()}
		if unlock, err = lockByName(ctx, conn, s.barrierHash(lock)); err != nil {
			return nil, err
		}
		version, err := s.ledger.readStops(ctx, conn)
		if err == nil && version != s.ledger.stops {
			err = errChanged
		}
		if err != nil {
			unlock()
			return nil, err
		}
		return unlock, nil
	}
}

// loadBarriers reads the barriers that not all partitions have passed, and those
// that records may come from before which failed beside others.
func (s *Sink) loadBarriers(ctx context.Context) error {
	s.barriers = barriers{table: name{s.set.offsets.db, s.set.offsets.table + barriersSuffix}, list: map[barrierKey]*barrier{},
		of: map[routeKey][3]*barrier{}, seen: map[barrierKey]connect.Barrier{}}
	t := s.barriers.table.quoted()
	const marks = " m WHERE m.connector = p.connector AND m.task = 0 AND m.topic = p.topic AND m.`partition` = p.`partition` AND m.`offset` > p.`offset`"
	rows, err := s.main.conn.QueryContext(ctx, "SELECT h.kind, h.topic, h.source, h.id, h.partitions, h.dropped, COALESCE(p.`partition`, -1), COALESCE(p.`offset`, -1) FROM "+t+" AS h LEFT JOIN "+t+
		" AS p ON p.connector = h.connector AND p.barrier = h.barrier AND p.`partition` >= 0 AND p.id = h.id"+
		" WHERE h.connector = "+literal(s.ledger.connector)+" AND h.`partition` = -1 AND (h.state IN ("+literal(stateEmptying)+", "+literal(stateEmptied)+
		") OR h.state = "+literal(stateOver)+" AND EXISTS (SELECT 1 FROM "+t+" AS p WHERE p.connector = h.connector AND p.barrier = h.barrier AND p.`partition` >= 0"+
		" AND (SELECT COUNT(*) FROM "+s.ledger.table+marks+") < "+strconv.Itoa(s.ledger.lanes)+"))")
	if isCode(err, errNoTable) {
		return nil
	}
	if err != nil {
		return err
	}
	defer rows.Close()
	s.barriers.there = true
	for rows.Next() {
		var k barrierKey
		b := barrier{passed: map[int32]int64{}}
		var passed int32
		var at int64
		if err := rows.Scan(&k.kind, &k.topic, &k.source, &b.id, &b.partitions, &b.dropped, &passed, &at); err != nil {
			return err
		}
		if s.barriers.list[k] == nil {
			b.key = k
			if b.seq, b.time, err = connect.BarrierPlace(b.id); err != nil {
				return connect.Permanent(fmt.Errorf("table %s: %w", s.barriers.table, err))
			}
			s.barriers.list[k] = &b
		}
		if passed >= 0 {
			s.barriers.list[k].passed[passed] = at
		}
	}
	return rows.Err()
}

// headRow is the statement that keeps a barrier, unless a later one is there.
func (s *Sink) headRow(k barrierKey, bar *connect.Barrier, state string, dropped bool) string {
	return s.barrierRow(k, -1, bar.ID, state, bar.Partitions, dropped, -1) +
		" AS n ON DUPLICATE KEY UPDATE state = IF(n.id < " + s.barriers.table.quoted() + ".id, " + s.barriers.table.quoted() + ".state, n.state)" +
		", dropped = IF(n.id < " + s.barriers.table.quoted() + ".id, " + s.barriers.table.quoted() + ".dropped, n.dropped)" +
		", partitions = n.partitions, id = GREATEST(" + s.barriers.table.quoted() + ".id, n.id)"
}

func (s *Sink) barrierRow(k barrierKey, partition int32, id, state string, partitions int32, dropped bool, offset int64) string {
	return fmt.Sprintf("INSERT INTO %s (connector, barrier, `partition`, kind, topic, source, id, state, partitions, dropped, `offset`) VALUES (%s, %s, %d, %s, %s, %s, %s, %s, %d, %t, %d)",
		s.barriers.table.quoted(), literal(s.ledger.connector), literal(s.barrierHash(k)), partition, literal(k.kind), literal(k.topic), literal(k.source),
		literal(id), literal(state), partitions, dropped, offset)
}

// appendBarriers appends the statements that keep what is new of barriers.
func (s *Sink) appendBarriers() {
	for key, bar := range s.barriers.seen {
		s.packet.add(s.headRow(key, &bar, stateSeen, false))
	}
	for _, p := range s.barriers.passes {
		s.packet.add(s.barrierRow(p.key, p.partition, p.id, statePassed, 0, false, p.offset) + " AS n ON DUPLICATE KEY UPDATE id = n.id, `offset` = n.`offset`")
		if p.last {
			s.packet.add("UPDATE " + s.barriers.table.quoted() + " SET state = " + literal(stateOver) + " WHERE connector = " + literal(s.ledger.connector) +
				" AND barrier = " + literal(s.barrierHash(p.key)) + " AND `partition` = -1 AND id = " + literal(p.id))
		}
	}
}

// keptBarriers is called when a commit has kept all that was new.
func (s *Sink) keptBarriers() {
	for _, p := range s.barriers.passes {
		if b := s.barriers.list[p.key]; p.last && b != nil && b.id == p.id {
			delete(s.barriers.list, p.key)
			clear(s.barriers.of)
		}
	}
	s.barriers.passes = s.barriers.passes[:0]
	clear(s.barriers.seen)
}

// raiseClaims is the statement that has every lane look again at what is stopped
// and which barriers there are.
func (s *Sink) raiseClaims() string {
	return "UPDATE " + s.ledger.table + " SET ahead_count = ahead_count + 1 WHERE " + s.ledger.whereClaims()
}

// whereStop selects what is stopped of a target.
func (s *Sink) whereStop(n name) string {
	return " WHERE connector = " + literal(s.ledger.connector) + " AND target_schema = " + literal(n.db) + " AND target_table = " + literal(n.table)
}

// Move implements connect.Mover: partitions that go back to before a barrier have
// not passed it then. One that has not come to it yet cannot be sent beyond it.
func (s *Sink) Move(ctx context.Context, b *connect.Batch) error {
	s.batch = work{b: b, skip: s.batch.skip[:0]}
	defer func() { s.batch.b = nil }()
	if err := s.begin(ctx); err != nil {
		return err
	}
	if s.env.Lane == 0 && s.barriers.there {
		if err := s.moveBarriers(b.State); err != nil {
			return err
		}
	}
	return classify("write to "+s.url.Addr, s.finish(ctx))
}

// moveBarriers appends the statements that have partitions before the barriers
// that lie at or behind their new places.
func (s *Sink) moveBarriers(entries []offsets.Entry) error {
	for _, e := range entries {
		topic, partition, err := offsets.ParseMarkKey(e.Key)
		if err != nil {
			return connect.Permanent(err)
		}
		m, err := offsets.ParseMark(e.Pos)
		if err != nil {
			return connect.Permanent(err)
		}
		for k, open := range s.barriers.list {
			if _, ok := open.passed[partition]; k.topic == topic && !ok {
				return connect.Permanent(fmt.Errorf("jdbc: table %s was emptied, and partition %d of topic %s has not come to that place yet: let the connector run until it has", k.source, partition, topic))
			}
		}
		t := s.barriers.table.quoted()
		s.packet.add("UPDATE " + t + " AS p JOIN " + t + " AS h ON h.connector = p.connector AND h.barrier = p.barrier AND h.`partition` = -1 AND h.id = p.id" +
			" SET h.state = " + literal(stateEmptied) + ", p.id = '' WHERE p.connector = " + literal(s.ledger.connector) + " AND p.topic = " + literal(topic) +
			" AND p.`partition` = " + strconv.Itoa(int(partition)) + " AND p.`offset` >= " + strconv.FormatInt(m.Offset, 10))
	}
	return nil
}
