package connecttest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// fill appends n messages of size bytes to each of the given partitions of a
// topic, a partition at a time.
func (c *logCase) fill(topic string, n, size int, partitions ...int32) {
	c.t.Helper()
	for _, p := range partitions {
		msgs := make([]connect.Message, n)
		for i := range msgs {
			v := make([]byte, size)
			copy(v, fmt.Sprintf("%s/%d@%d", topic, p, i))
			msgs[i] = connect.Message{Topic: topic, Partition: p, Count: 1, Time: int64(i), Value: v}
		}
		c.append(msgs...)
	}
}

// openOrRead opens a reader at one place and reads from it, with a deadline
// that is over, unless opening it failed: an error must come before any wait.
func (c *logCase) openOrRead(at connect.Cursor) error {
	r, err := c.Log.OpenReader(c.ctx, []connect.Cursor{at})
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Read(c.ctx, new(connect.Messages), 1<<20)
}

// testReadTurns: no partition waits until another has been read to its end.
func testReadTurns(c *logCase) {
	const parts, each = 5, 200
	c.create("t", parts)
	c.create("u", 1)
	c.fill("t", each, 1000, 0, 1, 2, 3, 4)
	c.fill("u", each, 1000, 0)
	var from []connect.Cursor
	for p := range int32(parts) {
		from = append(from, connect.Cursor{Topic: "t", Partition: p})
	}
	from = append(from, connect.Cursor{Topic: "u"})
	total := each * len(from)
	got := c.readN(c.reader(from...), total, 16<<10)
	seen := map[string]int64{}
	for i, m := range got {
		key := offsets.MarkKey(m.Topic, m.Partition)
		if m.Offset != seen[key] {
			c.t.Fatalf("%s: offset %d, want %d", key, m.Offset, seen[key])
		}
		seen[key]++
		if i == total/2 && len(seen) != len(from) {
			c.t.Fatalf("after half of the messages only %d of %d partitions were read", len(seen), len(from))
		}
	}
}

func testReadMaxBytes(c *logCase) {
	const n, size, limit = 64, 10 << 10, 100 << 10
	c.create("t", 2)
	c.fill("t", n, size, 0, 1)
	r := c.reader(connect.Cursor{Topic: "t"}, connect.Cursor{Topic: "t", Partition: 1})
	for _, limit := range []int{limit, 1, 0, 3 * size} {
		var m connect.Messages
		must(c.t, r.Read(c.ctx, &m, limit))
		if got := len(m.List) * size; len(m.List) == 0 || got > limit+2*size {
			c.t.Fatalf("Read of %d bytes gave %d", limit, got)
		}
	}
}

// testReadAppends: Read adds to what its Messages already hold, and they own
// what they point to.
func testReadAppends(c *logCase) {
	c.create("t", 1)
	c.fill("t", 20, 100, 0)
	r := c.reader(connect.Cursor{Topic: "t"})
	var m connect.Messages
	*m.Add() = connect.Message{Topic: "mine", Offset: 77}
	for len(m.List) < 21 {
		n := len(m.List)
		must(c.t, r.Read(c.ctx, &m, 300))
		if len(m.List) <= n {
			c.t.Fatal("Read gave no message")
		}
	}
	if m.List[0].Topic != "mine" || m.List[0].Offset != 77 {
		c.t.Fatalf("Read changed the message that was there: %+v", m.List[0])
	}
	var o connect.Messages // reading again must not touch what m has
	must(c.t, c.reader(connect.Cursor{Topic: "t"}).Read(c.ctx, &o, 1<<20))
	for i := range 20 {
		if want := fmt.Sprintf("t/0@%d", i); string(m.List[i+1].Value[:len(want)]) != want {
			c.t.Fatalf("message %d is %.10q, want %q", i, m.List[i+1].Value, want)
		}
	}
}

// await runs a Read of r in a goroutine, lets act happen, and returns the
// result. Whether the Read was waiting by then is up to the scheduler, and
// both must work.
func (c *logCase) await(ctx context.Context, r connect.Reader, m *connect.Messages, act func()) error {
	c.t.Helper()
	started, done := make(chan struct{}), make(chan error, 1)
	go func() {
		close(started)
		done <- r.Read(ctx, m, 1<<20)
	}()
	<-started
	act()
	select {
	case err := <-done:
		return err
	case <-c.ctx.Done():
		c.t.Fatal("Read was not woken")
		return nil
	}
}

// testReadWakes lets a reader of three partitions wait again and again.
func testReadWakes(c *logCase) {
	c.create("t", 3)
	c.create("other", 1)
	r := c.reader(connect.Cursor{Topic: "t"}, connect.Cursor{Topic: "t", Partition: 1}, connect.Cursor{Topic: "t", Partition: 2})
	for i := range 60 {
		var m connect.Messages
		must(c.t, c.await(c.ctx, r, &m, func() {
			c.append(connect.Message{Topic: "other", Value: []byte("not this one")})
			c.append(connect.Message{Topic: "t", Partition: int32(i % 3), Value: fmt.Appendf(nil, "%d", i)})
		}))
		if len(m.List) != 1 || string(m.List[0].Value) != fmt.Sprint(i) || m.List[0].Partition != int32(i%3) {
			c.t.Fatalf("round %d gave %+v", i, m.List)
		}
	}
}

func testReadCancelled(c *logCase) {
	c.create("t", 1)
	r := c.reader(connect.Cursor{Topic: "t"})
	for range 20 {
		ctx, cancel := context.WithCancel(c.ctx)
		if err := c.await(ctx, r, new(connect.Messages), cancel); !errors.Is(err, context.Canceled) {
			c.t.Fatalf("a cancelled Read gives %v", err)
		}
	}
	c.append(connect.Message{Topic: "t", Value: []byte("v")})
	c.readN(r, 1, 1) // the reader goes on after a cancelled Read
}

func testReadClosed(c *logCase) {
	c.create("t", 2)
	readers := []connect.Reader{
		c.reader(connect.Cursor{Topic: "t"}),
		c.reader(connect.Cursor{Topic: "t", Partition: 1}),
		c.reader(connect.Cursor{Topic: "t"}, connect.Cursor{Topic: "t", Partition: 1}),
	}
	done := make(chan error, len(readers))
	for _, r := range readers {
		go func() { done <- r.Read(c.ctx, new(connect.Messages), 1<<20) }()
	}
	must(c.t, c.Log.Close())
	for range readers {
		if err := <-done; err == nil || c.ctx.Err() != nil {
			c.t.Fatalf("Read of a closed log gives %v", err)
		}
	}
}

func testPositionLost(c *logCase) {
	c.create("t", 2)
	c.fill("t", 10, 10, 0)
	for _, at := range []connect.Cursor{
		{Topic: "t", Offset: 11}, {Topic: "t", Offset: 1 << 40}, {Topic: "t", Offset: -1}, {Topic: "t", Partition: 1, Offset: 1},
	} {
		if err := c.openOrRead(at); !errors.Is(err, connect.ErrPositionLost) {
			c.t.Fatalf("reading at %+v gives %v", at, err)
		}
	}
	c.readN(c.reader(connect.Cursor{Topic: "t", Offset: 9}), 1, 1)
	var m connect.Messages // at the end is a place to wait
	must(c.t, c.await(c.ctx, c.reader(connect.Cursor{Topic: "t", Offset: 10}), &m, func() { c.fill("t", 1, 10, 0) }))
	if len(m.List) != 1 || m.List[0].Offset != 10 {
		c.t.Fatalf("the reader at the end got %+v", m.List)
	}
}

// trim trims and returns the first offset there is.
func (c *logCase) trim(topic string, partition int32, before int64) int64 {
	c.t.Helper()
	was, end := c.bounds(topic, partition)
	must(c.t, c.Log.Trim(c.ctx, topic, partition, before))
	first, newEnd := c.bounds(topic, partition)
	want := max(was, min(before, end))
	if newEnd != end || first > want || first < was || first != want && !c.LooseTrim {
		c.t.Fatalf("Trim of %s/%d before %d: bounds %d to %d became %d to %d", topic, partition, before, was, end, first, newEnd)
	}
	return first
}

func testTrim(c *logCase) {
	c.create("t", 2)
	c.fill("t", 30, 1000, 0, 1)
	for _, before := range []int64{0, 10, 5, 29} {
		first := c.trim("t", 0, before)
		got := c.readN(c.reader(connect.Cursor{Topic: "t", Offset: first}), int(30-first), 1<<20)
		if got[0].Offset != first || got[len(got)-1].Offset != 29 {
			c.t.Fatalf("after a trim offsets %d to %d were read, want %d to 29", got[0].Offset, got[len(got)-1].Offset, first)
		}
		if first > 0 {
			if err := c.openOrRead(connect.Cursor{Topic: "t", Offset: first - 1}); !errors.Is(err, connect.ErrPositionLost) {
				c.t.Fatalf("reading what was trimmed gives %v", err)
			}
		}
	}
	c.trim("t", 0, 30)
	c.trim("t", 0, 1000) // beyond the end: all
	c.fill("t", 1, 10, 0)
	if _, end := c.bounds("t", 0); end != 31 {
		c.t.Fatalf("after trimming all, the next message made the end %d, want 31", end)
	}
	got := c.readN(c.reader(connect.Cursor{Topic: "t", Offset: 30}), 1, 1)
	if got[0].Offset != 30 {
		c.t.Fatalf("after trimming all, the next message has offset %d, want 30", got[0].Offset)
	}
	if first, end := c.bounds("t", 1); first != 0 || end != 30 {
		c.t.Fatalf("trimming partition 0 made the bounds of partition 1 %d, %d", first, end)
	}
	if c.Log = c.Reopen(c.t); c.bounds2("t", 0) != 31 {
		c.t.Fatal("reopening moved the end")
	}
}

func (c *logCase) bounds2(topic string, partition int32) int64 {
	_, end := c.bounds(topic, partition)
	return end
}

// testTrimBesideReader: a reader that trimming overtook says so; what it had
// at hand already it may still deliver, without a gap.
func testTrimBesideReader(c *logCase) {
	c.create("t", 1)
	c.fill("t", 50, 4000, 0)
	r := c.reader(connect.Cursor{Topic: "t"})
	var m connect.Messages
	must(c.t, r.Read(c.ctx, &m, 1))
	next := int64(len(m.List))
	first := c.trim("t", 0, 50)
	for next < 50 {
		m.Reset()
		if err := r.Read(c.ctx, &m, 1); err != nil {
			if !errors.Is(err, connect.ErrPositionLost) || next >= first {
				c.t.Fatalf("reading offset %d after a trim before %d gives %v", next, first, err)
			}
			return
		}
		for i := range m.List {
			if m.List[i].Offset != next {
				c.t.Fatalf("offset %d follows %d", m.List[i].Offset, next-1)
			}
			next++
		}
	}
}

func testReopen(c *logCase) {
	c.create("t", 3)
	c.create("empty", 2)
	c.fill("t", 40, 3000, 0, 2)
	must(c.t, c.Log.Append(c.ctx, []connect.Message{{Topic: "t", Partition: 1, Key: []byte("k")}},
		[]offsets.Entry{{Key: "source/a", Pos: offsets.Position("p")}}))
	all := []connect.Cursor{{Topic: "t"}, {Topic: "t", Partition: 1}, {Topic: "t", Partition: 2}}
	before := c.readN(c.reader(all...), 81, 1<<20)
	atomic := c.Log.Atomic()
	for range 3 {
		c.Log = c.Reopen(c.t)
		after := c.readN(c.reader(all...), 81, 1<<20)
		byPlace := func(a, b connect.Message) int {
			if a.Partition != b.Partition {
				return int(a.Partition - b.Partition)
			}
			return int(a.Offset - b.Offset)
		}
		slices.SortFunc(before, byPlace)
		slices.SortFunc(after, byPlace)
		c.wantMessages(after, before)
		wantEntries(c.t, c.ctx, c.Log.Store(), "", offsets.Entry{Key: "source/a", Pos: offsets.Position("p")})
	}
	topics, err := c.Log.Topics(c.ctx)
	must(c.t, err)
	if len(topics) != 2 || topics["t"] != 3 || topics["empty"] != 2 || c.Log.Atomic() != atomic {
		c.t.Fatalf("after reopening: topics %v, atomic %v", topics, c.Log.Atomic())
	}
	c.fill("t", 1, 10, 1)
	if c.bounds2("t", 1) != 2 {
		c.t.Fatalf("after reopening, an append made the end %d, want 2", c.bounds2("t", 1))
	}
}

func testClosed(c *logCase) {
	c.create("t", 1)
	store := c.Log.Store()
	r := c.reader(connect.Cursor{Topic: "t"})
	must(c.t, c.Log.Close())
	one := []connect.Message{{Topic: "t", Value: []byte("v")}}
	_, topicsErr := c.Log.Topics(c.ctx)
	_, _, boundsErr := c.Log.Bounds(c.ctx, "t", 0)
	_, loadErr := store.Load(c.ctx, "")
	for _, e := range []struct {
		what string
		err  error
	}{
		{"Append", c.Log.Append(c.ctx, one, nil)},
		{"CreateTopic", c.Log.CreateTopic(c.ctx, "u", 1)},
		{"Topics", topicsErr},
		{"Bounds", boundsErr},
		{"Trim", c.Log.Trim(c.ctx, "t", 0, 0)},
		{"a reader", c.openOrRead(connect.Cursor{Topic: "t"})},
		{"an open reader", r.Read(c.ctx, new(connect.Messages), 1)},
		{"Load", loadErr},
		{"Save", store.Save(c.ctx, offsets.Entry{Key: "k", Pos: offsets.Position("p")})},
	} {
		fails(c.t, e.err, e.what+" of a closed log")
	}
}
