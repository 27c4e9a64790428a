package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

const (
	sinkUnits     = 4                      // units in a sink's ring
	sinkReadBytes = 1 << 20                // message bytes to read into one unit
	topicsEvery   = 50 * time.Millisecond  // the least between two looks for new topics
	idleFlush     = 500 * time.Millisecond // until idle lanes learn of progress, and until it is saved
)

// partition names one partition of one topic.
type partition struct {
	topic string
	num   int32
}

// sinkTask moves records from the log into one target.
type sinkTask struct {
	id        taskID
	makeSink  func(lane int) (connect.Sink, error)
	lanes     int
	chain     *chain
	converter connect.Converter
	log       connect.Log
	wants     func(topic string) bool
	shares    *shares      // which partitions of those topics are the task's
	whole     bool         // transaction.mode=source
	barriers  bool         // the sink knows of them
	dead      *deadLetters // nil: errors are not tolerated
	meter     *meter
	progress  *progress
	logger    *slog.Logger

	prefix string
	sinks  []connect.Sink
	works  []chan laneWork
	// starts holds where each lane begins in each partition, as Open told.
	starts []map[partition]offsets.Mark
	keeps  bool                       // the target keeps State itself
	saved  map[partition]offsets.Mark // what is saved of it here, as of when the task was opened
	// next is where reading goes on; owned by the reading goroutine while it
	// runs.
	next map[partition]offsets.Mark
	// wanted has the topics that wants was asked about; of the same goroutine.
	wanted map[string]bool
	// pending is State that a lane has not been given yet, because units had
	// no records for it; owned by the dispatching goroutine.
	pending []map[string]offsets.Position
	// spreads is how the rows of each table, by database and name, were split
	// last; owned by the dispatching goroutine.
	spreads map[[2]string]connect.Spread
	keys    map[partition]string // of State; of the same goroutine
	buf     []byte
	// building follows the dispatching goroutine.
	building *track
	// through is signalled when all lanes are through with a unit.
	through chan struct{}
	// letters takes dead letters that are sent again; gone is closed when the
	// task takes none any more. deadTopic is where they come from.
	letters   chan *letter
	gone      chan struct{}
	deadTopic string
	// settled are letters that the target had when it was opened; nil before.
	settled map[int64]bool
	// midway: the last unit ended inside a transaction that stays whole; owned by
	// the dispatching goroutine.
	midway bool
	// saves takes what is to be saved, while the goroutine that does so waits
	// for it.
	saves chan map[string]offsets.Position
}

// sinkUnit is a run of messages on its way through the lanes.
type sinkUnit struct {
	msgs  connect.Messages
	batch connect.Batch
	ends  []int // after message i, the batch has ends[i] records
	state []offsets.Entry
	marks []partitionMark   // what state says
	at    map[partition]int // indexes in state
	parts []connect.Batch   // records by lane; how many were sent already, in sent
	sent  []int
	head  []connect.Record // where transactions stay whole: records up to
	tail  []connect.Record // the last end of one, and those behind it
	refs  atomic.Int32
	left  time.Time // when it was handed over to the dispatching goroutine
}

// partitionMark is how far a partition is done.
type partitionMark struct {
	p partition
	m offsets.Mark
}

// reset gives the unit's memory back: what is free holds none.
func (u *sinkUnit) reset() {
	u.msgs.Reset()
	u.batch.Reset()
	for i := range u.parts {
		u.parts[i].Reset()
		u.sent[i] = 0
	}
	clear(u.head)
	u.tail = nil
}

// laneWork is what a lane does next: records to write and State to keep, or
// to say that it has come this far.
type laneWork struct {
	unit    *sinkUnit // nil for State alone
	records []connect.Record
	state   []offsets.Entry
	fence   chan<- struct{}
	again   chan<- error // of a record that was sent again: what comes of it
	left    time.Time    // when it was handed over
}

// Run moves records until ctx ends or something fails.
func (t *sinkTask) Run(ctx context.Context) (err error) {
	defer close(t.gone)
	defer func() {
		if cerr := t.closeSinks(); err == nil && cerr != nil {
			err = fmt.Errorf("close sink: %w", cerr)
		}
	}()
	if err := t.openSinks(ctx); err != nil {
		return err
	}
	if err := t.loadMarks(ctx); err != nil {
		return err
	}
	if err := t.settleLetters(ctx); err != nil {
		return err
	}
	t.progress.opened(nil)
	return t.pump(ctx)
}

func (t *sinkTask) openSinks(ctx context.Context) error {
	t.sinks = nil
	t.starts = make([]map[partition]offsets.Mark, t.lanes)
	t.pending = make([]map[string]offsets.Position, t.lanes)
	t.keeps, t.spreads = false, map[[2]string]connect.Spread{}
	t.wanted, t.keys = map[string]bool{}, map[partition]string{}
	for i := range t.lanes {
		t.starts[i] = map[partition]offsets.Mark{}
		t.pending[i] = map[string]offsets.Position{}
		s, err := t.makeSink(i)
		if err != nil {
			return err
		}
		t.sinks = append(t.sinks, s)
		entries, err := s.Open(ctx)
		if err != nil {
			return fmt.Errorf("open sink: %w", err)
		}
		t.keeps = t.keeps || entries != nil
		if err := addMarks(t.starts[i], entries); err != nil {
			return err
		}
	}
	return nil
}

func addMarks(marks map[partition]offsets.Mark, entries []offsets.Entry) error {
	for _, e := range entries {
		topic, num, err := offsets.ParseMarkKey(e.Key)
		if err != nil {
			return err
		}
		if marks[partition{topic, num}], err = offsets.ParseMark(e.Pos); err != nil {
			return err
		}
	}
	return nil
}

// openedKey stands within a sink task's prefix once the task has been opened
// over this log.
const openedKey = "opened"

// loadMarks finds where to begin. A target that keeps State wins over what
// was saved here, also where it has none: then it is empty. But what it keeps
// must be of this log: offsets of another one mean nothing here.
func (t *sinkTask) loadMarks(ctx context.Context) error {
	t.prefix = offsets.SinkKey(t.id.connector)
	t.next = map[partition]offsets.Mark{}
	saved, err := t.log.Store().Load(ctx, t.prefix)
	if err != nil {
		return fmt.Errorf("load position: %w", err)
	}
	known := slices.ContainsFunc(saved, func(e offsets.Entry) bool { return e.Key == t.prefix+openedKey })
	if !known {
		for _, marks := range t.starts {
			if len(marks) > 0 {
				return connect.Permanent(fmt.Errorf("the target keeps offsets of connector %s that are not of this data folder's topics; "+
					"go on with the folder that it was filled from, or remove the connector's offsets from the target "+
					"(its rows in the table of offsets, or the file's .state) to fill it anew", t.id.connector))
			}
		}
		if err := t.log.Store().Save(ctx, offsets.Entry{Key: t.prefix + openedKey, Pos: offsets.Position{1}}); err != nil {
			return fmt.Errorf("save position: %w", err)
		}
	}
	saved = slices.DeleteFunc(saved, func(e offsets.Entry) bool { return e.Key == t.prefix+openedKey })
	for i := range saved {
		saved[i].Key = saved[i].Key[len(t.prefix):]
	}
	t.saved = map[partition]offsets.Mark{}
	if err := addMarks(t.saved, saved); err != nil {
		return err
	}
	for i := range t.starts {
		if !t.keeps {
			maps.Copy(t.starts[i], t.saved)
		}
	}
	return nil
}

func (t *sinkTask) closeSinks() error {
	var errs []error
	for _, s := range t.sinks {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// start returns where reading of p begins: at the lane that is furthest
// behind.
func (t *sinkTask) start(p partition, first int64) offsets.Mark {
	var start offsets.Mark
	for i := range t.starts {
		m, ok := t.starts[i][p]
		if !ok {
			m = offsets.Mark{Offset: first}
		}
		if i == 0 || m.Before(start) {
			start = m
		}
	}
	return start
}

// pump runs the stages. When ctx ends reading stops and the others finish
// what is in the ring; when one fails all stop at once.
func (t *sinkTask) pump(ctx context.Context) error {
	free := make(chan *sinkUnit, sinkUnits)
	full := make(chan *sinkUnit, sinkUnits)
	order := make(chan *sinkUnit, sinkUnits)
	for range sinkUnits {
		free <- new(sinkUnit)
	}
	t.through = make(chan struct{}, 1)
	t.saves = make(chan map[string]offsets.Position)
	t.works = make([]chan laneWork, t.lanes)
	for i := range t.works {
		t.works[i] = make(chan laneWork, 2*sinkUnits)
	}
	t.progress.queued(func() (used, size int) { return cap(free) - len(free), cap(free) })
	defer t.progress.queued(nil)
	stages := []func(context.Context) error{
		func(ctx context.Context) error {
			defer close(order)
			return t.dispatchLoop(ctx, full, order)
		},
		func(ctx context.Context) error {
			defer close(t.saves)
			return t.finishLoop(ctx, order, free)
		},
		t.saveLoop,
	}
	for i := range t.lanes {
		stages = append(stages, func(ctx context.Context) error { return t.laneLoop(ctx, i) })
	}
	return runStages(ctx, func(ctx context.Context) error {
		defer close(full)
		return t.readLoop(ctx, free, full)
	}, stages...)
}

// readLoop reads messages into free units. It opens its reader anew when
// topics have come that the task is to read.
func (t *sinkTask) readLoop(ctx context.Context, free chan *sinkUnit, out chan<- *sinkUnit) error {
	reading := t.meter.stages.track(stageRead)
	defer reading.end()
	for ctx.Err() == nil {
		looked, made := time.Now(), t.log.TopicsMade()
		cursors, err := t.discover(ctx)
		if err != nil {
			return err
		}
		rctx, cancel := context.WithCancel(ctx)
		var watch sync.WaitGroup
		watch.Go(func() { t.watchTopics(rctx, made, looked, len(cursors), cancel) })
		if len(cursors) == 0 {
			<-rctx.Done()
		} else {
			err = t.readTopics(rctx, reading, cursors, free, out)
		}
		cancel()
		watch.Wait()
		if err != nil {
			return err
		}
	}
	return nil
}

// discover returns a cursor for each partition to read, and begins those
// that are new.
func (t *sinkTask) discover(ctx context.Context) ([]connect.Cursor, error) {
	all, err := t.log.Topics(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil
		}
		return nil, fmt.Errorf("list topics: %w", err)
	}
	if total := t.countWanted(all); t.whole && total > 1 {
		return nil, connect.Permanent(fmt.Errorf("transaction.mode=source needs one topic of one partition, but %d partitions match; "+
			"let the source write all of its tables to one topic (topic.layout=single)", total))
	}
	var begun []partition
	for topic, n := range all {
		if !t.wanted[topic] {
			continue
		}
		for i := range n {
			p := partition{topic, i}
			if _, ok := t.next[p]; ok || t.shares.owner(topic, n, i) != t.id.task {
				continue
			}
			first, _, err := t.log.Bounds(ctx, topic, i)
			if err != nil {
				return nil, fmt.Errorf("bounds of %s/%d: %w", topic, i, err)
			}
			t.next[p] = t.start(p, first)
			t.progress.begin(p, t.next[p])
			begun = append(begun, p)
		}
	}
	if err := t.amend(ctx, begun); err != nil {
		return nil, err
	}
	cursors := make([]connect.Cursor, 0, len(t.next))
	for p, m := range t.next {
		cursors = append(cursors, connect.Cursor{Topic: p.topic, Partition: p.num, Offset: m.Offset})
	}
	return cursors, nil
}

// amend saves where partitions begin that the target knows better than what is
// saved: a kill came between the two. Nobody else can tell how far they are while
// nothing more comes to them.
func (t *sinkTask) amend(ctx context.Context, begun []partition) error {
	var entries []offsets.Entry
	for _, p := range begun {
		if m := t.next[p]; t.keeps && m != t.saved[p] {
			entries = append(entries, offsets.Entry{Key: t.prefix + offsets.MarkKey(p.topic, p.num), Pos: m.Position()})
		}
	}
	if len(entries) == 0 {
		return nil
	}
	if err := t.log.Store().Save(ctx, entries...); err != nil && ctx.Err() == nil {
		return fmt.Errorf("save position: %w", err)
	}
	return nil
}

// readTopics reads the partitions of cursors until ctx ends or there are
// more of them.
func (t *sinkTask) readTopics(ctx context.Context, reading *track, cursors []connect.Cursor, free chan *sinkUnit, out chan<- *sinkUnit) error {
	r, err := t.log.OpenReader(ctx, cursors)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("open reader: %w", err)
	}
	defer r.Close()
	for {
		var u *sinkUnit
		reading.enter(stageReadWait)
		select {
		case u = <-free:
		case <-ctx.Done():
			return nil
		}
		reading.enter(stageRead)
		if err := r.Read(ctx, &u.msgs, sinkReadBytes); err != nil {
			if ctx.Err() != nil {
				u.reset()
				free <- u
				return nil
			}
			return fmt.Errorf("read from log: %w", err)
		}
		for i := range u.msgs.List {
			if m := &u.msgs.List[i]; lastOfRun(u.msgs.List, i) {
				t.next[partition{m.Topic, m.Partition}] = offsets.Mark{Offset: m.Offset + 1}
			}
		}
		u.left = time.Now()
		out <- u // it has room for all units: what next says was read is never dropped
	}
}

// lastOfRun reports whether another partition follows message i, or nothing.
func lastOfRun(list []connect.Message, i int) bool {
	return i+1 == len(list) || list[i+1].Partition != list[i].Partition || list[i+1].Topic != list[i].Topic
}

// watchTopics calls changed when the number of partitions to read is not n
// any more. Where many topics are made one after another it looks now and then.
func (t *sinkTask) watchTopics(ctx context.Context, made <-chan struct{}, looked time.Time, n int, changed func()) {
	for {
		select {
		case <-made:
		case <-ctx.Done():
			return
		}
		if pause := topicsEvery - time.Since(looked); pause > 0 && !sleep(ctx, pause) {
			return
		}
		looked, made = time.Now(), t.log.TopicsMade()
		all, err := t.log.Topics(ctx)
		if err != nil {
			changed() // discover meets the same fault and reports it
			return
		}
		if t.countWanted(all) != n {
			changed()
			return
		}
	}
}

// countWanted returns the number of partitions that the task is to read. The
// reading goroutine asks as well, but not at the same time.
func (t *sinkTask) countWanted(all map[string]int32) (n int) {
	for topic, parts := range all {
		wanted, ok := t.wanted[topic]
		if !ok {
			wanted = t.wants(topic)
			t.wanted[topic] = wanted
		}
		if wanted {
			n += t.shares.count(topic, parts, t.id.task)
		}
	}
	return n
}
