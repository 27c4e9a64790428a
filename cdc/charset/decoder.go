package charset

import (
	"sort"
	"unicode/utf8"
)

// A decoder is a tree over the bytes of a code: one node of 256 entries per byte, the first of them the root. An
// entry is a code point, or one of these marks in its top byte.
const (
	entryMark = 0xFF << 24
	entryNode = 1 << 24 // the code goes on; the low bits are the number of the next node
	entryFour = 2 << 24 // the code goes on and is a four-byte code of gb18030, found among the ranges
	entryNone = 3 << 24 // no code begins like this
)

type node [256]uint32

type decoder struct {
	ascii  bool
	nodes  []node
	ranges []span // in order of linear
}

func newDecoder(t table, ascii bool) *decoder {
	d := &decoder{ascii: ascii, ranges: t.ranges}
	d.addNode()
	for _, c := range t.codes {
		n := 0
		for shift := 8 * (c.size - 1); shift > 0; shift -= 8 {
			n = d.child(n, byte(c.bytes>>shift))
		}
		d.nodes[n][byte(c.bytes)] = uint32(c.r)
	}
	if len(t.ranges) > 0 {
		for lead := 0x81; lead <= 0xFE; lead++ {
			n := d.child(0, byte(lead))
			for second := '0'; second <= '9'; second++ {
				d.nodes[n][second] = entryFour
			}
		}
	}
	return d
}

func (d *decoder) addNode() int {
	d.nodes = append(d.nodes, node{})
	added := &d.nodes[len(d.nodes)-1]
	for i := range added {
		added[i] = entryNone
	}
	return len(d.nodes) - 1
}

// child returns the node that follows byte b of node n, and makes it when there is none.
func (d *decoder) child(n int, b byte) int {
	if e := d.nodes[n][b]; e&entryMark == entryNode {
		return int(e &^ entryMark)
	}
	added := d.addNode()
	d.nodes[n][b] = entryNode | uint32(added)
	return added
}

func (d *decoder) decode(dst, src []byte) ([]byte, bool) {
	out := dst
	root := &d.nodes[0]
	for i := 0; i < len(src); {
		b := src[i]
		if d.ascii && b < utf8.RuneSelf {
			n := asciiPrefix(src[i:])
			out = append(out, src[i:i+n]...)
			i += n
			continue
		}
		// One byte is one character, as in most charsets, of two bytes of UTF-8, as in most alphabets.
		if e := root[b]; e-0x80 < 0x800-0x80 {
			out = append(out, byte(0xC0|e>>6), byte(0x80|e&0x3F))
			i++
			continue
		}
		r, n := d.next(src[i:])
		if n == 0 {
			return dst, false
		}
		out = utf8.AppendRune(out, r)
		i += n
	}
	return out, true
}

// next returns the first character of src and the number of its bytes, zero when there is none.
func (d *decoder) next(src []byte) (rune, int) {
	at := &d.nodes[0]
	for i, b := range src {
		e := at[b]
		switch e & entryMark {
		case 0:
			return rune(e), i + 1
		case entryNode:
			at = &d.nodes[e&^entryMark]
		case entryFour:
			return d.nextFour(src)
		default:
			return 0, 0
		}
	}
	return 0, 0
}

func (d *decoder) nextFour(src []byte) (rune, int) {
	linear, ok := linearGB18030(src)
	if !ok {
		return 0, 0
	}
	i := sort.Search(len(d.ranges), func(i int) bool { return d.ranges[i].linear > linear }) - 1
	if i < 0 || linear-d.ranges[i].linear >= d.ranges[i].count {
		return 0, 0
	}
	return d.ranges[i].r + rune(linear-d.ranges[i].linear), 4
}

// linearGB18030 numbers the four-byte codes: the first and third byte run from 0x81 to 0xFE, the others are digits.
func linearGB18030(src []byte) (uint32, bool) {
	if len(src) < 4 {
		return 0, false
	}
	a, b, c, d := uint32(src[0])-0x81, uint32(src[1])-'0', uint32(src[2])-0x81, uint32(src[3])-'0'
	if a >= 126 || b >= 10 || c >= 126 || d >= 10 {
		return 0, false
	}
	return ((a*10+b)*126+c)*10 + d, true
}

func appendGB18030(dst []byte, linear uint32) []byte {
	return append(dst, byte(0x81+linear/12600), byte('0'+linear/1260%10), byte(0x81+linear/10%126), byte('0'+linear%10))
}
