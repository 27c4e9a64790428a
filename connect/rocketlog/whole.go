package rocketlog

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"

	"github.com/towline/towline/connect/rocketlog/remoting"
)

// A broker may hide messages of a topic with compaction from a reader while it
// compacts, and the reader is not told. So each save says what the entries are as
// of it, and who opens a state compares.

// propSum is the property of the last message of a save with the checksum of all
// entries as of it.
const propSum = "twc"

// checksum is one of a set of entries: the sums of each, by exclusive or. That of
// none is 0, and the fence is none.
type checksum uint64

// sumOf returns the checksum of an entry; value is nil if it was deleted.
func sumOf(key string, value []byte, there bool) checksum {
	if !there || key == fenceKey {
		return 0
	}
	h := fnv.New64a()
	var length [10]byte
	h.Write(strconv.AppendInt(length[:0], int64(len(key)), 10))
	h.Write([]byte{':'})
	h.Write([]byte(key))
	if value != nil {
		h.Write([]byte{entryValue})
		h.Write(value)
	}
	x := h.Sum64() // what differs little must not have sums that differ little
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return checksum(x ^ x>>31)
}

// notYet is the place of an entry whose message has not landed.
const notYet = -1

// writing is what is being written: saves that count one after the other.
type writing struct {
	saves []*save

	// As of the end of the first saves, of which there are so many:
	sealed int
	sum    checksum
	over   map[string]entryAt // newest entries; nil: nothing has been sealed
}

// seal appends the checksum of what the entries are once a save counts that is
// being written, and with it those before; they are numbered from 1 on.
func (s *state) seal(props []byte, number int) []byte {
	w := s.writing
	if w.over == nil || number <= w.sealed { // it is encoded anew, and more may be known
		w.sealed, w.sum, w.over = 0, s.sum, map[string]entryAt{}
	}
	for ; w.sealed < number; w.sealed++ {
		for _, e := range w.saves[w.sealed].list {
			was, ok := w.over[e.key]
			if !ok {
				was, ok = s.entries[e.key]
			}
			if e.at == notYet || !ok || was.at <= e.at { // else another's came behind it, before the end of the save
				w.sum ^= sumOf(e.key, was.value, ok) ^ sumOf(e.key, e.value, true)
				w.over[e.key] = e.entryAt
			}
		}
	}
	return s.sealImage(remoting.AppendProperty(props, propSum, strconv.FormatUint(uint64(w.sum), 36)))
}

// hear takes note of what the last message of a save says of the entries.
func (s *state) hear(m *remoting.Message) error {
	text, ok := m.Property(propSum)
	if !ok {
		return nil
	}
	n, err := strconv.ParseUint(string(text), 36, 64)
	if err != nil {
		return damaged(s.q.topic, s.q.q, m.Offset, errMeta)
	}
	sum := checksum(n)
	s.said, s.agrees = &sum, sum == s.sum
	return nil
}

// errHidden: not all that was saved is shown.
var errHidden = errors.New("does not show all that was saved")

// whole returns an error unless all that there is was read: the message before
// the fence, which no compaction takes, and the entries that the newest save
// tells of.
func (s *state) whole() error {
	before := s.entries[fenceKey].at - 1
	if before >= 0 && !s.seen.has(before) || s.said != nil && *s.said != s.sum {
		return fmt.Errorf("rocketlog: broker %s %w in topic %s; a compaction of the broker may have hidden it, "+
			"then it helps to open it again later, or lost it; see deploy/rocketmq.md", s.q.q.Broker, errHidden, s.q.topic)
	}
	return nil
}

// run is a run of places without gaps.
type run struct{ from, to int64 } // to is behind it

func (r *run) add(place int64) {
	if place != r.to {
		r.from = place
	}
	r.to = place + 1
}

func (r *run) has(place int64) bool { return r.from <= place && place < r.to }
