package worker

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/convert"
)

// A sink may leave out one table where others do not depend on it and it is
// told in order when the table begins anew; and what it has stopped is on show.
func TestWhereASinkMayStopATable(t *testing.T) {
	for _, c := range []struct {
		name       string
		partitions int
		sink       map[string]string
		barriers   bool
		why        string
	}{
		{name: "a table for itself"},
		{name: "dead letters", sink: map[string]string{"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead"}},
		{name: "several partitions", partitions: 3, why: "3 partitions"},
		{name: "several partitions, of which the sink knows", partitions: 3, barriers: true},
		{name: "whole transactions", sink: map[string]string{"transaction.mode": "source"}, why: "transaction.mode=source"},
		{name: "json", sink: map[string]string{"value.converter": "json"}, why: "value.converter=json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, 1, true, true)
			g.faults.left, g.partitions = 0, c.partitions
			g.reg.Converters = append(g.reg.Converters, convert.Plugins()...)
			var env connect.Env
			sink := g.reg.Connectors[1].Sink
			g.reg.Connectors[1].Barriers = c.barriers
			g.reg.Connectors[1].Sink = func(cfg connect.Config, e connect.Env) (connect.Sink, error) {
				env = e
				return sink(cfg, e)
			}
			values := map[string]string{"lanes": "1"}
			for k, v := range c.sink {
				values[k] = v
			}
			w := g.worker(values)
			s := w.named("dst")[0]
			if _, err := s.conn.Plugin.Sink(s.cfg, s.env(0, 1)); err != nil {
				t.Fatal(err)
			}
			if err := g.log.CreateTopic(t.Context(), "topic", int32(max(1, c.partitions))); err != nil {
				t.Fatal(err)
			}
			why, err := env.MayStop(t.Context(), "topic")
			if err != nil || (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
				t.Fatalf("%q, %v; want %q", why, err, c.why)
			}
			if env.Tolerant != (c.sink["errors.tolerance"] == "all") {
				t.Fatalf("tolerant is %t", env.Tolerant)
			}
		})
	}
}

func TestTablesThatASinkHasStoppedAreOnShow(t *testing.T) {
	g := newRig(t, 1, true, false)
	g.faults.left = 0
	reg := prometheus.NewRegistry()
	w := g.worker(map[string]string{})
	w.metrics = NewMetrics(reg)
	s := w.named("dst")[0]
	env := s.env(0, 1)
	env.Report(connect.TableStatus{Table: "a.b", State: connect.TableStopped, Reason: "why"})
	env.Report(connect.TableStatus{Table: "a.c", State: connect.TableFollowing})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	st := w.Status(ctx)
	if got := st.Connectors[1].Tables; len(got) != 1 || got[0].Table != "a.b" || got[0].Reason != "why" {
		t.Fatalf("%+v", got)
	}
	if why := w.sinksBehind(ctx, true); !strings.Contains(why, "a.b is stopped: why") {
		t.Fatal(why)
	}
	if why := w.sinksBehind(ctx, false); why != "" {
		t.Fatalf("a stopped table is waited for: %s", why)
	}
}
