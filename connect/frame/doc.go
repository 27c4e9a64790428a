// Package frame is the converter between our own ends: a compact binary form
// of a batch. A message holds all records of one partition that a batch has,
// up to about MaxSize bytes, and is self-contained: it carries the tables of
// its records. It is compressed here, where that is done once, and not by the
// log, which would write all of it to its write-ahead log first.
//
// # Layout
//
// Fixed numbers are little-endian. uv is an unsigned varint, zz a varint of a
// zigzag-coded signed number, str a uv length and that many bytes.
//
//	frame    +-------+---------+--------+-------+------+
//	         | magic | version | crc32c | flags | body |
//	         | "TWF" |    1    |   4    |   1   |      |
//	         +-------+---------+--------+-------+------+
//	                                    |<- crc32c ->|
//
//	flags    bit 0: the body is one block of S2, which unpacks to at most
//	         MaxSize + 64 bytes; the other bits are 0
//
//	body     +----------+---------+-----------+------------+
//	         | #records | #tables | tables... | records... |
//	         |    uv    |   uv    |           |            |
//	         +----------+---------+-----------+------------+
//
//	table    +----+----------------------+
//	         | id | form                 |   form: schema.AppendTable
//	         | 16 | str                  |
//	         +----+----------------------+
//
//	record   +------+-------+-------+-----+------+--------+-----+---------+-------+--------+
//	         | head | flags | table | seq | time | origin | row | headers | after | before |
//	         |  2   |   1   |  uv   | zz  |  zz  |        | zz  |         |       |        |
//	         +------+-------+-------+-----+------+--------+-----+---------+-------+--------+
//
//	head     bits 0-2 op: 1 read, 2 insert, 3 update, 4 delete, 5 truncate, 6 schema, 7 message
//	         bit 3 after, 4 before, 5 flags, 6 table, 7 seq, 8 time, 9 origin, 10 row,
//	         11 headers: the field is there; the other bits are 0
//
// A field that is not there has the value that is to be expected: flags 0; the
// table and time of the record before; seq one more than that; the origin of
// the record before; row 0 without an origin or with a new one, else one more
// than before. Seq, time and row are written as differences from the record
// before, which counts as 0 for the first one (table 0, no origin).
//
//	origin   +------+-----------+--------+-----+-----+------+-----+-----+------+
//	         | bits | server id | thread | sid | tag | file | gno | pos | time |
//	         |  1   |    uv     |   uv   | 16  | str | str  | zz  | zz  |  zz  |
//	         +------+-----------+--------+-----+-----+------+-----+-----+------+
//
//	         bit 0 there is an origin (else nothing follows), 1 snapshot,
//	         2 server id, 3 thread, 4 sid, 5 tag, 6 file, 7 query (a
//	         str behind file): differs from the last origin of the frame and is
//	         there. gno, pos and time are differences.
//
//	headers  count (uv), then for each the key (str), and the value as its
//	         length plus one (uv; 0 is nil) and its bytes
//
//	row      +------------+-----------+
//	         | odd bitmap | values... |  a bit for each column, lowest first
//	         +------------+-----------+
//
// A value whose bit is 0 has the kind, scale and width that its column
// implies, and is written bare. An odd value begins with a byte: its kind in
// bits 0-4, in bit 5 that a decimal is wide, in bit 6 that a scale (uv)
// follows; and then the bare value, which null and absent do not have.
//
//	int, time, decimal up to 18 digits                zz
//	uint, year, enum, set, bit                        uv
//	date                                              uv, of the packed form rotated left by 27
//	datetime, timestamp                               8 bytes, packed form or microseconds
//	float32, float64                                  4 or 8 bytes
//	string, rawstring, bytes, json, geometry, vector  str
//	decimal of more digits                            str, its text
//
//	before   a row; where the record has After too: a bitmap of the columns
//	         that differ, and those values, each written as an odd one
//
// The implied kind is the one that package schema names for the column's type
// and sign, the implied scale Column.Scale for decimals and times, else 0; a
// decimal is implied to be wide from 19 digits on.
//
// # Ownership
//
// Encode copies everything; messages own their memory. Decode does not copy:
// bytes in rows and headers' values point into the message, or into the memory
// of the batch if the message was compressed. File names, tags
// and header keys are interned and may outlive both, tables are cached and
// shared. Warm, neither allocates.
//
// # Concurrency
//
// A Converter may encode in one goroutine and decode in another, one each.
//
// # Errors
//
// Decode leaves out the messages that it cannot read and returns a
// *connect.BatchError that lists them: what is corrupt and where, or the
// version if the frame is of a newer one. It trusts no length: corrupt or
// hostile input neither panics nor allocates out of proportion to its size,
// or to MaxSize if it is compressed.
// Encode fails for records that break the contract, such as a row that does
// not fit its table.
package frame
