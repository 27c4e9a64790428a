package worker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/towline/towline/offsets"
)

// After a kill between a commit of the target and the save of its position here, the
// position is that of the target as soon as the task is opened again, also where
// nothing more comes: other workers wait by what is saved.
func TestWhatTheTargetHasIsSaved(t *testing.T) {
	g := newRig(t, 1, true, false)
	g.faults.end()
	sink := map[string]string{"lanes": "2"}
	g.run(sink, 0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w := g.worker(sink)
	want, err := w.savedMarks(ctx, "dst")
	if err != nil || len(want) == 0 {
		t.Fatal(want, err)
	}
	for p, m := range want {
		back := offsets.Mark{Offset: m.Offset - 1}
		if err := g.log.Store().Save(ctx, offsets.Entry{Key: offsets.SinkKey("dst") + offsets.MarkKey(p.topic, p.num), Pos: back.Position()}); err != nil {
			t.Fatal(err)
		}
	}
	rctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.Run(rctx) }()
	for {
		got, err := w.savedMarks(ctx, "dst")
		if err != nil {
			t.Fatalf("%v; the target is at %v", err, want)
		}
		if fmt.Sprint(got) == fmt.Sprint(want) {
			break
		}
		if !sleep(ctx, 5*time.Millisecond) {
			t.Errorf("%v is saved, and the target is at %v", got, want)
			break
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	g.check(true)
}
