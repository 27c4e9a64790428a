package worker

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/towline/towline/connect"
)

// drainContext returns a context that ends DrainTimeout after ctx does, so
// that what was read can still be finished, or at once if nothing is to be.
func drainContext(ctx context.Context) (context.Context, context.CancelFunc) {
	drain, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(DrainTimeout, cancel)
		context.AfterFunc(drain, func() { timer.Stop() })
	})
	stopAbort := onAbort(ctx, cancel)
	return drain, func() { stop(); stopAbort(); cancel() }
}

// runStages runs the stages of a task at once. read ends with ctx; the rest
// have DrainTimeout more to finish what was read. When one fails all end.
func runStages(ctx context.Context, read func(context.Context) error, rest ...func(context.Context) error) error {
	drain, stop := drainContext(ctx)
	defer stop()
	g, gctx := errgroup.WithContext(drain)
	g.Go(func() error {
		rctx, cancel := both(ctx, gctx)
		defer cancel()
		return read(rctx)
	})
	for _, stage := range rest {
		g.Go(func() error { return stage(gctx) })
	}
	err := g.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// both returns a context that ends when either does.
func both(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a)
	stop := context.AfterFunc(b, cancel)
	return ctx, func() { stop(); cancel() }
}

// sleep waits for d or until ctx ends, and reports whether it waited.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// idleAfter is how long there is nothing to do before memory is let go.
const idleAfter = 5 * time.Second

// each does what there is to do for everything that comes from in, and tells
// who is an Idler when nothing comes, or nothing that is work: signs of life
// come always.
func each[T any](in <-chan T, who any, do func(T) (work bool, err error)) error {
	idler, _ := who.(connect.Idler)
	idle := time.NewTimer(idleAfter)
	defer idle.Stop()
	for {
		select {
		case x, ok := <-in:
			if !ok {
				return nil
			}
			work, err := do(x)
			if err != nil {
				return err
			}
			if work {
				idle.Reset(idleAfter)
			}
		case <-idle.C:
			if idler != nil {
				idler.Idle()
			}
		}
	}
}
