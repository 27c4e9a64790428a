package snapshot

import (
	"context"
	"errors"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// job is a piece of work for one Reader. Which one it is tells the field that
// is set: a window to read, a locked copy, a segment to plan; else the
// table's size, or the end of the log, is wanted.
type job struct {
	table  *table
	shape  *schema.Table
	window *window
	copy   *lockedCopy
	plan   *segment
	lo     Key
	rows   int
	high   bool
}

// next returns a job, or nil and what to wait for; idle means that nothing is
// left to copy. It locks.
func (w *weaver) next() (j *job, changed <-chan struct{}, pause time.Duration, idle bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed, pause, idle = w.changed, time.Hour, true
	for _, t := range w.order {
		if t.status == done || t.stopped || t.shape == nil || w.cfg.Mode == NoData {
			continue
		}
		idle = false
		if !w.boundary || t.busy || t.truncate {
			continue
		}
		if wait := time.Until(t.retryAt); wait > 0 {
			pause = min(pause, wait)
			continue
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
		return &job{high: true}
	case t.hold.File != "" && !w.changes.Reached(w.pos, t.hold):
		return nil
	case !t.estimated:
		t.busy = true
		return &job{}
	case t.keyless():
		return w.keylessJob(t)
	}
	t.hold = High{}
	for _, s := range t.segments {
		switch {
		case s.done || s.open || !w.room():
		case s.wide && t.lo(s) != nil:
			s.open = true
			return &job{plan: s, lo: t.lo(s), rows: t.chunkRows(&w.cfg)}
		default:
			return &job{window: w.openWindow(t, s)}
		}
	}
	return nil
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

// planned takes the outcome of a plan. It locks.
func (w *weaver) planned(j *job, hi Key, err error, high High) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j.plan.open = false
	switch {
	case err != nil:
		if j.table.shape == j.shape {
			w.failed(j.table, err, high)
		}
	case hi != nil && j.table.lo(j.plan) != nil: // nil: the copy began anew meanwhile
		j.table.split(j.plan, hi).wide = true
		j.plan.wide = false
	default:
		j.plan.wide = false
	}
	w.wakeWorkers()
}

// informed takes the answer to a question about a table. It locks.
func (w *weaver) informed(j *job, rows, rowBytes int64, err error, high High) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := j.table
	t.busy = false
	switch {
	case err != nil:
		w.failed(t, err, high)
	case j.high:
		t.needHigh, t.hold = false, high
	default:
		t.estimated, t.total = true, rows
		if t.rowBytes == 0 {
			t.rowBytes = rowBytes
		}
		t.big = rows*rowBytes > 4*int64(w.cfg.ChunkBytes)
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
	var hi Key
	var rows, rowBytes int64
	var high High
	if err == nil {
		switch {
		case j.window != nil:
			err = k.r.ReadChunk(ctx, &j.window.chunk)
		case j.copy != nil:
			err = k.w.runCopy(ctx, j.copy, k.r)
		case j.plan != nil:
			hi, err = k.r.Plan(ctx, j.shape, j.lo, j.rows)
		case j.high:
			high, err = k.r.High(ctx)
		default:
			rows, rowBytes, err = k.r.Estimate(ctx, j.shape)
		}
	}
	if errors.Is(err, ErrShape) {
		high, _ = k.r.High(ctx)
	}
	switch {
	case j.window != nil:
		k.w.delivered(j.window, err, high)
	case j.copy != nil:
		k.w.copyDone(j.copy, err, high)
	case j.plan != nil:
		k.w.planned(j, hi, err, high)
	default:
		k.w.informed(j, rows, rowBytes, err, high)
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
