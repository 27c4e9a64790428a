package cluster

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/towline/towline/offsets"
)

// level is from which level on all workers log what a logger says. It counts for
// those that are there when it is written: who starts goes by its own
// configuration, as in Kafka Connect.
type level struct {
	Level string `json:"level"`
	// Number is the place at which it was written.
	Number int64 `json:"number"`
}

// SetLevel implements herder.Herder. That of the worker that is asked has changed
// when it returns; those of the others change as soon as they hear of it.
func (h *Herder) SetLevel(ctx context.Context, logger, name string) error {
	if _, err := h.known(); err != nil {
		return err
	}
	err := h.update(ctx, func(m *model) ([]offsets.Entry, error) {
		return []offsets.Entry{encode(levelKey+logger, level{name, m.place})}, nil
	})
	if err != nil {
		return err
	}
	return h.takeLevels()
}

// followLevels gives loggers the levels that workers were asked for.
func (h *Herder) followLevels(ctx context.Context) {
	for ctx.Err() == nil {
		changed := h.shared.Changed()
		if err := h.takeLevels(); err != nil {
			h.opts.Logger.Warn("the levels of loggers could not be changed", "error", err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// skipLevels has levels that were written before now count for others alone.
func (h *Herder) skipLevels() error {
	m, err := h.current()
	if err == nil {
		h.levelling.Lock()
		defer h.levelling.Unlock()
		h.nextLevel = m.place
	}
	return err
}

// takeLevels gives loggers here the levels that were written since the last call,
// in their order.
func (h *Herder) takeLevels() error {
	h.levelling.Lock()
	defer h.levelling.Unlock()
	m, err := h.current()
	if err != nil {
		return err
	}
	byPlace := func(a, b string) int { return cmp.Compare(m.levels[a].Number, m.levels[b].Number) }
	for _, name := range slices.SortedFunc(maps.Keys(m.levels), byPlace) {
		l := m.levels[name]
		if l.Number < h.nextLevel {
			continue
		}
		h.nextLevel = l.Number + 1
		if _, err := h.opts.Levels.Set(name, l.Level); err != nil {
			return err // a newer version's: the next call takes those behind it
		}
	}
	return nil
}
