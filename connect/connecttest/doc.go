// Package connecttest holds the suites that every implementation of the
// contract passes: TestLog, TestStore, TestConverter, TestSource, TestSink.
// An implementation plugs in with a function that opens a fresh one:
//
//	func TestContract(t *testing.T) {
//		connecttest.TestLog(t, func(t *testing.T) connecttest.LogHarness { ... })
//	}
//
// The suites assert what the doc comments of connect and offsets promise and
// nothing else: no elapsed time, no order that is not promised. Whatever
// blocks is given a deadline only so that a fault ends the test instead of
// hanging it.
//
// # Random tests
//
// Gen makes random tables, rows and batches, and the model test of TestLog
// random operations. Both start from a seed that is printed when a test fails;
// set TOWLINE_SEED to that number to run the same case again.
//
// # Ownership
//
// Batches of a Gen own their memory as any Batch does. The suites scribble
// over memory that a callee must not keep, so that keepers are found.
package connecttest

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"
)

// patience is how long the suites wait for what must come: it ends a hang, not a slow
// machine's work.
const patience = 10 * time.Minute

// Seed returns the seed of a random test. It is the same each time, so that a run
// that fails tells of what has changed; TOWLINE_SEED sets another. It is printed when
// the test fails.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(1)
	if s := os.Getenv("TOWLINE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("TOWLINE_SEED: %v", err)
		}
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to run this case again: TOWLINE_SEED=%d", seed)
		}
	})
	return seed
}

// deadline returns a context that ends with the suites' patience.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// must ends the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fails ends the test if there is no error.
func fails(t testing.TB, err error, what string) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s gives no error", what)
	}
}
