package standalone

import (
	"context"

	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/worker"
)

// DeadLetters implements herder.Letters.
func (h *Herder) DeadLetters(_ context.Context, name string) (topic string, err error) {
	c, err := h.get(name, herder.NotFoundText)
	if err != nil {
		return "", err
	}
	if c.conf == nil {
		return "", herder.Errorf(herder.Conflict, herder.FaultyText, c.name, c.fault)
	}
	return c.conf.Config.String("errors.deadletterqueue.topic.name"), nil
}

// Retry implements herder.Letters.
func (h *Herder) Retry(ctx context.Context, name string, ids []int64, force bool) ([]worker.Retried, error) {
	c, err := h.get(name, herder.NotFoundText)
	switch {
	case err != nil:
		return nil, err
	case c.conf == nil:
		return nil, herder.Errorf(herder.Conflict, herder.FaultyText, c.name, c.fault)
	}
	return herder.Retry(ctx, h.opts.Worker, c.conf, c.target, ids, force)
}
