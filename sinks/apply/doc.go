// Package apply holds what sinks with keyed targets share: it collects the
// changes of one table and compacts them, so that a target sees each key once
// per batch.
//
// # Compaction
//
// Of all changes of a key only the outcome counts: the last row, or that it
// is gone. A target that first removes what is gone and then writes what is
// there ends in the state that the changes in their order would have led to,
// also where keys differ in their bytes and are equal in a collation: of such
// keys at most one is there in the end.
//
// # Unique keys
//
// Rows whose values in another unique key change are marked Moved. A target
// that removes those too, before it writes any, needs no order among them: a
// value that one row gives up and another takes is free by then.
//
// # Ownership and concurrency
//
// A Table belongs to one goroutine. Its Changes point into the batch and into
// the Table's own memory; both end with Reset. A Table that has warmed up
// collects without allocating.
//
// # Errors
//
// Add refuses a record whose key is not whole. It is the only error there is.
package apply
