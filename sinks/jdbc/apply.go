package jdbc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/schema"
	"github.com/towline/towline/sinks/apply"
)

// lists is memory for the numbers of changes that one statement after the
// other takes.
type lists struct {
	order, gone, rows, single []int32
}

func all(n int, list *[]int32) []int32 {
	*list = (*list)[:0]
	for i := range n {
		*list = append(*list, int32(i))
	}
	return *list
}

// sort divides the changes of a keyed group: keys to delete, rows to upsert,
// and rows that take a statement of their own.
//
// In a table with other unique keys rows whose values in those change are
// deleted, too, and come back by the upsert: whichever row gives up a value
// has done so before another one takes it.
func (s *Sink) sort(g *group) {
	l := &s.lists
	l.gone, l.rows, l.single = l.gone[:0], l.rows[:0], l.single[:0]
	for i := range g.table.Changes {
		c := &g.table.Changes[i]
		whole := !c.Partial && s.set.mode == modeUpsert
		if c.Gone || whole && c.Moved && g.route.guarded {
			l.gone = append(l.gone, int32(i))
		}
		switch {
		case c.Gone:
		case !whole, g.route.zeroElements(c.Row) > 0:
			l.single = append(l.single, int32(i))
		default:
			l.rows = append(l.rows, int32(i))
		}
	}
}

// zeroElements counts the columns that hold the error value of an ENUM.
func (rt *route) zeroElements(row schema.Row) (n int) {
	if !rt.enums {
		return 0
	}
	for i := range rt.cols {
		if c := &rt.cols[i]; c.enum && row[c.src].Kind() == schema.Enum && row[c.src].Uint() == 0 {
			n++
		}
	}
	return n
}

// isZero reports whether a column holds the error value of an ENUM.
func (rt *route) isZero(row schema.Row, name string) bool {
	return slices.ContainsFunc(rt.cols, func(c column) bool {
		v := row[c.src]
		return c.enum && v.Kind() == schema.Enum && v.Uint() == 0 && strings.EqualFold(c.ident, quoted(name))
	})
}

// byKey applies a keyed group.
func (s *Sink) byKey(ctx context.Context, g *group) error {
	s.sort(g)
	if err := s.deleteKeys(ctx, g, s.lists.gone); err != nil {
		return err
	}
	if err := s.insertRows(ctx, g, s.lists.rows, g.route.upsert); err != nil {
		return err
	}
	for _, i := range s.lists.single {
		if err := s.applySingle(ctx, g, i); err != nil {
			return err
		}
	}
	return nil
}

// applySingle applies one change of a keyed group that takes a statement of
// its own.
func (s *Sink) applySingle(ctx context.Context, g *group, i int32) error {
	c := &g.table.Changes[i]
	update := c.Partial || s.set.mode == modeUpdate
	write := func() error {
		if !update {
			return s.insertRow(g, c.Row, g.route.upsert)
		}
		rows := int64(1)
		if s.set.mode == modeUpdate {
			rows = -1 // what is not there is left alone
		}
		return s.updateByKey(g, c.Row, rows)
	}
	return s.single(ctx, g, c.Row, write)
}

// single sends one statement about one row, strictly or, where the row holds
// the error value of an ENUM, as relaxed as that takes.
func (s *Sink) single(ctx context.Context, g *group, row schema.Row, write func() error) error {
	if err := s.makeRoom(ctx, row); err != nil {
		return err
	}
	if g.route.zeroElements(row) == 0 {
		if err := write(); err != nil {
			return err
		}
		return s.sendFull(ctx)
	}
	return s.relaxed(ctx, g.route, row, write)
}

// relaxed executes a statement that stores the error value of an ENUM, which
// a strict server refuses. It looks at the warnings: one that those values do
// not cause means that something else was changed.
func (s *Sink) relaxed(ctx context.Context, rt *route, row schema.Row, write func() error) error {
	if err := s.send(ctx); err != nil {
		return err
	}
	s.packet.add("SET SESSION sql_mode = '" + relaxedMode + "'")
	err := write()
	if err == nil {
		err = s.send(ctx)
	}
	var warnings int
	if err == nil { // SHOW keeps them, where SELECT @@warning_count would not
		err = s.main.conn.QueryRowContext(ctx, "SHOW COUNT(*) WARNINGS").Scan(&warnings)
	}
	if err == nil && warnings > rt.zeroElements(row) { // a key that an upsert sets again warns twice
		var text string
		if text, err = s.otherWarning(ctx, rt, row, warnings); text != "" {
			err = errData{fmt.Errorf("table %s would change a value of the row: %s", rt.name, text)}
		}
	}
	s.packet.reset()
	s.packet.add("SET SESSION sql_mode = '" + sqlMode + "'")
	if serr := s.send(ctx); err == nil {
		err = serr
	}
	return err
}

// otherWarning returns a warning that is not about an ENUM's error value in
// row, "" if there is none among all.
func (s *Sink) otherWarning(ctx context.Context, rt *route, row schema.Row, all int) (text string, err error) {
	rows, err := s.main.conn.QueryContext(ctx, "SHOW WARNINGS")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		var level string
		var w mysql.MySQLError
		if err := rows.Scan(&level, &w.Number, &w.Message); err != nil {
			return "", err
		}
		if w.Number != errTruncated || !rt.isZero(row, columnOf(&w)) {
			return w.Message, rows.Err()
		}
		all--
	}
	if all > 0 {
		text = "it has more warnings than the server shows"
	}
	return text, rows.Err()
}

// sendFull sends the packet if it is long.
func (s *Sink) sendFull(ctx context.Context) error {
	if len(s.packet.buf) < s.room() {
		return nil
	}
	return s.send(ctx)
}

// deleteKeys appends statements that delete keys.
func (s *Sink) deleteKeys(ctx context.Context, g *group, list []int32) (err error) {
	changes := g.changes()
	limit := min(s.set.batch, max(10000/max(len(g.route.key), 1), 1))
	if g.route.apart {
		limit = min(limit, apartKeys)
	}
	for len(list) > 0 {
		s.packet.begin(g.route.deleteFrom)
		start, n := len(s.packet.buf), 0
		for n < len(list) && n < limit && len(s.packet.buf)-start < s.room() {
			if n > 0 {
				s.packet.buf = append(s.packet.buf, g.route.comma()...)
			}
			if s.packet.buf, err = g.route.appendKey(s.packet.buf, changes[list[n]].Row); err != nil {
				return err
			}
			n++
		}
		s.packet.buf = append(s.packet.buf, ')')
		s.packet.end(-1, "")
		list = list[n:]
		if err := s.sendFull(ctx); err != nil {
			return err
		}
	}
	return nil
}

// insertRows appends statements that insert rows, each followed by tail.
func (s *Sink) insertRows(ctx context.Context, g *group, list []int32, tail string) (err error) {
	changes := g.changes()
	for len(list) > 0 {
		if err := s.makeRoom(ctx, changes[list[0]].Row); err != nil {
			return err
		}
		s.packet.begin(g.route.insert)
		start, n := len(s.packet.buf), 0
		for n < len(list) && n < s.set.batch && len(s.packet.buf)-start < s.room() {
			end := len(s.packet.buf)
			if n > 0 {
				s.packet.buf = append(s.packet.buf, ',')
			}
			if s.packet.buf, err = g.route.appendRow(s.packet.buf, changes[list[n]].Row); err != nil {
				return err
			}
			if n > 0 && len(s.packet.buf)+len(tail) > s.main.maxPacket-packetSpare {
				s.packet.buf = s.packet.buf[:end] // this row alone, in the next one
				break
			}
			n++
		}
		s.packet.buf = append(s.packet.buf, tail...)
		s.packet.end(-1, "")
		list = list[n:]
		if err := s.sendFull(ctx); err != nil {
			return err
		}
	}
	return nil
}

// packetSpare is left free in a packet, for COMMIT and the like.
const packetSpare = 1024

// makeRoom sends what waits, where a row is so large that it may not fit beside
// it.
func (s *Sink) makeRoom(ctx context.Context, row schema.Row) error {
	size := 0
	for i := range row {
		size += 2 * row[i].Size() // all of it escaped
	}
	if size < s.room() {
		return nil
	}
	return s.send(ctx)
}

// insertRow appends a statement that inserts one row.
func (s *Sink) insertRow(g *group, row schema.Row, tail string) (err error) {
	s.packet.begin(g.route.insert)
	if s.packet.buf, err = g.route.appendRow(s.packet.buf, row); err != nil {
		return err
	}
	s.packet.buf = append(s.packet.buf, tail...)
	s.packet.end(-1, "")
	return nil
}

// updateByKey appends a statement that sets the columns which row has.
func (s *Sink) updateByKey(g *group, row schema.Row, rows int64) (err error) {
	s.packet.begin("UPDATE ")
	s.packet.buf = append(s.packet.buf, g.route.quoted...)
	if s.packet.buf, err = g.route.appendSet(s.packet.buf, row); err != nil {
		return err
	}
	s.packet.buf = append(s.packet.buf, g.route.where...)
	if s.packet.buf, err = g.route.appendKey(s.packet.buf, row); err != nil {
		return err
	}
	s.packet.buf = append(s.packet.buf, ')')
	s.packet.end(rows, g.route.name.String())
	return nil
}

// inOrder applies changes one after the other: inserts that follow each other
// in one statement, all others in one each.
func (s *Sink) inOrder(ctx context.Context, g *group, list []int32) error {
	for len(list) > 0 {
		n := 0
		for n < len(list) && plainInsert(g, list[n]) {
			n++
		}
		if err := s.insertRows(ctx, g, list[:n], ""); err != nil {
			return err
		}
		if list = list[n:]; len(list) == 0 {
			return nil
		}
		c := &g.list[list[0]]
		if err := s.single(ctx, g, c.Row, func() error { return s.changeRow(g, c) }); err != nil {
			return err
		}
		list = list[1:]
	}
	return nil
}

func plainInsert(g *group, i int32) bool {
	c := &g.list[i]
	return !c.Gone && !c.Partial && g.route.zeroElements(c.Row) == 0
}

// changeRow appends the statement for one change of a group in order.
func (s *Sink) changeRow(g *group, c *apply.Change) (err error) {
	switch {
	case c.Gone && len(g.route.key) > 0:
		s.packet.begin(g.route.deleteFrom)
		if s.packet.buf, err = g.route.appendKey(s.packet.buf, c.Row); err != nil {
			return err
		}
		s.packet.buf = append(s.packet.buf, ')')
		s.packet.end(-1, "")
		return nil
	case c.Gone:
		s.packet.begin("DELETE FROM " + g.route.quoted)
		return s.endExact(g, c.Row)
	case !c.Partial:
		return s.insertRow(g, c.Row, "")
	}
	s.packet.begin("UPDATE " + g.route.quoted)
	if s.packet.buf, err = g.route.appendSet(s.packet.buf, c.Row); err != nil {
		return err
	}
	return s.endExact(g, c.First)
}

// endExact ends a statement about one row that is exactly row.
func (s *Sink) endExact(g *group, row schema.Row) (err error) {
	if s.packet.buf, err = g.route.appendMatch(append(s.packet.buf, " WHERE "...), row); err != nil {
		return err
	}
	s.packet.buf = append(s.packet.buf, " LIMIT 1"...)
	s.packet.end(1, g.route.name.String())
	return nil
}
