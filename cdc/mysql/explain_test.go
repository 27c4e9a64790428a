package mysql

import (
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
)

func TestExplain(t *testing.T) {
	for key, want := range map[string]string{
		"schema.history.internal.kafka.topic": "is not needed here: the shapes of tables",
		"max.queue.size":                      "is not needed here",
		"gtid.ignore.on.recovery":             "is not supported: it would pass over",
		"max.queue":                           "",
		"database.hostnam":                    "",
	} {
		if got := Explain(key); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	for _, o := range Options() {
		if why := Explain(o.Name); why != "" {
			t.Errorf("%s is an option, and yet it %s", o.Name, why)
		}
	}
	if p := Plugin(); p.Explain == nil {
		t.Error("nobody is told")
	}
	cfg := connect.NewConfig("c", Options(), map[string]string{optReadOnly: "true", optActionQuery: "DO 1", optHeartbeat: "1"})
	if !slices.ContainsFunc(Validate(cfg), func(f connect.Fault) bool { return strings.Contains(f.Text, optReadOnly) }) {
		t.Error("a statement passes that read.only forbids")
	}
}
