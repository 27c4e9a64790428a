package worker

import (
	"context"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

const (
	// showEvery is how often the servers of a log are told how far a sink is, as
	// often as consumers of theirs do.
	showEvery = 5 * time.Second
	// showWait is how long that may take, while positions wait to be saved;
	// lastWait at the begin and the end, when nothing waits.
	showWait = 2 * time.Second
	lastWait = 10 * time.Second
)

// shown tells the servers of a log how far a sink task is, for their own tools:
// see connect.Groups. Positions are kept elsewhere, so it may fail.
type shown struct {
	t       *sinkTask
	groups  connect.Groups // nil: there is nobody to tell
	due     map[string]offsets.Position
	last    time.Time
	failing bool
}

// newShown returns the shown of a task that begins, and tells where. A target may
// know partitions of other tasks, too, which those tell of, and know better.
func newShown(ctx context.Context, t *sinkTask) *shown {
	log := t.log
	if l, ok := log.(trackedLog); ok {
		log = l.Log
	}
	s := &shown{t: t, due: map[string]offsets.Position{}}
	if s.groups, _ = log.(connect.Groups); s.groups == nil {
		return s
	}
	all, err := t.log.Topics(ctx)
	if err != nil {
		return s // who reads meets the same fault and reports it
	}
	for _, marks := range t.starts {
		for p := range marks {
			if n := all[p.topic]; p.topic != t.deadTopic && t.wants(p.topic) && p.num < n && t.shares.owner(p.topic, n, p.num) == t.id.task {
				s.due[offsets.MarkKey(p.topic, p.num)] = t.start(p, 0).Position()
			}
		}
	}
	s.end(ctx)
	return s
}

// saved takes note of positions that have been saved.
func (s *shown) saved(ctx context.Context, done map[string]offsets.Position) {
	if s.groups == nil {
		return
	}
	for k, p := range done {
		s.due[k] = p
	}
	if time.Since(s.last) >= showEvery {
		s.show(ctx, showWait)
	}
}

// end tells what has not been told.
func (s *shown) end(ctx context.Context) {
	if len(s.due) > 0 {
		s.show(ctx, lastWait)
	}
}

func (s *shown) show(ctx context.Context, wait time.Duration) {
	at := make([]connect.Cursor, 0, len(s.due))
	for k, p := range s.due {
		topic, num, err := offsets.ParseMarkKey(k)
		if err != nil || topic == s.t.deadTopic {
			continue // is of another kind: letters are numbered by task
		}
		if m, err := offsets.ParseMark(p); err == nil {
			at = append(at, connect.Cursor{Topic: topic, Partition: num, Offset: m.Offset})
		}
	}
	tctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := s.groups.CommitGroup(tctx, s.t.id.connector, at)
	s.last = time.Now()
	if err == nil {
		clear(s.due)
	}
	if ctx.Err() != nil {
		return // the task was cut off, and says itself why
	}
	if failing := err != nil; failing != s.failing {
		if s.failing = failing; failing {
			s.t.logger.Warn("the servers of the log cannot be told how far the sink is; it goes on without", "error", err)
		}
	}
}
