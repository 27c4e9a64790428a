// Package snapshot weaves the initial copy of tables into their stream of
// changes. Source wraps a change source (Changes) and several chunk readers
// (Reader) and is a connect.Source itself: the stream flows from the first
// second, the rows that were there before come in between, chunk by chunk,
// and each table ends up exact. Nothing is written to the source, and tables
// with a key are never locked.
//
// # The window
//
// A table is copied in chunks: ranges (lo, hi] of its key, whose bounds only the
// server compares. A large range is read from its begin on, a chunk at a time;
// the last key that a chunk holds is where the next one begins. While a large
// table has fewer ranges than there are readers, one of them is split. Each
// chunk is read in a window:
//
//	OPEN    at a transaction boundary, the position of the stream is noted;
//	        from now on the key of every change of the table is remembered.
//	ANCHOR  the reader waits until the server shows all that the stream had
//	        delivered at OPEN.
//	READ    one SELECT of the range.
//	HIGH    the end of the log is asked for, after the SELECT.
//	CLOSE   when the stream has reached HIGH, at a boundary P: rows whose key
//	        was remembered are dropped, the others are emitted here.
//
// Claim: after CLOSE, everything emitted for a key of the range is the state of
// that key at P, and no key ever goes back to an earlier state.
//
// Proof. V are the transactions that the SELECT saw. (i) Every transaction up
// to OPEN is in V: ANCHOR waited for it. (ii) Every transaction in V lies at or
// before HIGH: the log is written before the engine commits, so what can be
// seen is in the log, and HIGH was asked for later. Take a key that was not
// remembered: no transaction in (OPEN, P] touches it, so one that does is at or
// before OPEN, thus in V, or after P >= HIGH, thus not in V. The SELECT shows
// the key as of P. Take a key that was remembered: the stream has emitted its
// last image at or before P, and the SELECT's row is dropped. What is used of
// the log is only that conflicting transactions stand in it in the order in
// which they commit. Remembering too much drops rows that the stream has
// emitted anyway, so it is harmless; mistaking one key for another is not, so
// keys are compared by their exact bytes, never by a hash.
//
// Both images of a change are remembered. With a collation that takes 'a' and
// 'A' for equal this matters: any version of a row that the SELECT can show is
// that at OPEN, which is the before image of the first change, or one of the
// after images.
//
// # Without GTIDs
//
// ANCHOR waits for a GTID set. A server without GTIDs has nothing to wait for,
// and the READ is a SELECT ... FOR SHARE at READ COMMITTED instead. Proof of
// (i), key by key: a transaction that is in the log but cannot be seen yet
// still holds the locks of the rows it changed, inserted or deleted; the
// locking read waits for them, and then reads the newest committed version.
// Such a read has no one view, but the proof above speaks of one key at a
// time and needs none. (ii) holds as before. Lock waits that time out are
// tried again.
//
// # Shapes
//
// Rows carry the shape that the stream has at OPEN. A window in which the
// stream brings an OpSchema or OpTruncate of the table is thrown away and its
// range read again. A SELECT that fails because the server's table is already
// another one (ErrShape) waits until the stream has passed the end of the log
// as of the failure. An OpSchema with connect.Reread begins the table anew.
//
// # Tables without a key
//
// Their rows have no identity, so the copy must be exact as a whole. Changes
// of such a table are dropped until its copy, which contains them. A small one
// is read in one window and taken if nothing touched the table between OPEN and
// CLOSE. Otherwise, and after some such tries, it is read as of one position:
// the reader takes LOCK TABLES ... READ for as long as it takes to open a
// consistent view and to ask for the end of the log H, then streams the rows.
// Meanwhile changes of the table up to H are dropped, and a batch with one
// after H is held back until the rows are through. If a start finds such a
// copy unfinished it emits an OpTruncate and begins anew.
//
// # Signals
//
// An operator may ask for copies of tables at any time, whole or of rows for
// which a condition holds; for the weaver that is the same work again. What a
// signal did is part of the State: one that comes as a row of the signal table
// is saved in the batch with its own position, one from the file with how far
// the file is read, so each is carried out once; Signal returns when the batch
// with what it did is committed. A table that is whole without its copy (extra)
// loses only the copy when something goes wrong. A stopped table begins again at
// an OpSchema with connect.Reread, for which Changes.Resume asks; since rows may
// have been deleted meanwhile a truncation comes before its copy.
//
// Before anything of a copy of all rows is read, an OpSchema with connect.Reread
// goes out, so that a target that has stopped the table can begin it anew; how
// the copy ends is told with another one.
//
// # Sparing the servers
//
// No window opens while copies rest: for the pace that is set, or because the
// Brake says so, who looks at the servers beside the stream while there is
// something to copy. Before its first look nothing is read. What is under way is
// finished. That is not part of the State; a pause, also one for a critical load,
// is.
//
// # Truncations
//
// Where a topic has several partitions a truncation stands in each, and a target
// tells which of two is the later one; see truncations. It waits for what was sent
// before to be durable, and all else waits for it.
//
// # State
//
// One entry a table, "snapshot/<database>/<table>", says which ranges are done;
// it is saved in the batch that ends a chunk. "snapshot/seq" is the Seq of the
// last change. Chunks that were under way at the end of a run are read again.
// Every batch of rows has the Pos of the stream, so it ends no transaction and
// begins none.
//
// # Memory
//
// Rows wait between READ and CLOSE. What the windows may hold together is
// bounded by snapshot.max.bytes; a chunk that turns out larger than twice its
// target is cut and the rest read later. Remembered keys are bounded too: when
// they outgrow their room the table's windows are thrown away, and it waits
// until the stream has passed the log as it then was.
//
// # Ownership and concurrency
//
// One goroutine calls Read. Behind it run a pump, which alone calls
// Changes.Read, and snapshot.max.threads workers, each with a Reader of its
// own. Their common state is the weaver, under one mutex. Close joins all.
//
// # Errors
//
// What is wrong with one table stops that table, through Changes.Stop, and no
// other. Trouble with a connection is retried with growing pauses, without
// end. Only errors of the change source end Read.
package snapshot
