package rocketlog

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/offsets"
)

// propGroup is the property of an entry's message that says which entries are
// saved with it: the number of the save, its place among them, how many they
// are, and the KEYS of the last.
const propGroup = "twg"

// fenceKey is the key of the messages that are written to learn of those of
// others.
const fenceKey = "f"

// state keeps entries in one queue of a topic with compaction. A save is a run
// of messages, one for each entry, of which the last makes all of them count. A
// deletion is a message too, since brokers take none without a body; the first
// byte of a body tells them apart.
type state struct {
	q *queue

	// All below belongs to who has acquired q.
	saves   uint64
	entries map[string]entryAt
	open    map[string]*save // of which the last message has not come
	dirty   map[string]int64 // where the newest message of a key is that does not count: compaction would keep it
	shared  *shared          // nil: nobody has asked for it
	writing *writing         // what is being written; nil: nothing
	sum     checksum         // of entries
	said    *checksum        // by the newest save that has been read; nil: by none
	seen    run              // of messages that were read, the newest
	agrees  bool             // what the newest save that was read says is what is here
	weight  int              // about the bytes of the newest messages of all entries
	images  images
	copy    *localCopy // nil: there is none
	asking  bool       // the fence asks whoever has all for an image
	began   int64      // where reading began when the state was opened
	mending bool       // it is time for repair

	// What waits to be written; safe for concurrent use.
	while   func(f func(ctx context.Context)) // calls f with a context that ends when the log does
	most    int                               // updates in one request
	waits   waiting
	serving sync.WaitGroup
}

// entryAt is an entry and where it stands. A deletion has a nil value.
type entryAt struct {
	at    int64
	value []byte
}

// save is what has come of one.
type save struct {
	list []savedEntry
	last string
	id   string // of one that is written here
	size int    // about its bytes
}

// landed reports whether all of a save that is written here is there.
func (sv *save) landed() bool {
	return !slices.ContainsFunc(sv.list, func(e savedEntry) bool { return e.at == notYet })
}

type savedEntry struct {
	key string
	entryAt
}

// Entries begin with one of these.
const (
	entryDeleted = 0
	entryValue   = 1
)

// maxEntry bounds an entry, which is not split.
const maxEntry = maxBatch - 4096

// openState opens the state in a queue: it makes sure that nobody's earlier
// messages can come later, and reads all that there is.
func openState(ctx context.Context, q *queue, c *localCopy, while func(func(context.Context))) (*state, error) {
	s := &state{q: q, copy: c, while: while, most: groupMost}
	q.visit, q.shared, q.keys = s.see, true, "towline"
	if err := q.acquire(ctx); err != nil {
		return nil, err
	}
	defer q.release()
	heal, err := s.readWhole(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.repair(ctx); err != nil {
		return nil, err
	}
	s.agrees = true
	if heal {
		if err := s.writeImage(ctx); err != nil {
			return nil, err
		}
	}
	return s, s.fence(ctx) // says what there is, in case the newest save is one that was given up
}

// close writes the copy a last time. Its log has ended.
func (s *state) close(ctx context.Context) {
	s.serving.Wait()
	if s.copy == nil {
		return
	}
	if s.q.acquire(ctx) == nil {
		if s.agrees && s.copy.since > 0 {
			s.copy.write(s)
		}
		s.q.release()
	}
	s.copy.wg.Wait()
}

// readWhole reads all that there is, again if a compaction of the broker has
// hidden some of it. heal: the copy on this machine knew more than the newest
// image, and another one may help others.
func (s *state) readWhole(ctx context.Context) (heal bool, err error) {
	for began := time.Now(); ; s.asking = true {
		heal, err = s.readOnce(ctx)
		if !errors.Is(err, errHidden) || time.Since(began) > s.q.c.wait {
			s.asking = false
			return heal, err
		}
		if err := sleep(ctx, firstPause); err != nil {
			return false, err
		}
	}
}

// readOnce reads what came behind the newest image that is at hand, or all.
func (s *state) readOnce(ctx context.Context) (heal bool, err error) {
	there, err := s.findImage(ctx)
	if err != nil {
		return false, err
	}
	here := s.copy.read()
	list := []*image{here, there, nil}
	if there != nil && here != nil && there.place > here.place {
		list[0], list[1] = there, here
	}
	for i, im := range list {
		if im == nil && i < len(list)-1 {
			continue
		}
		switch err = s.readFrom(ctx, im); {
		case err == nil:
			return im != nil && im == list[0] && im == here, nil
		case errors.Is(err, errLost) && im == here && im != nil:
			return false, connect.Permanent(fmt.Errorf("%w; the copy of the state in %s was made when the broker had them: "+
				"remove that file to go on from what the broker has, or if the topic was made anew on purpose", err, s.copy.path))
		case !errors.Is(err, errHidden):
			return false, err
		}
	}
	return false, err
}

// readFrom reads what came behind an image, or all if that is nil.
func (s *state) readFrom(ctx context.Context, im *image) error {
	s.q.known, s.images = false, images{newest: noImage}
	if im == nil {
		im = &image{entries: map[string]entryAt{}, open: map[string]*save{}, dirty: map[string]int64{}}
	}
	if s.use(im); im.place == 0 {
		s.said = nil
	}
	s.began = im.place
	if err := s.q.catchUp(ctx); err != nil {
		return err
	}
	if err := s.openFence(ctx); err != nil {
		return err
	}
	s.settle()
	return s.whole()
}

// fence writes a message. Where it lands tells whether others have written,
// which a broker's word on the end of the queue does not: it comes late.
func (s *state) fence(ctx context.Context) error {
	return s.write(ctx, s.fenceEntries())
}

func (s *state) fenceEntries() []offsets.Entry {
	return []offsets.Entry{{Key: fenceKey, Pos: offsets.Position(s.q.writer)}}
}

// openFence is fence before it is known that all has been read.
func (s *state) openFence(ctx context.Context) error {
	s.q.seal = nil
	defer func() { s.q.seal = s.seal }()
	return s.fence(ctx)
}

// settle decides about saves whose last message is not there when all has been
// read: where a later one has its key, compaction took it; else it never came,
// and what came before it is to be taken back. The later one may be one of them
// itself, so the newest is decided first.
func (s *state) settle() {
	newest := func(sv *save) int64 { return sv.list[len(sv.list)-1].at }
	for _, sv := range slices.SortedFunc(maps.Values(s.open), func(a, b *save) int { return cmp.Compare(newest(b), newest(a)) }) {
		if e, ok := s.entries[sv.last]; ok && e.at > newest(sv) {
			s.commit(sv)
			continue
		}
		for _, e := range sv.list {
			s.dirty[e.key] = max(s.dirty[e.key], e.at)
		}
	}
	clear(s.open)
}

// repair writes again what dirty keys have. What others save meanwhile must
// not be overwritten.
func (s *state) repair(ctx context.Context) error {
	for len(s.dirty) > 0 {
		var list []offsets.Entry
		for key := range s.dirty {
			e := offsets.Entry{Key: key}
			if v := s.entries[key].value; v != nil {
				e.Pos = v
			}
			list = append(list, e)
		}
		s.q.exclusive = true
		_, err := s.writeOnce(ctx, list)
		s.q.exclusive = false
		if err != nil && !errors.Is(err, errMoved) {
			return err
		}
	}
	return nil
}

func keysOf(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

// see takes in a message of the queue.
func (s *state) see(m *remoting.Message, st stamp) error {
	s.seen.add(m.Offset)
	keys, _ := m.Property(propKeys)
	key, err := base64.RawURLEncoding.DecodeString(string(keys))
	if err != nil || len(m.Body) == 0 {
		return damaged(s.q.topic, s.q.q, m.Offset, errMeta)
	}
	if strings.HasPrefix(string(key), imageKey) {
		s.seePart(m, string(key), st)
		return nil
	}
	s.count(len(m.Props) + len(m.Body))
	if _, ok := m.Property(propAsk); ok && st.valid() {
		s.images.since = math.MaxInt32
	}
	if !st.valid() {
		s.dirty[string(key)] = m.Offset
		return nil
	}
	group, _ := m.Property(propGroup)
	f := strings.Split(string(group), ".")
	if len(f) != 4 {
		return damaged(s.q.topic, s.q.q, m.Offset, errMeta)
	}
	id := st.writer + "." + f[0]
	i, err1 := strconv.Atoi(f[1])
	n, err2 := strconv.Atoi(f[2])
	last, err3 := base64.RawURLEncoding.DecodeString(f[3])
	if err := errors.Join(err1, err2, err3); err != nil {
		return damaged(s.q.topic, s.q.q, m.Offset, err)
	}
	e := savedEntry{string(key), entryAt{at: m.Offset}}
	if m.Body[0] == entryValue {
		e.value = append([]byte{}, m.Body[1:]...)
	}
	sv := s.open[id]
	if sv == nil {
		sv = &save{last: string(last)}
		s.open[id] = sv
	}
	sv.list = append(sv.list, e)
	if i == n-1 { // those that are missing were taken by compaction: later ones have their keys
		s.commit(sv)
		delete(s.open, id)
		return s.hear(m)
	}
	return nil
}

// commit makes a save count.
func (s *state) commit(sv *save) {
	s.apply(sv)
	if s.shared != nil {
		s.shared.note(sv.list)
	}
}

// apply is commit without those who wait for changes being told.
func (s *state) apply(sv *save) {
	for _, e := range sv.list {
		if was, ok := s.entries[e.key]; !ok || was.at <= e.at {
			s.sum ^= sumOf(e.key, was.value, ok) ^ sumOf(e.key, e.value, true)
			if ok {
				s.weight -= weightOf(e.key, was.value)
			}
			s.weight += weightOf(e.key, e.value)
			s.entries[e.key] = e.entryAt
		}
		if at, ok := s.dirty[e.key]; ok && at < e.at {
			delete(s.dirty, e.key)
		}
	}
	delete(s.open, sv.id)
}

// write saves entries while the state is being opened, whatever others write
// meanwhile. The queue is acquired.
func (s *state) write(ctx context.Context, list []offsets.Entry) error {
	for {
		before := s.q.others
		batches, err := s.writeOnce(ctx, list)
		if err != nil {
			return err
		}
		if batches == 1 || s.q.others == before {
			s.keepImages(ctx)
			return nil
		} // else somebody who opened the state meanwhile has seen a part of it
	}
}

// writeOnce writes one save and returns how many batches it takes.
func (s *state) writeOnce(ctx context.Context, list []offsets.Entry) (batches int, err error) {
	sv, parcels, err := s.makeSave(list)
	if err != nil {
		return 0, err
	}
	parcels[len(parcels)-1].seal = 1
	s.writing = &writing{saves: []*save{sv}}
	defer func() { s.writing = nil }()
	if err := s.q.append(ctx, parcels, func(i int, _ int64) { sv.list[i].at = s.q.place }); err != nil {
		s.leaveOpen(sv)
		return 0, err
	}
	s.commit(sv)
	s.count(sv.size)
	return 1 + sv.size/maxBatch, nil
}

// makeSave makes a save of entries, of which each key is there once, and its
// messages.
func (s *state) makeSave(list []offsets.Entry) (*save, []parcel, error) {
	s.saves++
	last := list[len(list)-1].Key
	parcels := make([]parcel, len(list))
	sv := &save{id: s.q.writer + "." + strconv.FormatUint(s.saves, 10), last: last}
	for i, e := range list {
		if len(e.Key)+len(e.Pos) > maxEntry || len(e.Key) > maxMeta/2 {
			return nil, nil, fmt.Errorf("rocketlog: save %.100s: an entry of %d bytes is larger than %d", e.Key, len(e.Pos), maxEntry)
		}
		p := &parcels[i]
		p.parts = 1
		p.props = remoting.AppendProperty(p.props, propKeys, keysOf(e.Key))
		p.props = remoting.AppendProperty(p.props, propGroup, fmt.Sprintf("%d.%d.%d.%s", s.saves, i, len(list), keysOf(last)))
		if s.asking {
			p.props = remoting.AppendProperty(p.props, propAsk, "1")
		}
		saved := savedEntry{e.Key, entryAt{at: notYet}}
		p.body = []byte{entryDeleted}
		if e.Pos != nil {
			p.body = append([]byte{entryValue}, e.Pos...)
			saved.value = p.body[1:]
		}
		sv.list = append(sv.list, saved)
	}
	sv.size = sizeOf(parcels)
	return sv, parcels, nil
}

// leaveOpen takes note of what has landed of a save that failed in the middle:
// the rest may come yet.
func (s *state) leaveOpen(sv *save) {
	if sv == nil {
		return
	}
	was := s.open[sv.id]
	if was == nil {
		was = &save{last: sv.last}
	}
	var list []savedEntry
	for _, e := range sv.list {
		if e.at != notYet && !slices.ContainsFunc(was.list, func(o savedEntry) bool { return o.key == e.key }) {
			list = append(list, e)
		}
	}
	if was.list = append(list, was.list...); len(was.list) > 0 {
		s.open[sv.id] = was
	}
}

// count takes note of the bytes of messages that came.
func (s *state) count(size int) {
	s.images.since += size
	if s.copy != nil {
		s.copy.since += size
	}
}

// lastOfEach returns list without those whose key comes again.
func lastOfEach(list []offsets.Entry) []offsets.Entry {
	at := make(map[string]int, len(list))
	for i, e := range list {
		at[e.Key] = i
	}
	out := make([]offsets.Entry, 0, len(at))
	for i, e := range list {
		if at[e.Key] == i {
			out = append(out, e)
		}
	}
	return out
}

// save writes entries.
func (s *state) save(ctx context.Context, list []offsets.Entry) error {
	return s.submit(ctx, &update{decide: func(offsets.View) ([]offsets.Entry, error) { return list, nil }})
}

// mend repairs what is to be repaired, once somebody has loaded from the state.
// The queue is acquired.
func (s *state) mend(ctx context.Context) {
	if !s.mending {
		return
	}
	s.mending = false
	if err := s.repair(ctx); err != nil && ctx.Err() == nil {
		s.q.c.logger.Warn("what does not count could not be written over in the state; it is tried again with the next load", "topic", s.q.topic, "error", err)
	}
}

// check returns what allowed does as of now.
func (s *state) check(ctx context.Context, allowed func(offsets.View) error) error {
	return s.submit(ctx, &update{fence: true, decide: func(v offsets.View) ([]offsets.Entry, error) { return nil, allowed(v) }})
}

// load returns the entries whose keys begin with a prefix, ordered, with all
// that others have saved before, if that is allowed as of then; nil: it is.
func (s *state) load(ctx context.Context, prefix string, allowed func(offsets.View) error) ([]offsets.Entry, error) {
	var out []offsets.Entry
	err := s.submit(ctx, &update{fence: true,
		decide: func(v offsets.View) ([]offsets.Entry, error) {
			if allowed == nil {
				return nil, nil
			}
			return nil, allowed(v)
		},
		landed: func() {
			out, s.mending = s.under(prefix), true
		}})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// under returns the entries whose keys begin with a prefix, ordered. The queue is
// acquired.
func (s *state) under(prefix string) (out []offsets.Entry) {
	for _, key := range slices.Sorted(maps.Keys(s.entries)) {
		if v := s.entries[key].value; v != nil && strings.HasPrefix(key, prefix) {
			out = append(out, offsets.Entry{Key: key, Pos: append(offsets.Position{}, v...)})
		}
	}
	return out
}

// Key spaces of the state.
const (
	spaceEntry = "e/" // entries of the log's store
	spaceTopic = "t/" // topics
)

// store is the log's offsets.Store.
type store struct{ l *Log }

// Load returns the entries whose key begins with prefix.
func (s store) Load(ctx context.Context, prefix string) ([]offsets.Entry, error) {
	return s.loadIf(ctx, prefix, nil)
}

// loadIf is Load where that is allowed as of then.
func (s store) loadIf(ctx context.Context, prefix string, allowed func(offsets.View) error) ([]offsets.Entry, error) {
	ctx, done, err := s.l.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	list, err := s.l.state.load(ctx, spaceEntry+prefix, allowed)
	for i := range list {
		list[i].Key = list[i].Key[len(spaceEntry):]
	}
	return list, err
}

// Save writes all entries or none.
func (s store) Save(ctx context.Context, entries ...offsets.Entry) error {
	ctx, done, err := s.l.enter(ctx)
	if err != nil {
		return err
	}
	defer done()
	return s.l.save(ctx, entries)
}

func (l *Log) save(ctx context.Context, entries []offsets.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	return l.state.save(ctx, entriesOf(entries))
}

// entriesOf returns entries of the store as they are in the state.
func entriesOf(entries []offsets.Entry) []offsets.Entry {
	list := make([]offsets.Entry, len(entries))
	for i, e := range entries {
		list[i] = offsets.Entry{Key: spaceEntry + e.Key, Pos: e.Pos}
	}
	return list
}
