package binlog

import (
	"encoding/binary"
	"strconv"
)

const maxFixedText = 45

func appendINET4(dst, b []byte) []byte {
	for i, x := range b {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = strconv.AppendUint(dst, uint64(x), 10)
	}
	return dst
}

// appendINET6 appends an address as MariaDB prints it: the first of the longest
// runs of zero words, even of one word, is left out, and addresses that hold one
// of IPv4 end with it.
func appendINET6(dst []byte, b [16]byte) []byte {
	var words [8]uint16
	for i := range words {
		words[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	gap, size := 0, 0
	for i := 0; i < len(words); i++ {
		n := 0
		for i+n < len(words) && words[i+n] == 0 {
			n++
		}
		if n > size {
			gap, size = i, n
		}
		i += n
	}
	v4 := size > 0 && gap == 0 && (size == 6 || size == 5 && words[5] == 0xffff)
	for i := 0; i < len(words); i++ {
		switch {
		case size > 0 && i == gap:
			if i == 0 {
				dst = append(dst, ':')
			}
			dst = append(dst, ':')
			i += size - 1
		case v4 && i == 6:
			return appendINET4(dst, b[12:])
		default:
			dst = strconv.AppendUint(dst, uint64(words[i]), 16)
			if i < len(words)-1 {
				dst = append(dst, ':')
			}
		}
	}
	return dst
}
