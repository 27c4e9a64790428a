package cluster

import (
	"context"
	"maps"
	"slices"

	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// maxTrace bounds what is told of why a task has failed.
const maxTrace = 8 << 10

// tell tells the others, now and then, what the tasks here do.
func (h *Herder) tell(ctx context.Context) {
	for pause(ctx, statusEvery) == nil {
		if err := h.tellOnce(ctx); err != nil && ctx.Err() == nil {
			h.opts.Logger.Warn("what the tasks do could not be told; trying again", "error", err)
		}
	}
}

func (h *Herder) tellOnce(ctx context.Context) error {
	now := h.statuses()
	h.mu.Lock()
	fresh := map[Task]taskStatus{}
	for t, s := range now {
		if h.told[t] != s {
			fresh[t] = s
		}
	}
	h.mu.Unlock()
	if len(fresh) == 0 || h.lease.err() != nil {
		return nil
	}
	err := h.update(ctx, func(m *model) (list []offsets.Entry, err error) {
		for t, s := range fresh {
			if m.claims[t].Epoch == s.Epoch { // else it is another's to tell
				list = append(list, encode(taskKey(statusKey, t), s))
			}
		}
		return list, nil
	})
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.Copy(h.told, fresh)
	maps.DeleteFunc(h.told, func(t Task, _ taskStatus) bool { return !has(now, t) })
	return nil
}

// statuses returns what the tasks here do.
func (h *Herder) statuses() map[Task]taskStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := map[string][]worker.TaskStatus{}
	out := make(map[Task]taskStatus, len(h.local))
	for t, r := range h.local {
		s := taskStatus{Epoch: r.claim.Epoch, Restart: r.restart, State: worker.StateUnassigned}
		if r.fault != "" {
			s.State, s.Trace = worker.StateFailed, r.fault
		} else if !has(names, t.Connector) {
			names[t.Connector] = h.opts.Runner.Tasks(t.Connector)
		}
		for _, ts := range names[t.Connector] {
			if ts.ID == t.Task && r.fault == "" {
				s.State, s.Trace, s.Attempts = ts.State, ts.Trace, ts.Attempts
			}
		}
		s.Trace = s.Trace[:min(len(s.Trace), maxTrace)]
		out[t] = s
	}
	return out
}

// Cluster implements herder.Herder. Workers are those that are alive.
func (h *Herder) Cluster(context.Context) (herder.Cluster, error) {
	m, err := h.known()
	if err != nil {
		return herder.Cluster{}, err
	}
	c := herder.Cluster{ID: m.id, Worker: h.opts.WorkerID, Mode: "distributed", Members: []herder.Member{}, Assignments: h.assignments(m)}
	tasks := map[string]int{}
	for _, a := range c.Assignments {
		tasks[a.Worker]++
	}
	since, _ := h.lease.alive()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.judge.watch(m.members)
	for _, id := range slices.Sorted(maps.Keys(m.members)) {
		mem, state, silent := m.members[id], "alive", h.judge.silent(id, since)
		switch {
		case mem.Leaving:
			state = "leaving"
		case id != h.opts.WorkerID && silent > 0:
			state = "silent"
		}
		if state != "silent" {
			c.Workers = append(c.Workers, id)
		}
		c.Members = append(c.Members, herder.Member{Worker: id, State: state, Tasks: tasks[id],
			Lease: &herder.Lease{Incarnation: mem.Incarnation, Session: mem.Session, Heard: mem.Session + silent.Milliseconds(), Strategy: mem.Strategy}})
	}
	return c, nil
}

// alive returns the members that are, in order.
func (h *Herder) alive(m *model) (list []string) {
	since, _ := h.lease.alive()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.judge.watch(m.members)
	for _, id := range slices.Sorted(maps.Keys(m.members)) {
		if id == h.opts.WorkerID || h.judge.silent(id, since) <= 0 {
			list = append(list, id)
		}
	}
	return list
}

// assignments returns who runs which task, and who is to.
func (h *Herder) assignments(m *model) []herder.Assignment {
	want := m.assigned(m.strategy(h.strategies, h.opts.Strategy))
	all := map[Task]bool{}
	for _, t := range m.tasks() {
		all[t] = true
	}
	for t := range m.claims { // some are still to end
		all[t] = true
	}
	list := make([]herder.Assignment, 0, len(all))
	states := map[string]map[int]worker.State{}
	for _, t := range slices.SortedFunc(maps.Keys(all), compareTasks) {
		if states[t.Connector] == nil {
			states[t.Connector] = map[int]worker.State{}
			for _, ts := range h.state(m, t.Connector, m.conns[t.Connector]).Tasks {
				states[t.Connector][ts.ID] = ts.State
			}
		}
		a := herder.Assignment{Connector: t.Connector, Task: t.Task, State: worker.StateUnassigned, Assigned: want[t]}
		if s, ok := states[t.Connector][t.Task]; ok {
			a.State = s
		}
		if c, ok := m.claims[t]; ok {
			a.Worker, a.Epoch, a.Generation = c.Worker, c.Epoch, c.Generation
		}
		list = append(list, a)
	}
	return list
}

// Health implements herder.Herder: a worker whose lease has lapsed runs nothing,
// and is not well before it has it again.
func (h *Herder) Health(context.Context) error {
	if !h.joined.Load() {
		return herder.ErrStarting
	}
	h.mu.Lock()
	fault := h.fault
	h.mu.Unlock()
	if fault != nil {
		return fault
	}
	return h.lease.err()
}
