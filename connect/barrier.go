package connect

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// HeaderBarrier is the header of a record that concerns all rows of a table
// and stands in each partition of its topic; see Barrier.
const HeaderBarrier = "towline.barrier"

// Barrier is one place in all partitions of a topic. What stands before it in
// any of them was before the record at the source, what stands behind it was
// after it.
type Barrier struct {
	// ID is the same in all partitions, and in a record that is written again. A
	// truncation that a snapshot makes is never written again, but made anew. Of the truncations of one table, or of its OpSchemas, a later one has a
	// greater ID.
	ID         string
	Partitions int32
}

var errBarrier = errors.New("connect: the header " + HeaderBarrier + " is not of a format that this build knows")

// SetBarrier gives r that header, in b's memory: its ID is made of what r says of
// its place at the source.
func (r *Record) SetBarrier(b *Batch, partitions int32) {
	id := binary.BigEndian.AppendUint64(nil, r.Seq)
	if o := r.Origin; r.Op == OpTruncate && o != nil {
		id = binary.BigEndian.AppendUint16(id, uint16(len(o.File))) // a longer name is a later one
		id = binary.BigEndian.AppendUint64(append(id, o.File...), o.Pos)
		if o.Copy > 0 { // behind a statement that ends there
			id = binary.BigEndian.AppendUint64(id, 1<<63|o.Copy)
		}
	}
	id = binary.BigEndian.AppendUint64(id, uint64(r.Time))
	value := strconv.AppendInt(nil, int64(partitions), 10)
	value = hex.AppendEncode(append(value, ' '), id)
	all := b.NewHeaders(len(r.Headers) + 1)
	all[copy(all, r.Headers)] = Header{Key: HeaderBarrier, Value: value}
	r.Headers = all
}

// Barrier returns the barrier that r is, nil if it is none.
func (r *Record) Barrier() (*Barrier, error) {
	i := slices.IndexFunc(r.Headers, func(h Header) bool { return h.Key == HeaderBarrier })
	if i < 0 {
		return nil, nil
	}
	num, id, ok := strings.Cut(string(r.Headers[i].Value), " ")
	n, err := strconv.ParseInt(num, 10, 32)
	if !ok || err != nil || n < 2 || len(id) < 32 {
		return nil, errBarrier
	}
	if _, err := hex.DecodeString(id); err != nil {
		return nil, errBarrier
	}
	return &Barrier{ID: id, Partitions: int32(n)}, nil
}

// BarrierPlace returns the Seq and the Time of the record that a barrier was made
// of. A row with a greater Seq, and no earlier Time, is of after it wherever it
// stands: of the rows of before, those with a greater Seq are of a source that was
// there before this one.
func BarrierPlace(id string) (seq uint64, time int64, err error) {
	b, err := hex.DecodeString(id)
	if err != nil || len(b) < 16 {
		return 0, 0, errBarrier
	}
	return binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[len(b)-8:])), nil
}

// WithoutSchemaChange takes what SetSchemaChange put into r off it, in b's memory.
func (r *Record) WithoutSchemaChange(b *Batch) {
	all := b.NewHeaders(len(r.Headers))[:0]
	for _, h := range r.Headers {
		if h.Key != HeaderSchemaChange {
			all = append(all, h)
		}
	}
	r.Headers = all
}
