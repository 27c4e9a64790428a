package rocketlog

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
)

// What a reader has asked for, or got and not yet given, beyond one answer for each
// partition. Partitions that have more to give share it.
const (
	aheadPulls = 8       // under way
	aheadBytes = 2 << 20 // of answers
)

// open is the end of a pull that takes what the broker gives.
const open = -1

// tryMore: one in so many pulls asks for twice as much as the broker has given.
const tryMore = 16

// fetcher is how far one partition is read, and what is on its way.
//
// A broker gives few messages at a time, 32 if nobody has told it otherwise, so
// one pull after the other waits for the way there and back most of the time.
// Where the queue is known to have more, further pulls are under way, each for
// the places behind those of the one before and for no more of them than one
// answer has had lately. They are taken in order, whenever they come; what is
// missing of one is asked for again first.
type fetcher struct {
	q      *queue
	behind *atomic.Int32 // partitions of the reader that have more to give
	place  int64
	next   int64
	part   *whole // a message of which parts are missing, with memory of its own
	// hidden is since when the broker does not show what is at place; zero: it does.
	hidden time.Time

	pulls []*pull    // by place; only the last has no end
	todo  chan *pull // of those, what is not begun yet
	hands int        // goroutines that take from todo: as many as there were pulls at a time
	wg    sync.WaitGroup
	max   int64 // the end of the queue, as far as known
	more  bool  // place is before it: this partition is one of behind
	step  int64 // messages that an answer has had where there were more; 0: not known
	size  int   // bytes of the last answer
	tries int   // pulls with an end
}

// pull is one that is under way or has come.
type pull struct {
	place, end  int64
	pause, wait time.Duration // before it, and of the broker where there is nothing
	done        chan struct{} // closed when there are the following
	began       time.Time
	res         *remoting.Pulled
	err         error
}

// begin begins a pull, after a pause.
func (f *fetcher) begin(ctx context.Context, place, end int64, wait, pause time.Duration) *pull {
	if f.hands <= len(f.pulls) {
		f.hands++
		f.wg.Go(func() { f.pull(ctx) })
	}
	p := &pull{place: place, end: end, wait: wait, pause: pause, done: make(chan struct{})}
	f.todo <- p // has room for all
	return p
}

// pull carries out what is begun, until ctx ends.
func (f *fetcher) pull(ctx context.Context) {
	for {
		select {
		case p := <-f.todo:
			p.res, p.err = p.from(ctx, f.q)
			close(p.done)
		case <-ctx.Done():
			return
		}
	}
}

func (p *pull) from(ctx context.Context, q *queue) (*remoting.Pulled, error) {
	if p.pause > 0 {
		if err := sleep(ctx, p.pause); err != nil {
			return nil, err
		}
	}
	most := pullMost
	if p.end != open {
		most = int(min(pullMost, p.end-p.place))
	}
	p.began = time.Now()
	return q.take(ctx, p.place, most, p.wait)
}

// fill begins pulls as long as there is room beside what the chunk holds.
func (f *fetcher) fill(ctx context.Context, c *chunk) {
	share := max(1, int(f.behind.Load()))
	for n := len(f.pulls); n == 0 && c.size == 0 || n < max(1, aheadPulls/share) && c.size+(n+1)*f.size <= aheadBytes/share; n = len(f.pulls) {
		at := f.place
		if n > 0 {
			at = f.pulls[n-1].end
		}
		if at == open || n > 0 && at >= f.max {
			return
		}
		end := at + f.step
		if f.tries++; f.tries%tryMore == 0 {
			end += min(f.step, pullMost-f.step)
		}
		if f.step == 0 || end >= f.max {
			end = open
		}
		f.pulls = append(f.pulls, f.begin(ctx, at, end, longPoll, 0))
	}
}

// take adds the first pull, which has come, to a chunk.
func (f *fetcher) take(ctx context.Context, c *chunk) error {
	p := f.pulls[0]
	f.pulls = f.pulls[1:]
	if p.err != nil {
		return p.err
	}
	c.pulled = append(c.pulled, p.res)
	if c.size += p.res.Size(); len(p.res.Messages) > 0 {
		f.size = p.res.Size()
	}
	had := f.place
	list, _, hidden := f.q.inSight(p.res, f.place)
	for i := range list {
		m := &list[i]
		if m.Offset < f.place {
			continue
		}
		f.place = m.Offset + 1
		if err := f.join(c, m); err != nil {
			return err
		}
	}
	if len(c.list) == 0 { // parts of a message have memory of their own
		c.release()
	}
	if f.place > had {
		f.hidden = time.Time{}
		if !hidden {
			f.learn(p, f.place-had)
		}
	}
	pause, err := f.none(p, hidden, len(list))
	if err != nil {
		return err
	}
	f.note(p.res.Max > f.place)
	if f.max = p.res.Max; pause > 0 || p.end != open && f.place < p.end {
		f.pulls = append([]*pull{f.begin(ctx, f.place, p.end, longPoll, pause)}, f.pulls...)
	}
	return nil
}

// none says for how long to wait before what a pull brought nothing of is asked for
// again.
func (f *fetcher) none(p *pull, hidden bool, n int) (pause time.Duration, err error) {
	switch res := p.res; {
	case hidden:
		if f.hidden.IsZero() {
			f.hidden = time.Now()
		}
		if time.Since(f.hidden) > f.q.c.wait {
			return 0, fmt.Errorf("rocketlog: broker %s does not show offset %d of %s: %w", f.q.q.Broker, f.next, f.q.name(), connect.ErrPositionLost)
		}
		return firstPause, nil
	case n > 0:
		return 0, nil
	case res.Moved && res.Min > f.place:
		return 0, fmt.Errorf("rocketlog: offset %d of %s was dropped by the broker: %w", f.next, f.q.name(), connect.ErrPositionLost)
	case p.wait > 0 && time.Since(p.began) < firstPause: // what is not shown yet is not waited for by the broker
		return firstPause / 10, nil
	}
	return 0, nil
}

// learn takes note of how much one answer has.
func (f *fetcher) learn(p *pull, n int64) {
	switch {
	case p.end == open && p.res.Max > f.place, p.end != open && f.place < p.end:
		f.step = n
	case p.end != open:
		f.step = max(f.step, n)
	}
}

// note takes note of whether the queue has more.
func (f *fetcher) note(more bool) {
	if more == f.more {
		return
	}
	if f.more = more; more {
		f.behind.Add(1)
	} else {
		f.behind.Add(-1)
	}
}

// end waits for what is under way, whose context has ended, and drops it.
func (f *fetcher) end() {
	f.note(false)
	f.wg.Wait()
	for _, p := range f.pulls {
		if p.res != nil {
			p.res.Release()
		}
	}
}

// join adds a message to a chunk once its last part is there.
func (f *fetcher) join(c *chunk, m *remoting.Message) error {
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
	c.list = append(c.list, w)
	return nil
}
