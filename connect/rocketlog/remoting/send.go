package remoting

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Batch is messages for one queue.
type Batch struct {
	Group, Topic string
	Queue        Queue
	// Keys are the KEYS of the batch as a whole, which topics with compaction
	// want beside those of each message.
	Keys string
	// Body is made with AppendMessage. With its messages it must stay below the
	// broker's limit, which is 4 MiB unless it was raised.
	Body []byte
}

// Send sends a batch and returns the offset of its first message; the others
// follow it. An error says nothing of whether messages are there, some of the
// first ones alone among it, unless it is MessageIllegal or the like.
func (c *Client) Send(ctx context.Context, addr string, b *Batch) (int64, error) {
	props := AppendProperty(nil, "WAIT", "true")
	if b.Keys != "" {
		props = AppendProperty(props, "KEYS", b.Keys)
	}
	fields := map[string]string{"a": b.Group, "b": b.Topic, "c": "TBW102", "d": "4", "e": strconv.Itoa(b.Queue.ID), "f": "0",
		"g": strconv.FormatInt(time.Now().UnixMilli(), 10), "h": "0", "i": string(props), "j": "0", "k": "false", "l": "0", "m": "true", "n": b.Queue.Broker}
	resp, err := c.want(ctx, addr, "send to "+b.Topic, &Command{Code: reqSendBatch, Fields: fields, Body: b.Body})
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(resp.Fields["queueOffset"], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("remoting: send to %s: %s answers with offset %q", b.Topic, addr, resp.Fields["queueOffset"])
	}
	return n, nil
}
