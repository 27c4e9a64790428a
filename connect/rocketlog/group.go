package rocketlog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
)

// groupPrefix begins the name of the consumer group of a connector, behind the
// namespace.
const groupPrefix = "connect-"

// groupName returns the name of a connector's consumer group at the brokers.
func groupName(namespace, connector string) string {
	return brokerName(namespace, groupPrefix+connector)
}

var _ connect.Groups = (*Log)(nil)

// CommitGroup implements connect.Groups: what RocketMQ's own tools tell of the
// group of a connector. Towline itself never reads it.
func (l *Log) CommitGroup(ctx context.Context, connector string, at []connect.Cursor) error {
	ctx, done, err := l.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	group := groupName(l.namespace, connector)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(appendQueues)
	for _, c := range at {
		g.Go(func() error { return l.commitGroup(gctx, group, c) })
	}
	return g.Wait()
}

func (l *Log) commitGroup(ctx context.Context, group string, c connect.Cursor) error {
	q, err := l.queueOf(c.Topic, c.Partition)
	if err != nil {
		return err
	}
	place, err := q.locate(ctx, c.Offset)
	if errors.Is(err, connect.ErrPositionLost) {
		return nil // who reads there will say so
	}
	if err != nil {
		return err
	}
	return l.c.once(ctx, q.q.Broker, func(ctx context.Context, addr string) error {
		commit := func() error { return l.c.client.CommitOffset(ctx, addr, group, q.topic, q.q.ID, place) }
		err := commit()
		if !remoting.IsCode(err, remoting.GroupNotExist) {
			return err
		}
		if err := l.makeGroup(ctx, addr, group); err != nil {
			return err
		}
		return commit()
	})
}

// makeGroup makes a group on a broker. Tools find groups by the topics for what
// their members want again, which a broker makes for the first member.
func (l *Log) makeGroup(ctx context.Context, addr, group string) error {
	if err := l.c.client.CreateGroup(ctx, addr, group); err != nil {
		return err
	}
	member := strings.Join([]string{"towline", l.writer}, "@")
	if err := l.c.client.Heartbeat(ctx, addr, member, group); err != nil {
		return fmt.Errorf("rocketlog: make group %s: %w", group, err)
	}
	return l.c.client.Leave(ctx, addr, member, group)
}
