// Package worker runs connectors: the two task loops that are the delivery
// guarantee, and what surrounds them.
//
// # A source task
//
//	read -> [batches] -> transform, route, encode -> [units] -> append, commit
//
// Three goroutines hand a fixed set of units around a ring. The ring is the
// only queue: it bounds memory and is the back-pressure. Appending joins all
// units that wait into one durable step, so the group grows when the log is
// the slowest part and stays one batch when it is not.
//
// Where the log is not Atomic the position is saved behind the messages, and what
// a crash left between the two is found when a task is opened; see landed.
//
// # A sink task
//
//	read -> [units] -> decode, transform, split by key -> lanes -> done, in order -> save
//
// A topic that is made while the task runs is read at once: the log tells of it.
// Saving is a goroutine of its own, twice a second, so that no unit waits for
// the disk. A lane is one Sink value with a goroutine of its own. Records of one key go
// to one lane (invariant 4).
// A sink may have several tasks, over which the partitions of its topics are
// shared out; see shares. What is saved belongs to the connector and not to the
// task, so a partition goes on where it is in whichever task reads it. A unit's memory is free again when all lanes are
// through with it; positions are saved in unit order only (invariants 1, 3).
//
// # Dead letters
//
// What cannot be processed goes to a topic of its own (deadletter). It is sent
// again by the task that it is of, between two units and to the lane of its row,
// so that it has one place in the row's order; see again and newer.
//
// # Where the time goes
//
// Each goroutine of a task is in one stage at any time, waiting being one too;
// see stages. It says so once or twice a batch, never for a record. The status
// and the metrics are made of that.
//
// # Faults
//
// A task that fails is closed, opened and started from what it last saved,
// with growing pauses; see supervisor. A permanent error ends it as FAILED
// and leaves all other tasks alone.
//
// # Stopping
//
// When the context of Run ends, reading stops, what was read is finished
// within DrainTimeout, positions are saved, and Run returns nil. A kill is no
// different, but for what is then read again.
package worker
