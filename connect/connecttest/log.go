package connecttest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// LogHarness is one fresh, empty log under test. The suite closes it.
type LogHarness struct {
	Log connect.Log
	// Reopen closes the log and opens it again on the same data. A log that
	// lives in memory returns itself.
	Reopen func(t *testing.T) connect.Log
	// LooseTrim: Trim may keep some of the messages before the offset.
	LooseTrim bool
}

// logCase is a test of the suite and what it needs.
type logCase struct {
	LogHarness
	t   *testing.T
	ctx context.Context
}

// TestLog checks that the logs which open returns keep the contract of
// connect.Log, their store included.
func TestLog(t *testing.T, open func(t *testing.T) LogHarness) {
	for _, c := range []struct {
		name string
		run  func(c *logCase)
	}{
		{"CreateTopic", testCreateTopic},
		{"ReadBack", testReadBack},
		{"Source", testSource},
		{"Offsets", testOffsets},
		{"TopicsApart", testTopicsApart},
		{"AppendCopies", testAppendCopies},
		{"AppendEntries", testAppendEntries},
		{"AppendUnknown", testAppendUnknown},
		{"LargeMessages", testLargeMessages},
		{"ReadTurns", testReadTurns},
		{"ReadMaxBytes", testReadMaxBytes},
		{"ReadAppends", testReadAppends},
		{"ReadWakes", testReadWakes},
		{"ReadCancelled", testReadCancelled},
		{"ReadClosed", testReadClosed},
		{"PositionLost", testPositionLost},
		{"Trim", testTrim},
		{"TrimBesideReader", testTrimBesideReader},
		{"Concurrent", testConcurrent},
		{"Reopen", testReopen},
		{"Closed", testClosed},
		{"Model", testLogModel},
	} {
		t.Run(c.name, func(t *testing.T) {
			lc := &logCase{LogHarness: open(t), t: t, ctx: deadline(t)}
			t.Cleanup(func() { lc.Log.Close() }) // a case may have closed it
			c.run(lc)
		})
	}
	t.Run("Store", func(t *testing.T) {
		TestStore(t, func(t *testing.T) StoreHarness {
			h := open(t)
			t.Cleanup(func() { h.Log.Close() })
			return StoreHarness{Store: h.Log.Store(), Reopen: func(t *testing.T) offsets.Store {
				h.Log = h.Reopen(t)
				return h.Log.Store()
			}}
		})
	})
}

// create makes a topic.
func (c *logCase) create(topic string, partitions int32) {
	c.t.Helper()
	must(c.t, c.Log.CreateTopic(c.ctx, topic, partitions))
}

// append appends messages.
func (c *logCase) append(msgs ...connect.Message) {
	c.t.Helper()
	must(c.t, c.Log.Append(c.ctx, msgs, nil))
}

// bounds returns the bounds of a partition.
func (c *logCase) bounds(topic string, partition int32) (first, end int64) {
	c.t.Helper()
	first, end, err := c.Log.Bounds(c.ctx, topic, partition)
	must(c.t, err)
	return first, end
}

// reader opens a reader that is closed at the end of the test.
func (c *logCase) reader(from ...connect.Cursor) connect.Reader {
	c.t.Helper()
	r, err := c.Log.OpenReader(c.ctx, from)
	must(c.t, err)
	c.t.Cleanup(func() { r.Close() })
	return r
}

// readN reads until n messages are there, or fails.
func (c *logCase) readN(r connect.Reader, n, maxBytes int) []connect.Message {
	c.t.Helper()
	var all []connect.Message
	var m connect.Messages
	for len(all) < n {
		m.Reset()
		if err := r.Read(c.ctx, &m, maxBytes); err != nil {
			c.t.Fatalf("read after %d of %d messages: %v", len(all), n, err)
		}
		if len(m.List) == 0 {
			c.t.Fatal("Read returned nil without a message")
		}
		for i := range m.List {
			all = append(all, CloneMessage(&m.List[i]))
		}
	}
	if len(all) > n {
		c.t.Fatalf("read %d messages of %d", len(all), n)
	}
	return all
}

// CloneMessage returns m with memory of its own.
func CloneMessage(m *connect.Message) connect.Message {
	c := *m
	c.Key, c.Value, c.Headers = bytes.Clone(m.Key), bytes.Clone(m.Value), slices.Clone(m.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return c
}

// DiffMessages returns how got differs from want, "" if it does not. A nil
// Value is a tombstone and differs from an empty one; Keys and the values of
// Headers are compared by content.
func DiffMessages(got, want *connect.Message) string {
	switch {
	case got.Topic != want.Topic || got.Partition != want.Partition || got.Offset != want.Offset:
		return fmt.Sprintf("place is %s/%d@%d, want %s/%d@%d",
			got.Topic, got.Partition, got.Offset, want.Topic, want.Partition, want.Offset)
	case got.Count != want.Count:
		return fmt.Sprintf("count is %d, want %d", got.Count, want.Count)
	case got.Time != want.Time:
		return fmt.Sprintf("time is %d, want %d", got.Time, want.Time)
	case !bytes.Equal(got.Key, want.Key):
		return fmt.Sprintf("key is %.60q, want %.60q", got.Key, want.Key)
	case (got.Value == nil) != (want.Value == nil):
		return fmt.Sprintf("tombstone is %v, want %v", got.Value == nil, want.Value == nil)
	case !bytes.Equal(got.Value, want.Value):
		return fmt.Sprintf("value is %.60q (%d bytes), want %.60q (%d bytes)", got.Value, len(got.Value), want.Value, len(want.Value))
	}
	return diffHeaders(got.Headers, want.Headers)
}

func diffHeaders(got, want []connect.Header) string {
	same := func(a, b connect.Header) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }
	if !slices.EqualFunc(got, want, same) {
		return fmt.Sprintf("headers are %.200q, want %.200q", got, want)
	}
	return ""
}

// wantMessages compares runs of messages.
func (c *logCase) wantMessages(got, want []connect.Message) {
	c.t.Helper()
	if len(got) != len(want) {
		c.t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i := range got {
		if d := DiffMessages(&got[i], &want[i]); d != "" {
			c.t.Fatalf("message %d: %s", i, d)
		}
	}
}

func testCreateTopic(c *logCase) {
	topics, err := c.Log.Topics(c.ctx)
	must(c.t, err)
	if len(topics) != 0 {
		c.t.Fatalf("a new log has topics %v", topics)
	}
	c.create("orders", 3)
	c.create("orders", 3) // the same again is nothing
	c.create("shop.items", 1)
	fails(c.t, c.Log.CreateTopic(c.ctx, "orders", 4), "another number of partitions")
	fails(c.t, c.Log.CreateTopic(c.ctx, "none", 0), "a topic without partitions")
	fails(c.t, c.Log.CreateTopic(c.ctx, "none", -1), "a topic with -1 partitions")
	fails(c.t, c.Log.CreateTopic(c.ctx, "", 1), "a topic without a name")
	topics, err = c.Log.Topics(c.ctx)
	must(c.t, err)
	if want := map[string]int32{"orders": 3, "shop.items": 1}; !maps.Equal(topics, want) {
		c.t.Fatalf("topics %v, want %v", topics, want)
	}
	made := c.Log.TopicsMade()
	c.create("orders", 3)
	select {
	case <-made:
		c.t.Fatal("TopicsMade tells of a topic that was there")
	default:
	}
	c.create("more", 1)
	select {
	case <-made:
	case <-c.ctx.Done():
		c.t.Fatal("TopicsMade does not tell of a new topic")
	}
	for p := range int32(3) {
		if first, end := c.bounds("orders", p); first != 0 || end != 0 {
			c.t.Fatalf("a new partition has the bounds %d, %d", first, end)
		}
	}
}
