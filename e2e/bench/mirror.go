package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/towline/towline/e2e/bench/peers"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/process"
)

// mirror is a source and the targets that follow it: one that Towline fills,
// and a native replica. Between runs all of them stand still at one point.
type mirror struct {
	b       *bench
	src     *mysqltest.Server
	target  *mysqltest.Server
	replica *peers.Replica // nil: not wanted
	proc    *process.Process
	tables  []string // of the database bench
	pass    int
}

// newMirror brings all up to the source. It is to be closed even when there is
// an error.
func (b *bench) newMirror(ctx context.Context, src *mysqltest.Server, name string, tables []string) (*mirror, error) {
	m := &mirror{b: b, src: src, tables: append([]string{"turn"}, tables...)}
	if err := execAll(ctx, src, []string{"CREATE TABLE bench.turn (id INT PRIMARY KEY, n INT NOT NULL)", "INSERT INTO bench.turn VALUES (1, 0), (2, 0)"}); err != nil {
		return m, err
	}
	var err error
	if m.target, err = launch(ctx); err != nil {
		return m, err
	}
	b.progress("%s: filling the target", name)
	if m.proc, err = b.towline(name, plain.copy(src, m.target)); err != nil {
		return m, err
	}
	if err := b.through(ctx, m.proc); err != nil {
		return m, err
	}
	if !b.wants(peers.NameReplica) {
		return m, nil
	}
	server, err := launch(ctx)
	if err != nil {
		return m, err
	}
	b.progress("%s: filling the replica", name)
	m.replica = &peers.Replica{Server: server, Source: src}
	return m, m.replica.Follow(ctx)
}

func (m *mirror) close() {
	if m.proc != nil {
		m.proc.Kill()
	}
	if m.target != nil {
		m.target.Close()
	}
	if m.replica != nil {
		m.replica.Server.Close()
	}
}

// record has the source make changes that are to be followed. The first of
// them says that they begin.
func (m *mirror) record(ctx context.Context, changes func() error) error {
	m.pass++
	if err := m.turn(ctx, 1); err != nil {
		return err
	}
	if err := changes(); err != nil {
		return err
	}
	return m.turn(ctx, 2)
}

func (m *mirror) turn(ctx context.Context, id int) error {
	_, err := m.src.DB().ExecContext(ctx, "UPDATE bench.turn SET n = ? WHERE id = ?", m.pass, id)
	return err
}

// turned waits until a target has been told of the begin or the end of what
// was recorded last.
func (m *mirror) turned(ctx context.Context, s *mysqltest.Server, id int) error {
	for {
		var n int
		if err := s.DB().QueryRowContext(ctx, "SELECT n FROM bench.turn WHERE id = ?", id).Scan(&n); err != nil {
			return err
		}
		if n >= m.pass {
			return nil
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// follow returns a side: start lets a target go on and returns once it does,
// wait returns when it is where the source is, stop holds it. Afterwards the
// target must equal the source.
func (m *mirror) follow(n int, target *mysqltest.Server, start func(context.Context) (processes, error), wait, stop func(context.Context) error) side {
	return func(ctx context.Context, _ int) (sample, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		procs, err := start(ctx)
		if err != nil {
			return sample{}, err
		}
		before, err := procs.cpu()
		if err != nil {
			return sample{}, err
		}
		begin := time.Now()
		if err := wait(ctx); err != nil {
			return sample{}, err
		}
		s := sample{rows: n, took: time.Since(begin)}
		if s.cpu, err = procs.since(before); err != nil {
			return sample{}, err
		}
		if pid, ok := procs["ours"]; ok {
			if s.peak, err = memory(pid, "VmHWM"); err != nil {
				return sample{}, err
			}
		}
		return s, errors.Join(stop(ctx), same(ctx, m.src, target, "bench", m.tables...))
	}
}

// ours is Towline following n changes.
func (m *mirror) ours(n int) side {
	return m.follow(n, m.target,
		func(ctx context.Context) (processes, error) {
			if err := started(ctx, m.proc); err != nil {
				return nil, err
			}
			return processes{"ours": m.proc.PID(), "source": m.src.PID(), "target": m.target.PID()}, nil
		},
		func(ctx context.Context) error { return m.proc.Wait(ctx, patience) },
		func(context.Context) error { return m.proc.Stop() })
}

// theirs is the replica doing the same.
func (m *mirror) theirs(n int) side {
	return func(ctx context.Context, run int) (sample, error) {
		r := m.replica
		return m.follow(n, r.Server,
			func(ctx context.Context) (processes, error) {
				return processes{"target": r.Server.PID(), "source": m.src.PID()}, r.Start(ctx)
			}, r.Await, r.Stop)(ctx, run)
	}
}

// commands runs commands one after the other, and measures how long all take
// to bring so many rows over.
func (b *bench) commands(ctx context.Context, rows int, procs processes, list ...peers.Command) (sample, error) {
	before, err := procs.cpu()
	if err != nil {
		return sample{}, err
	}
	begin := time.Now()
	client := 0.0
	for _, c := range list {
		cmd, err := c(ctx)
		if err != nil {
			return sample{}, err
		}
		if err := run(cmd); err != nil {
			return sample{}, err
		}
		client += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	s := sample{rows: rows, took: time.Since(begin)}
	s.cpu, err = procs.since(before)
	if err == nil {
		s.cpu["client"] = client
	}
	return s, err
}

// run runs a command and says what it printed where it fails.
func run(cmd *exec.Cmd) error {
	if cmd.Stdout != nil {
		return cmd.Run()
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Path, err, out)
	}
	return nil
}
