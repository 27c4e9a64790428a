package webhook

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

const benchInFlight = 16

func benchTable(unique bool) *schema.Table {
	t := &schema.Table{Database: "bench", Name: "sb", Primary: true, Key: []int{0},
		Columns: []schema.Column{
			{Name: "id", Type: schema.TypeBigInt},
			{Name: "c", Type: schema.TypeVarchar, Length: 120, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"},
			{Name: "amount", Type: schema.TypeDecimal, Precision: 12, Scale: 2},
		}}
	if unique {
		t.Unique = [][]int{{1}}
	}
	made, err := schema.New(t)
	if err != nil {
		panic(err)
	}
	return made
}

// benchBatch has n records of as many keys.
func benchBatch(b *connect.Batch, table *schema.Table, n int) {
	text := bytes.Repeat([]byte("towline "), 15)
	for i := range n {
		r := b.Add()
		*r = connect.Record{Op: connect.OpInsert, Table: table, Topic: "t", Seq: uint64(i + 1), Time: 1750000000e6, After: b.NewRow(3)}
		r.After[0], r.After[1], r.After[2] = schema.MakeInt(int64(i)), schema.MakeBytes(schema.String, text), schema.MakeDecimal(int64(i), 2)
	}
}

// slowly answers after a moment, as receivers do.
func slowly(took time.Duration) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if took > 0 {
			time.Sleep(took)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
}

func perRequest(b *testing.B, n int) {
	b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/request")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkWrite sends batches to a receiver in the same process, at once and
// after a millisecond. The limit is the HTTP client with as many requests
// under way and nothing else to do.
func BenchmarkWrite(b *testing.B) {
	const n = 500
	for _, took := range []time.Duration{0, time.Millisecond} {
		b.Run("receiver="+took.String()+"/client", func(b *testing.B) {
			server := slowly(took)
			defer server.Close()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchInFlight, MaxConnsPerHost: benchInFlight}}
			defer client.CloseIdleConnections()
			body := bytes.Repeat([]byte("x"), 600)
			for b.Loop() {
				var next atomic.Int64
				var group sync.WaitGroup
				for range benchInFlight {
					group.Go(func() {
						for next.Add(1) <= n {
							resp, err := client.Post(server.URL, "application/json", bytes.NewReader(body))
							if err != nil {
								b.Error(err)
								return
							}
							_, _ = io.Copy(io.Discard, resp.Body)
							_ = resp.Body.Close()
						}
					})
				}
				group.Wait()
			}
			perRequest(b, n)
		})
		for _, unique := range []bool{false, true} {
			b.Run("receiver="+took.String()+"/unique="+strconv.FormatBool(unique), func(b *testing.B) {
				server := slowly(took)
				defer server.Close()
				s := newSink(b, server.URL, map[string]string{optInFlight: strconv.Itoa(benchInFlight)})
				defer s.Close()
				var batch connect.Batch
				benchBatch(&batch, benchTable(unique), n)
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Write(b.Context(), &batch); err != nil {
						b.Fatal(err)
					}
				}
				perRequest(b, n)
			})
		}
	}
}

// BenchmarkLatency sends 1000 transactions of one row a second to a receiver
// that takes two milliseconds, as the worker would: what came during a Write is
// the next batch.
func BenchmarkLatency(b *testing.B) {
	server := slowly(2 * time.Millisecond)
	defer server.Close()
	s := newSink(b, server.URL, map[string]string{optInFlight: strconv.Itoa(benchInFlight)})
	defer s.Close()
	table := benchTable(false)
	const every = time.Millisecond
	var took []time.Duration
	var batch connect.Batch
	b.ResetTimer()
	begin := time.Now()
	for done := 0; done < b.N; {
		due := min(int(time.Since(begin)/every), b.N)
		if due == done {
			time.Sleep(time.Until(begin.Add(time.Duration(done+1) * every)))
			continue
		}
		batch.Reset()
		benchBatch(&batch, table, due-done)
		if err := s.Write(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
		for ; done < due; done++ {
			took = append(took, time.Since(begin.Add(time.Duration(done+1)*every)))
		}
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// TestRowsOfUniqueTablesRunTogether sends two rows of a table that has another
// unique key: the first is not answered before the second has come.
func TestRowsOfUniqueTablesRunTogether(t *testing.T) {
	var came sync.WaitGroup
	came.Add(2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		came.Done()
		came.Wait()
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	var b connect.Batch
	benchBatch(&b, benchTable(true), 2)
	if err := newSink(t, server.URL, map[string]string{optAttempts: "1"}).Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
}
