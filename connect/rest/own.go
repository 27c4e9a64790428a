package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/herder"
)

// program is what this is.
type program struct {
	Commit  string `json:"commit"`
	Cluster string `json:"kafka_cluster_id"`
	Version string `json:"version"`
}

func (c *call) program() error {
	cluster, err := c.h.opts.Herder.Cluster(c.ctx())
	return c.replyOr(err, program{c.h.opts.Commit, cluster.ID, c.h.opts.Version})
}

// statusTimeout bounds how long sources may take to answer.
const statusTimeout = 5 * time.Second

// signalTimeout bounds how long a signal may take to be durable.
const signalTimeout = 30 * time.Second

func asNotFound(err error, fault **herder.Error) bool {
	return errors.As(err, fault) && (*fault).Kind == herder.NotFound
}

// health is whether a worker can answer.
type health struct {
	Message string `json:"message"`
	Status  string `json:"status"` // healthy, starting or unhealthy
}

// health answers whether the worker can.
func (c *call) health() error {
	ctx, cancel := context.WithTimeout(c.ctx(), 10*time.Second)
	defer cancel()
	code, status, text := http.StatusOK, "healthy", "Worker has completed startup and is ready to handle requests."
	switch err := c.h.opts.Herder.Health(ctx); {
	case errors.Is(err, herder.ErrStarting):
		code, status, text = http.StatusServiceUnavailable, "starting", "Worker is still starting up."
	case err != nil:
		code, status, text = http.StatusInternalServerError, "unhealthy", "Worker was unable to handle this request and may be unable to handle other requests."
		c.h.opts.Logger.Warn("the worker is not healthy", "error", err)
	}
	return c.reply(code, health{text, status})
}

// metrics answers with all numbers, or those that are of no single table.
func (c *call) metrics() error {
	from := c.h.opts.Metrics
	switch v := c.query("tables"); v {
	case "", "true":
	case "false":
		from = c.h.opts.TaskMetrics
	default:
		return badRequest("tables=%s is neither true nor false", v)
	}
	promhttp.HandlerFor(from, promhttp.HandlerOpts{}).ServeHTTP(c.rw, c.r)
	return nil
}

// carried is what a signal meant for which table.
type carried struct {
	Did []string `json:"did"`
}

// signal hands a signal to a source.
func (c *call) signal() error {
	data, err := c.body()
	if err != nil {
		var he *httpError
		if errors.As(err, &he) && he.code == http.StatusUnsupportedMediaType {
			he.text = "a signal is sent as application/json"
		}
		return err
	}
	var s connect.Signal
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return badRequest("a signal is {\"id\": ..., \"type\": ..., \"data\": {...}}: %v", err)
	}
	ctx, cancel := context.WithTimeout(c.ctx(), signalTimeout)
	defer cancel()
	did, err := c.h.opts.Herder.Signal(ctx, c.query("connector"), s)
	var by *herder.Error
	switch {
	case errors.As(err, &by):
		return err
	case connect.IsPermanent(err):
		return badRequest("%v", err)
	case err != nil:
		return &httpError{code: http.StatusServiceUnavailable, text: err.Error()}
	}
	return c.reply(http.StatusOK, carried{did})
}

// overview answers with all that is known, at once or once all has arrived.
func (c *call) overview() error {
	if wait := c.query("wait"); wait != "" {
		d, err := time.ParseDuration(wait)
		if err != nil || d <= 0 {
			return badRequest("wait=%s is not a duration such as 30s", wait)
		}
		ctx, cancel := context.WithTimeout(c.ctx(), d)
		err = c.arrived(ctx)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return &httpError{code: http.StatusGatewayTimeout, text: "not all has arrived within " + wait + ": " + err.Error()}
		case err != nil:
			return err
		}
	}
	ctx, cancel := context.WithTimeout(c.ctx(), statusTimeout)
	defer cancel()
	return c.reply(http.StatusOK, c.h.opts.Herder.Overview(ctx))
}

// startPoll is how often a worker that starts is asked whether it has.
const startPoll = 20 * time.Millisecond

// arrived waits until the worker has started, for before it knows of no connector
// whose changes it could wait for, and then until all that is committed has
// arrived.
func (c *call) arrived(ctx context.Context) error {
	for {
		if err := c.h.opts.Herder.Health(ctx); !errors.Is(err, herder.ErrStarting) {
			return c.h.opts.Herder.Wait(ctx)
		}
		select {
		case <-time.After(startPoll):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), herder.ErrStarting)
		}
	}
}
