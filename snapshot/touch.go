package snapshot

// touchLog remembers the keys of one table that changed, for all of its open
// windows. Keys are kept in generations: opening a window begins one, and a
// key belongs to a window if it is in that window's generation or a later one.
// Generations older than the oldest window are forgotten.
type touchLog struct {
	generations []generation
	first       uint64 // number of generations[0]
	bytes       int64
}

type generation struct {
	keys    map[string]struct{}
	partial bool // one of them came without its whole row
	windows int  // that were opened with it
}

// keyCost is what a remembered key costs beyond its bytes.
const keyCost = 64

// open begins a window and returns its generation.
func (l *touchLog) open() uint64 {
	if n := len(l.generations); n > 0 && len(l.generations[n-1].keys) == 0 {
		l.generations[n-1].windows++
		return l.first + uint64(n-1)
	}
	l.generations = append(l.generations, generation{keys: map[string]struct{}{}, windows: 1})
	return l.first + uint64(len(l.generations)-1)
}

// close ends a window of generation g.
func (l *touchLog) close(g uint64) {
	l.generations[g-l.first].windows--
	for len(l.generations) > 0 && l.generations[0].windows == 0 {
		for k := range l.generations[0].keys {
			l.bytes -= int64(len(k)) + keyCost
		}
		l.generations = l.generations[1:]
		l.first++
	}
}

// touch remembers a key for all open windows.
func (l *touchLog) touch(key []byte, partial bool) {
	if len(l.generations) == 0 {
		return
	}
	g := &l.generations[len(l.generations)-1]
	g.partial = g.partial || partial
	if _, ok := g.keys[string(key)]; !ok {
		g.keys[string(key)] = struct{}{}
		l.bytes += int64(len(key)) + keyCost
	}
}

// touched reports whether the key was remembered for windows of generation g.
func (l *touchLog) touched(key []byte, g uint64) bool {
	for i := g - l.first; i < uint64(len(l.generations)); i++ {
		if _, ok := l.generations[i].keys[string(key)]; ok {
			return true
		}
	}
	return false
}

// since reports whether any key was remembered since g, and whether one of
// them came without its whole row.
func (l *touchLog) since(g uint64) (any, partial bool) {
	for _, n := range l.generations[g-l.first:] {
		any = any || len(n.keys) > 0
		partial = partial || n.partial
	}
	return any, partial
}
