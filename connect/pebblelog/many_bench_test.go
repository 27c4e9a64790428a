package pebblelog

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/towline/towline/connect"
)

// BenchmarkManyPartitions appends packed frames of 14 KiB to 1,600 partitions in
// turns, as a source does that is behind, and reads them all from the first on.
// Each operation is of 512 MiB.
func BenchmarkManyPartitions(b *testing.B) {
	const topics, parts, size, group, total = 200, 8, 14 << 10, 24, 512 << 20
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([][]byte, 64)
	for i := range values {
		for values[i] = s2.Encode(nil, frame(rng, 3*size)); len(values[i]) < size; {
			values[i] = append(values[i], values[i]...)
		}
		values[i] = values[i][:size]
	}
	for range b.N {
		l := openLog(b, Options{})
		for t := range topics {
			mustCreate(b, l, fmt.Sprint("t", t), parts)
		}
		before := processor()
		for n := 0; n < total; n += size * group {
			var msgs []connect.Message
			for range group / parts {
				topic := fmt.Sprint("t", rng.IntN(topics))
				for p := range int32(parts) {
					msgs = append(msgs, connect.Message{Topic: topic, Partition: p, Value: values[rng.IntN(len(values))]})
				}
			}
			mustAppend(b, l, msgs...)
		}
		s := l.Stats()
		b.ReportMetric((processor() - before).Seconds(), "append-cpu-s")
		b.ReportMetric(float64(s.WrittenBytes)/total, "written/byte")
		b.ReportMetric(float64(l.db.Metrics().Levels[0].Sublevels), "sublevels")
		readAllOf(b, l, topics, parts)
	}
}

func readAllOf(b *testing.B, l *Log, topics int, parts int32) {
	var from []connect.Cursor
	left := int64(0)
	for t := range topics {
		for p := range parts {
			c := connect.Cursor{Topic: fmt.Sprint("t", t), Partition: p}
			_, end, err := l.Bounds(b.Context(), c.Topic, c.Partition)
			if err != nil {
				b.Fatal(err)
			}
			left += end
			from = append(from, c)
		}
	}
	before := processor()
	r, m := mustReader(b, l, from...), &connect.Messages{}
	for left > 0 {
		m.Reset()
		if err := r.Read(b.Context(), m, 1<<20); err != nil {
			b.Fatal(err)
		}
		left -= int64(len(m.List))
	}
	b.ReportMetric((processor() - before).Seconds(), "read-cpu-s")
}

// processor returns how long the process has had the processor.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
