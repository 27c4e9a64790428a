package worker

import (
	"context"
	"fmt"
	"maps"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// landedKey begins, within a source task's prefix, the keys that say how far
// each partition was when the task looked last.
const landedKey = "landed/"

// landedEvery is how many appends pass until that is saved anew: what is behind
// it is read when the task is opened.
const landedEvery = 64

// landed knows which changes of a source task are in the log though its saved
// position is before them. In a log that is not Atomic a crash leaves some
// messages of an append and not others, so it goes by partition. There, messages
// are in the order of the changes, and each says up to which Seq that partition
// has them: so what is read again can be told from what never came.
type landed struct {
	log    connect.Log
	source string // the task's prefix

	// Of the encoding goroutine.
	saved map[string]offsets.Position // marks of earlier runs, by topic/partition
	seqs  map[partition]uint64        // of partitions that have something

	// Of the appending goroutine.
	ends    map[partition]int64
	appends int
}

// newLanded returns the landed of a task over a log, nil if that is Atomic.
func newLanded(log connect.Log, source string) *landed {
	if log.Atomic() {
		return nil
	}
	return &landed{log: log, source: source, saved: map[string]offsets.Position{}, seqs: map[partition]uint64{}, ends: map[partition]int64{}}
}

// open reads back what is in a topic, before the task's first message for it is
// encoded. Partitions that it never wrote to, it will know from here on.
func (l *landed) open(ctx context.Context, topic string, n int32) error {
	var first []offsets.Entry
	for p := range n {
		key := offsets.MarkKey(topic, p)
		begin, end, err := l.log.Bounds(ctx, topic, p)
		if err != nil {
			return fmt.Errorf("bounds of %s: %w", key, err)
		}
		pos, ok := l.saved[key]
		if !ok {
			first = append(first, offsets.Entry{Key: l.source + landedKey + key, Pos: offsets.Mark{Offset: end}.Position()})
			continue
		}
		mark, err := offsets.ParseMark(pos)
		if err != nil {
			return err
		}
		if err := l.readBack(ctx, partition{topic, p}, max(begin, mark.Offset), end); err != nil {
			return fmt.Errorf("read back %s: %w", key, err)
		}
	}
	if len(first) == 0 {
		return nil
	}
	if err := l.log.Store().Save(ctx, first...); err != nil { // before any message can be there
		return fmt.Errorf("save position: %w", err)
	}
	return nil
}

// readBack looks at the messages of a partition from an offset to its end.
func (l *landed) readBack(ctx context.Context, p partition, from, end int64) error {
	if from >= end {
		return nil
	}
	r, err := l.log.OpenReader(ctx, []connect.Cursor{{Topic: p.topic, Partition: p.num, Offset: from}})
	if err != nil {
		return err
	}
	defer r.Close()
	var m connect.Messages
	defer m.Reset()
	for from < end {
		m.Reset()
		if err := r.Read(ctx, &m, sinkReadBytes); err != nil {
			return err
		}
		for i := range m.List {
			msg := &m.List[i]
			if msg.Source == l.source && msg.Seq > 0 {
				l.seqs[p] = max(l.seqs[p], msg.Seq)
			}
			from = msg.Offset + 1
		}
	}
	return nil
}

// drop removes what is in the log already from b, whose records have their
// partitions.
func (l *landed) drop(b *connect.Batch) {
	if len(l.seqs) == 0 {
		return
	}
	b.Keep(func(r *connect.Record) bool { return !l.has(r) })
}

// has reports whether r is in its partition already. Rows of a snapshot are
// read anew with other values, and the last thing that was told of a table's shape
// does no harm when it comes again, see tellsShapes. What is no change has the Seq
// of the one before it.
func (l *landed) has(r *connect.Record) bool {
	seq, ok := l.seqs[partition{r.Topic, r.Partition}]
	if !ok {
		return false
	}
	switch {
	case isChange(r):
		return r.Seq <= seq
	case r.Op == connect.OpTruncate:
		return r.Seq < seq
	case r.Op == connect.OpMessage:
		kind, _, _, ok := r.Message()
		return ok && r.Seq < seq && kind != connect.KindHeartbeat
	}
	return false
}

// stamp says in messages whose they are.
func (l *landed) stamp(m *connect.Messages) {
	for i := range m.List {
		m.List[i].Source = l.source
	}
}

// append writes messages and then, when all of them are there, saves entries.
func (l *landed) append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	if err := l.log.Append(ctx, msgs, nil); err != nil {
		return err
	}
	for i := range msgs {
		l.ends[partition{msgs[i].Topic, msgs[i].Partition}] = msgs[i].Offset + 1
	}
	if l.appends++; l.appends%landedEvery == 0 {
		for p, end := range maps.All(l.ends) {
			entries = append(entries, offsets.Entry{Key: l.source + landedKey + offsets.MarkKey(p.topic, p.num), Pos: offsets.Mark{Offset: end}.Position()})
		}
		clear(l.ends)
	}
	return l.log.Store().Save(ctx, entries...)
}
