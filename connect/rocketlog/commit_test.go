package rocketlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/offsets"
)

// pen keeps updates of a log from being taken until it is opened, so that they
// wait together.
type pen struct {
	t     testing.TB
	s     *state
	in    int
	wg    sync.WaitGroup
	sends uint64 // until it was closed
}

func closePen(t testing.TB, l *Log) *pen {
	t.Helper()
	p := &pen{t: t, s: l.state}
	p.wait(func() bool { return !p.s.waits.served }) // its last image has been written
	check(t, p.s.q.acquire(t.Context()))
	p.sends = p.s.q.batch
	return p
}

// wait waits for what is true of what waits.
func (p *pen) wait(cond func() bool) {
	p.t.Helper()
	for {
		p.s.waits.mu.Lock()
		ok := cond()
		p.s.waits.mu.Unlock()
		if ok {
			return
		}
		if p.t.Context().Err() != nil {
			p.t.Fatal("it does not come")
		}
		time.Sleep(time.Millisecond)
	}
}

// add has f wait, which makes one update.
func (p *pen) add(f func()) {
	p.t.Helper()
	p.wg.Go(f)
	p.in++
	p.wait(func() bool { return p.s.waits.waits() == p.in })
}

// open has all that wait written, and returns in how many requests that was.
func (p *pen) open() uint64 {
	p.t.Helper()
	p.s.q.release()
	p.wg.Wait()
	p.wait(func() bool { return !p.s.waits.served })
	check(p.t, p.s.q.acquire(p.t.Context()))
	defer p.s.q.release()
	return p.s.q.batch - p.sends
}

type decision = func(v offsets.View) ([]offsets.Entry, error)

// put decides to write an entry.
func put(key, value string) decision {
	return func(offsets.View) ([]offsets.Entry, error) {
		return []offsets.Entry{{Key: key, Pos: offsets.Position(value)}}, nil
	}
}

// TestUpdatesGoTogether: updates, saves of positions and looks that wait are
// written by one request, and each at a place of its own.
func TestUpdatesGoTogether(t *testing.T) {
	o := options(rockettest.Shared(t))
	l := openLog(t, o)
	sh := sharedOf(t, l)
	grant(t, sh, "me")
	mine := sessionOf(t, l, claimOf("s", "me"))
	p := closePen(t, l)
	const n = 20
	var places []int64
	for i := range n {
		p.add(func() {
			check(t, sh.Update(t.Context(), func(v offsets.View) ([]offsets.Entry, error) {
				places = append(places, v.Place())
				return []offsets.Entry{{Key: "n", Pos: append(slices.Clone(v.Get("n")), byte(i))}, {Key: fmt.Sprint("at/", v.Place()), Pos: offsets.Position("x")}}, nil
			}))
		})
		p.add(func() {
			check(t, mine.Store().Save(t.Context(), offsets.Entry{Key: fmt.Sprint("mine/", i), Pos: offsets.Position("x")}))
		})
		p.add(func() {
			_, err := mine.Store().Load(t.Context(), "mine/")
			check(t, err)
		})
	}
	if sends := p.open(); sends != 1 {
		t.Errorf("%d updates are written by %d requests", 3*n, sends)
	}
	for i, place := range places {
		if place != places[0]+3*int64(i) {
			t.Errorf("the places are %d", places)
			break
		}
	}
	for _, l := range []*Log{l, openLog(t, o)} {
		list, err := l.Store().Load(t.Context(), "mine/")
		check(t, err)
		if len(list) != n {
			t.Errorf("%d saves of %d are there", len(list), n)
		}
		sharedOf(t, l).Look(func(v offsets.View) {
			if got := v.Get("n"); len(got) != n || got[n-1] != n-1 {
				t.Errorf("what each adds to what is there becomes %v", got)
			}
			if got := v.Range("at/"); len(got) != n {
				t.Errorf("there are %d entries below at/", len(got))
			}
		})
	}
}

// TestRequestsAreBounded: what waits goes out in as many requests as its size
// takes, and what is too large for any fails alone.
func TestRequestsAreBounded(t *testing.T) {
	o := options(rockettest.Shared(t))
	l := openLog(t, o)
	p := closePen(t, l)
	value := bytes.Repeat([]byte("x"), maxBatch/4)
	for i := range 8 {
		p.add(func() {
			check(t, l.Store().Save(t.Context(), offsets.Entry{Key: fmt.Sprint(i), Pos: value}))
		})
	}
	var large error
	p.add(func() {
		large = l.Store().Save(t.Context(), offsets.Entry{Key: "large", Pos: make([]byte, maxEntry+1)})
	})
	groups, last := 0, uint64(0)
	l.state.q.post = func(ctx context.Context) (int64, error) {
		if n := l.state.q.batch; n != last && !bytes.Contains(l.state.q.buf, []byte(propPart+"\x01")) { // else a broker was busy, or it is of an image
			groups, last = groups+1, n
		}
		return l.state.q.request(ctx)
	}
	if p.open(); groups != 3 {
		t.Errorf("eight saves, of which three fit in one request, are written by %d", groups)
	}
	if large == nil {
		t.Error("what is too large is saved")
	}
	list, err := openLog(t, o).Store().Load(t.Context(), "")
	check(t, err)
	if len(list) != 8 {
		t.Errorf("%d saves of 8 are there", len(list))
	}
}

// TestRenewalComesFirst: what is first is in the request behind the one that is
// on its way, before all that waits.
func TestRenewalComesFirst(t *testing.T) {
	l := openLog(t, options(rockettest.Shared(t)))
	sh := sharedOf(t, l)
	q := l.state.q
	sent, arrive := make(chan struct{}), make(chan struct{})
	check(t, q.acquire(t.Context()))
	l.state.most = 4
	last := uint64(0)
	q.post = func(ctx context.Context) (int64, error) {
		if q.batch != last { // else it is sent again, to a broker that was busy
			last = q.batch
			sent <- struct{}{}
			<-arrive
		}
		return q.request(ctx)
	}
	q.release()
	var wg sync.WaitGroup
	var order []string
	wait := func(name string, update func(context.Context, decision) error) {
		wg.Go(func() {
			check(t, update(t.Context(), func(offsets.View) ([]offsets.Entry, error) {
				order = append(order, name)
				return []offsets.Entry{{Key: name, Pos: offsets.Position("x")}}, nil
			}))
		})
	}
	p := &pen{t: t, s: l.state}
	wait("flying", sh.Update)
	<-sent
	for i := range 9 {
		wait(fmt.Sprint("save/", i), sh.Update)
		p.wait(func() bool { return l.state.waits.waits() == i+1 })
	}
	wait("renewal", sh.UpdateFirst)
	p.wait(func() bool { return l.state.waits.waits() == 10 })
	for i := range 4 {
		arrive <- struct{}{}
		if i < 3 {
			<-sent
		}
	}
	wg.Wait()
	want := []string{"flying", "renewal"}
	for i := range 9 {
		want = append(want, fmt.Sprint("save/", i))
	}
	if !slices.Equal(order, want) {
		t.Errorf("the order is %q", order)
	}
}

// TestErrorsAreOnesOwn: of updates that wait together one is against a write, one
// is fenced by another, one is too large and one is given up; the others count.
func TestErrorsAreOnesOwn(t *testing.T) {
	l := openLog(t, options(rockettest.Shared(t)))
	sh := sharedOf(t, l)
	grant(t, sh, "one")
	one, two := sessionOf(t, l, claimOf("s", "one")), sessionOf(t, l, claimOf("s", "two"))
	no := errors.New("no")
	save := func(s connect.Log, key string) error {
		return s.Store().Save(t.Context(), offsets.Entry{Key: key, Pos: offsets.Position("x")})
	}
	gone, leave := context.WithCancel(t.Context())
	cases := []struct {
		f    func() error
		want error
	}{
		{func() error { return sh.Update(t.Context(), put("a", "1")) }, nil},
		{func() error { return save(one, "before") }, nil},
		{func() error { return save(two, "before") }, connect.ErrFenced},
		{func() error {
			return sh.Update(t.Context(), func(offsets.View) ([]offsets.Entry, error) { return nil, no })
		}, no},
		{func() error { return sh.Update(t.Context(), put("claim", "two")) }, nil},
		{func() error { return save(one, "after") }, connect.ErrFenced},
		{func() error { return save(two, "after") }, nil},
		{func() error { _, err := one.Store().Load(t.Context(), ""); return err }, connect.ErrFenced},
		{func() error {
			return sh.Update(gone, func(offsets.View) ([]offsets.Entry, error) { leave(); return []offsets.Entry{{Key: "gone"}}, nil })
		}, context.Canceled},
		{func() error {
			return sh.Update(t.Context(), func(v offsets.View) ([]offsets.Entry, error) {
				if got := string(v.Get("a")) + string(v.Get("claim")); got != "1two" {
					return nil, fmt.Errorf("it sees %q", got)
				}
				return []offsets.Entry{{Key: "a"}, {Key: "b", Pos: offsets.Position("2")}}, nil
			})
		}, nil},
	}
	p := closePen(t, l)
	got := make([]error, len(cases))
	for i, c := range cases {
		p.add(func() { got[i] = c.f() })
	}
	if sends := p.open(); sends != 1 {
		t.Errorf("they are written by %d requests", sends)
	}
	for i, c := range cases {
		if !errors.Is(got[i], c.want) && !(c.want == context.Canceled && got[i] == nil) {
			t.Errorf("update %d: %v, want %v", i, got[i], c.want)
		}
	}
	list, err := l.Store().Load(t.Context(), "")
	check(t, err)
	if len(list) != 2 || list[0].Key != "after" || list[1].Key != "before" {
		t.Errorf("the positions are %q", list)
	}
	if get(sh, "a") != "" || get(sh, "b") != "2" {
		t.Errorf("a is %q, b is %q", get(sh, "a"), get(sh, "b"))
	}
}

// TestDecidedOnWhatDidNotCome: who has decided against a write because of what
// another was about to write, which then did not come about, is asked again.
func TestDecidedOnWhatDidNotCome(t *testing.T) {
	o := options(rockettest.Shared(t))
	l := openLog(t, o)
	other := sharedOf(t, openLog(t, o))
	sh := sharedOf(t, l)
	p := closePen(t, l)
	no := errors.New("no")
	var first error
	p.add(func() {
		first = sh.Update(t.Context(), func(v offsets.View) ([]offsets.Entry, error) {
			if v.Get("taken") != nil {
				return nil, no
			}
			return []offsets.Entry{{Key: "x", Pos: offsets.Position("1")}}, nil
		})
	})
	p.add(func() {
		check(t, sh.Update(t.Context(), func(v offsets.View) ([]offsets.Entry, error) {
			if v.Get("x") != nil {
				return nil, nil
			}
			return []offsets.Entry{{Key: "y", Pos: offsets.Position("1")}}, nil
		}))
	})
	check(t, other.Update(t.Context(), put("taken", "1")))
	p.open()
	if !errors.Is(first, no) {
		t.Errorf("the first comes back as %v", first)
	}
	if get(sh, "x") != "" || get(sh, "y") != "1" {
		t.Errorf("x is %q, y is %q", get(sh, "x"), get(sh, "y"))
	}
}

// TestDecidedOnWhatFailed is the same where the broker refuses what the other
// writes, which then fails alone.
func TestDecidedOnWhatFailed(t *testing.T) {
	l := openLog(t, options(rockettest.Shared(t)))
	sh := sharedOf(t, l)
	p := closePen(t, l)
	q := l.state.q
	refused := &remoting.Error{Code: remoting.NoPermission}
	q.post = func(context.Context) (int64, error) {
		q.post = q.request
		return 0, refused
	}
	var first error
	p.add(func() { first = sh.Update(t.Context(), put("x", "1")) })
	p.add(func() {
		check(t, sh.Update(t.Context(), func(v offsets.View) ([]offsets.Entry, error) {
			if v.Get("x") != nil {
				return nil, nil
			}
			return []offsets.Entry{{Key: "y", Pos: offsets.Position("1")}}, nil
		}))
	})
	p.open()
	if !errors.Is(first, refused) {
		t.Errorf("the first comes back as %v", first)
	}
	if get(sh, "x") != "" || get(sh, "y") != "1" {
		t.Errorf("x is %q, y is %q", get(sh, "x"), get(sh, "y"))
	}
}
