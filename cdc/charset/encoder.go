package charset

import (
	"cmp"
	"slices"
	"sort"
	"unicode/utf8"
)

// An encoder holds pages of 256 code points. An entry is the size of the code in its top byte and the code's bytes in
// the others; zero is no code.
type encoder struct {
	ascii  bool
	pages  []*[256]uint32 // by the code point's bits above the low eight
	ranges []span         // in order of code point
}

func newEncoder(t table, ascii bool) *encoder {
	e := &encoder{ascii: ascii, ranges: slices.Clone(t.ranges)}
	slices.SortFunc(e.ranges, func(a, b span) int { return cmp.Compare(a.r, b.r) })
	for _, c := range t.codes {
		p := int(c.r >> 8)
		if p >= len(e.pages) {
			e.pages = append(e.pages, make([]*[256]uint32, p+1-len(e.pages))...)
		}
		if e.pages[p] == nil {
			e.pages[p] = new([256]uint32)
		}
		e.pages[p][byte(c.r)] = uint32(c.size)<<24 | c.bytes
	}
	return e
}

func (e *encoder) encode(dst, text []byte) ([]byte, bool) {
	out := dst
	for len(text) > 0 {
		if e.ascii && text[0] < utf8.RuneSelf {
			n := asciiPrefix(text)
			out = append(out, text[:n]...)
			text = text[n:]
			continue
		}
		r, n := utf8.DecodeRune(text)
		if badRune(r, n) {
			return dst, false
		}
		var ok bool
		if out, ok = e.appendRune(out, r); !ok {
			return dst, false
		}
		text = text[n:]
	}
	return out, true
}

func (e *encoder) appendRune(dst []byte, r rune) ([]byte, bool) {
	if p := int(r >> 8); p < len(e.pages) && e.pages[p] != nil {
		switch v := e.pages[p][byte(r)]; v >> 24 {
		case 1:
			return append(dst, byte(v)), true
		case 2:
			return append(dst, byte(v>>8), byte(v)), true
		case 3:
			return append(dst, byte(v>>16), byte(v>>8), byte(v)), true
		}
	}
	i := sort.Search(len(e.ranges), func(i int) bool { return e.ranges[i].r > r }) - 1
	if i < 0 || r-e.ranges[i].r >= rune(e.ranges[i].count) {
		return dst, false
	}
	return appendGB18030(dst, e.ranges[i].linear+uint32(r-e.ranges[i].r)), true
}
