package transform

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

func replaceFieldPlugin() connect.Plugin {
	return connect.Plugin{
		Name: "ReplaceField", Aliases: []string{"org.apache.kafka.connect.transforms.ReplaceField"},
		Doc: "Leaves out or renames columns.",
		Options: []connect.Option{
			{Name: "include", Aliases: []string{"whitelist"}, Type: connect.TypeList, Importance: connect.Medium,
				Doc: "The columns to keep. Empty: all. Names that a table does not have are passed over."},
			{Name: "exclude", Aliases: []string{"blacklist"}, Type: connect.TypeList, Importance: connect.Medium,
				Doc: "The columns to leave out; they win over `include`."},
			{Name: "renames", Type: connect.TypeList, Importance: connect.Medium, Check: func(v string) error { _, err := pairs(v); return err },
				Doc: "Columns to rename, as `from:to`."},
			sideOption(),
		},
		Transform: func(cfg connect.Config, _ connect.Env) (connect.Transform, error) {
			renames, err := pairs(cfg.String("renames"))
			if err != nil {
				return nil, connect.Permanent(err)
			}
			f := &replaceField{include: cfg.List("include"), exclude: cfg.List("exclude"), renames: renames}
			f.tables = newDerived(f.derive)
			return f, nil
		},
	}
}

func pairs(list string) (map[string]string, error) {
	m := map[string]string{}
	for _, p := range connect.SplitList(list) {
		from, to, ok := strings.Cut(p, ":")
		if !ok || from == "" || to == "" {
			return nil, fmt.Errorf("%q is not from:to", p)
		}
		m[from] = to
	}
	return m, nil
}

type replaceField struct {
	include, exclude []string
	renames          map[string]string
	tables           *derived[projection]
}

type projection struct {
	table *schema.Table
	keep  []int
	same  bool // only names change: rows stay as they are
}

func (f *replaceField) derive(t *schema.Table) (projection, error) {
	var p projection
	var names []string
	for i := range t.Columns {
		name := t.Columns[i].Name
		if slices.Contains(f.exclude, name) || len(f.include) > 0 && !slices.Contains(f.include, name) {
			continue
		}
		if to, ok := f.renames[name]; ok {
			name = to
		}
		p.keep, names = append(p.keep, i), append(names, name)
	}
	p.same = len(p.keep) == len(t.Columns)
	var err error
	p.table, err = project(t, p.keep, names)
	return p, err
}

// Apply implements connect.Transform.
func (f *replaceField) Apply(_ context.Context, b *connect.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		if r.Op == connect.OpMessage {
			continue
		}
		p, err := f.tables.of(r.Table)
		if err != nil {
			return err
		}
		r.Table = p.table
		if !p.same {
			r.Before, r.After = p.row(b, r.Before), p.row(b, r.After)
		}
	}
	return nil
}

func (p *projection) row(b *connect.Batch, row schema.Row) schema.Row {
	if row == nil {
		return nil
	}
	n := b.NewRow(len(p.keep))
	for i, k := range p.keep {
		n[i] = row[k]
	}
	return n
}
