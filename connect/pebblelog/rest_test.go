package pebblelog

import (
	"context"
	"errors"
	"log/slog"
	mrand "math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
)

// restCount counts how often logs have rested, by what they say of it.
type restCount struct {
	slog.Handler
	n atomic.Int64
}

func (c *restCount) Enabled(context.Context, slog.Level) bool { return true }

func (c *restCount) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, restedText) {
		c.n.Add(1)
	}
	return nil
}

func (c *restCount) WithAttrs([]slog.Attr) slog.Handler { return c }

// options are those of a log that rests whenever no message came for a moment.
func (c *restCount) options(dir string, fs vfs.FS) Options {
	return Options{Dir: dir, FS: fs, Logger: slog.New(c), restEvery: time.Millisecond, restBytes: 1}
}

// await waits until logs have rested once more, or over is true.
func (c *restCount) await(t *testing.T, over func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for n := c.n.Load(); c.n.Load() == n && !over(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log does not rest")
		}
	}
}

func never() bool { return false }

// A log that rests has small memtables, and all that was in it.
func TestRestGivesMemoryBack(t *testing.T) {
	var c restCount
	o := c.options("", nil)
	o.restBytes = restBytes
	l := openLog(t, o)
	mustCreate(t, l, "t", 1)
	size := func() uint64 {
		if err := l.enter(); err != nil {
			t.Fatal(err)
		}
		defer l.leave()
		m := l.db.Metrics()
		return m.MemTable.Size + m.MemTable.ZombieSize
	}
	value := strings.Repeat("x", 500<<10)
	r := mustReader(t, l, connect.Cursor{Topic: "t"})
	const messages = 30
	for range messages {
		mustAppend(t, l, text("t", 0, value))
	}
	for deadline := time.Now().Add(time.Minute); size() > restBytes; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes of memtables in a log that rests", size())
		}
	}
	if c.n.Load() == 0 {
		t.Error("memtables have become smaller, but not by a rest")
	}
	readN(t, r, messages, 1<<20)
	mustAppend(t, l, text("t", 0, "behind it"))
	if m := readN(t, r, 1, 1); string(m.List[0].Value) != "behind it" || m.List[0].Offset != messages {
		t.Errorf("%d: %.20s", m.List[0].Offset, m.List[0].Value)
	}
}

// Who writes and reads while the log rests again and again only waits.
func TestRestBesideCalls(t *testing.T) {
	var c restCount
	dir := filepath.Join(t.TempDir(), "log")
	l := openLog(t, c.options(dir, nil))
	mustCreate(t, l, "t", crashParts)
	const writers, rounds, batches = 3, 3, 5
	acked := make([]int, writers)
	stop := make(chan struct{})
	var writing, reading sync.WaitGroup
	for w := range writers {
		rng := mrand.New(mrand.NewPCG(uint64(w), 1))
		writing.Go(func() {
			for n := 1; n <= rounds*batches; n++ {
				msgs, entries := crashBatch(rng, w, n)
				if err := l.Append(t.Context(), msgs, entries); err != nil {
					t.Error(err)
					return
				}
				if acked[w] = n; n%batches == 0 {
					c.await(t, t.Failed)
				}
			}
		})
	}
	for p := range int32(crashParts) {
		r := mustReader(t, l, connect.Cursor{Topic: "t", Partition: p})
		reading.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { <-stop; cancel() }()
			var m connect.Messages
			for next := int64(0); r.Read(ctx, &m, 1<<20) == nil; m.Reset() {
				for i := range m.List {
					if m.List[i].Offset != next {
						t.Errorf("partition %d: offset %d, want %d", p, m.List[i].Offset, next)
						return
					}
					next++
				}
				if _, err := l.Store().Load(t.Context(), "w/"); err != nil {
					t.Error(err)
				}
				_ = l.Stats()
			}
		})
	}
	writing.Wait()
	close(stop)
	reading.Wait()
	checkCrash(t, l, acked, acked)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	checkCrash(t, openLog(t, Options{Dir: dir}), acked, acked)
}

// A crash at any instant of a rest loses nothing.
func TestCrashWhileResting(t *testing.T) {
	seed := connecttest.Seed(t)
	rng := mrand.New(mrand.NewPCG(seed, 0))
	var c restCount
	disk := vfs.NewCrashableMem()
	acked := []int{0}
	for round := range 20 {
		l, err := Open(c.options("log", disk))
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			mustCreate(t, l, "t", crashParts)
		}
		checkCrash(t, l, acked, acked)
		if t.Failed() {
			_ = l.Close()
			return
		}
		for range rng.IntN(4) {
			msgs, entries := crashBatch(rng, 0, acked[0]+1)
			mustAppend(t, l, msgs...)
			if err := l.Store().Save(t.Context(), entries...); err != nil {
				t.Fatal(err)
			}
			acked[0]++
		}
		c.await(t, never)
		for range rng.IntN(2000) { // into the next one
			_ = l.Err()
		}
		clone := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		disk = clone
	}
}

// makeLogs makes the folder that logs are in.
func makeLogs(t *testing.T, fs vfs.FS) {
	t.Helper()
	if err := fs.MkdirAll("logs", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := fs.OpenDir("")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(root.Sync(), root.Close()); err != nil {
		t.Fatal(err)
	}
}

// A fault in a rest freezes the log as any other does.
func TestFaultWhileResting(t *testing.T) {
	seed := connecttest.Seed(t)
	rng := mrand.New(mrand.NewPCG(seed, 0))
	frozen := 0
	for range 12 {
		var c restCount
		mem := vfs.NewCrashableMem()
		makeLogs(t, mem)
		b := &breaker{path: "*", n: rng.IntN(40), err: syscall.EIO}
		l, err := Open(c.options("logs/log", errorfs.Wrap(mem, b)))
		if err != nil {
			t.Fatal(err)
		}
		mustCreate(t, l, "t", crashParts)
		r := mustReader(t, l, connect.Cursor{Topic: "t"})
		const acked = 5
		for n := range acked {
			msgs, entries := crashBatch(rng, 0, n+1)
			if err := l.Append(t.Context(), msgs, entries); err != nil {
				t.Fatal(err)
			}
		}
		_, end := bounds(t, l, 0)
		readN(t, r, int(end), 1<<20)
		b.set(true)
		for range 3 {
			c.await(t, func() bool { return l.Err() != nil })
		}
		if failure := l.Err(); failure != nil {
			frozen++
			checkFrozen(t, l, r, b, failure)
		}
		b.set(false)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		mem = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		l, err = Open(Options{Dir: "logs/log", FS: mem})
		if err != nil {
			t.Fatal(err)
		}
		checkCrash(t, l, []int{acked}, []int{acked})
		mustAppend(t, l, text("t", 0, "on it goes"))
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if frozen == 0 {
		t.Error("no fault hit a rest")
	}
}
