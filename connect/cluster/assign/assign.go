// Package assign decides which worker of a cluster runs which task. It is a
// function and no more: it knows of no network and no time.
//
// # Agreement
//
// Workers have no master; each computes the assignment for itself. So a Strategy
// gives the same answer for the same sets, in whatever order they come and on
// whatever machine, and versions of Towline that work side by side must not
// differ in it: a test holds answers fixed.
//
// # Strategies
//
//	hash        the hash of the connector and the number of the task, modulo the
//	            workers. Nearly all moves when a worker comes or goes; no bound.
//	consistent  consistent hashing with bounded load: nobody has more than a
//	            quarter above an equal share. Goes by names alone, so workers
//	            that have not yet heard the same of who has what agree all the
//	            same. The default.
//	sticky      shares are equal to one task, and moves the fewest possible for
//	            that. Needs all workers to agree on where tasks are now.
//
// All of them spread the tasks of one connector over the workers, as that is
// what it has several for. hash and consistent do so with the same bound for
// each connector; sticky as far as the fewest moves leave a choice.
//
// # No workers
//
// Without members there is no assignment, and the result is empty. That is no
// order to stop anything: whoever sees no workers, not even itself, has lost
// sight of the cluster.
//
// # Concurrency, ownership
//
// Strategies have no state and are safe for concurrent use. Arguments are left
// as they are; the result is the caller's.
package assign

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Task is one task of a connector.
type Task struct {
	Connector string
	Task      int
}

// Strategy assigns tasks to members.
type Strategy interface {
	// Assign gives each of tasks one of members. now is who has a task at
	// present; it may name members that are gone, tasks that are gone, and lack
	// tasks that are new. Something named twice is there once.
	Assign(members []string, tasks []Task, now map[Task]string) map[Task]string
}

// Default is the name of the strategy for those who name none.
const Default = "consistent"

// Registry has strategies by name.
type Registry map[string]Strategy

// Builtin returns a Registry of the strategies of this package, to which others
// may be added.
func Builtin() Registry {
	return Registry{"hash": hash{}, "consistent": consistent{}, "sticky": sticky{}}
}

// Get returns a strategy by its name.
func (r Registry) Get(name string) (Strategy, error) {
	if s, ok := r[name]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("assign: there is no strategy %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(r)), ", "))
}

// sorted returns list in order and each element once.
func sorted[T any](list []T, compare func(a, b T) int) []T {
	list = slices.Clone(list)
	slices.SortFunc(list, compare)
	return slices.CompactFunc(list, func(a, b T) bool { return compare(a, b) == 0 })
}

func compareTasks(a, b Task) int {
	return cmp.Or(strings.Compare(a.Connector, b.Connector), cmp.Compare(a.Task, b.Task))
}

// mix makes a hash of another one and a number, in which all bits count
// (the finalizer of SplitMix64).
func mix(h, n uint64) uint64 {
	h += (n + 1) * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// hash is the strategy of that name.
type hash struct{}

// Assign deals the tasks of a connector to the members in turns, beginning with
// one that its name chooses.
func (hash) Assign(members []string, tasks []Task, _ map[Task]string) map[Task]string {
	members = sorted(members, strings.Compare)
	next := make(map[Task]string, len(tasks))
	for _, t := range tasks {
		if n := uint64(len(members)); n > 0 {
			next[t] = members[(xxhash.Sum64String(t.Connector)%n+uint64(t.Task))%n]
		}
	}
	return next
}
