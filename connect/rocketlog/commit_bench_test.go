package rocketlog

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/offsets"
)

// BenchmarkSaves has 40 tasks of a worker save their positions while its lease is
// renewed, each update in a request of its own and together. An operation is one
// save; us/renewal is how long renewals took.
func BenchmarkSaves(b *testing.B) {
	for _, most := range []int{1, groupMost} {
		b.Run(fmt.Sprintf("together=%v", most > 1), func(b *testing.B) {
			l := openLog(b, options(rockettest.Shared(b)))
			sh := sharedOf(b, l)
			check(b, l.state.q.acquire(b.Context()))
			l.state.most = most
			before := l.state.q.batch
			l.state.q.release()
			var left atomic.Int64
			var renewals, took int64
			var tasks, beats sync.WaitGroup
			left.Store(int64(b.N))
			stop := make(chan struct{})
			b.ResetTimer()
			beats.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(10 * time.Millisecond):
					}
					began := time.Now()
					check(b, sh.UpdateFirst(b.Context(), put("member", fmt.Sprint(renewals))))
					took += int64(time.Since(began))
					renewals++
				}
			})
			for i := range 40 {
				tasks.Go(func() {
					grant := claimOf("s", "")
					s := sessionOf(b, l, grant)
					for left.Add(-1) >= 0 {
						check(b, s.Store().Save(b.Context(), offsets.Entry{Key: fmt.Sprintf("source/t/%d/position", i), Pos: make(offsets.Position, 100)}))
					}
				})
			}
			tasks.Wait()
			b.StopTimer()
			close(stop)
			beats.Wait()
			check(b, l.state.q.acquire(b.Context()))
			defer l.state.q.release()
			b.ReportMetric(float64(l.state.q.batch-before)/float64(b.N), "requests/op")
			b.ReportMetric(float64(took)/1000/float64(max(renewals, 1)), "us/renewal")
		})
	}
}
