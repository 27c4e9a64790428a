package convert

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/connect/registry"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// openAvro returns a converter whose schemas are in store.
func openAvro(t testing.TB, store offsets.Store, values map[string]string) *converter {
	t.Helper()
	for _, p := range Plugins() {
		if p.Name != "avro" {
			continue
		}
		c, err := p.Converter(connect.NewConfig(p.Name, p.Options, values), connect.Env{Connector: "srv", Store: store})
		if err != nil {
			t.Fatal(err)
		}
		return c.(*converter)
	}
	t.Fatal("there is no converter avro")
	return nil
}

func newStore(t testing.TB) offsets.Store {
	t.Helper()
	log := memlog.New()
	t.Cleanup(func() { log.Close() })
	return log.Store()
}

func TestAvroContract(t *testing.T) {
	store := newStore(t)
	connecttest.TestConverter(t, func() connect.Converter {
		c := openAvro(t, store, map[string]string{optTombstones: "false"})
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

func TestAvroRoundTrip(t *testing.T) {
	for name, values := range map[string]map[string]string{
		"default":    nil,
		"strings":    {optDecimal: "string", optBinary: "hex", optSourceTypes: ".*"},
		"base64":     {optBinary: "base64"},
		"url":        {optBinary: "base64-url-safe"},
		"small":      {optCacheSize: "1"},
		"tombstones": {optTombstones: "false"},
		"adaptive":   {optTime: "adaptive"}, "adaptive micros": {optTime: "adaptive_time_microseconds"},
		"microseconds": {optTime: "microseconds"}, "nanoseconds": {optTime: "nanoseconds"},
	} {
		t.Run(name, func(t *testing.T) {
			rows := 200
			if values[optCacheSize] == "1" {
				rows = 40 // each record makes plans and schemas anew
			}
			for range 2 {
				g := connecttest.NewGen(connecttest.Seed(t))
				g.Strict = values[optTime] != ""
				g.Headers = true
				store := newStore(t)
				throughAndBack(t, g, rows, openAvro(t, store, values), openAvro(t, store, values))
			}
		})
	}
}

// One record encoded alone has the bytes that it has among others.
func TestAvroNeighbours(t *testing.T) {
	g := connecttest.NewGen(connecttest.Seed(t))
	store := newStore(t)
	var in connect.Batch
	fill(g, &in, 80)
	for i := range in.Records {
		if r := &in.Records[i]; r.Op == connect.OpUpdate && i%2 == 0 {
			copy(r.After, r.Before)
		}
	}
	open := func() *converter {
		c := openAvro(t, store, nil)
		c.enc.opts.Clock = nil
		return c
	}
	together := open()
	for i := range in.Records {
		r := &in.Records[i]
		got, _, err := together.text(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := open().text(nil, r)
		if err != nil || string(got) != string(want) {
			t.Fatalf("record %d: %v\n%x\nwant\n%x", i, err, got, want)
		}
		if room := together.w.room(r); r.Op.HasRow() && len(got) > room {
			t.Errorf("record %d of %d bytes has room for %d", i, len(got), room)
		}
	}
}

func TestAvroEncodeDoesNotAllocate(t *testing.T) {
	for name, values := range map[string]map[string]string{"default": nil, "other": {optDecimal: "string", optTime: "microseconds", optBinary: "hex"}} {
		t.Run(name, func(t *testing.T) {
			g := connecttest.NewGen(connecttest.Seed(t))
			g.Strict, g.Headers = true, true
			var in connect.Batch
			var msgs connect.Messages
			fill(g, &in, 100)
			for i := range in.Records {
				if i%3 == 0 {
					in.Records[i].Headers = []connect.Header{{Key: connect.HeaderTransaction, Value: []byte(`{"id":"u\u0041:1","total_order":3,"data_collection_order":2}`)}}
				}
			}
			c := openAvro(t, newStore(t), values)
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

func TestAvroDecodeDoesNotAllocate(t *testing.T) {
	var in, out connect.Batch
	var msgs connect.Messages
	benchUpdates(&in)
	c := openAvro(t, newStore(t), nil)
	if err := c.Encode(&msgs, &in); err != nil {
		t.Fatal(err)
	}
	decode := func() {
		out.Reset()
		if err := c.Decode(&out, msgs.List); err != nil {
			t.Fatal(err)
		}
	}
	decode()
	if n := testing.AllocsPerRun(10, decode); n != 0 {
		t.Errorf("%v allocations for %d messages", n, len(msgs.List))
	}
}

// What a table made up from its schema holds, as in TestMadeUpTable.
func TestAvroMadeUpTable(t *testing.T) {
	tab := mustTable(t, &schema.Table{Database: "shop", Name: "or.ders", Key: []int{1}, Primary: true, Columns: []schema.Column{
		{Name: "a note", Type: schema.TypeVarchar, Length: 20, Nullable: true}, {Name: "id", Type: schema.TypeInt}, {Name: "a_u0020note", Type: schema.TypeInt, Unsigned: true},
		{Name: "price", Type: schema.TypeDecimal, Precision: 10, Scale: 2}, {Name: "at", Type: schema.TypeDateTime, Scale: 6},
		{Name: "e", Type: schema.TypeEnum, Elements: []string{"a", "b,c"}}}})
	store := newStore(t)
	c := openAvro(t, store, map[string]string{optTable: "false"})
	row := func(id int64) schema.Row {
		return schema.Row{str("x"), schema.MakeInt(id), schema.MakeUint(7), schema.MakeDecimal(1250, 2),
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
	want := row(1)
	want[2] = schema.MakeInt(7) // nothing tells that it was unsigned
	r := out.Records[0]
	if r.Table.Database != "shop" && r.Table.Name != "or.ders" || len(r.Table.Key) != 1 || r.Table.Key[0] != 1 || r.Table.Columns[0].Type != schema.TypeLongText || r.Table.Columns[0].Name != "a note" {
		t.Fatalf("table %+v", r.Table)
	}
	if !r.After.Equal(want) || r.Seq != 9 || r.Flags != connect.TxEnd {
		t.Fatalf("record %s", connecttest.DumpRecord(&r))
	}
	want[1] = schema.MakeInt(2)
	if r = out.Records[1]; !r.After.Equal(want) || r.Op != connect.OpInsert || r.Flags != connect.Unwrapped {
		t.Fatalf("flat record %s", connecttest.DumpRecord(&r))
	}
	if r = out.Records[2]; r.Op != connect.OpDelete || r.Before[1].Int() != 2 || r.Before[0].Kind() != schema.Absent || r.Flags != connect.Unwrapped {
		t.Fatalf("tombstone %s", connecttest.DumpRecord(&r))
	}
	var alone connect.Batch // a tombstone whose table has not been seen
	if err := openAvro(t, store, nil).Decode(&alone, msgs.List[2:]); err != nil || len(alone.Records[0].Before) != 1 {
		t.Fatalf("%v: %s", err, connecttest.DumpBatch(&alone))
	}
}

// failing is a store that answers nothing, or loses what it is told.
type failing struct {
	offsets.Store
	load, save error
}

func (f *failing) Load(ctx context.Context, prefix string) ([]offsets.Entry, error) {
	if f.load != nil {
		return nil, f.load
	}
	return f.Store.Load(ctx, prefix)
}

func (f *failing) Save(ctx context.Context, entries ...offsets.Entry) error {
	if f.save != nil {
		return f.save
	}
	return f.Store.Save(ctx, entries...)
}

// A registry that is away is a fault of no message and no record.
func TestAvroRegistryAway(t *testing.T) {
	store := &failing{Store: newStore(t)}
	in := connect.Batch{Records: []connect.Record{{Op: connect.OpInsert, Table: shopTable(t), Topic: "t", After: schema.Row{schema.MakeInt(1), str("x")}}}}
	var msgs connect.Messages
	var out connect.Batch
	var be *connect.BatchError
	var away *registry.Outage
	c := openAvro(t, store, nil)
	store.save = errors.New("the disk is full")
	if err := c.Encode(&msgs, &in); !errors.As(err, &away) || errors.As(err, &be) || len(msgs.List) > 0 {
		t.Fatalf("%d messages, %v", len(msgs.List), err)
	}
	store.save = nil
	if err := c.Encode(&msgs, &in); err != nil || len(msgs.List) != 1 {
		t.Fatal(err)
	}
	store.load = errors.New("the log is closed")
	c = openAvro(t, store, nil)
	if err := c.Decode(&out, msgs.List); !errors.As(err, &away) || errors.As(err, &be) {
		t.Fatal(err)
	}
	store.load = nil
	if err := c.Decode(&out, msgs.List); err != nil || len(out.Records) != 1 {
		t.Fatal(err)
	}
}

func TestAvroDecodeFaults(t *testing.T) {
	store := newStore(t)
	in := connect.Batch{Records: []connect.Record{{Op: connect.OpInsert, Table: shopTable(t), Topic: "t", After: schema.Row{schema.MakeInt(1), str("x")}}}}
	var msgs connect.Messages
	if err := openAvro(t, store, nil).Encode(&msgs, &in); err != nil {
		t.Fatal(err)
	}
	text := func(schema string) []byte {
		id, err := registry.NewOwn(store).Register(t.Context(), "s", schema)
		if err != nil {
			t.Fatal(err)
		}
		return []byte{0, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
	}
	good := string(msgs.List[0].Value)
	for _, c := range []struct{ value, want string }{
		{`{"id":1}`, "another value.converter"}, {"", "another value.converter"}, {"\x00\x00\x01", "another value.converter"},
		{"\x00\x00\x00\x00\x01\x02", "schema 1, which the registry does not have"},
		{good[:len(good)-1], "ends too early"}, {good[:9], "ends too early"}, {good + "x", "1 bytes follow"},
		{good[:5] + "\x04" + good[6:], "type 2 of a union"},
		{good[:6] + "\x00" + good[strings.Index(good, "x")+1:], "lacks its row"},
		{string(text(`"string"`)) + "\x02a", "not a struct"},
		{string(text(`{"type":"record","name":"a.b.Envelope","fields":[{"name":"op","type":"string"}]}`)) + "\x02c", "no struct after"},
		{string(text(`{"type":"record","name":"a.b.Value","fields":[{"name":"x","type":{"type":"map","values":"int"}}]}`)) + "\x00", "the schema type map"},
	} {
		m := msgs.List[0]
		m.Value = []byte(c.value)
		if c.want == "the schema type map" {
			m.Key = nil
		}
		var out connect.Batch
		var be *connect.BatchError
		err := openAvro(t, store, nil).Decode(&out, []connect.Message{msgs.List[0], m, msgs.List[0]})
		if !errors.As(err, &be) || len(be.Failed) != 1 || be.Failed[0].Index != 1 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.value, err)
		}
		if len(out.Records) != 2 {
			t.Errorf("%q: %d records", c.value, len(out.Records))
		}
	}
}

// Every prefix of a message, and messages with any byte changed, are read or
// refused, by a converter that still works after it.
func TestAvroTornMessages(t *testing.T) {
	store := newStore(t)
	g := connecttest.NewGen(connecttest.Seed(t))
	rnd := rand.New(rand.NewPCG(1, connecttest.Seed(t)))
	var in, out connect.Batch
	var msgs connect.Messages
	fill(g, &in, 10)
	c := openAvro(t, store, nil)
	if err := c.Encode(&msgs, &in); err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs.List {
		if m.Value == nil {
			continue
		}
		for n := range m.Value {
			torn := m
			torn.Value = m.Value[:n]
			out.Reset()
			if err := c.Decode(&out, []connect.Message{torn}); err == nil {
				t.Fatalf("%d bytes of %d are read as %s", n, len(m.Value), connecttest.DumpBatch(&out))
			}
		}
		for range 50 {
			odd := connecttest.CloneMessage(&m)
			odd.Value[5+rnd.IntN(len(odd.Value)-5)] ^= 1 << rnd.IntN(8)
			out.Reset()
			_ = c.Decode(&out, []connect.Message{odd})
		}
	}
	out.Reset()
	if err := c.Decode(&out, msgs.List); err != nil {
		t.Fatal(err)
	}
}

func TestAvroMessagesBesideRows(t *testing.T) {
	source := `{"version":"3","connector":"mysql","name":"p","ts_ms":1,"snapshot":"false","db":"d","sequence":null,"ts_us":1,"ts_ns":1,"table":"","server_id":1,"gtid":null,"file":"f","pos":1,"row":0,"thread":null,"query":null}`
	change := func(table string) string {
		return `{"source":` + source + `,"ts_ms":1,"databaseName":"d","schemaName":null,"ddl":"DROP TABLE \"é\\n\"","tableChanges":[{"type":"CREATE","id":"\"d\".\"t\"","table":` + table + `}]}`
	}
	for _, c := range []struct {
		kind       connect.Kind
		key, value string
	}{
		{connect.KindHeartbeat, `{"serverName":"p"}`, `{"ts_ms":-1}`},
		{connect.KindTransaction, `{"id":"u:1"}`, `{"status":"END","id":"u:1","event_count":2,"data_collections":[{"data_collection":"d.t","event_count":2},{"data_collection":"d.\"u","event_count":300}],"ts_ms":5}`},
		{connect.KindTransaction, `{"id":"u:1"}`, `{"status":"BEGIN","id":"u:1","event_count":null,"data_collections":null,"ts_ms":5}`},
		{connect.KindSchemaChange, `{"databaseName":"d"}`, change("null")},
		{connect.KindSchemaChange, `{"databaseName":"d"}`, change(`{"defaultCharsetName":"utf8mb4","primaryKeyColumnNames":["id"],"columns":[{"name":"id","jdbcType":4,"nativeType":null,"typeName":"INT","typeExpression":"INT","charsetName":null,"length":null,"scale":null,"position":1,"optional":false,"autoIncremented":true,"generated":false,"enumValues":[]}]}`)},
	} {
		conv := openAvro(t, newStore(t), nil)
		var b, back connect.Batch
		r := b.Add()
		r.Topic, r.Seq, r.Time, r.Flags = "topic", 7, 9, connect.TxEnd
		r.SetMessage(&b, c.kind, []byte(c.key), []byte(c.value))
		var m connect.Messages
		if err := conv.Encode(&m, &b); err != nil || len(m.List) != 1 {
			t.Fatalf("%s: %d messages, %v", c.kind, len(m.List), err)
		}
		if err := conv.Decode(&back, m.List); err != nil || len(back.Records) != 1 {
			t.Fatal(err)
		}
		g := &back.Records[0]
		kind, k, v, ok := g.Message()
		if !ok || kind != c.kind || string(k) != c.key || string(v) != c.value || g.Topic != "topic" || g.Seq != 7 || g.Time != 9 || g.Flags != connect.TxEnd {
			t.Errorf("%s comes back as %s", c.value, v)
		}
		r = &b.Records[0]
		r.SetMessage(&b, c.kind, []byte(c.key), []byte(`{"surprise":1}`))
		if err := conv.Encode(&m, &b); err == nil || !strings.Contains(err.Error(), `no field "surprise"`) {
			t.Error(err)
		}
	}
}

func TestAvroTransactionBlock(t *testing.T) {
	const block = `{"id":"u:1","total_order":3,"data_collection_order":2}`
	conv := openAvro(t, newStore(t), nil)
	var b, back connect.Batch
	addInTransaction(t, &b, block)
	var m connect.Messages
	if err := conv.Encode(&m, &b); err != nil {
		t.Fatal(err)
	}
	if err := conv.Decode(&back, m.List); err != nil {
		t.Fatal(err)
	}
	for i := range back.Records {
		r := &back.Records[i]
		if len(r.Headers) != 2 || r.Headers[0].Key != "other" || r.Headers[1].Key != connect.HeaderTransaction || string(r.Headers[1].Value) != block {
			t.Errorf("record %d has headers %v", i, r.Headers)
		}
		if i == 0 && r.Origin.Query != "INSERT \"é\"" {
			t.Errorf("query %q", r.Origin.Query)
		}
	}
}

// Subjects are those of the strategy, for each topic that a table's changes go
// to.
func TestAvroSubjects(t *testing.T) {
	for strategy, want := range map[string]string{
		"":                   "[a-key 1 a-value 1 b-key 1 b-value 1]",
		"RecordNameStrategy": "[srv.shop.orders.Envelope 1 srv.shop.orders.Key 1]",
		subjectPackage + "TopicRecordNameStrategy": "[a-srv.shop.orders.Envelope 1 a-srv.shop.orders.Key 1 b-srv.shop.orders.Envelope 1 b-srv.shop.orders.Key 1]",
	} {
		store := newStore(t)
		values := map[string]string{optKeySubject: strategy, optValueSubject: strategy}
		if strategy == "" {
			values = nil
		}
		tab := mustTable(t, &schema.Table{Database: "shop", Name: "orders", Key: []int{0}, Primary: true, Columns: []schema.Column{{Name: "id", Type: schema.TypeInt}}})
		var in connect.Batch
		var m connect.Messages
		for _, topic := range []string{"a", "b", "a", "b"} {
			r := in.Add()
			*r = connect.Record{Op: connect.OpInsert, Table: tab, Topic: topic, After: schema.Row{schema.MakeInt(1)}}
		}
		if err := openAvro(t, store, values).Encode(&m, &in); err != nil {
			t.Fatal(err)
		}
		all, err := registry.NewOwn(store).All(t.Context())
		var got []string
		for _, v := range all {
			got = append(got, fmt.Sprintf("%s %d", v.Subject, v.Version))
		}
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v", strategy, got, err)
		}
		if string(m.List[0].Value[:5]) != string(m.List[1].Value[:5]) {
			t.Error("one schema has two ids")
		}
	}
}

func FuzzAvroDecode(f *testing.F) {
	g := connecttest.NewGen(1)
	var in connect.Batch
	var msgs connect.Messages
	store := newStore(f)
	fill(g, &in, 20)
	for _, values := range []map[string]string{nil, {optTable: "false", optTime: "adaptive", optDecimal: "string"}} {
		if err := openAvro(f, store, values).Encode(&msgs, &in); err != nil {
			var be *connect.BatchError
			if !errors.As(err, &be) {
				f.Fatal(err)
			}
		}
	}
	for _, m := range msgs.List {
		f.Add(m.Key, m.Value, int32(1))
	}
	f.Fuzz(func(t *testing.T, key, value []byte, count int32) {
		var out connect.Batch
		if err := openAvro(t, store, nil).Decode(&out, []connect.Message{{Key: key, Value: value, Count: count}}); err != nil {
			return
		}
		for i := range out.Records {
			if r := &out.Records[i]; r.Table == nil || r.Key() != nil && len(r.Key()) != len(r.Table.Columns) {
				t.Fatalf("a record that breaks the contract: %+v", r)
			}
		}
		var msgs connect.Messages
		_ = openAvro(t, newStore(t), nil).Encode(&msgs, &out) // it may fail, but not panic
	})
}

func TestAvroRegistryOptions(t *testing.T) {
	p := avroPlugin()
	for _, c := range []struct {
		values map[string]string
		want   string
	}{
		{nil, ""},
		{map[string]string{optRegistryURL: "http://a:1,https://b/x"}, ""},
		{map[string]string{optRegistryURL: "http://a:1", optCredentials: "USER_INFO", optUserInfo: "u:p:q", optRegister: "false"}, ""},
		{map[string]string{optCredentials: "USER_INFO", optUserInfo: "u:p"}, optRegistryURL},
		{map[string]string{optRegistryURL: "http://a:1", optCredentials: "USER_INFO"}, optUserInfo},
		{map[string]string{optRegistryURL: "http://a:1", optCredentials: "USER_INFO", optUserInfo: "u"}, optUserInfo},
		{map[string]string{optRegistryURL: "http://a:1", optUserInfo: "u:p"}, optCredentials},
		{map[string]string{optRegister: "false"}, optRegister},
	} {
		cfg := connect.NewConfig(p.Name, p.Options, c.values)
		faults := p.Validate(cfg)
		if c.want == "" && len(faults) > 0 || c.want != "" && (len(faults) != 1 || faults[0].Key != c.want) {
			t.Errorf("%v: %v, want %s", c.values, faults, c.want)
		}
		if len(faults) > 0 {
			continue
		}
		_, remote := c.values[optRegistryURL]
		reg, err := registryOf(cfg, connect.Env{Store: newStore(t)})
		if _, is := reg.(*registry.Remote); err != nil || is != remote {
			t.Errorf("%v: %T, %v", c.values, reg, err)
		}
	}
	if _, err := registryOf(connect.NewConfig(p.Name, p.Options, nil), connect.Env{}); err == nil {
		t.Error("a converter without any registry passes")
	}
}
