package pairs

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/convert"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

var update = flag.Bool("update", false, "write deploy/types.md anew")

const page = "../../deploy/types.md"

// pageTypes are the types, and a value of each.
var pageTypes = []struct {
	decl, value string
}{
	{"TINYINT", "-7"}, {"TINYINT(1)", "1"}, {"TINYINT UNSIGNED", "200"}, {"SMALLINT", "-300"}, {"MEDIUMINT", "70000"}, {"INT", "-5"}, {"INT UNSIGNED", "4000000000"},
	{"BIGINT", "-9007199254740993"}, {"BIGINT UNSIGNED", "18446744073709551615"}, {"BOOLEAN", "TRUE"}, {"DECIMAL(10,2)", "12.30"}, {"DECIMAL(40,5)", "12345678901234567890.12345"},
	{"FLOAT", "0.1"}, {"DOUBLE", "0.1"}, {"BIT(1)", "1"}, {"BIT(12)", "2049"}, {"YEAR", "2024"},
	{"DATE", "'2024-02-29'"}, {"TIME", "'-838:59:59'"}, {"TIME(6)", "'12:34:56.000001'"}, {"DATETIME", "'2024-02-29 12:34:56'"}, {"DATETIME(6)", "'9999-12-31 23:59:59.999999'"}, {"TIMESTAMP(3) NULL", "'2024-02-29 12:34:56.789'"},
	{"CHAR(5)", "'ab'"}, {"VARCHAR(20)", "'naïve'"}, {"VARCHAR(20) CHARACTER SET latin1", "'naïve'"}, {"TINYTEXT", "'t'"}, {"TEXT", "'t'"}, {"MEDIUMTEXT", "'t'"}, {"LONGTEXT", "'t'"},
	{"BINARY(4)", "x'6162'"}, {"VARBINARY(20)", "x'00FF'"}, {"TINYBLOB", "x'00FF'"}, {"BLOB", "x'00FF'"}, {"MEDIUMBLOB", "x'00FF'"}, {"LONGBLOB", "x'00FF'"},
	{"ENUM('a','b')", "'b'"}, {"SET('a','b','c')", "'a,c'"}, {"JSON", `'{"a": [1, 2.50]}'`}, {"POINT", "ST_GeomFromText('POINT(1 2)')"}, {"GEOMETRY SRID 4326", "ST_GeomFromText('POINT(1 2)', 4326)"}, {"VECTOR(2)", "STRING_TO_VECTOR('[1,2]')"},
}

// TestPageOfTypes holds deploy/types.md against what happens: rows of all types
// are read from a server, converted, and written to another one.
func TestPageOfTypes(t *testing.T) {
	src, dst := mysqltest.Start(t, mysqltest.TimeZone("+00:00")), mysqltest.Start(t, mysqltest.TimeZone("+00:00"))
	f := fixture{name: "page", full: true}
	var columns, values []string
	for i, p := range pageTypes {
		columns, values = append(columns, fmt.Sprintf("c%d %s", i, p.decl)), append(values, p.value)
	}
	f.columns, f.rows = strings.Join(columns, ", "), []string{strings.Join(values, ", ")}
	r := &run{rig: newRig(t, src, dst, nil), fixtures: []fixture{f}, set: map[string]*fixture{"page": &f}}
	r.make(t)
	r.open(t)
	records := r.read(t, func(_ *connect.Batch, n int) bool { return n == 1 })
	row := &records[len(records)-1]
	r.write(t, r.set, records)
	target := map[string]string{}
	for _, c := range dst.Query(t, "SELECT COLUMN_NAME, CONCAT(COLUMN_TYPE, IF(CHARACTER_SET_NAME IS NOT NULL AND COLLATION_NAME NOT LIKE 'utf8mb4%', CONCAT(' ', CHARACTER_SET_NAME), ''), IF(SRS_ID IS NULL, '', CONCAT(' srid ', SRS_ID))) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '"+r.db+"' AND TABLE_NAME = 'page'") {
		target[c[0]] = c[1]
	}
	var b strings.Builder
	b.WriteString(pageHead)
	for i, p := range pageTypes {
		c := &row.Table.Columns[1+i]
		v := row.After[1+i]
		typ, value := jsonOf(t, convert.EncoderOptions{Schemas: true}, c, v)
		_, readable := jsonOf(t, convert.Readable("p"), c, v)
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` | `%s` | `%s` |\n", p.decl, v.Kind(), typ, value, readable, target[c.Name])
	}
	pageModes(t, &b)
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil || string(have) != b.String() {
		t.Errorf("deploy/types.md is not what happens (%v); go test ./e2e/types -run %s -update writes it", err, t.Name())
	}
}

const pageHead = "# Types\n\nMade by a test that sends a row of all types from one server to another; do not edit.\n\n" +
	"Every type of MySQL has a value that holds all that the column holds, in the log and in the snapshot alike. `json` is what the converter `json` writes by default, " +
	"with the type in its schema; `webhook` and `file` write the form for readers by default. The last column is what the sink `jdbc` creates.\n\n" +
	"| MySQL | Value | type in `json` | value in `json` | in `webhook` and `file` | column made by `jdbc` |\n|---|---|---|---|---|---|\n"

// jsonOf returns the type and the value of a column in JSON; of a value that
// cannot be written, the error.
func jsonOf(t *testing.T, opts convert.EncoderOptions, c *schema.Column, v schema.Value) (typ, value string) {
	t.Helper()
	col := *c
	col.Name = "c"
	tab, err := schema.New(&schema.Table{Database: "db", Name: "t", Columns: []schema.Column{col}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := convert.NewEncoder(opts).AppendValue(nil, &connect.Record{Op: connect.OpInsert, Flags: connect.Unwrapped, Table: tab, After: schema.Row{v}})
	if err != nil {
		_, text, _ := strings.Cut(err.Error(), "column c ") // "date: what is wrong; what to do"
		_, text, _ = strings.Cut(text, ": ")
		text, _, _ = strings.Cut(text, "; ")
		return "", "error: " + text
	}
	var m struct {
		Schema  struct{ Fields []struct{ Type, Name string } }
		Payload struct{ C json.RawMessage }
		C       json.RawMessage
	}
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	if !opts.Schemas {
		return "", string(m.C)
	}
	f := m.Schema.Fields[0]
	typ = f.Type
	if f.Name != "" {
		typ += " `" + f.Name + "`"
	}
	return typ, string(m.Payload.C)
}

// modeCase is a value that modes write in different ways.
type modeCase struct {
	name   string
	column schema.Column
	value  schema.Value
}

// pageModes writes what each mode makes of values, those at the limits too.
func pageModes(t *testing.T, b *strings.Builder) {
	t.Helper()
	decimal := func(text string, precision, scale int) modeCase {
		v, err := schema.ParseDecimal([]byte(text), precision, scale)
		if err != nil {
			t.Fatal(err)
		}
		return modeCase{fmt.Sprintf("`DECIMAL(%d,%d)` %s", precision, scale, text), schema.Column{Type: schema.TypeDecimal, Precision: precision, Scale: scale}, v}
	}
	date := func(y, m, d int) modeCase {
		return modeCase{fmt.Sprintf("`DATE` %04d-%02d-%02d", y, m, d), schema.Column{Type: schema.TypeDate}, schema.MakeDate(y, m, d)}
	}
	clock := func(fsp int, micros int64) modeCase {
		c := schema.Column{Type: schema.TypeTime, Scale: fsp}
		v := schema.MakeTime(micros, fsp)
		return modeCase{fmt.Sprintf("`TIME(%d)` %s", fsp, v.AppendText(nil, &c)), c, v}
	}
	moment := func(fsp int, civil schema.Civil) modeCase {
		c := schema.Column{Type: schema.TypeDateTime, Scale: fsp}
		v := schema.MakeDateTime(civil, fsp)
		return modeCase{fmt.Sprintf("`DATETIME(%d)` %s", fsp, v.AppendText(nil, &c)), c, v}
	}
	stamp := func(fsp int, micros int64) modeCase {
		c := schema.Column{Type: schema.TypeTimestamp, Scale: fsp}
		v := schema.MakeTimestamp(micros, fsp)
		return modeCase{fmt.Sprintf("`TIMESTAMP(%d)` %s", fsp, v.AppendText(nil, &c)), c, v}
	}
	number := func(n uint64) modeCase {
		return modeCase{fmt.Sprintf("`BIGINT UNSIGNED` %d", n), schema.Column{Type: schema.TypeBigInt, Unsigned: true}, schema.MakeUint(n)}
	}
	plain := schema.Civil{Year: 2024, Month: 2, Day: 29, Hour: 12, Minute: 34, Second: 56, Micro: 123456}
	type mode struct {
		name string
		set  func(*convert.EncoderOptions)
	}
	for _, s := range []struct {
		option, doc string
		modes       []mode
		cases       []modeCase
	}{
		{"decimal.handling.mode", "`precise` holds every value. `decimal.format=NUMERIC` writes `precise` as a number.", []mode{
			{"precise", func(*convert.EncoderOptions) {}}, {"precise, NUMERIC", func(o *convert.EncoderOptions) { o.DecimalNumeric = true }},
			{"string", func(o *convert.EncoderOptions) { o.Decimal = convert.DecimalString }}, {"double", func(o *convert.EncoderOptions) { o.Decimal = convert.DecimalDouble }}},
			[]modeCase{decimal("12.30", 10, 2), decimal("-0.01", 10, 2), decimal("0.10", 10, 2), decimal("0.50", 10, 2), decimal("12345678901234567890.12345", 40, 5)}},
		{"bigint.unsigned.handling.mode", "Debezium's default is `long`, which cannot hold the upper half.", []mode{
			{"precise", func(*convert.EncoderOptions) {}}, {"long", func(o *convert.EncoderOptions) { o.UnsignedLong = true }}},
			[]modeCase{number(0), number(1<<63 - 1), number(1 << 63), number(1<<64 - 1)}},
		{"binary.handling.mode", "", []mode{
			{"bytes", func(*convert.EncoderOptions) {}}, {"base64", func(o *convert.EncoderOptions) { o.Binary = convert.BinaryBase64 }},
			{"base64-url-safe", func(o *convert.EncoderOptions) { o.Binary = convert.BinaryBase64URL }}, {"hex", func(o *convert.EncoderOptions) { o.Binary = convert.BinaryHex }}},
			[]modeCase{{"`BLOB` x'FBFF00'", schema.Column{Type: schema.TypeBlob}, schema.MakeBytes(schema.Bytes, []byte("\xfb\xff\x00"))}, {"`BINARY(4)` x'61620000'", schema.Column{Type: schema.TypeBinary, Length: 4}, schema.MakeBytes(schema.Bytes, []byte("ab\x00\x00"))}, {"`BLOB` empty", schema.Column{Type: schema.TypeBlob}, schema.MakeBytes(schema.Bytes, nil)}}},
		{"time.precision.mode", "`isostring` holds every value, zero and partial dates too. Where another mode cannot hold a value the record fails; it is never written as NULL or as something near. A `TIMESTAMP` is an instant and the same in all modes.", []mode{
			{"isostring", func(*convert.EncoderOptions) {}}, {"adaptive_time_microseconds", func(o *convert.EncoderOptions) { o.Time = convert.TimeAdaptiveMicros }}, {"adaptive", func(o *convert.EncoderOptions) { o.Time = convert.TimeAdaptive }},
			{"connect", func(o *convert.EncoderOptions) { o.Time = convert.TimeConnect }}, {"microseconds", func(o *convert.EncoderOptions) { o.Time = convert.TimeMicros }}, {"nanoseconds", func(o *convert.EncoderOptions) { o.Time = convert.TimeNanos }}},
			[]modeCase{date(2024, 2, 29), date(1969, 12, 31), date(9999, 12, 31), date(0, 0, 0), date(2024, 2, 0), clock(0, 45296_000000), clock(3, 45296_123000), clock(6, 45296_123456), clock(6, 1), clock(0, -3020399_000000), clock(0, 3020399_000000),
				moment(0, schema.Civil{Year: 2024, Month: 2, Day: 29, Hour: 12, Minute: 34, Second: 56}), moment(3, schema.Civil{Year: 2024, Month: 2, Day: 29, Hour: 12, Minute: 34, Second: 56, Micro: 123000}), moment(6, plain), moment(6, schema.Civil{Year: 1969, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59, Micro: 999999}),
				moment(0, schema.Civil{Year: 1000, Month: 1, Day: 1}), moment(6, schema.Civil{Year: 9999, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59, Micro: 999999}), moment(0, schema.Civil{}), moment(0, schema.Civil{Year: 2024}),
				stamp(0, 1709210096_000000), stamp(6, 1709210096_123456), stamp(0, 0)}},
	} {
		fmt.Fprintf(b, "\n## %s\n\n", s.option)
		if s.doc != "" {
			b.WriteString(s.doc + "\n\n")
		}
		b.WriteString("| value |")
		for _, m := range s.modes {
			b.WriteString(" " + m.name + " |")
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(s.modes)) + "\n")
		for _, c := range s.cases {
			b.WriteString("| " + c.name + " |")
			for _, m := range s.modes {
				o := convert.EncoderOptions{Schemas: true}
				m.set(&o)
				typ, value := jsonOf(t, o, &c.column, c.value)
				if typ != "" {
					value = "`" + value + "` " + shortName(typ)
				}
				b.WriteString(" " + value + " |")
			}
			b.WriteString("\n")
		}
	}
}

// shortName leaves the package out of a type's name.
func shortName(typ string) string {
	if i := strings.IndexByte(typ, '`'); i >= 0 {
		typ = typ[:i+1] + typ[strings.LastIndexByte(typ, '.')+1:]
	}
	return typ
}
