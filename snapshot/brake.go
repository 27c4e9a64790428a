package snapshot

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/towline/towline/connect"
)

// Brake looks at the servers and says when copies are to rest to spare them.
// One goroutine at a time uses it.
type Brake interface {
	// Look returns why copies are to rest, "" if they may go on. resting tells
	// whether they rest now: they begin to above a limit, and end well below it.
	// critical means that they are to be paused until an operator says otherwise.
	Look(ctx context.Context, resting bool) (why string, critical bool)
	// Close ends connections, which Look opens as it needs them.
	Close()
}

// Throttle is what a Brake looks for.
type Throttle struct {
	MaxLoad, CriticalLoad []Load
	Replicas              []string // host:port
	MaxLag                time.Duration
}

// On reports whether there is anything to look for.
func (t *Throttle) On() bool {
	return len(t.MaxLoad)+len(t.CriticalLoad)+len(t.Replicas) > 0
}

// Load is a limit of a status variable of the server.
type Load struct {
	Variable string
	Most     int64
}

// parseLoads reads a list of Variable=limit.
func parseLoads(text string) (loads []Load, err error) {
	for _, item := range connect.SplitList(text) {
		name, limit, _ := strings.Cut(item, "=")
		most, err := strconv.ParseInt(strings.TrimSpace(limit), 10, 64)
		name = strings.TrimSpace(name)
		if name == "" || err != nil || most < 0 || strings.ContainsAny(name, "'\\ ") {
			return nil, fmt.Errorf("%q is not a status variable and its limit, such as Threads_running=25", item)
		}
		loads = append(loads, Load{name, most})
	}
	return loads, nil
}

func checkLoads(value string) error {
	_, err := parseLoads(value)
	return err
}

func checkReplicas(value string) error {
	for _, addr := range connect.SplitList(value) {
		host, port, err := net.SplitHostPort(addr)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil || host == "" {
			return fmt.Errorf("%q is not the address of a server, such as replica1:3306", addr)
		}
	}
	return nil
}

// lookEvery is how often the Brake looks while there is something to copy.
const lookEvery = time.Second

// gaugeThrottled is 1 while copies rest.
const gaugeThrottled = "snapshot.throttled"

// notLooked is why copies rest that have just been asked for.
const notLooked = "the load of the servers is not known yet"

// mind looks at the servers, while there is something to copy, until ctx ends.
func (w *weaver) mind(ctx context.Context, b Brake) {
	defer b.Close()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if busy, resting := w.mayRead(); busy {
			why, critical := b.Look(ctx, resting)
			if ctx.Err() != nil {
				return
			}
			w.heed(why, critical)
		} else {
			b.Close()
			w.heed(notLooked, false)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// mayRead reports whether there is something to copy, and whether that rests.
// It locks.
func (w *weaver) mayRead() (busy, resting bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.work {
		busy = busy || !w.paused && w.wanted(t)
	}
	return busy, w.rest != "" && w.rest != notLooked
}

// wanted reports whether t is to be copied.
func (w *weaver) wanted(t *table) bool {
	return t.status != done && !t.stopped && t.shape != nil && (w.cfg.Mode != NoData || t.ordered)
}

// heed lets copies rest, or go on. What is under way is finished. It locks.
func (w *weaver) heed(why string, critical bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.rest
	w.rest = why
	if critical {
		w.env.Logger.Error("snapshot: the load is critical; copies are paused until towline snapshot resume lets them go on", "reason", why)
		w.pause(true)
		w.tell = true
	}
	if before == why {
		return
	}
	told := func(why string) bool { return why != "" && why != notLooked }
	switch {
	case told(why) && !told(before):
		w.env.Logger.Info("snapshot: copies rest", "reason", why)
	case why == "" && told(before):
		w.env.Logger.Info("snapshot: copies go on")
	}
	if w.env.Gauge != nil {
		w.env.Gauge(gaugeThrottled, map[bool]float64{true: 1}[told(why)])
	}
	w.retell()
	if why == "" {
		w.wakeWorkers()
	}
}

// why returns why copies do not go on, "" if they do.
func (w *weaver) why() string {
	if w.paused {
		return "paused; towline snapshot resume lets it go on"
	}
	return w.rest
}

// retell reports the tables that wait, whose reason is another one.
func (w *weaver) retell() {
	for _, t := range w.work {
		if t.shape != nil && !t.stopped {
			t.reported = ""
			t.report(&w.env, nil, w.why())
		}
	}
}
