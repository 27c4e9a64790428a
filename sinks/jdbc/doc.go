// Package jdbc writes changes to the tables of a MySQL server. It is the sink
// for copies of databases, so it takes everything that a MySQL source can
// hold, unchanged, and each change exactly once.
//
// # How a batch is applied
//
//	records -> by table -> by key -> DELETE ... IN, INSERT ... ON DUPLICATE KEY UPDATE -> offsets -> COMMIT
//
// Of the changes of one key in a batch only the outcome is written. All
// statements, the one that stores the offsets and COMMIT travel in one packet
// where they fit, so a batch is one round trip. A table without a key takes
// its changes one after the other, an update or delete finds its row by all
// that the row was.
//
// A table of the target that has unique keys beside its key is guarded: rows
// whose values in those keys change are deleted first, so that values may
// move between rows in any order, and a row that still meets another row's
// value is refused, where a plain ON DUPLICATE KEY UPDATE would change that
// other row. Columns that only the target has keep their values but in rows
// that are deleted first.
//
// The session is strict and knows no foreign keys: a child may come before
// its parent, and nothing cascades.
//
// # Row events
//
// Many changes of one table at once go to the server as a replica gets them
// from its source, as row events in a BINLOG statement (direct.go), where the
// user may do that and the table is one for which nothing is lost by it. Any
// error has the batch applied again by the statements above. Few changes, and
// all else, are statements from the beginning.
//
// # Exactly once
//
// The table of offsets (see offsets.go) is written in the transactions of the
// rows, and checks there that no newer Sink has claimed the lane. Where a
// transaction has to end between two States (DDL, TRUNCATE, a batch without
// State with several lanes), it also notes which records it had, and those are
// skipped when they come again. Only records beside ones that fail have no
// such note: should the process die before those are dead letters, the others
// are written again, which only a table without a key shows.
//
// # Ownership and concurrency
//
// A Sink is one lane. It has one session for rows and opens another for DDL,
// which would commit the first. One goroutine at a time calls it. It keeps
// nothing of a batch after Write.
//
// # Order
//
// Changes of a key are applied in their order, tables one after the other. What
// concerns all rows of a table in several partitions happens where the first of
// them comes to it (barrier.go). A
// transaction that the source made is seen whole where the worker gives it
// whole: a batch without State leaves the target's transaction open until the
// one with State, and its statements are sent as they fill up.
//
// # Errors
//
// An error about the content of rows is traced to its records by halving. What
// is wrong with one table stops that table where the worker lets it (stop.go).
// Where records that fail become dead letters, or nothing may be stopped, the
// others are committed, and a *connect.BatchError names those. Transactions
// that collide are tried again. What only a change of rights, of the
// configuration or of the target's tables mends is permanent; all else, such
// as a lost connection, is returned for the worker to open the Sink anew.
package jdbc
