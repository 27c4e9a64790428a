package mysql

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// marks are what is to be told of tables before the first event.
type marks struct {
	gone   []*schema.Table // they have no rows any more
	reread []*schema.Table // all their rows are to be read anew
}

// OpenAnew opens a source whose position is lost: it begins where the server is
// now, with the tables as they are now. Changes are counted on from lost, in a
// new epoch, so none is taken for one that was read before. All State of before
// is replaced; tables that are there no more are told to be empty. That the
// rows of all others are read anew is for the caller to see to.
func (s *Source) OpenAnew(ctx context.Context, lost offsets.Position, state []offsets.Entry) error {
	return s.openAt(ctx, lost, state, true)
}

// anew returns the place where the server is now, the State as of there, and
// the captured tables that are gone since lost.
func (s *Source) anew(ctx context.Context, db *sql.DB, f facts, sh *shapes, lost offsets.Position, state []offsets.Entry) (position, []offsets.Entry, []*schema.Table, error) {
	old, err := parsePosition(lost)
	if err != nil {
		return old, nil, nil, connect.Permanent(fmt.Errorf("saved position %x: %w", []byte(lost), err))
	}
	before := newShapes(s.settings, f, func(tableName, string) {})
	if err := before.load(state); err != nil {
		return old, nil, nil, connect.Permanent(fmt.Errorf("saved state: %w", err))
	}
	pos, fresh, err := s.first(ctx, db, f, sh)
	if err != nil {
		return pos, nil, nil, err
	}
	pos.seq, pos.ordinal = nextEpoch(old.seq), old.ordinal+1
	var gone []*schema.Table
	for _, n := range before.names(func(n tableName) bool {
		return s.settings.filter.table(n.db, n.table) && sh.table(n) == nil && !sh.stopped(n)
	}) {
		if t := before.shown(n); t != nil {
			gone = append(gone, t)
		}
	}
	return pos, append(without(state, fresh), fresh...), gone, nil
}

// without returns entries that take those of old away that fresh does not have.
func without(old, fresh []offsets.Entry) (list []offsets.Entry) {
	keep := map[string]bool{}
	for _, e := range fresh {
		keep[e.Key] = true
	}
	for _, e := range old {
		if !keep[e.Key] {
			list = append(list, offsets.Entry{Key: e.Key})
		}
	}
	return list
}

// empties tells that tables have no rows any more, at the very start.
func (q *sequencer) empties(tables []*schema.Table) {
	for _, t := range tables {
		q.cur.tasks = append(q.cur.tasks, task{op: connect.OpTruncate, table: t, topic: q.s.topics.of(t.Database, t.Name),
			at: place{file: q.file, pos: q.offset}, last: true})
	}
	q.cur.end = len(q.cur.tasks)
}
