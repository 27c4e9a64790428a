package standalone

import (
	"context"
	"time"

	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/worker"
)

// Offsets implements herder.Offsets.
func (h *Herder) Offsets(ctx context.Context, name string) ([]herder.Offset, error) {
	c, err := h.get(name, herder.NotFoundText)
	if err != nil {
		return nil, err
	}
	if c.conf == nil {
		return nil, herder.Errorf(herder.Conflict, herder.FaultyText, c.name, c.fault)
	}
	return herder.ReadOffsets(ctx, h.opts.Worker, c.conf)
}

// OffsetsAt implements herder.Offsets.
func (h *Herder) OffsetsAt(ctx context.Context, name string, at time.Time) ([]herder.Offset, error) {
	c, err := h.get(name, herder.NotFoundText)
	if err != nil {
		return nil, err
	}
	if c.conf == nil {
		return nil, herder.Errorf(herder.Conflict, herder.FaultyText, c.name, c.fault)
	}
	if c.conf.IsSource() {
		h.changes.Lock()
		defer h.changes.Unlock()
		if c, err = h.atRest(ctx, name); err != nil {
			return nil, err
		}
	}
	return herder.FindOffsets(ctx, h.opts.Worker, c.conf, at)
}

// atRest returns a connector that is stopped, once its tasks have ended. h.changes
// is held.
func (h *Herder) atRest(ctx context.Context, name string) (*connector, error) {
	c, err := h.find(name, herder.NotFoundText)
	if err != nil {
		return nil, err
	}
	if c.target != worker.TargetStopped {
		return nil, herder.Errorf(herder.Invalid, herder.NotStoppedText, name)
	}
	if c.conf == nil {
		return nil, herder.Errorf(herder.Conflict, herder.FaultyText, c.name, c.fault)
	}
	return c, h.opts.Worker.Settle(ctx, name)
}

// AlterOffsets implements herder.Offsets.
func (h *Herder) AlterOffsets(ctx context.Context, name string, to []herder.Offset) error {
	h.changes.Lock()
	defer h.changes.Unlock()
	c, err := h.atRest(ctx, name)
	if err != nil {
		return err
	}
	return herder.WriteOffsets(ctx, h.opts.Worker, c.conf, to)
}

// ResetOffsets implements herder.Offsets.
func (h *Herder) ResetOffsets(ctx context.Context, name string) error {
	h.changes.Lock()
	defer h.changes.Unlock()
	c, err := h.atRest(ctx, name)
	if err != nil {
		return err
	}
	return herder.ForgetOffsets(ctx, h.opts.Worker, c.conf)
}

// Topics implements herder.Offsets.
func (h *Herder) Topics(ctx context.Context, name string) ([]string, error) {
	if _, err := h.get(name, herder.NotFoundText); err != nil {
		return nil, err
	}
	return h.opts.Worker.Topics(ctx, name)
}

// ResetTopics implements herder.Offsets.
func (h *Herder) ResetTopics(ctx context.Context, name string) error {
	h.changes.Lock()
	defer h.changes.Unlock()
	if _, err := h.find(name, herder.NotFoundText); err != nil {
		return err
	}
	return h.opts.Worker.ResetTopics(ctx, name)
}
