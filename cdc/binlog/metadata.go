package binlog

import "fmt"

// Codes of the optional metadata.
const (
	fieldSignedness       = 1
	fieldDefaultCharset   = 2
	fieldColumnCharset    = 3
	fieldColumnName       = 4
	fieldSetValues        = 5
	fieldEnumValues       = 6
	fieldGeometryType     = 7
	fieldPrimaryKey       = 8
	fieldPrefixedKey      = 9
	fieldEnumSetDefault   = 10
	fieldEnumSetCharset   = 11
	fieldVisibility       = 12
	fieldVectorDimensions = 13
)

// readOptional reads the fields that follow the fixed part.
func (m *TableMap) readOptional(c cursor) error {
	for len(c.b) > 0 {
		code := c.u8()
		in := cursor{b: c.packedBytes()}
		if !c.bad {
			m.readField(code, &in)
		}
		if c.bad || in.bad {
			return fmt.Errorf("binlog: table %s: malformed field %d of the optional metadata", m, code)
		}
	}
	return nil
}

func (m *TableMap) readField(code uint8, c *cursor) {
	switch code {
	case fieldSignedness:
		m.HasSignedness = true
		m.readBits(c, (*MapColumn).isNumeric, func(col *MapColumn, on bool) { col.Unsigned = on })
	case fieldVisibility:
		m.readBits(c, anyColumn, func(col *MapColumn, on bool) { col.Invisible = !on })
	case fieldDefaultCharset:
		m.HasCharsets = true
		m.readDefaultCharset(c, (*MapColumn).isCharacter)
	case fieldEnumSetDefault:
		m.readDefaultCharset(c, (*MapColumn).isEnumOrSet)
	case fieldColumnCharset:
		m.HasCharsets = true
		m.readEach(c, (*MapColumn).isCharacter, func(col *MapColumn) { col.Collation = uint16(c.packed()) })
	case fieldEnumSetCharset:
		m.readEach(c, (*MapColumn).isEnumOrSet, func(col *MapColumn) { col.Collation = uint16(c.packed()) })
	case fieldColumnName:
		m.HasNames = true
		m.readEach(c, anyColumn, func(col *MapColumn) { col.Name = string(c.packedBytes()) })
	case fieldSetValues:
		m.readEach(c, isType(typeSet), func(col *MapColumn) { col.readElements(c) })
	case fieldEnumValues:
		m.readEach(c, isType(typeEnum), func(col *MapColumn) { col.readElements(c) })
	case fieldGeometryType:
		m.readEach(c, isType(typeGeometry), func(col *MapColumn) { col.Geometry = uint8(c.packed()) })
	case fieldVectorDimensions:
		m.readEach(c, isType(typeVector), func(col *MapColumn) { col.Dimension = uint32(c.packed()) })
	case fieldPrimaryKey, fieldPrefixedKey:
		m.readKey(c, code == fieldPrefixedKey)
	default:
		m.UnknownFields = append(m.UnknownFields, code)
	}
}

func anyColumn(*MapColumn) bool { return true }

func isType(t uint8) func(*MapColumn) bool {
	return func(col *MapColumn) bool { return col.Type == t }
}

// readBits reads one bit for each column that counts, highest bit first.
func (m *TableMap) readBits(c *cursor, counts func(*MapColumn) bool, set func(*MapColumn, bool)) {
	n := 0
	for i := range m.Columns {
		if !counts(&m.Columns[i]) {
			continue
		}
		if n/8 >= len(c.b) {
			c.fail()
			return
		}
		set(&m.Columns[i], c.b[n/8]>>(7-n%8)&1 != 0)
		n++
	}
}

// readEach reads one item for each column that counts, in order. The field
// must hold exactly those.
func (m *TableMap) readEach(c *cursor, counts func(*MapColumn) bool, read func(*MapColumn)) {
	for i := range m.Columns {
		if counts(&m.Columns[i]) && !c.bad {
			read(&m.Columns[i])
		}
	}
	if len(c.b) > 0 {
		c.fail()
	}
}

// readDefaultCharset reads a collation for all columns that count, then the
// exceptions: the number of such a column and its collation.
func (m *TableMap) readDefaultCharset(c *cursor, counts func(*MapColumn) bool) {
	var cols []*MapColumn
	collation := uint16(c.packed())
	for i := range m.Columns {
		if counts(&m.Columns[i]) {
			m.Columns[i].Collation = collation
			cols = append(cols, &m.Columns[i])
		}
	}
	for len(c.b) > 0 && !c.bad {
		i, collation := c.packed(), uint16(c.packed())
		if i >= uint64(len(cols)) {
			c.fail()
			return
		}
		cols[i].Collation = collation
	}
}

func (col *MapColumn) readElements(c *cursor) {
	n := c.packed()
	if n > uint64(len(c.b)) { // an element takes a byte or more
		c.fail()
		return
	}
	col.Elements = make([]string, n)
	for i := range col.Elements {
		col.Elements[i] = string(c.packedBytes())
	}
}

func (m *TableMap) readKey(c *cursor, prefixed bool) {
	m.PrimaryKey, m.Prefixed = nil, false
	for len(c.b) > 0 && !c.bad {
		i := c.packed()
		if prefixed && c.packed() != 0 {
			m.Prefixed = true
		}
		if i >= uint64(len(m.Columns)) {
			c.fail()
			return
		}
		m.PrimaryKey = append(m.PrimaryKey, int(i))
	}
}
