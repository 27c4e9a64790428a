package rocketlog

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/offsets"
)

// kills is how often a broker is killed: TOWLINE_KILLS, or once.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("TOWLINE_KILLS")); err == nil {
		return n
	}
	return 1
}

// TestBrokersDie kills brokers while messages are appended, entries saved and
// all of it is read: every message must be there once, in order.
func TestBrokersDie(t *testing.T) {
	c := rockettest.Start(t, rockettest.Config{Brokers: 2})
	o := options(c)
	l := openLog(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(6+3*kills())*time.Minute)
	defer cancel()
	const parts = 4
	check(t, l.CreateTopic(ctx, "t", parts))
	for p, want := range []string{"a/0", "b/0", "a/1", "b/1"} {
		q, err := l.queueOf("t", int32(p))
		check(t, err)
		if got := fmt.Sprintf("%s/%d", q.q.Broker, q.q.ID); got != want {
			t.Fatalf("partition %d is queue %s, want %s", p, got, want)
		}
	}

	var appended atomic.Int64 // rounds
	var stop atomic.Bool
	wrote := make(chan error, 1)
	go func() {
		wrote <- func() error {
			for i := int64(0); !stop.Load(); i++ {
				var msgs []connect.Message
				for p := range int32(parts) {
					for range 20 {
						msgs = append(msgs, connect.Message{Topic: "t", Partition: p, Count: 1, Value: fmt.Appendf(nil, "%d", i*20+int64(len(msgs)%20))})
					}
				}
				if err := l.Append(ctx, msgs, []offsets.Entry{{Key: "pos", Pos: fmt.Append(nil, i)}}); err != nil {
					return err
				}
				appended.Store(i + 1)
			}
			return nil
		}()
	}()
	await := func(more int64) {
		for target := appended.Load() + more; appended.Load() < target; {
			select {
			case err := <-wrote:
				t.Fatal(err)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	await(20)
	for i := range kills() {
		b := c.Brokers[i%len(c.Brokers)] // the first one has the entries, too
		check(t, b.Kill())
		check(t, b.Start(ctx))
		await(20)
	}
	stop.Store(true)
	check(t, <-wrote)

	again := openLog(t, o) // another process sees the same
	for _, l := range []*Log{l, again} {
		wantAll(t, ctx, l, parts, appended.Load()*20)
		got, err := l.Store().Load(ctx, "pos")
		check(t, err)
		if len(got) != 1 || string(got[0].Pos) != fmt.Sprint(appended.Load()-1) {
			t.Errorf("the position is %q after %d rounds", got, appended.Load())
		}
	}
}

// wantAll reads all partitions, which must hold the numbers below n in order.
func wantAll(t *testing.T, ctx context.Context, l *Log, parts int32, n int64) {
	t.Helper()
	var from []connect.Cursor
	for p := range parts {
		from = append(from, connect.Cursor{Topic: "t", Partition: p})
	}
	r, err := l.OpenReader(ctx, from)
	check(t, err)
	defer r.Close()
	next := make([]int64, parts)
	var m connect.Messages
	for left := n * int64(parts); left > 0; {
		m.Reset()
		check(t, r.Read(ctx, &m, 1<<20))
		for i := range m.List {
			x := &m.List[i]
			if string(x.Value) != fmt.Sprint(next[x.Partition]) || x.Offset != next[x.Partition] {
				t.Fatalf("partition %d has %q at %d where %d should be", x.Partition, x.Value, x.Offset, next[x.Partition])
			}
			next[x.Partition]++
			left--
		}
	}
	for p := range parts {
		if first, end, err := l.Bounds(ctx, "t", p); first != 0 || end != n || err != nil {
			t.Errorf("partition %d has the bounds %d, %d, %v, want 0, %d", p, first, end, err, n)
		}
	}
}
