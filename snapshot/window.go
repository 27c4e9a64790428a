package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// partBytes is the size of one batch of rows.
const partBytes = 1 << 20

// Tries, after which a table is given up or read in another way.
const (
	maxShapeFails = 5
	maxTableFails = 8
	maxPartial    = 10
	maxWholeTries = 3
)

// openWindow is OPEN. The stream is at a boundary.
func (w *weaver) openWindow(t *table, s *segment) *window {
	anchor := w.changes.Anchor(w.pos)
	w.seq = max(w.seq, anchor.Seq)
	if w.server == "" {
		w.server = anchor.ServerUUID
	}
	win := &window{table: t, shape: t.shape, segment: s, generation: t.log.open(), reading: true}
	win.chunk = Chunk{Table: t.shape, Lo: t.lo(s), Hi: s.hi, Filter: t.filter, Anchor: anchor, MaxRows: 2 * t.chunkRows(&w.cfg),
		MaxBytes: 2 * w.cfg.ChunkBytes, PartBytes: min(partBytes, w.cfg.ChunkBytes), NewBatch: w.batch}
	if s.wide {
		win.chunk.MaxRows = t.chunkRows(&w.cfg)
	}
	if t.keyless() {
		win.chunk.MaxRows = 1 << 30
	}
	s.open = true
	t.open++
	w.reserved += w.reserve()
	w.windows = append(w.windows, win)
	if t.status == waiting {
		t.status, t.started = copying, time.Now().UnixMicro()
		t.report(&w.env, nil, w.why())
	}
	return win
}

// reserve is what one window counts for.
func (w *weaver) reserve() int64 { return 2 * int64(w.cfg.ChunkBytes) }

// room reports whether one more window may open.
func (w *weaver) room() bool {
	return w.reserved == 0 || w.reserved+w.reserve() <= w.cfg.MaxBytes
}

// batch returns an empty batch. It locks.
func (w *weaver) batch() *connect.Batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.free); n > 0 {
		b := w.free[n-1]
		w.free = w.free[:n-1]
		return b
	}
	return new(connect.Batch)
}

// recycle keeps b's memory for another part, while there is use for it.
func (w *weaver) recycle(b *connect.Batch) {
	b.Reset()
	if int64(len(w.free))*partBytes < w.cfg.MaxBytes && len(w.windows) > 0 {
		w.free = append(w.free, b)
	} else if len(w.windows) == 0 {
		w.free = nil
	}
}

// shut takes a window out of the books; its rows, if there are any, stay.
func (w *weaver) shut(win *window) {
	win.table.log.close(win.generation)
	win.table.open--
	win.segment.open = false
	w.windows = slices.DeleteFunc(w.windows, func(o *window) bool { return o == win })
}

// release frees the rows of a window that is shut.
func (w *weaver) release(win *window) {
	for _, p := range win.chunk.Parts {
		w.recycle(p)
	}
	win.chunk.Parts = nil
	w.reserved -= w.reserve()
	w.wakeWorkers()
}

// discard throws a window away; its range is read again.
func (w *weaver) discard(win *window) {
	w.shut(win)
	win.discarded = true
	if !win.reading {
		w.release(win)
	}
	w.wakeWorkers()
}

// discardWindows throws away t's windows, which hold rows from before a
// TRUNCATE that touches no key. A locked copy has its own place in the log.
func (w *weaver) discardWindows(t *table) {
	for _, win := range slices.Clone(w.windows) {
		if win.table == t {
			w.discard(win)
		}
	}
}

// discardAll throws away everything that is under way with t.
func (w *weaver) discardAll(t *table) {
	w.discardWindows(t)
	if c := w.copy; c != nil && c.table == t {
		w.abortCopy()
	}
}

// delivered takes a window back from the worker that read it. high is the end
// of the log after an ErrShape. It locks.
func (w *weaver) delivered(win *window, err error, high High) {
	w.mu.Lock()
	defer w.mu.Unlock()
	win.reading = false
	t := win.table
	if win.discarded {
		w.release(win)
		return
	}
	if err != nil {
		w.shut(win)
		w.release(win)
		w.failed(t, err, high)
		return
	}
	c := &win.chunk
	t.measure(c.Rows, c.Bytes)
	w.pace(c.Rows)
	if c.Cut && t.keyless() {
		t.big = true
		w.discard(win)
		return
	}
	if c.Cut {
		t.split(win.segment, slices.Clone(c.End))
	}
	win.segment.wide = false
	w.wakeWorkers()
	w.wakeRead()
}

// pace makes the next window wait until rows may have been read.
func (w *weaver) pace(rows int64) {
	if w.cfg.RowRate <= 0 {
		return
	}
	if now := time.Now(); w.paceAt.Before(now) {
		w.paceAt = now
	}
	w.paceAt = w.paceAt.Add(time.Duration(float64(rows) / float64(w.cfg.RowRate) * float64(time.Second)))
}

// failed decides what becomes of t after an error that is about it.
func (w *weaver) failed(t *table, err error, high High) {
	w.wakeWorkers()
	switch {
	case connect.IsPermanent(err):
		w.stop(t, err)
	case errors.Is(err, ErrShape):
		if t.hold.File == "" || w.changes.Reached(w.pos, t.hold) {
			t.shapeFails++ // else it is one statement that several windows met
		}
		t.hold, t.retryAt = high, time.Now().Add(time.Second)
		if t.shapeFails >= maxShapeFails {
			w.stop(t, fmt.Errorf("it cannot be read as the log describes it: %w", err))
		}
	case errors.Is(err, ErrTable):
		t.tableFails++
		t.retryAt = time.Now().Add(time.Second << min(t.tableFails, 5))
		if t.tableFails >= maxTableFails {
			w.stop(t, err)
		}
	}
}

// closable returns a window that is read and whose HIGH the stream has
// reached.
func (w *weaver) closable() *window {
	for _, win := range w.windows {
		if !win.reading && w.changes.Reached(w.pos, win.chunk.High) {
			return win
		}
	}
	return nil
}

// closeWindow is CLOSE. It reports false if the window had to be thrown away.
func (w *weaver) closeWindow(win *window) bool {
	t := win.table
	any, partial := t.log.since(win.generation)
	switch {
	case w.changes.Anchor(w.pos).ServerUUID != win.chunk.Anchor.ServerUUID, t.shape == nil || !win.shape.SameLayout(t.shape):
		w.discard(win)
		return false
	case partial:
		w.discard(win)
		if t.tries++; t.tries >= maxPartial {
			w.stop(t, fmt.Errorf("its changes do not hold whole rows; set binlog_row_image=FULL, globally and in every session that writes"))
		}
		return false
	case any && t.keyless():
		w.discard(win)
		t.tries++
		return false
	case any:
		w.dropTouched(win)
	}
	w.shut(win)
	win.segment.open = true // until its last part is out
	w.emitting = win
	return true
}

func (w *weaver) dropTouched(win *window) {
	key := win.shape.Key
	for _, p := range win.chunk.Parts {
		p.Keep(func(r *connect.Record) bool {
			w.key = w.identity(w.key[:0], r.After, key)
			return !win.table.log.touched(w.key, win.generation)
		})
	}
}

// emitPart moves the next part of the closed window to b.
func (w *weaver) emitPart(b *connect.Batch) {
	win := w.emitting
	c := &win.chunk
	for len(c.Parts) > 0 {
		p := c.Parts[0]
		c.Parts = c.Parts[1:]
		empty := len(p.Records) == 0
		if !empty {
			b.Swap(p)
		}
		w.recycle(p)
		if !empty {
			break
		}
	}
	t := win.table
	w.finishRows(b, c.High)
	if t.shape != nil && t.shape.SameLayout(win.shape) { // as the stream's rows have it: what else is known of the table counts too
		for i := range b.Records {
			b.Records[i].Table = t.shape
		}
	}
	t.rows += int64(len(b.Records))
	t.bytes += int64(b.Size())
	if len(c.Parts) > 0 && t.keyless() && !t.dirty {
		t.dirty = true
		w.save(t)
	}
	if len(c.Parts) == 0 {
		w.emitting = nil
		t.settled()
		if t.finish(win.segment) {
			w.finished(t)
		}
		w.save(t)
		w.release(win)
	}
	w.stamp(b)
}

// finished marks t as copied.
func (w *weaver) finished(t *table) {
	t.status, t.ended, t.segments = done, time.Now().UnixMicro(), nil
	t.dirty, t.note = t.keyless(), ""
	if t.told == toldBegin {
		t.told, w.news = tellEnd, true
	}
	t.whole()
	w.unwant(t)
}

// finishRows gives the records of b what only the stream knows.
func (w *weaver) finishRows(b *connect.Batch, h High) {
	if len(b.Records) == 0 {
		return
	}
	o := b.NewOrigin()
	o.Snapshot, o.File, o.Pos = true, h.File, h.Pos
	topic := w.changes.Topic(b.Records[0].Table)
	for i := range b.Records {
		r := &b.Records[i]
		r.Op, r.Topic, r.Seq, r.Origin, r.Row = connect.OpRead, topic, w.seq, o, int32(i)
	}
	b.Records[len(b.Records)-1].Flags |= connect.TxEnd
}

// emitNext fills b with what is due between two batches of the stream and
// reports whether there was something. waiting means that the stream has a
// batch that may go out, which takes turns with a long copy. It locks.
func (w *weaver) emitNext(b *connect.Batch, waiting bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.emitting != nil {
		w.emitPart(b)
		return true
	}
	if !w.boundary || w.waits() {
		return false
	}
	if w.emitState(b) {
		return true
	}
	if w.news {
		if w.emitTruncations(b) || w.emitShapes(b) {
			return true
		}
		w.news = false
	}
	for win := w.closable(); win != nil; win = w.closable() {
		if w.closeWindow(win) {
			w.emitPart(b)
			return true
		}
	}
	if w.copy == nil || waiting && w.copied {
		w.copied = false
		return false
	}
	w.copied = w.emitCopy(b)
	return w.copied
}

// mustTell reports whether targets are yet to hear of the copy of t.
func (t *table) mustTell() bool { return t.told != toldNothing && t.told != toldBegin }

// tell returns what targets are told with the shape of t, which they are then.
func (t *table) tell() connect.Flags {
	switch t.told {
	case tellBegin:
		t.told = toldBegin
		return connect.Reread
	case tellGiveUp:
		t.told = toldNothing
		return connect.GivenUp
	case tellEnd:
		t.told = toldNothing
	}
	if t.status != done {
		return connect.Unsettled
	}
	return 0
}

// emitShapes fills b with the shapes of tables that targets have not been told
// of, or of whose copies they are to hear.
func (w *weaver) emitShapes(b *connect.Batch) bool {
	for _, t := range w.order {
		if !t.announce && !t.mustTell() || t.shape == nil || t.stopped {
			continue
		}
		if t.mustTell() {
			w.save(t)
		}
		t.announce = false
		r := b.Add()
		r.Op, r.Flags, r.Table, r.Seq, r.Time = connect.OpSchema, connect.TxEnd|t.tell(), t.shape, w.seq, time.Now().UnixMicro()
		r.Topic, r.Origin = w.changes.Topic(t.shape), b.NewOrigin()
		r.Origin.Snapshot = true
	}
	if len(b.Records) == 0 {
		return false
	}
	w.stamp(b)
	w.wakeWorkers() // they wait for it where a table begins anew
	return true
}

func appendSeq(seq uint64) offsets.Position {
	return binary.BigEndian.AppendUint64(nil, seq)
}

func seqOf(p offsets.Position) uint64 {
	if len(p) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(p)
}
