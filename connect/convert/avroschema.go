package convert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/towline/towline/schema/avro"
)

// avroText writes a schema of Kafka Connect as one of Avro, as Confluent's
// AvroConverter does.
type avroText struct {
	// named are the records that were written, by their full names, each as the
	// JSON of its schema.
	named map[string]string
}

// appendAvroSchema appends the Avro schema of c.
func appendAvroSchema(dst []byte, c *connectSchema) ([]byte, error) {
	w := avroText{named: map[string]string{}}
	return w.appendBase(dst, c, "")
}

// connectTypes are the Avro types of Kafka Connect's, and the note of those
// that would not be told apart.
var connectTypes = map[string]struct{ avro, note string }{
	"boolean": {"boolean", ""}, "int8": {"int", "int8"}, "int16": {"int", "int16"}, "int32": {"int", ""}, "int64": {"long", ""},
	"float": {"float", ""}, "float32": {"float", ""}, "double": {"double", ""}, "float64": {"double", ""},
	"bytes": {"bytes", ""}, "string": {"string", ""},
}

// logicalTypes are those of Avro that Kafka Connect's own semantic types have.
// Debezium's have none.
var logicalTypes = map[string]string{
	decimalName:                               "decimal",
	"org.apache.kafka.connect.data.Date":      "date",
	"org.apache.kafka.connect.data.Time":      "time-millis",
	"org.apache.kafka.connect.data.Timestamp": "timestamp-millis",
}

// appendType appends a type that may be optional: a union with null, of which
// the type of the default comes first.
func (w *avroText) appendType(dst []byte, c *connectSchema, space string) ([]byte, error) {
	if !c.Optional {
		return w.appendBase(dst, c, space)
	}
	if c.Default != nil {
		dst, err := w.appendBase(append(dst, '['), c, space)
		return append(dst, `,"null"]`...), err
	}
	dst, err := w.appendBase(append(dst, `["null",`...), c, space)
	return append(dst, ']'), err
}

func (w *avroText) appendBase(dst []byte, c *connectSchema, space string) ([]byte, error) {
	switch c.Type {
	case "struct":
		return w.appendRecord(dst, c, space)
	case "array":
		if c.Items == nil {
			return dst, fmt.Errorf("an array of the schema has no items")
		}
		dst, err := w.appendType(append(dst, `{"type":"array","items":`...), c.Items, space)
		if err != nil {
			return dst, err
		}
		return append(appendNotes(dst, c, ""), '}'), nil
	}
	typ, ok := connectTypes[c.Type]
	if !ok {
		return dst, fmt.Errorf("the type %q has no form in Avro", c.Type)
	}
	notes := appendNotes(nil, c, typ.note)
	if len(notes) == 0 {
		return appendString(dst, typ.avro, false), nil
	}
	dst = appendString(append(dst, `{"type":`...), typ.avro, false)
	return append(append(dst, notes...), '}'), nil
}

// appendNotes appends the attributes that tell of Kafka Connect's schema.
func appendNotes(dst []byte, c *connectSchema, typ string) []byte {
	attribute := func(name, value string) {
		dst = append(appendString(append(dst, ','), name, false), ':')
		dst = append(dst, value...)
	}
	text := func(s string) string { return string(appendString(nil, s, false)) }
	if c.Name == decimalName {
		attribute("scale", c.Parameters["scale"])
		attribute("precision", c.Parameters["connect.decimal.precision"])
	}
	if c.Doc != "" {
		attribute("connect.doc", text(c.Doc))
	}
	if c.Version != 0 {
		attribute("connect.version", strconv.Itoa(c.Version))
	}
	if len(c.Parameters) > 0 {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(c.Parameters) // a map of strings, in the order of its keys
		attribute("connect.parameters", strings.TrimSpace(b.String()))
	}
	if c.Default != nil {
		attribute("connect.default", string(c.Default))
	}
	if c.Name != "" {
		attribute("connect.name", text(c.Name))
	}
	if typ != "" {
		attribute("connect.type", text(typ))
	}
	if l := logicalTypes[c.Name]; l != "" {
		attribute("logicalType", text(l))
	}
	return dst
}

// appendRecord appends a record or, of one that was written before, its name.
// Another record of a name that is taken gets a number behind it.
func (w *avroText) appendRecord(dst []byte, c *connectSchema, space string) ([]byte, error) {
	plain := *c
	plain.Optional, plain.Field, plain.Default = false, "", nil
	def, err := json.Marshal(&plain)
	if err != nil {
		return dst, err
	}
	full := avro.FullName(c.Name)
	for n := 2; ; n++ {
		before, taken := w.named[full]
		if before == string(def) {
			if s, name := avro.SplitName(full); s == space {
				return appendString(dst, name, false), nil
			}
			return appendString(dst, full, false), nil
		}
		if !taken {
			break
		}
		full = avro.FullName(c.Name) + "_" + strconv.Itoa(n)
	}
	w.named[full] = string(def)
	own, name := avro.SplitName(full)
	dst = appendString(append(dst, `{"type":"record","name":`...), name, false)
	if own != space {
		dst = appendString(append(dst, `,"namespace":`...), own, false)
		space = own
	}
	if c.Doc != "" {
		dst = appendString(append(dst, `,"doc":`...), c.Doc, false)
	}
	dst = append(dst, `,"fields":[`...)
	for i := range c.Fields {
		if dst, err = w.appendField(comma(dst, i), &c.Fields[i], space); err != nil {
			return dst, err
		}
	}
	return append(appendNotes(append(dst, ']'), c, ""), '}'), nil
}

func (w *avroText) appendField(dst []byte, f *connectSchema, space string) ([]byte, error) {
	dst = appendString(append(dst, `{"name":`...), avro.Escape(f.Field), false)
	dst, err := w.appendType(append(dst, `,"type":`...), f, space)
	if err != nil {
		return dst, err
	}
	if f.Doc != "" {
		dst = appendString(append(dst, `,"doc":`...), f.Doc, false)
	}
	switch {
	case f.Default != nil:
		dst = append(append(dst, `,"default":`...), f.Default...)
	case f.Optional:
		dst = append(dst, `,"default":null`...)
	}
	return append(dst, '}'), nil
}

// connectOf returns a schema of Avro as one of Kafka Connect, as Confluent's
// AvroConverter reads it. Types that no row has come out with a type that
// nothing reads.
func connectOf(s *avro.Schema) connectSchema { return connectWithin(s, 0) }

func connectWithin(s *avro.Schema, depth int) connectSchema {
	const deepest = 16 // a table and what is around it has 4; a record may hold itself
	if depth > deepest {
		return connectSchema{Type: "record " + s.Name}
	}
	if s.Kind == avro.Union {
		of, ok := nullable(s)
		if !ok {
			return connectSchema{Type: "union"}
		}
		c := connectWithin(of, depth+1)
		c.Optional = true
		return c
	}
	c := connectSchema{Type: plainConnect[s.Kind], Name: s.Connect.Name, Parameters: s.Connect.Parameters}
	if s.Connect.Type != "" {
		c.Type = s.Connect.Type
	}
	switch s.Kind {
	case avro.Record:
		if c.Name == "" {
			c.Name = s.Name
		}
		for i := range s.Fields {
			f := connectWithin(s.Fields[i].Type, depth+1)
			f.Field = avro.Unescape(s.Fields[i].Name)
			c.Fields = append(c.Fields, f)
		}
	case avro.Array:
		items := connectWithin(s.Items, depth+1)
		c.Items = &items
	case avro.Enum:
		if c.Name != "io.debezium.data.Enum" {
			c.Name, c.Parameters = "io.debezium.data.Enum", map[string]string{"allowed": joinElements(s.Symbols)}
		}
	}
	if c.Name == "" {
		logicalConnect(&c, s)
	}
	return c
}

// plainConnect are Kafka Connect's names of the kinds.
var plainConnect = map[avro.Kind]string{
	avro.Null: "null", avro.Boolean: "boolean", avro.Int: "int32", avro.Long: "int64", avro.Float: "float", avro.Double: "double", avro.Bytes: "bytes",
	avro.String: "string", avro.Record: "struct", avro.Enum: "string", avro.Array: "array", avro.Map: "map", avro.Fixed: "bytes",
}

// logicalConnect names what another maker has told by a logical type alone.
func logicalConnect(c *connectSchema, s *avro.Schema) {
	switch {
	case s.Logical == "decimal" && (s.Kind == avro.Bytes || s.Kind == avro.Fixed):
		c.Name = decimalName
		c.Parameters = map[string]string{"scale": strconv.Itoa(s.Scale), "connect.decimal.precision": strconv.Itoa(s.Precision)}
	case s.Logical == "date" && s.Kind == avro.Int:
		c.Name = "org.apache.kafka.connect.data.Date"
	case s.Logical == "time-millis" && s.Kind == avro.Int:
		c.Name = "org.apache.kafka.connect.data.Time"
	case s.Kind != avro.Long:
	case s.Logical == "time-micros":
		c.Name = "io.debezium.time.MicroTime"
	case s.Logical == "timestamp-millis" || s.Logical == "local-timestamp-millis":
		c.Name = "org.apache.kafka.connect.data.Timestamp"
	case s.Logical == "timestamp-micros" || s.Logical == "local-timestamp-micros":
		c.Name = "io.debezium.time.MicroTimestamp"
	case s.Logical == "timestamp-nanos" || s.Logical == "local-timestamp-nanos":
		c.Name = "io.debezium.time.NanoTimestamp"
	}
}

// nullable returns the type of a union that is one type and null.
func nullable(s *avro.Schema) (of *avro.Schema, ok bool) {
	if s.Kind != avro.Union || len(s.Branches) != 2 {
		return nil, false
	}
	switch {
	case s.Branches[0].Kind == avro.Null:
		return s.Branches[1], s.Branches[1].Kind != avro.Null
	case s.Branches[1].Kind == avro.Null:
		return s.Branches[0], true
	}
	return nil, false
}
