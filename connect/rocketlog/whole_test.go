package rocketlog

import "testing"

// TestSettleChains has saves whose last messages were taken by compaction, each
// for the sake of the next: a, b; b, c; c, d; ... All of them count.
func TestSettleChains(t *testing.T) {
	keys := "abcdefgh"
	for range 50 { // maps have no order
		s := &state{entries: map[string]entryAt{}, open: map[string]*save{}, dirty: map[string]int64{}}
		last := int64(2 * len(keys))
		s.commit(&save{list: []savedEntry{{keys[len(keys)-1:], entryAt{last, []byte{1}}}}})
		for i := range len(keys) - 1 {
			first, then := keys[i:i+1], keys[i+1:i+2]
			s.open[first] = &save{list: []savedEntry{{first, entryAt{int64(2 * i), []byte{1}}}}, last: then}
		}
		s.settle()
		if len(s.entries) != len(keys) || len(s.dirty) != 0 {
			t.Fatalf("%d entries count and %d do not; want all %d", len(s.entries), len(s.dirty), len(keys))
		}
	}
}

func TestChecksum(t *testing.T) {
	s := &state{entries: map[string]entryAt{}, open: map[string]*save{}, dirty: map[string]int64{}}
	save1 := func(at int64, key string, value []byte) checksum {
		s.commit(&save{list: []savedEntry{{key, entryAt{at, value}}}})
		return s.sum
	}
	a := save1(1, "a", []byte("x"))
	if ab := save1(2, "b", []byte("y")); ab == a || a == 0 {
		t.Error("an entry more does not show")
	}
	if save1(3, fenceKey, []byte("w")) != save1(4, "b", []byte("y")) {
		t.Error("a fence shows")
	}
	if gone, empty := save1(5, "b", nil), save1(6, "b", []byte{}); gone == empty || gone == a {
		t.Error("a deletion, an empty entry and none are the same")
	}
	if back := save1(4, "b", []byte("z")); back != s.sum || s.entries["b"].at != 6 {
		t.Error("what is older counts")
	}
}
