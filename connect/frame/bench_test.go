package frame

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

var sbTable = func() *schema.Table {
	t, err := schema.New(&schema.Table{
		Database: "sbtest", Name: "sbtest1", Primary: true, Key: []int{0},
		Columns: []schema.Column{
			{Name: "id", Type: schema.TypeBigInt, AutoIncrement: true},
			{Name: "k", Type: schema.TypeInt},
			{Name: "c", Type: schema.TypeVarchar, Length: 120, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"},
			{Name: "pad", Type: schema.TypeVarchar, Length: 60, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"},
			{Name: "amount", Type: schema.TypeDecimal, Precision: 12, Scale: 2},
			{Name: "at", Type: schema.TypeDateTime, Scale: 6},
			{Name: "doc", Type: schema.TypeJSON, Nullable: true},
		},
	})
	if err != nil {
		panic(err)
	}
	return t
}()

// smallTable has rows of ints and a short text.
var smallTable = func() *schema.Table {
	t, err := schema.New(&schema.Table{
		Database: "sbtest", Name: "small", Primary: true, Key: []int{0},
		Columns: []schema.Column{
			{Name: "id", Type: schema.TypeBigInt},
			{Name: "a", Type: schema.TypeInt},
			{Name: "b", Type: schema.TypeInt, Unsigned: true},
			{Name: "name", Type: schema.TypeVarchar, Length: 20, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"},
			{Name: "at", Type: schema.TypeTimestamp},
		},
	})
	if err != nil {
		panic(err)
	}
	return t
}()

const benchRows = 1000

// fillBench adds rows of t, spread over partitions in turns; every tenth
// record ends a transaction.
func fillBench(b *connect.Batch, t *schema.Table, partitions int32, op connect.Op) {
	rnd := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 400)
	for i := range text {
		text[i] = byte('a' + rnd.IntN(26))
	}
	str := func(n int) schema.Value {
		return schema.MakeBytes(schema.String, append([]byte(nil), text[rnd.IntN(100):][:n]...))
	}
	var o *connect.Origin
	for i := range benchRows {
		if i%10 == 0 {
			o = b.NewOrigin()
			*o = connect.Origin{ServerID: 1, SID: [16]byte{1, 2, 3}, GNO: int64(i), File: "binlog.000123", Pos: uint64(i) * 300, Time: 1750000000e6}
		}
		r := b.Add()
		r.Op, r.Table, r.Topic, r.Partition = op, t, t.String(), int32(i)%partitions
		r.Seq, r.Time, r.Origin, r.Row = 1<<48+uint64(i), 1750000000e6+int64(i/10), o, int32(i%10)
		if i%10 == 9 {
			r.Flags = connect.TxEnd
		}
		r.After = benchRow(b, t, rnd, str)
		if op == connect.OpUpdate {
			r.Before = b.NewRow(len(r.After))
			for k, v := range r.After { // as in an event, where each image is for itself
				if r.Before[k] = v; v.Kind().IsBytes() {
					r.Before[k] = schema.MakeBytes(v.Kind(), bytes.Clone(v.Bytes()))
				}
			}
			r.Before[1] = schema.MakeInt(int64(rnd.Int32()))
		}
		for _, v := range r.After {
			b.Grow(v.Size())
		}
	}
}

func benchRow(b *connect.Batch, t *schema.Table, rnd *rand.Rand, str func(int) schema.Value) schema.Row {
	row := b.NewRow(len(t.Columns))
	row[0] = schema.MakeInt(rnd.Int64N(1e8))
	row[1] = schema.MakeInt(int64(rnd.Int32N(1e6)))
	if t == smallTable {
		row[2] = schema.MakeUint(uint64(rnd.Uint32()))
		row[3] = str(12)
		row[4] = schema.MakeTimestamp(1750000000e6, 0)
		return row
	}
	row[2], row[3] = str(119), str(59)
	row[4] = schema.MakeDecimal(rnd.Int64N(1e9), 2)
	row[5] = schema.MakeDateTime(schema.Civil{Year: 2025, Month: 6, Day: 15, Hour: 12, Micro: rnd.IntN(1e6)}, 6)
	row[6] = schema.MakeBytes(schema.JSON, fmt.Appendf(nil, `{"id": %d, "tags": ["abcdefgh", "ijklmnop"], "nested": {"k": "vvvvvvvvvvvvv"}}`, rnd.IntN(1e6)))
	return row
}

type benchCase struct {
	name       string
	table      *schema.Table
	partitions int32
	op         connect.Op
	times      int // benchRows
}

var benchCases = []benchCase{
	{"small", smallTable, 1, connect.OpInsert, 1},
	{"sb", sbTable, 1, connect.OpInsert, 1},
	{"sb-8-partitions", sbTable, 8, connect.OpInsert, 1},
	{"sb-update", sbTable, 1, connect.OpUpdate, 1},
	{"sb-update-8-partitions-gathered", sbTable, 8, connect.OpUpdate, 6},
}

func (c benchCase) fill(b *connect.Batch) {
	for range c.times {
		fillBench(b, c.table, c.partitions, c.op)
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			var batch connect.Batch
			c.fill(&batch)
			var m connect.Messages
			var conv Converter
			b.ReportAllocs()
			for b.Loop() {
				m.Reset()
				if err := conv.Encode(&m, &batch); err != nil {
					b.Fatal(err)
				}
			}
			report(b, m.Size(), c.times*benchRows)
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			var batch, got connect.Batch
			c.fill(&batch)
			var m connect.Messages
			var conv Converter
			if err := conv.Encode(&m, &batch); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				got.Reset()
				if err := conv.Decode(&got, m.List); err != nil {
					b.Fatal(err)
				}
			}
			report(b, m.Size(), c.times*benchRows)
		})
	}
}

func report(b *testing.B, size, rows int) {
	b.SetBytes(int64(size))
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	b.ReportMetric(float64(size)/float64(rows), "B/row")
}

func TestWarmDoesNotAllocate(t *testing.T) {
	for _, plain := range []bool{true, false} {
		if !plain && raced() {
			t.Log("under the race detector the pools of the compressor lose things at random")
			continue
		}
		warm(t, plain)
	}
}

// raced reports whether the race detector is on.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func warm(t *testing.T, plain bool) {
	for _, c := range benchCases {
		var batch, got connect.Batch
		c.fill(&batch)
		var m connect.Messages
		conv := Converter{enc: encoder{plain: plain}}
		round := func() {
			m.Reset()
			got.Reset()
			if err := conv.Encode(&m, &batch); err != nil {
				t.Fatal(err)
			}
			if err := conv.Decode(&got, m.List); err != nil {
				t.Fatal(err)
			}
		}
		round()
		if n := testing.AllocsPerRun(10, round); n != 0 {
			t.Errorf("%s: %v allocations; plain: %v", c.name, n, plain)
		}
		if len(got.Records) != c.times*benchRows {
			t.Errorf("%s: %d records", c.name, len(got.Records))
		}
	}
}
