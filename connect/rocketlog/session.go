package rocketlog

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/offsets"
)

// Claim is the right that a session has, as long as it holds.
type Claim struct {
	// Source is the Source of messages that nobody else may write meanwhile.
	Source string
	// Holds returns an error if the claim does not hold as of a view of the
	// Shared. It is part of each save, and must not call back.
	Holds func(offsets.View) error
	// Alive returns an error if, by the clock of this process, it may have
	// ended. It is asked before each request that appends.
	Alive func() error
}

// session is a Log that can be written to as long as a claim holds.
//
// What it saves counts only if the claim holds at the place of the save. What it
// appends is safe as follows. It looks at the end of a queue, then makes sure
// that the claim holds, and then appends: who gets the claim later writes behind
// the look, and is seen in the way (alien), whenever and however late a request
// lands. So of two that both believe to have the claim, the one that is stopped
// appends nothing behind what the other wrote.
type session struct {
	*Log
	sh    *shared
	claim Claim

	mu    sync.Mutex
	looks map[*queue]look // at queues, when first seen
	sure  map[*queue]bool // that the claim held after the look
}

// look is what is known of others when a session first sees a queue.
type look struct {
	jumps  int
	aliens uint64
}

// Session returns the log as one sees it who has a claim. Closing it does
// nothing. It is over when the claim is.
func (l *Log) Session(ctx context.Context, c Claim) (connect.Log, error) {
	ctx, done, err := l.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	sh, err := l.share(ctx)
	if err != nil {
		return nil, err
	}
	return &session{Log: l, sh: sh, claim: c, looks: map[*queue]look{}, sure: map[*queue]bool{}}, nil
}

// Close does nothing: the log is another's.
func (s *session) Close() error { return nil }

// Bounds implements connect.Log. The first time it counts as the look.
func (s *session) Bounds(ctx context.Context, topic string, partition int32) (first, end int64, err error) {
	q, err := s.queueOf(topic, partition)
	if err != nil {
		return 0, 0, err
	}
	cctx, done, err := s.enter(ctx)
	if err != nil {
		return 0, 0, err
	}
	err = s.look(cctx, q)
	done()
	if err != nil {
		return 0, 0, err
	}
	return s.Log.Bounds(ctx, topic, partition)
}

// look looks at a queue, unless that has been done.
func (s *session) look(ctx context.Context, q *queue) error {
	if s.claim.Source == "" {
		return nil
	}
	s.mu.Lock()
	_, ok := s.looks[q]
	s.mu.Unlock()
	if ok {
		return nil
	}
	if err := q.acquire(ctx); err != nil {
		return err
	}
	defer q.release()
	if q.aliens == nil {
		q.aliens = map[string]uint64{}
	}
	if err := q.catchUp(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks[q] = look{q.jumps, q.aliens[s.claim.Source]}
	return nil
}

// fenced returns an error if another has written to a queue, as this source,
// since the look, or the claim may have ended. The queue is acquired.
func (s *session) fenced(q *queue) error {
	s.mu.Lock()
	at := s.looks[q]
	s.mu.Unlock()
	if s.claim.Source != "" && at != (look{q.jumps, q.aliens[s.claim.Source]}) {
		return fmt.Errorf("another has written to %s for %s since it was read back: %w", q.name(), s.claim.Source, errMoved)
	}
	return s.claim.Alive()
}

// ready makes sure that the claim holds, once all queues have been looked at.
func (s *session) ready(ctx context.Context, queues []*queue) error {
	var fresh []*queue
	s.mu.Lock()
	for _, q := range queues {
		if !s.sure[q] {
			fresh = append(fresh, q)
		}
	}
	s.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	for _, q := range fresh {
		if err := s.look(ctx, q); err != nil {
			return err
		}
	}
	if err := s.state.check(ctx, s.claim.Holds); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range fresh {
		s.sure[q] = true
	}
	return nil
}

// Append implements connect.Log.
func (s *session) Append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	cctx, done, err := s.enter(ctx)
	if err != nil {
		return err
	}
	err = s.append(cctx, msgs, s)
	done()
	if err != nil || len(entries) == 0 {
		return err
	}
	return s.Store().Save(ctx, entries...)
}

// Store implements connect.Log.
func (s *session) Store() offsets.Store { return sessionStore{s} }

// sessionStore is the store of a log as a session sees it.
type sessionStore struct{ s *session }

// Load implements offsets.Store.
func (st sessionStore) Load(ctx context.Context, prefix string) ([]offsets.Entry, error) {
	return store{st.s.Log}.loadIf(ctx, prefix, st.s.claim.Holds)
}

// Save implements offsets.Store.
func (st sessionStore) Save(ctx context.Context, entries ...offsets.Entry) error {
	ctx, done, err := st.s.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	list := entriesOf(entries)
	return st.s.state.submit(ctx, &update{decide: func(v offsets.View) ([]offsets.Entry, error) { return list, st.s.claim.Holds(v) }})
}

// note counts a message of another that is in the way.
func (q *queue) note(m *remoting.Message, s stamp) error {
	if q.aliens == nil || s.writer == q.writer || !s.valid() || s.part != 0 {
		return nil
	}
	source, err := sourceOf(m)
	if err != nil {
		return damaged(q.topic, q.q, m.Offset, err)
	}
	if source != "" {
		q.aliens[source]++
	}
	return nil
}

// sourceOf returns the Source of a message, of which m is the first part.
func sourceOf(m *remoting.Message) (string, error) {
	text, ok := m.Property(propMeta)
	if !ok {
		return "", errMeta
	}
	meta, err := base64.RawStdEncoding.AppendDecode(nil, text)
	if err != nil || len(meta) == 0 {
		return "", errMeta
	}
	if meta[0] == metaInBody {
		n, k := binary.Uvarint(meta[1:])
		if k <= 0 || n == 0 || n > uint64(len(m.Body)) {
			return "", errMeta
		}
		meta = m.Body[:n]
	}
	if meta[0]&metaSource == 0 {
		return "", nil
	}
	r := metaReader{b: meta[1:]}
	r.varint()
	r.varint()
	r.uvarint()
	source := r.bytes(r.uvarint())
	if r.bad {
		return "", errMeta
	}
	return string(source), nil
}
