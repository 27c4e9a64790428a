package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/towline/towline/connect"
)

// Topic is a Reporter that writes each report to a topic, as one message in JSON:
//
//	{"time": "2026-01-31T12:00:00Z", "worker_id": "host:8083",
//	 "metrics": [{"name": "towline_lag_seconds", "labels": {"connector": "copy", "task": "0"}, "value": 0.2}, ...]}
//
// Its key is the worker.
type Topic struct {
	Name   string
	Worker func() string
	Log    func() connect.Log // the one in use; nil if there is none
}

// message is the value of a message.
type message struct {
	Time    time.Time `json:"time"`
	Worker  string    `json:"worker_id"`
	Metrics []Metric  `json:"metrics"`
}

// Report implements Reporter. It makes the topic if it is not there.
func (t *Topic) Report(ctx context.Context, at time.Time, metrics []Metric) error {
	log := t.Log()
	if log == nil {
		return errors.New("the log is not open")
	}
	worker := t.Worker()
	value, err := json.Marshal(message{at.UTC(), worker, metrics})
	if err != nil {
		return fmt.Errorf("make a report: %w", err)
	}
	if err := log.CreateTopic(ctx, t.Name, 1); err != nil {
		return fmt.Errorf("make topic %s: %w", t.Name, err)
	}
	m := []connect.Message{{Topic: t.Name, Count: 1, Time: at.UnixMicro(), Key: []byte(worker), Value: value}}
	if err := log.Append(ctx, m, nil); err != nil {
		return fmt.Errorf("append to topic %s: %w", t.Name, err)
	}
	return nil
}
