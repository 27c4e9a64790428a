// Package storelog is a connect.Log whose entries (positions, connectors, all
// that goes into its Store) are in another store: the messages in RocketMQ, the
// positions in MySQL, say.
//
// # Not atomic
//
// Append writes the messages and then saves the entries. So the log below must
// be one that is not Atomic either, and keeps with each message who wrote it: a
// source that goes on after a crash finds there what its position does not tell.
// One that is Atomic drops that, and is refused; it has the best place for
// positions there is.
//
// # Log and store belong together
//
// Positions of one log mean nothing in another. The first Open takes what the log
// itself has kept to the store, in one step, and notes in both, under
//
//	log/ID     in both: this log and this store belong together
//	away       in the log: its entries are elsewhere, and where
//
// Whoever opens the two later finds one of the notes of the store in the log, or
// gets an error: for another store, an empty one, or another log with this store.
// Whoever opens the log without the store gets one by Home. Workers that share
// both must all be configured alike before any of them starts.
//
// # Concurrency, ownership
//
// As the log's. Close closes the log; the store is the caller's.
package storelog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// Keys of the notes.
const (
	noteKey = "log/"
	awayKey = "away"
)

// Log is a log with another store.
type Log struct {
	connect.Log
	store offsets.Store
}

// Open returns log with its entries in store, of which where says to people
// where it is.
func Open(ctx context.Context, log connect.Log, store offsets.Store, where string) (*Log, error) {
	if log.Atomic() {
		return nil, errors.New("storelog: this log keeps positions with the data, in one step; a store elsewhere would take that from it")
	}
	own, err := notesOf(ctx, log.Store())
	if err != nil {
		return nil, err
	}
	away, err := awayOf(ctx, log)
	if err != nil {
		return nil, err
	}
	theirs, err := notesOf(ctx, store)
	if err != nil {
		return nil, err
	}
	common := false
	for id := range theirs {
		common = common || own[id]
	}
	switch {
	case common && away != "":
	case len(theirs) > 0 && !common:
		return nil, connect.Permanent(fmt.Errorf("storelog: the positions in %s belong to another log; give this one a place of its own there", where))
	case away != "":
		return nil, connect.Permanent(fmt.Errorf("storelog: the positions of this log are in %s, and %s has none of them; name the place where they are", away, where))
	default:
		if err := move(ctx, log.Store(), store, own, where); err != nil {
			return nil, err
		}
	}
	return &Log{log, store}, nil
}

// move takes the entries of a log to a store. It may be broken off anywhere and
// begun again: the note in the log comes first, then all in the store, and
// then the log forgets what it had.
func move(ctx context.Context, from, to offsets.Store, own map[string]bool, where string) error {
	if len(own) == 0 {
		id := rand.Text()
		if err := from.Save(ctx, offsets.Entry{Key: noteKey + id, Pos: offsets.Position(where)}); err != nil {
			return fmt.Errorf("storelog: note where positions go: %w", err)
		}
		own = map[string]bool{id: true}
	}
	entries, err := from.Load(ctx, "")
	if err != nil {
		return fmt.Errorf("storelog: load positions: %w", err)
	}
	had, err := to.Load(ctx, "") // of an attempt that was broken off
	if err != nil {
		return fmt.Errorf("storelog: load positions: %w", err)
	}
	for i := range had {
		had[i].Pos = nil
	}
	if err := to.Save(ctx, slices.Concat(had, entries)...); err != nil { // with the notes
		return fmt.Errorf("storelog: take positions to %s: %w", where, err)
	}
	gone := []offsets.Entry{{Key: awayKey, Pos: offsets.Position(where)}}
	for _, e := range entries {
		if !strings.HasPrefix(e.Key, noteKey) {
			gone = append(gone, offsets.Entry{Key: e.Key})
		}
	}
	if err := from.Save(ctx, gone...); err != nil {
		return fmt.Errorf("storelog: note that positions are in %s: %w", where, err)
	}
	return nil
}

func notesOf(ctx context.Context, s offsets.Store) (map[string]bool, error) {
	entries, err := s.Load(ctx, noteKey)
	if err != nil {
		return nil, fmt.Errorf("storelog: load notes: %w", err)
	}
	ids := map[string]bool{}
	for _, e := range entries {
		ids[e.Key[len(noteKey):]] = true
	}
	return ids, nil
}

// awayOf returns where the entries of a log are, "" if with it.
func awayOf(ctx context.Context, log connect.Log) (string, error) {
	entries, err := log.Store().Load(ctx, awayKey)
	if err != nil {
		return "", fmt.Errorf("storelog: load notes: %w", err)
	}
	for _, e := range entries {
		if e.Key == awayKey {
			return string(e.Pos), nil
		}
	}
	return "", nil
}

// Home returns an error if the entries of a log are in another store.
func Home(ctx context.Context, log connect.Log) error {
	switch away, err := awayOf(ctx, log); {
	case err != nil:
		return err
	case away != "":
		return connect.Permanent(fmt.Errorf("storelog: the positions of this log are in %s; name that place", away))
	}
	return nil
}

// Append writes msgs and, when all of them are there, saves entries.
func (l *Log) Append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	if err := l.Log.Append(ctx, msgs, nil); err != nil {
		return err
	}
	return l.store.Save(ctx, entries...)
}

// Store returns the other store.
func (l *Log) Store() offsets.Store { return l.store }

// CommitGroup implements connect.Groups where the log below does.
func (l *Log) CommitGroup(ctx context.Context, connector string, at []connect.Cursor) error {
	if g, ok := l.Log.(connect.Groups); ok {
		return g.CommitGroup(ctx, connector, at)
	}
	return nil
}

// Err returns why the log below has ended by itself, nil if it has not.
func (l *Log) Err() error {
	if e, ok := l.Log.(interface{ Err() error }); ok {
		return e.Err()
	}
	return nil
}
