package worker

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/frame"
)

// deadLetters writes records that could not be processed to a topic of their
// own, with the record, its headers and the error (invariant 5). Safe for
// concurrent use.
type deadLetters struct {
	id      taskID
	topic   string
	headers bool // add context headers
	logger  *slog.Logger
	log     connect.Log
	meter   *meter

	mu        sync.Mutex
	created   bool
	converter connect.Converter
	frames    frame.Converter
	msgs      connect.Messages
	batch     connect.Batch
}

// record writes one record in the form that the task's converter gives it or,
// if it is the converter that refuses the record, as a frame.
func (d *deadLetters) record(ctx context.Context, r *connect.Record, stage string, cause error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.batch.Records = append(d.batch.Records[:0], *r)
	topic, part, offset := r.Topic, r.Partition, r.Offset
	d.batch.Records[0].Topic, d.batch.Records[0].Partition = d.topic, 0
	d.msgs.Reset()
	if err := d.converter.Encode(&d.msgs, &d.batch); err != nil {
		d.msgs.Reset()
		if err := d.frames.Encode(&d.msgs, &d.batch); err != nil {
			return fmt.Errorf("dead letter of a record of %s: encode: %w", r.Table, err)
		}
	}
	return d.write(ctx, topic, part, offset, stage, cause)
}

// message writes one message as it is.
func (d *deadLetters) message(ctx context.Context, m *connect.Message, stage string, cause error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.msgs.Reset()
	dm := d.msgs.Add()
	*dm = *m
	dm.Topic, dm.Partition = d.topic, 0
	return d.write(ctx, m.Topic, m.Partition, m.Offset, stage, cause)
}

func (d *deadLetters) write(ctx context.Context, topic string, part int32, offset int64, stage string, cause error) error {
	if !d.created {
		if err := d.log.CreateTopic(ctx, d.topic, 1); err != nil {
			return fmt.Errorf("create dead-letter topic %s: %w", d.topic, err)
		}
		d.created = true
	}
	if d.headers {
		for i := range d.msgs.List {
			m := &d.msgs.List[i]
			m.Headers = append(m.Headers[:len(m.Headers):len(m.Headers)], d.context(topic, part, offset, stage, cause)...)
		}
	}
	if err := d.log.Append(ctx, d.msgs.List, nil); err != nil {
		return fmt.Errorf("append dead letter to %s: %w", d.topic, err)
	}
	d.meter.dead(1)
	if d.logger != nil {
		d.logger.Warn("record became a dead letter", "topic", topic, "partition", part, "offset", offset, "stage", stage, "error", cause)
	}
	return nil
}

func (d *deadLetters) context(topic string, part int32, offset int64, stage string, cause error) []connect.Header {
	h := func(key, value string) connect.Header {
		return connect.Header{Key: "__connect.errors." + key, Value: []byte(value)}
	}
	return []connect.Header{
		h("topic", topic), h("partition", strconv.Itoa(int(part))), h("offset", strconv.FormatInt(offset, 10)),
		h("connector.name", d.id.connector), h("task.id", strconv.Itoa(d.id.task)), h("stage", stage),
		h("exception.class.name", fmt.Sprintf("%T", cause)), h("exception.message", cause.Error()),
	}
}
