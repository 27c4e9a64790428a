package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
)

// DrainTimeout is how long a stopping task may take to finish what it read.
const DrainTimeout = 20 * time.Second

// Worker runs the tasks of a set of connectors over one log. Safe for
// concurrent use: connectors come, change and go while it runs; see change.go.
type Worker struct {
	logger  *slog.Logger
	metrics *Metrics

	mu       sync.Mutex
	log      connect.Log
	cluster  string              // its id; "": there is none
	tasks    []*supervisor       // of one connector side by side; replaced and never changed
	leaving  []*supervisor       // of connectors that were removed, which may not have ended yet
	trackers map[string]*tracker // by connector
	// launch starts what supervises a task; nil while Run does not run.
	launch func(*supervisor)
	// ended is closed and made anew when a task has ended by itself.
	ended chan struct{}
}

// New returns a Worker without connectors and without a log.
func New(logger *slog.Logger, metrics *Metrics) *Worker {
	w := &Worker{logger: logger, metrics: metrics, ended: make(chan struct{}), trackers: map[string]*tracker{}}
	tasks := newTaskCollector(w)
	metrics.reg.MustRegister(tasks, newTableCollector(w))
	metrics.brief.MustRegister(tasks)
	return w
}

// TaskMetrics returns the metrics that are of no single table: those of each
// of thousands are many.
func (w *Worker) TaskMetrics() prometheus.Gatherer { return w.metrics.brief }

// Show shows more numbers beside those of the tasks.
func (w *Worker) Show(c prometheus.Collector) {
	w.metrics.reg.MustRegister(c)
	w.metrics.brief.MustRegister(c)
}

// Use sets the log that the tasks work over, before Run and between Runs. It
// stays the caller's.
func (w *Worker) Use(log connect.Log) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = log
}

// Join sets the id of the cluster that the worker is one of, before it has tasks.
func (w *Worker) Join(cluster string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cluster = cluster
}

func (w *Worker) clusterID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cluster
}

// Log returns the log in use; nil if there is none yet.
func (w *Worker) Log() connect.Log {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log
}

// all returns the tasks there are.
func (w *Worker) all() []*supervisor {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tasks
}

// Handled returns how many records all tasks have read and written so far.
func (w *Worker) Handled() int64 {
	var n int64
	for _, s := range w.all() {
		t := s.meter.totals()
		n += t.Read + t.Written
	}
	return n
}

// Run runs all tasks until ctx ends or every task has ended by itself, and
// returns their failures. It may be called again.
func (w *Worker) Run(ctx context.Context) error { return w.run(ctx, false) }

// Stay runs as Run does, but until ctx ends: tasks may come, or be restarted.
func (w *Worker) Stay(ctx context.Context) error { return w.run(ctx, true) }

func (w *Worker) run(ctx context.Context, stay bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	w.mu.Lock()
	w.launch = func(s *supervisor) {
		s.left = make(chan struct{})
		wg.Go(func() { s.supervise(ctx) })
	}
	for _, s := range w.tasks {
		s.after = nil // whatever it was, it has ended
		w.launch(s)
	}
	w.mu.Unlock()
	w.await(ctx, stay)
	w.mu.Lock()
	w.launch = nil // before the wait: none comes to the group any more
	w.mu.Unlock()
	cancel()
	wg.Wait()
	var errs []error
	for _, s := range w.all() {
		if st := s.status(); st.State == StateFailed {
			errs = append(errs, fmt.Errorf("%s: %s", s.id, st.Trace))
		}
	}
	return errors.Join(errs...)
}

// await returns when ctx ends or, unless it is to stay, all tasks have ended
// by themselves.
func (w *Worker) await(ctx context.Context, stay bool) {
	for {
		w.mu.Lock()
		ended, tasks := w.ended, w.tasks
		w.mu.Unlock()
		if !stay && !slices.ContainsFunc(tasks, func(s *supervisor) bool { return !s.over.Load() }) {
			return
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return
		}
	}
}

// tell says that a task has ended by itself.
func (w *Worker) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.ended)
	w.ended = make(chan struct{})
}

// taskID names a task.
type taskID struct {
	connector string
	task      int
}

func (id taskID) String() string { return fmt.Sprintf("%s-%d", id.connector, id.task) }
