package convert

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/connect/registry"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/avro"
	independent "github.com/twmb/avro"
)

// What Confluent's AvroConverter makes of Debezium's schemas.
const (
	goldenFields = `{"name":"id","type":"int"},{"name":"small","type":{"type":"int","connect.type":"int16"}},` +
		`{"name":"note","type":["null","string"],"default":null},` +
		`{"name":"a_u0020price","type":["null",{"type":"bytes","scale":2,"precision":10,"connect.version":1,"connect.parameters":{"connect.decimal.precision":"10","scale":"2"},` +
		`"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}],"default":null},` +
		`{"name":"at","type":{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}},` +
		`{"name":"e","type":{"type":"string","connect.version":1,"connect.parameters":{"allowed":"a,b\\,c"},"connect.name":"io.debezium.data.Enum"}},` +
		`{"name":"g","type":{"type":"record","name":"Geometry","namespace":"io.debezium.data.geometry","doc":"Geometry","fields":[{"name":"wkb","type":"bytes"},` +
		`{"name":"srid","type":["null","int"],"default":null}],"connect.doc":"Geometry","connect.version":1,"connect.name":"io.debezium.data.geometry.Geometry"},"doc":"Geometry"},` +
		`{"name":"h","type":["null","io.debezium.data.geometry.Geometry"],"doc":"Geometry","default":null},` +
		`{"name":"v","type":{"type":"array","items":"float","connect.version":1,"connect.name":"io.debezium.data.FloatVector"}}`
	goldenKey      = `{"type":"record","name":"Key","namespace":"srv.shop.orders","fields":[{"name":"id","type":"int"}],"connect.name":"srv.shop.orders.Key"}`
	goldenValue    = `{"type":"record","name":"Value","namespace":"srv.shop.orders","fields":[` + goldenFields + `],"connect.name":"srv.shop.orders.Value"}`
	goldenEnvelope = `{"type":"record","name":"Envelope","namespace":"srv.shop.orders","fields":[` +
		`{"name":"before","type":["null",{"type":"record","name":"Value","fields":[` + goldenFields + `],"connect.name":"srv.shop.orders.Value"}],"default":null},` +
		`{"name":"after","type":["null","Value"],"default":null},` +
		`{"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector.mysql","fields":[{"name":"version","type":"string"},` +
		`{"name":"connector","type":"string"},{"name":"name","type":"string"},{"name":"ts_ms","type":"long"},` +
		`{"name":"snapshot","type":[{"type":"string","connect.version":1,"connect.parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},` +
		`"connect.default":"false","connect.name":"io.debezium.data.Enum"},"null"],"default":"false"},{"name":"db","type":"string"},` +
		`{"name":"sequence","type":["null","string"],"default":null},{"name":"ts_us","type":["null","long"],"default":null},{"name":"ts_ns","type":["null","long"],"default":null},` +
		`{"name":"table","type":["null","string"],"default":null},{"name":"server_id","type":"long"},{"name":"gtid","type":["null","string"],"default":null},` +
		`{"name":"file","type":"string"},{"name":"pos","type":"long"},{"name":"row","type":"int"},{"name":"thread","type":["null","long"],"default":null},` +
		`{"name":"query","type":["null","string"],"default":null}],"connect.version":1,"connect.name":"io.debezium.connector.mysql.Source"}},` +
		`{"name":"transaction","type":["null",{"type":"record","name":"block","namespace":"event","fields":[{"name":"id","type":"string"},{"name":"total_order","type":"long"},` +
		`{"name":"data_collection_order","type":"long"}],"connect.version":1,"connect.name":"event.block"}],"default":null},{"name":"op","type":"string"},` +
		`{"name":"ts_ms","type":["null","long"],"default":null},{"name":"ts_us","type":["null","long"],"default":null},{"name":"ts_ns","type":["null","long"],"default":null}],` +
		`"connect.version":2,"connect.name":"srv.shop.orders.Envelope"}`
)

func TestAvroSchemas(t *testing.T) {
	tab := mustTable(t, &schema.Table{Database: "shop", Name: "orders", Key: []int{0}, Primary: true, Columns: []schema.Column{
		{Name: "id", Type: schema.TypeInt}, {Name: "small", Type: schema.TypeSmallInt}, {Name: "note", Type: schema.TypeVarchar, Length: 20, Nullable: true},
		{Name: "a price", Type: schema.TypeDecimal, Precision: 10, Scale: 2, Nullable: true}, {Name: "at", Type: schema.TypeDateTime, Scale: 6},
		{Name: "e", Type: schema.TypeEnum, Elements: []string{"a", "b,c"}}, {Name: "g", Type: schema.TypeGeometry},
		{Name: "h", Type: schema.TypeGeometry, Nullable: true}, {Name: "v", Type: schema.TypeVector, Length: 3}}})
	plan := func(values map[string]string) *avroPlan {
		p, err := openAvro(t, newStore(t), values).w.(*avroEncoder).plan(tab)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*avroSchema{p.key, p.flat, p.envelope} {
			if _, err := independent.Parse(s.text); err != nil {
				t.Errorf("%v: %s", err, s.text)
			}
		}
		return p
	}
	p := plan(map[string]string{optTable: "false", optTime: "adaptive"})
	for _, c := range []struct{ got, want string }{{p.key.text, goldenKey}, {p.flat.text, goldenValue}, {p.envelope.text, goldenEnvelope}} {
		if c.got != c.want {
			t.Errorf("got\n%s\nwant\n%s", c.got, c.want)
		}
	}
	// Two geometries whose schemas differ are records of two names.
	text := plan(map[string]string{optSourceTypes: ".*"}).flat.text
	if !strings.Contains(text, `"name":"Geometry"`) || !strings.Contains(text, `"name":"Geometry_2"`) {
		t.Error(text)
	}
}

// TestAvroIndependent has a library of others read what is written, and holds
// that against what json writes of the same records.
func TestAvroIndependent(t *testing.T) {
	for name, values := range map[string]map[string]string{"default": {}, "other": {optDecimal: "string", optTime: "microseconds", optBinary: "base64", optSourceTypes: ".*"}} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t)
			g := connecttest.NewGen(connecttest.Seed(t))
			g.Strict = true
			var in connect.Batch
			var got, want connect.Messages
			fill(g, &in, 300)
			c := openAvro(t, store, values)
			c.enc.opts.Clock = nil
			check(t, c.Encode(&got, &in))
			values[optSchemas] = "false"
			j := open(t, values).(*converter)
			j.enc.opts.Clock = nil
			check(t, j.Encode(&want, &in))
			if len(got.List) != len(want.List) {
				t.Fatalf("%d messages, %d in JSON", len(got.List), len(want.List))
			}
			own := registry.NewOwn(store)
			schemas := map[uint32]*independent.Schema{}
			for i := range got.List {
				compareIndependent(t, own, schemas, got.List[i].Key, want.List[i].Key)
				compareIndependent(t, own, schemas, got.List[i].Value, want.List[i].Value)
				if t.Failed() {
					t.Fatalf("message %d", i)
				}
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func compareIndependent(t *testing.T, reg *registry.Own, schemas map[uint32]*independent.Schema, got, want []byte) {
	t.Helper()
	if got == nil || want == nil {
		if got != nil || want != nil {
			t.Fatalf("%x, in JSON %s", got, want)
		}
		return
	}
	id := binary.BigEndian.Uint32(got[1:])
	s := schemas[id]
	if s == nil {
		text, err := reg.Schema(t.Context(), id)
		check(t, err)
		s, err = independent.Parse(text)
		check(t, err)
		schemas[id] = s
	}
	var value any
	rest, err := s.Decode(got[avroHead:], &value)
	if err != nil || len(rest) > 0 || got[0] != 0 {
		t.Fatalf("%v, and %d bytes are left", err, len(rest))
	}
	dec := json.NewDecoder(strings.NewReader(string(want)))
	dec.UseNumber()
	var plain any
	check(t, dec.Decode(&plain))
	if d := diffIndependent(value, plain); d != "" {
		t.Errorf("%s", d)
	}
}

// diffIndependent compares what a library made of Avro with JSON.
func diffIndependent(got, want any) string {
	same := false
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		if len(g) != len(w) {
			return fmt.Sprintf("%v has %d members, JSON %d", got, len(g), len(w))
		}
		for k, v := range w {
			if d := diffIndependent(g[avro.Escape(k)], v); d != "" {
				return k + ": " + d
			}
		}
		return ""
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			return fmt.Sprintf("%v has %d items, JSON %d", got, len(g), len(w))
		}
		for i := range w {
			if d := diffIndependent(g[i], w[i]); d != "" {
				return fmt.Sprintf("%d: %s", i, d)
			}
		}
		return ""
	case json.Number:
		switch g := got.(type) {
		case float32:
			f, err := strconv.ParseFloat(w.String(), 32)
			same = err == nil && float32(f) == g
		case float64:
			f, err := strconv.ParseFloat(w.String(), 64)
			same = err == nil && f == g
		default:
			same = fmt.Sprint(got) == w.String()
		}
	case string:
		switch g := got.(type) {
		case []byte:
			same = base64.StdEncoding.EncodeToString(g) == w
		case json.Number, *big.Rat, big.Rat:
			same = sameDecimal(g, w)
		default:
			same = got == want
		}
	default:
		same = got == want
	}
	if !same {
		return fmt.Sprintf("%T %v, in JSON %T %v", got, got, want, want)
	}
	return ""
}

// sameDecimal compares a decimal with Kafka Connect's in base64, whose scale is
// the one of the digits.
func sameDecimal(got any, want string) bool {
	b, err := base64.StdEncoding.DecodeString(want)
	if err != nil {
		return false
	}
	n := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	r, ok := got.(*big.Rat)
	if !ok {
		r, ok = new(big.Rat).SetString(fmt.Sprint(got))
		if !ok {
			return false
		}
	}
	for range 31 { // any scale that a column may have
		if r.IsInt() && r.Num().Cmp(n) == 0 {
			return true
		}
		r = new(big.Rat).Mul(r, big.NewRat(10, 1))
	}
	return false
}
