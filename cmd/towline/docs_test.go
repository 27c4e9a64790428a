package main

import (
	"bytes"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/worker"
)

var update = flag.Bool("update", false, "write deploy/options.md anew")

const root = "../.."

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// inProcess runs a command that starts nothing.
func inProcess(t *testing.T, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := run(t.Context(), args, &out, &errOut); code != exitOK {
		t.Fatalf("towline %v: exit code %d\n%s", args, code, errOut.String())
	}
	return out.String() + errOut.String()
}

func TestReferenceOfOptions(t *testing.T) {
	const path = "deploy/options.md"
	want := inProcess(t, "plugins", "-markdown")
	if *update {
		if err := os.WriteFile(filepath.Join(root, path), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if readFile(t, path) != want {
		t.Errorf("%s is not what the program says; go test ./cmd/towline -run %s -update writes it", path, t.Name())
	}
}

func TestPluginsAreListed(t *testing.T) {
	list := inProcess(t, "plugins")
	for _, s := range sections(registry()) {
		if len(s.plugins) == 0 {
			t.Errorf("no %s", s.title)
		}
		for _, p := range s.plugins {
			if !regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(p.Name) + `\b`).MatchString(list) {
				t.Errorf("%s of %s is not in:\n%s", p.Name, s.title, list)
			}
			one := inProcess(t, "plugins", p.Name)
			for _, o := range p.Options {
				if !strings.Contains(one, "\n  "+o.Name+"  (") {
					t.Errorf("towline plugins %s does not show %s", p.Name, o.Name)
				}
			}
		}
	}
}

var envReference = regexp.MustCompile(`\$\{env:([A-Z_]+)\}`)

// setReferences gives the variables that a connector file refers to a value.
func setReferences(t *testing.T, text string) {
	t.Helper()
	for _, m := range envReference.FindAllStringSubmatch(text, -1) {
		value := "secret"
		if m[1] == "WEBHOOK_SECRET" {
			value = webhookSecret
		}
		t.Setenv(m[1], value)
	}
}

func TestExamples(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root, "deploy/examples/*"))
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]bool{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		setReferences(t, string(b))
		file, err := config.Load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		c, err := config.Build(registry(), file)
		if err != nil {
			t.Error(err)
			continue
		}
		classes[c.Plugin.Name] = true
		for key, v := range c.Public {
			if v == config.Hidden {
				t.Errorf("%s has its secret %s in the file", path, key)
			}
		}
	}
	for _, p := range registry().Connectors {
		if !classes[p.Name] {
			t.Errorf("there is no example of %s in deploy/examples", p.Name)
		}
	}
}

// knownOptions returns the names of all options there are.
func knownOptions() map[string]bool {
	known := map[string]bool{}
	add := func(options []connect.Option) {
		for _, o := range options {
			for _, name := range append([]string{o.Name}, o.Aliases...) {
				known[name] = true
			}
		}
	}
	for _, s := range sections(registry()) {
		for _, p := range s.plugins {
			add(p.Options)
		}
	}
	add(config.Common())
	add(config.SourceOnly())
	add(config.SinkOnly())
	return known
}

var (
	quoted = regexp.MustCompile("`([^`\n]+)`")
	dotted = regexp.MustCompile(`^([a-z]+(?:\.[a-z0-9_]+)+)(?:=([a-z_A-Z]+))?$`)
	dashed = regexp.MustCompile(`--([a-z][a-z-]+)`)
)

// notOptions are dotted words of the documents that are something else.
var notOptions = regexp.MustCompile(`\.(json|jsonl|md|service|state|go)$|^shop\.`)

func TestDocumentsNameWhatIsThere(t *testing.T) {
	known := knownOptions()
	flags := inProcess(t, "run", "-h") + inProcess(t, "status", "-h") + inProcess(t, "doctor", "-h") + inProcess(t, "plugins", "-h")
	for _, path := range []string{"README.md", "deploy/operators.md"} {
		found := 0
		text := readFile(t, path)
		for _, q := range quoted.FindAllStringSubmatch(text, -1) {
			if m := dotted.FindStringSubmatch(q[1]); m != nil && !notOptions.MatchString(m[1]) {
				found++
				if !known[m[1]] {
					t.Errorf("%s names the option %s, which is not there", path, m[1])
				}
			}
			if strings.HasPrefix(q[1], "mysqldump") {
				continue
			}
			for _, m := range dashed.FindAllStringSubmatch(q[1], -1) {
				if !strings.Contains(flags, "  -"+m[1]+"\n") && !strings.Contains(flags, "  -"+m[1]+" ") {
					t.Errorf("%s names the flag --%s, which is not there", path, m[1])
				}
			}
		}
		if found < 3 {
			t.Errorf("only %d options are found in %s", found, path)
		}
	}
}

// Each key of a worker has its line.
func TestWorkerKeysAreDocumented(t *testing.T) {
	text := readFile(t, "deploy/rest.md") + readFile(t, "deploy/rocketmq.md")
	for _, o := range workerOptions() {
		name, short := o.Name, o.Name[strings.LastIndex(o.Name, ".")+1:]
		if !strings.Contains(text, "`"+name+"`") && !(o.Pattern != nil && strings.Contains(text, "`."+short+"`")) && !strings.HasSuffix(name, "store.type") {
			t.Errorf("%s is in neither document", name)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`)

func TestLinksOfDocuments(t *testing.T) {
	for _, path := range []string{"README.md", "deploy/operators.md", "deploy/rest.md", "deploy/rocketmq.md"} {
		for _, m := range link.FindAllStringSubmatch(readFile(t, path), -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(path), m[1])); err != nil && !strings.Contains(m[1], "://") {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// metricName finds the names of our metrics.
var metricName = regexp.MustCompile(`\btowline_(?:tables|[a-z_]+(?:_total|_seconds|_units|_rows|_messages|_members|_claims))\b`)

// pluginGauges are metrics that plug-ins make up, as far as metricName finds
// them.
var pluginGauges = []string{"towline_log_left_seconds"}

func TestDocumentedMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	worker.New(slog.New(slog.DiscardHandler), worker.NewMetrics(reg)).Show(clusterCollector{})
	descs := make(chan *prometheus.Desc, 100)
	reg.Describe(descs)
	close(descs)
	var there []string
	for d := range descs {
		there = append(there, metricName.FindString(d.String()))
	}
	there = append(there, pluginGauges...)
	documented := metricName.FindAllString(readFile(t, "deploy/operators.md"), -1)
	slices.Sort(there)
	slices.Sort(documented)
	if documented = slices.Compact(documented); !slices.Equal(there, documented) {
		t.Errorf("deploy/operators.md has the metrics\n%v\nand there are\n%v", documented, there)
	}
}
