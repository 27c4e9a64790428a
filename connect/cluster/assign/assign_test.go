package assign

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// tasks returns connectors with so many tasks each.
func tasks(each ...int) []Task {
	var list []Task
	for c, n := range each {
		for i := range n {
			list = append(list, Task{fmt.Sprintf("connector-%d", c), i})
		}
	}
	return list
}

func workers(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("worker-%d", i))
	}
	return list
}

// part is an equal share, rounded up.
func part(n, members int) int { return (n + members - 1) / members }

// loadBound is what a strategy promises of n tasks for each of members.
func loadBound(name string, n, members int) int {
	switch name {
	case "sticky":
		return part(n, members)
	case "consistent":
		return max(part(n, members), 5*n/(4*members))
	}
	return n
}

// extremes returns the smallest and the largest load.
func extremes(members []string, by map[Task]string) (low, high int) {
	loads := slices.Collect(maps.Values(Loads(members, by)))
	return slices.Min(loads), slices.Max(loads)
}

// each returns, of each connector, the part of an assignment that is its own.
func each(by map[Task]string) map[string]map[Task]string {
	all := map[string]map[Task]string{}
	for t, m := range by {
		if all[t.Connector] == nil {
			all[t.Connector] = map[Task]string{}
		}
		all[t.Connector][t] = m
	}
	return all
}

// check checks what holds for all strategies, and the bounds of this one.
func check(t interface{ Fatalf(string, ...any) }, name string, members []string, list []Task, now map[Task]string) map[Task]string {
	s := Builtin()[name]
	had := maps.Clone(now)
	next := s.Assign(members, list, now)
	if !maps.Equal(now, had) {
		t.Fatalf("%s has changed what it was given", name)
	}
	for _, task := range list {
		if !slices.Contains(members, next[task]) {
			t.Fatalf("%s: %v is given to %q, who is no member", name, task, next[task])
		}
	}
	if len(next) != len(list) {
		t.Fatalf("%s: %d tasks are given away of %d", name, len(next), len(list))
	}
	if _, high := extremes(members, next); high > loadBound(name, len(list), len(members)) {
		t.Fatalf("%s: a member has %d of %d tasks with %d members", name, high, len(list), len(members))
	}
	again, others := slices.Concat(list, list[:len(list)/2]), slices.Concat(members[len(members)/2:], members)
	rand.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	if !maps.Equal(s.Assign(others, again, now), next) {
		t.Fatalf("%s: another order of the same gives another assignment", name)
	}
	return next
}

// TestAnything gives strategies any sets and any state of before.
func TestAnything(t *testing.T) {
	for name := range Builtin() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				members := workers(rapid.IntRange(1, 12).Draw(t, "members"))
				list := tasks(rapid.SliceOfN(rapid.IntRange(0, 14), 1, 12).Draw(t, "tasks")...)
				now := map[Task]string{}
				for i, m := range rapid.SliceOf(rapid.IntRange(0, 20)).Draw(t, "now") { // gone members and gone tasks too
					now[Task{fmt.Sprintf("connector-%d", i%5), i / 5}] = fmt.Sprintf("worker-%d", m)
				}
				next := check(t, name, members, list, now)
				if name == "sticky" {
					wantLeast(t, members, now, next)
				} else if !maps.Equal(next, check(t, name, members, list, nil)) {
					t.Fatalf("%s goes by where tasks are", name)
				}
			})
		})
	}
}

// wantLeast checks that balance to one task was had for the fewest moves.
func wantLeast(t interface{ Fatalf(string, ...any) }, members []string, now, next map[Task]string) {
	if low, high := extremes(members, next); high-low > 1 {
		t.Fatalf("members have from %d to %d tasks", low, high)
	}
	if moves, least := Moves(now, next), Least(members, now, next); moves != least {
		t.Fatalf("%d tasks move; %d would do", moves, least)
	}
}

// TestComeAndGo lets workers and connectors come and go.
func TestComeAndGo(t *testing.T) {
	for name := range Builtin() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				members := workers(rapid.IntRange(1, 6).Draw(t, "members"))
				sizes := rapid.SliceOfN(rapid.IntRange(1, 14), 1, 8).Draw(t, "tasks")
				now := check(t, name, members, tasks(sizes...), nil)
				wantSpread(t, name, members, now, 0)
				for i, what := range rapid.SliceOfN(rapid.IntRange(0, 3), 1, 20).Draw(t, "what") {
					switch k := rapid.IntRange(0, 1000).Draw(t, "which"); {
					case what == 0 && len(members) > 1:
						members = slices.Delete(members, k%len(members), k%len(members)+1)
					case what <= 1:
						members = append(members, fmt.Sprintf("new-%d", i))
					case what == 2:
						sizes = append(sizes, k%14)
					default:
						sizes[k%len(sizes)] = k % 14
					}
					next := check(t, name, members, tasks(sizes...), now)
					if name == "sticky" {
						wantLeast(t, members, now, next)
					} else {
						wantSpread(t, name, members, next, 0)
					}
					now = next
				}
			})
		})
	}
}

// wantSpread checks that no member has more of a connector than the strategy
// promises, and over.
func wantSpread(t interface{ Fatalf(string, ...any) }, name string, members []string, by map[Task]string, over int) {
	for c, own := range each(by) {
		most := part(len(own), len(members))
		if name == "consistent" {
			most = loadBound(name, len(own), len(members))
		}
		if _, high := extremes(members, own); high > most+over {
			t.Fatalf("%s: a member has %d of the %d tasks of %s with %d members", name, high, len(own), c, len(members))
		}
	}
}
