package connect

import (
	"slices"
	"testing"

	"github.com/towline/towline/schema"
)

func TestSchemaChangeTravelsInAHeader(t *testing.T) {
	table := func(columns ...string) *schema.Table {
		n := &schema.Table{Database: "d", Name: "t", Key: []int{0}, Primary: true}
		for _, c := range columns {
			n.Columns = append(n.Columns, schema.Column{Name: c, Type: schema.TypeInt})
		}
		n, err := schema.New(n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	want := &SchemaChange{Was: table("id", "gone", "a"), Now: table("id", "b", "new"), From: []int{0, 2, -1}}
	var b Batch
	r := b.Add()
	r.Headers = append(r.Headers, Header{Key: "other"})
	if got, err := r.SchemaChange(); got != nil || err != nil {
		t.Fatalf("%v, %v of a record without one", got, err)
	}
	r.SetSchemaChange(&b, want)
	got, err := r.SchemaChange()
	if err != nil || got.Was.ID() != want.Was.ID() || got.Now.ID() != want.Now.ID() || !slices.Equal(got.From, want.From) || len(r.Headers) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	p := r.Headers[1].Value
	for n := range p {
		if _, err := parseSchemaChange(p[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are taken", n, len(p))
		}
	}
	for _, bad := range [][]byte{append([]byte{2}, p[1:]...), append(slices.Clone(p), 0), append(slices.Clone(p[:len(p)-1]), 9)} {
		if _, err := parseSchemaChange(bad); err == nil {
			t.Errorf("%x is taken", bad)
		}
	}
}
