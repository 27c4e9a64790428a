package worker

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
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

// countingSink counts records, and says so once there are enough.
type countingSink struct {
	n    *atomic.Int64
	want int64
	done func()
}

func (s *countingSink) Open(context.Context) ([]offsets.Entry, error) { return nil, nil }
func (s *countingSink) Close() error                                  { return nil }

func (s *countingSink) Write(_ context.Context, b *connect.Batch) error {
	if n := s.n.Add(int64(len(b.Records))); n >= s.want && n-int64(len(b.Records)) < s.want {
		s.done()
	}
	return nil
}

func benchTable(name string) *schema.Table {
	text := func(name string, length int) schema.Column {
		return schema.Column{Name: name, Type: schema.TypeVarchar, Length: length, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}
	}
	t, err := schema.New(&schema.Table{
		Database: "bench", Name: name, Primary: true, Key: []int{0},
		Columns: []schema.Column{
			{Name: "id", Type: schema.TypeBigInt},
			{Name: "k", Type: schema.TypeInt},
			text("c", 120), text("pad", 60),
			{Name: "amount", Type: schema.TypeDecimal, Precision: 12, Scale: 2},
			{Name: "at", Type: schema.TypeDateTime, Scale: 6},
			{Name: "doc", Type: schema.TypeJSON, Nullable: true},
		},
	})
	if err != nil {
		panic(err)
	}
	return t
}

// layout is how the rows of a benchmark lie in the log.
type layout struct {
	tables, topics, partitions int
	batch                      int // rows of an append
	lanes                      int
}

func (l layout) String() string {
	return fmt.Sprintf("tables=%d/topics=%d/partitions=%d/batch=%d/lanes=%d", l.tables, l.topics, l.partitions, l.batch, l.lanes)
}

const benchRows = 300_000

// fillLog appends rows in the layout, and returns the messages of the first
// appends.
func (l layout) fillLog(b *testing.B, log connect.Log) *connect.Messages {
	conv, err := frame.Plugin().Converter(connect.Config{}, connect.Env{})
	if err != nil {
		b.Fatal(err)
	}
	tables := make([]*schema.Table, l.tables)
	for i := range tables {
		tables[i] = benchTable(fmt.Sprintf("sb%d", i))
	}
	topics := make([]string, l.topics)
	for i := range topics {
		topics[i] = fmt.Sprintf("topic%d", i)
		if err := log.CreateTopic(b.Context(), topics[i], int32(l.partitions)); err != nil {
			b.Fatal(err)
		}
	}
	letters := make([]byte, 4096)
	for i := range letters {
		letters[i] = "0123456789-abcdefghijklmnop"[(i*i+i*7)%27]
	}
	var batch connect.Batch
	first, msgs := new(connect.Messages), new(connect.Messages)
	for done := 0; done < benchRows; done += l.batch {
		batch.Reset()
		o := batch.NewOrigin()
		*o = connect.Origin{ServerID: 1, File: "binlog.000123", Pos: uint64(done)}
		for i := range l.batch {
			n := done + i
			r := batch.Add()
			table := n / max(1, l.batch/8) % l.tables // runs of one table, as statements make them
			*r = connect.Record{Op: connect.OpInsert, Table: tables[table], Topic: topics[table%l.topics], Partition: int32(n % l.partitions),
				Seq: uint64(n), Time: 1750000000e6, Origin: o, Row: int32(i)}
			r.After = batch.NewRow(7)
			r.After[0], r.After[1] = schema.MakeInt(int64(n)), schema.MakeInt(int64(n%1000))
			r.After[2], r.After[3] = schema.MakeBytes(schema.String, letters[n%3900:][:119]), schema.MakeBytes(schema.String, letters[n%3800:][:59])
			r.After[4] = schema.MakeDecimal(int64(n)*7, 2)
			r.After[5] = schema.MakeDateTime(schema.Civil{Year: 2025, Month: 6, Day: 15, Hour: 12, Micro: n % 1e6}, 6)
			r.After[6] = schema.MakeBytes(schema.JSON, fmt.Appendf(nil, `{"id": %d, "tags": ["ab", "cd"]}`, n))
		}
		batch.Records[l.batch-1].Flags = connect.TxEnd
		to := msgs
		if done < benchRows/10 {
			to = first
		}
		at := len(to.List)
		if err := conv.Encode(to, &batch); err != nil {
			b.Fatal(err)
		}
		if err := log.Append(b.Context(), to.List[at:], nil); err != nil {
			b.Fatal(err)
		}
		if to == msgs {
			msgs.Reset()
		}
	}
	return first
}

// runTask runs a sink task over the log until it has written all rows.
func (l layout) runTask(b *testing.B, log connect.Log, name string) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	conv, err := frame.Plugin().Converter(connect.Config{}, connect.Env{})
	if err != nil {
		b.Fatal(err)
	}
	id := taskID{connector: name}
	re := regexp.MustCompile("^(?:topic.*)$")
	var n atomic.Int64
	t := &sinkTask{id: id, chain: &chain{}, converter: conv, log: log, wants: re.MatchString, shares: &shares{tasks: 1}, lanes: l.lanes,
		meter: newMeter(NewMetrics(prometheus.NewRegistry()), id), progress: newProgress(),
		makeSink: func(int) (connect.Sink, error) { return &countingSink{n: &n, want: benchRows, done: cancel}, nil }}
	if err := t.Run(ctx); err != nil {
		b.Fatal(err)
	}
	if n.Load() != benchRows {
		b.Fatalf("%d of %d rows", n.Load(), benchRows)
	}
}

// BenchmarkSink moves rows from the durable log to a sink that only counts.
// Its limit is decoding the frames and nothing else.
func BenchmarkSink(b *testing.B) {
	for _, l := range []layout{
		{1, 1, 1, 1000, 1}, {1, 1, 1, 1000, 4}, {1, 1, 8, 1000, 4}, {5000, 200, 8, 1000, 1}, {5000, 200, 8, 1000, 4}, {1, 1, 1, 10, 1},
	} {
		b.Run(l.String(), func(b *testing.B) {
			log, err := pebblelog.Open(pebblelog.Options{Dir: filepath.Join(b.TempDir(), "log")})
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close()
			msgs := l.fillLog(b, log)
			b.ResetTimer()
			for i := range b.N {
				l.runTask(b, log, fmt.Sprint("sink", i))
			}
			perRow := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / benchRows
			b.ReportMetric(perRow, "ns/row")
			b.ReportMetric(1e9/perRow, "rows/s")
			b.ReportMetric(0, "ns/op")
			b.StopTimer()
			limit := decodeAlone(b, msgs)
			b.ReportMetric(perRow/limit, "x-decode")
		})
	}
}

// decodeAlone returns the nanoseconds that decoding takes per row.
func decodeAlone(b *testing.B, msgs *connect.Messages) float64 {
	conv, err := frame.Plugin().Converter(connect.Config{}, connect.Env{})
	if err != nil {
		b.Fatal(err)
	}
	var batch connect.Batch
	rows := 0
	var took time.Duration
	for range 3 {
		for i := 0; i < len(msgs.List); i += 8 {
			batch.Reset()
			begin := time.Now()
			if err := conv.Decode(&batch, msgs.List[i:min(i+8, len(msgs.List))]); err != nil {
				b.Fatal(err)
			}
			took += time.Since(begin)
			rows += len(batch.Records)
		}
	}
	return float64(took.Nanoseconds()) / float64(rows)
}
