package rest

import (
	"net/http"
	"time"
)

// limits are what all callers together may take.
type limits struct {
	busy, waiting chan struct{} // requests under way
	bodyTimeout   time.Duration
}

func newLimits() limits {
	return limits{busy: make(chan struct{}, maxRequests), waiting: make(chan struct{}, maxWaiting), bodyTimeout: bodyTimeout}
}

// enter takes note of a request until it leaves, unless there are too many.
// /health is always answered: who looks whether the worker is alive should not
// take one that is busy for dead.
func (l *limits) enter(rw http.ResponseWriter, rt *route) (leave func(), err error) {
	places, what := l.busy, "are under way"
	switch {
	case rt.path == "/health":
		return func() {}, nil
	case rt.waits:
		places, what = l.waiting, "that wait are under way"
		allowTime(rw, 0)
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
	}
	rw.Header().Set("Retry-After", "1")
	return nil, &httpError{code: http.StatusTooManyRequests, text: "as many requests as this worker answers at once " + what + "; ask again in a second"}
}

// allowTime bounds how long a client may take from now on to read the answer; 0 is
// no bound. One that does not read would hold its place for ever.
func allowTime(rw http.ResponseWriter, d time.Duration) {
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
	}
	_ = http.NewResponseController(rw).SetWriteDeadline(until) // what is no connection needs none
}
