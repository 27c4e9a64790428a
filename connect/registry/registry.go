// Package registry keeps the schemas of messages, which carry nothing but the
// id of theirs. Own is the one that every Towline has: its schemas are entries
// of the log's store, so in a cluster they are in the state that all workers
// share, and on one machine in the log itself. Remote is one elsewhere, which speaks
// the API of Confluent's registry.
//
// # Ids
//
// The id of a schema in Own is 31 bits of a fingerprint of its text without
// what does not count (see avro.Normal). So whoever registers a schema twice,
// or on two workers at once, gets the same id without asking anybody. Where
// two schemas share a fingerprint the later one gets the next id that is free,
// and where two workers take one id at the same time for different schemas at most
// one of them gets it (see Own.claim), so there is never a wrong schema. An id that
// has two all the same is an error for whoever reads it.
//
// # Subjects
//
// A subject lists the schemas of one topic's keys or values, in the order in
// which they came, and the place in there is the version. A worker that dies
// between the two leaves a schema without a subject, which its successor gives
// it. Where two workers add to a subject at the same time their two versions
// may still change places; ids never change.
//
// # Order, errors
//
// What Register returned is durable (invariant 1), so that no message can have
// an id that cannot be looked up. ErrNotFound is for what is not there; an
// *Outage says that the registry could not be asked, which says nothing about
// the schema; any other error is of this schema and stays.
//
// # Concurrency
//
// A Registry is safe for concurrent use.
package registry

import (
	"context"
	"errors"
)

// ErrNotFound says that there is no such schema, subject or version.
var ErrNotFound = errors.New("registry: not found")

// Registry gives schemas ids and returns them by their ids.
type Registry interface {
	// Register returns the id of a schema and has subject list it. Both are
	// durable on return.
	Register(ctx context.Context, subject, schema string) (id uint32, err error)
	// Schema returns the schema with an id.
	Schema(ctx context.Context, id uint32) (schema string, err error)
}

// Outage says that a registry could not be asked, or did not answer as one. It
// is a matter of time, or of the configuration, and of no message.
type Outage struct{ Err error }

// Error implements error.
func (o *Outage) Error() string { return o.Err.Error() }

// Unwrap returns what was wrong.
func (o *Outage) Unwrap() error { return o.Err }
