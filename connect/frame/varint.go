package frame

import (
	"encoding/binary"
	"math/bits"
)

// bad is the index that readers return for input that is broken; it is passed
// on by those that are given it.
const bad = -1

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// putUvarint writes x at at and returns the index after it. There must be 10
// bytes of room.
func putUvarint(p []byte, at int, x uint64) int {
	if x < 0x80 {
		p[at] = byte(x)
		return at + 1
	}
	return putLongUvarint(p, at, x)
}

// putLongUvarint spreads up to 56 bits over a word, 7 to a byte, and writes it
// at once.
func putLongUvarint(p []byte, at int, x uint64) int {
	if x >= 1<<56 {
		return at + binary.PutUvarint(p[at:], x)
	}
	n := (bits.Len64(x) + 6) / 7
	x = x&0x0fffffff | x&0x00fffffff0000000<<4
	x = x&0x00003fff00003fff | x&0x0fffc0000fffc000<<2
	x = x&0x007f007f007f007f | x&0x3f803f803f803f80<<1
	x |= 0x8080808080808080 & (1<<(8*(n-1)) - 1)
	binary.LittleEndian.PutUint64(p[at:], x)
	return at + n
}

// uvarintLen returns how many bytes x takes.
func uvarintLen(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }

// uvarint reads a number at i and returns it and the index after it, or bad.
func uvarint(p []byte, i int) (uint64, int) {
	if uint(i) < uint(len(p)) && p[i] < 0x80 {
		return uint64(p[i]), i + 1
	}
	return longUvarint(p, i)
}

// longUvarint is the inverse of putLongUvarint where a word can be read.
func longUvarint(p []byte, i int) (uint64, int) {
	if uint(i) >= uint(len(p)) {
		return 0, bad
	}
	if len(p)-i >= 8 {
		x := binary.LittleEndian.Uint64(p[i:])
		if stop := ^x & 0x8080808080808080; stop != 0 {
			n := bits.TrailingZeros64(stop) / 8 // bytes before the last one
			x &= 1<<(8*n+7) - 1
			x = x&0x007f007f007f007f | x&0x7f007f007f007f00>>1
			x = x&0x00003fff00003fff | x&0x3fff00003fff0000>>2
			x = x&0x0fffffff | x&0x0fffffff00000000>>4
			return x, i + n + 1
		}
	}
	x, n := binary.Uvarint(p[i:])
	if n <= 0 {
		return 0, bad
	}
	return x, i + n
}

// span reads a length at i and returns where the bytes begin and end.
func span(p []byte, i int) (from, to int) {
	n, i := uvarint(p, i)
	if i < 0 || n > uint64(len(p)-i) {
		return 0, bad
	}
	return i, i + int(n)
}
