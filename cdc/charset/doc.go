// Package charset turns the raw bytes of MySQL character columns into UTF-8 and back, exactly as the server does.
//
// # Purpose
//
// Strings in row events, and in result sets read with character_set_results=NULL, are bytes in the charset of their
// column. This package knows every charset and collation of the server: latin1 is Windows-1252 with its five holes
// filled by control characters, utf8mb3 has no four-byte sequences, and swe7 is not ASCII below 0x80. The mappings
// were read off a server by the program in gen, not taken from any standard.
//
// # Exactness
//
// Decode answers only when nothing is lost. A string is refused when it is malformed, when one of its characters has
// no code point, and when a character has a code point which the server writes back as other bytes (cp932, for one,
// has three codes for some characters; one of them is the true one). The most common case is the byte 5C of sjis: it
// reads as a backslash, but the server writes a backslash to an sjis column as 81 5F. So for every charset:
//
//	text, ok := c.Decode(nil, b)    // when ok ...
//	back, _ := c.Encode(nil, text)  // ... back equals b
//
// and the same with Encode and Decode exchanged. A caller that is refused keeps the bytes as they are and says so.
//
// # Ownership and concurrency
//
// A *Charset and a *Collation are immutable, live as long as the program, and may be compared by pointer and used by
// any number of goroutines. Decode and Encode append to dst as append does and keep neither slice; dst and src must
// not overlap. They allocate only to grow dst.
//
// # Cost
//
// A mapping is unpacked when its charset is first used (at most some 200 KB each), the way back when Encode is first
// called; a program that only meets utf8mb4 unpacks nothing. Runs of ASCII are copied eight bytes at a time.
//
// # Errors
//
// Only ByName fails, on a name that the server does not have. An unpacking fault is a fault of the build and panics.
package charset

//go:generate go run ./gen -out .
