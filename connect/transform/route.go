package transform

import (
	"context"
	"regexp"
	"strings"

	"github.com/towline/towline/connect"
)

func regexRouterPlugin() connect.Plugin {
	return connect.Plugin{
		Name: "RegexRouter", Aliases: []string{"org.apache.kafka.connect.transforms.RegexRouter"},
		Doc: "Renames topics that match a regular expression.",
		Options: []connect.Option{
			{Name: "regex", Type: connect.TypeString, Required: true, Check: connect.Regexps, Importance: connect.High,
				Doc: "The expression that the whole name must match. Topics that do not match keep their name."},
			{Name: "replacement", Type: connect.TypeString, Required: true, Importance: connect.High, Doc: "The new name; `$1` or `${name}` stand for groups."},
		},
		Transform: func(cfg connect.Config, _ connect.Env) (connect.Transform, error) {
			re, err := regexp.Compile("^(?:" + cfg.String("regex") + ")$")
			if err != nil {
				return nil, connect.Permanent(err)
			}
			return &regexRouter{re: re, replacement: goTemplate(cfg.String("replacement")), names: map[string]string{}}, nil
		},
	}
}

// goTemplate turns Java's replacement syntax into Go's: $1x means group 1
// and an x there, and a backslash escapes.
func goTemplate(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			if s[i] == '$' {
				b.WriteByte('$')
			}
			b.WriteByte(s[i])
		case c == '$' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			b.WriteString("${" + s[i+1:i+2] + "}")
			i++
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

type regexRouter struct {
	re          *regexp.Regexp
	replacement string
	names       map[string]string
}

// Apply implements connect.Transform.
func (t *regexRouter) Apply(_ context.Context, b *connect.Batch) error {
	from, to := "", ""
	for i := range b.Records {
		r := &b.Records[i]
		if r.Topic != from || from == "" {
			from, to = r.Topic, t.name(r.Topic)
		}
		r.Reroute(to)
	}
	return nil
}

func (t *regexRouter) name(topic string) string {
	name, ok := t.names[topic]
	if !ok {
		name = topic
		if m := t.re.FindStringSubmatchIndex(topic); m != nil {
			name = string(t.re.ExpandString(nil, t.replacement, topic, m))
		}
		if len(t.names) >= maxDerived {
			clear(t.names)
		}
		t.names[topic] = name
	}
	return name
}

func filterPlugin() connect.Plugin {
	return connect.Plugin{
		Name: "Filter", Aliases: []string{"org.apache.kafka.connect.transforms.Filter"},
		Doc: "Drops records; meant to be used with a predicate.",
		Transform: func(_ connect.Config, env connect.Env) (connect.Transform, error) {
			return &filter{drop: env.Drop}, nil
		},
	}
}

type filter struct {
	drop func(reason string, n int)
}

// Apply implements connect.Transform.
func (f *filter) Apply(_ context.Context, b *connect.Batch) error {
	if n := len(b.Records); n > 0 {
		f.drop("Filter", n) // invariant 5
		b.Keep(func(*connect.Record) bool { return false })
	}
	return nil
}
