package convert

import (
	"testing"

	"github.com/towline/towline/connect"
)

// BenchmarkAvro is BenchmarkEnvelope and its reading back, in Avro.
func BenchmarkAvro(b *testing.B) {
	var in, out connect.Batch
	var msgs connect.Messages
	benchUpdates(&in)
	c := openAvro(b, newStore(b), nil)
	if err := c.Encode(&msgs, &in); err != nil {
		b.Fatal(err)
	}
	perRecord := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/(float64(b.N)*benchRows), "ns/record")
		b.ReportMetric(float64(msgs.Size())/benchRows, "bytes/record")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			msgs.Reset()
			if err := c.Encode(&msgs, &in); err != nil {
				b.Fatal(err)
			}
		}
		perRecord(b)
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out.Reset()
			if err := c.Decode(&out, msgs.List); err != nil {
				b.Fatal(err)
			}
		}
		perRecord(b)
	})
}
