package rest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// silent is a source that never gets anywhere.
type silent struct{}

func (silent) Open(context.Context, offsets.Position, []offsets.Entry) error { return nil }
func (silent) Read(ctx context.Context, _ *connect.Batch) error {
	<-ctx.Done()
	return ctx.Err()
}
func (silent) Commit(context.Context, offsets.Position) error       { return nil }
func (silent) Head(context.Context) (offsets.Position, error)       { return offsets.Position{1}, nil }
func (silent) Close() error                                         { return nil }
func covers(pos, head offsets.Position) bool                        { return len(pos) > 0 }
func newSilent(connect.Config, connect.Env) (connect.Source, error) { return silent{}, nil }
func registry() *config.Registry {
	return &config.Registry{Connectors: []connect.Plugin{{Name: "silent", Source: newSilent, Covers: covers}}, Converters: []connect.Plugin{frame.Plugin()}}
}

func serve(t *testing.T) *httptest.Server {
	reg := prometheus.NewRegistry()
	w := worker.New(slog.New(slog.DiscardHandler), worker.NewMetrics(reg))
	log := memlog.New()
	w.Use(log)
	c, err := config.Build(registry(), &config.File{Name: "quiet", Config: map[string]string{"connector.class": "silent"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	srv := httptest.NewServer(Handler(w, reg, "v1"))
	t.Cleanup(func() {
		srv.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		log.Close()
	})
	return srv
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestRoutes(t *testing.T) {
	srv := serve(t)
	for deadline := time.Now().Add(time.Minute); ; { // until the task runs
		_, body := get(t, srv.URL+"/v1/status")
		if strings.Contains(body, "RUNNING") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the task does not run: %s", body)
		}
	}
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"/", 200, `{"version":"v1"}`},
		{"/health", 200, `"status":"healthy"`},
		{"/metrics", 200, `towline_task_starts_total{connector="quiet",task="0"} 1`},
		{"/metrics", 200, `towline_queue_capacity_units{connector="quiet",task="0"} 16`},
		{"/v1/status", 200, `"waiting":"source quiet-0 has not read all yet"`},
		{"/v1/status?wait=100ms", 504, "not all has arrived within 100ms"},
		{"/v1/status?wait=soon", 400, "wait=soon is not a duration"},
		{"/v1/status?wait=-1s", 400, "is not a duration"},
		{"/nowhere", 404, ""},
	} {
		code, body := get(t, srv.URL+c.path)
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.path, code, body, c.code, c.want)
		}
	}
	_, body := get(t, srv.URL+"/v1/status?wait=1ms")
	var e struct {
		Code    int `json:"error_code"`
		Message string
	}
	if json.Unmarshal([]byte(body), &e) != nil || e.Code != 504 || e.Message == "" {
		t.Errorf("the error is %s", body)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestServeStops(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, http.NotFoundHandler()) }()
	get(t, "http://"+l.Addr().String()+"/")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// Whatever is wrong with a signal is said, and no page of a browser can send
// one.
func TestSignalsThatAreRefused(t *testing.T) {
	srv := serve(t)
	for _, c := range []struct {
		kind, query, body string
		code              int
		says              string
	}{
		{"text/plain", "", `{"type": "pause-snapshot"}`, http.StatusUnsupportedMediaType, "application/json"},
		{"application/json", "", `{"kind": "x"}`, http.StatusBadRequest, "a signal is"},
		{"application/json", "?connector=nix", `{"type": "x"}`, http.StatusBadRequest, "there are: quiet"},
		{"application/json", "", `{"type": "x"}`, http.StatusBadRequest, "takes no signals"},
	} {
		resp, err := http.Post(srv.URL+"/v1/signals"+c.query, c.kind, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.code || !strings.Contains(string(b), c.says) {
			t.Errorf("%s %s: %d %s, want %d and %q", c.kind, c.body, resp.StatusCode, b, c.code, c.says)
		}
	}
}
