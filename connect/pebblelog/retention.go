package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// putSegment begins a segment with the next message of p if the last one is
// large or old enough. Call with the append lock.
func (l *Log) putSegment(c *commit, p *partition, now int64) error {
	if n := len(p.segments); n > 0 {
		s := &p.segments[n-1]
		if p.bytes-s.bytes < l.opts.segmentBytes() && now-s.time < l.opts.segmentAge().Microseconds() {
			return nil
		}
	}
	p.segments = append(p.segments, segment{offset: p.next, bytes: p.bytes, time: now})
	op := c.batch.SetDeferred(messageKeyLen, 16)
	appendOffsetKey(op.Key[:0], spaceSegment, p, p.next)
	u64s(op.Value[:0], p.bytes, uint64(now))
	return op.Finish()
}

// heldBytes returns the bytes from the first segment on. Call with the append
// lock.
func (p *partition) heldBytes() uint64 {
	if len(p.segments) == 0 {
		return 0
	}
	return p.bytes - p.segments[0].bytes
}

// Trim drops the messages of a partition before an offset, whatever Protect
// says.
func (l *Log) Trim(ctx context.Context, topic string, index int32, before int64) error {
	if err := l.trim(ctx, topic, index, before); err != nil {
		return fmt.Errorf("pebblelog: trim: %w", err)
	}
	return nil
}

func (l *Log) trim(ctx context.Context, topic string, index int32, before int64) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	p, err := l.lookup(topic, index)
	if err != nil {
		return err
	}
	c, err := l.drop(ctx, p, func() int64 { return before })
	if err != nil || c == nil {
		return err
	}
	return l.wait(c)
}

// drop applies what trims p to the offset that choose returns under the append
// lock; nil if there is nothing to do.
func (l *Log) drop(ctx context.Context, p *partition, choose func() int64) (*commit, error) {
	if err := l.lockAppend(ctx); err != nil {
		return nil, err
	}
	defer l.unlockAppend()
	c, err := l.dropLocked(p, choose())
	if err != nil {
		l.poison(err)
	}
	return c, err
}

// dropLocked applies the batch that drops the messages before an offset; nil
// if there are none. first rises before the messages go, so that a reader who
// misses one finds out why.
func (l *Log) dropLocked(p *partition, before int64) (*commit, error) {
	if err := l.Err(); err != nil {
		return nil, err
	}
	keep := 0 // first segment that stays
	for keep+1 < len(p.segments) && p.segments[keep+1].offset <= before {
		keep++
	}
	l.mu.Lock()
	first := p.first
	before = min(before, p.end) // not what is on its way
	if before > first {
		p.first = before
	}
	l.mu.Unlock()
	if before <= first {
		return nil, nil
	}
	if before == p.next {
		keep = len(p.segments)
	}
	c := l.newCommit()
	from, to := appendOffsetKey(nil, spaceMessage, p, 0), appendOffsetKey(nil, spaceMessage, p, before)
	if err := c.batch.DeleteRange(from, to, nil); err != nil {
		return nil, err
	}
	if keep > 0 {
		next := before
		if keep < len(p.segments) {
			next = p.segments[keep].offset
		}
		from, to := appendOffsetKey(nil, spaceSegment, p, 0), appendOffsetKey(nil, spaceSegment, p, next)
		if err := c.batch.DeleteRange(from, to, nil); err != nil {
			return nil, err
		}
		p.segments = slices.Delete(p.segments, 0, keep)
	}
	if err := c.batch.Set(p.key(spaceFirst), u64s(nil, uint64(before)), nil); err != nil {
		return nil, err
	}
	c.touched = append(c.touched, touch{p: p, held: p.heldBytes()})
	l.apply(c)
	return c, nil
}

// expired returns the offset before which retention drops the messages of p.
// Call with the append lock.
func (l *Log) expired(p *partition, now time.Time) int64 {
	before := int64(0)
	if l.opts.Retention > 0 {
		limit := now.Add(-l.opts.Retention).UnixMicro()
		for i := range p.segments {
			last, end := p.lastTime, p.next // of the segment's messages
			if i+1 < len(p.segments) {
				last, end = p.segments[i+1].time, p.segments[i+1].offset
			}
			if last > limit {
				break
			}
			before = end
		}
	}
	if l.opts.RetentionBytes > 0 {
		for i := 1; i < len(p.segments); i++ {
			if p.bytes-p.segments[i-1].bytes <= uint64(l.opts.RetentionBytes) {
				break
			}
			before = max(before, p.segments[i].offset)
		}
	}
	return before
}

// retain applies retention to all partitions, and waits for the disk once.
func (l *Log) retain() error {
	if l.opts.Retention == 0 && l.opts.RetentionBytes == 0 {
		return nil
	}
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	l.mu.Lock()
	var all []*partition
	for _, t := range l.topics {
		for i := range t.partitions {
			if p := &t.partitions[i]; p.first < p.end {
				all = append(all, p)
			}
		}
	}
	l.mu.Unlock()
	now := l.opts.Now()
	var commits []*commit
	for _, p := range all {
		select {
		case <-l.done:
			return nil
		default:
		}
		c, err := l.drop(context.Background(), p, l.keeper(p, now))
		if err != nil {
			return fmt.Errorf("retention of topic %q partition %d: %w", p.topic.name, p.index, err)
		}
		if c != nil {
			commits = append(commits, c)
		}
	}
	for _, c := range commits {
		if err := l.wait(c); err != nil {
			return fmt.Errorf("retention: %w", err)
		}
	}
	return nil
}

// keeper returns what decides up to where retention drops the messages of p.
// Protect is asked before the append lock is taken.
func (l *Log) keeper(p *partition, now time.Time) func() int64 {
	needed, protected := int64(0), false
	if l.opts.Protect != nil {
		needed, protected = l.opts.Protect(p.topic.name, p.index)
	}
	return func() int64 {
		before := l.expired(p, now)
		if protected {
			before = min(before, needed)
		}
		return before
	}
}

// nudge makes the goroutine look at Pebble.
func (l *Log) nudge() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// run trims, holds back appends while compactions are behind, and has the log rest,
// until it is closed or frozen.
func (l *Log) run() {
	defer close(l.stopped)
	tick := time.NewTicker(l.opts.TrimInterval)
	defer tick.Stop()
	quiet := time.NewTicker(l.opts.restEvery)
	defer quiet.Stop()
	seen := int64(0)
	for {
		select {
		case <-l.done:
			return
		case <-l.broken:
			return
		case <-quiet.C:
			if l.rests(&seen) {
				l.rest()
			}
		case <-l.work:
			l.setGate(l.db.Metrics().Levels[0].Sublevels >= maxSublevels)
		case <-tick.C:
			if err := l.retain(); err != nil && !errors.Is(err, ErrClosed) {
				l.opts.Logger.Warn("pebblelog: "+err.Error(), "folder", l.opts.Dir)
			}
		}
	}
}

// setGate makes appends wait, or go on.
func (l *Log) setGate(shut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case shut && l.gate == nil:
		l.gate = make(chan struct{})
	case !shut && l.gate != nil:
		close(l.gate)
		l.gate = nil
	}
}
