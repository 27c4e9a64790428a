package rest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/cluster"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/connect/rocketlog"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// sharedLog is a log in memory that workers of this process share.
type sharedLog struct {
	*memlog.Log
	mu      sync.Mutex
	place   int64
	entries map[string]offsets.Position
	changed chan struct{}
}

func newSharedLog() *sharedLog {
	return &sharedLog{Log: memlog.New(), place: 1, entries: map[string]offsets.Position{}, changed: make(chan struct{})}
}

func (l *sharedLog) Shared(context.Context) (offsets.Shared, error) { return l, nil }
func (l *sharedLog) Shown(context.Context) error                    { return nil }

// Session returns the log as it is: here nobody is stopped and comes back.
func (l *sharedLog) Session(context.Context, rocketlog.Claim) (connect.Log, error) {
	return sessionLog{l.Log}, nil
}

// sessionLog is a log that a task closes.
type sessionLog struct{ *memlog.Log }

func (sessionLog) Close() error { return nil }

func (l *sharedLog) Update(_ context.Context, decide func(offsets.View) ([]offsets.Entry, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, err := decide(stateView{l.place, l.entries})
	if err != nil || len(list) == 0 {
		return err
	}
	l.entries = maps.Clone(l.entries) // views that are out stay as they are
	for _, e := range list {
		if e.Pos == nil {
			delete(l.entries, e.Key)
		} else {
			l.entries[e.Key] = slices.Clone(e.Pos)
		}
		l.place++
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

func (l *sharedLog) UpdateFirst(ctx context.Context, decide func(offsets.View) ([]offsets.Entry, error)) error {
	return l.Update(ctx, decide)
}

func (l *sharedLog) Look(see func(offsets.View)) {
	l.mu.Lock()
	v := stateView{l.place, l.entries}
	l.mu.Unlock()
	see(v)
}

func (l *sharedLog) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

type stateView struct {
	place   int64
	entries map[string]offsets.Position
}

func (v stateView) Place() int64                    { return v.place }
func (v stateView) Get(key string) offsets.Position { return v.entries[key] }
func (v stateView) Range(prefix string) (list []offsets.Entry) {
	for _, key := range slices.Sorted(maps.Keys(v.entries)) {
		if strings.HasPrefix(key, prefix) {
			list = append(list, offsets.Entry{Key: key, Pos: v.entries[key]})
		}
	}
	return list
}

// newClusterRigs returns workers of one cluster, by their names, with the
// connector that newRig gets by a file.
func newClusterRigs(t *testing.T, names ...string) []*rig {
	log := newSharedLog()
	putSchemas(t, log.Store())
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
		log.Close()
	})
	var rigs []*rig
	for _, name := range names {
		reg := prometheus.NewRegistry()
		opts := rigOptions(reg)
		w := worker.New(opts.Logger, worker.NewMetrics(reg))
		w.Use(log)
		h, err := cluster.New(t.Context(), cluster.Options{Registry: opts.Registry, Log: log, Runner: w, Logger: opts.Logger, Levels: opts.Levels, WorkerID: name})
		if err != nil {
			t.Fatal(err)
		}
		wctx, stop := context.WithCancel(context.WithoutCancel(ctx))
		tasks := make(chan error, 1)
		go func() { tasks <- w.Stay(wctx) }()
		running.Go(func() {
			if err := h.Run(ctx); err != nil {
				t.Error(err)
			}
			stop()
			<-tasks
		})
		opts.TaskMetrics, opts.Log, opts.Herder = w.TaskMetrics(), w.Log, h
		r := &rig{handler: New(opts)}
		r.await(t, "/health", `"status":"healthy"`)
		rigs = append(rigs, r)
	}
	f := quiet()
	if _, err := rigs[0].handler.opts.Herder.Create(ctx, f.Name, f.Config, worker.TargetRunning); err != nil {
		t.Fatal(err)
	}
	return rigs
}

// A level with scope=cluster is that of all workers; any other is that of one.
func TestLevelsOfAll(t *testing.T) {
	rigs := newClusterRigs(t, "a:8083", "b:8083")
	if a := rigs[0].ask("PUT", "/admin/loggers/cdc", "application/json", `{"level": "WARN"}`); a.Code != 200 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	if a := rigs[1].ask("PUT", "/admin/loggers/connect.worker?scope=cluster", "application/json", `{"level": "DEBUG"}`); a.Code != 204 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	if a := rigs[1].ask("GET", "/admin/loggers/connect.worker", "", ""); !strings.Contains(a.Body.String(), `"level":"DEBUG"`) {
		t.Errorf("the one that was asked has %s", a.Body)
	}
	rigs[0].await(t, "/admin/loggers/connect.worker", `"level":"DEBUG"`)
	if a := rigs[1].ask("GET", "/admin/loggers/cdc", "", ""); !strings.Contains(a.Body.String(), `"level":"INFO"`) {
		t.Errorf("the level of one worker is that of another: %s", a.Body)
	}
}
