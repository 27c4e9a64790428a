package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema/catalog"
	"github.com/towline/towline/schema/ddl"
)

// Halted returns the captured tables that are stopped, by database and name.
// It may run beside Read.
func (s *Source) Halted() [][2]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list [][2]string
	for n := range s.reasons {
		if s.settings.filter.table(n.db, n.table) {
			list = append(list, [2]string{n.db, n.table})
		}
	}
	slices.SortFunc(list, func(a, b [2]string) int { return strings.Compare(a[0]+"."+a[1], b[0]+"."+b[1]) })
	return list
}

// Resume begins to follow a stopped table again, from the next end of a
// transaction on that is not yet read. Where that is an OpSchema with
// connect.Reread comes: all rows are to be read anew, after it. The shape is
// the one that the server has now. Should the log still hold statements on the
// table they do not fit it, which each table map is checked for. It may run
// beside Read.
func (s *Source) Resume(ctx context.Context, database, name string) error {
	s.mu.Lock()
	r, db := s.run, s.db
	s.mu.Unlock()
	if r == nil {
		return errClosed
	}
	n := tableName{database, name}
	conn, err := db.Conn(ctx)
	if err != nil {
		return s.settings.explain("connect to", err)
	}
	defer conn.Close()
	if err := catalog.Prepare(ctx, conn); err != nil {
		return err
	}
	infos, err := catalog.Read(ctx, conn, func(d, t string) bool { return d == n.db && t == n.table })
	switch {
	case err != nil:
		return err
	case len(infos) == 0:
		return connect.Permanent(fmt.Errorf("mysql: table %s: %w", n, catalog.ErrNotFound))
	case infos[0].Err != nil:
		return connect.Permanent(fmt.Errorf("mysql: the shape of table %s cannot be read: %w", n, infos[0].Err))
	}
	r.stops.put(stopOrder{table: n, resume: infos[0].Def})
	return nil
}

// revive takes back that a table is not followed.
func (s *shapes) revive(n tableName, d *ddl.Def) []offsets.Entry {
	delete(s.halted, n)
	list := []offsets.Entry{{Key: keyOf(keyStopped, n)}, s.set(n, d)}
	if e, ok := s.found(n); ok {
		list = append(list, e)
	}
	return list
}

// resume carries out an order to follow a table again, between transactions.
func (q *sequencer) resume(o stopOrder) {
	q.settled = append(q.settled, q.shapes.revive(o.table, o.resume)...)
	q.moved = true
	q.retarget()
	v, err := q.shapes.view(o.table)
	if err == nil && !q.s.filter.table(o.table.db, o.table.table) {
		err = errors.New("it is not captured")
	}
	if err != nil {
		q.stop(o.table, fmt.Sprintf("the options do not fit it: %v; then take a new snapshot of the table", err))
		return
	}
	now := time.Now().UnixMicro()
	q.cur.tasks = append(q.cur.tasks, task{op: connect.OpSchema, flags: connect.Reread, table: v.table, topic: q.s.topics.of(v.table.Database, v.table.Name),
		at: place{file: q.file, pos: q.offset, time: now}, commit: now, last: true})
	q.cur.end = len(q.cur.tasks)
	q.cur.revived = append(q.cur.revived, o.table)
}

// revived lets the rows of tables that are followed again through.
func (s *Source) revived(j *job) {
	if len(j.revived) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range j.revived {
		delete(s.reasons, n)
		delete(s.failed, n)
	}
}
