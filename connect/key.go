package connect

import (
	"encoding/binary"
	"strings"

	"github.com/towline/towline/schema"
)

// AppendKey appends a form of the values at the given columns that is equal
// for equal values only: a kind, then the value, self-delimiting. It is the
// identity of a row in snapshots, sinks and lanes.
func AppendKey(dst []byte, row schema.Row, columns []int) []byte {
	for _, i := range columns {
		num, aux, b := row[i].Raw()
		dst = append(dst, byte(row[i].Kind()), byte(aux))
		if b == nil {
			dst = binary.LittleEndian.AppendUint64(dst, num)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(b)))
		dst = append(dst, b...)
	}
	return dst
}

// Spread says how the records of a table may be split over partitions and
// lanes without breaking order.
type Spread uint8

const (
	// SpreadByKey: records with different key bytes are different rows.
	SpreadByKey Spread = iota
	// SpreadByTable: all of the table's records must stay together, because it
	// has no key, or other unique keys that tie its rows to each other, or a
	// key whose collation takes different bytes for the same.
	SpreadByTable
)

// SpreadOf returns how t's records may be split.
func SpreadOf(t *schema.Table) Spread {
	if len(t.Unique) > 0 || t.UniqueUnknown {
		return SpreadByTable
	}
	return RowSpreadOf(t)
}

// RowSpreadOf returns how t's records may be split for a target that keeps no
// unique keys, where only records of one row must stay in order.
func RowSpreadOf(t *schema.Table) Spread {
	if len(t.Key) == 0 {
		return SpreadByTable
	}
	for _, i := range t.Key {
		c := &t.Columns[i]
		if c.Type.IsText() && !strings.HasSuffix(c.Collation, "_bin") {
			return SpreadByTable
		}
	}
	return SpreadByKey
}

// Hash returns the number by which r goes to a partition: equal for records
// that must stay in order. buf is scratch memory and is returned.
func (r *Record) Hash(spread Spread, buf []byte) (uint64, []byte) {
	buf = buf[:0]
	if spread == SpreadByTable || !r.Op.HasRow() {
		buf = append(append(append(buf, r.Table.Database...), 0), r.Table.Name...)
	} else {
		buf = AppendKey(buf, r.Key(), r.Table.Key)
	}
	return fnv1a(buf), buf
}

// LaneSplit is the version of how records are split over lanes. What a
// sink has kept for each lane says nothing under another version.
const LaneSplit = 1

// laneBlock is how many bits of an integer key do not tell lanes apart.
const laneBlock = 8

// LaneHash returns the number by which r goes to a lane: equal for records
// that must stay in order. Integer keys that lie close to each other are equal,
// too: their rows share pages of a database, and lanes that write to the same
// pages wait for each other and split them where they are to grow. buf is
// scratch memory and is returned.
func (r *Record) LaneHash(spread Spread, buf []byte) (uint64, []byte) {
	if spread == SpreadByTable || !r.Op.HasRow() {
		return r.Hash(spread, buf)
	}
	row, key := r.Key(), r.Table.Key
	last := len(key) - 1
	v := row[key[last]]
	if k := v.Kind(); k != schema.Int && k != schema.Uint {
		return r.Hash(spread, buf)
	}
	num, _, _ := v.Raw()
	buf = AppendKey(buf[:0], row, key[:last])
	buf = binary.LittleEndian.AppendUint64(buf, num>>laneBlock)
	return fnv1a(buf), buf
}

// fnv1a with a final mix, since its low bits alone are weak.
func fnv1a(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>29
}
