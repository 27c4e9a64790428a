// Package binlog turns the bytes of the binary log of MySQL and MariaDB into
// typed rows.
//
// # Purpose
//
// One event is a byte slice: header, body and, where the log has checksums, a
// CRC32. ParseHeader says what it is; Format, learnt from each file's
// FORMAT_DESCRIPTION event, strips and verifies it; a Parse function for each
// type takes the body apart. Rows come out of a Plan, which is compiled once
// for a TableMap and a schema.Table and then decodes any number of events:
//
//	h, err := binlog.ParseHeader(event)
//	err = format.Verify(event)                   // CRC32
//	body, err := format.Body(event)
//	switch {
//	case h.Type == binlog.TableMapEvent:
//		m, err := maps.Put(body)             // same bytes, same *TableMap
//	case h.Type.IsRows():
//		ev, err := binlog.ParseRows(h.Type, body)
//		plan := plans[maps.Get(ev.TableID)]  // binlog.NewPlan(m, table) when new
//		err = plan.DecodeRows(batch, &ev, &stamp)
//	}
//
// It does no I/O, starts no goroutine and reads no clock.
//
// # Ownership
//
// Values alias the event's own bytes wherever the log holds them as a row
// should. JSON text, decimals of more than 18 digits, padded binaries and
// text of charsets other than UTF-8 are written into the batch's memory. So an
// event's bytes must stay unchanged for as long as the batch is in use; the
// garbage collector keeps them alive. Everything that the other Parse
// functions return aliases the event too, unless its comment says otherwise;
// a TableMap has memory of its own.
//
// Decoding rows does not allocate once the batch is warm.
//
// # Concurrency
//
// All Parse functions are pure. Format, TableMap and Plan are immutable and
// may be shared by any number of goroutines; TableMaps and PayloadReader
// belong to one.
//
// # Errors
//
// Input is never trusted: a broken event gives an error that names the event
// or the table, row and column, and never a panic or a read beyond the event.
// What this build does not understand is an error too, never skipped
// (invariant 9). When DecodeRows fails the batch is as it was before.
package binlog
