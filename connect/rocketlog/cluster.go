package rocketlog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
)

// Pauses between attempts, and how long a call may take that is not a long
// poll.
const (
	firstPause  = 50 * time.Millisecond
	longPause   = 2 * time.Second
	callTimeout = 15 * time.Second
)

// cluster is the way to the brokers of one cluster.
type cluster struct {
	client *remoting.Client
	names  []string // addresses of name servers
	name   string   // of the cluster; "": all that the name servers know
	group  string
	wait   time.Duration // how long a fault of brokers or network is waited out
	logger *slog.Logger

	mu      sync.Mutex
	turn    int
	masters map[string]string // address by name of broker
}

// ask calls f with the address of one name server after the other until one
// answers.
func (c *cluster) ask(ctx context.Context, f func(ctx context.Context, addr string) error) error {
	c.mu.Lock()
	turn := c.turn
	c.mu.Unlock()
	var errs []error
	for i := range c.names {
		at := (turn + i) % len(c.names)
		cctx, cancel := context.WithTimeout(ctx, callTimeout)
		err := f(cctx, c.names[at])
		cancel()
		var refused *remoting.Error
		if err == nil || errors.As(err, &refused) || ctx.Err() != nil || remoting.IsClosed(err) {
			c.mu.Lock()
			c.turn = at
			c.mu.Unlock()
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// brokers returns the masters of the cluster, ordered by name.
func (c *cluster) brokers(ctx context.Context) (all []remoting.Broker, err error) {
	err = c.ask(ctx, func(ctx context.Context, addr string) (err error) {
		all, err = c.client.Brokers(ctx, addr, c.name)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range all {
		c.masters[b.Name] = b.Addr
	}
	return all, nil
}

// addr returns the address of a broker.
func (c *cluster) addr(ctx context.Context, broker string) (string, error) {
	c.mu.Lock()
	addr := c.masters[broker]
	c.mu.Unlock()
	if addr != "" {
		return addr, nil
	}
	if _, err := c.brokers(ctx); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if addr = c.masters[broker]; addr == "" {
		return "", fmt.Errorf("rocketlog: broker %s is not known to the name server", broker)
	}
	return addr, nil
}

// lose forgets the address of a broker that does not answer there.
func (c *cluster) lose(broker string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.masters, broker)
}

// once calls f with the address of a broker.
func (c *cluster) once(ctx context.Context, broker string, f func(ctx context.Context, addr string) error) error {
	addr, err := c.addr(ctx, broker)
	if err == nil {
		cctx, cancel := context.WithTimeout(ctx, callTimeout)
		err = f(cctx, addr)
		cancel()
	}
	var refused *remoting.Error
	if err != nil && !errors.As(err, &refused) && ctx.Err() == nil {
		c.lose(broker)
	}
	return err
}

// on is once, again and again while brokers or the network are at fault. f must
// be something that may be done twice.
func (c *cluster) on(ctx context.Context, broker string, f func(ctx context.Context, addr string) error) error {
	p := c.patience(broker)
	for {
		err := c.once(ctx, broker, f)
		if err == nil {
			return nil
		}
		if err = p.pause(ctx, err); err != nil {
			return err
		}
	}
}

// patience waits between attempts.
type patience struct {
	c      *cluster
	broker string
	since  time.Time
	next   time.Duration
}

func (c *cluster) patience(broker string) *patience {
	return &patience{c: c, broker: broker, next: firstPause}
}

// pause waits before the next attempt after err. It returns an error if there
// is to be none.
func (p *patience) pause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !passing(err) {
		return err
	}
	if p.since.IsZero() {
		p.since = time.Now()
		p.c.logger.Warn("RocketMQ does not answer; trying again", "broker", p.broker, "wait", p.c.wait, "error", err)
	} else if time.Since(p.since) > p.c.wait {
		return err
	}
	pause := p.next
	p.next = min(2*p.next, longPause)
	return sleep(ctx, pause)
}

// sleep waits for d, or returns why ctx ended before.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// passing reports whether a fault may pass by itself.
func passing(err error) bool {
	var untrusted *tls.CertificateVerificationError
	if remoting.IsClosed(err) || connect.IsPermanent(err) || errors.As(err, &untrusted) {
		return false
	}
	var refused *remoting.Error
	if !errors.As(err, &refused) {
		return true
	}
	switch refused.Code {
	case remoting.SystemError, remoting.SystemBusy, remoting.ServiceNotAvailable,
		remoting.FlushDiskTimeout, remoting.FlushSlaveTimeout, remoting.SlaveNotAvailable:
		return true
	}
	return false
}
