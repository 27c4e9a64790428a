package frame

import (
	"github.com/towline/towline/connect"
)

// sameOrigin reports whether o is the origin of the last record.
func (l *last) sameOrigin(o *connect.Origin) bool {
	if o == nil || !l.there {
		return o == nil && !l.there
	}
	return o == l.at || *o == l.origin
}

// origin writes an origin as the difference from the last one.
func (e *encoder) origin(at int, o *connect.Origin) int {
	l := &e.now.last
	if o == nil {
		l.there, l.row = false, 0
		e.buf[at] = 0
		return at + 1
	}
	e.room(at, len(o.Tag)+len(o.File)+len(o.Query)+2*maxRecord)
	buf, was, place := e.buf, &l.origin, at
	bits := byte(originThere)
	at++
	if o.Snapshot {
		bits |= originSnapshot
	}
	if o.ServerID != was.ServerID {
		bits |= originServer
		at = putUvarint(buf, at, uint64(o.ServerID))
	}
	if o.Thread != was.Thread {
		bits |= originThread
		at = putUvarint(buf, at, uint64(o.Thread))
	}
	if o.SID != was.SID {
		bits |= originSID
		at += copy(buf[at:], o.SID[:])
	}
	if o.Tag != was.Tag {
		bits |= originTag
		at = putString(buf, at, o.Tag)
	}
	if o.File != was.File {
		bits |= originFile
		at = putString(buf, at, o.File)
	}
	if o.Query != was.Query {
		bits |= originQuery
		at = putString(buf, at, o.Query)
	}
	at = putUvarint(buf, at, zigzag(o.GNO-was.GNO))
	at = putUvarint(buf, at, zigzag(int64(o.Pos-was.Pos)))
	at = putUvarint(buf, at, zigzag(o.Time-was.Time))
	buf[place] = bits
	l.there, l.at, l.origin, l.row = true, o, *o, -1
	return at
}

func putString(buf []byte, at int, s string) int {
	at = putUvarint(buf, at, uint64(len(s)))
	return at + copy(buf[at:], s)
}

// origin reads an origin at i into l and returns the index after it, or bad.
func (d *decoder) origin(p []byte, i int, l *last, dst *connect.Batch) int {
	if uint(i) >= uint(len(p)) {
		return bad
	}
	bits := p[i]
	i++
	if bits&originThere == 0 {
		l.there, l.at, l.row = false, nil, 0
		return zeroOr(bits, i)
	}
	o := &l.origin
	o.Snapshot = bits&originSnapshot != 0
	var u uint64
	if bits&originServer != 0 {
		u, i = uvarint(p, i)
		o.ServerID = uint32(u)
	}
	if bits&originThread != 0 {
		u, i = uvarint(p, i)
		o.Thread = uint32(u)
	}
	if bits&originSID != 0 {
		if i < 0 || len(p)-i < len(o.SID) {
			return bad
		}
		i += copy(o.SID[:], p[i:])
	}
	if bits&originTag != 0 {
		o.Tag, i = d.string(p, i)
	}
	if bits&originFile != 0 {
		o.File, i = d.string(p, i)
	}
	if bits&originQuery != 0 {
		from, to := span(p, i)
		if i = to; to < 0 {
			return bad
		}
		o.Query = string(p[from:to]) // not interned: there may be no end of them
	}
	u, i = uvarint(p, i)
	o.GNO += unzigzag(u)
	u, i = uvarint(p, i)
	o.Pos += uint64(unzigzag(u))
	u, i = uvarint(p, i)
	o.Time += unzigzag(u)
	l.there, l.at, l.row = true, dst.NewOrigin(), -1
	*l.at = *o
	return i
}

// zeroOr returns i, or bad if bits are set that must not be.
func zeroOr(bits byte, i int) int {
	if bits != 0 {
		return bad
	}
	return i
}

// string reads a string that may be kept.
func (d *decoder) string(p []byte, i int) (string, int) {
	from, to := span(p, i)
	if to < 0 {
		return "", bad
	}
	return d.strings.get(p[from:to]), to
}
