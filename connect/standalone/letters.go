package standalone

import (
	"context"

	"github.com/towline/towline/connect/herder"
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
