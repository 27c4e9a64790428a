package connect

import (
	"math/bits"
	"sync"

	"github.com/towline/towline/schema"
)

// A stock holds chunks that no batch has in use, by size: powers of two. All
// batches of the process share it, so what one task does not need serves
// another, and an empty batch holds nothing. Chunks of anything but bytes are
// zero. Safe for concurrent use.
type stock[T any] struct {
	mu   sync.Mutex
	free [48][][]T
	// least is how many of each size have been free all the time since Trim.
	least [48]int
}

// The stocks, and what of them Trim looks at.
var (
	valueStock   stock[schema.Value]
	byteStock    stock[byte]
	originStock  stock[Origin]
	headerStock  stock[Header]
	recordStock  stock[Record]
	messageStock stock[Message]

	stocks = []interface{ trim() int }{&valueStock, &byteStock, &originStock, &headerStock, &recordStock, &messageStock}
)

// Trim lets go of the memory of batches that none of them has needed since the
// last Trim, and reports whether there was any. Somebody calls it now and
// then.
func Trim() bool {
	n := 0
	for _, s := range stocks {
		n += s.trim()
	}
	return n > 0
}

// get returns a chunk of at least n elements.
func (s *stock[T]) get(n int) []T {
	k := bits.Len(uint(n - 1))
	s.mu.Lock()
	last := len(s.free[k]) - 1
	if last < 0 {
		s.mu.Unlock()
		return make([]T, 1<<k)
	}
	c := s.free[k][last]
	s.free[k][last] = nil
	s.free[k] = s.free[k][:last]
	s.least[k] = min(s.least[k], last)
	s.mu.Unlock()
	return c
}

// put gives back a chunk. Its length is that of a chunk that get returned, or
// else it is let go.
func (s *stock[T]) put(c []T) {
	n := len(c)
	if n == 0 || n&(n-1) != 0 {
		return
	}
	k := bits.Len(uint(n - 1))
	s.mu.Lock()
	s.free[k] = append(s.free[k], c)
	s.mu.Unlock()
}

func (s *stock[T]) trim() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	dropped := 0
	for k := range s.free {
		n := min(s.least[k], len(s.free[k]))
		dropped += n
		rest := len(s.free[k]) - n
		copy(s.free[k], s.free[k][n:]) // the oldest go
		clear(s.free[k][rest:])
		s.free[k] = s.free[k][:rest]
		s.least[k] = rest
	}
	return dropped
}

// An array is what a batch keeps a list in that others may read, cut and
// replace.
type array[T any] struct {
	all   []T // of a stock; nil: there is none
	hint  int // how many elements the next one should have
	small int // how often in a row a quarter of that was enough
}

const (
	fewElements  = 64      // the least that an array has
	oftenSmall   = 32      // so often in a row less is enough before the next is smaller
	manyElements = 1 << 16 // the most that one has which is kept
)

// room returns list with room for n more.
func (a *array[T]) room(list []T, n int, from *stock[T]) []T {
	have := len(list)
	if have+n <= cap(list) {
		return list
	}
	a.all = from.get(max(have+n, fewElements, 2*cap(list), a.hint))
	copy(a.all, list)
	return a.all[:have]
}

// give gives the array back if list still lies in it: others may have been put
// in its place, and then it may be in use elsewhere. It returns the list that
// is left, an empty one.
func (a *array[T]) give(list []T, to *stock[T]) []T {
	all := a.all
	a.all = nil
	if len(all) == 0 || cap(list) == 0 || &list[:1][0] != &all[0] {
		clear(list)
		return nil
	}
	if a.hint = min(max(a.hint, len(all)), manyElements); 4*len(list) >= a.hint {
		a.small = 0
	} else if a.small++; a.small == oftenSmall {
		a.hint, a.small = a.hint/2, 0
	}
	if len(all) <= manyElements {
		clear(all)
		to.put(all)
	}
	return nil
}
