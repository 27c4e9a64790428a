package transform

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// Ways to treat deletes; the names are Debezium's.
const (
	deleteDrop        = "drop"
	deleteTombstone   = "tombstone"
	deleteRewrite     = "rewrite"
	deleteToTombstone = "delete-to-tombstone"
)

func unwrapPlugin() connect.Plugin {
	return connect.Plugin{
		Name: "ExtractNewRecordState", Aliases: []string{"io.debezium.transforms.ExtractNewRecordState"},
		Doc: "Makes the row itself the record's value, without the envelope around it.",
		Options: []connect.Option{
			{Name: "delete.tombstone.handling.mode", Type: connect.TypeString, Default: deleteTombstone, Importance: connect.Medium,
				Values: []string{deleteDrop, deleteTombstone, deleteRewrite, deleteToTombstone},
				Doc: "What becomes of a delete: `drop` leaves it out; `tombstone` and `delete-to-tombstone` give a key without a value; " +
					"`rewrite` gives the row as it was with the column `__deleted` set to `true` (`false` in all other records)."},
			{Name: "add.fields", Type: connect.TypeList, Importance: connect.Low, Check: checkMeta,
				Doc: "Facts to add as columns: `op`, `table`, `db`, `ts_ms`, `source.ts_ms`, `source.db`, `source.table`, `source.gtid`, `source.file`, `source.pos`, " +
					"`source.row`, `source.server_id`, `source.snapshot`, `seq`. `fact:name` gives it another name."},
			{Name: "add.fields.prefix", Type: connect.TypeString, Default: "__", Importance: connect.Low, Doc: "What the names of added columns begin with."},
			{Name: "route.by.field", Type: connect.TypeString, Importance: connect.Low, Doc: "A column whose value names the topic."},
		},
		Transform: func(cfg connect.Config, env connect.Env) (connect.Transform, error) { return newUnwrap(cfg, env), nil },
	}
}

// meta is one fact about a record: the column that holds it, and its value.
type meta struct {
	column schema.Column
	value  func(b *connect.Batch, r *connect.Record) schema.Value
}

func textColumn(length int) schema.Column {
	return schema.Column{Type: schema.TypeVarchar, Length: length, Charset: "utf8mb4", Collation: "utf8mb4_bin", Nullable: true}
}

func intColumn() schema.Column { return schema.Column{Type: schema.TypeBigInt, Nullable: true} }

// metas are the facts that add.fields may name, without "source.".
var metas = map[string]meta{
	"op": {textColumn(1), func(b *connect.Batch, r *connect.Record) schema.Value {
		return schema.MakeBytes(schema.String, append(b.Alloc(1)[:0], byte(r.Op)))
	}},
	"table": {textColumn(64), func(_ *connect.Batch, r *connect.Record) schema.Value { return schema.MakeString(r.Table.Name) }},
	"db":    {textColumn(64), func(_ *connect.Batch, r *connect.Record) schema.Value { return schema.MakeString(r.Table.Database) }},
	"ts_ms": {intColumn(), func(_ *connect.Batch, r *connect.Record) schema.Value { return schema.MakeInt(r.Time / 1000) }},
	"seq":   {intColumn(), func(_ *connect.Batch, r *connect.Record) schema.Value { return schema.MakeInt(int64(r.Seq)) }},
	"row":   {intColumn(), func(_ *connect.Batch, r *connect.Record) schema.Value { return schema.MakeInt(int64(r.Row)) }},
	"gtid": {textColumn(128), fromOrigin(func(b *connect.Batch, o *connect.Origin) schema.Value {
		if o.GNO == 0 {
			return schema.Value{}
		}
		return schema.MakeBytes(schema.String, b.Use(o.AppendGTID(b.Scratch(96))))
	})},
	"file":      {textColumn(255), fromOrigin(func(_ *connect.Batch, o *connect.Origin) schema.Value { return schema.MakeString(o.File) })},
	"pos":       {intColumn(), fromOrigin(func(_ *connect.Batch, o *connect.Origin) schema.Value { return schema.MakeInt(int64(o.Pos)) })},
	"server_id": {intColumn(), fromOrigin(func(_ *connect.Batch, o *connect.Origin) schema.Value { return schema.MakeInt(int64(o.ServerID)) })},
	"snapshot": {textColumn(5), func(_ *connect.Batch, r *connect.Record) schema.Value {
		if r.Op == connect.OpRead {
			return schema.MakeString("true")
		}
		return schema.MakeString("false")
	}},
}

func fromOrigin(f func(*connect.Batch, *connect.Origin) schema.Value) func(*connect.Batch, *connect.Record) schema.Value {
	return func(b *connect.Batch, r *connect.Record) schema.Value {
		if r.Origin == nil {
			return schema.Value{}
		}
		return f(b, r.Origin)
	}
}

func checkMeta(list string) error {
	for _, f := range connect.SplitList(list) {
		fact, _, _ := strings.Cut(f, ":")
		if _, ok := metas[strings.TrimPrefix(fact, "source.")]; !ok {
			return fmt.Errorf("there is no fact %q to add", fact)
		}
	}
	return nil
}

type unwrap struct {
	deletes string
	facts   []meta
	route   string
	drop    func(string, int)
	tables  *derived[*schema.Table]
}

func newUnwrap(cfg connect.Config, env connect.Env) *unwrap {
	u := &unwrap{deletes: strings.ToLower(cfg.String("delete.tombstone.handling.mode")), route: cfg.String("route.by.field"), drop: env.Drop}
	prefix := cfg.String("add.fields.prefix")
	for _, f := range cfg.List("add.fields") {
		fact, name, renamed := strings.Cut(f, ":")
		if !renamed {
			name = strings.ReplaceAll(fact, ".", "_")
		}
		m := metas[strings.TrimPrefix(fact, "source.")]
		m.column.Name = prefix + name
		u.facts = append(u.facts, m)
	}
	if u.deletes == deleteRewrite {
		deleted := meta{textColumn(5), func(_ *connect.Batch, r *connect.Record) schema.Value {
			if r.Op == connect.OpDelete {
				return schema.MakeString("true")
			}
			return schema.MakeString("false")
		}}
		deleted.column.Name = "__deleted"
		u.facts = append(u.facts, deleted)
	}
	u.tables = newDerived(u.derive)
	return u
}

func (u *unwrap) derive(t *schema.Table) (*schema.Table, error) {
	if len(u.facts) == 0 {
		return t, nil
	}
	more := make([]schema.Column, len(u.facts))
	for i := range u.facts {
		more[i] = u.facts[i].column
	}
	return extend(t, more...)
}

// Apply implements connect.Transform.
func (u *unwrap) Apply(_ context.Context, b *connect.Batch) error {
	dropped := 0
	for i := range b.Records {
		r := &b.Records[i]
		if r.Op == connect.OpMessage {
			continue
		}
		t, err := u.tables.of(r.Table)
		if err != nil {
			return err
		}
		if r.Op.HasRow() {
			u.apply(b, r)
		}
		if r.Op == connect.OpDelete && u.deletes == deleteDrop {
			dropped++
		}
		r.Table = t
	}
	if dropped > 0 {
		u.drop("ExtractNewRecordState", dropped) // invariant 5
		b.Keep(func(r *connect.Record) bool { return r.Op != connect.OpDelete })
	}
	return nil
}

// apply unwraps one record. Before stays for deletes, since it has the key.
func (u *unwrap) apply(b *connect.Batch, r *connect.Record) {
	r.Flags |= connect.Unwrapped
	n := len(r.Table.Columns)
	row := r.After
	if r.Op == connect.OpDelete {
		row = r.Before
	}
	if u.route != "" {
		u.routeBy(r, row)
	}
	if len(u.facts) > 0 {
		row = extendRow(b, row, len(u.facts))
		for i := range u.facts {
			row[n+i] = u.facts[i].value(b, r)
		}
	}
	switch {
	case r.Op != connect.OpDelete:
		r.Before, r.After = nil, row
	case u.deletes == deleteRewrite: // a row like any other from here on
		r.Op, r.Before, r.After = connect.OpUpdate, nil, row
	default:
		r.Before = row
	}
}

func (u *unwrap) routeBy(r *connect.Record, row schema.Row) {
	i := slices.IndexFunc(r.Table.Columns, func(c schema.Column) bool { return c.Name == u.route })
	if i >= 0 && !row[i].IsNull() {
		r.Reroute(string(row[i].AppendText(nil, &r.Table.Columns[i])))
	}
}
