package cluster

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// Wait implements herder.Herder. Who runs a source knows when all of it is in the
// log; how far sinks are is in the log, for all to see, soon.
func (h *Herder) Wait(ctx context.Context) error {
	if _, err := h.known(); err != nil {
		return err
	}
	// Where a write lands all that came before is known: connectors made elsewhere.
	if err := h.put(ctx, offsets.Entry{Key: askKey + h.opts.WorkerID}); err != nil {
		return err
	}
	m, err := h.current()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	defer func() { <-done }()
	defer cancel(nil)
	go func() { // a task that has failed will not get there
		defer close(done)
		for ctx.Err() == nil {
			if err := h.givenUp(); err != nil {
				cancel(err)
			}
			_ = pause(ctx, statusEvery)
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	for _, t := range m.tasks() {
		if m.conns[t.Connector].Type == "source" {
			g.Go(func() error {
				_, err := h.question(gctx, ask{Connector: t.Connector, Task: t.Task, Arrived: true})
				return err
			})
		}
	}
	err = g.Wait()
	for name, r := range m.conns {
		if err == nil && r.Type == "sink" && r.Target != worker.TargetStopped {
			err = h.waitSink(ctx, name)
		}
	}
	if cause := context.Cause(ctx); err != nil && cause != nil && ctx.Err() == context.Canceled {
		return cause
	}
	h.forgetView() // it is of before
	return err
}

func (h *Herder) givenUp() error {
	m, err := h.current()
	if err != nil {
		return err
	}
	for name, r := range m.conns {
		for _, t := range h.state(m, name, r).Tasks {
			if t.State == worker.StateFailed {
				return fmt.Errorf("task %s-%d has failed: %s", name, t.ID, t.Trace)
			}
		}
	}
	return nil
}

// waitSink waits until a sink has done all that is in its topics.
func (h *Herder) waitSink(ctx context.Context, name string) error {
	_, c, err := h.built(name)
	if err != nil {
		return err
	}
	for {
		w, err := h.opts.Runner.Aside(c, h.opts.Log)
		if err != nil {
			return err
		}
		why, err := w.Behind(ctx)
		if err != nil || why == "" {
			return err
		}
		if pause(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("%w; %s", ctx.Err(), why)
		}
	}
}
