package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/convert"
	"github.com/towline/towline/offsets"
)

// maxKeep is how large the buffer of bodies may stay between batches.
const maxKeep = 8 << 20

// sink sends records to one URL.
type sink struct {
	connector string
	url       *url.URL
	headers   http.Header
	secrets   [][]byte
	gzip      bool
	timeout   time.Duration
	inFlight  int
	retry     policy
	tls       *tls.Config
	gauge     func(name string, value float64, labels ...string)
	now       func() time.Time
	wait      func(ctx context.Context, d time.Duration) error

	client  *http.Client
	enc     *convert.Encoder
	buf     []byte // bodies of the batch
	idBuf   []byte
	items   []item
	chains  [][]int // items of one key each, in order
	byHash  map[uint64]int
	waiting atomic.Int64 // requests that wait for their next attempt
}

// item is one request to make.
type item struct {
	index      int // of the record
	record     *connect.Record
	id         string
	begin, end int // of the body in buf
	hash       uint64
	alone      bool  // it concerns more than its key
	err        error // why the record failed
}

// Open implements connect.Sink. It makes no request, and there is no State.
func (s *sink) Open(context.Context) ([]offsets.Entry, error) {
	_ = s.Close()
	s.client = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: s.tls, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: s.inFlight, MaxConnsPerHost: s.inFlight, IdleConnTimeout: 90 * time.Second,
			DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil, nil
}

// Close implements connect.Sink.
func (s *sink) Close() error {
	if s.client != nil {
		s.client.CloseIdleConnections()
		s.client = nil
	}
	return nil
}

// Write implements connect.Sink.
func (s *sink) Write(ctx context.Context, b *connect.Batch) error {
	if s.client == nil {
		return errors.New("webhook: write: the sink is not open")
	}
	defer s.forget()
	s.prepare(b)
	for begin := 0; begin < len(s.items); {
		end := begin + 1
		if !s.items[begin].alone {
			for end < len(s.items) && !s.items[end].alone {
				end++
			}
		}
		if err := s.send(ctx, begin, end); err != nil {
			return fmt.Errorf("webhook: %s: %w", s.target(), err)
		}
		begin = end
	}
	return s.failed()
}

// forget drops what points into the batch (invariant 7).
func (s *sink) forget() {
	clear(s.items)
	if cap(s.buf) > maxKeep {
		s.buf = nil
	}
}

// prepare makes an item for each record to send.
func (s *sink) prepare(b *connect.Batch) {
	s.items, s.buf = s.items[:0], s.buf[:0]
	for i := range b.Records {
		r := &b.Records[i]
		if r.Op == connect.OpSchema {
			continue
		}
		it := item{index: i, record: r, alone: !r.Op.HasRow() && r.Op != connect.OpMessage, begin: len(s.buf)}
		s.buf, it.err = s.appendBody(s.buf, r)
		it.end = len(s.buf)
		it.id, s.idBuf = messageID(s.connector, r, s.idBuf)
		it.hash, s.idBuf = r.Hash(connect.RowSpreadOf(r.Table), s.idBuf)
		s.items = append(s.items, it)
	}
}

// appendBody appends the JSON of a record. A delete that would have no body
// is told by the envelope.
func (s *sink) appendBody(dst []byte, r *connect.Record) ([]byte, error) {
	if r.Op == connect.OpDelete && r.After == nil && r.Flags&connect.Unwrapped != 0 {
		whole := *r
		whole.Flags &^= connect.Unwrapped
		r = &whole
	}
	return s.enc.AppendValue(dst, r)
}

// send makes the requests of the items from begin to end: those of one key in
// order, those of different keys at the same time.
func (s *sink) send(ctx context.Context, begin, end int) error {
	s.chain(begin, end)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(s.inFlight, len(s.chains)) {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(s.chains) {
					return
				}
				if err := s.sendChain(ctx, s.chains[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// chain sorts the items from begin to end by key.
func (s *sink) chain(begin, end int) {
	if s.byHash == nil {
		s.byHash = map[uint64]int{}
	}
	clear(s.byHash)
	s.chains = s.chains[:0]
	for i := begin; i < end; i++ {
		if s.items[i].err != nil {
			continue
		}
		c, ok := s.byHash[s.items[i].hash]
		if !ok {
			c = len(s.chains)
			s.byHash[s.items[i].hash] = c
			if c < cap(s.chains) {
				s.chains = s.chains[:c+1]
				s.chains[c] = s.chains[c][:0]
			} else {
				s.chains = append(s.chains, nil)
			}
		}
		s.chains[c] = append(s.chains[c], i)
	}
}

func (s *sink) sendChain(ctx context.Context, chain []int) error {
	for _, i := range chain {
		err := s.deliver(ctx, &s.items[i])
		var refused *refusal
		switch {
		case errors.As(err, &refused):
			s.items[i].err = err // the record's own fault; the next one of its key goes on
		case err != nil:
			return err
		}
	}
	return nil
}

// failed returns the records that failed.
func (s *sink) failed() error {
	var be connect.BatchError
	for i := range s.items {
		if it := &s.items[i]; it.err != nil {
			be.Failed = append(be.Failed, connect.RecordError{Index: it.index, Err: fmt.Errorf("webhook: %s: table %s: %w", s.target(), it.record.Table, it.err)})
		}
	}
	if len(be.Failed) == 0 {
		return nil
	}
	slices.SortFunc(be.Failed, func(a, b connect.RecordError) int { return a.Index - b.Index })
	return &be
}

// target returns the URL without user, password and query.
func (s *sink) target() string {
	u := url.URL{Scheme: s.url.Scheme, Host: s.url.Host, Path: s.url.Path}
	return u.String()
}

// retrying counts requests that wait for their next attempt.
func (s *sink) retrying(n int64) {
	total := s.waiting.Add(n)
	if s.gauge != nil {
		s.gauge("webhook_retrying", float64(total))
	}
}
