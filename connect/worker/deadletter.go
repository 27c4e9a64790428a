package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/deadletter"
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

// refusal is why a record is a dead letter, and at which stage.
type refusal struct {
	stage, step string
	err         error
}

// record writes one record in the form that the task's converter gives it or,
// if it is the converter that refuses the record, as a frame. topic is that of
// its message in the log.
func (d *deadLetters) record(ctx context.Context, r *connect.Record, topic string, why refusal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.cause(topic, r.Partition, r.Offset, why)
	if r.Topic != topic {
		c.Routed = r.Topic
	}
	d.batch.Records = append(d.batch.Records[:0], *r)
	d.batch.Records[0].Topic, d.batch.Records[0].Partition = d.topic, 0
	d.msgs.Reset()
	if err := d.converter.Encode(&d.msgs, &d.batch); err != nil {
		d.msgs.Reset()
		if err := d.frames.Encode(&d.msgs, &d.batch); err != nil {
			return fmt.Errorf("dead letter of a record of %s: encode: %w", r.Table, err)
		}
	}
	d.msgs.List = d.msgs.List[:min(1, len(d.msgs.List))] // a tombstone behind a delete says the same again
	return d.write(ctx, &c, why.err)
}

// message writes one message as it is.
func (d *deadLetters) message(ctx context.Context, m *connect.Message, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.msgs.Reset()
	dm := d.msgs.Add()
	*dm = *m
	dm.Topic, dm.Partition = d.topic, 0
	c := d.cause(m.Topic, m.Partition, m.Offset, refusal{stage: deadletter.StageDecode, err: err})
	return d.write(ctx, &c, err)
}

func (d *deadLetters) cause(topic string, part int32, offset int64, why refusal) deadletter.Cause {
	return deadletter.Cause{Connector: d.id.connector, Task: d.id.task, Stage: why.stage, Step: why.step,
		Class: fmt.Sprintf("%T", why.err), Text: why.err.Error(), Topic: topic, Partition: part, Offset: offset, Time: time.Now()}
}

func (d *deadLetters) write(ctx context.Context, c *deadletter.Cause, cause error) error {
	if !d.created {
		if err := d.log.CreateTopic(ctx, d.topic, 1); err != nil {
			return fmt.Errorf("create dead-letter topic %s: %w", d.topic, err)
		}
		d.created = true
	}
	if d.headers {
		for i := range d.msgs.List {
			m := &d.msgs.List[i]
			m.Headers = append(m.Headers[:len(m.Headers):len(m.Headers)], c.Headers()...)
		}
	}
	if err := d.log.Append(ctx, d.msgs.List, nil); err != nil {
		return fmt.Errorf("append dead letter to %s: %w", d.topic, err)
	}
	d.meter.dead(1)
	if d.logger != nil {
		d.logger.Warn("record became a dead letter", "topic", c.Topic, "partition", c.Partition, "offset", c.Offset, "stage", c.Stage, "error", cause)
	}
	return nil
}
