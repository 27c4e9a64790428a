package convert

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/towline/towline/schema"
)

// base drops what a schema's name ends with.
func base(name string) string {
	for _, suffix := range []string{".Envelope", ".Value", ".Key"} {
		if b, ok := strings.CutSuffix(name, suffix); ok {
			return b
		}
	}
	return name
}

// tableName takes database and table from the name of a schema.
func tableName(name string) (db, table string) {
	name = base(name)
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name, table = name[:i], name[i+1:]
		return name[strings.LastIndexByte(name, '.')+1:], table
	}
	return "", name
}

// makeColumn makes up a column from what its schema tells.
func makeColumn(c *schema.Column, f *connectSchema, key bool) error {
	c.Name, c.Nullable = f.Field, f.Optional && !key
	if !semanticColumn(c, f) {
		switch f.Type {
		case "boolean":
			c.Type, c.Length = schema.TypeBit, 1
		case "int8", "int16":
			c.Type = schema.TypeSmallInt
		case "int32":
			c.Type = schema.TypeInt
		case "int64":
			c.Type = schema.TypeBigInt
		case "float", "float32":
			c.Type = schema.TypeFloat
		case "double", "float64":
			c.Type = schema.TypeDouble
		case "bytes":
			c.Type = schema.TypeLongBlob
			if key {
				c.Type, c.Length = schema.TypeVarbinary, 255
			}
		case "string":
			c.Type, c.Charset, c.Collation = schema.TypeLongText, "utf8mb4", "utf8mb4_bin"
			if key {
				c.Type, c.Length = schema.TypeVarchar, 255
			}
		}
	}
	sourceColumn(c, f)
	if c.Type == schema.TypeInvalid {
		return fmt.Errorf("column %q: the schema type %s %q is not known", f.Field, f.Type, f.Name)
	}
	return nil
}

// semanticTypes are the column types, and digits of a fraction, that semantic
// types stand for.
var semanticTypes = map[string]schema.Column{
	"io.debezium.time.Year":                   {Type: schema.TypeYear},
	"io.debezium.time.Date":                   {Type: schema.TypeDate},
	"org.apache.kafka.connect.data.Date":      {Type: schema.TypeDate},
	"io.debezium.time.IsoDate":                {Type: schema.TypeDate},
	"io.debezium.time.Time":                   {Type: schema.TypeTime, Scale: 3},
	"org.apache.kafka.connect.data.Time":      {Type: schema.TypeTime, Scale: 3},
	"io.debezium.time.MicroTime":              {Type: schema.TypeTime, Scale: 6},
	"io.debezium.time.NanoTime":               {Type: schema.TypeTime, Scale: 6},
	"io.debezium.time.IsoTime":                {Type: schema.TypeTime, Scale: 6},
	"io.debezium.time.Timestamp":              {Type: schema.TypeDateTime, Scale: 3},
	"org.apache.kafka.connect.data.Timestamp": {Type: schema.TypeDateTime, Scale: 3},
	"io.debezium.time.MicroTimestamp":         {Type: schema.TypeDateTime, Scale: 6},
	"io.debezium.time.NanoTimestamp":          {Type: schema.TypeDateTime, Scale: 6},
	"io.debezium.time.IsoTimestamp":           {Type: schema.TypeDateTime, Scale: 6},
	"io.debezium.time.ZonedTimestamp":         {Type: schema.TypeTimestamp, Scale: 6},
	"io.debezium.data.Json":                   {Type: schema.TypeJSON},
	"io.debezium.data.geometry.Geometry":      {Type: schema.TypeGeometry},
	"io.debezium.data.geometry.Point":         {Type: schema.TypeGeometry, Subtype: "point"},
	"io.debezium.data.FloatVector":            {Type: schema.TypeVector, Length: 16383},
	"io.debezium.data.Bits":                   {Type: schema.TypeBit},
	"io.debezium.data.Enum":                   {Type: schema.TypeEnum, Charset: "utf8mb4", Collation: "utf8mb4_bin"},
	"io.debezium.data.EnumSet":                {Type: schema.TypeSet, Charset: "utf8mb4", Collation: "utf8mb4_bin"},
	decimalName:                               {Type: schema.TypeDecimal},
}

// semanticColumn fills c from a semantic type.
func semanticColumn(c *schema.Column, f *connectSchema) bool {
	known, ok := semanticTypes[f.Name]
	if !ok {
		return false
	}
	known.Name, known.Nullable = c.Name, c.Nullable
	*c = known
	switch c.Type {
	case schema.TypeEnum, schema.TypeSet:
		if allowed := f.Parameters["allowed"]; allowed != "" {
			c.Elements = splitElements(allowed)
		}
	case schema.TypeBit:
		c.Length = limit(f.Parameters["length"], 64, 64)
	case schema.TypeDecimal:
		c.Precision, c.Scale = limit(f.Parameters["connect.decimal.precision"], 65, 65), limit(f.Parameters["scale"], 30, 0)
	}
	return true
}

// limit reads a number from 0 to most, and gives other if it is not one.
func limit(s string, most, other int) int {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n <= most {
		return n
	}
	return other
}

// sourceColumn takes the source's own type, where the schema tells it.
func sourceColumn(c *schema.Column, f *connectSchema) {
	name, rest, _ := strings.Cut(strings.ToLower(f.Parameters["__debezium.source.column.type"]), " ")
	typ := schema.ParseType(name)
	if typ == schema.TypeInvalid {
		return
	}
	if c.Type.IsText() && !typ.IsText() || c.Type == schema.TypeGeometry {
		return // a mode that wrote it as another type, or a subtype's name
	}
	c.Type, c.Unsigned = typ, strings.Contains(rest, "unsigned")
	length := limit(f.Parameters["__debezium.source.column.length"], 1<<24, 0)
	if typ == schema.TypeDecimal {
		c.Precision = length
	} else if length > 0 {
		c.Length = length
	}
	if s := f.Parameters["__debezium.source.column.scale"]; s != "" {
		c.Scale = limit(s, 30, c.Scale)
	}
}
