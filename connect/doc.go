// Package connect is the contract between everything that moves changes: what
// a record is, who owns its memory, and what sources, sinks, transforms,
// converters and logs promise each other. It imports only schema, offsets and
// the standard library; every other room imports it.
//
// # The way of a change
//
//	source task:  Load -> Open -> { Read -> Apply -> Encode -> Append (durable, with Pos and State) -> Commit }
//	sink task:    Load or Open -> OpenReader -> { Read -> Decode -> Apply -> Write (durable) -> Save }
//
// These two loops, in connect/worker, are the whole delivery guarantee.
//
// # Invariants
//
// The code that enforces one of them names its number.
//
//  1. Durable before saved, saved before committed. No position moves ahead
//     of its data.
//  2. A commit is never withheld or dropped.
//  3. Positions move forward only, and only at transaction ends.
//  4. Order holds per key always, and per transaction where a topic has one
//     partition.
//  5. Every record read is written, dropped by a named and counted transform,
//     dead-lettered, or dropped and counted because its table is stopped.
//  6. No silent coercion: what a target cannot hold is an error with the
//     table, column and value kind in it.
//  7. Memory belongs to the batch; nothing outlives the call.
//  8. Any instant may be the last: SIGKILL and start gives the same final
//     state.
//  9. A statement, event or flag that this build does not understand stops
//     the table it touches with a clear error; it is never skipped.
//
// # Exactly once
//
// A log writes messages and the source's position in one commit, so a source
// whose transactions fit one batch writes each change once. A transaction
// that is larger than a batch is appended in parts, of which only the last
// has a position; with each part the worker saves the highest Seq, and after
// a restart drops what it reads again up to there. A log that cannot write all
// of an append in one step says so (Log.Atomic): there messages carry whose they
// are and up to which Seq the changes of their partition are there, and a source
// task reads back what is in a partition before it writes to it, so that it can
// tell what is read again from what never came. A sink that keeps the
// State of its batches in its target, in the same transaction as the rows,
// returns it from Open, and that wins over what the worker saved.
//
// # Concurrency
//
// One goroutine at a time calls a Source, a Sink, a Transform or a Reader;
// the exceptions are named at the methods. Logs and Stores are safe for
// concurrent use. Parallel writing is several Sink values, called lanes, over
// which the worker splits the records by key.
//
// # Errors
//
// An error is retried by default, with growing pauses; Permanent marks one
// that no retry mends. A *BatchError names the records that failed, and only
// those. Errors are returned, not logged, by everything but the worker.
package connect
