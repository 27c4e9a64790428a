package gtid

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"
)

// UUID identifies a server.
type UUID = [16]byte

// MaxGNO is the largest number that a server gives to a transaction.
const MaxGNO = 1<<63 - 2

// Interval is a run of transaction numbers, First to Last, both included.
type Interval struct{ First, Last int64 }

// Source is what transactions are numbered under.
type Source struct {
	UUID UUID
	Tag  string
}

// line is all that a Set has of one UUID and tag. Intervals are sorted, not
// empty, and neither touch nor overlap.
type line struct {
	sid  UUID
	tag  string
	runs []Interval
}

// Set is a set of GTIDs. The zero Set is empty.
type Set struct {
	lines []line // sorted by UUID and tag, none without intervals
	last  int    // the line that Add used last
}

func (l *line) compare(sid UUID, tag string) int {
	if c := bytes.Compare(l.sid[:], sid[:]); c != 0 {
		return c
	}
	return strings.Compare(l.tag, tag)
}

func (s *Set) find(sid UUID, tag string) (int, bool) {
	if s.last < len(s.lines) {
		if l := &s.lines[s.last]; l.sid == sid && l.tag == tag {
			return s.last, true
		}
	}
	lo, hi := 0, len(s.lines)
	for lo < hi {
		mid := (lo + hi) / 2
		if s.lines[mid].compare(sid, tag) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(s.lines) && s.lines[lo].compare(sid, tag) == 0
}

// Add puts one GTID into s.
func (s *Set) Add(sid UUID, tag string, gno int64) {
	i, ok := s.find(sid, tag)
	if !ok {
		s.lines = slices.Insert(s.lines, i, line{sid: sid, tag: tag})
	}
	s.last = i
	l := &s.lines[i]
	if n := len(l.runs); n > 0 && l.runs[n-1].Last+1 == gno {
		l.runs[n-1].Last = gno
		return
	}
	l.add(Interval{gno, gno})
}

// AddInterval puts a run of numbers of one UUID and tag into s.
func (s *Set) AddInterval(sid UUID, tag string, iv Interval) {
	if iv.Last < iv.First {
		return
	}
	i, ok := s.find(sid, tag)
	if !ok {
		s.lines = slices.Insert(s.lines, i, line{sid: sid, tag: tag})
	}
	s.last = i
	s.lines[i].add(iv)
}

func (l *line) add(iv Interval) {
	// lo: the first run that touches iv; hi: the first one beyond it.
	lo, _ := slices.BinarySearchFunc(l.runs, iv.First, func(r Interval, first int64) int { return cmp.Compare(r.Last+1, first) })
	hi := lo
	for hi < len(l.runs) && l.runs[hi].First <= iv.Last+1 {
		iv.First = min(iv.First, l.runs[hi].First)
		iv.Last = max(iv.Last, l.runs[hi].Last)
		hi++
	}
	if hi == lo {
		l.runs = slices.Insert(l.runs, lo, iv)
		return
	}
	l.runs[lo] = iv
	l.runs = slices.Delete(l.runs, lo+1, hi)
}

// Contains reports whether s has the GTID.
func (s *Set) Contains(sid UUID, tag string, gno int64) bool {
	i, ok := s.find(sid, tag)
	return ok && contains(s.lines[i].runs, Interval{gno, gno})
}

func contains(runs []Interval, iv Interval) bool {
	i, _ := slices.BinarySearchFunc(runs, iv.First, func(r Interval, first int64) int { return cmp.Compare(r.Last, first) })
	return i < len(runs) && runs[i].First <= iv.First && iv.Last <= runs[i].Last
}

// First returns the smallest number that s has of a UUID and tag; ok is false
// if it has none.
func (s *Set) First(sid UUID, tag string) (gno int64, ok bool) {
	i, ok := s.find(sid, tag)
	if !ok {
		return 0, false
	}
	return s.lines[i].runs[0].First, true
}

// All returns all runs of numbers, by UUID and tag.
func (s *Set) All() iter.Seq2[Source, Interval] {
	return func(yield func(Source, Interval) bool) {
		for i := range s.lines {
			for _, r := range s.lines[i].runs {
				if !yield(Source{s.lines[i].sid, s.lines[i].tag}, r) {
					return
				}
			}
		}
	}
}

// Empty reports whether s has no GTID.
func (s *Set) Empty() bool { return len(s.lines) == 0 }

// Len returns the number of GTIDs in s.
func (s *Set) Len() (n uint64) {
	for i := range s.lines {
		for _, r := range s.lines[i].runs {
			n += uint64(r.Last - r.First + 1)
		}
	}
	return n
}

// Clone returns a Set of its own memory with the same content.
func (s *Set) Clone() *Set {
	c := &Set{lines: slices.Clone(s.lines), last: s.last}
	for i := range c.lines {
		c.lines[i].runs = slices.Clone(c.lines[i].runs)
	}
	return c
}

// Equal reports whether both have the same GTIDs.
func (s *Set) Equal(o *Set) bool {
	return slices.EqualFunc(s.lines, o.lines, func(a, b line) bool {
		return a.sid == b.sid && a.tag == b.tag && slices.Equal(a.runs, b.runs)
	})
}

// SubsetOf reports whether o has every GTID of s.
func (s *Set) SubsetOf(o *Set) bool {
	for i := range s.lines {
		l := &s.lines[i]
		j, ok := o.find(l.sid, l.tag)
		if !ok {
			return false
		}
		for _, r := range l.runs {
			if !contains(o.lines[j].runs, r) {
				return false
			}
		}
	}
	return true
}

// Union puts all GTIDs of o into s.
func (s *Set) Union(o *Set) {
	if s == o {
		return
	}
	for i := range o.lines {
		for _, r := range o.lines[i].runs {
			s.AddInterval(o.lines[i].sid, o.lines[i].tag, r)
		}
	}
}

// Subtract takes all GTIDs of o out of s.
func (s *Set) Subtract(o *Set) {
	for i := range s.lines {
		l := &s.lines[i]
		if j, ok := o.find(l.sid, l.tag); ok {
			l.runs = subtract(l.runs, o.lines[j].runs)
		}
	}
	s.lines = slices.DeleteFunc(s.lines, func(l line) bool { return len(l.runs) == 0 })
	s.last = 0
}

// subtract returns a new list of what a has and b has not.
func subtract(a, b []Interval) []Interval {
	var out []Interval
	for _, r := range a {
		for len(b) > 0 && b[0].Last < r.First {
			b = b[1:]
		}
		first, rest := r.First, b
		for ; len(rest) > 0 && rest[0].First <= r.Last; rest = rest[1:] {
			if first < rest[0].First {
				out = append(out, Interval{first, rest[0].First - 1})
			}
			first = rest[0].Last + 1
		}
		if first <= r.Last {
			out = append(out, Interval{first, r.Last})
		}
	}
	return out
}
