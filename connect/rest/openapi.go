package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The description is made from the table of routes and the types of what goes in
// and comes out, so it cannot say anything else than the program does. The tables
// of requests and answers in testdata are held against it.

// plain is an answer that is text and no JSON.
type plain string

// either is an answer that is of one type or another.
type either []any

// param is a parameter of a request.
type param struct {
	name, kind string
	values     []string // nil: any
}

// params returns the parameters that follow the path: their names, each with its
// type behind a colon (text without one), or with the values that there are.
func (rt *route) params() []param {
	var list []param
	for _, text := range strings.Fields(rt.query) {
		name, kind, _ := strings.Cut(text, ":")
		p := param{name: name, kind: kind}
		switch kind {
		case "integer", "boolean":
		case "":
			p.kind = "string"
		default:
			p.kind, p.values = "string", strings.Split(kind, ",")
		}
		list = append(list, p)
	}
	return list
}

// node is a part of the description.
type node = map[string]any

// description returns the description of all routes, as OpenAPI 3.0 has it.
func (h *Handler) description() node {
	d := describer{schemas: node{}}
	paths := map[string]node{}
	for i := range h.routes {
		rt := &h.routes[i]
		if paths[rt.path] == nil {
			paths[rt.path] = node{}
		}
		paths[rt.path][strings.ToLower(rt.method)] = d.operation(rt)
	}
	return node{
		"openapi": "3.0.3",
		"info": node{"title": "Towline", "version": h.opts.Version,
			"description": "Kafka Connect's REST API, and what only Towline has under /v1."},
		"paths": paths,
		"components": node{"schemas": d.schemas, "securitySchemes": node{
			"password": node{"type": "http", "scheme": "basic"}, "token": node{"type": "http", "scheme": "bearer"}}},
		"security": []node{{}, {"password": []string{}}, {"token": []string{}}}, // the first: where there are no accounts
	}
}

// describer gathers the types that routes use.
type describer struct{ schemas node }

var inPath = regexp.MustCompile(`\{(\w+)\}`)

// operation describes a route.
func (d *describer) operation(rt *route) node {
	params := []node{}
	for _, m := range inPath.FindAllStringSubmatch(rt.path, -1) {
		params = append(params, node{"name": m[1], "in": "path", "required": true, "schema": node{"type": "string"}})
	}
	for _, p := range rt.params() {
		schema := node{"type": p.kind}
		if p.values != nil {
			schema["enum"] = p.values
		}
		params = append(params, node{"name": p.name, "in": "query", "schema": schema})
	}
	responses := node{"default": d.response("An error.", fault{})}
	for code, body := range rt.out {
		responses[strconv.Itoa(code)] = d.response(http.StatusText(code), body)
	}
	op := node{"operationId": operationID(rt), "summary": rt.what, "parameters": params, "responses": responses}
	if rt.in != nil {
		op["requestBody"] = node{"required": true, "content": d.content(rt.in)}
	}
	return op
}

// operationID names a route: getConnectorsConnectorStatus.
func operationID(rt *route) string {
	id := strings.ToLower(rt.method)
	for _, word := range regexp.MustCompile(`[a-zA-Z0-9]+`).FindAllString(rt.path, -1) {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

func (d *describer) response(what string, body any) node {
	if body == nil {
		return node{"description": what}
	}
	return node{"description": what, "content": d.content(body)}
}

func (d *describer) content(body any) node {
	switch body := body.(type) {
	case plain:
		return node{"text/plain": node{"schema": node{"type": "string"}}}
	case either:
		var list []node
		for _, b := range body {
			list = append(list, d.schema(reflect.TypeOf(b)))
		}
		return node{"application/json": node{"schema": node{"oneOf": list}}}
	}
	return node{"application/json": node{"schema": d.schema(reflect.TypeOf(body))}}
}

// schema describes a type as it is in JSON.
func (d *describer) schema(t reflect.Type) node {
	switch t {
	case reflect.TypeFor[json.RawMessage](), reflect.TypeFor[any]():
		return node{} // anything
	case reflect.TypeFor[time.Time]():
		return node{"type": "string", "format": "date-time"}
	case reflect.TypeFor[map[string]any]():
		return node{"type": "object", "additionalProperties": node{}, "nullable": true} // which a nil one is
	case reflect.TypeFor[[]byte]():
		return node{"type": "string", "format": "byte"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return node{"type": "boolean"}
	case reflect.Int32:
		return node{"type": "integer", "format": "int32"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return node{"type": "integer", "format": "int64"}
	case reflect.Float64:
		return node{"type": "number"}
	case reflect.String:
		return node{"type": "string"}
	case reflect.Slice:
		return node{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return node{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Pointer:
		return d.nullable(t.Elem())
	case reflect.Struct:
		return d.reference(t)
	}
	panic(fmt.Sprintf("rest: %s is nothing that JSON has", t)) // a test asks for all of them
}

// nullable describes what may be null.
func (d *describer) nullable(t reflect.Type) node {
	s := d.schema(t)
	if s["$ref"] != nil { // beside which nothing counts
		return node{"nullable": true, "allOf": []node{s}}
	}
	s["nullable"] = true
	return s
}

// reference describes a struct, and returns where it stands.
func (d *describer) reference(t reflect.Type) node {
	room := t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]
	name := room + "." + t.Name()
	if d.schemas[name] == nil {
		s := node{"type": "object"}
		d.schemas[name] = s // first: it may have itself within
		properties, required := node{}, []string{}
		for i := range t.NumField() {
			f := t.Field(i)
			key, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case !f.IsExported() || key == "-":
				continue
			case key == "":
				key = f.Name
			}
			properties[key] = d.schema(f.Type)
			if !strings.Contains(rest, "omitempty") {
				required = append(required, key)
			}
		}
		s["properties"] = properties
		if len(required) > 0 {
			s["required"] = required
		}
	}
	return node{"$ref": "#/components/schemas/" + name}
}
