package rocketlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/towline/towline/connect/rocketlog/remoting"
)

const (
	maxBatch = 3 << 20 // bytes of messages in one request; brokers take 4 MiB
	maxBody  = 2 << 20 // of one message; larger values are split
	pullMost = 1024    // messages in one pull; the broker gives fewer
	jumpFrom = 1024    // messages of others that nobody asked for are passed one by one up to here
)

// errMoved: somebody else has written to a queue since its end was looked at.
var errMoved = errors.New("rocketlog: another writer was here since the end of the queue was read; read it again")

// errLost: a broker has less than it had.
var errLost = errors.New("has lost messages")

// queue is one queue of a broker and what is known of its end.
type queue struct {
	c     *cluster
	topic string // its name at the broker
	q     remoting.Queue

	// writer and batch tell our own messages from others.
	writer string
	// visit sees each message that catching up passes; nil: nobody.
	visit func(m *remoting.Message, s stamp) error
	// shared: others write here as well, always.
	shared bool
	// exclusive: what is being appended must come next after all that is known.
	exclusive bool
	// keys are the KEYS of batches as a whole, for topics with compaction.
	keys string

	// seal appends properties to those of a parcel that is to have a seal, as of the
	// place that it is meant for; nil: there are none.
	seal func(props []byte, number int) []byte

	// fenced returns an error if what is being appended must not go; nil: it may.
	fenced func() error

	// post sends buf once, which is what request does but where a test loses it.
	post func(ctx context.Context) (at int64, err error)
	// take pulls, which is what pullSome does but where a test keeps some.
	take func(ctx context.Context, place int64, most int, wait time.Duration) (*remoting.Pulled, error)

	lock    chan struct{} // held over all below, and over requests: one batch is in flight
	known   bool
	written bool   // by us, since the end was first looked at
	place   int64  // where the next message lands
	offset  int64  // which offset it gets
	batch   uint64 // number of the last batch
	others  uint64 // messages of others that came between ours
	buf     []byte
	pack    packer
	sized   bool              // place was known once
	aliens  map[string]uint64 // valid messages of others that were passed, by their Source; nil: nobody asks
	jumps   int               // how often messages were passed without a look
}

func newQueue(c *cluster, topic string, q remoting.Queue, writer string) *queue {
	queue := &queue{c: c, topic: topic, q: q, writer: writer, lock: make(chan struct{}, 1)}
	queue.post, queue.take = queue.request, queue.pullSome
	return queue
}

func (q *queue) acquire(ctx context.Context) error {
	select {
	case q.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (q *queue) release() { <-q.lock }

func (q *queue) name() string { return q.topic + "/" + q.q.Broker + "/" + strconv.Itoa(q.q.ID) }

// unsure forgets what is known of the end, since a request may still land: who
// appends next learns of it, as of what others wrote.
func (q *queue) unsure() { q.known, q.written = false, false }

// append writes parcels, in order, and calls landed with the offset of each
// whose last part is there, at q.place while it is called. The queue is acquired.
func (q *queue) append(ctx context.Context, list []parcel, landed func(i int, offset int64)) error {
	if !q.known {
		if err := q.catchUp(ctx); err != nil {
			return err
		}
	}
	for done := 0; done < len(list); {
		n, size := 0, 0
		for done+n < len(list) && (n == 0 || size+list[done+n].size() <= maxBatch) {
			size += list[done+n].size()
			n++
		}
		if err := q.send(ctx, list[done:done+n], func(i int, offset int64) { landed(done+i, offset) }); err != nil {
			return fmt.Errorf("rocketlog: append to %s: %w", q.name(), err)
		}
		done += n
	}
	q.written = true
	return nil
}

// send writes one batch, until all of it is where it was meant to be.
func (q *queue) send(ctx context.Context, list []parcel, landed func(i int, offset int64)) error {
	q.batch++
	p := q.c.patience(q.q.Broker)
	for done := 0; done < len(list); {
		if q.fenced != nil {
			if err := q.fenced(); err != nil {
				return err
			}
		}
		rest := list[done:]
		q.encode(rest)
		at, err := q.post(ctx)
		switch {
		case err == nil && at == q.place:
			q.advance(rest, func(i int, offset int64) { landed(done+i, offset) })
			return nil
		case err == nil && at < q.place:
			q.unsure()
			return fmt.Errorf("broker %s %w: it put one at offset %d where %d were before", q.q.Broker, errLost, at, q.place)
		case err == nil:
			at += int64(len(rest)) // all of it is elsewhere, and something else where it was meant to be
		default:
			if err := p.pause(ctx, err); err != nil {
				q.unsure()
				return err
			}
		}
		// Some, all or none of it may be in place, and something of others.
		others := false
		err = q.settle(ctx, at, func(s stamp) {
			if s.writer != q.writer || s.batch != q.batch {
				others = others || done < len(list) // what is behind ours was not in the way
				q.others++
				return
			}
			if s.last() {
				landed(done, s.offset)
			}
			done++
		})
		if err != nil {
			q.unsure()
			return err
		}
		if others && (q.exclusive || q.fenced == nil && !q.written && !q.shared) {
			return errMoved // what is known of the end is right from here on
		}
	}
	return nil
}

// request sends q.buf once and returns where it landed; what an error means for
// it is not known.
func (q *queue) request(ctx context.Context) (at int64, err error) {
	err = q.c.once(ctx, q.q.Broker, func(ctx context.Context, addr string) (err error) {
		at, err = q.c.client.Send(ctx, addr, &remoting.Batch{Group: q.c.group, Topic: q.topic, Queue: q.q, Keys: q.keys, Body: q.buf})
		return err
	})
	return at, err
}

// encode makes the body of a batch, which is meant for q.place.
func (q *queue) encode(list []parcel) {
	q.buf = q.buf[:0]
	place, offset := q.place, q.offset
	for i := range list {
		p := &list[i]
		s := stamp{place: place, offset: offset, writer: q.writer, batch: q.batch, part: p.part, parts: p.parts}
		q.buf = remoting.AppendMessage(q.buf, p.front, p.body, func(dst []byte) []byte {
			dst = append(append(dst, propStamp...), 1)
			dst = append(append(s.append(dst), 2), p.props...)
			if p.seal > 0 && q.seal != nil {
				dst = q.seal(dst, p.seal)
			}
			return dst
		})
		place++
		if s.last() {
			offset++
		}
	}
}

// advance takes note that parcels are at q.place.
func (q *queue) advance(list []parcel, landed func(i int, offset int64)) {
	for i := range list {
		if list[i].part == list[i].parts-1 {
			landed(i, q.offset)
			q.offset++
		}
		q.place++
	}
}

// settle reads what has landed at q.place and behind, up to an offset and as
// far as readers see, and tells of all that counts.
func (q *queue) settle(ctx context.Context, to int64, see func(s stamp)) error {
	end, err := q.end(ctx)
	if err != nil {
		return err
	}
	return q.walk(ctx, max(end, to), func(s stamp) {
		if s.valid() {
			see(s)
		}
	})
}

// catchUp reads what is behind what is known of the queue's end.
func (q *queue) catchUp(ctx context.Context) error {
	end, err := q.end(ctx)
	if err != nil {
		return err
	}
	if q.visit == nil && (!q.sized || q.aliens == nil && (!q.known || end-q.place > jumpFrom)) {
		q.jumps++
		if err := q.findEnd(ctx, end); err != nil {
			return err
		}
		q.sized = true
	}
	if err := q.walk(ctx, end, func(stamp) {}); err != nil {
		return err
	}
	q.known = true
	return nil
}

// walk goes from q.place to an end. The broker may need a moment to show what
// is before it.
func (q *queue) walk(ctx context.Context, end int64, see func(s stamp)) error {
	progress := time.Now()
	for q.place < end {
		res, err := q.pull(ctx, q.place, time.Second)
		if err != nil {
			return err
		}
		before := q.place
		list, gone, _ := q.inSight(res, q.place)
		for i := range list {
			if err := q.pass(&list[i], see); err != nil {
				return err
			}
		}
		if gone && res.Next <= end {
			q.place = res.Next
		}
		if q.place > before {
			progress = time.Now()
		} else if err := q.stall(ctx, progress, end); err != nil {
			return err
		}
	}
	return nil
}

// inSight returns what an answer has from a place on, up to what the broker has and
// does not show: while it opens or shuts its files it passes over messages, as if
// nothing had been there, and who took that for all would write again what is there.
// gone: nothing is there, and nothing will be, up to res.Next.
func (q *queue) inSight(res *remoting.Pulled, place int64) (list []remoting.Message, gone, hidden bool) {
	dropped := q.shared || res.Min > place // a compaction leaves gaps, which say nothing
	if list = res.Messages; len(list) == 0 {
		next := res.Next > place
		return nil, next && dropped, next && !dropped && res.Next <= res.Max
	}
	for i := range list {
		switch at := list[i].Offset; {
		case at > place && !dropped:
			return list[:i], false, true
		case at >= place:
			place, dropped = at+1, q.shared
		}
	}
	return list, false, false
}

// stall waits a little for messages that must come.
func (q *queue) stall(ctx context.Context, since time.Time, end int64) error {
	if time.Since(since) > q.c.wait {
		return fmt.Errorf("rocketlog: broker %s does not show the messages of %s from offset %d on, of which it has %d", q.q.Broker, q.name(), q.place, end)
	}
	return sleep(ctx, firstPause)
}

// pass takes note of one message.
func (q *queue) pass(m *remoting.Message, see func(s stamp)) error {
	if m.Offset < q.place {
		return nil
	}
	s, ok := stampOf(m, q.writer)
	if !ok {
		return damaged(q.topic, q.q, m.Offset, errForeign)
	}
	if q.visit != nil {
		if err := q.visit(m, s); err != nil {
			return err
		}
	}
	if err := q.note(m, s); err != nil {
		return err
	}
	see(s)
	q.place = m.Offset + 1
	if s.valid() {
		q.offset = s.offset
		if s.last() {
			q.offset++
		}
	}
	return nil
}

// findEnd finds the last message that counts, going back from the end, and sets
// place and offset to what is behind it.
func (q *queue) findEnd(ctx context.Context, end int64) error {
	first, err := q.first(ctx)
	if err != nil {
		return err
	}
	const step = 32
	for high := end; ; high -= step {
		low := max(first, high-step)
		q.place, q.offset = low, low
		found := false
		if err := q.walk(ctx, high, func(s stamp) { found = found || s.valid() }); err != nil {
			return err
		}
		if found || low == first {
			if !found {
				q.offset = end // nothing is left that says which offset comes next
			}
			q.place = end
			return nil
		}
	}
}

var errForeign = errors.New("it was not written by Towline; a namespace must have no other writers")

// end returns the offset behind the last message that readers get.
func (q *queue) end(ctx context.Context) (end int64, err error) {
	err = q.c.on(ctx, q.q.Broker, func(ctx context.Context, addr string) (err error) {
		end, err = q.c.client.MaxOffset(ctx, addr, q.topic, q.q.ID)
		return err
	})
	return end, err
}

// first returns the offset of the first message that there is.
func (q *queue) first(ctx context.Context) (first int64, err error) {
	err = q.c.on(ctx, q.q.Broker, func(ctx context.Context, addr string) (err error) {
		first, err = q.c.client.MinOffset(ctx, addr, q.topic, q.q.ID)
		return err
	})
	return max(first, 0), err
}

// pull reads from a place on; it waits for a while if there is nothing yet.
func (q *queue) pull(ctx context.Context, place int64, wait time.Duration) (res *remoting.Pulled, err error) {
	return q.take(ctx, place, pullMost, wait)
}

// pullSome is pull of so many messages at most.
func (q *queue) pullSome(ctx context.Context, place int64, most int, wait time.Duration) (res *remoting.Pulled, err error) {
	err = q.c.on(ctx, q.q.Broker, func(ctx context.Context, addr string) (err error) {
		res, err = q.c.client.Pull(ctx, addr, &remoting.Pull{Group: q.c.group, Topic: q.topic, Queue: q.q, Offset: place, Most: most, Wait: wait})
		return err
	})
	return res, err
}

// shown waits until readers get all that we wrote.
func (q *queue) shown(ctx context.Context) error {
	if err := q.acquire(ctx); err != nil {
		return err
	}
	defer q.release()
	for q.written {
		var end int64
		err := q.c.once(ctx, q.q.Broker, func(ctx context.Context, addr string) (err error) {
			end, err = q.c.client.MaxOffset(ctx, addr, q.topic, q.q.ID)
			return err
		})
		if err != nil || end >= q.place {
			return err
		}
		if err := sleep(ctx, firstPause); err != nil {
			return err
		}
	}
	return nil
}
