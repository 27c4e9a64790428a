// Package config turns connector files into checked configurations: it reads
// the JSON that Kafka Connect users know, resolves references to secrets,
// finds the plug-ins, and checks every key against the options that they
// declare. It has no state; everything it returns is the caller's.
//
// # Errors
//
// All faults of a file come at once, as a *connect.ConfigError. An unknown
// key is a fault, with the nearest known one. Values that came out of a
// reference, and values of PASSWORD options, never appear in an error.
package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/towline/towline/connect"
)

// File is a connector as its file has it: nothing resolved.
type File struct {
	Path   string
	Name   string
	Config map[string]string
}

// Load reads a connector file: {"name": "...", "config": {"key": "value"}}.
// Numbers and booleans are taken as their text. Without a name, the file's
// own is taken.
func Load(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &connect.ConfigError{Name: path, Faults: []connect.Fault{{Text: "cannot be read: " + err.Error()}}}
	}
	f, err := Parse(data)
	if err != nil {
		return nil, &connect.ConfigError{Name: path, Faults: []connect.Fault{{Text: err.Error()}}}
	}
	f.Path = path
	if f.Name == "" {
		f.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	return f, nil
}

// Parse reads the content of a connector file.
func Parse(data []byte) (*File, error) {
	var raw struct {
		Name   string                     `json:"name"`
		Config map[string]json.RawMessage `json:"config"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("is not a connector file, {\"name\": ..., \"config\": {...}}: %s", describe(data, err))
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("has something behind the closing brace")
	}
	if raw.Config == nil {
		return nil, fmt.Errorf("has no \"config\"")
	}
	f := &File{Name: strings.TrimSpace(raw.Name), Config: make(map[string]string, len(raw.Config))}
	for key, v := range raw.Config {
		text, err := Scalar(v)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		f.Config[key] = text
	}
	if name, ok := f.Config["name"]; ok {
		if f.Name != "" && f.Name != name {
			return nil, fmt.Errorf("has two names, %q and %q", f.Name, name)
		}
		f.Name = name
		delete(f.Config, "name")
	}
	return f, nil
}

// Scalar returns a JSON text, number or boolean as a text.
func Scalar(v json.RawMessage) (string, error) {
	switch {
	case len(v) == 0 || string(v) == "null":
		return "", fmt.Errorf("null is not a value; leave the key out")
	case v[0] == '"':
		var s string
		err := json.Unmarshal(v, &s)
		return s, err
	case v[0] == '{' || v[0] == '[':
		return "", fmt.Errorf("is an object or array; values are flat strings, lists are separated by commas")
	}
	return string(v), nil
}

// describe adds the line to a JSON error.
func describe(data []byte, err error) string {
	offset := int64(-1)
	switch e := err.(type) {
	case *json.SyntaxError:
		offset = e.Offset
	case *json.UnmarshalTypeError:
		offset = e.Offset
	}
	if offset < 0 || offset > int64(len(data)) {
		return err.Error()
	}
	return fmt.Sprintf("line %d: %v", 1+bytes.Count(data[:offset], []byte("\n")), err)
}
