package cluster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/cluster/assign"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/loggers"
	"github.com/towline/towline/connect/rocketlog"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// Defaults of Options.
const (
	DefaultSession   = 10 * time.Second
	DefaultHeartbeat = 2 * time.Second
	DefaultDelay     = 5 * time.Second
)

const (
	guardEvery  = 100 * time.Millisecond // between two looks at the own lease
	statusEvery = 250 * time.Millisecond // between two looks at what tasks do
	leaveWait   = worker.DrainTimeout + 5*time.Second
)

// Log is a log that workers share.
type Log interface {
	connect.Log
	Shared(ctx context.Context) (offsets.Shared, error)
	Session(ctx context.Context, c rocketlog.Claim) (connect.Log, error)
	// Shown returns once the other workers see what was appended here before.
	Shown(ctx context.Context) error
}

// Runner runs tasks; a *worker.Worker does.
type Runner interface {
	Join(cluster string)
	Count(c *config.Connector) (int, error)
	Take(c *config.Connector, target worker.Target, tasks map[int]worker.Grant) error
	Drop(name string, task int) (left <-chan struct{}, now func())
	Aim(name string, target worker.Target)
	Tasks(name string) []worker.TaskStatus
	Aside(c *config.Connector, log connect.Log) (*worker.Worker, error)
	Status(ctx context.Context) worker.Status
	WaitSource(ctx context.Context, connector string, task int) error
	Signal(ctx context.Context, connector string, s connect.Signal) ([]string, error)
	Retry(ctx context.Context, connector string, ids []int64, force bool) ([]worker.Retried, error)
	Topics(ctx context.Context, connector string) ([]string, error)
	ResetTopics(ctx context.Context, connector string) error
}

// Options are what a Herder needs.
type Options struct {
	Registry *config.Registry
	Log      Log
	Runner   Runner
	Logger   *slog.Logger
	// WorkerID is where this worker is reached, host:port. No other has the same.
	WorkerID string
	// Session is for how long a renewal of the lease holds, and Heartbeat how long
	// it is to the next; Delay is how much longer a dead worker's tasks wait for it.
	// 0: the default; for no delay, less than 0.
	Session, Heartbeat, Delay time.Duration
	// Strategy is the name of one of package assign's; "": the default.
	Strategy string
	// Levels are those of the loggers of this process.
	Levels *loggers.Levels
}

// Herder is a herder.Herder of one of many workers.
type Herder struct {
	opts       Options
	shared     offsets.Shared
	strategies assign.Registry
	lease      lease
	confs      confs
	woken      chan struct{}
	counts     counts
	leaving    atomic.Bool
	joined     atomic.Bool

	parsing sync.Mutex // of parser; nothing else is locked under it
	parser  *parser

	levelling sync.Mutex // comes before all others
	nextLevel int64      // place from which on levels have not been taken yet

	mu           sync.Mutex
	judge        judge
	process      string // a name for this process
	incarnations int    // how often it has joined
	local        map[Task]*running
	told         map[Task]taskStatus // what of it the others know
	slots        map[int]bool        // of questions that wait for an answer
	fault        error               // why the state cannot be read

	viewing sync.Mutex // of view, over the questions that make it; no lock is held when it is taken
	view    worker.Status
}

// New returns a Herder. It is not a member before Run.
func New(ctx context.Context, o Options) (*Herder, error) {
	if o.Session == 0 {
		o.Session = DefaultSession
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = DefaultHeartbeat
	}
	if o.Delay == 0 {
		o.Delay = DefaultDelay
	}
	if o.Strategy == "" {
		o.Strategy = assign.Default
	}
	if o.WorkerID == "" || 3*o.Heartbeat > o.Session {
		return nil, fmt.Errorf("cluster: worker %q has a lease of %s that is renewed every %s; it needs a name, and a lease of at least three renewals", o.WorkerID, o.Session, o.Heartbeat)
	}
	h := &Herder{opts: o, strategies: assign.Builtin(), woken: make(chan struct{}, 1), parser: newParser(), process: randomID(),
		judge: judge{seen: map[string]sighting{}}, local: map[Task]*running{}, told: map[Task]taskStatus{}, slots: map[int]bool{}}
	if _, err := h.strategies.Get(o.Strategy); err != nil {
		return nil, err
	}
	h.confs.registry = o.Registry
	var err error
	if h.shared, err = o.Log.Shared(ctx); err != nil {
		return nil, fmt.Errorf("cluster: open the state: %w", err)
	}
	return h, nil
}

func randomID() string { return strings.ToLower(rand.Text()[:12]) }

// incarnation names this worker as a member since it last joined.
func (h *Herder) incarnation() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprintf("%s.%d", h.process, h.incarnations)
}

// wake has the state looked at soon.
func (h *Herder) wake() {
	select {
	case h.woken <- struct{}{}:
	default:
	}
}

// current returns what is known of the state.
func (h *Herder) current() (m *model, err error) {
	h.shared.Look(func(v offsets.View) { m, err = h.parse(v) })
	if err != nil {
		err = fmt.Errorf("cluster: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = err
	return m, err
}

func (h *Herder) parse(v offsets.View) (*model, error) {
	h.parsing.Lock()
	defer h.parsing.Unlock()
	return h.parser.read(v)
}

// update writes what decide returns.
func (h *Herder) update(ctx context.Context, decide func(m *model) ([]offsets.Entry, error)) error {
	return h.shared.Update(ctx, func(v offsets.View) ([]offsets.Entry, error) {
		m, err := h.parse(v)
		if err != nil {
			return nil, err
		}
		return decide(m)
	})
}

func decodeMember(text []byte) (m member, err error) {
	if text != nil {
		err = json.Unmarshal(text, &m)
	}
	return m, err
}

// Run makes this worker a member and has it do its share until ctx ends; then it
// hands over what it runs and leaves.
func (h *Herder) Run(ctx context.Context) error {
	// The loops go on while what runs here ends.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if err := h.skipLevels(); err != nil {
		return err
	}
	if err := h.join(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	m, err := h.current()
	if err != nil {
		return err
	}
	h.opts.Runner.Join(m.id)
	h.joined.Store(true)
	h.opts.Logger.Info("joined the cluster", "worker", h.opts.WorkerID)
	failed := make(chan error, 1)
	wg.Go(func() {
		if err := h.beats(work); err != nil {
			failed <- err
		}
	})
	wg.Go(func() { h.watch(work) })
	wg.Go(func() { h.steps(work) })
	wg.Go(func() { h.tell(work) })
	wg.Go(func() { h.answers(work) })
	wg.Go(func() { h.followLevels(work) })
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	return h.leave(work)
}

// watch ends tasks when the lease lapses.
func (h *Herder) watch(ctx context.Context) {
	for pause(ctx, guardEvery) == nil {
		h.guard()
	}
}

// steps does what is to be done whenever something has changed.
func (h *Herder) steps(ctx context.Context) {
	tick := time.NewTicker(h.opts.Heartbeat)
	defer tick.Stop()
	for ctx.Err() == nil {
		changed := h.shared.Changed()
		if err := h.step(ctx); err != nil && ctx.Err() == nil {
			h.opts.Logger.Error("the tasks of the cluster could not be shared out; trying again", "error", err)
			if pause(ctx, time.Second) != nil {
				return
			}
		}
		select {
		case <-changed:
		case <-h.woken:
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// leave hands over all that runs here, and ends the membership.
func (h *Herder) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveWait)
	defer cancel()
	h.leaving.Store(true)
	err := h.beat(ctx)
	for err == nil {
		var m *model
		if m, err = h.current(); err != nil {
			break
		}
		busy := false
		for _, c := range m.claims {
			busy = busy || c.by(h.opts.WorkerID, h.incarnation())
		}
		h.mu.Lock()
		busy = busy || len(h.local) > 0
		h.mu.Unlock()
		if !busy {
			break
		}
		err = pause(ctx, guardEvery/2)
	}
	if err == nil {
		err = h.update(ctx, func(m *model) ([]offsets.Entry, error) {
			if m.members[h.opts.WorkerID].Incarnation != h.incarnation() {
				return nil, nil
			}
			return []offsets.Entry{{Key: memberKey + h.opts.WorkerID}}, nil
		})
	}
	if err != nil && !errors.Is(err, errExpelled) {
		h.opts.Logger.Warn("the worker could not hand over its tasks; others take them when its lease has ended", "error", err)
	}
	h.lease.end()
	ectx, stop := context.WithTimeout(context.WithoutCancel(ctx), leaveWait)
	defer stop()
	return h.empty(ectx)
}

// confs are the configurations as they are used here, by name.
type confs struct {
	registry *config.Registry
	mu       sync.Mutex
	known    map[string]conf
}

type conf struct {
	generation, restart int64
	conf                *config.Connector
	err                 error
}

// get returns the one of a record, with what its references refer to since it was
// last changed or restarted.
func (c *confs) get(name string, r record) (*config.Connector, error) {
	var restart int64
	for _, n := range r.Restarts {
		restart = max(restart, n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[name]
	if !ok || known.generation != r.Generation || known.restart != restart {
		built, err := config.Build(c.registry, &config.File{Name: name, Config: r.Config})
		known = conf{r.Generation, restart, built, err}
		if c.known == nil {
			c.known = map[string]conf{}
		}
		c.known[name] = known
	}
	return known.conf, known.err
}

var _ herder.Herder = (*Herder)(nil)
