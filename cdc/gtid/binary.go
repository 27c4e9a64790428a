package gtid

import (
	"encoding/binary"
	"errors"

	"github.com/towline/towline/schema/wire"
)

var errBinary = errors.New("gtid: not the binary form of a GTID set")

// AppendBinary appends the compact form of s, which delimits itself:
//
//	#lines { uuid(16) #tag tag #runs { first-last_before length-1 }... }...
//
// All numbers are unsigned varints.
func (s *Set) AppendBinary(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.lines)))
	for i := range s.lines {
		l := &s.lines[i]
		dst = append(dst, l.sid[:]...)
		dst = wire.AppendString(dst, l.tag)
		dst = binary.AppendUvarint(dst, uint64(len(l.runs)))
		before := int64(0)
		for _, r := range l.runs {
			dst = binary.AppendUvarint(dst, uint64(r.First-before))
			dst = binary.AppendUvarint(dst, uint64(r.Last-r.First))
			before = r.Last
		}
	}
	return dst
}

// ParseBinary reads what AppendBinary wrote and returns the set and the rest
// of src. It accepts nothing but what AppendBinary writes.
func ParseBinary(src []byte) (*Set, []byte, error) {
	d := wire.NewReader(src)
	n := d.Count(18)
	s := &Set{lines: make([]line, 0, n)}
	for range n {
		var l line
		copy(l.sid[:], d.Take(16))
		l.tag = d.Text()
		l.runs = make([]Interval, d.Count(2))
		before := uint64(0)
		for i := range l.runs {
			gap, more := d.Uvarint(), d.Uvarint()
			if gap == 0 || i > 0 && gap == 1 || gap > MaxGNO-before || more > MaxGNO-before-gap {
				return nil, nil, errBinary
			}
			l.runs[i] = Interval{int64(before + gap), int64(before + gap + more)}
			before += gap + more
		}
		if !d.OK() || len(l.tag) > maxTag || len(l.runs) == 0 {
			return nil, nil, errBinary
		}
		if k := len(s.lines); k > 0 && s.lines[k-1].compare(l.sid, l.tag) >= 0 {
			return nil, nil, errBinary
		}
		s.lines = append(s.lines, l)
	}
	if !d.OK() {
		return nil, nil, errBinary
	}
	return s, d.Rest(), nil
}

// AppendDump appends the form that COM_BINLOG_DUMP_GTID and the log's list of
// previous GTIDs have. A set without tags gets the form that every server
// reads:
//
//	#lines(8) { uuid(16) #runs(8) { first(8) end(8) }... }...
//
// with end one beyond the last, all little-endian. With tags, which only
// servers from 8.3 on have, the count is in the middle six bytes of its eight,
// the outer ones are 1, and behind each UUID come twice the tag's length (one
// byte) and the tag.
func (s *Set) AppendDump(dst []byte) []byte {
	tagged := false
	for i := range s.lines {
		tagged = tagged || s.lines[i].tag != ""
	}
	n := uint64(len(s.lines))
	if tagged {
		n = n<<8 | 1 | 1<<56
	}
	dst = binary.LittleEndian.AppendUint64(dst, n)
	for i := range s.lines {
		l := &s.lines[i]
		dst = append(dst, l.sid[:]...)
		if tagged {
			dst = append(append(dst, byte(len(l.tag)*2)), l.tag...)
		}
		dst = binary.LittleEndian.AppendUint64(dst, uint64(len(l.runs)))
		for _, r := range l.runs {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(r.First))
			dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Last+1))
		}
	}
	return dst
}

// ParseDump reads the form that AppendDump writes, as it is found in
// PREVIOUS_GTIDS events.
func ParseDump(src []byte) (*Set, error) {
	d := wire.NewReader(src)
	n := d.Uint64()
	tagged := n>>56 == 1
	if tagged {
		n = n << 8 >> 16
	}
	s := new(Set)
	for ; n > 0 && d.OK(); n-- {
		var sid UUID
		copy(sid[:], d.Take(16))
		tag := ""
		if tagged {
			tag = string(d.Take(uint64(d.Byte() / 2)))
		}
		for runs := d.Uint64(); runs > 0 && d.OK(); runs-- {
			first, end := d.Uint64(), d.Uint64()
			if first == 0 || end <= first || end > MaxGNO+1 {
				return nil, errBinary
			}
			s.AddInterval(sid, tag, Interval{int64(first), int64(end - 1)})
		}
	}
	if !d.Done() {
		return nil, errBinary
	}
	s.last = 0
	return s, nil
}
