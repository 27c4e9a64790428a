package pebblelog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema/wire"
)

const (
	// turnBytes is what a partition may deliver before the next has its turn.
	turnBytes = 1 << 20
	// wholeRuns is the size of reads from which on a run that was begun is
	// delivered to its end. A smaller one may stop within it, and the next
	// unpacks it again.
	wholeRuns = 4 * runBytes
)

// reader is a connect.Reader.
type reader struct {
	l       *Log
	cursors []*cursor
	names   map[string]string // header names seen
	done    chan struct{}     // closed by Close
	wake    chan struct{}     // holds one token when queue may have become non-empty

	// Cursors that have a turn each, in the order of their keys, and which of
	// them comes next; of Read.
	round []*cursor
	at    int

	// Under Log.mu.
	queue  []*cursor // cursors that have messages, and are to be in the next round
	closed bool
}

// cursor is the place of a reader in one partition. next belongs to Read.
type cursor struct {
	r      *reader
	p      *partition
	next   int64
	queued bool // for a turn in this round or the next; under Log.mu
}

// ready gives c a turn. Call with Log.mu.
func (c *cursor) ready() {
	if c.queued {
		return
	}
	c.queued = true
	r := c.r
	r.queue = append(r.queue, c)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// turnOf returns the cursor whose turn it is; nil: none has messages. Where many
// wait they come in the order of their keys: so Pebble finds a key near the one
// before, and need not look for it in all of its files.
func (r *reader) turnOf() (*cursor, error) {
	if r.at == len(r.round) {
		if err := r.newRound(); err != nil || len(r.round) == 0 {
			return nil, err
		}
	}
	c := r.round[r.at]
	r.at++
	return c, nil
}

// newRound takes all cursors that wait.
func (r *reader) newRound() error {
	r.l.mu.Lock()
	if r.closed {
		r.l.mu.Unlock()
		return ErrClosed
	}
	r.round, r.queue, r.at = r.queue, r.round[:0], 0
	r.l.mu.Unlock()
	slices.SortFunc(r.round, func(a, b *cursor) int {
		return cmp.Or(cmp.Compare(a.p.topic.id, b.p.topic.id), cmp.Compare(a.p.index, b.p.index))
	})
	return nil
}

// OpenReader returns a reader of the partitions of from.
func (l *Log) OpenReader(ctx context.Context, from []connect.Cursor) (connect.Reader, error) {
	if err := l.enter(); err != nil {
		return nil, fmt.Errorf("pebblelog: open reader: %w", err)
	}
	defer l.leave()
	r := &reader{l: l, names: map[string]string{}, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	all := make([]cursor, len(from))
	r.cursors = make([]*cursor, len(from))
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, f := range from {
		p, err := l.lookupLocked(f.Topic, f.Partition)
		if err == nil {
			err = p.covers(f.Offset)
		}
		if err != nil {
			return nil, fmt.Errorf("pebblelog: open reader: %w", err)
		}
		all[i] = cursor{r: r, p: p, next: f.Offset}
		r.cursors[i] = &all[i]
	}
	for _, c := range r.cursors {
		c.p.subs = append(c.p.subs, c)
		if c.next < c.p.end {
			c.ready()
		}
	}
	return r, nil
}

// covers returns why reading cannot go on at offset, if it cannot. Call with
// Log.mu.
func (p *partition) covers(offset int64) error {
	if offset < p.first || offset > p.end {
		return fmt.Errorf("topic %q partition %d: offset %d does not lie between %d and %d: %w",
			p.topic.name, p.index, offset, p.first, p.end, connect.ErrPositionLost)
	}
	return nil
}

// Close ends the reader; a Read under way returns.
func (r *reader) Close() error {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	close(r.done)
	for _, c := range r.cursors {
		for i, s := range c.p.subs {
			if s == c {
				last := len(c.p.subs) - 1
				c.p.subs[i], c.p.subs[last] = c.p.subs[last], nil
				c.p.subs = c.p.subs[:last]
				break
			}
		}
	}
	return nil
}

// Read appends messages to m.
func (r *reader) Read(ctx context.Context, m *connect.Messages, maxBytes int) error {
	if err := r.read(ctx, m, maxBytes); err != nil {
		return fmt.Errorf("pebblelog: read: %w", err)
	}
	return nil
}

func (r *reader) read(ctx context.Context, m *connect.Messages, maxBytes int) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.l.enter(); err != nil {
			return err
		}
		n, err := r.collect(m, maxBytes)
		r.l.leave()
		if err != nil || n > 0 {
			return err
		}
		select {
		case <-r.wake:
		case <-r.l.broken:
		case <-r.l.done:
		case <-r.done:
			return ErrClosed
		case <-ctx.Done():
		}
	}
}

// view is the iterator of one Read, and the state of the log that it shows.
type view struct {
	it        *pebble.Iterator
	seq       uint64
	low, high []byte // bounds of it
	key       []byte
}

func (v *view) close() error {
	if v.it == nil {
		return nil
	}
	err := v.it.Close()
	v.it = nil
	return err
}

// collect takes turns until m has maxBytes more or nothing is at hand, and
// returns the number of messages. It returns an error only when it has none.
func (r *reader) collect(m *connect.Messages, maxBytes int) (n int, err error) {
	l := r.l
	var v view
	defer func() {
		if cerr := v.close(); cerr != nil && err == nil && n == 0 {
			err = l.readError(cerr)
		}
	}()
	for used := 0; used < maxBytes || n == 0; {
		c, err := r.turnOf()
		if c == nil || err != nil {
			return n, err
		}
		l.mu.Lock()
		if r.closed {
			l.mu.Unlock()
			return n, ErrClosed
		}
		c.queued = false
		end, shown, published, err := c.p.end, c.p.shown, l.published, c.p.covers(c.next)
		l.mu.Unlock()
		var got, size int
		if err == nil && end-c.next == 1 {
			got, size, err = r.only(&v, c, m)
		}
		if got == 0 && err == nil {
			err = r.show(&v, c, shown, published)
		}
		if got == 0 && err == nil {
			got, size, err = r.turn(&v, c, end, m, min(turnBytes, maxBytes-used), maxBytes >= wholeRuns)
		}
		n += got
		used += size
		l.mu.Lock()
		if err != nil || c.next < c.p.end { // c.p.end is newer than end
			c.ready()
		}
		l.mu.Unlock()
		if err != nil && n == 0 {
			return 0, err
		}
		if err != nil { // it comes again at the next Read
			return n, nil
		}
	}
	return n, nil
}

// only reads the message of c where just one waits, since that has this very key:
// to look for it ends where it is found, which is in memory for what was appended a
// moment ago, where an iterator has to be put in its place in every file that may
// have keys behind it. It reads nothing (n is 0) if the message is not by itself.
func (r *reader) only(v *view, c *cursor, m *connect.Messages) (n, size int, err error) {
	stored, done, err := r.l.db.Get(r.keyOf(v, c))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, r.l.readError(err)
	}
	if len(stored) > 1 && stored[0] == messageVersion && stored[1]&flagParts == 0 {
		n, size, err = r.message(nil, c, m, stored)
		err = r.marked(c, c.next, err)
		c.next += int64(n)
	}
	if cerr := done.Close(); cerr != nil && err == nil {
		err = r.l.readError(cerr)
	}
	return n, size, err
}

// marked says where the head is that does not parse.
func (r *reader) marked(c *cursor, offset int64, err error) error {
	if !errors.Is(err, errHead) {
		return err
	}
	return r.l.damaged(fmt.Errorf("topic %q partition %d offset %d: %w", c.p.topic.name, c.p.index, offset, err))
}

// show makes v one that shows c's messages and those of the rest of the round,
// unless it does: those of c are shown from the commit shown on, and by now all
// are up to the commit published.
func (r *reader) show(v *view, c *cursor, shown, published uint64) (err error) {
	if key := r.keyOf(v, c); v.it != nil && v.seq >= shown && bytes.Compare(v.low, key) <= 0 && bytes.Compare(key, v.high) < 0 {
		return nil
	}
	if err := v.close(); err != nil {
		return r.l.readError(err)
	}
	last := r.round[len(r.round)-1].p
	v.low = append(v.low[:0], r.keyOf(v, c)...)
	v.high = appendOffsetKey(v.high[:0], spaceMessage, last, math.MaxInt64)
	v.seq = published
	v.it, err = r.l.db.NewIter(&pebble.IterOptions{LowerBound: v.low, UpperBound: v.high})
	if err != nil {
		return r.l.readError(err)
	}
	return nil
}

// keyOf returns the key of c's next message, in v's memory.
func (r *reader) keyOf(v *view, c *cursor) []byte {
	v.key = appendOffsetKey(v.key[:0], spaceMessage, c.p, c.next)
	return v.key
}

// turn reads the messages of c up to end, until limit is reached; whole: and
// the run that is at hand then is at its end.
func (r *reader) turn(v *view, c *cursor, end int64, m *connect.Messages, limit int, whole bool) (n, size int, err error) {
	if c.next >= end {
		return 0, 0, nil
	}
	for v.it.SeekGE(r.keyOf(v, c)); ; v.it.Next() {
		rest := limit - size
		if whole {
			rest = maxRun
		}
		got, added, err := r.entry(v.it, c, m, rest)
		c.next += int64(got)
		n += got
		size += added
		if err != nil || c.next >= end || size >= limit {
			return n, size, err
		}
	}
}

// entry adds the messages of the key that it stands at to m, the first of
// which is c.next. Of a run it stops when limit is reached.
func (r *reader) entry(it *pebble.Iterator, c *cursor, m *connect.Messages, limit int) (n, size int, err error) {
	if !it.Valid() || len(it.Key()) != messageKeyLen || !c.p.has(it.Key()) {
		return 0, 0, r.missing(it, c)
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return 0, 0, r.l.readError(err)
	}
	last := messageOffset(it.Key())
	if len(v) > 0 && v[0] == runVersion {
		n, size, err = r.run(it, c, m, v, last, limit)
	} else if last == c.next {
		n, size, err = r.message(it, c, m, v)
	} else {
		return 0, 0, r.missing(it, c)
	}
	return n, size, r.marked(c, c.next+int64(n), err)
}

// message adds a message that stands alone, and leaves it at the last key of
// the message.
func (r *reader) message(it *pebble.Iterator, c *cursor, m *connect.Messages, v []byte) (n, size int, err error) {
	head := m.Alloc(len(v))
	copy(head, v)
	length, parts, err := r.add(c, m, c.next, head, nil)
	if err == nil && parts > 0 {
		m.List[len(m.List)-1].Value, err = r.parts(it, c, m, length, parts)
		if err != nil {
			m.List = m.List[:len(m.List)-1]
		}
	}
	if err != nil {
		return 0, 0, err
	}
	return 1, len(head) + length, nil
}

// add adds the message at offset, whose head is in m's memory; base is the
// value of the first message of its run.
func (r *reader) add(c *cursor, m *connect.Messages, offset int64, head, base []byte) (length, parts int, err error) {
	at := len(m.List)
	msg := m.Add()
	*msg = connect.Message{Topic: c.p.topic.name, Partition: c.p.index, Offset: offset}
	if length, parts, err = parseHead(m, msg, head, base, r.names); err != nil {
		m.List = m.List[:at]
	}
	return length, parts, err
}

// run adds the messages of a run, from c.next on.
func (r *reader) run(it *pebble.Iterator, c *cursor, m *connect.Messages, stored []byte, last int64, limit int) (n, size int, err error) {
	count, raw, err := openRun(m, stored)
	if err != nil {
		return 0, 0, err
	}
	first := last - count + 1
	if first < 0 || first > c.next {
		return 0, 0, r.missing(it, c)
	}
	rest := wire.NewReader(raw)
	var base []byte
	for offset := first; offset <= last; offset++ {
		head := rest.Bytes()
		if offset < c.next && offset > first {
			continue
		}
		if n > 0 && size >= limit {
			return n, size, nil
		}
		shared, parts, err := r.add(c, m, offset, head, base)
		if err != nil {
			return n, size, err
		}
		added := len(m.List) - 1
		if offset == first {
			base = m.List[added].Value
		}
		if parts > 0 || offset < c.next {
			m.List = m.List[:added]
		}
		if parts > 0 {
			return n, size, errHead
		}
		if offset < c.next {
			continue
		}
		n++
		size += len(head) + shared
	}
	if !rest.Done() {
		return n, size, errHead
	}
	return n, size, nil
}

// has reports whether a key of a message is one of p's.
func (p *partition) has(key []byte) bool {
	topic, index, _, ok := parsePartitionKey(key)
	return ok && topic == p.topic.id && index == p.index
}

func messageOffset(key []byte) int64 {
	return int64(binary.BigEndian.Uint64(key[partitionKeyLen:]))
}

// parts reads a value that is in parts.
func (r *reader) parts(it *pebble.Iterator, c *cursor, m *connect.Messages, length, parts int) ([]byte, error) {
	value := m.Alloc(length)
	done := 0
	for i := range parts {
		if !it.Next() || len(it.Key()) != partKeyLen || !c.p.has(it.Key()) || messageOffset(it.Key()) != c.next ||
			binary.BigEndian.Uint32(it.Key()[messageKeyLen:]) != uint32(i) {
			return nil, r.missing(it, c)
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, r.l.readError(err)
		}
		if len(v) != min(length-done, partBytes) {
			return nil, errHead
		}
		done += copy(value[done:], v)
	}
	return value, nil
}

// missing returns why a message that should be there is not: a fault of
// reading, a trim in the meantime, or damage.
func (r *reader) missing(it *pebble.Iterator, c *cursor) error {
	if err := it.Error(); err != nil {
		return r.l.readError(err)
	}
	r.l.mu.Lock()
	err := c.p.covers(c.next)
	r.l.mu.Unlock()
	if err != nil {
		return err
	}
	return r.l.damaged(fmt.Errorf("topic %q partition %d: the message of offset %d is missing", c.p.topic.name, c.p.index, c.next))
}
