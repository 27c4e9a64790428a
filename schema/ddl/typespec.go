package ddl

import (
	"encoding/hex"
	"strings"

	"github.com/towline/towline/schema"
)

// typeSpec is a column's type as written.
type typeSpec struct {
	col schema.Column // Type, Length, Precision, Scale, Unsigned, Zerofill, Elements, Subtype
	// textLength is the n of TEXT(n) and BLOB(n), which chooses the smallest
	// type that holds it; -1 when there is none.
	textLength int
	charset    string // as written, or implied by the type
	binary     bool   // the BINARY attribute: the charset's _bin collation
	serial     bool
	fixed      bool // of a fixed size at MariaDB; its charset is settled
	hexa       bool // an element is written as bytes in the column's charset
}

// The names of types that take the same arguments.
var integerTypes = map[string]schema.Type{
	"TINYINT": schema.TypeTinyInt, "INT1": schema.TypeTinyInt, "SMALLINT": schema.TypeSmallInt, "INT2": schema.TypeSmallInt,
	"MEDIUMINT": schema.TypeMediumInt, "INT3": schema.TypeMediumInt, "MIDDLEINT": schema.TypeMediumInt,
	"INT": schema.TypeInt, "INT4": schema.TypeInt, "INTEGER": schema.TypeInt, "BIGINT": schema.TypeBigInt, "INT8": schema.TypeBigInt,
}

var temporalTypes = map[string]schema.Type{
	"TIME": schema.TypeTime, "DATETIME": schema.TypeDateTime, "TIMESTAMP": schema.TypeTimestamp,
}

var blobTypes = map[string]schema.Type{
	"TINYBLOB": schema.TypeTinyBlob, "BLOB": schema.TypeBlob, "MEDIUMBLOB": schema.TypeMediumBlob, "LONGBLOB": schema.TypeLongBlob,
	"TINYTEXT": schema.TypeTinyText, "TEXT": schema.TypeText, "MEDIUMTEXT": schema.TypeMediumText, "LONGTEXT": schema.TypeLongText,
}

var geometryTypes = map[string]string{
	"GEOMETRY": "", "POINT": "point", "LINESTRING": "linestring", "POLYGON": "polygon", "MULTIPOINT": "multipoint",
	"MULTILINESTRING": "multilinestring", "MULTIPOLYGON": "multipolygon", "GEOMETRYCOLLECTION": "geometrycollection",
	"GEOMCOLLECTION": "geometrycollection",
}

// columnType reads a type with its charset.
func (p *parser) columnType() typeSpec {
	s := typeSpec{textLength: -1}
	if p.peek(0).kind != word {
		p.fail("expected a type")
		return s
	}
	w := strings.ToUpper(p.peek(0).val)
	if !p.numericType(w, &s) && !p.stringType(w, &s) && !p.otherType(w, &s) {
		p.fail("type " + w + " is not known")
	}
	return s
}

func (p *parser) numericType(w string, s *typeSpec) bool {
	c := &s.col
	if t, ok := integerTypes[w]; ok {
		p.next()
		c.Type = t
		n := p.numbers()
		p.numericAttributes(c)
		if t == schema.TypeTinyInt && len(n) > 0 && n[0] == 1 && !c.Unsigned {
			c.Length = 1
		}
		return true
	}
	switch w {
	case "BOOL", "BOOLEAN":
		p.next()
		c.Type, c.Length = schema.TypeTinyInt, 1
	case "SERIAL":
		p.next()
		c.Type, c.Unsigned, s.serial = schema.TypeBigInt, true, true
	case "BIT":
		p.next()
		c.Type, c.Length = schema.TypeBit, p.length(1)
	case "DECIMAL", "DEC", "NUMERIC", "FIXED":
		p.next()
		c.Type, c.Precision = schema.TypeDecimal, 10
		if n := p.numbers(); len(n) > 0 {
			if n[0] > 0 {
				c.Precision = n[0]
			}
			if len(n) > 1 {
				c.Scale = n[1]
				c.Precision = max(n[0], 0)
				if n[0] == 0 {
					c.Precision = 10
				}
			}
		}
		p.numericAttributes(c)
	case "FLOAT", "FLOAT4", "DOUBLE", "FLOAT8", "REAL":
		p.floatType(w, c)
	default:
		return false
	}
	return true
}

func (p *parser) floatType(w string, c *schema.Column) {
	p.next()
	if w == "DOUBLE" {
		p.accept("PRECISION")
	}
	c.Type = schema.TypeDouble
	if w == "FLOAT" || w == "FLOAT4" || w == "REAL" && p.ctx.SQLMode&RealAsFloat != 0 {
		c.Type = schema.TypeFloat
	}
	switch n := p.numbers(); len(n) {
	case 1:
		if n[0] > 24 && c.Type == schema.TypeFloat {
			c.Type = schema.TypeDouble
		}
	case 2:
		c.Precision, c.Scale = n[0], n[1]
	}
	p.numericAttributes(c)
}

func (p *parser) numericAttributes(c *schema.Column) {
	for {
		switch p.acceptAny("SIGNED", "UNSIGNED", "ZEROFILL") {
		case "UNSIGNED":
			c.Unsigned = true
		case "ZEROFILL":
			c.Unsigned, c.Zerofill = true, true
		case "":
			return
		}
	}
}

// length reads (n), or gives the number that stands for none.
func (p *parser) length(none int) int {
	if n := p.numbers(); len(n) > 0 {
		return n[0]
	}
	return none
}

func (p *parser) stringType(w string, s *typeSpec) bool {
	c := &s.col
	if t, ok := blobTypes[w]; ok {
		p.next()
		c.Type = t
		if t == schema.TypeText || t == schema.TypeBlob {
			s.textLength = p.length(-1)
		}
		if t.IsText() {
			p.charsetAttributes(s)
		}
		return true
	}
	switch w {
	case "CHAR", "CHARACTER", "NCHAR", "NATIONAL", "VARCHAR", "VARCHARACTER", "NVARCHAR":
		p.charType(s)
	case "BINARY":
		p.next()
		c.Type, c.Length = schema.TypeBinary, p.length(1)
	case "VARBINARY":
		p.next()
		c.Type, c.Length = schema.TypeVarbinary, p.required()
	case "LONG":
		p.next()
		if p.accept("VARBINARY") {
			c.Type = schema.TypeMediumBlob
			return true
		}
		_ = p.accept("VARCHAR") || p.accept("VARCHARACTER") || p.accept("CHAR", "VARYING") || p.accept("CHARACTER", "VARYING")
		c.Type = schema.TypeMediumText
		p.charsetAttributes(s)
	case "ENUM", "SET":
		p.next()
		c.Type = schema.TypeSet
		if w == "ENUM" {
			c.Type = schema.TypeEnum
		}
		p.elements(s)
		p.charsetAttributes(s)
	default:
		return false
	}
	return true
}

// required reads (n).
func (p *parser) required() int {
	if !p.is("(") {
		p.fail("expected a length")
	}
	return p.length(0)
}

// charType reads the many names of CHAR and VARCHAR.
func (p *parser) charType(s *typeSpec) {
	varying := false
	if p.accept("NATIONAL") {
		s.charset = "utf8mb3"
	}
	switch p.acceptAny("CHARACTER", "CHAR", "NCHAR", "VARCHARACTER", "VARCHAR", "NVARCHAR") {
	case "NCHAR":
		s.charset = "utf8mb3"
		varying = p.acceptAny("VARYING", "VARCHARACTER", "VARCHAR") != ""
	case "CHAR", "CHARACTER":
		varying = p.accept("VARYING")
	case "NVARCHAR":
		s.charset, varying = "utf8mb3", true
	case "VARCHAR", "VARCHARACTER":
		varying = true
	default:
		p.fail("expected CHAR or VARCHAR")
	}
	if varying {
		s.col.Type, s.col.Length = schema.TypeVarchar, p.required()
	} else {
		s.col.Type, s.col.Length = schema.TypeChar, p.length(1)
	}
	p.charsetAttributes(s)
}

// charsetAttributes reads CHARACTER SET, ASCII, UNICODE, BYTE and BINARY in
// the orders that the server takes.
func (p *parser) charsetAttributes(s *typeSpec) {
	for {
		switch {
		case p.accept("CHARACTER", "SET"), p.accept("CHAR", "SET"), p.accept("CHARSET"):
			s.charset = p.charset()
		case p.accept("ASCII"):
			s.charset = "latin1"
		case p.accept("UNICODE"):
			s.charset = "ucs2"
		case p.accept("BYTE"):
			s.charset = "binary"
		case p.accept("BINARY"):
			s.binary = true
		case p.compressed():
		default:
			return
		}
	}
}

// compressed reads how MariaDB is to store a column.
func (p *parser) compressed() bool {
	if !p.maria("COMPRESSED") {
		return false
	}
	if p.accept("=") {
		p.name()
	}
	return true
}

// elements reads the elements of an ENUM or SET.
func (p *parser) elements(s *typeSpec) {
	p.expect("(")
	for {
		e := ""
		switch t := p.peek(0); t.kind {
		case hexa:
			b, err := hex.DecodeString(strings.Repeat("0", len(t.val)%2) + t.val)
			e, s.hexa = string(b), true
			if err != nil || !ascii(e) {
				p.fail("an element in hexadecimal beyond ASCII cannot be read")
			}
			p.next()
		default:
			e = p.text()
		}
		s.col.Elements = append(s.col.Elements, e)
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func (p *parser) otherType(w string, s *typeSpec) bool {
	c := &s.col
	if t, ok := temporalTypes[w]; ok {
		p.next()
		c.Type, c.Scale = t, p.length(0)
		return true
	}
	if sub, ok := geometryTypes[w]; ok {
		p.next()
		c.Type, c.Subtype = schema.TypeGeometry, sub
		return true
	}
	if p.ctx.MariaDB && c.SetFixed(strings.ToLower(w)) {
		p.next()
		s.fixed = true
		return true
	}
	if p.ctx.MariaDB && w == "JSON" { // another name
		p.next()
		c.Type, s.charset, s.binary = schema.TypeLongText, "utf8mb4", true
		return true
	}
	switch w {
	case "DATE":
		c.Type = schema.TypeDate
	case "YEAR":
		c.Type = schema.TypeYear
	case "JSON":
		c.Type = schema.TypeJSON
	case "VECTOR":
		c.Type = schema.TypeVector
	default:
		return false
	}
	p.next()
	switch c.Type {
	case schema.TypeYear:
		p.numbers()
		p.numericAttributes(new(schema.Column))
	case schema.TypeVector:
		c.Length = p.length(2048)
	}
	return true
}
