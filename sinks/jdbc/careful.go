package jdbc

import (
	"context"
	"fmt"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// applyCarefully applies a group so that the records which fail are found and
// all others are applied. It halves what fails until one change is left; of
// that it tries the records one after the other, since what came before a bad
// record of the same key is still good.
func (s *Sink) applyCarefully(ctx context.Context, g *group) error {
	if g.table == nil {
		return s.halve(ctx, g, all(len(g.list), &s.lists.order), s.inOrder, s.failChange)
	}
	s.sort(g)
	gone, rows, single := s.lists.gone, s.lists.rows, s.lists.single
	if err := s.halve(ctx, g, gone, s.deleteKeys, s.failChange); err != nil {
		return err
	}
	upsert := func(ctx context.Context, g *group, list []int32) error {
		return s.insertRows(ctx, g, list, g.route.upsert)
	}
	if err := s.halve(ctx, g, rows, upsert, s.retrace); err != nil {
		return err
	}
	for i := range single {
		one := func(ctx context.Context, g *group, list []int32) error { return s.applySingle(ctx, g, list[0]) }
		if err := s.halve(ctx, g, single[i:i+1], one, s.retrace); err != nil {
			return err
		}
	}
	return nil
}

// halve applies a list of changes, all of it or in halves.
func (s *Sink) halve(ctx context.Context, g *group, list []int32, do func(context.Context, *group, []int32) error,
	failed func(context.Context, *group, int32, error) error) error {
	if len(list) == 0 {
		return nil
	}
	err := s.try(ctx, func() error { return do(ctx, g, list) })
	switch {
	case err == nil:
		return nil
	case !isData(err):
		return err
	case len(list) == 1:
		return failed(ctx, g, list[0], err)
	}
	mid := len(list) / 2
	if err := s.halve(ctx, g, list[:mid], do, failed); err != nil {
		return err
	}
	return s.halve(ctx, g, list[mid:], do, failed)
}

// try does something whole or not at all.
func (s *Sink) try(ctx context.Context, do func() error) error {
	if err := s.send(ctx); err != nil {
		return err
	}
	s.packet.add("SAVEPOINT t")
	if err := s.send(ctx); err != nil {
		return err
	}
	err := do()
	if err == nil {
		err = s.send(ctx)
	}
	if err == nil || !isData(err) {
		return err
	}
	s.packet.reset()
	s.packet.add("ROLLBACK TO t")
	if rerr := s.send(ctx); rerr != nil {
		return rerr
	}
	return err
}

// failChange notes the last record of a change.
func (s *Sink) failChange(_ context.Context, g *group, i int32, err error) error {
	c := &g.changes()[i]
	s.fail(c.Last, s.explain(g, c.Row, err))
	return nil
}

// retrace makes a change of a keyed group record by record.
func (s *Sink) retrace(ctx context.Context, g *group, i int32, _ error) error {
	c := g.table.Changes[i]
	if c.Moved && g.route.guarded && c.First != nil { // it was deleted, to make way
		first := c.First
		if err := s.try(ctx, func() error { return s.upsertRow(ctx, g, first) }); err != nil && !isData(err) {
			return err
		}
	}
	for _, step := range g.table.Steps {
		if step.Change != int(i) {
			continue
		}
		r := &s.batch.b.Records[step.Record]
		err := s.try(ctx, func() error { return s.applyStep(ctx, g, r, step.Gone) })
		if err == nil {
			continue
		}
		if !isData(err) {
			return err
		}
		s.fail(step.Record, s.explain(g, r.Key(), err))
	}
	return nil // where none failed, what stood in the way is gone
}

// upsertRow upserts one row.
func (s *Sink) upsertRow(ctx context.Context, g *group, row schema.Row) error {
	return s.single(ctx, g, row, func() error { return s.insertRow(g, row, g.route.upsert) })
}

// applyStep applies one record of a keyed group.
func (s *Sink) applyStep(ctx context.Context, g *group, r *connect.Record, gone bool) (err error) {
	if gone {
		s.packet.begin(g.route.deleteFrom)
		if s.packet.buf, err = g.route.appendKey(s.packet.buf, r.Before); err != nil {
			return err
		}
		s.packet.buf = append(s.packet.buf, ')')
		s.packet.end(-1, "")
		return nil
	}
	if s.set.mode == modeUpdate {
		return s.single(ctx, g, r.After, func() error { return s.updateByKey(g, r.After, -1) })
	}
	for i := range r.After {
		if r.After[i].Kind() == schema.Absent && r.Op == connect.OpUpdate {
			return s.single(ctx, g, r.After, func() error { return s.updateByKey(g, r.After, 1) })
		}
	}
	return s.upsertRow(ctx, g, r.After)
}

// explain says which table, column and kind of value an error is about.
func (s *Sink) explain(g *group, row schema.Row, err error) error {
	column := columnOf(err)
	if g.route.guarded && isCode(err, errNullColumn) {
		for _, c := range g.route.keyCols {
			if strings.EqualFold(c.ident, quoted(column)) && row != nil && !row[c.src].IsNull() {
				return fmt.Errorf("table %s has another row with the values of this one in a unique key: %w", g.route.name, err)
			}
		}
	}
	for _, c := range g.route.cols {
		if column == "" || !strings.EqualFold(c.ident, quoted(column)) || row == nil {
			continue
		}
		v := row[c.src]
		return fmt.Errorf("table %s, column %s cannot take a %s of %s: %w", g.route.name, c.ident, v.Kind(), sizeText(v), err)
	}
	if strings.HasPrefix(err.Error(), "table ") {
		return err
	}
	return fmt.Errorf("table %s: %w", g.route.name, err)
}

func sizeText(v schema.Value) string {
	if n := v.Size(); n > 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return "this size"
}
