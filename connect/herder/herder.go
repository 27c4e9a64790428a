// Package herder is the contract between who manages connectors and who asks
// for it: what Kafka Connect calls by that name. The REST API knows connectors
// through a Herder only, whether they run in this process or on many machines.
//
// # Order and durability
//
// Changes of one connector take effect in the order in which their calls
// return. What a call returned nil for is durable: it holds after a crash. The
// tasks follow in their own time; Status shows what they do.
//
// # Configurations
//
// A configuration goes in as its user wrote it, and comes out with references
// unresolved and secrets hidden (connect.Hidden). Where a hidden value comes
// back in, it stands for the one that is kept; see Unhide.
//
// # Errors
//
// A fault of the caller is an *Error, which says in its Kind what it is. All
// others mean that nothing is known of the change.
//
// A Herder is safe for concurrent use.
package herder

import (
	"context"
	"fmt"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/worker"
)

// Herder manages connectors.
type Herder interface {
	Connectors
	Control
	Offsets
	Letters
	// Cluster says which cluster this is.
	Cluster(ctx context.Context) (Cluster, error)
	// Health returns nil once requests can be answered; ErrStarting before
	// that; and any other error if they cannot be any more.
	Health(ctx context.Context) error
	// Overview is all that is known of what all tasks do.
	Overview(ctx context.Context) worker.Status
	// Wait returns once all that the sources have committed by now is in all
	// targets.
	Wait(ctx context.Context) error
	// SetLevel gives a logger of all workers that are there, and those below it, a
	// level.
	SetLevel(ctx context.Context, logger, level string) error
	// Signal hands a signal to a source; "" is the only one.
	Signal(ctx context.Context, connector string, s connect.Signal) ([]string, error)
}

// Connectors is the part of a Herder that keeps configurations.
type Connectors interface {
	// List returns the names of all connectors, in order.
	List(ctx context.Context) ([]string, error)
	Info(ctx context.Context, name string) (Info, error)
	Status(ctx context.Context, name string) (State, error)
	// Create makes a connector. It is an error if it is there.
	Create(ctx context.Context, name string, config map[string]string, target worker.Target) (Info, error)
	// Configure gives a connector another configuration, or makes it.
	Configure(ctx context.Context, name string, config map[string]string) (info Info, created bool, err error)
	// Patch changes keys of a configuration; nil removes one.
	Patch(ctx context.Context, name string, changes map[string]*string) (Info, error)
	// Delete ends a connector and forgets its configuration. Its offsets stay.
	Delete(ctx context.Context, name string) error
}

// Control is the part of a Herder that starts and stops.
type Control interface {
	// Aim says what a connector is meant to do from now on.
	Aim(ctx context.Context, name string, target worker.Target) error
	// Restart starts a connector anew and, with tasks, its tasks; failed alone
	// means only what has failed.
	Restart(ctx context.Context, name string, tasks, failed bool) (State, error)
	RestartTask(ctx context.Context, name string, task int) error
}

// Offsets is the part of a Herder that knows how far connectors are.
type Offsets interface {
	// Offsets returns how far a connector is.
	Offsets(ctx context.Context, name string) ([]Offset, error)
	// OffsetsAt returns how far a connector was, or would have been, at a time: what
	// AlterOffsets takes.
	OffsetsAt(ctx context.Context, name string, at time.Time) ([]Offset, error)
	// AlterOffsets changes some of the offsets of a connector that is stopped.
	AlterOffsets(ctx context.Context, name string, to []Offset) error
	// ResetOffsets forgets the offsets of a connector that is stopped.
	ResetOffsets(ctx context.Context, name string) error
	// Topics returns the topics that a connector has used since it was made, or
	// since ResetTopics.
	Topics(ctx context.Context, name string) ([]string, error)
	ResetTopics(ctx context.Context, name string) error
}

// Letters is the part of a Herder that knows of dead letters.
type Letters interface {
	// DeadLetters returns the topic of a connector's dead letters; "" if it has
	// none.
	DeadLetters(ctx context.Context, name string) (topic string, err error)
	// Retry sends dead letters of a sink that runs again, in the order given.
	// With force also those whose rows have changed since.
	Retry(ctx context.Context, name string, ids []int64, force bool) ([]worker.Retried, error)
}

// Cluster is who answers.
type Cluster struct {
	ID      string   `json:"id"`
	Worker  string   `json:"worker_id"` // this one
	Workers []string `json:"workers"`   // all of them
	Mode    string   `json:"mode"`      // standalone or distributed

	Members     []Member     `json:"members"`
	Assignments []Assignment `json:"assignments"` // of all tasks that are to run, or do
}

// Member is a worker, as the one that was asked sees it.
type Member struct {
	Worker string `json:"worker_id"`
	State  string `json:"state"` // alive; silent: its lease has ended; leaving
	Tasks  int    `json:"tasks"` // how many it runs
	Lease  *Lease `json:"lease,omitempty"`
}

// Lease is what a worker renews that shares connectors with others.
type Lease struct {
	Incarnation string `json:"incarnation"` // of its process, since it last joined
	Session     int64  `json:"session_ms"`  // for how long a renewal holds
	Heard       int64  `json:"heard_ms"`    // since how long none has been heard of
	Strategy    string `json:"strategy"`    // by which it would share out tasks
}

// Assignment is who runs a task.
type Assignment struct {
	Connector string       `json:"connector"`
	Task      int          `json:"task"`
	State     worker.State `json:"state"`
	Worker    string       `json:"worker_id"`   // who may run it now; "": nobody
	Assigned  string       `json:"assigned_to"` // who is to; another while it moves
	// Epoch is the number of the claim, and Generation that of the connector's
	// configuration, where workers share them.
	Epoch      int64 `json:"epoch,omitempty"`
	Generation int64 `json:"generation,omitempty"`
}

// Info is a connector.
type Info struct {
	Name   string            `json:"name"`
	Config map[string]string `json:"config"`
	Tasks  []TaskID          `json:"tasks"`
	Type   string            `json:"type"` // source, sink or unknown
}

// TaskID names a task.
type TaskID struct {
	Connector string `json:"connector"`
	Task      int    `json:"task"`
}

// State is what a connector and its tasks do.
type State struct {
	Name      string         `json:"name"`
	Connector ConnectorState `json:"connector"`
	Tasks     []TaskState    `json:"tasks"`
	Type      string         `json:"type"`
}

// ConnectorState is what a connector does.
type ConnectorState struct {
	State  worker.State `json:"state"`
	Worker string       `json:"worker_id"`
	Trace  string       `json:"trace,omitempty"`
}

// TaskState is what a task does.
type TaskState struct {
	ID     int          `json:"id"`
	State  worker.State `json:"state"`
	Worker string       `json:"worker_id"`
	Trace  string       `json:"trace,omitempty"`
}

// Offset is how far a connector is in one part of its source or topics. A nil
// Offset is none: the beginning.
type Offset struct {
	Partition map[string]any `json:"partition"`
	Offset    map[string]any `json:"offset"`
}

// Kind is what a fault of a caller is.
type Kind int

// The kinds.
const (
	Invalid   Kind = iota // the request can never work
	NotFound              // what it names is not there
	Exists                // what it makes is there
	Forbidden             // it is not for the caller to do
	Conflict              // it may work later
)

// Error is a fault of the caller.
type Error struct {
	Kind Kind
	Text string
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

// Errorf returns an Error.
func Errorf(k Kind, format string, args ...any) error { return &Error{k, fmt.Sprintf(format, args...)} }

// ErrStarting: not ready yet.
var ErrStarting = fmt.Errorf("still starting up")
