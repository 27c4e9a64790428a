package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// known returns what is known of the state, once this worker is a member.
func (h *Herder) known() (*model, error) {
	if !h.joined.Load() {
		return nil, herder.ErrStarting
	}
	return h.current()
}

// find returns a connector; unknown is the text for one that is not there.
func (m *model) find(name, unknown string) (record, error) {
	r, ok := m.conns[name]
	if !ok {
		return r, herder.Errorf(herder.NotFound, unknown, name)
	}
	return r, nil
}

// List implements herder.Connectors.
func (h *Herder) List(context.Context) ([]string, error) {
	m, err := h.known()
	if err != nil {
		return nil, err
	}
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(m.conns)))), nil
}

// Info implements herder.Connectors.
func (h *Herder) Info(_ context.Context, name string) (herder.Info, error) {
	m, err := h.known()
	if err != nil {
		return herder.Info{}, err
	}
	r, err := m.find(name, herder.NotFoundText)
	if err != nil {
		return herder.Info{}, err
	}
	return h.info(name, r), nil
}

func (h *Herder) info(name string, r record) herder.Info {
	shown := config.Shown(h.opts.Registry, &config.File{Name: name, Config: r.Config})
	shown["name"] = name
	info := herder.Info{Name: name, Config: shown, Tasks: []herder.TaskID{}, Type: r.Type}
	if r.Target == worker.TargetStopped {
		return info
	}
	for i := range r.Tasks {
		info.Tasks = append(info.Tasks, herder.TaskID{Connector: name, Task: i})
	}
	return info
}

// Status implements herder.Connectors. A task whose owner has not told yet what
// it does is UNASSIGNED.
func (h *Herder) Status(_ context.Context, name string) (herder.State, error) {
	m, err := h.known()
	if err != nil {
		return herder.State{}, err
	}
	r, err := m.find(name, herder.NoStatusText)
	if err != nil {
		return herder.State{}, err
	}
	return h.state(m, name, r), nil
}

func (h *Herder) state(m *model, name string, r record) herder.State {
	st := herder.State{Name: name, Type: r.Type, Tasks: []herder.TaskState{},
		Connector: herder.ConnectorState{State: worker.State(r.Target), Worker: h.opts.WorkerID}}
	if r.Target == worker.TargetStopped {
		return st
	}
	for i := range r.Tasks {
		t := Task{Connector: name, Task: i}
		ts := herder.TaskState{ID: i, State: worker.StateUnassigned}
		if c, ok := m.claims[t]; ok {
			ts.Worker = c.Worker
			if s, ok := m.statuses[t]; ok && s.Epoch == c.Epoch && c.Generation == r.Generation {
				ts.State, ts.Trace = s.State, s.Trace
				if s.Restart < r.Restarts[i] {
					ts.State, ts.Trace = worker.StateRestarting, ""
				}
			}
		}
		if i == 0 && ts.Worker != "" {
			st.Connector.Worker = ts.Worker
		}
		st.Tasks = append(st.Tasks, ts)
	}
	return st
}

// checked returns the record of a configuration that was sent in place of kept.
func (h *Herder) checked(name string, kept, sent map[string]string) (record, error) {
	raw, err := herder.Cleaned(name, kept, sent)
	if err != nil {
		return record{}, err
	}
	conf, err := herder.Build(h.opts.Registry, name, raw)
	if err != nil {
		return record{}, err
	}
	r := record{Config: raw, Type: "sink"}
	if conf.IsSource() {
		r.Type = "source"
	}
	if r.Tasks, err = h.opts.Runner.Count(conf); err != nil { // its work cannot be split
		return record{}, herder.Errorf(herder.Invalid, "%v", err)
	}
	return r, nil
}

// Create implements herder.Connectors.
func (h *Herder) Create(ctx context.Context, name string, raw map[string]string, target worker.Target) (herder.Info, error) {
	m, err := h.known()
	if err != nil {
		return herder.Info{}, err
	}
	exists := herder.Errorf(herder.Exists, "Connector %s already exists", name)
	if has(m.conns, name) {
		return herder.Info{}, exists
	}
	r, err := h.checked(name, nil, raw)
	if err != nil {
		return herder.Info{}, err
	}
	r.Target = target
	err = h.update(ctx, func(m *model) ([]offsets.Entry, error) {
		if has(m.conns, name) {
			return nil, exists
		}
		r.Generation = m.place
		return []offsets.Entry{encode(connectorKey+name, r)}, nil
	})
	return h.info(name, r), err
}

// Configure implements herder.Connectors.
func (h *Herder) Configure(ctx context.Context, name string, raw map[string]string) (herder.Info, bool, error) {
	m, err := h.known()
	if err != nil {
		return herder.Info{}, false, err
	}
	if !has(m.conns, name) {
		info, err := h.Create(ctx, name, raw, worker.TargetRunning)
		return info, err == nil, err
	}
	info, err := h.change(ctx, name, func(map[string]string) map[string]string { return raw })
	return info, false, err
}

// Patch implements herder.Connectors.
func (h *Herder) Patch(ctx context.Context, name string, changes map[string]*string) (herder.Info, error) {
	for k := range changes { // a key that is shown in part
		if strings.Contains(k, connect.Hidden) {
			return herder.Info{}, herder.Errorf(herder.Invalid, "%s: a key that holds a secret cannot be changed alone; send the whole configuration", k)
		}
	}
	return h.change(ctx, name, func(kept map[string]string) map[string]string { return herder.Merge(kept, changes) })
}

// change gives a connector the configuration that edit makes of the one it has.
// When another changes it at the same time, it is made again.
func (h *Herder) change(ctx context.Context, name string, edit func(map[string]string) map[string]string) (herder.Info, error) {
	for {
		m, err := h.known()
		if err != nil {
			return herder.Info{}, err
		}
		old, err := m.find(name, herder.NotFoundText)
		if err != nil {
			return herder.Info{}, err
		}
		next, err := h.checked(name, old.Config, edit(maps.Clone(old.Config)))
		if err != nil {
			return herder.Info{}, err
		}
		if maps.Equal(next.Config, old.Config) {
			return h.info(name, old), nil // the tasks go on
		}
		if next.Type != old.Type {
			return herder.Info{}, herder.Errorf(herder.Invalid, "connector.class: %s is a %s and cannot become a %s; delete it, or give the other one another name", name, old.Type, next.Type)
		}
		written := false
		err = h.update(ctx, func(m *model) ([]offsets.Entry, error) {
			now, err := m.find(name, herder.NotFoundText)
			if written = err == nil && now.Generation == old.Generation; !written {
				return nil, err
			}
			next.Target, next.Generation, next.Restarts = now.Target, m.place, nil
			return []offsets.Entry{encode(connectorKey+name, next)}, nil
		})
		if err != nil || written {
			return h.info(name, next), err
		}
	}
}

// Delete implements herder.Connectors.
func (h *Herder) Delete(ctx context.Context, name string) error {
	err := h.edit(ctx, name, herder.NotFoundText, func(_ *model, r *record) error { *r = record{}; return nil })
	if err != nil {
		return err
	}
	return h.opts.Runner.ResetTopics(ctx, name)
}

// edit changes a connector's record; one without a target is deleted.
func (h *Herder) edit(ctx context.Context, name, unknown string, edit func(m *model, r *record) error) error {
	if _, err := h.known(); err != nil {
		return err
	}
	return h.update(ctx, func(m *model) ([]offsets.Entry, error) {
		r, err := m.find(name, unknown)
		if err != nil {
			return nil, err
		}
		if err := edit(m, &r); err != nil {
			return nil, err
		}
		if r.Target == "" {
			return []offsets.Entry{{Key: connectorKey + name}}, nil
		}
		return []offsets.Entry{encode(connectorKey+name, r)}, nil
	})
}

// Aim implements herder.Control.
func (h *Herder) Aim(ctx context.Context, name string, target worker.Target) error {
	return h.edit(ctx, name, herder.UnknownText, func(_ *model, r *record) error { r.Target = target; return nil })
}

// Restart implements herder.Control. A connector has nothing of its own that
// runs: without tasks nothing is restarted.
func (h *Herder) Restart(ctx context.Context, name string, tasks, failed bool) (herder.State, error) {
	const unknown = "Unknown connector: %s"
	if !tasks {
		m, err := h.known()
		if err != nil {
			return herder.State{}, err
		}
		r, err := m.find(name, unknown)
		if err != nil {
			return herder.State{}, err
		}
		return h.state(m, name, r), nil
	}
	var st herder.State
	err := h.edit(ctx, name, unknown, func(m *model, r *record) error {
		h.order(m, name, r, func(t herder.TaskState) bool { return !failed || t.State == worker.StateFailed })
		st = h.state(m, name, *r)
		return nil
	})
	return st, err
}

// RestartTask implements herder.Control.
func (h *Herder) RestartTask(ctx context.Context, name string, task int) error {
	return h.edit(ctx, name, "Unknown connector: %s", func(m *model, r *record) error {
		if task < 0 || task >= r.Tasks || r.Target == worker.TargetStopped {
			return herder.Errorf(herder.NotFound, "Unknown task: %s", fmt.Sprintf("%s-%d", name, task))
		}
		h.order(m, name, r, func(t herder.TaskState) bool { return t.ID == task })
		return nil
	})
}

// order has tasks that pick chooses started anew.
func (h *Herder) order(m *model, name string, r *record, pick func(herder.TaskState) bool) {
	if r.Target != worker.TargetRunning {
		return
	}
	numbers := maps.Clone(r.Restarts)
	if numbers == nil {
		numbers = map[int]int64{}
	}
	for _, t := range h.state(m, name, *r).Tasks {
		if pick(t) {
			numbers[t.ID] = m.place
		}
	}
	r.Restarts = numbers
}
