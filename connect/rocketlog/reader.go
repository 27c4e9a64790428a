package rocketlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
)

// freshWait bounds how long the first Read waits for all partitions to say
// whether they have something, so that they can take turns: one that is out of
// reach must not hold up the others for ever.
const freshWait = 30 * time.Second

// turnBytes is what a partition may give before the next one's turn.
const turnBytes = 64 << 10

var errReaderClosed = errors.New("rocketlog: reader is closed")

// reader reads its partitions with a goroutine for each, which holds what one
// pull gave until Read takes it.
type reader struct {
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the reader or its log is
	got    chan *chunk
	wg     sync.WaitGroup
	once   sync.Once

	// Of who reads:
	ready []*chunk // take turns
	fresh int      // partitions that have not said yet whether they have something
	until time.Time
	// source is that of the last message, mostly that of the next as well.
	source string
	err    error // once there was one

	mu  sync.Mutex
	why error // done is closed
}

// chunk is messages of one partition, or why there are none.
type chunk struct {
	topic     string
	partition int32
	q         *queue
	list      []whole
	pulled    *remoting.Pulled // that the list is of; nil: none
	err       error
	first     bool // of its partition; it may be empty
	// out holds a token while the chunk is with the reader; there is one chunk of
	// a partition there at most.
	out chan struct{}
}

// whole is a message with all of its parts.
type whole struct {
	offset int64
	first  *remoting.Message
	body   [][]byte // nil: it has one part
}

// OpenReader returns a Reader of all of the given partitions.
func (l *Log) OpenReader(ctx context.Context, from []connect.Cursor) (connect.Reader, error) {
	_, done, err := l.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	queues := make([]*queue, len(from))
	for i, c := range from {
		if queues[i], err = l.queueOf(c.Topic, c.Partition); err != nil {
			return nil, fmt.Errorf("open reader: %w", err)
		}
	}
	rctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	r := &reader{cancel: cancel, done: make(chan struct{}), got: make(chan *chunk), fresh: len(from), until: time.Now().Add(freshWait)}
	for i, c := range from {
		r.wg.Go(func() { r.fetch(rctx, queues[i], c) })
	}
	l.readers.Add(1)
	go func() {
		defer l.readers.Done()
		select {
		case <-l.closing:
			r.end(l.cause())
		case <-r.done:
		}
		r.wg.Wait()
	}()
	return r, nil
}

// end ends the reader; the first cause counts.
func (r *reader) end(why error) {
	r.once.Do(func() {
		r.mu.Lock()
		r.why = why
		r.mu.Unlock()
		r.cancel(why)
		close(r.done)
	})
}

// Close ends the reader; a Read that waits returns.
func (r *reader) Close() error {
	r.end(errReaderClosed)
	r.wg.Wait()
	return nil
}

// fetch reads one partition until ctx ends or it fails.
func (r *reader) fetch(ctx context.Context, q *queue, at connect.Cursor) {
	place, err := q.locate(ctx, at.Offset)
	f := fetcher{q: q, place: place, next: at.Offset}
	out := make(chan struct{}, 1)
	for wait := time.Duration(0); ; wait = longPoll {
		c := &chunk{topic: at.Topic, partition: at.Partition, q: q, first: wait == 0, out: out}
		if err == nil {
			if c.pulled, err = f.pull(ctx, wait); err == nil {
				c.list = f.list
			}
		}
		if c.err = err; len(c.list) == 0 && err == nil && !c.first {
			c.release()
			continue
		}
		if !r.hand(ctx, c) || err != nil {
			return
		}
	}
}

// hand gives a chunk to the reader when that has none of the partition, and
// reports whether it took it. It is the reader's from then on.
func (r *reader) hand(ctx context.Context, c *chunk) bool {
	select {
	case c.out <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	select {
	case r.got <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// fetcher is how far one partition is read.
type fetcher struct {
	q     *queue
	place int64
	next  int64
	part  *whole  // a message of which parts are missing, with memory of its own
	list  []whole // of the last pull
	// hidden is since when the broker does not show what is at place; zero: it does.
	hidden time.Time
}

// pull fills the list with what there is next; with nothing if there was nothing
// for a while.
func (f *fetcher) pull(ctx context.Context, wait time.Duration) (*remoting.Pulled, error) {
	began := time.Now()
	res, err := f.q.pull(ctx, f.place, wait)
	if err != nil {
		return nil, err
	}
	f.list = make([]whole, 0, len(res.Messages))
	for i := range res.Messages {
		m := &res.Messages[i]
		if m.Offset < f.place {
			continue
		}
		f.place = m.Offset + 1
		if err := f.join(m); err != nil {
			return nil, err
		}
	}
	if len(res.Messages) > 0 {
		f.hidden = time.Time{}
		return res, nil
	}
	switch {
	case res.Moved && res.Min > f.place:
		return nil, fmt.Errorf("rocketlog: offset %d of %s was dropped by the broker: %w", f.next, f.q.name(), connect.ErrPositionLost)
	case res.Next > f.place && res.Next <= res.Max: // it passes over what it does not show at the moment
		if f.hidden.IsZero() {
			f.hidden = time.Now()
		}
		if time.Since(f.hidden) > f.q.c.wait {
			return nil, fmt.Errorf("rocketlog: broker %s does not show offset %d of %s: %w", f.q.q.Broker, f.next, f.q.name(), connect.ErrPositionLost)
		}
		return nil, sleep(ctx, firstPause)
	case wait > 0 && time.Since(began) < firstPause: // what is not shown yet is not waited for by the broker
		return nil, sleep(ctx, firstPause/10)
	}
	return nil, nil
}

// join adds a message to the list once its last part is there.
func (f *fetcher) join(m *remoting.Message) error {
	s, ok := stampOf(m, f.q.writer)
	if !ok {
		return damaged(f.q.topic, f.q.q, m.Offset, errForeign)
	}
	if !s.valid() {
		return nil
	}
	w := whole{offset: s.offset, first: m}
	if s.parts > 1 {
		if s.part == 0 {
			f.part = &whole{offset: s.offset, first: &remoting.Message{Offset: m.Offset, Stored: m.Stored, Props: bytes.Clone(m.Props)}}
		}
		if f.part == nil || f.part.offset != s.offset || len(f.part.body) != s.part {
			return damaged(f.q.topic, f.q.q, m.Offset, fmt.Errorf("it is part %d of a message whose beginning is missing", s.part))
		}
		if f.part.body = append(f.part.body, bytes.Clone(m.Body)); !s.last() {
			return nil
		}
		w = *f.part
	}
	f.part = nil
	if w.offset != f.next {
		return fmt.Errorf("rocketlog: offset %d of %s follows %d: %w", w.offset, f.q.name(), f.next-1, connect.ErrPositionLost)
	}
	f.next++
	f.list = append(f.list, w)
	return nil
}

// Read appends messages to m and waits until there is at least one.
func (r *reader) Read(ctx context.Context, m *connect.Messages, maxBytes int) error {
	if r.err != nil {
		return r.err
	}
	size := m.Size()
	for n := 0; n == 0 || m.Size()-size < maxBytes; {
		if err := r.gather(ctx, n == 0); err != nil {
			return err
		}
		if len(r.ready) == 0 {
			return nil
		}
		c := r.ready[0]
		if c.err != nil && len(c.list) == 0 {
			if n > 0 {
				return nil
			}
			r.err = c.err
			return r.err
		}
		turn := m.Size() + turnBytes
		for len(c.list) > 0 && (n == 0 || m.Size()-size < maxBytes && m.Size() < turn) {
			if c.err = c.take(m, &r.source); c.err != nil {
				break
			}
			n++
		}
		r.ready = r.ready[1:]
		if len(c.list) > 0 || c.err != nil {
			r.ready = append(r.ready, c)
		} else {
			c.through()
		}
	}
	return nil
}

// through ends a chunk and lets the next one come.
func (c *chunk) through() {
	c.release()
	<-c.out
}

// release gives the memory of a chunk back.
func (c *chunk) release() {
	if c.pulled != nil {
		c.pulled.Release()
	}
}

// take moves the first message into m.
func (c *chunk) take(m *connect.Messages, source *string) error {
	w := &c.list[0]
	msg, err := takeMessage(m, w.first, w.body, source)
	if err != nil {
		c.list = nil
		return damaged(c.q.topic, c.q.q, w.first.Offset, err)
	}
	msg.Topic, msg.Partition, msg.Offset = c.topic, c.partition, w.offset
	c.list = c.list[1:]
	return nil
}

// gather adds to what is ready all that is there, and waits for something if it
// must.
func (r *reader) gather(ctx context.Context, must bool) error {
	var late <-chan time.Time
	if r.fresh > 0 {
		timer := time.NewTimer(time.Until(r.until))
		defer timer.Stop()
		late = timer.C
	}
	for {
		var c *chunk
		select {
		case c = <-r.got:
		default:
			if r.fresh == 0 && (len(r.ready) > 0 || !must) {
				return nil
			}
			var err error
			if c, err = r.wait(ctx, late); err != nil {
				return err
			}
		}
		if c == nil {
			r.fresh = 0
			continue
		}
		if c.first && r.fresh > 0 {
			r.fresh--
		}
		if len(c.list) > 0 || c.err != nil {
			r.ready = append(r.ready, c)
		} else {
			c.through()
		}
	}
}

// wait returns the next chunk; nil when it is late.
func (r *reader) wait(ctx context.Context, late <-chan time.Time) (*chunk, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case c := <-r.got:
		return c, nil
	case <-late:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-r.done:
		r.mu.Lock()
		defer r.mu.Unlock()
		return nil, r.why
	}
}
