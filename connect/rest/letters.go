package rest

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/deadletter"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/worker"
)

// letterRoutes are those about dead letters.
func letterRoutes() []route {
	const all = "/v1/connectors/{connector}/deadletters"
	return []route{
		{"GET", all, rows, false, "Its dead letters: from, limit (1000 at most) and state (open, the default, sent, dropped or all) choose.", "from:integer limit:integer state:open,sent,dropped,all", nil, ok(deadletter.Page{}), (*call).letters},
		{"DELETE", all, changes, false, "Drops all of its open dead letters up to that of the id through.", "through:integer", nil, ok(dropped{}), (*call).dropLetters},
		{"GET", all + "/{letter}", rows, false, "A dead letter whole, with its values.", "", nil, ok(deadletter.Letter{}), (*call).letter},
		{"POST", "/v1/connectors/{connector}/retry", changes, false, "Sends dead letters again: {\"ids\": [...], \"force\": false}; with force also those whose rows have changed since.", "", retry{}, ok(retries{}), (*call).retryLetters},
		{"POST", all + "/{letter}/retry", changes, false, "Sends one again; force=true also if its row has changed since.", "force:boolean", nil, ok(worker.Retried{}), (*call).retryLetter},
		{"DELETE", all + "/{letter}", changes, false, "Drops a dead letter: nobody wants it.", "", nil, no(204), (*call).dropLetter},
	}
}

// deadTopic returns the log, and the topic of the connector's dead letters.
func (c *call) deadTopic() (log connect.Log, topic string, err error) {
	topic, err = c.h.opts.Herder.DeadLetters(c.ctx(), c.name())
	if err == nil && topic == "" {
		err = herder.Errorf(herder.NotFound, "Connector %s has no dead letters: errors.deadletterqueue.topic.name is not set", c.name())
	}
	if log = c.h.opts.Log(); err == nil && log == nil {
		err = herder.ErrStarting
	}
	return log, topic, err
}

// number returns a parameter that is a whole number from least on.
func (c *call) number(name string, otherwise, least int64) (int64, error) {
	v := c.query(name)
	if v == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < least {
		return 0, badRequest("%s=%s is not a whole number from %d on", name, v, least)
	}
	return n, nil
}

func (c *call) letters() error {
	q := deadletter.Query{Connector: c.name()}
	var err error
	if q.From, err = c.number("from", 0, 0); err != nil {
		return err
	}
	limit, err := c.number("limit", deadletter.DefaultLimit, 1)
	if err != nil {
		return err
	}
	q.Limit = int(min(limit, deadletter.MaxLimit))
	switch state := c.query("state"); deadletter.State(state) {
	case "":
		q.State = deadletter.Open
	case deadletter.Open, deadletter.Sent, deadletter.Dropped:
		q.State = deadletter.State(state)
	case "all":
	default:
		return badRequest("state=%s is none of open, sent, dropped, all", state)
	}
	log, topic, err := c.deadTopic()
	if err != nil {
		return err
	}
	q.Topic = topic
	page, err := deadletter.List(c.ctx(), log, q)
	return c.replyOr(err, page)
}

// at returns the place of the dead letter that the path names.
func (c *call) at() (log connect.Log, topic string, id int64, err error) {
	id, err = strconv.ParseInt(c.r.PathValue("letter"), 10, 64)
	if err != nil || id < 0 {
		return nil, "", 0, c.noLetter()
	}
	log, topic, err = c.deadTopic()
	return log, topic, id, err
}

func (c *call) noLetter() error {
	return herder.Errorf(herder.NotFound, "Connector %s has no dead letter %s", c.name(), c.r.PathValue("letter"))
}

// found returns err, in the words of this API where it says that there is no such
// letter.
func (c *call) found(err error) error {
	if errors.Is(err, deadletter.ErrNone) {
		return c.noLetter()
	}
	return err
}

func (c *call) letter() error {
	log, topic, id, err := c.at()
	if err != nil {
		return err
	}
	l, err := deadletter.Get(c.ctx(), log, topic, c.name(), id)
	return c.replyOr(c.found(err), l)
}

func (c *call) dropLetter() error {
	log, topic, id, err := c.at()
	if err != nil {
		return err
	}
	err = deadletter.Read(c.ctx(), log, topic, c.name(), id, func(_ *connect.Message, l deadletter.Letter) error {
		if l.State == deadletter.Sent {
			return herder.Errorf(herder.Conflict, "Dead letter %d was sent again and taken; there is nothing to drop", id)
		}
		return nil
	})
	if err = c.found(err); err == nil {
		err = deadletter.Resolve(c.ctx(), log, topic, id, deadletter.Dropped)
	}
	return c.empty(http.StatusNoContent, err)
}

// dropped is how many letters were dropped.
type dropped struct {
	Dropped int `json:"dropped"`
}

func (c *call) dropLetters() error {
	through, err := c.number("through", -1, 0)
	if err == nil && through < 0 {
		err = badRequest("through=ID says up to which dead letter all are dropped")
	}
	if err != nil {
		return err
	}
	log, topic, err := c.deadTopic()
	if err != nil {
		return err
	}
	n, err := deadletter.DropThrough(c.ctx(), log, topic, c.name(), min(through, math.MaxInt64-1))
	return c.replyOr(err, dropped{n})
}

// maxRetries is how many letters one request may send again.
const maxRetries = 1000

// retry asks for letters to be sent again.
type retry struct {
	IDs   []int64 `json:"ids"`
	Force bool    `json:"force,omitempty"`
}

// retries is what comes of sending letters again.
type retries struct {
	Letters []worker.Retried `json:"letters"`
}

func (c *call) retryLetters() error {
	data, err := c.body()
	if err != nil {
		return err
	}
	if _, err := object(data, "ids", "force"); err != nil {
		return err
	}
	var asked retry
	if err := json.Unmarshal(data, &asked); err != nil || len(asked.IDs) == 0 || len(asked.IDs) > maxRetries {
		return badRequest(`dead letters are sent again by {"ids": [0], "force": false}, with up to %d ids`, maxRetries)
	}
	if _, _, err := c.deadTopic(); err != nil {
		return err
	}
	list, err := c.h.opts.Herder.Retry(c.ctx(), c.name(), asked.IDs, asked.Force)
	return c.replyOr(err, retries{list})
}

func (c *call) retryLetter() error {
	log, topic, id, err := c.at()
	if err != nil {
		return err
	}
	err = deadletter.Read(c.ctx(), log, topic, c.name(), id, func(*connect.Message, deadletter.Letter) error { return nil })
	if err != nil {
		return c.found(err)
	}
	list, err := c.h.opts.Herder.Retry(c.ctx(), c.name(), []int64{id}, c.flag("force", false))
	switch {
	case err != nil:
		return err
	case list[0].Error != "":
		return herder.Errorf(herder.Conflict, "Dead letter %d is not taken: %s", id, list[0].Error)
	}
	return c.reply(http.StatusOK, list[0])
}
