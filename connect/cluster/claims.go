package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/rocketlog"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// running is a task that this worker runs, or has run and not released yet.
type running struct {
	claim   claim
	restart int64 // number of the last order that it is newer than
	target  worker.Target
	fault   string // why it cannot even be started; "": it was

	// Of one that is to end:
	left    <-chan struct{} // nil: it is to go on
	now     func()
	aborted bool
}

// drop has a task end, at once or in good order. h.mu is held.
func (h *Herder) drop(t Task, r *running, atOnce bool) {
	if r.left == nil {
		if r.fault != "" {
			r.left, r.now = closedChan, func() {}
		} else {
			r.left, r.now = h.opts.Runner.Drop(t.Connector, t.Task)
		}
		go func() { <-r.left; h.wake() }()
	}
	if atOnce && !r.aborted {
		r.aborted = true
		r.now()
	}
}

var closedChan = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// ended reports whether a task has ended that was to.
func (r *running) ended() bool {
	if r.left == nil {
		return false
	}
	select {
	case <-r.left:
		return true
	default:
		return false
	}
}

// guard ends all tasks at once when the lease has lapsed.
func (h *Herder) guard() {
	held := h.lease.err() == nil
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLease(held)
	if held {
		return
	}
	for t, r := range h.local {
		if !r.aborted {
			h.opts.Logger.Warn("the worker's lease has lapsed: the task is stopped", "connector", t.Connector, "task", t.Task)
			h.drop(t, r, true)
		}
	}
}

// empty waits until nothing runs here any more.
func (h *Herder) empty(ctx context.Context) error {
	for {
		h.guard()
		h.mu.Lock()
		for t, r := range h.local {
			if r.ended() {
				delete(h.local, t)
			}
		}
		n := len(h.local)
		h.mu.Unlock()
		if n == 0 {
			return nil
		}
		if err := pause(ctx, guardEvery); err != nil {
			return err
		}
	}
}

// step brings what runs here, and who has which task, nearer to what they should
// be.
func (h *Herder) step(ctx context.Context) error {
	m, err := h.current()
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.judge.watch(m.members)
	h.mu.Unlock()
	if err := h.expel(ctx, m); err != nil {
		return err
	}
	if h.lease.err() != nil {
		return nil
	}
	start, write := h.arrange(m)
	if len(start) > 0 {
		h.start(m, start)
	}
	if write {
		return h.exchange(ctx)
	}
	return nil
}

// arrange ends what is not to run here any more, and returns what is to be
// started, and whether there are claims to release or to take.
func (h *Herder) arrange(m *model) (start []Task, write bool) {
	want := m.assigned(m.strategy(h.strategies, h.opts.Strategy))
	me, incarnation := h.opts.WorkerID, h.incarnation()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteTasks(m, want)
	for t, r := range h.local {
		c, ok := m.claims[t]
		mine := ok && c.by(me, incarnation) && c.Epoch == r.claim.Epoch
		stays := want[t] == me && m.wanted(t, r.claim.Generation)
		switch {
		case !mine:
			h.drop(t, r, true)
		case !stays:
			h.drop(t, r, false)
		case m.conns[t.Connector].Restarts[t.Task] > r.restart && r.left == nil:
			h.drop(t, r, false)
		}
		if r.ended() && (!mine || stays) { // what is to be released is kept until it is
			delete(h.local, t)
		} else if target := m.conns[t.Connector].Target; r.left == nil && target != r.target {
			r.target = target
			h.opts.Runner.Aim(t.Connector, target)
		}
	}
	for t, c := range m.claims {
		if c.by(me, incarnation) {
			r := h.local[t]
			stays := want[t] == me && m.wanted(t, c.Generation)
			switch {
			case r == nil && stays:
				start = append(start, t)
			case !stays && (r == nil || r.ended()):
				write = true
			}
		}
	}
	for t, id := range want {
		if id == me && !has(m.claims, t) {
			write = true
		}
	}
	slices.SortFunc(start, compareTasks)
	return start, write
}

// start starts tasks that this worker has the claims of.
func (h *Herder) start(m *model, tasks []Task) {
	byName := map[string][]Task{}
	for _, t := range tasks {
		byName[t.Connector] = append(byName[t.Connector], t)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		rec := m.conns[name]
		conf, err := h.confs.get(name, rec)
		grants := map[int]worker.Grant{}
		for _, t := range byName[name] {
			c := m.claims[t]
			grants[t.Task] = worker.Grant{Open: h.open(conf, t, c.Epoch), Generation: c.Generation, Epoch: c.Epoch}
		}
		h.mu.Lock()
		if err == nil {
			err = h.opts.Runner.Take(conf, rec.Target, grants)
		}
		for _, t := range byName[name] {
			r := &running{claim: m.claims[t], restart: rec.Restarts[t.Task], target: rec.Target}
			if err != nil {
				r.fault = err.Error()
				h.opts.Logger.Error("the task cannot be started", "connector", name, "task", t.Task, "error", err)
			}
			h.local[t] = r
		}
		h.mu.Unlock()
	}
}

// open returns how a task's log is opened for one attempt.
func (h *Herder) open(conf *config.Connector, t Task, epoch int64) worker.OpenLog {
	key := taskKey(claimKey, t)
	c := rocketlog.Claim{
		Alive: h.lease.err,
		Holds: func(v offsets.View) error {
			var now claim
			if text := v.Get(key); text != nil {
				if err := json.Unmarshal(text, &now); err != nil {
					return err
				}
			}
			if now.Epoch != epoch {
				return fmt.Errorf("the claim of task %s-%d has epoch %d now, and not %d: %w", t.Connector, t.Task, now.Epoch, epoch, connect.ErrFenced)
			}
			return nil
		},
	}
	if conf != nil && conf.IsSource() {
		c.Source = offsets.SourceKey(t.Connector, t.Task)
	}
	return func(ctx context.Context) (connect.Log, error) { return h.opts.Log.Session(ctx, c) }
}

// exchange releases the claims of what has ended here, and takes those that this
// worker should have and nobody has.
func (h *Herder) exchange(ctx context.Context) error {
	h.mu.Lock()
	busy := map[Task]bool{} // what must not be released yet
	for t, r := range h.local {
		busy[t] = !r.ended()
	}
	h.mu.Unlock()
	var released []Task
	err := h.update(ctx, func(m *model) ([]offsets.Entry, error) {
		var list []offsets.Entry
		list, released = h.decide(m, busy)
		return list, nil
	})
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range released {
		delete(h.local, t)
	}
	return nil
}

// decide returns what exchange writes. It is asked with all that comes before.
func (h *Herder) decide(m *model, busy map[Task]bool) (list []offsets.Entry, released []Task) {
	me, incarnation := h.opts.WorkerID, h.incarnation()
	if m.members[me].Incarnation != incarnation || h.lease.err() != nil {
		return nil, nil
	}
	want := m.assigned(m.strategy(h.strategies, h.opts.Strategy))
	gone := map[Task]bool{}
	for t, c := range m.claims {
		if c.by(me, incarnation) && !busy[t] && (want[t] != me || !m.wanted(t, c.Generation)) {
			gone[t] = true
			released = append(released, t)
			list = append(list, offsets.Entry{Key: taskKey(claimKey, t)}, offsets.Entry{Key: taskKey(statusKey, t)})
		}
	}
	// No task of a connector begins while one runs by an older configuration.
	older := map[string]bool{}
	for t, c := range m.claims {
		older[t.Connector] = older[t.Connector] || !gone[t] && c.Generation != m.conns[t.Connector].Generation
	}
	for t, id := range want {
		if id != me || older[t.Connector] || has(m.claims, t) && !gone[t] || busy[t] {
			continue
		}
		list = append(list, encode(taskKey(claimKey, t), claim{me, incarnation, m.place, m.conns[t.Connector].Generation}))
	}
	return list, released
}
