package rockettest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/towline/towline/e2e/child"
)

// Start starts a cluster for a test and ends it at the test's end.
func Start(tb testing.TB, cfg Config) *Cluster {
	tb.Helper()
	child.SkipShort(tb, "RocketMQ")
	c, err := Launch(tb.Context(), cfg)
	if err != nil {
		child.Unavailable(tb, err, ErrNotInstalled)
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
	child.SkipShort(tb, "RocketMQ")
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil && shared.err == nil {
		// Not the context of the test that comes first: the cluster outlives it.
		shared.cluster, shared.err = Launch(context.Background(), Config{})
	}
	if shared.err != nil {
		child.Unavailable(tb, shared.err, ErrNotInstalled)
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
