package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/worker"
)

const (
	// memoryLimit and memoryPerConnector make the heap at which the collector
	// runs more often rather than let it grow.
	memoryLimit        = 232 << 20
	memoryPerConnector = 8 << 20
	// lookEvery is how often it is looked whether there is memory to give back,
	// and fewRecords how many records in that time are next to none.
	lookEvery  = 5 * time.Second
	fewRecords = 5000
)

// tuneMemory sets how the heap grows, where GOGC and GOMEMLIMIT do not: a
// little further between collections than Go would, since most of it is
// buffers that are used again, but not beyond a limit. Memory that is in use
// may be above it, if it must.
func tuneMemory(connectors int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit + int64(connectors)*memoryPerConnector)
	}
}

// giveMemoryBack lets go of what batches do not need any more, and has the
// runtime return it to the system once there is little to do, until ctx ends.
// Without it the process would stay as large as its initial copy made it.
func giveMemoryBack(ctx context.Context, w *worker.Worker) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	// Twice: pools that the runtime empties keep what they have through one
	// collection.
	const collections = 2
	before, due := w.Handled(), collections
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := w.Handled()
		busy := now-before > fewRecords
		before = now
		if connect.Trim() || busy {
			due = collections
		}
		if due > 0 && !busy {
			debug.FreeOSMemory()
			due--
		}
	}
}
