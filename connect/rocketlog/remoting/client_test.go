package remoting_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/rockettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(rockettest.Main(m)) }

// rig is a client and one broker of a cluster.
type rig struct {
	*remoting.Client
	name string // server
	addr string // of the broker
}

func newRig(t *testing.T, c *rockettest.Cluster, o remoting.Options) *rig {
	t.Helper()
	cl := remoting.New(o)
	t.Cleanup(func() { cl.Close() })
	return &rig{cl, c.NameServer, c.Brokers[0].Addr}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// topic makes a topic with a name of its own.
func (r *rig) topic(t *testing.T, queues int, attrs map[string]string) string {
	t.Helper()
	name := "t_" + rand.Text()
	check(t, r.CreateTopic(t.Context(), r.addr, remoting.TopicConfig{Topic: name, Queues: queues, Attributes: attrs}))
	return name
}

func batch(topic string, keys string, bodies ...string) *remoting.Batch {
	b := &remoting.Batch{Group: "g", Topic: topic, Queue: remoting.Queue{Broker: "a"}, Keys: keys}
	for i, body := range bodies {
		props := remoting.AppendProperty(nil, "n", fmt.Sprint(i))
		if keys != "" {
			props = remoting.AppendProperty(props, "KEYS", keys)
		}
		b.Body = remoting.AppendMessage(b.Body, []byte(body[:len(body)/2]), []byte(body[len(body)/2:]), func(dst []byte) []byte { return append(dst, props...) })
	}
	return b
}

func TestTopics(t *testing.T) {
	r := newRig(t, rockettest.Shared(t), remoting.Options{})
	ctx := t.Context()
	all := must[[]remoting.Broker](t)(r.Brokers(ctx, r.name, "towline"))
	if len(all) != 1 || all[0] != (remoting.Broker{Name: "a", Addr: r.addr}) {
		t.Errorf("brokers are %v", all)
	}
	if none := must[[]remoting.Broker](t)(r.Brokers(ctx, r.name, "other")); len(none) != 0 {
		t.Errorf("another cluster has brokers %v", none)
	}
	topic := r.topic(t, 3, map[string]string{"cleanup.policy": "COMPACTION"})
	got := must[remoting.TopicConfig](t)(r.TopicConfig(ctx, r.addr, topic))
	if got.Queues != 3 || got.Attributes["cleanup.policy"] != "COMPACTION" {
		t.Errorf("the topic is %+v", got)
	}
	route, err := r.Route(ctx, r.name, topic)
	for remoting.IsCode(err, remoting.TopicNotExist) { // until the broker has told the name server
		time.Sleep(10 * time.Millisecond)
		route, err = r.Route(ctx, r.name, topic)
	}
	check(t, err)
	if want := []remoting.Queue{{"a", 0}, {"a", 1}, {"a", 2}}; !slices.Equal(route.Queues, want) || route.Masters["a"] != r.addr {
		t.Errorf("the route is %+v", route)
	}
	if _, err := r.Route(ctx, r.name, "not-there"); !remoting.IsCode(err, remoting.TopicNotExist) {
		t.Errorf("route of a topic that is not there: %v", err)
	}
	for _, bad := range []remoting.TopicConfig{{Topic: "a.b", Queues: 1}, {Topic: topic + "x", Queues: 1, Attributes: map[string]string{"delete.policy": "x"}},
		{Topic: topic, Queues: 3, Attributes: map[string]string{"cleanup.policy": "DELETE"}}} {
		if err := r.CreateTopic(ctx, r.addr, bad); err == nil {
			t.Errorf("%+v is made", bad)
		}
	}
}

func TestSendAndPull(t *testing.T) {
	r := newRig(t, rockettest.Shared(t), remoting.Options{})
	ctx := t.Context()
	topic := r.topic(t, 1, nil)
	send := must[int64](t)
	if n := send(r.Send(ctx, r.addr, batch(topic, "", "one", "", "three"))); n != 0 {
		t.Errorf("the first batch is at %d", n)
	}
	if n := send(r.Send(ctx, r.addr, batch(topic, "", "four"))); n != 3 {
		t.Errorf("the second batch is at %d", n)
	}
	var got []string
	p := &remoting.Pull{Group: "g", Topic: topic, Queue: remoting.Queue{Broker: "a"}, Most: 32, Wait: 10 * time.Second}
	for len(got) < 4 {
		res := must[*remoting.Pulled](t)(r.Pull(ctx, r.addr, p))
		for i := range res.Messages {
			m := &res.Messages[i]
			n, _ := m.Property("n")
			got = append(got, fmt.Sprintf("%d %s %s", m.Offset, n, m.Body))
			if _, ok := m.Property("N"); ok {
				t.Error("a property that is not there is there")
			}
		}
		p.Offset = res.Next
	}
	if want := []string{"0 0 one", "1 1 ", "2 2 three", "3 0 four"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	// A pull that waits is woken, and one that is cancelled returns.
	done := make(chan error, 1)
	go func() {
		res, err := r.Pull(ctx, r.addr, p)
		if err == nil && (len(res.Messages) != 1 || string(res.Messages[0].Body) != "five") {
			err = fmt.Errorf("got %+v", res)
		}
		done <- err
	}()
	send(r.Send(ctx, r.addr, batch(topic, "", "five")))
	check(t, <-done)
	cctx, cancel := context.WithCancel(ctx)
	go func() {
		p := *p
		p.Offset, p.Wait = 5, time.Hour
		_, err := r.Pull(cctx, r.addr, &p)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled pull: %v", err)
	}

	p.Offset, p.Wait = 1000, 0
	if res := must[*remoting.Pulled](t)(r.Pull(ctx, r.addr, p)); !res.Moved {
		t.Errorf("a pull beyond the end: %+v", res)
	}
	if _, err := r.Send(ctx, r.addr, batch(topic, "", strings.Repeat("x", 4<<20))); !remoting.IsCode(err, remoting.MessageIllegal) && !remoting.IsCode(err, remoting.SystemError) {
		t.Errorf("a batch that is too large: %v", err)
	}
}

// TestCompaction sends to a topic with compaction, where readers get messages
// when they have reached another file.
func TestCompaction(t *testing.T) {
	r := newRig(t, rockettest.Shared(t), remoting.Options{})
	topic := r.topic(t, 1, map[string]string{"cleanup.policy": "COMPACTION"})
	if n := must[int64](t)(r.Send(t.Context(), r.addr, batch(topic, "k", "one", ""))); n != 0 {
		t.Errorf("it is at %d", n)
	}
	p := &remoting.Pull{Group: "g", Topic: topic, Queue: remoting.Queue{Broker: "a"}, Most: 32, Wait: 10 * time.Second}
	var got []string
	for len(got) < 2 {
		for _, m := range must[*remoting.Pulled](t)(r.Pull(t.Context(), r.addr, p)).Messages {
			got = append(got, fmt.Sprintf("%d %s", m.Offset, m.Body))
			p.Offset = m.Offset + 1
		}
	}
	if want := []string{"0 one", "1 "}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOffsets(t *testing.T) {
	r := newRig(t, rockettest.Shared(t), remoting.Options{})
	ctx := t.Context()
	topic, group := r.topic(t, 2, nil), "g_"+rand.Text()
	number := must[int64](t)
	number(r.Send(ctx, r.addr, batch(topic, "", "one", "two", "three")))
	for end := int64(0); end != 3; { // readers see it when it has been dispatched
		end = number(r.MaxOffset(ctx, r.addr, topic, 0))
	}
	if n := number(r.MinOffset(ctx, r.addr, topic, 0)); n != 0 {
		t.Errorf("min offset is %d", n)
	}
	if n := number(r.OffsetAt(ctx, r.addr, topic, 0, time.Unix(0, 0))); n != 0 {
		t.Errorf("offset at the beginning of time is %d", n)
	}
	bounds := must[map[int]remoting.Bounds](t)(r.TopicBounds(ctx, r.addr, topic))
	if bounds[0] != (remoting.Bounds{Min: 0, Max: 3}) || bounds[1].Max != 0 {
		t.Errorf("bounds are %v", bounds)
	}
	check(t, r.CreateGroup(ctx, r.addr, group))
	if _, ok, err := r.CommittedOffset(ctx, r.addr, group, topic, 0); ok || err != nil {
		t.Errorf("a new group has committed: %v", err)
	}
	check(t, r.CommitOffset(ctx, r.addr, group, topic, 0, 2))
	if n, ok, err := r.CommittedOffset(ctx, r.addr, group, topic, 0); n != 2 || !ok || err != nil {
		t.Errorf("committed is %d, %v, %v", n, ok, err)
	}
	lag := must[map[int]remoting.Lag](t)(r.ConsumeLag(ctx, r.addr, group, topic))
	if lag[0] != (remoting.Lag{Broker: 3, Consumer: 2}) {
		t.Errorf("lag is %v", lag)
	}
}

func TestMembersAndLeases(t *testing.T) {
	c := rockettest.Shared(t)
	ctx := t.Context()
	group := "g_" + rand.Text()
	changed := make(chan string, 100)
	one := newRig(t, c, remoting.Options{Notify: func(_ string, cmd *remoting.Command) {
		if g, ok := remoting.MembersChanged(cmd); ok && g == group {
			changed <- g
		}
	}})
	two := newRig(t, c, remoting.Options{})
	members := func() []string {
		return slices.Sorted(slices.Values(must[[]string](t)(one.Members(ctx, one.addr, group))))
	}
	if m := members(); len(m) != 0 {
		t.Errorf("a new group has members %v", m)
	}
	check(t, one.Heartbeat(ctx, one.addr, "one", group))
	check(t, two.Heartbeat(ctx, two.addr, "two", group))
	<-changed // that the second came
	if m := members(); !slices.Equal(m, []string{"one", "two"}) {
		t.Errorf("members are %v", m)
	}
	topic, q := one.topic(t, 1, nil), remoting.Queue{Broker: "a"}
	has := must[bool](t)
	if !has(one.Lease(ctx, one.addr, group, "one", topic, q)) || !has(one.Lease(ctx, one.addr, group, "one", topic, q)) || has(two.Lease(ctx, two.addr, group, "two", topic, q)) {
		t.Error("the lease is not the first one's alone")
	}
	check(t, one.Release(ctx, one.addr, group, "one", topic, q))
	if !has(two.Lease(ctx, two.addr, group, "two", topic, q)) {
		t.Error("a lease that was given back is not to be had")
	}
	check(t, two.Leave(ctx, two.addr, "two", group))
	if m := members(); !slices.Equal(m, []string{"one"}) {
		t.Errorf("members are %v", m)
	}
}

func TestClose(t *testing.T) {
	r := newRig(t, rockettest.Shared(t), remoting.Options{})
	topic := r.topic(t, 1, nil)
	done := make(chan error, 1)
	go func() {
		_, err := r.Pull(context.Background(), r.addr, &remoting.Pull{Group: "g", Topic: topic, Queue: remoting.Queue{Broker: "a"}, Most: 1, Wait: time.Hour})
		done <- err
	}()
	check(t, r.Close())
	if err := <-done; !remoting.IsClosed(err) {
		t.Errorf("a pull of a closed client: %v", err)
	}
	if _, err := r.Route(t.Context(), r.name, topic); !remoting.IsClosed(err) {
		t.Errorf("a call of a closed client: %v", err)
	}
}
