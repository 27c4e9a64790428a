package frame

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/klauspost/compress/s2"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// maxRecord bounds the bytes of a record besides its rows and the strings of
// its origin and headers.
const maxRecord = 256

// maxKept is the largest buffer that is kept for the next batch.
const maxKept = 16 << 20

// encoder writes records to buf and tables to tabs, and puts both into a
// message when a frame is full or its partition has no more records.
type encoder struct {
	tables  encTables
	buf     []byte // records of the frame; len is cap, at is the end
	at      int
	tabs    []byte // tables of the frame
	body    []byte // a whole frame, before it is compressed
	plain   bool   // nothing is compressed; tests
	ntabs   int
	frame   uint64 // number of the frame, for table.frame
	last    last
	groups  groups
	lastTab *table // what the encoder met last, to save the look-up
	err     error  // of a value
}

// last is what the next record of a frame is written as the difference from.
type last struct {
	table  int
	seq    uint64
	time   int64
	row    int32
	there  bool            // the last record has an origin: at
	at     *connect.Origin // the last one that there was
	origin connect.Origin  // its value
}

func (e *encoder) encode(dst *connect.Messages, b *connect.Batch) error {
	if err := e.groups.split(b.Records); err != nil {
		return err
	}
	var err error
	for i := range e.groups.list {
		if err = e.group(dst, b.Records, &e.groups.list[i]); err != nil {
			break
		}
	}
	e.last, e.lastTab, e.err = last{}, nil, nil // keep nothing of b
	if cap(e.buf) > maxKept {
		e.buf = nil
	}
	return err
}

// group writes the frames of the records of one partition.
func (e *encoder) group(dst *connect.Messages, records []connect.Record, g *group) error {
	e.begin()
	count, prev := 0, 0
	for i := g.first; i >= 0; i = e.groups.next[i] {
		r := &records[i]
		at, tabs, ntabs := e.at, len(e.tabs), e.ntabs
		if err := e.record(r); err != nil {
			return fmt.Errorf("frame: encode record %d: %w", i, err)
		}
		if count > 0 && e.at+len(e.tabs) > MaxSize-32 { // room for the header
			e.at, e.tabs, e.ntabs = at, e.tabs[:tabs], ntabs // all but r
			e.flush(dst, &records[prev], count)
			e.begin()
			count = 0
			if err := e.record(r); err != nil {
				return fmt.Errorf("frame: encode record %d: %w", i, err)
			}
		}
		count, prev = count+1, int(i)
	}
	e.flush(dst, &records[prev], count)
	return nil
}

// begin begins a frame.
func (e *encoder) begin() {
	e.at, e.tabs, e.ntabs, e.last = 0, e.tabs[:0], 0, last{}
	e.frame++
}

// flush ends the frame and puts it into dst; r is its last record.
func (e *encoder) flush(dst *connect.Messages, r *connect.Record, count int) {
	var counts [2 * binary.MaxVarintLen64]byte
	n := putUvarint(counts[:], 0, uint64(count))
	n = putUvarint(counts[:], n, uint64(e.ntabs))
	size := n + len(e.tabs) + e.at
	var v []byte
	if size >= minPacked && size <= maxPacked && !e.plain {
		e.body = append(append(append(e.body[:0], counts[:n]...), e.tabs...), e.buf[:e.at]...)
		v = pack(dst, e.body)
	} else {
		v = dst.Alloc(fixedSize + size)
		v[coveredOff] = 0
		at := fixedSize + copy(v[fixedSize:], counts[:n])
		at += copy(v[at:], e.tabs)
		copy(v[at:], e.buf[:e.at])
	}
	copy(v, magic)
	v[len(magic)] = version
	binary.LittleEndian.PutUint32(v[4:], crc32.Checksum(v[coveredOff:], castagnoli))
	m := dst.Add()
	m.Topic, m.Partition, m.Count, m.Time, m.Value, m.Seq = r.Topic, r.Partition, int32(count), r.Time, v, r.DoneSeq()
}

// pack returns a frame in dst's memory with room for magic, version and
// checksum, whose body is compressed if that saves something.
func pack(dst *connect.Messages, body []byte) []byte {
	most := s2.MaxEncodedLen(len(body))
	v := dst.Scratch(fixedSize + most)
	v = v[:fixedSize+most]
	out := s2.Encode(v[fixedSize:], body)
	v[coveredOff] = flagPacked
	if len(out) > len(body)-len(body)/8 {
		v[coveredOff] = 0
		out = v[fixedSize : fixedSize+copy(v[fixedSize:], body)]
	}
	return dst.Use(v[:fixedSize+len(out)])
}

// room makes buf have n bytes after at.
func (e *encoder) room(at, n int) {
	if len(e.buf)-at < n {
		e.grow(at, n)
	}
}

func (e *encoder) grow(at, n int) {
	e.buf = slices.Grow(e.buf[:at], max(n, MaxSize))
	e.buf = e.buf[:cap(e.buf)]
}

// table returns the entry of t, which is written to the frame if it is new
// there. Its frame number is of no use once group has taken back a record, but
// then a new frame begins.
func (e *encoder) table(t *schema.Table) (*table, error) {
	tab := e.lastTab
	if tab == nil || tab.Table != t {
		var err error
		if tab, err = e.tables.get(t); err != nil {
			return nil, err
		}
		e.lastTab = tab
	}
	if tab.frame != e.frame {
		tab.frame, tab.index = e.frame, e.ntabs
		id := t.ID()
		e.tabs = append(e.tabs, id[:]...)
		e.tabs = binary.AppendUvarint(e.tabs, uint64(len(tab.form)))
		e.tabs = append(e.tabs, tab.form...)
		e.ntabs++
	}
	return tab, nil
}

// record writes one record.
func (e *encoder) record(r *connect.Record) error {
	tab, err := e.table(r.Table)
	if err != nil {
		return err
	}
	head := opCodes[r.Op]
	if head == 0 {
		return fmt.Errorf("%s: op %q is unknown", tab, r.Op)
	}
	if r.After != nil && len(r.After) != len(tab.cols) || r.Before != nil && len(r.Before) != len(tab.cols) {
		return fmt.Errorf("%s has %d columns, but the rows have %d (before) and %d (after) values",
			tab, len(tab.cols), len(r.Before), len(r.After))
	}
	e.room(e.at, maxRecord)
	start := e.at
	head |= e.fields(r, tab, start+2)
	if head&headHeaders != 0 {
		e.at = e.headers(e.at, r.Headers)
	}
	if r.After != nil {
		head |= headAfter
		e.at = e.row(e.at, r.After, tab)
	}
	switch {
	case r.Before == nil:
	case r.After == nil:
		head |= headBefore
		e.at = e.row(e.at, r.Before, tab)
	default:
		head |= headBefore
		e.at = e.difference(e.at, r.Before, r.After, tab)
	}
	binary.LittleEndian.PutUint16(e.buf[start:], head)
	return e.err
}

// fields writes what there is between head and headers, and returns their bits.
func (e *encoder) fields(r *connect.Record, tab *table, at int) (head uint16) {
	buf, l := e.buf, &e.last
	if flags := byte(r.Flags); flags != 0 { // Again and Half are of the moment: they are in no log
		head |= headFlags
		buf[at] = flags
		at++
	}
	if tab.index != l.table {
		head |= headTable
		at = putUvarint(buf, at, uint64(tab.index))
		l.table = tab.index
	}
	if r.Seq != l.seq+1 {
		head |= headSeq
		at = putUvarint(buf, at, zigzag(int64(r.Seq-l.seq)))
	}
	if r.Time != l.time {
		head |= headTime
		at = putUvarint(buf, at, zigzag(r.Time-l.time))
	}
	l.seq, l.time = r.Seq, r.Time
	if !l.sameOrigin(r.Origin) {
		head |= headOrigin
		at = e.origin(at, r.Origin)
		buf = e.buf
	}
	if r.Row != l.expectRow() {
		head |= headRow
		at = putUvarint(buf, at, zigzag(int64(r.Row)-int64(l.row)))
	}
	l.row = r.Row
	if len(r.Headers) > 0 {
		head |= headHeaders
	}
	e.at = at
	return head
}

// expectRow returns the row number that is to be expected next.
func (l *last) expectRow() int32 {
	if !l.there {
		return 0
	}
	return l.row + 1
}

func (e *encoder) headers(at int, headers []connect.Header) int {
	at = putUvarint(e.buf, at, uint64(len(headers)))
	for i := range headers {
		h := &headers[i]
		e.room(at, 20+len(h.Key)+len(h.Value)+maxRecord)
		at = putUvarint(e.buf, at, uint64(len(h.Key)))
		at += copy(e.buf[at:], h.Key)
		if h.Value == nil {
			at = putUvarint(e.buf, at, 0)
			continue
		}
		at = putUvarint(e.buf, at, uint64(len(h.Value))+1)
		at += copy(e.buf[at:], h.Value)
	}
	return at
}
