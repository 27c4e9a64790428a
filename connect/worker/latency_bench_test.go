package worker

import (
	"context"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/pebblelog"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// clockSink notes when each record came.
type clockSink struct {
	came []atomic.Int64 // by offset, nanoseconds
	zero time.Time
	done func()
}

func (s *clockSink) Open(context.Context) ([]offsets.Entry, error) { return nil, nil }
func (s *clockSink) Close() error                                  { return nil }

func (s *clockSink) Write(_ context.Context, b *connect.Batch) error {
	now := int64(time.Since(s.zero))
	for i := range b.Records {
		s.came[b.Records[i].Offset].Store(now)
		if int(b.Records[i].Offset) == len(s.came)-1 {
			s.done()
		}
	}
	return nil
}

// BenchmarkLatency is the way of a transaction of one row from the log, where
// it is durable, to the sink, at 1000 a second: what the sink side adds to what
// source, disk and target take.
func BenchmarkLatency(b *testing.B) {
	log, err := pebblelog.Open(pebblelog.Options{Dir: filepath.Join(b.TempDir(), "log")})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	if err := log.CreateTopic(b.Context(), "topic", 1); err != nil {
		b.Fatal(err)
	}
	conv, err := frame.Plugin().Converter(connect.Config{}, connect.Env{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	sink := &clockSink{came: make([]atomic.Int64, b.N), zero: time.Now(), done: cancel}
	id := taskID{connector: "sink"}
	task := &sinkTask{id: id, chain: &chain{}, converter: conv, log: log, wants: func(string) bool { return true }, shares: &shares{tasks: 1}, lanes: 4,
		meter: newMeter(NewMetrics(prometheus.NewRegistry()), id), progress: newProgress(),
		makeSink: func(int) (connect.Sink, error) { return sink, nil }}
	ended := make(chan error, 1)
	go func() { ended <- task.Run(ctx) }()
	appended := make([]int64, b.N)
	table := benchTable("sb")
	var batch connect.Batch
	var msgs connect.Messages
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	b.ResetTimer()
	for i := range b.N {
		<-tick.C
		batch.Reset()
		msgs.Reset()
		r := batch.Add()
		*r = connect.Record{Op: connect.OpDelete, Table: table, Topic: "topic", Flags: connect.TxEnd, Seq: uint64(i), Time: 1, Before: batch.NewRow(7)}
		r.Before[0] = schema.MakeInt(int64(i))
		if err := conv.Encode(&msgs, &batch); err != nil {
			b.Fatal(err)
		}
		if err := log.Append(ctx, msgs.List, nil); err != nil {
			b.Fatal(err)
		}
		appended[i] = int64(time.Since(sink.zero))
	}
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	took := make([]int64, b.N)
	for i := range took {
		took[i] = max(0, sink.came[i].Load()-appended[i])
	}
	slices.Sort(took)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50-us", 0.5}, {"p99-us", 0.99}, {"p99.9-us", 0.999}} {
		b.ReportMetric(float64(took[int(q.at*float64(b.N-1))])/1e3, q.name)
	}
	b.ReportMetric(0, "ns/op")
}
