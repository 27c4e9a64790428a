package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// access is who may use a route.
type access int

const (
	reads   access = iota // who may read
	rows                  // who may read what is in tables
	signals               // who may ask a source for a copy
	changes               // who may change connectors
)

// route is one method of one path.
type route struct {
	method, path string
	access       access
	waits        bool // it may take longer than requestTimeout
	what         string
	do           func(c *call) error
}

// call is a request under way.
type call struct {
	h  *Handler
	rw http.ResponseWriter
	r  *http.Request
}

// Handler answers all routes.
type Handler struct {
	opts     Options
	accounts accounts
	routes   []route
	mux      *http.ServeMux
}

// New returns the Handler of all routes.
func New(opts Options) *Handler {
	h := &Handler{opts: opts, accounts: newAccounts(opts.Accounts), mux: http.NewServeMux()}
	h.routes = slices.Concat(workerRoutes(), connectorRoutes(), offsetRoutes(), pluginRoutes(), ownRoutes(), letterRoutes())
	methods := map[string][]string{}
	for _, rt := range h.routes {
		pattern := strings.TrimSuffix(rt.path, "/")
		if pattern == "" {
			pattern = "/{$}"
		}
		h.mux.HandleFunc(rt.method+" "+pattern, func(rw http.ResponseWriter, r *http.Request) { h.serve(rt, rw, r) })
		methods[pattern] = append(methods[pattern], rt.method)
	}
	for pattern, allowed := range methods {
		h.mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Allow", strings.Join(allowed, ", "))
			if r.Method == http.MethodOptions {
				rw.WriteHeader(http.StatusOK)
				return
			}
			fail(rw, http.StatusMethodNotAllowed, "HTTP 405 Method Not Allowed")
		})
	}
	h.mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) { fail(rw, http.StatusNotFound, "HTTP 404 Not Found") })
	return h
}

// serve answers one request by its route.
func (h *Handler) serve(rt route, rw http.ResponseWriter, r *http.Request) {
	if err := h.permit(r, &rt); err != nil {
		if answerCode(err) == http.StatusUnauthorized {
			rw.Header().Set("WWW-Authenticate", `Basic realm="towline"`)
		}
		answer(rw, err)
		return
	}
	if !rt.waits {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		r = r.WithContext(ctx)
	}
	r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
	if err := rt.do(&call{h: h, rw: rw, r: r}); err != nil {
		if code := answer(rw, err); code >= http.StatusInternalServerError && code != http.StatusGatewayTimeout {
			h.opts.Logger.Warn("a request has failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
	}
}

// workerRoutes are those about the worker itself.
func workerRoutes() []route {
	return []route{
		{"GET", "/", reads, false, "Which program and cluster this is.", func(c *call) error {
			cluster, err := c.h.opts.Herder.Cluster(c.ctx())
			if err != nil {
				return err
			}
			return c.reply(http.StatusOK, map[string]string{"version": c.h.opts.Version, "commit": c.h.opts.Commit, "kafka_cluster_id": cluster.ID})
		}},
		{"GET", "/health", reads, false, "Whether requests can be answered.", (*call).health},
		{"GET", "/metrics", reads, false, "All numbers, as Prometheus reads them; tables=false leaves out those of single tables.", (*call).metrics},
	}
}

// connectorRoutes are those about connectors and their tasks.
func connectorRoutes() []route {
	const one = "/connectors/{connector}"
	return []route{
		{"GET", "/connectors", reads, false, "The names of all connectors; expand=status and expand=info tell more.", (*call).list},
		{"POST", "/connectors", changes, false, "Makes a connector.", (*call).create},
		{"GET", one, reads, false, "A connector.", (*call).info},
		{"DELETE", one, changes, false, "Ends a connector and forgets its configuration. Its offsets stay.", (*call).remove},
		{"GET", one + "/config", reads, false, "Its configuration, with secrets hidden.", (*call).config},
		{"PUT", one + "/config", changes, false, "Makes a connector, or gives it another configuration.", (*call).configure},
		{"PATCH", one + "/config", changes, false, "Changes keys of its configuration; null removes one.", (*call).patch},
		{"GET", one + "/status", reads, false, "What it and its tasks do.", (*call).status},
		{"GET", one + "/tasks", reads, false, "Its tasks.", (*call).tasks},
		{"GET", one + "/tasks-config", reads, false, "The configurations of its tasks, by task.", (*call).tasksConfig},
		{"GET", one + "/tasks/{task}/status", reads, false, "What a task does.", (*call).taskStatus},
		{"POST", one + "/tasks/{task}/restart", changes, false, "Starts a task anew.", (*call).restartTask},
		{"POST", one + "/restart", changes, false, "Starts a connector anew; includeTasks its tasks too, onlyFailed only what has failed.", (*call).restart},
		{"PUT", one + "/pause", changes, false, "Has its tasks rest.", aim("PAUSED", http.StatusAccepted)},
		{"PUT", one + "/resume", changes, false, "Has its tasks run.", aim("RUNNING", http.StatusAccepted)},
		{"PUT", one + "/stop", changes, false, "Has its tasks end; its offsets can be changed then.", aim("STOPPED", http.StatusNoContent)},
	}
}

// pluginRoutes are those about what connectors may be made of.
func pluginRoutes() []route {
	return []route{
		{"GET", "/connector-plugins", reads, false, "All kinds of connectors; with connectorsOnly=false also transforms, predicates and converters.", (*call).plugins},
		{"GET", "/connector-plugins/{plugin}/config", reads, false, "What a plug-in can be configured with.", (*call).pluginConfig},
		// Who may ask this learns which files and variables of the machine there are.
		{"PUT", "/connector-plugins/{plugin}/config/validate", changes, false, "What is wrong with a configuration.", (*call).validate},
	}
}

// ownRoutes are those that only Towline has.
func ownRoutes() []route {
	return []route{
		{"GET", "/v1/status", reads, true, "All connectors with tables, lag and what limits them; wait=30s waits until all that is committed has arrived.", (*call).overview},
		{"POST", "/v1/signals", signals, false, "Hands a signal to a source, such as execute-snapshot.", (*call).signal},
		{"GET", "/v1/cluster", reads, false, "Which workers there are.", func(c *call) error {
			cluster, err := c.h.opts.Herder.Cluster(c.ctx())
			return c.replyOr(err, cluster)
		}},
	}
}

func (c *call) ctx() context.Context { return c.r.Context() }

// name returns the connector that the path names.
func (c *call) name() string { return c.r.PathValue("connector") }

// flag returns a parameter that is true or false.
func (c *call) flag(name string, otherwise bool) bool {
	v := c.r.URL.Query().Get(name)
	if v == "" {
		return otherwise
	}
	return strings.EqualFold(v, "true")
}

// location returns the path of a connector.
func location(name string) string { return fmt.Sprintf("/connectors/%s", escape(name)) }
