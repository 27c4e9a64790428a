package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/rocketlog"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// world is a state that simulated processes share, and a ledger of what their
// tasks do.
type world struct {
	t  *testing.T
	mu sync.Mutex
	r  *rand.Rand

	place   int64
	entries map[string]offsets.Position
	changed chan struct{}
	away    bool // the broker: nobody gets an answer
	calm    bool // no request and no answer gets lost or comes late

	acts    map[Task]int          // what has been done as a task, by who had the right to
	moves   map[Task]int          // how often a claim went to another worker
	owner   map[Task]claim        // last one
	entered map[Task]worker.Grant // by whom a target was opened last
	refused int                   // who came to a target after a later owner
	asked   map[string]bool       // the keys of all questions
	begun   []*process
	over    chan struct{} // closed at the end: what hangs returns
	views   sync.WaitGroup
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), place: 100, entries: map[string]offsets.Position{}, changed: make(chan struct{}),
		acts: map[Task]int{}, moves: map[Task]int{}, owner: map[Task]claim{}, entered: map[Task]worker.Grant{}, asked: map[string]bool{}, over: make(chan struct{})}
}

func (w *world) chance(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.r.IntN(n)
}

// mishap tells whether something happens to a request or its answer. mu is held.
func (w *world) mishap() bool { return !w.calm && w.r.IntN(50) == 0 }

// write applies entries and keeps count of claims. mu is held.
func (w *world) write(list []offsets.Entry) {
	for _, e := range list {
		if strings.HasPrefix(e.Key, askKey) {
			w.asked[e.Key] = true
		}
		if e.Pos == nil {
			delete(w.entries, e.Key)
		} else {
			w.entries[e.Key] = e.Pos
		}
	}
	w.place += int64(len(list))
	m, err := newParser().read(simView{w.place, w.entries})
	if err != nil {
		w.t.Error(err)
	}
	for t, c := range m.claims {
		old, ok := w.owner[t]
		if ok && c.Epoch < old.Epoch {
			w.t.Errorf("the epoch of %v goes back from %d to %d", t, old.Epoch, c.Epoch)
		}
		if ok && old.Worker != c.Worker {
			w.moves[t]++
		}
		w.owner[t] = c
		if mem, ok := m.members[c.Worker]; !ok || mem.Incarnation != c.Incarnation {
			w.t.Errorf("task %v is claimed by %s, which is not a member", t, c.Incarnation)
		}
		if g := m.conns[t.Connector].Generation; c.Generation == g {
			for o, other := range m.claims {
				if o.Connector == t.Connector && other.Generation != g {
					w.t.Errorf("tasks of two configurations of %s are claimed at once", t.Connector)
				}
			}
		}
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) model() *model {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, err := newParser().read(simView{w.place, w.entries})
	if err != nil {
		w.t.Error(err)
	}
	return m
}

type simView struct {
	place   int64
	entries map[string]offsets.Position
}

func (v simView) Place() int64                    { return v.place }
func (v simView) Get(key string) offsets.Position { return v.entries[key] }
func (v simView) Range(prefix string) (list []offsets.Entry) {
	for _, key := range slices.Sorted(maps.Keys(v.entries)) {
		if strings.HasPrefix(key, prefix) {
			list = append(list, offsets.Entry{Key: key, Pos: v.entries[key]})
		}
	}
	return list
}

// process is one worker of a world: a Herder, its log and its tasks. While it is
// paused nothing that it does has an effect; one that is killed is paused for
// ever.
type process struct {
	connect.Log
	w  *world
	id string
	h  *Herder

	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	resumed chan struct{} // closed while it is not paused
	killed  bool
	seen    simView
	told    chan struct{}
	tasks   map[Task]*simTask
}

type simTask struct {
	cancel context.CancelFunc
	abort  func()
	left   chan struct{}
}

var errOver = errors.New("the test is over")

// running waits while the process is paused.
func (p *process) running() error {
	for {
		p.mu.Lock()
		ch := p.resumed
		p.mu.Unlock()
		select {
		case <-ch:
			p.mu.Lock()
			same := ch == p.resumed
			p.mu.Unlock()
			if same {
				return nil
			}
		case <-p.w.over:
			return errOver
		}
	}
}

func (p *process) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resumed = make(chan struct{})
}

func (p *process) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.resumed:
	default:
		close(p.resumed)
	}
}

// follow shows what others write, late.
func (p *process) follow() {
	for {
		p.w.mu.Lock()
		changed := p.w.changed
		p.w.mu.Unlock()
		time.Sleep(time.Duration(p.w.chance(80)) * time.Millisecond)
		if p.running() != nil {
			return
		}
		p.w.mu.Lock()
		if !p.w.away {
			p.see()
		}
		p.w.mu.Unlock()
		select {
		case <-changed:
		case <-p.w.over:
			return
		}
	}
}

// see takes in what there is. The world's mu is held.
func (p *process) see() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen.place == p.w.place {
		return
	}
	p.seen = simView{p.w.place, maps.Clone(p.w.entries)}
	close(p.told)
	p.told = make(chan struct{})
}

// Shown implements Log: what is appended is seen at once.
func (p *process) Shown(context.Context) error { return nil }

func (p *process) Shared(context.Context) (offsets.Shared, error) { return p, nil }

func (p *process) Look(see func(offsets.View)) {
	p.mu.Lock()
	v := p.seen
	p.mu.Unlock()
	see(v)
}

func (p *process) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

// Update implements offsets.Shared. An answer may get lost, after the write or
// before it.
func (p *process) Update(ctx context.Context, decide func(offsets.View) ([]offsets.Entry, error)) error {
	for {
		if err := p.running(); err != nil {
			return err
		}
		if err := pause(ctx, time.Duration(1+p.w.chance(30))*time.Millisecond); err != nil {
			return err
		}
		p.w.mu.Lock()
		if p.w.away {
			p.w.mu.Unlock()
			if err := pause(ctx, 200*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		p.see()
		list, err := decide(simView{p.w.place, p.w.entries})
		lost := p.w.mishap()
		late := !lost && p.w.mishap()
		p.w.mu.Unlock()
		if err != nil || len(list) == 0 {
			return err
		}
		if lost {
			return errors.New("no answer")
		}
		at := p.place()
		if late { // the request is on its way while the process may be stopped
			time.Sleep(time.Duration(p.w.chance(3000)) * time.Millisecond)
		}
		p.w.mu.Lock()
		ok := !p.w.away && p.w.place == at // a write counts at the place that it was decided for
		if ok {
			p.w.write(list)
		}
		p.w.mu.Unlock()
		if err := p.running(); err != nil {
			return err
		}
		if ok {
			p.w.mu.Lock()
			p.see()
			lost := p.w.mishap()
			p.w.mu.Unlock()
			if lost {
				return errors.New("no answer to what was written")
			}
			return nil
		}
	}
}

// UpdateFirst implements offsets.Shared: here nothing waits.
func (p *process) UpdateFirst(ctx context.Context, decide func(offsets.View) ([]offsets.Entry, error)) error {
	return p.Update(ctx, decide)
}

func (p *process) place() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.place
}

// session is what a simulated task may do.
type session struct {
	connect.Log
	c rocketlog.Claim
}

func (p *process) Session(_ context.Context, c rocketlog.Claim) (connect.Log, error) {
	return &session{c: c}, p.running()
}

func (p *process) Count(c *config.Connector) (int, error) { return int(c.Config.Int("tasks.max")), nil }

func (p *process) Take(c *config.Connector, _ worker.Target, tasks map[int]worker.Grant) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, grant := range tasks {
		t := Task{Connector: c.Name, Task: i}
		if p.tasks[t] != nil {
			p.w.t.Errorf("%s starts %v twice", p.id, t)
		}
		ctx, cancel := context.WithCancel(context.Background())
		aborted := make(chan struct{})
		task := &simTask{cancel: cancel, left: make(chan struct{}), abort: sync.OnceFunc(func() { close(aborted) })}
		p.tasks[t] = task
		go p.run(ctx, t, task, grant, aborted)
	}
	return nil
}

// run acts as a task, and drains for a while when it is to end.
func (p *process) run(ctx context.Context, t Task, task *simTask, grant worker.Grant, aborted <-chan struct{}) {
	defer close(task.left)
	log, err := grant.Open(ctx)
	if err != nil {
		return
	}
	c := log.(*session).c
	if !p.enter(t, c, grant) {
		return
	}
	go func() { // another connection that it opens comes late, whatever becomes of the process
		select {
		case <-time.After(time.Duration(p.w.chance(60000)) * time.Millisecond):
			p.enter(t, c, grant)
		case <-p.w.over:
		}
	}()
	var drained <-chan time.Time
	for {
		if p.running() != nil {
			return
		}
		p.act(t, c)
		select {
		case <-time.After(time.Duration(20+p.w.chance(100)) * time.Millisecond):
		case <-aborted:
			return
		case <-drained:
			return
		case <-ctx.Done():
			if drained == nil {
				drained = time.After(time.Duration(p.w.chance(4000)) * time.Millisecond)
			}
			ctx = context.Background()
		}
	}
}

// enter opens a target as a task, which refuses it only if another has the claim.
func (p *process) enter(t Task, c rocketlog.Claim, g worker.Grant) bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	last := p.w.entered[t]
	older := g.Generation < last.Generation || g.Epoch < last.Epoch
	if !older {
		p.w.entered[t] = g
	} else if p.w.refused++; c.Holds(simView{p.w.place, p.w.entries}) == nil {
		p.w.t.Errorf("%s holds %v with generation %d and epoch %d, and a target has seen %d and %d", p.id, t, g.Generation, g.Epoch, last.Generation, last.Epoch)
	}
	if g.Generation <= 0 || g.Epoch < g.Generation {
		p.w.t.Errorf("%s runs %v by generation %d and epoch %d", p.id, t, g.Generation, g.Epoch)
	}
	return !older
}

// act does something as a task: it is right only if nobody else has the claim.
func (p *process) act(t Task, c rocketlog.Claim) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.resumed:
	default:
		return
	}
	if c.Alive() != nil {
		return
	}
	if err := c.Holds(simView{p.w.place, p.w.entries}); err != nil {
		p.w.t.Errorf("%s acts as %v, by its clock, and its claim does not hold: %v", p.id, t, err)
		return
	}
	if g := p.w.entered[t]; g.Epoch != p.w.owner[t].Epoch {
		p.w.t.Errorf("%s acts as %v, and the target was entered with epoch %d and not %d", p.id, t, g.Epoch, p.w.owner[t].Epoch)
	}
	p.w.acts[t]++
}

func (p *process) Drop(name string, task int) (<-chan struct{}, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := Task{Connector: name, Task: task}
	s := p.tasks[t]
	delete(p.tasks, t)
	if s == nil {
		p.w.t.Errorf("%s ends %v, which it does not run", p.id, t)
		return closedChan, func() {}
	}
	s.cancel()
	return s.left, s.abort
}

func (p *process) Aim(string, worker.Target) {}

func (p *process) Tasks(name string) (list []worker.TaskStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range p.tasks {
		if t.Connector == name {
			list = append(list, worker.TaskStatus{ID: t.Task, State: worker.StateRunning})
		}
	}
	return list
}

// begin starts a process. Its name may be that of one that was killed.
func (w *world) begin(id, strategy string) *process {
	p, run := w.prepare(id, strategy)
	go func() {
		defer close(p.done)
		if err := run(); err != nil && !errors.Is(err, errOver) {
			w.t.Errorf("%s ends: %v", id, err)
		}
	}()
	return p
}

// prepare returns a process that is not a member yet, and what makes it one.
func (w *world) prepare(id, strategy string) (p *process, run func() error) {
	p = &process{w: w, id: id, resumed: make(chan struct{}), told: make(chan struct{}), tasks: map[Task]*simTask{}, done: make(chan struct{})}
	close(p.resumed)
	w.mu.Lock()
	w.begun = append(w.begun, p)
	p.see()
	w.mu.Unlock()
	var err error
	p.h, err = New(context.Background(), Options{Registry: simRegistry(), Log: p, Runner: simRunner{p}, Logger: slog.New(slog.DiscardHandler), WorkerID: id, Strategy: strategy})
	if err != nil {
		w.t.Fatal(err)
	}
	w.views.Go(p.follow)
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	return p, func() error { return p.h.Run(ctx) }
}

func simRegistry() *config.Registry {
	return &config.Registry{
		Connectors: []connect.Plugin{{Name: "sim",
			Options: []connect.Option{{Name: "version", Type: connect.TypeString}},
			Source:  func(connect.Config, connect.Env) (connect.Source, error) { return nil, nil },
			Split: func(cfg connect.Config, n int) ([]connect.Config, error) {
				return slices.Repeat([]connect.Config{cfg}, n), nil
			}}},
		Converters: []connect.Plugin{frame.Plugin()},
	}
}

func simConfig(tasks int) map[string]string {
	return map[string]string{"connector.class": "sim", "tasks.max": fmt.Sprint(tasks)}
}

// simRunner is a process as a Runner.
type simRunner struct{ *process }

func (r simRunner) Join(cluster string) {
	if cluster == "" {
		r.w.t.Error("the cluster has no id")
	}
}

func (r simRunner) Aside(*config.Connector, connect.Log) (*worker.Worker, error) {
	return nil, errors.New("there are no offsets here")
}
func (r simRunner) Status(context.Context) worker.Status { return worker.Status{} }
func (r simRunner) Retry(context.Context, string, []int64, bool) ([]worker.Retried, error) {
	return nil, worker.ErrRetry
}

func (r simRunner) Signal(context.Context, string, connect.Signal) ([]string, error) {
	return []string{"by " + r.id}, nil
}
func (r simRunner) WaitSource(context.Context, string, int) error    { return nil }
func (r simRunner) Topics(context.Context, string) ([]string, error) { return nil, nil }
func (r simRunner) ResetTopics(context.Context, string) error        { return nil }
