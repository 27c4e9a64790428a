package rocketlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/rockettest"
)

// hide has the broker pass over messages in the next answers that have any, as it
// does while it opens or shuts its files: all of them, the first, and one in the
// middle.
func hide(q *queue) {
	var hidden int
	q.take = func(ctx context.Context, place int64, most int, wait time.Duration) (*remoting.Pulled, error) {
		res, err := q.pullSome(ctx, place, most, wait)
		if err != nil || len(res.Messages) == 0 || hidden == 3 {
			return res, err
		}
		switch hidden++; hidden {
		case 1:
			res.Next, res.Messages = res.Messages[len(res.Messages)-1].Offset+1, nil
		case 2:
			if res.Messages = res.Messages[1:]; len(res.Messages) == 0 {
				res.Next = place + 1
			}
		case 3:
			if k := len(res.Messages) / 2; k > 0 {
				res.Messages = slices.Delete(res.Messages, k, k+1)
			}
		}
		return res, nil
	}
}

// TestHiddenFromWriter: who looks for what has landed of a request without an
// answer, and is not shown it for a moment, must not write it again, nor give out
// its offsets again.
func TestHiddenFromWriter(t *testing.T) {
	o := options(rockettest.Shared(t))
	l := openLog(t, o)
	check(t, l.CreateTopic(t.Context(), "t", 1))
	q, err := l.queueOf("t", 0)
	check(t, err)
	var want []string
	for i := range 5 {
		check(t, l.Append(t.Context(), text("t", fmt.Sprint(i)), nil))
		want = append(want, fmt.Sprint(i))
	}
	q.post = func(ctx context.Context) (int64, error) {
		q.post = q.request
		if _, err := q.request(ctx); err != nil {
			return 0, err
		}
		// It has landed, and readers get it: only then is there what can be hidden.
		for end := int64(0); end < 10; {
			if end, err = q.end(ctx); err != nil {
				return 0, err
			}
		}
		hide(q)
		return 0, errors.New("the answer is lost")
	}
	batch := text("t", "5")
	for i := 6; i < 10; i++ {
		batch = append(batch, text("t", fmt.Sprint(i))...)
	}
	check(t, l.Append(t.Context(), batch, nil))
	for i := 5; i < 10; i++ {
		if got := batch[i-5].Offset; got != int64(i) {
			t.Errorf("message %d has offset %d", i, got)
		}
		want = append(want, fmt.Sprint(i))
	}
	check(t, l.Append(t.Context(), text("t", "10"), nil))
	want = append(want, "10")
	other := openLog(t, o)
	if got := readFrom(t, other, "t", 0, 11); !slices.Equal(got, want) {
		t.Errorf("there is %q", got)
	}
	if first, end, err := other.Bounds(t.Context(), "t", 0); first != 0 || end != 11 || err != nil {
		t.Errorf("the bounds are %d, %d, %v", first, end, err)
	}
}

// TestHiddenFromReader: bounds, the place of an offset, and what is read from there
// are right though some of it is not shown for a moment.
func TestHiddenFromReader(t *testing.T) {
	o := options(rockettest.Shared(t))
	writer := openLog(t, o)
	check(t, writer.CreateTopic(t.Context(), "t", 1))
	const n = 200
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	batch := text("t", "0")
	for _, v := range want[1:] {
		batch = append(batch, text("t", v)...)
	}
	check(t, writer.Append(t.Context(), batch, nil))
	check(t, writer.Shown(t.Context()))
	for _, what := range []string{"end", "first", "offset", "read"} {
		l := openLog(t, o)
		q, err := l.queueOf("t", 0)
		check(t, err)
		if what != "end" { // it has been looked for
			_, _, err := l.Bounds(t.Context(), "t", 0)
			check(t, err)
		}
		hide(q)
		switch what {
		case "end", "first":
			if first, end, err := l.Bounds(t.Context(), "t", 0); first != 0 || end != n || err != nil {
				t.Errorf("%s: the bounds are %d, %d, %v", what, first, end, err)
			}
		case "offset":
			if place, err := q.locate(t.Context(), 100); place != 100 || err != nil {
				t.Errorf("offset 100 is at place %d: %v", place, err)
			}
		case "read":
			if got := readFrom(t, l, "t", 0, n); !slices.Equal(got, want) {
				t.Errorf("there is %.100s", strings.Join(got, " "))
			}
		}
		check(t, l.Close())
	}
}
