// Package ddl follows the shapes of MySQL tables through the text of DDL
// statements, as the log carries them.
//
// # Purpose
//
// A server whose binlog_row_metadata is MINIMAL writes rows without column
// names. What the columns are then follows from the shape at some earlier
// position and from every DDL statement since. Parse reads one statement,
// Apply says what the tables that it touches look like afterwards and whether
// rows changed that no row event tells of.
//
// The grammar is small and strict. Every statement that can change a shape is
// read to its last token; a clause that is not known is an Error, which names
// the tables where they could be made out, and never a guess. Statements that
// cannot change a shape are Other and are not read any further. Only text
// that the server has executed is meant to come here, so whatever the server
// itself would refuse is not checked again.
//
// # Ownership and concurrency
//
// A Statement and a Def are immutable once returned and may be shared. No
// function keeps its arguments or any state of its own, so all may be called
// from any number of goroutines.
//
// # Errors
//
// Parse returns an *Error. Apply reports per table, in Outcome.Err: one table
// whose shape is lost does not take the others with it. Nothing here panics
// on any input.
package ddl
