package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fault is a way to break the algorithm.
type fault int

const (
	noFault fault = iota
	skipAnchor
	highBeforeRead
	hashKeys
	afterImagesOnly
)

// modelWorker is a chunk reader whose steps can be interleaved with anything.
type modelWorker struct {
	job   *job
	phase int
	high  High
}

// model runs the weaver against a simulated server, one step at a time.
type model struct {
	s       *simServer
	c       *simChanges
	w       *weaver
	t       *target
	fault   fault
	workers [3]modelWorker
	keys    int
}

func (m *model) start() {
	m.workers = [3]modelWorker{}
	m.c = &simChanges{s: m.s}
	if err := m.c.Open(context.Background(), m.t.pos, m.t.entries()); err != nil {
		panic(err)
	}
	m.w = newWeaver(Config{FetchRows: 3, Threads: 3}, onlyKeyed{m.c}, connect.Env{})
	switch m.fault {
	case hashKeys:
		m.w.identity = func(dst []byte, row schema.Row, key []int) []byte { return append(dst, byte(row[key[0]].Int()&3)) }
	case afterImagesOnly:
		m.w.touch = func(t *table, r *connect.Record) {
			if r.After != nil {
				r := *r
				r.Before = nil
				m.w.remember(t, &r)
			}
		}
	}
	if err := m.w.load(m.t.entries(), m.t.pos == nil); err != nil {
		panic(err)
	}
	m.w.resume(m.t.pos)
}

// onlyKeyed hides the table without a key: its copy needs real goroutines.
type onlyKeyed struct{ *simChanges }

func (c onlyKeyed) Tables() []*schema.Table { return c.shapes[:1] }

// stream reads a batch and hands it on as Source.Read does.
func (m *model) stream() error {
	if m.w.emitting != nil { // Read emits all of a chunk before it goes on
		return nil
	}
	var b connect.Batch
	m.c.fill(&b)
	b.Keep(func(r *connect.Record) bool { return r.Table.Name == "keyed" })
	if len(b.Records) == 0 && b.Pos == nil {
		return nil
	}
	m.w.follow(&b, onlyKeyed{m.c}.Tables(), true)
	return m.t.apply(&b)
}

func (m *model) emit() error {
	var b connect.Batch
	for m.w.emitNext(&b, false) {
		at := m.s.stateAt(m.c.next)
		for i := range b.Records {
			if r := &b.Records[i]; r.Op == connect.OpRead && at[r.After[0].Int()] != uint64(r.After[1].Int()) {
				return fmt.Errorf("key %d is read with version %d where the stream has %d", r.After[0].Int(), r.After[1].Int(), at[r.After[0].Int()])
			}
		}
		if err := m.t.apply(&b); err != nil {
			return err
		}
		if m.s.rng.IntN(4) == 0 {
			break
		}
		b.Reset()
	}
	return nil
}

// work does one step of a chunk reader.
func (m *model) work(k *modelWorker) {
	if k.job == nil {
		k.phase = 0
		if k.job, _, _, _ = m.w.next(); k.job == nil {
			return
		}
	}
	j := k.job
	if j.window == nil {
		m.ask(j)
		k.job = nil
		return
	}
	c := &j.window.chunk
	k.phase++
	switch k.phase {
	case 1: // ANCHOR
		if m.fault != skipAnchor && !m.s.anchored(c.Anchor) {
			k.phase = 0
		}
		k.high = m.s.high()
	case 2: // READ
		if err := m.s.read(c); err != nil {
			k.job = nil
			m.w.delivered(j.window, err, m.s.high())
			j.table.retryAt = time.Time{}
		}
	default: // HIGH
		if c.High = k.high; m.fault != highBeforeRead {
			c.High = m.s.high()
		}
		k.job = nil
		m.w.delivered(j.window, nil, High{})
	}
}

func (m *model) ask(j *job) {
	switch {
	case j.split != nil:
		m.w.divided(j, m.s.split(j.lo, j.hi), nil, High{})
	case j.sizes != nil:
		m.w.measured(j, []Size{{Rows: int64(len(m.s.visible)), RowBytes: 16}}, nil, High{})
	default:
		m.w.told(j, nil, m.s.high())
	}
}

// run plays steps at random until the copy is through, then lets everything
// come to rest and compares.
func (m *model) run(restarts bool) error {
	m.start()
	writes := 100 + m.s.rng.IntN(900)
	for i := 0; i < writes+400; i++ {
		var err error
		switch n := m.s.rng.IntN(20); {
		case n < 3 && i < writes && m.s.pending < 6:
			m.s.write(m.keys)
		case n < 5:
			m.s.commit()
		case n < 8:
			err = m.stream()
		case n < 10:
			err = m.emit()
		case n == 11 && m.s.rng.IntN(10) == 0:
			err = m.order()
		case n == 10 && restarts && m.s.rng.IntN(20) == 0:
			m.start()
		default:
			m.work(&m.workers[m.s.rng.IntN(len(m.workers))])
		}
		if err != nil {
			return err
		}
	}
	return m.settle()
}

// order carries out a random signal.
func (m *model) order() error {
	o := &order{id: "model", kind: []string{signalExecute, signalExecute, signalStop, signalPause, signalResume}[m.s.rng.IntN(5)]}
	if o.kind == signalExecute && m.s.rng.IntN(2) == 0 {
		o.conditions = []condition{{regexp.MustCompile("."), "odd"}}
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	_, _, err := m.w.carryOut(o)
	if o.kind == signalStop { // there may be nothing to stop
		return nil
	}
	return err
}

func (m *model) settle() error {
	m.w.mu.Lock()
	m.w.pause(false)
	m.w.mu.Unlock()
	for i := 0; i < 5000; i++ {
		m.s.commit()
		for k := range m.workers {
			m.work(&m.workers[k])
		}
		if err := errors.Join(m.stream(), m.emit()); err != nil {
			return err
		}
		if m.s.pending == 0 && m.w.allDone() && simPos(m.t.pos) == len(m.s.log) && i > 20 {
			if !maps.Equal(m.t.rows, m.s.visible) {
				return fmt.Errorf("the copy differs:\n got %v\nwant %v", m.t.rows, m.s.visible)
			}
			return nil
		}
	}
	t := m.w.order[0]
	return fmt.Errorf("does not come to an end: %+v, faults %v", t, m.c.faults)
}

// seed is the same each time, so that a run that fails tells of what has changed;
// SEED sets another.
func seed(t *testing.T) uint64 {
	if s, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		return s
	}
	return 1
}

func runModel(seed uint64, f fault, ddl, restarts bool) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := &model{s: newSim(rng, 4+rng.IntN(20), ddl), t: newTarget(), fault: f, keys: 70 + rng.IntN(2)*300}
	if err := m.run(restarts); err != nil {
		return err
	}
	reads.Add(int64(m.t.reads))
	exact.Add(int64(m.t.exact))
	return nil
}

// reads counts the rows that copies delivered, exact the changes that said
// what the target had.
var reads, exact atomic.Int64

func TestModel(t *testing.T) {
	base := seed(t)
	for i := range uint64(300) {
		if err := runModel(base+i, noFault, i%3 == 1, i%2 == 1); err != nil {
			t.Fatalf("SEED=%d (run %d): %v", base, i, err)
		}
	}
	if reads.Load() == 0 {
		t.Fatal("no copy delivered a row")
	}
	if exact.Load() == 0 {
		t.Fatal("no change was exact")
	}
}

// A checker that passes a broken algorithm would be worth nothing.
func TestModelFindsFaults(t *testing.T) {
	base := seed(t)
	for f, name := range map[fault]string{skipAnchor: "no ANCHOR", highBeforeRead: "HIGH before READ",
		hashKeys: "keys by a short hash", afterImagesOnly: "before images not remembered"} {
		t.Run(name, func(t *testing.T) {
			for i := range uint64(400) {
				if runModel(base+i, f, false, false) != nil {
					return
				}
			}
			t.Fatalf("SEED=%d: 400 runs pass without a complaint", base)
		})
	}
}
