package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"

	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/herder"
)

// httpError is an error with the code that it is answered with.
type httpError struct {
	code   int
	text   string
	detail int // a finer code, for the body; 0: there is none
}

func (e *httpError) Error() string { return e.text }

func badRequest(format string, args ...any) error {
	return &httpError{code: http.StatusBadRequest, text: fmt.Sprintf(format, args...)}
}

// answerCode returns the code of an error that has one.
func answerCode(err error) int {
	var he *httpError
	if errors.As(err, &he) {
		return he.code
	}
	return 0
}

// answer answers with an error and returns the code.
func answer(rw http.ResponseWriter, err error) int {
	code, text := http.StatusInternalServerError, err.Error()
	var he *httpError
	var by *herder.Error
	switch {
	case errors.As(err, &he):
		code = he.code
	case errors.As(err, &by):
		code = map[herder.Kind]int{herder.Invalid: http.StatusBadRequest, herder.NotFound: http.StatusNotFound, herder.Exists: http.StatusConflict,
			herder.Forbidden: http.StatusForbidden, herder.Conflict: http.StatusConflict}[by.Kind]
	case errors.Is(err, herder.ErrStarting):
		code = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		text = "Request timed out. " + text
	}
	if he != nil && he.detail != 0 {
		reply(rw, code, fault{he.detail, text})
		return code
	}
	fail(rw, code, text)
	return code
}

// fault is the body of an error; the names are Kafka Connect's.
type fault struct {
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

func fail(rw http.ResponseWriter, code int, message string) {
	reply(rw, code, fault{code, message})
}

func reply(rw http.ResponseWriter, code int, body any) {
	allowTime(rw, answerTimeout)
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	enc := json.NewEncoder(rw)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // the client may be gone: nothing to do
}

func (c *call) reply(code int, body any) error {
	reply(c.rw, code, body)
	return nil
}

// replyOr answers with body, unless there is an error.
func (c *call) replyOr(err error, body any) error {
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, body)
}

// empty answers with a code alone.
func (c *call) empty(code int, err error) error {
	if err == nil {
		c.rw.WriteHeader(code)
	}
	return err
}

// body returns what was sent. A page in somebody's browser cannot send this
// type to another site without being asked.
func (c *call) body() ([]byte, error) {
	if kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); kind != "application/json" {
		return nil, &httpError{code: http.StatusUnsupportedMediaType, text: "HTTP 415 Unsupported Media Type"}
	}
	b, err := io.ReadAll(c.r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &httpError{code: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("the body has more than %d bytes", large.Limit)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.rw.Header().Set("Connection", "close") // what comes yet is of this body
		return nil, &httpError{code: http.StatusRequestTimeout, text: fmt.Sprintf("the body has not come within %s", c.h.bodyTimeout)}
	case err != nil:
		return nil, badRequest("the body could not be read: %v", err)
	}
	return b, nil
}

// object reads a JSON object of known keys, any if there are none.
func object(data []byte, known ...string) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&m); err != nil {
		return nil, badRequest("the body is not a JSON object: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, badRequest("the body has something behind its JSON object")
	}
	if m == nil {
		return nil, badRequest("the body is not a JSON object, but null")
	}
	for k := range m {
		if len(known) > 0 && !slices.Contains(known, k) {
			hint := ""
			if n := config.Nearest(k, known); n != "" {
				hint = "; did you mean " + n + "?"
			}
			return nil, badRequest("%q is not known here%s", k, hint)
		}
	}
	return m, nil
}

// settings reads a configuration. Numbers and booleans are taken as their
// text. A null is an error or, with nulls, kept as nil.
func settings(m map[string]json.RawMessage, nulls bool) (map[string]*string, error) {
	out := make(map[string]*string, len(m))
	for key, raw := range m {
		if nulls && string(raw) == "null" {
			out[key] = nil
			continue
		}
		text, err := config.Scalar(raw)
		if err != nil {
			return nil, badRequest("configuration key %q: %v", key, err)
		}
		out[key] = &text
	}
	return out, nil
}

// configBody reads a configuration that is the whole body.
func (c *call) configBody() (map[string]string, error) {
	data, err := c.body()
	if err != nil {
		return nil, err
	}
	m, err := object(data)
	if err != nil {
		return nil, err
	}
	return configOf(m)
}

func configOf(m map[string]json.RawMessage) (map[string]string, error) {
	s, err := settings(m, false)
	if err != nil {
		return nil, err
	}
	cfg := make(map[string]string, len(s))
	for k, v := range s {
		cfg[k] = *v
	}
	return cfg, nil
}

func escape(segment string) string { return url.PathEscape(segment) }
