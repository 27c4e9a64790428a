package rocketlog

import (
	"context"
	"time"

	"github.com/towline/towline/connect/rocketlog/remoting"
)

// memberEvery is how often a member says that it is there. A broker that has not
// heard of one for two minutes cuts its connection.
const memberEvery = 20 * time.Second

// Join makes this process, by a name, a member of the consumer group that is
// named as the namespace, until the log is closed: so RocketMQ's own tools list
// it, and how far it follows the state. Nothing depends on that.
func (l *Log) Join(name string) {
	l.readers.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		failing := false
		for {
			err := l.sayHere(ctx, name)
			if now := err != nil; now != failing {
				if failing = now; now {
					l.c.logger.Warn("RocketMQ's tools do not show this worker; it goes on without", "group", l.namespace, "error", err)
				}
			}
			select {
			case <-time.After(memberEvery):
			case <-l.closing:
				l.sayGone(ctx, name)
				return
			}
		}
	})
}

// sayHere tells all brokers that a member is there, and that of the state how far
// it is.
func (l *Log) sayHere(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	all, err := l.c.brokers(ctx)
	if err != nil {
		return err
	}
	for _, b := range all {
		if err := l.c.client.Heartbeat(ctx, b.Addr, name, l.namespace, l.stateTopic); err != nil {
			return err
		}
	}
	q := l.state.q
	if err := q.acquire(ctx); err != nil {
		return err
	}
	place := q.place
	q.release()
	return l.c.once(ctx, q.q.Broker, func(ctx context.Context, addr string) error {
		err := l.c.client.CommitOffset(ctx, addr, l.namespace, q.topic, q.q.ID, place)
		if remoting.IsCode(err, remoting.GroupNotExist) {
			return nil // the heartbeat makes it, a moment later
		}
		return err
	})
}

// sayGone takes a member back. Where that fails it goes with its connection.
func (l *Log) sayGone(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	all, err := l.c.brokers(ctx)
	for _, b := range all {
		if err == nil {
			err = l.c.client.Leave(ctx, b.Addr, name, l.namespace)
		}
	}
}
