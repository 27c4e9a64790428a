package convert

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// plan is what an Encoder knows of one table: everything that does not depend
// on the row, as bytes ready to append.
type plan struct {
	table  *schema.Table
	fields []field
	// Heads: what comes before the payload where there are schemas.
	keyHead, envelopeHead, flatHead []byte
	// room is what a row image takes beside its values' bytes, at most.
	room int
	// The parts of "source" that stay the same.
	sourceBegin, sourceDB, sourceTable []byte
}

// field is one column of a plan.
type field struct {
	name   []byte // "name":
	column *schema.Column
	form   form
	// empty says that an element of an ENUM or SET is '', which looks like
	// the error value and the empty set.
	empty bool
}

// newPlan describes t.
func (e *Encoder) newPlan(t *schema.Table) *plan {
	p := &plan{table: t, fields: make([]field, len(t.Columns))}
	for i := range t.Columns {
		c := &t.Columns[i]
		f := &p.fields[i]
		f.column = c
		f.name = append(e.quote(nil, c.Name), ':')
		f.form = e.formOf(c)
		p.room += len(f.name) + valueRoom
		for _, el := range c.Elements {
			f.empty = f.empty || el == ""
			p.room += escaped*len(el) + 1
		}
	}
	if e.opts.Schemas {
		e.addHeads(p)
	}
	p.sourceBegin = e.quote([]byte(`"source":{"version":`), e.opts.Version)
	p.sourceBegin = e.quote(append(p.sourceBegin, `,"connector":"mysql","name":`...), e.opts.Prefix)
	p.sourceBegin = append(p.sourceBegin, `,"ts_ms":`...)
	p.sourceDB = e.quote([]byte(`,"db":`), t.Database)
	p.sourceDB = append(p.sourceDB, `,"sequence":null,"ts_us":`...)
	p.sourceTable = e.quote([]byte(`,"table":`), t.Name)
	p.sourceTable = append(p.sourceTable, `,"server_id":`...)
	return p
}

const (
	// valueRoom is what a value takes beside its bytes, at most.
	valueRoom = 96
	// escaped is what a byte of a value takes in JSON, at most.
	escaped = 6
	// envelopeRoom is about what an envelope takes beside its rows.
	envelopeRoom = 768
)

// room returns about how much of a buffer the key and the value of r take; it
// is rarely less than that.
func (e *Encoder) room(r *connect.Record) int {
	p, n := e.plan(r.Table), 0
	for i := range r.Before {
		n += r.Before[i].Size()
	}
	for i := range r.After {
		n += r.After[i].Size()
	}
	heads := len(p.keyHead) + len(p.envelopeHead) + len(p.flatHead) + len(p.sourceBegin) + len(p.sourceDB) + len(p.sourceTable)
	return 3*p.room + 2*escaped*n + heads + envelopeRoom // key columns stand in it twice
}

func (e *Encoder) quote(dst []byte, s string) []byte { return appendString(dst, s, !e.opts.Readable) }

// addHeads writes the schemas of t's keys and values.
func (e *Encoder) addHeads(p *plan) {
	name := e.opts.Prefix + "." + p.table.Database + "." + p.table.Name
	key := []byte(`{"schema":{"type":"struct","fields":[`)
	for i, k := range p.table.Key {
		key = e.appendField(comma(key, i), &p.fields[k], true)
	}
	key = append(key, `],"optional":false,"name":`...)
	p.keyHead = append(e.quote(key, name+".Key"), `},"payload":`...)

	p.flatHead = e.appendRowSchema([]byte(`{"schema":`), p, name, false)
	p.flatHead = append(p.flatHead, `},"payload":`...)

	env := e.appendRowSchema([]byte(`{"schema":{"type":"struct","fields":[`), p, name, true)
	env = append(env, `,"field":"before"},`...)
	env = e.appendRowSchema(env, p, name, true)
	env = append(env, `,"field":"after"},`...)
	env = append(env, sourceSchema...)
	env = append(env, `],"optional":false,"name":`...)
	env = append(e.quote(env, name+".Envelope"), `,"version":2},"payload":`...)
	p.envelopeHead = env
}

// sourceFieldSchema is the schema of "source".
const sourceFieldSchema = `{"type":"struct","fields":[{"type":"string","optional":false,"field":"version"},` +
	`{"type":"string","optional":false,"field":"connector"},{"type":"string","optional":false,"field":"name"},` +
	`{"type":"int64","optional":false,"field":"ts_ms"},` +
	`{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":` +
	`"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"default":"false","field":"snapshot"},` +
	`{"type":"string","optional":false,"field":"db"},{"type":"string","optional":true,"field":"sequence"},` +
	`{"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"},` +
	`{"type":"string","optional":true,"field":"table"},{"type":"int64","optional":false,"field":"server_id"},` +
	`{"type":"string","optional":true,"field":"gtid"},{"type":"string","optional":false,"field":"file"},` +
	`{"type":"int64","optional":false,"field":"pos"},{"type":"int32","optional":false,"field":"row"},` +
	`{"type":"int64","optional":true,"field":"thread"},{"type":"string","optional":true,"field":"query"}],` +
	`"optional":false,"name":"io.debezium.connector.mysql.Source","version":1,"field":"source"}`

// sourceSchema is the rest of an envelope's fields.
const sourceSchema = sourceFieldSchema + `,` +
	`{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"},` +
	`{"type":"int64","optional":false,"field":"total_order"},{"type":"int64","optional":false,"field":"data_collection_order"}],` +
	`"optional":true,"name":"event.block","version":1,"field":"transaction"},` +
	`{"type":"string","optional":false,"field":"op"},{"type":"int64","optional":true,"field":"ts_ms"},` +
	`{"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"}`

// tableParameter names the parameter of a row's schema that holds its table.
const tableParameter = "towline.table"

// appendRowSchema appends the schema of a row without the closing brace.
func (e *Encoder) appendRowSchema(dst []byte, p *plan, name string, optional bool) []byte {
	dst = append(dst, `{"type":"struct","fields":[`...)
	for i := range p.fields {
		dst = e.appendField(comma(dst, i), &p.fields[i], false)
	}
	dst = append(dst, `],"optional":`...)
	dst = strconv.AppendBool(dst, optional)
	dst = e.quote(append(dst, `,"name":`...), name+".Value")
	if e.opts.TableInSchema {
		dst = append(dst, `,"parameters":{"`+tableParameter+`":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, schema.AppendTable(nil, p.table))
		dst = append(dst, `"}`...)
	}
	return dst
}

// appendField appends the schema of one column.
func (e *Encoder) appendField(dst []byte, f *field, key bool) []byte {
	typ := f.form.connect(e, f.column)
	dst = append(append(dst, `{"type":"`...), typ.name...)
	dst = append(append(append(dst, '"'), typ.inner...), `,"optional":`...)
	dst = strconv.AppendBool(dst, f.column.Nullable && !key)
	if typ.semantic != "" {
		dst = append(append(append(dst, `,"name":"`...), typ.semantic...), `","version":1`...)
	}
	if typ.doc != "" {
		dst = append(append(append(dst, `,"doc":"`...), typ.doc...), '"')
	}
	if params := e.withSource(typ.params, f.column); len(params) > 0 {
		dst = append(dst, `,"parameters":{`...)
		for i := 0; i < len(params); i += 2 {
			dst = e.quote(comma(dst, i), params[i])
			dst = e.quote(append(dst, ':'), params[i+1])
		}
		dst = append(dst, '}')
	}
	dst = e.quote(append(dst, `,"field":`...), f.column.Name)
	return append(dst, '}')
}

// withSource adds what the source declares of c, if the options ask for it.
func (e *Encoder) withSource(params []string, c *schema.Column) []string {
	if !e.propagates(c) {
		return params
	}
	name := strings.ToUpper(c.Type.String())
	if c.Unsigned {
		name += " UNSIGNED"
	}
	if c.Zerofill {
		name += " ZEROFILL"
	}
	params = append(params[:len(params):len(params)], "__debezium.source.column.type", name)
	length := c.Length
	if c.Precision > 0 {
		length = c.Precision
	}
	if length > 0 {
		params = append(params, "__debezium.source.column.length", strconv.Itoa(length))
	}
	if c.Scale > 0 || c.Type == schema.TypeDecimal {
		params = append(params, "__debezium.source.column.scale", strconv.Itoa(c.Scale))
	}
	return append(params, "__debezium.source.column.name", c.Name)
}

func (e *Encoder) propagates(c *schema.Column) bool {
	if len(e.opts.SourceTypes) == 0 {
		return false
	}
	full := e.planning.String() + "." + c.Name
	for _, re := range e.opts.SourceTypes {
		if re.MatchString(full) {
			return true
		}
	}
	return false
}

// comma appends a comma unless i is the first of a list.
func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}
