package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/worker"
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
	query        string // its parameters; see params
	in           any    // what is sent, as a value of its type; nil: nothing
	out          answers
	do           func(c *call) error
}

// answers are what a route answers with, by code, as values of their types; nil is
// an answer without a body. Codes of errors are left out, unless their body is
// another than that of all errors.
type answers map[int]any

func ok(body any) answers { return answers{http.StatusOK: body} }

// no is an answer of a code alone.
func no(code int) answers { return answers{code: nil} }

// pattern returns what the mux knows the path by.
func (rt *route) pattern() string {
	if rt.path == "/" {
		return "/{$}"
	}
	return rt.path
}

// call is a request under way.
type call struct {
	h  *Handler
	rt *route
	rw http.ResponseWriter
	r  *http.Request
}

// Handler answers all routes.
type Handler struct {
	opts     Options
	accounts accounts
	routes   []route
	mux      *http.ServeMux
	limits
}

// New returns the Handler of all routes.
func New(opts Options) *Handler {
	h := &Handler{opts: opts, accounts: newAccounts(opts.Accounts), mux: http.NewServeMux(), limits: newLimits()}
	h.routes = slices.Concat(workerRoutes(), connectorRoutes(), offsetRoutes(), pluginRoutes(), loggerRoutes(), ownRoutes(), letterRoutes(), schemaRoutes())
	methods := map[string][]string{}
	for _, rt := range h.routes {
		pattern := rt.pattern()
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
	leave, err := h.enter(rw, &rt)
	if err != nil {
		answer(rw, err)
		return
	}
	defer leave()
	if !rt.waits {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		r = r.WithContext(ctx)
	}
	r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
	if err := rt.do(&call{h: h, rt: &rt, rw: rw, r: r}); err != nil {
		if code := answer(rw, err); code >= http.StatusInternalServerError && code != http.StatusGatewayTimeout {
			h.opts.Logger.Warn("a request has failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
	}
}

// workerRoutes are those about the worker itself.
func workerRoutes() []route {
	return []route{
		{"GET", "/", reads, false, "Which program and cluster this is.", "", nil, ok(program{}), (*call).program},
		{"GET", "/health", reads, false, "Whether requests can be answered.", "", nil, answers{200: health{}, 503: health{}, 500: health{}}, (*call).health},
		{"GET", "/metrics", reads, false, "All numbers, as Prometheus reads them; tables=false leaves out those of single tables.", "tables:boolean", nil, ok(plain("")), (*call).metrics},
	}
}

// connectorRoutes are those about connectors and their tasks.
func connectorRoutes() []route {
	const one = "/connectors/{connector}"
	return []route{
		{"GET", "/connectors", reads, false, "The names of all connectors; expand=status and expand=info tell more.", "expand:status,info", nil, ok(either{[]string{}, map[string]expanded{}}), (*call).list},
		{"POST", "/connectors", changes, false, "Makes a connector.", "", creation{}, answers{201: herder.Info{}}, (*call).create},
		{"GET", one, reads, false, "A connector.", "", nil, ok(herder.Info{}), (*call).info},
		{"DELETE", one, changes, false, "Ends a connector and forgets its configuration. Its offsets stay.", "", nil, no(204), (*call).remove},
		{"GET", one + "/config", reads, false, "Its configuration, with secrets hidden.", "", nil, ok(map[string]string{}), (*call).config},
		{"PUT", one + "/config", changes, false, "Makes a connector, or gives it another configuration.", "", settable{}, answers{200: herder.Info{}, 201: herder.Info{}}, (*call).configure},
		{"PATCH", one + "/config", changes, false, "Changes keys of its configuration; null removes one.", "", settable{}, ok(herder.Info{}), (*call).patch},
		{"GET", one + "/status", reads, false, "What it and its tasks do.", "", nil, ok(herder.State{}), (*call).status},
		{"GET", one + "/tasks", reads, false, "Its tasks.", "", nil, ok([]taskInfo{}), (*call).tasks},
		{"GET", one + "/tasks-config", reads, false, "The configurations of its tasks, by task.", "", nil, ok(map[string]map[string]string{}), (*call).tasksConfig},
		{"GET", one + "/tasks/{task}/status", reads, false, "What a task does.", "", nil, ok(herder.TaskState{}), (*call).taskStatus},
		{"POST", one + "/tasks/{task}/restart", changes, false, "Starts a task anew.", "", nil, no(204), (*call).restartTask},
		{"POST", one + "/restart", changes, false, "Starts a connector anew; includeTasks its tasks too, onlyFailed only what has failed.", "includeTasks:boolean onlyFailed:boolean", nil, answers{202: herder.State{}, 204: nil}, (*call).restart},
		{"PUT", one + "/pause", changes, false, "Has its tasks rest.", "", nil, no(202), aim("PAUSED", http.StatusAccepted)},
		{"PUT", one + "/resume", changes, false, "Has its tasks run.", "", nil, no(202), aim("RUNNING", http.StatusAccepted)},
		{"PUT", one + "/stop", changes, false, "Has its tasks end; its offsets can be changed then.", "", nil, no(204), aim("STOPPED", http.StatusNoContent)},
	}
}

// pluginRoutes are those about what connectors may be made of.
func pluginRoutes() []route {
	return []route{
		{"GET", "/connector-plugins", reads, false, "All kinds of connectors; with connectorsOnly=false also transforms, predicates and converters.", "connectorsOnly:boolean", nil, ok([]pluginInfo{}), (*call).plugins},
		{"GET", "/connector-plugins/{plugin}/config", reads, false, "What a plug-in can be configured with.", "", nil, ok([]keyInfo{}), (*call).pluginConfig},
		// Who may ask this learns which files and variables of the machine there are.
		{"PUT", "/connector-plugins/{plugin}/config/validate", changes, false, "What is wrong with a configuration.", "", settable{}, ok(configInfos{}), (*call).validate},
	}
}

// ownRoutes are those that only Towline has.
func ownRoutes() []route {
	return []route{
		{"GET", "/v1/status", reads, true, "All connectors with tables, lag and what limits them; wait=30s waits until all that is committed has arrived.", "wait", nil, answers{200: worker.Status{}}, (*call).overview},
		{"POST", "/v1/signals", signals, false, "Hands a signal to a source, such as execute-snapshot.", "connector", connect.Signal{}, ok(carried{}), (*call).signal},
		{"GET", "/v1/cluster", reads, false, "Which workers there are.", "", nil, ok(herder.Cluster{}), func(c *call) error {
			cluster, err := c.h.opts.Herder.Cluster(c.ctx())
			return c.replyOr(err, cluster)
		}},
		{"GET", "/openapi.json", reads, false, "All of this, as OpenAPI 3 has it.", "", nil, ok(map[string]any{}), func(c *call) error {
			return c.reply(http.StatusOK, c.h.description())
		}},
	}
}

func (c *call) ctx() context.Context { return c.r.Context() }

// name returns the connector that the path names.
func (c *call) name() string { return c.r.PathValue("connector") }

// query returns a parameter. Those that the route does not declare are not there.
func (c *call) query(name string) string {
	if !slices.ContainsFunc(c.rt.params(), func(p param) bool { return p.name == name }) {
		return ""
	}
	return c.r.URL.Query().Get(name)
}

// flag returns a parameter that is true or false.
func (c *call) flag(name string, otherwise bool) bool {
	v := c.query(name)
	if v == "" {
		return otherwise
	}
	return strings.EqualFold(v, "true")
}

// location returns the path of a connector.
func location(name string) string { return fmt.Sprintf("/connectors/%s", escape(name)) }
