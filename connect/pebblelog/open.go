package pebblelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
)

// Open opens the log in a folder, and makes one if the folder is empty or not
// there. The errors name the folder; see ErrInUse, ErrNewer and ErrDamaged.
func Open(opts Options) (*Log, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	l, err := open(opts)
	if err != nil {
		return nil, fmt.Errorf("pebblelog: open %s: %w", opts.Dir, err)
	}
	return l, nil
}

func open(opts Options) (*Log, error) {
	if err := makeDir(opts.FS, opts.Dir); err != nil {
		return nil, hinted(err)
	}
	lock, err := lockDir(opts.FS, opts.Dir)
	if err != nil {
		return nil, hinted(err)
	}
	l := &Log{
		opts:       opts,
		lock:       lock,
		broken:     make(chan struct{}),
		appendLock: make(chan struct{}, 1),
		topics:     map[string]*topic{},
		made:       make(chan struct{}),
		done:       make(chan struct{}),
		work:       make(chan struct{}, 1),
		stopped:    make(chan struct{}),
	}
	l.guard = newGuard(opts.FS, l.writeFailed)
	if err := l.openDB(); err != nil {
		if l.db != nil {
			l.guard.quit()
			err = errors.Join(err, l.db.Close())
		}
		return nil, errors.Join(err, lock.Close())
	}
	go l.run()
	return l, nil
}

// writeFailed is told the first write that failed.
func (l *Log) writeFailed(op, name string, err error) {
	if p := (*fs.PathError)(nil); !errors.As(err, &p) {
		err = fmt.Errorf("%s %s: %w", op, name, err)
	}
	l.poison(hinted(err))
}

// openDB opens the database and reads what it needs in memory. A fault in
// writing while it does leaves a frozen log, which is an error too.
func (l *Log) openDB() error {
	dir, under := l.opts.Dir, l.opts.FS
	state, err := readMark(under, dir)
	if err != nil {
		return hinted(err)
	}
	if err := checkFiles(under, dir, state); err != nil {
		return hinted(err)
	}
	old := state == stateReady || state == stateOpening
	if state = stateCreating; old {
		if err := checkManifest(under, dir); err != nil {
			return err
		}
		state = stateOpening
	}
	if err := writeMark(under, dir, state); err != nil {
		return hinted(err)
	}
	o := l.pebbleOptions()
	o.Lock = l.lock
	o.ErrorIfNotExists = old
	l.db, err = pebble.Open(dir, o)
	if err := l.Err(); err != nil {
		return err
	}
	if err != nil {
		return openError(err)
	}
	if !old {
		if err := errors.Join(l.putFormat(), l.Err()); err != nil {
			return err
		}
	}
	if err := errors.Join(l.load(), l.Err()); err != nil {
		return err
	}
	return hinted(writeMark(under, dir, stateReady))
}

// load reads the small keys, and removes parts that have no head.
func (l *Log) load() error {
	it, err := l.db.NewIter(&pebble.IterOptions{UpperBound: []byte{spaceMessage}})
	if err != nil {
		return l.readError(err)
	}
	ld := loader{l: l, byID: map[uint32]*topic{}}
	for it.First(); it.Valid() && err == nil; it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil && !ld.add(it.Key(), v) {
			err = fmt.Errorf("%w: key %x does not parse; %s", ErrDamaged, it.Key(), damageHint)
		} else if err != nil {
			err = l.readError(err)
		}
	}
	if err == nil {
		err = l.readError(it.Error())
	}
	if err = errors.Join(err, l.readError(it.Close())); err != nil {
		return err
	}
	if ld.format == 0 {
		return fmt.Errorf("%w: its format key is missing; %s", ErrDamaged, damageHint)
	}
	if ld.format > formatVersion {
		return fmt.Errorf("%w: %d, and this program knows up to %d", ErrNewer, ld.format, formatVersion)
	}
	if ld.format < formatVersion { // before anything of the new format is written
		if err := errors.Join(l.putFormat(), l.Err()); err != nil {
			return err
		}
	}
	return ld.finish()
}

// putFormat saves the format of the keys.
func (l *Log) putFormat() error {
	return l.db.Set([]byte{spaceFormat}, binary.BigEndian.AppendUint32(nil, formatVersion), pebble.Sync)
}

// loader takes in the small keys, which come in the order of their spaces.
type loader struct {
	l      *Log
	byID   map[uint32]*topic
	format uint32
	ahead  []*partition
}

// add takes in one key; false: it does not parse.
func (d *loader) add(key, v []byte) bool {
	switch key[0] {
	case spaceFormat:
		if len(v) != 4 {
			return false
		}
		d.format = binary.BigEndian.Uint32(v)
		return true
	case spaceTopic:
		return d.addTopic(string(key[1:]), v)
	case spaceEntry:
		return true
	}
	id, index, rest, ok := parsePartitionKey(key)
	t := d.byID[id]
	if !ok || t == nil || index < 0 || int(index) >= len(t.partitions) {
		return false
	}
	p := &t.partitions[index]
	switch {
	case key[0] == spaceEnd && len(v) == 24:
		p.next, p.bytes, p.lastTime = int64(u64At(v, 0)), u64At(v, 1), int64(u64At(v, 2))
		p.end = p.next
	case key[0] == spaceFirst && len(v) == 8:
		p.first = int64(u64At(v, 0))
	case key[0] == spaceSegment && len(v) == 16 && len(rest) == 8:
		p.segments = append(p.segments, segment{offset: int64(u64At(rest, 0)), bytes: u64At(v, 0), time: int64(u64At(v, 1))})
		p.held = p.heldBytes()
	case key[0] == spaceAhead && len(v) == 8:
		d.ahead = append(d.ahead, p)
	default:
		return false
	}
	return p.first <= p.end
}

func (d *loader) addTopic(name string, v []byte) bool {
	if name == "" || len(v) != 8 {
		return false
	}
	id, n := binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
	if n == 0 || n > maxPartitions || d.byID[id] != nil {
		return false
	}
	t := newTopic(id, name, int32(n))
	d.byID[id], d.l.topics[name] = t, t
	d.l.nextTopic = max(d.l.nextTopic, id+1)
	return true
}

// finish removes parts whose message never came.
func (d *loader) finish() error {
	if len(d.ahead) == 0 {
		return nil
	}
	b := d.l.db.NewBatch()
	for _, p := range d.ahead {
		from := appendOffsetKey(nil, spaceMessage, p, p.next)
		if err := b.DeleteRange(from, after(p.key(spaceMessage)), nil); err != nil {
			return err
		}
		if err := b.Delete(p.key(spaceAhead), nil); err != nil {
			return err
		}
	}
	return errors.Join(b.Commit(pebble.Sync), d.l.Err())
}

// Close ends the log. Calls under way finish or return ErrClosed; readers end.
// Closing twice does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		<-l.stopped
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.done)
	<-l.stopped
	l.calls.Wait()
	l.guard.quit()
	var err error
	if l.db != nil {
		err = l.db.Close()
	}
	if l.guard.frozen.Load() {
		err = nil // of files that never were; the failure was told
	}
	if !l.guard.frozen.Load() {
		_ = l.opts.FS.Remove(l.opts.FS.PathJoin(l.opts.Dir, pidFile))
	}
	if err = errors.Join(err, l.lock.Close()); err != nil {
		return fmt.Errorf("pebblelog: close %s: %w", l.opts.Dir, err)
	}
	return nil
}
