package connect

import "testing"

// TestBufferGoesBackOnce: a buffer that batches hold goes to the stock when the
// last of them is reset, whatever the order, and not before.
func TestBufferGoesBackOnce(t *testing.T) {
	const n = hugeChunks * byteSlab
	for byteStock.trim() > 0 || len(byteStock.free[20]) > 0 {
	}
	f := NewBuffer(n)
	var a, b Batch
	a.Hold(f)
	a.Hold(f) // as for a second event
	b.Hold(f)
	f.Release()
	a.Swap(&b)
	b.Reset()
	b.Reset()
	f.Bytes[0] = 7
	if g := NewBuffer(n); &g.Bytes[0] == &f.Bytes[0] {
		t.Fatal("a buffer that a batch holds is given away")
	}
	first := &f.Bytes[0]
	a.Reset()
	g := NewBuffer(n)
	if &g.Bytes[0] != first {
		t.Error("a buffer that nobody holds any more is not used again")
	}
	defer func() {
		if recover() == nil {
			t.Error("a buffer is let go of twice, and nobody says so")
		}
	}()
	g.Release()
	g.Release()
}

// TestHugeBuffersAreLetGo: what one event of many megabytes took is not kept.
func TestHugeBuffersAreLetGo(t *testing.T) {
	f := NewBuffer(hugeChunks*byteSlab + 1)
	if n := len(f.Bytes); n != hugeChunks*byteSlab+1 {
		t.Errorf("it has %d bytes", n)
	}
	f.Release()
	for k := 21; k < len(byteStock.free); k++ {
		if n := len(byteStock.free[k]); n > 0 {
			t.Errorf("the stock has %d chunks of 2^%d bytes", n, k)
		}
	}
}
