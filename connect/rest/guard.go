package rest

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Two dangers are met here. Other machines: whoever reaches a port of the
// machine could change connectors, read files of the host through them and
// write what he likes to their targets. So what comes in by an address that is
// not the loopback one may only read, and no rows of tables. And browsers: a page of any site may
// send requests to this machine from its user's browser. Such requests bear
// their origin, and are refused if they would change something; and a site that
// makes its own name point here is refused by that name.
//
// Where accounts are configured, or certificates of clients, whoever has shown
// who he is may do what his role lets him, from anywhere; all others may ask
// for /health alone.

// caller is what is known of who sent a request.
type caller struct {
	local bool // it came in by the loopback address
	role  Role // if there are accounts
	shown bool // by a certificate who he is
}

type callerKey struct{}

// on returns the handler for requests that come in at addr.
func (h *Handler) on(addr net.Addr) http.Handler {
	local := isLoopback(addr.String())
	cross := http.NewCrossOriginProtection()
	for _, origin := range h.opts.Origins {
		if err := cross.AddTrustedOrigin(origin); err != nil {
			h.opts.Logger.Error("the origin is not trusted", "origin", origin, "error", err) // it was checked before
		}
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		allowTime(rw, requestTimeout+answerTimeout)
		if local && len(h.accounts) == 0 && !localName(r.Host) {
			fail(rw, http.StatusForbidden, "this worker is asked by the address of its own machine, and not as "+r.Host)
			return
		}
		if err := cross.Check(r); err != nil {
			fail(rw, http.StatusForbidden, "a page of another site cannot change anything here: "+err.Error())
			return
		}
		if p := r.URL.Path; len(p) > 1 && strings.HasSuffix(p, "/") {
			u := *r.URL
			u.Path, u.RawPath = strings.TrimRight(p, "/"), ""
			if u.Path == "" {
				u.Path = "/"
			}
			r2 := *r
			r2.URL = &u
			r = &r2
		}
		if h.allowOrigin(rw, r) {
			return
		}
		who := caller{local: local, role: h.accounts.role(r), shown: r.TLS != nil && len(r.TLS.VerifiedChains) > 0}
		h.mux.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	})
}

// allowOrigin lets pages of trusted sites see answers. It reports whether r was
// a question about that alone.
func (h *Handler) allowOrigin(rw http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(h.opts.Origins, origin) {
		return false
	}
	rw.Header().Set("Access-Control-Allow-Origin", origin)
	rw.Header().Add("Vary", "Origin")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	rw.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
	rw.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	rw.WriteHeader(http.StatusNoContent)
	return true
}

// permit returns an error if who sent r may not use a route.
func (h *Handler) permit(r *http.Request, rt *route) error {
	from, _ := r.Context().Value(callerKey{}).(caller)
	switch {
	case rt.path == "/health":
	case len(h.accounts) > 0 && from.role == Nobody:
		return &httpError{code: http.StatusUnauthorized, text: "User cannot access the resource."}
	case len(h.accounts) > 0 && from.role != Admin && rt.access != reads && rt.access != rows:
		return &httpError{code: http.StatusForbidden, text: "this account may read and change nothing"}
	case len(h.accounts) > 0 || from.shown:
	case rt.access == rows && !from.local:
		return &httpError{code: http.StatusForbidden, text: "this address is open to other machines, and what is in tables is not shown through it to whoever comes; " +
			"ask by the address 127.0.0.1 of the machine itself, or configure accounts (rest.user.<name>.password) or certificates"}
	case rt.access == changes && !from.local:
		return &httpError{code: http.StatusForbidden, text: "this address is open to other machines, and connectors cannot be changed through it by whoever comes; " +
			"ask by the address 127.0.0.1 of the machine itself, or configure accounts (rest.user.<name>.password) or certificates"}
	}
	return nil
}

func isLoopback(addr string) bool {
	ap, err := netip.ParseAddrPort(addr)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// localName reports whether the name in a request is one of this machine: an
// address, or localhost. No site can have it.
func localName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "" || strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost")
}
