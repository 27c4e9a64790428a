// Package file is the sink "file": it writes records as lines of JSON to a
// file or to the standard output.
//
// # Lines
//
// With format=envelope, the default, a line is
//
//	{"topic","partition","offset","seq","key","value"}
//
// where value is Debezium's envelope; with format=flat it is
//
//	{"topic","partition","offset","seq","op","key","row"}
//
// where row is the row after the change, or the one that was deleted; with
// format=value it is the value alone. seq is a string, since it may be beyond
// what JavaScript holds. Values are written whole and easy to read: see
// convert.Readable. A truncate has neither key nor row; schema records give
// no line.
//
// # Exactly once
//
// Beside the file is its state, in file.state: how far each partition has
// come, and how long the file was then. Write makes the lines durable first
// and the state second, which is replaced in one step (invariants 1, 8). Open
// cuts off what the file has beyond the state, so a line that was torn or
// whose batch did not end is written anew, once. The standard output keeps no
// state: after a kill some lines come again.
//
// # Ownership and concurrency
//
// One sink owns its file: it is locked, and there is one lane of one task. Nobody else
// may write to it. A file that was moved, removed, shortened, added to or
// changed is an error, never a new beginning.
//
// # Errors
//
// What only a person mends (a directory in the way, a missing folder, no
// permission, a file that somebody changed) is permanent; a full disk is
// retried.
package file
