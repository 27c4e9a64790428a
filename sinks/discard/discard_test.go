package discard

import (
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
)

func TestContract(t *testing.T) {
	connecttest.TestSink(t, func(*testing.T) connecttest.SinkHarness {
		return connecttest.SinkHarness{Idempotent: true, New: func(t *testing.T) connect.Sink {
			s, err := Plugin().Sink(connect.Config{}, connect.Env{Lanes: 1})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}}
	})
}
