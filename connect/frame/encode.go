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

// maxOpen is how many bytes the open frames of a batch have together before all
// of them are ended.
const maxOpen = 4 << 20

// encoder writes records to buf, in the order in which they lie in memory, and
// puts those of a partition into a message when a frame is full or the batch is at
// its end. To go through a batch once for each partition instead takes twice as
// long where it is larger than the caches of the processor.
type encoder struct {
	tables  encTables
	buf     []byte // records of all open frames; len is cap, at is the end
	at      int
	places  []place // by record: where in buf it is, if there are several frames
	body    []byte  // a whole frame, before it is compressed
	plain   bool    // nothing is compressed; tests
	frames  uint64  // that were begun
	groups  groups
	open    []open // by group
	now     *open  // that the record at hand goes to
	lastTab *table // what the encoder met last, to save the look-up
	err     error  // of a value
}

// open is a frame that is not at its end.
type open struct {
	number      uint64 // of all frames, for table.frame
	first, prev int    // records, linked by groups.next
	count       int    // of them; 0: the frame has not begun
	size        int    // bytes of records and tables
	tables      []*table
	last        last
}

// place is a part of a buffer.
type place struct{ from, to int }

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
	e.at = 0
	e.places = slices.Grow(e.places[:0], len(b.Records))[:len(b.Records)]
	e.open = slices.Grow(e.open[:0], len(e.groups.list))[:len(e.groups.list)]
	err := e.records(dst, b.Records)
	for i := range e.open { // keep nothing of b
		e.open[i].count, e.open[i].last = 0, last{}
	}
	e.now, e.lastTab, e.err = nil, nil, nil
	if cap(e.buf) > maxKept {
		e.buf = nil
	}
	return err
}

func (e *encoder) records(dst *connect.Messages, records []connect.Record) error {
	for i := range records {
		if err := e.add(dst, records, i); err != nil {
			return fmt.Errorf("frame: encode record %d: %w", i, err)
		}
	}
	e.flushAll(dst, records)
	return nil
}

// add writes record i to the frame of its partition. Where it has no room there it
// begins the next.
func (e *encoder) add(dst *connect.Messages, records []connect.Record, i int) error {
	if e.at > maxOpen && len(e.open) > 1 {
		e.flushAll(dst, records)
	}
	o := &e.open[e.groups.of[i]]
	if o.count > 0 && (isBarrier(&records[i]) || isBarrier(&records[o.prev])) {
		e.flush(dst, records, o)
	}
	if e.now = o; o.count == 0 {
		e.begin(o, i)
	}
	at, size, ntabs := e.at, o.size, len(o.tables)
	if err := e.record(&records[i]); err != nil {
		return err
	}
	if o.size += e.at - at; o.count > 0 && o.size > MaxSize-32 { // room for the header
		e.at, o.size, o.tables = at, size, o.tables[:ntabs] // all but the record
		e.flush(dst, records, o)
		at = e.at
		e.begin(o, i)
		if err := e.record(&records[i]); err != nil {
			return err
		}
		o.size += e.at - at
	}
	if o.count, o.prev = o.count+1, i; len(e.open) > 1 {
		e.places[i] = place{at, e.at}
	}
	return nil
}

// isBarrier reports whether r is a barrier, which has a message to itself: what is
// before it in its partition, and what is behind, shows by the offset.
func isBarrier(r *connect.Record) bool {
	if r.Op.HasRow() || len(r.Headers) == 0 {
		return false
	}
	return slices.ContainsFunc(r.Headers, func(h connect.Header) bool { return h.Key == connect.HeaderBarrier })
}

// begin begins a frame with record i.
func (e *encoder) begin(o *open, i int) {
	e.frames++
	*o = open{number: e.frames, first: i, tables: o.tables[:0]}
}

// flushAll ends all frames.
func (e *encoder) flushAll(dst *connect.Messages, records []connect.Record) {
	for i := range e.open {
		if e.open[i].count > 0 {
			e.flush(dst, records, &e.open[i])
		}
	}
	e.at = 0
}

// flush ends a frame and puts it into dst.
func (e *encoder) flush(dst *connect.Messages, records []connect.Record, o *open) {
	var counts [2 * binary.MaxVarintLen64]byte
	n := putUvarint(counts[:], 0, uint64(o.count))
	n = putUvarint(counts[:], n, uint64(len(o.tables)))
	size := n + o.size
	var v []byte
	if size >= minPacked && size <= maxPacked && !e.plain {
		e.body = e.fill(append(e.body[:0], counts[:n]...), o)
		v = pack(dst, e.body)
	} else {
		v = dst.Alloc(fixedSize + size)
		v[coveredOff] = 0
		e.fill(append(v[:fixedSize], counts[:n]...), o)
	}
	copy(v, magic)
	v[len(magic)] = version
	binary.LittleEndian.PutUint32(v[4:], crc32.Checksum(v[coveredOff:], castagnoli))
	m, r := dst.Add(), &records[o.prev]
	m.Topic, m.Partition, m.Count, m.Time, m.Value, m.Seq = r.Topic, r.Partition, int32(o.count), r.Time, v, r.DoneSeq()
	if o.count = 0; len(e.open) == 1 {
		e.at = 0
	}
}

// fill appends the tables and the records of a frame to p.
func (e *encoder) fill(p []byte, o *open) []byte {
	for _, tab := range o.tables {
		id := tab.ID()
		p = append(p, id[:]...)
		p = binary.AppendUvarint(p, uint64(len(tab.form)))
		p = append(p, tab.form...)
	}
	if len(e.open) == 1 {
		return append(p, e.buf[:e.at]...)
	}
	run := e.places[o.first] // of records that lie one behind the other
	for i := o.first; i != o.prev; {
		i = int(e.groups.next[i])
		if s := e.places[i]; s.from == run.to {
			run.to = s.to
		} else {
			p = append(p, e.buf[run.from:run.to]...)
			run = s
		}
	}
	return append(p, e.buf[run.from:run.to]...)
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

// table returns the entry of t and its place in the frame, to which it is added if
// it is new there.
func (e *encoder) table(t *schema.Table) (tab *table, index int, err error) {
	if tab = e.lastTab; tab == nil || tab.Table != t {
		if tab, err = e.tables.get(t); err != nil {
			return nil, 0, err
		}
		e.lastTab = tab
	}
	o := e.now
	if tab.frame == o.number {
		return tab, tab.index, nil
	}
	index = o.last.table
	if index >= len(o.tables) || o.tables[index] != tab {
		index = -1
		if len(e.open) > 1 { // tab.frame is the last one of several
			index = slices.Index(o.tables, tab)
		}
	}
	if index < 0 {
		index = len(o.tables)
		o.tables = append(o.tables, tab)
		o.size += len(schema.ID{}) + uvarintLen(uint64(len(tab.form))) + len(tab.form)
	}
	tab.frame, tab.index = o.number, index
	return tab, index, nil
}

// record writes one record.
func (e *encoder) record(r *connect.Record) error {
	tab, index, err := e.table(r.Table)
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
	head |= e.fields(r, index, start+2)
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
func (e *encoder) fields(r *connect.Record, table, at int) (head uint16) {
	buf, l := e.buf, &e.now.last
	if flags := byte(r.Flags); flags != 0 { // Again and Half are of the moment: they are in no log
		head |= headFlags
		buf[at] = flags
		at++
	}
	if table != l.table {
		head |= headTable
		at = putUvarint(buf, at, uint64(table))
		l.table = table
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
