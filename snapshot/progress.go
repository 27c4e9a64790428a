package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema/wire"
)

// status is how far the copy of a table is.
type status byte

const (
	waiting status = iota // nothing of it is copied
	copying
	done
)

// segment is a range of a table's key. It begins where the one before it ends.
type segment struct {
	hi   Key // nil: the end of the table
	done bool
	wide bool // may be far more than a chunk: it is read in chunks from its begin on
	// whole: it is not worth while to split it (not saved).
	whole bool
	open  bool // a window, or a split, is at work on it
}

// progress is what is saved of one table.
type progress struct {
	status status
	// dirty: rows may be downstream that a copy does not replace, of a table
	// without a key or deleted ones, so a new copy must begin by truncating it.
	dirty bool
	// truncate: that is due.
	truncate bool
	rows     int64
	bytes    int64
	total    int64 // estimated
	started  int64
	ended    int64
	// upTo, with server, ends what a locked copy contains: changes up to there
	// are dropped. An empty File is none.
	upTo     High
	server   string
	segments []*segment
	// ordered: a signal asked for this copy. extra: the table is whole without
	// it, so it may be given up. filter limits it to some rows; "" is all.
	ordered, extra bool
	filter         string
	// revive: a signal asked to follow the table again, which is stopped.
	revive bool
	// told is what the targets have heard of a copy of all rows.
	told told
}

// told is what the targets know, or are yet to hear, of a copy that they may
// begin a table anew with.
type told byte

const (
	toldNothing told = iota
	tellBegin        // connect.Reread is due
	toldBegin
	tellEnd    // that the copy is complete is due
	tellGiveUp // that it never will be is due
)

// begin makes p a copy that has not begun.
func (p *progress) begin() {
	*p = progress{dirty: p.dirty, truncate: p.dirty, total: p.total, segments: []*segment{{wide: true}},
		ordered: p.ordered, extra: p.extra, filter: p.filter, revive: p.revive, told: p.told}
}

// whole makes p, which may be one that a signal asked for, the copy of all
// that there is.
func (p *progress) whole() { p.ordered, p.extra, p.filter = false, false, "" }

// finish marks a segment as done and joins it with its neighbours. It reports
// whether the table is done.
func (p *progress) finish(s *segment) bool {
	s.done, s.open, s.wide = true, false, false
	list := p.segments[:0]
	for _, s := range p.segments {
		if n := len(list); n > 0 && list[n-1].done && s.done {
			list[n-1] = s
			continue
		}
		list = append(list, s)
	}
	clear(p.segments[len(list):])
	p.segments = list
	return len(list) == 1 && list[0].done && list[0].hi == nil
}

// split cuts s in two at key and returns the second part.
func (p *progress) split(s *segment, key Key) *segment {
	rest := &segment{hi: s.hi, wide: s.wide, whole: s.whole}
	s.hi = key
	p.segments = slices.Insert(p.segments, slices.Index(p.segments, s)+1, rest)
	return rest
}

// lo returns where s begins.
func (p *progress) lo(s *segment) Key {
	if i := slices.Index(p.segments, s); i > 0 {
		return p.segments[i-1].hi
	}
	return nil
}

const (
	statePrefix = "snapshot/"
	seqKey      = "snapshot/seq"
	pausedKey   = "snapshot/paused"
	fileKey     = "snapshot/file" // how far the file of signals is carried out
	runKey      = "snapshot/run"  // the last run that has made truncations
	stateFormat = 1
)

// Rest returns what of a State is of the change stream, for a source that is to go
// on at another place of it. While a copy is under way it cannot: where its chunks
// lie in the stream is part of what is known of them.
func Rest(state []offsets.Entry) (rest []offsets.Entry, err error) {
	for _, e := range state {
		database, name, ok := parseStateKey(e.Key)
		if !ok || e.Key == seqKey || e.Key == pausedKey || e.Key == fileKey || e.Key == runKey {
			if !strings.HasPrefix(e.Key, statePrefix) {
				rest = append(rest, e)
			}
			continue
		}
		p, err := parseProgress(e.Pos)
		if err != nil {
			return nil, connect.Permanent(fmt.Errorf("snapshot: state %q: %w", e.Key, err))
		}
		if p.status != done || p.truncate || p.revive || p.upTo.File != "" || p.told != toldNothing {
			return nil, connect.Permanent(fmt.Errorf("the source cannot be moved now, since table %s.%s is being copied; let the copy come to its end, or stop it (towline snapshot stop)", database, name))
		}
	}
	return rest, nil
}

// stateKey returns the key of a table's entry.
func stateKey(database, name string) string {
	return statePrefix + url.PathEscape(database) + "/" + url.PathEscape(name)
}

// parseStateKey is the inverse of stateKey; ok is false for other keys.
func parseStateKey(key string) (database, name string, ok bool) {
	d, n, ok := strings.Cut(strings.TrimPrefix(key, statePrefix), "/")
	if !ok || !strings.HasPrefix(key, statePrefix) {
		return "", "", false
	}
	database, err1 := url.PathUnescape(d)
	name, err2 := url.PathUnescape(n)
	return database, name, err1 == nil && err2 == nil
}

const (
	flagDirty = 1 << iota
	flagTruncate
	flagUpTo
	flagOrdered
	flagExtra
	flagFilter
	flagRevive
	flagTold
)

const (
	flagDone = 1 << iota
	flagWide
	flagEnd // no hi
)

// encode returns p in the form that a Store keeps:
//
//	format(1) status(1) flags(1) rows bytes total started ended
//	[file pos server] [filter] [told(1)] #segments {flags(1) [hi]}...
//
// where numbers are varints and strings a length and bytes.
func (p *progress) encode() offsets.Position {
	b := []byte{stateFormat, byte(p.status), 0}
	for i, on := range [...]bool{p.dirty, p.truncate, p.upTo.File != "", p.ordered, p.extra, p.filter != "", p.revive, p.told != toldNothing} {
		if on {
			b[2] |= 1 << i
		}
	}
	for _, n := range [...]int64{p.rows, p.bytes, p.total, p.started, p.ended} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	if p.upTo.File != "" {
		b = wire.AppendString(b, p.upTo.File)
		b = binary.AppendUvarint(b, p.upTo.Pos)
		b = wire.AppendString(b, p.server)
	}
	if p.filter != "" {
		b = wire.AppendString(b, p.filter)
	}
	if p.told != toldNothing {
		b = append(b, byte(p.told))
	}
	if p.status == done {
		return binary.AppendUvarint(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(p.segments)))
	for _, s := range p.segments {
		b = append(b, 0)
		for i, on := range [...]bool{s.done, s.wide, s.hi == nil} {
			if on {
				b[len(b)-1] |= 1 << i
			}
		}
		if s.hi != nil {
			b = wire.AppendString(b, s.hi)
		}
	}
	return b
}

var errState = errors.New("not the saved state of a table's copy by this version")

// parseProgress is the inverse of encode.
func parseProgress(b offsets.Position) (*progress, error) {
	if len(b) < 3 || b[0] != stateFormat || status(b[1]) > done {
		return nil, errState
	}
	p := &progress{status: status(b[1]), dirty: b[2]&flagDirty != 0, truncate: b[2]&flagTruncate != 0}
	r := wire.NewReader(b[3:])
	for _, n := range [...]*int64{&p.rows, &p.bytes, &p.total, &p.started, &p.ended} {
		*n = int64(r.Uvarint())
	}
	if b[2]&flagUpTo != 0 {
		p.upTo.File = r.Text()
		p.upTo.Pos = r.Uvarint()
		p.server = r.Text()
	}
	p.ordered, p.extra, p.revive = b[2]&flagOrdered != 0, b[2]&flagExtra != 0, b[2]&flagRevive != 0
	if b[2]&flagFilter != 0 {
		p.filter = r.Text()
	}
	if b[2]&flagTold != 0 {
		if p.told = told(r.Byte()); p.told > tellGiveUp {
			return nil, errState
		}
	}
	for range r.Count(1) {
		f := r.Byte()
		s := &segment{done: f&flagDone != 0, wide: f&flagWide != 0}
		if f&flagEnd == 0 {
			s.hi = append(Key{}, r.Bytes()...)
		}
		p.segments = append(p.segments, s)
	}
	if !r.Done() {
		return nil, errState
	}
	if p.status != done && len(p.segments) == 0 {
		return nil, errState
	}
	return p, nil
}
