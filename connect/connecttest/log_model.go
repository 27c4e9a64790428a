package connecttest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// logModel is what a log should hold, and the readers that are open on it.
type logModel struct {
	*logCase
	rnd     *rand.Rand
	topics  map[string]int32
	parts   map[connect.Cursor]*modelPart // by place with offset 0
	entries map[string]string
	readers []*modelReader
	made    int // messages so far
}

type modelPart struct {
	first int64
	all   []connect.Message // from offset 0 on, trimmed ones too
}

type modelReader struct {
	r  connect.Reader
	at []connect.Cursor
}

const modelSteps = 400

// testLogModel does the same random operations on the log and on a model, and
// compares what they say.
func testLogModel(c *logCase) {
	seed := Seed(c.t)
	m := &logModel{
		logCase: c, rnd: rand.New(rand.NewPCG(seed, 1)), topics: map[string]int32{},
		parts: map[connect.Cursor]*modelPart{}, entries: map[string]string{},
	}
	m.createTopic()
	ops := []struct {
		weight int
		run    func()
	}{
		{2, m.createTopic}, {30, m.append}, {30, m.read}, {8, m.openReader}, {3, m.trim}, {6, m.checkBounds}, {6, m.save}, {6, m.load}, {1, m.reopen},
	}
	total := 0
	for _, o := range ops {
		total += o.weight
	}
	for range modelSteps {
		n := m.rnd.IntN(total)
		for _, o := range ops {
			if n -= o.weight; n < 0 {
				o.run()
				break
			}
		}
	}
	m.checkAll()
	m.reopen()
	m.checkAll()
}

// places returns the partitions there are, ordered.
func (m *logModel) places() []connect.Cursor {
	return slices.SortedFunc(maps.Keys(m.parts), func(a, b connect.Cursor) int {
		if n := strings.Compare(a.Topic, b.Topic); n != 0 {
			return n
		}
		return int(a.Partition - b.Partition)
	})
}

func (m *logModel) place() connect.Cursor {
	p := m.places()
	return p[m.rnd.IntN(len(p))]
}

func (m *logModel) createTopic() {
	name, n := fmt.Sprintf("t%d", m.rnd.IntN(12)), int32(1+m.rnd.IntN(4))
	err := m.Log.CreateTopic(m.ctx, name, n)
	if was, ok := m.topics[name]; ok {
		if (err == nil) != (was == n) {
			m.t.Fatalf("CreateTopic of %s/%d, which has %d: %v", name, n, was, err)
		}
		return
	}
	must(m.t, err)
	m.topics[name] = n
	for p := range n {
		m.parts[connect.Cursor{Topic: name, Partition: p}] = &modelPart{}
	}
}

func (m *logModel) bytes(most int) []byte {
	b := make([]byte, m.rnd.IntN(most))
	for i := range b {
		b[i] = byte(m.rnd.Uint32())
	}
	return b
}

func (m *logModel) message() connect.Message {
	at := m.place()
	m.made++
	msg := connect.Message{Topic: at.Topic, Partition: at.Partition, Count: int32(m.made), Time: int64(m.rnd.Uint64())}
	if m.rnd.IntN(2) == 0 {
		msg.Key = m.bytes(20)
	}
	if m.rnd.IntN(10) > 0 {
		most := 200
		if m.rnd.IntN(50) == 0 {
			most = 300 << 10
		}
		msg.Value = m.bytes(most)
	}
	for range max(0, m.rnd.IntN(6)-3) {
		msg.Headers = append(msg.Headers, connect.Header{Key: string(m.bytes(5)), Value: m.bytes(5)})
	}
	return msg
}

func (m *logModel) append() {
	msgs := make([]connect.Message, m.rnd.IntN(12))
	for i := range msgs {
		msgs[i] = m.message()
	}
	entries := m.randomEntries()
	must(m.t, m.Log.Append(m.ctx, msgs, entries))
	for i := range msgs {
		p := m.parts[connect.Cursor{Topic: msgs[i].Topic, Partition: msgs[i].Partition}]
		if want := int64(len(p.all)); msgs[i].Offset != want {
			m.t.Fatalf("Append gave offset %d, want %d", msgs[i].Offset, want)
		}
		p.all = append(p.all, CloneMessage(&msgs[i])) // with its Offset
	}
	m.saved(entries)
}

func (m *logModel) randomEntries() []offsets.Entry {
	entries := make([]offsets.Entry, m.rnd.IntN(4))
	for i := range entries {
		entries[i].Key = fmt.Sprintf("k/%d/%d", m.rnd.IntN(3), m.rnd.IntN(5))
		if m.rnd.IntN(4) > 0 {
			entries[i].Pos = m.bytes(12)
		}
	}
	return entries
}

func (m *logModel) saved(entries []offsets.Entry) {
	for _, e := range entries {
		if e.Pos == nil {
			delete(m.entries, e.Key)
		} else {
			m.entries[e.Key] = string(e.Pos)
		}
	}
}

func (m *logModel) save() {
	entries := m.randomEntries()
	must(m.t, m.Log.Store().Save(m.ctx, entries...))
	m.saved(entries)
}

func (m *logModel) load() {
	m.loadPrefix([]string{"", "k/", "k/1", "k/2/", "k/0/3", "x"}[m.rnd.IntN(6)])
}

func (m *logModel) loadPrefix(prefix string) {
	var want []offsets.Entry
	for _, key := range slices.Sorted(maps.Keys(m.entries)) {
		if strings.HasPrefix(key, prefix) {
			want = append(want, offsets.Entry{Key: key, Pos: append(offsets.Position{}, m.entries[key]...)})
		}
	}
	wantEntries(m.t, m.ctx, m.Log.Store(), prefix, want...)
}

func (m *logModel) trim() {
	at := m.place()
	p := m.parts[at]
	p.first = m.logCase.trim(at.Topic, at.Partition, m.rnd.Int64N(int64(len(p.all))+3))
}

func (m *logModel) checkBounds() {
	at := m.place()
	p := m.parts[at]
	if first, end := m.bounds(at.Topic, at.Partition); first != p.first || end != int64(len(p.all)) {
		m.t.Fatalf("%s/%d has the bounds %d, %d, want %d, %d", at.Topic, at.Partition, first, end, p.first, len(p.all))
	}
}

func (m *logModel) openReader() {
	var from []connect.Cursor
	for _, at := range m.places() {
		if p := m.parts[at]; m.rnd.IntN(3) == 0 {
			at.Offset = p.first + m.rnd.Int64N(int64(len(p.all))-p.first+1)
			from = append(from, at)
		}
	}
	m.rnd.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	r := &modelReader{at: slices.Clone(from)}
	var err error
	r.r, err = m.Log.OpenReader(m.ctx, from)
	must(m.t, err)
	if m.readers = append(m.readers, r); len(m.readers) > 5 {
		must(m.t, m.readers[0].r.Close())
		m.readers = m.readers[1:]
	}
}

// read reads from one of the readers, if there is something for it.
func (m *logModel) read() {
	if len(m.readers) == 0 {
		return
	}
	i := m.rnd.IntN(len(m.readers))
	r := m.readers[i]
	lost, more := false, false
	for _, at := range r.at {
		p := m.parts[connect.Cursor{Topic: at.Topic, Partition: at.Partition}]
		lost = lost || at.Offset < p.first
		more = more || at.Offset < int64(len(p.all))
	}
	if !more {
		return
	}
	var got connect.Messages
	err := r.r.Read(m.ctx, &got, m.rnd.IntN(4000))
	if lost && errors.Is(err, connect.ErrPositionLost) {
		must(m.t, r.r.Close())
		m.readers = slices.Delete(m.readers, i, i+1)
		return
	}
	must(m.t, err)
	if len(got.List) == 0 {
		m.t.Fatal("Read gave nothing")
	}
	for i := range got.List {
		m.delivered(r, &got.List[i])
	}
}

// delivered checks that msg is what comes next in its partition.
func (m *logModel) delivered(r *modelReader, msg *connect.Message) {
	i := slices.IndexFunc(r.at, func(at connect.Cursor) bool { return at.Topic == msg.Topic && at.Partition == msg.Partition })
	if i < 0 {
		m.t.Fatalf("the reader was not opened for %s/%d", msg.Topic, msg.Partition)
	}
	all := m.parts[connect.Cursor{Topic: msg.Topic, Partition: msg.Partition}].all
	if r.at[i].Offset >= int64(len(all)) {
		m.t.Fatalf("a message beyond the end of %s/%d: offset %d", msg.Topic, msg.Partition, msg.Offset)
	}
	if d := DiffMessages(msg, &all[r.at[i].Offset]); d != "" {
		m.t.Fatalf("%s/%d: %s", msg.Topic, msg.Partition, d)
	}
	r.at[i].Offset++
}

func (m *logModel) reopen() {
	for _, r := range m.readers {
		must(m.t, r.r.Close())
	}
	m.readers = nil
	m.Log = m.Reopen(m.t)
}

// checkAll compares all that there is.
func (m *logModel) checkAll() {
	topics, err := m.Log.Topics(m.ctx)
	must(m.t, err)
	if !maps.Equal(topics, m.topics) {
		m.t.Fatalf("topics %v, want %v", topics, m.topics)
	}
	m.loadPrefix("")
	for _, at := range m.places() {
		p := m.parts[at]
		if first, end := m.bounds(at.Topic, at.Partition); first != p.first || end != int64(len(p.all)) {
			m.t.Fatalf("%s/%d has the bounds %d, %d, want %d, %d", at.Topic, at.Partition, first, end, p.first, len(p.all))
		}
		at.Offset = p.first
		m.wantMessages(m.readN(m.reader(at), len(p.all)-int(p.first), 1<<20), p.all[p.first:])
	}
}
