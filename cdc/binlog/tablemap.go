package binlog

import (
	"bytes"
	"fmt"
	"slices"
)

// The column types of the log.
const (
	typeTiny       = 1
	typeShort      = 2
	typeLong       = 3
	typeFloat      = 4
	typeDouble     = 5
	typeTimestamp  = 7
	typeLongLong   = 8
	typeInt24      = 9
	typeDate       = 10
	typeTime       = 11
	typeDateTime   = 12
	typeYear       = 13
	typeNewDate    = 14
	typeVarchar    = 15
	typeBit        = 16
	typeTimestamp2 = 17
	typeDateTime2  = 18
	typeTime2      = 19
	typeTypedArray = 20
	typeBlobPacked = 140 // of MariaDB: compressed in the row
	typeCharPacked = 141
	typeVector     = 242
	typeJSON       = 245
	typeNewDecimal = 246
	typeEnum       = 247
	typeSet        = 248
	typeBlob       = 252
	typeVarString  = 253
	typeString     = 254
	typeGeometry   = 255
)

// collationBinary is the collation id of columns without a charset.
const collationBinary = 63

// maxColumns is more than any server allows in a table.
const maxColumns = 1 << 14

// TableMap is what a TABLE_MAP event says of a table. It is immutable and has
// memory of its own.
type TableMap struct {
	TableID  uint64 // as row events name it; good for one log file
	Flags    uint16
	Database string
	Name     string
	Columns  []MapColumn

	// HasNames: binlog_row_metadata=FULL was in force, so the columns have
	// names, elements and a key, and Shape works.
	HasNames bool
	// HasSignedness and HasCharsets: the server is one that logs them (8.0
	// and later, whatever its metadata setting).
	HasSignedness, HasCharsets bool
	// PrimaryKey holds the columns of the primary key in key order, known
	// when HasNames; Prefixed says that it holds only a part of some columns.
	PrimaryKey []int
	Prefixed   bool
	// UnknownFields are codes of optional metadata that this build does not
	// know; they were passed over.
	UnknownFields []uint8
}

// MapColumn is a column as a TABLE_MAP event has it.
type MapColumn struct {
	Type      uint8  // of the log
	Element   uint8  // type of the elements of a TYPED_ARRAY
	Meta      uint32 // what it means depends on Type
	Nullable  bool
	Unsigned  bool
	Collation uint16 // id; 0: not known or none
	Invisible bool
	Geometry  uint8  // subtype
	Dimension uint32 // of a VECTOR; 0: not known
	Name      string
	Elements  []string // of ENUM and SET, in the column's own charset
}

// String returns database.name.
func (m *TableMap) String() string { return m.Database + "." + m.Name }

// ParseTableMap reads the body of a TABLE_MAP event.
func ParseTableMap(body []byte) (*TableMap, error) {
	c := cursor{b: body}
	m := &TableMap{TableID: c.uint(6), Flags: c.u16()}
	m.Database = string(c.packedBytes())
	c.zero()
	m.Name = string(c.packedBytes())
	c.zero()
	types := c.packedBytes()
	if len(types) == 0 || len(types) > maxColumns {
		c.fail()
	}
	meta := cursor{b: c.packedBytes()}
	nulls := c.take(uint64(len(types)+7) / 8)
	if c.bad {
		return nil, bodyError(TableMapEvent, body)
	}
	m.Columns = make([]MapColumn, len(types))
	for i, t := range types {
		col := &m.Columns[i]
		col.Nullable = nulls[i/8]>>(i%8)&1 != 0
		if err := col.readType(&meta, t); err != nil {
			return nil, fmt.Errorf("binlog: table %s: column %d: %w", m, i+1, err)
		}
	}
	if meta.bad || len(meta.b) > 0 {
		return nil, fmt.Errorf("binlog: table %s: the column metadata do not fit the column types", m)
	}
	if err := m.readOptional(c); err != nil {
		return nil, err
	}
	return m, nil
}

// readType sets Type, Element and Meta.
func (col *MapColumn) readType(c *cursor, t uint8) error {
	col.Type = t
	array := t == typeTypedArray
	if array {
		col.Element = c.u8()
		t = col.Element
	}
	switch t {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong, typeYear, typeDate, typeNewDate, typeTime, typeDateTime, typeTimestamp:
	case typeFloat, typeDouble, typeBlob, typeBlobPacked, typeJSON, typeGeometry, typeVector, typeTime2, typeDateTime2, typeTimestamp2:
		col.Meta = uint32(c.u8())
	case typeVarchar, typeVarString, typeCharPacked:
		col.Meta = uint32(c.uint(2))
		if array {
			col.Meta |= uint32(c.u8()) << 16
		}
	case typeBit:
		col.Meta = uint32(c.u8())
		col.Meta += uint32(c.u8()) * 8 // bits, then whole bytes
	case typeNewDecimal:
		col.Meta = uint32(c.u8())<<8 | uint32(c.u8())
	case typeString, typeEnum, typeSet:
		col.readString(c)
	default:
		return fmt.Errorf("type %d of the log is not known to this build", t)
	}
	return nil
}

// readString takes apart the metadata that CHAR, BINARY, ENUM and SET share:
// the true type and a length, of which two bits may hide in the type.
func (col *MapColumn) readString(c *cursor) {
	t, n := c.u8(), uint32(c.u8())
	if t&0x30 != 0x30 {
		n |= uint32(t&0x30^0x30) << 4
		t |= 0x30
	}
	if col.Type != typeTypedArray {
		col.Type = t
	}
	col.Meta = n
}

// isNumeric reports whether SIGNEDNESS has a bit for the column.
func (col *MapColumn) isNumeric() bool {
	switch col.Type {
	case typeTiny, typeShort, typeInt24, typeLong, typeLongLong, typeNewDecimal, typeFloat, typeDouble, typeYear:
		return true
	}
	return false
}

// isCharacter reports whether the charset fields count the column.
func (col *MapColumn) isCharacter() bool {
	switch col.Type {
	case typeString, typeVarString, typeVarchar, typeBlob, typeVector, typeBlobPacked, typeCharPacked:
		return true
	}
	return false
}

func (col *MapColumn) isEnumOrSet() bool { return col.Type == typeEnum || col.Type == typeSet }

// TableMaps remembers the TableMap of each table id of a log file, so that the
// same bytes give the same *TableMap, which is then a key for plans. One
// goroutine at a time uses it. The zero value is ready.
type TableMaps struct {
	byID map[uint64]*knownMap
	// older has those of before byID was full last. One that is used comes back
	// to byID: so what goes is what was not used for long, and never one of the
	// transaction at hand.
	older map[uint64]*knownMap
}

type knownMap struct {
	body []byte
	m    *TableMap
}

// maxTableMaps bounds what is remembered, twice; ids of altered tables pile up.
const maxTableMaps = 8192

// Put parses the body of a TABLE_MAP event and remembers it.
func (t *TableMaps) Put(body []byte) (*TableMap, error) {
	c := cursor{b: body}
	id := c.uint(6)
	if k := t.get(id); k != nil && bytes.Equal(k.body, body) {
		return k.m, nil
	}
	m, err := ParseTableMap(body)
	if err != nil {
		return nil, err
	}
	t.put(id, &knownMap{slices.Clone(body), m})
	return m, nil
}

// get returns what is known under a table id, nil if that is nothing.
func (t *TableMaps) get(id uint64) *knownMap {
	k := t.byID[id]
	if k == nil {
		if k = t.older[id]; k != nil {
			t.put(id, k)
		}
	}
	return k
}

func (t *TableMaps) put(id uint64, k *knownMap) {
	if t.byID == nil || len(t.byID) >= maxTableMaps {
		t.byID, t.older = make(map[uint64]*knownMap), t.byID
	}
	t.byID[id] = k
}

// Get returns the TableMap of a table id, nil if there was none.
func (t *TableMaps) Get(id uint64) *TableMap {
	if k := t.get(id); k != nil {
		return k.m
	}
	return nil
}

// Body returns the body of the TABLE_MAP event that Get's answer is from. The
// caller must not change it.
func (t *TableMaps) Body(id uint64) []byte {
	if k := t.get(id); k != nil {
		return k.body
	}
	return nil
}

// Reset forgets all; call it at each FORMAT_DESCRIPTION.
func (t *TableMaps) Reset() { t.byID, t.older = nil, nil }
