// Package remoting speaks the binary protocol of RocketMQ name servers and
// brokers: what package rocketlog needs of it, and what the client library for
// Go does not offer.
//
// # Why a client of our own
//
// github.com/apache/rocketmq-client-go/v2 cannot create topics with attributes
// and takes the failure of creating one for success; signs sends but no
// administration; checks no certificate under TLS; cannot cancel a pull, nor
// tell bounds, nor acknowledge a commit of offsets. Its batches go to the queue
// that is asked for only through one selector, and its asynchronous sends
// overtake each other. What it does well, reading as one consumer of a group,
// is not what a log does.
//
// # Frames
//
//	+-----------+----------------+--------------------+- - - - -+- - - -+
//	| total u32 | serializer u8  | header length u24  | header  | body  |
//	+-----------+----------------+--------------------+- - - - -+- - - -+
//
// Numbers are big-endian, total counts what follows it, serializer is 0: the
// header is JSON. A response carries the opaque number of its request.
//
// # Connections
//
// There is one connection for each address, made when it is needed. Requests
// share it and are answered in any order, so a long poll holds up nobody. When
// it breaks, all requests that wait on it fail at once; the next makes a new one.
// Nothing is sent twice by itself: whether a request that failed was carried
// out is not known, and is for the caller to find out.
//
// # Contexts
//
// When a context ends its call returns. An answer that comes later is thrown
// away; a request that is half written takes the connection with it.
//
// # Errors
//
// What a server refuses is an *Error with the server's code. All others are
// faults of the way there.
//
// # Concurrency
//
// A Client is safe for concurrent use. Close ends its connections and joins
// their goroutines.
package remoting
