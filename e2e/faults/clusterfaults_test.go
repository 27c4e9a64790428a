package faults

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/towline/towline/e2e/process"
)

// fault is something that goes wrong for a while.
type fault struct {
	name string
	do   func()
}

// faults are the kinds that there are. The first ones are those of a short run.
func (m *team) faults() []fault {
	return []fault{
		{"kill a worker", m.killOne},
		{"stop a worker for longer than its lease", func() { m.stopOne(teamSession + teamDelay + time.Second + m.upTo(4*time.Second)) }},
		{"kill a broker", m.killBroker},
		{"a bad network", m.badWire},
		{"stop a worker for a moment", func() { m.stopOne(100*time.Millisecond + m.upTo(2*time.Second)) }},
		{"restart all workers one by one", m.roll},
		{"kill two workers", func() { m.killOne(); m.killOne() }},
	}
}

// shortKinds is how many kinds a short run has.
const shortKinds = 4

func (m *team) upTo(d time.Duration) time.Duration { return time.Duration(m.r.Int64N(int64(d))) }

func (m *team) fault(kind int) {
	m.t.Helper()
	f := m.faults()[kind]
	m.t.Logf("%s: %s", time.Now().Format("15:04:05.000"), f.name)
	f.do()
	for _, w := range m.workers {
		if err, ended := w.Ended(0); ended {
			m.t.Fatalf("%s ended by itself: %v", w.Address, err)
		}
		noneStopped(m.t, w)
	}
}

// trouble has faults for a time, or each of some kinds once.
func (m *team) trouble(long time.Duration) {
	m.t.Helper()
	if long == 0 {
		for _, kind := range m.r.Perm(shortKinds) {
			m.fault(kind)
			time.Sleep(m.upTo(time.Second))
		}
		return
	}
	for begun := time.Now(); time.Since(begun) < long && !m.t.Failed(); {
		m.fault(m.r.IntN(len(m.faults())))
		time.Sleep(m.upTo(6 * time.Second))
	}
}

func (m *team) one() *process.Process { return m.workers[m.r.IntN(len(m.workers))] }

func (m *team) killOne() {
	w := m.one()
	w.Kill()
	time.Sleep(m.upTo(2 * time.Second))
	if err := w.Start(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *team) stopOne(d time.Duration) {
	pid := m.one().PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		m.t.Fatal(err)
	}
	time.Sleep(d)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		m.t.Fatal(err)
	}
}

func (m *team) killBroker() {
	b := m.brokers.Brokers[m.r.IntN(len(m.brokers.Brokers))]
	if err := b.Kill(); err != nil {
		m.t.Fatal(err)
	}
	time.Sleep(m.upTo(2 * time.Second))
	if err := b.Start(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// badWire has what is between the workers and a server fail in one way.
func (m *team) badWire() {
	w := m.wires[m.r.IntN(len(m.wires))]
	d := 300*time.Millisecond + m.upTo(4*time.Second)
	switch m.r.IntN(5) {
	case 0:
		w.Delay(m.upTo(100 * time.Millisecond))
	case 1:
		w.Limit(32<<10 + m.r.Int64N(1<<20))
	case 2:
		w.Freeze()
	case 3:
		w.Down()
	case 4:
		for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
			w.Cut()
		}
		return
	}
	time.Sleep(d)
	w.Cut()
	w.Thaw()
	w.Delay(0)
	w.Limit(0)
	if err := w.Up(); err != nil {
		m.t.Fatal(err)
	}
}

// roll restarts all workers, each when the one before is well.
func (m *team) roll() {
	for _, w := range m.workers {
		well := func() string {
			code, answer, err := m.once(w, "GET", "/health", "")
			if code != 200 {
				return fmt.Sprint(w.Address, " is not well: ", answer, err)
			}
			return ""
		}
		m.await("before the restart", 0, well)
		if err := w.Stop(); err != nil {
			m.t.Error(err)
		}
		if err := w.Start(); err != nil {
			m.t.Fatal(err)
		}
		m.await("after the restart", 0, well)
	}
}

// changing has connectors made, changed, paused, stopped, restarted and deleted, at
// any worker, until stop is called; then all that there are are to run.
func (m *team) changing() (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	r := rand.New(rand.NewPCG(m.r.Uint64(), 2))
	go func() {
		defer close(done)
		for !m.t.Failed() {
			select {
			case <-ended:
				return
			case <-time.After(time.Duration(r.Int64N(int64(3 * time.Second)))):
				m.change(r, ended)
			}
		}
	}()
	return sync.OnceFunc(func() { close(ended); <-done })
}

// change changes something, and undoes what keeps a connector from running.
func (m *team) change(r *rand.Rand, ended <-chan struct{}) {
	name := []string{"source", "mirror", "book", "hook", "shapes", "shaped"}[r.IntN(6)]
	rest := func() {
		select {
		case <-time.After(time.Duration(r.Int64N(int64(2 * time.Second)))):
		case <-ended:
		}
	}
	switch r.IntN(8) {
	case 0:
		m.ask("PUT", "/connectors/"+name+"/pause", "", 202)
		rest()
		m.ask("PUT", "/connectors/"+name+"/resume", "", 202)
	case 1:
		m.ask("PUT", "/connectors/"+name+"/stop", "", 204)
		rest()
		m.ask("PUT", "/connectors/"+name+"/resume", "", 202)
	case 2:
		m.ask("POST", "/connectors/"+name+"/restart?includeTasks=true", "", 200, 202, 204)
	case 3:
		m.ask("PATCH", "/connectors/mirror/config", text(map[string]string{"tasks.max": fmt.Sprint(1 + r.IntN(5))}), 200)
	case 4:
		m.ask("PUT", "/connectors/hook/config", m.hooked(1+r.IntN(3)), 200)
	case 5:
		m.register("book", 1, r.IntN(100))
	case 6, 7:
		m.extra(r)
	}
}

// extra makes a connector beside the others, or deletes one that was made so.
func (m *team) extra(r *rand.Rand) {
	name := func(i int) string { return fmt.Sprintf("extra%d", i) }
	if there := m.extras - len(m.gone); there < 1 || there < 3 && r.IntN(2) == 0 {
		m.register(name(m.extras), 1+r.IntN(3), 1)
		m.extras++
		return
	}
	for i := range m.extras {
		if !m.gone[name(i)] {
			m.ask("DELETE", "/connectors/"+name(i), "", 204, 404)
			m.gone[name(i)] = true
			return
		}
	}
}
