// Package avro knows schemas of Apache Avro 1.x and reads its binary form. It
// does not know what schemas mean to Towline: see connect/convert for that.
//
// # Schemas
//
// Parse reads a schema with all that is named in it resolved. What Kafka
// Connect writes beside a type (connect.name, connect.parameters and so on) is
// kept, other attributes are not.
//
// # Names
//
// Avro allows letters of ASCII, digits and underscores in names. Escape makes
// such a name of any text, and Unescape takes it back; no two texts have one
// name.
//
// # Ownership, concurrency
//
// A Schema is immutable once parsed and may be shared. What a Cursor returns
// points into the bytes that it reads.
//
// # Errors
//
// Neither Parse nor a Cursor trusts lengths or nesting: what is broken is an
// error that says where; nothing panics, or allocates out of proportion to
// its input.
package avro
