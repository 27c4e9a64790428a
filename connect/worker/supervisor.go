package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
)

// State of a task; the names are Kafka Connect's.
type State string

// The states.
const (
	StateUnassigned State = "UNASSIGNED" // not started yet
	StateRunning    State = "RUNNING"
	StateRestarting State = "RESTARTING" // failed, and waits for its next attempt
	StateFailed     State = "FAILED"     // given up
	StateStopped    State = "STOPPED"    // ended without a fault
	StatePaused     State = "PAUSED"     // an operator wants it to rest
)

const firstPause = 300 * time.Millisecond

// supervisor runs one task while it is wanted, and starts it anew when it
// fails. What it runs never changes: another configuration has another
// supervisor, which waits until the one before has left.
type supervisor struct {
	id     taskID
	worker *Worker
	conn   *config.Connector
	cfg    connect.Config
	logger *slog.Logger
	meter  *meter
	prog   *progress
	shares *shares // of a sink: which partitions are its
	behind behind  // of a sink

	// grant is what it runs by; without one the log is the worker's, as it is.
	grant Grant
	// aborted is closed by abort: nothing is to be finished any more.
	aborted chan struct{}
	abort   func()

	// after is what must have left before the first attempt; left is closed
	// when this one has. Both are set before it is launched.
	after []<-chan struct{}
	left  chan struct{}
	// over: it is wanted, and has ended by itself.
	over atomic.Bool

	mu       sync.Mutex
	want     want
	idle     bool          // it runs nothing, and begins nothing before it looks at want
	changed  chan struct{} // closed and made anew with want
	state    State
	trace    string
	attempts int
	source   connect.Source // of the running attempt; nil else
	sink     *sinkTask      // likewise
}

// TaskStatus is what a task does now.
type TaskStatus struct {
	ID       int    `json:"id"`
	State    State  `json:"state"`
	Trace    string `json:"trace,omitempty"`
	Attempts int    `json:"attempts,omitempty"` // failed ones since it last got on
	// Worker runs it, where there are several.
	Worker string `json:"worker_id,omitempty"`
}

func newSupervisor(id taskID, w *Worker, c *config.Connector, cfg connect.Config, shared *shares) *supervisor {
	aborted := make(chan struct{})
	return &supervisor{id: id, worker: w, aborted: aborted, abort: sync.OnceFunc(func() { close(aborted) }), conn: c, cfg: cfg, shares: shared,
		logger: w.logger.With("connector", id.connector, "task", id.task),
		state:  StateUnassigned, idle: true, changed: make(chan struct{}), meter: newMeter(w.metrics, id), prog: newProgress()}
}

func (s *supervisor) status() TaskStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return TaskStatus{ID: s.id.task, State: s.state, Trace: s.trace, Attempts: s.attempts}
}

func (s *supervisor) set(state State, trace string, attempts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.trace, s.attempts = state, trace, attempts
}

// want is what is wanted of a task.
type want struct {
	target Target
	gone   bool // it is not wanted any more at all
	forget forgetting
}

// forgetting is which numbers of a task that has left are dropped.
type forgetting int

const (
	forgetNothing forgetting = iota
	forgetTables             // others will report them anew
	forgetAll
)

// wanted returns what is wanted now, and a channel that is closed when that
// changes.
func (s *supervisor) wanted() (want, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = s.want.gone || s.want.target != TargetRunning
	return s.want, s.changed
}

// resting reports whether it runs nothing, and will not as long as nothing
// else is wanted.
func (s *supervisor) resting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idle
}

// leave ends what began with launch.
func (s *supervisor) leave() {
	s.mu.Lock()
	s.idle = true
	forget := s.want.forget
	s.mu.Unlock()
	s.worker.metrics.leave(s.meter, forget)
	close(s.left)
}

// ask says what is wanted from now on. It does not wait for it.
func (s *supervisor) ask(w want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.want == w {
		return
	}
	s.want = w
	close(s.changed)
	s.changed = make(chan struct{})
}

// supervise does what is wanted until ctx ends or nothing is wanted any more.
func (s *supervisor) supervise(ctx context.Context) {
	defer s.leave()
	s.worker.metrics.join(s.meter)
	for _, before := range s.after { // they leave for the same reasons
		<-before
	}
	for ctx.Err() == nil {
		want, changed := s.wanted()
		switch {
		case want.gone:
			return
		case want.target == TargetRunning:
			if s.runWhile(ctx, changed); ctx.Err() != nil {
				return
			}
			select {
			case <-changed:
				continue
			default: // it has ended by itself
			}
			s.over.Store(true)
			s.worker.tell()
		case want.target == TargetPaused:
			s.set(StatePaused, "", 0)
		default:
			s.set(StateStopped, "", 0)
		}
		select {
		case <-changed:
			s.over.Store(false)
		case <-ctx.Done():
		}
	}
}

// runWhile runs the task until ctx ends, something else is wanted, or it ends
// by itself.
func (s *supervisor) runWhile(ctx context.Context, changed <-chan struct{}) {
	ctx, cancel := s.abortable(ctx)
	defer cancel()
	done := make(chan struct{})
	defer func() { <-done }()
	defer cancel()
	go func() {
		defer close(done)
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.run(ctx)
}

// run starts the task until ctx ends, it ends by itself, or it is given up.
func (s *supervisor) run(ctx context.Context) {
	limit := s.cfg.Millis("errors.retry.timeout")
	longest := s.cfg.Millis("errors.retry.delay.max.ms")
	attempts, before := 0, s.meter.totals().Written
	var since time.Time // of the first failure without progress
	for {
		err := s.attempt(ctx, attempts)
		if err == nil || ctx.Err() != nil {
			s.set(StateStopped, traceOf(err), 0)
			return
		}
		if n := s.meter.totals().Written; n != before || since.IsZero() {
			attempts, before, since = 0, n, time.Now()
		}
		attempts++
		if s.isPermanent(err) || limit >= 0 && time.Since(since) > limit {
			s.logger.Error("task failed", "error", err)
			s.set(StateFailed, err.Error(), attempts)
			return
		}
		pause := backoff(attempts, longest)
		s.logger.Warn("task failed and will be started again", "error", err, "attempt", attempts, "pause", pause.Round(time.Millisecond))
		s.set(StateRestarting, err.Error(), attempts)
		if !sleep(ctx, pause) {
			s.set(StateStopped, err.Error(), attempts)
			return
		}
	}
}

// attempt makes the task's parts and runs it once.
func (s *supervisor) attempt(ctx context.Context, attempts int) error {
	log := s.worker.Log()
	if s.grant.Open != nil {
		var err error
		if log, err = s.grant.Open(ctx); err != nil {
			return err
		}
	}
	task, err := s.build(log)
	if err != nil {
		return err
	}
	s.worker.metrics.starts.WithLabelValues(s.id.connector, itoa(s.id.task)).Inc()
	s.set(StateRunning, "", attempts)
	s.logger.Info("task started", "class", s.conn.Plugin.Name)
	defer s.setSource(nil)
	defer s.setSink(nil)
	return task.Run(ctx)
}

func (s *supervisor) setSource(src connect.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.source = src
}

func (s *supervisor) setSink(t *sinkTask) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sink = t
}

func (s *supervisor) build(log connect.Log) (connect.Task, error) {
	env := s.env(0, 1)
	env.Store = log.Store()
	ch, err := newChain(s.conn, env)
	if err != nil {
		return nil, err
	}
	conv, err := s.conn.Converter.Plugin.Converter(s.conn.Converter.Config, env)
	if err != nil {
		return nil, err
	}
	dead, err := s.deadLetters(env, log)
	if err != nil {
		return nil, err
	}
	if s.conn.IsSource() {
		src, err := s.conn.Plugin.Source(s.cfg, env)
		if err != nil {
			return nil, err
		}
		s.setSource(src)
		return &sourceTask{id: s.id, source: src, chain: ch, converter: conv, log: s.worker.tracked(log, s.id.connector), dead: dead,
			partitions: int32(s.cfg.Int("topic.creation.default.partitions")), meter: s.meter, progress: s.prog}, nil
	}
	t, err := s.sinkTask(log, ch, conv, dead)
	if err != nil {
		return nil, err
	}
	s.setSink(t)
	return t, nil
}

func (s *supervisor) sinkTask(log connect.Log, ch *chain, conv connect.Converter, dead *deadLetters) (*sinkTask, error) {
	t := &sinkTask{letters: make(chan *letter), gone: make(chan struct{}), deadTopic: s.cfg.String("errors.deadletterqueue.topic.name"),
		id: s.id, chain: ch, converter: conv, log: s.worker.tracked(log, s.id.connector), dead: dead, wants: s.wanter(),
		shares: s.shares, meter: s.meter, progress: s.prog, logger: s.logger, lanes: int(s.cfg.Int("lanes")), whole: wholeTransactions(s.conn),
		barriers: s.conn.Plugin.Barriers}
	if t.lanes == 0 {
		t.lanes = max(1, s.conn.Plugin.Lanes)
	}
	if t.whole {
		t.lanes = 1
	}
	t.makeSink = func(lane int) (connect.Sink, error) { return s.conn.Plugin.Sink(s.cfg, s.env(lane, t.lanes)) }
	return t, nil
}

// wanter returns which topics the sink reads: those that its configuration
// names, but never its own dead letters.
func (s *supervisor) wanter() func(topic string) bool {
	dead := s.cfg.String("errors.deadletterqueue.topic.name")
	if expr := s.cfg.String("topics.regex"); expr != "" {
		re := regexp.MustCompile("^(?:" + expr + ")$") // checked with the configuration
		return func(topic string) bool { return topic != dead && re.MatchString(topic) }
	}
	topics := s.cfg.List("topics")
	return func(topic string) bool { return slices.Contains(topics, topic) }
}

func (s *supervisor) deadLetters(env connect.Env, log connect.Log) (*deadLetters, error) {
	if !s.tolerant() {
		return nil, nil
	}
	conv, err := s.conn.Converter.Plugin.Converter(s.conn.Converter.Config, env)
	if err != nil {
		return nil, err
	}
	d := &deadLetters{id: s.id, topic: s.cfg.String("errors.deadletterqueue.topic.name"), log: log, meter: s.meter, converter: conv,
		headers: s.cfg.Bool("errors.deadletterqueue.context.headers.enable")}
	if s.cfg.Bool("errors.log.enable") {
		d.logger = s.logger
	}
	return d, nil
}

func (s *supervisor) env(lane, lanes int) connect.Env {
	return connect.Env{
		Connector: s.id.connector, Task: s.id.task, Tasks: s.shares.tasks, Lane: lane, Lanes: lanes, Logger: s.logger,
		Generation: s.grant.Generation, Epoch: s.grant.Epoch, Cluster: s.worker.clusterID(),
		Report:   s.report,
		Gauge:    func(name string, v float64, labels ...string) { s.worker.metrics.gauge(s.id, name, v, labels...) },
		Drop:     s.meter.drop,
		Tolerant: s.tolerant(),
		MayStop:  s.mayStop,
	}
}

func (s *supervisor) tolerant() bool {
	return strings.EqualFold(s.cfg.String("errors.tolerance"), "all")
}

// mayStop returns why a sink must not leave out one table of a topic: others
// depend on it, or it would not hear, in order, that the table begins anew.
func (s *supervisor) mayStop(ctx context.Context, topic string) (why string, err error) {
	switch {
	case wholeTransactions(s.conn):
		return "with transaction.mode=source transactions are written whole or not at all", nil
	case !s.conn.Converter.Plugin.Schemas:
		return fmt.Sprintf("messages of value.converter=%s do not tell when a table begins anew", s.conn.Converter.Plugin.Name), nil
	}
	if s.conn.Plugin.Barriers {
		return "", nil
	}
	topics, err := s.worker.Log().Topics(ctx)
	if err != nil {
		return "", fmt.Errorf("list topics: %w", err)
	}
	if n := topics[topic]; n > 1 {
		return fmt.Sprintf("topic %s has %d partitions, which do not tell in order when a table begins anew", topic, n), nil
	}
	return "", nil
}

// report takes note of the state of a table. That one is not followed any more
// is something an operator must hear of.
func (s *supervisor) report(t connect.TableStatus) {
	before := s.prog.report(t)
	if before == t.State {
		return
	}
	if t.State == connect.TableStopped {
		s.logger.Error("table is stopped: its changes are not followed any more, those of others are", "table", t.Table, "reason", t.Reason)
	}
	s.worker.metrics.tableState(s.id, before, t.State)
}

// backoff returns the pause before an attempt: doubling from firstPause up to
// longest, and anywhere in its upper half.
func backoff(attempt int, longest time.Duration) time.Duration {
	d := longest
	if attempt < 20 {
		d = min(firstPause<<(attempt-1), longest)
	}
	return d/2 + rand.N(d/2+1)
}

// isPermanent reports whether no retry mends err. Who has a claim and is fenced
// at a target, or by a source's server, finds, when it opens its log anew, whether it has it still: one
// that had it before may have come late and gone.
func (s *supervisor) isPermanent(err error) bool {
	if s.grant.Open != nil && errors.Is(err, connect.ErrFenced) {
		return false
	}
	return isPermanent(err)
}

// isPermanent reports whether no retry mends err. Of failed records, all must
// be beyond mending.
func isPermanent(err error) bool {
	var be *connect.BatchError
	if errors.As(err, &be) {
		for _, f := range be.Failed {
			if !connect.IsPermanent(f.Err) {
				return false
			}
		}
		return len(be.Failed) > 0
	}
	return connect.IsPermanent(err)
}

// failures returns how many records of a batch failed, -1 if that is not
// known.
func failures(err error) int {
	var be *connect.BatchError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &be):
		return len(be.Failed)
	}
	return -1
}

func traceOf(err error) string {
	if err == nil || errors.Is(err, context.Canceled) {
		return ""
	}
	return err.Error()
}

func itoa(n int) string { return strconv.Itoa(n) }
