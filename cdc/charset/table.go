package charset

import (
	"embed"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

//go:embed tables/*.zst
var tableFiles embed.FS

// code is one character of a charset: its bytes as a big-endian number, how many they are, and its code point.
type code struct {
	bytes uint32
	size  int
	r     rune
}

// span is a range of four-byte codes of gb18030 that runs in step with a range of code points. linear counts such
// codes from 81308130 on.
type span struct {
	linear, count uint32
	r             rune
}

// table is the mapping of a charset, one to one: codes in the order of size, then bytes; ranges in the order of
// linear.
type table struct {
	codes  []code
	ranges []span
}

// readTable unpacks an embedded table. A file is one zstd frame around
//
//	uvarint  number of runs
//	runs:    byte size of the codes in bytes, uvarint gap from the end of the run before (from zero when the size
//	         grew), uvarint number of codes, and for each a varint: its code point less the one before, less one
//	uvarint  number of ranges
//	ranges:  uvarint linear, uvarint count, uvarint first code point
//
// Most neighbours differ by one, so most of a file is zeros before it is compressed.
func readTable(name string) table {
	t, err := loadTable(name)
	if err != nil {
		panic(fmt.Sprintf("charset: unpack the embedded table of %s: %v", name, err))
	}
	return t
}

func loadTable(name string) (table, error) {
	packed, err := tableFiles.ReadFile("tables/" + name + ".zst")
	if err != nil {
		return table{}, err
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return table{}, err
	}
	defer z.Close()
	raw, err := z.DecodeAll(packed, nil)
	if err != nil {
		return table{}, err
	}
	r := varints{rest: raw}
	t := table{codes: r.codes(), ranges: r.ranges()}
	if r.bad || len(r.rest) != 0 {
		return table{}, errors.New("malformed")
	}
	return t, nil
}

// varints reads numbers off the front of rest. After the first that is not there all are zero and bad is set.
type varints struct {
	rest []byte
	bad  bool
}

func (v *varints) uvarint() uint32 {
	x, n := binary.Uvarint(v.rest)
	return uint32(v.take(x, n))
}

func (v *varints) varint() int32 {
	x, n := binary.Varint(v.rest)
	return int32(v.take(uint64(x), n))
}

func (v *varints) take(x uint64, n int) uint64 {
	if n <= 0 {
		v.bad, v.rest = true, nil
		return 0
	}
	v.rest = v.rest[n:]
	return x
}

func (v *varints) codes() []code {
	var out []code
	next, size, prev := uint32(0), 1, rune(-1)
	for runs := v.uvarint(); runs > 0 && !v.bad; runs-- {
		if s := int(v.uvarint()); s != size { // below 0x80 a byte is its own uvarint
			size, next = s, 0
		}
		next += v.uvarint()
		for n := v.uvarint(); n > 0 && !v.bad; n-- {
			prev += 1 + rune(v.varint())
			out = append(out, code{bytes: next, size: size, r: prev})
			next++
		}
	}
	return out
}

func (v *varints) ranges() []span {
	var out []span
	for n := v.uvarint(); n > 0 && !v.bad; n-- {
		linear, count := v.uvarint(), v.uvarint()
		out = append(out, span{linear: linear, count: count, r: rune(v.uvarint())})
	}
	return out
}
