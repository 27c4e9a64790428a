package rocketlog

import (
	"context"
	"fmt"
	"time"

	"github.com/towline/towline/connect"
)

// longPoll is how long a broker holds a pull that finds nothing.
const longPoll = 5 * time.Second

// bounds returns the first offset of a partition and its next.
func (q *queue) bounds(ctx context.Context) (first, end int64, err error) {
	if err := q.acquire(ctx); err != nil {
		return 0, 0, err
	}
	defer q.release()
	if err := q.catchUp(ctx); err != nil {
		return 0, 0, err
	}
	low, err := q.first(ctx)
	if err != nil || low == 0 {
		return 0, q.offset, err
	}
	s, ok, err := q.validFrom(ctx, low)
	if err != nil || !ok {
		return q.offset, q.offset, err
	}
	return s.offset, q.offset, nil
}

// validFrom returns the first message that counts at a place or behind it,
// before the known end. The queue is acquired.
func (q *queue) validFrom(ctx context.Context, place int64) (s stamp, ok bool, err error) {
	since := time.Now()
	for place < q.place {
		res, err := q.pull(ctx, place, time.Second)
		if err != nil {
			return s, false, err
		}
		list, gone, _ := q.inSight(res, place)
		before := place
		for i := range list {
			m := &list[i]
			if m.Offset < place {
				continue
			}
			if s, ok = stampOf(m, q.writer); !ok {
				return s, false, damaged(q.topic, q.q, m.Offset, errForeign)
			}
			if s.valid() {
				return s, true, nil
			}
			place = m.Offset + 1
		}
		if gone {
			place = res.Next
		}
		if place > before {
			since = time.Now()
		} else if err := q.stall(ctx, since, q.place); err != nil {
			return s, false, err
		}
	}
	return s, false, nil
}

// locate returns the place of the message with an offset. Places minus offsets
// never fall, so a search by halves finds it; where no message was ever
// repeated, late or split, the first look does.
func (q *queue) locate(ctx context.Context, offset int64) (place int64, err error) {
	if err := q.acquire(ctx); err != nil {
		return 0, err
	}
	defer q.release()
	if err := q.catchUp(ctx); err != nil {
		return 0, err
	}
	if offset == q.offset {
		return q.place, nil
	}
	low, err := q.first(ctx)
	if err != nil {
		return 0, err
	}
	lost := func(first int64) error {
		return fmt.Errorf("rocketlog: read %s at offset %d, which is not in %d to %d: %w", q.name(), offset, first, q.offset, connect.ErrPositionLost)
	}
	if offset < 0 || offset > q.offset {
		return 0, lost(low)
	}
	low = max(low, offset)
	for high := max(low, q.place-(q.offset-offset)); low < high; {
		mid := low + (high-low)/2
		s, ok, err := q.validFrom(ctx, mid)
		if err != nil {
			return 0, err
		}
		if ok && s.offset < offset {
			low = s.ofPlace + 1
		} else {
			high = mid
		}
	}
	s, ok, err := q.validFrom(ctx, low)
	if err != nil {
		return 0, err
	}
	if !ok || s.offset != offset || s.part != 0 {
		return 0, lost(s.offset)
	}
	return s.ofPlace, nil
}
