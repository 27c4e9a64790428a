package rocketlog

import (
	"fmt"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/rockettest"
)

// TestGroup: what a connector has read is what brokers tell of its group, also
// where places and offsets differ.
func TestGroup(t *testing.T) {
	c := rockettest.Shared(t)
	l := openLog(t, options(c))
	check(t, l.CreateTopic(t.Context(), "t", 2))
	for i := range 10 {
		msg := text("t", fmt.Sprint(i))
		msg[0].Partition = int32(i % 2)
		check(t, l.Append(t.Context(), msg, nil))
	}
	q, err := l.queueOf("t", 0)
	check(t, err)
	// A late batch lies between: offset 5 is at place 6.
	_, err = q.c.client.Send(t.Context(), c.Brokers[0].Addr, &remoting.Batch{Group: "late", Topic: q.topic, Queue: q.q, Body: q.buf})
	check(t, err)
	check(t, l.Append(t.Context(), text("t", "last"), nil))

	const name = "copy of shop.orders" // is no name of a group
	lag := func(want string) {         // brokers tell late what has come
		t.Helper()
		for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			all, err := l.c.client.ConsumeLag(t.Context(), c.Brokers[0].Addr, groupName(l.namespace, name), q.topic)
			check(t, err)
			got := fmt.Sprint(all[0].Broker-all[0].Consumer, " ", all[1].Broker-all[1].Consumer)
			if got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the lag is %s, want %s", got, want)
			}
		}
	}
	check(t, l.CommitGroup(t.Context(), name, []connect.Cursor{{Topic: "t", Offset: 5}, {Topic: "t", Partition: 1, Offset: 3}}))
	lag("1 2")
	check(t, l.CommitGroup(t.Context(), name, []connect.Cursor{{Topic: "t", Offset: 6}, {Topic: "t", Partition: 1, Offset: 5}}))
	lag("0 0")
	if err := l.CommitGroup(t.Context(), name, []connect.Cursor{{Topic: "nix"}}); err == nil {
		t.Error("a topic that is not there passes")
	}
}
