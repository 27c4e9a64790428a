package worker

import (
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/offsets"
)

// What a sink has not done is counted once in a while, however often it is
// asked for.
func TestBehindIsCountedNowAndThen(t *testing.T) {
	ctx, log, p := t.Context(), memlog.New(), newProgress()
	if err := log.CreateTopic(ctx, "t", 2); err != nil {
		t.Fatal(err)
	}
	p.begin(partition{"t", 0}, offsets.Mark{})
	p.begin(partition{"t", 1}, offsets.Mark{})
	var b behind
	add := func() {
		if err := log.Append(ctx, []connect.Message{{Topic: "t", Value: []byte{1}}, {Topic: "t", Partition: 1, Value: []byte{1}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	add()
	if n := sum(b.count(ctx, log, p)); n != 2 {
		t.Errorf("%d messages behind, want 2", n)
	}
	add()
	b.at = b.at.Add(1 << 50) // now, for the next weeks
	if n := sum(b.count(ctx, log, p)); n != 2 {
		t.Errorf("%d messages behind, want the 2 of a moment ago", n)
	}
	b.at = b.at.Add(-1<<50 - countEvery)
	if n := sum(b.count(ctx, log, p)); n != 4 {
		t.Errorf("%d messages behind, want 4", n)
	}
}
