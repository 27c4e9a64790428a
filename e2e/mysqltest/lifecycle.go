package mysqltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/towline/towline/e2e/child"
)

// startTimeout and stopTimeout are generous: they end a hang, not a slow machine's work.
const (
	startTimeout = 10 * time.Minute
	stopTimeout  = 10 * time.Minute
)

var (
	// errPortTaken is the end of a mysqld that could not bind its port.
	errPortTaken = errors.New("port is taken")
	// errEnded is the end of a mysqld that should have run on.
	errEnded = errors.New("mysqld ended")
	// errGiven refuses to control a server that this package did not start.
	errGiven = errors.New("mysqltest: the server given by TOWLINE_TEST_MYSQL cannot be stopped or restarted: use Start")
)

// start runs mysqld and waits until it answers. The caller holds mu or owns the server alone.
func (s *Server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	log, err := os.OpenFile(s.home.outside("error.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("mysqltest: open error log: %w", err)
	}
	defer log.Close() // mysqld has its own handle
	began, err := log.Seek(0, 2)
	if err != nil {
		return fmt.Errorf("mysqltest: find end of error log: %w", err)
	}
	// The process outlives ctx, which bounds the start alone.
	cmd, err := s.home.in.command(context.Background(), s.home.in.mysqld, s.cfg.args(s.home, s.Port)...)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	proc, err := child.Start(cmd)
	if err != nil {
		return fmt.Errorf("mysqltest: start mysqld: %w", err)
	}
	if err := s.awaitReady(ctx, proc); err != nil {
		if proc.Running() {
			_ = proc.Cmd.Process.Kill()
		}
		<-proc.Done
		if strings.Contains(s.logSince(began), "Address already in use") {
			err = errors.Join(errPortTaken, err)
		}
		return fmt.Errorf("mysqltest: start mysqld on port %d: %w; its error log ends:\n%s", s.Port, err, s.home.errorLog(20))
	}
	s.proc = proc
	return nil
}

// logSince is what the error log holds after an offset.
func (s *Server) logSince(offset int64) string {
	b, err := os.ReadFile(s.home.outside("error.log"))
	if err != nil || int64(len(b)) < offset {
		return ""
	}
	return string(b[offset:])
}

// awaitReady waits until our mysqld answers. It asks for the datadir, because a stranger on the same
// port would answer as well.
func (s *Server) awaitReady(ctx context.Context, proc *child.Process) error {
	want := strings.TrimRight(s.home.seen("data"), "/")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		var got string
		last = s.db.QueryRowContext(ctx, "SELECT @@datadir").Scan(&got)
		if last == nil {
			if strings.TrimRight(got, "/") == want {
				return nil
			}
			last = fmt.Errorf("another server with datadir %s answers: %w", got, errPortTaken)
		}
		select {
		case <-proc.Done:
			return fmt.Errorf("it ended before it was ready: %w", errors.Join(errEnded, proc.Err))
		case <-ctx.Done():
			return fmt.Errorf("it did not answer: %w", errors.Join(ctx.Err(), last))
		case <-tick.C:
		}
	}
}

// Stop shuts the server down in good order. The pool and the datadir stay; Restart brings it back.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(syscall.SIGTERM)
}

// Kill ends the server at once with SIGKILL. Restart brings it back.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(syscall.SIGKILL)
}

// Restart starts the server again on the same datadir and port, after stopping it if it runs. More
// flags for mysqld may be given; they hold from now on.
func (s *Server) Restart(flags ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("mysqltest: restart: the server is closed")
	}
	if err := s.end(syscall.SIGTERM); err != nil {
		return err
	}
	s.cfg.Flags = append(s.cfg.Flags, flags...)
	return s.start(context.Background())
}

// end ends mysqld with a signal and waits until it is gone. The caller holds mu.
func (s *Server) end(sig syscall.Signal) error {
	if s.home == nil {
		return errGiven
	}
	if s.proc == nil {
		return nil
	}
	proc := s.proc
	s.proc = nil
	if err := proc.Cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("mysqltest: signal mysqld: %w", err)
	}
	select {
	case <-proc.Done:
	case <-time.After(stopTimeout):
		_ = proc.Cmd.Process.Kill()
		<-proc.Done
		return fmt.Errorf("mysqltest: stop mysqld: it did not end in %s and was killed", stopTimeout)
	}
	// Connections to the server that is gone would fail the next statements.
	s.db.SetMaxIdleConns(0)
	s.db.SetMaxIdleConns(2)
	return nil
}

// Close ends the server and gives its port and its folder back. A temporary datadir is removed with
// the server, a named one is shut down in good order and kept. Close may be called twice. It returns
// an error when the server had crashed.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.home == nil {
		return s.db.Close()
	}
	err := s.crash()
	sig := syscall.SIGKILL
	if s.home.keep {
		sig = syscall.SIGTERM
	}
	return errors.Join(err, s.end(sig), s.db.Close(), s.home.close(), s.lease.Close())
}

// crash says whether mysqld ended of itself and not in good order. The caller holds mu.
func (s *Server) crash() error {
	if s.proc == nil || s.proc.Running() || s.proc.Err == nil {
		return nil
	}
	return fmt.Errorf("mysqltest: mysqld on port %d crashed: %w; its error log ends:\n%s", s.Port, s.proc.Err, s.home.errorLog(40))
}
