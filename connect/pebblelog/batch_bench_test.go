package pebblelog

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/towline/towline/connect"
)

// changes makes messages as a converter of one message per record does: a
// short key, a value of about 1100 bytes with a row that is mostly noise, a
// header.
func changes(n int, partitions int32) []connect.Message {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = "0123456789-abcdef"[rng.IntN(17)]
	}
	source := strings.Repeat(`"source":{"version":"1","connector":"mysql","db":"bench","table":"sb"},`, 6)
	msgs := make([]connect.Message, n)
	for i := range msgs {
		row := fmt.Sprintf(`{"id":%d,"k":%d,"c":"%s"}`, i, rng.IntN(1e6), noise[rng.IntN(3900):][:180])
		msgs[i] = connect.Message{Topic: "t", Partition: int32(i) % partitions, Count: 1, Time: 1750000000e6,
			Key: fmt.Appendf(nil, `{"id":%d}`, i), Value: fmt.Appendf(nil, `{"before":%s,"after":%s,%s"op":"u","ts_ms":1750000000123}`, row, row, source),
			Headers: []connect.Header{{Key: "__towline.seq", Value: fmt.Append(nil, 1<<48+i)}}}
	}
	return msgs
}

const batchMessages = 2000

func messageBytes(msgs []connect.Message) (n int) {
	for i := range msgs {
		n += len(msgs[i].Key) + len(msgs[i].Value)
	}
	return n
}

func perMessage(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/(float64(b.N)*batchMessages), "ns/message")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMessages appends batches of messages of one record each, each batch
// durable before the next, and reads them back. The limit is Pebble itself,
// given one key for each message.
func BenchmarkMessages(b *testing.B) {
	msgs := changes(batchMessages, 1)
	size := messageBytes(msgs)
	b.Run("pebble", func(b *testing.B) {
		l := openLog(b, Options{})
		b.SetBytes(int64(size))
		b.ResetTimer()
		key := make([]byte, messageKeyLen)
		for n := range b.N {
			batch := l.db.NewBatch()
			for i := range msgs {
				binary.BigEndian.PutUint64(key[9:], uint64(n*len(msgs)+i))
				key[0] = 0x7f
				if err := batch.Set(key, msgs[i].Value, nil); err != nil {
					b.Fatal(err)
				}
			}
			if err := batch.Commit(pebble.Sync); err != nil {
				b.Fatal(err)
			}
		}
		perMessage(b)
	})
	for _, parts := range []int32{1, 8} {
		b.Run(fmt.Sprintf("append/partitions=%d", parts), func(b *testing.B) {
			msgs := changes(batchMessages, parts)
			l := openLog(b, Options{})
			mustCreate(b, l, "t", parts)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				mustAppend(b, l, msgs...)
			}
			perMessage(b)
			b.StopTimer()
			s := l.Stats()
			b.ReportMetric(float64(s.WrittenBytes)/float64(b.N*size), "written/byte")
			b.ReportMetric(float64(s.DiskBytes)/float64(b.N*size), "disk/byte")
		})
	}
	for _, n := range []int{4, 200} {
		b.Run(fmt.Sprintf("read/batches=%d", n), func(b *testing.B) {
			l := openLog(b, Options{})
			mustCreate(b, l, "t", 1)
			for range n {
				mustAppend(b, l, msgs...)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			m := &connect.Messages{}
			for done := 0; done < b.N*batchMessages; {
				r := mustReader(b, l, connect.Cursor{Topic: "t"})
				for left := min(n*batchMessages, b.N*batchMessages-done); left > 0; {
					m.Reset()
					if err := r.Read(b.Context(), m, 2<<20); err != nil {
						b.Fatal(err)
					}
					left -= len(m.List)
					done += len(m.List)
				}
				_ = r.Close()
			}
			perMessage(b)
		})
	}
}
