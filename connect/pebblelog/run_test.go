package pebblelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/towline/towline/connect"
)

// keysOf returns the number of keys that hold messages.
func keysOf(t *testing.T, l *Log) (n int) {
	t.Helper()
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceMessage}})
	if err != nil {
		t.Fatal(err)
	}
	for it.First(); it.Valid(); it.Next() {
		n++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// smallMessages are messages of all kinds and sizes, mostly small, over
// partitions in any order.
func smallMessages(rng *rand.Rand, n int, partitions int32) []connect.Message {
	msgs := make([]connect.Message, n)
	for i := range msgs {
		size := rng.IntN(600)
		switch rng.IntN(40) {
		case 0:
			size = maxSmall - 30 + rng.IntN(60)
		case 1:
			size = runBytes + rng.IntN(1000)
		}
		m := text("t", rng.Int32N(partitions), strings.Repeat(fmt.Sprint(i, " "), size/4))
		if rng.IntN(2) == 0 { // as JSON with a schema
			m.Value = append([]byte(strings.Repeat("schema ", 40+rng.IntN(3)*100)), m.Value...)
		}
		switch rng.IntN(8) {
		case 0:
			m.Value = nil
		case 1:
			m.Value = []byte{}
		}
		m.Key, m.Time, m.Count = fmt.Append(nil, i), rng.Int64(), rng.Int32N(3)
		for range rng.IntN(3) {
			m.Headers = append(m.Headers, connect.Header{Key: fmt.Sprint(rng.IntN(3)), Value: []byte("v")})
		}
		msgs[i] = m
	}
	return msgs
}

// TestRuns reads messages that were appended in runs from every offset, in
// pieces of any size, and after trims at any offset.
func TestRuns(t *testing.T) {
	const partitions = 3
	rng := rand.New(rand.NewPCG(11, 12))
	dir := filepath.Join(t.TempDir(), "log")
	l := openLog(t, Options{Dir: dir})
	mustCreate(t, l, "t", partitions)
	want := make([][]string, partitions)
	total := 0
	for range 12 {
		msgs := smallMessages(rng, 1+rng.IntN(300), partitions)
		mustAppend(t, l, msgs...)
		for i := range msgs {
			p := msgs[i].Partition
			if msgs[i].Offset != int64(len(want[p])) {
				t.Fatalf("offset %d, want %d", msgs[i].Offset, len(want[p]))
			}
			want[p] = append(want[p], show(&msgs[i]))
		}
		total += len(msgs)
	}
	if n := keysOf(t, l); n > total/3 {
		t.Errorf("%d messages take %d keys", total, n)
	}
	check := func(l *Log) {
		for p := range int32(partitions) {
			first, end := bounds(t, l, p)
			for from := first; from <= end; from += 1 + rng.Int64N(20) {
				r := mustReader(t, l, connect.Cursor{Topic: "t", Partition: p, Offset: from})
				got := readN(t, r, int(end-from), []int{1, 700, 5000, wholeRuns, 1 << 20}[rng.IntN(5)])
				for i := range got.List {
					if s := show(&got.List[i]); s != want[p][int(from)+i] {
						t.Fatalf("partition %d from %d: %.200s, want %.200s", p, from, s, want[p][int(from)+i])
					}
				}
				_ = r.Close()
			}
		}
	}
	check(l)
	for range 6 {
		p := rng.Int32N(partitions)
		first, end := bounds(t, l, p)
		before := first + rng.Int64N((end-first)/3+1)
		if err := l.Trim(t.Context(), "t", p, before); err != nil {
			t.Fatal(err)
		}
		wantBounds(t, l, p, before, end)
	}
	check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(openLog(t, Options{Dir: dir}))
}

// TestRunsThatDoNotParse garbles runs: none is taken for something else
// without a sign of it, and none makes the reader panic.
func TestRunsThatDoNotParse(t *testing.T) {
	l := openLog(t, Options{})
	mustCreate(t, l, "t", 1)
	msgs := smallMessages(rand.New(rand.NewPCG(1, 2)), 1, 1)
	for i := range 100 {
		msgs = append(msgs, text("t", 0, strings.Repeat("schema ", 60)+fmt.Sprintf("message %d of a run", i)))
	}
	mustAppend(t, l, msgs[1:]...)
	p, err := l.lookup("t", 0)
	if err != nil {
		t.Fatal(err)
	}
	key := appendOffsetKey(nil, spaceMessage, p, 99)
	stored, closer, err := l.db.Get(key)
	if err != nil || stored[0] != runVersion {
		t.Fatal(err, stored)
	}
	good := bytes.Clone(stored)
	_ = closer.Close()
	read := func(b []byte) error {
		if err := l.db.Set(key, b, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		var m connect.Messages
		r := mustReader(t, l, connect.Cursor{Topic: "t"})
		defer r.Close()
		for len(m.List) < 100 {
			if err := r.Read(t.Context(), &m, 1<<20); err != nil {
				return err
			}
		}
		return nil
	}
	if err := read(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		if err := read(good[:i]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d of %d bytes: %v", i, len(good), err)
		}
	}
	fewer := bytes.Clone(good)
	fewer[2]--
	if err := read(fewer); !errors.Is(err, ErrDamaged) {
		t.Errorf("a run of a message less: %v", err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		b := bytes.Clone(good)
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		if err := read(b); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	}
}

// TestSharedBytes leaves out what values have in common with the first one.
func TestSharedBytes(t *testing.T) {
	schema := strings.Repeat("0123456789abcdef", 40)
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {schema[:255], schema[:255], 0}, {schema, schema[:256], 256}, {schema, schema, 512}, {schema + "a", schema + "b", 512}, {"x" + schema, schema, 0}} {
		if got := sharedBytes([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("%d and %d bytes share %d, want %d", len(c.a), len(c.b), got, c.want)
		}
	}
	m := connect.Message{Count: 1, Key: []byte("k"), Value: []byte(schema + "own")}
	head := appendSharedHead(nil, &m, 512)
	var ms connect.Messages
	var got connect.Message
	if shared, _, err := parseHead(&ms, &got, head, []byte(schema), nil); err != nil || shared != 512 || string(got.Value) != string(m.Value) {
		t.Errorf("%d %v %q", shared, err, got.Value)
	}
	if want := headLen(&m) + uvarintLen(512) - 512; len(head) != want {
		t.Errorf("a head of %d bytes, want %d", len(head), want)
	}
	for _, base := range []string{"", schema[:511]} {
		if _, _, err := parseHead(&ms, &got, head, []byte(base), nil); err == nil {
			t.Errorf("a base of %d bytes passes", len(base))
		}
	}
}

// TestFormerFormat opens a log of the format without runs.
func TestFormerFormat(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l := openLog(t, Options{Dir: dir})
	mustCreate(t, l, "t", 1)
	for i := range 5 { // single messages are stored as they were
		mustAppend(t, l, text("t", 0, fmt.Sprint(i)))
	}
	if err := l.db.Set([]byte{spaceFormat}, binary.BigEndian.AppendUint32(nil, 1), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, Options{Dir: dir})
	mustAppend(t, l, text("t", 0, "5"), text("t", 0, "6"))
	m := readN(t, mustReader(t, l, connect.Cursor{Topic: "t"}), 7, 1<<20)
	for i := range m.List {
		if string(m.List[i].Value) != fmt.Sprint(i) {
			t.Errorf("message %d is %q", i, m.List[i].Value)
		}
	}
	v, closer, err := l.db.Get([]byte{spaceFormat})
	if err != nil || binary.BigEndian.Uint32(v) != formatVersion {
		t.Error(v, err)
	}
	_ = closer.Close()
}

// TestPackDoesNotAllocate makes runs again and again, as appends do.
func TestPackDoesNotAllocate(t *testing.T) {
	msgs := changes(500, 8)
	parts := newTopic(1, "t", 8).partitions
	var g gather
	pack := func() {
		g.reset()
		for i := range msgs {
			g.add(&parts[msgs[i].Partition])
		}
		g.pack(msgs, runBytes)
	}
	pack()
	if n := testing.AllocsPerRun(20, pack); n != 0 && raced() {
		t.Logf("%v allocations: under the race detector the pools of the compressor lose things at random", n)
	} else if n != 0 {
		t.Errorf("%v allocations for %d messages", n, len(msgs))
	}
	if len(g.runs) < 8 || len(g.runs) > 20 {
		t.Errorf("%d messages of 8 partitions are in %d runs", len(msgs), len(g.runs))
	}
}

// raced reports whether the race detector is on.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestCommitsShrink: who carried much once, and little ever since, is not kept.
func TestCommitsShrink(t *testing.T) {
	l := openLog(t, Options{Dir: filepath.Join(t.TempDir(), "log")})
	c := &commit{batch: l.db.NewBatch()}
	carry := func(n int) bool {
		c.batch.Reset()
		if err := c.batch.Set([]byte("k"), make([]byte, n), nil); err != nil {
			t.Fatal(err)
		}
		return c.outgrown()
	}
	for i := range 2 {
		if carry(1 << 20) {
			t.Fatal("a large one is not kept")
		}
		for range oftenSmall - 1 - i {
			if carry(100) {
				t.Fatal("it went too early")
			}
		}
	}
	if carry(100) || !carry(100) {
		t.Error("it is kept though little has been carried for long")
	}
	if c := (&commit{batch: l.db.NewBatch()}); c.outgrown() {
		t.Error("one that never carried much went")
	}
}
