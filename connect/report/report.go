// Package report takes the metrics of a worker elsewhere, now and then: what Kafka
// Connect calls metric.reporters. A Reporter is where they go; Topic is one that
// writes them to a topic, from where a sink or any consumer of RocketMQ takes them.
//
// A report that fails is told of and left out: the next one has all numbers again.
// Nothing waits for a Reporter, and none decides anything.
package report

import (
	"context"
	"log/slog"
	"time"
)

// Metric is a number, by the name and labels that /metrics has for it.
type Metric struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	Value  float64           `json:"value"`
}

// Reporter is where metrics go.
type Reporter interface {
	// Report takes all metrics as of a time.
	Report(ctx context.Context, at time.Time, metrics []Metric) error
}

// Run reports until ctx ends, every so often and once more at the end, so that
// what a worker did last is told, too.
func Run(ctx context.Context, every time.Duration, gather func() ([]Metric, error), to Reporter, logger *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTimeout)
			defer cancel()
			once(last, gather, to, logger)
			return
		}
		rctx, cancel := context.WithTimeout(ctx, every)
		once(rctx, gather, to, logger)
		cancel()
	}
}

// lastTimeout bounds how long the end of a worker waits for its last report.
const lastTimeout = 5 * time.Second

func once(ctx context.Context, gather func() ([]Metric, error), to Reporter, logger *slog.Logger) {
	metrics, err := gather()
	if err == nil {
		err = to.Report(ctx, time.Now(), metrics)
	}
	if err != nil {
		logger.Warn("the metrics could not be reported; the next report has them again", "error", err)
	}
}
