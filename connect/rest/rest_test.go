package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/loggers"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/connect/standalone"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// silent is a source that never gets anywhere.
type silent struct{}

func (silent) Open(context.Context, offsets.Position, []offsets.Entry) error { return nil }
func (silent) Read(ctx context.Context, _ *connect.Batch) error {
	<-ctx.Done()
	return ctx.Err()
}
func (silent) Commit(context.Context, offsets.Position) error { return nil }
func (silent) Head(context.Context) (offsets.Position, error) { return offsets.Position{1}, nil }
func (silent) Close() error                                   { return nil }

// counting is a source that tells of three rows, and then nothing.
type counting struct {
	silent
	told bool
}

var countTable = func() *schema.Table {
	t, err := schema.New(&schema.Table{Database: "d", Name: "t", Key: []int{0}, Primary: true, Columns: []schema.Column{{Name: "id", Type: schema.TypeBigInt}}})
	if err != nil {
		panic(err)
	}
	return t
}()

func (s *counting) Open(_ context.Context, from offsets.Position, _ []offsets.Entry) error {
	s.told = from != nil
	return nil
}
func (s *counting) Read(ctx context.Context, b *connect.Batch) error {
	if s.told {
		return s.silent.Read(ctx, b)
	}
	s.told = true
	for i := range 3 {
		r := b.Add()
		r.Op, r.Seq, r.Table, r.Topic = connect.OpInsert, uint64(i+1), countTable, "t"
		r.After = b.NewRow(1)
		r.After[0] = schema.MakeInt(int64(i))
		r.Flags |= connect.TxEnd
	}
	b.Pos = offsets.Position{3}
	return nil
}

// Signal takes one kind of signal.
func (*counting) Signal(_ context.Context, s connect.Signal) ([]string, error) {
	if s.Type != "execute-snapshot" {
		return nil, connect.Permanent(fmt.Errorf("signal %q is not known", s.Type))
	}
	return []string{s.Type}, nil
}

// void is a sink that drops all, or refuses to.
type void struct{ refuses bool }

func (v void) Open(context.Context) ([]offsets.Entry, error) {
	if v.refuses {
		return nil, connect.Permanent(fmt.Errorf("the target says no"))
	}
	return nil, nil
}
func (void) Write(context.Context, *connect.Batch) error { return nil }
func (void) Close() error                                { return nil }

// picky is a sink that refuses rows with some ids.
type picky struct {
	void
	ids []string
}

func (p picky) Write(_ context.Context, b *connect.Batch) error {
	var be connect.BatchError
	for i := range b.Records {
		r := &b.Records[i]
		if !r.Op.HasRow() {
			continue
		}
		if n := r.Key()[0].Int(); slices.Contains(p.ids, fmt.Sprint(n)) {
			be.Failed = append(be.Failed, connect.RecordError{Index: i, Err: fmt.Errorf("column id: %d is not welcome", n)})
		}
	}
	if len(be.Failed) > 0 {
		return &be
	}
	return nil
}

func registry() *config.Registry {
	return &config.Registry{
		Connectors: []connect.Plugin{
			{Name: "silent", Aliases: []string{"org.example.SilentConnector"}, Doc: "Says nothing.",
				Options: []connect.Option{
					{Name: "secret", Type: connect.TypePassword, Importance: connect.High, Group: "Silence", Doc: "What is not said."},
					{Name: "depth", Type: connect.TypeInt, Default: "7", Min: 1, Max: 9, Doc: "How deep it is."}},
				Source: func(connect.Config, connect.Env) (connect.Source, error) { return silent{}, nil },
				Covers: func(pos, head offsets.Position) bool { return len(pos) > 0 }},
			{Name: "counting", Source: func(connect.Config, connect.Env) (connect.Source, error) { return &counting{}, nil },
				Describe: func(pos offsets.Position) string { return fmt.Sprint(pos[0], " rows") }},
			{Name: "picky", Options: []connect.Option{{Name: "refuse", Type: connect.TypeList}},
				Sink: func(cfg connect.Config, _ connect.Env) (connect.Sink, error) {
					return picky{ids: cfg.List("refuse")}, nil
				}},
			{Name: "void", Options: []connect.Option{{Name: "refuses", Type: connect.TypeBoolean, Default: "false"}},
				Sink: func(cfg connect.Config, _ connect.Env) (connect.Sink, error) { return void{cfg.Bool("refuses")}, nil }},
		},
		Converters: []connect.Plugin{frame.Plugin()},
	}
}

// rig is a worker with its HTTP side.
type rig struct {
	handler *Handler
	herder  *standalone.Herder
	doc     node // what describes it, for tables
}

func newRig(t *testing.T, files ...*config.File) *rig { return newRigWith(t, Options{}, files...) }

// rigOptions returns the options of a handler, without those of its herder.
func rigOptions(reg *prometheus.Registry) Options {
	return Options{Registry: registry(), Metrics: reg, Logger: slog.New(slog.DiscardHandler), Version: "v1", Commit: "c0ffee", Levels: loggers.New(slog.LevelInfo)}
}

func newRigWith(t *testing.T, with Options, files ...*config.File) *rig {
	reg := prometheus.NewRegistry()
	opts := rigOptions(reg)
	opts.Accounts, opts.Origins, opts.NoTopics, opts.KeepTopics = with.Accounts, with.Origins, with.NoTopics, with.KeepTopics
	w := worker.New(opts.Logger, worker.NewMetrics(reg))
	log := memlog.New()
	putSchemas(t, log.Store())
	w.Use(log)
	h := standalone.New(standalone.Options{Registry: opts.Registry, Worker: w, Logger: opts.Logger, Levels: opts.Levels, WorkerID: func() string { return "here:8083" }})
	if err := h.Load(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Stay(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		log.Close()
	})
	opts.TaskMetrics, opts.Log, opts.Herder = w.TaskMetrics(), w.Log, h
	return &rig{handler: New(opts), herder: h}
}

// quiet is a connector that a file gives.
func quiet() *config.File {
	return &config.File{Name: "quiet", Path: "quiet.json", Config: map[string]string{"connector.class": "silent"}}
}

// ask sends a request as from this machine, and returns the answer.
func (r *rig) ask(method, path, kind, body string) *httptest.ResponseRecorder {
	return r.askBy("127.0.0.1:8083", method, path, kind, body, nil)
}

func (r *rig) askBy(addr, method, path, kind, body string, header http.Header) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
	for k, v := range header {
		req.Header[k] = v
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	rw := httptest.NewRecorder()
	at, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		panic(err)
	}
	r.handler.on(at).ServeHTTP(rw, req)
	return rw
}

// await asks until the answer has text in it.
func (r *rig) await(t *testing.T, path, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		body := r.ask("GET", path, "", "").Body.String()
		if strings.Contains(body, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s says %s and never %s", path, body, text)
		}
	}
}

func TestOwnRoutes(t *testing.T) {
	r := newRig(t, quiet())
	r.await(t, "/v1/status", "RUNNING")
	r.await(t, "/metrics", `towline_queue_capacity_units{connector="quiet",task="0"} 16`) // it reads, a while later
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"/metrics", 200, `towline_task_starts_total{connector="quiet",task="0"} 1`},
		{"/metrics?tables=false", 200, `towline_task_records_total{connector="quiet",task="0",what="written"} 0`},
		{"/metrics?tables=no", 400, "tables=no is neither true nor false"},
		{"/v1/status", 200, `"waiting":"source quiet-0 has not read all yet"`},
		{"/v1/status?wait=100ms", 504, "not all has arrived within 100ms"},
		{"/v1/status?wait=1ms", 504, `{"error_code":504,"message":"not all`},
		{"/v1/status?wait=soon", 400, "wait=soon is not a duration"},
		{"/v1/status?wait=-1s", 400, "is not a duration"},
	} {
		a := r.ask("GET", c.path, "", "")
		if a.Code != c.code || !strings.Contains(a.Body.String(), c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.path, a.Code, a.Body, c.code, c.want)
		}
	}
}

// starting is a herder that has started when it has been asked a few times.
type starting struct {
	herder.Herder
	left int
}

func (s *starting) Health(ctx context.Context) error {
	if s.left--; s.left >= 0 {
		return herder.ErrStarting
	}
	return s.Herder.Health(ctx)
}

func (s *starting) Wait(ctx context.Context) error {
	if s.left >= 0 {
		return herder.ErrStarting
	}
	return nil
}

// Who waits for all to arrive waits for a worker that starts, too.
func TestWaitBeforeStarted(t *testing.T) {
	r := newRig(t, quiet())
	for _, c := range []struct {
		left, code int
		wait       string
	}{{3, 200, "1m"}, {1 << 30, 504, "50ms"}} {
		r.handler.opts.Herder = &starting{r.herder, c.left}
		if a := r.ask("GET", "/v1/status?wait="+c.wait, "", ""); a.Code != c.code {
			t.Errorf("%d: %d %s, want %d", c.left, a.Code, a.Body, c.code)
		}
	}
}

// Whatever is wrong with a signal is said, and no page of a browser can send
// one.
func TestSignalsThatAreRefused(t *testing.T) {
	r := newRig(t, quiet())
	for _, c := range []struct {
		kind, query, body string
		code              int
		says              string
	}{
		{"text/plain", "", `{"type": "pause-snapshot"}`, http.StatusUnsupportedMediaType, "application/json"},
		{"application/json", "", `{"kind": "x"}`, http.StatusBadRequest, "a signal is"},
		{"application/json", "?connector=nix", `{"type": "x"}`, http.StatusBadRequest, "there are: quiet"},
	} {
		a := r.ask("POST", "/v1/signals"+c.query, c.kind, c.body)
		if a.Code != c.code || !strings.Contains(a.Body.String(), c.says) {
			t.Errorf("%s %s: %d %s, want %d and %q", c.kind, c.body, a.Code, a.Body, c.code, c.says)
		}
	}
	r.await(t, "/v1/status", "RUNNING")
	if a := r.ask("POST", "/v1/signals", "application/json", `{"type": "x"}`); a.Code != 400 || !strings.Contains(a.Body.String(), "takes no signals") {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

// What changes something is not taken from other machines, from pages of other
// sites, or under the name of one that points here.
func TestWhoMayChange(t *testing.T) {
	r := newRig(t)
	header := func(k, v string) http.Header { return http.Header{k: {v}} }
	const body = `{"name": "a", "config": {"connector.class": "silent"}}`
	for _, c := range []struct {
		what, addr, method, path string
		header                   http.Header
		code                     int
	}{
		{"a page of another site", "127.0.0.1:80", "POST", "/connectors", header("Origin", "http://elsewhere.example"), 403},
		{"a page of another site", "127.0.0.1:80", "POST", "/connectors/a/restart", header("Sec-Fetch-Site", "cross-site"), 403},
		{"a name that points here", "127.0.0.1:80", "GET", "/connectors", header("Host", "elsewhere.example"), 403},
		{"another machine", "192.0.2.1:80", "POST", "/connectors", nil, 403},
		{"another machine", "192.0.2.1:80", "PUT", "/connectors/a/pause", nil, 403},
		{"another machine that reads", "192.0.2.1:80", "GET", "/connectors", nil, 200},
		{"another machine that reads rows", "192.0.2.1:80", "GET", "/v1/connectors/a/deadletters", nil, 403},
		{"another machine that reads a row", "192.0.2.1:80", "GET", "/v1/connectors/a/deadletters/1", nil, 403},
		{"another machine that drops rows", "192.0.2.1:80", "DELETE", "/v1/connectors/a/deadletters/1", nil, 403},
		{"another machine that validates", "192.0.2.1:80", "PUT", "/connector-plugins/silent/config/validate", nil, 403},
		{"this machine", "127.0.0.1:80", "GET", "/connectors", header("Host", "localhost:80"), 200},
		{"this machine", "[::1]:80", "POST", "/connectors", header("Host", "[::1]:80"), 201},
	} {
		if a := r.askBy(c.addr, c.method, c.path, "application/json", body, c.header); a.Code != c.code {
			t.Errorf("%s: %s %s: %d %s, want %d", c.what, c.method, c.path, a.Code, a.Body, c.code)
		}
	}
}

// With accounts, a role is what counts, wherever a request comes from.
func TestAccounts(t *testing.T) {
	r := newRigWith(t, Options{Accounts: []Account{{"ann", "a-secret", Admin}, {"bob", "b-secret", Reader}, {"", "t-secret", Admin}}})
	basic := func(name, secret string) http.Header {
		req := httptest.NewRequest("GET", "/", nil)
		req.SetBasicAuth(name, secret)
		return http.Header{"Authorization": req.Header["Authorization"]}
	}
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	const body = `{"connector.class": "silent"}`
	for _, c := range []struct {
		what, method, path string
		header             http.Header
		code               int
	}{
		{"nobody", "GET", "/connectors", nil, 401},
		{"nobody", "GET", "/metrics", nil, 401},
		{"nobody who asks for health", "GET", "/health", nil, 200},
		{"a wrong password", "GET", "/connectors", basic("ann", "b-secret"), 401},
		{"a wrong name", "GET", "/connectors", basic("eve", "a-secret"), 401},
		{"a password as token", "GET", "/connectors", bearer("a-secret"), 401},
		{"a token as password", "GET", "/connectors", basic("", "t-secret"), 401},
		{"nonsense", "GET", "/connectors", http.Header{"Authorization": {"x"}}, 401},
		{"a reader", "GET", "/connectors", basic("bob", "b-secret"), 200},
		{"a reader of rows", "GET", "/v1/connectors/a/deadletters", basic("bob", "b-secret"), 404},
		{"a reader who drops rows", "DELETE", "/v1/connectors/a/deadletters/1", basic("bob", "b-secret"), 403},
		{"nobody who reads rows", "GET", "/v1/connectors/a/deadletters", nil, 401},
		{"a reader who writes", "PUT", "/connectors/a/config", basic("bob", "b-secret"), 403},
		{"a reader who signals", "POST", "/v1/signals", basic("bob", "b-secret"), 403},
		{"an admin", "PUT", "/connectors/a/config", basic("ann", "a-secret"), 201},
		{"an admin by token", "PUT", "/connectors/a/config", bearer("t-secret"), 200},
	} {
		for _, addr := range []string{"127.0.0.1:80", "192.0.2.1:80"} {
			code := c.code
			if code == 201 && addr != "127.0.0.1:80" {
				code = 200 // it is there by now
			}
			a := r.askBy(addr, c.method, c.path, "application/json", body, c.header)
			if a.Code != code || code == 401 && a.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s at %s: %s %s: %d %s, want %d", c.what, addr, c.method, c.path, a.Code, a.Body, code)
			}
		}
	}
}

// Pages of sites that are trusted may ask, and see the answers.
func TestOrigins(t *testing.T) {
	r := newRigWith(t, Options{Origins: []string{"https://ui.example"}})
	for origin, code := range map[string]int{"https://ui.example": 201, "https://other.example": 403} {
		a := r.askBy("127.0.0.1:80", "PUT", "/connectors/a/config", "application/json", `{"connector.class": "silent"}`, http.Header{"Origin": {origin}})
		if got := a.Header().Get("Access-Control-Allow-Origin"); a.Code != code || (got == origin) != (code == 201) {
			t.Errorf("%s: %d, %q", origin, a.Code, got)
		}
	}
	a := r.askBy("127.0.0.1:80", "OPTIONS", "/connectors", "", "", http.Header{"Origin": {"https://ui.example"}, "Access-Control-Request-Method": {"POST"}})
	if a.Code != 204 || !strings.Contains(a.Header().Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("%d %v", a.Code, a.Header())
	}
}

func TestTopicTracking(t *testing.T) {
	for _, c := range []struct {
		opts         Options
		method, path string
		want         string
	}{
		{Options{NoTopics: true}, "GET", "/connectors/quiet/topics", "Topic tracking is disabled."},
		{Options{NoTopics: true}, "PUT", "/connectors/quiet/topics/reset", "Topic tracking is disabled."},
		{Options{KeepTopics: true}, "PUT", "/connectors/quiet/topics/reset", "Topic tracking reset is disabled."},
	} {
		r := newRigWith(t, c.opts, quiet())
		if a, want := r.ask(c.method, c.path, "", ""), fmt.Sprintf(`{"error_code":403,"message":%q}`, c.want); a.Code != 403 || strings.TrimSpace(a.Body.String()) != want {
			t.Errorf("%s %s: %d %s, want %s", c.method, c.path, a.Code, a.Body, want)
		}
	}
}

// troubled is a herder that cannot answer.
type troubled struct {
	herder.Herder
	err error
}

func (h troubled) Health(context.Context) error           { return h.err }
func (h troubled) List(context.Context) ([]string, error) { return nil, h.err }

// A worker that cannot answer says so in the words of Kafka Connect.
func TestTrouble(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		err        error
		path, want string
		code       int
	}{
		{herder.ErrStarting, "/health", `{"message":"Worker is still starting up.","status":"starting"}`, 503},
		{herder.ErrStarting, "/connectors", `{"error_code":503,"message":"still starting up"}`, 503},
		{errors.New("no broker"), "/health", `{"message":"Worker was unable to handle this request and may be unable to handle other requests.","status":"unhealthy"}`, 500},
		{errors.New("no broker"), "/connectors", `{"error_code":500,"message":"no broker"}`, 500},
		{fmt.Errorf("read the state: %w", context.DeadlineExceeded), "/connectors", `{"error_code":500,"message":"Request timed out. read the state: context deadline exceeded"}`, 500},
		{herder.Errorf(herder.Conflict, "Connector c has been changed meanwhile"), "/connectors", `{"error_code":409,"message":"Connector c has been changed meanwhile"}`, 409},
		{herder.Errorf(herder.Forbidden, "not yours"), "/connectors", `{"error_code":403,"message":"not yours"}`, 403},
	} {
		r.handler.opts.Herder = troubled{err: c.err}
		if a := r.ask("GET", c.path, "", ""); a.Code != c.code || strings.TrimSpace(a.Body.String()) != c.want {
			t.Errorf("%v: %s: %d %s, want %d %s", c.err, c.path, a.Code, a.Body, c.code, c.want)
		}
	}
}

// No request takes more than its share.
func TestLimits(t *testing.T) {
	r := newRig(t)
	if a := r.ask("POST", "/connectors", "application/json", `{"name": "`+strings.Repeat("x", maxBody)+`"}`); a.Code != 413 {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	for range maxRequests {
		r.handler.busy <- struct{}{}
	}
	for range maxWaiting {
		r.handler.waiting <- struct{}{}
	}
	const body = `{"error_code":429,"message":"as many requests as this worker answers at once `
	for path, want := range map[string]string{"/connectors": body + "are", "/v1/status?wait=1s": body + "that wait are", "/health": `{"message":"Worker has`} {
		a := r.ask("GET", path, "", "")
		if limited := strings.HasPrefix(want, body); !strings.HasPrefix(a.Body.String(), want) || limited != (a.Code == 429) || limited != (a.Header().Get("Retry-After") == "1") {
			t.Errorf("%s: %d %s %v, want %s", path, a.Code, a.Body, a.Header(), want)
		}
	}
	<-r.handler.busy
	for range 2 { // a place is given back
		if a := r.ask("GET", "/connectors", "", ""); a.Code != 200 {
			t.Errorf("%d %s", a.Code, a.Body)
		}
	}
	if a := r.ask("GET", "/v1/status", "", ""); a.Code != 429 {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

// Who begins a request and does not go on is not waited for.
func TestSlowBody(t *testing.T) {
	r := newRig(t)
	r.handler.bodyTimeout = 50 * time.Millisecond
	addr := serve(t, r.handler)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /connectors HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", addr)
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"HTTP/1.1 408 Request Timeout", "Connection: close", `{"error_code":408,"message":"the body has not come within 50ms"}`} {
		if !strings.Contains(string(answer), want) {
			t.Errorf("%q is not in %s", want, answer)
		}
	}
}

// serve serves a handler until the test ends.
func serve(t *testing.T, h *Handler) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestServeStops(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, r.handler) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/connectors/")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(body) != "[]\n" {
		t.Errorf("%s, %v", body, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
