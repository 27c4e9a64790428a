package rocketlog

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/towline/towline/connect/rocketlog/remoting"
)

// ErrTaken: another process uses the namespace.
var ErrTaken = errors.New("rocketlog: another process uses this namespace, and with positions elsewhere (offset.storage) there is one at a time; stop it, or choose another namespace for one of the two")

// A broker keeps a lease for a minute after it was last renewed.
const (
	leaseRenew = 5 * time.Second
	// leaseSure is for how long after it was asked for a lease is surely ours.
	leaseSure = 45 * time.Second
	// leaseWait is how long one waits, by default, for the lease of a process that
	// was killed.
	leaseWait = 75 * time.Second
)

// lease is a process's right to be the only one that writes into a namespace:
// RocketMQ's lock of the queue that the state is in.
type lease struct {
	l       *Log
	q       *queue
	since   time.Time    // of renewed
	renewed atomic.Int64 // when the broker was last asked and gave it, in nanoseconds behind since
	end     context.CancelFunc
	ended   chan struct{}
}

// own waits for the lease of a namespace, and has it renewed until release.
func (l *Log) own(ctx context.Context, q *queue, wait time.Duration) error {
	if wait == 0 {
		wait = leaseWait
	}
	e := &lease{l: l, q: q, since: time.Now(), ended: make(chan struct{})}
	for begun := false; ; begun = true {
		ok, err := e.take(ctx)
		if err != nil {
			return err
		}
		if ok {
			break
		}
		if time.Since(e.since) > wait {
			return ErrTaken
		}
		if !begun {
			l.c.logger.Warn("another process uses the namespace, or was killed less than a minute ago; waiting for it", "namespace", l.namespace, "wait", wait)
		}
		if err := sleep(ctx, 5*firstPause); err != nil {
			return err
		}
	}
	rctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e.end = cancel
	go e.keep(rctx)
	l.lease = e
	return nil
}

// take takes or renews the lease, and reports whether it is ours.
func (e *lease) take(ctx context.Context) (ok bool, err error) {
	var asked time.Duration
	err = e.l.c.on(ctx, e.q.q.Broker, func(ctx context.Context, addr string) (err error) {
		asked = time.Since(e.since)
		ok, err = e.l.c.client.Lease(ctx, addr, e.l.namespace, e.l.writer, e.q.topic, e.q.q)
		return err
	})
	if ok && err == nil {
		e.renewed.Store(int64(asked))
	}
	return ok, err
}

// keep renews the lease. When another has it the log ends; while the broker is
// away nobody else can get it.
func (e *lease) keep(ctx context.Context) {
	defer close(e.ended)
	for sleep(ctx, leaseRenew) == nil {
		if ok, err := e.take(ctx); err == nil && !ok {
			e.l.c.logger.Error("another process has taken the namespace", "namespace", e.l.namespace)
			e.l.fail(ErrTaken)
			return
		}
	}
}

// held waits until the lease is surely ours.
func (e *lease) held(ctx context.Context) error {
	for e != nil && time.Since(e.since)-time.Duration(e.renewed.Load()) > leaseSure {
		if err := sleep(ctx, firstPause); err != nil {
			return err
		}
	}
	return nil
}

// release gives the lease back. Where that fails it ends by itself.
func (e *lease) release(ctx context.Context) error {
	if e == nil {
		return nil
	}
	e.end()
	<-e.ended
	err := e.l.c.once(ctx, e.q.q.Broker, func(ctx context.Context, addr string) error {
		return e.l.c.client.Release(ctx, addr, e.l.namespace, e.l.writer, e.q.topic, e.q.q)
	})
	var refused *remoting.Error
	if errors.As(err, &refused) {
		return fmt.Errorf("rocketlog: give back namespace %s: %w", e.l.namespace, err)
	}
	return nil
}
