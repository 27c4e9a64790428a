package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

// block is a piece of the README: SQL, commands, or a file with its name.
type block struct{ lang, file, text string }

var fenced = regexp.MustCompile("(?s)(?:`([a-z]+\\.json)`:\n\n)?```(sh|sql|json)\n(.*?)```")

// blocksUnder returns the blocks below a heading.
func blocksUnder(t *testing.T, text, heading string) []block {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("there is no %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var blocks []block
	for _, m := range fenced.FindAllStringSubmatch(rest, -1) {
		blocks = append(blocks, block{lang: m[2], file: m[1], text: m[3]})
	}
	return blocks
}

// TestFirstPipeline does what the README tells a reader to do, word for word,
// but for the server's port and the one that Towline listens on.
func TestFirstPipeline(t *testing.T) {
	srv := mysqltest.Start(t) // of its own: the names are those of the README
	s := newSandbox(t)
	if err := os.Mkdir(filepath.Join(s.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(s.dir, "bin/towline")); err != nil {
		t.Fatal(err)
	}
	var running *process
	for _, b := range blocksUnder(t, readFile(t, "README.md"), "## A first pipeline in five minutes") {
		text := strings.ReplaceAll(b.text, "3306", strconv.Itoa(srv.Port))
		switch b.lang {
		case "json":
			s.write(b.file, text)
		case "sql":
			srv.Exec(t, text)
		default:
			for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
				if p := s.line(line); p != nil {
					running = p
				}
			}
		}
	}
	if running == nil {
		t.Fatal("nothing was run")
	}
	if r := s.run("status", "--wait"); r.code != exitOK {
		t.Fatalf("exit code %d:\n%s", r.code, r.err)
	}
	got := srv.Query(t, "SELECT item, price FROM shop_copy.orders ORDER BY id")
	if len(got) != 2 || got[0][0] != "tea" || got[0][1] != "5.20" {
		t.Errorf("the copy has %v", got)
	}
	if r := running.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}

// line does one line of a shell, and returns the process if that goes on.
func (s *sandbox) line(line string) *process {
	s.t.Helper()
	switch {
	case strings.HasPrefix(line, "make "): // the program is this test
	case strings.HasPrefix(line, "export "):
		for pair := range strings.FieldsSeq(strings.TrimPrefix(line, "export ")) {
			name, value, _ := strings.Cut(pair, "=")
			s.env[name] = value
		}
	case strings.HasPrefix(line, "bin/towline run "):
		return s.serve(strings.Fields(strings.TrimPrefix(line, "bin/towline run "))...)
	default:
		cmd := s.command()
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", line}
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	return nil
}

// TestUnit checks what can be checked of the systemd unit without systemd.
func TestUnit(t *testing.T) {
	unit := readFile(t, "deploy/towline.service")
	m := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/towline (.*)$`).FindStringSubmatch(unit)
	if m == nil {
		t.Fatal("no ExecStart")
	}
	s := newSandbox(t)
	state := filepath.Join(s.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	line := strings.NewReplacer("${STATE_DIRECTORY}", state, "/etc/towline/source.json", s.write("c.json", fileSink), "/etc/towline/sink.json", "").Replace(m[1])
	p := s.start(append(strings.Fields(line), "--listen", "127.0.0.1:0")...)
	s.awaitFile(p, filepath.Join("state", addressFile))
	if r := p.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
	if tool, err := exec.LookPath("systemd-analyze"); err == nil {
		verify(t, s, tool, unit)
	}
}

// verify has systemd read the unit, with a program that is there.
func verify(t *testing.T, s *sandbox, tool, unit string) {
	t.Helper()
	s.write("towline.service", strings.Replace(unit, "/usr/local/bin/towline", "/bin/true", 1))
	if out, err := exec.Command(tool, "verify", filepath.Join(s.dir, "towline.service")).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s: %v\n%s", tool, err, out)
	}
}
