package memlog

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/towline/towline/offsets"
)

// store is the offsets.Store of a Log: its entries under its mutex.
type store struct{ l *Log }

// Store returns the log's own store of entries.
func (l *Log) Store() offsets.Store { return store{l} }

// save writes entries. The mutex is held.
func (l *Log) save(entries []offsets.Entry) {
	for _, e := range entries {
		if e.Pos == nil {
			delete(l.entries, e.Key)
		} else {
			l.entries[e.Key] = bytes.Clone(e.Pos)
		}
	}
}

// Save writes all entries.
func (s store) Save(ctx context.Context, entries ...offsets.Entry) error {
	if err := s.l.lock(ctx); err != nil {
		return err
	}
	defer s.l.mu.Unlock()
	s.l.save(entries)
	return nil
}

// Load returns copies of the entries under prefix, ordered by key.
func (s store) Load(ctx context.Context, prefix string) ([]offsets.Entry, error) {
	if err := s.l.lock(ctx); err != nil {
		return nil, err
	}
	defer s.l.mu.Unlock()
	var found []offsets.Entry
	for key, pos := range s.l.entries {
		if strings.HasPrefix(key, prefix) {
			found = append(found, offsets.Entry{Key: key, Pos: bytes.Clone(pos)})
		}
	}
	slices.SortFunc(found, func(a, b offsets.Entry) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}
