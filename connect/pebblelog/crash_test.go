package pebblelog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/offsets"
)

// The model of the crash tests: writer w appends its n-th batch to several
// partitions, each message says "w n i of k", and saves n as entry "w". After
// a crash the entry tells which batches there must be, whole, and no others.

const crashParts = 5

func crashBatch(rng *mrand.Rand, w, n int) ([]connect.Message, []offsets.Entry) {
	k := 1 + rng.IntN(6)
	var msgs []connect.Message
	for i := range k {
		pad := rng.IntN(2000)
		if rng.IntN(200) == 0 {
			pad += partBytes
		}
		msgs = append(msgs, text("t", rng.Int32N(crashParts), fmt.Sprintf("%d %d %d %d ", w, n, i, k)+strings.Repeat("x", pad)))
	}
	return msgs, []offsets.Entry{{Key: "w/" + strconv.Itoa(w), Pos: []byte(strconv.Itoa(n))}}
}

// checkCrash checks a log that was opened after a crash; acked is, for each
// writer, the last batch that was acknowledged, tried the last that was begun.
func checkCrash(t *testing.T, l *Log, acked, tried []int) {
	t.Helper()
	saved := make([]int, len(acked))
	entries, err := l.Store().Load(t.Context(), "w/")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		w, _ := strconv.Atoi(e.Key[2:])
		saved[w], _ = strconv.Atoi(string(e.Pos))
	}
	seen := map[[2]int]int{}
	for p := range int32(crashParts) {
		first, end, err := l.Bounds(t.Context(), "t", p)
		if err != nil {
			t.Fatal(err)
		}
		r := mustReader(t, l, connect.Cursor{Topic: "t", Partition: p, Offset: first})
		for _, m := range readN(t, r, int(end-first), 1<<20).List {
			var w, n, i, k int
			if _, err := fmt.Sscanf(string(m.Value[:min(len(m.Value), 100)]), "%d %d %d %d ", &w, &n, &i, &k); err != nil {
				t.Fatalf("message %.80q: %v", m.Value, err)
			}
			seen[[2]int{w, n}] += 1000 + k
		}
		_ = r.Close()
	}
	for key, v := range seen {
		if v%1000%(v/1000) != 0 || v%1000/(v/1000) != v/1000 {
			t.Errorf("batch %d of writer %d is torn: %d messages, of %d", key[1], key[0], v/1000, v%1000/(v/1000))
		}
		if key[1] > saved[key[0]] {
			t.Errorf("batch %d of writer %d is there, its position is %d", key[1], key[0], saved[key[0]])
		}
	}
	for w := range acked {
		if saved[w] < acked[w] || saved[w] > tried[w] {
			t.Errorf("writer %d: acknowledged %d, tried %d, position %d", w, acked[w], tried[w], saved[w])
		}
		for n := 1; n <= saved[w]; n++ {
			if seen[[2]int{w, n}] == 0 {
				t.Errorf("batch %d of writer %d of %d is not there", n, w, saved[w])
			}
		}
	}
}

func TestCrash(t *testing.T) {
	seed := connecttest.Seed(t)
	rng := mrand.New(mrand.NewPCG(seed, 0))
	const writers = 3
	disk := vfs.NewCrashableMem()
	acked, tried := make([]int, writers), make([]int, writers)
	for round := range 15 {
		l, err := Open(Options{Dir: "log", FS: disk})
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			mustCreate(t, l, "t", crashParts)
		}
		checkCrash(t, l, acked, tried)
		if t.Failed() {
			_ = l.Close()
			return
		}
		for w := range acked { // what is there now counts
			entries, _ := l.Store().Load(t.Context(), "w/"+strconv.Itoa(w))
			if len(entries) > 0 {
				acked[w], _ = strconv.Atoi(string(entries[0].Pos))
			}
			tried[w] = acked[w]
		}
		disk = crashWhileWriting(t, l, disk, rng, acked, tried)
	}
}

// crashWhileWriting runs writers and returns the disk as a crash among them
// left it. acked and tried are as of the crash.
func crashWhileWriting(t *testing.T, l *Log, disk *vfs.MemFS, rng *mrand.Rand, acked, tried []int) *vfs.MemFS {
	var mu sync.Mutex // of acked and tried
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range acked {
		r := mrand.New(mrand.NewPCG(rng.Uint64(), 0))
		n := acked[w]
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n++
				msgs, entries := crashBatch(r, w, n)
				mu.Lock()
				tried[w] = n
				mu.Unlock()
				if err := l.Append(t.Context(), msgs, entries); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[w] = n
				mu.Unlock()
			}
		})
	}
	time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
	mu.Lock()
	a := append([]int(nil), acked...)
	mu.Unlock()
	clone := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
	mu.Lock()
	tr := append([]int(nil), tried...)
	mu.Unlock()
	close(stop)
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	copy(acked, a)
	copy(tried, tr)
	return clone
}

const (
	childDirEnv  = "PEBBLELOG_TEST_DIR"
	childModeEnv = "PEBBLELOG_TEST_MODE"
)

// child is another process: it appends and tells what was acknowledged, until
// it is killed; or it only holds the folder.
func child(dir, mode string) {
	l, err := Open(Options{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("open")
	if mode == "hold" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	ctx := context.Background()
	if err := l.CreateTopic(ctx, "t", crashParts); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	n := 0
	if entries, err := l.Store().Load(ctx, "w/0"); err == nil && len(entries) > 0 {
		n, _ = strconv.Atoi(string(entries[0].Pos))
	}
	rng := mrand.New(mrand.NewPCG(uint64(n), 7))
	for {
		n++
		msgs, entries := crashBatch(rng, 0, n)
		if err := l.Append(ctx, msgs, entries); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("acked", n)
	}
}

func startChild(t *testing.T, dir, mode string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childDirEnv+"="+dir, childModeEnv+"="+mode)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the other process says %q", lines.Text())
	}
	return cmd, lines
}

func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	rng := mrand.New(mrand.NewPCG(3, 4))
	for range 4 {
		cmd, lines := startChild(t, dir, "append")
		acked := 0
		for want := 5 + rng.IntN(60); want > 0 && lines.Scan(); want-- {
			f := strings.Fields(lines.Text())
			if f[0] != "acked" {
				t.Fatal(lines.Text())
			}
			acked, _ = strconv.Atoi(f[1])
		}
		_ = cmd.Process.Kill()
		for lines.Scan() { // acknowledged before the signal came
			if f := strings.Fields(lines.Text()); len(f) == 2 {
				acked, _ = strconv.Atoi(f[1])
			}
		}
		_ = cmd.Wait()
		l := openLog(t, Options{Dir: dir})
		checkCrash(t, l, []int{acked}, []int{acked + 1})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFolderInUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	cmd, _ := startChild(t, dir, "hold")
	_, err := Open(Options{Dir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) ||
		!strings.Contains(err.Error(), "process "+strconv.Itoa(cmd.Process.Pid)+" ") {
		t.Error(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	openLog(t, Options{Dir: dir})
}
