package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/rlog"

	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/e2e/workload"
)

// reading is RocketMQ's own client for Go, with a group of its own.
type reading struct {
	mu     sync.Mutex
	ops    map[string]int // messages by TAGS
	seen   map[string]bool
	faults []string
	close  func()
}

// read subscribes to topics, with an expression of tags.
func read(t *testing.T, c *rockettest.Cluster, group, tags string, topics []string) *reading {
	t.Helper()
	r := &reading{ops: map[string]int{}, seen: map[string]bool{}}
	p, err := rocketmq.NewPushConsumer(consumer.WithGroupName(group), consumer.WithInstance(group), consumer.WithPullBatchSize(32),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset), consumer.WithNsResolver(primitive.NewPassthroughResolver([]string{c.NameServer})))
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		if err := p.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: tags}, r.take); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	r.close = sync.OnceFunc(func() {
		if err := p.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.close)
	return r
}

// take counts messages, and compares their properties with their bodies.
func (r *reading) take(_ context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range msgs {
		at := fmt.Sprint(m.Topic, "/", m.Queue.BrokerName, "/", m.Queue.QueueId, "/", m.QueueOffset)
		if r.seen[at] {
			continue // the client's own repeats
		}
		r.seen[at] = true
		r.ops[m.GetTags()]++
		if fault := differs(m); fault != "" {
			r.faults = append(r.faults, at+": "+fault)
		}
	}
	return consumer.ConsumeSuccess, nil
}

// differs says in what the properties of a message differ from its body.
func differs(m *primitive.MessageExt) string {
	if len(m.Body) == 0 { // what comes behind a delete
		if m.GetTags() != "d" {
			return "there is no body"
		}
		return ""
	}
	var b struct {
		Payload struct {
			Op            string
			Before, After map[string]any
			Source        struct {
				DB, Table, File string
				GTID            *string
				Pos             uint64
			}
		}
	}
	if err := json.Unmarshal(m.Body, &b); err != nil {
		return err.Error()
	}
	p := b.Payload
	want := map[string]string{"TAGS": p.Op, "op": p.Op, "db": p.Source.DB, "table": p.Source.Table}
	if p.Op != "r" {
		want["file"], want["pos"] = p.Source.File, fmt.Sprint(p.Source.Pos)
		if p.Source.GTID != nil {
			want["gtid"] = *p.Source.GTID
		}
	}
	for name, value := range want {
		if got := m.GetProperty(name); got != value {
			return fmt.Sprintf("%s is %q, the body says %q", name, got, value)
		}
	}
	return ""
}

// await waits until so many messages have come.
func (r *reading) await(t *testing.T, what string, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		r.mu.Lock()
		got := len(r.seen)
		faults := r.faults
		r.mu.Unlock()
		if len(faults) > 0 {
			t.Fatalf("%s: %d messages differ, the first: %s", what, len(faults), faults[0])
		}
		if got >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d of %d messages have come", what, got, n)
		}
	}
}

// awaitCopied waits until the copy of a table is through.
func (r *rig) awaitCopied(table string) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		st, err := r.proc.Status(r.t.Context())
		if err == nil && st.Table(table).State == "following" {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the copy of %s does not end: %+v %v", table, st, err)
		}
	}
}

// RocketMQ's own client reads what Towline writes, with tags and properties.
func TestOthersReadOverRocketMQ(t *testing.T) {
	rlog.SetLogLevel("fatal")
	converter := map[string]string{"value.converter": "json"}
	r, c := newRocketRig(t, options{rows: 100, load: workload.Options{Writers: 2, Types: true, Pause: 5 * time.Millisecond}, source: converter, sink: converter, noLedger: true}, rockettest.Config{})
	r.start()
	r.awaitCopied("work.accounts")
	stop := r.writing()
	for r.load.Transactions() < 150 {
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	if err := r.proc.Stop(); err != nil {
		t.Fatal(err)
	}

	cl := remoting.New(remoting.Options{})
	defer cl.Close()
	all, err := cl.Topics(t.Context(), c.NameServer)
	if err != nil {
		t.Fatal(err)
	}
	var topics []string
	written := 0
	for _, topic := range all {
		if !strings.HasPrefix(topic, "towline%w|2E") {
			continue
		}
		topics = append(topics, topic)
		for _, b := range c.Brokers {
			bounds, err := cl.TopicBounds(t.Context(), b.Addr, topic)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range bounds {
				written += int(q.Max)
			}
		}
	}
	whole := read(t, c, "everybody", "*", topics)
	whole.await(t, "all", written)
	whole.close()
	want := maps.Clone(whole.ops)
	if want["c"] == 0 || want["u"] == 0 || want["d"] == 0 || want["r"] == 0 {
		t.Fatalf("there is not everything: %v", want)
	}
	part := read(t, c, "some", "c || d", topics)
	part.await(t, "inserts and deletes", want["c"]+want["d"])
	part.close()
	if part.ops["c"] != want["c"] || part.ops["d"] != want["d"] || len(part.ops) != 2 {
		t.Errorf("the filter let %v through, there is %v", part.ops, want)
	}
	t.Logf("%d messages of %d topics: %v", written, len(topics), want)
}
