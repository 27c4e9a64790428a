package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/rocketlog"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// built returns a connector and its configuration.
func (h *Herder) built(name string) (record, *config.Connector, error) {
	m, err := h.known()
	if err != nil {
		return record{}, nil, err
	}
	r, err := m.find(name, herder.NotFoundText)
	if err != nil {
		return r, nil, err
	}
	c, err := h.confs.get(name, r)
	if err != nil {
		return r, nil, herder.Errorf(herder.Conflict, herder.FaultyText, name, err.Error())
	}
	return r, c, nil
}

// Offsets implements herder.Offsets.
func (h *Herder) Offsets(ctx context.Context, name string) ([]herder.Offset, error) {
	_, c, err := h.built(name)
	if err != nil {
		return nil, err
	}
	w, err := h.opts.Runner.Aside(c, h.opts.Log)
	if err != nil {
		return nil, err
	}
	return herder.ReadOffsets(ctx, w, c)
}

// OffsetsAt implements herder.Offsets.
func (h *Herder) OffsetsAt(ctx context.Context, name string, at time.Time) (list []herder.Offset, err error) {
	_, c, err := h.built(name)
	if err != nil {
		return nil, err
	}
	if c.IsSource() {
		err = h.atRest(ctx, name, func(w *worker.Worker, c *config.Connector) error {
			list, err = herder.FindOffsets(ctx, w, c, at)
			return err
		})
		return list, err
	}
	w, err := h.opts.Runner.Aside(c, h.opts.Log)
	if err != nil {
		return nil, err
	}
	return herder.FindOffsets(ctx, w, c, at)
}

// atRest calls f with a worker whose log can be written to as long as a connector
// is stopped and nobody runs any of its tasks.
func (h *Herder) atRest(ctx context.Context, name string, f func(w *worker.Worker, c *config.Connector) error) error {
	r, c, err := h.built(name)
	if err != nil {
		return err
	}
	if r.Target != worker.TargetStopped {
		return herder.Errorf(herder.Invalid, herder.NotStoppedText, name)
	}
	if err := h.settle(ctx, name); err != nil {
		return err
	}
	log, err := h.opts.Log.Session(ctx, rocketlog.Claim{Alive: func() error { return nil }, Holds: func(v offsets.View) error { return resting(v, name, r.Generation) }})
	if err != nil {
		return err
	}
	w, err := h.opts.Runner.Aside(c, log)
	if err != nil {
		return err
	}
	return f(w, c)
}

// resting returns an error if a connector may run.
func resting(v offsets.View, name string, generation int64) error {
	var r record
	if text := v.Get(connectorKey + name); text != nil {
		if err := json.Unmarshal(text, &r); err != nil {
			return err
		}
	}
	if r.Target != worker.TargetStopped || r.Generation != generation {
		return herder.Errorf(herder.Conflict, "Connector %s has been changed meanwhile", name)
	}
	for _, e := range v.Range(claimKey + name + "/") {
		if t, err := parseTask(e.Key[len(claimKey):]); err != nil || t.Connector == name {
			return herder.Errorf(herder.Conflict, "Task %s still runs", strings.TrimPrefix(e.Key, claimKey))
		}
	}
	return nil
}

// settle waits until nobody runs a task of a connector.
func (h *Herder) settle(ctx context.Context, name string) error {
	for {
		changed := h.shared.Changed()
		m, err := h.current()
		if err != nil {
			return err
		}
		busy := ""
		for t, c := range m.claims {
			if t.Connector == name {
				busy = c.Worker
			}
		}
		if busy == "" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("a task of connector %s still runs at %s: %w", name, busy, ctx.Err())
		}
	}
}

// AlterOffsets implements herder.Offsets.
func (h *Herder) AlterOffsets(ctx context.Context, name string, to []herder.Offset) error {
	return h.atRest(ctx, name, func(w *worker.Worker, c *config.Connector) error { return herder.WriteOffsets(ctx, w, c, to) })
}

// ResetOffsets implements herder.Offsets.
func (h *Herder) ResetOffsets(ctx context.Context, name string) error {
	return h.atRest(ctx, name, func(w *worker.Worker, c *config.Connector) error { return herder.ForgetOffsets(ctx, w, c) })
}

// Topics implements herder.Offsets.
func (h *Herder) Topics(ctx context.Context, name string) ([]string, error) {
	m, err := h.known()
	if err != nil {
		return nil, err
	}
	if _, err := m.find(name, herder.NotFoundText); err != nil {
		return nil, err
	}
	return h.opts.Runner.Topics(ctx, name)
}

// ResetTopics implements herder.Offsets.
func (h *Herder) ResetTopics(ctx context.Context, name string) error {
	m, err := h.known()
	if err != nil {
		return err
	}
	if _, err := m.find(name, herder.NotFoundText); err != nil {
		return err
	}
	return h.opts.Runner.ResetTopics(ctx, name)
}
