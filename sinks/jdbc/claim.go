package jdbc

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// markTask is the task in the rows of marks, which are no task's.
const markTask = 0

// stored is a mark in the table of offsets.
type stored struct {
	lane    int
	at      place
	mark    offsets.Mark
	ahead   ahead
	version int64
}

// open claims the lane and returns how far it has got.
func (l *ledger) open(ctx context.Context, conn *sql.Conn) (entries []offsets.Entry, err error) {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	if err := l.enter(ctx, tx); err != nil {
		return nil, err
	}
	if err := l.takeOver(ctx, tx); err != nil {
		return nil, err
	}
	if err := l.claim(ctx, tx); err != nil {
		return nil, err
	}
	rows, err := l.read(ctx, tx, " AND lane = "+strconv.Itoa(l.lane))
	if err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	entries, l.beyond, l.versions = []offsets.Entry{}, map[place]ahead{}, map[place]int64{}
	for _, r := range rows {
		l.versions[r.at] = r.version
		if r.mark.Offset >= 0 {
			entries = append(entries, offsets.Entry{Key: offsets.MarkKey(r.at.topic, r.at.partition), Pos: r.mark.Position()})
		}
		if r.ahead.offset >= max(r.mark.Offset, 0) {
			l.beyond[r.at] = r.ahead
		}
	}
	return entries, nil
}

// enter locks the connector's row, so that its lanes are opened one after the
// other, and refuses those of a configuration that another has replaced. With a
// newer one all that hold claims are fenced.
func (l *ledger) enter(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO "+l.table+" (connector, task, lane, topic, `partition`, lanes, epoch, `offset`, idx)"+
		" VALUES (?, -1, -1, '', -1, 0, 0, -1, 0) ON DUPLICATE KEY UPDATE lanes = 0", l.connector)
	if err != nil {
		return err
	}
	const own = " AND task = -1 AND lane = -1 AND topic = '' AND `partition` = -1"
	var generation int64
	if err := tx.QueryRowContext(ctx, "SELECT epoch FROM "+l.table+" WHERE "+l.where()+own).Scan(&generation); err != nil {
		return err
	}
	switch {
	case l.generation == 0 || l.generation == generation:
		return nil
	case l.generation < generation:
		return fmt.Errorf("task %d has generation %d of the configuration of connector %q, and one with generation %d has written to the target: %w; %s",
			l.task, l.generation, l.connector, generation, connect.ErrFenced, l.anew())
	}
	if _, err := tx.ExecContext(ctx, "UPDATE "+l.table+" SET epoch = ? WHERE "+l.where()+own, l.generation); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE "+l.table+" SET epoch = epoch + 1 WHERE "+l.whereClaims())
	return err
}

// claim takes the lane from whoever holds it, unless that is a newer one.
func (l *ledger) claim(ctx context.Context, tx *sql.Tx) error {
	grant := l.grant
	if grant == 0 {
		grant = -1
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+l.table+" (connector, task, lane, topic, `partition`, lanes, epoch, `offset`, idx)"+
		" VALUES (?, ?, ?, '', -1, ?, 1, ?, ?) ON DUPLICATE KEY UPDATE epoch = epoch + 1, `offset` = GREATEST(`offset`, ?)",
		l.connector, l.task, l.lane, l.lanes, grant, connect.LaneSplit, grant)
	if err != nil {
		return err
	}
	var holder int64
	if err := tx.QueryRowContext(ctx, "SELECT epoch, `offset` FROM "+l.table+" WHERE "+l.whereClaim()).Scan(&l.epoch, &holder); err != nil {
		return err
	}
	if l.grant > 0 && holder > l.grant {
		return fmt.Errorf("task %d of connector %q was given out with epoch %d, and again with epoch %d: %w; %s",
			l.task, l.connector, l.grant, holder, connect.ErrFenced, l.anew())
	}
	return nil
}

// anew says what to do if generations and epochs do not rise any more, since what
// counts them has been made anew. It fences whoever may still hold a claim.
func (l *ledger) anew() string {
	return "this ends by itself where a newer task runs; only if the workers' state was lost, and the topics are those of before: UPDATE " + l.table +
		" SET epoch = IF(task < 0, 0, epoch + 1), `offset` = -1 WHERE " + l.where() + " AND topic = '' AND `partition` = -1; with new topics give the connector a new name"
}

// where selects the rows of the connector, whereClaims all its claims, whereClaim
// that of the lane, whereMarks its marks.
func (l *ledger) where() string { return "connector = " + literal(l.connector) }

func (l *ledger) whereClaims() string {
	return l.where() + " AND task >= 0 AND topic = '' AND `partition` = -1"
}

func (l *ledger) whereClaim() string {
	return l.where() + " AND task = " + strconv.Itoa(l.task) + " AND lane = " + strconv.Itoa(l.lane) + " AND topic = '' AND `partition` = -1"
}

func (l *ledger) whereMarks() string {
	return l.where() + " AND task = " + strconv.Itoa(markTask) + " AND `partition` >= 0"
}

func (l *ledger) read(ctx context.Context, tx *sql.Tx, and string) ([]stored, error) {
	rows, err := tx.QueryContext(ctx, "SELECT lane, topic, `partition`, `offset`, idx, ahead_offset, ahead_count, epoch FROM "+l.table+
		" WHERE "+l.whereMarks()+and+" ORDER BY lane, topic, `partition`")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []stored
	for rows.Next() {
		var r stored
		if err := rows.Scan(&r.lane, &r.at.topic, &r.at.partition, &r.mark.Offset, &r.mark.Index, &r.ahead.offset, &r.ahead.count, &r.version); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// takeOver makes the marks of another number of lanes, or of another version of
// the split over them, those of this one. That is right only where all lanes
// have come equally far: which lane a record goes to depends on both. The old
// claims, of all tasks, stay and rise, so that whoever may still hold one is
// fenced.
func (l *ledger) takeOver(ctx context.Context, tx *sql.Tx) error {
	var old, split int
	err := tx.QueryRowContext(ctx, "SELECT lanes, idx FROM "+l.table+" WHERE "+l.whereClaims()+" AND lane = 0 ORDER BY task LIMIT 1").Scan(&old, &split)
	if err == sql.ErrNoRows || err == nil && old == l.lanes && (split == connect.LaneSplit || old == 1) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE "+l.table+" SET epoch = epoch + 1, lanes = ?, idx = ? WHERE "+l.whereClaims(), l.lanes, connect.LaneSplit); err != nil {
		return err
	}
	rows, err := l.read(ctx, tx, "") // after that, so that what a lane has committed meanwhile counts
	if err != nil {
		return err
	}
	marks, err := commonMarks(rows, old)
	if err != nil && split != connect.LaneSplit && old > 1 {
		return connect.Permanent(fmt.Errorf("%s was written by another version of Towline, which splits records over the lanes of connector %q in another way, and %w; "+
			"start that version once, with lanes=%d, and stop it when it is idle", l.table, l.connector, err, old))
	}
	if err != nil {
		return connect.Permanent(fmt.Errorf("%s was written with lanes=%d and connector %q has lanes=%d now: %w; start it once with lanes=%d and stop it when it is idle",
			l.table, old, l.connector, l.lanes, err, old))
	}
	return l.rewrite(ctx, tx, marks)
}

// evenMark is a mark that all lanes have.
type evenMark struct {
	mark    offsets.Mark
	version int64 // the highest of them
	lanes   int   // that have it
}

// commonMarks returns the mark of each partition, an error if lanes differ.
func commonMarks(rows []stored, lanes int) (map[place]evenMark, error) {
	marks := map[place]evenMark{}
	for _, r := range rows {
		if r.lane >= lanes {
			continue
		}
		m, seen := marks[r.at]
		if seen && m.mark != r.mark || r.ahead.offset >= max(r.mark.Offset, 0) {
			return nil, fmt.Errorf("the lanes have not come equally far in partition %d of topic %s", r.at.partition, r.at.topic)
		}
		marks[r.at] = evenMark{r.mark, max(m.version, r.version), m.lanes + 1}
	}
	for at, m := range marks {
		if m.lanes != lanes {
			return nil, fmt.Errorf("only %d of %d lanes have begun partition %d of topic %s", m.lanes, lanes, at.partition, at.topic)
		}
	}
	return marks, nil
}

// rewrite replaces the marks by one for each lane, none of which whoever wrote the
// old ones takes for those.
func (l *ledger) rewrite(ctx context.Context, tx *sql.Tx, marks map[place]evenMark) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM "+l.table+" WHERE "+l.whereMarks()); err != nil {
		return err
	}
	for at, m := range marks {
		for lane := range l.lanes {
			if _, err := tx.ExecContext(ctx, "INSERT INTO "+l.table+" (connector, task, lane, topic, `partition`, lanes, epoch, `offset`, idx)"+
				" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", l.connector, markTask, lane, at.topic, at.partition, l.lanes, m.version+1, m.mark.Offset, m.mark.Index); err != nil {
				return err
			}
		}
	}
	return nil
}
