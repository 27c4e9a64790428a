package worker

import (
	"testing"
	"testing/synctest"
	"time"
)

// rester counts how often it is told that there is nothing to do.
type rester struct{ told chan struct{} }

func (r rester) Idle() { r.told <- struct{}{} }

// TestIdleIsTold: who keeps memory is told when nothing comes, and once for
// each time.
func TestIdleIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, r := make(chan int), rester{make(chan struct{}, 10)}
		ended := make(chan error)
		done := 0
		go func() { ended <- each(in, r, func(n int) (bool, error) { done += n; return n > 0, nil }) }()
		for range 2 {
			in <- 1
			in <- 0 // a sign of life
			<-r.told
			in <- 0
			time.Sleep(3 * idleAfter)
		}
		close(in)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if done != 2 || len(r.told) != 0 {
			t.Errorf("%d of 2 things are done, and it was told %d times too often", done, len(r.told))
		}
	})
}
