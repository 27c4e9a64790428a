package binlog

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// rowsOf calls f for each row event of a log, with a plan for it.
func rowsOf(t testing.TB, name string, f func(p *Plan, typ EventType, mapBody, body []byte)) {
	t.Helper()
	var maps TableMaps
	var mapBody []byte
	plans := map[*TableMap]*Plan{}
	events(t, golden(t, name), func(h Header, format *Format, event []byte) {
		body, _ := format.Body(event)
		if h.Type == TableMapEvent {
			mapBody = body
			if _, err := maps.Put(body); err != nil {
				t.Fatal(err)
			}
		}
		if !h.Type.IsRows() {
			return
		}
		ev, err := ParseRows(h.Type, body)
		if err != nil {
			t.Fatal(err)
		}
		m := maps.Get(ev.TableID)
		if plans[m] == nil {
			if plans[m], err = NewPlan(m, shapeOf(t, m)); err != nil {
				t.Fatal(err)
			}
		}
		f(plans[m], h.Type, mapBody, body)
	})
}

// decode decodes one event and checks that a fault leaves no trace.
func decode(t testing.TB, p *Plan, typ EventType, body []byte, b *connect.Batch) error {
	t.Helper()
	b.Reset()
	b.Add().Seq = 99
	st := Stamp{Topic: "topic", Seq: 7, Time: 8}
	ev, err := ParseRows(typ, body)
	if err == nil {
		err = p.DecodeRows(b, &ev, &st)
	}
	if err != nil {
		if len(b.Records) != 1 || b.Records[0].Seq != 99 || st.Seq != 7 || b.Size() != 0 {
			t.Fatalf("after %v: %d records, Seq %d", err, len(b.Records), st.Seq)
		}
		return err
	}
	if st.Seq-7 != uint64(len(b.Records)-1) {
		t.Fatalf("%d records, Seq %d", len(b.Records)-1, st.Seq)
	}
	for i, r := range b.Records[1:] {
		if r.Seq != uint64(7+i) || r.Topic != "topic" || r.Time != 8 || r.Table != p.Table() || int(r.Row) > i {
			t.Fatalf("record %d: %+v", i, r)
		}
		for _, row := range []schema.Row{r.Before, r.After} {
			for j := range row { // touches all memory
				_ = row[j].AppendText(nil, &p.Table().Columns[j])
			}
		}
	}
	return nil
}

// TestTruncatedRows cuts events at every length. Only a cut between rows may
// pass, and then with fewer rows.
func TestTruncatedRows(t *testing.T) {
	var b connect.Batch
	rowsOf(t, "types.binlog", func(p *Plan, typ EventType, _, body []byte) {
		if err := decode(t, p, typ, body, &b); err != nil {
			t.Fatal(err)
		}
		if len(body) > 3000 {
			return
		}
		whole, last := len(b.Records), 0
		for n := range body {
			if decode(t, p, typ, body[:n:n], &b) != nil {
				continue
			}
			if len(b.Records) >= whole || len(b.Records) < last {
				t.Fatalf("table %s: %d of %d bytes give %d of %d records", p.Table(), n, len(body), len(b.Records), whole)
			}
			last = len(b.Records)
		}
	})
}

// TestDamagedRows changes bytes at random: errors or other values, no panic.
func TestDamagedRows(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var b connect.Batch
	faults := 0
	rowsOf(t, "types.binlog", func(p *Plan, typ EventType, _, body []byte) {
		for range 50 {
			bad := slices.Clone(body)
			for range 1 + rng.IntN(3) {
				bad[rng.IntN(len(bad))] = byte(rng.Uint32())
			}
			if decode(t, p, typ, bad, &b) != nil {
				faults++
			}
		}
	})
	if faults == 0 {
		t.Error("no damage was noticed")
	}
}

func TestRowsFaults(t *testing.T) {
	var b connect.Batch
	rowsOf(t, "types.binlog", func(p *Plan, typ EventType, _, body []byte) {
		if p.Table().Name != "ints" {
			return
		}
		partial := bytes.Clone(body)
		partial[11] &^= 2 // the second column is not there
		if err := decode(t, p, typ, partial, &b); err == nil || !strings.Contains(err.Error(), "binlog_row_image") || !strings.Contains(err.Error(), ".ints") {
			t.Errorf("a partial image gives %v", err)
		}
		fewer := bytes.Clone(body)
		fewer[10] = 15
		if err := decode(t, p, typ, fewer, &b); err == nil || !strings.Contains(err.Error(), "15 columns, its TABLE_MAP 16") {
			t.Errorf("fewer columns give %v", err)
		}
		if err := decode(t, p, QueryEvent, body, &b); err == nil {
			t.Error("a statement has rows")
		}
		short := body[:len(body)-1]
		if err := decode(t, p, typ, short, &b); err == nil || !strings.Contains(err.Error(), "ints: row ") || !strings.Contains(err.Error(), "column ") {
			t.Errorf("a short event gives %v", err)
		}
	})
}

// TestVersion1 decodes events of version 1, which have no extra information.
func TestVersion1(t *testing.T) {
	var v1, v2 connect.Batch
	n := 0
	rowsOf(t, "types.binlog", func(p *Plan, typ EventType, _, body []byte) {
		if err := decode(t, p, typ, body, &v2); err != nil {
			t.Fatal(err)
		}
		old := slices.Concat(body[:8], body[10:])
		if err := decode(t, p, typ-7, old, &v1); err != nil {
			t.Fatal(err)
		}
		extra := slices.Concat(body[:8], []byte{5, 0, 1, 2, 3}, body[10:])
		if err := decode(t, p, typ, extra, &v1); err != nil {
			t.Fatal(err)
		}
		for i := range v1.Records {
			if !v1.Records[i].After.Equal(v2.Records[i].After) || !v1.Records[i].Before.Equal(v2.Records[i].Before) {
				t.Fatalf("table %s: record %d differs", p.Table(), i)
			}
			n++
		}
	})
	if n < 1000 {
		t.Errorf("only %d records", n)
	}
}

// TestUndecodableText: text that its charset does not have stays as it is.
func TestUndecodableText(t *testing.T) {
	p := &Plan{table: changed(t, &schema.Table{}, func(s *schema.Table) {
		s.Columns = []schema.Column{{Name: "u", Type: schema.TypeVarchar}, {Name: "a", Type: schema.TypeVarchar}}
	}), nulls: 1}
	for _, cs := range []string{"utf8mb4", "ascii"} {
		c, err := compileString(&schema.Column{Type: schema.TypeVarchar, Charset: cs}, 1)
		if err != nil {
			t.Fatal(err)
		}
		c.mask = 0xff
		p.columns = append(p.columns, c)
	}
	for text, want := range map[string][2]schema.Kind{
		"ab": {schema.String, schema.String}, "\xc3\xa9": {schema.String, schema.RawString}, "12345678\xff": {schema.RawString, schema.RawString},
	} {
		image := []byte{0, byte(len(text))}
		image = append(append(append(image, text...), byte(len(text))), text...)
		var b connect.Batch
		ev := RowsEvent{Columns: 2, present: []byte{3}, presentAfter: []byte{3}, images: image}
		if err := p.DecodeRows(&b, &ev, &Stamp{}); err != nil {
			t.Fatal(err)
		}
		for i, v := range b.Records[0].After {
			if v.Kind() != want[i] || string(v.Bytes()) != text {
				t.Errorf("%q becomes %s %q", text, v.Kind(), v.Bytes())
			}
		}
	}
}

func TestOldTemporal(t *testing.T) {
	text := func(v schema.Value, err error) string {
		if err != nil {
			return err.Error()
		}
		return string(v.AppendText(nil, nil))
	}
	le := func(n int64, size int) []byte {
		var b []byte
		for range size {
			b = append(b, byte(n))
			n >>= 8
		}
		return b
	}
	for _, c := range []struct{ got, want string }{
		{text(oldTime(le(8385959, 3))), "838:59:59"}, {text(oldTime(le(-8385959, 3))), "-838:59:59"}, {text(oldTime(le(-1, 3))), "-00:00:01"},
		{text(oldTime(le(0, 3))), "00:00:00"}, {text(oldDateTime(le(99991231235959, 8))), "9999-12-31 23:59:59"},
		{text(oldDateTime(le(0, 8))), "0000-00-00 00:00:00"}, {text(oldDateTime(le(20200015010203, 8))), "2020-00-15 01:02:03"},
		{text(oldDateTime(le(1e15, 8))), errTemporal.Error()},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

// TestLargeValues: values too large for the batch's memory come out the same.
func TestLargeValues(t *testing.T) {
	doc := []byte{jsonString, 0xa0, 0x9c, 0x01} // 20000 bytes
	doc = append(doc, bytes.Repeat([]byte{'x'}, 20000)...)
	text := bytes.Repeat([]byte{0xe9}, 20000)
	columns := []schema.Column{{Name: "j", Type: schema.TypeJSON}, {Name: "t", Type: schema.TypeText, Charset: "latin1"}}
	p := &Plan{table: changed(t, &schema.Table{}, func(s *schema.Table) { s.Columns = columns }), nulls: 1}
	latin1, err := compileString(&columns[1], 2)
	if err != nil {
		t.Fatal(err)
	}
	latin1.mask = 0xffff
	p.columns = []column{{op: opJSON, width: 2, mask: 0xffff}, latin1}
	image := slices.Concat([]byte{0, byte(len(doc) & 255), byte(len(doc) >> 8)}, doc, []byte{byte(len(text) & 255), byte(len(text) >> 8)}, text)
	var b connect.Batch
	ev := RowsEvent{Columns: 2, present: []byte{3}, presentAfter: []byte{3}, images: image}
	if err := p.DecodeRows(&b, &ev, &Stamp{}); err != nil {
		t.Fatal(err)
	}
	row := b.Records[0].After
	if string(row[0].Bytes()) != `"`+strings.Repeat("x", 20000)+`"` || string(row[1].Bytes()) != strings.Repeat("\u00e9", 20000) {
		t.Error("large values differ")
	}
	if want := len(image) + 20002 + 40000; b.Size() != want {
		t.Errorf("size %d, want %d", b.Size(), want)
	}
}

// TestPaddingIsZero: the batch's memory is not, when it is used again.
func TestPaddingIsZero(t *testing.T) {
	var b connect.Batch
	d := decoder{batch: &b}
	for range 2 {
		v, err := d.binary(&column{pad: 8}, []byte("ab"))
		if err != nil || string(v.Bytes()) != "ab\x00\x00\x00\x00\x00\x00" {
			t.Errorf("%q, %v", v.Bytes(), err)
		}
		b.Reset()
		copy(b.Alloc(8), "dirtdirt")
		b.Reset()
	}
	if _, err := d.binary(&column{pad: 1}, []byte("ab")); err != errLength {
		t.Errorf("too long: %v", err)
	}
}

// TestFractionLimits: a fraction of a second or more is damage.
func TestFractionLimits(t *testing.T) {
	for _, typ := range []uint8{typeTime2, typeDateTime2, typeTimestamp2} {
		c, err := compileTemporal(typ, 6)
		if err != nil {
			t.Fatal(err)
		}
		for micro, want := range map[uint64]bool{999999: true, 1000000: false} {
			var ok bool
			switch typ {
			case typeTime2:
				_, ok = c.time(1<<47 | micro)
			case typeDateTime2:
				_, ok = c.dateTime(1<<63 | micro)
			default:
				_, ok = c.timestamp(1<<24 | micro)
			}
			if ok != want {
				t.Errorf("type %d: a fraction of %d: %v", typ, micro, ok)
			}
		}
	}
	c, _ := compileTemporal(typeDateTime2, 0)
	if _, ok := c.dateTime(5); ok {
		t.Error("a datetime without its highest bit passes")
	}
	if _, err := compileTemporal(typeTime2, 7); err == nil {
		t.Error("7 digits pass")
	}
}

func TestDecimalFaults(t *testing.T) {
	l := newDecimalLayout(4, 2)
	for _, c := range []struct {
		bytes []byte
		want  string
	}{{[]byte{0x80, 0}, "0.00"}, {[]byte{0x7f, 0xff}, "0.00"}, {[]byte{0x7f, 0xfe}, "-0.01"}, {[]byte{0x80 + 99, 99}, "99.99"}, {[]byte{0x80 + 100, 0}, ""}, {[]byte{0x80, 100}, ""}} {
		text, ok := l.appendText(nil, c.bytes)
		n, ok2 := l.narrow(uint64(c.bytes[0])<<56 | uint64(c.bytes[1])<<48)
		if ok != ok2 || ok != (c.want != "") || string(text) != c.want {
			t.Errorf("%x: %s %v, %d %v", c.bytes, text, ok, n, ok2)
		}
		if ok && string(schema.MakeDecimal(n, 2).AppendText(nil, nil)) != c.want {
			t.Errorf("%x: %d", c.bytes, n)
		}
	}
}

func TestAllSet(t *testing.T) {
	for n := 1; n < 40; n++ {
		m := bytes.Repeat([]byte{0xff}, (n+7)/8)
		if !allSet(m, n) {
			t.Fatalf("%d bits", n)
		}
		for i := range n {
			m[i/8] ^= 1 << (i % 8)
			if allSet(m, n) {
				t.Fatalf("%d bits without bit %d", n, i)
			}
			m[i/8] ^= 1 << (i % 8)
		}
	}
}

// TestChangesDoNotAllocate: updates and deletes do not allocate either.
func TestChangesDoNotAllocate(t *testing.T) {
	var b connect.Batch
	rowsOf(t, "types.binlog", func(p *Plan, typ EventType, _, body []byte) {
		if typ == WriteRowsEvent {
			return
		}
		decodesInPlace(t, p, typ, body, &b)
	})
}

// decodesInPlace fails if decoding an event into a batch that is warm allocates.
func decodesInPlace(t *testing.T, p *Plan, typ EventType, body []byte, b *connect.Batch) {
	t.Helper()
	var st Stamp
	run := func() {
		b.Reset()
		ev, err := ParseRows(typ, body)
		if err == nil {
			err = p.DecodeRows(b, &ev, &st)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(10, run); n != 0 {
		t.Errorf("%s of %s: %v allocations", typ, p.Table(), n)
	}
}

// TestJSONDecimalsOfWholeGroups: a decimal in a document has the precision of
// its groups, which may be more than a column can have.
func TestJSONDecimalsOfWholeGroups(t *testing.T) {
	nines := strings.Repeat("\x3b\x9a\xc9\xff", 9)
	for _, c := range []struct{ doc, want string }{
		{"\x22\x48\x00\x80\x00\x00\x63" + nines[8:], strings.Repeat("9", 65)},
		{"\x14\x27\x1e\x80\x00\x00\x0c\x1d\xcd\x65\x00" + strings.Repeat("\x00", 10), "12.5" + strings.Repeat("0", 29)},
		{"\x14\x27\x1e\x7f" + strings.Repeat("\xff", 12) + "\xf0\xbd\xbf\xff\xff", "-0.000000000000000000001000000000"},
		{"\x26\x51\x1b\xbb" + nines[1:], strings.Repeat("9", 54) + "." + strings.Repeat("9", 27)},
		{"\x26\x50\x1b\xbb" + nines[1:], ""}, // the first group has no room for this
		{"\x2a\x5a\x00\xbb" + nines[1:] + nines[:4], ""},
	} {
		out, err := AppendJSON(nil, []byte("\x0f\xf6"+c.doc))
		if (err == nil) != (c.want != "") || string(out) != c.want {
			t.Errorf("%x gives %s, %v; want %s", c.doc, out, err, c.want)
		}
	}
}

// TestMemo: a rendered value is used again for the same bytes of the same
// column, and only for them.
func TestMemo(t *testing.T) {
	d := decoder{batch: new(connect.Batch)}
	a, b := &column{op: opJSON}, &column{op: opJSON, memo: 1}
	none := &column{op: opJSON, memo: memos}
	get := func(c *column, doc string) schema.Value {
		t.Helper()
		v, err := d.remember(c, []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := AppendJSON(nil, []byte(doc)); string(v.Bytes()) != string(want) {
			t.Fatalf("%q gives %s, want %s", doc, v.Bytes(), want)
		}
		return v
	}
	same := func(v, w schema.Value) bool { return unsafe.SliceData(v.Bytes()) == unsafe.SliceData(w.Bytes()) }
	abc, abd := "\x0c\x03abc", "\x0c\x03abd"
	first := get(a, abc)
	if !same(first, get(a, abc)) {
		t.Error("the same document was rendered again")
	}
	if n := d.rendered; n != len(`"abc"`) {
		t.Errorf("%d bytes were rendered", n)
	}
	if get(b, abd); !same(first, get(a, abc)) {
		t.Error("another column took the place of a value")
	}
	if get(a, abd); same(first, get(a, abc)) {
		t.Error("a value outlives the next one")
	}
	if same(get(none, abc), get(none, abc)) {
		t.Error("a column without a memo has one")
	}
	get(a, "") // null, of an old server
	if _, err := d.remember(a, []byte{jsonOpaque}); err == nil {
		t.Error("a broken document passes")
	}
	get(a, abc)
}
