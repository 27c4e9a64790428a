package rest

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/loggers"
)

// loggerRoutes are those about what is logged.
func loggerRoutes() []route {
	const one = "/admin/loggers/{logger}"
	return []route{
		{"GET", "/admin/loggers", reads, false, "The loggers that have a level of their own.", "", nil, ok(map[string]loggerLevel{}), (*call).loggers},
		{"GET", one, reads, false, "The level that counts for a logger.", "", nil, ok(loggerLevel{}), (*call).logger},
		{"PUT", one, changes, false, "Gives a logger, and those below it, a level: {\"level\": \"DEBUG\"}; scope is worker, the default, or cluster, for all workers.", "scope:worker,cluster", newLevel{}, answers{200: []string{}, 204: nil}, (*call).setLogger},
	}
}

// loggerLevel is the level of a logger; the names are Kafka Connect's.
type loggerLevel struct {
	Level    string `json:"level"`
	Modified *int64 `json:"last_modified"` // milliseconds since 1970; null: as the program was started
}

// newLevel is a level that a logger is given.
type newLevel struct {
	Level string `json:"level"`
}

func shownLevel(l loggers.Level) loggerLevel {
	shown := loggerLevel{Level: l.Name}
	if !l.Modified.IsZero() {
		ms := l.Modified.UnixMilli()
		shown.Modified = &ms
	}
	return shown
}

func (c *call) loggers() error {
	all := map[string]loggerLevel{}
	for name, l := range c.h.opts.Levels.All() {
		all[name] = shownLevel(l)
	}
	return c.reply(http.StatusOK, all)
}

// named returns the name of the logger that the path has.
func (c *call) named() (name string, level loggers.Level, err error) {
	name = c.r.PathValue("logger")
	if strings.EqualFold(name, loggers.Root) {
		name = loggers.Root
	}
	level, ok := c.h.opts.Levels.Get(name)
	if !ok {
		err = herder.Errorf(herder.NotFound, "Logger %s not found.", name)
	}
	return name, level, err
}

func (c *call) logger() error {
	_, level, err := c.named()
	return c.replyOr(err, shownLevel(level))
}

func (c *call) setLogger() error {
	data, err := c.body()
	if err != nil {
		return err
	}
	m, err := object(data, "level")
	if err != nil {
		return err
	}
	var level string
	if raw := m["level"]; raw == nil || string(raw) == "null" {
		return badRequest("Desired 'level' parameter was not specified in request.")
	} else if json.Unmarshal(raw, &level) != nil {
		return badRequest(`"level" is not a text`)
	}
	name, _, err := c.named()
	switch {
	case err != nil:
		return err
	case !loggers.Valid(level):
		return herder.Errorf(herder.NotFound, "invalid log level '%s'.", level)
	}
	switch scope := c.query("scope"); strings.ToLower(scope) {
	case "", "worker":
		names, err := c.h.opts.Levels.Set(name, level)
		return c.replyOr(err, names)
	case "cluster":
		return c.empty(http.StatusNoContent, c.h.opts.Herder.SetLevel(c.ctx(), name, level))
	default:
		return badRequest("scope=%s is neither worker nor cluster", scope)
	}
}
