// Package convert holds the converters "json" and "avro": one message per record,
// in the form that Debezium gives to Kafka Connect's JsonConverter, or to
// Confluent's AvroConverter. It also holds the Encoder, which sinks use to write
// records as JSON of their own.
//
// # Messages
//
// The key is the JSON of the key columns, the value the envelope
//
//	{"before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns"}
//
// or, of records that are Unwrapped, the row alone. With schemas.enable both
// are {"schema": ..., "payload": ...}. A delete is followed by a tombstone: its
// key without a value. A truncate has null rows and no key; a schema record
// gives no message. Bytes, field order, escapes and number forms are those of
// Debezium 3 and of Jackson.
//
// What the envelope has no place for travels in headers: __towline.seq,
// __towline.op (of flat rows) and __towline.tx.end. The halves of an update
// that moved its key have __debezium.newkey and __debezium.oldkey.
//
// # Nothing is lost
//
// Each default holds every value that MySQL does (invariant 6). Where a mode
// that was chosen cannot hold a value, the record fails with an error that
// names table, column, kind and the option that helps. The defaults that
// therefore differ from Debezium's: bigint.unsigned.handling.mode is precise,
// and time.precision.mode is isostring, which also writes zero and partial
// dates (0000-00-00Z) and times beyond a day (-838:59:59Z) as they are. Text
// that its charset cannot decode has no form in a schema and is an error.
//
// Unless schemas.table.enable is off, the schema of a row carries the whole
// table as a parameter, towline.table, from which Decode restores it with all
// types, lengths and keys. Without it, as in messages of another maker, a
// table is made up from what the schema tells: text of any length is LONGTEXT
// (VARCHAR in a key), and so on.
//
// # Avro
//
// What types and schemas records have is decided once, by the Encoder. The
// schema that json would put beside a value becomes one of Avro, with the names,
// unions, logical types and attributes (connect.name and the like) that
// Confluent's AvroConverter gives it; the schema's parameter towline.table is in
// connect.parameters. A message is a zero, the id of its schema in a registry, in
// four bytes, and the Avro of the value: Confluent's wire format. Before the
// first message with a schema its registry has it, durably (invariant 1); see
// package connect/registry.
//
// Names of columns and tables that Avro does not allow are escaped as in
// Debezium's mode avro_unicode, but that an underscore stays one unless it would
// look like an escape (see avro.Escape), so no two columns can meet. Where one
// schema has two records of one name that differ, the second has a number behind
// it. Text that is not UTF-8, the error value of an ENUM that has an element ”,
// and a row image that lacks columns are errors, as they are in JSON with
// schemas; so is a NULL where the column says that there are none.
//
// Messages are read by the schema that they were written with, also those of
// other makers: the schema is compiled to a list of readers, one for each field,
// and the bytes are walked once (twice where the schema does not say which table
// it is of, since that stands behind the rows). All that cannot be read is an error
// of its message, but a registry that does not answer: that is an error of the
// whole call, which is tried again.
//
// # Ownership
//
// Encode copies everything. Decode copies what it must unescape or compute;
// other values point into the messages. Encoding allocates nothing per record
// once it is warm; descriptions of tables and schemas are cached, a bounded
// number of them.
//
// # Concurrency
//
// A Converter may encode in one goroutine and decode in another, one each. An
// Encoder belongs to one goroutine.
//
// # Errors
//
// Encode and Decode return a *connect.BatchError for the records or messages
// that failed; all others are done. Decode trusts no length and no nesting.
package convert
