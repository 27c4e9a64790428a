package rocketlog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/offsets"
)

// TestCompaction saves and deletes at random while the broker compacts the topic
// of the state over and over: whoever opens the state finds all that was saved,
// nothing of what was deleted, and no save in part; or is refused, where the broker
// has lost something itself. TOWLINE_COMPACTIONS is how many compactions it lasts.
func TestCompaction(t *testing.T) {
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("TOWLINE_COMPACTIONS")); err == nil {
		rounds = n
	}
	c := rockettest.Start(t, rockettest.Config{Settings: []string{"compactionScheduleInternal=300",
		"compactionMappedFileSize=65536", "compactionCqMappedFileSize=4600", "maxOffsetMapSize=1048576"}})
	for range 4 {
		if compacted(t, c, rounds) {
			return
		}
	}
	t.Error("the broker has lost a part of the state each time")
}

// compacted reports whether the broker has kept all of a state that it compacted.
func compacted(t *testing.T, c *rockettest.Cluster, rounds int) bool {
	o := options(c)
	l := openLog(t, o)
	r := rand.New(rand.NewPCG(1, uint64(rounds)))
	model := map[string][]byte{}
	kept := keptOf(t, c, o.Namespace)
	var saves, compactions int
	for deadline := time.Now().Add(time.Duration(rounds) * 5 * time.Minute); compactions < rounds; {
		if time.Now().After(deadline) {
			t.Fatalf("the broker has compacted %d times in %d saves; it keeps %d messages of %d", compactions, saves, kept.messages, kept.end)
		}
		for range 200 {
			saveSome(t, l, r, model)
			saves++
		}
		if now := keptOf(t, c, o.Namespace); now.missing() > kept.missing() {
			compactions, kept = compactions+1, now
			check(t, l.Close())
			if l = reopen(t, c, o, model); l == nil {
				return false
			}
			wantModel(t, l, model)
		}
		if r.IntN(4) == 0 { // others open it too, in the middle of a compaction perhaps
			other := reopen(t, c, o, model)
			if other == nil {
				return false
			}
			wantModel(t, other, model)
			saveSome(t, other, r, model)
			check(t, other.Close())
			wantModel(t, l, model)
		}
	}
	t.Logf("%d saves; the broker keeps %d messages of %d", saves, kept.messages, kept.end)
	check(t, c.Brokers[0].Kill())
	check(t, c.Brokers[0].Start(t.Context()))
	if l = reopen(t, c, o, model); l == nil {
		return false
	}
	wantModel(t, l, model)
	return true
}

// reopen opens the log again; nil: the broker has lost a part of what was saved in the
// exchange of its files, and that was noticed.
func reopen(t *testing.T, c *rockettest.Cluster, o Options, model map[string][]byte) *Log {
	t.Helper()
	o.Wait = time.Minute
	l, err := Open(t.Context(), o)
	if errors.Is(err, errHidden) {
		lost := lostOf(t, c, o.Namespace, model)
		if lost == "" {
			t.Fatalf("the broker has all: %v", err)
		}
		t.Logf("the broker has lost %s: %v", lost, err)
		return nil
	}
	check(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// saveSome saves and deletes some entries in one step.
func saveSome(t *testing.T, l *Log, r *rand.Rand, model map[string][]byte) {
	t.Helper()
	var list []offsets.Entry
	for range 1 + r.IntN(4) {
		e := offsets.Entry{Key: fmt.Sprintf("source/c/%d/k%d", r.IntN(3), r.IntN(40))}
		if r.IntN(4) > 0 {
			e.Pos = bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(60))
		}
		list = append(list, e)
	}
	check(t, l.Store().Save(t.Context(), list...))
	for _, e := range list {
		if e.Pos == nil {
			delete(model, e.Key)
		} else {
			model[e.Key] = e.Pos
		}
	}
}

func wantModel(t *testing.T, l *Log, model map[string][]byte) {
	t.Helper()
	list, err := l.Store().Load(t.Context(), "")
	check(t, err)
	got := map[string][]byte{}
	for _, e := range list {
		got[e.Key] = e.Pos
	}
	if maps.EqualFunc(got, model, bytes.Equal) {
		return
	}
	for key := range got {
		if _, ok := model[key]; !ok {
			t.Errorf("%s was deleted and is back", key)
		}
	}
	for key, want := range model {
		if pos, ok := got[key]; !ok || !bytes.Equal(pos, want) {
			t.Errorf("%s is %x, %v; saved was %x", key, pos, ok, want)
		}
	}
	t.FailNow()
}

// keptMessages is what a broker keeps of the topic of a state.
type keptMessages struct {
	messages, end int64
}

// missing is how many messages compaction took.
func (k keptMessages) missing() int64 { return k.end - k.messages }

// keptOf counts the messages that are there.
func keptOf(t *testing.T, c *rockettest.Cluster, namespace string) keptMessages {
	t.Helper()
	var k keptMessages
	k.end = eachKept(t, c, namespace, func(*remoting.Message) { k.messages++ })
	return k
}

// lostOf returns something that was saved and the broker does not have; "": it has
// all that is newest, and the end.
func lostOf(t *testing.T, c *rockettest.Cluster, namespace string, model map[string][]byte) string {
	t.Helper()
	newest, last := map[string][]byte{}, int64(0)
	end := eachKept(t, c, namespace, func(m *remoting.Message) {
		last = m.Offset
		keys, _ := m.Property(propKeys)
		if key, err := base64.RawURLEncoding.DecodeString(string(keys)); err == nil && strings.HasPrefix(string(key), "source/") {
			newest[string(key)] = slices.Clone(m.Body)
		}
	})
	if last != end-1 {
		return fmt.Sprintf("message %d", end-1)
	}
	for key, body := range newest {
		if want, ok := model[key]; ok != (body[0] == entryValue) || ok && !bytes.Equal(body[1:], want) {
			return "the newest of " + key
		}
	}
	for key := range model {
		if newest[key] == nil {
			return key
		}
	}
	return ""
}

// eachKept calls f with each message that is there, and returns the end of the queue.
func eachKept(t *testing.T, c *rockettest.Cluster, namespace string, f func(m *remoting.Message)) (end int64) {
	t.Helper()
	cl := remoting.New(remoting.Options{})
	defer cl.Close()
	topic := namespace + "%" + stateName
	end, err := cl.MaxOffset(t.Context(), c.Brokers[0].Addr, topic, 0)
	check(t, err)
	for at, faults := int64(0), 0; at < end; {
		p, err := cl.Pull(t.Context(), c.Brokers[0].Addr, &remoting.Pull{Group: "CID_RMQ_SYS_count", Topic: topic, Offset: at, Most: 1000, Queue: remoting.Queue{Broker: c.Brokers[0].Name}})
		if err != nil && faults < 1000 { // in the middle of a compaction half a message may come
			faults++
			continue
		}
		check(t, err)
		for i := range p.Messages {
			f(&p.Messages[i])
		}
		if p.Next <= at {
			break
		}
		at = p.Next
	}
	return end
}
