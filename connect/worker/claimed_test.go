package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/offsets"
)

// ticking is a source that tells one position after another, and who runs.
type ticking struct {
	env connect.Env
	on  *whoRuns
	n   byte
}

// whoRuns counts the running attempts of each task.
type whoRuns struct {
	mu  sync.Mutex
	now map[int]int
	all int
}

func (w *whoRuns) add(task, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now[task] += n
	w.all += max(n, 0)
}

func (w *whoRuns) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.now, " ", w.all)
}

func (s *ticking) Open(context.Context, offsets.Position, []offsets.Entry) error {
	s.on.add(s.env.Task, 1)
	return nil
}

func (s *ticking) Read(ctx context.Context, b *connect.Batch) error {
	s.n++
	b.Pos = offsets.Position{s.n}
	if !sleep(ctx, time.Second) {
		return ctx.Err()
	}
	return nil
}
func (s *ticking) Commit(context.Context, offsets.Position) error           { return nil }
func (s *ticking) Head(context.Context) (offsets.Position, error)           { return nil, nil }
func (s *ticking) Close() error                                             { s.on.add(s.env.Task, -1); return nil }
func (s *ticking) Signal(context.Context, connect.Signal) ([]string, error) { return nil, nil }

// stuckLog is a log that takes nothing while it is stuck.
type stuckLog struct {
	connect.Log
	stuck bool
}

func (l *stuckLog) Append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	if l.stuck {
		<-ctx.Done()
		return ctx.Err()
	}
	return l.Log.Append(ctx, msgs, entries)
}

// claims is a worker that runs some tasks of one connector of three.
func claims(t *testing.T, on *whoRuns) (w *Worker, conn *config.Connector, log *memlog.Log, end func()) {
	t.Helper()
	reg := &config.Registry{
		Connectors: []connect.Plugin{{Name: "ticking",
			Source: func(_ connect.Config, env connect.Env) (connect.Source, error) {
				return &ticking{env: env, on: on}, nil
			},
			Split: func(cfg connect.Config, n int) ([]connect.Config, error) {
				return slices.Repeat([]connect.Config{cfg}, n), nil
			}}},
		Converters: []connect.Plugin{frame.Plugin()},
	}
	conn, err := config.Build(reg, &config.File{Name: "c", Config: map[string]string{"connector.class": "ticking", "tasks.max": "3"}})
	if err != nil {
		t.Fatal(err)
	}
	log = memlog.New()
	w = New(slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()))
	w.Use(log)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Stay(ctx); err != nil {
			t.Error(err)
		}
	})
	return w, conn, log, func() { cancel(); wg.Wait(); log.Close() }
}

func TestTasksAreTakenOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := &whoRuns{now: map[int]int{}}
		w, conn, log, end := claims(t, on)
		defer end()
		open := func(context.Context) (connect.Log, error) { return log, nil }
		if n, err := w.Count(conn); n != 3 || err != nil {
			t.Fatalf("the connector has %d tasks, %v", n, err)
		}
		take := func(tasks ...int) error {
			grants := map[int]Grant{}
			for _, i := range tasks {
				grants[i] = Grant{Open: open}
			}
			return w.Take(conn, TargetRunning, grants)
		}
		want := func(text string) {
			t.Helper()
			synctest.Wait()
			if got := on.String(); got != text {
				t.Errorf("there run %s, want %s", got, text)
			}
		}
		if err := take(2, 0); err != nil {
			t.Fatal(err)
		}
		want("map[0:1 2:1] 2")
		if err := take(2); err == nil {
			t.Error("a task is taken twice")
		}
		left, _ := w.Drop("c", 2)
		<-left
		want("map[0:1 2:0] 2")
		if got := w.Tasks("c"); len(got) != 1 || got[0].ID != 0 || got[0].State != StateRunning {
			t.Errorf("the tasks are %+v", got)
		}
		w.Aim("c", TargetPaused)
		want("map[0:0 2:0] 2")
		w.Aim("c", TargetRunning)
		if err := take(1, 2); err != nil {
			t.Fatal(err)
		}
		want("map[0:1 1:1 2:1] 5")
		if left, _ := w.Drop("c", 7); left == nil {
			t.Error("a task that is not there never leaves")
		} else {
			<-left
		}
	})
}

// TestNothingIsFinishedWhenTheClaimIsLost ends a task whose log is stuck.
func TestNothingIsFinishedWhenTheClaimIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := &whoRuns{now: map[int]int{}}
		w, conn, log, end := claims(t, on)
		defer end()
		grants := map[int]Grant{}
		for i := range 2 {
			grants[i] = Grant{Open: func(context.Context) (connect.Log, error) { return &stuckLog{log, true}, nil }}
		}
		if err := w.Take(conn, TargetRunning, grants); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // appending has begun
		begun := time.Now()
		slow, _ := w.Drop("c", 0)
		quick, now := w.Drop("c", 1)
		time.Sleep(time.Second)
		now()
		<-quick
		if d := time.Since(begun); d != time.Second {
			t.Errorf("a task that is to end at once ends after %s", d)
		}
		<-slow
		if d := time.Since(begun); d != DrainTimeout {
			t.Errorf("a task that may finish what it read ends after %s, want %s", d, DrainTimeout)
		}
	})
}

// guarded is a sink whose target refuses who comes after a newer one.
type guarded struct {
	env    connect.Env
	target *guard
}

// guard is what a target knows of who opens it.
type guard struct {
	mu                sync.Mutex
	generation, epoch int64
	opened            []string
}

func (s *guarded) Open(context.Context) ([]offsets.Entry, error) {
	g := s.target
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.env.Generation < g.generation || s.env.Epoch < g.epoch {
		return nil, fmt.Errorf("the target has seen generation %d and epoch %d: %w", g.generation, g.epoch, connect.ErrFenced)
	}
	g.generation, g.epoch = s.env.Generation, s.env.Epoch
	g.opened = append(g.opened, fmt.Sprintf("%d:%d", s.env.Generation, s.env.Epoch))
	return nil, nil
}
func (s *guarded) Write(context.Context, *connect.Batch) error { return nil }
func (s *guarded) Close() error                                { return nil }

// TestTargetsRefuseOlderHolders: one that was given a task earlier comes to the
// target later. Who has it stays, and who is given it next comes in.
func TestTargetsRefuseOlderHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &guard{}
		reg := &config.Registry{Converters: []connect.Plugin{frame.Plugin()}, Connectors: []connect.Plugin{{Name: "guarded",
			Sink: func(_ connect.Config, env connect.Env) (connect.Sink, error) { return &guarded{env, g}, nil }}}}
		conn, err := config.Build(reg, &config.File{Name: "c", Config: map[string]string{"connector.class": "guarded", "topics": "t"}})
		if err != nil {
			t.Fatal(err)
		}
		log := memlog.New()
		defer log.Close()
		hold := func(generation, epoch int64) (w *Worker, end func()) {
			w = New(slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()))
			w.Use(log)
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			wg.Go(func() { _ = w.Stay(ctx) }) // what a task has failed with is in its status
			synctest.Wait()
			open := func(context.Context) (connect.Log, error) { return log, nil }
			if err := w.Take(conn, TargetRunning, map[int]Grant{0: {open, generation, epoch}}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			return w, func() { cancel(); wg.Wait() }
		}
		state := func(w *Worker, want State) {
			t.Helper()
			got := w.Tasks("c")
			if len(got) != 1 || got[0].State != want || (want != StateRunning) != strings.Contains(got[0].Trace, "the target has seen generation 5 and epoch 60") {
				t.Errorf("the tasks are %+v, want one that is %s", got, want)
			}
		}
		first, end := hold(5, 60)
		defer end()
		for _, older := range [][2]int64{{5, 59}, {4, 70}} {
			w, end := hold(older[0], older[1])
			state(w, StateRestarting)
			state(first, StateRunning)
			end()
		}
		next, end := hold(6, 71)
		defer end()
		state(next, StateRunning)
		if want := []string{"5:60", "6:71"}; !slices.Equal(g.opened, want) {
			t.Errorf("the target was opened by %v, want %v", g.opened, want)
		}
	})
}

// TestFencedTasksLookAgain: at a target somebody may come late, and go.
func TestFencedTasksLookAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := &whoRuns{now: map[int]int{}}
		w, conn, log, end := claims(t, on)
		defer end()
		attempts := 0
		err := w.Take(conn, TargetRunning, map[int]Grant{1: {Open: func(context.Context) (connect.Log, error) {
			if attempts++; attempts < 4 {
				return nil, errors.Join(errors.New("the target says"), connect.ErrFenced)
			}
			return log, nil
		}}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.Tasks("c"); len(got) != 1 || got[0].State != StateRunning || attempts != 4 {
			t.Errorf("after %d attempts the tasks are %+v", attempts, got)
		}
	})
}
