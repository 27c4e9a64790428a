package rocketlog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/towline/towline/offsets"
)

// spaceShared is the key space of the entries of a Shared.
const spaceShared = "c/"

// shared is the offsets.Shared of a log: entries in the same order as those of
// its store.
type shared struct {
	l *Log

	mu      sync.Mutex
	place   int64
	entries map[string]offsets.Position
	changed chan struct{}
	heard   time.Time // when the broker last answered
}

var _ offsets.Shared = (*shared)(nil)

// Shared returns the entries that those who share the log keep beside its store.
// From the first call on, what others write is followed: entries, and topics
// that they make.
func (l *Log) Shared(ctx context.Context) (offsets.Shared, error) {
	ctx, done, err := l.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return l.share(ctx)
}

func (l *Log) share(ctx context.Context) (*shared, error) {
	if err := l.state.q.acquire(ctx); err != nil {
		return nil, err
	}
	defer l.state.q.release()
	if l.state.shared != nil {
		return l.state.shared, nil
	}
	sh := &shared{l: l, entries: map[string]offsets.Position{}, changed: make(chan struct{}), place: l.state.q.place, heard: time.Now()}
	for key, e := range l.state.entries {
		if key, ok := strings.CutPrefix(key, spaceShared); ok && e.value != nil {
			sh.entries[key] = e.value
		}
	}
	l.state.shared = sh
	l.readers.Go(func() { sh.follow() })
	return sh, nil
}

// follow takes in what others write, until the log is closed.
func (sh *shared) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-sh.l.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	for pause := firstPause; ctx.Err() == nil; {
		err := sh.followOnce(ctx)
		if err == nil {
			pause = firstPause
			continue
		}
		if ctx.Err() == nil {
			sh.l.c.logger.Error("what others write cannot be followed; trying again", "namespace", sh.l.namespace, "error", err)
		}
		_ = sleep(ctx, pause)
		pause = min(2*pause, longPause)
	}
}

func (sh *shared) followOnce(ctx context.Context) error {
	q := sh.l.state.q
	if err := q.acquire(ctx); err != nil {
		return err
	}
	place := q.place
	q.release()
	res, err := q.pull(ctx, place, longPoll)
	if err != nil {
		return err
	}
	if err := q.acquire(ctx); err != nil {
		return err
	}
	defer q.release()
	sh.hear()
	for i := range res.Messages {
		if err := q.pass(&res.Messages[i], func(stamp) {}); err != nil { // skips what has been seen meanwhile
			return err
		}
	}
	if q.place == place && len(res.Messages) == 0 && res.Next > place {
		return q.catchUp(ctx) // what was there is gone
	}
	return nil
}

func (sh *shared) hear() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.heard = time.Now()
}

// note takes in what has been written. The queue of the state is acquired.
func (sh *shared) note(list []savedEntry) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.place = sh.l.state.q.place
	any := false
	for _, e := range list {
		if name, ok := strings.CutPrefix(e.key, spaceTopic); ok {
			sh.l.noteTopic(name, e.value)
		}
		key, ok := strings.CutPrefix(e.key, spaceShared)
		if !ok {
			continue
		}
		any = true
		if now := sh.l.state.entries[e.key]; now.value == nil {
			delete(sh.entries, key)
		} else {
			sh.entries[key] = now.value
		}
	}
	if any {
		close(sh.changed)
		sh.changed = make(chan struct{})
	}
}

// Look implements offsets.Shared.
func (sh *shared) Look(see func(offsets.View)) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	see(view{place: sh.place, entries: sh.entries})
}

// Changed implements offsets.Shared.
func (sh *shared) Changed() <-chan struct{} {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.changed
}

// Update implements offsets.Shared.
func (sh *shared) Update(ctx context.Context, decide func(offsets.View) ([]offsets.Entry, error)) error {
	return sh.update(ctx, decide, false)
}

// UpdateFirst implements offsets.Shared.
func (sh *shared) UpdateFirst(ctx context.Context, decide func(offsets.View) ([]offsets.Entry, error)) error {
	return sh.update(ctx, decide, true)
}

func (sh *shared) update(ctx context.Context, decide func(offsets.View) ([]offsets.Entry, error), first bool) error {
	ctx, done, err := sh.l.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	return sh.l.state.submit(ctx, &update{first: first, decide: func(v offsets.View) ([]offsets.Entry, error) {
		list, err := decide(v)
		out := make([]offsets.Entry, len(list))
		for i, e := range list {
			out[i] = offsets.Entry{Key: spaceShared + e.Key, Pos: e.Pos}
		}
		return out, err
	}})
}

// view is an offsets.View.
type view struct {
	place   int64
	entries map[string]offsets.Position
	over    map[string]offsets.Position // what is about to be written over them; nil: deleted
}

func (v view) Place() int64 { return v.place }

func (v view) Get(key string) offsets.Position {
	if value, ok := v.over[key]; ok {
		return value
	}
	return v.entries[key]
}

func (v view) Range(prefix string) (list []offsets.Entry) {
	for key, value := range v.over {
		if value != nil && strings.HasPrefix(key, prefix) {
			list = append(list, offsets.Entry{Key: key, Pos: value})
		}
	}
	for key, value := range v.entries {
		if _, ok := v.over[key]; !ok && strings.HasPrefix(key, prefix) {
			list = append(list, offsets.Entry{Key: key, Pos: value})
		}
	}
	slices.SortFunc(list, func(a, b offsets.Entry) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// noteTopic takes in a topic that the state has got. The queue of the state is
// acquired.
func (l *Log) noteTopic(name string, text []byte) {
	if text == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.topics[name] != nil {
		return
	}
	if err := l.takeTopic(name, text); err != nil {
		l.c.logger.Error("a topic cannot be used", "error", fmt.Errorf("rocketlog: %w", err))
	}
}
