package rocketlog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/towline/towline/offsets"
)

// Updates of a state that wait go to the broker together, in one request. They are
// decided one after the other, each on what those before it leave, and each is a
// save of its own: readers and compaction see what they would see of updates that
// were written one by one, and of a request of which a broker has lost the end
// those count that are there.

// groupMost is how many updates one request has.
const groupMost = 256

// update is one that waits to be decided and written.
type update struct {
	// decide returns what is to be written, as of a view. It is asked again where
	// what it saw does not come about, but not once submit has returned.
	decide func(v offsets.View) ([]offsets.Entry, error)
	// fence: something must land behind the decision even if it is to write
	// nothing, so that it is one on all that others have written before.
	fence bool
	// landed is called when all of it is there, with the queue acquired; nil:
	// there is nothing more to do.
	landed func()
	// first: it comes before all that wait.
	first  bool
	answer chan error

	mu   sync.Mutex // held while decide and landed are called
	gone bool       // nobody waits for the answer
}

// call calls f unless nobody waits any more.
func (u *update) call(f func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.gone {
		f()
	}
}

func (u *update) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gone = true
}

// waiting are updates that nobody has taken yet.
type waiting struct {
	mu     sync.Mutex
	first  []*update // before the others
	list   []*update
	served bool
}

// of returns the list that an update is in. mu is held.
func (w *waiting) of(u *update) *[]*update {
	if u.first {
		return &w.first
	}
	return &w.list
}

// add adds an update, and reports whether somebody has to begin to serve.
func (w *waiting) add(u *update) (begin bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.of(u)
	*list = append(*list, u)
	begin, w.served = !w.served, true
	return begin
}

// take takes those that come next.
func (w *waiting) take(most int) (list []*update) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, from := range []*[]*update{&w.first, &w.list} {
		n := min(most-len(list), len(*from))
		list = append(list, (*from)[:n]...)
		*from = slices.Delete(*from, 0, n)
	}
	return list
}

// back gives back what has been taken.
func (w *waiting) back(taken []*update) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range slices.Backward(taken) {
		list := w.of(u)
		*list = slices.Insert(*list, 0, u)
	}
}

// drop takes an update out, if it still waits.
func (w *waiting) drop(u *update) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.of(u)
	if at := slices.Index(*list, u); at >= 0 {
		*list = slices.Delete(*list, at, at+1)
	}
}

// waits returns how many wait. mu is held.
func (w *waiting) waits() int { return len(w.first) + len(w.list) }

// more reports whether some wait; if not, nobody serves any more.
func (w *waiting) more() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.served = w.waits() > 0
	return w.served
}

// urgent reports whether one waits that is first.
func (w *waiting) urgent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.first) > 0
}

// submit has an update decided and written, with others that wait, and returns
// when it is there. When ctx ends before, it may still count, later.
func (s *state) submit(ctx context.Context, u *update) error {
	u.answer = make(chan error, 1)
	if s.waits.add(u) {
		s.serving.Go(func() { s.while(s.serve) })
	}
	select {
	case err := <-u.answer:
		return err
	case <-ctx.Done():
	}
	s.waits.drop(u)
	u.leave()
	select {
	case err := <-u.answer:
		return err
	default:
		return context.Cause(ctx)
	}
}

// serve writes what waits, until nothing does. Between two requests the queue is
// free for a moment: for who follows it, and so that what is first need not wait
// for an image.
func (s *state) serve(ctx context.Context) {
	for more := true; more; more = s.waits.more() {
		s.turn(ctx, s.writeGroup)
		if !s.waits.urgent() {
			s.turn(ctx, s.mend)
		}
		if !s.waits.urgent() {
			s.turn(ctx, s.keepImages)
		}
	}
}

func (s *state) turn(ctx context.Context, f func(ctx context.Context)) {
	if err := s.q.acquire(ctx); err != nil {
		refuse(s.waits.take(s.most), err)
		return
	}
	defer s.q.release()
	f(ctx)
}

func refuse(list []*update, err error) {
	for _, u := range list {
		u.answer <- err
	}
}

// group is what goes out in one request.
type group struct {
	view    view // as of the next update's place
	list    []draft
	parcels []parcel
	entries []*savedEntry // of each parcel
	size    int
}

// draft is an update that has been decided.
type draft struct {
	*update
	save *save // nil: it writes nothing
	err  error // then: why
}

// writeGroup decides what waits, as much as one request may have, and writes it.
func (s *state) writeGroup(ctx context.Context) {
	if !s.q.known {
		list := s.waits.take(s.most) // who comes meanwhile has not waited yet
		if err := s.q.catchUp(ctx); err != nil {
			refuse(list, err)
			return
		}
		s.waits.back(list)
	}
	g := s.draw()
	if len(g.list) == 0 {
		return
	}
	s.writing = &writing{}
	for _, d := range g.list {
		if d.save != nil {
			s.writing.saves = append(s.writing.saves, d.save)
		}
	}
	s.q.exclusive = true
	err := s.q.append(ctx, g.parcels, func(i int, _ int64) { g.entries[i].at = s.q.place })
	s.q.exclusive, s.writing = false, nil
	s.conclude(g.list, err)
}

// draw takes updates that wait and has them decided.
func (s *state) draw() *group {
	g := &group{view: view{place: s.q.place, over: map[string]offsets.Position{}}}
	list := s.waits.take(s.most)
	for i, u := range list {
		fits := true
		u.call(func() { fits = s.decide(g, u) })
		if !fits {
			s.waits.back(list[i:])
			break
		}
	}
	if len(g.list) > 0 && len(g.parcels) == 0 {
		sv, parcels, _ := s.makeSave(s.fenceEntries())
		g.add(draft{save: sv}, parcels)
	}
	return g
}

// decide asks an update, adds it to a group and reports true, unless the group
// is full.
func (s *state) decide(g *group, u *update) bool {
	d := draft{update: u}
	list, err := s.ask(u, g.view)
	var parcels []parcel
	if list = lastOfEach(list); err == nil && len(list) > 0 {
		d.save, parcels, err = s.makeSave(list)
	}
	switch d.err = err; {
	case d.save == nil && !u.fence && len(g.parcels) == 0:
		u.answer <- err // it has seen nothing that may not come about
		return true
	case d.save != nil && len(g.parcels) > 0 && g.size+d.save.size > maxBatch:
		return false
	}
	g.add(d, parcels)
	return true
}

// ask asks an update. The queue of the state is acquired.
func (s *state) ask(u *update, v view) ([]offsets.Entry, error) {
	if s.shared == nil {
		return u.decide(v)
	}
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	s.shared.place = s.q.place
	v.entries = s.shared.entries
	return u.decide(v)
}

// add adds an update that has been decided.
func (g *group) add(d draft, parcels []parcel) {
	g.list = append(g.list, d)
	if d.save == nil {
		return
	}
	saves := 1
	if len(g.parcels) > 0 {
		saves = g.parcels[len(g.parcels)-1].seal + 1
	}
	parcels[len(parcels)-1].seal = saves
	g.parcels = append(g.parcels, parcels...)
	g.size += d.save.size
	for i := range d.save.list {
		e := &d.save.list[i]
		g.entries = append(g.entries, e)
		if key, ok := strings.CutPrefix(e.key, spaceShared); ok {
			g.view.over[key] = e.value
		}
	}
	g.view.place += int64(len(parcels))
}

// conclude answers the updates of a group, of which all has landed if err is nil.
// Those that are there count, whatever became of the others; who was decided on
// what has not come about is decided anew.
func (s *state) conclude(list []draft, err error) {
	var there []savedEntry
	var again []*update
	answered := list[:0]
	for _, d := range list {
		switch {
		case d.save != nil && d.save.landed():
			s.apply(d.save)
			s.count(d.save.size)
			there = append(there, d.save.list...)
		case err == nil:
		case errors.Is(err, errMoved), d.save == nil && !d.fence:
			s.leaveOpen(d.save)
			if d.update != nil {
				again = append(again, d.update)
			}
			continue
		default:
			s.leaveOpen(d.save)
			d.err = err
		}
		answered = append(answered, d)
	}
	s.waits.back(again)
	if s.shared != nil && len(there) > 0 {
		s.shared.note(there)
	}
	for _, d := range answered {
		if d.update == nil {
			continue
		}
		if d.landed != nil && d.err == nil {
			d.call(d.landed)
		}
		d.answer <- d.err
	}
}
