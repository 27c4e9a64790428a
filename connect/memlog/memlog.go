// Package memlog is a connect.Log in memory: the smallest thing that keeps
// the contract. It is the reference that other logs are measured by, the model
// in random tests, and the log of a process that need not survive its end.
//
// # Ownership
//
// Append copies what it is given, and a Reader copies into the Messages it
// fills, so nobody shares memory with the log.
//
// # Concurrency and order
//
// One mutex guards everything: an Append is one critical section, hence
// atomic, and all readers see appends in one order. A reader that finds
// nothing waits for the channel that the next Append (or Close) closes; there
// is no goroutine and no polling.
//
// # Errors
//
// Unknown topics and partitions are errors that name them. After Close every
// call returns ErrClosed, and readers that wait return it too. Nothing is
// durable beyond the process: that is the one promise of a Log that memory
// cannot keep.
package memlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// ErrClosed is returned by all calls after Close.
var ErrClosed = errors.New("memlog: log is closed")

// Log is a connect.Log in memory. Make one with New.
type Log struct {
	mu      sync.Mutex
	topics  map[string][]partition
	entries map[string]offsets.Position
	changed chan struct{} // closed, and replaced, when readers should look again
	made    chan struct{} // likewise when a topic was made
	closed  bool
}

// partition holds the messages from offset first on.
type partition struct {
	first int64
	list  []connect.Message
}

func (p *partition) end() int64 { return p.first + int64(len(p.list)) }

var _ connect.Log = (*Log)(nil)

// New returns an empty Log.
func New() *Log {
	return &Log{
		topics:  map[string][]partition{},
		entries: map[string]offsets.Position{},
		changed: make(chan struct{}),
		made:    make(chan struct{}),
	}
}

// lock takes the mutex for a call that may go on: neither log nor ctx is done.
func (l *Log) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	return nil
}

// wake makes all waiting readers look again. The mutex is held.
func (l *Log) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// find returns a partition. The mutex is held.
func (l *Log) find(topic string, number int32) (*partition, error) {
	parts, ok := l.topics[topic]
	if !ok {
		return nil, fmt.Errorf("memlog: topic %q does not exist", topic)
	}
	if number < 0 || int(number) >= len(parts) {
		return nil, fmt.Errorf("memlog: topic %q has %d partitions, no number %d", topic, len(parts), number)
	}
	return &parts[number], nil
}

// CreateTopic makes a topic.
func (l *Log) CreateTopic(ctx context.Context, topic string, partitions int32) error {
	if topic == "" || partitions < 1 {
		return fmt.Errorf("memlog: create topic %q with %d partitions: it needs a name and at least one partition", topic, partitions)
	}
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.mu.Unlock()
	if parts, ok := l.topics[topic]; ok {
		if len(parts) != int(partitions) {
			return fmt.Errorf("memlog: create topic %q with %d partitions: it is there with %d", topic, partitions, len(parts))
		}
		return nil
	}
	l.topics[topic] = make([]partition, partitions)
	close(l.made)
	l.made = make(chan struct{})
	return nil
}

// TopicsMade returns a channel that is closed when the next topic is made.
func (l *Log) TopicsMade() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made
}

// Topics returns the partitions of each topic.
func (l *Log) Topics(ctx context.Context) (map[string]int32, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	m := make(map[string]int32, len(l.topics))
	for name, parts := range l.topics {
		m[name] = int32(len(parts))
	}
	return m, nil
}

// Bounds returns the first offset of a partition and its next.
func (l *Log) Bounds(ctx context.Context, topic string, number int32) (first, end int64, err error) {
	if err := l.lock(ctx); err != nil {
		return 0, 0, err
	}
	defer l.mu.Unlock()
	p, err := l.find(topic, number)
	if err != nil {
		return 0, 0, err
	}
	return p.first, p.end(), nil
}

// Trim drops all messages of a partition before an offset.
func (l *Log) Trim(ctx context.Context, topic string, number int32, before int64) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.mu.Unlock()
	p, err := l.find(topic, number)
	if err != nil {
		return err
	}
	if before = min(before, p.end()); before > p.first {
		p.list = slices.Clone(p.list[before-p.first:])
		p.first = before
		l.wake() // a reader may have lost its position
	}
	return nil
}

// Append writes msgs and entries in one atomic step.
func (l *Log) Append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.mu.Unlock()
	for i := range msgs { // all checks come before the first change
		if _, err := l.find(msgs[i].Topic, msgs[i].Partition); err != nil {
			return fmt.Errorf("append message %d: %w", i, err)
		}
	}
	for i := range msgs {
		p, _ := l.find(msgs[i].Topic, msgs[i].Partition)
		msgs[i].Offset = p.end()
		p.list = append(p.list, clone(&msgs[i]))
	}
	l.save(entries)
	if len(msgs) > 0 {
		l.wake()
	}
	return nil
}

// clone returns m with memory of its own.
func clone(m *connect.Message) connect.Message {
	c := *m
	c.Key, c.Value, c.Headers = bytes.Clone(m.Key), bytes.Clone(m.Value), slices.Clone(m.Headers)
	c.Op, c.Table, c.Origin = 0, nil, nil
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return c
}

// Atomic reports true.
func (l *Log) Atomic() bool { return true }

// Close ends the log: readers that wait return ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.closed = true
	l.wake()
	return nil
}
