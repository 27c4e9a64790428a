package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// documents parses all documents of a YAML file.
func documents(t *testing.T, name, text string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for dec := yaml.NewDecoder(strings.NewReader(text)); ; {
		var doc map[string]any
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		list = append(list, doc)
	}
}

// at returns what stands in a parsed document: keys, and numbers of lists.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for i, step := range path {
		switch s := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			if v = m[s]; v == nil {
				t.Fatalf("there is nothing at %v", path[:i+1])
			}
		case int:
			l, _ := v.([]any)
			if s >= len(l) {
				t.Fatalf("there is nothing at %v", path[:i+1])
			}
			v = l[s]
		}
	}
	return v
}

// wantWorkerFile reads a worker's configuration as a worker does.
func wantWorkerFile(t *testing.T, text string) runFlags {
	t.Helper()
	setReferences(t, text)
	s := newSandbox(t)
	f, err := readWorker(filepath.Join(s.dir, s.write("worker.json", text)))
	if err != nil {
		t.Fatal(err)
	}
	if f.rocket == nil || len(f.accounts) == 0 || f.accounts[0].Secret != "secret" {
		t.Errorf("topics are in RocketMQ: %v; accounts: %d", f.rocket != nil, len(f.accounts))
	}
	return f
}

// arguments checks the command line of a worker in a container.
func wantArguments(t *testing.T, args []any) {
	t.Helper()
	if got := fmt.Sprint(args); got != "[worker --config /etc/towline/worker.json]" {
		t.Errorf("the arguments are %s", got)
	}
}

// TestContainerFile checks what can be checked without a container engine.
func TestContainerFile(t *testing.T) {
	const path = "deploy/container/Containerfile"
	text := readFile(t, path)
	form := func(instruction string) []any {
		m := regexp.MustCompile(`(?m)^(?:HEALTHCHECK .*)?`+instruction+` (\[.*\])$`).FindAllStringSubmatch(text, -1)
		if len(m) == 0 {
			t.Fatalf("%s has no %s", path, instruction)
		}
		var args []any
		if err := json.Unmarshal([]byte(m[len(m)-1][1]), &args); err != nil {
			t.Fatalf("%s of %s: %v", instruction, path, err)
		}
		return args
	}
	if got := fmt.Sprint(form("ENTRYPOINT")); got != "[/towline]" {
		t.Errorf("the entry point is %s", got)
	}
	wantArguments(t, form("CMD"))
	for _, want := range []string{"CGO_ENABLED=0", "FROM scratch", "USER 65532:65532", "-X main.version=${VERSION}", `HEALTHCHECK `, `["/towline", "health", "--address", "127.0.0.1:8083"]`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s has no %s", path, want)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^COPY (?:--from=\S+ )?([^-].*) \S+$`).FindAllStringSubmatch(text, -1) {
		for _, from := range strings.Fields(m[1]) {
			if _, err := os.Stat(filepath.Join(root, from)); err != nil && !strings.HasPrefix(from, "/") {
				t.Errorf("%s copies %s: %v", path, from, err)
			}
		}
	}
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readFile(t, "go.mod"))[1]
	if !strings.Contains(text, "FROM golang:"+module+" ") {
		t.Errorf("%s is not built with go %s", path, module)
	}
}

// TestCompose checks that all that the file names is there, and that workers can
// read their configuration.
func TestCompose(t *testing.T) {
	const dir = "deploy/container"
	doc := documents(t, "compose.yaml", readFile(t, dir+"/compose.yaml"))[0]
	services := at(t, doc, "services").(map[string]any)
	workers := 0
	for name, s := range services {
		svc := s.(map[string]any)
		if svc["build"] == nil && svc["healthcheck"] == nil {
			t.Errorf("%s has no health check", name) // a worker's is in its image
		}
		for dep := range asMap(svc["depends_on"]) {
			if services[dep] == nil {
				t.Errorf("%s depends on %s, which is not there", name, dep)
			}
		}
		for _, v := range asList(svc["volumes"]) {
			from, _, _ := strings.Cut(v.(string), ":")
			if strings.HasPrefix(from, ".") {
				readFile(t, filepath.Join(dir, from))
			} else if _, ok := asMap(doc["volumes"])[from]; !ok {
				t.Errorf("%s has a volume %s, which is not there", name, from)
			}
		}
		if strings.HasPrefix(name, "worker-") {
			workers++
			if file := at(t, svc, "build", "dockerfile").(string); readFile(t, file) == "" {
				t.Errorf("%s is empty", file)
			}
			if v := at(t, svc, "volumes", 0); v != "./worker.json:/etc/towline/worker.json:ro" {
				t.Errorf("%s has its configuration at %v", name, v)
			}
		}
	}
	if workers != 3 {
		t.Errorf("%d workers", workers)
	}
	f := wantWorkerFile(t, readFile(t, dir+"/worker.json"))
	if services[strings.Split(f.rocket.NameServers[0], ":")[0]] == nil {
		t.Errorf("the workers ask for %v, which is not there", f.rocket.NameServers)
	}
	broker := readFile(t, dir+"/broker.conf")
	for _, want := range []string{"namesrvAddr = " + f.rocket.NameServers[0], "flushDiskType = SYNC_FLUSH", "enableCompaction = true", "autoCreateSubscriptionGroup = true", "brokerIP1 = broker\n"} {
		if !strings.Contains(broker, want) {
			t.Errorf("broker.conf does not have %s", want)
		}
	}
}

func asMap(v any) map[string]any { m, _ := v.(map[string]any); return m }
func asList(v any) []any         { l, _ := v.([]any); return l }

// renderChart renders the templates as Helm does, with the functions of its that
// they use.
func renderChart(t *testing.T, change func(values map[string]any)) map[string]map[string]any {
	t.Helper()
	const dir = "deploy/chart"
	values := documents(t, "values.yaml", readFile(t, dir+"/values.yaml"))[0]
	if change != nil {
		change(values)
	}
	chart := documents(t, "Chart.yaml", readFile(t, dir+"/Chart.yaml"))[0]
	toJSON := func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err }
	funcs := template.FuncMap{
		"toJson":    toJSON,
		"quote":     func(v any) (string, error) { return toJSON(fmt.Sprint(v)) },
		"sha256sum": func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) },
		"div":       func(a, b int) int { return a / b },
	}
	paths, err := filepath.Glob(filepath.Join(root, dir, "templates", "*"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]map[string]any{}
	for _, path := range paths {
		tmpl, err := template.New(filepath.Base(path)).Option("missingkey=error").Funcs(funcs).ParseFiles(path)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := tmpl.Execute(&out, map[string]any{"Values": values, "Release": map[string]any{"Name": "shop"}, "Chart": map[string]any{"Name": chart["name"]}}); err != nil {
			t.Fatal(err)
		}
		for _, doc := range documents(t, path, out.String()) {
			if at(t, doc, "metadata", "name") == "" || at(t, doc, "apiVersion") == "" {
				t.Errorf("%s has no name or version", path)
			}
			kinds[at(t, doc, "kind").(string)] = doc
		}
	}
	return kinds
}

// TestChart renders the chart and checks that its parts fit together.
func TestChart(t *testing.T) {
	all := renderChart(t, nil)
	f := wantWorkerFile(t, at(t, all["ConfigMap"], "data", "worker.json").(string))
	pod := at(t, all["Deployment"], "spec", "template", "spec")
	c := at(t, pod, "containers", 0)
	wantArguments(t, at(t, c, "args").([]any))
	if name := at(t, c, "envFrom", 0, "secretRef", "name"); name != "towline" {
		t.Errorf("secrets are from %v", name)
	}
	if at(t, pod, "volumes", 0, "configMap", "name") != at(t, all["ConfigMap"], "metadata", "name") || at(t, c, "volumeMounts", 0, "mountPath") != "/etc/towline" {
		t.Error("the configuration is not where the workers look for it")
	}
	if !strings.HasSuffix(f.listeners[0].addr, fmt.Sprint(":", at(t, c, "ports", 0, "containerPort"))) {
		t.Errorf("the worker listens at %s, and its port is %v", f.listeners[0].addr, at(t, c, "ports", 0, "containerPort"))
	}
	for _, probe := range []string{"startupProbe", "readinessProbe"} {
		if at(t, c, probe, "httpGet", "path") != "/health" || at(t, c, probe, "httpGet", "port") != "http" {
			t.Errorf("%s asks for %v", probe, at(t, c, probe))
		}
	}
	if at(t, c, "startupProbe", "failureThreshold") != 60 || at(t, c, "livenessProbe", "tcpSocket", "port") != "http" {
		t.Errorf("probes: %v", c)
	}
	labels := fmt.Sprint(at(t, all["Deployment"], "spec", "template", "metadata", "labels"))
	for what, selector := range map[string]any{
		"the deployment": at(t, all["Deployment"], "spec", "selector", "matchLabels"), "the service": at(t, all["Service"], "spec", "selector"),
		"the budget": at(t, all["PodDisruptionBudget"], "spec", "selector", "matchLabels"),
	} {
		if fmt.Sprint(selector) != labels {
			t.Errorf("%s selects %v; pods have %s", what, selector, labels)
		}
	}
	if at(t, pod, "securityContext", "runAsNonRoot") != true || at(t, c, "securityContext", "readOnlyRootFilesystem") != true {
		t.Error("the pod may do more than it needs to")
	}
	sum := func(all map[string]map[string]any) any {
		return at(t, all["Deployment"], "spec", "template", "metadata", "annotations", "checksum/config")
	}
	other := renderChart(t, func(v map[string]any) { v["worker"].(map[string]any)["log.format"] = "text" })
	if sum(other) == sum(all) {
		t.Error("pods go on as they are when the configuration has changed")
	}
}

// TestWorkerUnit checks the systemd unit of workers, as TestUnit does.
func TestWorkerUnit(t *testing.T) {
	unit := readFile(t, "deploy/towline-worker.service")
	if !slices.Contains(strings.Split(unit, "\n"), "ExecStart=/usr/local/bin/towline worker --config /etc/towline/worker.json") {
		t.Error("the unit starts something else")
	}
	if strings.Contains(unit, "STATE_DIRECTORY") || strings.Contains(unit, "\nStateDirectory") {
		t.Error("the unit has a folder that nothing uses")
	}
}
