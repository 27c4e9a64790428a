package pebblelog

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/towline/towline/connect"
)

// frame makes bytes that are like a frame of rows: numbers that rise, words
// of a small set, some noise.
func frame(rng *rand.Rand, size int) []byte {
	words := []string{"shipped", "cancelled", "pending", "alice@example.com", "Main Street 12", "0000-00-00", "EUR", "customer"}
	b := make([]byte, 0, size+64)
	for id := rng.Uint64N(1 << 40); len(b) < size; id++ {
		b = binary.LittleEndian.AppendUint64(b, id)
		b = binary.LittleEndian.AppendUint32(b, rng.Uint32())
		for range 3 {
			b = append(b, words[rng.IntN(len(words))]...)
		}
	}
	return b[:size]
}

const frameBytes = 256 << 10

func frames(n int) [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	all := make([][]byte, n)
	for i := range all {
		all[i] = frame(rng, frameBytes)
	}
	return all
}

// BenchmarkFrames is the floor and what the log makes of it: frames of 256 KiB,
// each durable before the next.
func BenchmarkFrames(b *testing.B) {
	fs := frames(64)
	b.Run("file", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "f"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		b.SetBytes(frameBytes)
		for i := range b.N {
			if _, err := f.Write(fs[i%len(fs)]); err != nil {
				b.Fatal(err)
			}
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, parts := range []int32{1, 8} {
		b.Run(fmt.Sprintf("append/partitions=%d", parts), func(b *testing.B) {
			l := openLog(b, Options{})
			mustCreate(b, l, "t", parts)
			b.SetBytes(frameBytes)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				mustAppend(b, l, connect.Message{Topic: "t", Partition: int32(i) % parts, Value: fs[i%len(fs)]})
			}
			b.StopTimer()
			s := l.Stats()
			b.ReportMetric(float64(s.WrittenBytes)/float64(b.N*frameBytes), "written/byte")
			b.ReportMetric(float64(s.DiskBytes)/float64(b.N*frameBytes), "disk/byte")
		})
	}
}

func BenchmarkReadFrames(b *testing.B) {
	fs := frames(64)
	for _, where := range []string{"memory", "disk"} {
		b.Run(where, func(b *testing.B) {
			n := map[string]int{"memory": 40, "disk": 1000}[where]
			l := openLog(b, Options{})
			mustCreate(b, l, "t", 1)
			for i := range n {
				mustAppend(b, l, connect.Message{Topic: "t", Value: fs[i%len(fs)]})
			}
			b.SetBytes(frameBytes)
			b.ReportAllocs()
			b.ResetTimer()
			m := &connect.Messages{}
			for done := 0; done < b.N; {
				r := mustReader(b, l, connect.Cursor{Topic: "t"})
				for left := min(n, b.N-done); left > 0; {
					m.Reset()
					if err := r.Read(b.Context(), m, 4<<20); err != nil {
						b.Fatal(err)
					}
					left -= len(m.List)
					done += len(m.List)
				}
				_ = r.Close()
			}
		})
	}
}

// BenchmarkSmall is about messages of 300 bytes, each durable before its
// appender goes on; appenders share syncs.
func BenchmarkSmall(b *testing.B) {
	value := frame(rand.New(rand.NewPCG(3, 4)), 300)
	b.Run("file", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "f"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		for range b.N {
			_, _ = f.Write(value)
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	})
	for _, appenders := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("appenders=%d", appenders), func(b *testing.B) {
			l := openLog(b, Options{})
			mustCreate(b, l, "t", 4)
			b.ReportAllocs()
			b.ResetTimer()
			var n atomic.Int64
			var wg sync.WaitGroup
			for a := range appenders {
				wg.Go(func() {
					msg := []connect.Message{{Topic: "t", Partition: int32(a % 4), Value: value}}
					for n.Add(1) <= int64(b.N) {
						if err := l.Append(b.Context(), msg, nil); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkTail is the way of one small message from Append to a reader that
// waits for it.
func BenchmarkTail(b *testing.B) {
	l := openLog(b, Options{})
	mustCreate(b, l, "t", 1)
	r := mustReader(b, l, connect.Cursor{Topic: "t"})
	m := &connect.Messages{}
	msg := []connect.Message{{Topic: "t", Value: make([]byte, 300)}}
	b.ReportAllocs()
	for b.Loop() {
		mustAppend(b, l, msg...)
		m.Reset()
		if err := r.Read(b.Context(), m, 1<<20); err != nil || len(m.List) != 1 {
			b.Fatal(err, len(m.List))
		}
	}
}
