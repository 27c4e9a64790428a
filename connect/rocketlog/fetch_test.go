package rocketlog

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/rockettest"
)

// numbered makes a topic with so many partitions of n messages each, whose values
// begin with their numbers.
func numbered(t *testing.T, parts int32, n int, value func(i int) string) (*Log, []connect.Cursor) {
	t.Helper()
	l := openLog(t, options(rockettest.Shared(t)))
	check(t, l.CreateTopic(t.Context(), "t", parts))
	var msgs []connect.Message
	var from []connect.Cursor
	for p := range parts {
		for i := range n {
			msgs = append(msgs, connect.Message{Topic: "t", Partition: p, Count: 1, Value: []byte(value(i))})
		}
		from = append(from, connect.Cursor{Topic: "t", Partition: p})
	}
	check(t, l.Append(t.Context(), msgs, nil))
	check(t, l.Shown(t.Context()))
	return l, from
}

// hook has f come between readers of a partition and the broker. Who looks for a
// place asks as ever: it waits for a second, as no reader does.
func hook(t *testing.T, l *Log, partition int32, f func(ctx context.Context, place int64, most int, wait time.Duration) (*remoting.Pulled, error)) {
	t.Helper()
	q, err := l.queueOf("t", partition)
	check(t, err)
	q.take = func(ctx context.Context, place int64, most int, wait time.Duration) (*remoting.Pulled, error) {
		if wait == time.Second {
			return q.pullSome(ctx, place, most, wait)
		}
		return f(ctx, place, most, wait)
	}
}

// TestAhead: a broker that answers nothing is asked for what is behind what it has
// been asked for, as often as may be and no more; all of it comes in order. With
// the reader's end nobody is left who asks.
func TestAhead(t *testing.T) {
	const n = 1000
	l, from := numbered(t, 1, n, func(i int) string { return fmt.Sprint(i) })
	q, err := l.queueOf("t", 0)
	check(t, err)
	first := make(chan struct{}, 1)
	first <- struct{}{}
	var under, most atomic.Int32
	enough, hang := make(chan struct{}), make(chan struct{})
	var once sync.Once
	hook(t, l, 0, func(ctx context.Context, place int64, want int, wait time.Duration) (*remoting.Pulled, error) {
		defer under.Add(-1)
		if now := under.Add(1); now == aheadPulls {
			once.Do(func() { close(enough) })
		} else {
			most.Store(max(most.Load(), now))
		}
		select {
		case <-first: // says how much there is
		case <-enough:
			if place > n/2 {
				select {
				case <-hang:
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		return q.pullSome(ctx, place, want, wait)
	})
	read := func(r connect.Reader, from, to int) {
		t.Helper()
		var m connect.Messages
		defer m.Reset()
		for next := from; next < to; m.Reset() {
			check(t, r.Read(t.Context(), &m, 1<<20))
			for i := range m.List {
				if got := string(m.List[i].Value); got != fmt.Sprint(next) {
					t.Fatalf("message %d is %s", next, got)
				}
				next++
			}
		}
	}
	r, err := l.OpenReader(t.Context(), from)
	check(t, err)
	read(r, 0, n/2)
	check(t, r.Close()) // while what is ahead hangs
	if now := under.Load(); now != 0 {
		t.Errorf("%d pulls are under way behind the end of the reader", now)
	}
	if most.Load() > aheadPulls {
		t.Errorf("%d pulls were under way at a time", most.Load())
	}
	close(hang)
	r, err = l.OpenReader(t.Context(), []connect.Cursor{{Topic: "t", Offset: 17}}) // begins anew
	check(t, err)
	read(r, 17, n)
	check(t, r.Close())
}

// TestAheadShares: partitions that all have more to give share the pulls that may be
// under way.
func TestAheadShares(t *testing.T) {
	const parts, n, half = 4, 2000, 1000
	l, from := numbered(t, parts, n, func(i int) string { return fmt.Sprint(i) })
	var behind atomic.Int32
	all := make(chan struct{})
	for p := range from {
		q, err := l.queueOf("t", int32(p))
		check(t, err)
		var begun, under atomic.Int32
		hook(t, l, int32(p), func(ctx context.Context, place int64, want int, wait time.Duration) (*remoting.Pulled, error) {
			now := under.Add(1)
			defer under.Add(-1)
			if begun.Add(1) == 2 && behind.Add(1) == parts {
				close(all) // the first answer of each has said that there is more
			}
			gate := all
			switch {
			case place == 0:
				return q.pullSome(ctx, place, want, wait)
			case place >= half: // so each has more to give until the end
				gate = nil
				if now > aheadPulls/parts {
					t.Errorf("partition %d has %d pulls under way at %d", p, now, place)
				}
			}
			select {
			case <-gate:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			return q.pullSome(ctx, place, want, wait)
		})
	}
	r, err := l.OpenReader(t.Context(), from)
	check(t, err)
	defer r.Close()
	var m connect.Messages
	defer m.Reset()
	for left := parts * half; left > 0; left -= len(m.List) {
		m.Reset()
		check(t, r.Read(t.Context(), &m, 1<<20))
	}
}

// TestAheadOfLess: a broker that gives less than it is asked for and has, or
// nothing for a moment, in any order of answers, loses nothing and turns nothing
// about; nor do messages in parts, nor such that do not count.
func TestAheadOfLess(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	const parts, n = 3, 400
	value := func(i int) string {
		s := fmt.Sprint(i)
		switch {
		case i == 150:
			return s + strings.Repeat("x", 2*maxBody)
		case i%40 == 7:
			return s + strings.Repeat("x", 20_000)
		}
		return s
	}
	l, from := numbered(t, parts, n, value)
	for p := range int32(parts) {
		q, err := l.queueOf("t", p)
		check(t, err)
		_, err = q.c.client.Send(t.Context(), rockettest.Shared(t).Brokers[0].Addr, &remoting.Batch{Group: "late", Topic: q.topic, Queue: q.q, Body: bytes.Clone(q.buf)})
		check(t, err)
	}
	var more []connect.Message
	for i := n; i < 2*n; i++ {
		for p := range int32(parts) {
			more = append(more, connect.Message{Topic: "t", Partition: p, Count: 1, Value: []byte(value(i))})
		}
	}
	check(t, l.Append(t.Context(), more, nil))
	for p := range int32(parts) {
		q, err := l.queueOf("t", p)
		check(t, err)
		var mu sync.Mutex
		rnd := rand.New(rand.NewPCG(seed, uint64(p)))
		random := func(n int) int {
			mu.Lock()
			defer mu.Unlock()
			return rnd.IntN(n)
		}
		hook(t, l, p, func(ctx context.Context, place int64, want int, wait time.Duration) (*remoting.Pulled, error) {
			if err := sleep(ctx, time.Duration(random(2000))*time.Microsecond); err != nil {
				return nil, err
			}
			res, err := q.pullSome(ctx, place, want, wait)
			if err != nil || len(res.Messages) == 0 {
				return res, err
			}
			switch k := random(len(res.Messages)); random(16) {
			case 0: // what a log that is being opened or shut looks like
				res.Next, res.Messages = place+1, nil
			case 4:
				res.Messages = slices.Delete(res.Messages, k, k+1)
				if len(res.Messages) == 0 {
					res.Next = place + 1
				}
			case 1, 2, 3:
				res.Messages = res.Messages[:1+random(len(res.Messages))]
			}
			return res, nil
		})
	}
	r, err := l.OpenReader(t.Context(), from)
	check(t, err)
	defer r.Close()
	next := make([]int, parts)
	var m connect.Messages
	defer m.Reset()
	for left := parts * 2 * n; left > 0; m.Reset() {
		check(t, r.Read(t.Context(), &m, 1<<16))
		for i := range m.List {
			x := &m.List[i]
			if want := next[x.Partition]; string(x.Value) != value(want) || x.Offset != int64(want) {
				t.Fatalf("partition %d has %.20q at %d where %d should be", x.Partition, x.Value, x.Offset, want)
			}
			next[x.Partition]++
			left--
		}
	}
}
