package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unsafe"

	"github.com/klauspost/compress/s2"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// decoder reads frames.
type decoder struct {
	tables  decTables
	strings interner
	frame   []*table // tables of the frame
}

var (
	errTruncated = errors.New("it is too short")
	errRecord    = errors.New("it is broken off or malformed")
)

func (d *decoder) decode(dst *connect.Batch, src []connect.Message) error {
	var failed *connect.BatchError
	for i := range src {
		n := len(dst.Records)
		if err := d.message(dst, &src[i]); err != nil {
			clear(dst.Records[n:])
			dst.Records = dst.Records[:n]
			if failed == nil {
				failed = new(connect.BatchError)
			}
			m := &src[i]
			err = fmt.Errorf("frame: decode %s/%d at offset %d: %w", m.Topic, m.Partition, m.Offset, err)
			failed.Failed = append(failed.Failed, connect.RecordError{Index: i, Err: err})
		}
	}
	clear(d.frame)
	if failed != nil {
		return failed
	}
	return nil
}

// message appends the records of one message.
func (d *decoder) message(dst *connect.Batch, m *connect.Message) error {
	if err := check(m.Value); err != nil {
		return err
	}
	p, err := body(dst, m.Value)
	if err != nil {
		return err
	}
	count, i := uvarint(p, 0)
	ntabs, i := uvarint(p, i)
	if i < 0 || ntabs > uint64(len(p)) {
		return fmt.Errorf("corrupt frame: header: %w", errRecord)
	}
	if i, err = d.readTables(p, i, int(ntabs)); err != nil {
		return err
	}
	if count > uint64(len(p)-i)/2 { // a record has two bytes at least
		return fmt.Errorf("corrupt frame: %d bytes cannot hold %d records", len(p)-i, count)
	}
	size, err := d.records(dst, m, p, i, int(count))
	dst.Grow(size)
	return err
}

// check looks at all that surrounds what the checksum covers, and at that.
func check(p []byte) error {
	if len(p) < fixedSize || string(p[:len(magic)]) != magic {
		return fmt.Errorf("%d bytes are not a frame: the topic was written by another converter, or the message is corrupt", len(p))
	}
	if v := p[len(magic)]; v != version {
		return fmt.Errorf("frame of version %d: this build reads version %d; a newer one is needed", v, version)
	}
	if want, got := binary.LittleEndian.Uint32(p[4:]), crc32.Checksum(p[coveredOff:], castagnoli); want != got {
		return fmt.Errorf("corrupt frame: checksum is %08x, not %08x", got, want)
	}
	if p[coveredOff]&^knownFlags != 0 {
		return fmt.Errorf("frame has flags %#x, which this build does not know; a newer one is needed", p[coveredOff])
	}
	return nil
}

// body returns what follows the flags of a frame, in dst's memory if it was
// compressed.
func body(dst *connect.Batch, v []byte) ([]byte, error) {
	p := v[fixedSize:]
	if v[coveredOff]&flagPacked == 0 {
		return p, nil
	}
	n, err := s2.DecodedLen(p)
	if err != nil || n > maxPacked {
		return nil, fmt.Errorf("corrupt frame: %d bytes of body are no block of at most %d", len(p), maxPacked)
	}
	room := n
	if n > keptRoom && n <= MaxSize { // few sizes, so that the batch finds them again
		room = MaxSize
	}
	out, err := s2.Decode(dst.Alloc(room), p)
	if err != nil {
		return nil, fmt.Errorf("corrupt frame: its body: %w", err)
	}
	return out, nil
}

// keptRoom is what a batch has room for without a chunk of its own.
const keptRoom = 64 << 10

// readTables reads the frame's tables into d.frame.
func (d *decoder) readTables(p []byte, i, n int) (int, error) {
	d.frame = d.frame[:0]
	for k := range n {
		var id schema.ID
		if len(p)-i < len(id) {
			return bad, fmt.Errorf("corrupt frame: table %d: %w", k, errTruncated)
		}
		i += copy(id[:], p[i:])
		from, to := span(p, i)
		if to < 0 {
			return bad, fmt.Errorf("corrupt frame: table %d: %w", k, errTruncated)
		}
		t, err := d.tables.get(id, p[from:to])
		if err != nil {
			return bad, fmt.Errorf("corrupt frame: table %d: %w", k, err)
		}
		d.frame = append(d.frame, t)
		i = to
	}
	return i, nil
}

// records reads n records from i in the body p on, which must end where p
// does, and returns the bytes that they point to.
func (d *decoder) records(dst *connect.Batch, m *connect.Message, p []byte, i, n int) (size int, err error) {
	dst.Room(n)
	var l last
	values := 0
	for k := range n {
		at := i
		r := dst.Add()
		r.Topic, r.Partition = m.Topic, m.Partition
		var head uint16
		if head, i = d.fields(p, i, r, &l, dst); i < 0 {
			return 0, fmt.Errorf("corrupt frame: record %d of %d, at byte %d of %d: %w", k, n, at, len(p), errRecord)
		}
		tab := d.frame[l.table]
		if i = readRows(p, i, r, head, tab, dst); i < 0 {
			return 0, fmt.Errorf("corrupt frame: record %d of %d (of %s), at byte %d of %d: %w", k, n, tab, at, len(p), errRecord)
		}
		values += len(r.After) + len(r.Before)
	}
	if i != len(p) {
		return 0, fmt.Errorf("corrupt frame: %d bytes follow the last record", len(p)-i)
	}
	return len(p) + values*int(unsafe.Sizeof(schema.Value{})), nil
}

// fields reads a head at i and what follows it up to the rows.
func (d *decoder) fields(p []byte, i int, r *connect.Record, l *last, dst *connect.Batch) (uint16, int) {
	if len(p)-i < 2 {
		return 0, bad
	}
	head := binary.LittleEndian.Uint16(p[i:])
	i += 2
	if r.Op = ops[head&headOp]; r.Op == 0 || head > headKnown {
		return 0, bad
	}
	var u uint64
	if head&headFlags != 0 {
		if i >= len(p) {
			return 0, bad
		}
		r.Flags = connect.Flags(p[i])
		i++
	}
	if head&headTable != 0 {
		if u, i = uvarint(p, i); u >= uint64(len(d.frame)) {
			return 0, bad
		}
		l.table = int(u)
	}
	if l.table >= len(d.frame) {
		return 0, bad
	}
	r.Table = d.frame[l.table].Table
	l.seq++
	if head&headSeq != 0 {
		u, i = uvarint(p, i)
		l.seq += uint64(unzigzag(u)) - 1
	}
	if head&headTime != 0 {
		u, i = uvarint(p, i)
		l.time += unzigzag(u)
	}
	r.Seq, r.Time = l.seq, l.time
	if head&headOrigin != 0 {
		if i = d.origin(p, i, l, dst); i < 0 {
			return 0, bad
		}
	}
	if r.Origin = l.at; head&headRow != 0 {
		u, i = uvarint(p, i)
		l.row += int32(unzigzag(u))
	} else {
		l.row = l.expectRow()
	}
	r.Row = l.row
	if head&headHeaders != 0 {
		i = d.headers(p, i, r, dst)
	}
	return head, i
}

// headers reads a record's headers.
func (d *decoder) headers(p []byte, i int, r *connect.Record, dst *connect.Batch) int {
	n, i := uvarint(p, i)
	if i < 0 || n > uint64(len(p)-i)/2 { // a header has two bytes at least
		return bad
	}
	r.Headers = dst.NewHeaders(int(n))
	for k := range r.Headers {
		h := &r.Headers[k]
		h.Key, i = d.string(p, i)
		var size uint64
		if size, i = uvarint(p, i); i < 0 || size > uint64(len(p)-i)+1 {
			return bad
		}
		if size > 0 {
			end := i + int(size-1)
			h.Value = p[i:end:end]
			i = end
		}
	}
	return i
}
