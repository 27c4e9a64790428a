package rest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// described returns the description, as clients see it.
func (r *rig) described(t *testing.T) node {
	t.Helper()
	a := r.ask("GET", "/openapi.json", "", "")
	var doc node
	if err := json.Unmarshal(a.Body.Bytes(), &doc); err != nil || a.Code != 200 {
		t.Fatalf("%d %s, %v", a.Code, a.Body, err)
	}
	return doc
}

// at returns a part of the description.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(node)
		v = m[k]
	}
	return v
}

func TestDescription(t *testing.T) {
	r := newRig(t)
	doc := r.described(t)
	ids := map[string]bool{}
	for i := range r.handler.routes {
		rt := &r.handler.routes[i]
		op := at(doc, "paths", rt.path, strings.ToLower(rt.method))
		id, _ := at(op, "operationId").(string)
		if id == "" || ids[id] || at(op, "summary") != rt.what || len(rt.out) == 0 {
			t.Errorf("%s %s is described as %v", rt.method, rt.path, op)
		}
		ids[id] = true
		for code := range rt.out {
			if at(op, "responses", strconv.Itoa(code), "description") == nil {
				t.Errorf("%s %s: no answer %d", rt.method, rt.path, code)
			}
		}
		if (at(op, "requestBody") != nil) != (rt.in != nil) {
			t.Errorf("%s %s: its body is %v", rt.method, rt.path, at(op, "requestBody"))
		}
	}
	n := 0
	for _, item := range at(doc, "paths").(node) {
		n += len(item.(node))
	}
	if n != len(ids) {
		t.Errorf("%d routes are described, and there are %d", n, len(ids))
	}
}

// fitsDescription returns what of a request and its answer is not as described.
func (h *Handler) fitsDescription(doc node, req *http.Request, body string, a *httptest.ResponseRecorder) error {
	_, pattern := h.mux.Handler(req)
	i := slices.IndexFunc(h.routes, func(rt route) bool { return rt.method+" "+rt.pattern() == pattern })
	if i < 0 {
		return nil // an error by the mux
	}
	op := at(doc, "paths", h.routes[i].path, strings.ToLower(req.Method))
	answer := at(op, "responses", strconv.Itoa(a.Code))
	if answer == nil && a.Code >= 400 {
		answer = at(op, "responses", "default")
	}
	if answer == nil {
		return fmt.Errorf("%s answers %d, which is not described", pattern, a.Code)
	}
	if err := contentFits(doc, at(answer, "content"), a.Body.String()); err != nil {
		return fmt.Errorf("the answer %d of %s: %w", a.Code, pattern, err)
	}
	if a.Code < 300 {
		if err := contentFits(doc, at(op, "requestBody", "content"), body); err != nil {
			return fmt.Errorf("the request of %s: %w", pattern, err)
		}
	}
	return nil
}

func contentFits(doc node, content any, text string) error {
	schema := at(content, "application/json", "schema")
	switch {
	case content == nil && text == "" || at(content, "text/plain") != nil:
		return nil
	case schema == nil || text == "":
		return fmt.Errorf("%q is not as described: %v", text, content)
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	return fits(doc, schema.(node), v)
}

// fits returns why a value is not as a schema describes it. What is not described
// does not fit.
func fits(doc, schema node, v any) error {
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		return fits(doc, at(doc, "components", "schemas", name).(node), v)
	}
	if v == nil {
		if schema["nullable"] == true || len(schema) == 0 {
			return nil
		}
		return fmt.Errorf("null is not %v", schema)
	}
	var of []any
	for _, key := range []string{"oneOf", "allOf"} {
		if list, ok := schema[key].([]any); ok {
			of = list
		}
	}
	for _, s := range of {
		if fits(doc, s.(node), v) == nil {
			return nil
		}
	}
	if of != nil {
		return fmt.Errorf("%v is none of %v", v, of)
	}
	kind := schema["type"]
	switch v := v.(type) {
	case string, bool, float64:
		if is := map[string]any{"string": "string", "bool": "boolean", "float64": "number"}[fmt.Sprintf("%T", v)]; kind != nil && is != kind && (kind != "integer" || is != "number") {
			return fmt.Errorf("%v is not %v", v, kind)
		}
	case []any:
		if kind != nil && kind != "array" {
			return fmt.Errorf("%v is not %v", v, kind)
		}
		for i := 0; kind != nil && i < len(v); i++ {
			if err := fits(doc, at(schema, "items").(node), v[i]); err != nil {
				return err
			}
		}
	case node:
		return fitsObject(doc, schema, v)
	}
	return nil
}

func fitsObject(doc, schema, v node) error {
	if schema["type"] == nil {
		return nil
	}
	if schema["type"] != "object" {
		return fmt.Errorf("%v is not %v", v, schema["type"])
	}
	required, _ := schema["required"].([]any)
	for _, key := range required {
		if _, ok := v[key.(string)]; !ok {
			return fmt.Errorf("%v has no %v", v, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		s, ok := at(schema, "properties", key).(node)
		if !ok {
			s, ok = at(schema, "additionalProperties").(node)
		}
		if !ok {
			return fmt.Errorf("%s is not described", key)
		}
		if err := fits(doc, s, v[key]); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}
