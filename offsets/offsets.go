// Package offsets remembers how far each task has got.
//
// A Position is opaque: only its maker reads it. A Store keeps entries, each
// a Position under a key, and saves any number of them in one atomic step. A
// Tracker turns completions that come out of order into the one position
// below which all is done.
//
// # Keys
//
// Keys are paths of printable UTF-8 without NUL, joined by '/'. The worker
// gives each source task a prefix of its own, and all tasks of a sink one (see
// SourceKey and SinkKey); within it the task's parts choose.
//
// # Order and errors
//
// What Save returned nil for is durable (invariant 1). When Save fails
// nothing is known, and the caller must Load before it goes on. A Store is
// safe for concurrent use.
package offsets

import (
	"context"
	"strconv"
)

// Position is a place in a source or in a log, or a piece of state that goes
// with one. Only its maker may read it. nil means none.
type Position []byte

// Entry is a Position under a key. An Entry with a nil Pos deletes the key.
type Entry struct {
	Key string
	Pos Position
}

// Store remembers entries.
type Store interface {
	// Load returns all entries whose key begins with prefix, ordered by key.
	// Their memory is the caller's.
	Load(ctx context.Context, prefix string) ([]Entry, error)
	// Save writes all entries or none; they are durable when it returns nil.
	// Of two entries with one key the later wins.
	Save(ctx context.Context, entries ...Entry) error
}

// SourceKey returns the prefix of everything that one source task saves.
func SourceKey(connector string, task int) string {
	return "source/" + connector + "/" + strconv.Itoa(task) + "/"
}

// SinkKey returns the prefix of everything that the tasks of a sink save. It has
// no task's number in it, since partitions move between tasks; the 0 is from when
// sinks had one.
func SinkKey(connector string) string { return "sink/" + connector + "/0/" }

// After returns the first key behind all that begin with prefix; "" if there is
// none.
func After(prefix string) string {
	b := []byte(prefix)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) > 0 {
		b[len(b)-1]++
	}
	return string(b)
}
