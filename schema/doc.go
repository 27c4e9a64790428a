// Package schema holds the nouns of table data: Value, Row, Column, Table.
//
// # Values
//
// A Value is one column value of one row: 24 bytes, no interface, no
// allocation. It holds the value exactly as the source has it; what a target
// cannot hold is an error at the target (invariant 6), never a change here.
// The two ways on which a row can reach us, a row event of the log and a row
// of a result set, must build identical Values for the same column content;
// Equal compares representations and relies on that.
//
// # Ownership
//
// The bytes of String, Bytes, JSON and other byte-like kinds alias memory
// that somebody else owns, normally the batch that the row came in. A Value
// must not outlive that memory (invariant 7); Clone makes one that may.
//
// A Table is immutable once New has returned it and is shared by pointer, by
// any number of goroutines. Two Tables with the same content have the same
// ID, in every process and at any time.
//
// # Errors
//
// Nothing here does I/O. Parsers of bytes return errors; accessors of a Value
// panic when the kind does not fit, which is a bug of the caller.
package schema
