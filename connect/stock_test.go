package connect

import "testing"

// TestStockLetsGoOfWhatNobodyNeeds: what was free all the time since the last
// Trim goes, what was in use in between stays.
func TestStockLetsGoOfWhatNobodyNeeds(t *testing.T) {
	var s stock[byte]
	chunks := [][]byte{s.get(100), s.get(100), s.get(128)}
	for _, c := range chunks {
		if len(c) != 128 {
			t.Fatalf("a chunk has %d elements, want 128", len(c))
		}
		s.put(c)
	}
	if n := s.trim(); n != 0 {
		t.Errorf("%d chunks that were in use a moment ago are let go", n)
	}
	s.put(s.get(65)) // one is enough from here on
	if n := s.trim(); n != 2 {
		t.Errorf("%d chunks are let go, want the 2 that nobody needed", n)
	}
	if n := s.trim(); n != 1 {
		t.Errorf("%d chunks are let go, want the last", n)
	}
	s.put(make([]byte, 100)) // no chunk of a stock
	if n := s.trim() + s.trim(); n != 0 {
		t.Errorf("the stock holds %d chunks that it did not make", n)
	}
}

// TestArraysAreGivenBackOnce: an array goes to the stock only while the
// batch's records lie in it, for else somebody else may have it.
func TestArraysAreGivenBackOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(b *Batch)
		want int
	}{
		{"as it was", func(*Batch) {}, 1},
		{"cut short", func(b *Batch) { b.Records = b.Records[:1] }, 1},
		{"the tail", func(b *Batch) { b.Records = b.Records[10:] }, 0},
		{"another's", func(b *Batch) { b.Records = make([]Record, 5) }, 0},
		{"none", func(b *Batch) { b.Records = nil }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for recordStock.trim() > 0 || len(recordStock.free[6]) > 0 {
			}
			var b Batch
			for range 20 {
				b.Add().Seq = 1
			}
			c.do(&b)
			b.Reset()
			b.Reset()
			if n := len(recordStock.free[6]); n != c.want {
				t.Fatalf("%d arrays are in the stock, want %d", n, c.want)
			}
			if c.want == 0 {
				return
			}
			for i := range 64 {
				if r := b.Add(); r.Seq != 0 {
					t.Fatalf("record %d is not zero", i)
				}
			}
		})
	}
}

// TestGrowthLeavesReadersAlone: who reads the records that there were keeps
// them when there are more.
func TestGrowthLeavesReadersAlone(t *testing.T) {
	var b, other Batch
	for range 64 {
		b.Add().Seq = 7
	}
	seen := b.Records
	b.Add()
	for range 64 {
		other.Add().Seq = 8
	}
	for i := range seen {
		if seen[i].Seq != 7 {
			t.Fatalf("record %d was overwritten by another batch", i)
		}
	}
	b.Reset()
	other.Reset()
}
