package convert

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

func mustTable(t testing.TB, tab *schema.Table) *schema.Table {
	t.Helper()
	tab, err := schema.New(tab)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func civilOf(y, mo, d, h, mi, s, us int) schema.Civil {
	return schema.Civil{Year: y, Month: mo, Day: d, Hour: h, Minute: mi, Second: s, Micro: us}
}

func str(s string) schema.Value { return schema.MakeString(s) }

func raw(kind schema.Kind, s string) schema.Value { return schema.MakeBytes(kind, []byte(s)) }

func vector(fs ...float32) schema.Value {
	var b []byte
	for _, f := range fs {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return schema.MakeBytes(schema.Vector, b)
}

func point(srid uint32, x, y float64) schema.Value {
	b := binary.LittleEndian.AppendUint32(nil, srid)
	b = binary.LittleEndian.AppendUint32(append(b, 1), 1)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	return schema.MakeBytes(schema.Geometry, binary.LittleEndian.AppendUint64(b, math.Float64bits(y)))
}

// encodeOne returns the schema of the one column and the JSON of its value.
func encodeOne(t testing.TB, opts EncoderOptions, c schema.Column, v schema.Value) (typ, value string, err error) {
	t.Helper()
	c.Name = "c"
	tab := mustTable(t, &schema.Table{Database: "db", Name: "t", Columns: []schema.Column{c}})
	opts.Prefix, opts.Version = "p", "3.0"
	r := &connect.Record{Op: connect.OpInsert, Flags: connect.Unwrapped, Table: tab, After: schema.Row{v}}
	if !opts.Readable {
		opts.Schemas = true
	}
	out, err := NewEncoder(opts).AppendValue(nil, r)
	if err != nil {
		return "", "", err
	}
	if opts.Readable {
		return "", strings.TrimSuffix(strings.TrimPrefix(string(out), `{"c":`), "}"), nil
	}
	var parts struct {
		Schema  struct{ Fields []json.RawMessage }
		Payload struct{ C json.RawMessage }
	}
	if err := json.Unmarshal(out, &parts); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return string(parts.Schema.Fields[0]), string(parts.Payload.C), nil
}

var (
	precise  = EncoderOptions{Time: TimeAdaptiveMicros}
	iso      = EncoderOptions{}
	adaptive = EncoderOptions{Time: TimeAdaptive}
	kafka    = EncoderOptions{Time: TimeConnect, DecimalNumeric: true}
	inMicros = EncoderOptions{Time: TimeMicros, Decimal: DecimalString, Binary: BinaryHex}
	inNanos  = EncoderOptions{Time: TimeNanos, Decimal: DecimalDouble, Binary: BinaryBase64URL, UnsignedLong: true}
	readable = Readable("")
)

func plainType(name string) string { return `{"type":"` + name + `","optional":false,"field":"c"}` }

func semantic(typ, name string) string {
	return `{"type":"` + typ + `","optional":false,"name":"` + name + `","version":1,"field":"c"}`
}

func TestValues(t *testing.T) {
	date := schema.Column{Type: schema.TypeDate}
	clock := func(fsp int) schema.Column { return schema.Column{Type: schema.TypeTime, Scale: fsp} }
	datetime := func(fsp int) schema.Column { return schema.Column{Type: schema.TypeDateTime, Scale: fsp} }
	stamp := func(fsp int) schema.Column { return schema.Column{Type: schema.TypeTimestamp, Scale: fsp} }
	dec := func(p, s int) schema.Column { return schema.Column{Type: schema.TypeDecimal, Precision: p, Scale: s} }
	when := civilOf(2018, 6, 20, 13, 37, 3, 120000)
	blob := schema.Column{Type: schema.TypeBlob}
	enum := schema.Column{Type: schema.TypeEnum, Elements: []string{"a", "b,c", `d"`}}
	set := schema.Column{Type: schema.TypeSet, Elements: []string{"x", "y", `q"`}}
	const decimalHead = `{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":`

	for _, c := range []struct {
		name string
		opts EncoderOptions
		col  schema.Column
		v    schema.Value
		typ  string // "" is not compared
		want string
	}{
		{"tinyint", precise, schema.Column{Type: schema.TypeTinyInt}, schema.MakeInt(-128), plainType("int16"), "-128"},
		{"tinyint(1)", precise, schema.Column{Type: schema.TypeTinyInt, Length: 1}, schema.MakeInt(1), plainType("int16"), "1"},
		{"tinyint unsigned", precise, schema.Column{Type: schema.TypeTinyInt, Unsigned: true}, schema.MakeUint(255), plainType("int16"), "255"},
		{"smallint", precise, schema.Column{Type: schema.TypeSmallInt}, schema.MakeInt(-32768), plainType("int16"), "-32768"},
		{"smallint unsigned", precise, schema.Column{Type: schema.TypeSmallInt, Unsigned: true}, schema.MakeUint(65535), plainType("int32"), "65535"},
		{"mediumint unsigned", precise, schema.Column{Type: schema.TypeMediumInt, Unsigned: true}, schema.MakeUint(16777215), plainType("int32"), "16777215"},
		{"int", precise, schema.Column{Type: schema.TypeInt}, schema.MakeInt(-2147483648), plainType("int32"), "-2147483648"},
		{"int unsigned", precise, schema.Column{Type: schema.TypeInt, Unsigned: true}, schema.MakeUint(4294967295), plainType("int64"), "4294967295"},
		{"bigint", precise, schema.Column{Type: schema.TypeBigInt}, schema.MakeInt(math.MinInt64), plainType("int64"), "-9223372036854775808"},
		{"bigint unsigned", precise, schema.Column{Type: schema.TypeBigInt, Unsigned: true}, schema.MakeUint(math.MaxUint64),
			decimalHead + `{"scale":"0","connect.decimal.precision":"20"},"field":"c"}`, `"AP//////////"`},
		{"bigint unsigned long", inNanos, schema.Column{Type: schema.TypeBigInt, Unsigned: true}, schema.MakeUint(math.MaxInt64), plainType("int64"), "9223372036854775807"},
		{"bigint unsigned number", kafka, schema.Column{Type: schema.TypeBigInt, Unsigned: true}, schema.MakeUint(math.MaxUint64), "", "18446744073709551615"},
		{"bigint readable", readable, schema.Column{Type: schema.TypeBigInt}, schema.MakeInt(1 << 53), "", "9007199254740992"},
		{"bigint readable large", readable, schema.Column{Type: schema.TypeBigInt}, schema.MakeInt(-1<<53 - 1), "", `"-9007199254740993"`},
		{"bigint unsigned readable", readable, schema.Column{Type: schema.TypeBigInt, Unsigned: true}, schema.MakeUint(math.MaxUint64), "", `"18446744073709551615"`},

		{"float", precise, schema.Column{Type: schema.TypeFloat}, schema.MakeFloat32(1), plainType("float"), "1.0"},
		{"float tenth", precise, schema.Column{Type: schema.TypeFloat}, schema.MakeFloat32(0.1), "", "0.1"},
		{"float(7,2)", precise, schema.Column{Type: schema.TypeFloat, Precision: 7, Scale: 2}, schema.MakeFloat32(12345.67), plainType("double"), "12345.67"},
		{"double", precise, schema.Column{Type: schema.TypeDouble}, schema.MakeFloat64(1e10), plainType("double"), "1.0E10"},
		{"double small", precise, schema.Column{Type: schema.TypeDouble}, schema.MakeFloat64(-1.25e-7), "", "-1.25E-7"},
		{"double limit", precise, schema.Column{Type: schema.TypeDouble}, schema.MakeFloat64(0.001), "", "0.001"},
		{"double below", precise, schema.Column{Type: schema.TypeDouble}, schema.MakeFloat64(0.00099), "", "9.9E-4"},
		{"double 1e7", precise, schema.Column{Type: schema.TypeDouble}, schema.MakeFloat64(9999999), "", "9999999.0"},
		{"double -0", precise, schema.Column{Type: schema.TypeDouble}, schema.MakeFloat64(math.Copysign(0, -1)), "", "-0.0"},
		{"double max", precise, schema.Column{Type: schema.TypeDouble}, schema.MakeFloat64(math.MaxFloat64), "", "1.7976931348623157E308"},

		{"decimal", precise, dec(10, 2), schema.MakeDecimal(12345, 2), decimalHead + `{"scale":"2","connect.decimal.precision":"10"},"field":"c"}`, `"MDk="`},
		{"decimal zero", precise, dec(10, 2), schema.MakeDecimal(0, 2), "", `"AA=="`},
		{"decimal -1", precise, dec(10, 0), schema.MakeDecimal(-1, 0), "", `"/w=="`},
		{"decimal 128", precise, dec(10, 0), schema.MakeDecimal(128, 0), "", `"AIA="`},
		{"decimal -128", precise, dec(10, 0), schema.MakeDecimal(-128, 0), "", `"gA=="`},
		{"decimal wide", precise, dec(30, 1), schema.MakeWideDecimal([]byte("-12345678901234567890.5"), 1), "", `"+U6xYH7QyZPH"`},
		{"decimal number", kafka, dec(10, 2), schema.MakeDecimal(-5, 2), "", `-0.05`},
		{"decimal number tiny", kafka, dec(10, 8), schema.MakeDecimal(-12, 8), "", `-1.2E-7`},
		{"decimal number zero", kafka, dec(10, 8), schema.MakeDecimal(0, 8), "", `0E-8`},
		{"decimal number edge", kafka, dec(10, 7), schema.MakeDecimal(12, 7), "", `0.0000012`},
		{"decimal string", inMicros, dec(10, 2), schema.MakeDecimal(-5, 2), plainType("string"), `"-0.05"`},
		{"decimal double", inNanos, dec(10, 2), schema.MakeDecimal(1250, 2), plainType("double"), `12.5`},
		{"decimal readable", readable, dec(10, 2), schema.MakeDecimal(1250, 2), "", `"12.50"`},

		{"varchar", precise, schema.Column{Type: schema.TypeVarchar}, str("a\"\\/\b\f\n\r\t\x01\x1f\x7f\u00e9\u2028\U0001F600"), plainType("string"),
			"\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001F\x7f\u00e9\u2028\\uD83D\\uDE00\""},
		{"varchar readable", readable, schema.Column{Type: schema.TypeVarchar}, str("\U0001F600"), "", "\"\U0001F600\""},
		{"raw readable", readable, schema.Column{Type: schema.TypeVarchar}, raw(schema.RawString, "\xff\xfe"), "", `{"$base64":"//4="}`},
		{"blob", precise, blob, raw(schema.Bytes, "\xff\xfe\x00"), plainType("bytes"), `"//4A"`},
		{"blob empty", precise, blob, raw(schema.Bytes, ""), "", `""`},
		{"blob hex", inMicros, blob, raw(schema.Bytes, "\xff\xfe\x00"), plainType("string"), `"fffe00"`},
		{"blob url", inNanos, blob, raw(schema.Bytes, "\xff\xfe"), plainType("string"), `"__4="`},

		{"bit(1)", precise, schema.Column{Type: schema.TypeBit, Length: 1}, schema.MakeNum(schema.Bit, 1), plainType("boolean"), "true"},
		{"bit(9)", precise, schema.Column{Type: schema.TypeBit, Length: 9}, schema.MakeNum(schema.Bit, 0x1FE),
			`{"type":"bytes","optional":false,"name":"io.debezium.data.Bits","version":1,"parameters":{"length":"9"},"field":"c"}`, `"/gE="`},
		{"bit(64)", precise, schema.Column{Type: schema.TypeBit, Length: 64}, schema.MakeNum(schema.Bit, math.MaxUint64), "", `"//////////8="`},
		{"bit readable", readable, schema.Column{Type: schema.TypeBit, Length: 9}, schema.MakeNum(schema.Bit, 0x1FE), "", "510"},
		{"year", precise, schema.Column{Type: schema.TypeYear}, schema.MakeNum(schema.Year, 2155), semantic("int32", "io.debezium.time.Year"), "2155"},
		{"enum", precise, enum, schema.MakeNum(schema.Enum, 3),
			`{"type":"string","optional":false,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"a,b\\,c,d\""},"field":"c"}`, `"d\""`},
		{"enum error", precise, enum, schema.MakeNum(schema.Enum, 0), "", `""`},
		{"set", precise, set, schema.MakeNum(schema.Set, 5),
			`{"type":"string","optional":false,"name":"io.debezium.data.EnumSet","version":1,"parameters":{"allowed":"x,y,q\""},"field":"c"}`, `"x,q\""`},
		{"set empty", precise, set, schema.MakeNum(schema.Set, 0), "", `""`},
		{"json", precise, schema.Column{Type: schema.TypeJSON}, raw(schema.JSON, `{"a": 1}`), semantic("string", "io.debezium.data.Json"), `"{\"a\": 1}"`},
		{"json readable", readable, schema.Column{Type: schema.TypeJSON}, raw(schema.JSON, "{\"a\":\n1}"), "", `{"a": 1}`},
		{"geometry", precise, schema.Column{Type: schema.TypeGeometry}, point(4326, 1, 2),
			`{"type":"struct","fields":[{"type":"bytes","optional":false,"field":"wkb"},{"type":"int32","optional":true,"field":"srid"}],"optional":false,` +
				`"name":"io.debezium.data.geometry.Geometry","version":1,"doc":"Geometry","field":"c"}`,
			`{"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","srid":4326}`},
		{"point", precise, schema.Column{Type: schema.TypeGeometry, Subtype: "point"}, point(0, 1, 2), "",
			`{"x":1.0,"y":2.0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA","srid":null}`},
		{"vector", precise, schema.Column{Type: schema.TypeVector, Length: 3}, vector(1, -0.5, 1e10),
			`{"type":"array","items":{"type":"float","optional":false},"optional":false,"name":"io.debezium.data.FloatVector","version":1,"field":"c"}`, "[1.0,-0.5,1.0E10]"},

		{"date", precise, date, schema.MakeDate(2018, 6, 20), semantic("int32", "io.debezium.time.Date"), "17702"},
		{"date before", precise, date, schema.MakeDate(1969, 12, 31), "", "-1"},
		{"date connect", kafka, date, schema.MakeDate(1970, 1, 2), semantic("int32", "org.apache.kafka.connect.data.Date"), "1"},
		{"date iso", iso, date, schema.MakeDate(2018, 6, 20), semantic("string", "io.debezium.time.IsoDate"), `"2018-06-20Z"`},
		{"date zero", iso, date, schema.MakeDate(0, 0, 0), "", `"0000-00-00Z"`},
		{"date partial", iso, date, schema.MakeDate(2020, 0, 15), "", `"2020-00-15Z"`},
		{"date readable", readable, date, schema.MakeDate(2020, 0, 15), "", `"2020-00-15"`},
		{"time", precise, clock(0), schema.MakeTime(-1e6, 0), semantic("int64", "io.debezium.time.MicroTime"), "-1000000"},
		{"time adaptive", adaptive, clock(3), schema.MakeTime(1500000, 3), semantic("int32", "io.debezium.time.Time"), "1500"},
		{"time adaptive micros", adaptive, clock(6), schema.MakeTime(1500001, 6), semantic("int64", "io.debezium.time.MicroTime"), "1500001"},
		{"time connect", kafka, clock(3), schema.MakeTime(1500000, 3), semantic("int32", "org.apache.kafka.connect.data.Time"), "1500"},
		{"time nanos", inNanos, clock(6), schema.MakeTime(-1, 6), semantic("int64", "io.debezium.time.NanoTime"), "-1000"},
		{"time iso", iso, clock(3), schema.MakeTime(12*3600e6+120000, 3), semantic("string", "io.debezium.time.IsoTime"), `"12:00:00.12Z"`},
		{"time iso far", iso, clock(0), schema.MakeTime(-(838*3600+59*60+59)*1e6, 0), "", `"-838:59:59Z"`},
		{"time readable", readable, clock(3), schema.MakeTime(12*3600e6+120000, 3), "", `"12:00:00.120"`},
		{"datetime", precise, datetime(3), schema.MakeDateTime(when, 3), semantic("int64", "io.debezium.time.Timestamp"), "1529501823120"},
		{"datetime micros", precise, datetime(6), schema.MakeDateTime(when, 6), semantic("int64", "io.debezium.time.MicroTimestamp"), "1529501823120000"},
		{"datetime connect", kafka, datetime(6), schema.MakeDateTime(when, 6), semantic("int64", "org.apache.kafka.connect.data.Timestamp"), "1529501823120"},
		{"datetime in micros", inMicros, datetime(0), schema.MakeDateTime(civilOf(1970, 1, 1, 0, 0, 1, 0), 0), semantic("int64", "io.debezium.time.MicroTimestamp"), "1000000"},
		{"datetime in nanos", inNanos, datetime(0), schema.MakeDateTime(civilOf(1970, 1, 1, 0, 0, 1, 0), 0), semantic("int64", "io.debezium.time.NanoTimestamp"), "1000000000"},
		{"datetime iso", iso, datetime(3), schema.MakeDateTime(when, 3), semantic("string", "io.debezium.time.IsoTimestamp"), `"2018-06-20T13:37:03.12Z"`},
		{"datetime iso whole", iso, datetime(3), schema.MakeDateTime(civilOf(2018, 6, 20, 13, 37, 10, 0), 3), "", `"2018-06-20T13:37:10Z"`},
		{"datetime iso zero", iso, datetime(6), schema.MakeDateTime(schema.Civil{}, 6), "", `"0000-00-00T00:00:00Z"`},
		{"datetime readable", readable, datetime(3), schema.MakeDateTime(when, 3), "", `"2018-06-20T13:37:03.120"`},
		{"timestamp", precise, stamp(3), schema.MakeTimestamp(1529501823120000, 3), semantic("string", "io.debezium.time.ZonedTimestamp"), `"2018-06-20T13:37:03.120Z"`},
		{"timestamp whole", kafka, stamp(0), schema.MakeTimestamp(1529501823000000, 0), "", `"2018-06-20T13:37:03Z"`},
		{"timestamp zero", iso, stamp(0), schema.MakeTimestamp(0, 0), "", `"0000-00-00T00:00:00Z"`},
		{"timestamp readable", readable, stamp(0), schema.MakeTimestamp(1529501823000000, 0), "", `"2018-06-20T13:37:03Z"`},
		{"null", precise, schema.Column{Type: schema.TypeInt, Nullable: true}, schema.Value{}, `{"type":"int32","optional":true,"field":"c"}`, "null"},
	} {
		typ, got, err := encodeOne(t, c.opts, c.col, c.v)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if c.typ != "" && typ != c.typ {
			t.Errorf("%s: schema\n got %s\nwant %s", c.name, typ, c.typ)
		}
	}
}

func TestValuesThatDoNotFit(t *testing.T) {
	dec := schema.Column{Type: schema.TypeDecimal, Precision: 30, Scale: 2}
	for _, c := range []struct {
		name string
		opts EncoderOptions
		col  schema.Column
		v    schema.Value
		want string // in the error, beside table and column
	}{
		{"unsigned long", inNanos, schema.Column{Type: schema.TypeBigInt, Unsigned: true}, schema.MakeUint(1 << 63), "bigint.unsigned.handling.mode=precise"},
		{"zero date", precise, schema.Column{Type: schema.TypeDate}, schema.MakeDate(0, 0, 0), "time.precision.mode=isostring"},
		{"partial datetime", inMicros, schema.Column{Type: schema.TypeDateTime}, schema.MakeDateTime(schema.Civil{Year: 2020}, 0), "2020-00-00 00:00:00"},
		{"micros in connect", kafka, schema.Column{Type: schema.TypeDateTime, Scale: 6}, schema.MakeDateTime(civilOf(2020, 1, 1, 0, 0, 0, 1), 6), "milliseconds"},
		{"micros of a time", kafka, schema.Column{Type: schema.TypeTime, Scale: 6}, schema.MakeTime(1, 6), "milliseconds"},
		{"time beyond a day", kafka, schema.Column{Type: schema.TypeTime}, schema.MakeTime(dayMicros, 0), "within a day"},
		{"negative time", kafka, schema.Column{Type: schema.TypeTime}, schema.MakeTime(-1e6, 0), "within a day"},
		{"far nanos", inNanos, schema.Column{Type: schema.TypeDateTime}, schema.MakeDateTime(civilOf(2300, 1, 1, 0, 0, 0, 0), 0), "nanoseconds"},
		{"double", inNanos, dec, schema.MakeWideDecimal([]byte("12345678901234567.89"), 2), "decimal.handling.mode=precise"},
		{"raw string", precise, schema.Column{Type: schema.TypeText, Charset: "latin1"}, raw(schema.RawString, "\xff"), "rawstring"},
		{"absent", precise, schema.Column{Type: schema.TypeInt}, schema.MakeAbsent(), "binlog_row_image=FULL"},
		{"enum '' and error", precise, schema.Column{Type: schema.TypeEnum, Elements: []string{"", "a"}}, schema.MakeNum(schema.Enum, 0), "error value"},
		{"set with ''", precise, schema.Column{Type: schema.TypeSet, Elements: []string{"", "a"}}, schema.MakeNum(schema.Set, 1), "''"},
		{"enum beyond", precise, schema.Column{Type: schema.TypeEnum, Elements: []string{"a"}}, schema.MakeNum(schema.Enum, 2), "enum 2"},
		{"another kind", precise, schema.Column{Type: schema.TypeInt}, str("1"), "kind string"},
		{"nan", precise, schema.Column{Type: schema.TypeDouble}, schema.MakeFloat64(math.NaN()), "NaN"},
		{"not UTF-8", precise, schema.Column{Type: schema.TypeText}, str("\xff"), "UTF-8"},
		{"not JSON", readable, schema.Column{Type: schema.TypeJSON}, raw(schema.JSON, "{"), "not JSON"},
	} {
		_, got, err := encodeOne(t, c.opts, c.col, c.v)
		switch {
		case err == nil:
			t.Errorf("%s: passes as %s", c.name, got)
		case !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "db.t") || !strings.Contains(err.Error(), "column c"):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func shopTable(t testing.TB) *schema.Table {
	return mustTable(t, &schema.Table{Database: "shop", Name: "orders", Key: []int{0}, Primary: true, Columns: []schema.Column{
		{Name: "id", Type: schema.TypeInt}, {Name: "note", Type: schema.TypeVarchar, Length: 20, Nullable: true, Charset: "utf8mb4", Collation: "utf8mb4_bin"}}})
}

func shopOrigin() *connect.Origin {
	return &connect.Origin{ServerID: 223344, Thread: 7, File: "binlog.000003", Pos: 2083, GNO: 5,
		SID: [16]byte{0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62}}
}

func TestEnvelope(t *testing.T) {
	tab := shopTable(t)
	e := NewEncoder(EncoderOptions{Prefix: "srv", Version: "3.0", Clock: func() int64 { return 1700000000999999 }})
	r := &connect.Record{Op: connect.OpUpdate, Table: tab, Time: 1700000000123456, Row: 2, Origin: shopOrigin(),
		Before: schema.Row{schema.MakeInt(1), schema.Value{}}, After: schema.Row{schema.MakeInt(1), str("x")}}
	const want = `{"before":{"id":1,"note":null},"after":{"id":1,"note":"x"},"source":{"version":"3.0","connector":"mysql","name":"srv",` +
		`"ts_ms":1700000000123,"snapshot":"false","db":"shop","sequence":null,"ts_us":1700000000123456,"ts_ns":1700000000123456000,"table":"orders",` +
		`"server_id":223344,"gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:5","file":"binlog.000003","pos":2083,"row":2,"thread":7,"query":null},` +
		`"transaction":null,"op":"u","ts_ms":1700000000999,"ts_us":1700000000999999,"ts_ns":1700000000999999000}`
	check := func(r *connect.Record, want string) {
		t.Helper()
		got, err := e.AppendValue(nil, r)
		if err != nil || string(got) != want {
			t.Fatalf("got  %s, %v\nwant %s", got, err, want)
		}
	}
	check(r, want)
	check(&connect.Record{Op: connect.OpTruncate, Table: tab}, `{"before":null,"after":null,"source":{"version":"3.0","connector":"mysql","name":"srv",`+
		`"ts_ms":0,"snapshot":"false","db":"shop","sequence":null,"ts_us":0,"ts_ns":0,"table":"orders","server_id":0,"gtid":null,"file":"","pos":0,"row":0,`+
		`"thread":null,"query":null},"transaction":null,"op":"t","ts_ms":1700000000999,"ts_us":1700000000999999,"ts_ns":1700000000999999000}`)
	check(&connect.Record{Op: connect.OpSchema, Table: tab}, "")
	if key, err := e.AppendKey(nil, r); err != nil || string(key) != `{"id":1}` {
		t.Fatalf("key %s, %v", key, err)
	}
}

func TestEnvelopeSchema(t *testing.T) {
	e := NewEncoder(EncoderOptions{Prefix: "srv", Version: "3.0", Schemas: true})
	r := &connect.Record{Op: connect.OpRead, Table: shopTable(t), After: schema.Row{schema.MakeInt(1), str("x")}}
	got, err := e.AppendValue(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	const row = `{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":true,"field":"note"}],` +
		`"optional":true,"name":"srv.shop.orders.Value","field":"`
	const want = `{"schema":{"type":"struct","fields":[` + row + `before"},` + row + `after"},` + sourceSchema +
		`],"optional":false,"name":"srv.shop.orders.Envelope","version":2},"payload":{"before":null,"after":{"id":1,"note":"x"},"source":`
	if !strings.HasPrefix(string(got), want) || !json.Valid(got) {
		t.Fatalf("got  %s\nwant %s...", got, want)
	}
	if !strings.Contains(string(got), `"snapshot":"true"`) {
		t.Error("a read is not marked as of a snapshot")
	}
	key, err := e.AppendKey(nil, r)
	if want := `{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"optional":false,"name":"srv.shop.orders.Key"},"payload":{"id":1}}`; string(key) != want || err != nil {
		t.Fatalf("got  %s, %v\nwant %s", key, err, want)
	}
}

func TestSourceTypes(t *testing.T) {
	e := NewEncoder(EncoderOptions{Prefix: "srv", Schemas: true, SourceTypes: []*regexp.Regexp{regexp.MustCompile(`^shop\.orders\.note$`)}})
	got, err := e.AppendValue(nil, &connect.Record{Op: connect.OpRead, Flags: connect.Unwrapped, Table: shopTable(t), After: schema.Row{schema.MakeInt(1), str("x")}})
	if want := `"fields":[{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":true,"parameters":{"__debezium.source.column.type":"VARCHAR",` +
		`"__debezium.source.column.length":"20","__debezium.source.column.name":"note"},"field":"note"}]`; err != nil || !strings.Contains(string(got), want) {
		t.Fatalf("got %s, %v", got, err)
	}
}
