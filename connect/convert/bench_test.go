package convert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/schema"
)

// benchTable is a table as people have them: a key, numbers, text, a decimal,
// a time and a document.
var benchTable = func() *schema.Table {
	text := func(name string, length int) schema.Column {
		return schema.Column{Name: name, Type: schema.TypeVarchar, Length: length, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}
	}
	t, err := schema.New(&schema.Table{
		Database: "bench", Name: "sb", Primary: true, Key: []int{0},
		Columns: []schema.Column{
			{Name: "id", Type: schema.TypeBigInt},
			{Name: "k", Type: schema.TypeInt},
			text("c", 120), text("pad", 60),
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

const benchRows = 1000

// benchUpdates fills b with updates of benchTable, as one statement makes them.
func benchUpdates(b *connect.Batch) {
	rnd := rand.New(rand.NewPCG(1, 2))
	letters := make([]byte, 400)
	for i := range letters {
		letters[i] = "0123456789-abcdef"[rnd.IntN(17)]
	}
	text := func(n int) schema.Value { return schema.MakeBytes(schema.String, letters[rnd.IntN(200):][:n]) }
	o := b.NewOrigin()
	*o = connect.Origin{ServerID: 1, SID: [16]byte{1, 2, 3}, GNO: 4711, File: "binlog.000123", Pos: 12345678, Time: 1750000000e6, Thread: 9}
	for i := range benchRows {
		r := b.Add()
		*r = connect.Record{Op: connect.OpUpdate, Table: benchTable, Topic: "srv.bench.sb", Seq: 1<<48 + uint64(i), Time: 1750000000e6, Origin: o, Row: int32(i)}
		row := b.NewRow(len(benchTable.Columns))
		row[0], row[1] = schema.MakeInt(rnd.Int64N(1e8)), schema.MakeInt(int64(rnd.Int32N(1e6)))
		row[2], row[3] = text(119), text(59)
		row[4] = schema.MakeDecimal(rnd.Int64N(1e9), 2)
		row[5] = schema.MakeDateTime(schema.Civil{Year: 2025, Month: 6, Day: 15, Hour: 12, Micro: rnd.IntN(1e6)}, 6)
		row[6] = schema.MakeBytes(schema.JSON, fmt.Appendf(nil, `{"id": %d, "tags": ["ab", "cd"]}`, rnd.IntN(1e6)))
		r.Before, r.After = row, b.NewRow(len(row))
		copy(r.After, row)
		r.After[1], r.After[4] = schema.MakeInt(row[1].Int()+1), schema.MakeDecimal(rnd.Int64N(1e9), 2)
	}
}

// plainRow and plainChange are what a program would give to encoding/json.
type plainRow struct {
	ID     int64  `json:"id"`
	K      int32  `json:"k"`
	C      string `json:"c"`
	Pad    string `json:"pad"`
	Amount []byte `json:"amount"`
	At     string `json:"at"`
	Doc    string `json:"doc"`
}

type plainChange struct {
	Before *plainRow      `json:"before"`
	After  *plainRow      `json:"after"`
	Source map[string]any `json:"source"`
	Op     string         `json:"op"`
	TsMs   int64          `json:"ts_ms"`
}

// BenchmarkEnvelope makes Debezium's envelope of updates, one message each.
// Its limits are a copy of the bytes that come out, and the standard library.
func BenchmarkEnvelope(b *testing.B) {
	var in connect.Batch
	benchUpdates(&in)
	perRecord := func(b *testing.B, bytes int) {
		n := float64(b.N) * benchRows
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/record")
		b.ReportMetric(float64(bytes)/benchRows, "bytes/record")
		b.ReportMetric(0, "ns/op")
	}
	for _, schemas := range []string{"false", "true"} {
		var msgs connect.Messages
		c := open(b, map[string]string{optSchemas: schemas})
		b.Run("schemas="+schemas, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				msgs.Reset()
				if err := c.Encode(&msgs, &in); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, msgs.Size())
		})
		b.Run("schemas="+schemas+"/copy", func(b *testing.B) {
			var dst connect.Messages
			for b.Loop() {
				dst.Reset()
				for i := range msgs.List {
					copyOf(&dst, msgs.List[i].Key)
					copyOf(&dst, msgs.List[i].Value)
				}
			}
			perRecord(b, dst.Size())
		})
	}
	b.Run("encoding/json", func(b *testing.B) {
		var out bytes.Buffer
		for b.Loop() {
			out.Reset()
			enc := json.NewEncoder(&out)
			for i := range in.Records {
				r := &in.Records[i]
				if err := enc.Encode(plainOf(r)); err != nil {
					b.Fatal(err)
				}
			}
		}
		perRecord(b, out.Len())
	})
}

func plainOf(r *connect.Record) *plainChange {
	row := func(v schema.Row) *plainRow {
		return &plainRow{ID: v[0].Int(), K: int32(v[1].Int()), C: string(v[2].Bytes()), Pad: string(v[3].Bytes()),
			Amount: v[4].AppendDecimal(nil), At: string(v[5].AppendText(nil, nil)), Doc: string(v[6].Bytes())}
	}
	return &plainChange{Before: row(r.Before), After: row(r.After), Op: "u", TsMs: time.Now().UnixMilli(),
		Source: map[string]any{"connector": "mysql", "name": "srv", "db": r.Table.Database, "table": r.Table.Name, "file": r.Origin.File, "pos": r.Origin.Pos, "row": r.Row}}
}

// BenchmarkDecodeEnvelope reads the messages of BenchmarkEnvelope back.
func BenchmarkDecodeEnvelope(b *testing.B) {
	var in, out connect.Batch
	var msgs connect.Messages
	benchUpdates(&in)
	c := open(b, nil)
	if err := c.Encode(&msgs, &in); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := c.Decode(&out, msgs.List); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/(float64(b.N)*benchRows), "ns/record")
}

// TestPlain compares the search for bytes to escape, eight at once, with the
// rule byte by byte.
func TestPlain(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	odd := []byte{0, 0x1F, 0x20, '"', '!', '#', '\\', '[', ']', 0x7F, 0x80, 0xFF, 'a', 'a', 'a', 'a'}
	for range 20000 {
		s := make([]byte, rnd.IntN(40))
		for i := range s {
			s[i] = 'x'
			if rnd.IntN(8) == 0 {
				s[i] = odd[rnd.IntN(len(odd))]
			}
		}
		from := rnd.IntN(len(s) + 1)
		want := from
		for want < len(s) && s[want] >= 0x20 && s[want] < 0x80 && s[want] != '"' && s[want] != '\\' {
			want++
		}
		if got := plain(string(s), from); got != want {
			t.Fatalf("%q from %d: %d, want %d", s, from, got, want)
		}
	}
}

// TestNarrowDecimal compares both ways to write a decimal in base64.
func TestNarrowDecimal(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for i := range 5000 {
		n := int64(rnd.Uint64()) >> rnd.IntN(64)
		if i < 600 {
			n = int64(i) - 300
		}
		want, ok := appendDecimalBase64(nil, schema.MakeDecimal(n, 3).AppendDecimal(nil))
		if got := appendNarrowBase64(nil, n); !ok || string(got) != string(want) {
			t.Fatalf("%d: %s, want %s", n, got, want)
		}
	}
}

// TestNeighbours encodes records one by one and together: what neighbours
// share, the source and the values of both images, makes no difference.
func TestNeighbours(t *testing.T) {
	g := connecttest.NewGen(connecttest.Seed(t))
	var in connect.Batch
	fill(g, &in, 300)
	for i := range in.Records {
		if r := &in.Records[i]; r.Op == connect.OpUpdate && i%2 == 0 {
			copy(r.After, r.Before)
		}
	}
	together := open(t, nil).(*converter)
	together.enc.opts.Clock = nil
	for i := range in.Records {
		r := &in.Records[i]
		got, n, err := together.text(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		alone := open(t, nil).(*converter)
		alone.enc.opts.Clock = nil
		want, _, err := alone.text(nil, r)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("record %d: %v\n%s\nwant\n%s", i, err, got, want)
		}
		if r.Op == connect.OpUpdate {
			row, err := alone.enc.appendRow([]byte(`"after":`), alone.enc.plan(r.Table), r.After, nil)
			if err != nil || r.Flags&connect.Unwrapped == 0 && !bytes.Contains(got, row) {
				t.Fatalf("record %d: %v\n%s\nhas not the row\n%s", i, err, got, row)
			}
		}
		if room := together.enc.room(r); r.Op.HasRow() && len(got) > room {
			t.Errorf("record %d of %d bytes (key %d) has room for %d", i, len(got), n, room)
		}
	}
}

// TestKnownPrefix decodes messages after one with the same schema, each as a
// decoder does that has seen none.
func TestKnownPrefix(t *testing.T) {
	var in connect.Batch
	var msgs connect.Messages
	benchUpdates(&in)
	if err := open(t, nil).Encode(&msgs, &in); err != nil {
		t.Fatal(err)
	}
	good := string(msgs.List[0].Value)
	at := bytes.Index([]byte(good), []byte(`,"payload":`))
	head, payload := good[len(`{"schema":`):at], good[at+len(`,"payload":`):len(good)-1]
	first := []string{good, `{"payload":` + payload + `,"schema":` + head + `}`}
	second := []string{good, good + " ", good + "x", good[:len(good)-1], good[:len(good)-1] + `,"payload":null}`, good[:len(good)-1] + `,"schema":{}}`,
		`{"payload":` + payload + `}`, `{"payload":` + payload + `,"schema":` + head + `}`, `{"schema":` + head + `,"payload":}`, `{"schema":` + head + `}`}
	for i, a := range first {
		for k, b := range second {
			decode := func(values ...string) (out connect.Batch, err error) {
				c := open(t, nil)
				for _, v := range values {
					out.Reset()
					err = c.Decode(&out, []connect.Message{{Topic: "t", Count: 1, Key: msgs.List[0].Key, Value: []byte(v)}})
				}
				return out, err
			}
			got, gotErr := decode(a, b)
			want, wantErr := decode(b)
			if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
				t.Errorf("%d, %d: %v, want %v", i, k, gotErr, wantErr)
			}
			if diff := connecttest.EqualBatches(&got, &want); diff != "" {
				t.Errorf("%d, %d: %s", i, k, diff)
			}
		}
	}
}
