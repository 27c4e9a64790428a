// Package cluster is the Herder of many workers without a master. What they have
// to agree on are entries of one state that all of them write (offsets.Shared), in
// RocketMQ; each decides for itself on what is there, and a decision counts only if
// nothing else has come before it.
//
// # What is in the state
//
//	member/WORKER            a worker, by its address, and how often it has renewed its lease
//	connector/NAME           configuration, number of tasks, what it is meant to do, orders to restart
//	claim/NAME/TASK          who runs a task: worker, incarnation, epoch, generation
//	status/NAME/TASK         what the task does, as told by who has the claim of an epoch
//	ask/WORKER/N             a question of a worker to who runs a task, or to another worker
//	answer/WORKER/N          what is answered
//	level/LOGGER             from which level on all workers log what a logger says
//	cluster/id               the name of this cluster
//
// # Never two
//
// A claim names one owner. It is written by an Update that finds none, and goes
// when its owner releases it, having ended the task, or when its owner is expelled.
// Its epoch is the place at which it was written; so epochs rise. What a task saves
// counts only if its claim is there with its epoch, as of the place of the save,
// and what it appends never comes behind what a later owner has (rocketlog.Session).
// So whatever becomes of clocks, processes and networks, nothing of an earlier
// owner counts once a later one has begun.
//
// That two do not even run at the same time is a matter of leases. A worker counts
// its lease from before it asks for a renewal; the others count from when they have
// seen it, which is later. Each goes by its own clock, and none is compared with
// another. It ends all it runs, without finishing anything, a quarter of the lease
// before the end; the others expel it after the whole of it and a delay more. Who
// has been away itself counts from when it has been back, so an outage of the
// broker, or a stop of the observer, expels nobody who can renew. And a claim taken
// on false grounds is not possible: expelling is an Update that finds the renewal
// that was last seen.
//
// # Who gets what
//
// Every worker computes the same assignment (package assign) of all members and
// tasks, releases what is no longer its own, and claims what is and is free. A
// worker that comes back within the delay finds its claims as they were; one that is
// started anew by its name has them written to its new incarnation when it joins.
// When configurations differ in the strategy, that of the first worker is used.
//
// A changed configuration has a higher generation. No task of it is claimed while
// one of an older generation still is: which part of the work is whose may differ
// between the two.
//
// # Concurrency
//
// Renewals come before all that waits to be written (offsets.Shared.UpdateFirst).
//
// Loops: renewals; ending all when the lease lapses; sharing out; telling
// statuses; answering; following levels. Only the second never waits for the broker. Lock order: levelling, the
// state's locks, then mu. Methods may be called from anywhere.
//
// # Errors
//
// What a caller did wrong is a *herder.Error. A state that cannot be read, because a
// newer version wrote it, shows in Health, and nothing is started meanwhile.
package cluster
