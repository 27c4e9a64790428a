package remoting

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Pull asks for messages of a queue.
type Pull struct {
	Group, Topic string
	Queue        Queue
	Offset       int64
	Most         int // messages; the broker gives no more than it likes
	// Wait is how long the broker waits for the first message; 0: not at all.
	// A context must last longer.
	Wait time.Duration
}

// Pulled is what a pull gave.
type Pulled struct {
	Messages []Message
	Next     int64 // where to go on
	Min, Max int64 // bounds of the queue
	// Moved: the offset that was asked for is not within the bounds.
	Moved bool

	frame []byte
}

var lists sync.Pool // of *[]Message

// Release gives the memory of the messages back; they must not be used any more.
// Who does not call it leaves that to the collector.
func (p *Pulled) Release() {
	if p.frame == nil {
		return
	}
	keepFrame(p.frame)
	clear(p.Messages)
	list := p.Messages[:0]
	lists.Put(&list)
	p.frame, p.Messages = nil, nil
}

// Size returns the bytes of memory that the messages take.
func (p *Pulled) Size() int { return cap(p.frame) }

// Bits of a pull's flag.
const (
	pullSuspend      = 2
	pullSubscription = 4
)

// Pull reads messages of a queue, without being a member of any group.
func (c *Client) Pull(ctx context.Context, addr string, p *Pull) (*Pulled, error) {
	flag := pullSubscription
	if p.Wait > 0 {
		flag |= pullSuspend
	}
	f := queueFields(p.Topic, p.Queue.ID)
	f["consumerGroup"], f["queueOffset"], f["maxMsgNums"] = p.Group, strconv.FormatInt(p.Offset, 10), strconv.Itoa(p.Most)
	f["sysFlag"], f["commitOffset"], f["subVersion"] = strconv.Itoa(flag), "0", "0"
	f["suspendTimeoutMillis"], f["subscription"], f["expressionType"] = strconv.FormatInt(p.Wait.Milliseconds(), 10), "*", "TAG"
	f["bname"] = p.Queue.Broker
	resp, err := c.Call(ctx, addr, &Command{Code: reqPull, Fields: f})
	if err != nil {
		return nil, fmt.Errorf("pull from %s: %w", p.Topic, err)
	}
	var r Pulled
	switch resp.Code {
	case Success, PullNotFound, PullRetry:
	case PullOffsetMoved:
		r.Moved = true
	default:
		return nil, &Error{What: "pull from " + p.Topic, Addr: addr, Code: resp.Code, Remark: resp.Remark}
	}
	r.Next, r.Min, r.Max = p.Offset, fieldNumber(resp, "minOffset"), fieldNumber(resp, "maxOffset")
	if resp.Code != Success {
		if n, ok := resp.Fields["nextBeginOffset"]; ok && n != "" {
			r.Next = fieldNumber(resp, "nextBeginOffset")
		}
		return &r, nil
	}
	var list []Message
	if p, ok := lists.Get().(*[]Message); ok {
		list = *p
	}
	if r.Messages, err = appendStored(list, resp.Body); err != nil {
		return nil, fmt.Errorf("pull from %s: %w", p.Topic, err)
	}
	r.frame = resp.frame
	r.Next = fieldNumber(resp, "nextBeginOffset")
	return &r, nil
}

func fieldNumber(c *Command, name string) int64 {
	n, _ := strconv.ParseInt(c.Fields[name], 10, 64)
	return n
}
