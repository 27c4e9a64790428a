package rest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/towline/towline/connect/herder"
)

// offsetRoutes are those about how far connectors are.
func offsetRoutes() []route {
	const one = "/connectors/{connector}"
	return []route{
		{"GET", one + "/offsets", reads, false, "How far it is.", "", nil, ok(offsetList{}), (*call).offsets},
		{"GET", "/v1" + one + "/position", reads, false, "Where it goes on for what was committed at a time, such as 2026-01-31T12:00:00Z, or later, as PATCH of its offsets takes it. A source is stopped.", "at", nil, ok(offsetList{}), (*call).position},
		{"PATCH", one + "/offsets", changes, false, "Changes how far it is; null is the beginning. It is stopped.", "", offsetList{}, ok(told{}), (*call).alterOffsets},
		{"DELETE", one + "/offsets", changes, false, "Has it begin anew. It is stopped.", "", nil, ok(told{}), (*call).resetOffsets},
		{"GET", one + "/topics", reads, false, "The topics that it has used.", "", nil, ok(map[string]usedTopics{}), (*call).topics},
		{"PUT", one + "/topics/reset", changes, false, "Forgets which topics it has used.", "", nil, no(202), (*call).resetTopics},
	}
}

// offsetList is how far a connector is; the form is Kafka Connect's.
type offsetList struct {
	Offsets []herder.Offset `json:"offsets"`
}

// told is an answer in words.
type told struct {
	Message string `json:"message"`
}

func (c *call) offsets() error {
	list, err := c.h.opts.Herder.Offsets(c.ctx(), c.name())
	return c.replyOr(err, offsetList{list})
}

func (c *call) position() error {
	at, err := time.Parse(time.RFC3339, c.query("at"))
	if err != nil {
		return badRequest("at=%s is not a time such as 2026-01-31T12:00:00Z", c.query("at"))
	}
	list, err := c.h.opts.Herder.OffsetsAt(c.ctx(), c.name(), at)
	return c.replyOr(err, offsetList{list})
}

func (c *call) alterOffsets() error {
	data, err := c.body()
	if err != nil {
		return err
	}
	if _, err := object(data, "offsets"); err != nil {
		return err
	}
	var list offsetList
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(&list); err != nil {
		return badRequest(`offsets are {"offsets": [{"partition": {...}, "offset": {...}}]}, as GET shows them: %v`, err)
	}
	if len(list.Offsets) == 0 {
		return badRequest("Partitions / offsets need to be provided for an alter offsets request")
	}
	err = c.h.opts.Herder.AlterOffsets(c.ctx(), c.name(), list.Offsets)
	return c.replyOr(err, told{"The offsets for this connector have been altered successfully"})
}

func (c *call) resetOffsets() error {
	err := c.h.opts.Herder.ResetOffsets(c.ctx(), c.name())
	return c.replyOr(err, told{"The offsets for this connector have been reset successfully"})
}

// usedTopics are the topics of one connector.
type usedTopics struct {
	Topics []string `json:"topics"`
}

func (c *call) resetTopics() error {
	if c.h.opts.NoTopics {
		return &httpError{code: http.StatusForbidden, text: "Topic tracking is disabled."}
	}
	if c.h.opts.KeepTopics {
		return &httpError{code: http.StatusForbidden, text: "Topic tracking reset is disabled."}
	}
	return c.empty(http.StatusAccepted, c.h.opts.Herder.ResetTopics(c.ctx(), c.name()))
}

func (c *call) topics() error {
	if c.h.opts.NoTopics {
		return &httpError{code: http.StatusForbidden, text: "Topic tracking is disabled."}
	}
	topics, err := c.h.opts.Herder.Topics(c.ctx(), c.name())
	return c.replyOr(err, map[string]usedTopics{c.name(): {topics}})
}
