// Package registrytest starts a real registry of schemas, Apicurio Registry, for
// tests.
//
// e2e/servers/registry.sh ("make servers") installs it. When it is not installed
// tests are skipped, or fail when TOWLINE_REQUIRE_SERVERS=1, unless the script has
// noted that it cannot be had here; under -short they are always skipped. It takes
// some ten seconds to start, so one test should do for all that needs it.
//
// # Ownership
//
// A server owns its folder, port and process. It dies with the process that
// started it, however that ends. What it is told it keeps in memory.
//
// # Concurrency
//
// A Server is safe for concurrent use once it is started.
package registrytest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/child"
)

// ErrNotInstalled is returned by Launch when there is no registry to start.
var ErrNotInstalled = errors.New("no registry of schemas is installed: run 'make servers'")

// startTimeout is generous: it ends a hang, not a slow machine's work.
const startTimeout = 5 * time.Minute

// Server is a registry.
type Server struct {
	URL string // of the API of Confluent's registry

	dir   string
	lease *child.Lease
	proc  *child.Process
}

// Start starts a registry for a test and ends it at the test's end.
func Start(tb testing.TB) *Server {
	tb.Helper()
	child.SkipShort(tb, "a registry of schemas")
	s, err := Launch(tb.Context())
	if err != nil {
		if dir, derr := child.ServersDir(); derr == nil {
			if why, rerr := os.ReadFile(filepath.Join(dir, "registry.missing")); rerr == nil && errors.Is(err, ErrNotInstalled) {
				tb.Skipf("no registry of schemas: %s", strings.TrimSpace(string(why)))
			}
		}
		child.Unavailable(tb, err, ErrNotInstalled)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("registrytest: the log of the server ends:\n%s", s.Log())
		}
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Launch starts a registry and waits until it answers. The context bounds the
// start alone.
func Launch(ctx context.Context) (*Server, error) {
	servers, err := child.ServersDir()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(servers, "registry")
	if _, err := os.Stat(filepath.Join(home, "installed")); err != nil {
		return nil, fmt.Errorf("registrytest: look into %s: %w", home, ErrNotInstalled)
	}
	java, err := os.ReadFile(filepath.Join(home, "java"))
	if err != nil {
		return nil, fmt.Errorf("registrytest: %w", err)
	}
	s := &Server{}
	if s.dir, err = os.MkdirTemp("", "towline-registry-"); err != nil {
		return nil, fmt.Errorf("registrytest: make folder: %w", err)
	}
	if s.lease, err = child.LeasePort(0); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	s.URL = "http://127.0.0.1:" + strconv.Itoa(s.lease.Port) + "/apis/ccompat/v7"
	cmd := exec.Command(strings.TrimSpace(string(java)), "-Xmx384m", "-XX:TieredStopAtLevel=1", "-Duser.home="+s.dir, "-Dquarkus.http.host=127.0.0.1",
		"-Dquarkus.http.port="+strconv.Itoa(s.lease.Port), "-jar", filepath.Join(home, "app", "runner.jar"))
	if err := s.start(ctx, cmd); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, cmd *exec.Cmd) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	out, err := os.Create(s.logFile())
	if err != nil {
		return fmt.Errorf("registrytest: open log: %w", err)
	}
	defer out.Close() // the server has its own handle
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.dir, out, out, child.DieWithParent()
	if s.proc, err = child.Start(cmd); err != nil {
		return fmt.Errorf("registrytest: start: %w", err)
	}
	for {
		last := s.answers(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-s.proc.Done:
			return fmt.Errorf("registrytest: it ended before it answered: %w; its log ends:\n%s", s.proc.Err, s.Log())
		case <-ctx.Done():
			return fmt.Errorf("registrytest: %w; its log ends:\n%s", errors.Join(ctx.Err(), last), s.Log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Server) answers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/subjects", nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// Close ends the server and removes all that it had.
func (s *Server) Close() error {
	var err error
	if s.proc != nil {
		if err = s.proc.Cmd.Process.Kill(); errors.Is(err, os.ErrProcessDone) {
			err = nil
		}
		<-s.proc.Done
	}
	return errors.Join(err, s.lease.Close(), os.RemoveAll(s.dir))
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

// Log returns the end of what the server said.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.logFile())
	return string(b[max(0, len(b)-4000):])
}
