package mysql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/schema"
)

// view is a captured table as the stream and the readers of its rows have it.
// Both go by it, so that a row looks the same on both ways.
type view struct {
	logged *schema.Table // as the log has it
	table  *schema.Table // as rows have it; logged itself if nothing is left out
	keep   []int         // the columns of logged that table has; nil: all
	split  []int         // columns of table that are the key of messages
}

// view returns how rows of t are read. It fails if the options cannot hold for
// t.
func (f *filter) view(t *schema.Table) (*view, error) {
	v := &view{logged: t, table: t}
	if len(f.columnInclude)+len(f.columnExclude) > 0 {
		keep, err := f.columns(t)
		if err != nil {
			return nil, err
		}
		if len(keep) < len(t.Columns) {
			v.keep = keep
			if v.table, err = t.Project(keep); err != nil {
				return nil, err
			}
		}
	}
	var err error
	if v.split, err = f.messageKey(v.table); err != nil {
		return nil, err
	}
	_, err = f.dress(v.table) // the Editor is not to meet what does not hold
	return v, err
}

// plan returns the decoding of v's rows: p decodes all of an image.
func (v *view) plan(p *binlog.Plan) *binlog.Plan {
	if v.keep == nil && v.split == nil {
		return p
	}
	return p.Project(v.table, v.keep, v.split)
}

// columns returns the columns of t that are captured.
func (f *filter) columns(t *schema.Table) (keep []int, err error) {
	messages, err := f.messageKey(t)
	if err != nil {
		return nil, err
	}
	if f.whole != "" && strings.EqualFold(t.String(), f.whole) {
		for i := range t.Columns {
			keep = append(keep, i)
		}
		return keep, nil
	}
	for i := range t.Columns {
		name := t.String() + "." + t.Columns[i].Name
		key := t.IsKey(i) || slices.Contains(messages, i)
		switch {
		case matches(f.columnExclude, name):
			if key {
				return nil, fmt.Errorf("%s matches %s, which belongs to the key: without it rows cannot be told apart; correct the expression, or mask the column", optColumnExclude, name)
			}
		case len(f.columnInclude) == 0, key, matches(f.columnInclude, name):
			keep = append(keep, i)
		}
	}
	if len(keep) == 0 {
		return nil, fmt.Errorf("no column of table %s is captured; correct %s, or leave the table out with %s", t, optColumnInclude, optTableExclude)
	}
	return keep, nil
}

// view returns how records show a table whose shape is known.
func (s *shapes) view(n tableName) (*view, error) {
	t := s.table(n)
	if t == nil {
		return nil, fmt.Errorf("the shape of table %s is not known", n)
	}
	if v := s.views[n]; v != nil && v.logged == t {
		return v, nil
	}
	v, err := s.filter.view(t)
	if err != nil {
		return nil, err
	}
	s.views[n] = v
	return v, nil
}

// shown returns the shape of a captured table's records, nil if there are none.
func (s *shapes) shown(n tableName) *schema.Table {
	if s.table(n) == nil {
		return nil
	}
	v, err := s.view(n)
	if err != nil {
		return nil
	}
	return v.table
}

// viewable returns what is wrong with the options for the captured tables.
func (s *shapes) viewable() error {
	for _, n := range s.names(func(n tableName) bool { return s.filter.table(n.db, n.table) && !s.stopped(n) }) {
		if s.table(n) == nil {
			continue
		}
		if _, err := s.view(n); err != nil {
			return err
		}
	}
	return nil
}
