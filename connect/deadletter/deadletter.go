// Package deadletter is what becomes of records that could not be processed:
// how they stand in their topic, how they are read, and what is remembered of
// those that somebody has dealt with.
//
// # A letter
//
// A dead letter is one message of the topic errors.deadletterqueue.topic.name,
// which has one partition and may serve several connectors. Its offset there is
// its id. It holds the record as it was where it was refused, in the form of
// the connector's converter or as a frame, or the message as it came if that
// could not be read; headers say whose it is, where it came from, and why it is
// there (Cause).
//
// # What is remembered
//
// A topic only grows, so what was sent again or dropped is noted in the store
// of the log:
//
//	deadletter/TOPIC/FROM    the letters from FROM through another are sent or dropped
//
// FROM has twenty digits, so that keys and numbers have one order. Notes of
// letters that the topic has no more are taken away with the next change.
//
// # Ownership, order, concurrency
//
// There is no state in here: all functions work over a connect.Log, whichever,
// and are safe for concurrent use. Of two notes about one letter at a time the
// later wins. Letters come in the order in which they were written; letters of
// one row have the order of its changes, unless a crash had some written twice.
package deadletter

import (
	"fmt"
	"strconv"
	"time"

	"github.com/towline/towline/connect"
)

// The stages at which a record may be refused; the names are Kafka Connect's.
const (
	StageDecode    = "VALUE_CONVERTER"
	StageTransform = "TRANSFORMATION"
	StageWrite     = "TASK_PUT"
)

// prefix stands before the names of a letter's own headers.
const prefix = "__connect.errors."

// Cause is why a record became a dead letter, and where it comes from.
type Cause struct {
	Connector string
	Task      int
	Stage     string
	Class     string // of the error
	Text      string // of the error
	// Where its message stands in the log, for a record of a sink.
	Topic     string
	Partition int32
	Offset    int64
	// Routed is the topic that transforms have given the record; "": Topic.
	Routed string
	// Step is the transform that refused it: its number in the chain and its
	// name.
	Step string
	Time time.Time // when it was refused
}

// StepOf returns the Step of a transform.
func StepOf(number int, name string) string { return fmt.Sprintf("%d %s", number, name) }

// Headers returns c in the form in which it travels.
func (c *Cause) Headers() []connect.Header {
	h := func(key, value string) connect.Header {
		return connect.Header{Key: prefix + key, Value: []byte(value)}
	}
	list := []connect.Header{
		h("topic", c.Topic), h("partition", strconv.Itoa(int(c.Partition))), h("offset", strconv.FormatInt(c.Offset, 10)),
		h("connector.name", c.Connector), h("task.id", strconv.Itoa(c.Task)), h("stage", c.Stage),
		h("exception.class.name", c.Class), h("exception.message", c.Text), h("time", c.Time.UTC().Format(time.RFC3339Nano)),
	}
	if c.Routed != "" {
		list = append(list, h("routed.topic", c.Routed))
	}
	if c.Step != "" {
		list = append(list, h("transform", c.Step))
	}
	return list
}

// ParseCause is the inverse of Headers, and returns the headers that are none
// of its own. ok is false if headers hold no Cause.
func ParseCause(headers []connect.Header) (c Cause, rest []connect.Header, ok bool) {
	number := func(text string, bits int) int64 {
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			return -1
		}
		return n
	}
	for _, h := range headers {
		if len(h.Key) < len(prefix) || h.Key[:len(prefix)] != prefix {
			rest = append(rest, h)
			continue
		}
		v := string(h.Value)
		switch ok = true; h.Key[len(prefix):] {
		case "topic":
			c.Topic = v
		case "partition":
			c.Partition = int32(number(v, 32))
		case "offset":
			c.Offset = number(v, 64)
		case "connector.name":
			c.Connector = v
		case "task.id":
			c.Task = int(number(v, 32))
		case "stage":
			c.Stage = v
		case "exception.class.name":
			c.Class = v
		case "exception.message":
			c.Text = v
		case "routed.topic":
			c.Routed = v
		case "transform":
			c.Step = v
		case "time":
			c.Time, _ = time.Parse(time.RFC3339Nano, v) // the zero time if it is none
		}
	}
	return c, rest, ok
}
