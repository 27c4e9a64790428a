// Package standalone is the Herder of one machine: connectors run in a worker
// of this process, and what is known of them is kept in the store of its log.
//
// # What is kept
//
//	connector/NAME/config    the configuration as its user wrote it, in JSON
//	connector/NAME/target    what it is meant to do: PAUSED or STOPPED
//	topics/NAME/TOPIC        that the connector has used a topic; see connect/worker
//	cluster/id               the name of this cluster
//
// # Files and REST
//
// A connector that was given by a file when the program was started stays
// governed by the file: its configuration is read from there at each start, and
// cannot be changed otherwise. Whoever keeps files wants to find in them what
// runs; a change that is only in the store would be undone, or undo the file's,
// at a time when nobody looks. A connector of the store with the name of one in
// a file is therefore dropped. Operating it (pause, stop, restart, offsets) is
// free, and what it is meant to do is kept: what an operator has stopped does
// not begin again because the program does.
//
// # Concurrency
//
// One change at a time. Reading waits neither for a change nor for tasks.
package standalone

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/loggers"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// Keys of the store.
const (
	connectorKey = "connector/"
	configKey    = "/config"
	targetKey    = "/target"
	clusterKey   = "cluster/id"
)

// Options are what a Herder needs.
type Options struct {
	Registry *config.Registry
	Worker   *worker.Worker
	Logger   *slog.Logger
	// Levels are those of the loggers of this process.
	Levels *loggers.Levels
	// WorkerID is where this worker is reached: host:port.
	WorkerID func() string
}

// Herder is a herder.Herder of one process.
type Herder struct {
	opts Options

	// changes is held while something is changed; it comes before mu.
	changes sync.Mutex
	// mu guards what follows, which is written with changes held too.
	mu     sync.Mutex
	conns  map[string]*connector
	id     string
	loaded bool
}

// connector is what is known of one. It is replaced and never changed.
type connector struct {
	name   string
	raw    map[string]string // as its user wrote it
	path   string            // of the file that governs it; "": none
	target worker.Target
	conf   *config.Connector // nil: the configuration is not valid any more
	fault  string            // why
}

// New returns a Herder without connectors.
func New(opts Options) *Herder { return &Herder{opts: opts, conns: map[string]*connector{}} }

// Load takes the connectors of the store and of files to the worker, whose log
// must be open. One of the store whose configuration is not valid any more,
// because a secret is not there, does not keep the others from running.
func (h *Herder) Load(ctx context.Context, files []*config.File) error {
	h.changes.Lock()
	defer h.changes.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	conns, stale, err := h.stored(ctx)
	if err != nil {
		return err
	}
	if err := h.addFiles(conns, files); err != nil {
		return err
	}
	for _, f := range files {
		if stored, ok := stale[f.Name]; ok {
			h.opts.Logger.Warn("the connector's file governs it: its configuration in the store is dropped", "connector", f.Name, "file", f.Path)
			if err := h.save(ctx, offsets.Entry{Key: stored}); err != nil {
				return err
			}
		}
	}
	if err := h.loadID(ctx); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(conns)) {
		c := conns[name]
		if c.target != worker.TargetRunning {
			h.opts.Logger.Warn("the connector does not run until it is resumed", "connector", name, "target", c.target)
		}
		if c.conf == nil {
			h.opts.Logger.Error("the connector cannot run: its configuration is not valid any more", "connector", name, "error", c.fault)
			continue
		}
		if err := h.opts.Worker.Add(c.conf, c.target); err != nil {
			return err
		}
	}
	h.conns, h.loaded = conns, true
	return nil
}

// stored returns the connectors of the store, and the keys of their
// configurations.
func (h *Herder) stored(ctx context.Context) (conns map[string]*connector, keys map[string]string, err error) {
	entries, err := h.opts.Worker.Log().Store().Load(ctx, connectorKey)
	if err != nil {
		return nil, nil, fmt.Errorf("load connectors: %w", err)
	}
	conns, keys = map[string]*connector{}, map[string]string{}
	targets := map[string]worker.Target{}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Key[len(connectorKey):], targetKey); ok {
			targets[name] = worker.Target(e.Pos)
			continue
		}
		name, ok := strings.CutSuffix(e.Key[len(connectorKey):], configKey)
		if !ok {
			return nil, nil, fmt.Errorf("load connectors: the store has an entry %q, which this version does not know", e.Key)
		}
		c := &connector{name: name}
		if err := json.Unmarshal(e.Pos, &c.raw); err != nil {
			return nil, nil, fmt.Errorf("load connector %s: %w", name, err)
		}
		if c.conf, err = config.Build(h.opts.Registry, &config.File{Name: name, Config: c.raw}); err != nil {
			c.conf, c.fault = nil, err.Error()
		}
		conns[name], keys[name] = c, e.Key
	}
	for name, target := range targets {
		if c, ok := conns[name]; ok {
			c.target = target
		} else {
			conns[name] = &connector{name: name, target: target} // of one that a file may bring
		}
	}
	return conns, keys, nil
}

// addFiles puts the connectors of files over those of the store.
func (h *Herder) addFiles(conns map[string]*connector, files []*config.File) error {
	seen := map[string]bool{}
	for _, f := range files {
		if seen[f.Name] {
			return &connect.ConfigError{Name: f.Name, Faults: []connect.Fault{{Key: "name", Text: "two connectors have this name"}}}
		}
		seen[f.Name] = true
		c := &connector{name: f.Name, raw: f.Config, path: f.Path}
		var err error
		if c.conf, err = config.Build(h.opts.Registry, f); err != nil {
			return err
		}
		if old := conns[f.Name]; old != nil {
			c.target = old.target
		}
		conns[f.Name] = c
	}
	for name, c := range conns {
		if c.raw == nil { // a target alone: its file is not given this time
			delete(conns, name)
		} else if c.target == "" {
			c.target = worker.TargetRunning
		}
	}
	return nil
}

func (h *Herder) loadID(ctx context.Context) error {
	entries, err := h.opts.Worker.Log().Store().Load(ctx, clusterKey)
	if err != nil {
		return fmt.Errorf("load the cluster's id: %w", err)
	}
	if len(entries) > 0 {
		h.id = string(entries[0].Pos)
		return nil
	}
	h.id = rand.Text()
	return h.save(ctx, offsets.Entry{Key: clusterKey, Pos: offsets.Position(h.id)})
}

func (h *Herder) save(ctx context.Context, entries ...offsets.Entry) error {
	log := h.opts.Worker.Log()
	if log == nil {
		return herder.ErrStarting
	}
	if err := log.Store().Save(ctx, entries...); err != nil {
		return fmt.Errorf("save connectors: %w", err)
	}
	return nil
}

// Protect returns the offset from which on a partition's messages are still
// needed, for a log's retention. Until Load has returned all are, and so are
// those of a sink whose configuration is not valid any more.
func (h *Herder) Protect(topic string, num int32) (offset int64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.loaded {
		return 0, true
	}
	for _, c := range h.conns {
		if c.conf == nil && c.mayWant(topic) {
			return 0, true
		}
	}
	return h.opts.Worker.Protect(topic, num)
}

// mayWant reports whether a connector that cannot be built would read a topic.
func (c *connector) mayWant(topic string) bool {
	if slices.Contains(connect.SplitList(c.raw["topics"]), topic) {
		return true
	}
	expr := c.raw["topics.regex"]
	re, err := regexp.Compile("^(?:" + expr + ")$")
	return expr != "" && (err != nil || re.MatchString(topic))
}

// Cluster implements herder.Herder.
func (h *Herder) Cluster(context.Context) (herder.Cluster, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.loaded {
		return herder.Cluster{}, herder.ErrStarting
	}
	id := h.opts.WorkerID()
	me, tasks := herder.Member{Worker: id, State: "alive"}, []herder.Assignment{}
	for _, name := range slices.Sorted(maps.Keys(h.conns)) {
		for _, t := range h.state(h.conns[name]).Tasks {
			tasks = append(tasks, herder.Assignment{Connector: name, Task: t.ID, State: t.State, Worker: id, Assigned: id})
		}
	}
	me.Tasks = len(tasks)
	return herder.Cluster{ID: h.id, Worker: id, Workers: []string{id}, Mode: "standalone", Members: []herder.Member{me}, Assignments: tasks}, nil
}

// Health implements herder.Herder.
func (h *Herder) Health(ctx context.Context) error {
	h.mu.Lock()
	loaded := h.loaded
	h.mu.Unlock()
	if !loaded {
		return herder.ErrStarting
	}
	if _, err := h.opts.Worker.Log().Store().Load(ctx, clusterKey); err != nil {
		return fmt.Errorf("the log does not answer: %w", err)
	}
	return nil
}

// Overview implements herder.Herder.
func (h *Herder) Overview(ctx context.Context) worker.Status { return h.opts.Worker.Status(ctx) }

// Wait implements herder.Herder.
func (h *Herder) Wait(ctx context.Context) error { return h.opts.Worker.Wait(ctx) }

// SetLevel implements herder.Herder.
func (h *Herder) SetLevel(_ context.Context, logger, level string) error {
	_, err := h.opts.Levels.Set(logger, level)
	return err
}

// Signal implements herder.Herder.
func (h *Herder) Signal(ctx context.Context, connector string, s connect.Signal) ([]string, error) {
	return h.opts.Worker.Signal(ctx, connector, s)
}
