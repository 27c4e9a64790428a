package frame

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/schema"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func mustEncode(t testing.TB, b *connect.Batch) []connect.Message {
	t.Helper()
	var m connect.Messages
	if err := new(Converter).Encode(&m, b); err != nil {
		t.Fatal(err)
	}
	return m.List
}

// mustPlain encodes without compression, so that tests may edit what they know.
func mustPlain(t testing.TB, b *connect.Batch) []connect.Message {
	t.Helper()
	var m connect.Messages
	if err := (&Converter{enc: encoder{plain: true}}).Encode(&m, b); err != nil {
		t.Fatal(err)
	}
	return m.List
}

// roundTrip checks that b comes back as it was.
func roundTrip(t testing.TB, b *connect.Batch) []connect.Message {
	t.Helper()
	list := mustEncode(t, b)
	var got connect.Batch
	if err := new(Converter).Decode(&got, list); err != nil {
		t.Fatal(err)
	}
	got.Pos, got.State = b.Pos, b.State // which frames do not carry
	if d := connecttest.EqualBatches(&got, b); d != "" {
		t.Fatal(d)
	}
	return list
}

// seal writes the checksum of a frame.
func seal(v []byte) []byte {
	binary.LittleEndian.PutUint32(v[4:], crc32.Checksum(v[coveredOff:], castagnoli))
	return v
}

// goldenBatches are batches whose frames must not change while the version
// does not.
func goldenBatches() map[string]*connect.Batch {
	all := map[string]*connect.Batch{}
	g := connecttest.NewGen(7)
	g.Headers, g.Odd = true, true
	all["mixed"] = new(connect.Batch)
	g.Fill(all["mixed"], g.Tables(3), 40)
	all["inserts"] = new(connect.Batch)
	fillBench(all["inserts"], smallTable, 1, connect.OpInsert)
	all["inserts"].Records = all["inserts"].Records[:20]
	all["updates"] = new(connect.Batch)
	fillBench(all["updates"], sbTable, 1, connect.OpUpdate)
	all["updates"].Records = all["updates"].Records[:5]
	return all
}

// TestGolden notices a change of the format: a frame in testdata is read as
// its text says, and what is written now is the same bytes. Of compressed
// frames only the reading is sure to stay: the compressor may get better.
func TestGolden(t *testing.T) {
	for name, b := range goldenBatches() {
		frames, text := "", connecttest.DumpBatch(b)
		for _, m := range mustPlain(t, b) {
			frames += fmt.Sprintf("%s/%d %d\n%s", m.Topic, m.Partition, m.Count, lines(hex.EncodeToString(m.Value)))
		}
		golden(t, name+".hex", frames)
		golden(t, name+".txt", text)
	}
	if *rewrite {
		b := goldenBatches()["mixed"]
		frames := ""
		for _, m := range mustEncode(t, b) {
			frames += fmt.Sprintf("%s/%d %d\n%s", m.Topic, m.Partition, m.Count, lines(hex.EncodeToString(m.Value)))
		}
		golden(t, "packed.hex", frames)
		golden(t, "packed.txt", connecttest.DumpBatch(b))
	}
}

// lines breaks s into lines of 100 characters, each after a tab.
func lines(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n := min(len(s), 100)
		b.WriteString("\t" + s[:n] + "\n")
		s = s[n:]
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed: a new format needs a new version, and this one must still be read", path)
	}
}

// TestGoldenDecodes reads the frames of testdata, whatever is written today.
func TestGoldenDecodes(t *testing.T) {
	for _, name := range []string{"mixed", "inserts", "updates", "packed"} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		var list []connect.Message
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSuffix(line, "\n"); line[0] != '\t' {
				topic, rest, _ := strings.Cut(line, "/")
				m := connect.Message{Topic: topic}
				if _, err := fmt.Sscan(rest, &m.Partition, &m.Count); err != nil {
					t.Fatal(err)
				}
				list = append(list, m)
				continue
			}
			b, err := hex.DecodeString(line[1:])
			if err != nil {
				t.Fatal(err)
			}
			m := &list[len(list)-1]
			m.Value = append(m.Value, b...)
		}
		var got connect.Batch
		if err := new(Converter).Decode(&got, list); err != nil {
			t.Fatal(err)
		}
		for i := range got.Records {
			if d := connecttest.DumpRecord(&got.Records[i]); !strings.Contains(string(text), d) {
				t.Fatalf("%s holds a record that its text does not have:\n%s", name, d)
			}
		}
		if n := strings.Count(string(text), " seq="); n != len(got.Records) {
			t.Fatalf("%s holds %d records, its text %d", name, len(got.Records), n)
		}
	}
}

// TestSplit: frames end at MaxSize, and a larger record goes alone.
func TestSplit(t *testing.T) {
	tab := sbTable
	var b connect.Batch
	sizes := []int{100, 200 << 10, 100 << 10, 10, 5 << 20, 10, 300 << 10, 300 << 10, MaxSize - 300, 10, 10}
	for range 3000 {
		sizes = append(sizes, 500)
	}
	for i, n := range sizes {
		r := b.Add()
		r.Op, r.Table, r.Topic, r.Seq = connect.OpInsert, tab, "t", uint64(i)
		r.After = b.NewRow(len(tab.Columns))
		r.After[2] = schema.MakeBytes(schema.String, bytes.Repeat([]byte{'a' + byte(i%26)}, n))
	}
	roundTrip(t, &b)
	first := 0
	for i, m := range mustPlain(t, &b) { // the size counts that records have before they are compressed
		if len(m.Value) > MaxSize && m.Count != 1 {
			t.Errorf("frame %d has %d bytes and %d records", i, len(m.Value), m.Count)
		}
		last := first + int(m.Count)
		if last < len(sizes) && m.Count > 0 {
			if total := len(m.Value) + sizes[last]; total < MaxSize-1000 {
				t.Errorf("frame %d has %d bytes, and the next record of %d would have fit", i, len(m.Value), sizes[last])
			}
		}
		first = last
	}
}

// TestPartitionsTogether: the frames of several partitions are open at once, each
// with tables of its own, until one is full or they are too large together.
func TestPartitionsTogether(t *testing.T) {
	g := connecttest.NewGen(3)
	g.Headers = true
	var b connect.Batch
	tables := append(g.Tables(40), smallTable)
	g.Fill(&b, tables, 4000)
	text := bytes.Repeat([]byte{'a'}, 3000)
	for i := range b.Records {
		r := &b.Records[i]
		r.Topic, r.Partition = "t", int32(i*i%7)
		r.Headers = append(r.Headers, connect.Header{Key: "k", Value: text[:i%len(text)]})
	}
	frames := map[int32][]int{}
	for _, m := range mustPlain(t, &b) {
		frames[m.Partition] = append(frames[m.Partition], len(m.Value))
		if len(m.Value) > MaxSize && m.Count > 1 {
			t.Errorf("a frame has %d bytes and %d records", len(m.Value), m.Count)
		}
		_, i := uvarint(m.Value, fixedSize)
		if n, _ := uvarint(m.Value, i); int(n) > len(tables) {
			t.Errorf("a frame has %d tables, some of them twice", n)
		}
	}
	full := 0
	for p, sizes := range frames {
		total := 0
		for _, n := range sizes {
			total += n
		}
		if full += len(sizes); len(sizes) > 2*total/MaxSize+3 {
			t.Errorf("partition %d has %d bytes in %d frames", p, total, len(sizes))
		}
	}
	if len(frames) != 4 || full < 12 {
		t.Errorf("%d partitions have %d frames: too few for this test", len(frames), full)
	}
	var got connect.Batch
	if err := new(Converter).Decode(&got, mustEncode(t, &b)); err != nil {
		t.Fatal(err)
	}
	byPartition := func(x, y connect.Record) int { return int(x.Partition - y.Partition) }
	slices.SortStableFunc(got.Records, byPartition)
	slices.SortStableFunc(b.Records, byPartition)
	got.Pos, got.State = b.Pos, b.State
	if d := connecttest.EqualBatches(&got, &b); d != "" {
		t.Error(d)
	}
}

// A barrier has a message to itself in each partition.
func TestBarriersAreAlone(t *testing.T) {
	var b connect.Batch
	add := func(op connect.Op, p int32) *connect.Record {
		r := b.Add()
		r.Op, r.Partition, r.Topic, r.Table = op, p, "t", smallTable
		return r
	}
	for p := range int32(2) {
		for range 3 {
			add(connect.OpSchema, p)
		}
		for range 2 {
			add(connect.OpTruncate, p).SetBarrier(&b, 2)
		}
		add(connect.OpSchema, p)
	}
	var got [2]string
	for _, m := range mustEncode(t, &b) {
		got[m.Partition] += fmt.Sprint(m.Count)
	}
	if got != [2]string{"3111", "3111"} {
		t.Errorf("messages have %s records", got)
	}
}

// TestExtremes has the numbers at the ends of their ranges.
func TestExtremes(t *testing.T) {
	none, err := schema.New(&schema.Table{Database: "d", Name: "none"})
	if err != nil {
		t.Fatal(err)
	}
	var b connect.Batch
	add := func(op connect.Op, tab *schema.Table) *connect.Record {
		r := b.Add()
		r.Op, r.Table, r.Topic = op, tab, "t"
		return r
	}
	for _, n := range []uint64{0, math.MaxUint64, 1, 1 << 63, 1<<63 - 1, 5, 1 << 56, 1<<56 - 1, 0} {
		r := add(connect.OpInsert, smallTable)
		r.Seq, r.Time, r.Row, r.Flags = n, int64(n), int32(n>>1), connect.Flags(uint8(n))
		r.Origin = &connect.Origin{ServerID: uint32(n), Thread: uint32(n >> 3), GNO: int64(n), Pos: n, Time: -int64(n), Snapshot: n&1 == 0,
			Tag: strings.Repeat("t", int(n%7)), File: strings.Repeat("f", int(n%11)), SID: [16]byte{byte(n)}}
		r.After = schema.Row{schema.MakeInt(int64(n)), schema.MakeTime(int64(n), 5), schema.MakeUint(n),
			schema.MakeBytes(schema.String, nil), schema.MakeTimestamp(int64(n), 0)}
		r.Headers = []connect.Header{{}, {Key: strings.Repeat("k", 5000), Value: make([]byte, 70000)}, {Key: "e", Value: []byte{}}}
	}
	add(connect.OpTruncate, none).Row = math.MinInt32
	add(connect.OpInsert, none).After = schema.Row{}
	add(connect.OpSchema, smallTable).Row = math.MaxInt32
	r := add(connect.OpUpdate, smallTable) // all columns differ, in kind too
	r.Before = make(schema.Row, 5)
	r.After = schema.Row{schema.MakeAbsent(), schema.MakeWideDecimal([]byte{}, 255), schema.MakeWideDecimal([]byte("1.5"), 1),
		schema.MakeFloat32(float32(math.Copysign(0, -1))), schema.MakeFloat64(math.Float64frombits(0x7ff8000000000001))}
	r = add(connect.OpDelete, smallTable) // as a transform may leave it
	r.Before, r.After, r.Flags = r.After, make(schema.Row, 5), connect.Unwrapped
	roundTrip(t, &b)
}

// TestOriginShared: rows of an event share one Origin after decoding too.
func TestOriginShared(t *testing.T) {
	var b, got connect.Batch
	fillBench(&b, smallTable, 1, connect.OpInsert)
	if err := new(Converter).Decode(&got, roundTrip(t, &b)); err != nil {
		t.Fatal(err)
	}
	for i := range got.Records {
		if same := i > 0 && got.Records[i].Origin == got.Records[i-1].Origin; same != (i%10 != 0) {
			t.Fatalf("record %d shares its origin: %v", i, same)
		}
	}
}

// TestTablesShared: one Table for all frames that carry it.
func TestTablesShared(t *testing.T) {
	var b, got connect.Batch
	fillBench(&b, smallTable, 3, connect.OpInsert)
	var c Converter
	for range 2 {
		if err := c.Decode(&got, mustEncode(t, &b)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range got.Records {
		if got.Records[i].Table != got.Records[0].Table {
			t.Fatal("two Tables of the same content")
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	for _, c := range []struct {
		want string
		edit func(r *connect.Record)
	}{
		{"no table", func(r *connect.Record) { r.Table = nil }},
		{"schema.New", func(r *connect.Record) { r.Table = &schema.Table{Name: "raw"} }},
		{"op", func(r *connect.Record) { r.Op = 'x' }},
		{"5 columns", func(r *connect.Record) { r.After = r.After[:4] }},
		{"scale 7", func(r *connect.Record) { r.After[4] = schema.MakeTime(1, 7) }},
		{"partition -1", func(r *connect.Record) { r.Partition = -1 }},
		{"partition 2147483647", func(r *connect.Record) { r.Partition = math.MaxInt32 }},
	} {
		var b connect.Batch
		fillBench(&b, smallTable, 1, connect.OpInsert)
		c.edit(&b.Records[3])
		err := new(Converter).Encode(new(connect.Messages), &b)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "record 3") {
			t.Errorf("want an error about %s of record 3, got %v", c.want, err)
		}
	}
}

// TestDecodeErrors: what is said, and that the messages around are read.
func TestDecodeErrors(t *testing.T) {
	var b connect.Batch
	fillBench(&b, smallTable, 1, connect.OpInsert)
	good := mustPlain(t, &b)[0]
	var warm Converter
	for _, c := range []struct {
		want string
		edit func(v []byte) []byte
	}{
		{"not a frame", func([]byte) []byte { return nil }},
		{"not a frame", func(v []byte) []byte { return v[:8] }},
		{"not a frame", func(v []byte) []byte { v[0] = 'x'; return v }},
		{"version 2: this build reads version 1", func(v []byte) []byte { v[3] = 2; return v }},
		{"broken off", func(v []byte) []byte { return packed(v[:8], nil) }},
		{"no block", func(v []byte) []byte { return seal(packed(v[:8], v[9:])[:9]) }},
		{"its body", func(v []byte) []byte { p := packed(v[:8], v[9:]); return seal(p[:len(p)-1]) }},
		{"no block of at most", func(v []byte) []byte { return packed(v[:8], make([]byte, maxPacked+1)) }},
		{"follow the last record", func(v []byte) []byte { return packed(v[:8], append(v[9:], 0)) }},
		{"cannot hold", func(v []byte) []byte { return packed(v[:8], append([]byte{0xff, 0xff, 0x7f}, v[11:]...)) }},
		{"flags 0x4", func(v []byte) []byte { v[8] = 4; return seal(v) }},
		{"checksum", func(v []byte) []byte { v[len(v)/2]++; return v }},
		{"checksum", func(v []byte) []byte { return v[:len(v)-1] }},
		{"broken off", func(v []byte) []byte { return seal(v[:len(v)-1]) }},
		{"follow the last record", func(v []byte) []byte { return seal(append(v, 0)) }},
		{"table 0", func(v []byte) []byte { v[15]++; return seal(v) }},
		{"not the binary form of a table", func(v []byte) []byte { v[29]++; return seal(v) }}, // though the ID is known
		{"not the one of ID", func(v []byte) []byte { v[34]++; return seal(v) }},
		{"cannot hold", func(v []byte) []byte { return seal(append(append(v[:9:9], 0xff, 0xff, 0x7f), v[11:]...)) }},
	} {
		edited := connecttest.CloneMessage(&good)
		edited.Offset = 77
		edited.Value = c.edit(edited.Value)
		var got connect.Batch
		err := warm.Decode(&got, []connect.Message{good, edited, good})
		var failed *connect.BatchError
		if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Index != 1 || len(got.Records) != 2*benchRows {
			t.Errorf("%s: %d records, %v", c.want, len(got.Records), err)
			continue
		}
		if s := err.Error(); !strings.Contains(s, c.want) || !strings.Contains(s, "offset 77") {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

// packed makes a frame of a head and a body that is compressed.
func packed(head, body []byte) []byte {
	v := append(bytes.Clone(head), flagPacked)
	return seal(append(v, s2.Encode(nil, body)...))
}

// TestPacked: what shrinks is compressed, what does not is not, and both come
// back.
func TestPacked(t *testing.T) {
	noise := make([]byte, 100<<10)
	g := connecttest.NewGen(3)
	for i := range noise {
		noise[i] = byte(g.Uint32())
	}
	for _, c := range []struct {
		name  string
		value []byte
		want  byte
	}{{"text", bytes.Repeat([]byte("abc"), 30<<10), flagPacked}, {"small text", []byte("abc"), 0}, {"noise", noise, 0}, {"huge text", bytes.Repeat([]byte("abc"), MaxSize), 0}} {
		var b connect.Batch
		r := b.Add()
		r.Op, r.Table, r.Topic = connect.OpInsert, smallTable, "t"
		r.After = schema.Row{schema.MakeInt(1), schema.MakeInt(2), schema.MakeUint(3), schema.MakeBytes(schema.String, c.value), schema.MakeTimestamp(0, 0)}
		if v := roundTrip(t, &b)[0].Value; v[coveredOff] != c.want {
			t.Errorf("%s: flags %d, want %d", c.name, v[coveredOff], c.want)
		}
	}
}

// TestTruncated: a frame that ends early is refused at every length.
func TestTruncated(t *testing.T) {
	for name, b := range goldenBatches() {
		truncated(t, name, mustEncode(t, b)[0].Value)
		truncated(t, name+", plain", mustPlain(t, b)[0].Value)
	}
}

func truncated(t *testing.T, name string, v []byte) {
	t.Helper()
	for n := range min(len(v), 4000) {
		cut := make([]byte, n)
		if copy(cut, v); n >= fixedSize {
			seal(cut)
		}
		var got connect.Batch
		if err := new(Converter).Decode(&got, []connect.Message{{Topic: "t", Value: cut}}); err == nil {
			t.Fatalf("%s: %d bytes of %d pass as a frame", name, n, len(v))
		}
	}
}

// TestMangled: edits that a checksum does not show.
func TestMangled(t *testing.T) {
	g := connecttest.NewGen(connecttest.Seed(t))
	var list []connect.Message
	for _, b := range goldenBatches() {
		list = append(append(list, mustEncode(t, b)...), mustPlain(t, b)...)
	}
	var c Converter
	var got connect.Batch
	read := 0
	for range 5000 {
		m := list[g.IntN(len(list))]
		m.Value = bytes.Clone(m.Value)
		for range 1 + g.IntN(3) {
			i := coveredOff + g.IntN(len(m.Value)-coveredOff)
			switch g.IntN(4) {
			case 0:
				m.Value[i] = byte(g.Uint32())
			case 1:
				m.Value[i] ^= 1 << g.IntN(8)
			case 2:
				m.Value[i] = 0xff
			case 3:
				m.Value = m.Value[:max(i, fixedSize)]
			}
			if len(m.Value) <= fixedSize {
				break
			}
		}
		seal(m.Value)
		got.Reset()
		err := c.Decode(&got, []connect.Message{m})
		if err != nil && len(got.Records) > 0 {
			t.Fatalf("%d records and %v", len(got.Records), err)
		}
		if err == nil {
			read++
			_ = connecttest.DumpBatch(&got) // all that it points to can be read
		}
	}
	if read == 0 {
		t.Error("no edit was harmless: the edits are of no use")
	}
}

// FuzzDecode: with a checksum that fits, anything is read or refused, without
// a panic and without taking much more memory than the input has, unpacked,
// which is bounded; and what is read can be written and read again.
func FuzzDecode(f *testing.F) {
	for _, b := range goldenBatches() {
		for _, m := range append(mustEncode(f, b), mustPlain(f, b)...) {
			f.Add(m.Value)
		}
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		if len(v) >= fixedSize {
			v = seal(bytes.Clone(v))
		}
		var got connect.Batch
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := new(Converter).Decode(&got, []connect.Message{{Topic: "t", Value: v}})
		runtime.ReadMemStats(&after)
		size := len(v)
		if size > fixedSize && v[coveredOff]&flagPacked != 0 {
			if n, err := s2.DecodedLen(v[fixedSize:]); err == nil {
				size = max(size, min(n, maxPacked))
			}
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20+300*uint64(size) {
			t.Fatalf("%d bytes of input took %d bytes of memory", size, took)
		}
		if err != nil {
			if len(got.Records) > 0 {
				t.Fatalf("%d records and %v", len(got.Records), err)
			}
			return
		}
		roundTrip(t, &got)
	})
}
