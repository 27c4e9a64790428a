package report

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type counter struct {
	reports int
	fails   bool
}

func (c *counter) Report(ctx context.Context, _ time.Time, metrics []Metric) error {
	c.reports++
	if c.fails {
		return errors.New("nobody takes it")
	}
	return ctx.Err()
}

// There is a report every so often, also after one that failed, and one at the end.
func TestRun(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
			defer cancel()
			c := &counter{fails: fails}
			Run(ctx, 10*time.Second, func() ([]Metric, error) { return nil, nil }, c, slog.New(slog.DiscardHandler))
			if c.reports != 4 {
				t.Errorf("%d reports, want 4", c.reports)
			}
		})
	}
}

func TestTopic(t *testing.T) {
	log := memlog.New()
	defer log.Close()
	open := false
	r := &Topic{Name: "metrics", Worker: func() string { return "here:8083" }, Log: func() connect.Log {
		if !open {
			return nil
		}
		return log
	}}
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	list := []Metric{{"towline_lag_seconds", map[string]string{"task": "0"}, 1.5}, {"towline_up", nil, 1}}
	if err := r.Report(t.Context(), at, list); err == nil {
		t.Error("a report went to no log")
	}
	open = true
	for range 2 {
		if err := r.Report(t.Context(), at, list); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := log.OpenReader(t.Context(), []connect.Cursor{{Topic: "metrics", Offset: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var m connect.Messages
	if err := reader.Read(t.Context(), &m, 1<<20); err != nil {
		t.Fatal(err)
	}
	defer m.Reset()
	const want = `{"time":"2026-01-31T12:00:00Z","worker_id":"here:8083","metrics":[{"name":"towline_lag_seconds","labels":{"task":"0"},"value":1.5},{"name":"towline_up","value":1}]}`
	if got := m.List[0]; string(got.Value) != want || string(got.Key) != "here:8083" || got.Time != at.UnixMicro() || !json.Valid(got.Value) {
		t.Errorf("%s: %s at %d", got.Key, got.Value, got.Time)
	}
}
