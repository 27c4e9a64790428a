package mysql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// text is a column that holds n characters.
func text(name string, n int) schema.Column {
	return schema.Column{Name: name, Type: schema.TypeVarchar, Length: n, Charset: "utf8mb4", Collation: "utf8mb4_bin", Nullable: true}
}

func table(t testing.TB, s *schema.Table) *schema.Table {
	t.Helper()
	s.Database, s.Name = "db", "t"
	s, err := schema.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func editor(t testing.TB, values map[string]string) *Editor {
	t.Helper()
	e, err := NewEditor(connect.NewConfig("c", Options(), values), connect.Env{Drop: func(string, int) {}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Pseudonyms are those of Debezium, so that what was written by one can be
// joined with what the other writes.
func TestMasks(t *testing.T) {
	long := strings.Repeat("x", 70000)
	for _, c := range []struct {
		option string
		column schema.Column
		in     schema.Value
		want   string // in quotes, or NULL
	}{
		{"column.mask.with.5.chars", text("v", 10), schema.MakeString("secret"), `"*****"`},
		{"column.mask.with.5.chars", text("v", 10), schema.MakeString(""), `"*****"`},
		{"column.mask.with.5.chars", text("v", 10), schema.Value{}, `"*****"`}, // NULL is a secret too
		{"column.mask.with.5.chars", text("v", 3), schema.MakeString("abc"), `"***"`},
		{"column.mask.with.0.chars", text("v", 3), schema.MakeString("abc"), `""`},
		{"column.mask.with.300.chars", schema.Column{Name: "v", Type: schema.TypeTinyText, Charset: "latin1"}, schema.MakeString("abc"), fmt.Sprintf("%q", strings.Repeat("*", 255))},
		{"column.mask.hash.SHA-256.with.salt.salt", text("v", 100), schema.MakeString("hello"), `"af5843a0f0e728ab0332c8888b6e1190bfb79e584f0d40538de8f10df6ef29c6"`},
		{"column.mask.hash.SHA-256.with.salt.salt", text("v", 100), schema.MakeString("world"), `"4588e1f2dcdc7fefc1515d3acd5acb9033478eace68286f383c337b9ff4464a3"`},
		{"column.mask.hash.MD5.with.salt.salt", text("v", 100), schema.MakeString("hello"), `"46f48a7a5ea32efba87cbff49d46d35a"`},
		{"column.mask.hash.v2.SHA-256.with.salt.salt", text("v", 100), schema.MakeString("hello"), `"cd31b3b98ece60cb739c0bf770b2de892ae0ad133f645513c3d83f08757a843a"`},
		{"column.mask.hash.v2.sha-256.with.salt.salt", text("v", 100), schema.MakeString("world"), `"e84ac3142870113ddc6710c06f76421befc8e8ca6de64e98d2993ed8d41f4085"`},
		{"column.mask.hash.v2.MD5.with.salt.salt", text("v", 100), schema.MakeString("world"), `"172c8e95398cc72ab5358ead6981e7e5"`},
		{"column.mask.hash.v2.MD5.with.salt.salt", text("v", 10), schema.MakeString("world"), `"172c8e9539"`},
		{"column.mask.hash.v2.MD5.with.salt.salt", text("v", 10), schema.Value{}, "NULL"},
		{"column.mask.hash.v2.MD5.with.salt.salt", text("v", 32), schema.MakeBytes(schema.RawString, []byte("world")), `"172c8e95398cc72ab5358ead6981e7e5"`},
		{"column.truncate.to.3.chars", text("v", 10), schema.MakeString("añ😀b"), `"añ😀"`},
		{"column.truncate.to.3.chars", text("v", 10), schema.MakeString("añ"), `"añ"`},
		{"column.truncate.to.3.chars", text("v", 10), schema.Value{}, "NULL"},
		{"column.truncate.to.3.chars", schema.Column{Name: "v", Type: schema.TypeBlob}, schema.MakeBytes(schema.Bytes, []byte("abcd")), `"abc"`},
		{"column.truncate.to.65535.chars", schema.Column{Name: "v", Type: schema.TypeLongText, Charset: "utf8mb4"}, schema.MakeString(long), fmt.Sprintf("%q", long[:65535])},
	} {
		s := table(t, &schema.Table{Columns: []schema.Column{text("other", 5), c.column}})
		e := editor(t, map[string]string{c.option: `db\.t\.V`})
		var b connect.Batch
		r := b.Add()
		r.Op, r.Table, r.Before, r.After = connect.OpUpdate, s, b.NewRow(2), b.NewRow(2)
		r.Before[0], r.After[0] = schema.MakeString("o"), schema.MakeString("o")
		r.Before[1], r.After[1] = c.in, c.in
		if err := e.Edit(&b); err != nil {
			t.Errorf("%s of %s: %v", c.option, c.column.Type, err)
			continue
		}
		for _, row := range []schema.Row{r.Before, r.After} {
			got := "NULL"
			if !row[1].IsNull() {
				got = fmt.Sprintf("%q", row[1].Bytes())
			}
			if got != c.want || string(row[0].Bytes()) != "o" {
				t.Errorf("%s of %s: %.100s, want %.100s", c.option, c.column.Type, got, c.want)
			}
		}
	}
}

// appendJavaString is held against what a Java program writes.
func TestJavaString(t *testing.T) {
	for in, want := range map[string]string{
		"":           "\xac\xed\x00\x05t\x00\x00",
		"aé日":        "\xac\xed\x00\x05t\x00\x06a\xc3\xa9\xe6\x97\xa5",
		"\x00":       "\xac\xed\x00\x05t\x00\x02\xc0\x80",
		"\U0001f600": "\xac\xed\x00\x05t\x00\x06\xed\xa0\xbd\xed\xb8\x80",
	} {
		if got := appendJavaString(nil, []byte(in)); string(got) != want {
			t.Errorf("%q: %x, want %x", in, got, want)
		}
	}
	long := strings.Repeat("x", 1<<16)
	if got, want := string(appendJavaString(nil, []byte(long))), "\xac\xed\x00\x05|\x00\x00\x00\x00\x00\x01\x00\x00"+long; got != want {
		t.Errorf("a long string begins with %x", got[:20])
	}
}

func TestMaskFaults(t *testing.T) {
	const salt = "pepper"
	hash := "column.mask.hash.SHA-256.with.salt." + salt
	md5 := "column.mask.hash.v2.MD5.with.salt." + salt
	number := schema.Column{Name: "n", Type: schema.TypeInt}
	s := table(t, &schema.Table{Columns: []schema.Column{text("k", 64), text("short", 40), number, {Name: "b", Type: schema.TypeBlob}}, Key: []int{0}, Primary: true, Unique: [][]int{{1}}})
	for _, c := range []struct {
		options map[string]string
		want    string // of the fault; "" for none
	}{
		{map[string]string{hash: `db\.t\.k`}, ""},
		{map[string]string{hash: `db\.t\.short`}, ""},
		{map[string]string{md5: `db\.t\.k`}, "belongs to the key"},
		{map[string]string{"column.mask.with.5.chars": `db\.t\.k`}, "belongs to the key"},
		{map[string]string{"column.truncate.to.5.chars": `db\.t\.k`}, "belongs to the key"},
		{map[string]string{hash: `db\.t\.n`}, "a int has no text to mask"},
		{map[string]string{hash: `db\.t\.b`}, "a blob has no text to mask"},
		{map[string]string{"column.truncate.to.5.chars": `db\.t\.n`}, "a int has no text to mask"},
		{map[string]string{hash: `db\.t\.short`, md5: `.*\.short`}, "both match"},
		{map[string]string{hash: `db\.t\.short`, optKeys: "db.t:short"}, "belongs to the key"}, // of messages, and not whole
		{map[string]string{"column.mask.with.5.chars": `db\.t\.k`, optKeys: "db.t:short"}, ""},
		{map[string]string{"column.mask.hash.SHA-257.with.salt." + salt: `db\.t\.short`}, "there is no hash algorithm SHA-257"},
		{map[string]string{"column.mask.with.99999999999999999999.chars": `db\.t\.short`}, "the length is more than 65535"},
		{map[string]string{"column.truncate.to.0.chars": `db\.t\.short`}, "nothing would be left"},
	} {
		cfg := connect.NewConfig("c", Options(), c.options)
		var got string
		if f, err := newFilter(cfg); err != nil {
			got = err.Error()
			if faults := Validate(cfg); len(faults) != 1 || strings.Contains(fmt.Sprint(faults), salt) {
				t.Errorf("%v: faults %v", c.options, faults)
			}
		} else if _, err := f.view(s); err != nil {
			got = err.Error()
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Contains(got, salt) {
			t.Errorf("%v: %q, want %q", c.options, got, c.want)
		}
	}
}

// A unique key stays one only if different values stay different.
func TestMaskedUniqueKeys(t *testing.T) {
	s := table(t, &schema.Table{Columns: []schema.Column{text("k", 5), text("a", 64), text("b", 63), text("c", 64)}, Key: []int{0}, Primary: true, Unique: [][]int{{1}, {2}, {1, 3}, {0, 3}}})
	e := editor(t, map[string]string{"column.mask.hash.SHA-256.with.salt.s": `db\.t\.[ab]`, "column.mask.with.1.chars": `db\.t\.c`})
	d, err := e.dress(s)
	if err != nil || fmt.Sprint(d.table.Unique) != "[[1]]" {
		t.Errorf("%+v, %v", d, err)
	}
}

// Nothing is allocated for a row.
func TestEditDoesNotAllocate(t *testing.T) {
	s := table(t, &schema.Table{Columns: []schema.Column{text("k", 64), text("a", 64), text("b", 63), text("c", 64)}, Key: []int{0}, Primary: true})
	e := editor(t, map[string]string{"column.mask.hash.SHA-256.with.salt.s": `db\.t\.[ak]`, "column.mask.with.1.chars": `db\.t\.c`, "column.truncate.to.2.chars": `db\.t\.b`,
		optKeys: "db.t:a,k", optSkipped: "d"})
	var b connect.Batch
	run := func() {
		b.Reset()
		for i := range 100 {
			r := b.Add()
			r.Op, r.Table, r.Before, r.After = connect.OpUpdate, s, b.NewRow(4), b.NewRow(4)
			for n := range r.Before {
				r.Before[n], r.After[n] = schema.MakeString("before"), schema.MakeString("after")
			}
			if i%10 == 0 {
				r.Op, r.After = connect.OpDelete, nil
			}
		}
		if err := e.Edit(&b); err != nil || len(b.Records) != 90 {
			t.Fatal(len(b.Records), err)
		}
	}
	run()
	if n := testing.AllocsPerRun(10, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
