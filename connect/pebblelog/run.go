package pebblelog

import (
	"bytes"
	"encoding/binary"

	"github.com/klauspost/compress/s2"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema/wire"
)

// runVersion is the first byte of a run of messages, where a single one has
// messageVersion.
const runVersion = 2

const runPacked = 1 // flag: the messages are compressed

const (
	// runBytes is about the most that the messages of a run take. The reader
	// unpacks a run whole, to begin in its middle too.
	runBytes = 64 << 10
	// maxSmall is the size of messages up to which they are put into runs.
	maxSmall = 16 << 10
	// minPacked is the size from which on compressing pays.
	minPacked = 512
	// maxKeptRuns is the memory for runs that an idle commit keeps.
	maxKeptRuns = 8 << 20
)

// gather sorts the messages of one commit by partition and makes runs of them.
type gather struct {
	topic  *topic // of the message before
	last   *group
	groups []group
	at     map[*partition]int // index in groups
	next   []int32            // message i is followed by message next[i] in its partition
	runs   []run
	raw    []byte // the run that is being made
	packed []byte // runs, ready to be stored
}

// group is the messages of one partition, a list in next.
type group struct {
	p           *partition
	first, last int32
	count       int
}

// run is one or several messages of a partition that follow each other.
type run struct {
	p          *partition
	first      int32 // message; the others by next
	count      int
	size       int // bytes of the messages
	begin, end int // of packed; of several messages only
}

func (g *gather) reset() {
	clear(g.groups)
	clear(g.runs)
	clear(g.at)
	g.topic, g.last = nil, nil
	g.groups, g.next, g.runs, g.raw, g.packed = g.groups[:0], g.next[:0], g.runs[:0], g.raw[:0], g.packed[:0]
	if cap(g.packed) > maxKeptRuns {
		g.packed = nil
	}
}

// add adds the next message, which goes to p.
func (g *gather) add(p *partition) {
	i := int32(len(g.next))
	g.next = append(g.next, -1)
	if g.last == nil || g.last.p != p {
		if g.at == nil {
			g.at = map[*partition]int{}
		}
		n, ok := g.at[p]
		if !ok {
			n = len(g.groups)
			g.at[p] = n
			g.groups = append(g.groups, group{p: p, first: i, last: -1})
		}
		g.last = &g.groups[n]
	}
	if g.last.last >= 0 {
		g.next[g.last.last] = i
	}
	g.last.last = i
	g.last.count++
}

// pack makes runs of at most limit bytes.
func (g *gather) pack(msgs []connect.Message, limit int) {
	for k := range g.groups {
		grp := &g.groups[k]
		r := run{p: grp.p}
		for i := grp.first; i >= 0; i = g.next[i] {
			n := headLen(&msgs[i])
			large := n > maxSmall || partsOf(msgs[i].Value) > 0
			if r.count > 0 && (large || r.size+n > limit) {
				g.end(&r)
			}
			if r.count == 0 {
				r.first = i
			}
			r.count++
			if r.size += n; partsOf(msgs[i].Value) > 0 {
				r.size += len(msgs[i].Value)
			}
			if large || grp.count == 1 { // it stays alone
				g.end(&r)
				continue
			}
			shared := 0
			if i != r.first {
				shared = sharedBytes(msgs[r.first].Value, msgs[i].Value)
			}
			if shared > 0 {
				n += uvarintLen(uint64(shared)) - shared
			}
			g.raw = binary.AppendUvarint(g.raw, uint64(n))
			g.raw = appendSharedHead(g.raw, &msgs[i], shared)
		}
		if r.count > 0 {
			g.end(&r)
		}
	}
}

// minShared is how much values have in common for it to be left out; it is
// looked for in pieces of that size.
const minShared = 256

// sharedBytes returns how many bytes at their beginning a and b have in
// common, rounded down to a piece: JSON with a schema begins with kilobytes of
// it.
func sharedBytes(a, b []byte) (n int) {
	for most := min(len(a), len(b)); n+minShared <= most && bytes.Equal(a[n:n+minShared], b[n:n+minShared]); {
		n += minShared
	}
	return n
}

// end ends a run and begins the next one.
func (g *gather) end(r *run) {
	if r.count > 1 {
		r.begin = len(g.packed)
		g.packed = appendRun(g.packed, r.count, g.raw)
		r.end = len(g.packed)
	}
	g.raw = g.raw[:0]
	g.runs = append(g.runs, *r)
	*r = run{p: r.p}
}

// appendRun appends the stored form of a run of messages, compressed if that
// makes it smaller.
func appendRun(dst []byte, count int, raw []byte) []byte {
	begin := len(dst)
	dst = append(dst, runVersion, runPacked)
	dst = binary.AppendUvarint(dst, uint64(count))
	dst = binary.AppendUvarint(dst, uint64(len(raw)))
	if len(raw) >= minPacked {
		at, most := len(dst), s2.MaxEncodedLen(len(raw))
		for cap(dst) < at+most {
			dst = append(dst[:cap(dst)], 0)
		}
		if packed := s2.Encode(dst[at:at+most], raw); len(packed) < len(raw)-len(raw)/8 {
			return dst[:at+len(packed)]
		}
		dst = dst[:at]
	}
	dst[begin+1] = 0
	return append(dst, raw...)
}

// maxRun bounds what a run may claim to take.
const maxRun = 4 * runBytes

// openRun returns the number of messages of a run and the messages, in m's
// memory.
func openRun(m *connect.Messages, stored []byte) (count int64, raw []byte, err error) {
	r := wire.NewReader(stored)
	_, flags := r.Byte(), r.Byte()
	n, size := r.Uvarint(), r.Uvarint()
	body := r.Take(uint64(len(r.Rest())))
	if !r.OK() || flags&^runPacked != 0 || n == 0 || n > size || size > maxRun {
		return 0, nil, errHead
	}
	if flags&runPacked == 0 {
		if uint64(len(body)) != size {
			return 0, nil, errHead
		}
		raw = m.Alloc(len(body))
		copy(raw, body)
		return int64(n), raw, nil
	}
	if got, err := s2.DecodedLen(body); err != nil || uint64(got) != size {
		return 0, nil, errHead
	}
	raw = m.Alloc(int(size))
	if _, err := s2.Decode(raw, body); err != nil {
		return 0, nil, errHead
	}
	return int64(n), raw, nil
}
