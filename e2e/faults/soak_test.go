package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/process"
	"github.com/towline/towline/e2e/workload"
)

// soakTime and soakRate are how long the soak writes and how many transactions
// a second it tries to make. TOWLINE_SOAK (a duration) and TOWLINE_SOAK_RATE
// set others.
func soakTime(t *testing.T) time.Duration {
	if d, ok := durationOf(t, "TOWLINE_SOAK"); ok {
		return d
	}
	return 16 * time.Second
}

// durationOf returns the duration that a variable of the environment has, if it is
// set.
func durationOf(t *testing.T, variable string) (d time.Duration, ok bool) {
	s := os.Getenv(variable)
	if s == "" {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("%s=%s is not a duration", variable, s)
	}
	return d, true
}

func soakRate(t *testing.T) int {
	s := os.Getenv("TOWLINE_SOAK_RATE")
	if s == "" {
		return 300
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("TOWLINE_SOAK_RATE=%s is not a number", s)
	}
	return n
}

// Everything at once: DDL, XA transactions with late outcomes, large ones,
// compressed ones, documents in parts, keys that change, tables without a key,
// at a high rate, while the program is killed every few seconds, and halfway
// the source moves to another server. In the end every target is what the
// source is.
func TestSoak(t *testing.T) {
	hook := newReceiver()
	server := httptest.NewServer(hook)
	defer server.Close()
	var proxy *mysqltest.Proxy
	r := newRig(t, options{rows: 2000, load: workload.Options{Writers: 4, Keyless: true, Types: true, DDL: true, Truncate: true, Reshape: true, Big: 3000,
		XA: true, JSON: true, Compression: true, Light: 8, Rate: soakRate(t), Pause: 5 * time.Millisecond},
		sink:       map[string]string{"schema.evolution": "full"},
		sourceAddr: func(r *rig) (string, int) { proxy = r.source.Proxy(t); return proxy.Host(), proxy.Port() }})
	r.proc.Args = append(r.proc.Args, r.file("hook", map[string]string{"connector.class": "webhook", "topics.regex": `w\.work\.docs`,
		"http.url": server.URL, "retry.max.attempts": "0", "errors.retry.delay.max.ms": "1000"}))
	next := mysqltest.Start(t)
	follow(t, next, r.source)

	half := soakTime(t) / 2
	r.soak(half)
	takeOver(t, next, r.source)
	proxy.Point(next.Addr())
	r.source = next
	r.load.Use(next.DB())
	r.soak(half)

	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	r.equal()
	if err := r.proc.Stop(); err != nil {
		t.Error(err)
	}
	checkLedger(t, r.ledger, true)
	sameRows(t, "ledger, hot", replay(t, r.ledger, "hot"), rowsOf(t, r.source, "hot"))
	sameRows(t, "ledger, docs", replay(t, r.ledger, "docs"), rowsOf(t, r.source, "docs"))
	hook.check(t, rowsOf(t, r.source, "docs"))
}

// soak writes for some time while the program is killed again and again. It
// ends with the program killed.
func (r *rig) soak(d time.Duration) {
	r.t.Helper()
	began, before := time.Now(), committed(r.t, r.source)
	stop := r.writing()
	kills := 0
	for ; time.Since(began) < d; kills++ {
		r.start()
		time.Sleep(100*time.Millisecond + rand.N(min(d/4, 5*time.Second)))
		if err, ended := r.proc.Ended(0); ended {
			r.t.Fatalf("the program ended by itself: %v\n%s", err, r.proc.LogTail(20))
		}
		r.proc.Kill()
		noneStopped(r.t, r.proc)
	}
	stop()
	n := committed(r.t, r.source) - before
	r.t.Logf("%d kills, %d statements of DDL; %d transactions in the source's log, %.0f a second", kills, r.load.Altered(), n, float64(n)/time.Since(began).Seconds())
}

// noneStopped fails once the program has stopped a table, when what led to it is
// still in its log's end.
func noneStopped(t *testing.T, p *process.Process) {
	t.Helper()
	log, err := os.ReadFile(p.Log)
	if err != nil {
		t.Fatal(err)
	}
	if i := bytes.Index(log, []byte("table is stopped")); i >= 0 {
		line, _, _ := bytes.Cut(log[i:], []byte("\n"))
		t.Fatalf("%s", line)
	}
}

// committed counts the transactions of a server's log by their GTIDs.
func committed(t *testing.T, s *mysqltest.Server) (n int) {
	t.Helper()
	for _, part := range strings.FieldsFunc(s.Query(t, "SELECT @@GLOBAL.gtid_executed")[0][0], func(c rune) bool { return strings.ContainsRune(":,\n ", c) }) {
		from, to, span := strings.Cut(part, "-")
		if !span {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 == nil && err2 == nil { // else it is a server or a tag
			n += last - first + 1
		}
	}
	return n
}

// image is a row of a target that keeps changes: its columns by name.
type image map[string]any

func (i image) id() string { return fmt.Sprintf("%.0f", i["id"]) }

// change is what a change says, in Debezium's envelope.
type change struct {
	Op            string
	Before, After image
	Source        struct{ Table string }
}

// apply puts a change into rows.
func (c *change) apply(rows map[string]image) {
	if c.Op == "t" {
		clear(rows)
		return
	}
	if c.Before != nil {
		delete(rows, c.Before.id())
	}
	if c.After != nil {
		rows[c.After.id()] = c.After
	}
}

// replay returns the rows that the ledger leaves of a table.
func replay(t *testing.T, path, table string) map[string]image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := map[string]image{}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var line struct {
			Topic string
			Value *change
		}
		if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Topic == "w.work."+table && line.Value != nil {
			line.Value.apply(rows)
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// rowsOf returns the rows that a server has of a table, in the form of those
// of a change.
func rowsOf(t *testing.T, s *mysqltest.Server, table string) map[string]image {
	t.Helper()
	list := map[string]string{"hot": "'id', id, 'v', v, 's', s", "docs": "'id', id, 'v', v, 'doc', CAST(doc AS CHAR), 'other', CAST(other AS CHAR)"}[table]
	rows := map[string]image{}
	for _, r := range s.Query(t, "SELECT id, JSON_OBJECT("+list+") FROM "+database+"."+table) {
		row := image{}
		if err := json.Unmarshal([]byte(r[1]), &row); err != nil {
			t.Fatal(err)
		}
		rows[r[0]] = row
	}
	return rows
}

// sameRows compares rows, documents by what they say.
func sameRows(t *testing.T, what string, got, want map[string]image) {
	t.Helper()
	if len(want) == 0 {
		t.Errorf("%s: the source has no rows", what)
	}
	wrong := 0
	for id, row := range want {
		if !reflect.DeepEqual(opened(got[id]), opened(row)) {
			if wrong++; wrong <= 3 {
				t.Errorf("%s: row %s is %v, and %v in the source", what, id, got[id], row)
			}
		}
	}
	if len(got) != len(want) || wrong > 0 {
		t.Errorf("%s: %d rows, %d in the source; %d are missing or wrong", what, len(got), len(want), wrong)
	}
}

// opened returns a row with documents in place of their text.
func opened(row image) image {
	open := image{}
	for name, v := range row {
		open[name] = v
		if text, ok := v.(string); ok && (name == "doc" || name == "other") {
			var doc any
			if json.Unmarshal([]byte(text), &doc) == nil {
				open[name] = doc
			}
		}
	}
	return open
}

// receiver is a webhook that keeps rows by what it is sent. What comes again
// it knows by its id.
type receiver struct {
	mu      sync.Mutex
	seen    map[string]bool
	rows    map[string]image
	repeats int
	fault   error
}

func newReceiver() *receiver { return &receiver{seen: map[string]bool{}, rows: map[string]image{}} }

func (h *receiver) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
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
	switch {
	case err != nil:
		h.fault = err
	case h.seen[id]:
		h.repeats++
	default:
		h.seen[id] = true
		c.apply(h.rows)
	}
}

func (h *receiver) check(t *testing.T, want map[string]image) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fault != nil {
		t.Error(h.fault)
	}
	t.Logf("webhook: %d changes, %d came again", len(h.seen), h.repeats)
	sameRows(t, "webhook, docs", h.rows, want)
}
