package snapshot

import (
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// simReader reads chunks of a simServer.
type simReader struct {
	s    *simServer
	open bool
	fail int // one operation in fail breaks the connection
}

var errBroken = errors.New("sim: connection lost")

// step gives way to others and breaks now and then.
func (r *simReader) step(f func() error) error {
	runtime.Gosched()
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if !r.open {
		panic("a closed reader is used")
	}
	if r.fail > 0 && r.s.rng.IntN(r.fail) == 0 {
		return errBroken
	}
	return f()
}

func (r *simReader) Open(context.Context) error {
	r.open = true
	return nil
}

func (r *simReader) Close() error {
	r.open = false
	return nil
}

func (r *simReader) Estimate(_ context.Context, tables []*schema.Table) (sizes []Size, err error) {
	return sizes, r.step(func() error {
		for range tables {
			sizes = append(sizes, Size{Rows: int64(len(r.s.visible)), RowBytes: 16})
		}
		return nil
	})
}

func (r *simReader) Split(_ context.Context, t *schema.Table, lo, hi Key, rows int) (k Key, err error) {
	return k, r.step(func() error { k = r.s.split(lo, hi); return nil })
}

func (r *simReader) High(context.Context) (h High, err error) {
	return h, r.step(func() error { h = r.s.high(); return nil })
}

// until repeats a step until it reports true.
func (r *simReader) until(ctx context.Context, f func() bool) error {
	for ok := false; !ok; {
		if err := r.step(func() error { ok = f(); return nil }); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (r *simReader) ReadChunk(ctx context.Context, c *Chunk) error {
	var got Chunk = *c
	got.NewBatch = func() *connect.Batch { return new(connect.Batch) }
	if err := r.until(ctx, func() bool { return r.s.anchored(c.Anchor) }); err != nil {
		return err
	}
	if err := r.step(func() error { return r.s.read(&got) }); err != nil {
		return err
	}
	*c = got
	return r.step(func() error { c.High = r.s.high(); return nil })
}

func (r *simReader) ReadLocked(ctx context.Context, l Locked) error {
	if err := r.until(ctx, func() bool {
		if r.s.busy(1, 0) {
			return false
		}
		r.s.locked = true
		return true
	}); err != nil {
		return err
	}
	var view map[uint64]int64
	var high High
	r.s.mu.Lock()
	view, high, r.s.locked = maps.Clone(r.s.bag), r.s.high(), false
	r.s.mu.Unlock()
	if err := l.Begin(high); err != nil {
		return err
	}
	b := l.First
	for _, v := range slices.Sorted(maps.Keys(view)) {
		rec := b.Add()
		rec.Op, rec.Table, rec.After = connect.OpRead, l.Table, b.NewRow(2)
		rec.After[0], rec.After[1] = schema.MakeInt(view[v]), schema.MakeInt(int64(v))
		if err := r.step(func() error { return nil }); err != nil {
			return err
		}
		if len(b.Records) == 3 {
			var err error
			if b, err = l.Give(b); err != nil {
				return err
			}
		}
	}
	if len(b.Records) > 0 {
		_, err := l.Give(b)
		return err
	}
	return nil
}

// storm writes to s until stop is closed, then lets everything commit.
func storm(s *simServer, stop chan struct{}, done *sync.WaitGroup) {
	done.Go(func() {
		for open := true; ; {
			select {
			case <-stop:
				open = false
			default:
			}
			s.mu.Lock()
			if open && s.pending < 5 {
				s.write(200)
			}
			s.commit()
			left := s.pending
			s.mu.Unlock()
			if !open && left == 0 {
				return
			}
			time.Sleep(20 * time.Microsecond)
		}
	})
}

// play copies s with restarts in between and returns what arrived.
func play(s *simServer, cfg Config, fail, restarts int, stop chan struct{}, done *sync.WaitGroup) (*target, *simChanges, error) {
	tg := newTarget()
	s.mu.Lock()
	rng := rand.New(rand.NewPCG(s.rng.Uint64(), 2))
	s.mu.Unlock()
	stopped := false
	for run := 0; ; run++ {
		ch := &simChanges{s: s}
		src := New(ch, func() Reader { return &simReader{s: s, fail: fail} }, cfg, connect.Env{})
		if err := src.Open(context.Background(), tg.pos, tg.entries()); err != nil {
			return tg, ch, err
		}
		end := 3 + rng.IntN(40<<min(run, 3))
		for n := 0; ; n++ {
			var b connect.Batch
			err := src.Read(context.Background(), &b)
			if err == nil {
				err = tg.apply(&b)
			}
			if err == nil && b.Pos != nil {
				err = src.Commit(context.Background(), b.Pos)
			}
			if err != nil {
				return tg, ch, errors.Join(err, src.Close())
			}
			if run < restarts && n > end {
				break
			}
			if run >= restarts && !stopped && n > end {
				stopped = true
				close(stop)
				done.Wait()
			}
			s.mu.Lock()
			rest := stopped && simPos(tg.pos) == len(s.log) && src.running().w.over()
			s.mu.Unlock()
			if rest {
				return tg, ch, src.Close()
			}
		}
		if err := src.Close(); err != nil {
			return tg, ch, err
		}
	}
}

func TestSource(t *testing.T) {
	base := seed(t)
	for i := range uint64(24) {
		s := newSim(rand.New(rand.NewPCG(base+i, 3)), 60, i%2 == 0)
		stop := make(chan struct{})
		var done sync.WaitGroup
		storm(s, stop, &done)
		cfg := Config{FetchRows: 5, Threads: 3}
		if i%3 == 0 {
			cfg.ChunkBytes = 100 // the table without a key is too large for a window
		}
		tg, ch, err := play(s, cfg, int(i%2)*60, int(i%4), stop, &done)
		if err != nil {
			select {
			case <-stop:
			default:
				close(stop)
			}
		}
		done.Wait()
		switch {
		case err != nil:
			t.Fatalf("SEED=%d, run %d: %v", base, i, err)
		case !maps.Equal(tg.rows, s.visible):
			t.Fatalf("SEED=%d, run %d: keyed:\n got %v\nwant %v", base, i, tg.rows, s.visible)
		case !maps.Equal(tg.bag, s.bag):
			t.Fatalf("SEED=%d, run %d: bag:\n got %v\nwant %v", base, i, tg.bag, s.bag)
		case len(ch.faults) > 0:
			t.Fatalf("SEED=%d, run %d: %v", base, i, ch.faults)
		}
	}
}

func TestInitialOnlyEnds(t *testing.T) {
	s := newSim(rand.New(rand.NewPCG(1, 1)), 50, false)
	src := New(&simChanges{s: s}, func() Reader { return &simReader{s: s} }, Config{Mode: InitialOnly, FetchRows: 7}, connect.Env{})
	if err := src.Open(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	tg := newTarget()
	for {
		var b connect.Batch
		err := src.Read(context.Background(), &b)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := tg.apply(&b); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(tg.rows, s.visible) || !maps.Equal(tg.bag, s.bag) {
		t.Fatalf("got %v and %v", tg.rows, tg.bag)
	}
}

func TestNoDataCopiesNothing(t *testing.T) {
	s := newSim(rand.New(rand.NewPCG(1, 1)), 50, false)
	var mu sync.Mutex
	states := map[string]connect.TableState{}
	env := connect.Env{Report: func(st connect.TableStatus) {
		mu.Lock()
		defer mu.Unlock()
		states[st.Table] = st.State
	}}
	src := New(&simChanges{s: s}, func() Reader { panic("no reader is needed") }, Config{Mode: NoData}, env)
	src.cfg.Threads = 0
	if err := src.Open(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var b connect.Batch
	if err := src.Read(context.Background(), &b); err != nil || len(b.Records) > 0 || b.Pos == nil {
		t.Fatalf("%+v, %v", b.Records, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if states["sim.keyed"] != connect.TableFollowing || states["sim.bag"] != connect.TableFollowing {
		t.Fatalf("%v", states)
	}
}

func TestCloseBesideRead(t *testing.T) {
	s := newSim(rand.New(rand.NewPCG(1, 1)), 5, false)
	src := New(&simChanges{s: s}, func() Reader { return &simReader{s: s} }, Config{}, connect.Env{})
	if err := src.Open(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	read := make(chan error)
	go func() {
		for {
			var b connect.Batch
			if err := src.Read(context.Background(), &b); err != nil {
				read <- err
				return
			}
		}
	}()
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err == nil {
		t.Fatal("Read goes on after Close")
	}
}
