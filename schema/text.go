package schema

import (
	"math"
	"strconv"
)

// AppendText appends v as the server prints it (CAST(column AS CHAR)), in
// UTF-8. col gives what the value itself does not hold: the elements of an
// ENUM or SET. Bytes, Bit, Geometry and Vector append their raw bytes (a Bit
// big-endian). Null and Absent append nothing.
func (v Value) AppendText(dst []byte, col *Column) []byte {
	switch v.kind {
	case Int:
		return strconv.AppendInt(dst, int64(v.num), 10)
	case Uint:
		return strconv.AppendUint(dst, v.num, 10)
	case Year:
		return appendPadded(dst, int(v.num), 4)
	case Float32:
		return AppendFloat(dst, v.Float(), 32)
	case Float64:
		return AppendFloat(dst, v.Float(), 64)
	case Decimal:
		return v.AppendDecimal(dst)
	case Date, DateTime, Timestamp:
		return v.appendDateTime(dst)
	case Time:
		return v.appendTime(dst)
	case Enum:
		return append(dst, col.element(v.num)...)
	case Set:
		return col.appendSet(dst, v.num)
	case Bit:
		for i := (col.Length+7)/8 - 1; i >= 0; i-- {
			dst = append(dst, byte(v.num>>(8*i)))
		}
		return dst
	case Null, Absent:
		return dst
	}
	return append(dst, v.Bytes()...)
}

func (v Value) appendDateTime(dst []byte) []byte {
	var c Civil
	switch {
	case v.kind != Timestamp:
		c = unpack(v.num)
	case v.num != 0:
		c = CivilFromMicros(int64(v.num))
	}
	dst = appendTwo(appendPadded(dst, c.Year/100, 2), c.Year%100)
	dst = appendTwo(append(dst, '-'), c.Month)
	dst = appendTwo(append(dst, '-'), c.Day)
	if v.kind == Date {
		return dst
	}
	dst = appendTwo(append(dst, ' '), c.Hour)
	dst = appendTwo(append(dst, ':'), c.Minute)
	dst = appendTwo(append(dst, ':'), c.Second)
	return appendFraction(dst, c.Micro, int(v.aux))
}

func (v Value) appendTime(dst []byte) []byte {
	us := int64(v.num)
	if us < 0 {
		dst = append(dst, '-')
		us = -us
	}
	secs := us / 1e6
	dst = appendPadded(dst, int(secs/3600), 2)
	dst = appendTwo(append(dst, ':'), int(secs/60%60))
	dst = appendTwo(append(dst, ':'), int(secs%60))
	return appendFraction(dst, int(us%1e6), int(v.aux))
}

func appendFraction(dst []byte, micro, fsp int) []byte {
	if fsp == 0 {
		return dst
	}
	digits := [6]byte{}
	for i := 5; i >= 0; i-- {
		digits[i] = byte('0' + micro%10)
		micro /= 10
	}
	return append(append(dst, '.'), digits[:min(fsp, 6)]...)
}

// appendTwo appends the two digits of n, which is below 100.
func appendTwo(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}

// appendPadded appends n with leading zeros up to width digits.
func appendPadded(dst []byte, n, width int) []byte {
	limit := 10
	for i := 1; i < width; i, limit = i+1, limit*10 {
		if n < limit {
			for ; i < width; i++ {
				dst = append(dst, '0')
			}
			break
		}
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// AppendFloat appends f as the server prints a FLOAT (bits 32) or DOUBLE
// (bits 64): the shortest digits that give the same number, with an exponent
// from 1e15 and below 1e-15 on.
func AppendFloat(dst []byte, f float64, bits int) []byte {
	abs := math.Abs(f)
	if abs != 0 && (abs < 1e-15 || abs >= 1e15) {
		return appendExponent(dst, f, bits)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, bits)
}

// appendExponent drops what Go adds to an exponent: its '+' and leading zeros.
func appendExponent(dst []byte, f float64, bits int) []byte {
	var buf [32]byte
	b := strconv.AppendFloat(buf[:0], f, 'e', -1, bits)
	for i, c := range b {
		if c != 'e' {
			continue
		}
		dst = append(dst, b[:i+1]...)
		if b[i+1] == '-' {
			dst = append(dst, '-')
		}
		b = b[i+2:]
		for len(b) > 1 && b[0] == '0' {
			b = b[1:]
		}
		return append(dst, b...)
	}
	return append(dst, b...)
}

func (c *Column) element(index uint64) string {
	if index == 0 || index > uint64(len(c.Elements)) {
		return ""
	}
	return c.Elements[index-1]
}

func (c *Column) appendSet(dst []byte, mask uint64) []byte {
	first := true
	for i, e := range c.Elements {
		if mask&(1<<i) == 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, e...)
	}
	return dst
}
