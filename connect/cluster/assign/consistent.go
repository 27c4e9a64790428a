package assign

import (
	"cmp"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// consistent is the strategy of that name: rendezvous hashing (the highest
// random weight wins) with bounded loads.
type consistent struct{}

// Assign gives each pair of a task and a member a weight, a hash of both, and
// takes the pairs from the heaviest on wherever there is room. A member that
// comes takes the tasks that it weighs most with; one that goes leaves its own
// to others; and where a bound counts the lightest pairs give way. Letting the
// tasks choose one after the other instead moves up to a fifth more, as one that
// comes early displaces later ones without end.
func (consistent) Assign(members []string, tasks []Task, _ map[Task]string) map[Task]string {
	members, tasks = sorted(members, strings.Compare), sorted(tasks, compareTasks)
	next := make(map[Task]string, len(tasks))
	if len(members) == 0 {
		return next
	}
	r := newRooms(len(members), tasks)
	all := pairs(members, tasks)
	for _, p := range all {
		if r.at[p.task] == nobody && r.all.has(p.member) && r.each[p.task].has(p.member) {
			r.put(p.task, p.member)
		}
	}
	for _, p := range all {
		if r.at[p.task] == nobody && r.each[p.task].has(p.member) {
			r.makeRoom(all, p)
		}
	}
	for i, m := range r.at {
		next[tasks[i]] = members[m]
	}
	return next
}

// pair is a task and a member, by their places in the sorted lists.
type pair struct {
	weight       uint64
	task, member int
}

// pairs returns all of them, the heaviest first.
func pairs(members []string, tasks []Task) []pair {
	list := make([]pair, 0, len(members)*len(tasks))
	names := make([]uint64, len(members))
	for m, name := range members {
		names[m] = xxhash.Sum64String(name)
	}
	for i, t := range tasks {
		h := mix(xxhash.Sum64String(t.Connector), uint64(t.Task))
		for m, name := range names {
			list = append(list, pair{mix(h, name), i, m})
		}
	}
	slices.SortFunc(list, func(a, b pair) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), a.task-b.task, a.member-b.member)
	})
	return list
}

// bound is what each of members may have of n tasks: a quarter more than an
// equal share. Where that is less than one task more, it is the equal share: of
// two tasks and two members each gets one.
func bound(n, members int) int {
	return max((n+members-1)/members, n*5/4/members)
}

// room is what members may have.
type room struct {
	most int
	load []int
}

func (r *room) has(member int) bool { return r.load[member] < r.most }

const nobody = -1

// rooms is what members may have of all tasks and of each connector's, and where
// tasks are.
type rooms struct {
	all  room
	each []*room // by task, that of its connector
	at   []int   // by task
}

func newRooms(members int, tasks []Task) *rooms {
	r := &rooms{all: room{bound(len(tasks), members), make([]int, members)}}
	for i := range tasks {
		r.at = append(r.at, nobody)
		if i > 0 && tasks[i].Connector == tasks[i-1].Connector {
			r.each = append(r.each, r.each[i-1])
		} else {
			r.each = append(r.each, &room{load: make([]int, members)})
		}
		r.each[i].most++ // the number of tasks, for now
	}
	for i := range tasks {
		if i == 0 || r.each[i] != r.each[i-1] {
			r.each[i].most = bound(r.each[i].most, members)
		}
	}
	return r
}

func (r *rooms) put(task, member int) {
	if from := r.at[task]; from != nobody {
		r.all.load[from]--
		r.each[task].load[from]--
	}
	r.at[task] = member
	r.all.load[member]++
	r.each[task].load[member]++
}

// makeRoom puts a task where its connector has room though the member is full:
// one of another connector goes elsewhere. There always is one. Whoever is not
// full has its fill of this connector, or the task would be there, so it has
// fewer tasks of the others than the full member, and therefore fewer of at least
// one of them.
func (r *rooms) makeRoom(all []pair, want pair) {
	for _, p := range all {
		if r.at[p.task] == want.member && r.all.has(p.member) && r.each[p.task].has(p.member) {
			r.put(p.task, p.member)
			r.put(want.task, want.member)
			return
		}
	}
}
