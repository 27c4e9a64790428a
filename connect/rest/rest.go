// Package rest is the HTTP side of a worker: Kafka Connect's REST API, with its
// paths, codes and texts, and beside it what only Towline has, under /v1.
// deploy/rest.md is its description for users.
//
// It knows connectors through a herder.Herder only, so it is the same whether
// they run in this process or elsewhere. Every route stands in one table, in
// routes.go, with who may use it.
//
// # Who may ask what
//
// See guard.go: requests that change something come from this machine only,
// unless whoever sends them has shown who he is; and never from a page in
// somebody's browser.
//
// # Errors
//
// All have Kafka Connect's form: {"error_code": 404, "message": "..."}.
package rest

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/loggers"
)

// Options are what the handler of all routes needs.
type Options struct {
	Herder      herder.Herder
	Log         func() connect.Log // the one in use; nil if there is none yet
	Registry    *config.Registry
	Metrics     prometheus.Gatherer
	TaskMetrics prometheus.Gatherer // the same without what is of single tables
	Logger      *slog.Logger
	Version     string // of the program
	Commit      string // that it was built from
	// Accounts are who may ask; none: see guard.go.
	Accounts []Account
	Levels   *loggers.Levels // what is logged
	// Origins are sites whose pages may ask: scheme://host[:port].
	Origins []string
	// NoTopics: which topics connectors use is not on show. KeepTopics: it is
	// not forgotten.
	NoTopics, KeepTopics bool
}

// Limits of what one caller may take.
const (
	headerTimeout  = 10 * time.Second // until the header of a request is there
	bodyTimeout    = 60 * time.Second // until all of it is
	idleTimeout    = 2 * time.Minute  // of a connection between requests
	maxHeader      = 64 << 10         // bytes
	maxBody        = 1 << 20          // bytes
	requestTimeout = 90 * time.Second // of work on one, but for those that are asked to wait
	answerTimeout  = 30 * time.Second // until the answer is taken
	maxRequests    = 64               // under way at once
	maxWaiting     = 32               // that are asked to wait, beside those
)

// Serve answers requests on l until ctx ends.
func Serve(ctx context.Context, l net.Listener, h *Handler) error {
	srv := &http.Server{Handler: h.on(l.Addr()), ReadHeaderTimeout: headerTimeout, ReadTimeout: h.bodyTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(h.opts.Logger.Handler(), slog.LevelDebug)}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if srv.Shutdown(sctx) != nil {
		srv.Close()
	}
	<-done
	return nil
}
