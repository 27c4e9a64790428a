package connecttest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

func testReadBack(c *logCase) {
	c.create("t", 1)
	want := []connect.Message{
		{Topic: "t", Count: 1, Time: 1, Key: []byte("k"), Value: []byte("v")},
		{Topic: "t", Count: 1, Time: -1, Key: []byte("k"), Value: nil}, // a tombstone
		{Topic: "t", Count: 0, Time: 0, Key: []byte("k"), Value: []byte{}},
		{Topic: "t", Count: 1<<31 - 1, Time: 1<<63 - 1, Value: []byte{0, 0xff, 0}},
		{Topic: "t", Count: 7, Time: -1 << 63, Key: []byte{0}, Value: []byte("with headers"), Headers: []connect.Header{
			{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "", Value: []byte{}}, {Key: "z\x00", Value: []byte{0}},
		}},
		{Topic: "t", Count: 1, Key: []byte("only a key and headers"), Headers: []connect.Header{{Key: "h", Value: []byte("v")}}},
	}
	msgs := make([]connect.Message, len(want))
	for i := range want {
		msgs[i] = CloneMessage(&want[i])
		want[i].Offset = int64(i)
	}
	c.append(msgs...)
	c.wantMessages(msgs, want) // Append sets Offset and changes nothing else
	c.wantMessages(c.readN(c.reader(connect.Cursor{Topic: "t"}), len(want), 1<<20), want)
	c.wantMessages(c.readN(c.reader(connect.Cursor{Topic: "t", Offset: 2}), len(want)-2, 1<<20), want[2:])
}

// testSource: a log that is not atomic keeps what tells whose messages are
// there.
func testSource(c *logCase) {
	if c.Log.Atomic() {
		c.t.Skip("the log is atomic")
	}
	c.create("t", 1)
	want := []connect.Message{
		{Topic: "t", Count: 1, Value: []byte("v"), Source: "source/a/0/", Seq: 1},
		{Topic: "t", Count: 1, Value: []byte("v"), Source: "source/b/0/", Seq: 1<<64 - 1},
		{Topic: "t", Count: 1, Value: []byte("v"), Key: []byte("a key"), Source: "source/a/0/", Headers: []connect.Header{{Key: "h"}}},
		{Topic: "t", Count: 1, Value: []byte("v")},
	}
	c.append(slices.Clone(want)...)
	for i, m := range c.readN(c.reader(connect.Cursor{Topic: "t"}), len(want), 1<<20) {
		if m.Source != want[i].Source || m.Seq != want[i].Seq {
			c.t.Errorf("message %d is of %q up to %d, want %q up to %d", i, m.Source, m.Seq, want[i].Source, want[i].Seq)
		}
	}
}

func testOffsets(c *logCase) {
	c.create("t", 3)
	next := [3]int64{}
	for round := range 20 {
		var msgs []connect.Message
		for i := range round + 1 {
			msgs = append(msgs, connect.Message{Topic: "t", Partition: int32(i*i) % 3, Value: []byte("v")})
		}
		c.append(msgs...)
		for i := range msgs {
			p := msgs[i].Partition
			if msgs[i].Offset != next[p] {
				c.t.Fatalf("round %d, message %d: offset %d in partition %d, want %d", round, i, msgs[i].Offset, p, next[p])
			}
			next[p]++
		}
	}
	for p := range int32(3) {
		if first, end := c.bounds("t", p); first != 0 || end != next[p] {
			c.t.Fatalf("partition %d has the bounds %d, %d, want 0, %d", p, first, end, next[p])
		}
	}
	c.append() // nothing at all is fine
}

// testTopicsApart uses names that would run together in a careless key space.
func testTopicsApart(c *logCase) {
	names := []string{"t", "t1", "t.1", "T", "t-1", "t_1", "tt"}
	var msgs []connect.Message
	for _, name := range names {
		c.create(name, 12)
		for p := range int32(12) {
			msgs = append(msgs, connect.Message{Topic: name, Partition: p, Count: 1, Value: fmt.Appendf(nil, "%s/%d", name, p)})
		}
	}
	c.append(msgs...)
	for _, name := range names {
		for p := range int32(12) {
			if first, end := c.bounds(name, p); first != 0 || end != 1 {
				c.t.Fatalf("%s/%d has the bounds %d, %d, want 0, 1", name, p, first, end)
			}
			got := c.readN(c.reader(connect.Cursor{Topic: name, Partition: p}), 1, 1)
			if want := fmt.Sprintf("%s/%d", name, p); string(got[0].Value) != want {
				c.t.Fatalf("%s holds %q", want, got[0].Value)
			}
		}
	}
}

// testAppendCopies scribbles over what was given to Append (invariant 7).
func testAppendCopies(c *logCase) {
	c.create("t", 1)
	m := connect.Message{Topic: "t", Count: 1, Key: []byte("key"), Value: []byte("value"),
		Headers: []connect.Header{{Key: "h", Value: []byte("head")}}}
	entries := []offsets.Entry{{Key: "k", Pos: offsets.Position("pos")}}
	want := CloneMessage(&m)
	msgs := []connect.Message{m}
	must(c.t, c.Log.Append(c.ctx, msgs, entries))
	for _, b := range [][]byte{m.Key, m.Value, m.Headers[0].Value, entries[0].Pos} {
		clear(b)
	}
	m.Headers[0].Key = "gone"
	c.wantMessages(c.readN(c.reader(connect.Cursor{Topic: "t"}), 1, 1<<20), []connect.Message{want})
	wantEntries(c.t, c.ctx, c.Log.Store(), "", offsets.Entry{Key: "k", Pos: offsets.Position("pos")})
}

func testAppendEntries(c *logCase) {
	c.create("t", 1)
	store := c.Log.Store()
	must(c.t, store.Save(c.ctx, offsets.Entry{Key: "source/a/0/old", Pos: offsets.Position("x")}))
	must(c.t, c.Log.Append(c.ctx, []connect.Message{{Topic: "t", Value: []byte("v")}}, []offsets.Entry{
		{Key: "source/a/0/pos", Pos: offsets.Position("1")},
		{Key: "source/a/0/old"}, // deletes
		{Key: "source/b/0/pos", Pos: offsets.Position("9")},
		{Key: "source/a/0/pos", Pos: offsets.Position("2")}, // the later wins
	}))
	wantEntries(c.t, c.ctx, store, "source/a/0/", offsets.Entry{Key: "source/a/0/pos", Pos: offsets.Position("2")})
	must(c.t, c.Log.Append(c.ctx, nil, []offsets.Entry{{Key: "source/a/0/pos", Pos: offsets.Position("3")}}))
	wantEntries(c.t, c.ctx, store, "source/",
		offsets.Entry{Key: "source/a/0/pos", Pos: offsets.Position("3")},
		offsets.Entry{Key: "source/b/0/pos", Pos: offsets.Position("9")})
	if _, end := c.bounds("t", 0); end != 1 {
		c.t.Fatalf("the partition ends at %d, want 1", end)
	}
}

// testAppendUnknown checks that a failed Append of an atomic log left nothing.
func testAppendUnknown(c *logCase) {
	c.create("t", 2)
	good := connect.Message{Topic: "t", Value: []byte("v")}
	for _, bad := range []connect.Message{
		{Topic: "unknown", Value: []byte("v")}, {Topic: "", Value: []byte("v")},
		{Topic: "t", Partition: 2, Value: []byte("v")}, {Topic: "t", Partition: -1, Value: []byte("v")},
	} {
		err := c.Log.Append(c.ctx, []connect.Message{good, bad}, []offsets.Entry{{Key: "k", Pos: offsets.Position("p")}})
		fails(c.t, err, fmt.Sprintf("append to %q/%d", bad.Topic, bad.Partition))
		_, _, err = c.Log.Bounds(c.ctx, bad.Topic, bad.Partition)
		fails(c.t, err, fmt.Sprintf("Bounds of %q/%d", bad.Topic, bad.Partition))
		fails(c.t, c.Log.Trim(c.ctx, bad.Topic, bad.Partition, 0), fmt.Sprintf("Trim of %q/%d", bad.Topic, bad.Partition))
		fails(c.t, c.openOrRead(connect.Cursor{Topic: bad.Topic, Partition: bad.Partition}),
			fmt.Sprintf("a reader of %q/%d", bad.Topic, bad.Partition))
	}
	if !c.Log.Atomic() {
		return
	}
	if _, end := c.bounds("t", 0); end != 0 {
		c.t.Fatalf("a failed Append left %d messages", end)
	}
	wantEntries(c.t, c.ctx, c.Log.Store(), "")
	c.append(good)
	if _, end := c.bounds("t", 0); end != 1 {
		c.t.Fatalf("after a failed Append and a good one the partition ends at %d, want 1", end)
	}
}

func testLargeMessages(c *logCase) {
	c.create("t", 2)
	large := make([]byte, 8<<20)
	for i := range large {
		large[i] = byte(i * 7 >> 3)
	}
	want := []connect.Message{
		{Topic: "t", Partition: 1, Count: 1, Value: []byte("before")},
		{Topic: "t", Partition: 1, Count: 2, Offset: 1, Key: []byte("large"), Value: large},
		{Topic: "t", Partition: 1, Count: 3, Offset: 2, Value: []byte("after")},
	}
	msgs := make([]connect.Message, len(want))
	for i := range want {
		msgs[i] = CloneMessage(&want[i])
	}
	c.append(msgs...)
	c.wantMessages(c.readN(c.reader(connect.Cursor{Topic: "t", Partition: 1}), 3, 1), want)
	c.wantMessages(c.readN(c.reader(connect.Cursor{Topic: "t", Partition: 1, Offset: 1}), 2, 64<<20), want[1:])
}

// appender is one of the goroutines of testConcurrent.
type appender struct {
	id      int
	offsets [][2]int64 // partition and offset of each message, in order
	err     error
}

// testConcurrent lets appenders share partition 0 and have one each of their
// own: offsets have no gaps, and what one appends stays in order.
func testConcurrent(c *logCase) {
	const appenders, rounds = 6, 40
	c.create("t", appenders+1)
	var wg sync.WaitGroup
	all := make([]*appender, appenders)
	for i := range all {
		all[i] = &appender{id: i}
		wg.Go(func() { all[i].run(c, rounds) })
	}
	wg.Wait()
	total := 0
	for _, a := range all {
		must(c.t, a.err)
		total += len(a.offsets)
	}
	next := make([]int, appenders)
	var cursors []connect.Cursor
	for p := range int32(appenders + 1) {
		cursors = append(cursors, connect.Cursor{Topic: "t", Partition: p})
	}
	place := make([]int64, appenders+1)
	inOwn, inShared := make([]int, appenders), make([]int, appenders)
	for _, m := range c.readN(c.reader(cursors...), total, 1<<16) {
		if m.Offset != place[m.Partition] {
			c.t.Fatalf("partition %d: offset %d after %d", m.Partition, m.Offset, place[m.Partition]-1)
		}
		place[m.Partition]++
		var id, n int
		if _, err := fmt.Sscanf(string(m.Value), "%d %d", &id, &n); err != nil {
			c.t.Fatalf("message %q: %v", m.Value, err)
		}
		seen := inOwn
		if m.Partition == 0 {
			seen = inShared
		}
		if n < seen[id] {
			c.t.Fatalf("partition %d: message %d of appender %d comes after its message %d", m.Partition, n, id, seen[id])
		}
		seen[id] = n + 1
		if got := all[id].offsets[n]; got != [2]int64{int64(m.Partition), m.Offset} {
			c.t.Fatalf("appender %d was told %v for its message %d, which is at %d@%d", id, got, n, m.Partition, m.Offset)
		}
		next[id]++
	}
	for id, n := range next {
		if n != len(all[id].offsets) {
			c.t.Fatalf("%d of %d messages of appender %d are there", n, len(all[id].offsets), id)
		}
	}
}

func (a *appender) run(c *logCase, rounds int) {
	n := 0
	for round := range rounds {
		var msgs []connect.Message
		for i := range 1 + (round+a.id)%4 {
			p := int32(0)
			if i%2 == 1 {
				p = int32(a.id + 1)
			}
			msgs = append(msgs, connect.Message{Topic: "t", Partition: p, Count: 1, Value: fmt.Appendf(nil, "%d %d", a.id, n)})
			n++
		}
		entry := offsets.Entry{Key: fmt.Sprintf("source/%d", a.id), Pos: fmt.Appendf(nil, "%d", n)}
		if a.err = c.Log.Append(c.ctx, msgs, []offsets.Entry{entry}); a.err != nil {
			return
		}
		for i := range msgs {
			a.offsets = append(a.offsets, [2]int64{int64(msgs[i].Partition), msgs[i].Offset})
		}
	}
}
