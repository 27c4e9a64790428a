package webhook

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// policy says when a request is tried again.
type policy struct {
	attempts    int           // 0: no limit
	age         time.Duration // 0: no limit
	first, most time.Duration // bounds of pauses
	afterMost   time.Duration
	failRecord  bool // when exhausted
}

// exhausted reports whether no attempt follows so many, the last of which
// ended at age.
func (p *policy) exhausted(attempts int, age time.Duration) bool {
	return p.attempts > 0 && attempts >= p.attempts || p.age > 0 && age >= p.age
}

// pause returns how long to wait after so many attempts: anything up to a
// limit that doubles, but not less than what the receiver asks for.
func (p *policy) pause(attempts int, after time.Duration) time.Duration {
	limit := p.first
	for i := 1; i < attempts && limit < p.most; i++ {
		limit *= 2
	}
	d := rand.N(min(limit, p.most) + 1)
	if after = min(after, p.afterMost); after > 0 {
		d = min(d, time.Second) + after // spread, so that not all come back at once
	}
	return d
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		return time.Duration(min(max(n, 0), 1<<31)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// retried reports whether an answer is tried again.
func retried(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// wait waits for d or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func nowUTC() time.Time { return time.Now().UTC() }
