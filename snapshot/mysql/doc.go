// Package mysql reads chunks of tables from MySQL servers, 8.0 and later, and
// MariaDB, for package snapshot.
//
// # Purpose
//
// Reader is a snapshot.Reader over one connection. It builds the statements,
// decodes binary result sets straight into batches, and sorts the server's
// errors into those about the table and those about the connection. What it
// decodes is identical, Value by Value, to what the decoder of row events makes
// of the same row.
//
// # The session
//
// Text arrives in the column's own charset (character_set_results=NULL) and is
// decoded here by the function that Config.Text gives; instants arrive in UTC;
// sql_mode is empty, so that zero dates compare. ENUM and SET are selected as
// numbers. Columns are always named, so invisible and generated ones come too.
//
// # Bounds
//
// A Key is the list of a row's key values as SQL literals in the type, charset
// and collation of their columns, so the comparison is the server's and uses
// the index. A key (a, b) is compared as (a > x) OR (a = x AND b > y), which
// the range optimizer understands. To share a table among readers, a range of
// a key that is one integer is halved by arithmetic; of other keys the server is
// asked for the one some chunks ahead, which costs it a walk over that part of
// the index. Where a key begins with an ENUM or SET the
// server compares by number but does not seek, so each chunk costs a walk of
// the index from its start: right, but slow for large tables. The same goes for
// keys over a prefix of a column.
//
// # Load and lag
//
// Brake, a snapshot.Brake, asks the source for status variables and replicas for
// Seconds_Behind_Source, over connections of its own. What it cannot find out, a
// replica that is away or does not replicate included, is a reason to rest.
//
// # Grants
//
// SELECT on the tables and REPLICATION CLIENT; LOCK TABLES for tables without
// a key that are large or busy.
//
// # Ownership and concurrency
//
// One goroutine at a time uses a Reader. Rows are read into memory of the batch,
// in large blocks, and their Values alias it. Nothing is shared between Readers.
//
// # Errors
//
// A cancelled context closes the connection; the call then returns an error.
// After any error that is neither about the table (snapshot.ErrShape,
// snapshot.ErrTable, connect.Permanent) nor nil the Reader is to be closed.
package mysql
