package avro

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var valid = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{"id": "id", "order_id": "order_id", "a b": "a_u0020b", "1st": "_u0031st", "a_u0020b": "a_u005fu0020b", "": "_u", "_u": "_u005fu",
		"é": "_u00e9", "😀": "_ud83d_ude00", "_u00": "_u00", "__u00e9": "__u005fu00e9", "a\xffb": "a_udcffb"} {
		if got := Escape(in); got != want || Unescape(got) != in {
			t.Errorf("%q is %q and comes back as %q, want %q", in, got, Unescape(got), want)
		}
	}
	if got := FullName("srv.a b.c-d.Value"); got != "srv.a_u0020b.c_u002dd.Value" {
		t.Error(got)
	}
}

// No two texts have one name, since each comes back.
func TestEscapeIsReversible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[_u0-9a-f ]{0,12}`)).Draw(t, "s")
		name := Escape(s)
		if !valid.MatchString(name) || Unescape(name) != s {
			t.Fatalf("%q is %q and comes back as %q", s, name, Unescape(name))
		}
	})
}

func TestParse(t *testing.T) {
	s, err := Parse(`{"type":"record","name":"a.R","fields":[{"name":"x","type":["null",{"type":"enum","name":"E","symbols":["p","q"]}]},{"name":"y","type":"E"},
		{"name":"z","type":{"type":"array","items":{"type":"record","name":"b.In","fields":[{"name":"self","type":["null","a.R"]},{"name":"in","type":"a.E"}]}}},
		{"name":"d","type":{"type":"fixed","name":"D","size":16,"logicalType":"decimal","precision":20,"scale":3}},{"name":"m","type":{"type":{"type":"map","values":"long"}}}],"connect.name":"n"}`)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "a.R" || s.Connect.Name != "n" || s.Fields[1].Type != s.Fields[0].Type.Branches[1] || s.Fields[1].Type.Name != "a.E" ||
		s.Fields[2].Type.Items.Fields[0].Type.Branches[1] != s || s.Fields[3].Type.Scale != 3 || s.Fields[3].Type.Precision != 20 || s.Fields[4].Type.Kind != Map {
		t.Errorf("%+v", s)
	}
	for text, want := range map[string]string{
		"": "not JSON", `{"type":"int"} 1`: "something follows", `{"type":"what"}`: `no type "what"`, `["int",["null"]]`: "in a union", `[]`: "empty", `{}`: "no attribute type", `7`: "not a type",
		`{"type":"record","fields":[]}`: "no name", `{"type":"record","name":"r"}`: "no fields", `{"type":"record","name":"r","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}`: "of another",
		`{"type":"fixed","name":"f","size":-1}`: "size", `[{"type":"fixed","name":"f","size":1},{"type":"fixed","name":"f","size":1}]`: "twice", `{"type":"enum","name":"e","symbols":[1]}`: "symbol",
		strings.Repeat(`{"type":"array","items":`, 100) + `"int"` + strings.Repeat("}", 100): "deep",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
}

func TestNormal(t *testing.T) {
	a, err := Normal(`{"type":"record","name":"r","fields":[{"name":"a<b","type":"int","default":1.50}]}`)
	b, err2 := Normal(` {"name" : "r", "fields":[{"default":1.50,"type":"int","name":"a\u003cb"}],"type":"record"}`)
	c, err3 := Normal(`{"type":"record","name":"r","fields":[{"name":"a<b","type":"int","default":1.5}]}`)
	if errors.Join(err, err2, err3) != nil || a != b || a == c {
		t.Error(a, b, c, err, err2, err3)
	}
}

// Counts that no message holds end the reading, whatever the items take.
func TestSkipTrustsNoCount(t *testing.T) {
	for _, items := range []string{`"null"`, `"int"`, `{"type":"fixed","name":"f","size":0}`, `{"type":"map","values":"null"}`} {
		s, err := Parse(`{"type":"array","items":` + items + `}`)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range []string{"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "\xfe\xff\xff\xff\x0f\x00\x00", "\x80"} {
			if err := (&Cursor{B: []byte(b)}).Skip(s); !errors.Is(err, ErrEnd) {
				t.Errorf("%s %x: %v", items, b, err)
			}
		}
	}
}

func FuzzSkip(f *testing.F) {
	f.Add(`{"type":"record","name":"r","fields":[{"name":"a","type":["null","string",{"type":"map","values":"bytes"}]}]}`, []byte("\x02\x04ab"))
	f.Add(`{"type":"array","items":["double","float","boolean",{"type":"enum","name":"e","symbols":["a"]}]}`, []byte("\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x01\x00"))
	f.Fuzz(func(t *testing.T, text string, b []byte) {
		s, err := Parse(text)
		if err != nil || len(text) > 500 {
			return
		}
		c := Cursor{B: b}
		if err := c.Skip(s); err == nil && c.Pos > len(b) {
			t.Fatal("read beyond the end")
		}
	})
}
