package jdbc

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// The table of offsets has, of each connector,
//
//   - one row for all of it, with task and lane -1, whose epoch is the
//     generation of the configuration that its tasks have been opened with;
//   - one for each lane of each task, its claim. A claim's idx is the version
//     of the split over lanes (connect.LaneSplit), its offset the Env.Epoch of
//     the task that holds it. These have an empty topic and partition -1;
//   - one for each lane and partition, its mark. They belong to no task (task
//     is 0 in them), so a partition goes on where it is whichever task reads it.
//
// A claim's epoch rises with each Open, and with a new generation. Every commit
// checks it in the same statement that writes the marks: a claim that has moved
// on makes epoch NULL, which the column refuses, and with it the transaction.
//
// A mark's epoch rises with each commit that writes it, and is checked by that in
// the same way: a writer that does not know what is there, since another task has
// taken the partition further, cannot commit. So a partition may move between
// tasks while the last commit of the one before is still on its way.
//
// A claim's ahead_count is the version of what is known of stopped tables (see
// stop.go), which every commit checks likewise.
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
	table      string // quoted
	connector  string
	task       int
	lane       int
	lanes      int
	generation int64 // Env.Generation
	grant      int64 // Env.Epoch
	epoch      int64 // of the claim
	// versions are the epochs of the marks, as this lane knows them.
	versions map[place]int64
	saving   []place // the marks that the statement appended last writes
	// beyond is how far open found partitions to be applied beyond their marks,
	// less what has come of that again since.
	beyond map[place]ahead
	// stops is the version of the stopped tables that this lane knows; raised is
	// 1 while a transaction raises it.
	stops, raised int64
}

// appendSave appends the statement that stores state, or else how far records have
// passed ahead of it, and fails if the claim has moved on.
func (l *ledger) appendSave(dst []byte, state []offsets.Entry, passed map[place]ahead) ([]byte, error) {
	dst = append(append(append(dst, "INSERT INTO "...), l.table...),
		" (connector, task, lane, topic, `partition`, lanes, epoch, `offset`, idx, ahead_offset, ahead_count) VALUES "...)
	l.saving = l.saving[:0]
	dst = l.appendRow(dst, l.task, place{partition: -1}, l.epoch, offsets.Mark{Offset: -1}, ahead{offset: -1, count: l.stops + l.raised})
	for _, e := range state {
		topic, partition, err := offsets.ParseMarkKey(e.Key)
		if err != nil {
			return dst, err
		}
		m, err := offsets.ParseMark(e.Pos)
		if err != nil {
			return dst, err
		}
		at := place{topic, partition}
		dst = l.appendMark(append(dst, ','), at, m, l.aheadOf(at, m))
	}
	for at, a := range passed {
		if more, ok := l.beyond[at]; ok && more.offset == a.offset {
			a.count += more.count
		}
		dst = l.appendMark(append(dst, ','), at, offsets.Mark{Offset: -1}, a)
	}
	dst = append(append(dst, " AS n ON DUPLICATE KEY UPDATE epoch = IF("...), l.table...)
	dst = append(append(dst, ".epoch = n.epoch - (n.`partition` >= 0) AND (n.`partition` >= 0 OR "...), l.table...)
	dst = append(append(dst, ".ahead_count = n.ahead_count), n.epoch, NULL), lanes = n.lanes, `offset` = IF(n.`offset` < 0, "...), l.table...)
	dst = append(append(dst, ".`offset`, n.`offset`), idx = IF(n.`offset` < 0, "...), l.table...)
	return append(dst, ".idx, n.idx), ahead_offset = n.ahead_offset, ahead_count = n.ahead_count"...), nil
}

// aheadOf returns how far the target is ahead of a new mark: one that has not got
// to where the target was when the lane was opened takes nothing of that back.
func (l *ledger) aheadOf(at place, m offsets.Mark) ahead {
	if a, ok := l.beyond[at]; ok && a.count > 0 && a.offset >= m.Offset {
		return a
	}
	return ahead{offset: -1}
}

// appendMark appends the row of a partition.
func (l *ledger) appendMark(dst []byte, at place, m offsets.Mark, a ahead) []byte {
	l.saving = append(l.saving, at)
	return l.appendRow(dst, markTask, at, l.versions[at]+1, m, a)
}

func (l *ledger) appendRow(dst []byte, task int, at place, epoch int64, m offsets.Mark, a ahead) []byte {
	dst = appendString(append(dst, '('), []byte(l.connector))
	for _, n := range [...]int64{int64(task), int64(l.lane)} {
		dst = strconv.AppendInt(append(dst, ','), n, 10)
	}
	dst = appendString(append(dst, ','), []byte(at.topic))
	for _, n := range [...]int64{int64(at.partition), int64(l.lanes), epoch, m.Offset, int64(m.Index), a.offset, a.count} {
		dst = strconv.AppendInt(append(dst, ','), n, 10)
	}
	return append(dst, ')')
}

// saved takes note that the statement appended last is committed.
func (l *ledger) saved() {
	for _, at := range l.saving {
		l.versions[at]++
	}
	l.saving = l.saving[:0]
}

// check returns ErrFenced if the claim has moved on, and another error if
// another task has taken a partition further that the last statement was to
// save: this one is to begin anew from there. moved says that the stopped tables
// are others than this lane knows.
func (l *ledger) check(ctx context.Context, conn *sql.Conn, cause error) (moved bool, err error) {
	var epoch, stops int64
	if err := conn.QueryRowContext(ctx, "SELECT epoch, ahead_count FROM "+l.table+" WHERE "+l.whereClaim()).Scan(&epoch, &stops); err != nil {
		return false, nil // what went wrong before says more
	}
	if epoch != l.epoch {
		return false, fmt.Errorf("jdbc: lane %d of task %d of connector %q has epoch %d and the target has %d: %w", l.lane, l.task, l.connector, l.epoch, epoch, connect.ErrFenced)
	}
	if !isCode(cause, errNullColumn) {
		return stops != l.stops, nil
	}
	for _, at := range l.saving {
		err := conn.QueryRowContext(ctx, "SELECT epoch FROM "+l.table+" WHERE "+l.whereMarks()+" AND lane = ? AND topic = ? AND `partition` = ?",
			l.lane, at.topic, at.partition).Scan(&epoch)
		if err == nil && epoch != l.versions[at] {
			return false, fmt.Errorf("jdbc: another task has written what comes next in partition %d of topic %s since task %d of connector %q was opened",
				at.partition, at.topic, l.task, l.connector)
		}
	}
	return stops != l.stops, nil
}

// readStops reads the version of the stopped tables.
func (l *ledger) readStops(ctx context.Context, conn *sql.Conn) (version int64, err error) {
	err = conn.QueryRowContext(ctx, "SELECT ahead_count FROM "+l.table+" WHERE "+l.whereClaim()).Scan(&version)
	return version, err
}
