package remoting

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

func queueFields(topic string, queue int) map[string]string {
	return map[string]string{"topic": topic, "queueId": strconv.Itoa(queue)}
}

// offset asks for something whose answer is one offset.
func (c *Client) offset(ctx context.Context, addr, what string, req *Command) (int64, error) {
	resp, err := c.want(ctx, addr, what, req)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(resp.Fields["offset"], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("remoting: %s: %s answers with offset %q", what, addr, resp.Fields["offset"])
	}
	return n, nil
}

// MaxOffset returns the offset behind the last message that readers get. What
// has just been sent may not be counted yet.
func (c *Client) MaxOffset(ctx context.Context, broker, topic string, queue int) (int64, error) {
	return c.offset(ctx, broker, "max offset of "+topic, &Command{Code: reqMaxOffset, Fields: queueFields(topic, queue)})
}

// MinOffset returns the offset of the first message of a queue. It is wrong
// for topics with compaction: begin those at 0.
func (c *Client) MinOffset(ctx context.Context, broker, topic string, queue int) (int64, error) {
	return c.offset(ctx, broker, "min offset of "+topic, &Command{Code: reqMinOffset, Fields: queueFields(topic, queue)})
}

// OffsetAt returns the offset of the first message that was stored at a time or
// later.
func (c *Client) OffsetAt(ctx context.Context, broker, topic string, queue int, at time.Time) (int64, error) {
	f := queueFields(topic, queue)
	f["timestamp"] = strconv.FormatInt(at.UnixMilli(), 10)
	return c.offset(ctx, broker, "search offset of "+topic, &Command{Code: reqSearchOffset, Fields: f})
}

// CommitOffset keeps how far a group is; the group must exist. It is
// acknowledged.
func (c *Client) CommitOffset(ctx context.Context, broker, group, topic string, queue int, offset int64) error {
	f := queueFields(topic, queue)
	f["consumerGroup"], f["commitOffset"] = group, strconv.FormatInt(offset, 10)
	_, err := c.want(ctx, broker, "commit offset of group "+group, &Command{Code: reqUpdateOffset, Fields: f})
	return err
}

// CommittedOffset returns how far a group is; ok is false if it has committed
// nothing.
func (c *Client) CommittedOffset(ctx context.Context, broker, group, topic string, queue int) (offset int64, ok bool, err error) {
	f := queueFields(topic, queue)
	f["consumerGroup"], f["setZeroIfNotFound"] = group, "false"
	offset, err = c.offset(ctx, broker, "offset of group "+group, &Command{Code: reqQueryOffset, Fields: f})
	if IsCode(err, QueryNotFound) {
		return 0, false, nil
	}
	return offset, err == nil, err
}

// Bounds are the first and next offset of a queue.
type Bounds struct{ Min, Max int64 }

// TopicBounds returns the bounds of all queues that a broker has of a topic,
// by number.
func (c *Client) TopicBounds(ctx context.Context, broker, topic string) (map[int]Bounds, error) {
	resp, err := c.want(ctx, broker, "bounds of topic "+topic, &Command{Code: reqTopicStats, Fields: map[string]string{"topic": topic}})
	if err != nil {
		return nil, err
	}
	o, err := parseObject(resp.Body)
	if err != nil {
		return nil, err
	}
	all := map[int]Bounds{}
	for _, m := range o.object("offsetTable") {
		q, _ := m.key.(object)
		b, _ := m.value.(object)
		all[int(q.number("queueId"))] = Bounds{b.number("minOffset"), b.number("maxOffset")}
	}
	return all, nil
}

// Lag is how far a group is in a queue, and how far the queue is.
type Lag struct{ Broker, Consumer int64 }

// ConsumeLag returns the lag of a group in the queues that a broker has of a
// topic, by number.
func (c *Client) ConsumeLag(ctx context.Context, broker, group, topic string) (map[int]Lag, error) {
	resp, err := c.want(ctx, broker, "lag of group "+group,
		&Command{Code: reqConsumeStats, Fields: map[string]string{"consumerGroup": group, "topic": topic}})
	if err != nil {
		return nil, err
	}
	o, err := parseObject(resp.Body)
	if err != nil {
		return nil, err
	}
	all := map[int]Lag{}
	for _, m := range o.object("offsetTable") {
		q, _ := m.key.(object)
		b, _ := m.value.(object)
		all[int(q.number("queueId"))] = Lag{b.number("brokerOffset"), b.number("consumerOffset")}
	}
	return all, nil
}
