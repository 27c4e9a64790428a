package rockettest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Start starts a cluster for a test and ends it at the test's end.
func Start(tb testing.TB, cfg Config) *Cluster {
	tb.Helper()
	skipShort(tb)
	c, err := Launch(tb.Context(), cfg)
	if err != nil {
		unavailable(tb, err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			for _, b := range c.Brokers {
				tb.Logf("rockettest: the log of broker %s ends:\n%s", b.Name, b.Log())
			}
		}
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

func skipShort(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("rockettest: needs RocketMQ, which -short leaves out")
	}
}

// unavailable ends a test that gets no cluster: a missing installation skips
// it, unless servers are required; anything else fails it.
func unavailable(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, ErrNotInstalled) && os.Getenv("TOWLINE_REQUIRE_SERVERS") != "1" {
		tb.Skip(err)
	}
	tb.Fatal(err)
}

// shared is the one cluster that the tests of a process share.
var shared struct {
	sync.Mutex
	cluster *Cluster
	err     error // why it could not be started; tried once only
}

// Shared is the cluster, of one broker, that all tests of the process share.
// The first call starts it, Main ends it.
func Shared(tb testing.TB) *Cluster {
	tb.Helper()
	skipShort(tb)
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil && shared.err == nil {
		// Not the context of the test that comes first: the cluster outlives it.
		shared.cluster, shared.err = Launch(context.Background(), Config{})
	}
	if shared.err != nil {
		unavailable(tb, shared.err)
	}
	return shared.cluster
}

// Runner runs the tests of a package and then ends the shared cluster.
type Runner struct{ m *testing.M }

// Main is what a package's TestMain runs.
func Main(m *testing.M) Runner { return Runner{m} }

// Run runs the tests and returns the exit code.
func (r Runner) Run() int {
	code := r.m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster != nil {
		if err := shared.cluster.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return max(code, 1)
		}
	}
	return code
}
