package assign

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// every calls f with each assignment of list to members.
func every(members []string, list []Task, f func(map[Task]string)) {
	by := map[Task]string{}
	var next func(i int)
	next = func(i int) {
		if i == len(list) {
			f(by)
			return
		}
		for _, m := range members {
			by[list[i]] = m
			next(i + 1)
		}
	}
	next(0)
}

// TestLeast compares what is reckoned with trying everything.
func TestLeast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := workers(rapid.IntRange(1, 3).Draw(t, "members"))
		list := tasks(rapid.IntRange(1, 6).Draw(t, "tasks"))
		now, next := map[Task]string{}, map[Task]string{}
		for _, task := range list {
			if m := rapid.IntRange(0, 4).Draw(t, "now"); m < 4 { // worker-3 is gone
				now[task] = workers(4)[m]
			}
			next[task] = members[rapid.IntRange(0, len(members)-1).Draw(t, "next")]
		}
		low, high := extremes(members, next)
		want := math.MaxInt
		every(members, list, func(by map[Task]string) {
			if l, h := extremes(members, by); l >= low && h <= high {
				want = min(want, Moves(now, by))
			}
		})
		if got := Least(members, now, next); got != want {
			t.Fatalf("%d are said to be the least moves from %v to loads of %d to %d; they are %d", got, now, low, high, want)
		}
	})
}

// TestOrdinaryLife is a cluster of ten whose workers are started again one
// after the other, grows to fifteen and shrinks to eight.
func TestOrdinaryLife(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var sizes []int
	for n := 0; n < 1000; {
		k := min(1+r.IntN(16), 1000-n)
		sizes, n = append(sizes, k), n+k
	}
	list := tasks(sizes...)
	for _, c := range []struct {
		name string
		most float64 // moves, in those that are needed
		over int     // tasks of one connector more than its equal part
	}{{"consistent", 2, 0}, {"sticky", 1, 1}} {
		members := workers(10)
		now := check(t, c.name, members, list, nil)
		moves, least := 0, 0
		step := func(to []string) {
			next := check(t, c.name, to, list, now)
			moves, least = moves+Moves(now, next), least+Least(to, now, next)
			wantSpread(t, c.name, to, next, c.over)
			now, members = next, to
		}
		for i := range 10 {
			step(append(members[:i:i], members[i+1:]...))
			step(workers(10))
		}
		for n := 11; n <= 15; n++ {
			step(workers(n))
		}
		for n := 14; n >= 8; n-- {
			step(workers(n))
		}
		if float64(moves) > c.most*float64(least) {
			t.Errorf("%s: %d tasks moved where %d had to", c.name, moves, least)
		}
	}
}

// TestComesBack: a worker that is away for a moment gets what it had.
func TestComesBack(t *testing.T) {
	s, list := Builtin()[Default], tasks(3, 8, 1, 5, 12)
	was := s.Assign(workers(5), list, nil)
	if n := Moves(was, s.Assign(workers(5), list, s.Assign(workers(4), list, was))); n > 0 {
		t.Errorf("%d tasks are elsewhere when a worker has come back", n)
	}
}

// TestAgreement holds answers fixed: workers of different versions run side by
// side, and each computes them for itself.
func TestAgreement(t *testing.T) {
	for name, want := range map[string]string{
		"hash":       "3011012301",
		"consistent": "1201223100",
		"sticky":     "0120302131",
	} {
		by := Builtin()[name].Assign(workers(4), tasks(3, 1, 6), map[Task]string{{"connector-2", 5}: "worker-1"})
		got := ""
		for _, task := range tasks(3, 1, 6) {
			got += by[task][len("worker-"):]
		}
		if got != want {
			t.Errorf("%s gives the tasks to %q, and gave them to %q", name, got, want)
		}
	}
}

func TestRegistry(t *testing.T) {
	r := Builtin()
	r["mine"] = hash{}
	if s, err := r.Get("mine"); s != Strategy(hash{}) || err != nil {
		t.Errorf("mine is %v, %v", s, err)
	}
	if _, err := r.Get(Default); err != nil {
		t.Error(err)
	}
	want := `assign: there is no strategy "round"; there are consistent, hash, mine, sticky`
	if _, err := r.Get("round"); fmt.Sprint(err) != want {
		t.Errorf("the error is %v", err)
	}
	for name, s := range Builtin() {
		if got := s.Assign(nil, tasks(2), nil); len(got) > 0 {
			t.Errorf("%s gives %v to nobody", name, got)
		}
		if got := s.Assign(workers(2), nil, nil); len(got) > 0 {
			t.Errorf("%s makes up %v", name, got)
		}
	}
}

// TestLeftBehind: what a worker leaves is spread even where its tasks, taken one
// by one, would find room only beside their own kind.
func TestLeftBehind(t *testing.T) {
	list := tasks(1, 1, 4)
	now := check(t, "sticky", workers(3), list, nil)
	next := check(t, "sticky", workers(3)[1:], list, now)
	wantLeast(t, workers(3)[1:], now, next)
	wantSpread(t, "sticky", workers(3)[1:], next, 0)
}
