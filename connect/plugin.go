package connect

import (
	"context"
	"log/slog"
	"time"

	"github.com/towline/towline/offsets"
)

// Plugin is a kind of connector, transform, predicate or converter: a name
// that configurations use, the options it takes, and how to make one. Exactly
// one of the constructors is set.
type Plugin struct {
	Name    string
	Aliases []string // class names of well-known equivalents
	Doc     string   // one sentence
	Options []Option

	Source    func(cfg Config, env Env) (Source, error)
	Sink      func(cfg Config, env Env) (Sink, error)
	Transform func(cfg Config, env Env) (Transform, error)
	Predicate func(cfg Config, env Env) (Predicate, error)
	Converter func(cfg Config, env Env) (Converter, error)

	// Split divides the work of a source into at most max tasks; nil: one.
	Split func(cfg Config, max int) ([]Config, error)
	// Lanes is how many parallel writers a sink prefers; 0 is one.
	Lanes int
	// Covers reports whether a saved Pos of this source is at or beyond a
	// Head. Sources only.
	Covers func(pos, head offsets.Position) bool
	// Describe returns a position in words. Sources only.
	Describe func(pos offsets.Position) string
	// Fields returns a position by the names that users know, and those of what
	// it is a position in. Sources only; nil: there are none.
	Fields func(cfg Config, pos offsets.Position) (in, at map[string]any)
	// Seek returns the position at a place, by the names of Fields, for a source
	// that is at from with state and does not run, and the entries of its State
	// that change with it. What comes behind has higher Seqs than all before. A
	// place that cannot be had is a Permanent error. Sources only; nil: none can.
	Seek func(ctx context.Context, cfg Config, env Env, from offsets.Position, state []offsets.Entry, to map[string]any) (offsets.Position, []offsets.Entry, error)
	// Find returns the place, for Seek, of the first change that was committed at a
	// time or later, for a source that does not run. Sources only; nil: it cannot.
	Find func(ctx context.Context, cfg Config, env Env, at time.Time) (map[string]any, error)
	// Resets says that the source knows ResetKey.
	Resets bool
	// Check looks at the world outside (server settings, grants,
	// reachability) and returns what is wrong. nil: nothing to check.
	Check func(ctx context.Context, cfg Config) ([]Finding, error)
	// Schemas says that an OpSchema which was encoded is decoded as one.
	// Converters only.
	Schemas bool
	// Barriers says that a sink knows what a Record with a Barrier is; without it
	// a truncation in a topic of several partitions ends its tasks.
	Barriers bool
	// NeedsSchemas returns the options that ask a sink for what a converter without
	// Schemas does not tell. nil: none does.
	NeedsSchemas func(cfg Config) []Fault
	// Explain says what to do about a key that the plug-in does not have but
	// people know from elsewhere; "" if it does not know it. nil: none.
	Explain func(key string) string
	// Validate looks at options together, after each was checked alone.
	Validate func(cfg Config) []Fault
}

// Predicate decides for which records a transform runs.
type Predicate interface {
	Test(r *Record) bool
}

// Finding is one result of a Check.
type Finding struct {
	OK    bool
	Fatal bool   // the connector cannot work
	What  string // "binlog_format is STATEMENT; row changes are not in the log"
	Fix   string // the exact statement or deed that mends it
}

// Env is what a worker gives to a plug-in it makes. All functions are set and
// safe for concurrent use.
type Env struct {
	Connector   string
	Task, Tasks int // this task's number, and how many the connector has
	Lane, Lanes int // of a sink: this value's number, and how many there are
	// Generation rises with each configuration that the connector gets, and Epoch
	// each time that the task is given to a worker. They are for targets that
	// can refuse what is older; 0: nobody else can be running an older one.
	Generation, Epoch int64
	// Cluster is the id of the workers among which tasks move; "": this one is alone.
	// A source that another server knows by a name has one for all of them, so that
	// who is given the task has it, whatever the one before does.
	Cluster string
	// Store is the log's own, for what is not the task's alone: see package
	// connect/registry. nil: there is none.
	Store  offsets.Store
	Logger *slog.Logger
	// Report tells the state of one table, whenever it changes or moves on.
	Report func(TableStatus)
	// Gauge sets a number that metrics and status show. labels are pairs.
	Gauge func(name string, value float64, labels ...string)
	// Drop counts records that were dropped (invariant 5).
	Drop func(reason string, n int)
	// Tolerant says of a sink that records which it refuses become dead letters.
	Tolerant bool
	// MayStop returns why a sink must not stop one table of a topic and go on
	// with the others, "" if it may. See Sink.
	MayStop func(ctx context.Context, topic string) (why string, err error)
}

// TableState is what a source or a sink does with a table.
type TableState string

// The states.
const (
	TableWaiting   TableState = "waiting"   // its snapshot has not begun
	TableCopying   TableState = "copying"   // being read by a snapshot
	TableFollowing TableState = "following" // all of it is there; changes flow
	TableStopped   TableState = "stopped"   // not followed any more: see Reason
)

// TableStatus is the state of one table of one source. A sink reports those that
// it has stopped, or that begin anew, by the name that they have at the source.
type TableStatus struct {
	Table   string     `json:"table"` // database.name
	State   TableState `json:"state"`
	Reason  string     `json:"reason,omitempty"`  // why it is stopped, paused or was not copied, and what to do
	Rows    int64      `json:"rows"`              // rows read by the snapshot
	Total   int64      `json:"total"`             // rows that there are in all, estimated
	Bytes   int64      `json:"bytes"`             // bytes read by the snapshot
	Started int64      `json:"started,omitempty"` // of the snapshot, microseconds since 1970
	Ended   int64      `json:"ended,omitempty"`   // likewise; 0: not yet
}
