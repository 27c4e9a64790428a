package jdbc

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// The table of offsets has one row for each lane, its claim, with an empty
// topic and partition -1, and one for each partition that the lane has read.
//
// A claim's idx is the version of the split over lanes (connect.LaneSplit).
//
// A claim's epoch rises with each Open. Every commit checks it in the same
// statement that writes the offsets: a claim that has moved on makes epoch
// NULL, which the column refuses, and with it the transaction.
//
// ahead_offset and ahead_count are for transactions that had to end between
// two States: of the messages up to ahead_offset, and of the first
// ahead_count records of that one that came to this lane (since the mark, if
// that lies in it), the target has all. They are left out when they come
// again.
const createOffsets = `CREATE TABLE IF NOT EXISTS %s (
  connector varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  task int NOT NULL,
  lane int NOT NULL,
  topic varchar(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  ` + "`partition`" + ` int NOT NULL,
  lanes int NOT NULL,
  epoch bigint NOT NULL,
  ` + "`offset`" + ` bigint NOT NULL COMMENT 'the next message; -1: none yet',
  idx int NOT NULL COMMENT 'the next record in it',
  ahead_offset bigint NOT NULL DEFAULT -1,
  ahead_count bigint NOT NULL DEFAULT 0,
  updated timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (connector, task, lane, topic, ` + "`partition`" + `)
) ENGINE=InnoDB`

// ahead is how far a partition is applied beyond its mark.
type ahead struct {
	offset int64
	count  int64
}

// place names a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// ledger keeps the offsets of one lane in the target.
type ledger struct {
	table     string // quoted
	connector string
	task      int
	lane      int
	lanes     int
	epoch     int64
}

// stored is a row of the table of offsets.
type stored struct {
	lane, lanes int
	at          place
	mark        offsets.Mark
	ahead       ahead
}

// open claims the lane and returns how far it has got.
func (l *ledger) open(ctx context.Context, conn *sql.Conn) (entries []offsets.Entry, beyond map[place]ahead, err error) {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	defer tx.Rollback()
	// The claims of a task are locked in one order, lane 0 first.
	if err := l.claim(ctx, tx); err != nil {
		return nil, nil, err
	}
	rows, err := l.read(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	if l.lane == 0 {
		if rows, err = l.takeOver(ctx, tx, rows); err != nil {
			return nil, nil, err
		}
	}
	if err := tx.Commit(); err != nil {
		return nil, nil, err
	}
	entries, beyond = []offsets.Entry{}, map[place]ahead{}
	for _, r := range rows {
		if r.lane != l.lane || r.at.partition < 0 {
			continue
		}
		if r.mark.Offset >= 0 {
			entries = append(entries, offsets.Entry{Key: offsets.MarkKey(r.at.topic, r.at.partition), Pos: r.mark.Position()})
		}
		if r.ahead.offset >= max(r.mark.Offset, 0) {
			beyond[r.at] = r.ahead
		}
	}
	return entries, beyond, nil
}

func (l *ledger) claim(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO "+l.table+" (connector, task, lane, topic, `partition`, lanes, epoch, `offset`, idx)"+
		" VALUES (?, ?, ?, '', -1, ?, 1, -1, ?) ON DUPLICATE KEY UPDATE epoch = epoch + 1", l.connector, l.task, l.lane, l.lanes, connect.LaneSplit)
	if err != nil {
		return err
	}
	return tx.QueryRowContext(ctx, l.selectEpoch()).Scan(&l.epoch)
}

func (l *ledger) selectEpoch() string {
	return "SELECT epoch FROM " + l.table + " WHERE " + l.where() + " AND lane = " + strconv.Itoa(l.lane) + " AND topic = '' AND `partition` = -1"
}

func (l *ledger) where() string {
	return "connector = " + literal(l.connector) + " AND task = " + strconv.Itoa(l.task)
}

func (l *ledger) read(ctx context.Context, tx *sql.Tx) ([]stored, error) {
	rows, err := tx.QueryContext(ctx, "SELECT lane, lanes, topic, `partition`, `offset`, idx, ahead_offset, ahead_count FROM "+l.table+
		" WHERE "+l.where()+" ORDER BY lane, topic, `partition`")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []stored
	for rows.Next() {
		var r stored
		if err := rows.Scan(&r.lane, &r.lanes, &r.at.topic, &r.at.partition, &r.mark.Offset, &r.mark.Index, &r.ahead.offset, &r.ahead.count); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// takeOver makes the rows of another number of lanes, or of another version of
// the split over them, those of this one. That is right only where all lanes
// have come equally far: which lane a record goes to depends on both. The old claims stay and rise, so that
// whoever may still hold one is fenced.
func (l *ledger) takeOver(ctx context.Context, tx *sql.Tx, rows []stored) ([]stored, error) {
	old, split := l.lanes, connect.LaneSplit
	for _, r := range rows {
		if r.lane == 0 && r.at.partition < 0 {
			old, split = r.lanes, r.mark.Index
		}
	}
	if old == l.lanes && (split == connect.LaneSplit || old == 1) {
		return rows, nil
	}
	if _, err := tx.ExecContext(ctx, "UPDATE "+l.table+" SET epoch = epoch + 1, lanes = ?, idx = ? WHERE "+l.where()+
		" AND topic = '' AND `partition` = -1", l.lanes, connect.LaneSplit); err != nil {
		return nil, err
	}
	if err := tx.QueryRowContext(ctx, l.selectEpoch()).Scan(&l.epoch); err != nil {
		return nil, err
	}
	rows, err := l.read(ctx, tx) // again: what a lane has committed meanwhile counts
	if err != nil {
		return nil, err
	}
	marks, err := commonMarks(rows, old)
	if err != nil && split != connect.LaneSplit && old > 1 {
		return nil, connect.Permanent(fmt.Errorf("%s was written by another version of Towline, which splits records over the lanes of connector %q in another way, and %w; "+
			"start that version once, with lanes=%d, and stop it when it is idle", l.table, l.connector, err, old))
	}
	if err != nil {
		return nil, connect.Permanent(fmt.Errorf("%s was written with lanes=%d and connector %q has lanes=%d now: %w; start it once with lanes=%d and stop it when it is idle",
			l.table, old, l.connector, l.lanes, err, old))
	}
	return l.rewrite(ctx, tx, marks)
}

// commonMarks returns the mark of each partition, an error if lanes differ.
func commonMarks(rows []stored, lanes int) (map[place]offsets.Mark, error) {
	marks, count := map[place]offsets.Mark{}, map[place]int{}
	for _, r := range rows {
		if r.at.partition < 0 || r.lane >= lanes {
			continue
		}
		m, seen := marks[r.at]
		if seen && m != r.mark || r.ahead.offset >= max(r.mark.Offset, 0) {
			return nil, fmt.Errorf("the lanes have not come equally far in partition %d of topic %s", r.at.partition, r.at.topic)
		}
		marks[r.at] = r.mark
		count[r.at]++
	}
	for at, n := range count {
		if n != lanes {
			return nil, fmt.Errorf("only %d of %d lanes have begun partition %d of topic %s", n, lanes, at.partition, at.topic)
		}
	}
	return marks, nil
}

// rewrite replaces the rows of partitions by one for each lane.
func (l *ledger) rewrite(ctx context.Context, tx *sql.Tx, marks map[place]offsets.Mark) ([]stored, error) {
	if _, err := tx.ExecContext(ctx, "DELETE FROM "+l.table+" WHERE "+l.where()+" AND `partition` >= 0"); err != nil {
		return nil, err
	}
	var rows []stored
	for at, m := range marks {
		for lane := range l.lanes {
			if _, err := tx.ExecContext(ctx, "INSERT INTO "+l.table+" (connector, task, lane, topic, `partition`, lanes, epoch, `offset`, idx)"+
				" VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)", l.connector, l.task, lane, at.topic, at.partition, l.lanes, m.Offset, m.Index); err != nil {
				return nil, err
			}
			rows = append(rows, stored{lane: lane, lanes: l.lanes, at: at, mark: m, ahead: ahead{offset: -1}})
		}
	}
	return rows, nil
}

// appendSave appends the statement that stores state and how far ahead of it
// partitions are, and fails if the claim has moved on.
func (l *ledger) appendSave(dst []byte, state []offsets.Entry, beyond map[place]ahead) ([]byte, error) {
	dst = append(append(append(dst, "INSERT INTO "...), l.table...),
		" (connector, task, lane, topic, `partition`, lanes, epoch, `offset`, idx, ahead_offset, ahead_count) VALUES "...)
	dst = l.appendRow(dst, place{partition: -1}, offsets.Mark{Offset: -1}, ahead{offset: -1})
	for _, e := range state {
		topic, partition, err := offsets.ParseMarkKey(e.Key)
		if err != nil {
			return dst, err
		}
		m, err := offsets.ParseMark(e.Pos)
		if err != nil {
			return dst, err
		}
		dst = l.appendRow(append(dst, ','), place{topic, partition}, m, ahead{offset: -1})
	}
	for at, a := range beyond {
		dst = l.appendRow(append(dst, ','), at, offsets.Mark{Offset: -1}, a)
	}
	dst = append(append(dst, " AS n ON DUPLICATE KEY UPDATE epoch = IF("...), l.table...)
	dst = append(append(dst, ".epoch = n.epoch OR n.`partition` >= 0, n.epoch, NULL), lanes = n.lanes, `offset` = IF(n.`offset` < 0, "...), l.table...)
	dst = append(append(dst, ".`offset`, n.`offset`), idx = IF(n.`offset` < 0, "...), l.table...)
	return append(dst, ".idx, n.idx), ahead_offset = n.ahead_offset, ahead_count = n.ahead_count"...), nil
}

func (l *ledger) appendRow(dst []byte, at place, m offsets.Mark, a ahead) []byte {
	dst = appendString(append(dst, '('), []byte(l.connector))
	for _, n := range [...]int64{int64(l.task), int64(l.lane)} {
		dst = strconv.AppendInt(append(dst, ','), n, 10)
	}
	dst = appendString(append(dst, ','), []byte(at.topic))
	for _, n := range [...]int64{int64(at.partition), int64(l.lanes), l.epoch, m.Offset, int64(m.Index), a.offset, a.count} {
		dst = strconv.AppendInt(append(dst, ','), n, 10)
	}
	return append(dst, ')')
}

// check returns ErrFenced if the claim has moved on.
func (l *ledger) check(ctx context.Context, conn *sql.Conn) error {
	var epoch int64
	if err := conn.QueryRowContext(ctx, l.selectEpoch()).Scan(&epoch); err != nil || epoch == l.epoch {
		return nil // what went wrong before says more
	}
	return fmt.Errorf("jdbc: lane %d of task %d of connector %q has epoch %d and the target has %d: %w", l.lane, l.task, l.connector, l.epoch, epoch, connect.ErrFenced)
}
