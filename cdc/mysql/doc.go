// Package mysql is the change source of MySQL and MariaDB servers: it follows the binary
// log and hands out its row changes as batches of records.
//
// # The way of a change
//
//	reader --unit--> sequencer --job--> decoders (in parallel)
//	                      \-----job, in order-----> Read
//
// One goroutine reads packets into large slabs and passes on what is at hand,
// up to a unit of 256 KiB. One goroutine, the sequencer, walks the events in
// order: it keeps track of tables, transactions, positions and DDL, and makes
// jobs, which end at a transaction's end where they can. Decoders turn the row
// events of a job into its batch. Read takes the jobs in order, numbers their
// records and swaps their batch into the caller's. All channels are short;
// what they and the jobs hold is the bound on memory, whatever the size of a
// transaction. A single event, which holds at most one row beyond the server's
// binlog_row_event_max_size, is always held whole.
//
// # Positions
//
// A Position says which transactions are done (GTIDs, or file and position
// where the server does not have GTIDs), how many changes were counted (Seq),
// and how many transactions and statements (the ordinal of table versions). It
// moves at the end of every transaction, captured or not (invariant 3). The
// scheme, GTID or file, is chosen at the first start and stays. MariaDB has GTIDs
// of its own, of which a position holds the last of each domain; see mariadb.go.
//
// On another server only GTIDs count. At each connect both sides are compared:
// what the server has purged and we lack is a lost position; what we have
// delivered and the server lacks is an error that names it, until the user gives
// it up (failover.go). The State has for each table what changed it last
// (touched.go), so that only tables concerned are read anew then. OpenAnew
// begins where the server is, when a position is lost. Each exchange of servers
// begins an epoch of Seqs.
//
// Seek moves a source that is stopped: see seek.go.
//
// # Shapes
//
// A server whose binlog_row_metadata is FULL tells names, types and key with
// each table map, and that is the truth. Else the shape is followed: it begins
// with the catalog at the first start, goes on with every DDL statement
// (schema/ddl) and is kept as State, in the same step as the position; each
// table map is checked against it. Where
// shape and log disagree the table is stopped with an error; it is never
// guessed at (invariant 9). A stopped table stays stopped, with its reason, in
// the State of the source, until the connector is reset.
//
// # Rows that are not in the log
//
// Where a statement took rows away or changed them and the log does not say
// which, the table is told to be empty (OpTruncate) and to be read anew
// (OpSchema with Reread); only the latter where no row can have gone. That is
// so for partitions, swapped tables, conversions, and statements that were not
// understood. Where nobody reads tables anew (NoReread) they are stopped.
//
// The rows of an XA transaction are in the log where it is prepared. They are
// kept in the State until it is committed or rolled back, up to a bound; see
// xa.go. What foreign keys change by cascade is in the log of some servers
// only; see cascades.go. Statements on temporary tables are told from those on
// tables of the same name; see temporary.go.
//
// # What records show
//
// Three shapes of a table follow each other. The shape as the log has it is
// what DDL is applied to and table maps are checked against. The view leaves
// columns out; the decoder and the readers of chunks both go by it. The dress
// has masked values and the key of messages; the Editor puts it on when the
// snapshot is woven in, since until then rows must be known by the keys that
// the server knows. Options that do not hold for a table are an error of Open,
// or stop the table if a statement makes them so.
//
// Beside rows there are messages (connect.OpMessage). The Editor makes those of
// transactions and heartbeats, from what is left of the stream when it is
// edited; the sequencer makes those of DDL statements.
//
// # Ownership
//
// Values alias the slab that their event was read into, a connect.Buffer. It is
// held by the reader while there is room in it, by units and jobs on their way,
// and by batches until they are reset; then it is read into again (invariant
// 7). Whatever else is kept of an event is copied. Tests with the race detector
// overwrite what was let go of.
//
// # Concurrency
//
// Head, Commit, Stop, Tables and Close may be called beside Read. All
// goroutines end before Close returns.
//
// # Errors
//
// Any fault of the connection, the log or the server ends the run: Read
// returns an error that names the server and what to do, and the worker opens
// the source again from the last saved position. Errors that no retry mends
// are marked by connect.Permanent or are connect.ErrPositionLost.
package mysql
