package memlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/towline/towline/connect"
)

var errReaderClosed = errors.New("memlog: reader is closed")

// reader reads its partitions in turns, a message from each.
type reader struct {
	l    *Log
	at   []connect.Cursor
	turn int
	once sync.Once
	done chan struct{} // closed by Close
}

// OpenReader returns a Reader of all of the given partitions. It fails at once
// where a partition is not there or a position is lost.
func (l *Log) OpenReader(ctx context.Context, from []connect.Cursor) (connect.Reader, error) {
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	for _, c := range from {
		if err := l.check(c); err != nil {
			return nil, fmt.Errorf("open reader: %w", err)
		}
	}
	return &reader{l: l, at: slices.Clone(from), done: make(chan struct{})}, nil
}

// check returns what is wrong with a cursor. The mutex is held.
func (l *Log) check(c connect.Cursor) error {
	p, err := l.find(c.Topic, c.Partition)
	if err != nil {
		return err
	}
	if c.Offset < p.first || c.Offset > p.end() {
		return fmt.Errorf("memlog: read %s/%d at offset %d, which is not in %d to %d: %w",
			c.Topic, c.Partition, c.Offset, p.first, p.end(), connect.ErrPositionLost)
	}
	return nil
}

// Read appends messages to m and waits until there is at least one.
func (r *reader) Read(ctx context.Context, m *connect.Messages, maxBytes int) error {
	for {
		if err := r.l.lock(ctx); err != nil {
			return err
		}
		changed := r.l.changed // taken under the mutex: no append is missed
		n, err := r.take(m, maxBytes)
		r.l.mu.Unlock()
		if n > 0 || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-r.done:
			return errReaderClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take copies what is at hand into m and returns the number of messages. The
// mutex is held.
func (r *reader) take(m *connect.Messages, maxBytes int) (int, error) {
	for _, c := range r.at {
		if err := r.l.check(c); err != nil {
			return 0, err
		}
	}
	n, size := 0, 0
	for idle := 0; idle < len(r.at) && (n == 0 || size < maxBytes); {
		c := &r.at[r.turn]
		r.turn = (r.turn + 1) % len(r.at)
		p, err := r.l.find(c.Topic, c.Partition)
		if err != nil {
			return n, err
		}
		if c.Offset == p.end() {
			idle++
			continue
		}
		idle = 0
		size += copyTo(m, &p.list[c.Offset-p.first])
		c.Offset++
		n++
	}
	return n, nil
}

// copyTo appends a copy of src to m and returns its bytes.
func copyTo(m *connect.Messages, src *connect.Message) int {
	before := m.Size()
	dst := m.Add()
	*dst = *src
	dst.Key, dst.Value = copyBytes(m, src.Key), copyBytes(m, src.Value)
	if src.Headers != nil {
		dst.Headers = m.NewHeaders(len(src.Headers))
		for i, h := range src.Headers {
			dst.Headers[i] = connect.Header{Key: h.Key, Value: copyBytes(m, h.Value)}
		}
	}
	return m.Size() - before
}

func copyBytes(m *connect.Messages, b []byte) []byte {
	if b == nil {
		return nil
	}
	p := m.Alloc(len(b))
	copy(p, b)
	return p
}

// Close ends the reader; a Read that waits returns.
func (r *reader) Close() error {
	r.once.Do(func() { close(r.done) })
	return nil
}
