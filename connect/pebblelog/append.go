package pebblelog

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

const (
	// retainedBatch is the memory that an idle batch keeps.
	retainedBatch = 2 << 20
	// oftenSmall commits in a row that took a fraction of what one has room for
	// end its use.
	oftenSmall    = 32
	smallFraction = 16
	// maxBatch is the most that one Append carries beside values in parts.
	maxBatch = 1 << 30
)

// commit is a Pebble batch on its way to the disk, and what it makes true.
type commit struct {
	batch   *pebble.Batch
	seq     uint64
	touched []touch
	scratch []byte
	gather  gather
	most    int // bytes that it has had to carry
	small   int // how often in a row a fraction of that was enough
}

// touch is what a commit did to a partition. end is the offset that follows
// its last message.
type touch struct {
	p    *partition
	end  int64
	held uint64
}

func (l *Log) newCommit() *commit {
	if c, ok := l.free.Get().(*commit); ok {
		return c
	}
	return &commit{batch: l.db.NewBatch(pebble.WithMaxRetainedSizeBytes(retainedBatch))}
}

// recycle keeps the memory of a commit that is done with, unless much less is
// enough for some time: a log where little happens is to be small.
func (l *Log) recycle(c *commit) {
	if c.outgrown() {
		return
	}
	c.batch.Reset()
	clear(c.touched)
	c.touched, c.seq = c.touched[:0], 0
	c.gather.reset()
	l.free.Put(c)
}

// outgrown notes what c has carried, and reports whether it is larger than
// what has been carried for a while.
func (c *commit) outgrown() bool {
	size := c.batch.Len() + len(c.gather.packed) + len(c.gather.raw)
	if c.most = max(c.most, size); c.most < retainedBatch/smallFraction || size > c.most/smallFraction {
		c.small = 0
	} else {
		c.small++
	}
	return c.small == oftenSmall
}

// Append writes msgs and entries in one durable step.
func (l *Log) Append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	if err := l.append(ctx, msgs, entries); err != nil {
		return fmt.Errorf("pebblelog: append: %w", err)
	}
	return nil
}

func (l *Log) append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	c := l.newCommit()
	if err := l.check(c, msgs, entries); err != nil {
		l.recycle(c)
		return err
	}
	if err := l.throttle(ctx); err != nil {
		l.recycle(c)
		return err
	}
	c.gather.pack(msgs, int(min(runBytes, l.opts.segmentBytes())))
	if err := l.lockAppend(ctx); err != nil {
		l.recycle(c)
		return err
	}
	// From here on ctx does not count: a batch that is half given up would
	// leave the caller with an offset that may come true later.
	if err := l.Err(); err != nil {
		l.unlockAppend()
		return err
	}
	size, err := l.fill(c, msgs, entries)
	if err == nil && !c.batch.Empty() {
		l.apply(c)
	}
	l.unlockAppend()
	if err != nil {
		l.poison(err)
		return err
	}
	if err := l.wait(c); err != nil {
		return err
	}
	l.appendedMessages.Add(int64(len(msgs)))
	l.appendedBytes.Add(size)
	return nil
}

// check finds what is wrong with the arguments before anything is done, and
// has c gather the messages by partition.
func (l *Log) check(c *commit, msgs []connect.Message, entries []offsets.Entry) error {
	size := 0
	g := &c.gather
	for i := range msgs {
		m := &msgs[i]
		if g.topic == nil || g.topic.name != m.Topic || m.Partition < 0 || int(m.Partition) >= len(g.topic.partitions) {
			p, err := l.lookup(m.Topic, m.Partition)
			if err != nil {
				return err
			}
			g.topic = p.topic
		}
		g.add(&g.topic.partitions[m.Partition])
		size += headLen(m)
	}
	if size > maxBatch {
		return fmt.Errorf("%d messages of %d bytes are more than one append can carry; append them in parts", len(msgs), size)
	}
	return checkEntries(entries)
}

// throttle waits while compactions are far behind.
func (l *Log) throttle(ctx context.Context) error {
	for {
		l.mu.Lock()
		gate := l.gate
		l.mu.Unlock()
		if gate == nil {
			return nil
		}
		select {
		case <-gate:
		case <-l.broken:
			return l.Err()
		case <-l.done:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fill gives offsets to msgs and puts all into c. Call with the append lock.
func (l *Log) fill(c *commit, msgs []connect.Message, entries []offsets.Entry) (size int64, err error) {
	now := l.opts.Now().UnixMicro()
	for i := range c.gather.runs {
		r := &c.gather.runs[i]
		if err := l.putSegment(c, r.p, now); err != nil {
			return 0, err
		}
		if r.count > 1 {
			err = l.putRun(c, r, msgs)
		} else {
			err = l.putMessage(c, r.p, &msgs[r.first])
		}
		if err != nil {
			return 0, err
		}
		r.p.next += int64(r.count)
		r.p.bytes += uint64(r.size)
		r.p.lastTime = now
		size += int64(r.size)
	}
	for i := range c.gather.groups {
		p := c.gather.groups[i].p
		c.touched = append(c.touched, touch{p: p, end: p.next, held: p.heldBytes()})
		if err := l.putEnd(c, p); err != nil {
			return 0, err
		}
	}
	return size, putEntries(c, entries)
}

// putMessage puts one message into c, and the parts of a large one into
// batches of their own.
func (l *Log) putMessage(c *commit, p *partition, m *connect.Message) error {
	m.Offset = p.next
	if partsOf(m.Value) > 0 {
		if err := l.putParts(c, p, m.Value); err != nil {
			return err
		}
	}
	op := c.batch.SetDeferred(messageKeyLen, headLen(m))
	appendOffsetKey(op.Key[:0], spaceMessage, p, m.Offset)
	appendHead(op.Value[:0], m)
	return op.Finish()
}

// putRun puts a run of messages into c, under the offset of its last one.
func (l *Log) putRun(c *commit, r *run, msgs []connect.Message) error {
	for i, offset := r.first, r.p.next; i >= 0 && offset < r.p.next+int64(r.count); i, offset = c.gather.next[i], offset+1 {
		msgs[i].Offset = offset
	}
	packed := c.gather.packed[r.begin:r.end]
	op := c.batch.SetDeferred(messageKeyLen, len(packed))
	appendOffsetKey(op.Key[:0], spaceMessage, r.p, r.p.next+int64(r.count)-1)
	copy(op.Value, packed)
	return op.Finish()
}

// putParts writes the parts of a large value ahead of its message, after a
// note by which Open removes them if the message does not follow.
func (l *Log) putParts(c *commit, p *partition, value []byte) error {
	note := p.key(spaceAhead)
	if err := l.db.Set(note, u64s(nil, uint64(p.next)), pebble.NoSync); err != nil {
		return err
	}
	key := appendOffsetKey(make([]byte, 0, partKeyLen), spaceMessage, p, p.next)
	for i := 0; len(value) > 0; i++ {
		n := min(len(value), partBytes)
		key = binary.BigEndian.AppendUint32(key[:messageKeyLen], uint32(i))
		if err := l.db.Set(key, value[:n], pebble.NoSync); err != nil {
			return err
		}
		if err := l.Err(); err != nil {
			return err
		}
		value = value[n:]
	}
	return c.batch.Delete(note, nil)
}

// putEnd saves how far p has got.
func (l *Log) putEnd(c *commit, p *partition) error {
	op := c.batch.SetDeferred(partitionKeyLen, 24)
	appendPartitionKey(op.Key[:0], spaceEnd, p.topic.id, p.index)
	u64s(op.Value[:0], uint64(p.next), p.bytes, uint64(p.lastTime))
	return op.Finish()
}

// apply hands c to Pebble. Call with the append lock, so that batches stand in
// Pebble's log in the order of their offsets, then wait without it.
func (l *Log) apply(c *commit) {
	l.seq++
	c.seq = l.seq
	l.mu.Lock()
	l.pending = append(l.pending, c)
	l.mu.Unlock()
	if err := l.db.ApplyNoSyncWait(c.batch, pebble.Sync); err != nil {
		l.poison(fmt.Errorf("%s: %w", l.opts.Dir, err))
	}
}

// wait waits until c is durable and then shows it, and all before it, to
// readers.
func (l *Log) wait(c *commit) error {
	if c.seq == 0 { // nothing was applied
		l.recycle(c)
		return nil
	}
	if err := l.Err(); err != nil {
		return err // apply failed; there may be nothing to wait for
	}
	if err := c.batch.SyncWait(); err != nil {
		l.poison(fmt.Errorf("%s: %w", l.opts.Dir, err))
	}
	if err := l.Err(); err != nil { // invariant 1: frozen means not durable
		return err
	}
	l.publish(c.seq)
	l.recycle(c)
	return nil
}

// publish shows all commits up to seq. Pebble's log is one sequence, and a
// file of it is synced before the next begins, so what is durable is a prefix.
func (l *Log) publish(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for ; n < len(l.pending) && l.pending[n].seq <= seq; n++ {
		for _, t := range l.pending[n].touched {
			t.p.end, t.p.held, t.p.shown = max(t.p.end, t.end), t.held, l.pending[n].seq
			for _, s := range t.p.subs {
				s.ready()
			}
		}
	}
	k := copy(l.pending, l.pending[n:])
	clear(l.pending[k:])
	l.pending = l.pending[:k]
	l.published = max(l.published, seq)
}
