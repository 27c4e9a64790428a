// Package wire reads and writes the small binary forms in which we save
// things: shapes of tables, sets of GTIDs, heads of messages, progress of
// copies. A number is a varint, a string its length and its bytes.
//
// # Ownership
//
// What Take and Bytes return points into the Reader's input; a Text has
// memory of its own, or after Share a part of one copy. Nothing here keeps a reference otherwise.
//
// # Concurrency
//
// One goroutine at a time uses a Reader.
//
// # Errors
//
// The first fault of a Reader sticks: that read and all after it give zero,
// and OK is false from then on. So a parser reads all of a form and asks once
// at its end. No read panics, and none allocates more than the input is long,
// whatever the input says of itself.
package wire

import "encoding/binary"

// AppendString appends the length of s and its bytes.
func AppendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Reader takes a binary form apart, from front to back.
type Reader struct {
	rest []byte
	bad  bool
	text string // a copy of what was left when Share was called; "": each text has its own
}

// NewReader returns a Reader of b.
func NewReader(b []byte) Reader { return Reader{rest: b} }

// OK reports whether all reads so far were good.
func (r *Reader) OK() bool { return !r.bad }

// Done reports whether all reads were good and nothing is left.
func (r *Reader) Done() bool { return !r.bad && len(r.rest) == 0 }

// Rest returns what is not read yet, which is nil after a fault.
func (r *Reader) Rest() []byte { return r.rest }

// Fail makes r bad, for a caller that has read what cannot be.
func (r *Reader) Fail() { r.bad, r.rest = true, nil }

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.rest) == 0 {
		r.Fail()
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

// Uvarint reads what binary.AppendUvarint wrote.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Varint reads what binary.AppendVarint wrote.
func (r *Reader) Varint() int64 {
	u := r.Uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// Uint64 reads eight bytes, the lowest first.
func (r *Reader) Uint64() uint64 {
	p := r.Take(8)
	if p == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(p)
}

// Count reads the number of things that follow, of which each takes at least
// size bytes. More than the rest can hold is a fault, so that a broken count
// makes nobody allocate or loop for it.
func (r *Reader) Count(size int) int {
	n := r.Uvarint()
	if n > uint64(len(r.rest)/size) {
		r.Fail()
		return 0
	}
	return int(n)
}

// Take reads n bytes. The slice has no capacity beyond them. After a fault it
// is nil, and otherwise not, not even for no bytes, unless r is of a nil slice.
func (r *Reader) Take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.Fail()
		return nil
	}
	p := r.rest[:n:n]
	r.rest = r.rest[n:]
	return p
}

// Bytes reads what AppendString wrote, as Take does.
func (r *Reader) Bytes() []byte { return r.Take(r.Uvarint()) }

// Text reads what AppendString wrote. (A method named String would make any
// print of a Reader read from it.)
func (r *Reader) Text() string {
	p := r.Bytes()
	if r.text == "" || r.bad {
		return string(p)
	}
	end := len(r.text) - len(r.rest)
	return r.text[end-len(p) : end]
}

// Share has the texts that are read from here on lie in one copy of all that is
// left, where they are many, short, and kept together.
func (r *Reader) Share() { r.text = string(r.rest) }
