package frame

import (
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/schema"
)

func make1() connect.Converter { return new(Converter) }

func TestContract(t *testing.T) {
	connecttest.TestConverter(t, make1, connecttest.ConverterCaps{Decodes: true})
}

func TestContractOdd(t *testing.T) {
	connecttest.TestConverter(t, make1, connecttest.ConverterCaps{Decodes: true, Tune: func(g *connecttest.Gen) { g.Odd = true }})
}

func TestPlugin(t *testing.T) {
	p := Plugin()
	c, err := p.Converter(connect.NewConfig("c", p.Options, nil), connect.Env{})
	if _, ok := c.(*Converter); !ok || err != nil || p.Name != "frame" {
		t.Fatalf("%T, %v", c, err)
	}
}

// TestImpliedKinds: every type implies the kind of its values, or each of them
// costs a byte and more.
func TestImpliedKinds(t *testing.T) {
	g := connecttest.NewGen(1)
	tab := g.WideTable()
	cols := columnsOf(tab)
	for range 50 {
		var b connect.Batch
		for i, v := range g.Row(&b, tab) {
			_, aux, p := v.Raw()
			wide := v.Kind() == schema.Decimal && p != nil
			if !v.IsNull() && (v.Kind() != cols[i].kind || aux != cols[i].aux || wide != cols[i].wide) {
				t.Fatalf("column %s implies %+v, its value is %s(%d)", tab.Columns[i].Type, cols[i], v.Kind(), aux)
			}
		}
	}
}

// TestIdleKeepsNothing: what a large batch was written to goes.
func TestIdleKeepsNothing(t *testing.T) {
	g := connecttest.NewGen(1)
	tab := g.WideTable()
	var b connect.Batch
	for range 200 {
		r := b.Add()
		r.Op, r.Table, r.Topic, r.After = connect.OpInsert, tab, "t", g.Row(&b, tab)
	}
	var c Converter
	var m connect.Messages
	if err := c.Encode(&m, &b); err != nil {
		t.Fatal(err)
	}
	held := func() int {
		e := &c.enc
		return cap(e.buf) + cap(e.body) + cap(e.places) + cap(e.open) + cap(e.groups.next)
	}
	if before := held(); before < 10_000 {
		t.Fatalf("%d bytes are held before", before)
	}
	c.Idle()
	if n := held(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}
