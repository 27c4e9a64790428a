package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// job is a piece of work for one Reader. Which one it is tells the field that
// is set: a window to read, a locked copy, a segment to split, the sizes of
// tables that are wanted; else it is the end of the log.
type job struct {
	table  *table
	shape  *schema.Table
	window *window
	copy   *lockedCopy
	split  *segment
	lo, hi Key
	rows   int
	sizes  []*table
	shapes []*schema.Table // of sizes
}

// next returns a job, or nil and what to wait for; idle means that nothing is
// left to copy. It locks.
func (w *weaver) next() (j *job, changed <-chan struct{}, pause time.Duration, idle bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed, pause, idle = w.changed, time.Hour, true
	if w.paused {
		return nil, changed, pause, true
	}
	if !w.paceAt.IsZero() {
		if wait := time.Until(w.paceAt); wait > 0 {
			return nil, changed, wait, false
		}
		w.paceAt = time.Time{}
	}
	for _, t := range w.work {
		if !w.wanted(t) {
			continue
		}
		idle = false
		if w.rest != "" || !w.boundary || t.busy || t.truncate || t.told == tellBegin {
			continue
		}
		if !t.retryAt.IsZero() {
			if wait := time.Until(t.retryAt); wait > 0 {
				pause = min(pause, wait)
				continue
			}
			t.retryAt = time.Time{}
		}
		if j = w.jobOf(t); j != nil {
			j.table, j.shape = t, t.shape
			return j, changed, 0, false
		}
	}
	return nil, changed, pause, idle
}

// jobOf returns what can be done for t now.
func (w *weaver) jobOf(t *table) *job {
	switch {
	case t.needHigh:
		t.busy = true
		return &job{}
	case t.hold.File != "" && !w.changes.Reached(w.pos, t.hold):
		return nil
	case !t.estimated:
		return w.sizesJob()
	case t.keyless():
		return w.keylessJob(t)
	}
	t.hold = High{}
	for _, s := range t.segments {
		switch {
		case s.done || s.open || !w.room():
		case s.wide && !s.whole && w.splits(t):
			s.open = true
			return &job{split: s, lo: t.lo(s), hi: s.hi, rows: t.chunkRows(&w.cfg)}
		default:
			return &job{window: w.openWindow(t, s)}
		}
	}
	return nil
}

// splits reports whether t is large and has fewer ranges than there are
// workers.
func (w *weaver) splits(t *table) bool {
	if max(t.total, t.rows) < splitChunks*int64(t.chunkRows(&w.cfg)) {
		return false
	}
	left := 0
	for _, s := range t.segments {
		if !s.done {
			left++
		}
	}
	return left < w.cfg.Threads
}

// splitChunks is how many chunks a table has at least that is split.
const splitChunks = 4

// maxSizes is how many tables one question about sizes names at most.
const maxSizes = 100

// sizesJob asks for the sizes of all tables that wait for that, up to a limit.
func (w *weaver) sizesJob() *job {
	j := &job{}
	for _, t := range w.work {
		if t.status == done || t.stopped || t.shape == nil || t.busy || t.estimated || t.truncate || t.told == tellBegin || t.needHigh || t.hold.File != "" || !t.retryAt.IsZero() {
			continue
		}
		t.busy = true
		j.sizes = append(j.sizes, t)
		j.shapes = append(j.shapes, t.shape)
		if len(j.sizes) == maxSizes {
			break
		}
	}
	return j
}

func (w *weaver) keylessJob(t *table) *job {
	if t.open > 0 || len(t.segments) != 1 || t.segments[0].open {
		return nil
	}
	if !t.big && t.tries < maxWholeTries {
		if !w.room() {
			return nil
		}
		return &job{window: w.openWindow(t, t.segments[0])}
	}
	if w.cfg.NoLocks {
		w.stop(t, errors.New("it has no key and is too large or too busy to be read in one window; give it a primary key, or set snapshot.locking.mode=minimal"))
		return nil
	}
	if w.copy != nil {
		return nil
	}
	return &job{copy: w.openCopy(t)}
}

// divided takes the outcome of a split. It locks.
func (w *weaver) divided(j *job, at Key, err error, high High) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j.split.open = false
	switch {
	case err != nil:
		if j.table.shape == j.shape {
			w.failed(j.table, err, high)
		}
	case at == nil:
		j.split.whole = true
	case slices.Contains(j.table.segments, j.split): // else the copy began anew meanwhile
		j.table.split(j.split, at)
	}
	w.wakeWorkers()
}

// measured takes the sizes of tables. It locks.
func (w *weaver) measured(j *job, sizes []Size, err error, high High) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, t := range j.sizes {
		t.busy = false
		switch {
		case err != nil:
			w.failed(t, err, high)
		case sizes[i].Gone:
			w.failed(t, fmt.Errorf("table %s is not there: %w", t, ErrShape), high)
		default:
			t.estimated, t.total = true, sizes[i].Rows
			if t.rowBytes == 0 {
				t.rowBytes = sizes[i].RowBytes
			}
			t.big = sizes[i].Rows*sizes[i].RowBytes > 4*int64(w.cfg.ChunkBytes)
		}
	}
	w.wakeWorkers()
}

// told takes the end of the log. It locks.
func (w *weaver) told(j *job, err error, high High) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := j.table
	t.busy = false
	if err != nil {
		w.failed(t, err, high)
	} else {
		t.needHigh, t.hold = false, high
	}
	w.wakeWorkers()
}

// Pauses between tries of a connection that fails.
const (
	minPause = 200 * time.Millisecond
	maxPause = 30 * time.Second
)

// worker does jobs with one Reader.
type worker struct {
	w      *weaver
	r      Reader
	opened bool
	pause  time.Duration
}

// run works until ctx ends.
func (k *worker) run(ctx context.Context) {
	defer k.close()
	for ctx.Err() == nil {
		j, changed, pause, idle := k.w.next()
		if j != nil {
			k.settle(ctx, k.do(ctx, j))
			continue
		}
		if idle {
			k.close()
		}
		k.wait(ctx, changed, pause)
	}
}

func (k *worker) wait(ctx context.Context, changed <-chan struct{}, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer.C:
	}
}

func (k *worker) close() {
	if k.opened {
		k.opened = false
		k.r.Close()
	}
}

// settle closes the connection after an error, and pauses if it was not about
// the table.
func (k *worker) settle(ctx context.Context, err error) {
	if err == nil || errors.Is(err, ErrShape) {
		k.pause = 0
		return
	}
	k.close()
	if errors.Is(err, ErrTable) || connect.IsPermanent(err) {
		return
	}
	if ctx.Err() != nil || errors.Is(err, errAborted) || errors.Is(err, context.Canceled) {
		return
	}
	k.pause = min(max(2*k.pause, minPause), maxPause)
	k.w.env.Logger.Warn("snapshot: reading rows failed and is tried again", "error", err, "pause", k.pause)
	k.wait(ctx, nil, k.pause)
}

// do does one job and hands over its outcome.
func (k *worker) do(ctx context.Context, j *job) error {
	err := k.open(ctx)
	var at Key
	var sizes []Size
	var high High
	if err == nil {
		switch {
		case j.window != nil:
			err = k.r.ReadChunk(ctx, &j.window.chunk)
		case j.copy != nil:
			err = k.w.runCopy(ctx, j.copy, k.r)
		case j.split != nil:
			at, err = k.r.Split(ctx, j.shape, j.lo, j.hi, j.rows)
		case j.sizes != nil:
			sizes, err = k.r.Estimate(ctx, j.shapes)
		default:
			high, err = k.r.High(ctx)
		}
	}
	if errors.Is(err, ErrShape) || slices.ContainsFunc(sizes, func(s Size) bool { return s.Gone }) {
		high, _ = k.r.High(ctx)
	}
	switch {
	case j.window != nil:
		k.w.delivered(j.window, err, high)
	case j.copy != nil:
		k.w.copyDone(j.copy, err, high)
	case j.split != nil:
		k.w.divided(j, at, err, high)
	case j.sizes != nil:
		k.w.measured(j, sizes, err, high)
	default:
		k.w.told(j, err, high)
	}
	return err
}

func (k *worker) open(ctx context.Context) error {
	if k.opened {
		return nil
	}
	if err := k.r.Open(ctx); err != nil {
		return err
	}
	k.opened = true
	return nil
}
