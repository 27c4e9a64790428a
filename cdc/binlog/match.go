package binlog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/cdc/charset"
	"github.com/towline/towline/schema"
)

// Matches says whether t, a shape that was learnt elsewhere, fits the rows
// that come under m: the same columns in number, type, size, nullability,
// sign and charset and, where the log has them, names, elements and primary
// key. The error names the first column that differs, and how.
func (m *TableMap) Matches(t *schema.Table) error {
	if len(t.Columns) != len(m.Columns) {
		return fmt.Errorf("binlog: table %s: the log has %d columns, the shape known for it %d", m, len(m.Columns), len(t.Columns))
	}
	for i := range m.Columns {
		if ours, theirs := m.columnDiff(i, &t.Columns[i]); ours != theirs {
			return fmt.Errorf("binlog: table %s: column %d %q: the log has %s, the shape known for it %s",
				m, i+1, t.Columns[i].Name, ours, theirs)
		}
	}
	return m.matchKey(t)
}

// matchKey compares the keys. Where a table has no primary key the log names
// the unique key that the server takes for one, which has no nullable column
// and whole ones only; or none, and then the shape's key is one that the
// server does not take.
func (m *TableMap) matchKey(t *schema.Table) error {
	if !m.HasNames || slices.Equal(m.PrimaryKey, t.Key) || !t.Primary && len(m.PrimaryKey) == 0 {
		return nil
	}
	return fmt.Errorf("binlog: table %s: the log has the primary key %s, the shape known for it %s",
		m, keyText(t, m.PrimaryKey), keyText(t, t.Key))
}

func keyText(t *schema.Table, key []int) string {
	names := make([]string, len(key))
	for i, k := range key {
		names[i] = t.Columns[k].Name
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// columnDiff returns two descriptions that are equal when the columns fit.
// What the log does not tell is left out of both.
func (m *TableMap) columnDiff(i int, c *schema.Column) (ours, theirs string) {
	col := &m.Columns[i]
	if m.HasNames && col.Name != c.Name {
		return "the name " + col.Name, "the name " + c.Name
	}
	want, err := wireColumn(c)
	if err != nil {
		return wireText(col), err.Error()
	}
	if have := col.normal(); have.Type != want.Type || have.Meta != want.Meta {
		return wireText(&have), wireText(&want)
	}
	if col.Dimension != 0 && c.Length != 0 && int(col.Dimension) != c.Length {
		return fmt.Sprintf("vector(%d)", col.Dimension), fmt.Sprintf("vector(%d)", c.Length)
	}
	if col.Nullable != c.Nullable {
		return nullText(col.Nullable), nullText(c.Nullable)
	}
	if m.HasSignedness && col.isNumeric() && col.Type != typeYear && col.Unsigned != c.Unsigned {
		return signText(col.Unsigned), signText(c.Unsigned)
	}
	if m.HasCharsets && col.Collation != 0 {
		if ours, theirs = collationDiff(col.Collation, c); ours != theirs {
			return ours, theirs
		}
	}
	return m.elementDiff(col, c)
}

func (m *TableMap) elementDiff(col *MapColumn, c *schema.Column) (ours, theirs string) {
	if !m.HasNames || !col.isEnumOrSet() {
		return "", ""
	}
	var shape schema.Column
	if err := col.shape(&shape); err != nil {
		return err.Error(), ""
	}
	if !slices.Equal(shape.Elements, c.Elements) {
		return fmt.Sprintf("the elements %q", shape.Elements), fmt.Sprintf("%q", c.Elements)
	}
	return "", ""
}

// normal folds types that the log writes in more than one way.
func (col *MapColumn) normal() MapColumn {
	n := MapColumn{Type: col.Type, Meta: col.Meta}
	switch col.Type {
	case typeVarString:
		n.Type = typeVarchar
	case typeCharPacked: // with a byte in front
		n.Type, n.Meta = typeVarchar, col.Meta-min(col.Meta, 1)
	case typeBlobPacked:
		n.Type = typeBlob
	case typeNewDate:
		n.Type = typeDate
	case typeTime: // the old formats hold whole seconds
		n.Type = typeTime2
	case typeDateTime:
		n.Type = typeDateTime2
	case typeTimestamp:
		n.Type = typeTimestamp2
	}
	return n
}

var wireTypes = map[schema.Type]MapColumn{
	schema.TypeTinyInt: {Type: typeTiny}, schema.TypeSmallInt: {Type: typeShort}, schema.TypeMediumInt: {Type: typeInt24},
	schema.TypeInt: {Type: typeLong}, schema.TypeBigInt: {Type: typeLongLong}, schema.TypeFloat: {Type: typeFloat, Meta: 4},
	schema.TypeDouble: {Type: typeDouble, Meta: 8}, schema.TypeYear: {Type: typeYear}, schema.TypeDate: {Type: typeDate},
	schema.TypeTinyText: {Type: typeBlob, Meta: 1}, schema.TypeText: {Type: typeBlob, Meta: 2},
	schema.TypeMediumText: {Type: typeBlob, Meta: 3}, schema.TypeLongText: {Type: typeBlob, Meta: 4},
	schema.TypeTinyBlob: {Type: typeBlob, Meta: 1}, schema.TypeBlob: {Type: typeBlob, Meta: 2},
	schema.TypeMediumBlob: {Type: typeBlob, Meta: 3}, schema.TypeLongBlob: {Type: typeBlob, Meta: 4},
	schema.TypeJSON: {Type: typeJSON, Meta: 4}, schema.TypeGeometry: {Type: typeGeometry, Meta: 4},
	schema.TypeVector: {Type: typeVector, Meta: 4},
	schema.TypeTime:   {Type: typeTime2}, schema.TypeDateTime: {Type: typeDateTime2}, schema.TypeTimestamp: {Type: typeTimestamp2},
	schema.TypeDecimal: {Type: typeNewDecimal}, schema.TypeBit: {Type: typeBit}, schema.TypeChar: {Type: typeString},
	schema.TypeBinary: {Type: typeString}, schema.TypeVarchar: {Type: typeVarchar}, schema.TypeVarbinary: {Type: typeVarchar},
	schema.TypeEnum: {Type: typeEnum}, schema.TypeSet: {Type: typeSet},
}

// wireColumn returns the type and metadata that the log has for a column like c.
func wireColumn(c *schema.Column) (MapColumn, error) {
	if n := c.FixedSize(); n > 0 {
		return MapColumn{Type: typeString, Meta: uint32(n)}, nil
	}
	w := wireTypes[c.Type]
	switch c.Type {
	case schema.TypeTime, schema.TypeDateTime, schema.TypeTimestamp:
		w.Meta = uint32(c.Scale)
	case schema.TypeDecimal:
		w.Meta = uint32(c.Precision)<<8 | uint32(c.Scale)
	case schema.TypeBit, schema.TypeBinary, schema.TypeVarbinary:
		w.Meta = uint32(c.Length)
	case schema.TypeChar, schema.TypeVarchar:
		cs, err := charset.ByName(c.Charset)
		if err != nil {
			return w, err
		}
		w.Meta = uint32(c.Length * cs.MaxLen())
	case schema.TypeEnum:
		w.Meta = 1
		if len(c.Elements) > 255 {
			w.Meta = 2
		}
	case schema.TypeSet:
		w.Meta = uint32(len(c.Elements)+7) / 8
		if w.Meta > 4 {
			w.Meta = 8
		}
	}
	return w, nil
}

var wireNames = map[uint8]string{typeTiny: "a 1-byte integer", typeShort: "a 2-byte integer", typeInt24: "a 3-byte integer",
	typeLong: "a 4-byte integer", typeLongLong: "an 8-byte integer", typeFloat: "a float", typeDouble: "a double",
	typeYear: "a year", typeDate: "a date", typeJSON: "json", typeGeometry: "a geometry", typeVector: "a vector",
	typeTypedArray: "a typed array"}

// wireText describes what rows have, in words of the server's types.
func wireText(w *MapColumn) string {
	switch w.Type {
	case typeTime2:
		return fmt.Sprintf("time(%d)", w.Meta)
	case typeDateTime2:
		return fmt.Sprintf("datetime(%d)", w.Meta)
	case typeTimestamp2:
		return fmt.Sprintf("timestamp(%d)", w.Meta)
	case typeNewDecimal:
		return fmt.Sprintf("decimal(%d,%d)", w.Meta>>8, w.Meta&0xff)
	case typeBit:
		return fmt.Sprintf("bit(%d)", w.Meta)
	case typeString:
		return fmt.Sprintf("char or binary of %d bytes", w.Meta)
	case typeVarchar, typeVarString:
		return fmt.Sprintf("varchar or varbinary of %d bytes", w.Meta)
	case typeBlob:
		return fmt.Sprintf("text or blob with a %d-byte length", w.Meta)
	case typeEnum:
		return fmt.Sprintf("enum of %d bytes", w.Meta)
	case typeSet:
		return fmt.Sprintf("set of %d bytes", w.Meta)
	}
	if s := wireNames[w.Type]; s != "" {
		return s
	}
	return fmt.Sprintf("type %d", w.Type)
}

func nullText(nullable bool) string {
	if nullable {
		return "NULL allowed"
	}
	return "NOT NULL"
}

func signText(unsigned bool) string {
	if unsigned {
		return "unsigned"
	}
	return "signed"
}

// collationDiff describes the charset of a column of the log and of c; by
// collation where c has one, else by charset.
func collationDiff(id uint16, c *schema.Column) (ours, theirs string) {
	have, ok := charset.CollationByID(id)
	if !ok {
		return fmt.Sprintf("collation id %d, which is not known to this build", id), c.Collation
	}
	if !c.Type.IsText() && c.Type != schema.TypeEnum && c.Type != schema.TypeSet || c.FixedSize() > 0 {
		return "collation " + have.Name, "collation binary"
	}
	if c.Collation == "" {
		ours, theirs = have.Charset.Name(), strings.ToLower(c.Charset)
		if theirs == "utf8" {
			theirs = "utf8mb3"
		}
		return "charset " + ours, "charset " + theirs
	}
	if want, ok := charset.CollationByName(c.Collation); ok && want == have {
		return "", ""
	}
	return "collation " + have.Name, "collation " + c.Collation
}
