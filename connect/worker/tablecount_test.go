package worker

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// countsOf returns what reg shows of the records of each table.
func countsOf(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "towline_records_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			got[labels["connector"]+"-"+labels["task"]+" "+labels["table"]+" "+labels["what"]] = m.GetCounter().GetValue()
		}
	}
	return got
}

func countedTable(t *testing.T, name string, columns ...schema.Column) *schema.Table {
	t.Helper()
	x, err := schema.New(&schema.Table{Database: "d", Name: name, Columns: append([]schema.Column{{Name: "id", Type: schema.TypeInt}}, columns...)})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// What is counted of tables is shown when it is asked for, shapes of one table
// together, and goes with the task only if that is to be forgotten.
func TestTableCounts(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	a, wider, b := countedTable(t, "a"), countedTable(t, "a", schema.Column{Name: "v", Type: schema.TypeInt}), countedTable(t, "b")
	batch := func(tables ...*schema.Table) *connect.Batch {
		x := new(connect.Batch)
		for _, table := range tables {
			x.Add().Table = table
		}
		return x
	}
	check := func(what string, want map[string]float64) {
		t.Helper()
		got := countsOf(t, reg)
		if len(got) != len(want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
			return
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: got %v, want %v", what, got, want)
				return
			}
		}
	}
	one, two := newMeter(m, taskID{"x", 0}), newMeter(m, taskID{"x", 1})
	m.join(one)
	m.join(two)
	one.read(batch(a, a, wider, nil, b, a))
	one.written(batch(a, wider), 10)
	two.wrote(batch(b), nil)
	want := map[string]float64{"x-0 d.a read": 4, "x-0 d.b read": 1, "x-0  read": 1, "x-0 d.a written": 2, "x-1 d.b written": 1}
	check("first", want)
	check("again", want)
	one.read(batch(b))
	want["x-0 d.b read"] = 2
	check("more", want)
	two.read(batch(b)) // not asked for before it leaves
	m.leave(two, forgetNothing)
	want["x-1 d.b read"] = 1
	check("left", want)
	again := newMeter(m, taskID{"x", 1})
	m.join(again)
	again.read(batch(b))
	want["x-1 d.b read"] = 2
	check("another one of the same task", want)
	m.leave(again, forgetAll)
	delete(want, "x-1 d.b read")
	delete(want, "x-1 d.b written")
	check("forgotten", want)
}

// Nothing is allocated for tables that were counted before.
func TestCountingTakesNoMemory(t *testing.T) {
	meter := newMeter(NewMetrics(prometheus.NewRegistry()), taskID{"x", 0})
	x := new(connect.Batch)
	for i := range 100 {
		x.Add().Table = countedTable(t, string(rune('a'+i%20)))
	}
	run := func() { meter.read(x) }
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
