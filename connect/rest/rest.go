// Package rest serves what operators and machines ask a running worker over
// HTTP: health, metrics in Prometheus form, and status; and takes the signals
// that they send.
//
//	GET /health             200 once the worker runs
//	GET /metrics            Prometheus text
//	GET /v1/status          worker.Status as JSON
//	GET /v1/status?wait=30s the same, once all that was committed when asked has arrived; 504 if it has not by then
//	POST /v1/signals?connector=NAME a connect.Signal as application/json; 200 with what it does once that is durable
//
// It listens on the loopback address unless told otherwise. Errors have
// Kafka Connect's form: {"error_code": 504, "message": "..."}.
package rest

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/worker"
)

// statusTimeout bounds how long sources may take to answer.
const statusTimeout = 5 * time.Second

// Handler returns the handler of all routes.
func Handler(w *worker.Worker, reg *prometheus.Registry, version string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(rw http.ResponseWriter, r *http.Request) {
		reply(rw, http.StatusOK, map[string]string{"version": version})
	})
	mux.HandleFunc("GET /health", func(rw http.ResponseWriter, r *http.Request) {
		reply(rw, http.StatusOK, map[string]string{"status": "healthy",
			"message": "Worker has completed startup and is ready to handle requests."})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /v1/status", func(rw http.ResponseWriter, r *http.Request) { status(rw, r, w) })
	mux.HandleFunc("POST /v1/signals", func(rw http.ResponseWriter, r *http.Request) { signal(rw, r, w) })
	return mux
}

// signalTimeout bounds how long a signal may take to be durable.
const signalTimeout = 30 * time.Second

func signal(rw http.ResponseWriter, r *http.Request, w *worker.Worker) {
	// A page in somebody's browser cannot send this type to another site.
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		fail(rw, http.StatusUnsupportedMediaType, "a signal is sent as application/json")
		return
	}
	var s connect.Signal
	dec := json.NewDecoder(http.MaxBytesReader(rw, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		fail(rw, http.StatusBadRequest, "a signal is {\"id\": ..., \"type\": ..., \"data\": {...}}: "+err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), signalTimeout)
	defer cancel()
	did, err := w.Signal(ctx, r.URL.Query().Get("connector"), s)
	switch {
	case connect.IsPermanent(err):
		fail(rw, http.StatusBadRequest, err.Error())
	case err != nil:
		fail(rw, http.StatusServiceUnavailable, err.Error())
	default:
		reply(rw, http.StatusOK, map[string]any{"did": did})
	}
}

func status(rw http.ResponseWriter, r *http.Request, w *worker.Worker) {
	if wait := r.URL.Query().Get("wait"); wait != "" {
		d, err := time.ParseDuration(wait)
		if err != nil || d <= 0 {
			fail(rw, http.StatusBadRequest, "wait="+wait+" is not a duration such as 30s")
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), d)
		err = w.Wait(ctx)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			fail(rw, http.StatusGatewayTimeout, "not all has arrived within "+wait+": "+err.Error())
			return
		case err != nil:
			fail(rw, http.StatusInternalServerError, err.Error())
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	reply(rw, http.StatusOK, w.Status(ctx))
}

func reply(rw http.ResponseWriter, code int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(body) // the client may be gone: nothing to do
}

func fail(rw http.ResponseWriter, code int, message string) {
	reply(rw, code, map[string]any{"error_code": code, "message": message})
}

// Serve answers requests on l until ctx ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
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
