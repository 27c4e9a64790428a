package jdbc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/catalog"
)

// reshape has the target follow a change of a table's shape.
func (s *Sink) reshape(ctx context.Context, i int, r *connect.Record) error {
	if err := s.followed(ctx, i, r); err != nil {
		return err
	}
	_, err := s.routeFor(ctx, i, r)
	if connect.IsPermanent(err) && serverError(err) == nil && s.set.evolution == evolveFull {
		return s.remake(ctx, i, r, err)
	}
	return err
}

// followed has the target follow what a record says of its table's columns, if it
// says something.
func (s *Sink) followed(ctx context.Context, i int, r *connect.Record) error {
	c, err := s.changeOf(r)
	if err != nil {
		return connect.Permanent(fmt.Errorf("jdbc: table %s: %w", r.Table, err))
	}
	if c == nil {
		return nil
	}
	return s.follow(ctx, i, r, c)
}

// remake drops a table that cannot take the rows of its source, which is no
// loss where it has no rows, and makes it anew. A table is so that was made
// for a shape of which the source, killed before it had saved it, knows no
// more.
func (s *Sink) remake(ctx context.Context, i int, r *connect.Record, cause error) error {
	n, err := s.set.format.name(r.Topic, r.Table, s.set.database)
	if err != nil {
		return cause
	}
	if err := s.commitAhead(ctx, i); err != nil {
		return err
	}
	var one int
	err = s.main.conn.QueryRowContext(ctx, "SELECT 1 FROM "+n.quoted()+" LIMIT 1").Scan(&one)
	if !errors.Is(err, sql.ErrNoRows) {
		return cause
	}
	if err := s.catalogue.drop(ctx, n); err != nil {
		return fmt.Errorf("drop table %s: %w", n, err)
	}
	s.forget()
	s.env.Logger.Warn("a table without rows is made anew", "table", n.String(), "source", r.Table.String(), "reason", cause)
	_, err = s.routeFor(ctx, i, r)
	return err
}

// changeOf returns what a record says of the way to its table's shape, as far
// as that is written here; nil: nothing.
func (s *Sink) changeOf(r *connect.Record) (*change, error) {
	h, err := r.SchemaChange()
	if h == nil || err != nil || s.set.evolution == evolveNone {
		return nil, err
	}
	keys := s.set.keyMode == keyRecord && len(s.set.keyFields) == 0
	known := h.Now
	if r.Op == connect.OpTruncate {
		known = h.Was
	}
	if known.ID() != r.Table.ID() {
		if !sameColumns(known, r.Table) {
			return nil, transformed(h)
		}
		keys = false // it was given another one on the way
	}
	c := &change{from: h.From, keys: keys, full: s.set.evolution == evolveFull}
	c.was, c.wasKey = h.Was, h.Was.Key
	if c.now, c.nowKey = h.Now, h.Now.Key; !keys {
		c.wasKey, c.nowKey = nil, nil
	}
	return s.projected(c)
}

// transformed is about a table whose columns a transform has changed, so that
// what the source says of them does not hold here: an error where that matters.
func transformed(h *connect.SchemaChange) error {
	if was, now, ok := h.Renamed(); ok {
		return fmt.Errorf("column %s was renamed to %s at the source, and a transform changes the columns on the way, so it is not known which one that is here; "+
			"rename it in the target, and start the connector with schema.evolution=none until it has passed this change", quoted(was), quoted(now))
	}
	return nil
}

func sameColumns(t, o *schema.Table) bool {
	return slices.EqualFunc(t.Columns, o.Columns, func(a, b schema.Column) bool { return a.Name == b.Name && a.Type == b.Type })
}

// projected leaves out the columns that are not written.
func (s *Sink) projected(c *change) (*change, error) {
	if len(s.set.include) == 0 && len(s.set.exclude) == 0 {
		return c, nil
	}
	was, wasKey, err := s.set.project(c.was, c.wasKey)
	if err != nil {
		return nil, err
	}
	now, nowKey, err := s.set.project(c.now, c.nowKey)
	if err != nil {
		return nil, err
	}
	from := make([]int, len(now.Columns))
	for i := range now.Columns {
		from[i] = -1
		if f := c.from[c.now.Column(now.Columns[i].Name)]; f >= 0 {
			from[i] = was.Column(c.was.Columns[f].Name)
		}
	}
	p := *c
	p.was, p.wasKey, p.now, p.nowKey, p.from = was, wasKey, now, nowKey, from
	return &p, nil
}

// follow makes a change in the target. It commits what came before, so that
// after a stop the record comes again alone: its table is then as it was, or
// has followed already, which shows.
func (s *Sink) follow(ctx context.Context, i int, r *connect.Record, c *change) error {
	n, err := s.set.format.name(r.Topic, r.Table, s.set.database)
	if err != nil {
		return connect.Permanent(fmt.Errorf("jdbc: %w", err))
	}
	if err := s.commitAhead(ctx, i); err != nil {
		return err
	}
	done, err := s.catalogue.follow(ctx, n, c, r, s.guard(r))
	s.forget() // what was found out about the table may hold no more
	if done != "" {
		s.env.Logger.Info("table has followed the source", "table", n.String(), "statement", done)
	}
	return err
}

// follow executes what a change takes and returns it, "" for nothing.
func (c *catalogue) follow(ctx context.Context, n name, ch *change, r *connect.Record, g guard) (done string, err error) {
	err = c.session(ctx, func(conn *sql.Conn) error {
		unlock, err := g(ctx, conn)
		if err != nil {
			return err
		}
		defer unlock()
		done, err = c.followIn(ctx, conn, n, ch, r)
		return err
	})
	return done, err
}

func (c *catalogue) followIn(ctx context.Context, conn *sql.Conn, n name, ch *change, r *connect.Record) (done string, err error) {
	def, err := catalog.Def(ctx, conn, n.db, n.table)
	if errors.Is(err, catalog.ErrNotFound) {
		return "", nil // it is made with its new shape
	}
	if err != nil {
		return "", fmt.Errorf("read the shape of table %s: %w", n, err)
	}
	extras, err := readExtras(ctx, conn, n)
	if err != nil {
		return "", fmt.Errorf("read the shape of table %s: %w", n, err)
	}
	a := planChange(ch, def, extras, c.charsets)
	if r.Flags&connect.Reread == 0 && !r.Scattered() { // else values may be of rows that have come before this
		if err := a.findLeftovers(ctx, conn, n); err != nil {
			return "", err
		}
	}
	stmt := a.statement(n, true)
	switch {
	case len(a.faults) > 0:
		return "", connect.Permanent(fmt.Errorf("jdbc: table %s cannot follow a change of %s: %s", n, r.Table, strings.Join(a.faults, "; ")))
	case stmt == "":
		return "", nil
	case c.evolution == evolveValidate:
		return "", connect.Permanent(fmt.Errorf("jdbc: table %s has to follow a change of %s: execute: %s; or set schema.evolution=%s", n, r.Table, stmt, evolveBasic))
	}
	return stmt, c.alter(ctx, conn, n, a, r)
}

// findLeftovers looks for columns that are new at the source and hold values
// in the target: of an earlier column of the name, which was kept. The source
// has NULL there, and sends no rows for that.
func (a *alteration) findLeftovers(ctx context.Context, conn *sql.Conn, n name) error {
	for i := range a.now.Columns {
		if a.from[i] >= 0 || a.at[i] < 0 || !a.now.Columns[i].Nullable {
			continue
		}
		column := quoted(a.now.Columns[i].Name)
		var one int
		err := conn.QueryRowContext(ctx, "SELECT 1 FROM "+n.quoted()+" WHERE "+column+" IS NOT NULL LIMIT 1").Scan(&one)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for values in column %s of table %s: %w", column, n, err)
		}
		a.faults = append(a.faults, fmt.Sprintf("column %s is new at the source, and the table has one with values: ALTER TABLE %s DROP COLUMN %s", column, n.quoted(), column))
	}
	return nil
}

// alter executes an alteration. Rows that stand in its way are ones that the
// source does not have so any more, which is told by the record: then they may
// be cut to fit, or go, for they are read anew.
func (c *catalogue) alter(ctx context.Context, conn *sql.Conn, n name, a *alteration, r *connect.Record) error {
	run := func(stmts ...string) (err error) {
		for _, stmt := range stmts {
			if _, err = conn.ExecContext(ctx, stmt); err != nil {
				return fmt.Errorf("%s: %w", stmt, err)
			}
		}
		return nil
	}
	stmt, mode := a.statement(n, true), "SET SESSION sql_mode = '"+relaxedMode+"'"
	err := run(stmt)
	if isData(err) && r.Flags&(connect.Reread|connect.Unsettled) != 0 {
		err = run(mode, stmt)
	}
	if isData(err) && r.Flags&connect.Reread != 0 && !r.Scattered() { // else rows that are read anew may be there already
		err = run("TRUNCATE TABLE "+n.quoted(), stmt)
	}
	if isCode(err, errDuplicate) && r.Flags&connect.Unsettled != 0 && len(a.uniques) > 0 {
		if stmt = a.statement(n, false); stmt == "" {
			return nil
		}
		err = run(stmt)
	}
	if err != nil && serverError(err) != nil && !isConflict(err) {
		return connect.Permanent(fmt.Errorf("jdbc: table %s cannot follow a change of %s: %w; execute what makes it fit, and start the connector again", n, r.Table, err))
	}
	return err
}

// drop removes a table; one that is not there is gone.
func (c *catalogue) drop(ctx context.Context, n name) error {
	return c.session(ctx, func(conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, "DROP TABLE IF EXISTS "+n.quoted())
		if isCode(err, errNoDatabase) {
			return nil
		}
		return err
	})
}
