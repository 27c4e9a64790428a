package apply

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

func table(t testing.TB) *schema.Table {
	x, err := schema.New(&schema.Table{Database: "d", Name: "t", Key: []int{0}, Unique: [][]int{{1}}, Columns: []schema.Column{
		{Name: "id", Type: schema.TypeInt}, {Name: "u", Type: schema.TypeInt}, {Name: "v", Type: schema.TypeInt}}})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func row(values ...int) schema.Row {
	r := make(schema.Row, len(values))
	for i, v := range values {
		r[i] = schema.MakeInt(int64(v))
		if v < 0 {
			r[i] = schema.MakeAbsent()
		}
	}
	return r
}

func rec(op connect.Op, before, after schema.Row) connect.Record {
	return connect.Record{Op: op, Before: before, After: after}
}

func text(t *Table) string {
	var s string
	for _, c := range t.Changes {
		s += "["
		for _, v := range c.Row {
			s += string(v.AppendText(nil, nil)) + " "
		}
		s += fmt.Sprintf("last=%d", c.Last)
		for name, on := range map[string]bool{"gone": c.Gone} {
			if on {
				s += " " + name
			}
		}
		if c.Partial {
			s += " partial"
		}
		if c.Moved {
			s += " moved"
		}
		s += "]"
	}
	return s
}

func TestCompaction(t *testing.T) {
	for _, c := range []struct {
		name string
		recs []connect.Record
		want string
	}{
		{"insert, update", []connect.Record{rec('c', nil, row(1, 1, 1)), rec('u', row(1, 1, 1), row(1, 1, 2))}, "[1 1 2 last=1]"},
		{"insert, delete", []connect.Record{rec('c', nil, row(1, 1, 1)), rec('d', row(1, 1, 1), nil)}, "[1 1 1 last=1 gone]"},
		{"delete, insert alike", []connect.Record{rec('d', row(1, 1, 1), nil), rec('c', nil, row(1, 1, 5))}, "[1 1 5 last=1]"},
		{"delete, insert with another value", []connect.Record{rec('d', row(1, 1, 1), nil), rec('c', nil, row(1, 2, 5))}, "[1 2 5 last=1 moved]"},
		{"update moves", []connect.Record{rec('u', row(1, 1, 1), row(1, 2, 1)), rec('u', row(1, 2, 1), row(1, 2, 9))}, "[1 2 9 last=1 moved]"},
		{"update of the rest", []connect.Record{rec('u', row(1, 1, 1), row(1, 1, 3))}, "[1 1 3 last=0]"},
		{"read", []connect.Record{rec('r', nil, row(1, 1, 1))}, "[1 1 1 last=0 moved]"},
		{"the key moves", []connect.Record{rec('u', row(1, 1, 1), row(2, 1, 1))}, "[1 1 1 last=0 gone][2 1 1 last=0 moved]"},
		{"partial", []connect.Record{rec('u', row(1, -1, -1), row(1, -1, 3))}, "[1  3 last=0 partial]"},
		{"partial after whole", []connect.Record{rec('c', nil, row(1, 4, 4)), rec('u', row(1, -1, -1), row(1, -1, 3))}, "[1 4 3 last=1]"},
		{"partial twice", []connect.Record{rec('u', row(1, -1, -1), row(1, 7, -1)), rec('u', row(1, -1, -1), row(1, -1, 3))}, "[1 7 3 last=1 moved]"},
	} {
		x := NewTable([]int{0}, [][]int{{1}}, false)
		for i := range c.recs {
			if err := x.Add(i, &c.recs[i]); err != nil {
				t.Fatal(err)
			}
		}
		if got := text(x); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	x := NewTable([]int{0}, nil, false)
	for _, bad := range []connect.Record{rec('c', nil, row(-1, 1, 1)), rec('d', schema.Row{{}, {}, {}}, nil), rec('d', nil, nil)} {
		if err := x.Add(0, &bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

// TestDeletesThenRowsIsEnough applies random changes as a target does, which
// deletes what is gone or moved and then writes rows, each of which must find
// its unique value free, and compares with a model.
func TestDeletesThenRowsIsEnough(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	_ = table(t)
	source, target := map[int][2]int{}, map[int][2]int{}
	x := NewTable([]int{0}, [][]int{{1}}, false)
	for range 3000 {
		var recs []connect.Record
		for range rnd.IntN(12) {
			recs = append(recs, step(rnd, source)...)
		}
		x.Reset()
		for i := range recs {
			if err := x.Add(i, &recs[i]); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range x.Changes {
			if c.Gone || c.Moved {
				delete(target, int(c.Row[0].Int()))
			}
		}
		for _, c := range x.Changes {
			if c.Gone {
				continue
			}
			id, u := int(c.Row[0].Int()), int(c.Row[1].Int())
			for other, r := range target {
				if other != id && r[0] == u {
					t.Fatalf("value %d of row %d is that of row %d yet: %s", u, id, other, text(x))
				}
			}
			target[id] = [2]int{u, int(c.Row[2].Int())}
		}
		if fmt.Sprint(source) != fmt.Sprint(target) {
			t.Fatalf("\n got %v\nwant %v", target, source)
		}
	}
}

func step(rnd *rand.Rand, source map[int][2]int) []connect.Record {
	id, u, v := rnd.IntN(6), rnd.IntN(8), rnd.IntN(100)
	for other, r := range source {
		if r[0] == u && other != id {
			return nil
		}
	}
	old, there := source[id]
	before := row(id, old[0], old[1])
	switch {
	case there && rnd.IntN(3) == 0:
		delete(source, id)
		return []connect.Record{rec('d', before, nil)}
	case there:
		source[id] = [2]int{u, v}
		return []connect.Record{rec('u', before, row(id, u, v))}
	}
	source[id] = [2]int{u, v}
	return []connect.Record{rec('c', nil, row(id, u, v))}
}

func TestKeys(t *testing.T) {
	var k Keys
	for round := range 3 {
		for i := range 5000 {
			if n, added := k.Add(fmt.Appendf(nil, "%d-%d", round, i)); n != i || !added {
				t.Fatalf("key %d is %d, %v", i, n, added)
			}
		}
		if n, added := k.Add(fmt.Appendf(nil, "%d-77", round)); n != 77 || added || k.Len() != 5000 {
			t.Fatalf("got %d, %v", n, added)
		}
		k.Reset()
	}
}

func TestTableTakesNoMemory(t *testing.T) {
	x := NewTable([]int{0}, [][]int{{1}}, false)
	recs := make([]connect.Record, 500)
	for i := range recs {
		recs[i] = rec('u', row(i/3, i, i), row(i/3, i, -1))
	}
	run := func() {
		x.Reset()
		for i := range recs {
			_ = x.Add(i, &recs[i])
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations for %d records", n, len(recs))
	}
}
