package connect

import (
	"fmt"
	"testing"

	"github.com/towline/towline/schema"
)

func fill(b *Batch) {
	for range 256 {
		r := b.Add()
		r.Op, r.After, r.Origin = OpInsert, b.NewRow(8), b.NewOrigin()
		for i := range r.After {
			p := append(b.Scratch(16), "0123456789abcdef"[:i+1]...)
			r.After[i] = schema.MakeBytes(schema.String, b.Use(p))
		}
	}
}

func TestBatchFillsWithoutAllocating(t *testing.T) {
	var b Batch
	fill(&b)
	n := testing.AllocsPerRun(20, func() { b.Reset(); fill(&b) })
	if n != 0 {
		t.Fatalf("a warm batch allocates %v times", n)
	}
}

func TestBatchResetGivesNullRows(t *testing.T) {
	var b Batch
	fill(&b)
	b.Reset()
	for range 3 {
		for i, v := range b.NewRow(3000) {
			if !v.IsNull() {
				t.Fatalf("value %d of a new row is %v", i, v.Kind())
			}
		}
	}
}

func TestBatchRunsDoNotOverlap(t *testing.T) {
	var b Batch
	var runs [][]byte
	for i := range 5000 {
		p := b.Alloc(i % 97)
		for j := range p {
			p[j] = byte(i)
		}
		runs = append(runs, p)
	}
	for i, p := range runs {
		for _, c := range p {
			if c != byte(i) {
				t.Fatalf("run %d was overwritten", i)
			}
		}
	}
}

func TestScratchOutgrown(t *testing.T) {
	var b Batch
	p := append(b.Scratch(4), make([]byte, byteSlab*2)...)
	q := b.Use(p)
	if len(q) != byteSlab*2 {
		t.Fatalf("Use returned %d bytes", len(q))
	}
	if r := b.Alloc(8); len(r) != 8 {
		t.Fatal("Alloc after an outgrown Scratch")
	}
}

func TestHugeRunsAreLetGo(t *testing.T) {
	var b Batch
	var m Messages
	for range 3 {
		b.Reset()
		m.Reset()
		fill(&b)
		b.Alloc(64 << 20)
		m.Alloc(64 << 20)
	}
	b.Reset()
	m.Reset()
	kept := 0
	for _, c := range append(b.bytes.chunks, m.bytes.chunks...) {
		kept += len(c)
	}
	if kept > 8<<20 {
		t.Fatalf("%d bytes are kept", kept)
	}
}

func TestKeep(t *testing.T) {
	var b Batch
	for i := range 10 {
		b.Add().Seq = uint64(i)
	}
	b.Keep(func(r *Record) bool { return r.Seq%3 == 0 })
	if len(b.Records) != 4 || b.Records[3].Seq != 9 {
		t.Fatalf("kept %d", len(b.Records))
	}
}

func TestKeysAreInjective(t *testing.T) {
	key := []int{0, 1}
	rows := []schema.Row{
		{schema.MakeString("a"), schema.MakeString("bc")},
		{schema.MakeString("ab"), schema.MakeString("c")},
		{schema.MakeString(""), schema.MakeString("abc")},
		{schema.Value{}, schema.MakeString("abc")},
		{schema.MakeInt(1), schema.MakeUint(1)},
		{schema.MakeUint(1), schema.MakeInt(1)},
	}
	seen := map[string]int{}
	for i, r := range rows {
		k := string(AppendKey(nil, r, key))
		if j, ok := seen[k]; ok {
			t.Errorf("rows %d and %d have the same key", i, j)
		}
		seen[k] = i
	}
}

func TestSpread(t *testing.T) {
	col := func(typ schema.Type, collation string) schema.Column {
		return schema.Column{Name: "k", Type: typ, Collation: collation}
	}
	for _, c := range []struct {
		t    schema.Table
		want Spread
	}{
		{schema.Table{Columns: []schema.Column{col(schema.TypeBigInt, "")}, Key: []int{0}}, SpreadByKey},
		{schema.Table{Columns: []schema.Column{col(schema.TypeBigInt, "")}}, SpreadByTable},
		{schema.Table{Columns: []schema.Column{col(schema.TypeVarchar, "utf8mb4_0900_ai_ci")}, Key: []int{0}}, SpreadByTable},
		{schema.Table{Columns: []schema.Column{col(schema.TypeVarchar, "utf8mb4_0900_bin")}, Key: []int{0}}, SpreadByKey},
		{schema.Table{Columns: []schema.Column{col(schema.TypeBigInt, "")}, Key: []int{0}, Unique: [][]int{{0}}}, SpreadByTable},
	} {
		rows := c.want
		if len(c.t.Unique) > 0 { // other unique keys tie no rows where a target keeps none
			rows = SpreadByKey
		}
		if got := RowSpreadOf(&c.t); got != rows {
			t.Errorf("%+v: rows spread %d, want %d", c.t, got, rows)
		}
		if got := SpreadOf(&c.t); got != c.want {
			t.Errorf("%+v: spread %d, want %d", c.t, got, c.want)
		}
	}
}

// TestLanes checks that rows of neighbouring keys go to one lane, that all
// lanes get their part, and that versions of a row stay together.
func TestLanes(t *testing.T) {
	const keys, lanes = 1 << 17, 4
	bigint := []schema.Column{{Name: "a", Type: schema.TypeBigInt}, {Name: "b", Type: schema.TypeBigInt}}
	for _, c := range []struct {
		name string
		key  []int
		row  func(i int64) schema.Row
		runs int // at most, of keys that follow each other and go to one lane
	}{
		{"ascending", []int{0}, func(i int64) schema.Row { return schema.Row{schema.MakeInt(i - keys/2), schema.MakeInt(i)} }, keys >> laneBlock},
		{"unsigned", []int{0}, func(i int64) schema.Row { return schema.Row{schema.MakeUint(1<<63 + uint64(i)), schema.MakeInt(i)} }, keys >> laneBlock},
		{"tenant and number", []int{0, 1}, func(i int64) schema.Row { return schema.Row{schema.MakeInt(i >> 12), schema.MakeInt(i)} }, keys >> laneBlock},
		{"number and line", []int{0, 1}, func(i int64) schema.Row { return schema.Row{schema.MakeInt(i >> 2), schema.MakeInt(i & 3)} }, keys >> 2},
		{"text", []int{0}, func(i int64) schema.Row { return schema.Row{schema.MakeBytes(schema.Bytes, fmt.Append(nil, i)), {}} }, keys},
	} {
		table := &schema.Table{Database: "d", Name: "t", Columns: bigint, Key: c.key}
		var buf []byte
		var count [lanes]int
		runs, last := 0, -1
		for i := range int64(keys) {
			row := c.row(i)
			var h, again uint64
			h, buf = (&Record{Op: OpInsert, Table: table, After: row}).LaneHash(SpreadByKey, buf)
			again, buf = (&Record{Op: OpDelete, Table: table, Before: row}).LaneHash(SpreadByKey, buf)
			if h != again {
				t.Fatalf("%s: insert and delete of row %d go apart", c.name, i)
			}
			lane := int(h % lanes)
			if count[lane]++; lane != last {
				runs, last = runs+1, lane
			}
		}
		if runs > c.runs {
			t.Errorf("%s: %d runs of keys, want at most %d", c.name, runs, c.runs)
		}
		for lane, n := range count {
			if n < keys/lanes*3/4 || n > keys/lanes*5/4 {
				t.Errorf("%s: lane %d of %d has %d of %d keys", c.name, lane, lanes, n, keys)
			}
		}
	}
}

func TestSplitList(t *testing.T) {
	got := SplitList(` shop\.orders , a\,b,, c`)
	want := []string{`shop\.orders`, "a,b", "c"}
	if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Fatalf("%q", got)
	}
}
