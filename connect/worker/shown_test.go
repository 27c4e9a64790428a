package worker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/offsets"
)

// groupLog is a log whose servers keep how far readers are.
type groupLog struct {
	connect.Log
	told []connect.Cursor
	err  error
}

func (l *groupLog) CommitGroup(ctx context.Context, _ string, at []connect.Cursor) error {
	l.told = append(l.told, at...)
	return errors.Join(l.err, context.Cause(ctx))
}

// TestShown: a task tells servers of its own partitions and of no others, and that
// they cannot be told is no news where the task was cut off.
func TestShown(t *testing.T) {
	l := &groupLog{Log: memlog.New()}
	defer l.Close()
	for topic, n := range map[string]int32{"a": 4, "b": 1, "dead": 1} {
		if err := l.CreateTopic(t.Context(), topic, n); err != nil {
			t.Fatal(err)
		}
	}
	mark := offsets.Mark{Offset: 7}
	starts := map[partition]offsets.Mark{{"dead", 0}: mark, {"dead", 1}: mark, {"b", 0}: mark, {"gone", 0}: mark, {"a", 9}: mark}
	for i := range int32(4) {
		starts[partition{"a", i}] = offsets.Mark{Offset: int64(i)}
	}
	var logged bytes.Buffer
	var all []connect.Cursor
	for task := range 2 {
		l.told = nil
		s := newShown(t.Context(), &sinkTask{id: taskID{connector: "c", task: task}, log: l, lanes: 1, starts: []map[partition]offsets.Mark{starts}, deadTopic: "dead",
			wants: func(topic string) bool { return topic != "b" }, shares: &shares{tasks: 2, owners: map[string][]int32{}}, logger: slog.New(slog.NewTextHandler(&logged, nil))})
		if len(l.told) != 2 {
			t.Errorf("task %d tells of %v", task, l.told)
		}
		all = append(all, l.told...)
		for k := range s.due {
			t.Errorf("%s is still to be told", k)
		}

		s.due[offsets.MarkKey("dead", 1)] = mark.Position()
		s.due[offsets.MarkKey("a", 0)] = mark.Position()
		l.told = nil
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.end(ctx)
		if len(l.told) != 1 || l.told[0] != (connect.Cursor{Topic: "a", Offset: 7}) {
			t.Errorf("it tells of %v", l.told)
		}
		if logged.Len() > 0 {
			t.Errorf("a task that was cut off says %s", &logged)
		}
		l.err = errors.New("away")
		s.end(t.Context())
		s.end(t.Context())
		if strings.Count(logged.String(), "away") != 1 {
			t.Errorf("of servers that are away it says %q", &logged)
		}
		l.err = nil
		logged.Reset()
	}
	slices.SortFunc(all, func(a, b connect.Cursor) int { return int(a.Partition - b.Partition) })
	for i, c := range all {
		if c != (connect.Cursor{Topic: "a", Partition: int32(i), Offset: int64(i)}) {
			t.Errorf("both tell of %v", all)
		}
	}
}
