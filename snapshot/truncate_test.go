package snapshot

import (
	"slices"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// A truncation goes out when the number of its run is durable, and nothing behind
// it until it is durable itself. Those of later runs, and later ones of a run, have
// greater numbers, also where nothing but the number of the run was saved.
func TestTruncationsAreNumbered(t *testing.T) {
	a, b := simShape("a", false, 0), simShape("b", false, 0)
	var last uint64
	var state []offsets.Entry
	for range 3 {
		w := newWeaver(Config{}, &listed{tables: nil}, connect.Env{})
		if err := w.load(state, false); err != nil {
			t.Fatal(err)
		}
		k := &script{t: t, w: w, l: w.changes.(*listed)}
		k.l.tables = append(k.l.tables, a, b)
		w.resume(nil)
		k.stream()
		var out connect.Batch
		next := func() bool {
			out.Reset()
			if !w.emitNext(&out, true) {
				return false
			}
			w.out(&out)
			if slices.ContainsFunc(out.State, func(e offsets.Entry) bool { return e.Key == runKey }) {
				state = slices.Clone(out.State) // a kill leaves no more than this
			}
			return true
		}
		for next() {
			w.committed()
		}
		for range 2 {
			for _, n := range []string{"a", "b"} {
				w.tables[tableName{"sim", n}].dirty = true
				w.restart(w.tables[tableName{"sim", n}])
			}
			for next() && len(out.Records) == 0 {
				if in := (connect.Batch{}); next() || !w.holds(&in) {
					t.Fatal("something goes out before the number of the run is durable")
				}
				w.committed()
			}
			if len(out.Records) != 2 {
				t.Fatalf("%d records", len(out.Records))
			}
			for i := range out.Records {
				r := &out.Records[i]
				if r.Op != connect.OpTruncate || r.Origin.Copy <= last {
					t.Fatalf("record %d is %c %d behind %d", i, r.Op, r.Origin.Copy, last)
				}
				last = r.Origin.Copy
			}
			if in := (connect.Batch{}); next() || !w.holds(&in) {
				t.Fatal("something goes out before the truncation is durable")
			}
			w.committed()
			for next() {
				w.committed()
			}
		}
	}
}
