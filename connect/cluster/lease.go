package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// errExpelled: the others have given up on this worker.
var errExpelled = fmt.Errorf("this worker is not a member of the cluster any more: %w", connect.ErrFenced)

// errLapsed: the lease may have ended. It may be had again.
var errLapsed = errors.New("the worker could not renew its lease in time; what it runs waits until it can")

// errNamesake: another process renews the lease of this worker's name.
var errNamesake = errors.New("another worker that runs is known by this name: give each its own rest.advertised.host.name or rest.advertised.port")

// lease is this worker's: until when others surely let it be, by its own clock.
type lease struct {
	mu     sync.Mutex
	until  time.Time
	steady time.Time // since when it has been held without a break
}

// renewed takes note of a renewal that was asked for at a time.
func (l *lease) renewed(asked time.Time, holds time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !now.Before(l.until) {
		l.steady = now
	}
	if until := asked.Add(holds); until.After(l.until) {
		l.until = until
	}
}

// end ends the lease here.
func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Time{}
}

// alive reports whether the lease is held, and since when without a break.
func (l *lease) alive() (since time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.steady, time.Now().Before(l.until)
}

func (l *lease) err() error {
	if _, ok := l.alive(); !ok {
		return errLapsed
	}
	return nil
}

// margin is how long before the end of its lease, as others see it, a worker
// ends its tasks.
func margin(session time.Duration) time.Duration { return session / 4 }

// judge tells which members are silent, by the clock of this process alone: it
// counts from when it has seen a renewal.
type judge struct {
	seen map[string]sighting
}

type sighting struct {
	member
	at time.Time
}

// watch takes in what there is of members.
func (j *judge) watch(members map[string]member) {
	now := time.Now()
	for id, m := range members {
		if s, ok := j.seen[id]; !ok || s.Incarnation != m.Incarnation || s.Beat != m.Beat {
			j.seen[id] = sighting{m, now}
		}
	}
	for id := range j.seen {
		if !has(members, id) {
			delete(j.seen, id)
		}
	}
}

// silent returns for how much longer than its lease a member has not been heard
// of, as seen by one who has been able to hear since a time. Below 0 it is alive.
func (j *judge) silent(id string, since time.Time) time.Duration {
	s, ok := j.seen[id]
	if !ok {
		return -1
	}
	from := s.at
	if since.After(from) {
		from = since
	}
	return time.Since(from) - time.Duration(s.Session)*time.Millisecond
}

// entry is this worker's record.
func (h *Herder) entry(beat int64) offsets.Entry {
	return encode(memberKey+h.opts.WorkerID, member{Incarnation: h.incarnation(), Beat: beat, Session: h.opts.Session.Milliseconds(),
		Leaving: h.leaving.Load(), Strategy: h.opts.Strategy})
}

// join makes this worker a member. What it had before, as a process that is no
// more, is its again. It waits for that process's lease to end, unless somebody
// goes on renewing it.
func (h *Herder) join(ctx context.Context) error {
	var other member // as it was when it was seen first
	h.mu.Lock()
	h.incarnations++
	h.mu.Unlock()
	for {
		m, err := h.current()
		if err != nil {
			return err
		}
		h.mu.Lock()
		h.judge.watch(m.members)
		silent := h.judge.silent(h.opts.WorkerID, time.Time{})
		h.mu.Unlock()
		old, ok := m.members[h.opts.WorkerID]
		if ok && silent < 0 && old.Incarnation != h.incarnation() { // else the answer to the last attempt got lost
			if other.Incarnation != old.Incarnation {
				other = old
			}
			// The last renewal of one that was killed may come late, but no second.
			if !old.Leaving && old.Beat > other.Beat+1 {
				return fmt.Errorf("cluster: worker %s: %w", h.opts.WorkerID, errNamesake)
			}
			if err := pause(ctx, h.opts.Heartbeat/2); err != nil {
				return err
			}
			continue
		}
		asked, joined, err := h.enlist(ctx, old)
		if err != nil && ctx.Err() == nil {
			h.opts.Logger.Warn("the cluster could not be joined; trying again", "error", err)
		}
		if err != nil {
			if err := pause(ctx, time.Second); err != nil {
				return err
			}
		}
		if joined {
			h.renewed(asked)
			return nil
		}
	}
}

// enlist writes this worker's first record, unless somebody else has changed
// the one that was there.
func (h *Herder) enlist(ctx context.Context, old member) (asked time.Time, joined bool, err error) {
	err = h.update(ctx, func(m *model) ([]offsets.Entry, error) {
		joined = false
		if m.members[h.opts.WorkerID] != old {
			return nil, nil
		}
		joined, asked = true, time.Now()
		list := []offsets.Entry{h.entry(m.place)}
		if m.id == "" {
			list = append(list, offsets.Entry{Key: idKey, Pos: offsets.Position(randomID())})
		}
		for t, c := range m.claims {
			if c.Worker == h.opts.WorkerID {
				list = append(list, encode(taskKey(claimKey, t), claim{h.opts.WorkerID, h.incarnation(), m.place, c.Generation}))
			}
		}
		return list, nil
	})
	return asked, joined && err == nil, err
}

// beats renews the lease until ctx ends. Who has been expelled joins anew, once
// all that it ran has ended.
func (h *Herder) beats(ctx context.Context) error {
	for {
		err := h.beat(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errExpelled):
			h.opts.Logger.Error("the other workers have taken this one for dead; it joins them anew", "worker", h.opts.WorkerID)
			h.lease.end()
			h.noteExpulsion()
			if err := h.empty(ctx); err != nil {
				return nil
			}
			if err := h.join(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		case err != nil:
			h.opts.Logger.Warn("the worker's lease could not be renewed; trying again", "error", err)
		}
		if pause(ctx, h.opts.Heartbeat) != nil {
			return nil
		}
	}
}

func (h *Herder) beat(ctx context.Context) error {
	var asked time.Time
	err := h.shared.UpdateFirst(ctx, func(v offsets.View) ([]offsets.Entry, error) {
		asked = time.Now()
		own, err := decodeMember(v.Get(memberKey + h.opts.WorkerID))
		if err != nil {
			return nil, err
		}
		if own.Incarnation != h.incarnation() {
			return nil, errExpelled
		}
		return []offsets.Entry{h.entry(own.Beat + 1)}, nil
	})
	if err == nil {
		h.renewed(asked)
		h.wake()
	}
	return err
}

// renewed takes note of a renewal of the lease that was asked for at a time.
func (h *Herder) renewed(asked time.Time) {
	h.lease.renewed(asked, h.opts.Session-margin(h.opts.Session))
	h.counts.renewals.Add(1)
}

// expel takes the tasks of members that have been silent for too long, and with
// them their membership.
func (h *Herder) expel(ctx context.Context, m *model) error {
	since, ok := h.lease.alive()
	if !ok {
		return nil // it is this one that has heard nothing
	}
	h.mu.Lock()
	dead := map[string]member{}
	for id, mem := range m.members {
		if id != h.opts.WorkerID && h.judge.silent(id, since) > h.opts.Delay {
			dead[id] = mem
		}
	}
	h.mu.Unlock()
	if len(dead) == 0 {
		return nil
	}
	var gone []string
	err := h.update(ctx, func(m *model) (list []offsets.Entry, err error) {
		gone = gone[:0]
		for id, mem := range dead {
			if m.members[id] != mem {
				continue // it is there again
			}
			gone = append(gone, id)
			list = append(list, offsets.Entry{Key: memberKey + id})
			for t, c := range m.claims {
				if c.Worker == id {
					list = append(list, offsets.Entry{Key: taskKey(claimKey, t)}, offsets.Entry{Key: taskKey(statusKey, t)})
				}
			}
		}
		return list, nil
	})
	for _, id := range gone {
		if err == nil {
			h.opts.Logger.Warn("a worker has not been heard of for too long; its tasks go to others", "worker", id)
		}
	}
	return err
}

// pause waits for d, or returns why ctx ended before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
