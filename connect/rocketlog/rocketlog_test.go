package rocketlog

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/offsets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(rockettest.Main(m)) }

func openLog(t testing.TB, o Options) *Log {
	t.Helper()
	o.Wait = 10 * time.Minute // a broker may take its time to come back on a busy machine
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// options are those of a log of its own in a cluster.
func options(c *rockettest.Cluster) Options {
	return Options{NameServers: []string{c.NameServer}, Namespace: "n" + rand.Text()[:12]}
}

func TestContract(t *testing.T) {
	c := rockettest.Shared(t)
	connecttest.TestLog(t, func(t *testing.T) connecttest.LogHarness {
		o := options(c)
		l := openLog(t, o)
		return connecttest.LogHarness{Log: l, LooseTrim: true, Reopen: func(t *testing.T) connect.Log {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = openLog(t, o)
			return l
		}}
	})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func text(topic, value string) []connect.Message {
	return []connect.Message{{Topic: topic, Count: 1, Value: []byte(value)}}
}

// readFrom reads n messages of partition 0 and returns their values; offsets
// must follow each other.
func readFrom(t testing.TB, l *Log, topic string, offset int64, n int) []string {
	t.Helper()
	r, err := l.OpenReader(t.Context(), []connect.Cursor{{Topic: topic, Offset: offset}})
	check(t, err)
	defer r.Close()
	var m connect.Messages
	for len(m.List) < n {
		check(t, r.Read(t.Context(), &m, 1<<20))
	}
	var got []string
	for i := range m.List {
		if m.List[i].Offset != offset+int64(i) {
			t.Fatalf("offset %d where %d should be", m.List[i].Offset, offset+int64(i))
		}
		got = append(got, string(m.List[i].Value))
	}
	return got
}

// TestLateBatches has batches of an earlier time come again, between all that
// is written: readers must not see them, whichever offset they begin at.
func TestLateBatches(t *testing.T) {
	l := openLog(t, options(rockettest.Shared(t)))
	check(t, l.CreateTopic(t.Context(), "t", 1))
	q, err := l.queueOf("t", 0)
	check(t, err)
	const n = 40
	var want []string
	var late []byte
	for i := range n {
		value := fmt.Sprint(i)
		if i == 10 { // and something that is in parts
			value = strings.Repeat("x", 2*maxBody+1)
		}
		msg := text("t", value)
		check(t, l.Append(t.Context(), msg, nil))
		if msg[0].Offset != int64(i) {
			t.Fatalf("message %d got offset %d", i, msg[0].Offset)
		}
		want = append(want, value)
		if i%5 == 0 && i != 10 {
			late = bytes.Clone(q.buf)
		}
		if i%3 == 0 {
			addr, err := q.c.addr(t.Context(), q.q.Broker)
			check(t, err)
			_, err = q.c.client.Send(t.Context(), addr, &remoting.Batch{Group: "late", Topic: q.topic, Queue: q.q, Body: late})
			check(t, err)
		}
	}
	for i := range n {
		if got := readFrom(t, l, "t", int64(i), n-i); !slices.Equal(got, want[i:]) {
			t.Fatalf("from %d on: %.200q", i, got)
		}
	}
	for _, at := range []int64{n + 1, -1} {
		if _, err := q.locate(t.Context(), at); !errors.Is(err, connect.ErrPositionLost) {
			t.Errorf("offset %d: %v", at, err)
		}
	}
}

// TestAnotherWriter: who appends to a queue for the first time learns of what
// came there since its end was looked at, and may then look again.
func TestAnotherWriter(t *testing.T) {
	o := options(rockettest.Shared(t))
	one, two := openLog(t, o), openLog(t, o)
	check(t, one.CreateTopic(t.Context(), "t", 1))
	check(t, two.CreateTopic(t.Context(), "t", 1))
	if _, end, err := two.Bounds(t.Context(), "t", 0); end != 0 || err != nil {
		t.Fatal(end, err)
	}
	check(t, one.Append(t.Context(), text("t", "one"), nil))
	if err := two.Append(t.Context(), text("t", "two"), nil); !errors.Is(err, errMoved) {
		t.Fatalf("the append of one who has not seen the last message: %v", err)
	}
	check(t, two.Append(t.Context(), text("t", "three"), nil))
	check(t, one.Append(t.Context(), text("t", "four"), nil)) // has written before
	for _, l := range []*Log{one, two} {
		if got := readFrom(t, l, "t", 0, 3); !slices.Equal(got, []string{"one", "three", "four"}) {
			t.Errorf("got %q", got)
		}
	}
}

// TestEntriesOfOthers: what one log saves the other loads, in whole saves.
func TestEntriesOfOthers(t *testing.T) {
	o := options(rockettest.Shared(t))
	one, two := openLog(t, o), openLog(t, o)
	for i, l := range []*Log{one, two, one, one, two} {
		check(t, l.Store().Save(t.Context(), offsets.Entry{Key: "k", Pos: fmt.Append(nil, i)}, offsets.Entry{Key: fmt.Sprint(i), Pos: offsets.Position{}}))
		for _, l := range []*Log{one, two} {
			got, err := l.Store().Load(t.Context(), "")
			check(t, err)
			if len(got) != i+2 || string(got[i+1].Pos) != fmt.Sprint(i) {
				t.Fatalf("after save %d there is %q", i, got)
			}
		}
	}
}

// TestHalfSave: of a save whose writer died in the middle nothing counts, also
// not after compaction, which would keep the newest message of each key.
func TestHalfSave(t *testing.T) {
	o := options(rockettest.Shared(t))
	l := openLog(t, o)
	save := func(l *Log, list ...offsets.Entry) { check(t, l.Store().Save(t.Context(), list...)) }
	save(l, offsets.Entry{Key: "a", Pos: offsets.Position("1")}, offsets.Entry{Key: "b", Pos: offsets.Position("1")})
	// The first message of a save of two, which goes as far as this.
	q := l.state.q
	var parcels []parcel
	for i, key := range []string{"e/a", "e/c"} {
		p := parcel{parts: 1, body: []byte{entryValue, '2'}}
		p.props = remoting.AppendProperty(p.props, propKeys, keysOf(key))
		p.props = remoting.AppendProperty(p.props, propGroup, fmt.Sprintf("%d.%d.%d.%s", 77, i, 3, keysOf("e/b")))
		parcels = append(parcels, p)
	}
	check(t, q.acquire(t.Context()))
	check(t, q.append(t.Context(), parcels, func(int, int64) {}))
	q.release()
	check(t, l.Close())

	l = openLog(t, o)
	want := func(l *Log) {
		t.Helper()
		got, err := l.Store().Load(t.Context(), "")
		check(t, err)
		if len(got) != 2 || string(got[0].Pos) != "1" || string(got[1].Pos) != "1" {
			t.Fatalf("there is %q", got)
		}
	}
	want(l)
	// What compaction would keep: the newest of each key.
	newest := map[string]string{}
	var place int64
	for place < l.state.q.place {
		res, err := l.state.q.pull(t.Context(), place, time.Second)
		check(t, err)
		for _, m := range res.Messages {
			keys, _ := m.Property(propKeys)
			newest[string(keys)] = string(m.Body)
			place = m.Offset + 1
		}
	}
	if a, c := newest[keysOf("e/a")], newest[keysOf("e/c")]; a != "\x011" || c != "\x00" {
		t.Errorf("the newest messages of a and c are %q and %q", a, c)
	}
	check(t, l.Close())
	want(openLog(t, o))
}

func TestNames(t *testing.T) {
	seen := map[string]string{}
	long := strings.Repeat("x", 200)
	for _, topic := range []string{"a", "A", "a.b", "a|2Eb", "a_b", "a-b", "a%b", "\u00e9", "|offsets", "offsets", "a\x00", "a ", long, long + "y", long + "z", strings.Repeat(".", 40)} {
		name := brokerName("towline", topic)
		if other, ok := seen[name]; ok || name == "towline%"+stateName {
			t.Errorf("%q and %q are both %s", topic, other, name)
		}
		seen[name] = topic
		if len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 || !plain(byte(r)) && r != '|' && r != '%' }) {
			t.Errorf("%q becomes %q", topic, name)
		}
	}
	for _, bad := range []string{"", "a.b", "a%b", "\u00e9", strings.Repeat("n", 41)} {
		if CheckNamespace(bad) == nil {
			t.Errorf("%q passes as a namespace", bad)
		}
	}
}

func TestStamps(t *testing.T) {
	for _, s := range []stamp{{writer: "w", parts: 1}, {place: 1<<62 - 1, offset: 1 << 61, writer: "abc", batch: 1<<60 + 1, part: 4, parts: 7}} {
		s.ofPlace = 5
		m := remoting.Message{Offset: 5, Props: remoting.AppendProperty(remoting.AppendProperty(nil, "x", "y"), propStamp, s.append(nil))}
		if back, ok := stampOf(&m, "w"); !ok || back != s {
			t.Errorf("%+v comes back as %+v", s, back)
		}
	}
	for _, bad := range []string{"", "1", "1.2.w", "1.2..3", "1.2.w.", "1.2.w.3.4", "1.2.w.3.4.4", "1.2.w.3.1.2.5", "-1.2.w.3", "1.2.w.3.0.0", "A.2.w.3"} {
		m := remoting.Message{Props: remoting.AppendProperty(nil, propStamp, bad)}
		if s, ok := stampOf(&m, ""); ok {
			t.Errorf("%q passes as %+v", bad, s)
		}
	}
	m := remoting.Message{Props: remoting.AppendProperty(nil, propStamp, (&stamp{place: 1 << 40, offset: 1 << 40, writer: "w", batch: 12345, parts: 1}).append(nil))}
	if n := testing.AllocsPerRun(100, func() { stampOf(&m, "w") }); n != 0 {
		t.Errorf("reading a stamp allocates %v times", n)
	}
}
