package worker

import (
	"context"
	"time"

	"github.com/towline/towline/connect"
)

// While a source is behind and its records go to many partitions, units are
// encoded together: a message of a few records costs nearly as much as one of
// many, here, in the log and for all who read it.
const (
	gatherUnits = sourceUnits / 2       // the most units that are encoded together: the others are read meanwhile
	gatherBytes = 4 << 20               // with more in their batches no more are waited for
	gatherTime  = 10 * time.Millisecond // how long they are waited for in all
	gatherAge   = time.Second           // records that were committed so long ago are behind: more is certain to come
	// gatherRest is how many units are encoded alone after it was no use; it
	// doubles each time, up to maxGatherRest.
	gatherRest    = 16
	maxGatherRest = 512
)

// gatherer decides which units are encoded together.
type gatherer struct {
	full  int  // size of messages that gain nothing by more records; 0: all of them are
	small bool // the last messages were smaller
	alone int  // messages of the last unit that was encoded alone
	rest  rest // while it is no use
	wait  *time.Timer
	joint connect.Batch // the records of several units
}

// rest is for how many units something is left alone.
type rest struct{ left, period int }

// newGatherer returns the gatherer for a converter.
func newGatherer(c connect.Converter) *gatherer {
	g := &gatherer{wait: time.NewTimer(gatherTime)}
	g.wait.Stop()
	if p, ok := c.(connect.Packer); ok {
		g.full = p.FullSize()
	}
	return g
}

// gather adds units to u.more that are to be encoded together with u.
func (g *gatherer) gather(ctx context.Context, u *sourceUnit, in <-chan *sourceUnit) {
	if !g.small || u.last || !u.behind() {
		return
	}
	if g.rest.left > 0 {
		g.rest.left--
		return
	}
	g.wait.Reset(gatherTime)
	defer g.wait.Stop()
	for size := u.batch.Size(); len(u.more)+1 < gatherUnits && size < gatherBytes; {
		select {
		case v, ok := <-in:
			if !ok {
				return
			}
			u.more = append(u.more, v)
			if v.last || !v.behind() {
				return
			}
			size += v.batch.Size()
		case <-g.wait.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// behind reports whether more is certain to come after u.
func (u *sourceUnit) behind() bool {
	n := len(u.batch.Records)
	return n > 0 && time.Since(time.UnixMicro(u.batch.Records[n-1].Time)) > gatherAge
}

// learn takes note of what messages became of u, and whether units that went
// together made fewer of them than each alone: where each has other partitions
// they do not.
func (g *gatherer) learn(u *sourceUnit) {
	n := len(u.msgs.List)
	g.small = n > 1 && u.msgs.Size() < n*g.full
	switch {
	case len(u.more) == 0:
		g.alone = n
	case 4*n > 3*g.alone*(1+len(u.more)):
		g.rest.period = min(max(2*g.rest.period, gatherRest), maxGatherRest)
		g.rest.left = g.rest.period
	default:
		g.rest.period = 0
	}
}

// encode makes u's messages of the records of u and the units that go with it.
func (g *gatherer) encode(c connect.Converter, u *sourceUnit) error {
	defer g.joint.Reset()
	g.join(&u.batch)
	for _, v := range u.more {
		g.join(&v.batch)
	}
	return c.Encode(&u.msgs, &g.joint)
}

func (g *gatherer) join(b *connect.Batch) {
	g.joint.Room(len(b.Records))
	g.joint.Records = append(g.joint.Records, b.Records...)
}

// spread appends to all the units of groups, one by one.
func spread(all, groups []*sourceUnit) []*sourceUnit {
	for _, u := range groups {
		all = append(append(all, u), u.more...)
		clear(u.more)
		u.more = u.more[:0]
	}
	return all
}
