package transform

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

func orders(t testing.TB) *schema.Table {
	tab, err := schema.New(&schema.Table{Database: "shop", Name: "orders", Key: []int{0}, Primary: true, Unique: [][]int{{1}},
		Columns: []schema.Column{
			{Name: "id", Type: schema.TypeBigInt},
			{Name: "email", Type: schema.TypeVarchar, Length: 100, Charset: "utf8mb4", Collation: "utf8mb4_bin"},
			{Name: "total", Type: schema.TypeDecimal, Precision: 10, Scale: 2, Nullable: true},
		}})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func row(b *connect.Batch, id int64, email string) schema.Row {
	r := b.NewRow(3)
	r[0], r[1], r[2] = schema.MakeInt(id), schema.MakeString(email), schema.MakeDecimal(1250, 2)
	return r
}

// batch has an insert, an update and a delete.
func batch(tab *schema.Table) *connect.Batch {
	b := &connect.Batch{}
	fillBatch(b, tab)
	return b
}

func fillBatch(b *connect.Batch, tab *schema.Table) {
	r := b.Add()
	r.Op, r.Table, r.Topic, r.Time, r.Seq, r.After = connect.OpInsert, tab, "p.shop.orders", 5_000_000, 7, row(b, 1, "a@x")
	r = b.Add()
	r.Op, r.Table, r.Topic, r.Before, r.After = connect.OpUpdate, tab, "p.shop.orders", row(b, 1, "a@x"), row(b, 1, "b@x")
	r = b.Add()
	r.Op, r.Table, r.Topic, r.Before = connect.OpDelete, tab, "p.shop.orders", row(b, 1, "b@x")
}

type drops map[string]int

func make1(t testing.TB, name string, d drops, pairs ...string) (connect.Transform, error) {
	for _, p := range Plugins() {
		if p.Name != name {
			continue
		}
		values := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			values[pairs[i]] = pairs[i+1]
		}
		return p.Transform(connect.NewConfig(name, p.Options, values), connect.Env{Drop: func(r string, n int) { d[r] += n }})
	}
	t.Fatal("no transform " + name)
	return nil, nil
}

// show writes a batch as text, a line for each record.
func show(b *connect.Batch) string {
	var s strings.Builder
	side := func(t *schema.Table, r schema.Row) string {
		if r == nil {
			return "-"
		}
		var c []string
		for i := range r {
			text := string(r[i].AppendText(nil, &t.Columns[i]))
			if r[i].IsNull() {
				text = "NULL"
			}
			c = append(c, t.Columns[i].Name+"="+text)
		}
		return strings.Join(c, " ")
	}
	for i := range b.Records {
		r := &b.Records[i]
		fmt.Fprintf(&s, "%c %s: %s | %s\n", r.Op, r.Topic, side(r.Table, r.Before), side(r.Table, r.After))
	}
	return strings.TrimSpace(s.String())
}

func TestTransforms(t *testing.T) {
	for _, c := range []struct {
		name  string
		pairs []string
		want  string
	}{
		{"ReplaceField", []string{"exclude", "total", "renames", "email:mail"}, `
c p.shop.orders: - | id=1 mail=a@x
u p.shop.orders: id=1 mail=a@x | id=1 mail=b@x
d p.shop.orders: id=1 mail=b@x | -`},
		{"ReplaceField", []string{"include", "id,total"}, `
c p.shop.orders: - | id=1 total=12.50
u p.shop.orders: id=1 total=12.50 | id=1 total=12.50
d p.shop.orders: id=1 total=12.50 | -`},
		{"InsertField", []string{"topic.field", "t", "static.field", "s!", "static.value", "v", "timestamp.field", "at"}, `
c p.shop.orders: - | id=1 email=a@x total=12.50 t=p.shop.orders at=1970-01-01 00:00:05.000000 s=v
u p.shop.orders: id=1 email=a@x total=12.50 t=p.shop.orders at=0000-00-00 00:00:00.000000 s=v | id=1 email=b@x total=12.50 t=p.shop.orders at=0000-00-00 00:00:00.000000 s=v
d p.shop.orders: id=1 email=b@x total=12.50 t=p.shop.orders at=0000-00-00 00:00:00.000000 s=v | -`},
		{"RegexRouter", []string{"regex", `p\.(.*)\.(.*)`, "replacement", `$2_in_$1\$`}, `
c orders_in_shop$: - | id=1 email=a@x total=12.50
u orders_in_shop$: id=1 email=a@x total=12.50 | id=1 email=b@x total=12.50
d orders_in_shop$: id=1 email=b@x total=12.50 | -`},
		{"RegexRouter", []string{"regex", `shop`, "replacement", `x`}, `
c p.shop.orders: - | id=1 email=a@x total=12.50
u p.shop.orders: id=1 email=a@x total=12.50 | id=1 email=b@x total=12.50
d p.shop.orders: id=1 email=b@x total=12.50 | -`},
		{"Filter", nil, ``},
		{"MaskField", []string{"fields", "email,total,none"}, `
c p.shop.orders: - | id=1 email= total=0.00
u p.shop.orders: id=1 email= total=0.00 | id=1 email= total=0.00
d p.shop.orders: id=1 email= total=0.00 | -`},
		{"MaskField", []string{"fields", "email", "replacement", "***"}, `
c p.shop.orders: - | id=1 email=*** total=12.50
u p.shop.orders: id=1 email=*** total=12.50 | id=1 email=*** total=12.50
d p.shop.orders: id=1 email=*** total=12.50 | -`},
		{"ExtractNewRecordState", []string{"add.fields", "op,source.table:tab,seq"}, `
c p.shop.orders: - | id=1 email=a@x total=12.50 __op=c __tab=orders __seq=7
u p.shop.orders: - | id=1 email=b@x total=12.50 __op=u __tab=orders __seq=0
d p.shop.orders: id=1 email=b@x total=12.50 __op=d __tab=orders __seq=0 | -`},
		{"ExtractNewRecordState", []string{"delete.tombstone.handling.mode", "rewrite"}, `
c p.shop.orders: - | id=1 email=a@x total=12.50 __deleted=false
u p.shop.orders: - | id=1 email=b@x total=12.50 __deleted=false
u p.shop.orders: - | id=1 email=b@x total=12.50 __deleted=true`},
		{"ExtractNewRecordState", []string{"delete.tombstone.handling.mode", "drop", "route.by.field", "email"}, `
c a@x: - | id=1 email=a@x total=12.50
u b@x: - | id=1 email=b@x total=12.50`},
	} {
		tr, err := make1(t, c.name, drops{}, c.pairs...)
		if err != nil {
			t.Errorf("%s %v: %v", c.name, c.pairs, err)
			continue
		}
		b := batch(orders(t))
		if err := tr.Apply(context.Background(), b); err != nil {
			t.Errorf("%s %v: %v", c.name, c.pairs, err)
		}
		if got := show(b); got != strings.TrimSpace(c.want) {
			t.Errorf("%s %v gives\n%s\nwant%s", c.name, c.pairs, got, c.want)
		}
	}
}

func TestTransformsRefuse(t *testing.T) {
	for _, c := range []struct {
		name  string
		pairs []string
		want  string
	}{
		{"ReplaceField", []string{"exclude", "id"}, "column id belongs to the key"},
		{"MaskField", []string{"fields", "id"}, "column id belongs to the key"},
		{"MaskField", []string{"fields", "total", "replacement", "x"}, `"x" is not a decimal`},
		{"InsertField", []string{"static.field", "email", "static.value", "v"}, "has a column email already"},
		{"ReplaceField", []string{"renames", "email:id"}, `column "id" is there twice`},
	} {
		tr, err := make1(t, c.name, drops{}, c.pairs...)
		if err == nil {
			err = tr.Apply(context.Background(), batch(orders(t)))
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !connect.IsPermanent(err) {
			t.Errorf("%s %v: %v, want a permanent error with %q", c.name, c.pairs, err, c.want)
		}
	}
}

func TestDropsAreCounted(t *testing.T) {
	d := drops{}
	for _, name := range []string{"Filter", "ExtractNewRecordState"} {
		tr, err := make1(t, name, d, "delete.tombstone.handling.mode", "drop")
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Apply(context.Background(), batch(orders(t))); err != nil {
			t.Fatal(err)
		}
	}
	if d["Filter"] != 3 || d["ExtractNewRecordState"] != 1 {
		t.Fatalf("counted %v", d)
	}
}

func TestTransformsDoNotAllocate(t *testing.T) {
	tab := orders(t)
	for _, c := range [][]string{
		{"ReplaceField", "exclude", "total"},
		{"InsertField", "topic.field", "t", "timestamp.field", "at", "static.field", "s", "static.value", "v"},
		{"RegexRouter", "regex", `p\.(.*)`, "replacement", "$1"},
		{"Filter"},
		{"MaskField", "fields", "email,total"},
		{"ExtractNewRecordState", "add.fields", "op,ts_ms,table"},
	} {
		tr, err := make1(t, c[0], drops{}, c[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		var b connect.Batch
		run := func() {
			b.Reset()
			fillBatch(&b, tab)
			if err := tr.Apply(context.Background(), &b); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(50, run); n != 0 {
			t.Errorf("%s allocates %v times for three records", c[0], n)
		}
	}
}

func TestPredicates(t *testing.T) {
	get := func(name string, pairs ...string) connect.Predicate {
		for _, p := range Predicates() {
			if p.Name == name {
				pr, err := p.Predicate(connect.NewConfig(name, p.Options, map[string]string{pairs[0]: pairs[1]}), connect.Env{})
				if err != nil {
					t.Fatal(err)
				}
				return pr
			}
		}
		t.Fatal("no predicate " + name)
		return nil
	}
	r := &connect.Record{Topic: "a.b", Op: connect.OpDelete, Headers: []connect.Header{{Key: "h"}}}
	if !get("TopicNameMatches", "pattern", "a.*").Test(r) || get("TopicNameMatches", "pattern", "a").Test(r) {
		t.Error("TopicNameMatches")
	}
	if !get("HasHeaderKey", "name", "h").Test(r) || get("HasHeaderKey", "name", "H").Test(r) {
		t.Error("HasHeaderKey")
	}
	tomb := get("RecordIsTombstone", "", "")
	if tomb.Test(r) {
		t.Error("a delete in its envelope is taken for a tombstone")
	}
	r.Flags = connect.Unwrapped
	if !tomb.Test(r) {
		t.Error("an unwrapped delete is not taken for a tombstone")
	}
}
