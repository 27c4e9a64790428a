// Package webhook is the sink "webhook": it sends each record to a URL, in a
// POST request of its own, signed as Standard Webhooks 1.0 has it.
//
// # Requests
//
// The body is Debezium's envelope, or the row of a record without one, whole
// and easy to read: see convert.Readable. A delete without an envelope would
// have no body and has the envelope. A truncate has the envelope too; schema
// records are not sent. The headers are
//
//	webhook-id         the same in every attempt and after every restart
//	webhook-timestamp  of the attempt, in seconds
//	webhook-signature  one for each secret, of the body before compression
//
// webhook-id is a hash of the connector, the table, op, key and Seq of the
// record. A record without Seq has its place in the log instead.
//
// # Delivery and order
//
// Each record is sent at least once; the receiver finds repeats by
// webhook-id. The sink keeps no State. Records of one key are sent in order,
// one after the other has been accepted; those of different keys at the same
// time, up to max.in.flight. A record that concerns a whole table waits for
// all before it, and all after it wait for it.
//
// # Errors
//
// An answer of 2xx accepts the record. 408, 425, 429 and 5xx, timeouts and
// faults of the connection are tried again, with growing pauses and full
// jitter, not before Retry-After; when that has lasted long enough the task
// fails and begins anew from its last State, or the record fails, as
// retry.exhausted says. 410 and a redirect are permanent: only a person mends
// them. Other answers fail the record, and only it. No error holds the
// credentials, the query of the URL or the secrets.
//
// # Ownership and concurrency
//
// Requests of a batch run in goroutines that Write joins. Nothing of a batch
// is kept.
package webhook
