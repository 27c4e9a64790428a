package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
)

// Target is what a connector is meant to do; the names are Kafka Connect's.
type Target string

// The targets.
const (
	TargetRunning Target = "RUNNING"
	TargetPaused  Target = "PAUSED"  // at rest, and on show as such
	TargetStopped Target = "STOPPED" // at rest, its offsets may be changed
)

// Add plans the tasks of a connector, and starts them if it is to run and the
// worker runs. Connectors must have different names.
func (w *Worker) Add(c *config.Connector, target Target) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.named(c.Name)) > 0 {
		return &connect.ConfigError{Name: c.Name, Faults: []connect.Fault{{Key: "name", Text: "two connectors have this name"}}}
	}
	tasks, err := w.plan(c, target)
	if err != nil {
		return err
	}
	for _, s := range tasks {
		for _, o := range w.leaving {
			if o.id.connector == c.Name {
				s.succeed(o)
			}
		}
	}
	w.put(slices.Concat(w.tasks, tasks), tasks)
	return nil
}

// plan returns the tasks of a connector.
func (w *Worker) plan(c *config.Connector, target Target) ([]*supervisor, error) {
	configs := []connect.Config{c.Config}
	switch {
	case !c.IsSource():
		configs = slices.Repeat(configs, sinkTasks(c))
	case c.Plugin.Split != nil:
		var err error
		if configs, err = c.Plugin.Split(c.Config, int(c.Config.Int("tasks.max"))); err != nil {
			return nil, fmt.Errorf("worker: split %s into tasks: %w", c.Name, err)
		}
	}
	tasks, shared := make([]*supervisor, len(configs)), newShares(c, len(configs))
	for i, cfg := range configs {
		tasks[i] = newSupervisor(taskID{connector: c.Name, task: i}, w, c, cfg, shared)
		tasks[i].want.target = target
	}
	return tasks, nil
}

// named returns the tasks of a connector. w.mu is held.
func (w *Worker) named(name string) (tasks []*supervisor) {
	for _, s := range w.tasks {
		if s.id.connector == name {
			tasks = append(tasks, s)
		}
	}
	return tasks
}

// put makes tasks the tasks there are, of which some are fresh. w.mu is held.
func (w *Worker) put(tasks, fresh []*supervisor) {
	w.tasks = tasks
	if w.launch == nil {
		return
	}
	for _, s := range fresh {
		w.launch(s)
	}
}

// Change gives a connector another configuration. Its tasks end, and those of
// the new one start when they have. It does not wait for that.
func (w *Worker) Change(c *config.Connector, target Target) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	fresh, err := w.plan(c, target)
	if err != nil {
		return err
	}
	old := w.named(c.Name)
	for _, s := range fresh {
		s.succeed(old...)
	}
	stay := min(len(fresh), len(old))
	dismiss(old[:stay], forgetTables)
	dismiss(old[stay:], forgetAll) // there is no such task any more
	w.replace(c.Name, fresh, fresh)
	return nil
}

// Restart ends the tasks that pick chooses and starts them anew, with c, which
// is the configuration that they have but for what its references refer to by
// now. It returns the numbers of the tasks and does not wait.
func (w *Worker) Restart(c *config.Connector, target Target, pick func(TaskStatus) bool) ([]int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all, err := w.plan(c, target)
	if err != nil {
		return nil, err
	}
	now := w.named(c.Name)
	var ids []int
	var gone, fresh []*supervisor
	for i, old := range now {
		if i >= len(all) || !pick(old.status()) {
			continue
		}
		s := all[i]
		s.succeed(old)
		s.meter, s.prog = old.meter, old.prog // it is the same task, and goes on counting
		s.state, s.trace = StateRestarting, ""
		now[i] = s
		gone, fresh, ids = append(gone, old), append(fresh, s), append(ids, i)
	}
	dismiss(gone, forgetNothing)
	w.replace(c.Name, now, fresh)
	return ids, nil
}

// succeed lets s begin when others have left. w.mu is held.
func (s *supervisor) succeed(others ...*supervisor) {
	for _, o := range others {
		if o.left != nil { // else it has never been launched
			s.after = append(s.after, o.left)
			s.idle = false // as a whole the task is not at rest yet
		}
	}
}

// replace puts tasks in the place of those of a connector. w.mu is held.
func (w *Worker) replace(name string, tasks, fresh []*supervisor) {
	at := slices.IndexFunc(w.tasks, func(s *supervisor) bool { return s.id.connector == name })
	rest := slices.DeleteFunc(slices.Clone(w.tasks), func(s *supervisor) bool { return s.id.connector == name })
	if at < 0 {
		at = len(rest)
	}
	w.put(slices.Insert(rest, at, tasks...), fresh)
}

// dismiss has tasks end, after which some of their numbers are forgotten.
func dismiss(tasks []*supervisor, f forgetting) {
	for _, s := range tasks {
		s.ask(want{gone: true, forget: f})
	}
}

// Remove ends the tasks of a connector and forgets it. It does not wait until
// they have ended; a connector of that name that is added does.
func (w *Worker) Remove(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.named(name)
	dismiss(old, forgetAll)
	w.replace(name, nil, nil)
	w.leaving = slices.DeleteFunc(w.leaving, func(s *supervisor) bool {
		select {
		case <-s.left:
			return true
		default:
			return false
		}
	})
	for _, s := range old {
		if s.left != nil {
			w.leaving = append(w.leaving, s)
		}
	}
}

// Aim says what a connector is meant to do from now on. It does not wait for
// it.
func (w *Worker) Aim(name string, target Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.named(name) {
		s.ask(want{target: target})
	}
}

// settlePause is between two looks whether tasks have come to rest.
const settlePause = 5 * time.Millisecond

// Settle waits until the tasks of a connector that is not to run are at rest.
func (w *Worker) Settle(ctx context.Context, name string) error {
	for {
		w.mu.Lock()
		busy := slices.ContainsFunc(w.named(name), func(s *supervisor) bool { return !s.resting() })
		w.mu.Unlock()
		if !busy {
			return nil
		}
		if !sleep(ctx, settlePause) {
			return ctx.Err()
		}
	}
}

// Tasks returns what the tasks of a connector do.
func (w *Worker) Tasks(name string) []TaskStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := []TaskStatus{}
	for _, s := range w.named(name) {
		list = append(list, s.status())
	}
	return list
}
