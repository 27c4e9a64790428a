package rest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/worker"
)

// expanded is what the list of connectors tells of one, as asked for.
type expanded struct {
	Info   *herder.Info  `json:"info,omitempty"`
	Status *herder.State `json:"status,omitempty"`
}

// creation is what makes a connector.
type creation struct {
	Name   string   `json:"name,omitempty"`
	Config settable `json:"config"`
	State  string   `json:"initial_state,omitempty"` // RUNNING, PAUSED or STOPPED
}

// settable is a configuration as it is sent: numbers and booleans are taken as
// their text and, where keys are changed, null removes one.
type settable map[string]any

// list answers with the names or, expanded, with more of each.
func (c *call) list() error {
	names, err := c.h.opts.Herder.List(c.ctx())
	if err != nil {
		return err
	}
	var expand []string
	if c.query("expand") != "" {
		for _, e := range c.r.URL.Query()["expand"] {
			expand = append(expand, strings.Split(e, ",")...)
		}
	}
	if len(expand) == 0 {
		return c.reply(http.StatusOK, names)
	}
	all := map[string]expanded{}
	for _, name := range names {
		var more expanded
		if slices.Contains(expand, "status") {
			st, err := c.h.opts.Herder.Status(c.ctx(), name)
			if err != nil {
				continue // it has gone meanwhile
			}
			more.Status = &st
		}
		if slices.Contains(expand, "info") {
			info, err := c.h.opts.Herder.Info(c.ctx(), name)
			if err != nil {
				continue
			}
			more.Info = &info
		}
		all[name] = more
	}
	return c.reply(http.StatusOK, all)
}

// create makes a connector.
func (c *call) create() error {
	data, err := c.body()
	if err != nil {
		return err
	}
	m, err := object(data, "name", "config", "initial_state")
	if err != nil {
		return err
	}
	var name, state string
	for key, to := range map[string]*string{"name": &name, "initial_state": &state} {
		if raw, ok := m[key]; ok && string(raw) != "null" && json.Unmarshal(raw, to) != nil {
			return badRequest("%q is not a text", key)
		}
	}
	fields, err := object(m["config"])
	if m["config"] == nil || err != nil {
		return badRequest(`a connector is {"name": ..., "config": {"connector.class": ..., ...}}, and optionally "initial_state"`)
	}
	cfg, err := configOf(fields)
	if err != nil {
		return err
	}
	if name = strings.TrimSpace(name); name == "" {
		name = cfg["name"]
	}
	target, err := targetOf(state)
	if err != nil {
		return err
	}
	info, err := c.h.opts.Herder.Create(c.ctx(), name, cfg, target)
	if err != nil {
		return err
	}
	c.rw.Header().Set("Location", location(name))
	return c.reply(http.StatusCreated, info)
}

func targetOf(state string) (worker.Target, error) {
	t := worker.Target(strings.ToUpper(state))
	switch t {
	case "":
		return worker.TargetRunning, nil
	case worker.TargetRunning, worker.TargetPaused, worker.TargetStopped:
		return t, nil
	}
	return "", badRequest("initial_state %q is not one of RUNNING, PAUSED, STOPPED", state)
}

func (c *call) info() error {
	info, err := c.h.opts.Herder.Info(c.ctx(), c.name())
	return c.replyOr(err, info)
}

func (c *call) config() error {
	info, err := c.h.opts.Herder.Info(c.ctx(), c.name())
	return c.replyOr(err, info.Config)
}

func (c *call) configure() error {
	cfg, err := c.configBody()
	if err != nil {
		return err
	}
	info, created, err := c.h.opts.Herder.Configure(c.ctx(), c.name(), cfg)
	if err != nil {
		return err
	}
	if created {
		c.rw.Header().Set("Location", location(c.name()))
		return c.reply(http.StatusCreated, info)
	}
	return c.reply(http.StatusOK, info)
}

func (c *call) patch() error {
	data, err := c.body()
	if err != nil {
		return err
	}
	m, err := object(data)
	if err != nil {
		return err
	}
	changes, err := settings(m, true)
	if err != nil {
		return err
	}
	info, err := c.h.opts.Herder.Patch(c.ctx(), c.name(), changes)
	return c.replyOr(err, info)
}

func (c *call) remove() error {
	return c.empty(http.StatusNoContent, c.h.opts.Herder.Delete(c.ctx(), c.name()))
}

func (c *call) status() error {
	st, err := c.h.opts.Herder.Status(c.ctx(), c.name())
	return c.replyOr(err, st)
}

// taskInfo is a task and what it is configured with.
type taskInfo struct {
	ID     herder.TaskID     `json:"id"`
	Config map[string]string `json:"config"`
}

func (c *call) tasks() error {
	info, err := c.h.opts.Herder.Info(c.ctx(), c.name())
	list := []taskInfo{}
	for _, t := range info.Tasks {
		list = append(list, taskInfo{t, info.Config})
	}
	return c.replyOr(err, list)
}

func (c *call) tasksConfig() error {
	info, err := c.h.opts.Herder.Info(c.ctx(), c.name())
	all := map[string]map[string]string{}
	for _, t := range info.Tasks {
		all[t.Connector+"-"+strconv.Itoa(t.Task)] = info.Config
	}
	return c.replyOr(err, all)
}

// task returns the number of the task that the path names.
func (c *call) task() (int, error) {
	n, err := strconv.Atoi(c.r.PathValue("task"))
	if err != nil {
		return 0, &httpError{code: http.StatusNotFound, text: "HTTP 404 Not Found"}
	}
	return n, nil
}

func (c *call) taskStatus() error {
	n, err := c.task()
	if err != nil {
		return err
	}
	st, err := c.h.opts.Herder.Status(c.ctx(), c.name())
	if err == nil {
		for _, t := range st.Tasks {
			if t.ID == n {
				return c.reply(http.StatusOK, t)
			}
		}
	}
	var fault *herder.Error
	if err != nil && !asNotFound(err, &fault) {
		return err
	}
	return herder.Errorf(herder.NotFound, "No status found for task %s-%d", c.name(), n)
}

func (c *call) restartTask() error {
	n, err := c.task()
	if err != nil {
		return err
	}
	return c.empty(http.StatusNoContent, c.h.opts.Herder.RestartTask(c.ctx(), c.name(), n))
}

func (c *call) restart() error {
	tasks, failed := c.flag("includeTasks", false), c.flag("onlyFailed", false)
	st, err := c.h.opts.Herder.Restart(c.ctx(), c.name(), tasks, failed)
	switch {
	case err != nil:
		return err
	case !tasks && !failed:
		return c.empty(http.StatusNoContent, nil)
	}
	return c.reply(http.StatusAccepted, st)
}

// aim returns what answers requests for a target.
func aim(target worker.Target, code int) func(*call) error {
	return func(c *call) error { return c.empty(code, c.h.opts.Herder.Aim(c.ctx(), c.name(), target)) }
}
