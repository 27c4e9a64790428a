package convert

import (
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"strconv"
)

// limbs is an unsigned number of 256 bits, lowest limb first: more than the
// 65 digits of a DECIMAL take.
type limbs [4]uint64

// mulAdd sets l to l*m + a and reports whether it still fits, a bit left for
// the sign.
func (l *limbs) mulAdd(m, a uint64) bool {
	for i := range l {
		hi, lo := bits.Mul64(l[i], m)
		sum, carry := bits.Add64(lo, a, 0)
		l[i], a = sum, hi+carry
	}
	return a == 0 && l[3]>>63 == 0
}

func (l *limbs) negate() {
	carry := uint64(1)
	for i := range l {
		l[i], carry = bits.Add64(^l[i], 0, carry)
	}
}

// appendUnscaled appends the shortest big-endian two's complement of the
// number that the digits of a decimal spell without its point. ok is false if
// text is not a decimal or is longer than any.
func appendUnscaled(dst, decimal []byte) (_ []byte, ok bool) {
	var l limbs
	neg, digits := false, 0
	for i, c := range decimal {
		switch {
		case c == '-' && i == 0:
			neg = true
		case c >= '0' && c <= '9':
			digits++
			if !l.mulAdd(10, uint64(c-'0')) {
				return dst, false
			}
		case c != '.':
			return dst, false
		}
	}
	if neg {
		l.negate()
	}
	var buf [32]byte
	for i := range buf {
		buf[31-i] = byte(l[i/8] >> (8 * (i % 8)))
	}
	return append(dst, shortest(buf[:])...), digits > 0
}

// shortest drops leading bytes that only repeat the sign.
func shortest(b []byte) []byte {
	for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xFF && b[1] >= 0x80) {
		b = b[1:]
	}
	return b
}

// appendDecimalBase64 appends a decimal as Kafka Connect's Decimal in base64.
func appendDecimalBase64(dst, decimal []byte) ([]byte, bool) {
	var buf [32]byte
	b, ok := appendUnscaled(buf[:0], decimal)
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"'), ok
}

// appendNarrowBase64 appends an unscaled number as appendDecimalBase64 does.
func appendNarrowBase64(dst []byte, unscaled int64) []byte {
	var buf [8]byte
	binary.BigEndian.PutUint64(buf[:], uint64(unscaled))
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, shortest(buf[:]))
	return append(dst, '"')
}

// appendDecimalNumeric appends a decimal as a number as Java prints it: with
// an exponent where it begins with more than six zeros.
func appendDecimalNumeric(dst, decimal []byte, scale int) []byte {
	neg := len(decimal) > 0 && decimal[0] == '-'
	abs := decimal
	if neg {
		abs = abs[1:]
	}
	digits := abs // from the first one that counts; the last one always does
	for len(digits) > 1 && (digits[0] == '0' || digits[0] == '.') {
		digits = digits[1:]
	}
	significant := len(digits)
	if significant > scale+1 { // it has the point inside
		significant--
	}
	if exp := significant - 1 - scale; exp < -6 {
		if neg {
			dst = append(dst, '-')
		}
		dst = append(dst, digits[0])
		if len(digits) > 1 {
			dst = append(append(dst, '.'), digits[1:]...)
		}
		return strconv.AppendInt(append(dst, 'E'), int64(exp), 10)
	}
	return append(dst, decimal...)
}

// holdsDecimal reports whether f, printed with its shortest digits, spells
// the same number as decimal does.
func holdsDecimal(f float64, decimal []byte) bool {
	var buf [400]byte
	return sameNumber(strconv.AppendFloat(buf[:0], f, 'f', -1, 64), decimal)
}

// sameNumber compares two plain decimals but for zeros behind the point.
func sameNumber(a, b []byte) bool {
	a, b = trimFraction(a), trimFraction(b)
	return string(a) == string(b) || string(a) == "-0" && string(b) == "0"
}

func trimFraction(b []byte) []byte {
	for i, c := range b {
		if c != '.' {
			continue
		}
		for len(b) > i && (b[len(b)-1] == '0' || b[len(b)-1] == '.') {
			b = b[:len(b)-1]
		}
		return b
	}
	return b
}
