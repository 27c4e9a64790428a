package herder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// Kafka Connect's names of the parts of a sink's offset.
const (
	topicField     = "kafka_topic"
	partitionField = "kafka_partition"
	offsetField    = "kafka_offset"
)

// ReadOffsets returns how far a connector of a worker is.
func ReadOffsets(ctx context.Context, w *worker.Worker, c *config.Connector) ([]Offset, error) {
	if c.IsSource() {
		places, err := w.Places(ctx, c.Name)
		return shownPlaces(places), err
	}
	marks, err := w.Marks(ctx, c.Name)
	return shown(marks), err
}

// shown returns how far a sink is by Kafka Connect's names.
func shown(marks []worker.Mark) []Offset {
	list := []Offset{}
	for _, m := range marks {
		list = append(list, Offset{
			Partition: map[string]any{topicField: m.Topic, partitionField: m.Partition},
			Offset:    map[string]any{offsetField: m.Offset},
		})
	}
	return list
}

// FindOffsets returns where a connector of a worker was at a time. A source is at
// rest: a second reader of its server's log would end the first.
func FindOffsets(ctx context.Context, w *worker.Worker, c *config.Connector, at time.Time) ([]Offset, error) {
	if c.IsSource() {
		places, err := w.FindSource(ctx, c.Name, at)
		return shownPlaces(places), asFault(err)
	}
	marks, err := w.MarksAt(ctx, c.Name, at)
	return shown(marks), err
}

func shownPlaces(places []worker.Place) []Offset {
	list := []Offset{}
	for _, p := range places {
		list = append(list, Offset{Partition: p.In, Offset: p.At})
	}
	return list
}

// WriteOffsets alters offsets of a connector of a worker, which is at rest. Those
// of a sink can be set to any message that is in its topics, and a source to a place
// that its plug-in can find its way to.
func WriteOffsets(ctx context.Context, w *worker.Worker, c *config.Connector, to []Offset) error {
	if c.IsSource() {
		return alterSource(ctx, w, c, to)
	}
	marks := make([]worker.Mark, len(to))
	for i, o := range to {
		var err error
		if marks[i], err = mark(ctx, w, o); err != nil {
			return err
		}
	}
	return asFault(w.SetMarks(ctx, c.Name, marks))
}

// ForgetOffsets forgets those of a connector of a worker, which is at rest.
func ForgetOffsets(ctx context.Context, w *worker.Worker, c *config.Connector) error {
	if c.IsSource() {
		return asFault(w.ResetSource(ctx, c.Name))
	}
	marks, err := w.Marks(ctx, c.Name)
	if err != nil {
		return err
	}
	for i := range marks {
		first, _, err := w.Log().Bounds(ctx, marks[i].Topic, marks[i].Partition)
		if err != nil {
			return err
		}
		marks[i].Mark = offsets.Mark{Offset: first}
	}
	return asFault(w.SetMarks(ctx, c.Name, marks))
}

// asFault returns err as one of the caller, if it is.
func asFault(err error) error {
	if errors.Is(err, worker.ErrOffsets) {
		return Errorf(Invalid, "%v", err)
	}
	return err
}

// mark reads one offset of a sink; without an offset it is the first there is.
func mark(ctx context.Context, w *worker.Worker, o Offset) (worker.Mark, error) {
	m := worker.Mark{}
	topic, ok := o.Partition[topicField].(string)
	num, err := whole(o.Partition[partitionField], math.MaxInt32)
	if !ok || err != nil || len(o.Partition) != 2 {
		return m, Errorf(Invalid, `the partition of a sink's offset is {"%s": "name", "%s": 0}, and not %v`, topicField, partitionField, o.Partition)
	}
	m.Topic, m.Partition = topic, int32(num)
	if o.Offset == nil {
		first, _, err := w.Log().Bounds(ctx, topic, m.Partition)
		if err != nil {
			return m, Errorf(Invalid, "%v", err)
		}
		m.Mark = offsets.Mark{Offset: first}
		return m, nil
	}
	at, err := whole(o.Offset[offsetField], math.MaxInt64)
	if err != nil || len(o.Offset) != 1 {
		return m, Errorf(Invalid, `the offset of a sink is {"%s": 0}, and not %v`, offsetField, o.Offset)
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

func alterSource(ctx context.Context, w *worker.Worker, c *config.Connector, to []Offset) error {
	have, err := ReadOffsets(ctx, w, c)
	if err != nil {
		return err
	}
	reset, moves := false, map[int]map[string]any{}
	for _, o := range to {
		at := slices.IndexFunc(have, func(own Offset) bool { return text(own.Partition) == text(o.Partition) })
		switch {
		case at < 0:
			return Errorf(Invalid, "the source has no partition %s; GET shows those that it has", text(o.Partition))
		case o.Offset == nil:
			reset = true
		case text(o.Offset) != text(have[at].Offset): // else it is there already
			if c.Plugin.Seek == nil {
				return Errorf(Invalid, "the offset of this source cannot be set to a place; with null it begins anew")
			}
			moves[at] = o.Offset
		}
	}
	if reset {
		return asFault(w.ResetSource(ctx, c.Name))
	}
	for task, place := range moves { // Places are in order of tasks
		if err := w.SeekSource(ctx, c.Name, task, place); err != nil {
			return asFault(err)
		}
	}
	return nil
}

// text returns part of an offset as JSON, to compare.
func text(v map[string]any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
