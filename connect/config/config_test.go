package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
)

func testRegistry() *Registry {
	opts := []connect.Option{
		{Name: "connection.url", Type: connect.TypeString, Required: true, Doc: "Where to."},
		{Name: "connection.password", Type: connect.TypePassword, Check: func(v string) error {
			if v == "weak" {
				return errors.New("weak is weak")
			}
			return nil
		}},
		{Name: "pk.mode", Aliases: []string{"primary.key.mode"}, Type: connect.TypeString, Default: "record_key", Values: []string{"none", "record_key"}},
		{Name: "batch.size", Type: connect.TypeInt, Default: "500", Min: 1, Max: 10000},
	}
	return &Registry{
		Connectors: []connect.Plugin{
			{Name: "jdbc", Aliases: []string{"io.example.JdbcSinkConnector"}, Options: opts,
				Sink: func(connect.Config, connect.Env) (connect.Sink, error) { return nil, nil },
				NeedsSchemas: func(cfg connect.Config) []connect.Fault {
					if cfg.Int("batch.size") == 7 {
						return []connect.Fault{{Key: "batch.size", Text: "7 takes another converter"}}
					}
					return nil
				}},
			{Name: "mysql", Options: []connect.Option{{Name: "mask.<n>.salt.<salt>", Pattern: regexp.MustCompile(`mask\.([0-9]+)\.salt\.(.+)`), Type: connect.TypeList, Check: connect.Regexps}}, Source: func(connect.Config, connect.Env) (connect.Source, error) { return nil, nil }},
		},
		Converters: []connect.Plugin{{Name: "frame", Schemas: true}, {Name: "json", Options: []connect.Option{{Name: "schemas.enable", Type: connect.TypeBoolean, Default: "true"}}}},
		Transforms: []connect.Plugin{{Name: "MaskField", Aliases: []string{"org.example.transforms.MaskField"}, Options: []connect.Option{
			{Name: "fields", Type: connect.TypeList, Required: true}, {Name: "side", Type: connect.TypeString, Default: "Value", Values: []string{"Value"}}}}},
		Predicates: []connect.Plugin{{Name: "TopicNameMatches", Options: []connect.Option{{Name: "pattern", Type: connect.TypeString, Required: true}}}},
	}
}

func build(t *testing.T, pairs ...string) (*Connector, string) {
	t.Helper()
	f := &File{Name: "c", Config: map[string]string{"connector.class": "jdbc", "connection.url": "x", "topics": "t"}}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "-" {
			delete(f.Config, pairs[i])
		} else {
			f.Config[pairs[i]] = pairs[i+1]
		}
	}
	c, err := Build(testRegistry(), f)
	if err != nil {
		return nil, err.Error()
	}
	return c, ""
}

func TestBuildFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		pairs []string
		want  string
	}{
		{"unknown key", []string{"batch.sise", "3"}, "batch.sise: is not known; did you mean batch.size?"},
		{"unknown class", []string{"connector.class", "jbdc"}, "did you mean jdbc?"},
		{"no class", []string{"connector.class", "-"}, "connector.class: is required"},
		{"required", []string{"connection.url", "-"}, "connection.url: is required"},
		{"range", []string{"batch.size", "0"}, "0 is not between 1 and 10000"},
		{"number", []string{"batch.size", "many"}, `"many" is not a whole number`},
		{"values", []string{"pk.mode", "some"}, `"some" is not one of none, record_key`},
		{"two spellings", []string{"pk.mode", "none", "primary.key.mode", "record_key"}, "says another thing than pk.mode"},
		{"topics", []string{"topics", "-"}, "give either topics or topics.regex"},
		{"both topics", []string{"topics.regex", "x"}, "give either topics or topics.regex"},
		{"regex", []string{"topics", "-", "topics.regex", "("}, "is not a regular expression"},
		{"dead letters", []string{"errors.tolerance", "all"}, "errors.deadletterqueue.topic.name: is required"},
		{"converter", []string{"value.converter", "jsn"}, `there is no converter "jsn"; did you mean json?`},
		{"converter option", []string{"value.converter", "json", "value.converter.schema.enable", "true"}, "did you mean value.converter.schemas.enable?"},
		{"converter without schemas", []string{"value.converter", "json", "batch.size", "7"}, "7 takes another converter"},
		{"key converter", []string{"key.converter", "json"}, "keys and values have one form"},
		{"transform", []string{"transforms", "m", "transforms.m.type", "Mask"}, "there is no transform"},
		{"transform without type", []string{"transforms", "m"}, "transforms.m.type: is required"},
		{"transform option", []string{"transforms", "m", "transforms.m.type", "MaskField"}, "transforms.m.fields: is required"},
		{"transform side", []string{"transforms", "m", "transforms.m.type", "MaskField$Key", "transforms.m.fields", "a"}, `"Key" is not one of Value`},
		{"predicate", []string{"transforms", "m", "transforms.m.type", "MaskField", "transforms.m.fields", "a", "transforms.m.predicate", "p"}, "is not listed in predicates"},
		{"env", []string{"connection.password", "${env:TOWLINE_NO_SUCH}"}, "the environment has no variable TOWLINE_NO_SUCH"},
		{"secret value", []string{"connection.password", "weak"}, "the value behind it is not valid"},
	} {
		_, got := build(t, c.pairs...)
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestBuildSound(t *testing.T) {
	t.Setenv("TOWLINE_TEST_SECRET", "s3cret")
	c, fault := build(t, "connector.class", "io.example.JdbcSinkConnector", "connection.password", "${env:TOWLINE_TEST_SECRET}",
		"primary.key.mode", "NONE", "batch.size", "8", "transforms", "m", "transforms.m.type", "org.example.transforms.MaskField$Value", "transforms.m.fields", "a,b",
		"transforms.m.predicate", "p", "transforms.m.negate", "true", "predicates", "p", "predicates.p.type", "TopicNameMatches", "predicates.p.pattern", "x",
		"value.converter", "json", "value.converter.schemas.enable", "false", "key.converter", "json", "key.converter.schemas.enable", "false")
	if fault != "" {
		t.Fatal(fault)
	}
	if c.Config.String("connection.password") != "s3cret" || c.Config.String("pk.mode") != "NONE" || c.Config.Int("batch.size") != 8 {
		t.Error("values are not what was given")
	}
	if p := c.Public["connection.password"]; p != "${env:TOWLINE_TEST_SECRET}" {
		t.Errorf("the password shows as %q", p)
	}
	if len(c.Transforms) != 1 || !c.Transforms[0].Negate || c.Transforms[0].Predicate == nil || c.Transforms[0].Config.String("side") != "Value" {
		t.Errorf("transforms: %+v", c.Transforms)
	}
	if c, _ := build(t, "connection.password", "plain"); c.Public["connection.password"] != Hidden {
		t.Error("a plain password shows")
	}
}

func TestConverterOptionsAtTheConnector(t *testing.T) {
	c, fault := build(t, "value.converter", "json", "schemas.enable", "false")
	if fault != "" || c.Converter.Config.Bool("schemas.enable") {
		t.Fatalf("schemas.enable=false at the connector: %s", fault)
	}
	c, fault = build(t, "value.converter", "json", "schemas.enable", "false", "value.converter.schemas.enable", "true")
	if fault != "" || !c.Converter.Config.Bool("schemas.enable") {
		t.Fatalf("the converter's own does not win: %s", fault)
	}
	if _, fault = build(t, "schemas.enable", "false"); fault == "" {
		t.Fatal("an option of another converter passes")
	}
}

func TestFamilies(t *testing.T) {
	t.Setenv("TOWLINE_TEST_SALT", "pepper")
	c, fault := build(t, "connector.class", "mysql", "connection.url", "-", "topics", "-", "mask.7.salt.${env:TOWLINE_TEST_SALT}", "a,b", "mask.10.salt.x.y", "c")
	if fault != "" {
		t.Fatal(fault)
	}
	got := c.Config.Family("mask.<n>.salt.<salt>")
	want := []connect.Member{{Key: "mask.10.salt.x.y", Groups: []string{"10", "x.y"}, Value: "c"}, {Key: "mask.7.salt.pepper", Groups: []string{"7", "pepper"}, Value: "a,b"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the family is %q", got)
	}
	if shown := fmt.Sprint(c.Public); strings.Contains(shown, "pepper") || strings.Contains(shown, "x.y") || !strings.Contains(shown, "mask.7.salt.[hidden]:a,b") {
		t.Errorf("what is shown is %s", shown)
	}
	for key, want := range map[string]string{
		"mask.x.salt.pepper":            "mask.x.salt.[hidden]: is not known",
		"mask.1.salt.pepper":            `"(" is not a regular expression`,
		"mask.1.salt.${env:TOWLINE_NO}": "the environment has no variable TOWLINE_NO",
	} {
		_, fault := build(t, "connector.class", "mysql", "connection.url", "-", "topics", "-", key, "(")
		if !strings.Contains(fault, want) || strings.Contains(fault, "pepper") {
			t.Errorf("%s: %s", key, fault)
		}
	}
}

// What people know from elsewhere is explained.
func TestExplained(t *testing.T) {
	reg := testRegistry()
	reg.Connectors[0].Explain = func(key string) string {
		return map[string]string{"batch.sise": "is not needed here; leave it out"}[key]
	}
	_, err := Build(reg, &File{Name: "c", Config: map[string]string{"connector.class": "jdbc", "connection.url": "x", "topics": "t", "batch.sise": "1", "batch.siz": "1"}})
	if err == nil || !strings.Contains(err.Error(), "batch.sise: is not needed here") || !strings.Contains(err.Error(), "batch.siz: is not known; did you mean batch.size?") {
		t.Error(err)
	}
}

func TestResolveFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(path, []byte("# comment\n a = one\nb=two=2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, want, fault string }{
		{"${file:" + path + ":a}", "one", ""},
		{"x${file:" + path + ":b}y", "xtwo=2y", ""},
		{"${topic}-${database}", "${topic}-${database}", ""},
		{"${file:" + path + ":c}", "", `has no key "c"`},
		{"${file:nokey}", "", "names no key"},
		{"${file:/no/such:a}", "", "no such file"},
	} {
		got, _, err := Resolve(c.in)
		if c.fault == "" && (err != nil || got != c.want) || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s: %q, %v", c.in, got, err)
		}
	}
}

func TestParse(t *testing.T) {
	f, err := Parse([]byte(`{"name": " a ", "config": {"k": 1, "b": true, "s": "x"}}`))
	if err != nil || f.Name != "a" || f.Config["k"] != "1" || f.Config["b"] != "true" || f.Config["s"] != "x" {
		t.Fatalf("%+v, %v", f, err)
	}
	for in, want := range map[string]string{
		``:                                   "is not a connector file",
		"{\n\"name\": \"a\",,}":              "line 2",
		`{"name":"a","conf":{}}`:             `unknown field "conf"`,
		`{"name":"a"}`:                       `has no "config"`,
		`{"config":{"a":null}}`:              "null is not a value",
		`{"config":{"a":[1]}}`:               "flat strings",
		`{"config":{}} {}`:                   "behind the closing brace",
		`{"name":"a","config":{"name":"b"}}`: "two names",
	} {
		if _, err := Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"name":"a","config":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if file, err := Parse(data); err == nil {
			_, _ = Build(testRegistry(), file)
		}
	})
}
