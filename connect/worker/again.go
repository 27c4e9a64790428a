package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/deadletter"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/offsets"
)

// A dead letter is sent again by the task that it is of: its lane of then is
// that of the row's other changes, so it comes between two of them and not
// beside one. What is written tells the target which letter it was, in the same
// step where it keeps State, so a kill before that is noted here is no reason
// to write it twice.

// Retried is what has come of sending one dead letter again.
type Retried struct {
	ID    int64            `json:"id"`
	State deadletter.State `json:"state"`
	Error string           `json:"error,omitempty"` // why it is still open
}

// ErrRetry marks requests to send dead letters again that cannot be met now.
var ErrRetry = errors.New("the dead letters cannot be sent again")

// letter is one that is on its way through a task.
type letter struct {
	id      int64
	records []connect.Record
	newer   *newer // nil: nobody wants to know
	done    chan error
}

// Retry sends dead letters of a sink again, one after another, as they would be
// applied now. One whose row has changed since, and was delivered, stays open
// unless it is forced. What was taken is noted before the next one is sent.
func (w *Worker) Retry(ctx context.Context, name string, ids []int64, force bool) ([]Retried, error) {
	tasks := w.of(name)
	log := logOf(tasks)
	if log == nil {
		return nil, fmt.Errorf("%w: no task of %s runs here; the connector's status tells where they do", ErrRetry, name)
	}
	topics, err := log.Topics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	list := make([]Retried, 0, len(ids))
	by := map[int]*again{} // by task
	for _, id := range ids {
		s, err := taskOf(ctx, log, tasks, topics, id)
		a := (*again)(nil)
		if err == nil {
			if a = by[s.id.task]; a == nil {
				if a, err = s.again(); err != nil {
					return nil, err // for all of them
				}
				by[s.id.task] = a
			}
			err = a.send(ctx, id, force)
		}
		r := Retried{ID: id, State: deadletter.Sent}
		if err != nil {
			r.State, r.Error = deadletter.Open, err.Error()
		}
		list = append(list, r)
	}
	return list, nil
}

// logOf returns the log of one of the tasks that run; nil if none does.
func logOf(tasks []*supervisor) connect.Log {
	for _, s := range tasks {
		s.mu.Lock()
		t := s.sink
		s.mu.Unlock()
		if t != nil {
			return plain(t.log)
		}
	}
	return nil
}

// LetterTasks returns the numbers of the tasks that dead letters of a sink are to
// be sent again by; where there is no such letter, that of any.
func (w *Worker) LetterTasks(ctx context.Context, name string, ids []int64) ([]int, error) {
	tasks := w.of(name)
	if len(tasks) == 0 {
		return nil, fmt.Errorf("worker: there is no connector %s", name)
	}
	topics, err := w.Log().Topics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	list := make([]int, len(ids))
	for i, id := range ids {
		if list[i], err = tasks[0].letterTask(ctx, w.Log(), topics, id); err != nil && !errors.Is(err, deadletter.ErrNone) {
			return nil, err
		}
	}
	return list, nil
}

// letterTask returns the number of the task that reads the partition which a letter
// comes from, by the word of any task of the connector.
func (s *supervisor) letterTask(ctx context.Context, log connect.Log, topics map[string]int32, id int64) (number int, err error) {
	err = deadletter.Read(ctx, log, s.cfg.String("errors.deadletterqueue.topic.name"), s.id.connector, id, func(_ *connect.Message, l deadletter.Letter) error {
		if n := topics[l.Topic]; l.Partition >= 0 && l.Partition < n {
			number = s.shares.owner(l.Topic, n, l.Partition)
		}
		return nil
	})
	return number, err
}

// taskOf returns the task that reads the partition which a letter comes from.
func taskOf(ctx context.Context, log connect.Log, tasks []*supervisor, topics map[string]int32, id int64) (*supervisor, error) {
	number, err := tasks[0].letterTask(ctx, log, topics, id)
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		if t.id.task == number {
			return t, nil
		}
	}
	return nil, fmt.Errorf("%w: task %s-%d does not run here", ErrRetry, tasks[0].id.connector, number)
}

// again sends dead letters of one task.
type again struct {
	task   *sinkTask
	log    connect.Log
	topic  string // of the letters
	name   string // of the connector
	chain  *chain
	conv   connect.Converter
	frames frame.Converter
	// undelivered are changes in the log that are open or dropped letters; nil:
	// not looked up yet.
	undelivered map[changeID]bool
}

func (s *supervisor) again() (*again, error) {
	s.mu.Lock()
	t := s.sink
	s.mu.Unlock()
	if t == nil {
		return nil, fmt.Errorf("%w: task %s does not run", ErrRetry, s.id)
	}
	env := connect.Env{Connector: s.id.connector, Task: s.id.task, Lanes: 1, Store: t.log.Store(), Logger: slog.New(slog.DiscardHandler), Report: func(connect.TableStatus) {},
		Gauge: func(string, float64, ...string) {}, Drop: func(string, int) {}} // what is only looked at is not counted
	if t.dead == nil {
		return nil, fmt.Errorf("%w: a letter that is refused once more has to stay one, so %s needs errors.tolerance=all", ErrRetry, s.id.connector)
	}
	a := &again{task: t, log: plain(t.log), topic: s.cfg.String("errors.deadletterqueue.topic.name"), name: s.id.connector}
	var err error
	if a.chain, err = newChain(s.conn, env); err != nil {
		return nil, err
	}
	a.conv, err = s.conn.Converter.Plugin.Converter(s.conn.Converter.Config, env)
	return a, err
}

// send sends one letter and notes that it was taken.
func (a *again) send(ctx context.Context, id int64, force bool) error {
	var b connect.Batch
	defer b.Reset()
	var msgs connect.Messages
	defer msgs.Reset()
	var cause deadletter.Cause
	err := deadletter.Read(ctx, a.log, a.topic, a.name, id, func(m *connect.Message, l deadletter.Letter) error {
		c, ok := l.Cause()
		switch {
		case l.State == deadletter.Sent:
			return errors.New("it was sent again and taken already")
		case !ok:
			return errors.New("nothing says where it comes from and what is to be done to it: it was written with errors.deadletterqueue.context.headers.enable=false")
		}
		cause = c
		keep(&msgs, m)
		return a.prepare(ctx, &b, msgs.List, &c)
	})
	if err != nil {
		return err
	}
	l := &letter{id: id, records: b.Records, done: make(chan error, 1)}
	if !force {
		l.newer = a.newerThan(&cause, b.Records)
		if err := l.newer.look(ctx); err != nil {
			return err
		}
	}
	if err := a.task.deliver(ctx, l); err != nil {
		return err
	}
	if err := deadletter.Resolve(ctx, a.log, a.topic, id, deadletter.Sent); err != nil {
		return fmt.Errorf("it was taken, but that could not be noted: %w", err)
	}
	for i := range b.Records {
		delete(a.undelivered, changeOf(&b.Records[i], partition{cause.Topic, cause.Partition}))
	}
	return nil
}

// keep copies m, whose memory is its reader's.
func keep(msgs *connect.Messages, m *connect.Message) {
	bytes := func(p []byte) []byte {
		if p == nil {
			return nil
		}
		q := msgs.Alloc(len(p))
		copy(q, p)
		return q
	}
	k := msgs.Add()
	*k = *m
	k.Key, k.Value = bytes(m.Key), bytes(m.Value)
	_, rest, _ := deadletter.ParseCause(m.Headers)
	k.Headers = nil
	for _, h := range rest {
		k.Headers = append(k.Headers, connect.Header{Key: h.Key, Value: bytes(h.Value)})
	}
}

// prepare decodes a letter and takes it through what it has not been through.
func (a *again) prepare(ctx context.Context, b *connect.Batch, m []connect.Message, c *deadletter.Cause) error {
	conv := a.conv
	if frame.Is(m[0].Value) {
		conv = &a.frames
	}
	if err := conv.Decode(b, m); err != nil {
		return err
	}
	for i := range b.Records {
		r := &b.Records[i]
		r.Topic, r.Partition, r.Offset = c.Topic, c.Partition, c.Offset
		if c.Routed != "" {
			r.Reroute(c.Routed)
		}
		r.Flags = r.Flags&^connect.Exact | connect.Again | connect.TxEnd
	}
	switch c.Stage {
	case deadletter.StageDecode:
		return a.chain.apply(ctx, b, nil)
	case deadletter.StageTransform:
		number, _, _ := strings.Cut(c.Step, " ")
		n, err := strconv.Atoi(number)
		if err != nil || n >= len(a.chain.steps) || deadletter.StepOf(n, a.chain.steps[n].name) != c.Step {
			return fmt.Errorf("transform %q, which refused it, is not in that place of the connector's transforms any more; "+
				"give the connector the transforms it had, with what was wrong mended", c.Step)
		}
		rest := chain{steps: a.chain.steps[n:]}
		return rest.apply(ctx, b, nil)
	}
	return nil
}

// deliver has the task write a letter, and waits for what comes of it.
func (t *sinkTask) deliver(ctx context.Context, l *letter) error {
	select {
	case t.letters <- l:
	case <-t.gone:
		return fmt.Errorf("%w: task %s has ended", ErrRetry, t.id)
	case <-ctx.Done():
		return ctx.Err()
	}
	select { // its memory is the task's until one of these
	case err := <-l.done:
		return err
	case <-t.gone:
		return fmt.Errorf("%w: task %s has failed meanwhile; whether the letter was taken is seen when it is sent once more", ErrRetry, t.id)
	}
}

// again writes a letter, between two units. What is wrong with the letter goes
// to who sent it; an error is the task's.
func (t *sinkTask) again(ctx context.Context, l *letter) error {
	if t.midway {
		l.done <- fmt.Errorf("%w: the task is in the middle of a transaction; try again", ErrRetry)
		return nil
	}
	if l.newer != nil {
		if err := l.newer.look(ctx); err != nil { // what has come since it was looked at last
			l.done <- err
			return nil
		}
	}
	for i := range l.records {
		if err := t.writeAgain(ctx, l, i); err != nil {
			l.done <- err
			return ctx.Err()
		}
	}
	l.done <- nil
	return nil
}

// writeAgain has the lane of record i of a letter write it.
func (t *sinkTask) writeAgain(ctx context.Context, l *letter, i int) error {
	r, lane := &l.records[i], 0
	if t.lanes > 1 {
		table := !r.Op.HasRow() && r.Op != connect.OpMessage
		if table { // it concerns all rows, whose lanes finish first
			if err := t.fence(ctx); err != nil {
				return err
			}
		} else {
			var err error
			if lane, err = t.laneOf(ctx, r); err != nil {
				return err
			}
		}
	}
	if t.took(l.id, i) {
		return nil // a run that could not note it any more
	}
	m := offsets.Mark{Offset: l.id, Index: i + 1}
	if i == len(l.records)-1 {
		m = offsets.Mark{Offset: l.id + 1}
	}
	if err := t.askLane(ctx, lane, l.records[i:i+1], m); err != nil {
		return err
	}
	for other := range t.lanes { // what lanes keep has to be the same in all in the end
		if other == lane {
			continue
		}
		if err := t.askLane(ctx, other, nil, m); err != nil {
			return err
		}
	}
	return nil
}

// askLane has a lane write records and keep m as what of the letters is done,
// and waits for it.
func (t *sinkTask) askLane(ctx context.Context, lane int, records []connect.Record, m offsets.Mark) error {
	done := make(chan error, 1)
	w := laneWork{records: records, state: []offsets.Entry{{Key: offsets.MarkKey(t.deadTopic, int32(t.id.task)), Pos: m.Position()}}, again: done}
	select {
	case t.works[lane] <- w:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// took reports whether the target had record i of a letter when the task was
// opened, whichever lane or task wrote it. Who sends the letter may have seen it
// open before that was noted.
func (t *sinkTask) took(id int64, i int) bool {
	if t.settled[id] {
		return true
	}
	for _, marks := range t.starts {
		for p, m := range marks {
			if p.topic == t.deadTopic && m.Offset == id && m.Index > i {
				return true
			}
		}
	}
	return false
}

// settleLetters notes which letters a run that was killed has had taken last, and
// has all lanes keep the same of that. A kill leaves some lanes with the letter that
// was under way and others with the one before, in no order of numbers.
func (t *sinkTask) settleLetters(ctx context.Context) error {
	if t.deadTopic == "" {
		return nil
	}
	t.settled = map[int64]bool{}
	own := partition{t.deadTopic, int32(t.id.task)}
	var last offsets.Mark // of own: one that was taken in part is known by that alone
	for _, marks := range t.starts {
		for p, m := range marks {
			if p.topic != t.deadTopic {
				continue
			}
			if m.Index == 0 && m.Offset > 0 {
				if err := deadletter.Settle(ctx, plain(t.log), t.deadTopic, m.Offset-1); err != nil {
					return err
				}
				t.settled[m.Offset-1] = true // lanes that are behind hide it below
			}
			if p == own && (m.Index > last.Index || last == offsets.Mark{}) {
				last = m
			}
		}
	}
	if last == (offsets.Mark{}) {
		return nil
	}
	for lane := range t.starts {
		if t.starts[lane][own] != last {
			t.pending[lane][offsets.MarkKey(own.topic, own.num)] = last.Position()
			t.starts[lane][own] = last
		}
	}
	return nil
}

// plain returns a log that does not note which topics are used.
func plain(log connect.Log) connect.Log {
	if l, ok := log.(trackedLog); ok {
		return l.Log
	}
	return log
}

// once writes a batch of one record that was sent again. refused is what is
// wrong with the record, and then err is nil.
func (t *sinkTask) once(ctx context.Context, sink connect.Sink, b *connect.Batch) (refused, err error) {
	err = sink.Write(ctx, b)
	t.meter.wrote(b, err)
	var be *connect.BatchError
	if errors.As(err, &be) && len(be.Failed) > 0 {
		return be.Failed[0].Err, nil
	}
	return nil, wrapWrite(err)
}

// laneOf returns the lane of a record that has a row or is a message.
func (t *sinkTask) laneOf(ctx context.Context, r *connect.Record) (int, error) {
	spread, name := connect.SpreadOf(r.Table), [2]string{r.Table.Database, r.Table.Name}
	before, seen := t.spreads[name]
	if seen && before != spread { // the rows are where the table of now has them
		if err := t.fence(ctx); err != nil {
			return 0, err
		}
	}
	return t.hashLane(r, spread), nil
}

// changeID tells a change in the log from all others.
type changeID struct {
	at     partition
	offset int64
	seq    uint64
	row    string
}

func changeOf(r *connect.Record, at partition) changeID {
	ids := rowsOf(r)
	slices.Sort(ids)
	return changeID{at, r.Offset, r.Seq, strings.Join(ids, "\x00")}
}
