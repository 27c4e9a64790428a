package pebblelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/offsets"
)

// breaker fails writes to files that match path from the n-th on, while on.
type breaker struct {
	mu   sync.Mutex
	path string
	n    int
	on   bool
	hit  bool
	err  error
}

func (b *breaker) String() string { return "breaker" }

func (b *breaker) MaybeError(op errorfs.Op) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.on || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	if ok, _ := filepath.Match(b.path, filepath.Base(op.Path)); !ok {
		return nil
	}
	if b.n--; b.n >= 0 {
		return nil
	}
	b.hit = true
	return &os.PathError{Op: "write", Path: op.Path, Err: b.err}
}

func (b *breaker) set(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.on = on
}

// wasHit reports whether a write has failed.
func (b *breaker) wasHit() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hit
}

// TestWriteFaults fails the n-th operation of some kind: the log must tell,
// refuse all else, close, and open with all that was acknowledged.
func TestWriteFaults(t *testing.T) {
	seed := connecttest.Seed(t)
	rng := mrand.New(mrand.NewPCG(seed, 0))
	for _, c := range []struct {
		name, path string
		most       int // operations before the fault
	}{
		{"wal", "*.log", 200}, {"manifest", "MANIFEST*", 4}, {"table", "*.sst", 20}, {"folder", "log", 5}, {"any", "*", 300},
	} {
		for i := range 4 {
			t.Run(fmt.Sprintf("%s/%d", c.name, i), func(t *testing.T) {
				b := &breaker{path: c.path, n: rng.IntN(c.most), err: []error{syscall.ENOSPC, syscall.EIO}[i%2]}
				faultRun(t, rng, b)
			})
		}
	}
}

func faultRun(t *testing.T, rng *mrand.Rand, b *breaker) {
	mem := vfs.NewCrashableMem()
	disk := errorfs.Wrap(mem, b)
	l, err := Open(Options{Dir: "log", FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	mustCreate(t, l, "t", crashParts)
	r := mustReader(t, l, connect.Cursor{Topic: "t"})
	b.set(true)
	acked, failure := appendUntilFault(t, l, rng)
	if failure != nil {
		checkFrozen(t, l, r, b, failure)
	} else if b.wasHit() {
		t.Log("the fault was only in a compaction or in removing files")
	}
	b.set(false)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if rng.IntN(2) == 0 {
		mem = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	}
	l, err = Open(Options{Dir: "log", FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	tried := acked
	if failure != nil {
		tried = acked + 1
	}
	checkCrash(t, l, []int{acked}, []int{tried})
	mustAppend(t, l, text("t", 0, "on it goes"))
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// appendUntilFault returns the last batch that was acknowledged, and the error
// of the next.
func appendUntilFault(t *testing.T, l *Log, rng *mrand.Rand) (int, error) {
	for n := 1; n <= 100; n++ {
		msgs, entries := crashBatch(rng, 0, n)
		if err := l.Append(t.Context(), msgs, entries); err != nil {
			return n - 1, err
		}
	}
	return 100, nil
}

func checkFrozen(t *testing.T, l *Log, r connect.Reader, b *breaker, failure error) {
	t.Helper()
	if !errors.Is(failure, b.err) || !strings.Contains(failure.Error(), "log") ||
		b.err == error(syscall.ENOSPC) && !strings.Contains(failure.Error(), "disk is full") {
		t.Errorf("the failure reads %v", failure)
	}
	_, loadErr := l.Store().Load(t.Context(), "")
	_, _, boundsErr := l.Bounds(t.Context(), "t", 0)
	for i, err := range []error{
		l.Append(t.Context(), []connect.Message{text("t", 0, "x")}, nil),
		l.Store().Save(t.Context(), offsets.Entry{Key: "k", Pos: []byte("v")}),
		l.Trim(t.Context(), "t", 0, 1),
		r.Read(t.Context(), &connect.Messages{}, 1),
		loadErr, boundsErr, l.Err(),
	} {
		if !errors.Is(err, b.err) {
			t.Errorf("call %d after the failure: %v", i, err)
		}
	}
	_ = l.Stats()
}

// TestFaultWakesReader: who waits at the tail learns of a failure.
func TestFaultWakesReader(t *testing.T) {
	b := &breaker{path: "*.log", err: syscall.EIO}
	l := openLog(t, Options{Dir: "log", FS: errorfs.Wrap(vfs.NewMem(), b)})
	mustCreate(t, l, "t", 1)
	r := mustReader(t, l, connect.Cursor{Topic: "t"})
	got := make(chan error)
	go func() { got <- r.Read(t.Context(), &connect.Messages{}, 1) }()
	b.set(true)
	if err := l.Append(t.Context(), []connect.Message{text("t", 0, "x")}, nil); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if err := <-got; !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
}

// TestOpenFaults fails the n-th write of Open, of new logs and of old ones.
func TestOpenFaults(t *testing.T) {
	for _, old := range []bool{false, true} {
		for n := 0; ; n++ {
			mem := vfs.NewMem()
			if old {
				l, err := Open(Options{Dir: "log", FS: mem})
				if err != nil {
					t.Fatal(err)
				}
				mustCreate(t, l, "t", 1)
				mustAppend(t, l, text("t", 0, "kept"))
				_ = l.Close()
			}
			b := &breaker{path: "*", n: n, err: syscall.ENOSPC}
			b.set(true)
			l, err := Open(Options{Dir: "log", FS: errorfs.Wrap(mem, b)})
			b.set(false)
			if err == nil {
				_ = l.Close()
			} else if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "log") || !strings.Contains(err.Error(), "disk is full") {
				t.Errorf("old %v, write %d: %v", old, n, err)
			}
			l, err = Open(Options{Dir: "log", FS: mem})
			if err != nil {
				t.Fatalf("old %v, after a fault in write %d: %v", old, n, err)
			}
			if old {
				if m := readN(t, mustReader(t, l, connect.Cursor{Topic: "t"}), 1, 1); string(m.List[0].Value) != "kept" {
					t.Errorf("%q", m.List[0].Value)
				}
			}
			_ = l.Close()
			if !b.wasHit() {
				break
			}
		}
	}
}

// TestCompactionFaultIsNoFailure: the log goes on when only compactions fail.
func TestCompactionFaultIsNoFailure(t *testing.T) {
	g := newGuard(vfs.NewMem(), func(op, name string, err error) { t.Error("reported", op, name, err) })
	g.quit()
	if err := g.failed("write", "x", compactionCategory, syscall.ENOSPC); !errors.Is(err, syscall.ENOSPC) || g.frozen.Load() {
		t.Error(err)
	}
}

// fillForDamage makes a log with tables and a write-ahead log and closes it.
func fillForDamage(t *testing.T) (dir string, n int) {
	dir = filepath.Join(t.TempDir(), "log")
	l, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	mustCreate(t, l, "t", 1)
	for range 4 {
		for range 10 {
			mustAppend(t, l, text("t", 0, strings.Repeat("row data ", 10000)))
		}
		if err := l.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		mustAppend(t, l, text("t", 0, strings.Repeat("row data ", 10000)))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, 50
}

func TestDamage(t *testing.T) {
	truncate := func(b []byte) []byte { return b[:len(b)/2] }
	garble := func(b []byte) []byte {
		for i := len(b) / 2; i < len(b)/2+8; i++ {
			b[i] ^= 0x55
		}
		return b
	}
	gone := func([]byte) []byte { return nil }
	for _, c := range []struct {
		name, path string
		harm       func([]byte) []byte
		want       error
	}{
		{"table truncated", "*.sst", truncate, ErrDamaged},
		{"table garbled", "*.sst", garble, ErrDamaged},
		{"table gone", "*.sst", gone, ErrDamaged},
		{"manifest garbled", "MANIFEST-*", garble, ErrDamaged},
		{"manifest empty", "MANIFEST-*", func([]byte) []byte { return []byte{} }, ErrDamaged},
		{"manifest gone", "MANIFEST-*", gone, ErrDamaged},
		{"marker gone", "marker.manifest.*", gone, ErrDamaged},
		{"format marker gone", "marker.format-version.*", gone, ErrDamaged},
		{"wal gone", "*.log", gone, ErrDamaged},
		{"mark garbled", markFile, func([]byte) []byte { return []byte("?") }, ErrDamaged},
		{"mark of a newer version", markFile, func(b []byte) []byte {
			return bytes.Replace(b, fmt.Appendf(nil, "format %d", formatVersion), []byte("format 9"), 1)
		}, ErrNewer},
		{"mark gone", markFile, gone, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, n := fillForDamage(t)
			harmFiles(t, filepath.Join(dir, c.path), c.harm)
			err := readAll(t, dir, n)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Damage that Pebble meets by itself, in the background, is told as what it is.
func TestDamageFoundInTheBackground(t *testing.T) {
	l, err := Open(Options{Dir: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.listener().DataCorruption(pebble.DataCorruptionInfo{Path: "000018.sst", Details: errors.New("checksum mismatch")})
	err = l.Store().Save(t.Context(), offsets.Entry{Key: "k", Pos: offsets.Position("p")})
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "000018.sst: checksum mismatch") {
		t.Errorf("%v", err)
	}
}

func harmFiles(t *testing.T, path string, harm func([]byte) []byte) {
	t.Helper()
	names, err := filepath.Glob(path)
	if err != nil || len(names) == 0 {
		t.Fatal("no file", path, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if b = harm(b); b == nil {
			err = os.Remove(name)
		} else {
			err = os.WriteFile(name, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// readAll opens the log and reads n messages.
func readAll(t *testing.T, dir string, n int) error {
	l, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	defer l.Close()
	_, end, err := l.Bounds(t.Context(), "t", 0)
	if err != nil || end < int64(n) {
		return fmt.Errorf("%s ends at %d: %w", dir, end, err)
	}
	r, err := l.OpenReader(t.Context(), []connect.Cursor{{Topic: "t"}})
	if err != nil {
		return err
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for m := (&connect.Messages{}); len(m.List) < n; {
		if err := r.Read(ctx, m, 1<<20); err != nil {
			return err
		}
	}
	return nil
}

func TestFolderWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		b := &breaker{path: "*", err: syscall.EACCES}
		b.set(true)
		_, err := Open(Options{Dir: "log", FS: errorfs.Wrap(vfs.NewMem(), b)})
		if !errors.Is(err, syscall.EACCES) || !strings.Contains(err.Error(), "read and write the folder") {
			t.Error(err)
		}
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(dir, "log")}); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}

// TestFullDisk fills a small file system for real, where one can be mounted.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Skip("no file system can be mounted here: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	log := filepath.Join(dir, "log")
	l, err := Open(Options{Dir: log})
	if err != nil {
		t.Fatal(err)
	}
	mustCreate(t, l, "t", 1)
	rng := mrand.New(mrand.NewPCG(1, 1))
	value := make([]byte, 256<<10)
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	n := 0
	for ; err == nil && n < 1000; n++ {
		err = l.Append(t.Context(), []connect.Message{{Topic: "t", Value: value}}, []offsets.Entry{{Key: "n", Pos: []byte(strconv.Itoa(n))}})
	}
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), log) {
		t.Fatalf("after %d appends: %v", n, err)
	}
	t.Log(n, "appends, then:", err)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=128m"); err != nil {
		t.Fatal(err)
	}
	if err := readAll(t, log, n-1); err != nil {
		t.Error(err)
	}
}
