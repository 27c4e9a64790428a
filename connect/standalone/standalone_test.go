package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger notes which connectors' tasks run, and whether one ever ran twice at
// once.
type ledger struct {
	runs  sync.Map // name to *atomic.Int32
	twice atomic.Int32
}

func (l *ledger) count(name string) *atomic.Int32 {
	n, _ := l.runs.LoadOrStore(name, new(atomic.Int32))
	return n.(*atomic.Int32)
}

// lone is a source that runs until it is closed.
type lone struct {
	l    *ledger
	name string
}

func (s *lone) Open(context.Context, offsets.Position, []offsets.Entry) error {
	if s.l.count(s.name).Add(1) > 1 {
		s.l.twice.Add(1)
	}
	return nil
}
func (s *lone) Read(ctx context.Context, _ *connect.Batch) error {
	<-ctx.Done()
	return ctx.Err()
}
func (s *lone) Commit(context.Context, offsets.Position) error { return nil }
func (s *lone) Head(context.Context) (offsets.Position, error) { return offsets.Position{1}, nil }
func (s *lone) Close() error                                   { s.l.count(s.name).Add(-1); return nil }

func (l *ledger) registry() *config.Registry {
	return &config.Registry{
		Connectors: []connect.Plugin{{Name: "lone", Options: []connect.Option{{Name: "n", Type: connect.TypeInt, Default: "0"}, {Name: "password", Type: connect.TypePassword}},
			Source: func(cfg connect.Config, env connect.Env) (connect.Source, error) { return &lone{l, env.Connector}, nil }}, {
			Name: "void", Options: []connect.Option{{Name: "password", Type: connect.TypePassword}},
			Sink: func(connect.Config, connect.Env) (connect.Sink, error) { return nil, errors.New("never") }}},
		Converters: []connect.Plugin{frame.Plugin()},
	}
}

// life is one run of a worker over a log.
type life struct {
	*Herder
	ledger *ledger
	end    func()
}

func begin(t *testing.T, log connect.Log, files ...*config.File) *life {
	t.Helper()
	l := &ledger{}
	logger := slog.New(slog.DiscardHandler)
	w := worker.New(logger, worker.NewMetrics(prometheus.NewRegistry()))
	w.Use(log)
	h := New(Options{Registry: l.registry(), Worker: w, Logger: logger, WorkerID: func() string { return "here" }})
	if err := h.Load(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Stay(ctx) }()
	end := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(end)
	return &life{h, l, end}
}

// await waits until a connector's state has text in it.
func (l *life) await(t *testing.T, name, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		st, err := l.Status(t.Context(), name)
		if got := fmt.Sprintf("%+v, %v", st, err); strings.Contains(got, text) {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%s is %s and never %s", name, got, text)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What was made, changed, stopped and deleted is so after a new start, too.
func TestDurable(t *testing.T) {
	log := memlog.New()
	defer log.Close()
	ctx := t.Context()
	first := begin(t, log)
	for _, name := range []string{"a", "b", "c", "d"} {
		_, err := first.Create(ctx, name, map[string]string{"connector.class": "lone", "password": "p-" + name}, worker.TargetRunning)
		must(t, err)
	}
	_, err := first.Create(ctx, "e", map[string]string{"connector.class": "lone"}, worker.TargetStopped)
	must(t, err)
	_, created, err := first.Configure(ctx, "b", map[string]string{"connector.class": "lone", "n": "5", "password": connect.Hidden})
	must(t, err)
	if created {
		t.Error("b is made anew")
	}
	must(t, first.Aim(ctx, "c", worker.TargetPaused))
	must(t, first.Delete(ctx, "d"))
	id, err := first.Cluster(ctx)
	must(t, err)
	first.end()

	second := begin(t, log)
	if again, err := second.Cluster(ctx); err != nil || again.ID != id.ID || id.ID == "" {
		t.Errorf("the cluster %v was %v; %v", again, id, err)
	}
	names, err := second.List(ctx)
	if got := strings.Join(names, " "); err != nil || got != "a b c e" {
		t.Fatalf("there are %s, %v", got, err)
	}
	second.await(t, "a", "Tasks:[{ID:0 State:RUNNING")
	second.await(t, "b", "Tasks:[{ID:0 State:RUNNING")
	second.await(t, "c", "Tasks:[{ID:0 State:PAUSED")
	second.await(t, "e", "State:STOPPED")
	if c := second.conns["b"]; c.conf.Config.String("n") != "5" || c.conf.Config.String("password") != "p-b" {
		t.Errorf("b is %v", c.raw)
	}
	info, err := second.Info(ctx, "b")
	if err != nil || info.Config["password"] != connect.Hidden {
		t.Errorf("b is shown as %v, %v", info, err)
	}
	must(t, second.Aim(ctx, "c", worker.TargetRunning))
	second.end()
	begin(t, log).await(t, "c", "Tasks:[{ID:0 State:RUNNING")
}

// A file governs its connector; what the connector is meant to do is free.
func TestFilesComeFirst(t *testing.T) {
	log := memlog.New()
	defer log.Close()
	ctx := t.Context()
	first := begin(t, log)
	_, err := first.Create(ctx, "a", map[string]string{"connector.class": "lone", "n": "1"}, worker.TargetRunning)
	must(t, err)
	must(t, first.Aim(ctx, "a", worker.TargetPaused))
	first.end()

	file := &config.File{Name: "a", Path: "a.json", Config: map[string]string{"connector.class": "lone", "n": "2"}}
	second := begin(t, log, file)
	if got := second.conns["a"].conf.Config.String("n"); got != "2" {
		t.Errorf("n is %s", got)
	}
	second.await(t, "a", "State:PAUSED")
	for what, err := range map[string]error{
		"changed": func() error { _, _, err := second.Configure(ctx, "a", file.Config); return err }(),
		"patched": func() error { _, err := second.Patch(ctx, "a", nil); return err }(),
		"deleted": second.Delete(ctx, "a"),
	} {
		var fault *herder.Error
		if !errors.As(err, &fault) || fault.Kind != herder.Forbidden || !strings.Contains(fault.Text, "a.json") {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, second.Aim(ctx, "a", worker.TargetRunning))
	second.await(t, "a", "Tasks:[{ID:0 State:RUNNING")
	second.end()
	third := begin(t, log) // without the file
	if names, err := third.List(ctx); err != nil || len(names) > 0 {
		t.Errorf("there are %v, %v", names, err)
	}
}

// One whose secret is gone keeps nobody else from running, says so, holds what
// it has not read, and comes back with a restart.
func TestSecretThatIsGone(t *testing.T) {
	log := memlog.New()
	defer log.Close()
	ctx := t.Context()
	t.Setenv("TOWLINE_TEST_SECRET", "x")
	first := begin(t, log)
	for name, cfg := range map[string]map[string]string{
		"a": {"connector.class": "lone", "password": "${env:TOWLINE_TEST_SECRET}"},
		"b": {"connector.class": "lone"},
		"s": {"connector.class": "void", "topics": "t", "password": "${env:TOWLINE_TEST_SECRET}"},
	} {
		_, err := first.Create(ctx, name, cfg, worker.TargetRunning)
		must(t, err)
	}
	first.end()
	t.Setenv("TOWLINE_TEST_SECRET", "")
	if err := os.Unsetenv("TOWLINE_TEST_SECRET"); err != nil {
		t.Fatal(err)
	}
	second := begin(t, log)
	second.await(t, "b", "Tasks:[{ID:0 State:RUNNING")
	second.await(t, "a", "State:FAILED")
	second.await(t, "a", "no variable TOWLINE_TEST_SECRET")
	if from, ok := second.Protect("t", 0); !ok || from != 0 {
		t.Error("what s has not read is not held")
	}
	if _, ok := second.Protect("u", 0); ok {
		t.Error("what nobody reads is held")
	}
	if _, err := second.Restart(ctx, "a", true, false); err == nil || !strings.Contains(err.Error(), "no variable TOWLINE_TEST_SECRET") {
		t.Errorf("restart: %v", err)
	}
	t.Setenv("TOWLINE_TEST_SECRET", "y")
	_, err := second.Restart(ctx, "a", false, false)
	must(t, err)
	second.await(t, "a", "Tasks:[{ID:0 State:RUNNING")
	if got := second.conns["a"].conf.Config.String("password"); got != "y" {
		t.Errorf("the secret is %q", got)
	}
}

// Whatever is asked at once, no task ever runs twice at once, and in the end
// what was asked last holds.
func TestAllAtOnce(t *testing.T) {
	log := memlog.New()
	defer log.Close()
	ctx := t.Context()
	l := begin(t, log)
	names := []string{"a", "b", "c"}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 150 {
				name := names[r.IntN(len(names))]
				if err := l.random(ctx, r, name); err != nil {
					var fault *herder.Error
					if !errors.As(err, &fault) {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, name := range names {
		_, _, err := l.Configure(ctx, name, map[string]string{"connector.class": "lone", "n": "77"})
		must(t, err)
		must(t, l.Aim(ctx, name, worker.TargetRunning))
		l.await(t, name, "Tasks:[{ID:0 State:RUNNING")
		must(t, l.Aim(ctx, name, worker.TargetStopped))
		must(t, l.opts.Worker.Settle(ctx, name))
		if n := l.ledger.count(name).Load(); n != 0 {
			t.Errorf("%s is stopped and %d of it run", name, n)
		}
	}
	if n := l.ledger.twice.Load(); n > 0 {
		t.Errorf("%d times a task ran twice at once", n)
	}
}

// random does one thing or another to a connector.
func (l *life) random(ctx context.Context, r *rand.Rand, name string) (err error) {
	switch r.IntN(9) {
	case 0:
		_, err = l.Create(ctx, name, map[string]string{"connector.class": "lone"}, worker.TargetRunning)
	case 1:
		_, _, err = l.Configure(ctx, name, map[string]string{"connector.class": "lone", "n": fmt.Sprint(r.IntN(100))})
	case 2:
		err = l.Delete(ctx, name)
	case 3:
		err = l.Aim(ctx, name, worker.TargetPaused)
	case 4:
		err = l.Aim(ctx, name, worker.TargetStopped)
	case 5, 6:
		err = l.Aim(ctx, name, worker.TargetRunning)
	case 7:
		_, err = l.Restart(ctx, name, true, r.IntN(2) == 0)
	case 8:
		_, err = l.Info(ctx, name)
		l.Overview(ctx)
	}
	return err
}
