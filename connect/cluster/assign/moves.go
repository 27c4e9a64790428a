package assign

// Moves returns how many of the tasks in both assignments have another member
// in next than in now.
func Moves(now, next map[Task]string) int {
	n := 0
	for t, m := range next {
		if had, ok := now[t]; ok && had != m {
			n++
		}
	}
	return n
}

// Loads returns how many tasks each of members has.
func Loads(members []string, by map[Task]string) map[string]int {
	n := make(map[string]int, len(members))
	for _, m := range members {
		n[m] = 0
	}
	for _, m := range by {
		if _, ok := n[m]; ok {
			n[m]++
		}
	}
	return n
}

// Least returns how many tasks must move at least until members are as well
// balanced as they are in next: none with more tasks than the one that has most
// there, none with fewer than the one that has fewest. So it measures a Strategy
// by what its own balance costs.
func Least(members []string, now, next map[Task]string) int {
	low, high := len(next), 0
	for _, n := range Loads(members, next) {
		low, high = min(low, n), max(high, n)
	}
	stays := map[Task]string{}
	alive := Loads(members, nil)
	homeless, fresh := 0, 0 // members are gone; tasks are new
	for t := range next {
		m, had := now[t]
		switch _, ok := alive[m]; {
		case !had:
			fresh++
		case !ok:
			homeless++
		default:
			stays[t] = m
		}
	}
	excess, lack := 0, 0
	for _, n := range Loads(members, stays) {
		excess += max(0, n-high)
		lack += max(0, low-n)
	}
	return homeless + max(excess, lack-homeless-fresh)
}
