package cluster

import (
	"maps"
	"sync/atomic"
	"time"
)

// Counts are the numbers of a worker as a member, since it was started.
type Counts struct {
	Members int           // that are alive, as seen from here
	Claims  int           // tasks that are this worker's
	Lease   time.Duration // until it ends what it runs, if it cannot renew; 0: it has none

	Renewals   int64 // of its lease
	Lapses     int64 // of its lease, with the end of all that it ran
	Expulsions int64 // by the others, who took it for dead
	Rebalances int64 // how often who is to run which task has changed
	Moves      int64 // tasks that came to this worker from another, or again after an expulsion
}

// counts is what Counts are made of.
type counts struct {
	renewals, lapses, expulsions, rebalances, moves atomic.Int64

	// Of h.mu:
	lapsed bool            // and counted
	want   map[Task]string // who was to run which task at the last look; nil: there was none
	had    map[Task]string // who had its claim
}

// Counts returns them.
func (h *Herder) Counts() Counts {
	c := Counts{Renewals: h.counts.renewals.Load(), Lapses: h.counts.lapses.Load(), Expulsions: h.counts.expulsions.Load(),
		Rebalances: h.counts.rebalances.Load(), Moves: h.counts.moves.Load(), Lease: h.lease.left()}
	m, err := h.known()
	if err != nil {
		return c
	}
	c.Members = len(h.alive(m))
	incarnation := h.incarnation()
	for _, claim := range m.claims {
		if claim.by(h.opts.WorkerID, incarnation) {
			c.Claims++
		}
	}
	return c
}

// left returns for how much longer the lease is held.
func (l *lease) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, time.Until(l.until))
}

// noteLease takes note of whether the lease is held. h.mu is held.
func (h *Herder) noteLease(held bool) {
	if !held && !h.counts.lapsed && !h.leaving.Load() {
		h.counts.lapses.Add(1)
	}
	h.counts.lapsed = !held
}

// noteExpulsion takes note that the others have taken all that this worker had:
// they may give it back before it sees who had it meanwhile.
func (h *Herder) noteExpulsion() {
	h.counts.expulsions.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	for t, id := range h.counts.had {
		if id == h.opts.WorkerID {
			h.counts.had[t] = ""
		}
	}
}

// noteTasks takes note of who is to run which task, and who has it. h.mu is held.
func (h *Herder) noteTasks(m *model, want map[Task]string) {
	if h.counts.want != nil && !maps.Equal(h.counts.want, want) {
		h.counts.rebalances.Add(1)
	}
	h.counts.want = want
	if h.counts.had == nil {
		h.counts.had = map[Task]string{}
	}
	for t, c := range m.claims {
		if old, ok := h.counts.had[t]; ok && old != c.Worker && c.Worker == h.opts.WorkerID {
			h.counts.moves.Add(1)
		}
		h.counts.had[t] = c.Worker
	}
	maps.DeleteFunc(h.counts.had, func(t Task, _ string) bool { return !has(m.conns, t.Connector) || t.Task >= m.conns[t.Connector].Tasks })
}
