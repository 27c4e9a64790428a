package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// seekQuiet is for how long one waits for a message that should be there. A log
// whose last messages are none for readers says nothing.
const seekQuiet = 5 * time.Second

// MarksAt returns, for each partition that a sink reads, the place of the first
// message with a change from a time on; its end if there is none. Times rise in a
// topic, but for rows of copies and what several servers wrote: among such the
// place is one where what is before is earlier and what is there is not.
func (w *Worker) MarksAt(ctx context.Context, name string, at time.Time) ([]Mark, error) {
	tasks := w.of(name)
	if len(tasks) == 0 {
		return nil, nil
	}
	wants := tasks[0].wanter()
	topics, err := w.Log().Topics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	list := []Mark{}
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		if !wants(topic) {
			continue
		}
		for p := range topics[topic] {
			offset, err := firstFrom(ctx, w.Log(), partition{topic, p}, at.UnixMicro())
			if err != nil {
				return nil, fmt.Errorf("look for a time in %s/%d: %w", topic, p, err)
			}
			list = append(list, Mark{topic, p, offsets.Mark{Offset: offset}})
		}
	}
	return list, nil
}

// firstFrom searches a partition for the first message from a time on.
func firstFrom(ctx context.Context, log connect.Log, p partition, micros int64) (int64, error) {
	from, to, err := log.Bounds(ctx, p.topic, p.num)
	for err == nil && from < to {
		mid := from + (to-from)/2
		var offset, at int64
		offset, at, err = timeOf(ctx, log, p, mid, to)
		if offset < 0 || at >= micros {
			to = mid
		} else {
			from = offset + 1
		}
	}
	return from, err
}

// timeOf returns the place and the time of the first message in a range; -1 if
// there is none.
func timeOf(ctx context.Context, log connect.Log, p partition, from, to int64) (offset, micros int64, err error) {
	r, err := log.OpenReader(ctx, []connect.Cursor{{Topic: p.topic, Partition: p.num, Offset: from}})
	if err != nil {
		return -1, 0, err
	}
	defer r.Close()
	var m connect.Messages
	defer m.Reset()
	rctx, cancel := context.WithTimeout(ctx, seekQuiet)
	defer cancel()
	err = r.Read(rctx, &m, 1)
	switch {
	case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return -1, 0, nil
	case err != nil:
		return -1, 0, err
	case len(m.List) == 0 || m.List[0].Offset >= to:
		return -1, 0, nil
	}
	return m.List[0].Offset, m.List[0].Time, nil
}
