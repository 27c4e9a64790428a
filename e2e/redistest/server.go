// Package redistest starts real Redis servers for tests.
//
// e2e/servers/redis.sh ("make servers") installs them. When nothing is installed
// tests are skipped, or fail when TOWLINE_REQUIRE_SERVERS=1; under -short they
// are always skipped. A server is up in a moment, so each test has its own.
//
// # Ownership
//
// A server owns its folder, port and process. It dies with the process that
// started it, however that ends.
//
// # Concurrency
//
// A Server belongs to one goroutine.
package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/towline/towline/e2e/child"
)

// ErrNotInstalled is returned by Launch when there is no Redis to start.
var ErrNotInstalled = errors.New("no Redis is installed: run 'make servers'")

// startTimeout is generous: it ends a hang, not a slow machine's work.
const startTimeout = 2 * time.Minute

// Durable are the settings with which what a server has answered is on disk.
var Durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

// Server is a Redis server.
type Server struct {
	Addr string

	root  string
	dir   string // as seen from outside the root
	args  []string
	lease *child.Lease
	proc  *child.Process
}

// Start starts a server for a test, with settings such as Durable, and ends it
// at the test's end.
func Start(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	child.SkipShort(tb, "Redis")
	s, err := Launch(tb.Context(), settings...)
	if err != nil {
		child.Unavailable(tb, err, ErrNotInstalled)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("redistest: the log of the server ends:\n%s", s.Log())
		}
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Launch starts a server and waits until it answers. The context bounds the
// start alone.
func Launch(ctx context.Context, settings ...string) (*Server, error) {
	servers, err := child.ServersDir()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(servers, "redis")
	if _, err := os.Stat(filepath.Join(home, "installed")); err != nil {
		return nil, fmt.Errorf("redistest: look into %s: %w", home, ErrNotInstalled)
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("redistest: the server in %s runs by chroot, which needs root: %w", home, ErrNotInstalled)
	}
	s := &Server{root: filepath.Join(home, "root")}
	if s.lease, err = child.LeasePort(0); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp(filepath.Join(s.root, "var/lib/towline"), "server-"); err != nil {
		return nil, errors.Join(fmt.Errorf("redistest: make folder: %w", err), s.lease.Close())
	}
	port := strconv.Itoa(s.lease.Port)
	s.Addr = net.JoinHostPort("127.0.0.1", port)
	s.args = append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", strings.TrimPrefix(s.dir, s.root), "--save", "", "--daemonize", "no"}, settings...)
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Restart starts the server after Kill, with what it had.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	out, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("redistest: open log: %w", err)
	}
	defer out.Close() // the server has its own handle
	cmd := exec.Command("/usr/bin/redis-server", s.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = "/", out, out, child.DieWithParent()
	cmd.SysProcAttr.Chroot = s.root
	if s.proc, err = child.Start(cmd); err != nil {
		return fmt.Errorf("redistest: start: %w", err)
	}
	for s.answers(ctx) != nil {
		select {
		case <-s.proc.Done:
			return fmt.Errorf("redistest: it ended before it answered: %w; its log ends:\n%s", s.proc.Err, s.Log())
		case <-ctx.Done():
			return fmt.Errorf("redistest: %w; its log ends:\n%s", errors.Join(ctx.Err(), s.Kill()), s.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// answers returns nil once the server has read what it had and answers.
func (s *Server) answers(ctx context.Context) error {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := nc.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := nc.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(nc).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.HasPrefix(line, "-LOADING") {
		return errors.New(line)
	}
	return nil // PONG, or that it wants a password
}

// Kill ends the server with SIGKILL and waits until it is gone.
func (s *Server) Kill() error {
	if s.proc == nil {
		return nil
	}
	if err := s.proc.Cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("redistest: kill: %w", err)
	}
	<-s.proc.Done
	s.proc = nil
	return nil
}

// Close ends the server and removes all that it had.
func (s *Server) Close() error {
	return errors.Join(s.Kill(), s.lease.Close(), os.RemoveAll(s.dir))
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

// Log returns the end of what the server said.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.logFile())
	return string(b[max(0, len(b)-4000):])
}
