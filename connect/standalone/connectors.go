package standalone

import (
	"context"
	"encoding/json"
	"errors"
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

// get returns a connector.
func (h *Herder) get(name, unknown string) (*connector, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.find(name, unknown)
}

// find is get with h.mu or h.changes held. unknown is the text for one that is not there.
func (h *Herder) find(name, unknown string) (*connector, error) {
	if !h.loaded {
		return nil, herder.ErrStarting
	}
	c := h.conns[name]
	if c == nil {
		return nil, herder.Errorf(herder.NotFound, unknown, name)
	}
	return c, nil
}

// put makes c the connector of its name. h.changes is held.
func (h *Herder) put(c *connector) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[c.name] = c
}

// drop forgets a connector. h.changes is held.
func (h *Herder) drop(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, name)
}

// List implements herder.Connectors.
func (h *Herder) List(context.Context) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.loaded {
		return nil, herder.ErrStarting
	}
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(h.conns)))), nil
}

// Info implements herder.Connectors.
func (h *Herder) Info(_ context.Context, name string) (herder.Info, error) {
	c, err := h.get(name, herder.NotFoundText)
	if err != nil {
		return herder.Info{}, err
	}
	return h.info(c), nil
}

func (h *Herder) info(c *connector) herder.Info {
	shown := config.Shown(h.opts.Registry, &config.File{Name: c.name, Config: c.raw})
	shown["name"] = c.name
	info := herder.Info{Name: c.name, Config: shown, Tasks: []herder.TaskID{}, Type: c.kind()}
	if c.target == worker.TargetStopped {
		return info
	}
	for _, t := range h.opts.Worker.Tasks(c.name) {
		info.Tasks = append(info.Tasks, herder.TaskID{Connector: c.name, Task: t.ID})
	}
	return info
}

func (c *connector) kind() string {
	switch {
	case c.conf == nil:
		return "unknown"
	case c.conf.IsSource():
		return "source"
	}
	return "sink"
}

// Status implements herder.Connectors.
func (h *Herder) Status(_ context.Context, name string) (herder.State, error) {
	c, err := h.get(name, herder.NoStatusText)
	if err != nil {
		return herder.State{}, err
	}
	return h.state(c), nil
}

func (h *Herder) state(c *connector) herder.State {
	id := h.opts.WorkerID()
	st := herder.State{Name: c.name, Connector: herder.ConnectorState{State: worker.State(c.target), Worker: id}, Tasks: []herder.TaskState{}, Type: c.kind()}
	if c.conf == nil {
		st.Connector.State, st.Connector.Trace = worker.StateFailed, c.fault
		return st
	}
	if c.target == worker.TargetStopped {
		return st
	}
	for _, t := range h.opts.Worker.Tasks(c.name) {
		st.Tasks = append(st.Tasks, herder.TaskState{ID: t.ID, State: t.State, Worker: id, Trace: t.Trace})
	}
	return st
}

// Create implements herder.Connectors.
func (h *Herder) Create(ctx context.Context, name string, raw map[string]string, target worker.Target) (herder.Info, error) {
	h.changes.Lock()
	defer h.changes.Unlock()
	if !h.loaded {
		return herder.Info{}, herder.ErrStarting
	}
	if h.conns[name] != nil {
		return herder.Info{}, herder.Errorf(herder.Exists, "Connector %s already exists", name)
	}
	return h.add(ctx, name, raw, target)
}

// add makes a connector. h.changes is held.
func (h *Herder) add(ctx context.Context, name string, raw map[string]string, target worker.Target) (herder.Info, error) {
	raw, err := herder.Cleaned(name, nil, raw)
	if err != nil {
		return herder.Info{}, err
	}
	c := &connector{name: name, raw: raw, target: target}
	if c.conf, err = herder.Build(h.opts.Registry, name, raw); err != nil {
		return herder.Info{}, err
	}
	if err := h.persist(ctx, c); err != nil {
		return herder.Info{}, err
	}
	if err := h.opts.Worker.Add(c.conf, target); err != nil { // its work cannot be split
		return herder.Info{}, errors.Join(invalid(err), h.save(ctx, offsets.Entry{Key: connectorKey + name + configKey}, offsets.Entry{Key: connectorKey + name + targetKey}))
	}
	h.put(c)
	return h.info(c), nil
}

func invalid(err error) error { return herder.Errorf(herder.Invalid, "%v", err) }

// persist keeps a connector.
func (h *Herder) persist(ctx context.Context, c *connector) error {
	entries := []offsets.Entry{{Key: connectorKey + c.name + targetKey}}
	if c.target != worker.TargetRunning {
		entries[0].Pos = offsets.Position(c.target)
	}
	if c.path == "" {
		text, err := json.Marshal(c.raw)
		if err != nil {
			return err
		}
		entries = append(entries, offsets.Entry{Key: connectorKey + c.name + configKey, Pos: text})
	}
	return h.save(ctx, entries...)
}

// Configure implements herder.Connectors.
func (h *Herder) Configure(ctx context.Context, name string, raw map[string]string) (herder.Info, bool, error) {
	h.changes.Lock()
	defer h.changes.Unlock()
	if !h.loaded {
		return herder.Info{}, false, herder.ErrStarting
	}
	c := h.conns[name]
	if c == nil {
		info, err := h.add(ctx, name, raw, worker.TargetRunning)
		return info, err == nil, err
	}
	info, err := h.change(ctx, c, raw)
	return info, false, err
}

// Patch implements herder.Connectors.
func (h *Herder) Patch(ctx context.Context, name string, changes map[string]*string) (herder.Info, error) {
	h.changes.Lock()
	defer h.changes.Unlock()
	c, err := h.find(name, herder.NotFoundText)
	if err != nil {
		return herder.Info{}, err
	}
	own := maps.Clone(changes)
	for k := range own { // a key that is shown in part
		if strings.Contains(k, connect.Hidden) {
			return herder.Info{}, herder.Errorf(herder.Invalid, "%s: a key that holds a secret cannot be changed alone; send the whole configuration", k)
		}
	}
	info, err := h.change(ctx, c, herder.Merge(c.raw, own))
	return info, err
}

// change gives c another configuration. h.changes is held.
func (h *Herder) change(ctx context.Context, c *connector, raw map[string]string) (herder.Info, error) {
	if c.path != "" {
		return herder.Info{}, c.governed("changed")
	}
	raw, err := herder.Cleaned(c.name, c.raw, raw)
	if err != nil {
		return herder.Info{}, err
	}
	next := &connector{name: c.name, raw: raw, target: c.target}
	if next.conf, err = herder.Build(h.opts.Registry, c.name, raw); err != nil {
		return herder.Info{}, err
	}
	if c.conf != nil && maps.Equal(c.raw, raw) {
		return h.info(c), nil // the tasks go on
	}
	if c.conf != nil && c.conf.IsSource() != next.conf.IsSource() {
		return herder.Info{}, herder.Errorf(herder.Invalid, "connector.class: %s is a %s and cannot become a %s; delete it, or give the other one another name", c.name, c.kind(), next.kind())
	}
	if err := h.persist(ctx, next); err != nil {
		return herder.Info{}, err
	}
	h.put(next)
	if err := h.opts.Worker.Change(next.conf, next.target); err != nil {
		h.put(c)
		return herder.Info{}, errors.Join(invalid(err), h.persist(ctx, c))
	}
	return h.info(next), nil
}

// governed is the error for what only the file may do.
func (c *connector) governed(done string) error {
	return herder.Errorf(herder.Forbidden, "Connector %s is given by the file %s and cannot be %s here; change the file and start again", c.name, c.path, done)
}

// Delete implements herder.Connectors.
func (h *Herder) Delete(ctx context.Context, name string) error {
	h.changes.Lock()
	defer h.changes.Unlock()
	c, err := h.find(name, herder.NotFoundText)
	if err != nil {
		return err
	}
	if c.path != "" {
		return c.governed("deleted")
	}
	gone := []offsets.Entry{{Key: connectorKey + name + configKey}, {Key: connectorKey + name + targetKey}}
	if err := h.save(ctx, gone...); err != nil {
		return err
	}
	h.drop(name)
	h.opts.Worker.Remove(name)
	return h.opts.Worker.ResetTopics(ctx, name)
}

// Aim implements herder.Control.
func (h *Herder) Aim(ctx context.Context, name string, target worker.Target) error {
	h.changes.Lock()
	defer h.changes.Unlock()
	c, err := h.find(name, herder.UnknownText)
	if err != nil {
		return err
	}
	if c.target == target {
		return nil
	}
	next := *c
	next.target = target
	if err := h.persist(ctx, &next); err != nil {
		return err
	}
	h.put(&next)
	h.opts.Worker.Aim(name, target)
	return nil
}

// Restart implements herder.Control. A connector has nothing of its own that
// runs: without tasks only one that could not be built is restarted.
func (h *Herder) Restart(_ context.Context, name string, tasks, failed bool) (herder.State, error) {
	h.changes.Lock()
	defer h.changes.Unlock()
	c, err := h.find(name, "Unknown connector: %s")
	if err != nil {
		return herder.State{}, err
	}
	if c.conf == nil {
		return h.revive(c)
	}
	if !tasks || c.target != worker.TargetRunning {
		return h.state(c), nil
	}
	return h.restart(c, func(t worker.TaskStatus) bool { return !failed || t.State == worker.StateFailed })
}

// restart starts tasks of c anew, with what its references refer to by now.
func (h *Herder) restart(c *connector, pick func(worker.TaskStatus) bool) (herder.State, error) {
	next := *c
	var err error
	if next.conf, err = herder.Build(h.opts.Registry, c.name, c.raw); err != nil {
		return herder.State{}, err
	}
	ids, err := h.opts.Worker.Restart(next.conf, c.target, pick)
	if err != nil {
		return herder.State{}, invalid(err)
	}
	h.put(&next)
	st := h.state(&next)
	for i := range st.Tasks {
		if slices.Contains(ids, st.Tasks[i].ID) {
			st.Tasks[i].State, st.Tasks[i].Trace = worker.StateRestarting, ""
		}
	}
	return st, nil
}

// revive takes up a connector whose configuration was not valid.
func (h *Herder) revive(c *connector) (herder.State, error) {
	next := *c
	var err error
	if next.conf, err = herder.Build(h.opts.Registry, c.name, c.raw); err != nil {
		return herder.State{}, err
	}
	next.fault = ""
	if err := h.opts.Worker.Add(next.conf, next.target); err != nil {
		return herder.State{}, invalid(err)
	}
	h.put(&next)
	return h.state(&next), nil
}

// RestartTask implements herder.Control.
func (h *Herder) RestartTask(_ context.Context, name string, task int) error {
	h.changes.Lock()
	defer h.changes.Unlock()
	c, err := h.find(name, "Unknown connector: %s")
	if err != nil {
		return err
	}
	tasks := h.opts.Worker.Tasks(name)
	if !slices.ContainsFunc(tasks, func(t worker.TaskStatus) bool { return t.ID == task }) || c.target == worker.TargetStopped {
		return herder.Errorf(herder.NotFound, "Unknown task: %s", fmt.Sprintf("%s-%d", name, task))
	}
	if c.target != worker.TargetRunning {
		return nil
	}
	_, err = h.restart(c, func(t worker.TaskStatus) bool { return t.ID == task })
	return err
}
