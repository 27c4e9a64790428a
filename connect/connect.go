package connect

import (
	"context"

	"github.com/towline/towline/offsets"
)

// ResetKey, as the key of a State that Open gets, says that an operator wants
// the source to begin anew, whatever its position: the targets are to end with
// what is there then, and no change may have a Seq of before. The source takes
// the entry away with the State of its first batch.
const ResetKey = "reset"

// Source reads changes from one upstream.
type Source interface {
	// Open begins at from, the Pos of a batch of an earlier run; nil: at the
	// very beginning. state is all State that earlier runs saved, ordered by
	// key. ErrPositionLost if the upstream no longer has what follows from.
	// A Source that failed may be opened again after Close.
	Open(ctx context.Context, from offsets.Position, state []offsets.Entry) error
	// Read fills b, which is empty, with at least one record or a Pos. It
	// waits for them, also until what it gave before is committed if nothing may
	// come behind that sooner, and returns io.EOF itself at the end of a finite source. A
	// batch ends at a transaction's end or, where the transaction is large,
	// inside it, and then has no Pos (invariant 3).
	Read(ctx context.Context, b *Batch) error
	// Commit says that all up to pos is durable. It is called in order and
	// for every Pos that was saved (invariant 2). It may run beside Read.
	Commit(ctx context.Context, pos offsets.Position) error
	// Head asks the upstream how far it has got by now. The answer is for
	// Plugin.Covers. It may run beside Read.
	Head(ctx context.Context) (offsets.Position, error)
	// Close ends everything that Open began. It may be called beside Read,
	// which then returns.
	Close() error
}

// Sink writes changes to one target.
//
// Where a target that keeps State does not take one table, a Sink may stop that
// table, if Env.MayStop agrees: it keeps that in the target, in the transaction
// that leaves the first of its records out, reports it (Env.Report), and drops
// all records of the table (Env.Drop) until an OpTruncate, or an OpSchema with
// Reread, says that the table can begin anew with no rows. A GivenUp after the
// latter stops it again. In a topic of several partitions both are a Barrier, and
// the table begins anew where the first partition comes to it.
type Sink interface {
	// Open connects and returns the State that the target itself keeps, nil
	// if it keeps none. What it returns wins over what the worker saved. It is
	// the State of the connector, whichever task wrote it: partitions move
	// between tasks. A Sink that failed may be opened again after Close.
	Open(ctx context.Context) ([]offsets.Entry, error)
	// Write applies b, in order per key. It returns nil: all is durable, and
	// so is b.State if the target keeps it (where b has no State it becomes
	// durable together with the next batch that has; with several lanes others
	// may see it at once, since what they do next may build on it); a *BatchError: all but
	// the listed records are durable, but b.State is not kept: it comes again,
	// in a batch without records, once the failed ones are dead letters; any
	// other error: nothing is known, and the sink is closed, opened and fed
	// anew from the last State. A Sink ignores ops that it has no use for. b
	// may have State and no records.
	Write(ctx context.Context, b *Batch) error
	Close() error
}

// Idler is a Sink or Converter that keeps memory between calls. Idle is called,
// as all else of it, when there was nothing to do for some seconds: what is
// quickly made again may go.
type Idler interface{ Idle() }

// Mover is a Sink that must know when its State is set by an operator, to any
// place. Move does what Write does with a batch that has nothing but that State.
type Mover interface {
	Move(ctx context.Context, b *Batch) error
}

// Transform changes a batch in place: edits values, drops records with
// Batch.Keep, routes with Record.Reroute.
type Transform interface {
	// Apply returns nil, a *BatchError for single records that could not be
	// changed (they are left in b as they were), or any other error.
	Apply(ctx context.Context, b *Batch) error
}

// Converter turns batches into messages and back. One message may hold one
// record or many. One goroutine at a time uses a Converter, and one for each
// direction.
type Converter interface {
	// Encode appends the messages of b to dst. Messages of one partition are
	// in the order of b.
	Encode(dst *Messages, b *Batch) error
	// Decode appends the records of src to dst, whose values may point into
	// the messages' memory. Records get Topic and Partition of their message.
	// Of both, a *BatchError is about the records or messages that it names; any
	// other error is about none, but about what the Converter needs, and a retry
	// may mend it.
	Decode(dst *Batch, src []Message) error
}

// Packer is a Converter that puts as many records as it can into one message,
// so that it pays to encode many at a time.
type Packer interface {
	Converter
	// FullSize returns the bytes of messages that gain nothing by more records.
	FullSize() int
}

// Log is a set of topics, each a number of partitions, each a durable
// sequence of messages with rising offsets. Safe for concurrent use.
type Log interface {
	Topics
	// Append writes msgs in order and then saves entries in Store, all in one
	// atomic step where the log can (Atomic), and sets each message's Offset.
	// All of it is durable when Append returns nil; when it fails nothing is
	// known. Topics must exist.
	Append(ctx context.Context, msgs []Message, entries []offsets.Entry) error
	// Atomic reports whether Append writes all or nothing.
	Atomic() bool
	// OpenReader returns a Reader of all of the given partitions.
	OpenReader(ctx context.Context, from []Cursor) (Reader, error)
	// Store returns the log's own store of entries.
	Store() offsets.Store
	Close() error
}

// Topics is the part of a Log that manages topics.
type Topics interface {
	// CreateTopic makes a topic. If it is there with as many partitions
	// nothing happens; with another number it is an error.
	CreateTopic(ctx context.Context, topic string, partitions int32) error
	// Topics returns the partitions of each topic.
	Topics(ctx context.Context) (map[string]int32, error)
	// TopicsMade returns a channel that is closed when a topic is made after
	// this call.
	TopicsMade() <-chan struct{}
	// Bounds returns the offset of the first message there is and the offset
	// that the next one will get.
	Bounds(ctx context.Context, topic string, partition int32) (first, end int64, err error)
	// Trim drops the messages of a partition before an offset; it may keep
	// some of them.
	Trim(ctx context.Context, topic string, partition int32, before int64) error
}

// Groups is a Log whose servers keep, for tools of theirs, how far readers are.
type Groups interface {
	// CommitGroup tells them how far a connector is. Nothing but what those tools
	// show depends on it.
	CommitGroup(ctx context.Context, connector string, at []Cursor) error
}

// Cursor is a place in one partition.
type Cursor struct {
	Topic     string
	Partition int32
	// Offset of the next message. If it lies before the first message there
	// is, or beyond the end, OpenReader and Read return ErrPositionLost.
	Offset int64
}

// Reader reads the partitions that it was opened for.
type Reader interface {
	// Read appends messages to m until about maxBytes are there or no more
	// are at hand, and waits until there is at least one. Partitions take
	// turns; within one, messages come in order.
	Read(ctx context.Context, m *Messages, maxBytes int) error
	Close() error
}

// Task is work that a worker runs until it is done, fails, or ctx ends.
type Task interface {
	Run(ctx context.Context) error
}
