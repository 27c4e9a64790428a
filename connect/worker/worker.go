package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
)

// DrainTimeout is how long a stopping task may take to finish what it read.
const DrainTimeout = 20 * time.Second

// Worker runs the tasks of a set of connectors over one log.
type Worker struct {
	logger  *slog.Logger
	metrics *Metrics

	mu    sync.Mutex
	log   connect.Log
	tasks []*supervisor // in order of Add; fixed once Run has begun
}

// New returns a Worker without connectors and without a log.
func New(logger *slog.Logger, metrics *Metrics) *Worker {
	w := &Worker{logger: logger, metrics: metrics}
	metrics.reg.MustRegister(newCollector(w))
	return w
}

// Use sets the log that the tasks work over, before Run and between Runs. It
// stays the caller's.
func (w *Worker) Use(log connect.Log) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = log
}

// theLog returns the log in use.
func (w *Worker) theLog() connect.Log {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log
}

// Add plans the tasks of a connector. Connectors must have different names.
func (w *Worker) Add(c *config.Connector) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.tasks {
		if s.id.connector == c.Name {
			return &connect.ConfigError{Name: c.Name, Faults: []connect.Fault{{Key: "name", Text: "two connectors have this name"}}}
		}
	}
	configs := []connect.Config{c.Config}
	if c.Plugin.Split != nil {
		var err error
		if configs, err = c.Plugin.Split(c.Config, int(c.Config.Int("tasks.max"))); err != nil {
			return fmt.Errorf("worker: split %s into tasks: %w", c.Name, err)
		}
	}
	for i, cfg := range configs {
		id := taskID{connector: c.Name, task: i}
		logger := w.logger.With("connector", c.Name, "task", i)
		w.tasks = append(w.tasks, newSupervisor(id, w, c, cfg, logger))
	}
	return nil
}

// Handled returns how many records all tasks have read and written so far.
func (w *Worker) Handled() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var n int64
	for _, s := range w.tasks {
		t := s.meter.totals()
		n += t.Read + t.Written
	}
	return n
}

// Run runs all tasks until ctx ends or every task has ended, and returns
// their failures. It may be called again.
func (w *Worker) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, s := range w.tasks {
		wg.Go(func() { s.run(ctx) })
	}
	wg.Wait()
	var errs []error
	for _, s := range w.tasks {
		if st := s.status(); st.State == StateFailed {
			errs = append(errs, fmt.Errorf("%s: %s", s.id, st.Trace))
		}
	}
	return errors.Join(errs...)
}

// taskID names a task.
type taskID struct {
	connector string
	task      int
}

func (id taskID) String() string { return fmt.Sprintf("%s-%d", id.connector, id.task) }
