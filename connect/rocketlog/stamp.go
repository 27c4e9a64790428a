package rocketlog

import (
	"bytes"
	"strconv"

	"github.com/towline/towline/connect/rocketlog/remoting"
)

// propStamp is the property with a message's stamp.
const propStamp = "tw"

// stamp says where a message was meant to be, and who wrote it. A message that
// is elsewhere does not count: it is a repeat, or came late.
type stamp struct {
	place   int64 // offset in the queue of the broker
	offset  int64 // ours, without gaps
	writer  string
	batch   uint64
	part    int // of a value in several messages
	parts   int
	ofPlace int64 // where it really is
}

// valid reports whether the message counts.
func (s *stamp) valid() bool { return s.place == s.ofPlace }

// last reports whether the message, or the last part of it, is here.
func (s *stamp) last() bool { return s.part == s.parts-1 }

// append appends the property's value.
func (s *stamp) append(dst []byte) []byte {
	dst = append(strconv.AppendInt(dst, s.place, 36), '.')
	dst = append(strconv.AppendInt(dst, s.offset, 36), '.')
	dst = append(append(dst, s.writer...), '.')
	dst = strconv.AppendUint(dst, s.batch, 36)
	if s.parts > 1 {
		dst = append(strconv.AppendInt(append(dst, '.'), int64(s.part), 36), '.')
		dst = strconv.AppendInt(dst, int64(s.parts), 36)
	}
	return dst
}

// stampOf returns the stamp of a message; ok is false if it has none of ours.
// The writer is interned where it is the one that is expected.
func stampOf(m *remoting.Message, writer string) (s stamp, ok bool) {
	text, ok := m.Property(propStamp)
	if !ok {
		return s, false
	}
	s.ofPlace, s.parts = m.Offset, 1
	var f [6][]byte
	n, more := 0, true
	for ; more && n < len(f); n++ {
		f[n], text, more = bytes.Cut(text, []byte{'.'})
	}
	var good [6]bool
	var place, offset, batch, part, parts uint64
	place, good[0] = base36(f[0])
	offset, good[1] = base36(f[1])
	good[2] = len(f[2]) > 0
	batch, good[3] = base36(f[3])
	good[4], good[5] = true, true
	if n == 6 {
		part, good[4] = base36(f[4])
		parts, good[5] = base36(f[5])
		s.part, s.parts = int(part), int(parts)
	}
	s.place, s.offset, s.batch = int64(place), int64(offset), batch
	if s.writer = writer; string(f[2]) != writer {
		s.writer = string(f[2])
	}
	for _, g := range good {
		ok = ok && g
	}
	return s, ok && !more && (n == 4 || n == 6) && s.part < s.parts
}

func base36(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 12 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			n = n*36 + uint64(c-'0')
		case c >= 'a' && c <= 'z':
			n = n*36 + uint64(c-'a') + 10
		default:
			return 0, false
		}
	}
	return n, true
}
