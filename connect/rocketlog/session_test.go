package rocketlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/offsets"
)

func sharedOf(t testing.TB, l *Log) offsets.Shared {
	t.Helper()
	sh, err := l.Shared(t.Context())
	check(t, err)
	return sh
}

func get(sh offsets.Shared, key string) (value string) {
	sh.Look(func(v offsets.View) { value = string(v.Get(key)) })
	return value
}

// await waits until a key has a value, by what is told alone.
func await(t testing.TB, sh offsets.Shared, key, want string) {
	t.Helper()
	for {
		changed := sh.Changed()
		if get(sh, key) == want {
			return
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("%s is %q, want %q", key, get(sh, key), want)
		}
	}
}

// TestUpdatesAreOneAfterAnother has several processes count one number up.
func TestUpdatesAreOneAfterAnother(t *testing.T) {
	o := options(rockettest.Shared(t))
	const logs, rounds = 3, 40
	var all []offsets.Shared
	for range logs {
		all = append(all, sharedOf(t, openLog(t, o)))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	places := map[int64]bool{}
	for _, sh := range all {
		wg.Go(func() {
			for range rounds {
				var place int64
				err := sh.Update(t.Context(), func(v offsets.View) ([]offsets.Entry, error) {
					n, _ := strconv.Atoi(string(v.Get("n")))
					place = v.Place()
					return []offsets.Entry{{Key: "n", Pos: fmt.Append(nil, n+1)}, {Key: "at/" + fmt.Sprint(place), Pos: offsets.Position{1}}}, nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if places[place] {
					t.Errorf("place %d came twice", place)
				}
				places[place] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, sh := range append(all, sharedOf(t, openLog(t, o))) {
		await(t, sh, "n", fmt.Sprint(logs*rounds))
		sh.Look(func(v offsets.View) {
			if got := v.Range("at/"); len(got) != logs*rounds {
				t.Errorf("there are %d entries below at/", len(got))
			}
		})
	}
	no := errors.New("no")
	if err := all[0].Update(t.Context(), func(offsets.View) ([]offsets.Entry, error) { return nil, no }); !errors.Is(err, no) {
		t.Errorf("a decision against a write comes back as %v", err)
	}
	check(t, all[0].Update(t.Context(), func(offsets.View) ([]offsets.Entry, error) { return []offsets.Entry{{Key: "n"}}, nil }))
	await(t, all[1], "n", "")
}

// claimOf is a claim that holds while an entry has a value.
func claimOf(source, value string) Claim {
	return Claim{Source: source, Alive: func() error { return nil }, Holds: func(v offsets.View) error {
		if got := string(v.Get("claim")); got != value {
			return fmt.Errorf("the claim is %s's: %w", got, connect.ErrFenced)
		}
		return nil
	}}
}

func grant(t testing.TB, sh offsets.Shared, to string) {
	t.Helper()
	check(t, sh.Update(t.Context(), func(offsets.View) ([]offsets.Entry, error) {
		return []offsets.Entry{{Key: "claim", Pos: offsets.Position(to)}}, nil
	}))
}

func sessionOf(t testing.TB, l *Log, c Claim) connect.Log {
	t.Helper()
	s, err := l.Session(t.Context(), c)
	check(t, err)
	return s
}

func of(source, topic, value string) []connect.Message {
	m := text(topic, value)
	m[0].Source, m[0].Seq = source, 1
	return m
}

// takeOver looks at a topic and appends to it, again and again until what was
// there before is seen: a broker tells the end of a queue late.
func takeOver(t testing.TB, l *Log, c Claim, msgs []connect.Message, entries []offsets.Entry) connect.Log {
	t.Helper()
	for {
		s := sessionOf(t, l, c)
		_, _, err := s.Bounds(t.Context(), msgs[0].Topic, 0)
		check(t, err)
		if err = s.Append(t.Context(), msgs, entries); !errors.Is(err, errMoved) {
			check(t, err)
			return s
		}
	}
}

// TestZombie has a session go on after another has got its claim.
func TestZombie(t *testing.T) {
	o := options(rockettest.Shared(t))
	ctx := context.WithoutCancel(t.Context())
	l1, l2 := openLog(t, o), openLog(t, o)
	check(t, l1.CreateTopic(ctx, "written", 1))
	check(t, l1.CreateTopic(ctx, "seen", 1))
	check(t, l1.CreateTopic(ctx, "late", 1))
	sh := sharedOf(t, l2)
	grant(t, sh, "one")
	one := sessionOf(t, l1, claimOf("s", "one"))
	bounds := func(l connect.Log, topic string) {
		t.Helper()
		_, _, err := l.Bounds(ctx, topic, 0)
		check(t, err)
	}
	bounds(one, "written")
	bounds(one, "seen")
	check(t, one.Append(ctx, of("s", "written", "1"), []offsets.Entry{{Key: "pos", Pos: offsets.Position("1")}}))

	grant(t, sh, "two")
	await(t, sharedOf(t, l1), "claim", "two")
	check(t, func() error { _, err := l2.Topics(ctx); return err }())
	var two connect.Log
	for _, topic := range []string{"written", "late", "seen"} {
		two = takeOver(t, l2, claimOf("s", "two"), of("s", topic, "2"), []offsets.Entry{{Key: "pos", Pos: offsets.Position("2")}})
	}

	// Whoever has written to a queue, has looked at it, or comes to it late:
	for _, topic := range []string{"written", "seen", "late"} {
		if err := one.Append(ctx, of("s", topic, "zombie"), nil); err == nil {
			t.Errorf("a zombie has appended to %s", topic)
		}
	}
	if err := one.Store().Save(ctx, offsets.Entry{Key: "pos", Pos: offsets.Position("zombie")}); !errors.Is(err, connect.ErrFenced) {
		t.Errorf("a zombie's save comes back as %v", err)
	}
	if _, err := one.Store().Load(ctx, ""); !errors.Is(err, connect.ErrFenced) {
		t.Errorf("a zombie's load comes back as %v", err)
	}
	got, err := l2.Store().Load(ctx, "pos")
	check(t, err)
	if len(got) != 1 || string(got[0].Pos) != "2" {
		t.Errorf("the position is %q", got)
	}
	check(t, two.Append(ctx, of("s", "seen", "3"), nil)) // nothing of it is in the way
	if got := readFrom(t, l2, "seen", 0, 2); got[0] != "2" || got[1] != "3" {
		t.Errorf("there is %q", got)
	}
	if got := readFrom(t, l2, "written", 0, 2); got[0] != "1" || got[1] != "2" {
		t.Errorf("there is %q", got)
	}
}

// TestZombieThatBelieves is one whose claim holds by all that it can know.
func TestZombieThatBelieves(t *testing.T) {
	o := options(rockettest.Shared(t))
	ctx := context.WithoutCancel(t.Context())
	l1, l2 := openLog(t, o), openLog(t, o)
	check(t, l1.CreateTopic(ctx, "t", 1))
	blind := Claim{Source: "s", Alive: func() error { return nil }, Holds: func(offsets.View) error { return nil }}
	other := blind
	other.Source = "another"
	check(t, func() error { _, err := l2.Topics(ctx); return err }())
	one, three := sessionOf(t, l1, blind), sessionOf(t, l2, other)
	for _, s := range []connect.Log{one, three} {
		_, _, err := s.Bounds(ctx, "t", 0)
		check(t, err)
	}
	check(t, one.Append(ctx, of("s", "t", "1"), nil))
	check(t, three.Append(ctx, of("another", "t", "2"), nil)) // is in nobody's way
	check(t, one.Append(ctx, of("s", "t", "3"), nil))
	two := takeOver(t, l2, blind, of("s", "t", "4"), nil)
	if err := one.Append(ctx, of("s", "t", "zombie"), nil); !errors.Is(err, errMoved) {
		t.Errorf("appending behind another's messages of the same source comes back as %v", err)
	}
	if err := one.Append(ctx, of("s", "t", "zombie"), nil); !errors.Is(err, errMoved) {
		t.Errorf("again it comes back as %v", err)
	}
	check(t, three.Append(ctx, of("another", "t", "5"), nil))
	check(t, two.Append(ctx, of("s", "t", "6"), nil))
	if got := fmt.Sprint(readFrom(t, l1, "t", 0, 6)); got != "[1 2 3 4 5 6]" {
		t.Errorf("there is %s", got)
	}
	gone := blind
	dead := errors.New("the lease has ended")
	gone.Alive = func() error { return dead }
	if err := sessionOf(t, l1, gone).Append(ctx, of("s", "t", "late"), nil); !errors.Is(err, dead) {
		t.Errorf("an append behind the end of a lease comes back as %v", err)
	}
}

// TestTopicsOfOthersAreTold waits for a topic that another process makes.
func TestTopicsOfOthersAreTold(t *testing.T) {
	o := options(rockettest.Shared(t))
	l1, l2 := openLog(t, o), openLog(t, o)
	sharedOf(t, l1)
	made := l1.TopicsMade()
	check(t, l2.CreateTopic(t.Context(), "t", 2))
	<-made
	if _, end, err := l1.Bounds(t.Context(), "t", 1); end != 0 || err != nil {
		t.Errorf("the bounds of a topic that another has made end at %d, %v", end, err)
	}
}
