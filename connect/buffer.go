package connect

import "sync/atomic"

// Buffer is memory that a source reads into and that several batches point
// into. It goes back to the stock when the last of its holders lets go of it;
// one that is never let go of is left to the collector. Safe for concurrent use.
type Buffer struct {
	Bytes []byte
	holds atomic.Int32
}

// NewBuffer returns a Buffer of at least n bytes, whose content is not defined.
// The caller holds it.
func NewBuffer(n int) *Buffer {
	f := new(Buffer)
	if n <= hugeChunks*byteSlab {
		f.Bytes = byteStock.get(n)
	} else { // nobody keeps it
		f.Bytes = make([]byte, n)
	}
	f.holds.Store(1)
	return f
}

// Hold makes one holder more; each lets go of f by Release.
func (f *Buffer) Hold() { f.holds.Add(1) }

// Release lets go of f. What was in it may be something else from now on.
func (f *Buffer) Release() {
	switch n := f.holds.Add(-1); {
	case n < 0:
		panic("connect: a Buffer is let go of more often than it was held")
	case n > 0:
		return
	}
	spoil(f.Bytes)
	if len(f.Bytes) <= hugeChunks*byteSlab {
		byteStock.put(f.Bytes)
	}
	f.Bytes = nil
}

// Hold has b hold f until it is reset, for what its records point to.
func (b *Batch) Hold(f *Buffer) {
	if n := len(b.held); n > 0 && b.held[n-1] == f {
		return
	}
	f.Hold()
	b.held = append(b.held, f)
}

// letGo releases what b holds.
func (b *Batch) letGo() {
	for i, f := range b.held {
		f.Release()
		b.held[i] = nil
	}
	b.held = b.held[:0]
}
