package rockettest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/towline/towline/e2e/child"
)

// Server is a broker or a name server.
type Server struct {
	Name string
	Addr string

	dir   string // of the cluster
	args  []string
	ready func(ctx context.Context) error // more to wait for than that it listens; nil: nothing

	mu   sync.Mutex
	proc *child.Process // nil: it does not run
}

// server makes a server and writes its configuration.
func (c *Cluster) server(name string, port int, java, lines []string) (*Server, error) {
	conf := filepath.Join(c.dir, name+".conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("rockettest: write configuration: %w", err)
	}
	args := append([]string{java[0], "-Duser.home=" + c.dir}, java[1:]...)
	return &Server{Name: name, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), dir: c.dir, args: append(args, "-c", conf)}, nil
}

// Start starts the server and waits until it is ready.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		return fmt.Errorf("rockettest: %s runs already", s.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	out, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("rockettest: open log: %w", err)
	}
	defer out.Close() // the server has its own handle
	cmd := exec.Command(s.args[0], s.args[1:]...)
	cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+s.dir)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.dir, out, out, child.DieWithParent()
	proc, err := child.Start(cmd)
	if err != nil {
		return fmt.Errorf("rockettest: start %s: %w", s.Name, err)
	}
	if err := s.await(ctx, proc); err != nil {
		_ = proc.Cmd.Process.Kill()
		<-proc.Done
		return fmt.Errorf("rockettest: start %s: %w; its log ends:\n%s", s.Name, err, s.Log())
	}
	s.proc = proc
	return nil
}

// await waits until the server listens and whatever else it must do is done.
func (s *Server) await(ctx context.Context, proc *child.Process) error {
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		last := s.answers(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-proc.Done:
			return fmt.Errorf("it ended before it was ready: %w", proc.Err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		case <-tick.C:
		}
	}
}

func (s *Server) answers(ctx context.Context) error {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	nc.Close()
	if s.ready == nil {
		return nil
	}
	return s.ready(ctx)
}

// Kill ends the server with SIGKILL and waits until it is gone. Start brings it
// back, with what it had.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Stop shuts the server down in good order.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

func (s *Server) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	if err := s.proc.Cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("rockettest: signal %s: %w", s.Name, err)
	}
	<-s.proc.Done
	s.proc = nil
	return nil
}

// Signal sends the server's process a signal, such as SIGSTOP.
func (s *Server) Signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return fmt.Errorf("rockettest: %s does not run", s.Name)
	}
	return s.proc.Cmd.Process.Signal(sig)
}

// PID returns the number of the server's process, 0 if it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.Cmd.Process.Pid
}

func (s *Server) logFile() string { return filepath.Join(s.dir, s.Name+".log") }

// Log returns the end of what the server said.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.logFile())
	return string(b[max(0, len(b)-4000):])
}
