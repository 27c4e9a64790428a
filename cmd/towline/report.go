package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/report"
	"github.com/towline/towline/connect/worker"
)

// reportOptions are the keys of a worker whose metrics go elsewhere.
func reportOptions() []connect.Option {
	return []connect.Option{
		{Name: "metric.reporters", Type: connect.TypeList, Values: []string{"topic"}, Doc: "Where metrics go, beside `/metrics`: `topic` writes them to a topic, as JSON."},
		{Name: "metric.reporters.topic.name", Type: connect.TypeString, Default: "towline-metrics", Doc: "The name of that topic."},
		{Name: "metric.reporters.interval.ms", Type: connect.TypeLong, Default: "60000", Min: 1000, Max: 86_400_000, Doc: "How often they go there."},
	}
}

// reports are what a configuration says of reporters.
type reports struct {
	topic string // "": none
	every time.Duration
}

func reportConfig(cfg connect.Config) (reports, error) {
	if len(cfg.List("metric.reporters")) == 0 {
		for _, o := range reportOptions() {
			if cfg.Given(o.Name) && o.Name != "metric.reporters" {
				return reports{}, fmt.Errorf("%s: has no use without metric.reporters", o.Name)
			}
		}
		return reports{}, nil
	}
	return reports{topic: cfg.String("metric.reporters.topic.name"), every: cfg.Millis("metric.reporters.interval.ms")}, nil
}

// start reports the metrics of a worker until stop is called, which waits for the
// last report.
func (r reports) start(ctx context.Context, w *worker.Worker, id func() string, logger *slog.Logger) (stop func()) {
	if r.topic == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		report.Run(ctx, r.every, w.Values, &report.Topic{Name: r.topic, Worker: id, Log: w.Log}, logger)
	}()
	return func() { cancel(); <-done }
}
