package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/towline/towline/e2e/mysqltest"
)

// asProgram, in the environment, makes the test binary be the program.
const asProgram = "TOWLINE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main() // exits
	}
	goleak.VerifyTestMain(mysqltest.Main(m))
}

// patience bounds every wait of a test: it ends a hang, not a slow machine's work.
const patience = 4 * time.Minute

// sandbox is a folder and an environment in which the program is run.
type sandbox struct {
	t   *testing.T
	dir string
	env map[string]string
}

func newSandbox(t *testing.T) *sandbox {
	return &sandbox{t: t, dir: t.TempDir(), env: map[string]string{asProgram: "1"}}
}

// write writes a file into the folder and returns its name.
func (s *sandbox) write(name, content string) string {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

func (s *sandbox) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = s.dir
	cmd.Env = os.Environ()
	for _, k := range slices.Sorted(maps.Keys(s.env)) {
		cmd.Env = append(cmd.Env, k+"="+s.env[k])
	}
	return cmd
}

// result is how a run of the program ended.
type result struct {
	code     int
	out, err string
}

// run runs the program to its end.
func (s *sandbox) run(args ...string) result {
	s.t.Helper()
	return s.start(args...).wait()
}

// process is a run of the program under way.
type process struct {
	s        *sandbox
	cmd      *exec.Cmd
	out, err bytes.Buffer // to be read after the end
	ended    chan error
	result   *result
}

func (s *sandbox) start(args ...string) *process { return s.startTo(nil, args...) }

// startTo is start with a file for what it says, which can be read before the
// end; nil: none.
func (s *sandbox) startTo(log *os.File, args ...string) *process {
	s.t.Helper()
	p := &process{s: s, cmd: s.command(args...), ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	if log != nil {
		p.cmd.Stdout, p.cmd.Stderr = log, log
	}
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	s.t.Cleanup(func() {
		if p.result == nil {
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	})
	return p
}

// serve starts towline run on a free port and waits until it answers.
func (s *sandbox) serve(args ...string) *process {
	s.t.Helper()
	p := s.start(append([]string{"run", "--listen", "127.0.0.1:0"}, args...)...)
	s.awaitFile(p, filepath.Join("towline-data", addressFile))
	return p
}

func (s *sandbox) awaitFile(p *process, name string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		if b, err := os.ReadFile(filepath.Join(s.dir, name)); err == nil && len(b) > 0 {
			return
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			s.t.Fatalf("towline %v ended:\n%s", p.cmd.Args[1:], p.wait().err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not come", name)
		}
	}
}

// wait waits for the end.
func (p *process) wait() result {
	p.s.t.Helper()
	if p.result != nil {
		return *p.result
	}
	select {
	case err := <-p.ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			p.s.t.Fatal(err)
		}
	case <-time.After(patience):
		p.s.t.Fatalf("towline %v does not end", p.cmd.Args[1:])
	}
	p.result = &result{p.cmd.ProcessState.ExitCode(), p.out.String(), p.err.String()}
	return *p.result
}

// stop ends it as Ctrl-C does.
func (p *process) stop() result {
	p.s.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		p.s.t.Fatal(err)
	}
	return p.wait()
}

// get returns what a path of the HTTP side answers.
func (s *sandbox) get(path string) string {
	s.t.Helper()
	addr, err := os.ReadFile(filepath.Join(s.dir, "towline-data", addressFile))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+strings.TrimSpace(string(addr))+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(body)
}
