package rocketlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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

// chunkBytes ends a chunk; its last answer may be larger.
const chunkBytes = 256 << 10

var errReaderClosed = errors.New("rocketlog: reader is closed")

// reader reads its partitions with a goroutine for each, which holds what pulls
// gave until Read takes it.
type reader struct {
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the reader or its log is
	got    chan *chunk
	wg     sync.WaitGroup
	once   sync.Once
	behind atomic.Int32 // partitions that have more to give, as far as they know

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

// chunk is messages of one partition, or why there are no more.
type chunk struct {
	topic     string
	partition int32
	q         *queue
	list      []whole
	pulled    []*remoting.Pulled // that the list is of
	size      int                // bytes of those
	err       error              // behind the list
	first     bool               // of its partition; it may be empty
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
	ctx, cancel := context.WithCancel(ctx)
	place, err := q.locate(ctx, at.Offset)
	f := fetcher{q: q, behind: &r.behind, place: place, next: at.Offset, todo: make(chan *pull, aheadPulls)}
	defer f.end()
	defer cancel()
	if err == nil { // the first answer comes at once, whatever there is
		f.pulls = append(f.pulls, f.begin(ctx, place, open, 0, 0))
	}
	out := make(chan struct{}, 1)
	for first := true; ; first = false {
		c := &chunk{topic: at.Topic, partition: at.Partition, q: q, first: first, out: out, err: err}
		for c.err == nil && len(c.list) == 0 {
			if !r.await(ctx, &f, c) {
				c.release()
				return
			}
			if first {
				break
			}
		}
		taken, last := r.hand(ctx, &f, c)
		if !taken {
			c.release()
		}
		if last {
			return
		}
	}
}

// await takes the next answer into a chunk, or reports that ctx has ended.
func (r *reader) await(ctx context.Context, f *fetcher, c *chunk) bool {
	f.fill(ctx, c)
	select {
	case <-f.pulls[0].done:
		c.err = f.take(ctx, c)
		return true
	case <-ctx.Done():
		return false
	}
}

// hand gives a chunk to the reader when that has none of the partition. It is the
// reader's once it is taken. What comes meanwhile goes into it, as long as there
// is room. Behind the last there is nothing: it has an error, or ctx has ended.
func (r *reader) hand(ctx context.Context, f *fetcher, c *chunk) (taken, last bool) {
	out, got := c.out, (chan *chunk)(nil)
	for {
		var come <-chan struct{}
		if last = c.err != nil; !last && c.size < chunkBytes {
			if f.fill(ctx, c); len(f.pulls) > 0 {
				come = f.pulls[0].done
			}
		}
		select {
		case out <- struct{}{}:
			out, got = nil, r.got
		case got <- c:
			return true, last
		case <-come:
			c.err = f.take(ctx, c)
		case <-ctx.Done():
			return false, true
		}
	}
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
	for _, p := range c.pulled {
		p.Release()
	}
	c.pulled, c.size = nil, 0
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
