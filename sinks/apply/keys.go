package apply

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
)

// Keys numbers byte strings in the order in which they come first. The zero
// Keys is empty and ready.
type Keys struct {
	slots  []int32 // open addressing: number + 1, 0 is free
	hashes []uint64
	ends   []int
	bytes  []byte
}

const minSlots = 64

// Reset empties k and keeps its memory.
func (k *Keys) Reset() {
	clear(k.slots)
	k.hashes, k.ends, k.bytes = k.hashes[:0], k.ends[:0], k.bytes[:0]
}

// Len returns how many different keys there are.
func (k *Keys) Len() int { return len(k.ends) }

// Add returns the number of key, and whether it is new. key is copied.
func (k *Keys) Add(key []byte) (n int, added bool) {
	if 4*len(k.ends) >= 3*len(k.slots) {
		k.grow()
	}
	h := xxhash.Sum64(key)
	mask := uint64(len(k.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := k.slots[i]
		if s == 0 {
			n = len(k.ends)
			k.slots[i] = int32(n + 1)
			k.hashes = append(k.hashes, h)
			k.bytes = append(k.bytes, key...)
			k.ends = append(k.ends, len(k.bytes))
			return n, true
		}
		if n = int(s - 1); k.hashes[n] == h && bytes.Equal(k.at(n), key) {
			return n, false
		}
	}
}

func (k *Keys) at(n int) []byte {
	begin := 0
	if n > 0 {
		begin = k.ends[n-1]
	}
	return k.bytes[begin:k.ends[n]]
}

func (k *Keys) grow() {
	k.slots = make([]int32, max(minSlots, 2*len(k.slots)))
	mask := uint64(len(k.slots) - 1)
	for n, h := range k.hashes {
		i := h & mask
		for k.slots[i] != 0 {
			i = (i + 1) & mask
		}
		k.slots[i] = int32(n + 1)
	}
}
