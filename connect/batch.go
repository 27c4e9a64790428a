package connect

import (
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// Batch is a run of records in source order, and the memory they point into.
//
// The caller owns it. A callee must keep neither the Batch nor a Row, a
// Value's bytes, an Origin or a Header after it returns (invariant 7). Reset
// gives all of that memory, the array of Records too, to a stock that all
// batches share; so filling one allocates nothing once the process has warmed
// up, and an empty one holds nothing. Whoever is through with a batch for a
// while resets it then and not when it is used again. A Buffer that Values
// point to (events of the log) is held by the batch; other foreign memory is
// kept alive by those Values.
type Batch struct {
	Records []Record
	// Pos: resume here once all of the records are durable. nil inside a
	// transaction. A batch may have a Pos and no records: nothing happened,
	// up to there. Of a source only.
	Pos offsets.Position
	// State goes with the batch: a source's is saved in the same step as Pos
	// and is passed to Open; a sink's tells how far each partition is done
	// (keys by offsets.MarkKey, positions by offsets.Mark) once the batch is
	// in the target. A sink's batch without State is part of a whole that
	// ends with one that has it.
	State []offsets.Entry

	array   array[Record] // that Records lie in, unless somebody has set others
	values  slab[schema.Value]
	bytes   slab[byte]
	origins slab[Origin]
	headers slab[Header]
	held    []*Buffer
	size    int
}

// Slab sizes in elements, powers of two: large enough that a batch has few,
// small enough that one with few records is small.
const (
	valueSlab  = 4096
	byteSlab   = 64 << 10
	originSlab = 256
	headerSlab = 256
)

// Reset empties b and gives its memory back.
func (b *Batch) Reset() {
	clear(b.State)
	b.State, b.Pos, b.size = b.State[:0], nil, 0
	b.Records = b.array.give(b.Records, &recordStock)
	b.values.reset(&valueStock)
	b.bytes.rewind(&byteStock) // plain bytes: nothing to clear
	b.origins.reset(&originStock)
	b.headers.reset(&headerStock)
	b.letGo()
}

// Room makes room for n more Records. Where they outgrow their array, it is
// left to whoever still reads it.
func (b *Batch) Room(n int) { b.Records = b.array.room(b.Records, n, &recordStock) }

// Swap exchanges the contents of b and o, memory and all.
func (b *Batch) Swap(o *Batch) { *b, *o = *o, *b }

// Add appends a zero Record and returns it. It is valid until the next Add.
func (b *Batch) Add() *Record {
	n := len(b.Records)
	if n == cap(b.Records) {
		b.Room(1)
	}
	b.Records = b.Records[:n+1]
	return &b.Records[n]
}

// Insert puts n zero records before record i.
func (b *Batch) Insert(i, n int) {
	end := len(b.Records)
	b.Room(n)
	b.Records = b.Records[:end+n]
	copy(b.Records[i+n:], b.Records[i:end])
	clear(b.Records[i : i+n])
}

// NewRow returns a row of n Null values in b's memory.
func (b *Batch) NewRow(n int) schema.Row { return b.values.take(n, valueSlab, &valueStock) }

// Alloc returns n bytes in b's memory, with no capacity beyond them. Their
// content is not defined.
func (b *Batch) Alloc(n int) []byte { return b.bytes.take(n, byteSlab, &byteStock) }

// Scratch returns an empty slice in b's memory with room for at least n bytes,
// to append to; Keep it by passing what was appended to Use. Nothing else may
// be allocated from b in between.
func (b *Batch) Scratch(n int) []byte { return b.bytes.peek(n, byteSlab, &byteStock) }

// Use keeps p, which was appended to the slice of the last Scratch, and
// returns it. Where appending outgrew the room p has memory of its own, which
// is as good.
func (b *Batch) Use(p []byte) []byte { return b.bytes.keep(p) }

// NewOrigin returns a zero Origin in b's memory.
func (b *Batch) NewOrigin() *Origin { return &b.origins.take(1, originSlab, &originStock)[0] }

// NewHeaders returns n zero headers in b's memory.
func (b *Batch) NewHeaders(n int) []Header { return b.headers.take(n, headerSlab, &headerStock) }

// Grow tells b that its records point to n more bytes, its own or foreign.
func (b *Batch) Grow(n int) { b.size += n }

// Size returns the bytes that b's records point to, as told by Grow: what
// bounds memory, not an exact count.
func (b *Batch) Size() int { return b.size }

// Keep removes the records for which keep returns false, in place.
func (b *Batch) Keep(keep func(*Record) bool) {
	n := 0
	for i := range b.Records {
		if keep(&b.Records[i]) {
			if n != i {
				b.Records[n] = b.Records[i]
			}
			n++
		}
	}
	clear(b.Records[n:])
	b.Records = b.Records[:n]
}

// slab hands out runs of T from chunks of a stock. Runs never move.
type slab[T any] struct {
	chunks [][]T
	used   int // elements of the last chunk that are handed out
	huge   int // the most elements of a chunk that is given back
}

// hugeChunks is how many times the usual size makes a chunk one that is not
// kept.
const hugeChunks = 16

// reset frees everything and clears what was handed out, so that nothing old
// is kept alive and the next run is zero.
func (s *slab[T]) reset(from *stock[T]) {
	for i, c := range s.chunks {
		if i == len(s.chunks)-1 {
			c = c[:s.used]
		}
		clear(c)
	}
	s.rewind(from)
}

// rewind frees everything. Chunks that were made for one huge run are let go,
// so that a row of many megabytes does not stay in memory for ever.
func (s *slab[T]) rewind(from *stock[T]) {
	for i, c := range s.chunks {
		if len(c) <= s.huge {
			from.put(c)
		}
		s.chunks[i] = nil
	}
	s.chunks, s.used = s.chunks[:0], 0
}

func (s *slab[T]) take(n, size int, from *stock[T]) []T {
	c := s.room(n, size, from)
	p := c[s.used : s.used+n : s.used+n]
	s.used += n
	return p
}

func (s *slab[T]) peek(n, size int, from *stock[T]) []T {
	return s.room(n, size, from)[s.used:s.used]
}

func (s *slab[T]) keep(p []T) []T {
	c := s.chunks[len(s.chunks)-1]
	if len(p) > 0 && s.used+len(p) <= len(c) && &c[s.used] == &p[0] {
		s.used += len(p)
		return p[:len(p):len(p)]
	}
	return p
}

// room returns the last chunk, which has n free elements then.
func (s *slab[T]) room(n, size int, from *stock[T]) []T {
	if last := len(s.chunks) - 1; last >= 0 && s.used+n <= len(s.chunks[last]) {
		return s.chunks[last]
	}
	s.huge = hugeChunks * size
	c := from.get(max(n, size))
	s.chunks, s.used = append(s.chunks, c), 0
	return c
}
