package snapshot

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// Changes is the stream that a snapshot is woven into.
//
// Its records carry an Origin with File and Pos; a record without one stops
// the copy of a table that has no key. A batch with a Pos comes every second or
// so, even when nothing happens. Updates that change a key are split.
type Changes interface {
	connect.Source
	// OpenAnew is Open for a source whose position is lost: it begins where the
	// server is now. Changes are counted on from lost, in a new epoch; what state
	// has is replaced; tables that are gone meanwhile are told to be empty.
	OpenAnew(ctx context.Context, lost offsets.Position, state []offsets.Entry) error
	// Anchor returns what a chunk reader must wait for to see everything up to
	// pos. It depends on pos alone and may run beside Read.
	Anchor(pos offsets.Position) Anchor
	// Reached reports whether pos is at or beyond high. It depends on its
	// arguments alone and may run beside Read.
	Reached(pos offsets.Position, high High) bool
	// Tables returns the shapes, as of the last Read (or of Open), of all
	// captured tables that exist, without stopped ones. It is called between
	// two Reads.
	Tables() []*schema.Table
	// Topic returns where records of a table go. It may run beside Read.
	Topic(table *schema.Table) string
	// Stop ends the following of a table: its events are dropped from now on,
	// which the State keeps. It may run beside Read.
	Stop(table *schema.Table, reason error)
	// Stopped returns why a table is stopped; ok is false if it is not. Only
	// that tells a table that is stopped from one that is gone: Tables has
	// neither. It may run beside Read, and ahead of it.
	Stopped(database, name string) (reason string, ok bool)
	// Halted returns all captured tables that are stopped.
	Halted() [][2]string
	// Resume begins to follow a stopped table again: an OpSchema with
	// connect.Reread comes where. An error is about the table or, if it is not
	// Permanent, about the connection. It may run beside Read.
	Resume(ctx context.Context, database, name string) error
}

// Anchor is a place in the log as chunk readers need it.
type Anchor struct {
	GTIDs      string // the transactions up to there; "" if the server has none
	ServerUUID string // of the server whose log it is; "" if not known
	Seq        uint64 // of the last change up to there; 0 if not known
	End        High   // that place itself
}

// High is an end of the log: every transaction that was visible when it was
// asked for lies before it.
type High struct {
	File string
	Pos  uint64
}

// Covers reports whether the event at o begins before h, and so belongs to a
// transaction that ends at or before h.
func (h High) Covers(o *connect.Origin) bool {
	if c := compareFiles(o.File, h.File); c != 0 {
		return c < 0
	}
	return o.Pos < h.Pos
}

// compareFiles orders binary log files by the number that their names end in:
// binlog.999999 comes before binlog.1000000.
func compareFiles(a, b string) int {
	x, y := fileNumber(a), fileNumber(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func fileNumber(name string) uint64 {
	n, _ := strconv.ParseUint(name[strings.LastIndexByte(name, '.')+1:], 10, 64)
	return n
}

// Key is a place between rows, in a form that only the Reader knows: all rows
// up to and including one. nil is before the first row, or after the last.
type Key []byte

// Reader reads chunks of tables over one connection. One goroutine at a time
// uses it. Its errors say what the weaver is to do: ErrShape and ErrTable are
// about the table; connect.Permanent stops the table at once; all others are
// about the connection, and the Reader is closed and opened again.
type Reader interface {
	// Open connects.
	Open(ctx context.Context) error
	// Estimate returns the sizes of tables, in their order.
	Estimate(ctx context.Context, tables []*schema.Table) ([]Size, error)
	// Split returns a bound within the range (lo, hi] such that two Readers may
	// share the work, nil if that is not worth while. A chunk is about rows
	// rows long.
	Split(ctx context.Context, t *schema.Table, lo, hi Key, rows int) (Key, error)
	// ReadChunk does ANCHOR, READ and HIGH.
	ReadChunk(ctx context.Context, c *Chunk) error
	// ReadLocked reads a whole table as of one position. It calls begin with
	// that position when the lock is released again, and then give for each
	// batch of rows, which returns an empty batch to fill next; the last one
	// it fills may be empty. An error of begin or give is returned as it is.
	ReadLocked(ctx context.Context, l Locked) error
	// High returns the end of the log as of now.
	High(ctx context.Context) (High, error)
	// Close disconnects. Open may follow.
	Close() error
}

// Size is about how large a table is.
type Size struct {
	Gone     bool // there is no such table
	Rows     int64
	RowBytes int64 // of one row
}

// Chunk is one read of one range, its bounds and its outcome.
type Chunk struct {
	Table  *schema.Table
	Lo, Hi Key
	Filter string // an SQL condition that its rows fulfil; "": none
	Anchor Anchor
	// MaxRows and MaxBytes end the chunk early, the latter after the row that
	// passes it; PartBytes is the size of one part. Bytes are those of memory:
	// what the rows point to, their values and their records.
	MaxRows, MaxBytes, PartBytes int
	// NewBatch returns an empty batch for the next part.
	NewBatch func() *connect.Batch

	// The outcome. Parts are batches of OpRead records with Table, After and
	// Time set. End is the bound of what was read: Hi, or less where the chunk
	// was Cut (of a table without a key, which has no bounds, Cut is all).
	Parts []*connect.Batch
	End   Key
	Cut   bool
	Rows  int64
	Bytes int64
	High  High
}

// Locked is one read of a whole table at one position.
type Locked struct {
	Table     *schema.Table
	Anchor    Anchor
	PartBytes int
	First     *connect.Batch // to fill first
	Begin     func(High) error
	Give      func(*connect.Batch) (*connect.Batch, error)
}

// ErrShape: the table on the server is not as the stream's shape says. The
// stream is about to bring the statement that changed it.
var ErrShape = errors.New("the table on the server has another shape than the stream has reached")

// ErrTable: the server refuses to read this table for now. After some tries
// the table is stopped.
var ErrTable = errors.New("the table cannot be read")
