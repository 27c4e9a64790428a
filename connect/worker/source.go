package worker

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/deadletter"
	"github.com/towline/towline/offsets"
)

const (
	sourceUnits = 16      // units in a source's ring
	joinUnits   = 8       // the most units that one append joins
	joinBytes   = 4 << 20 // with more message bytes an append joins no more
)

// Keys within a source task's prefix.
const (
	posKey   = "pos"
	seqKey   = "seq"
	stateKey = "state/"
)

// sourceTask moves the changes of one source into the log.
type sourceTask struct {
	id         taskID
	source     connect.Source
	chain      *chain
	converter  connect.Converter
	log        connect.Log
	dead       *deadLetters // nil: errors are not tolerated
	partitions int32        // of topics that it makes
	meter      *meter
	progress   *progress

	prefix string
	// skip is the highest Seq in the log when the task was opened: changes up
	// to there are being read again and are dropped.
	skip   uint64
	topics map[string]int32
	// landed is nil where the log is Atomic.
	landed *landed
	opened map[string]bool // topics that landed knows
	buf    []byte
	// building follows the encoding goroutine.
	building *track
}

// sourceUnit is one batch on its way round the ring.
type sourceUnit struct {
	batch connect.Batch
	msgs  connect.Messages
	more  []*sourceUnit // that go with it; their messages are in msgs
	seq   uint64        // highest of the batch's changes; 0: none
	// last: nothing is to be appended with it that comes behind it.
	last bool
	left time.Time // when it was handed over to the next stage
}

// Run moves changes until ctx ends, the source does (io.EOF), or something
// fails.
func (t *sourceTask) Run(ctx context.Context) error {
	from, state, err := t.load(ctx)
	if err != nil {
		return err
	}
	t.progress.opening()
	if err := t.source.Open(ctx, from, state); err != nil {
		return fmt.Errorf("open source: %w", err)
	}
	t.progress.opened(from)
	err = t.pump(ctx)
	if cerr := t.source.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("close source: %w", cerr)
	}
	return err
}

func (t *sourceTask) load(ctx context.Context) (from offsets.Position, state []offsets.Entry, err error) {
	t.prefix = offsets.SourceKey(t.id.connector, t.id.task)
	entries, err := t.log.Store().Load(ctx, t.prefix)
	if err != nil {
		return nil, nil, fmt.Errorf("load position: %w", err)
	}
	t.landed, t.opened = newLanded(t.log, t.prefix), map[string]bool{}
	for _, e := range entries {
		key := e.Key[len(t.prefix):]
		switch {
		case strings.HasPrefix(key, landedKey) && t.landed != nil:
			t.landed.saved[key[len(landedKey):]] = e.Pos
		case key == posKey:
			from = e.Pos
		case key == seqKey:
			t.skip, _ = binary.Uvarint(e.Pos)
		case len(key) > len(stateKey) && key[:len(stateKey)] == stateKey:
			state = append(state, offsets.Entry{Key: key[len(stateKey):], Pos: e.Pos})
		}
	}
	if t.topics, err = t.log.Topics(ctx); err != nil {
		return nil, nil, fmt.Errorf("list topics: %w", err)
	}
	return from, state, nil
}

// pump runs the three stages. When ctx ends the first stops and the others
// finish what is in the ring; when one fails all stop at once.
func (t *sourceTask) pump(ctx context.Context) error {
	free := make(chan *sourceUnit, sourceUnits)
	encode := make(chan *sourceUnit, sourceUnits)
	write := make(chan *sourceUnit, sourceUnits)
	for range sourceUnits {
		free <- new(sourceUnit)
	}
	t.progress.queued(func() (used, size int) { return cap(free) - len(free), cap(free) })
	defer t.progress.queued(nil)
	return runStages(ctx,
		func(ctx context.Context) error {
			defer close(encode)
			return t.readLoop(ctx, free, encode)
		},
		func(ctx context.Context) error {
			defer close(write)
			return t.encodeLoop(ctx, encode, write)
		},
		func(ctx context.Context) error { return t.appendLoop(ctx, write, free) })
}

func (t *sourceTask) readLoop(ctx context.Context, free <-chan *sourceUnit, out chan<- *sourceUnit) error {
	reading := t.meter.stages.track(stageReadWait)
	defer reading.end()
	for {
		reading.enter(stageReadWait)
		var u *sourceUnit
		select {
		case u = <-free:
		case <-ctx.Done():
			return nil
		}
		reading.enter(stageRead)
		if err := t.source.Read(ctx, &u.batch); err != nil {
			if ctx.Err() != nil || err == io.EOF { // itself: a broken connection may wrap an EOF
				return nil
			}
			return fmt.Errorf("read: %w", err)
		}
		t.progress.took()
		t.meter.read(&u.batch)
		u.last = t.landed != nil && tellsShapes(&u.batch)
		u.left = time.Now()
		select {
		case out <- u:
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *sourceTask) encodeLoop(ctx context.Context, in <-chan *sourceUnit, out chan<- *sourceUnit) error {
	t.building = t.meter.stages.track(stageBuildWait)
	defer t.building.end()
	g := newGatherer(t.converter)
	return each(in, t.converter, func(u *sourceUnit) (bool, error) {
		g.gather(ctx, u, in)
		work := len(u.batch.Records) > 0
		now := t.building.enter(stageTransform)
		if err := t.prepare(ctx, u, now); err != nil {
			return false, err
		}
		for _, v := range u.more {
			if err := t.prepare(ctx, v, now); err != nil {
				return false, err
			}
		}
		if err := t.encode(ctx, g, u); err != nil {
			return false, err
		}
		g.learn(u)
		u.left = t.building.enter(stageBuildWait)
		select {
		case out <- u:
			return work, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	})
}

// prepare makes the batch of u what is to be encoded.
func (t *sourceTask) prepare(ctx context.Context, u *sourceUnit, now time.Time) error {
	t.meter.stages.queued(now, u.left)
	u.seq = t.dropRepeats(&u.batch)
	if len(u.batch.Records) == 0 {
		return nil
	}
	if err := t.chain.apply(ctx, &u.batch, t.deadRecord(ctx)); err != nil {
		return err
	}
	if err := t.route(ctx, &u.batch); err != nil {
		return err
	}
	if t.landed != nil {
		t.landed.drop(&u.batch)
	}
	return nil
}

// encode makes messages of u and what goes with it.
func (t *sourceTask) encode(ctx context.Context, g *gatherer, u *sourceUnit) error {
	t.building.enter(stageEncode)
	if t.landed != nil {
		defer t.landed.stamp(&u.msgs)
	}
	if len(u.more) == 0 {
		return t.encodeInto(ctx, &u.msgs, &u.batch)
	}
	if g.encode(t.converter, u) == nil {
		return nil
	}
	u.msgs.Reset() // and each by itself, to take out what cannot be encoded
	if err := t.encodeInto(ctx, &u.msgs, &u.batch); err != nil {
		return err
	}
	for _, v := range u.more {
		if err := t.encodeInto(ctx, &u.msgs, &v.batch); err != nil {
			return err
		}
	}
	return nil
}

// encodeInto adds the messages of b to m. Records that cannot be encoded are
// taken out of b and become dead letters.
func (t *sourceTask) encodeInto(ctx context.Context, m *connect.Messages, b *connect.Batch) error {
	if len(b.Records) == 0 {
		return nil
	}
	n := len(m.List)
	err := t.converter.Encode(m, b)
	if err == nil {
		return nil
	}
	if err = takeOut(b, err, refusal{stage: deadletter.StageDecode}, t.deadRecord(ctx)); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	clear(m.List[n:])
	m.List = m.List[:n]
	if err := t.converter.Encode(m, b); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return nil
}

func (t *sourceTask) deadRecord(ctx context.Context) func(*connect.Record, refusal) error {
	if t.dead == nil {
		return nil
	}
	return func(r *connect.Record, why refusal) error { return t.dead.record(ctx, r, r.Topic, why) }
}

// dropRepeats removes changes that an earlier run has already appended, of a
// transaction whose end it did not reach, and returns the highest Seq that the
// log has once the batch is in it; 0 if the batch has no changes.
func (t *sourceTask) dropRepeats(b *connect.Batch) uint64 {
	var last uint64
	repeats := false
	for i := range b.Records {
		r := &b.Records[i]
		if isChange(r) {
			last = max(last, r.Seq)
		}
		repeats = repeats || t.isRepeat(r)
	}
	if repeats {
		b.Keep(func(r *connect.Record) bool { return !t.isRepeat(r) })
		last = max(last, t.skip) // what is saved must not go back
	}
	return last
}

// isRepeat reports whether r is in the log already. A message comes before the
// changes behind it and has the Seq of the one before; when a later one is
// there, so is the message.
func (t *sourceTask) isRepeat(r *connect.Record) bool {
	if kind, _, _, ok := r.Message(); ok {
		return r.Seq < t.skip && kind != connect.KindHeartbeat
	}
	return isChange(r) && r.Seq <= t.skip
}

func isChange(r *connect.Record) bool { return r.Op.HasRow() && r.Op != connect.OpRead }

func (t *sourceTask) partitionsOf(ctx context.Context, topic string) (int32, error) {
	if n, ok := t.topics[topic]; ok {
		return n, nil
	}
	if err := t.log.CreateTopic(ctx, topic, t.partitions); err != nil {
		return 0, fmt.Errorf("create topic %s: %w", topic, err)
	}
	t.topics[topic] = t.partitions
	return t.partitions, nil
}

// readBack looks, where that must be done, at what the log has of a topic.
func (t *sourceTask) readBack(ctx context.Context, topic string, n int32) error {
	if t.landed == nil || t.opened[topic] {
		return nil
	}
	t.opened[topic] = true
	return t.landed.open(ctx, topic, n)
}

// append makes messages durable, and then entries.
func (t *sourceTask) append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	if t.landed != nil {
		return t.landed.append(ctx, msgs, entries)
	}
	return t.log.Append(ctx, msgs, entries) // data and position in one step
}

func (t *sourceTask) appendLoop(ctx context.Context, in <-chan *sourceUnit, free chan<- *sourceUnit) error {
	var groups, units []*sourceUnit
	var msgs []connect.Message
	var entries []offsets.Entry
	writing := t.meter.stages.track(stageWriteWait)
	defer writing.end()
	for u := range in {
		now := writing.enter(stageWrite)
		groups = join(append(groups[:0], u), in)
		units = spread(units[:0], groups)
		for _, u := range units {
			t.meter.stages.queued(now, u.left)
		}
		msgs, entries = t.collect(units, msgs[:0], entries[:0])
		if err := t.append(ctx, msgs, entries); err != nil { // invariant 1
			return fmt.Errorf("append to log: %w", err)
		}
		clear(msgs) // they point into the units' memory
		writing.enter(stageCommit)
		for _, u := range units {
			t.meter.written(&u.batch, u.msgs.Size())
			t.progress.wrote()
			if u.batch.Pos != nil {
				t.progress.saved(u.batch.Pos)
				if err := t.source.Commit(ctx, u.batch.Pos); err != nil { // invariant 2
					return fmt.Errorf("commit: %w", err)
				}
			}
			u.batch.Reset() // now and not when it is filled again: what is free holds no memory
			u.msgs.Reset()
			free <- u
		}
		writing.enter(stageWriteWait)
	}
	return nil
}

// tellsShapes reports whether a batch tells of the shape of a table. A crash may
// leave that in a log that is not Atomic without the position behind it: then it is
// told again. Who is told the newest shape once more has it already; but told an
// older one before that, he would go back.
func tellsShapes(b *connect.Batch) bool {
	for i := range b.Records {
		if b.Records[i].Op == connect.OpSchema {
			return true
		}
	}
	return false
}

// ends reports whether u, or what goes with it, is the last of its append.
func (u *sourceUnit) ends() bool {
	return u.last || len(u.more) > 0 && u.more[len(u.more)-1].last
}

// join adds to units what else is waiting, within limits.
func join(units []*sourceUnit, in <-chan *sourceUnit) []*sourceUnit {
	size := units[0].msgs.Size()
	for len(units) < joinUnits && size < joinBytes && !units[len(units)-1].ends() {
		select {
		case u, ok := <-in:
			if !ok {
				return units
			}
			units = append(units, u)
			size += u.msgs.Size()
		default:
			return units
		}
	}
	return units
}

func (t *sourceTask) collect(units []*sourceUnit, msgs []connect.Message, entries []offsets.Entry) ([]connect.Message, []offsets.Entry) {
	var seq uint64
	var pos offsets.Position
	for _, u := range units {
		msgs = append(msgs, u.msgs.List...)
		for _, e := range u.batch.State {
			entries = append(entries, offsets.Entry{Key: t.prefix + stateKey + e.Key, Pos: e.Pos})
		}
		if u.batch.Pos != nil {
			pos = u.batch.Pos
		}
		seq = max(seq, u.seq)
	}
	if pos != nil {
		entries = append(entries, offsets.Entry{Key: t.prefix + posKey, Pos: pos})
	}
	if seq > 0 {
		entries = append(entries, offsets.Entry{Key: t.prefix + seqKey, Pos: binary.AppendUvarint(nil, seq)})
	}
	return msgs, entries
}
