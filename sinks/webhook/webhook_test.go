package webhook

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secretA = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAAAAAAAAAA="
	secretB = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)

// request is one that the receiver got.
type request struct {
	id   string
	key  int64
	op   string
	body []byte
	head http.Header
}

// receiver is a server that verifies every signature.
type receiver struct {
	t      testing.TB
	server *httptest.Server
	answer func(n int, r *request, w http.ResponseWriter) // of request n, from 0; nil: 204

	mu   sync.Mutex
	got  []*request
	busy map[int64]bool // keys with a request under way
}

func newReceiver(t testing.TB, answer func(int, *request, http.ResponseWriter)) *receiver {
	r := &receiver{t: t, answer: answer, busy: map[int64]bool{}}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	body, err := io.ReadAll(hr.Body)
	if err == nil && hr.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	if err != nil {
		return // the client went away
	}
	for _, secret := range []string{secretA, secretB} {
		wh, err := standardwebhooks.NewWebhook(secret)
		if err == nil {
			err = wh.Verify(body, hr.Header)
		}
		if err != nil && hr.Header.Get("webhook-signature") != "" {
			r.t.Errorf("signature: %v", err)
		}
	}
	type row struct{ ID int64 }
	var env struct {
		Before, After *row
		Op            string
		ID            int64
	}
	if err := json.Unmarshal(body, &env); err != nil {
		r.t.Errorf("body %s: %v", body, err)
	}
	req := &request{id: hr.Header.Get("webhook-id"), op: env.Op, body: body, head: hr.Header, key: env.ID}
	if env.After != nil {
		req.key = env.After.ID
	} else if env.Before != nil {
		req.key = env.Before.ID
	}
	r.mu.Lock()
	n := len(r.got)
	r.got = append(r.got, req)
	if r.busy[req.key] {
		r.t.Errorf("two requests of key %d at the same time", req.key)
	}
	r.busy[req.key] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.busy[req.key] = false
		r.mu.Unlock()
	}()
	if r.answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r.answer(n, req, w)
}

func (r *receiver) requests() []*request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func newSink(t testing.TB, url string, extra map[string]string) *sink {
	t.Helper()
	values := map[string]string{optURL: url, optSecret: secretA + " " + secretB}
	for k, v := range extra {
		values[k] = v
	}
	p := Plugins()[0]
	made, err := p.Sink(connect.NewConfig("hook", p.Options, values), connect.Env{Connector: "hook"})
	if err != nil {
		t.Fatal(err)
	}
	s := made.(*sink)
	s.wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	if entries, err := s.Open(context.Background()); err != nil || entries != nil {
		t.Fatalf("%v, %v", entries, err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func table(t testing.TB) *schema.Table {
	tab, err := schema.New(&schema.Table{Database: "db", Name: "t", Key: []int{0}, Primary: true,
		Columns: []schema.Column{{Name: "id", Type: schema.TypeBigInt}, {Name: "n", Type: schema.TypeBigInt}}})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// batch returns n inserts, one for each of the ids in turn.
func batch(t testing.TB, n int, ids int64) *connect.Batch {
	b, tab := &connect.Batch{}, table(t)
	for i := range n {
		r := b.Add()
		r.Op, r.Table, r.Seq = connect.OpInsert, tab, uint64(i+1)
		r.After = schema.Row{schema.MakeInt(int64(i) % ids), schema.MakeInt(int64(i))}
	}
	return b
}

func status(code int) func(int, *request, http.ResponseWriter) {
	return func(_ int, _ *request, w http.ResponseWriter) { w.WriteHeader(code) }
}

func TestContract(t *testing.T) {
	connecttest.TestSink(t, func(t *testing.T) connecttest.SinkHarness {
		var accept http.HandlerFunc = func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				w.WriteHeader(http.StatusAccepted)
			}
		}
		server := httptest.NewServer(accept)
		t.Cleanup(server.Close)
		return connecttest.SinkHarness{
			New: func(t *testing.T) connect.Sink {
				p := Plugins()[0]
				s, err := p.Sink(connect.NewConfig("hook", p.Options, map[string]string{optURL: server.URL, optSecret: secretA}), connect.Env{Connector: "hook"})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Tune: func(g *connecttest.Gen) { g.Strict = true },
		}
	})
}

func TestOrderPerKey(t *testing.T) {
	var under, most atomic.Int64
	r := newReceiver(t, func(n int, _ *request, w http.ResponseWriter) {
		most.Store(max(most.Load(), under.Add(1)))
		defer under.Add(-1)
		if n%5 == 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	s := newSink(t, r.server.URL, map[string]string{optInFlight: "4", optAttempts: "0"})
	if err := s.Write(context.Background(), batch(t, 200, 7)); err != nil {
		t.Fatal(err)
	}
	last, ids := map[int64]int64{}, map[string]bool{}
	for _, req := range r.requests() {
		var env struct{ After struct{ N int64 } }
		if err := json.Unmarshal(req.body, &env); err != nil {
			t.Fatal(err)
		}
		if n := env.After.N + 1; n < last[req.key] {
			t.Fatalf("key %d: change %d after %d", req.key, n, last[req.key])
		} else {
			last[req.key] = n
		}
		ids[req.id] = true
	}
	if len(ids) != 200 || most.Load() > 4 {
		t.Fatalf("%d ids, %d at once", len(ids), most.Load())
	}
}

// A truncate comes after all before it and before all after it.
func TestTableRecordsAreAlone(t *testing.T) {
	r := newReceiver(t, nil)
	b := batch(t, 20, 20)
	b.Records[10].Op, b.Records[10].After = connect.OpTruncate, nil
	if err := newSink(t, r.server.URL, nil).Write(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	for i, req := range r.requests() {
		if want := i == 10; (req.op == "t") != want {
			t.Fatalf("request %d has op %s", i, req.op)
		}
		if req.op == "c" && (req.key < 10) != (i < 10) {
			t.Fatalf("key %d is request %d", req.key, i)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	r := newReceiver(t, func(n int, _ *request, w http.ResponseWriter) {
		if n == 0 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	b := batch(t, 1, 1)
	for range 2 { // before and after a restart
		if err := newSink(t, r.server.URL, nil).Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	got := r.requests()
	if len(got) != 3 || got[0].id != got[1].id || got[1].id != got[2].id || !strings.HasPrefix(got[0].id, "msg_") || !bytes.Equal(got[0].body, got[2].body) {
		t.Fatalf("%d requests: %+v", len(got), got)
	}
	base := b.Records[0]
	seen := map[string]string{got[0].id: "the first"}
	for name, change := range map[string]func(r *connect.Record){
		"seq": func(r *connect.Record) { r.Seq++ }, "op": func(r *connect.Record) { r.Op = connect.OpRead },
		"key":   func(r *connect.Record) { r.After = schema.Row{schema.MakeInt(9), schema.MakeInt(0)} },
		"place": func(r *connect.Record) { r.Seq, r.Offset = 0, 5 }, "other place": func(r *connect.Record) { r.Seq, r.Offset = 0, 6 },
	} {
		rec := base
		change(&rec)
		id, _ := messageID("hook", &rec, nil)
		if other := seen[id]; other != "" {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[id] = name
	}
	if id, _ := messageID("other", &base, nil); seen[id] != "" {
		t.Error("another connector has the same id")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		value      string
		least, max time.Duration
	}{
		{"7", 7 * time.Second, 8 * time.Second}, {"Fri, 02 Jan 2026 03:05:05 GMT", time.Minute, 61 * time.Second},
		{"Fri, 02 Jan 2026 03:00:00 GMT", 0, time.Second}, {"99999", 300 * time.Second, 301 * time.Second},
		{"-5", 0, time.Second}, {"soon", 0, time.Second}, {"", 0, time.Second}, {"99999999999999999999", 0, time.Second},
	} {
		r := newReceiver(t, func(n int, _ *request, w http.ResponseWriter) {
			if n == 0 {
				w.Header().Set("Retry-After", c.value)
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})
		s := newSink(t, r.server.URL, nil)
		var pauses []time.Duration
		s.wait = func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }
		s.now = func() time.Time { return now }
		s.secrets = nil // the clock is wrong, and the receiver would say so
		if err := s.Write(context.Background(), batch(t, 1, 1)); err != nil {
			t.Fatal(err)
		}
		if len(pauses) != 1 || pauses[0] < c.least || pauses[0] > c.max {
			t.Errorf("%q: pauses %v", c.value, pauses)
		}
	}
}

func TestPausesGrow(t *testing.T) {
	p := policy{first: time.Second, most: 10 * time.Second, afterMost: time.Minute}
	for attempts, limit := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 1000: 10 * time.Second} {
		var longest time.Duration
		for range 1000 {
			longest = max(longest, p.pause(attempts, 0))
		}
		if longest > limit || longest < limit/2 {
			t.Errorf("after %d attempts the longest pause is %s, the limit %s", attempts, longest, limit)
		}
	}
}

func TestRetriesAreExhausted(t *testing.T) {
	for _, code := range []int{408, 425, 429, 500, 502, 503, 504} {
		r := newReceiver(t, status(code))
		s := newSink(t, r.server.URL, map[string]string{optAttempts: "3"})
		err := s.Write(context.Background(), batch(t, 1, 1))
		var be *connect.BatchError
		if err == nil || errors.As(err, &be) || connect.IsPermanent(err) || !strings.Contains(err.Error(), "3 attempts") {
			t.Errorf("%d: %v", code, err)
		}
		if n := len(r.requests()); n != 3 {
			t.Errorf("%d: %d requests", code, n)
		}
	}
	r := newReceiver(t, func(_ int, req *request, w http.ResponseWriter) {
		if req.key == 1 {
			w.WriteHeader(500)
		}
	})
	s := newSink(t, r.server.URL, map[string]string{optAttempts: "0", optAge: "1000", optExhausted: "record"})
	var clock atomic.Int64
	s.now = func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
	s.wait = func(context.Context, time.Duration) error { clock.Add(int64(300 * time.Millisecond)); return nil }
	var be *connect.BatchError
	if err := s.Write(context.Background(), batch(t, 3, 3)); !errors.As(err, &be) || len(be.Failed) != 1 || be.Failed[0].Index != 1 {
		t.Fatalf("%v", err)
	}
}

func TestRefusedRecords(t *testing.T) {
	r := newReceiver(t, func(_ int, req *request, w http.ResponseWriter) {
		if req.key%2 == 1 {
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, "no odd ids")
		}
	})
	err := newSink(t, r.server.URL, nil).Write(context.Background(), batch(t, 12, 6))
	var be *connect.BatchError
	if !errors.As(err, &be) || len(be.Failed) != 6 || !strings.Contains(err.Error(), "422") || !strings.Contains(err.Error(), "no odd ids") || !strings.Contains(err.Error(), "db.t") {
		t.Fatalf("%v", err)
	}
	for i, f := range be.Failed {
		if f.Index != 2*i+1 {
			t.Fatalf("failure %d is record %d", i, f.Index)
		}
	}
	if n := len(r.requests()); n != 12 {
		t.Fatalf("%d requests", n)
	}
}

func TestRecordsWithoutJSON(t *testing.T) {
	r := newReceiver(t, nil)
	b := batch(t, 3, 3)
	b.Records[1].After[1] = schema.MakeString("x")
	var be *connect.BatchError
	if err := newSink(t, r.server.URL, nil).Write(context.Background(), b); !errors.As(err, &be) || len(be.Failed) != 1 || be.Failed[0].Index != 1 || len(r.requests()) != 2 {
		t.Fatalf("%v", err)
	}
}

func TestPermanentAnswers(t *testing.T) {
	elsewhere := newReceiver(t, nil)
	for code, want := range map[int]string{410: "does not want", 301: "redirects", 302: "redirects", 307: "redirects", 308: "redirects"} {
		r := newReceiver(t, func(_ int, _ *request, w http.ResponseWriter) {
			w.Header().Set("Location", elsewhere.server.URL)
			w.WriteHeader(code)
		})
		err := newSink(t, r.server.URL, map[string]string{optInFlight: "1"}).Write(context.Background(), batch(t, 5, 5))
		if !connect.IsPermanent(err) || !strings.Contains(err.Error(), want) || len(r.requests()) != 1 {
			t.Errorf("%d: %v after %d requests", code, err, len(r.requests()))
		}
	}
	if n := len(elsewhere.requests()); n != 0 {
		t.Fatalf("%d redirects were followed", n)
	}
}

func TestSlowReceiver(t *testing.T) {
	release := make(chan struct{})
	r := newReceiver(t, func(n int, _ *request, _ http.ResponseWriter) {
		if n == 0 {
			<-release
		}
	})
	s := newSink(t, r.server.URL, map[string]string{optTimeout: "100", optAttempts: "1"})
	err := s.Write(context.Background(), batch(t, 1, 1))
	close(release)
	if err == nil || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Fatalf("%v", err)
	}
}

func TestCancelEndsWaits(t *testing.T) {
	r := newReceiver(t, status(503))
	s := newSink(t, r.server.URL, map[string]string{optAttempts: "0"})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.wait = func(ctx context.Context, _ time.Duration) error { cancel(); return wait(ctx, time.Hour) }
	if err := s.Write(ctx, batch(t, 1, 1)); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if s.waiting.Load() != 0 {
		t.Fatal("a request is still counted as waiting")
	}
}

func TestConnectionFaults(t *testing.T) {
	r := newReceiver(t, nil)
	url := r.server.URL
	r.server.Close()
	s := newSink(t, strings.Replace(url, "http://", "http://user:passw0rd@", 1)+"/hook?token=t0ken", map[string]string{optAttempts: "2"})
	err := s.Write(context.Background(), batch(t, 1, 1))
	if err == nil || connect.IsPermanent(err) || !strings.Contains(err.Error(), "/hook") {
		t.Fatalf("%v", err)
	}
	for _, hidden := range []string{"user", "passw0rd", "t0ken"} {
		if strings.Contains(err.Error(), hidden) {
			t.Fatalf("%s is in the error: %v", hidden, err)
		}
	}
}

func TestSecretsAreHidden(t *testing.T) {
	r := newReceiver(t, func(_ int, req *request, w http.ResponseWriter) {
		w.WriteHeader(403)
		fmt.Fprint(w, "bad token ", req.head.Get("Authorization"), " or ", req.head.Get("X-Key"), strings.Repeat("y", 50000))
	})
	s := newSink(t, r.server.URL, map[string]string{optAuthType: "static", optAuth: "Bearer s3cret", optHeaders: `X-Key: k3y\,part, X-Other: o`})
	err := s.Write(context.Background(), batch(t, 1, 1))
	if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "k3y") || !strings.Contains(err.Error(), "bad token [hidden] or [hidden]") || len(err.Error()) > 500 {
		t.Fatalf("%v", err)
	}
	head := r.requests()[0].head
	if head.Get("Authorization") != "Bearer s3cret" || head.Get("X-Key") != "k3y,part" || head.Get("X-Other") != "o" || head.Get("Content-Type") != "application/json" {
		t.Fatalf("%v", head)
	}
}

func TestGzipAndFlatRecords(t *testing.T) {
	r := newReceiver(t, nil)
	b := batch(t, 2, 2)
	b.Records[0].Flags = connect.Unwrapped
	b.Records[1].Op, b.Records[1].Before, b.Records[1].After, b.Records[1].Flags = connect.OpDelete, b.Records[1].After, nil, connect.Unwrapped
	if err := newSink(t, r.server.URL, map[string]string{optCompression: "gzip", optInFlight: "1"}).Write(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	got := r.requests()
	if string(got[0].body) != `{"id":0,"n":0}` || got[0].head.Get("Content-Encoding") != "gzip" || got[1].op != "d" || got[1].key != 1 {
		t.Fatalf("%s\n%s", got[0].body, got[1].body)
	}
}

func TestTLSAndReuse(t *testing.T) {
	r := &receiver{t: t, busy: map[int64]bool{}, answer: func(_ int, _ *request, w http.ResponseWriter) { fmt.Fprint(w, strings.Repeat("ok", 5000)) }}
	server := httptest.NewUnstartedServer(r)
	var conns atomic.Int64
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	if err := newSink(t, server.URL, map[string]string{optAttempts: "1"}).Write(context.Background(), batch(t, 1, 1)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("an unknown certificate: %v", err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	conns.Store(0)
	s := newSink(t, server.URL, map[string]string{optCA: ca, optInFlight: "1"})
	for range 3 {
		if err := s.Write(context.Background(), batch(t, 20, 5)); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Fatalf("%d connections", n)
	}
	if err := newSink(t, server.URL, map[string]string{optTrustAll: "true"}).Write(context.Background(), batch(t, 1, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestConfiguration(t *testing.T) {
	reg := &config.Registry{Connectors: Plugins(), Converters: []connect.Plugin{{Name: "frame"}}}
	build := func(extra ...string) error {
		f := &config.File{Name: "hook", Config: map[string]string{"connector.class": "io.aiven.kafka.connect.http.HttpSinkConnector", "topics": "t", "url": "https://h/x"}}
		for i := 0; i < len(extra); i += 2 {
			f.Config[extra[i]] = extra[i+1]
		}
		_, err := config.Build(reg, f)
		return err
	}
	if err := build(optSecret, secretA+" "+secretB, optAuthType, "static", optAuth, "Bearer x"); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{{optSecret, "whsec_short"}, {"url", "ftp://h"}, {"url", "https://u:p4ss@/\x7f"}, {optAuthType, "static"}, {optAuth, "x"}, {optHeaders, "no colon"}, {optInFlight, "0"}} {
		err := build(c[0], c[1])
		var ce *connect.ConfigError
		if !errors.As(err, &ce) || strings.Contains(err.Error(), "p4ss") {
			t.Errorf("%s=%s: %v", c[0], c[1], err)
		}
	}
}
