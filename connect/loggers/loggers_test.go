package loggers

import (
	"bytes"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func newLogger(buf *bytes.Buffer, level slog.Level) (*Levels, *slog.Logger) {
	l := New(level)
	return l, slog.New(l.Handler(slog.NewTextHandler(buf, &slog.HandlerOptions{Level: slog.Level(math.MinInt)})))
}

func TestNameOf(t *testing.T) {
	for function, want := range map[string]string{
		"github.com/towline/towline/connect/cluster.(*Herder).Run":  "connect.cluster",
		"github.com/towline/towline/cdc/mysql.(*Source).Open.func1": "cdc.mysql",
		"github.com/towline/towline/snapshot.New":                   "snapshot",
		"main.runCluster": "towline", "net/http.(*Server).logf": Root, "github.com/else/where.F": Root, "": Root,
	} {
		if got := nameOf(function); got != want {
			t.Errorf("%s is of logger %q, want %q", function, got, want)
		}
	}
}

// A level counts at once, for the logger and what descends from it alone.
func TestLevels(t *testing.T) {
	var buf bytes.Buffer
	l, logger := newLogger(&buf, slog.LevelInfo)
	logger = logger.With("connector", "c")
	said := func() string {
		buf.Reset()
		logger.Debug("deep")
		logger.Info("plain")
		var list []string
		for line := range strings.Lines(buf.String()) {
			list = append(list, line[strings.Index(line, "msg="):strings.LastIndexByte(line, '\n')])
		}
		return strings.Join(list, "; ")
	}
	const plain, deep = "msg=plain connector=c logger=connect.loggers", "msg=deep connector=c logger=connect.loggers"
	for _, c := range []struct{ name, level, want string }{
		{"cdc", "debug", plain}, {"connect", "DEBUG", deep + "; " + plain}, {"connect.worker", "OFF", deep + "; " + plain},
		{"connect", "WARN", ""}, {Root, "INFO", plain}, {Root, "off", ""}, {"connect", "all", deep + "; " + plain},
	} {
		if _, err := l.Set(c.name, c.level); err != nil {
			t.Fatal(err)
		}
		if got := said(); got != c.want {
			t.Errorf("with %s at %s it says %q, want %q", c.name, c.level, got, c.want)
		}
	}
}

func TestSetAndGet(t *testing.T) {
	l := New(slog.LevelInfo)
	for name, want := range map[string]string{Root: "INFO", "cdc": "INFO", "connect.worker": "INFO", "nix": "", "connect.wor": ""} {
		if level, ok := l.Get(name); level.Name != want || ok != (want != "") || !level.Modified.IsZero() {
			t.Errorf("%s: %v, %v, want %q", name, level, ok, want)
		}
	}
	names, err := l.Set("cdc", "debug")
	if err != nil || !slices.Equal(names, []string{"cdc", "cdc.mysql"}) {
		t.Errorf("%v, %v", names, err)
	}
	first, _ := l.Get("cdc.mysql")
	if first.Name != "DEBUG" || first.Modified.IsZero() {
		t.Errorf("%v", first)
	}
	time.Sleep(time.Millisecond)
	if _, err := l.Set(Root, "DEBUG"); err != nil {
		t.Fatal(err)
	}
	if again, _ := l.Get("cdc.mysql"); again != first {
		t.Errorf("what was DEBUG already was changed: %v", again)
	}
	if got, all := l.All(), nodes(Root); len(got) != len(all) {
		t.Errorf("%v, want all of %v", got, all)
	}
	if names, err := l.Set("nix", "DEBUG"); len(names) > 0 || err != nil {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := l.Set("cdc", "LOUD"); err == nil {
		t.Error("LOUD is a level")
	}
}

// Every package that logs has its name in the list.
func TestNames(t *testing.T) {
	logs := regexp.MustCompile(`\.(Debug|Info|Warn|Error)\("`)
	var want []string
	for _, room := range []string{"cdc", "connect", "offsets", "schema", "sinks", "snapshot", "cmd"} {
		err := filepath.WalkDir(filepath.Join("../..", room), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(p) != ".go" || strings.HasSuffix(p, "_test.go") {
				return err
			}
			src, err := os.ReadFile(p)
			if err != nil || !logs.Match(src) {
				return err
			}
			rel, err := filepath.Rel("../..", filepath.Dir(p))
			want = append(want, strings.Replace(strings.ReplaceAll(filepath.ToSlash(rel), "/", "."), "cmd.towline", "towline", 1))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(want, Names()) {
		t.Errorf("those that log are %v, and the list has %v", want, Names())
	}
}
