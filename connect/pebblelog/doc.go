// Package pebblelog is the connect.Log that lives inside the process: topics,
// partitions, messages and saved entries in one Pebble database in one folder.
//
// # Durability and order
//
// Append puts messages of any topics, their offsets and the entries into one
// Pebble commit, so that after SIGKILL or power loss either all of it is there
// or nothing (invariants 1 and 8). Commits enter the write-ahead log in the
// order in which their offsets were given, under one lock; the wait for the
// disk is outside of it, and appenders that wait at the same time share one
// sync. Offsets of a partition begin at 0 and rise by one without gaps.
// Readers, Bounds and Store.Load show only what is durable.
//
// # Failure
//
// When a write or a sync fails nobody knows what the disk holds. The log then
// freezes: not one byte goes to its files any more, as if the process had
// died there, and every call returns the first error until the log is closed
// and opened again. Open reads back what became durable, and goes on from
// there. The process is never ended. See guard for how. Only a compaction that
// cannot write is no failure: it is tried again later.
//
// # Keys
//
// One byte names a key space; numbers are big-endian, so that keys sort by
// topic, partition, offset.
//
//	01                                           format: version u32
//	02 name                                      topic: id u32, partitions u32
//	03 topic u32 partition u32                   end u64, bytes u64, last time i64
//	04 topic u32 partition u32                   first u64
//	05 topic u32 partition u32 offset u64        segment: bytes u64, time i64
//	06 key                                       entry: the position
//	07 topic u32 partition u32                   parts without a head: offset u64
//	10 topic u32 partition u32 offset u64        message: its head; or a run of
//	                                             messages, of which offset is the last
//	10 topic u32 partition u32 offset u64 part u32   message: a part of its value
//
// The head of a message:
//
//	+---------+-------+-------+------+-----+---------+- - - - - - - - - -+
//	| version | flags | count | time | key | headers | value | or length |
//	|   u8=1  |  u8   | uvar  | var  |     |         |       | and parts |
//	+---------+-------+-------+------+-----+---------+- - - - - - - - - -+
//	flags:   1 has a key, 2 has a value, 4 the value is in parts, 8 it is shared
//	key:     length uvar, bytes                      (only if flag 1)
//	headers: number uvar, { length uvar, name, length+1 uvar (0: nil), bytes }
//	value:   all that follows, or with flag 4: length uvar, number of parts uvar
//	         or with flag 8, in runs: number of bytes that are those of the value
//	         of the run's first message uvar, and the bytes after them
//
// # Runs of small messages
//
// A key in Pebble costs as much as a kilobyte, and JSON of one change is a
// kilobyte that says what the one before it said. So messages of up to 16 KiB
// that one Append has for one partition are stored together, up to 64 KiB, and
// compressed:
//
//	+---------+-------+-------+------+- - - - - - - - - - - - - - - - - - - +
//	| version | flags | count | size | { length uvar, head of the message } |
//	|   u8=2  |  u8   | uvar  | uvar |       size bytes, count times        |
//	+---------+-------+-------+------+- - - - - - - - - - - - - - - - - - - +
//	flags: 1 what follows the size is compressed (a block of S2)
//
// A run stands under the offset of its last message, so that to seek any
// offset finds the run that has it, and a range deletion up to any offset takes
// just the runs that lie before it whole. Offsets, trims, bounds and readers know
// single messages only: partitions may begin within a run, and readers too.
// Packing happens before the append lock is taken.
//
// # Large messages
//
// A value above 4 MiB is split over several keys, which are written ahead of
// the head and in the same log file; only the head makes them a message. So
// neither the log nor Pebble ever holds a second copy of a large value in
// memory. Parts whose head never came are removed when the log is opened.
//
// # Reading
//
// The end of every partition is in memory, so a reader that has read all
// waits without touching the disk, and Append wakes the readers of just the
// partitions it wrote to. Partitions that have something take turns, 1 MiB
// each. A Pebble iterator lives no longer than one Read, so a slow reader pins
// neither files nor memory; what a reader needs and retention takes away is
// ErrPositionLost. Values are copied once, into the memory of the caller.
// Messages that were appended a moment ago are still in Pebble's memtable,
// which serves readers at the tail; there is no other cache.
//
// # Retention
//
// Partitions are measured in segments of some MiB or minutes, whose beginnings
// are in memory. Whole segments go, by one range deletion, when all of their
// messages were appended longer ago than Options.Retention, or while the
// partition holds more than Options.RetentionBytes. The age of a message
// counts from its Append, not from the time it carries: a snapshot of an old
// table, or a source that catches up, writes old times. Neither limit touches
// what Options.Protect holds back, for losing unread changes is worse than a
// full disk, which stops the source and says so; Trim, which a caller asks
// for, does not look at Protect. Space comes back when Pebble drops the files
// of the range, seconds to minutes later.
//
// # Checks
//
// Pebble checksums every block of its files and every record of its
// write-ahead log and verifies them on reading, so messages carry no checksum
// of their own; a reader checks that offsets follow each other and that a
// message parses. Faults found are ErrDamaged. A folder that was a log and has
// lost files is never taken for a new one: the file TOWLINE-LOG says that it
// was one, and whether it was creating, opening or ready; a crash while opening
// may leave no write-ahead log, later there is always one. What Pebble cannot
// tell from a torn end, and so drops, is a garbled record of more than 32 KiB
// in the newest write-ahead log and a garbled last edit of the manifest.
//
// # Memory
//
// At most about 60 MB beside what callers hold: memtables of 12 MB, of which
// four exist at most, and 8 MB of block cache. Concurrent appends add the
// bytes they carry. When no message has come for some seconds the database is
// closed and opened again, which leaves a megabyte (rest.go).
//
// # Concurrency
//
// A Log and its Store are safe for concurrent use; a Reader belongs to one
// goroutine. Lock order: append lock, then mu. One goroutine trims and
// watches Pebble; Close joins it.
package pebblelog
