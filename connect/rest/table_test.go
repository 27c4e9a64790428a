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
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the answers that there are into the tables")

// The files in testdata are requests with their exact answers, one after
// another, to a worker with one connector that a file gives:
//
//	PUT /connectors/a/config        the request; "await" before it: until the answer comes
//	{"connector.class": "silent"}   its body, sent as application/json (or as @type says)
//	----
//	201 /connectors/a               the code, and the header Location
//	{"name":"a",...}                the body
func TestTables(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			table(t, path)
		})
	}
}

func table(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, quiet())
	r.await(t, "/connectors/quiet/status", `"id":0,"state":"RUNNING"`)
	var out bytes.Buffer
	for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		asked, want, ok := strings.Cut(block, "\n----\n")
		if !ok {
			if strings.HasPrefix(block, "#") {
				fmt.Fprintf(&out, "%s\n\n", block)
				continue
			}
			t.Fatalf("block %d has no ----:\n%s", i, block)
		}
		got := r.block(asked, strings.TrimSpace(want))
		if !*rewrite && got != strings.TrimSpace(want) {
			t.Errorf("%s\n----\n%s\nwant:\n%s", asked, got, want)
		}
		fmt.Fprintf(&out, "%s\n----\n%s\n\n", asked, got)
	}
	if *rewrite {
		if err := os.WriteFile(path, append(bytes.TrimSpace(out.Bytes()), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// block asks what a block does and returns the answer.
func (r *rig) block(asked, want string) string {
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
		got := show(r.ask(fields[0], fields[1], kind, body))
		if !await || got == want || time.Now().After(deadline) {
			return got
		}
	}
}

// id is what is another each time.
var id = regexp.MustCompile(`("kafka_cluster_id"|"id"):"[A-Z2-7]{26}"`)

// now is a time or version that is another each time.
var now = regexp.MustCompile(`("time"|"state_since"|"source":{"version"):"(?:[-0-9T:.]+Z|\(devel\)|v[^"]+)"`)

func show(a *httptest.ResponseRecorder) string {
	head := fmt.Sprint(a.Code)
	if l := a.Header().Get("Location"); l != "" {
		head += " " + l
	}
	if l := a.Header().Get("Allow"); l != "" {
		head += " " + l
	}
	return strings.TrimSpace(head + "\n" + now.ReplaceAllString(id.ReplaceAllString(a.Body.String(), `$1:"ID"`), `$1:"NOW"`))
}
