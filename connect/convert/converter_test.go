package convert

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, values map[string]string) connect.Converter {
	t.Helper()
	p := Plugins()[0]
	c, err := p.Converter(connect.NewConfig(p.Name, p.Options, values), connect.Env{Connector: "srv"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fill makes a batch that every mode which holds all values can encode.
func fill(g *connecttest.Gen, b *connect.Batch, n int) {
	tables := g.Tables(3)
	g.Fill(b, tables, n)
	for i := range b.Records {
		r := &b.Records[i]
		for _, row := range []schema.Row{r.Before, r.After} {
			for j := range row {
				clean(&row[j], &r.Table.Columns[j])
			}
		}
	}
}

// clean replaces what JSON has no form for.
func clean(v *schema.Value, c *schema.Column) {
	for i, e := range c.Elements {
		if e != "" {
			continue
		}
		switch v.Kind() {
		case schema.Enum:
			*v = schema.MakeNum(schema.Enum, 1)
		case schema.Set:
			*v = schema.MakeNum(schema.Set, v.Uint()&^(1<<i))
		}
	}
}

// comparable drops from a batch what an envelope does not carry.
func comparable(b *connect.Batch) {
	b.Keep(func(r *connect.Record) bool { return r.Op != connect.OpSchema })
	for i := range b.Records {
		r := &b.Records[i]
		r.Offset = 0
		if r.Op == connect.OpRead {
			r.Flags &^= connect.Reread
		}
		if r.Origin == nil {
			continue
		}
		o := *r.Origin
		o.Time, o.Snapshot = 0, o.Snapshot || r.Op == connect.OpRead
		r.Origin = &o
		if o.ServerID == 0 && o.Thread == 0 && o.GNO == 0 && o.Pos == 0 && o.File == "" {
			r.Origin = nil
		}
		if o.GNO == 0 {
			o.SID, o.Tag = [16]byte{}, ""
			*r.Origin = o
		}
	}
}

func roundTrip(t *testing.T, g *connecttest.Gen, values map[string]string) {
	t.Helper()
	throughAndBack(t, g, 200, open(t, values), open(t, values))
}

// throughAndBack encodes records with one converter, and wants another one to make the
// same records of the messages.
func throughAndBack(t *testing.T, g *connecttest.Gen, records int, from, to connect.Converter) {
	t.Helper()
	var in, out connect.Batch
	var msgs connect.Messages
	fill(g, &in, records)
	if err := from.Encode(&msgs, &in); err != nil {
		t.Fatal(err)
	}
	if err := to.Decode(&out, msgs.List); err != nil {
		t.Fatal(err)
	}
	comparable(&in)
	comparable(&out)
	in.Pos = nil
	if diff := connecttest.EqualBatches(&out, &in); diff != "" {
		t.Fatal(diff)
	}
}

func TestContract(t *testing.T) {
	connecttest.TestConverter(t, func() connect.Converter {
		c := open(t, map[string]string{optTombstones: "false"}).(*converter)
		c.enc.opts.Clock = nil
		return c
	}, connecttest.ConverterCaps{
		Decodes: true,
		Tune: func(g *connecttest.Gen) {
			g.RowsOnly, g.Strict = true, true
			g.Types = allButSet() // whose elements may be ''
		},
		Forget: func(r *connect.Record) {
			b := connect.Batch{Records: []connect.Record{*r}}
			comparable(&b)
			*r = b.Records[0]
		},
	})
}

func allButSet() []schema.Type {
	var types []schema.Type
	for typ := schema.TypeTinyInt; typ <= schema.TypeVector; typ++ {
		if typ != schema.TypeSet {
			types = append(types, typ)
		}
	}
	return types
}

func TestRoundTrip(t *testing.T) {
	for name, values := range map[string]map[string]string{
		"default":    nil,
		"strings":    {optDecimal: "string", optBinary: "hex", optSourceTypes: ".*"},
		"numeric":    {optFormat: "NUMERIC", optBinary: "base64"},
		"url":        {optBinary: "base64-url-safe"},
		"small":      {optCacheSize: "1"},
		"tombstones": {optTombstones: "false"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				g := connecttest.NewGen(connecttest.Seed(t))
				g.Headers = true
				roundTrip(t, g, values)
			}
		})
	}
}

func TestRoundTripEpochModes(t *testing.T) {
	for _, mode := range []string{"adaptive", "adaptive_time_microseconds", "microseconds", "nanoseconds"} {
		t.Run(mode, func(t *testing.T) {
			g := connecttest.NewGen(connecttest.Seed(t))
			g.Strict = true
			roundTrip(t, g, map[string]string{optTime: mode})
		})
	}
}

// Messages without the table in their schema give the same values in a table
// made up from the schema.
func TestMadeUpTable(t *testing.T) {
	tab := mustTable(t, &schema.Table{Database: "shop", Name: "orders", Key: []int{1}, Primary: true, Columns: []schema.Column{
		{Name: "note", Type: schema.TypeVarchar, Length: 20, Nullable: true}, {Name: "id", Type: schema.TypeInt},
		{Name: "price", Type: schema.TypeDecimal, Precision: 10, Scale: 2}, {Name: "at", Type: schema.TypeDateTime, Scale: 6},
		{Name: "e", Type: schema.TypeEnum, Elements: []string{"a", "b,c"}}}})
	c := open(t, map[string]string{optTable: "false"})
	row := func(id int64) schema.Row {
		return schema.Row{str("x"), schema.MakeInt(id), schema.MakeDecimal(1250, 2),
			schema.MakeDateTime(civilOf(2020, 1, 2, 3, 4, 5, 6), 6), schema.MakeNum(schema.Enum, 2)}
	}
	in := connect.Batch{Records: []connect.Record{{Op: connect.OpInsert, Table: tab, After: row(1), Seq: 9, Flags: connect.TxEnd},
		{Op: connect.OpInsert, Table: tab, After: row(2), Flags: connect.Unwrapped},
		{Op: connect.OpDelete, Table: tab, Before: row(2), Flags: connect.Unwrapped}}}
	var msgs connect.Messages
	var out connect.Batch
	if err := c.Encode(&msgs, &in); err != nil {
		t.Fatal(err)
	}
	if err := c.Decode(&out, msgs.List); err != nil {
		t.Fatal(err)
	}
	r := out.Records[0]
	if r.Table.String() != "shop.orders" || len(r.Table.Key) != 1 || r.Table.Key[0] != 1 || r.Table.Columns[0].Type != schema.TypeLongText {
		t.Fatalf("table %+v", r.Table)
	}
	if !r.After.Equal(row(1)) || r.Seq != 9 || r.Flags != connect.TxEnd {
		t.Fatalf("record %s", connecttest.DumpRecord(&r))
	}
	if r = out.Records[1]; !r.After.Equal(row(2)) || r.Op != connect.OpInsert || r.Flags != connect.Unwrapped {
		t.Fatalf("flat record %s", connecttest.DumpRecord(&r))
	}
	if r = out.Records[2]; r.Op != connect.OpDelete || r.Before[1].Int() != 2 || r.Before[0].Kind() != schema.Absent || r.Flags != connect.Unwrapped {
		t.Fatalf("tombstone %s", connecttest.DumpRecord(&r))
	}
	var alone connect.Batch // a tombstone whose table has not been seen
	if err := open(t, nil).Decode(&alone, msgs.List[2:]); err != nil || len(alone.Records[0].Before) != 1 || alone.Records[0].Table.String() != "shop.orders" {
		t.Fatalf("%v: %s", err, connecttest.DumpBatch(&alone))
	}
}

func TestMessages(t *testing.T) {
	tab := shopTable(t)
	row := schema.Row{schema.MakeInt(1), schema.Value{}}
	moved := schema.Row{schema.MakeInt(2), schema.Value{}}
	in := connect.Batch{Records: []connect.Record{
		{Op: connect.OpInsert, Table: tab, After: row, Topic: "a", Partition: 3, Time: 5, Headers: []connect.Header{{Key: "h", Value: []byte("v")}}},
		{Op: connect.OpDelete, Table: tab, Before: row, Flags: connect.KeyMoved},
		{Op: connect.OpInsert, Table: tab, After: moved, Flags: connect.KeyMoved},
		{Op: connect.OpTruncate, Table: tab}, {Op: connect.OpSchema, Table: tab},
		{Op: connect.OpDelete, Table: tab, Before: row, Flags: connect.Unwrapped},
	}}
	var msgs connect.Messages
	if err := open(t, map[string]string{optSchemas: "false"}).Encode(&msgs, &in); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range msgs.List {
		s := string(m.Key) + " "
		if m.Value == nil {
			s += "tombstone "
		} else {
			i := strings.Index(string(m.Value), `"op":"`)
			s += string(m.Value[i+6 : i+7])
		}
		for _, h := range m.Headers {
			s += " " + h.Key + "=" + string(h.Value)
		}
		got = append(got, s+" "+string(rune('0'+m.Count)))
	}
	want := []string{`{"id":1} c h=v __towline.seq=0 1`, `{"id":1} d __towline.seq=0 __debezium.newkey={"id":2} 1`, `{"id":1} tombstone  0`,
		`{"id":2} c __towline.seq=0 __debezium.oldkey={"id":1} 1`, ` t __towline.seq=0 1`, `{"id":1} tombstone  __towline.seq=0 __towline.op=d 1`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if m := msgs.List[0]; m.Topic != "a" || m.Partition != 3 || m.Time != 5 || msgs.List[4].Key != nil {
		t.Fatalf("message %+v", m)
	}
}

func TestFailedRecords(t *testing.T) {
	keyless := mustTable(t, &schema.Table{Database: "db", Name: "t", Columns: []schema.Column{{Name: "c", Type: schema.TypeInt}}})
	good := schema.Row{schema.MakeInt(1)}
	in := connect.Batch{Records: []connect.Record{
		{Op: connect.OpInsert, Table: keyless, After: schema.Row{str("x")}},
		{Op: connect.OpInsert, Table: keyless, After: good},
		{Op: connect.OpDelete, Table: keyless, Before: good, Flags: connect.Unwrapped},
		{Op: connect.OpInsert, Table: keyless, After: schema.Row{}},
	}}
	var msgs connect.Messages
	var be *connect.BatchError
	if err := open(t, nil).Encode(&msgs, &in); !errors.As(err, &be) || len(be.Failed) != 3 || be.Failed[0].Index != 0 || be.Failed[1].Index != 2 || be.Failed[2].Index != 3 {
		t.Fatalf("%v", err)
	}
	if len(msgs.List) != 1 || msgs.List[0].Key != nil {
		t.Fatalf("%d messages", len(msgs.List))
	}
}

func TestDecodeFaults(t *testing.T) {
	var in connect.Batch
	var msgs connect.Messages
	in.Records = []connect.Record{{Op: connect.OpInsert, Table: shopTable(t), After: schema.Row{schema.MakeInt(1), str("x")}}}
	if err := open(t, nil).Encode(&msgs, &in); err != nil {
		t.Fatal(err)
	}
	good := string(msgs.List[0].Value)
	for _, c := range []struct{ value, want string }{
		{`{"id":1}`, "schemas.enable=true"}, {`{"schema":null,"payload":{"id":1}}`, "schemas.enable=true"}, {`[1]`, "schemas.enable=true"}, {``, "schemas.enable=true"},
		{good[:len(good)-1], "too early"}, {good + "x", "follows"},
		{strings.Replace(good, `"op":"c"`, `"op":"q"`, 1), "op"}, {strings.Replace(good, `{"id":1,`, `{"id":"1",`, 1), "column id"},
		{strings.Replace(good, `{"id":1,`, `{"ix":1,`, 1), `no column "ix"`}, {strings.Replace(good, `"note":"x"`, `"note":"\ud800"`, 1), "surrogate"},
		{strings.Replace(good, `"after":{"id":1,"note":"x"}`, `"after":null`, 1), "lacks its row"},
	} {
		m := msgs.List[0]
		m.Value = []byte(c.value)
		var out connect.Batch
		var be *connect.BatchError
		err := open(t, nil).Decode(&out, []connect.Message{msgs.List[0], m, msgs.List[0]})
		if !errors.As(err, &be) || len(be.Failed) != 1 || be.Failed[0].Index != 1 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: %v", c.value, err)
		}
		if len(out.Records) != 2 {
			t.Errorf("%.60s: %d records", c.value, len(out.Records))
		}
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	for name, values := range map[string]map[string]string{
		"schemas": nil, "flat": {optSchemas: "false", optDecimal: "string", optTime: "microseconds"},
		"double": {optFormat: "NUMERIC"},
	} {
		t.Run(name, func(t *testing.T) {
			g := connecttest.NewGen(connecttest.Seed(t))
			g.Strict, g.Headers = true, true
			var in connect.Batch
			var msgs connect.Messages
			fill(g, &in, 100)
			c := open(t, values)
			encode := func() {
				msgs.Reset()
				if err := c.Encode(&msgs, &in); err != nil {
					t.Fatal(err)
				}
			}
			encode()
			if n := testing.AllocsPerRun(10, encode); n != 0 {
				t.Errorf("%v allocations for %d records", n, len(in.Records))
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	g := connecttest.NewGen(1)
	var in connect.Batch
	var msgs connect.Messages
	fill(g, &in, 20)
	if err := open(f, nil).Encode(&msgs, &in); err != nil {
		f.Fatal(err)
	}
	if err := open(f, map[string]string{optTable: "false", optTime: "adaptive", optFormat: "NUMERIC"}).Encode(&msgs, &in); err != nil {
		var be *connect.BatchError
		if !errors.As(err, &be) {
			f.Fatal(err)
		}
	}
	for _, m := range msgs.List {
		f.Add(m.Key, m.Value, int32(1))
	}
	f.Fuzz(func(t *testing.T, key, value []byte, count int32) {
		c := open(t, nil)
		var out connect.Batch
		if err := c.Decode(&out, []connect.Message{{Key: key, Value: value, Count: count}}); err != nil {
			return
		}
		for i := range out.Records {
			if r := &out.Records[i]; r.Table == nil || r.Key() != nil && len(r.Key()) != len(r.Table.Columns) {
				t.Fatalf("a record that breaks the contract: %+v", r)
			}
		}
		var msgs connect.Messages
		_ = open(t, nil).Encode(&msgs, &out) // it may fail, but not panic
	})
}

func BenchmarkEncode(b *testing.B) {
	g := connecttest.NewGen(1)
	var in connect.Batch
	var msgs connect.Messages
	fill(g, &in, 1000)
	c := open(b, map[string]string{optSchemas: "false"})
	b.ReportAllocs()
	for b.Loop() {
		msgs.Reset()
		if err := c.Encode(&msgs, &in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(in.Records))/b.Elapsed().Seconds(), "records/s")
}
