package rest

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Two dangers are met here. Other machines: whoever reaches a port of the
// machine could change connectors, read files of the host through them and
// write what he likes to their targets. So what comes in by an address that is
// not the loopback one may only read. And browsers: a page of any site may
// send requests to this machine from its user's browser. Such requests bear
// their origin, and are refused if they would change something; and a site that
// makes its own name point here is refused by that name.

// caller is what is known of who sent a request.
type caller struct {
	local bool // it came in by the loopback address
}

type callerKey struct{}

// on returns the handler for requests that come in at addr.
func (h *Handler) on(addr net.Addr) http.Handler {
	local := isLoopback(addr.String())
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if local && !localName(r.Host) {
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
		h.mux.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller{local: local})))
	})
}

// permit returns an error if who sent r may not use a route.
func permit(r *http.Request, a access) error {
	from, _ := r.Context().Value(callerKey{}).(caller)
	if a == changes && !from.local {
		return &httpError{http.StatusForbidden, "this address is open to other machines, and connectors cannot be changed through it; " +
			"ask by the address 127.0.0.1 of the machine itself"}
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
