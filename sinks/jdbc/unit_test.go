package jdbc

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

func TestLiterals(t *testing.T) {
	enum := schema.Column{Name: "e", Type: schema.TypeEnum, Elements: []string{"a", `b'\`}, Charset: "latin1"}
	for _, c := range []struct {
		v    schema.Value
		f    form
		want string
	}{
		{schema.Value{}, formPlain, "NULL"},
		{schema.MakeInt(math.MinInt64), formPlain, "-9223372036854775808"},
		{schema.MakeUint(math.MaxUint64), formPlain, "18446744073709551615"},
		{schema.MakeFloat32(1.1), formPlain, "1.100000023841858e+00"},
		{schema.MakeFloat64(math.Copysign(0, -1)), formPlain, "-0e+00"},
		{schema.MakeFloat64(5e-324), formPlain, "5e-324"},
		{schema.MakeDecimal(-5, 3), formPlain, "-0.005"},
		{schema.MakeString(`it's \ "x"` + "\x00\n%"), formPlain, `'it\'s \\ "x"` + "\x00\n%'"},
		{schema.MakeString(`1234567'8\`), formPlain, `'1234567\'8\\'`},
		{schema.MakeString(`''''''''''`), formPlain, `'` + strings.Repeat(`\'`, 10) + `'`},
		{schema.MakeBytes(schema.Bytes, []byte{0, '\'', 0xff}), formPlain, "_binary'\x00\\'\xff'"},
		{schema.MakeBytes(schema.Bytes, nil), formPlain, "_binary''"},
		{schema.MakeBytes(schema.RawString, []byte{0x81, 0xff}), formPlain, "_latin1 x'81ff'"},
		{schema.MakeBytes(schema.JSON, []byte(`{"a":"b'\n"}`)), formPlain, `'{"a":"b\'\\n"}'`},
		{schema.MakeDate(2020, 0, 0), formPlain, "'2020-00-00'"},
		{schema.MakeDateTime(schema.Civil{}, 3), formPlain, "'0000-00-00 00:00:00.000'"},
		{schema.MakeTime(-1, 6), formPlain, "'-00:00:00.000001'"},
		{schema.MakeTimestamp(0, 0), formPlain, "'0000-00-00 00:00:00'"},
		{schema.MakeTimestamp(1, 6), formPlain, "'1970-01-01 00:00:00.000001'"},
		{schema.MakeNum(schema.Year, 0), formPlain, "0"},
		{schema.MakeNum(schema.Enum, 2), formPlain, "2"},
		{schema.MakeNum(schema.Enum, 2), formElements, `'b\'\\'`},
		{schema.MakeNum(schema.Enum, 2), formText, `'b\'\\'`},
		{schema.MakeInt(-3), formText, "'-3'"},
		{schema.MakeNum(schema.Bit, 1<<63), formPlain, "9223372036854775808"},
	} {
		got, err := appendValue(nil, c.v, &enum, c.f)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v, want %q", c.v.Kind(), got, err, c.want)
		}
	}
	for _, v := range []schema.Value{schema.MakeAbsent(), schema.MakeBytes(schema.RawString, []byte{1})} {
		if got, err := appendValue(nil, v, &schema.Column{Name: "c"}, formPlain); err == nil {
			t.Errorf("%s is written as %q", v.Kind(), got)
		}
	}
}

// FuzzAppendString reads a literal back as the server does.
func FuzzAppendString(f *testing.F) {
	f.Add([]byte(`a'b\c`))
	f.Add([]byte("12345678'\\''''"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lit := appendString(nil, b)
		var back []byte
		for i := 1; i < len(lit)-1; i++ {
			if lit[i] == '\'' {
				t.Fatalf("a quote ends %q early", lit)
			}
			if lit[i] == '\\' {
				i++
			}
			back = append(back, lit[i])
		}
		if string(back) != string(b) || lit[len(lit)-1] != '\'' {
			t.Fatalf("%q became %q", b, lit)
		}
		_ = utf8.Valid(b)
	})
}

func TestParseURL(t *testing.T) {
	for _, c := range []struct{ url, user, addr, db string }{
		{"jdbc:mysql://h:3307/db?useSSL=false&serverTimezone=UTC&rewriteBatchedStatements=true", "u", "h:3307", "db"},
		{"jdbc:mysql://h/", "u", "h:3306", ""},
		{"jdbc:mysql://[::1]:33/db", "u", "[::1]:33", "db"},
		{"mysql://x:p%40ss@h/db?sslMode=REQUIRED&connectTimeout=5000", "x", "h:3306", "db"},
		{"jdbc:mysql://h/d?user=x&password=y", "x", "h:3306", "d"},
		{"x:p@tcp(h:1)/db?tls=skip-verify", "x", "h:1", "db"},
		{"x:p@unix(/tmp/s)/", "x", "/tmp/s", ""},
	} {
		user := ""
		if c.user == "u" {
			user = "u"
		}
		got, err := parseURL(c.url, user, "")
		if err != nil || got.User != c.user || got.Addr != c.addr || got.DBName != c.db {
			t.Errorf("%s: %+v, %v", c.url, got, err)
		}
	}
	for _, bad := range []string{"", "jdbc:postgresql://h/db", "jdbc:mysql:///db", "jdbc:mysql://a,b/db", "jdbc:mysql://h/db?nonsense=1",
		"jdbc:mysql://h/db?sslMode=maybe", "jdbc:mysql://h/db?connectTimeout=x", "mysql://u:s3cret@h:port/db", "u:s3cret@h", "jdbc:mysql://h/d?ssl-ca=/nonexistent&sslMode=VERIFY_CA&password=s3cret"} {
		_, err := parseURL(bad, "", "s3cret")
		if err == nil {
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error shows the password: %v", bad, err)
		}
	}
}

func TestTemplates(t *testing.T) {
	table := &schema.Table{Database: "a.b", Name: "c`d"}
	for _, c := range []struct{ format, want string }{
		{"${table}", "def/c`d"}, {"${database}.${table}", "a.b/c`d"}, {"x_${source.db}.y_${table}_z", "x_a.b/y_c`d_z"},
		{"${topic}", "def/p.a.b.c"}, {"all", "def/all"},
	} {
		f, err := parseTemplate(c.format)
		if err != nil {
			t.Fatal(err)
		}
		n, err := f.name("p.a.b.c", table, "def")
		if err != nil || n.db+"/"+n.table != c.want {
			t.Errorf("%s: %v, %v", c.format, n, err)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".b", "a.b.c", "${nope}", "${table", "$table"} {
		if _, err := parseTemplate(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	f, _ := parseTemplate("${table}")
	if _, err := f.name("t", &schema.Table{Name: strings.Repeat("ü", 65)}, "d"); err == nil {
		t.Error("a name of 65 characters is taken")
	}
}

func TestSettings(t *testing.T) {
	p := Plugin()
	for _, c := range []struct{ set, key string }{
		{"pk.mode=kafka", "pk.mode"}, {"pk.mode=none", "pk.mode"}, {"pk.mode=record_value", "pk.fields"}, {"pk.mode=none insert.mode=insert", ""},
		{"offsets.table=a.b", ""}, {"offsets.table=.b", "offsets.table"}, {"auto.create=true auto.evolve=false", "auto.create"}, {"table.name.format=${x}", "table.name.format"},
		{"connection.url=jdbc:mysql://h/ table.name.format=${table}", "table.name.format"}, {"connection.url=jdbc:mysql://h/", ""},
	} {
		values := map[string]string{"connection.url": "jdbc:mysql://h/db"}
		for _, kv := range strings.Fields(c.set) {
			k, v, _ := strings.Cut(kv, "=")
			values[k] = v
		}
		faults := p.Validate(connect.NewConfig("x", p.Options, values))
		if c.key == "" && len(faults) > 0 || c.key != "" && (len(faults) != 1 || faults[0].Key != c.key) {
			t.Errorf("%s: %v", c.set, faults)
		}
	}
}

// What a converter that writes rows alone does not tell is refused, not done by half.
func TestWhatTakesStatements(t *testing.T) {
	p := Plugin()
	for set, want := range map[string]string{"": "", "schema.evolution=basic drop.mode=empty": "", "schema.evolution=FULL": "schema.evolution=basic", "drop.mode=drop": "drop.mode=empty",
		"schema.evolution=full drop.mode=ignore": "schema.evolution=basic"} {
		values := map[string]string{"connection.url": "jdbc:mysql://h/db"}
		for _, kv := range strings.Fields(set) {
			k, v, _ := strings.Cut(kv, "=")
			values[k] = v
		}
		faults := p.NeedsSchemas(connect.NewConfig("x", p.Options, values))
		if (want == "") != (len(faults) == 0) || want != "" && (len(faults) != 1 || !strings.Contains(faults[0].Text, "value.converter=frame") || !strings.Contains(faults[0].Text, want)) {
			t.Errorf("%q: %v, want %q", set, faults, want)
		}
	}
}

var testCharsets = &charsets{collation: map[string]string{"utf8mb4_0900_ai_ci": "utf8mb4", "latin1_swedish_ci": "latin1"}, maxLen: map[string]int{"utf8mb4": 4, "latin1": 1}}

func TestCreateTable(t *testing.T) {
	x := &schema.Table{Columns: []schema.Column{
		{Name: "a`b", Type: schema.TypeBigInt, Unsigned: true, AutoIncrement: true},
		{Name: "t", Type: schema.TypeText, Charset: "latin1", Collation: "latin1_swedish_ci"},
		{Name: "n", Type: schema.TypeVarchar, Length: 9, Charset: "utf8mb4", Collation: "utf8mb4_new_ci", Nullable: true},
		{Name: "z", Type: schema.TypeVarchar, Length: 9, Charset: "klingon", Collation: "klingon_ci", Nullable: true},
		{Name: "g", Type: schema.TypeInt, Nullable: true, Generated: true, Invisible: true},
		{Name: "p", Type: schema.TypeGeometry, Subtype: "point", HasSRID: true, SRID: 4326},
		{Name: "f7", Type: schema.TypeFloat, Precision: 7, Scale: 3},
		{Name: "f8", Type: schema.TypeFloat, Precision: 8, Scale: 3, Zerofill: true, Nullable: true},
	}, Unique: [][]int{{2, 4}, {1}}}
	got := createTable(name{"d", "t"}, x, []int{1}, testCharsets)
	want := "CREATE TABLE IF NOT EXISTS `d`.`t` (`a``b` bigint unsigned NOT NULL AUTO_INCREMENT, `t` text character set latin1 collate latin1_swedish_ci NOT NULL, " +
		"`n` varchar(9) character set utf8mb4 NULL, `z` varchar(9) character set utf8mb4 NULL, `g` int NULL INVISIBLE, `p` point NOT NULL SRID 4326, " +
		"`f7` float(7,3) NOT NULL, `f8` float unsigned NULL, " +
		"PRIMARY KEY (`t`(3072)), UNIQUE KEY (`n`,`g`), KEY (`a``b`))"
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// column reads "type[(a[,b])][ unsigned]" or an enum of letters.
func testColumn(t *testing.T, text string) *schema.Column {
	c := &schema.Column{Name: "c"}
	body, unsigned := strings.CutSuffix(text, " unsigned")
	typ, args, _ := strings.Cut(strings.TrimSuffix(body, ")"), "(")
	c.Unsigned, c.Type = unsigned, schema.ParseType(typ)
	if c.Type == schema.TypeInvalid {
		t.Fatal(text)
	}
	if c.Type.IsText() || c.Type == schema.TypeEnum {
		c.Charset, c.Collation = "utf8mb4", "utf8mb4_0900_ai_ci"
	}
	if c.Type == schema.TypeEnum {
		c.Elements = strings.Split(args, "")
		return c
	}
	var n []int
	for _, a := range strings.Split(args, ",") {
		x := 0
		for _, d := range a {
			x = 10*x + int(d-'0')
		}
		n = append(n, x)
	}
	switch {
	case c.Type == schema.TypeDecimal:
		c.Precision, c.Scale = n[0], n[1]
	case c.Type == schema.TypeDateTime || c.Type == schema.TypeTime || c.Type == schema.TypeTimestamp:
		c.Scale = n[0]
	default:
		c.Length = n[0]
	}
	return c
}

func TestFitAndWiden(t *testing.T) {
	words := map[fit]string{fits: "fits", narrow: "narrow", lossy: "lossy", foreign: "foreign"}
	for _, c := range []struct{ dst, src, fit, wide string }{
		{"int", "int", "fits", ""}, {"bigint", "int unsigned", "fits", ""}, {"int", "bigint", "narrow", "bigint"}, {"int", "int unsigned", "narrow", "bigint"},
		{"bigint", "bigint unsigned", "narrow", "decimal(20,0)"}, {"int unsigned", "smallint", "narrow", "bigint"}, {"bigint unsigned", "tinyint", "narrow", "decimal(20,0)"},
		{"decimal(20,0)", "bigint unsigned", "fits", ""}, {"decimal(5,0)", "int", "narrow", "decimal(10,0)"}, {"decimal(10,2)", "decimal(10,4)", "lossy", "decimal(12,4)"},
		{"decimal(10,4)", "decimal(10,2)", "narrow", "decimal(12,4)"}, {"varchar(10)", "varchar(20)", "narrow", "varchar(20)"}, {"varchar(10)", "char(10)", "fits", ""},
		{"char(10)", "varchar(10)", "lossy", "varchar(10)"}, {"varchar(10)", "text", "narrow", "text"}, {"text", "varchar(16000)", "fits", ""}, {"text", "varchar(20000)", "narrow", "mediumtext"},
		{"text", "longtext", "narrow", "longtext"}, {"varbinary(5)", "blob", "narrow", "blob"}, {"binary(4)", "binary(5)", "lossy", "binary(5)"}, {"blob", "varbinary(9)", "fits", ""},
		{"datetime(0)", "datetime(6)", "lossy", "datetime(6)"}, {"datetime(6)", "timestamp(3)", "fits", ""}, {"datetime(0)", "date", "fits", ""}, {"float", "double", "foreign", "double"},
		{"double", "float", "fits", ""}, {"bit(3)", "bit(9)", "narrow", "bit(9)"}, {"enum(ab)", "enum(ab)", "fits", ""}, {"enum(abc)", "enum(ab)", "fits", ""}, {"enum(ba)", "enum(ab)", "fits", ""},
		{"enum(ba)", "enum(abc)", "narrow", "enum('b','a','c')"}, {"longtext", "json", "fits", ""}, {"varchar(100)", "int", "fits", ""}, {"int", "varchar(5)", "foreign", "no"}, {"date", "datetime(0)", "foreign", "no"},
		{"blob", "text", "foreign", "no"}, {"text", "blob", "foreign", "no"}, {"json", "text", "foreign", "no"}, {"vector(3)", "vector(9)", "narrow", "vector(9)"}, {"timestamp(0)", "datetime(0)", "foreign", "no"},
	} {
		dst, src := testColumn(t, c.dst), testColumn(t, c.src)
		f, _ := fitOf(dst, src, testCharsets)
		if words[f] != c.fit {
			t.Errorf("%s takes %s: %s, want %s", c.dst, c.src, words[f], c.fit)
		}
		if f == fits {
			continue
		}
		w, ok := widen(dst, src, testCharsets)
		got := "no"
		if ok {
			got, _, _ = strings.Cut(typeText(&w, testCharsets), " character")
			if g, _ := fitOf(&w, src, testCharsets); g != fits {
				t.Errorf("%s widened for %s to %s does not take it", c.dst, c.src, got)
			}
			// A BINARY that grows fills up with zeros, as it did at the source.
			if g, _ := fitOf(&w, dst, testCharsets); g != fits && dst.Type != schema.TypeBinary {
				t.Errorf("%s widened for %s to %s does not take what it had", c.dst, c.src, got)
			}
		}
		if got != c.wide {
			t.Errorf("%s for %s becomes %s, want %s", c.dst, c.src, got, c.wide)
		}
	}
}

func TestRouteRefuses(t *testing.T) {
	text := func(collation string) schema.Column {
		return schema.Column{Name: "k", Type: schema.TypeVarchar, Length: 5, Charset: "utf8mb4", Collation: collation}
	}
	set := &settings{mode: modeUpsert}
	for _, c := range []struct {
		src, dst, want string
		index          bool
	}{
		{"utf8mb4_bin", "utf8mb4_0900_ai_ci", "tells apart", true}, {"utf8mb4_0900_ai_ci", "utf8mb4_bin", "", true}, {"utf8mb4_0900_bin", "utf8mb4_bin", "tells apart", true},
		{"utf8mb4_general_ci", "utf8mb4_general_ci", "", true}, {"utf8mb4_bin", "utf8mb4_bin", "no primary or unique key", false},
	} {
		src := mustTable(t, &schema.Table{Name: "t", Columns: []schema.Column{text(c.src)}, Key: []int{0}})
		var indexes []ddl.Index
		if c.index {
			indexes = []ddl.Index{{Name: "PRIMARY", Primary: true, Unique: true, Parts: []ddl.Part{{Column: "k"}}}}
		}
		def, err := ddl.NewDef(&schema.Table{Name: "t", Columns: []schema.Column{text(c.dst)}}, indexes)
		if err != nil {
			t.Fatal(err)
		}
		_, err = newRoute(name{"d", "t"}, src, []int{0}, &shape{def: def}, set, testCharsets)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestErrorsAreSorted(t *testing.T) {
	e := func(n uint16, state string) error {
		x := &mysql.MySQLError{Number: n, Message: "Data too long for column 'it's' at row 1"}
		copy(x.SQLState[:], state)
		return x
	}
	for _, c := range []struct {
		err                          error
		data, stale, conflict, final bool
	}{
		{e(1406, "22001"), true, false, false, false}, {e(1062, "23000"), true, false, false, false}, {e(3819, "HY000"), true, false, false, false},
		{e(1265, "01000"), true, false, false, false}, {e(1146, "42S02"), false, true, false, false}, {e(1213, "40001"), false, false, true, false},
		{e(1205, "HY000"), false, false, true, false}, {e(1045, "28000"), false, false, false, true}, {e(1290, "HY000"), false, false, false, false},
		{e(1836, "HY000"), false, false, false, false}, {e(1021, "HY000"), false, false, false, false}, {mysql.ErrInvalidConn, false, false, false, false},
		{context.Canceled, false, false, false, false}, {errMissing, true, false, false, false},
	} {
		if isData(c.err) != c.data || isStale(c.err) != c.stale || isConflict(c.err) != c.conflict || connect.IsPermanent(classify("x", c.err)) != c.final {
			t.Errorf("%v is taken for something else", c.err)
		}
	}
	if got := columnOf(e(1406, "22001")); got != "it's" {
		t.Errorf("column %q", got)
	}
	if !errors.Is(classify("x", context.Canceled), context.Canceled) {
		t.Error("the cause is lost")
	}
}
