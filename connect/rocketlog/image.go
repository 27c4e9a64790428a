package rocketlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/towline/towline/connect/rocketlog/remoting"
)

// An image is all that a state is as of a place, in few messages or in a file.
// Who opens a state reads the newest one and what came behind its place, and not
// all that was ever saved. It is worth as much as the checksum that the whole
// then has: where that differs from what the newest save says, it is as if there
// were no image.

// Of the messages of images. Those of two after each other have different keys,
// so that no compaction takes an image before the next one is whole.
const (
	imageKey  = "k/"  // begins their keys
	propPart  = "twi" // <writer>.<number>.<part>.<parts>
	propImage = "twk" // of a save: the place of the first message of the newest image
	propAsk   = "twa" // of a fence: who wrote it needs an image
)

const (
	imagePart  = 1 << 20  // most bytes of an image in one message
	imageLeast = 32 << 10 // bytes of messages until there is an image at all
	imageShare = 4        // and until that part of the entries' own size
	imageLook  = 256      // messages at the end that are searched for where the newest image is
	imageReach = 4096     // messages within which the parts of an image are
	noImage    = -1
)

// images is what is known of images in the queue.
type images struct {
	newest int64 // place of the first message of the newest one that is whole, or noImage
	turn   int   // by which its keys differ from those of the next
	since  int   // about the bytes of messages behind the newest one's begin
	coming imageParts
}

// imageParts is how far an image has come.
type imageParts struct {
	id    string
	first int64
	next  int
	turn  int
}

// messageWeight is about what a message takes beside what it is for.
const messageWeight = 160

func weightOf(key string, value []byte) int { return messageWeight + len(key) + len(value) }

// imageDue reports whether the next image is worth its place, when messages of so
// many bytes came behind the last.
func (s *state) imageDue(since int) bool {
	return s.agrees && since > max(imageLeast, s.weight/imageShare)
}

// seePart takes note of a message of an image.
func (s *state) seePart(m *remoting.Message, key string, st stamp) {
	id, part, parts, ok := partOf(m)
	if !ok || !st.valid() {
		return
	}
	c := &s.images.coming
	if part == 0 {
		turn, _, _ := strings.Cut(key[len(imageKey):], "/")
		*c = imageParts{id: id, first: m.Offset}
		c.turn, _ = strconv.Atoi(turn)
		s.images.since = 0
	}
	if c.id != id || c.next != part {
		return
	}
	if c.next++; c.next == parts {
		s.images.newest, s.images.turn = c.first, c.turn
	}
}

// partOf says which part of which image a message is.
func partOf(m *remoting.Message) (id string, part, parts int, ok bool) {
	text, ok := m.Property(propPart)
	if !ok {
		return "", 0, 0, false
	}
	f := strings.Split(string(text), ".")
	if len(f) != 4 {
		return "", 0, 0, false
	}
	part, err1 := strconv.Atoi(f[2])
	parts, err2 := strconv.Atoi(f[3])
	return f[0] + "." + f[1], part, parts, err1 == nil && err2 == nil && part >= 0 && part < parts
}

// writeImage writes an image. The queue is acquired, and all before its place is
// known. What others write between its messages is read behind it again.
func (s *state) writeImage(ctx context.Context) error {
	body := s.encodeImage()
	parts := (len(body) + imagePart - 1) / imagePart
	turn := 1 - s.images.turn
	s.saves++
	parcels := make([]parcel, parts)
	for i := range parcels {
		p := &parcels[i]
		p.parts, p.body = 1, body[i*imagePart:min(len(body), (i+1)*imagePart)]
		p.props = remoting.AppendProperty(p.props, propKeys, keysOf(fmt.Sprintf("%s%d/%d", imageKey, turn, i)))
		p.props = remoting.AppendProperty(p.props, propPart, fmt.Sprintf("%s.%d.%d.%d", s.q.writer, s.saves, i, parts))
	}
	first := s.q.place
	err := s.q.append(ctx, parcels, func(i int, _ int64) {
		if i == 0 {
			first = s.q.place
		}
	})
	if err != nil {
		return err
	}
	s.images.newest, s.images.turn, s.images.since = first, turn, 0
	return nil
}

// keepImages writes an image, and the copy in a file, where it is time to. What
// was saved is saved without: a failure is told to the log alone.
func (s *state) keepImages(ctx context.Context) {
	if s.copy.due(s) {
		s.copy.write(s)
	}
	if !s.q.known || !s.imageDue(s.images.since) {
		return
	}
	s.images.since = 0 // also if it fails: not again with the next save
	if err := s.writeImage(ctx); err != nil && ctx.Err() == nil {
		s.q.c.logger.Warn("no image of the state could be written; opening it takes longer", "topic", s.q.topic, "error", err)
	}
}

// sealImage appends where the newest image is.
func (s *state) sealImage(props []byte) []byte {
	if s.images.newest == noImage {
		return props
	}
	return remoting.AppendProperty(props, propImage, strconv.FormatInt(s.images.newest, 36))
}

// findImage returns the newest image in the queue, nil if there is none that can
// be read.
func (s *state) findImage(ctx context.Context) (*image, error) {
	end, err := s.q.end(ctx)
	if err != nil {
		return nil, err
	}
	first := int64(noImage)
	err = s.each(ctx, max(0, end-imageLook), end, func(m *remoting.Message, st stamp) bool {
		if text, ok := m.Property(propImage); ok && st.valid() {
			if n, ok := base36(text); ok {
				first = int64(n)
			}
		}
		return true
	})
	if err != nil || first == noImage {
		return nil, err
	}
	var id string
	var body []byte
	next, whole := 0, false
	err = s.each(ctx, first, min(end, first+imageReach), func(m *remoting.Message, st stamp) bool {
		this, part, parts, ok := partOf(m)
		if m.Offset == first {
			id = this
		}
		if id == "" || !st.valid() || !ok || this != id {
			return id != ""
		}
		if part != next {
			return false
		}
		next, body = next+1, append(body, m.Body...)
		whole = next == parts
		return !whole
	})
	if err != nil || !whole {
		return nil, err
	}
	im, err := decodeImage(body)
	if err != nil {
		s.q.c.logger.Warn("an image of the state is damaged; reading all of it", "topic", s.q.topic, "place", first, "error", err)
		return nil, nil
	}
	return im, nil
}

// each calls see with the messages from one place to another, until that returns
// false. Where there are gaps it goes on behind them.
func (s *state) each(ctx context.Context, place, end int64, see func(m *remoting.Message, st stamp) bool) error {
	for since := time.Now(); place < end; {
		res, err := s.q.pull(ctx, place, time.Second)
		if err != nil {
			return err
		}
		before := place
		for i := range res.Messages {
			m := &res.Messages[i]
			if m.Offset < place {
				continue
			}
			st, ok := stampOf(m, s.q.writer)
			if !ok {
				return damaged(s.q.topic, s.q.q, m.Offset, errForeign)
			}
			if place = m.Offset + 1; !see(m, st) {
				return nil
			}
		}
		if len(res.Messages) == 0 && res.Next > place {
			place = res.Next
		}
		if place > before {
			since = time.Now()
		} else if err := s.q.stall(ctx, since, end); err != nil {
			return err
		}
	}
	return nil
}

// image is what a state is as of a place.
type image struct {
	place, offset int64
	sum           checksum
	entries       map[string]entryAt
	open          map[string]*save
	dirty         map[string]int64
}

// use makes the state what an image says. The state owns the image then.
func (s *state) use(im *image) {
	s.entries, s.open, s.dirty, s.sum, s.said = im.entries, im.open, im.dirty, im.sum, &im.sum
	s.seen = run{0, im.place}
	s.weight = 0
	for key, e := range s.entries {
		s.weight += weightOf(key, e.value)
	}
	s.q.place, s.q.offset = im.place, im.offset
}

// The form of an image:
//
//	"TWS" version u8 crc32c u32, then a block of S2 of
//	place, offset, checksum, entries: number { key, at, value },
//	open saves: number { id, key of the last, number { key, at, value } }, dirty keys: number { key, at }
//
// Numbers are uvarints, little-endian where fixed; strings have their length in
// front; a value has its length plus one, 0 for a deletion.
const (
	imageMagic = "TWS\x01"
	imageHead  = len(imageMagic) + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeImage returns the image of the state as of the queue's place.
func (s *state) encodeImage() []byte {
	b := make([]byte, 0, 1024+s.weight)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(s.q.place)), uint64(s.q.offset))
	b = binary.AppendUvarint(b, uint64(s.sum))
	b = binary.AppendUvarint(b, uint64(len(s.entries)))
	for key, e := range s.entries {
		b = appendEntry(b, key, e)
	}
	b = binary.AppendUvarint(b, uint64(len(s.open)))
	for id, sv := range s.open {
		b = appendText(appendText(b, id), sv.last)
		b = binary.AppendUvarint(b, uint64(len(sv.list)))
		for _, e := range sv.list {
			b = appendEntry(b, e.key, e.entryAt)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(s.dirty)))
	for key, at := range s.dirty {
		b = binary.AppendUvarint(appendText(b, key), uint64(at))
	}
	out := make([]byte, imageHead+s2.MaxEncodedLen(len(b)))
	packed := s2.Encode(out[imageHead:], b)
	out = out[:imageHead+len(packed)]
	binary.LittleEndian.PutUint32(out[copy(out, imageMagic):], crc32.Checksum(packed, castagnoli))
	return out
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendEntry(b []byte, key string, e entryAt) []byte {
	b = binary.AppendUvarint(appendText(b, key), uint64(e.at))
	if e.value == nil {
		return append(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(e.value))+1), e.value...)
}

var errImage = errors.New("rocketlog: this is no image of a state, or a damaged one")

// decodeImage reads an image. It checks the checksum of the entries.
func decodeImage(data []byte) (*image, error) {
	if len(data) < imageHead || string(data[:len(imageMagic)]) != imageMagic ||
		binary.LittleEndian.Uint32(data[len(imageMagic):]) != crc32.Checksum(data[imageHead:], castagnoli) {
		return nil, errImage
	}
	b, err := s2.Decode(nil, data[imageHead:])
	if err != nil {
		return nil, errImage
	}
	r := metaReader{b: b}
	im := &image{place: int64(r.uvarint()), offset: int64(r.uvarint()), sum: checksum(r.uvarint()),
		entries: map[string]entryAt{}, open: map[string]*save{}, dirty: map[string]int64{}}
	var sum checksum
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		e := r.entry()
		im.entries[e.key] = e.entryAt
		sum ^= sumOf(e.key, e.value, true)
	}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		id := string(r.bytes(r.uvarint()))
		sv := &save{last: string(r.bytes(r.uvarint()))}
		for n := r.uvarint(); n > 0 && !r.bad; n-- {
			sv.list = append(sv.list, r.entry())
		}
		im.open[id] = sv
	}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		key := string(r.bytes(r.uvarint()))
		im.dirty[key] = int64(r.uvarint())
	}
	if r.bad || len(r.b) > 0 || sum != im.sum {
		return nil, errImage
	}
	return im, nil
}

// entry reads what appendEntry wrote.
func (r *metaReader) entry() savedEntry {
	e := savedEntry{key: string(r.bytes(r.uvarint()))}
	e.at = int64(r.uvarint())
	if n := r.uvarint(); n > 0 {
		e.value = append([]byte{}, r.bytes(n-1)...)
	}
	return e
}
