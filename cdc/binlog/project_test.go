package binlog

import (
	"math/rand/v2"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// TestProject holds rows with columns left out against whole rows, for random
// choices of columns.
func TestProject(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var all, some connect.Batch
	records := 0
	rowsOf(t, "types.binlog", func(p *Plan, typ EventType, _, body []byte) {
		if err := decode(t, p, typ, body, &all); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			var keep []int
			for i := range p.table.Columns {
				if p.table.IsKey(i) || rng.IntN(2) == 0 {
					keep = append(keep, i)
				}
			}
			short, err := p.table.Project(keep)
			if err != nil {
				t.Fatal(err)
			}
			if err := decode(t, p.Project(short, keep, nil), typ, body, &some); err != nil {
				t.Fatal(err)
			}
			if len(some.Records) != len(all.Records) {
				t.Fatalf("table %s, columns %v: %d records of %d", p.table, keep, len(some.Records), len(all.Records))
			}
			for i := range all.Records[1:] {
				a, b := &all.Records[i+1], &some.Records[i+1]
				records++
				if !projected(a.Before, keep).Equal(b.Before) || !projected(a.After, keep).Equal(b.After) || a.Op != b.Op || a.Seq != b.Seq {
					t.Fatalf("table %s, columns %v: record %d is another one", p.table, keep, i)
				}
			}
		}
	})
	if records < 100 {
		t.Errorf("only %d records were compared", records)
	}
}

func projected(row schema.Row, keep []int) schema.Row {
	if row == nil {
		return nil
	}
	out := schema.Row{}
	for _, k := range keep {
		out = append(out, row[k])
	}
	return out
}

// TestProjectDoesNotAllocate: leaving columns out costs no memory either.
func TestProjectDoesNotAllocate(t *testing.T) {
	var b connect.Batch
	rowsOf(t, "types.binlog", func(p *Plan, typ EventType, _, body []byte) {
		keep := append([]int(nil), p.key...)
		if len(keep) == 0 {
			keep = []int{0}
		}
		short, err := p.table.Project(keep)
		if err != nil {
			t.Fatal(err)
		}
		p = p.Project(short, keep, nil)
		decodesInPlace(t, p, typ, body, &b)
	})
}

// TestSplit: an update of a column that rows are found by is a delete and an
// insert, as one of the key is.
func TestSplit(t *testing.T) {
	var b connect.Batch
	moved := 0
	rowsOf(t, "types.binlog", func(p *Plan, typ EventType, _, body []byte) {
		if typ != UpdateRowsEvent {
			return
		}
		var every []int
		for i := range p.table.Columns {
			every = append(every, i)
		}
		if err := decode(t, p.Project(p.table, nil, every), typ, body, &b); err != nil {
			t.Fatal(err)
		}
		for i := range b.Records[1:] {
			r := &b.Records[i+1]
			if r.Op == connect.OpUpdate && !r.Before.Equal(r.After) {
				t.Fatalf("table %s: an update changes a column that is split on", p.table)
			}
			if r.Flags&connect.KeyMoved != 0 {
				moved++
			}
		}
	})
	if moved == 0 {
		t.Error("no update was split")
	}
}
