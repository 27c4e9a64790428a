// Package discard is the sink "discard": it takes every record and drops it.
//
// It is for measuring: how fast a source and the topics are without a target,
// and what a source brings before there is one. Records are read from the
// topics, decoded, transformed and split over lanes as for any sink, and then
// counted by the worker as written: towline_records_total{what="written"} in
// the metrics, by table, and "records" in the status.
//
// It keeps no State, so the worker saves how far it is. It looks at no value,
// so there is nothing that it does not take, and a Write never fails. One
// goroutine uses a sink, as the contract says; sinks share nothing.
package discard

import (
	"context"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// Plugin returns the sink.
func Plugin() connect.Plugin {
	return connect.Plugin{
		Barriers: true,
		Name:     "discard",
		Doc:      "Counts records and drops them; to measure a source and the topics without a target.",
		Sink:     func(connect.Config, connect.Env) (connect.Sink, error) { return sink{}, nil },
		Lanes:    1,
	}
}

type sink struct{}

// Open implements connect.Sink.
func (sink) Open(context.Context) ([]offsets.Entry, error) { return nil, nil }

// Write implements connect.Sink.
func (sink) Write(ctx context.Context, _ *connect.Batch) error { return ctx.Err() }

// Close implements connect.Sink.
func (sink) Close() error { return nil }
