package binlog

import (
	"fmt"

	"github.com/towline/towline/cdc/charset"
	"github.com/towline/towline/schema"
)

// KindOf returns the kind of Value that a column's content has, unless it is
// NULL. Text that its charset cannot decode is RawString instead of String.
func KindOf(c *schema.Column) schema.Kind {
	t := c.Type
	switch {
	case t.IsInteger() && c.Unsigned:
		return schema.Uint
	case t.IsInteger():
		return schema.Int
	case t.IsText():
		return schema.String
	case t.IsBinary():
		return schema.Bytes
	}
	return kindOfType[t]
}

var kindOfType = map[schema.Type]schema.Kind{
	schema.TypeFloat: schema.Float32, schema.TypeDouble: schema.Float64, schema.TypeDecimal: schema.Decimal, schema.TypeBit: schema.Bit,
	schema.TypeYear: schema.Year, schema.TypeDate: schema.Date, schema.TypeTime: schema.Time, schema.TypeDateTime: schema.DateTime,
	schema.TypeTimestamp: schema.Timestamp, schema.TypeEnum: schema.Enum, schema.TypeSet: schema.Set, schema.TypeJSON: schema.JSON,
	schema.TypeGeometry: schema.Geometry, schema.TypeVector: schema.Vector,
}

// Shape builds the table that m describes. It needs the full metadata
// (HasNames); what even those do not tell stays unset: generated columns,
// ZEROFILL, AUTO_INCREMENT, display widths, SRIDs and keys other than the
// primary one (UniqueUnknown). That one may be a unique key that the server
// takes for it.
func (m *TableMap) Shape() (*schema.Table, error) {
	if !m.HasNames {
		return nil, fmt.Errorf("binlog: table %s: its column names are not in the log: "+
			"SET PERSIST binlog_row_metadata=FULL on the server, or give the table's shape", m)
	}
	t := &schema.Table{Database: m.Database, Name: m.Name, Columns: make([]schema.Column, len(m.Columns)),
		Key: m.PrimaryKey, Primary: len(m.PrimaryKey) > 0, UniqueUnknown: true}
	for i := range m.Columns {
		if err := m.Columns[i].shape(&t.Columns[i]); err != nil {
			return nil, fmt.Errorf("binlog: table %s: column %d %q: %w", m, i+1, m.Columns[i].Name, err)
		}
	}
	return schema.New(t)
}

// shape fills c.
func (col *MapColumn) shape(c *schema.Column) error {
	c.Name, c.Nullable, c.Invisible = col.Name, col.Nullable, col.Invisible
	c.Unsigned = col.Unsigned && col.Type != typeYear
	if err := col.shapeType(c); err != nil {
		return err
	}
	if !c.Type.IsText() && !col.isEnumOrSet() {
		return nil
	}
	cs, ok := charset.CollationByID(col.Collation)
	if !ok {
		return fmt.Errorf("collation id %d is not known to this build", col.Collation)
	}
	c.Charset, c.Collation = cs.Charset.Name(), cs.Name
	if c.Type == schema.TypeChar || c.Type == schema.TypeVarchar {
		c.Length = int(col.normal().Meta) / cs.Charset.MaxLen()
	}
	for _, e := range col.Elements {
		text, ok := cs.Charset.Decode(nil, []byte(e))
		if !ok {
			return fmt.Errorf("element %q is not valid %s", e, c.Charset)
		}
		c.Elements = append(c.Elements, string(text))
	}
	return nil
}

var plainTypes = map[uint8]schema.Type{
	typeTiny: schema.TypeTinyInt, typeShort: schema.TypeSmallInt, typeInt24: schema.TypeMediumInt, typeLong: schema.TypeInt,
	typeLongLong: schema.TypeBigInt, typeFloat: schema.TypeFloat, typeDouble: schema.TypeDouble, typeYear: schema.TypeYear,
	typeDate: schema.TypeDate, typeNewDate: schema.TypeDate, typeTime: schema.TypeTime, typeDateTime: schema.TypeDateTime,
	typeTimestamp: schema.TypeTimestamp, typeEnum: schema.TypeEnum, typeSet: schema.TypeSet, typeJSON: schema.TypeJSON,
	typeTime2: schema.TypeTime, typeDateTime2: schema.TypeDateTime, typeTimestamp2: schema.TypeTimestamp,
	typeNewDecimal: schema.TypeDecimal, typeBit: schema.TypeBit, typeGeometry: schema.TypeGeometry, typeVector: schema.TypeVector,
}

var textTypes = [5]schema.Type{1: schema.TypeTinyText, schema.TypeText, schema.TypeMediumText, schema.TypeLongText}
var blobTypes = [5]schema.Type{1: schema.TypeTinyBlob, schema.TypeBlob, schema.TypeMediumBlob, schema.TypeLongBlob}

var geometryNames = [...]string{"", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geomcollection"}

// shapeType sets the type and what belongs to it but the charset.
func (col *MapColumn) shapeType(c *schema.Column) error {
	c.Type = plainTypes[col.Type]
	binary := col.Collation == collationBinary
	switch col.Type {
	case typeTime2, typeDateTime2, typeTimestamp2:
		c.Scale = int(col.Meta)
	case typeNewDecimal:
		c.Precision, c.Scale = int(col.Meta>>8), int(col.Meta&0xff)
	case typeBit:
		c.Length = int(col.Meta)
	case typeString:
		c.Type = pick(binary, schema.TypeBinary, schema.TypeChar)
		c.Length = int(col.Meta)
	case typeVarchar, typeVarString, typeCharPacked:
		c.Type = pick(binary, schema.TypeVarbinary, schema.TypeVarchar)
		c.Length = int(col.normal().Meta)
	case typeBlob, typeBlobPacked:
		if col.Meta < 1 || col.Meta > 4 {
			return fmt.Errorf("a blob with a length of %d bytes", col.Meta)
		}
		c.Type = pick(binary, blobTypes[col.Meta], textTypes[col.Meta])
	case typeGeometry:
		if int(col.Geometry) >= len(geometryNames) {
			return fmt.Errorf("geometry type %d is not known to this build", col.Geometry)
		}
		c.Subtype = geometryNames[col.Geometry]
	case typeVector:
		c.Length = int(col.Dimension)
	}
	if c.Type == schema.TypeInvalid {
		return fmt.Errorf("type %d of the log is not known to this build", col.Type)
	}
	return nil
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
