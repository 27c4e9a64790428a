package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/rocketlog"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// openLog opens the log that the workers share.
func (m *team) openLog() *rocketlog.Log {
	m.t.Helper()
	log, err := rocketlog.Open(m.t.Context(), rocketlog.Options{NameServers: []string{m.brokers.NameServer}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		m.t.Fatal(err)
	}
	return log
}

// held is who has a task.
type held struct {
	Worker, Incarnation string
	Epoch, Generation   int64
}

// claimWatch follows who has which task.
type claimWatch struct {
	t     *testing.T
	last  map[string]held // by task, also of those that nobody has now
	views int
	moves int
}

// watchClaims looks at all that the workers write down of who has which task, until
// the function that it returns is called.
func (m *team) watchClaims() (check func()) {
	m.t.Helper()
	log := m.openLog()
	shared, err := log.Shared(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	w := &claimWatch{t: m.t, last: map[string]held{}}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			changed := shared.Changed()
			shared.Look(w.look)
			select {
			case <-changed:
			case <-ended:
				return
			}
		}
	}()
	stop := sync.OnceFunc(func() { close(ended); <-done; log.Close() })
	m.t.Cleanup(stop)
	return func() {
		m.t.Helper()
		stop()
		m.t.Logf("claims: %d views of %d tasks, %d moves", w.views, len(w.last), w.moves)
		if w.moves == 0 && clusterTime(m.t) > 0 { // a worker may have no task when it is stopped
			m.t.Error("no task has moved")
		}
	}
}

// look checks one view: who has a task is a member, has it by a newer claim than
// any other before, and by the same configuration as those who have the others.
func (w *claimWatch) look(v offsets.View) {
	w.views++
	members, generations := map[string]string{}, map[string]int64{}
	for _, e := range v.Range("member/") {
		var one struct{ Incarnation string }
		w.read(e, &one)
		members[strings.TrimPrefix(e.Key, "member/")] = one.Incarnation
	}
	for _, e := range v.Range("claim/") {
		var now held
		w.read(e, &now)
		task := strings.TrimPrefix(e.Key, "claim/")
		connector, _, _ := strings.Cut(task, "/")
		old, seen := w.last[task]
		switch {
		case members[now.Worker] != now.Incarnation:
			w.t.Errorf("%s is at %+v, who is not a member", task, now)
		case seen && old != now && now.Epoch <= old.Epoch:
			w.t.Errorf("%s is at %+v, after %+v", task, now, old)
		case generations[connector] != 0 && generations[connector] != now.Generation:
			w.t.Errorf("%s is at %+v, and another task by configuration %d", task, now, generations[connector])
		}
		if seen && old.Worker != now.Worker {
			w.moves++
		}
		generations[connector], w.last[task] = now.Generation, now
	}
}

func (w *claimWatch) read(e offsets.Entry, into any) {
	if err := json.Unmarshal(e.Pos, into); err != nil {
		w.t.Errorf("%s: %v", e.Key, err)
	}
}

// checkBooks wants each state of each counter once in each book, and of that whose
// one task was at one worker after the other, that no two wrote at the same time.
func (m *team) checkBooks() {
	m.t.Helper()
	sum := fmt.Sprint(m.source.Query(m.t, "SELECT COUNT(*), SUM(n) FROM "+database+".steps"))
	books := []string{"book"}
	for i := range m.extras {
		books = append(books, fmt.Sprintf("extra%d", i))
	}
	for _, name := range books {
		if got := fmt.Sprint(m.target.Query(m.t, "SELECT COUNT(DISTINCT id), SUM(m) FROM (SELECT id, MAX(n) m FROM book."+name+" GROUP BY id) x")); !m.gone[name] && got != sum {
			m.t.Errorf("%s ends at %s, and the source at %s", name, got, sum)
		}
		for _, row := range m.target.Query(m.t, "SELECT id, COUNT(*), COUNT(DISTINCT n), MAX(n) FROM book."+name+" GROUP BY id HAVING COUNT(*) <> COUNT(DISTINCT n) OR COUNT(*) <> MAX(n) + 1 LIMIT 5") {
			m.t.Errorf("%s: row %s has %s states, %s different ones, and the last is %s", name, row[0], row[1], row[2], row[3])
		}
	}
	type writer struct{ who, last, session string }
	var before writer // the one that wrote last
	runs := 0
	for _, row := range m.target.Query(m.t, "SELECT session, SUBSTRING_INDEX(MIN(who), '@', 1), MIN(at), MAX(at) FROM book.book GROUP BY session ORDER BY MIN(at)") {
		w, first := writer{row[1], row[3], row[0]}, row[2]
		if w.who != before.who {
			runs++
			if first < before.last {
				m.t.Errorf("%s wrote at %s in session %s, and %s until %s in session %s", w.who, first, w.session, before.who, before.last, before.session)
			}
		}
		if w.who != before.who || w.last > before.last {
			before = w
		}
	}
	m.t.Logf("books: %v states, in %d runs of one worker; %d more, %d of them deleted", m.target.Query(m.t, "SELECT COUNT(*) FROM book.book"), runs, m.extras, len(m.gone))
}

// counters returns the counters of the source.
func (m *team) counters() map[string]float64 {
	all := map[string]float64{}
	for _, row := range m.source.Query(m.t, "SELECT id, n FROM "+database+".steps") {
		var n float64
		if _, err := fmt.Sscan(row[1], &n); err != nil {
			m.t.Fatal(err)
		}
		all[row[0]] = n
	}
	return all
}

// counter is a webhook that is told of counters, one step after the other. What
// comes again it knows by its id.
type counter struct {
	mu      sync.Mutex
	seen    map[string]bool
	at      map[string]float64
	repeats int
	faults  []string
}

func newCounter() *counter { return &counter{seen: map[string]bool{}, at: map[string]float64{}} }

func (h *counter) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil { // the program was killed while it sent
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	var c change
	err = json.Unmarshal(body, &c)
	h.mu.Lock()
	defer h.mu.Unlock()
	id := req.Header.Get("webhook-id")
	if h.seen[id] {
		h.repeats++
		return
	}
	h.seen[id] = true
	if err != nil || c.After == nil {
		h.faults = append(h.faults, fmt.Sprintf("%s, %v", body, err))
		return
	}
	n, _ := c.After["n"].(float64)
	last, ok := h.at[c.After.id()]
	if ok && n != last+1 || !ok && n != 0 {
		h.faults = append(h.faults, fmt.Sprintf("counter %s is at %v, after %v", c.After.id(), n, last))
	}
	h.at[c.After.id()] = n
}

func (h *counter) check(t *testing.T, want map[string]float64) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.faults[:min(5, len(h.faults))] {
		t.Errorf("webhook: %s (%d such)", f, len(h.faults))
	}
	for id, n := range want {
		if h.at[id] != n {
			t.Errorf("webhook: counter %s is at %v, and %v in the source", id, h.at[id], n)
		}
	}
	t.Logf("webhook: %d changes, %d came again", len(h.seen), h.repeats)
}

// checkTopics reads all topics: changes of a source are there once, and in order
// within each partition. None is missing but signals, which are changes and go to no
// topic, and those of tables without a key that a copy had already, which only the
// source of shapes has.
func (m *team) checkTopics() {
	m.t.Helper()
	log := m.openLog()
	defer log.Close()
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Minute)
	defer cancel()
	topics, err := log.Topics(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	all := map[string]map[uint64]bool{"w": {}, "s": {}}
	for topic, n := range topics {
		source, _, _ := strings.Cut(topic, ".")
		seen := all[source]
		for p := range n {
			last := uint64(0)
			for _, seq := range m.seqs(ctx, log, topic, p) {
				if seen[seq] || seq <= last {
					m.t.Errorf("%s/%d: change %d comes after %d (seen before: %t)", topic, p, seq, last, seen[seq])
				}
				seen[seq], last = true, seq
			}
		}
	}
	var signals uint64
	if _, err := fmt.Sscan(m.source.Query(m.t, "SELECT COUNT(*) FROM ops.signals")[0][0], &signals); err != nil {
		m.t.Fatal(err)
	}
	for source, seen := range all {
		list := slices.Sorted(maps.Keys(seen))
		if len(list) == 0 {
			m.t.Errorf("the topics of source %s have no changes", source)
		} else if n := uint64(len(list)); source == "w" && n+signals != list[n-1]-list[0]+1 {
			m.t.Errorf("the topics of source %s have %d changes from %d to %d, and there were %d signals", source, n, list[0], list[n-1], signals)
		}
		m.t.Logf("topics of %s: %d changes, each once", source, len(list))
	}
}

// seqs returns those of the changes in a partition.
func (m *team) seqs(ctx context.Context, log connect.Log, topic string, p int32) (list []uint64) {
	m.t.Helper()
	m.records(ctx, log, topic, p, func(_ int64, r *connect.Record) {
		switch r.Op {
		case connect.OpInsert, connect.OpUpdate, connect.OpDelete:
			list = append(list, r.Seq)
		}
	})
	return list
}

// records calls see with what is in a partition.
func (m *team) records(ctx context.Context, log connect.Log, topic string, p int32, see func(offset int64, r *connect.Record)) {
	m.t.Helper()
	from, end, err := log.Bounds(ctx, topic, p)
	if err != nil {
		m.t.Fatal(err)
	}
	r, err := log.OpenReader(ctx, []connect.Cursor{{Topic: topic, Partition: p, Offset: from}})
	if err != nil {
		m.t.Fatal(err)
	}
	defer r.Close()
	var conv frame.Converter
	for from < end {
		var msgs connect.Messages
		if err := r.Read(ctx, &msgs, 1<<20); err != nil {
			m.t.Fatal(err)
		}
		for i := range msgs.List {
			var b connect.Batch
			if err := conv.Decode(&b, msgs.List[i:i+1]); err != nil {
				m.t.Fatal(err)
			}
			for k := range b.Records {
				see(msgs.List[i].Offset, &b.Records[k])
			}
		}
		from = msgs.List[len(msgs.List)-1].Offset + 1
	}
}

// tellShapes tells what is in the topics of the tables that random statements made.
func (m *team) tellShapes() []byte {
	var text bytes.Buffer
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.t.Context()), time.Minute)
	defer cancel()
	log, err := rocketlog.Open(ctx, rocketlog.Options{NameServers: []string{m.brokers.NameServer}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return []byte(err.Error())
	}
	defer log.Close()
	topics, err := log.Topics(ctx)
	if err != nil {
		return []byte(err.Error())
	}
	for topic := range topics {
		if !strings.HasPrefix(topic, "s.") {
			continue
		}
		var last *schema.Table
		m.records(ctx, log, topic, 0, func(offset int64, r *connect.Record) {
			if r.Table != last {
				last = r.Table
				fmt.Fprintf(&text, "%s %+v\n", topic, *r.Table)
			}
			fmt.Fprintf(&text, "%s %d %c %b seq %d %s: %+v -> %+v\n", topic, offset, r.Op, r.Flags, r.Seq, time.UnixMicro(r.Time).UTC().Format("15:04:05.000"), shown(r.Before), shown(r.After))
		})
	}
	return text.Bytes()
}

// shown returns the values of a row to look at.
func shown(row schema.Row) (list []string) {
	for _, v := range row {
		n, _, b := v.Raw()
		list = append(list, fmt.Sprintf("%s %d %q", v.Kind(), n, b))
	}
	return list
}
