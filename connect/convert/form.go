package convert

import (
	"strconv"
	"strings"

	"github.com/towline/towline/schema"
)

// form is the way in which the values of a column are written.
type form uint8

const (
	formBool form = iota // BIT(1)
	formInt16
	formInt32
	formInt64
	formUnsignedLong // BIGINT UNSIGNED as a signed long
	formUnsigned     // BIGINT UNSIGNED as a Decimal
	formInteger      // any integer or BIT, readable
	formFloat32
	formFloat64
	formDecimal
	formDecimalDouble
	formDecimalString
	formText
	formBinary
	formBits
	formYear
	formDays
	formISODate
	formTimeMillis
	formTimeMicros
	formTimeNanos
	formISOTime
	formMillis
	formMicros
	formNanos
	formISODateTime
	formZoned
	formEnum
	formSet
	formJSON
	formGeometry
	formPoint
	formVector
)

// formOf chooses the form of a column.
func (e *Encoder) formOf(c *schema.Column) form {
	switch t := c.Type; {
	case t.IsInteger():
		return e.integerForm(c)
	case t.IsText():
		return formText
	case t.IsBinary():
		return formBinary
	}
	switch c.Type {
	case schema.TypeFloat:
		if c.Precision > 0 { // FLOAT(M,D)
			return formFloat64
		}
		return formFloat32
	case schema.TypeDouble:
		return formFloat64
	case schema.TypeDecimal:
		return [...]form{formDecimal, formDecimalDouble, formDecimalString}[e.opts.Decimal]
	case schema.TypeBit:
		switch {
		case c.Length == 1:
			return formBool
		case e.opts.Readable:
			return formInteger
		}
		return formBits
	case schema.TypeYear:
		return formYear
	case schema.TypeEnum:
		return formEnum
	case schema.TypeSet:
		return formSet
	case schema.TypeJSON:
		return formJSON
	case schema.TypeVector:
		return formVector
	case schema.TypeGeometry:
		if c.Subtype == "point" {
			return formPoint
		}
		return formGeometry
	}
	return e.temporalForm(c)
}

func (e *Encoder) integerForm(c *schema.Column) form {
	if e.opts.Readable {
		return formInteger
	}
	switch c.Type {
	case schema.TypeTinyInt:
		return formInt16
	case schema.TypeSmallInt:
		if c.Unsigned {
			return formInt32
		}
		return formInt16
	case schema.TypeMediumInt:
		return formInt32
	case schema.TypeInt:
		if c.Unsigned {
			return formInt64
		}
		return formInt32
	}
	switch {
	case !c.Unsigned:
		return formInt64
	case e.opts.UnsignedLong:
		return formUnsignedLong
	}
	return formUnsigned
}

func (e *Encoder) temporalForm(c *schema.Column) form {
	mode := e.opts.Time
	short := c.Scale <= 3
	switch c.Type {
	case schema.TypeTimestamp:
		return formZoned
	case schema.TypeDate:
		if mode == TimeISO {
			return formISODate
		}
		return formDays
	case schema.TypeTime:
		switch {
		case mode == TimeISO:
			return formISOTime
		case mode == TimeNanos:
			return formTimeNanos
		case mode == TimeConnect, mode == TimeAdaptive && short:
			return formTimeMillis
		}
		return formTimeMicros
	}
	switch {
	case mode == TimeISO:
		return formISODateTime
	case mode == TimeNanos:
		return formNanos
	case mode == TimeConnect, (mode == TimeAdaptive || mode == TimeAdaptiveMicros) && short:
		return formMillis
	}
	return formMicros
}

// connectType is the Kafka Connect schema of a form.
type connectType struct {
	name     string // the literal type
	inner    string // of a struct its fields, of an array its items
	semantic string // the semantic type
	doc      string
	params   []string // names and values
}

const (
	decimalName = "org.apache.kafka.connect.data.Decimal"
	wkbFields   = `{"type":"bytes","optional":false,"field":"wkb"},{"type":"int32","optional":true,"field":"srid"}`
	pointFields = `{"type":"double","optional":false,"field":"x"},{"type":"double","optional":false,"field":"y"},` +
		`{"type":"bytes","optional":true,"field":"wkb"},{"type":"int32","optional":true,"field":"srid"}`
)

// plainTypes are the schemas of forms that do not depend on the column.
var plainTypes = map[form]connectType{
	formBool: {name: "boolean"}, formInt16: {name: "int16"}, formInt32: {name: "int32"}, formInt64: {name: "int64"},
	formInteger: {name: "int64"}, formUnsignedLong: {name: "int64"}, formFloat32: {name: "float"}, formFloat64: {name: "double"},
	formDecimalDouble: {name: "double"}, formDecimalString: {name: "string"}, formText: {name: "string"},
	formUnsigned:    {name: "bytes", semantic: decimalName, params: []string{"scale", "0", "connect.decimal.precision", "20"}},
	formYear:        {name: "int32", semantic: "io.debezium.time.Year"},
	formISODate:     {name: "string", semantic: "io.debezium.time.IsoDate"},
	formISOTime:     {name: "string", semantic: "io.debezium.time.IsoTime"},
	formISODateTime: {name: "string", semantic: "io.debezium.time.IsoTimestamp"},
	formZoned:       {name: "string", semantic: "io.debezium.time.ZonedTimestamp"},
	formTimeMicros:  {name: "int64", semantic: "io.debezium.time.MicroTime"},
	formTimeNanos:   {name: "int64", semantic: "io.debezium.time.NanoTime"},
	formMicros:      {name: "int64", semantic: "io.debezium.time.MicroTimestamp"},
	formNanos:       {name: "int64", semantic: "io.debezium.time.NanoTimestamp"},
	formJSON:        {name: "string", semantic: "io.debezium.data.Json"},
	formGeometry:    {name: "struct", inner: `,"fields":[` + wkbFields + `]`, semantic: "io.debezium.data.geometry.Geometry", doc: "Geometry"},
	formPoint:       {name: "struct", inner: `,"fields":[` + pointFields + `]`, semantic: "io.debezium.data.geometry.Point", doc: "Geometry (POINT)"},
	formVector:      {name: "array", inner: `,"items":{"type":"float","optional":false}`, semantic: "io.debezium.data.FloatVector"},
}

// connect returns the schema of f for a column.
func (f form) connect(e *Encoder, c *schema.Column) connectType {
	if t, ok := plainTypes[f]; ok {
		return t
	}
	family := "io.debezium.time."
	if e.opts.Time == TimeConnect {
		family = "org.apache.kafka.connect.data."
	}
	switch f {
	case formDays:
		return connectType{name: "int32", semantic: family + "Date"}
	case formTimeMillis:
		return connectType{name: "int32", semantic: family + "Time"}
	case formMillis:
		return connectType{name: "int64", semantic: family + "Timestamp"}
	case formDecimal:
		return connectType{name: "bytes", semantic: decimalName,
			params: []string{"scale", strconv.Itoa(c.Scale), "connect.decimal.precision", strconv.Itoa(c.Precision)}}
	case formBits:
		return connectType{name: "bytes", semantic: "io.debezium.data.Bits", params: []string{"length", strconv.Itoa(c.Length)}}
	case formEnum:
		return connectType{name: "string", semantic: "io.debezium.data.Enum", params: []string{"allowed", joinElements(c.Elements)}}
	case formSet:
		return connectType{name: "string", semantic: "io.debezium.data.EnumSet", params: []string{"allowed", joinElements(c.Elements)}}
	}
	if e.opts.Binary == BinaryBytes {
		return connectType{name: "bytes"}
	}
	return connectType{name: "string"}
}

// joinElements joins elements by commas; a backslash goes before a comma or
// backslash inside of one.
func joinElements(elements []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`)
	var b strings.Builder
	for i, e := range elements {
		if i > 0 {
			b.WriteByte(',')
		}
		escape.WriteString(&b, e)
	}
	return b.String()
}

// splitElements is the inverse of joinElements.
func splitElements(s string) []string {
	var list []string
	var cur strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			cur.WriteByte(s[i])
		case s[i] == ',':
			list = append(list, cur.String())
			cur.Reset()
		default:
			cur.WriteByte(s[i])
		}
	}
	return append(list, cur.String())
}
