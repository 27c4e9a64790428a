package schema

import (
	"fmt"
	"strconv"
	"unsafe"
)

// MaxNarrowDecimal is the largest precision whose decimals are held as one
// integer. Both ways of reading a column decide by the column's declared
// precision, so that equal values have equal representations.
const MaxNarrowDecimal = 18

// MakeDecimal returns unscaled * 10^-scale, for a column whose precision is
// at most MaxNarrowDecimal.
func MakeDecimal(unscaled int64, scale int) Value {
	return Value{num: uint64(unscaled), aux: uint32(scale), kind: Decimal}
}

// MakeWideDecimal returns the decimal that text spells, for a column of more
// precision than MaxNarrowDecimal. text is canonical: an optional '-', no
// leading zeros but the one before the point, and exactly scale digits after
// it. The Value aliases text.
func MakeWideDecimal(text []byte, scale int) Value {
	return Value{ptr: unsafe.SliceData(text), num: uint64(len(text)), aux: uint32(scale), kind: Decimal}
}

// ParseDecimal returns the Value of a column of the given precision and scale
// from the text that the server sends. A wide one aliases text.
func ParseDecimal(text []byte, precision, scale int) (Value, error) {
	if precision > MaxNarrowDecimal {
		return MakeWideDecimal(text, scale), nil
	}
	var n uint64
	digits, frac, neg, point := 0, 0, false, false
	for i, c := range text {
		switch {
		case c == '-' && i == 0:
			neg = true
		case c == '.' && !point:
			point = true
		case c >= '0' && c <= '9':
			n = n*10 + uint64(c-'0')
			digits++
			if point {
				frac++
			}
		default:
			return Value{}, fmt.Errorf("schema: %q is not a decimal", text)
		}
	}
	if digits == 0 || digits > 19 || frac > scale {
		return Value{}, fmt.Errorf("schema: %q is not a decimal(%d,%d)", text, precision, scale)
	}
	for ; frac < scale; frac++ {
		n *= 10
	}
	if neg {
		return MakeDecimal(-int64(n), scale), nil
	}
	return MakeDecimal(int64(n), scale), nil
}

// Scale returns the number of digits after the point of a Decimal.
func (v Value) Scale() int { v.want(Decimal); return int(v.aux) }

// Narrow returns the unscaled integer of a Decimal that is held as one; ok is
// false for a wide one.
func (v Value) Narrow() (unscaled int64, ok bool) {
	v.want(Decimal)
	return int64(v.num), v.ptr == nil
}

// AppendDecimal appends the text of a Decimal.
func (v Value) AppendDecimal(dst []byte) []byte {
	v.want(Decimal)
	if v.ptr != nil {
		return append(dst, unsafe.Slice(v.ptr, int(v.num))...)
	}
	n, scale := int64(v.num), int(v.aux)
	u := uint64(n)
	if n < 0 {
		dst = append(dst, '-')
		u = -u
	}
	if scale == 0 {
		return strconv.AppendUint(dst, u, 10)
	}
	start := len(dst)
	dst = strconv.AppendUint(dst, u, 10)
	digits := len(dst) - start
	for ; digits <= scale; digits++ { // leading zeros up to one before the point
		dst = append(dst, 0)
		copy(dst[start+1:], dst[start:])
		dst[start] = '0'
	}
	dst = append(dst, 0)
	p := len(dst) - 1 - scale
	copy(dst[p+1:], dst[p:])
	dst[p] = '.'
	return dst
}
