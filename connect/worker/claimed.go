package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
)

// OpenLog opens the log for one attempt of a task: as one may use it who has the
// claim of that task.
type OpenLog func(ctx context.Context) (connect.Log, error)

// Grant is a task that a worker was given: how its log is opened, and what a
// target may tell an older holder of it by (connect.Env).
type Grant struct {
	Open              OpenLog
	Generation, Epoch int64
}

// Count returns how many tasks a connector has.
func (w *Worker) Count(c *config.Connector) (int, error) {
	tasks, err := w.plan(c, TargetStopped)
	return len(tasks), err
}

// Take starts some tasks of a connector, by their numbers; others of it run
// elsewhere. One that was here before must have left, see Drop.
func (w *Worker) Take(c *config.Connector, target Target, tasks map[int]Grant) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, err := w.plan(c, target)
	if err != nil {
		return err
	}
	now := w.named(c.Name)
	var fresh []*supervisor
	for _, s := range all {
		grant, ok := tasks[s.id.task]
		if !ok {
			continue
		}
		if slices.ContainsFunc(now, func(o *supervisor) bool { return o.id == s.id }) {
			return fmt.Errorf("worker: task %s is here already", s.id)
		}
		s.grant = grant
		now, fresh = append(now, s), append(fresh, s)
	}
	slices.SortFunc(now, func(a, b *supervisor) int { return a.id.task - b.id.task })
	w.replace(c.Name, now, fresh)
	return nil
}

// Drop has a task end in good order, and forgets it. It does not wait: left is
// closed when the task has ended, and now has it end without finishing what was
// read.
func (w *Worker) Drop(name string, task int) (left <-chan struct{}, now func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.named(name)
	at := slices.IndexFunc(all, func(s *supervisor) bool { return s.id.task == task })
	if at < 0 {
		return closed, func() {}
	}
	s := all[at]
	dismiss(all[at:at+1], forgetAll)
	w.replace(name, slices.Delete(slices.Clone(all), at, at+1), nil)
	if s.left == nil { // it was never launched
		return closed, func() {}
	}
	return s.left, s.abort
}

// closed is the channel of what has ended.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Aside returns a Worker that knows one connector and runs nothing, to look at and
// set offsets of what runs elsewhere, or nowhere: they are in the log.
func (w *Worker) Aside(c *config.Connector, log connect.Log) (*Worker, error) {
	a := New(w.logger, NewMetrics(prometheus.NewRegistry()))
	a.Use(log)
	a.Join(w.clusterID())
	return a, a.Add(c, TargetStopped)
}

// abortKey is the key of the channel in the value of a task's context that is
// closed when nothing is to be finished any more.
type abortKey struct{}

// abortable returns ctx for a task that abort ends without delay.
func (s *supervisor) abortable(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithValue(ctx, abortKey{}, s.aborted))
	stop := onAbort(ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// onAbort calls f when the task that ctx belongs to is to finish nothing any
// more, unless stop is called before.
func onAbort(ctx context.Context, f func()) (stop func()) {
	aborted, ok := ctx.Value(abortKey{}).(chan struct{})
	if !ok {
		return func() {}
	}
	stopped := make(chan struct{})
	go func() {
		select {
		case <-aborted:
			f()
		case <-stopped:
		}
	}()
	return sync.OnceFunc(func() { close(stopped) })
}
