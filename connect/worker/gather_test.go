package worker

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/offsets"
)

// unitOf is a unit of one record of that age.
func unitOf(age time.Duration) *sourceUnit {
	u := new(sourceUnit)
	u.batch.Add().Time = time.Now().Add(-age).UnixMicro()
	return u
}

// Units go together while they are old and the messages small, up to a limit,
// and none is waited for else.
func TestGather(t *testing.T) {
	const old = 2 * gatherAge
	for _, c := range []struct {
		name  string
		small bool
		ages  []time.Duration // of units; the first is at hand, the others wait
		size  int             // of each
		want  int             // that go with the first
	}{
		{"none wait", true, []time.Duration{old}, 0, 0},
		{"some wait", true, []time.Duration{old, old, old}, 0, 2},
		{"many wait", true, make([]time.Duration, 2*gatherUnits), 0, gatherUnits - 1},
		{"large ones", true, []time.Duration{old, old, old, old, old}, gatherBytes / 2, 1},
		{"the messages are large", false, []time.Duration{old, old}, 0, 0},
		{"not behind", true, []time.Duration{0, old}, 0, 0},
		{"not behind any more", true, []time.Duration{old, 0, old}, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := make(chan *sourceUnit, len(c.ages))
			for _, age := range c.ages {
				if c.name == "many wait" {
					age = old
				}
				u := unitOf(age)
				u.batch.Grow(c.size)
				in <- u
			}
			g := newGatherer(new(frame.Converter))
			g.small = c.small
			u := <-in
			g.gather(t.Context(), u, in)
			if len(u.more) != c.want || len(in) != len(c.ages)-1-c.want {
				t.Errorf("%d units go with the first and %d wait, want %d and %d", len(u.more), len(in), c.want, len(c.ages)-1-c.want)
			}
		})
	}
}

// What is learned of messages: many small ones of a converter that packs.
func TestGatherLearns(t *testing.T) {
	for _, c := range []struct {
		messages, bytes int
		want            bool
	}{{0, 0, false}, {1, 100, false}, {2, 100, true}, {2, 1 << 20, false}} {
		u := new(sourceUnit)
		for range c.messages {
			u.msgs.Add()
		}
		u.msgs.Alloc(c.bytes)
		g := newGatherer(new(frame.Converter))
		if g.learn(u); g.small != c.want {
			t.Errorf("%d messages of %d bytes: small is %v", c.messages, c.bytes, g.small)
		}
		if g = newGatherer(new(picky)); g.small {
			t.Error("a converter that does not pack has small messages")
		}
		if g.learn(u); g.small {
			t.Errorf("%d messages of a converter that does not pack are to be gathered", c.messages)
		}
	}
}

// Units that make as many messages together as alone are left alone for a while,
// and longer the next time; until it is of use again.
func TestGatherRests(t *testing.T) {
	g := newGatherer(new(frame.Converter))
	took := func(messages, together int) {
		u := new(sourceUnit)
		for range messages {
			u.msgs.Add()
		}
		for range together - 1 {
			u.more = append(u.more, new(sourceUnit))
		}
		g.learn(u)
	}
	alone := func() (n int) {
		for {
			in := make(chan *sourceUnit, 1)
			in <- unitOf(2 * gatherAge)
			u := unitOf(2 * gatherAge)
			if g.gather(t.Context(), u, in); len(u.more) > 0 {
				return n
			}
			took(10, 1)
			n++
		}
	}
	took(10, 1)
	for _, c := range []struct{ messages, want int }{{20, gatherRest}, {16, 2 * gatherRest}, {15, 0}, {10, 0}, {20, gatherRest}} {
		took(c.messages, 2)
		if n := alone(); n != c.want {
			t.Errorf("after %d messages of two units, of ten each alone, %d go alone, want %d", c.messages, n, c.want)
		}
	}
	for range 20 {
		took(20, 2)
	}
	if n := alone(); n != maxGatherRest {
		t.Errorf("%d go alone in the end, want %d", n, maxGatherRest)
	}
}

// picky is a converter of frames that refuses every seventh change, and does
// not say that it packs.
type picky struct{ frames frame.Converter }

func (p *picky) Encode(dst *connect.Messages, b *connect.Batch) error {
	var refused connect.BatchError
	for i := range b.Records {
		if b.Records[i].Seq%7 == 0 {
			refused.Failed = append(refused.Failed, connect.RecordError{Index: i, Err: errInjected})
		}
	}
	if err := p.frames.Encode(dst, b); err != nil || refused.Failed == nil {
		return err
	}
	return &refused
}

func (p *picky) Decode(dst *connect.Batch, src []connect.Message) error {
	return p.frames.Decode(dst, src)
}

// Units that were encoded together come to the log as if each had been alone, in
// order, but for what cannot be encoded: that becomes dead letters, once.
func TestGatheredUnitsAreWhole(t *testing.T) {
	for _, converter := range []connect.Converter{new(frame.Converter), new(picky)} {
		dead := &deadLetters{topic: "dead", log: memlog.New(), converter: new(frame.Converter), meter: newMeter(NewMetrics(prometheus.NewRegistry()), taskID{})}
		task := &sourceTask{converter: converter, dead: dead, chain: &chain{}}
		task.building = newStages().track(stageBuildWait)
		table := tables(t)[0]
		seq := uint64(0)
		unit := func() *sourceUnit {
			u := unitOf(2 * gatherAge)
			u.batch.Records = u.batch.Records[:0]
			for range 10 {
				seq++
				r := u.batch.Add()
				r.Op, r.Seq, r.Table, r.Topic, r.Partition = connect.OpInsert, seq, table, "t", int32(seq%3)
				r.After = u.batch.NewRow(2)
			}
			u.batch.Pos, u.seq = offsets.Position{byte(seq)}, seq
			return u
		}
		u := unit()
		u.more = []*sourceUnit{unit(), unit()}
		if err := task.encode(t.Context(), newGatherer(converter), u); err != nil {
			t.Fatal(err)
		}
		var got connect.Batch
		if err := converter.Decode(&got, u.msgs.List); err != nil {
			t.Fatal(err)
		}
		last, refused := map[int32]uint64{}, 0
		for i := range got.Records {
			r := &got.Records[i]
			if r.Seq <= last[r.Partition] {
				t.Errorf("change %d comes after %d", r.Seq, last[r.Partition])
			}
			last[r.Partition] = r.Seq
		}
		if _, ok := converter.(*picky); ok {
			refused = int(seq) / 7
		}
		if n := len(got.Records); n != int(seq)-refused || dead.meter.totals().Dead != int64(refused) {
			t.Errorf("%d of %d changes are there and %d are dead letters, want %d dead", n, seq, dead.meter.totals().Dead, refused)
		}
		if n := len(u.batch.Records) + len(u.more[0].batch.Records) + len(u.more[1].batch.Records); n != len(got.Records) {
			t.Errorf("the batches count %d changes, the messages have %d", n, len(got.Records))
		}
		checkSpread(t, task, u)
	}
}

// checkSpread: the last position and Seq of what goes together is saved, with
// all the messages.
func checkSpread(t *testing.T, task *sourceTask, u *sourceUnit) {
	t.Helper()
	units := spread(nil, []*sourceUnit{u})
	msgs, entries := task.collect(units, nil, nil)
	if len(units) != 3 || len(u.more) != 0 || len(msgs) != len(u.msgs.List) {
		t.Errorf("%d units, of which %d are still with the first, and %d messages", len(units), len(u.more), len(msgs))
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Key, posKey) && e.Pos[0] != 30 {
			t.Errorf("position %d", e.Pos[0])
		}
		if strings.HasSuffix(e.Key, seqKey) && e.Pos[0] != 30 {
			t.Errorf("Seq %d", e.Pos[0])
		}
	}
	if len(entries) != 2 {
		t.Errorf("%d entries", len(entries))
	}
}
