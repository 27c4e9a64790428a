package gtid

import (
	"encoding/binary"
	"errors"
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
		dst = binary.AppendUvarint(dst, uint64(len(l.tag)))
		dst = append(dst, l.tag...)
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
	d := decoder{b: src}
	n := d.count(18)
	s := &Set{lines: make([]line, 0, n)}
	for range n {
		var l line
		copy(l.sid[:], d.bytes(16))
		l.tag = string(d.bytes(int(min(d.uvarint(), maxTag+1))))
		l.runs = make([]Interval, d.count(2))
		before := uint64(0)
		for i := range l.runs {
			gap, more := d.uvarint(), d.uvarint()
			if gap == 0 || i > 0 && gap == 1 || gap > MaxGNO-before || more > MaxGNO-before-gap {
				return nil, nil, errBinary
			}
			l.runs[i] = Interval{int64(before + gap), int64(before + gap + more)}
			before += gap + more
		}
		if d.bad || len(l.tag) > maxTag || len(l.runs) == 0 {
			return nil, nil, errBinary
		}
		if k := len(s.lines); k > 0 && s.lines[k-1].compare(l.sid, l.tag) >= 0 {
			return nil, nil, errBinary
		}
		s.lines = append(s.lines, l)
	}
	if d.bad {
		return nil, nil, errBinary
	}
	return s, d.b, nil
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a number of things of at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) bytes(n int) []byte {
	if n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
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
	d := decoder{b: src}
	n := d.fixed()
	tagged := n>>56 == 1
	if tagged {
		n = n << 8 >> 16
	}
	s := new(Set)
	for ; n > 0 && !d.bad; n-- {
		var sid UUID
		copy(sid[:], d.bytes(16))
		tag := ""
		if tagged {
			size := d.bytes(1)
			if len(size) == 1 {
				tag = string(d.bytes(int(size[0] / 2)))
			}
		}
		for runs := d.fixed(); runs > 0 && !d.bad; runs-- {
			first, end := d.fixed(), d.fixed()
			if first == 0 || end <= first || end > MaxGNO+1 {
				return nil, errBinary
			}
			s.AddInterval(sid, tag, Interval{int64(first), int64(end - 1)})
		}
	}
	if d.bad || len(d.b) > 0 {
		return nil, errBinary
	}
	s.last = 0
	return s, nil
}

func (d *decoder) fixed() uint64 {
	p := d.bytes(8)
	if p == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(p)
}
