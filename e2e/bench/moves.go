package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/towline/towline/connect/cluster/assign"
)

// moves counts, for each strategy, how many of 1,000 tasks move while workers
// join and leave, beside the fewest that its own balance needs. Nothing is timed.
func (b *bench) moves(context.Context) error {
	marks := map[string]*mark{"consistent": atMostTimes(2), "sticky": atMostTimes(1)}
	strategies := assign.Builtin()
	for _, name := range slices.Sorted(maps.Keys(strategies)) {
		c := churn(strategies[name], 200)
		b.report(line{name: "moves_" + name, value: float64(c.moves) / 200, unit: "tasks", ratio: float64(c.moves) / float64(c.least), against: "the least possible", mark: marks[name],
			note: fmt.Sprintf("of 1,000 tasks when one of 5 to 20 workers joins or leaves; the most that one has is %.2f x an equal share", c.load)})
	}
	return nil
}

// churned is what came of it: tasks that moved, that had to, and the largest load
// in equal shares.
type churned struct {
	moves, least int
	load         float64
}

// churn lets workers join and leave at random, the same for each strategy.
func churn(s assign.Strategy, changes int) churned {
	r := rand.New(rand.NewPCG(1, 2))
	tasks := someTasks(r, 1000)
	var members []string
	for i := range 10 {
		members = append(members, fmt.Sprintf("worker-%d", i))
	}
	now := s.Assign(members, tasks, nil)
	var c churned
	for i := range changes {
		if n := len(members); n > 5 && (r.IntN(2) == 0 || n == 20) {
			members = slices.Delete(members, i%n, i%n+1)
		} else {
			members = append(members, fmt.Sprintf("worker-%d", 10+i))
		}
		next := s.Assign(members, tasks, now)
		c.moves += assign.Moves(now, next)
		c.least += assign.Least(members, now, next)
		most := slices.Max(slices.Collect(maps.Values(assign.Loads(members, next))))
		c.load = max(c.load, float64(most*len(members))/float64(len(tasks)))
		now = next
	}
	return c
}

// someTasks returns n tasks of connectors with 1 to 16 of them.
func someTasks(r *rand.Rand, n int) []assign.Task {
	var list []assign.Task
	for c := 0; len(list) < n; c++ {
		for i := range min(1+r.IntN(16), n-len(list)) {
			list = append(list, assign.Task{Connector: fmt.Sprintf("connector-%d", c), Task: i})
		}
	}
	return list
}
