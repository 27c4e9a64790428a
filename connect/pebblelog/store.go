package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/towline/towline/offsets"
)

// store keeps entries in the database of a log.
type store struct{ l *Log }

var _ offsets.Store = store{}

// maxEntryKey bounds keys, so that they stay cheap.
const maxEntryKey = 4 << 10

func checkEntries(entries []offsets.Entry) error {
	for i := range entries {
		if k := entries[i].Key; k == "" || len(k) > maxEntryKey || strings.IndexByte(k, 0) >= 0 {
			return fmt.Errorf("entry %q: a key has 1 to %d bytes and no NUL", k, maxEntryKey)
		}
	}
	return nil
}

// putEntries puts entries into c; of two with one key Pebble keeps the later.
func putEntries(c *commit, entries []offsets.Entry) error {
	for i := range entries {
		e := &entries[i]
		c.scratch = append(append(c.scratch[:0], spaceEntry), e.Key...)
		var err error
		if e.Pos == nil {
			err = c.batch.Delete(c.scratch, nil)
		} else {
			err = c.batch.Set(c.scratch, e.Pos, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Save writes entries in one durable step.
func (s store) Save(ctx context.Context, entries ...offsets.Entry) error {
	if err := s.l.append(ctx, nil, entries); err != nil {
		return fmt.Errorf("pebblelog: save: %w", err)
	}
	return nil
}

// Load returns the entries whose key begins with prefix.
func (s store) Load(ctx context.Context, prefix string) ([]offsets.Entry, error) {
	entries, err := s.load(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("pebblelog: load %q: %w", prefix, err)
	}
	return entries, nil
}

func (s store) load(ctx context.Context, prefix string) (entries []offsets.Entry, err error) {
	l := s.l
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	lower := append([]byte{spaceEntry}, prefix...)
	// An iterator sees what is applied but not yet durable. The lock keeps
	// out new batches while it is made; the empty sync waits for the rest.
	if err := l.lockAppend(ctx); err != nil {
		return nil, err
	}
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: after(lower)})
	pending := l.hasPending()
	l.unlockAppend()
	if err != nil {
		return nil, l.readError(err)
	}
	defer func() { err = errors.Join(err, l.readError(it.Close())) }()
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, l.readError(err)
		}
		entries = append(entries, offsets.Entry{Key: string(it.Key()[1:]), Pos: append(offsets.Position{}, v...)})
	}
	if err := it.Error(); err != nil {
		return nil, l.readError(err)
	}
	if pending {
		if err := l.db.LogData(nil, pebble.Sync); err != nil {
			return nil, err
		}
	}
	return entries, l.Err()
}

// hasPending reports whether batches are on their way to the disk.
func (l *Log) hasPending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending) > 0
}

// after returns the first key that does not begin with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
