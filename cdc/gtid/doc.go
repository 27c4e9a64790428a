// Package gtid holds sets of global transaction identifiers: which
// transactions a server, or a reader of its log, has seen.
//
// A GTID is the UUID of the server that made the transaction, an optional tag
// (servers from 8.3 on), and a number. A Set keeps, for each UUID and tag, a
// sorted list of intervals; it is exact for any input, and adding the number
// that comes next, which is what following a log does, takes constant time
// and no memory.
//
// MariaDB numbers transactions otherwise: by domain. Domains is a place in its
// log, the last transaction of each domain.
//
// # Forms
//
// Parse and String speak the server's syntax (uuid:1-5:7:tag:1-3, and so on).
// AppendBinary and ParseBinary are the compact form that positions are saved
// in. AppendDump is the form in which COM_BINLOG_DUMP_GTID wants a set.
//
// # Ownership and concurrency
//
// A Set owns its memory; operands are never kept or changed. It is not safe
// for concurrent use when one of the users changes it.
//
// # Errors
//
// Parsers return errors that quote what they could not read. Nothing else
// fails.
package gtid
