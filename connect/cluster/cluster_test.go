package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// simRuns is how many random runs are made: TOWLINE_CLUSTER_RUNS, or a few.
func simRuns() int {
	if n, err := strconv.Atoi(os.Getenv("TOWLINE_CLUSTER_RUNS")); err == nil {
		return n
	}
	return 8
}

// drama is a random run.
type drama struct {
	*world
	all   map[string]*process
	calls sync.WaitGroup
}

func (d *drama) ids() []string { return []string{"w0:1", "w1:1", "w2:1", "w3:1"} }

// some returns a process that is not killed.
func (d *drama) some() *process { return d.all[d.ids()[d.chance(len(d.all))]] }

// call asks a process for something; it may be paused, or the broker away.
func (d *drama) call(f func(ctx context.Context, h *Herder)) {
	p := d.some()
	d.calls.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if p.running() == nil {
			f(ctx, p.h)
		}
	})
}

// change asks for a random change of a random connector.
func (d *drama) change() {
	name := fmt.Sprintf("c%d", d.chance(5))
	n := 1 + d.chance(6)
	kind := d.chance(6)
	d.call(func(ctx context.Context, h *Herder) {
		switch kind { // errors are what they are: the connector may not be there
		case 0, 1:
			_, _, _ = h.Configure(ctx, name, simConfig(n))
		case 2:
			_ = h.Delete(ctx, name)
		case 3:
			_ = h.Aim(ctx, name, worker.TargetStopped)
		case 4:
			_ = h.Aim(ctx, name, worker.TargetRunning)
		case 5:
			_, _ = h.Restart(ctx, name, true, false)
		}
	})
}

// fault does something bad for a while.
func (d *drama) fault() {
	id := d.ids()[d.chance(len(d.all))]
	p := d.all[id]
	wait := func(most int) { time.Sleep(time.Duration(d.chance(most)) * time.Millisecond) }
	switch d.chance(5) {
	case 0:
		p.pause()
		wait(30000)
		p.resume()
	case 1: // killed, and started again by its name
		p.kill()
		wait(30000)
		d.all[id] = d.begin(id, "")
	case 2: // restarted in good order
		p.stop()
		<-p.done
		wait(5000)
		d.all[id] = d.begin(id, "")
	case 3:
		d.setAway(true)
		wait(20000)
		d.setAway(false)
	case 4:
		p.pause()
		d.setAway(true)
		wait(15000)
		p.resume()
		wait(5000)
		d.setAway(false)
	}
}

func (w *world) setAway(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

func (p *process) kill() {
	p.pause()
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	p.stop()
}

// atRest returns what is missing until all tasks run where they should.
func (d *drama) missing() string {
	m := d.model()
	want := m.assigned(d.all["w0:1"].h.strategies["consistent"])
	tasks := m.tasks()
	for _, t := range tasks {
		c, ok := m.claims[t]
		if !ok || c.Worker != want[t] || c.Generation != m.conns[t.Connector].Generation {
			return fmt.Sprintf("%v is claimed by %+v and should be by %s", t, c, want[t])
		}
		p := d.all[c.Worker]
		p.mu.Lock()
		s := p.tasks[t]
		p.mu.Unlock()
		if s == nil {
			return fmt.Sprintf("%v does not run at %s", t, c.Worker)
		}
	}
	if len(m.claims) != len(tasks) {
		return fmt.Sprintf("there are %d claims for %d tasks", len(m.claims), len(tasks))
	}
	return ""
}

// TestNeverTwice lets workers die, sleep, restart and lose sight of the broker
// while connectors come, change and go. No task may do anything for two of them
// (see act), and in the end all of them run.
func TestNeverTwice(t *testing.T) {
	for seed := range uint64(simRuns()) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playDrama(t, seed) })
		})
	}
}

func playDrama(t *testing.T, seed uint64) {
	d := &drama{world: newWorld(t, seed), all: map[string]*process{}}
	for _, id := range d.ids() {
		d.all[id] = d.begin(id, "")
	}
	defer d.end()
	for begun := time.Now(); time.Since(begun) < 4*time.Minute; {
		time.Sleep(time.Duration(d.chance(4000)) * time.Millisecond)
		d.change()
		d.change()
		d.fault()
	}
	time.Sleep(30 * time.Second) // within which all must run again
	if why := d.missing(); why != "" {
		t.Errorf("30 s after the last fault: %s", why)
	}
	before := map[Task]int{}
	d.mu.Lock()
	for task := range d.acts {
		before[task] = d.acts[task]
		d.moves[task] = 0
	}
	d.mu.Unlock()
	time.Sleep(20 * time.Second)
	m := d.model()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, task := range m.tasks() {
		if d.acts[task] <= before[task] {
			t.Errorf("%v does nothing", task)
		}
		if d.moves[task] != 0 {
			t.Errorf("%v moves though nothing has happened", task)
		}
	}
	t.Logf("targets have refused %d older owners", d.refused)
}

// TestNamesakesAreRefused: the second of two that run by one name ends, and the
// first goes on.
func TestNamesakesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drama{world: newWorld(t, 1), all: map[string]*process{}}
		d.begin("w0:1", "")
		defer d.end()
		time.Sleep(5 * time.Second)
		first := d.model().members["w0:1"]
		second, run := d.prepare("w0:1", "")
		defer close(second.done)
		begun := time.Now()
		if err := run(); !errors.Is(err, errNamesake) {
			t.Errorf("the second ends with %v", err)
		}
		if took := time.Since(begun); took > DefaultSession {
			t.Errorf("it is refused only after %s", took)
		}
		time.Sleep(5 * time.Second)
		if now := d.model().members["w0:1"]; now.Incarnation != first.Incarnation || now.Beat <= first.Beat {
			t.Errorf("the first was %+v and is %+v", first, now)
		}
	})
}

// end ends all processes.
func (d *drama) end() {
	close(d.over)
	d.calls.Wait()
	for _, p := range d.begun {
		p.stop()
	}
	for _, p := range d.begun {
		<-p.done
	}
	d.views.Wait()
	synctest.Wait()
}
