package assign

import (
	"cmp"
	"slices"
	"strings"
)

// sticky is the strategy of that name.
type sticky struct{}

// Assign gives each member its share, which is equal for all to one task, and
// leaves with it as much of what it has as fits. No assignment with equal shares
// moves less: the larger shares go to those who have most.
func (sticky) Assign(members []string, tasks []Task, now map[Task]string) map[Task]string {
	members, tasks = sorted(members, strings.Compare), sorted(tasks, compareTasks)
	next := make(map[Task]string, len(tasks))
	if len(members) == 0 {
		return next
	}
	h := newHolders(members, tasks, now)
	h.setShares(len(tasks))
	h.placeHomeless()
	h.levelLoads()
	h.spread()
	for c := range h.connectors {
		for m, list := range h.connectors[c].at {
			for _, t := range list {
				next[t.Task] = members[m]
			}
		}
	}
	return next
}

// holders is who has what, while it changes.
type holders struct {
	list       []holder // by member
	connectors []held   // in order of their names
}

type holder struct {
	load, share int
}

func (h *holder) room() int { return h.share - h.load }

// held is what there is of one connector.
type held struct {
	tasks    int
	homeless []Task
	at       [][]stay // by member
}

// stay is a task at a member.
type stay struct {
	Task
	moves bool // it was not there before
}

// newHolders takes sorted members and tasks, and who has them now.
func newHolders(members []string, tasks []Task, now map[Task]string) *holders {
	h := &holders{list: make([]holder, len(members))}
	for i, t := range tasks {
		if i == 0 || t.Connector != tasks[i-1].Connector {
			h.connectors = append(h.connectors, held{at: make([][]stay, len(members))})
		}
		c := &h.connectors[len(h.connectors)-1]
		c.tasks++
		if m, ok := slices.BinarySearch(members, now[t]); ok {
			h.put(c, m, stay{t, false})
		} else {
			c.homeless = append(c.homeless, t)
		}
	}
	return h
}

func (h *holders) put(c *held, m int, s stay) {
	c.at[m] = append(c.at[m], s)
	h.list[m].load++
}

func (h *holders) take(c *held, m, i int) stay {
	s := c.at[m][i]
	c.at[m] = slices.Delete(c.at[m], i, i+1)
	h.list[m].load--
	return s
}

// setShares says how many of n tasks each member gets.
func (h *holders) setShares(n int) {
	byLoad := make([]int, len(h.list))
	for m := range h.list {
		byLoad[m] = m
	}
	slices.SortStableFunc(byLoad, func(a, b int) int { return cmp.Compare(h.list[b].load, h.list[a].load) })
	for i, m := range byLoad {
		h.list[m].share = n / len(h.list)
		if i < n%len(h.list) {
			h.list[m].share++
		}
	}
}

// placeHomeless gives each task that nobody has to a member with room, to one
// with the fewest tasks of the same connector.
func (h *holders) placeHomeless() {
	for i := range h.connectors {
		c := &h.connectors[i]
		for _, t := range c.homeless {
			best := -1
			for m := range h.list {
				if h.list[m].room() > 0 && (best < 0 || cmp.Or(len(c.at[m])-len(c.at[best]), h.list[best].room()-h.list[m].room()) < 0) {
					best = m
				}
			}
			h.put(c, best, stay{t, true})
		}
	}
}

// levelLoads moves what members have above their shares to those who have less.
func (h *holders) levelLoads() {
	for from := range h.list {
		for h.list[from].room() < 0 {
			to := 0
			for m := range h.list {
				if h.list[m].room() > h.list[to].room() {
					to = m
				}
			}
			c := h.mostUneven(from, to)
			s := h.take(c, from, len(c.at[from])-1)
			s.moves = true
			h.put(c, to, s)
		}
	}
}

// mostUneven returns, of the connectors that from has something of, the one that
// it has most of beside to.
func (h *holders) mostUneven(from, to int) *held {
	var best *held
	for i := range h.connectors {
		c := &h.connectors[i]
		if len(c.at[from]) > 0 && (best == nil || len(c.at[from])-len(c.at[to]) > len(best.at[from])-len(best.at[to])) {
			best = c
		}
	}
	return best
}

// spread exchanges tasks that move anyway, where a member has more than its
// part of a connector: it costs no further move.
func (h *holders) spread() {
	for i := range h.connectors {
		c := &h.connectors[i]
		part := (c.tasks + len(h.list) - 1) / len(h.list)
		for m := range c.at {
			for k := 0; k < len(c.at[m]) && len(c.at[m]) > part; k++ {
				if c.at[m][k].moves && h.exchange(c, m, k, part) {
					k--
				}
			}
		}
	}
}

// exchange swaps task k of c at member m for one of another connector, which
// must gain by it too or lose nothing, at a member with less than its part of c.
func (h *holders) exchange(c *held, m, k, part int) bool {
	for to := range h.list {
		if len(c.at[to]) >= part {
			continue
		}
		for i := range h.connectors {
			o := &h.connectors[i]
			if o == c || len(o.at[m]) >= len(o.at[to]) {
				continue
			}
			if j := slices.IndexFunc(o.at[to], func(s stay) bool { return s.moves }); j >= 0 {
				a, b := h.take(c, m, k), h.take(o, to, j)
				h.put(c, to, a)
				h.put(o, m, b)
				return true
			}
		}
	}
	return false
}
