//go:build unix

package binlog

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkDecode decodes the same recorded row events with this package and
// with go-mysql. rows/cpu-s counts the processor time of the whole process,
// garbage collection included, and so holds on a machine that is busy.
func BenchmarkDecode(b *testing.B) {
	for _, table := range []string{"sb", "narrow", "wide"} {
		r := record(b, table)
		for _, way := range []struct {
			name   string
			decode func() int
		}{{"towline", r.decoder(b)}, {"go-mysql", r.goMySQL(b)}} {
			b.Run(table+"/"+way.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(r.size))
				rows, before := 0, cpuTime(b)
				for b.Loop() {
					rows += way.decode()
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(float64(rows)/(cpuTime(b)-before).Seconds(), "rows/cpu-s")
			})
		}
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
