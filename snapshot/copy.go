package snapshot

import (
	"context"
	"errors"
	"time"

	"github.com/towline/towline/connect"
)

// lockedCopy is the copy of a table without a key, read as of one position.
type lockedCopy struct {
	table    *table
	locked   Locked
	locking  bool // its position is not known yet
	high     High
	full     chan *connect.Batch
	finished bool
	aborted  bool
	cancel   context.CancelFunc // set by the worker
}

var errAborted = errors.New("snapshot: the copy was given up")

// openCopy begins a locked copy of t. The stream is at a boundary.
func (w *weaver) openCopy(t *table) *lockedCopy {
	c := &lockedCopy{table: t, locking: true, full: make(chan *connect.Batch, 1)}
	c.locked = Locked{Table: t.shape, Anchor: w.changes.Anchor(w.pos), PartBytes: min(partBytes, w.cfg.ChunkBytes), First: new(connect.Batch)}
	w.seq = max(w.seq, c.locked.Anchor.Seq)
	w.copy = c
	if t.status == waiting {
		t.status, t.started = copying, time.Now().UnixMicro()
		t.report(&w.env, nil, w.why())
	}
	return c
}

// abortCopy gives the copy up and lets the stream go on. What was emitted of
// it is truncated before the next one.
func (w *weaver) abortCopy() {
	c := w.copy
	w.copy = nil
	c.aborted = true
	if c.cancel != nil {
		c.cancel()
	}
	if c.table.dirty {
		c.table.begin()
		w.want(c.table)
		w.save(c.table)
	}
	w.wakeWorkers()
	w.wakeRead()
}

// runCopy reads with r until all rows are handed over. It locks.
func (w *weaver) runCopy(ctx context.Context, c *lockedCopy, r Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	c.cancel = cancel
	aborted := c.aborted
	w.mu.Unlock()
	if aborted {
		return errAborted
	}
	c.locked.Begin = func(h High) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		c.high, c.locking = h, false
		w.wakeRead()
		if c.aborted {
			return errAborted
		}
		return nil
	}
	c.locked.Give = func(b *connect.Batch) (*connect.Batch, error) {
		select {
		case c.full <- b:
			w.wakeRead()
			return new(connect.Batch), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return r.ReadLocked(ctx, c.locked)
}

// copyDone takes the copy back from its worker. It locks.
func (w *weaver) copyDone(c *lockedCopy, err error, high High) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.aborted {
		return
	}
	if err == nil {
		c.finished = true
		w.wakeRead()
		return
	}
	w.abortCopy()
	w.failed(c.table, err, high)
}

// emitCopy moves rows of the copy to b, or ends it.
func (w *weaver) emitCopy(b *connect.Batch) bool {
	c := w.copy
	t := c.table
	select {
	case p := <-c.full:
		b.Swap(p)
		w.finishRows(b, c.high)
		t.rows += int64(len(b.Records))
		t.bytes += int64(b.Size())
		if !t.dirty {
			t.dirty = true
			w.save(t)
		}
		t.report(&w.env, nil, w.why())
		w.stamp(b)
		return true
	default:
	}
	if !c.finished {
		return false
	}
	w.copy = nil
	t.settled()
	w.finished(t)
	if !w.changes.Reached(w.pos, c.high) {
		t.upTo, t.server = c.high, c.locked.Anchor.ServerUUID
		w.upTos++
	}
	w.save(t)
	w.stamp(b)
	w.wakeWorkers()
	return true
}

// holds reports whether a batch of the stream must wait for the copy: it has
// a change that comes after the copy's position, or that position is not known
// yet, or rows could not come after the batch since it ends no transaction. It
// locks.
func (w *weaver) holds(b *connect.Batch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waits() {
		return true
	}
	c := w.copy
	if c == nil {
		return false
	}
	if b.Pos == nil {
		return true
	}
	for i := range b.Records {
		r := &b.Records[i]
		if w.tableOf(r.Table) == c.table && (c.locking || r.Origin == nil || !c.high.Covers(r.Origin)) {
			return true
		}
	}
	return false
}
