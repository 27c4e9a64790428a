package avro

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Kind is a type of Avro.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	Boolean
	Int
	Long
	Float
	Double
	Bytes
	String
	Record
	Enum
	Array
	Map
	Union
	Fixed
)

var kindNames = [...]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum", "array", "map", "union", "fixed"}

// String returns the name that schemas use.
func (k Kind) String() string { return kindNames[k] }

// Schema is a type with all that is in it.
type Schema struct {
	Kind     Kind
	Name     string // the full one, of Record, Enum and Fixed
	Fields   []Field
	Symbols  []string
	Items    *Schema   // of Array, and the values of Map
	Branches []*Schema // of Union
	Size     int       // of Fixed
	Logical  string
	// Of the logical type decimal.
	Precision, Scale int
	Connect          Connect

	least int // bytes that a value takes at least
}

// Connect is what Kafka Connect writes beside a type.
type Connect struct {
	Name       string
	Type       string
	Parameters map[string]string
}

// Field is one of a Record.
type Field struct {
	Name string
	Type *Schema
}

// maxDepth is how deep types may lie in each other, in a schema and in values.
const maxDepth = 64

// Parse reads a schema.
func Parse(text string) (*Schema, error) {
	p := parser{names: map[string]*Schema{}}
	var raw any
	dec := json.NewDecoder(strings.NewReader(text))
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("avro: the schema is not JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("avro: something follows the schema")
	}
	s, err := p.schema(raw, "", 0)
	if err != nil {
		return nil, fmt.Errorf("avro: the schema: %w", err)
	}
	return s, nil
}

// Normal returns a schema's text without what does not count: space, and the
// order of attributes.
func Normal(text string) (string, error) {
	if _, err := Parse(text); err != nil {
		return "", err
	}
	var raw any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&raw); err != nil {
		return "", err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(raw); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

type parser struct{ names map[string]*Schema }

func (p *parser) schema(raw any, space string, depth int) (*Schema, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("types lie in each other more than %d deep", maxDepth)
	}
	switch raw := raw.(type) {
	case string:
		return p.named(raw, space)
	case []any:
		return p.union(raw, space, depth)
	case map[string]any:
		return p.object(raw, space, depth)
	}
	return nil, fmt.Errorf("%v is not a type", raw)
}

// named returns a primitive type or one that was defined before.
func (p *parser) named(name, space string) (*Schema, error) {
	for k, n := range kindNames {
		if n == name && Kind(k) <= String {
			return &Schema{Kind: Kind(k), least: leastBytes[k]}, nil
		}
	}
	if s := p.names[qualify(name, space)]; s != nil {
		return s, nil
	}
	if s := p.names[name]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("there is no type %q", name)
}

// leastBytes is what values of primitive types take at least.
var leastBytes = [...]int{Null: 0, Boolean: 1, Int: 1, Long: 1, Float: 4, Double: 8, Bytes: 1, String: 1}

func qualify(name, space string) string {
	if space == "" || strings.Contains(name, ".") {
		return name
	}
	return space + "." + name
}

func (p *parser) union(raw []any, space string, depth int) (*Schema, error) {
	s := &Schema{Kind: Union, least: 1}
	for _, r := range raw {
		b, err := p.schema(r, space, depth+1)
		if err != nil {
			return nil, err
		}
		if b.Kind == Union {
			return nil, errors.New("a union lies in a union")
		}
		s.Branches = append(s.Branches, b)
	}
	if len(s.Branches) == 0 {
		return nil, errors.New("a union is empty")
	}
	return s, nil
}

func (p *parser) object(m map[string]any, space string, depth int) (*Schema, error) {
	typ, ok := m["type"].(string)
	if !ok { // {"type": {...}}
		if m["type"] == nil {
			return nil, errors.New("a type has no attribute type")
		}
		return p.schema(m["type"], space, depth+1)
	}
	s := &Schema{}
	var err error
	switch typ {
	case "record", "error":
		s, err = p.record(m, space, depth)
	case "enum":
		s.Kind, s.least = Enum, 1
		s.Symbols, err = texts(m["symbols"])
		if err == nil {
			_, err = p.define(s, m, space)
		}
	case "fixed":
		s.Kind = Fixed
		n, ok := m["size"].(float64)
		if !ok || n < 0 || n > 1<<30 || n != float64(int(n)) {
			return nil, fmt.Errorf("a fixed has the size %v", m["size"])
		}
		s.Size, s.least = int(n), int(n)
		_, err = p.define(s, m, space)
	case "array":
		s.Kind, s.least = Array, 1
		s.Items, err = p.schema(m["items"], space, depth+1)
	case "map":
		s.Kind, s.least = Map, 1
		s.Items, err = p.schema(m["values"], space, depth+1)
	default:
		var of *Schema
		if of, err = p.named(typ, space); err == nil {
			if of.Name != "" { // a reference: what stands beside it is not of its type
				return of, nil
			}
			s = of
		}
	}
	if err != nil {
		return nil, err
	}
	s.attributes(m)
	return s, nil
}

// attributes takes what may stand beside any type.
func (s *Schema) attributes(m map[string]any) {
	s.Logical, _ = m["logicalType"].(string)
	number := func(key string) int {
		n, _ := m[key].(float64)
		return int(max(min(n, 1000), -1))
	}
	if s.Logical == "decimal" {
		s.Precision, s.Scale = number("precision"), number("scale")
	}
	s.Connect.Name, _ = m["connect.name"].(string)
	s.Connect.Type, _ = m["connect.type"].(string)
	params, _ := m["connect.parameters"].(map[string]any)
	for k, v := range params {
		if text, ok := v.(string); ok {
			if s.Connect.Parameters == nil {
				s.Connect.Parameters = map[string]string{}
			}
			s.Connect.Parameters[k] = text
		}
	}
}

func texts(raw any) ([]string, error) {
	list, _ := raw.([]any)
	out := make([]string, len(list))
	for i, v := range list {
		var ok bool
		if out[i], ok = v.(string); !ok {
			return nil, fmt.Errorf("%v is not a symbol", v)
		}
	}
	return out, nil
}

// define names s, and returns the namespace of what is in it.
func (p *parser) define(s *Schema, m map[string]any, space string) (string, error) {
	name, _ := m["name"].(string)
	if name == "" {
		return "", fmt.Errorf("a %s has no name", s.Kind)
	}
	if own, ok := m["namespace"].(string); ok {
		space = own
	}
	s.Name = qualify(name, space)
	if p.names[s.Name] != nil {
		return "", fmt.Errorf("%s is defined twice", s.Name)
	}
	p.names[s.Name] = s
	space, _ = SplitName(s.Name)
	return space, nil
}

func (p *parser) record(m map[string]any, space string, depth int) (*Schema, error) {
	s := &Schema{Kind: Record}
	space, err := p.define(s, m, space)
	if err != nil {
		return nil, err
	}
	list, ok := m["fields"].([]any)
	if !ok {
		return nil, fmt.Errorf("record %s has no fields", s.Name)
	}
	seen := map[string]bool{}
	for _, raw := range list {
		f, _ := raw.(map[string]any)
		name, _ := f["name"].(string)
		if name == "" || seen[name] {
			return nil, fmt.Errorf("record %s has a field %q that has no name, or that of another", s.Name, name)
		}
		seen[name] = true
		typ, err := p.schema(f["type"], space, depth+1)
		if err != nil {
			return nil, fmt.Errorf("field %s of %s: %w", name, s.Name, err)
		}
		s.Fields = append(s.Fields, Field{name, typ})
		s.least = min(s.least+typ.least, 1<<30)
	}
	return s, nil
}
