package worker

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/convert"
	"github.com/towline/towline/connect/frame"
	"github.com/towline/towline/connect/pebblelog"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// updates is a source of updates of one table that are ready at once.
type updates struct {
	table *schema.Table
	left  int
	seq   uint64
	text  []byte
}

const updatesPerBatch = 1000

func (u *updates) Open(context.Context, offsets.Position, []offsets.Entry) error { return nil }
func (u *updates) Commit(context.Context, offsets.Position) error                { return nil }
func (u *updates) Head(context.Context) (offsets.Position, error)                { return nil, nil }
func (u *updates) Close() error                                                  { return nil }

func (u *updates) Read(_ context.Context, b *connect.Batch) error {
	if u.left <= 0 {
		return io.EOF
	}
	u.left -= updatesPerBatch
	u.fill(b)
	b.Pos = binary.BigEndian.AppendUint64(nil, u.seq)
	return nil
}

func (u *updates) fill(b *connect.Batch) {
	o := b.NewOrigin()
	*o = connect.Origin{ServerID: 1, File: "binlog.000123", Pos: u.seq, GNO: int64(u.seq)}
	for i := range updatesPerBatch {
		u.seq++
		r := b.Add()
		*r = connect.Record{Op: connect.OpUpdate, Table: u.table, Topic: "bench.sb", Seq: u.seq, Time: 1750000000e6, Origin: o, Row: int32(i)}
		r.After, r.Before = b.NewRow(7), b.NewRow(7)
		n := int(u.seq)
		r.After[0], r.After[1] = schema.MakeInt(int64(n)), schema.MakeInt(int64(n%1000))
		r.After[2], r.After[3] = schema.MakeBytes(schema.String, u.text[n%3900:][:119]), schema.MakeBytes(schema.String, u.text[n%3800:][:59])
		r.After[4] = schema.MakeDecimal(int64(n)*7, 2)
		r.After[5] = schema.MakeDateTime(schema.Civil{Year: 2025, Month: 6, Day: 15, Hour: 12, Micro: n % 1e6}, 6)
		r.After[6] = schema.MakeBytes(schema.JSON, u.text[4000+n%40:][:40])
		copy(r.Before, r.After)
		r.Before[1], r.Before[4] = schema.MakeInt(int64(n)), schema.MakeDecimal(int64(n)*3, 2)
	}
}

// BenchmarkSource moves updates that are ready into the durable log, as frames
// and as JSON. Its limit is making the messages and nothing else.
func BenchmarkSource(b *testing.B) {
	text := make([]byte, 4096)
	for i := range text {
		text[i] = "0123456789-abcdefghijklmnop"[(i*i+i*7)%27]
	}
	json := convert.Plugins()[0]
	for _, c := range []struct {
		name   string
		plugin connect.Plugin
		values map[string]string
	}{
		{"frame", frame.Plugin(), nil},
		{"json/schemas=false", json, map[string]string{"schemas.enable": "false"}},
		{"json/schemas=true", json, nil},
	} {
		for _, partitions := range []int32{1, 8} {
			b.Run(fmt.Sprintf("%s/partitions=%d", c.name, partitions), func(b *testing.B) {
				log, err := pebblelog.Open(pebblelog.Options{Dir: filepath.Join(b.TempDir(), "log")})
				if err != nil {
					b.Fatal(err)
				}
				defer log.Close()
				conv, err := c.plugin.Converter(connect.NewConfig(c.plugin.Name, c.plugin.Options, c.values), connect.Env{Connector: "srv"})
				if err != nil {
					b.Fatal(err)
				}
				id := taskID{connector: "src"}
				src := &updates{table: benchTable("sb"), left: b.N * updatesPerBatch, text: text}
				task := &sourceTask{id: id, source: src, chain: &chain{}, converter: conv, log: log, partitions: partitions,
					meter: newMeter(NewMetrics(prometheus.NewRegistry()), id), progress: newProgress()}
				b.ResetTimer()
				if err := task.Run(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				perRow := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / updatesPerBatch
				b.ReportMetric(perRow, "ns/record")
				b.ReportMetric(1e9/perRow, "records/s")
				b.ReportMetric(perRow/encodeAlone(b, conv, src), "x-encode")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// encodeAlone returns the nanoseconds that encoding takes per record.
func encodeAlone(b *testing.B, conv connect.Converter, src *updates) float64 {
	var batch connect.Batch
	var msgs connect.Messages
	src.fill(&batch)
	const rounds = 50
	begin := time.Now()
	for range rounds {
		msgs.Reset()
		if err := conv.Encode(&msgs, &batch); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(begin).Nanoseconds()) / rounds / updatesPerBatch
}
