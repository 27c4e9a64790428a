package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// Source is the stream of Changes with the copies of its tables woven in.
type Source struct {
	cfg       Config
	env       connect.Env
	changes   Changes
	newReader func() Reader

	mu   sync.Mutex // of run
	cur  *run
	runs sync.WaitGroup // of run's goroutines
}

// run is what lives from Open to Close.
type run struct {
	w      *weaver
	done   <-chan struct{} // closed when the run ends
	cancel context.CancelFunc

	ask    chan struct{} // Read wants a batch of the stream
	got    chan result
	in     connect.Batch // that the pump fills
	asked  bool
	have   bool
	result result
}

// result is one Read of the stream. The batch is in run.in.
type result struct {
	err    error
	tables []*schema.Table
	listed bool // tables are as of this batch
}

// New returns a Source of changes, whose chunks are read by cfg.Threads
// Readers that newReader makes.
func New(changes Changes, newReader func() Reader, cfg Config, env connect.Env) *Source {
	if env.Logger == nil {
		env.Logger = slog.New(slog.DiscardHandler)
	}
	return &Source{cfg: cfg.filled(), env: env, changes: changes, newReader: newReader}
}

// Open begins or resumes stream and copies.
func (s *Source) Open(ctx context.Context, from offsets.Position, state []offsets.Entry) error {
	var own, rest []offsets.Entry
	for _, e := range state {
		if strings.HasPrefix(e.Key, statePrefix) {
			own = append(own, e)
		} else {
			rest = append(rest, e)
		}
	}
	var err error
	if from != nil && slices.ContainsFunc(rest, func(e offsets.Entry) bool { return e.Key == connect.ResetKey }) {
		err, from = s.reset(ctx, from, rest), nil
	} else if err = s.changes.Open(ctx, from, rest); errors.Is(err, connect.ErrPositionLost) && from != nil {
		if err = s.heal(ctx, from, rest, err); err == nil {
			from = nil
		}
	}
	if err != nil {
		return err
	}
	if s.cfg.Editor != nil {
		s.cfg.Editor.Reset()
	}
	w := newWeaver(s.cfg, s.changes, s.env)
	if err := w.load(own, from == nil); err != nil {
		return errors.Join(err, s.changes.Close())
	}
	w.resume(from)
	s.start(w)
	return nil
}

// heal begins the stream anew where the server is now, since what follows lost
// is not to be had any more. All tables are to be copied again, and emptied
// first: the log that is gone may have had deletes.
func (s *Source) heal(ctx context.Context, lost offsets.Position, state []offsets.Entry, cause error) error {
	if s.cfg.Mode != WhenNeeded {
		return s.explain(cause)
	}
	s.env.Logger.Warn("snapshot: the position is lost; all tables are emptied in the targets and copied anew", "error", cause)
	if err := s.changes.Close(); err != nil {
		return err
	}
	return s.changes.OpenAnew(ctx, lost, state)
}

// reset begins anew where the server is now, since an operator wants it: all
// tables are emptied in the targets and copied again.
func (s *Source) reset(ctx context.Context, from offsets.Position, state []offsets.Entry) error {
	if s.cfg.Mode == NoData {
		return connect.Permanent(fmt.Errorf("the source was reset, but with %s=%s no table is read again; set another mode", optMode, NoData))
	}
	s.env.Logger.Warn("snapshot: the source was reset; all tables are emptied in the targets and copied anew")
	return s.changes.OpenAnew(ctx, from, state)
}

// resume puts the stream at from and takes the tables there.
func (w *weaver) resume(from offsets.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.changes.Tables()
	w.setTables(list)
	if w.cfg.SignalTable != "" && !slices.ContainsFunc(list, w.isSignals) {
		w.env.Logger.Warn("snapshot: the table of signals is not there, or not captured: until it is no signal comes from it", optSignalTable, w.cfg.SignalTable)
	}
	if from != nil {
		w.pos, w.boundary = from, true
		w.checkServer(from, true)
		for _, t := range w.order {
			if t.upTo.File != "" && t.server != w.server {
				w.restart(t)
			}
		}
	}
}

func (s *Source) start(w *weaver) {
	r := &run{w: w, ask: make(chan struct{}, 1), got: make(chan result, 1)}
	rctx, cancel := context.WithCancel(context.Background())
	r.done, r.cancel = rctx.Done(), cancel
	s.mu.Lock()
	s.cur = r
	s.mu.Unlock()
	s.runs.Go(func() { r.pump(rctx, s.changes) })
	s.runs.Go(func() { w.attend(rctx) })
	if s.cfg.Brake != nil {
		s.runs.Go(func() { w.mind(rctx, s.cfg.Brake) })
	}
	for range s.cfg.Threads {
		k := &worker{w: w, r: s.newReader()}
		s.runs.Go(func() { k.run(rctx) })
	}
}

// listEvery is how often the list of tables is asked for when nothing says
// that it changed.
const listEvery = time.Second

// pump reads the stream, one batch for each ask.
func (r *run) pump(ctx context.Context, changes Changes) {
	var listed time.Time
	for {
		select {
		case <-r.ask:
		case <-ctx.Done():
			return
		}
		r.in.Reset()
		res := result{err: changes.Read(ctx, &r.in)}
		if res.err == nil && (time.Since(listed) > listEvery || reshapes(&r.in)) {
			res.tables, res.listed, listed = changes.Tables(), true, time.Now()
		}
		r.got <- res
	}
}

// reshapes reports whether b has a record that changes the list of tables.
func reshapes(b *connect.Batch) bool {
	for i := range b.Records {
		if !b.Records[i].Op.HasRow() {
			return true
		}
	}
	return false
}

var (
	errClosed  = errors.New("snapshot: source is closed")
	errNotOpen = errors.New("snapshot: the source is not open, or not yet; ask again")
)

func (s *Source) running() *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur
}

// Read implements connect.Source.
func (s *Source) Read(ctx context.Context, b *connect.Batch) error {
	for {
		if err := s.read(ctx, b); err != nil || s.cfg.Editor == nil {
			return err
		}
		if err := s.cfg.Editor.Edit(b); err != nil {
			return err
		}
		if len(b.Records) > 0 || b.Pos != nil {
			return nil
		}
		b.Reset()
	}
}

// read returns what comes next: rows that are due, else changes.
func (s *Source) read(ctx context.Context, b *connect.Batch) error {
	r := s.running()
	if r == nil {
		return errClosed
	}
	for {
		held := r.have && r.result.err == nil && r.w.holds(&r.in)
		if r.w.emitNext(b, r.have && !held) {
			r.w.out(b)
			return nil
		}
		if s.cfg.Mode == InitialOnly && r.w.over() {
			return io.EOF
		}
		if r.have && !held {
			ok, err := r.take(b)
			if err != nil {
				return s.explain(err)
			}
			if ok {
				r.w.out(b)
				return nil
			}
			continue
		}
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
}

// wait waits for the stream, for rows, or for the end.
func (r *run) wait(ctx context.Context) error {
	if !r.have && !r.asked {
		r.asked = true
		r.ask <- struct{}{}
	}
	select {
	case r.result = <-r.got:
		r.asked, r.have = false, true
	case <-r.w.ready:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return errClosed
	}
	return nil
}

// take moves the batch of the stream to b and reports whether anything of it
// is left.
func (r *run) take(b *connect.Batch) (bool, error) {
	r.have = false
	if r.result.err != nil {
		return false, r.result.err
	}
	b.Swap(&r.in)
	r.w.follow(b, r.result.tables, r.result.listed)
	return len(b.Records) > 0 || b.Pos != nil, nil
}

// follow takes note of a batch of the stream. It locks.
func (w *weaver) follow(b *connect.Batch, tables []*schema.Table, listed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.boundary
	if b.Pos != nil {
		w.checkServer(b.Pos, false)
	}
	if !w.begun && b.Pos != nil {
		w.seq = max(w.seq, w.changes.Anchor(b.Pos).Seq)
	}
	w.observe(b)
	w.begun = true
	if listed {
		w.setTables(tables)
	}
	if w.boundary {
		w.stamp(b)
	}
	if w.boundary && (!was || w.held()) {
		w.wakeWorkers()
	}
}

// held reports whether a table waits for the stream to move on.
func (w *weaver) held() bool {
	return slices.ContainsFunc(w.work, func(t *table) bool { return t.hold.File != "" && t.status != done })
}

// over reports whether all tables are copied. It locks.
func (w *weaver) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.allDone()
}

// explain says what to do about an error of the stream.
func (s *Source) explain(err error) error {
	if !errors.Is(err, connect.ErrPositionLost) {
		return err
	}
	if s.cfg.Mode == WhenNeeded { // not wrapped: opened again, everything is copied anew
		return fmt.Errorf("snapshot: all tables are to be copied anew: %v", err)
	}
	return fmt.Errorf("%w; start with %s=%s, which empties all tables in the targets and copies them anew when this happens", err, optMode, WhenNeeded)
}

// Commit tells the change source, and those who wait for a signal.
func (s *Source) Commit(ctx context.Context, pos offsets.Position) error {
	if r := s.running(); r != nil {
		r.w.committed()
	}
	return s.changes.Commit(ctx, pos)
}

// Signal implements connect.Signaler.
func (s *Source) Signal(ctx context.Context, sig connect.Signal) ([]string, error) {
	r := s.running()
	if r == nil {
		return nil, errNotOpen
	}
	return r.w.signal(ctx, r.done, sig)
}

// Head asks the change source.
func (s *Source) Head(ctx context.Context) (offsets.Position, error) { return s.changes.Head(ctx) }

// Close ends the stream and all readers.
func (s *Source) Close() error {
	s.mu.Lock()
	r := s.cur
	s.cur = nil
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	r.cancel()
	err := s.changes.Close()
	s.runs.Wait()
	return err
}
