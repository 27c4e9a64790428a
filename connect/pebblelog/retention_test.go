package pebblelog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect"
)

func bounds(t *testing.T, l *Log, p int32) (first, end int64) {
	t.Helper()
	first, end, err := l.Bounds(t.Context(), "t", p)
	if err != nil {
		t.Fatal(err)
	}
	return first, end
}

func wantBounds(t *testing.T, l *Log, p int32, first, end int64) {
	t.Helper()
	if f, e := bounds(t, l, p); f != first || e != end {
		t.Fatalf("partition %d reaches from %d to %d, not %d to %d", p, f, e, first, end)
	}
}

func TestRetentionByAge(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "log"), newClock()
	o := Options{Dir: dir, Retention: 24 * time.Hour, Now: c.Now, TrimInterval: time.Hour}
	l := openLog(t, o)
	mustCreate(t, l, "t", 2)
	for h := range 30 { // a message an hour, and one at the beginning
		if h == 0 {
			mustAppend(t, l, text("t", 1, "early"))
		}
		old := text("t", 0, fmt.Sprint(h))
		old.Time = 1 // the time in the message does not count
		mustAppend(t, l, old)
		c.add(time.Hour)
	}
	r := mustReader(t, l, connect.Cursor{Topic: "t"})
	if err := l.retain(); err != nil {
		t.Fatal(err)
	}
	// It is hour 30: what was appended at hour 6 or before is 24 hours old.
	// Each hour is a segment; that of hour 6 ends when hour 7's begins.
	wantBounds(t, l, 0, 6, 30)
	wantBounds(t, l, 1, 1, 1)
	if err := r.Read(t.Context(), &connect.Messages{}, 1); !errors.Is(err, connect.ErrPositionLost) {
		t.Errorf("a reader of what is gone: %v", err)
	}
	_ = l.Close()
	l = openLog(t, o)
	wantBounds(t, l, 0, 6, 30)
	if m := readN(t, mustReader(t, l, connect.Cursor{Topic: "t", Offset: 6}), 24, 1); string(m.List[0].Value) != "6" {
		t.Errorf("%q", m.List[0].Value)
	}
	c.add(1000 * time.Hour)
	if err := l.retain(); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, l, 0, 30, 30)
	mustAppend(t, l, text("t", 0, "new"))
	if err := l.retain(); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, l, 0, 30, 31)
}

func TestRetentionBySize(t *testing.T) {
	c := newClock()
	const limit = 1 << 20
	l := openLog(t, Options{RetentionBytes: limit, Now: c.Now})
	mustCreate(t, l, "t", 2)
	rng := rand.New(rand.NewPCG(5, 6))
	total := 0
	for range 600 {
		n := rng.IntN(20000)
		total += n
		mustAppend(t, l, text("t", 0, strings.Repeat("x", n)))
	}
	mustAppend(t, l, text("t", 1, "small"))
	if err := l.retain(); err != nil {
		t.Fatal(err)
	}
	first, end := bounds(t, l, 0)
	held := 0
	for _, m := range readN(t, mustReader(t, l, connect.Cursor{Topic: "t", Offset: first}), int(end-first), 1<<20).List {
		held += len(m.Value)
	}
	if segment := limit/16 + 20000; held > limit || held < limit-2*segment {
		t.Errorf("%d bytes of %d are left by a limit of %d", held, total, limit)
	}
	for _, p := range l.Stats().Partitions {
		if p.Partition == 0 && (p.Bytes < int64(held) || p.Bytes > int64(held)+100000 || p.First != first || p.End != end) {
			t.Errorf("stats %+v, held %d", p, held)
		}
	}
	wantBounds(t, l, 1, 0, 1)
}

func TestProtect(t *testing.T) {
	c := newClock()
	needed, ok := int64(2), true
	l := openLog(t, Options{Retention: time.Hour, RetentionBytes: 1, Now: c.Now,
		Protect: func(topic string, p int32) (int64, bool) { return needed, ok && topic == "t" && p == 0 }})
	mustCreate(t, l, "t", 2)
	for range 10 {
		mustAppend(t, l, text("t", 0, "a"), text("t", 1, "b"))
		c.add(2 * time.Hour)
	}
	if err := l.retain(); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, l, 0, 2, 10)
	wantBounds(t, l, 1, 10, 10)
	if err := l.Trim(t.Context(), "t", 0, 5); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, l, 0, 5, 10)
	ok = false
	if err := l.retain(); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, l, 0, 10, 10)
}

func TestRetentionRunsByItself(t *testing.T) {
	c := newClock()
	l := openLog(t, Options{Retention: time.Hour, Now: c.Now, TrimInterval: time.Millisecond})
	mustCreate(t, l, "t", 1)
	mustAppend(t, l, text("t", 0, "a"))
	c.add(2 * time.Hour)
	for {
		if first, _ := bounds(t, l, 0); first == 1 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestTrimGivesSpaceBack waits for compactions, which take their time. What is
// still in level 0 stays until more comes: gatherSublevels of flushes, each of
// memTables at most.
func TestTrimGivesSpaceBack(t *testing.T) {
	const (
		memTable = 1 << 20
		stays    = gatherSublevels * memTables * memTable
		size     = 256 << 10
		count    = 3 * stays / size
	)
	l := openLog(t, Options{memTableBytes: memTable, restEvery: time.Hour, restBytes: restBytes})
	mustCreate(t, l, "t", 1)
	rng := rand.New(rand.NewPCG(7, 8))
	value := make([]byte, size)
	for range count {
		for i := 0; i < len(value); i += 8 {
			u64s(value[i:i], rng.Uint64())
		}
		mustAppend(t, l, connect.Message{Topic: "t", Value: value})
	}
	if err := l.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if before := l.Stats().DiskBytes; before < 2*stays {
		t.Fatalf("%d bytes are there", before)
	}
	if err := l.Trim(t.Context(), "t", 0, count); err != nil {
		t.Fatal(err)
	}
	if err := l.db.Flush(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for tables := int64(count * size); tables > stays; {
		tables = 0
		for _, lv := range l.db.Metrics().Levels {
			tables += lv.TablesSize
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are still there, more than %d", tables, stays)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
