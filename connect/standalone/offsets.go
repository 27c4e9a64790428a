package standalone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// Kafka Connect's names of the parts of a sink's offset.
const (
	topicField     = "kafka_topic"
	partitionField = "kafka_partition"
	offsetField    = "kafka_offset"
)

// Offsets implements herder.Offsets.
func (h *Herder) Offsets(ctx context.Context, name string) ([]herder.Offset, error) {
	c, err := h.get(name, notFound)
	if err != nil {
		return nil, err
	}
	return h.offsets(ctx, c)
}

func (h *Herder) offsets(ctx context.Context, c *connector) ([]herder.Offset, error) {
	list := []herder.Offset{}
	if c.conf == nil {
		return nil, herder.Errorf(herder.Conflict, "Connector %s cannot be looked into: %s", c.name, c.fault)
	}
	if c.conf.IsSource() {
		places, err := h.opts.Worker.Places(ctx, c.name)
		for _, p := range places {
			list = append(list, herder.Offset{Partition: p.In, Offset: p.At})
		}
		return list, err
	}
	marks, err := h.opts.Worker.Marks(ctx, c.name)
	for _, m := range marks {
		list = append(list, herder.Offset{
			Partition: map[string]any{topicField: m.Topic, partitionField: m.Partition},
			Offset:    map[string]any{offsetField: m.Offset},
		})
	}
	return list, err
}

// atRest returns a connector that is stopped, once its tasks have ended. h.changes
// is held.
func (h *Herder) atRest(ctx context.Context, name string) (*connector, error) {
	c, err := h.find(name, notFound)
	if err != nil {
		return nil, err
	}
	if c.target != worker.TargetStopped {
		return nil, herder.Errorf(herder.Invalid, "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector "+
			"by issuing a 'PUT' request to the '/connectors/%s/stop' endpoint", name)
	}
	if c.conf == nil {
		return nil, herder.Errorf(herder.Conflict, "Connector %s cannot be looked into: %s", c.name, c.fault)
	}
	return c, h.opts.Worker.Settle(ctx, name)
}

// AlterOffsets implements herder.Offsets. Offsets of a sink can be set to any
// message that is in its topics; a source's position can only be forgotten: the
// shapes of its tables are known as of that position alone.
func (h *Herder) AlterOffsets(ctx context.Context, name string, to []herder.Offset) error {
	h.changes.Lock()
	defer h.changes.Unlock()
	c, err := h.atRest(ctx, name)
	if err != nil {
		return err
	}
	if c.conf.IsSource() {
		return h.alterSource(ctx, c, to)
	}
	marks := make([]worker.Mark, len(to))
	for i, o := range to {
		if marks[i], err = h.mark(ctx, o); err != nil {
			return err
		}
	}
	return asFault(h.opts.Worker.SetMarks(ctx, name, marks))
}

// asFault returns err as one of the caller, if it is.
func asFault(err error) error {
	if errors.Is(err, worker.ErrOffsets) {
		return invalid(err)
	}
	return err
}

// mark reads one offset of a sink; without an offset it is the first there is.
func (h *Herder) mark(ctx context.Context, o herder.Offset) (worker.Mark, error) {
	m := worker.Mark{}
	topic, ok := o.Partition[topicField].(string)
	num, err := whole(o.Partition[partitionField], math.MaxInt32)
	if !ok || err != nil || len(o.Partition) != 2 {
		return m, herder.Errorf(herder.Invalid, `the partition of a sink's offset is {"%s": "name", "%s": 0}, and not %v`, topicField, partitionField, o.Partition)
	}
	m.Topic, m.Partition = topic, int32(num)
	if o.Offset == nil {
		first, _, err := h.opts.Worker.Log().Bounds(ctx, topic, m.Partition)
		if err != nil {
			return m, invalid(err)
		}
		m.Mark = offsets.Mark{Offset: first}
		return m, nil
	}
	at, err := whole(o.Offset[offsetField], math.MaxInt64)
	if err != nil || len(o.Offset) != 1 {
		return m, herder.Errorf(herder.Invalid, `the offset of a sink is {"%s": 0}, and not %v`, offsetField, o.Offset)
	}
	m.Mark = offsets.Mark{Offset: at}
	return m, nil
}

// whole returns a number of JSON that is a whole one up to a limit.
func whole(v any, limit int64) (int64, error) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string: // some clients send numbers so
		text = v
	default:
		text = fmt.Sprint(v)
	}
	n, err := json.Number(strings.TrimSpace(text)).Int64()
	if err == nil && (n < 0 || n > limit) {
		err = errors.New("out of range")
	}
	return n, err
}

func (h *Herder) alterSource(ctx context.Context, c *connector, to []herder.Offset) error {
	have, err := h.offsets(ctx, c)
	if err != nil {
		return err
	}
	reset := false
	for _, o := range to {
		at := slices.IndexFunc(have, func(own herder.Offset) bool { return text(own.Partition) == text(o.Partition) })
		switch {
		case at < 0:
			return herder.Errorf(herder.Invalid, "the source has no partition %s; GET shows those that it has", text(o.Partition))
		case o.Offset == nil:
			reset = true
		case text(o.Offset) != text(have[at].Offset): // else it is there already
			return herder.Errorf(herder.Invalid, "the offset of a source cannot be set to a place, since the shapes of its tables are known as of its own place alone; "+
				"with null it begins anew, and single tables are read again by a signal (towline snapshot start)")
		}
	}
	if !reset {
		return nil
	}
	return asFault(h.opts.Worker.ResetSource(ctx, c.name))
}

// text returns part of an offset as JSON, to compare.
func text(v map[string]any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// ResetOffsets implements herder.Offsets.
func (h *Herder) ResetOffsets(ctx context.Context, name string) error {
	h.changes.Lock()
	defer h.changes.Unlock()
	c, err := h.atRest(ctx, name)
	if err != nil {
		return err
	}
	if c.conf.IsSource() {
		return asFault(h.opts.Worker.ResetSource(ctx, name))
	}
	marks, err := h.opts.Worker.Marks(ctx, name)
	if err != nil {
		return err
	}
	for i := range marks {
		first, _, err := h.opts.Worker.Log().Bounds(ctx, marks[i].Topic, marks[i].Partition)
		if err != nil {
			return err
		}
		marks[i].Mark = offsets.Mark{Offset: first}
	}
	return asFault(h.opts.Worker.SetMarks(ctx, name, marks))
}

// Topics implements herder.Offsets.
func (h *Herder) Topics(ctx context.Context, name string) ([]string, error) {
	if _, err := h.get(name, notFound); err != nil {
		return nil, err
	}
	return h.opts.Worker.Topics(ctx, name)
}

// ResetTopics implements herder.Offsets.
func (h *Herder) ResetTopics(ctx context.Context, name string) error {
	h.changes.Lock()
	defer h.changes.Unlock()
	if _, err := h.find(name, notFound); err != nil {
		return err
	}
	return h.opts.Worker.ResetTopics(ctx, name)
}
