package pebblelog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// The errors of a log, which are wrapped with what they are about.
var (
	// ErrClosed: the log, or the reader, was closed.
	ErrClosed = errors.New("the log is closed")
	// ErrDamaged: files of the log are missing or hold what was not written.
	ErrDamaged = errors.New("the log is damaged")
	// ErrInUse: another process, or another Log, has the folder open.
	ErrInUse = errors.New("the folder is in use")
	// ErrNewer: a newer version of the program wrote the folder.
	ErrNewer = errors.New("the folder has a newer format")
)

// Log is a connect.Log in a folder.
type Log struct {
	opts  Options
	guard *guard
	db    *pebble.DB // of calls under way; nil: it could not be opened again
	lock  *pebble.Lock
	// writtenBefore is what databases before a rest have written; as db.
	writtenBefore int64

	// failure is the first write that failed; broken is closed with it.
	failure atomic.Pointer[error]
	broken  chan struct{}

	// appendLock gives the right to hand out offsets and to apply batches.
	// A channel, so that waiting for it can be given up.
	appendLock chan struct{}
	seq        uint64 // of the last batch applied; under appendLock
	nextTopic  uint32 // under appendLock
	free       sync.Pool

	mu        sync.Mutex
	topics    map[string]*topic // a topic never goes or changes
	made      chan struct{}     // closed, and replaced, when a topic was made
	pending   []*commit         // applied and not known durable, in order of seq
	published uint64            // seq up to which all is durable and shown
	gate      chan struct{}     // not nil: appends wait until it is closed
	closed    bool
	calls     sync.WaitGroup // calls under way
	paused    chan struct{}  // not nil: calls wait until it is closed

	done    chan struct{} // closed by Close
	work    chan struct{} // nudges the goroutine
	stopped chan struct{} // closed when the goroutine has ended

	appendedMessages, appendedBytes atomic.Int64
}

var _ connect.Log = (*Log)(nil)

type topic struct {
	id         uint32
	name       string
	partitions []partition
}

// partition is one partition. What is durable and shown is under Log.mu, what
// was given out under the append lock.
type partition struct {
	topic *topic
	index int32

	// Under the append lock.
	next     int64  // offset of the next message
	bytes    uint64 // appended since the beginning
	lastTime int64  // when the last message was appended, microseconds
	segments []segment

	// Under Log.mu.
	first, end int64
	held       uint64 // bytes from the first segment on
	shown      uint64 // the commit that moved end
	subs       []*cursor
}

// segment is the beginning of a run of messages that retention drops as one.
type segment struct {
	offset int64
	bytes  uint64 // of the partition, before offset
	time   int64  // when its first message was appended, microseconds
}

// Atomic reports true: Append writes all or nothing.
func (l *Log) Atomic() bool { return true }

// enter begins a call; leave ends it. No call begins after Close or a failure.
func (l *Log) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.awaitResume()
	if err := l.refusal(); err != nil {
		return err
	}
	l.calls.Add(1)
	return nil
}

// refusal returns why no call may begin. Call with mu.
func (l *Log) refusal() error {
	if l.closed {
		return ErrClosed
	}
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *Log) leave() { l.calls.Done() }

// poison makes err the answer to all calls from now on.
func (l *Log) poison(err error) {
	if l.failure.CompareAndSwap(nil, &err) {
		close(l.broken)
	}
}

// Err returns the failure that froze the log, nil if there is none.
func (l *Log) Err() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// lockAppend takes the append lock.
func (l *Log) lockAppend(ctx context.Context) error {
	select {
	case l.appendLock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Log) unlockAppend() { <-l.appendLock }

// lookup returns a partition. Call without mu.
func (l *Log) lookup(name string, index int32) (*partition, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lookupLocked(name, index)
}

func (l *Log) lookupLocked(name string, index int32) (*partition, error) {
	t := l.topics[name]
	if t == nil {
		return nil, fmt.Errorf("topic %q does not exist; create it first", name)
	}
	if index < 0 || int(index) >= len(t.partitions) {
		return nil, fmt.Errorf("topic %q has partitions 0 to %d and no %d", name, len(t.partitions)-1, index)
	}
	return &t.partitions[index], nil
}

// Limits of topics.
const (
	maxTopicName  = 1 << 10
	maxPartitions = 1 << 16
)

// CreateTopic makes a topic.
func (l *Log) CreateTopic(ctx context.Context, name string, partitions int32) error {
	err := l.createTopic(ctx, name, partitions)
	if err != nil {
		return fmt.Errorf("pebblelog: create topic %q: %w", name, err)
	}
	return nil
}

func (l *Log) createTopic(ctx context.Context, name string, partitions int32) error {
	if name == "" || len(name) > maxTopicName || strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("a name has 1 to %d bytes and no NUL", maxTopicName)
	}
	if partitions < 1 || partitions > maxPartitions {
		return fmt.Errorf("%d partitions asked for; it can have 1 to %d", partitions, maxPartitions)
	}
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	if err := l.lockAppend(ctx); err != nil {
		return err
	}
	defer l.unlockAppend() // held to the end, so that nobody else makes it
	l.mu.Lock()
	t := l.topics[name]
	l.mu.Unlock()
	if t != nil {
		if n := len(t.partitions); n != int(partitions) {
			return fmt.Errorf("it exists with %d partitions, not %d", n, partitions)
		}
		return nil
	}
	t = newTopic(l.nextTopic, name, partitions)
	l.nextTopic++
	c := l.newCommit()
	value := binary.BigEndian.AppendUint32(nil, t.id)
	value = binary.BigEndian.AppendUint32(value, uint32(partitions))
	if err := c.batch.Set(append([]byte{spaceTopic}, name...), value, nil); err != nil {
		return err
	}
	l.apply(c)
	if err := l.wait(c); err != nil {
		return err
	}
	l.mu.Lock()
	l.topics[name] = t
	close(l.made)
	l.made = make(chan struct{})
	l.mu.Unlock()
	return nil
}

// TopicsMade returns a channel that is closed when the next topic is made.
func (l *Log) TopicsMade() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made
}

func newTopic(id uint32, name string, partitions int32) *topic {
	t := &topic{id: id, name: name, partitions: make([]partition, partitions)}
	for i := range t.partitions {
		t.partitions[i].topic, t.partitions[i].index = t, int32(i)
	}
	return t
}

// Topics returns the partitions of each topic.
func (l *Log) Topics(ctx context.Context) (map[string]int32, error) {
	if err := l.enter(); err != nil {
		return nil, fmt.Errorf("pebblelog: topics: %w", err)
	}
	defer l.leave()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]int32, len(l.topics))
	for name, t := range l.topics {
		all[name] = int32(len(t.partitions))
	}
	return all, nil
}

// Bounds returns the offset of the first message there is and the offset that
// follows the last durable one. It is asked of thousands of partitions at once,
// for how far a sink is behind.
func (l *Log) Bounds(ctx context.Context, name string, index int32) (first, end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refusal(); err != nil {
		return 0, 0, fmt.Errorf("pebblelog: bounds: %w", err)
	}
	p, err := l.lookupLocked(name, index)
	if err != nil {
		return 0, 0, fmt.Errorf("pebblelog: bounds: %w", err)
	}
	return p.first, p.end, nil
}

// Store returns the store of entries in the same database.
func (l *Log) Store() offsets.Store { return store{l} }
