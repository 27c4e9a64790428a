package rocketlog

import (
	"errors"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/offsets"
)

// TestAlone: while one has a namespace no other gets it; what it gives back is
// free at once.
func TestAlone(t *testing.T) {
	o := options(rockettest.Shared(t))
	o.Alone, o.leaseWait = true, time.Millisecond
	one := openLog(t, o)
	if l, err := Open(t.Context(), o); !errors.Is(err, ErrTaken) {
		t.Fatalf("a second one gets %v, %v", l, err)
	}
	other := o
	other.Namespace = "n" + o.Namespace[2:] + "x"
	openLog(t, other) // is another matter
	check(t, one.Close())
	two := openLog(t, o)
	check(t, two.Store().Save(t.Context(), offsets.Entry{Key: "k", Pos: offsets.Position("1")}))
}

// TestTaken: who finds that another has its namespace does nothing any more.
func TestTaken(t *testing.T) {
	o := options(rockettest.Shared(t))
	o.Alone = true
	l := openLog(t, o)
	check(t, l.CreateTopic(t.Context(), "t", 1))
	r, err := l.OpenReader(t.Context(), []connect.Cursor{{Topic: "t"}})
	check(t, err)
	defer r.Close()
	// The broker has lost its leases, and another has been faster.
	addr, err := l.c.addr(t.Context(), l.state.q.q.Broker)
	check(t, err)
	for ok := false; !ok; { // it may be renewed between the two
		check(t, l.c.client.Release(t.Context(), addr, l.namespace, l.writer, l.state.q.topic, l.state.q.q))
		ok, err = l.c.client.Lease(t.Context(), addr, l.namespace, "another", l.state.q.topic, l.state.q.q)
		check(t, err)
	}
	var m connect.Messages
	if err := r.Read(t.Context(), &m, 1); !errors.Is(err, ErrTaken) { // waits until that is noticed
		t.Errorf("a read gives %v", err)
	}
	if err := l.Append(t.Context(), text("t", "one"), nil); !errors.Is(err, ErrTaken) {
		t.Errorf("an append gives %v", err)
	}
	if err := l.Store().Save(t.Context(), offsets.Entry{Key: "k"}); !errors.Is(err, ErrTaken) {
		t.Errorf("a save gives %v", err)
	}
	if !errors.Is(l.Err(), ErrTaken) {
		t.Errorf("the log says %v", l.Err())
	}
}

// TestRetention: topics are made with the retention that is asked for.
func TestRetention(t *testing.T) {
	o := options(rockettest.Shared(t))
	o.Retention = 90 * time.Minute
	l := openLog(t, o)
	check(t, l.CreateTopic(t.Context(), "t", 1))
	q, err := l.queueOf("t", 0)
	check(t, err)
	has, err := l.topicAt(t.Context(), q.q.Broker, q.topic)
	check(t, err)
	if has.Attributes[attrReserve] != "2" {
		t.Errorf("the broker has %v", has)
	}
}
