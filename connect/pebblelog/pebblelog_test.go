package pebblelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/offsets"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDirEnv); dir != "" {
		child(dir, os.Getenv(childModeEnv))
	}
	goleak.VerifyTestMain(m)
}

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func openLog(t testing.TB, o Options) *Log {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "log")
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func mustCreate(t testing.TB, l *Log, topic string, n int32) {
	t.Helper()
	if err := l.CreateTopic(t.Context(), topic, n); err != nil {
		t.Fatal(err)
	}
}

func mustAppend(t testing.TB, l *Log, msgs ...connect.Message) {
	t.Helper()
	if err := l.Append(t.Context(), msgs, nil); err != nil {
		t.Fatal(err)
	}
}

func text(topic string, p int32, value string) connect.Message {
	return connect.Message{Topic: topic, Partition: p, Count: 1, Value: []byte(value)}
}

// readN reads n messages of one reader.
func readN(t testing.TB, r connect.Reader, n, maxBytes int) *connect.Messages {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := &connect.Messages{}
	for len(m.List) < n {
		if err := r.Read(ctx, m, maxBytes); err != nil {
			t.Fatalf("after %d messages: %v", len(m.List), err)
		}
	}
	return m
}

func mustReader(t testing.TB, l *Log, from ...connect.Cursor) connect.Reader {
	t.Helper()
	r, err := l.OpenReader(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestContract(t *testing.T) {
	connecttest.TestLog(t, func(t *testing.T) connecttest.LogHarness {
		dir := filepath.Join(t.TempDir(), "log")
		l := openLog(t, Options{Dir: dir})
		return connecttest.LogHarness{Log: l, Reopen: func(t *testing.T) connect.Log {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = openLog(t, Options{Dir: dir})
			return l
		}}
	})
}

func TestMessageComesBackWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	big := make([]byte, 3*partBytes+17)
	for i := range big {
		big[i] = byte(i * i >> 7)
	}
	msgs := []connect.Message{
		{Topic: "a", Count: 3, Time: -5, Key: []byte("k"), Value: []byte("v"),
			Headers: []connect.Header{{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}, {Key: "", Value: []byte{}}}},
		{Topic: "a", Count: 1 << 30, Time: 1 << 60},
		{Topic: "a", Key: []byte{}, Value: []byte{}},
		{Topic: "a", Count: -1, Key: []byte("big"), Value: big, Headers: []connect.Header{{Key: "x", Value: []byte("y")}}},
		{Topic: "a", Value: big[:partBytes]},
		{Topic: "a", Value: big[:partBytes+1]},
		{Topic: "a", Value: []byte("end")},
	}
	l := openLog(t, Options{Dir: dir})
	mustCreate(t, l, "a", 1)
	mustAppend(t, l, msgs...)
	check := func(l *Log) {
		got := readN(t, mustReader(t, l, connect.Cursor{Topic: "a"}), len(msgs), 1).List
		for i := range msgs {
			if s, g := show(&msgs[i]), show(&got[i]); s != g || msgs[i].Offset != int64(i) {
				t.Fatalf("message %d: appended %.200s, read %.200s", i, s, g)
			}
		}
	}
	check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(openLog(t, Options{Dir: dir}))
}

// show spells all of a message, nil apart from empty.
func show(m *connect.Message) string {
	s := fmt.Sprintf("%s/%d@%d n%d t%d key %#v", m.Topic, m.Partition, m.Offset, m.Count, m.Time, m.Key)
	for _, h := range m.Headers {
		s += fmt.Sprintf(" %q=%#v", h.Key, h.Value)
	}
	if m.Value == nil {
		return s + " nil"
	}
	return s + " " + string(m.Value)
}

func TestHeadsThatDoNotParse(t *testing.T) {
	m := connect.Message{Count: 300, Time: 1 << 40, Key: []byte("key"), Value: []byte("value"),
		Headers: []connect.Header{{Key: "n", Value: []byte("v")}, {Key: "o"}}}
	head := appendHead(nil, &m)
	if len(head) != headLen(&m) {
		t.Fatalf("a head has %d bytes, not %d", len(head), headLen(&m))
	}
	var ms connect.Messages
	body := len(head) - len(m.Value)
	for i := range body {
		if _, _, err := parseHead(&ms, &connect.Message{}, head[:i], nil, map[string]string{}); err == nil {
			t.Errorf("%d of %d bytes pass as a head", i, len(head))
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := bytes.Clone(head)
		for range 1 + rng.IntN(3) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		ms.Reset()
		_, _, _ = parseHead(&ms, &connect.Message{}, b, []byte("base"), map[string]string{}) // must not panic
	}
}

func TestEntriesGoWithMessages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l := openLog(t, Options{Dir: dir})
	mustCreate(t, l, "a", 1)
	e := []offsets.Entry{{Key: "p/1", Pos: []byte("one")}, {Key: "p/2", Pos: []byte{}}, {Key: "q", Pos: []byte("x")}, {Key: "p/1", Pos: []byte("two")}}
	if err := l.Append(t.Context(), []connect.Message{text("a", 0, "v")}, e); err != nil {
		t.Fatal(err)
	}
	if err := l.Store().Save(t.Context(), offsets.Entry{Key: "q"}); err != nil {
		t.Fatal(err)
	}
	check := func(l *Log) {
		got, err := l.Store().Load(t.Context(), "p/")
		if err != nil || len(got) != 2 || got[0].Key != "p/1" || string(got[0].Pos) != "two" || got[1].Pos == nil {
			t.Fatalf("%q %v", got, err)
		}
		if all, _ := l.Store().Load(t.Context(), ""); len(all) != 2 {
			t.Fatalf("all entries: %q", all)
		}
	}
	check(l)
	if err := l.Append(t.Context(), nil, []offsets.Entry{{Key: "a\x00b", Pos: []byte("x")}}); err == nil {
		t.Fatal("a key with NUL passes")
	}
	_ = l.Close()
	check(openLog(t, Options{Dir: dir}))
}

func TestReadersFollow(t *testing.T) {
	l := openLog(t, Options{})
	const parts, appenders, each = 50, 4, 300
	mustCreate(t, l, "a", parts)
	var from []connect.Cursor
	for p := range int32(parts) {
		from = append(from, connect.Cursor{Topic: "a", Partition: p})
	}
	var wg sync.WaitGroup
	for range 2 {
		r := mustReader(t, l, from...)
		wg.Go(func() {
			next := [parts]int64{}
			m := &connect.Messages{}
			for n := 0; n < appenders*each; n += len(m.List) {
				m.Reset()
				if err := r.Read(t.Context(), m, 1000); err != nil {
					t.Error(err)
					return
				}
				for i := range m.List {
					g := &m.List[i]
					if g.Offset != next[g.Partition] || string(g.Value) == "" {
						t.Errorf("partition %d: offset %d after %d", g.Partition, g.Offset, next[g.Partition])
						return
					}
					next[g.Partition]++
				}
			}
		})
	}
	for a := range appenders {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(a), 0))
			for i := 0; i < each; {
				var msgs []connect.Message
				for range min(each-i, 1+rng.IntN(20)) {
					msgs = append(msgs, text("a", rng.Int32N(parts), strings.Repeat("v", 1+rng.IntN(300))))
					i++
				}
				if err := l.Append(t.Context(), msgs, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestTurnsAreFair(t *testing.T) {
	l := openLog(t, Options{})
	mustCreate(t, l, "a", 2)
	var msgs []connect.Message
	for range 40 {
		msgs = append(msgs, text("a", 0, strings.Repeat("x", turnBytes/8)))
	}
	mustAppend(t, l, append(msgs, text("a", 1, "small"))...)
	r := mustReader(t, l, connect.Cursor{Topic: "a", Partition: 0}, connect.Cursor{Topic: "a", Partition: 1})
	m := &connect.Messages{}
	if err := r.Read(t.Context(), m, 3*turnBytes); err != nil {
		t.Fatal(err)
	}
	for i := range m.List {
		if m.List[i].Partition == 1 {
			return
		}
	}
	t.Fatalf("%d messages of partition 0 left no turn to partition 1", len(m.List))
}

func TestManyPartitions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	const parts = 2000
	l := openLog(t, Options{Dir: dir})
	mustCreate(t, l, "many", parts)
	var from []connect.Cursor
	var msgs []connect.Message
	for p := range int32(parts) {
		from = append(from, connect.Cursor{Topic: "many", Partition: p})
		msgs = append(msgs, text("many", p, fmt.Sprint(p)))
	}
	r := mustReader(t, l, from...)
	mustAppend(t, l, msgs...)
	readN(t, r, parts, 1<<20)
	mustAppend(t, l, text("many", 1234, "tail"))
	if m := readN(t, r, 1, 1<<20); m.List[0].Partition != 1234 || m.List[0].Offset != 1 {
		t.Fatalf("%+v", m.List[0])
	}
	_ = l.Close()
	l = openLog(t, Options{Dir: dir})
	if first, end, err := l.Bounds(t.Context(), "many", 1234); first != 0 || end != 2 || err != nil {
		t.Fatal(first, end, err)
	}
	readN(t, mustReader(t, l, from...), parts+1, 1<<20)
}

func TestReadEnds(t *testing.T) {
	l := openLog(t, Options{})
	mustCreate(t, l, "a", 1)
	for _, c := range []struct {
		name string
		end  func(r connect.Reader, cancel func())
		want error
	}{
		{"cancel", func(_ connect.Reader, cancel func()) { cancel() }, context.Canceled},
		{"reader closed", func(r connect.Reader, _ func()) { _ = r.Close() }, ErrClosed},
		{"log closed", func(connect.Reader, func()) { _ = l.Close() }, ErrClosed},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r := mustReader(t, l, connect.Cursor{Topic: "a"})
		got := make(chan error)
		go func() { got <- r.Read(ctx, &connect.Messages{}, 1) }()
		c.end(r, cancel)
		if err := <-got; !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		cancel()
	}
	if err := l.Append(t.Context(), nil, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestArguments(t *testing.T) {
	l := openLog(t, Options{})
	mustCreate(t, l, "a", 2)
	mustCreate(t, l, "a", 2)
	for _, c := range []struct {
		err  error
		want string
	}{
		{l.CreateTopic(t.Context(), "a", 3), "exists with 2"},
		{l.CreateTopic(t.Context(), "", 1), "a name has"},
		{l.CreateTopic(t.Context(), "b", 0), "0 partitions"},
		{l.Append(t.Context(), []connect.Message{text("a", 0, "x"), text("no", 0, "x")}, nil), `"no" does not exist`},
		{l.Append(t.Context(), []connect.Message{text("a", 2, "x")}, nil), "and no 2"},
		{l.Trim(t.Context(), "no", 0, 1), "does not exist"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v does not say %q", c.err, c.want)
		}
	}
	if _, end, _ := l.Bounds(t.Context(), "a", 0); end != 0 {
		t.Errorf("a refused append left %d messages", end)
	}
	if _, err := Open(Options{Dir: filepath.Join(t.TempDir(), "no", "log")}); err == nil || !strings.Contains(err.Error(), "parent") {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "f")
	_ = os.WriteFile(file, nil, 0o600)
	if _, err := Open(Options{Dir: file}); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Error(err)
	}
	if _, err := Open(Options{Dir: l.opts.Dir}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), l.opts.Dir) {
		t.Error(err)
	}
}
