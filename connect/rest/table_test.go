package rest

import (
	"bytes"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the answers that there are into the tables")

// The files in testdata are requests with their exact answers, one after another,
// to a worker with one connector that a file gives:
//
//	PUT /connectors/a/config        the request; "await" before it: until the answer comes
//	{"connector.class": "silent"}   its body, sent as application/json (or as @type says)
//	----
//	201 /connectors/a               the code, and the header Location
//	{"name":"a",...}                the body
//
// The worker is one that is alone first, and then one of a cluster, whose answers
// are the same but where "alone" or "cluster" stands before a request.
func TestTables(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	// What is another each time, or with each option, is tested elsewhere.
	answered := &routesSeen{seen: map[string]bool{"GET /metrics": true, "GET /openapi.json": true, "GET /v1/status": true, "PUT /connector-plugins/{plugin}/config/validate": true}}
	t.Run("all", func(t *testing.T) {
		for _, path := range paths {
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
				t.Parallel()
				t.Run("alone", func(t *testing.T) { table(t, path, "alone", newRig(t, quiet()), answered) })
				t.Run("cluster", func(t *testing.T) { table(t, path, "cluster", newClusterRigs(t, "here:8083")[0], answered) })
			})
		}
	})
	for _, rt := range newRig(t).handler.routes {
		if answered.tables < 2*len(paths) {
			break // some were not run
		}
		if pattern := rt.method + " " + rt.pattern(); !answered.seen[pattern] {
			t.Errorf("no table has an answer of %s", pattern)
		}
	}
}

// routesSeen are the routes that have answered without an error.
type routesSeen struct {
	mu     sync.Mutex
	seen   map[string]bool
	tables int // that were gone through
}

// tellsApart matches what says which worker is asked.
var tellsApart = regexp.MustCompile(`^(alone|cluster) `)

func table(t *testing.T, path, mode string, r *rig, answered *routesSeen) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r.doc = r.described(t)
	r.await(t, "/connectors/quiet/status", `"id":0,"state":"RUNNING"`)
	var out bytes.Buffer
	for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		asked, want, ok := strings.Cut(block, "\n----\n")
		only := strings.TrimSpace(tellsApart.FindString(asked))
		if strings.HasPrefix(block, "#") || only != "" && only != mode {
			fmt.Fprintf(&out, "%s\n\n", block)
			continue
		}
		if !ok {
			t.Fatalf("block %d has no ----:\n%s", i, block)
		}
		got := r.block(tellsApart.ReplaceAllString(asked, ""), strings.TrimSpace(want), answered)
		if got != strings.TrimSpace(want) && (!*rewrite || mode == "cluster" && only == "") {
			t.Errorf("%s\n----\n%s\nwant:\n%s", asked, got, want)
			got = strings.TrimSpace(want)
		}
		fmt.Fprintf(&out, "%s\n----\n%s\n\n", asked, got)
	}
	answered.mu.Lock()
	answered.tables++
	answered.mu.Unlock()
	if *rewrite {
		if err := os.WriteFile(path, append(bytes.TrimSpace(out.Bytes()), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// block asks what a block does and returns the answer.
func (r *rig) block(asked, want string, answered *routesSeen) string {
	line, body, _ := strings.Cut(asked, "\n")
	line, await := strings.CutPrefix(line, "await ")
	fields := strings.Fields(line)
	kind := ""
	if body != "" {
		kind = "application/json"
	}
	if len(fields) > 2 {
		kind = strings.TrimPrefix(fields[2], "@")
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		a := r.ask(fields[0], fields[1], kind, body)
		got := show(a)
		req := httptest.NewRequest(fields[0], fields[1], nil)
		if err := r.handler.fitsDescription(r.doc, req, body, a); err != nil {
			return got + "\n" + err.Error()
		}
		if a.Code < 300 {
			_, pattern := r.handler.mux.Handler(req)
			answered.mu.Lock()
			answered.seen[pattern] = true
			answered.mu.Unlock()
		}
		if !await || got == want || time.Now().After(deadline) {
			return got
		}
	}
}

// changing is what is another each time, with what is shown instead.
var changing = []struct {
	text *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`("kafka_cluster_id"|"id"):"(?:[A-Z2-7]{26}|[a-z2-7]{12})"`), `$1:"ID"`},
	{regexp.MustCompile(`("time"|"state_since"|"source":{"version"):"(?:[-0-9T:.]+Z|\(devel\)|v[^"]+)"`), `$1:"NOW"`},
	{regexp.MustCompile(`("last_modified"|"heard_ms"|"epoch"|"generation"):[0-9]+`), `$1:N`},
	{regexp.MustCompile(`("incarnation"):"[a-z2-7]{12}\.1"`), `$1:"ID"`},
}

func show(a *httptest.ResponseRecorder) string {
	head := fmt.Sprint(a.Code)
	if l := a.Header().Get("Location"); l != "" {
		head += " " + l
	}
	if l := a.Header().Get("Allow"); l != "" {
		head += " " + l
	}
	text := a.Body.String()
	for _, c := range changing {
		text = c.text.ReplaceAllString(text, c.as)
	}
	return strings.TrimSpace(head + "\n" + text)
}
