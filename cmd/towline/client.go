package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// client speaks to a running towline.
type client struct {
	address, dir string
	user, ca     string
	json         bool
}

// flags declares the flags of commands that ask a running one.
func (c *client) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.address, "address", "", "`address` of the running one, host:port or https://host:port; else it is found by its data folder")
	fs.StringVar(&c.dir, "data-dir", "towline-data", "data `folder` of the running one")
	fs.StringVar(&c.user, "user", "", "`name` of an account; its password is in the variable TOWLINE_PASSWORD. A token is in TOWLINE_TOKEN")
	fs.StringVar(&c.ca, "cacert", "", "PEM `file` with the certificates that sign that of the running one")
}

// base returns the URL of the running one.
func (c *client) base() (string, error) {
	addr, err := runningAddress(c.address, c.dir)
	if err != nil || strings.Contains(addr, "://") {
		return strings.TrimSuffix(addr, "/"), err
	}
	return "http://" + addr, nil
}

func (c *client) transport() (*http.Transport, error) {
	t := &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}
	if c.ca == "" {
		return t, nil
	}
	pem, err := os.ReadFile(c.ca)
	if err != nil {
		return nil, usageError{"-cacert: " + err.Error()}
	}
	t.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, usageError{fmt.Sprintf("-cacert: %s has no certificate in PEM", c.ca)}
	}
	return t, nil
}

// ask sends a request and returns the body of its answer. body is nil, or JSON.
func (c *client) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return nil, usageError{err.Error()}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token := os.Getenv("TOWLINE_TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if c.user != "" {
		req.SetBasicAuth(c.user, os.Getenv("TOWLINE_PASSWORD"))
	}
	t, err := c.transport()
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return nil, envError{fmt.Errorf("towline does not answer: %w", err)}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return answer, nil
	}
	var e struct{ Message string }
	if json.Unmarshal(answer, &e) != nil || e.Message == "" {
		e.Message = fmt.Sprintf("%s answers %s", base, resp.Status)
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		e.Message += " Name an account with -user and TOWLINE_PASSWORD, or give a token in TOWLINE_TOKEN."
	case http.StatusBadRequest, http.StatusNotFound:
		return nil, usageError{e.Message}
	}
	return nil, fmt.Errorf("%s", e.Message)
}

// into is ask for an answer that is read into out.
func (c *client) into(ctx context.Context, path string, out any) ([]byte, error) {
	answer, err := c.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return nil, fmt.Errorf("the answer to %s is not what was expected: %w", path, err)
	}
	return answer, nil
}
