package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/deadletter"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// dispatchLoop decodes units and hands their records to the lanes.
func (t *sinkTask) dispatchLoop(ctx context.Context, in <-chan *sinkUnit, order chan<- *sinkUnit) error {
	defer func() {
		for _, w := range t.works {
			close(w)
		}
	}()
	idle := time.NewTicker(idleFlush)
	defer idle.Stop()
	t.building = t.meter.stages.track(stageBuildWait)
	defer t.building.end()
	for {
		t.building.enter(stageBuildWait)
		select {
		case u, ok := <-in:
			if !ok {
				return t.flushIdle(ctx)
			}
			t.meter.stages.queued(t.building.enter(stageDecode), u.left)
			if err := t.decode(ctx, u); err != nil {
				return err
			}
			t.building.enter(stageTransform)
			if err := t.dispatch(ctx, u, order); err != nil {
				return err
			}
		case <-idle.C:
			if err := t.flushIdle(ctx); err != nil {
				return err
			}
		case l := <-t.letters:
			if err := t.again(ctx, l); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// decode fills the unit's batch, and notes where in it each message ends.
func (t *sinkTask) decode(ctx context.Context, u *sinkUnit) error {
	u.ends = u.ends[:0]
	for i := range u.msgs.List {
		m := &u.msgs.List[i]
		begin := len(u.batch.Records)
		if err := t.converter.Decode(&u.batch, u.msgs.List[i:i+1]); err != nil {
			if t.dead == nil || !ofMessage(err) {
				return fmt.Errorf("decode message %d of %s/%d: %w", m.Offset, m.Topic, m.Partition, err)
			}
			u.batch.Records = u.batch.Records[:begin]
			if err := t.dead.message(ctx, m, err); err != nil {
				return err
			}
		}
		for j := begin; j < len(u.batch.Records); j++ {
			u.batch.Records[j].Offset = m.Offset
		}
		u.ends = append(u.ends, len(u.batch.Records))
	}
	return nil
}

// ofMessage reports whether it is the message that cannot be decoded, and not
// what a Converter needs for it that is away.
func ofMessage(err error) bool {
	var be *connect.BatchError
	return errors.As(err, &be)
}

// dispatch splits the unit's records over the lanes. Each record goes to the
// lane of its key; lanes that get none learn of the progress later.
func (t *sinkTask) dispatch(ctx context.Context, u *sinkUnit, order chan<- *sinkUnit) error {
	cut := t.skipDone(u)
	t.setState(u, cut)
	t.meter.read(&u.batch)
	if err := t.transform(ctx, u, cut); err != nil {
		return err
	}
	if err := t.checkBarriers(ctx, u); err != nil {
		return err
	}
	u.refs.Store(1) // held until all lanes have their part
	select {
	case order <- u:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := t.split(ctx, u); err != nil {
		return err
	}
	t.release(u)
	return nil
}

// release gives back one hold on u.
func (t *sinkTask) release(u *sinkUnit) {
	if u.refs.Add(-1) > 0 {
		return
	}
	select {
	case t.through <- struct{}{}:
	default: // a signal is waiting already
	}
}

// skipDone removes records that every lane has already written (those before
// the marks that the sinks were opened with), and returns the number of
// records up to the last end of a transaction.
func (t *sinkTask) skipDone(u *sinkUnit) (cut int) {
	from, kept := 0, 0
	for i := range u.msgs.List {
		m := &u.msgs.List[i]
		p := partition{m.Topic, m.Partition}
		begin := from
		if s, ok := t.starts[0][p]; ok && t.lanes == 1 && s.Offset == m.Offset {
			begin = min(from+s.Index, u.ends[i])
		}
		from = u.ends[i]
		kept += copy(u.batch.Records[kept:], u.batch.Records[begin:from])
		u.ends[i] = kept
	}
	clear(u.batch.Records[kept:])
	u.batch.Records = u.batch.Records[:kept]
	for cut = kept; cut > 0 && u.batch.Records[cut-1].Flags&connect.TxEnd == 0 && u.batch.Records[cut-1].Op != connect.OpRead; cut-- {
	}
	return cut
}

// setState computes how far the unit takes each partition: to its last
// message or, where transactions stay whole, to the last one that ends in it.
func (t *sinkTask) setState(u *sinkUnit, cut int) {
	u.state, u.marks = u.state[:0], u.marks[:0]
	clear(u.at)
	if !t.whole {
		for i := range u.msgs.List {
			if m := &u.msgs.List[i]; lastOfRun(u.msgs.List, i) {
				t.addState(u, partition{m.Topic, m.Partition}, offsets.Mark{Offset: m.Offset + 1})
			}
		}
		return
	}
	begin := 0
	for i := range u.msgs.List {
		m := &u.msgs.List[i]
		p := partition{m.Topic, m.Partition}
		done := 0 // records of this message that an earlier run has written
		if s, ok := t.starts[0][p]; ok && s.Offset == m.Offset {
			done = s.Index
		}
		if cut > begin || cut == u.ends[i] && cut > 0 {
			mark := offsets.Mark{Offset: m.Offset, Index: done + cut - begin}
			if cut >= u.ends[i] {
				mark = offsets.Mark{Offset: m.Offset + 1}
			}
			t.addState(u, p, mark)
		}
		begin = u.ends[i]
	}
}

// addState says that u takes p to m.
func (t *sinkTask) addState(u *sinkUnit, p partition, m offsets.Mark) {
	if i, ok := u.at[p]; ok {
		u.state[i].Pos, u.marks[i].m = m.Position(), m
		return
	}
	key, ok := t.keys[p]
	if !ok {
		key = offsets.MarkKey(p.topic, p.num)
		t.keys[p] = key
	}
	if u.at == nil {
		u.at = map[partition]int{}
	}
	u.at[p] = len(u.state)
	u.state = append(u.state, offsets.Entry{Key: key, Pos: m.Position()})
	u.marks = append(u.marks, partitionMark{p, m})
}

// transform runs the chain. Where transactions stay whole, the records up to
// cut and those behind it stay apart.
func (t *sinkTask) transform(ctx context.Context, u *sinkUnit, cut int) error {
	var dead func(*connect.Record, refusal) error
	if t.dead != nil {
		dead = func(r *connect.Record, why refusal) error { return t.dead.record(ctx, r, r.Home(), why) }
	}
	if !t.whole {
		return t.chain.apply(ctx, &u.batch, dead)
	}
	tail := u.batch.Records[cut:]
	u.batch.Records = u.batch.Records[:cut:cut]
	if err := t.chain.apply(ctx, &u.batch, dead); err != nil {
		return err
	}
	u.head = append(u.head[:0], u.batch.Records...)
	u.batch.Records = tail
	if err := t.chain.apply(ctx, &u.batch, dead); err != nil {
		return err
	}
	u.tail = u.batch.Records
	return nil
}

// split sends the records to their lanes.
func (t *sinkTask) split(ctx context.Context, u *sinkUnit) error {
	switch {
	case t.whole:
		return t.splitWhole(ctx, u)
	case t.lanes == 1:
		return t.send(ctx, u, 0, u.batch.Records, u.state)
	}
	if u.parts == nil {
		u.parts, u.sent = make([]connect.Batch, t.lanes), make([]int, t.lanes)
	}
	if err := t.partByLane(ctx, u); err != nil {
		return err
	}
	return t.sendParts(ctx, u, u.state)
}

// partByLane sorts the unit's records into parts. A record that concerns all
// rows of a table whose rows are spread waits until every lane has done what
// came before.
func (t *sinkTask) partByLane(ctx context.Context, u *sinkUnit) error {
	var table *schema.Table
	var spread connect.Spread
	var topic string
	var first uint64 // the lane of the topic's rows is counted from here
	for i := range u.batch.Records {
		r := &u.batch.Records[i]
		if r.Topic != topic { // small tables, whose keys are all alike, go to different lanes
			topic, first = r.Topic, xxhash.Sum64String(r.Topic)
		}
		if r.Table != table {
			table = r.Table
			var err error
			if spread, err = t.spreadOf(ctx, u, table); err != nil {
				return err
			}
		}
		if !r.Op.HasRow() && r.Op != connect.OpMessage {
			if err := t.barrier(ctx, u, r); err != nil {
				return err
			}
			continue
		}
		var h uint64
		h, t.buf = r.LaneHash(spread, t.buf)
		lane := int((h + first) % uint64(t.lanes))
		if !t.doneBefore(lane, r) {
			*u.parts[lane].Add() = *r
		}
	}
	return nil
}

// hashLane returns the lane of one record.
func (t *sinkTask) hashLane(r *connect.Record, spread connect.Spread) int {
	var h uint64
	h, t.buf = r.LaneHash(spread, t.buf)
	return int((h + xxhash.Sum64String(r.Topic)) % uint64(t.lanes))
}

// spreadOf returns how a table's rows are split over the lanes. Where that is
// not as it was, since another shape of the table has come (its keys changed,
// or more is known of them), rows of one key go to another lane from here on:
// the lanes finish what they have first (invariant 4).
func (t *sinkTask) spreadOf(ctx context.Context, u *sinkUnit, table *schema.Table) (connect.Spread, error) {
	spread, name := connect.SpreadOf(table), [2]string{table.Database, table.Name}
	before, seen := t.spreads[name]
	t.spreads[name] = spread
	if !seen || before == spread {
		return spread, nil
	}
	if err := t.sendParts(ctx, u, nil); err != nil {
		return spread, err
	}
	return spread, t.fence(ctx)
}

// doneBefore reports whether a lane had written r before the task was opened:
// after a kill the lanes are not all equally far.
func (t *sinkTask) doneBefore(lane int, r *connect.Record) bool {
	m, ok := t.starts[lane][partition{r.Home(), r.Partition}]
	return ok && r.Offset < m.Offset
}

// barrier lets all lanes finish, has each lane that has not had r yet be told
// of it by lane 0 alone, and lets them go on.
func (t *sinkTask) barrier(ctx context.Context, u *sinkUnit, r *connect.Record) error {
	if t.doneBefore(0, r) {
		return nil
	}
	if err := t.sendParts(ctx, u, nil); err != nil {
		return err
	}
	if err := t.fence(ctx); err != nil {
		return err
	}
	*u.parts[0].Add() = *r
	if err := t.sendParts(ctx, u, nil); err != nil {
		return err
	}
	return t.fence(ctx)
}

// fence waits until all lanes have done what they were given.
func (t *sinkTask) fence(ctx context.Context) error {
	t.building.enter(stageHandOff)
	defer t.building.enter(stageTransform)
	reached := make(chan struct{}, t.lanes)
	for _, w := range t.works {
		select {
		case w <- laneWork{fence: reached}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for range t.lanes {
		select {
		case <-reached:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// sendParts sends what of the parts was not sent yet.
func (t *sinkTask) sendParts(ctx context.Context, u *sinkUnit, state []offsets.Entry) error {
	for lane := range t.lanes {
		records := u.parts[lane].Records[u.sent[lane]:]
		u.sent[lane] = len(u.parts[lane].Records)
		if len(records) == 0 {
			for _, e := range state {
				t.pending[lane][e.Key] = e.Pos
			}
			continue
		}
		if err := t.send(ctx, u, lane, records, state); err != nil {
			return err
		}
	}
	return nil
}

func (t *sinkTask) splitWhole(ctx context.Context, u *sinkUnit) error {
	if len(u.state) > 0 {
		if err := t.send(ctx, u, 0, u.head, u.state); err != nil {
			return err
		}
	}
	t.midway = len(u.tail) > 0
	if len(u.tail) > 0 {
		return t.send(ctx, u, 0, u.tail, nil)
	}
	return nil
}

// send queues work for a lane, with the State that it has missed.
func (t *sinkTask) send(ctx context.Context, u *sinkUnit, lane int, records []connect.Record, state []offsets.Entry) error {
	if len(state) > 0 && len(t.pending[lane]) > 0 {
		for _, e := range state {
			delete(t.pending[lane], e.Key)
		}
		state = append([]offsets.Entry(nil), state...)
		for k, p := range t.pending[lane] {
			state = append(state, offsets.Entry{Key: k, Pos: p})
		}
		clear(t.pending[lane])
	}
	if u != nil {
		u.refs.Add(1)
	}
	w := laneWork{unit: u, records: records, state: state, left: time.Now()}
	select {
	case t.works[lane] <- w:
		return nil
	default: // the lane has no room
	}
	t.building.enter(stageHandOff)
	defer t.building.enter(stageTransform)
	select {
	case t.works[lane] <- w:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flushIdle gives lanes the State that they have missed.
func (t *sinkTask) flushIdle(ctx context.Context) error {
	for lane := range t.lanes {
		if len(t.pending[lane]) == 0 {
			continue
		}
		var state []offsets.Entry
		for k, p := range t.pending[lane] {
			state = append(state, offsets.Entry{Key: k, Pos: p})
		}
		clear(t.pending[lane])
		if err := t.send(ctx, nil, lane, nil, state); err != nil {
			return err
		}
	}
	return nil
}

// laneLoop writes what one lane is given.
func (t *sinkTask) laneLoop(ctx context.Context, lane int) error {
	var b connect.Batch
	sink := t.sinks[lane]
	writing := t.meter.stages.track(stageWriteWait)
	defer writing.end()
	return each(t.works[lane], sink, func(w laneWork) (bool, error) {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if w.fence != nil {
			w.fence <- struct{}{}
			return false, nil
		}
		b.Records, b.State = w.records, w.state
		if w.again != nil {
			refused, err := t.once(ctx, sink, &b)
			b.Records, b.State = nil, nil
			w.again <- errors.Join(refused, err)
			return true, err
		}
		t.meter.stages.queued(writing.enter(stageWrite), w.left)
		if err := t.write(ctx, sink, &b, w.unit); err != nil {
			return false, err
		}
		writing.enter(stageWriteWait)
		b.Records, b.State = nil, nil // they are the unit's
		if w.unit != nil {
			t.release(w.unit)
		}
		return len(w.records) > 0, nil
	})
}

// write has the sink write b, of u. Records that it refuses become dead letters.
func (t *sinkTask) write(ctx context.Context, sink connect.Sink, b *connect.Batch, u *sinkUnit) error {
	err := sink.Write(ctx, b)
	var be *connect.BatchError
	if err == nil || !errors.As(err, &be) {
		t.meter.wrote(b, err)
		return wrapWrite(err)
	}
	t.meter.wrote(b, err)
	if t.dead == nil {
		return wrapWrite(err)
	}
	for _, f := range be.Failed {
		r := &b.Records[f.Index]
		if err := t.dead.record(ctx, r, r.Home(), refusal{stage: deadletter.StageWrite, err: f.Err}); err != nil {
			return err
		}
	}
	if len(b.State) == 0 {
		return nil
	}
	b.Records = nil
	return wrapWrite(sink.Write(ctx, b))
}

func wrapWrite(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write: %w", err)
}

// finishLoop takes units that all lanes are through with, in order, has it
// saved how far the task has got, and frees the units.
func (t *sinkTask) finishLoop(ctx context.Context, order <-chan *sinkUnit, free chan<- *sinkUnit) error {
	unsaved := map[string]offsets.Position{}
	tick := time.NewTicker(idleFlush)
	defer tick.Stop()
	for open := true; open; {
		var u *sinkUnit
		select {
		case u, open = <-order:
		case <-tick.C:
			t.offerSave(unsaved)
			continue
		}
		if !open {
			break
		}
		for u.refs.Load() > 0 {
			select {
			case <-t.through:
			case <-tick.C:
				t.offerSave(unsaved)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for _, e := range u.state {
			unsaved[e.Key] = e.Pos
		}
		t.progress.finished(u)
		u.reset()
		free <- u
	}
	if len(unsaved) == 0 {
		return nil
	}
	select {
	case t.saves <- unsaved:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// offerSave has unsaved saved and empties it, unless saving is at something
// still: no unit waits for the disk.
func (t *sinkTask) offerSave(unsaved map[string]offsets.Position) {
	if len(unsaved) == 0 {
		return
	}
	select {
	case t.saves <- maps.Clone(unsaved):
		clear(unsaved)
	default:
	}
}

// saveLoop saves how far the task has got.
func (t *sinkTask) saveLoop(ctx context.Context) error {
	saving := t.meter.stages.track(stageSaveWait)
	defer saving.end()
	shown := newShown(ctx, t)
	defer shown.end(ctx)
	for done := range t.saves {
		saving.enter(stageSave)
		entries := make([]offsets.Entry, 0, len(done))
		for k, p := range done {
			entries = append(entries, offsets.Entry{Key: t.prefix + k, Pos: p})
		}
		if err := t.log.Store().Save(ctx, entries...); err != nil { // invariant 1: the target has it
			return fmt.Errorf("save position: %w", err)
		}
		shown.saved(ctx, done)
		saving.enter(stageSaveWait)
	}
	return nil
}
