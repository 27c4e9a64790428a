package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/towline/towline/connect"
)

// ticket is somebody who waits until what a signal did is durable.
type ticket struct {
	done    chan error
	revived []*table // that are not followed again yet
	due     uint64   // the batch that has the state; 0: it is not out yet
}

// signal carries out a signal, and waits until what it did is durable, ctx ends
// or the run does. It locks.
func (w *weaver) signal(ctx context.Context, closed <-chan struct{}, s connect.Signal) ([]string, error) {
	o, err := parseSignal(s)
	if err != nil {
		return nil, connect.Permanent(err)
	}
	w.mu.Lock()
	said, revived, err := w.carryOut(o)
	t := &ticket{done: make(chan error, 1), revived: revived}
	w.tickets = append(w.tickets, t)
	w.tell = true
	w.wakeRead()
	w.mu.Unlock()
	if err != nil {
		return said, err
	}
	select {
	case err := <-t.done:
		return said, err
	case <-closed:
		return said, fmt.Errorf("it is not known whether it was saved; look at the status, and ask again: %w", errClosed)
	case <-ctx.Done():
		return said, fmt.Errorf("it is under way, but not known to be durable: %w", ctx.Err())
	}
}

// carryOut does what an order says and tells what that means. What was done
// is in the state of the next batch.
func (w *weaver) carryOut(o *order) (said []string, revived []*table, err error) {
	var errs []error
	switch o.kind {
	case signalPause, signalResume:
		w.pause(o.kind == signalPause)
		return []string{"copies are " + map[bool]string{true: "paused", false: "under way"}[w.paused]}, nil, nil
	case signalStop:
		said, errs = w.stopCopies(o)
	default:
		said, revived, errs = w.startCopies(o)
	}
	if len(said)+len(errs) == 0 {
		err = fmt.Errorf("no table is concerned: data-collections match the whole of database.table, of captured tables")
	}
	for _, s := range said {
		w.env.Logger.Info("snapshot: a signal is carried out", "signal", o.id, "type", o.kind, "table", s)
	}
	if err = errors.Join(append(errs, err)...); err != nil {
		w.env.Logger.Warn("snapshot: a signal cannot be carried out", "signal", o.id, "type", o.kind, "error", err)
		err = connect.Permanent(err)
	}
	w.wakeWorkers()
	w.wakeRead()
	return said, revived, err
}

// pause keeps copies from going on, or lets them.
func (w *weaver) pause(on bool) {
	if w.paused == on {
		return
	}
	w.paused, w.pausedUnsaved = on, true
	w.env.Logger.Info("snapshot: copies are paused or go on", "paused", on)
	w.retell()
	w.wakeWorkers()
	w.wakeRead()
}

// startCopies is execute-snapshot.
func (w *weaver) startCopies(o *order) (said []string, revived []*table, errs []error) {
	halted := map[tableName]bool{}
	for _, n := range w.changes.Halted() {
		halted[tableName{n[0], n[1]}] = true
	}
	for _, t := range w.order {
		if t.shape == nil || t.stopped || halted[t.tableName] || !o.matches(t.tableName) {
			continue
		}
		text, err := w.startCopy(t, o.filter(t.tableName))
		if err != nil {
			errs = append(errs, fmt.Errorf("table %s: %w", t, err))
		} else {
			said = append(said, t.String()+" "+text)
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(halted), compareNames) {
		if !o.matches(name) {
			continue
		}
		t, err := w.revive(name, o.filter(name))
		if err != nil {
			errs = append(errs, fmt.Errorf("table %s: %w", name, err))
			continue
		}
		said, revived = append(said, name.String()+" is followed again and copied whole"), append(revived, t)
	}
	return said, revived, errs
}

func compareNames(a, b tableName) int { return strings.Compare(a.String(), b.String()) }

// startCopy begins the copy of a table that is followed.
func (w *weaver) startCopy(t *table, filter string) (said string, err error) {
	switch {
	case filter != "" && t.keyless():
		return "", errors.New("it has no key, so it can only be copied whole; leave the condition out")
	case t.status != done && t.filter == "":
		return "is being copied already", nil // and will be as it is now, for its changes follow
	case t.status != done && filter != "":
		if filter != t.filter {
			filter = "(" + t.filter + ") OR (" + filter + ")"
		}
	case t.status == done:
		t.extra = !t.keyless()
	}
	t.ordered, t.filter = true, filter
	if filter == "" && !t.keyless() { // without a key it is emptied first, which tells as much
		t.told = tellBegin
	}
	w.restart(t)
	if filter == "" {
		return "is copied", nil
	}
	return "is copied where " + filter, nil
}

// revive asks for a stopped table to be followed again, which begins with an
// OpSchema.
func (w *weaver) revive(n tableName, filter string) (*table, error) {
	if filter != "" {
		return nil, errors.New("it is stopped, so changes are missing and only a whole copy makes it right; leave the condition out")
	}
	t := w.tables[n]
	if t == nil {
		t = w.add(n)
		t.begin()
	}
	t.revive, t.ordered, t.extra, t.filter = true, true, false, ""
	t.revivals++
	w.save(t)
	w.wakeSignals()
	return t, nil
}

// revived is called when the stream follows t again. Its rows downstream may
// be some that are deleted.
func (w *weaver) revived(t *table) {
	t.stopped, t.dirty = false, true
	t.revivals, t.asked = max(t.revivals-1, 0), max(t.asked-1, 0)
	if t.revive = t.revivals > 0; t.revive {
		return // it was stopped again meanwhile
	}
	for _, k := range w.tickets {
		k.without(t)
	}
}

// notRevived is called when t cannot be followed again. It locks.
func (w *weaver) notRevived(t *table, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.env.Logger.Error("snapshot: a stopped table cannot be followed again", "table", t.String(), "error", err)
	t.revive, t.revivals, t.asked = false, 0, 0
	w.save(t)
	w.tell = true
	for _, k := range w.tickets {
		if k.without(t) {
			k.done <- fmt.Errorf("table %s cannot be followed again: %w", t, err)
		}
	}
	w.wakeRead()
}

// without takes a table off those that k waits for, and reports whether it was
// one.
func (k *ticket) without(t *table) bool {
	for i, o := range k.revived {
		if o == t {
			k.revived = append(k.revived[:i], k.revived[i+1:]...)
			return true
		}
	}
	return false
}

// toRevive returns the tables that the change source is yet to be asked for.
// It locks.
func (w *weaver) toRevive() (list []*table) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.order {
		if t.revive && t.asked < t.revivals {
			t.asked++
			list = append(list, t)
		}
	}
	return list
}

// askAgain lets toRevive return t again. It locks.
func (w *weaver) askAgain(t *table) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.asked--
}

// stopCopies is stop-snapshot.
func (w *weaver) stopCopies(o *order) (said []string, errs []error) {
	for _, t := range w.order {
		if t.status == done || t.stopped || t.shape == nil || !o.matches(t.tableName) {
			continue
		}
		if !t.extra {
			errs = append(errs, fmt.Errorf("table %s: its copy cannot be stopped, for without it the table is not whole; %s holds it", t, signalPause))
			continue
		}
		w.abandon(t, "")
		said = append(said, t.String()+" is not copied on; it is followed as before")
	}
	return said, errs
}

// abandon ends a copy that the table is whole without.
func (w *weaver) abandon(t *table, why string) {
	w.discardAll(t)
	told := toldNothing
	if t.told == toldBegin || t.told == tellGiveUp {
		told = tellGiveUp
	}
	t.progress = progress{status: done, rows: t.rows, bytes: t.bytes, total: t.total, started: t.started, ended: time.Now().UnixMicro(), revive: t.revive, told: told}
	t.settled()
	t.note = why
	w.unwant(t)
	w.news = true
	w.save(t)
	w.wakeWorkers()
	w.wakeRead()
}

// settleTickets gives tickets the number of the batch that is going out with
// all that they wait for.
func (w *weaver) settleTickets() {
	for _, k := range w.tickets {
		if k.due == 0 && len(k.revived) == 0 {
			k.due = w.sent + 1
		}
	}
}

// out counts a batch that goes out. It locks.
func (w *weaver) out(b *connect.Batch) {
	if b.Pos == nil {
		return
	}
	w.mu.Lock()
	w.sent++
	w.mu.Unlock()
}

// committed counts a batch that is durable. It locks.
func (w *weaver) committed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.durable++; w.due > 0 && !w.waits() {
		w.due = 0
		w.wakeRead()
	}
	keep := w.tickets[:0]
	for _, k := range w.tickets {
		switch {
		case k.due > 0 && k.due <= w.durable:
			select {
			case k.done <- nil:
			default: // it was told of an error
			}
		default:
			keep = append(keep, k)
		}
	}
	clear(w.tickets[len(keep):])
	w.tickets = keep
}

// emitState fills b with state alone that somebody waits for.
func (w *weaver) emitState(b *connect.Batch) bool {
	if !w.tell {
		return false
	}
	w.tell = false
	w.stamp(b)
	return true
}
