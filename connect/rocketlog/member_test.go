package rocketlog

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/rockettest"
)

// TestMembers: RocketMQ's own tool lists who has joined, and how far it is.
func TestMembers(t *testing.T) {
	c := rockettest.Shared(t)
	o := options(c)
	o.State = "my.state"
	l, other := openLog(t, o), openLog(t, o)
	l.Join("one:8083")
	other.Join("two:8083")
	members := func() []string {
		all, err := l.c.client.Members(t.Context(), c.Brokers[0].Addr, o.Namespace)
		check(t, err)
		slices.Sort(all)
		return all
	}
	await := func(want ...string) {
		t.Helper()
		for !slices.Equal(members(), want) {
			time.Sleep(10 * time.Millisecond)
		}
	}
	await("one:8083", "two:8083")
	out, err := c.Admin(t.Context(), "consumerConnection", "-g", o.Namespace)
	check(t, err)
	if !strings.Contains(out, "one:8083") || !strings.Contains(out, "two:8083") || !strings.Contains(out, o.Namespace+"%my|2Estate") {
		t.Errorf("consumerConnection tells:\n%s", out)
	}
	for committed := false; !committed; { // the broker may make the group after the first word of it
		_, committed, err = l.c.client.CommittedOffset(t.Context(), c.Brokers[0].Addr, o.Namespace, l.stateTopic, 0)
		check(t, err)
		check(t, l.sayHere(t.Context(), "one:8083"))
	}
	check(t, other.Close())
	await("one:8083")
	if err := l.CreateTopic(t.Context(), o.State, 1); err == nil || !strings.Contains(err.Error(), "that is the topic of connectors and positions") {
		t.Errorf("a topic by the name of the state: %v", err)
	}
	o.State, o.Wait = "", time.Millisecond
	for { // without patience a broker that is slow is at fault, too
		_, err := Open(t.Context(), o)
		if err == nil {
			t.Fatal("the state is opened by another name")
		}
		if strings.Contains(err.Error(), "name the topic of the state as it was named before") {
			break
		}
		check(t, t.Context().Err())
	}
}
