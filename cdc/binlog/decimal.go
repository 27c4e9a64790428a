package binlog

import (
	"fmt"
	"sync/atomic"

	"github.com/towline/towline/schema"
)

// maxDecimalText has room for a sign, 65 digits, a zero and a point.
const maxDecimalText = 72

// maxStoredDigits is the precision of the largest decimal in a JSON document:
// there both parts are filled up to whole groups, of which a number has 9.
const maxStoredDigits = 9 * 9

// decimalLayout says how the log holds a DECIMAL: groups of up to 9 digits,
// each a big-endian number, the integer part filled up in front and the
// fraction behind. The first bit is set unless the number is negative, and
// then all bits are inverted.
type decimalLayout struct {
	precision, scale int
	size             int // bytes of all groups
	all              [10]decimalGroup
	count            int
}

type decimalGroup struct {
	bytes  uint8
	digits uint8
	limit  uint32 // 10^digits
}

var groupBytes = [10]uint8{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}
var powers = [10]uint32{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

func (l *decimalLayout) groups() []decimalGroup { return l.all[:l.count] }

func newDecimalLayout(precision, scale int) decimalLayout {
	l := decimalLayout{precision: precision, scale: scale}
	whole := precision - scale
	l.addGroup(whole % 9)
	for range whole / 9 {
		l.addGroup(9)
	}
	for range scale / 9 {
		l.addGroup(9)
	}
	l.addGroup(scale % 9)
	return l
}

// storedLayouts has the layouts of decimals in JSON documents, each of which
// says its own precision and scale, as far as any was met.
var storedLayouts [maxStoredDigits + 1][maxStoredDigits + 1]atomic.Pointer[decimalLayout]

func storedLayout(precision, scale int) *decimalLayout {
	p := &storedLayouts[precision][scale]
	if l := p.Load(); l != nil {
		return l
	}
	l := newDecimalLayout(precision, scale)
	p.Store(&l)
	return &l
}

func (l *decimalLayout) addGroup(digits int) {
	if digits == 0 {
		return
	}
	g := decimalGroup{bytes: groupBytes[digits], digits: uint8(digits), limit: powers[digits]}
	l.all[l.count] = g
	l.count++
	l.size += int(g.bytes)
}

// compileDecimal makes the step for a DECIMAL. Those that are narrow but take
// 9 bytes go the way of the wide ones.
func compileDecimal(precision, scale int) (column, error) {
	if precision < 1 || precision > 65 || scale > precision {
		return column{}, fmt.Errorf("decimal(%d,%d)", precision, scale)
	}
	l := newDecimalLayout(precision, scale)
	c := column{op: opWideDecimal, width: uint8(l.size), fsp: uint8(scale), decimal: &l}
	if precision <= schema.MaxNarrowDecimal && l.size <= 8 {
		c.op = opDecimal
	}
	return c, nil
}

// narrow decodes a number whose bytes are the highest of x.
func (l *decimalLayout) narrow(x uint64) (unscaled int64, ok bool) {
	negative := x>>63 == 0
	if negative {
		x = ^x
	}
	x &^= 1 << 63
	var n uint64
	for _, g := range l.groups() {
		bits := g.bytes * 8 & 63
		v := x >> (64 - bits)
		x <<= bits
		if v >= uint64(g.limit) {
			return 0, false
		}
		n = n*uint64(g.limit) + v
	}
	if negative {
		return -int64(n), true
	}
	return int64(n), true
}

// appendText appends the canonical text of the number in b, which has l.size
// bytes.
func (l *decimalLayout) appendText(dst, b []byte) ([]byte, bool) {
	var digits [maxStoredDigits]byte
	negative := b[0]&0x80 == 0
	flip := byte(0)
	if negative {
		flip = 0xff
	}
	first := b[0] ^ 0x80 ^ flip
	n, zero := 0, true
	for _, g := range l.groups() {
		v := uint32(first)
		for _, c := range b[1:g.bytes] {
			v = v<<8 | uint32(c^flip)
		}
		b = b[g.bytes:]
		if len(b) > 0 {
			first = b[0] ^ flip
		}
		if v >= g.limit {
			return dst, false
		}
		zero = zero && v == 0
		for k := int(g.digits) - 1; k >= 0; k-- {
			digits[n+k] = '0' + byte(v%10)
			v /= 10
		}
		n += int(g.digits)
	}
	if negative && !zero {
		dst = append(dst, '-')
	}
	return l.appendDigits(dst, digits[:n]), true
}

func (l *decimalLayout) appendDigits(dst, digits []byte) []byte {
	whole := digits[:len(digits)-l.scale]
	for len(whole) > 0 && whole[0] == '0' {
		whole = whole[1:]
	}
	if len(whole) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, whole...)
	if l.scale == 0 {
		return dst
	}
	dst = append(dst, '.')
	return append(dst, digits[len(digits)-l.scale:]...)
}
