package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// ID identifies the content of a Table: a fingerprint of its binary form.
type ID [16]byte

// String returns the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Type is the declared SQL type of a column, without its attributes.
type Type uint8

// The types. Their numbers are part of the frame format: append only.
const (
	TypeInvalid Type = iota
	TypeTinyInt
	TypeSmallInt
	TypeMediumInt
	TypeInt
	TypeBigInt
	TypeFloat
	TypeDouble
	TypeDecimal
	TypeBit
	TypeYear
	TypeDate
	TypeTime
	TypeDateTime
	TypeTimestamp
	TypeChar
	TypeVarchar
	TypeTinyText
	TypeText
	TypeMediumText
	TypeLongText
	TypeBinary
	TypeVarbinary
	TypeTinyBlob
	TypeBlob
	TypeMediumBlob
	TypeLongBlob
	TypeEnum
	TypeSet
	TypeJSON
	TypeGeometry // and the subtypes; Column.Subtype names one
	TypeVector
	numTypes
)

var typeNames = [numTypes]string{"invalid", "tinyint", "smallint", "mediumint", "int", "bigint", "float", "double", "decimal",
	"bit", "year", "date", "time", "datetime", "timestamp", "char", "varchar", "tinytext", "text", "mediumtext", "longtext",
	"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "enum", "set", "json", "geometry", "vector"}

// String returns the type's name as information_schema.COLUMNS.DATA_TYPE has it.
func (t Type) String() string {
	if t < numTypes {
		return typeNames[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// ParseType is the inverse of String; unknown names give TypeInvalid.
func ParseType(name string) Type {
	if i := slices.Index(typeNames[1:], name); i >= 0 {
		return Type(i + 1)
	}
	return TypeInvalid
}

// IsText reports whether columns of this type hold text in a charset.
func (t Type) IsText() bool { return t >= TypeChar && t <= TypeLongText }

// IsBinary reports whether columns of this type hold bytes without a charset.
func (t Type) IsBinary() bool { return t >= TypeBinary && t <= TypeLongBlob }

// IsInteger reports whether t is one of the integer types.
func (t Type) IsInteger() bool { return t >= TypeTinyInt && t <= TypeBigInt }

// Column describes one column as of one version of its table.
type Column struct {
	Name string
	Type Type
	// Length is the declared length: characters for text, bytes for binary
	// types, bits for BIT, dimensions for VECTOR, display width of a
	// TINYINT(1) (else 0 for integers), 0 for the TEXT and BLOB families.
	Length int
	// Precision and Scale are the digits of a DECIMAL; Scale is also the
	// fractional digits of a temporal type. A FLOAT(M,D) has both.
	Precision, Scale int
	Unsigned         bool
	Zerofill         bool
	Nullable         bool
	Generated        bool // computed by the server: VIRTUAL or STORED
	Invisible        bool
	AutoIncrement    bool
	Charset          string   // of text, ENUM and SET; else ""
	Collation        string   // likewise
	Elements         []string // of ENUM and SET, in UTF-8
	Subtype          string   // of TypeGeometry: "point", "polygon", ...; "" is any; of text, see SetFixed
	SRID             uint32   // of TypeGeometry, when HasSRID
	HasSRID          bool
}

// Table describes the rows of one table as of one version. Immutable after
// New; shared by pointer.
type Table struct {
	Database string
	Name     string
	Columns  []Column
	// Key holds the indexes of the columns that identify a row, in key
	// order: the primary key, else the first unique key without a nullable
	// column. Empty: the table has no key.
	Key []int
	// Primary says that Key is the primary key.
	Primary bool
	// Unique holds the other unique keys, nullable ones too. Where they are
	// not known (a shape learnt from the log alone) UniqueUnknown is set.
	Unique        [][]int
	UniqueUnknown bool

	id ID
}

// New checks t, computes its ID and returns it. The caller must not change t
// afterwards.
func New(t *Table) (*Table, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(AppendTable(make([]byte, 0, 512), t))
	copy(t.id[:], sum[:])
	return t, nil
}

// fewColumns are compared with each other rather than put into a map.
const fewColumns = 12

func hasColumn(list []Column, name string) bool {
	for i := range list {
		if list[i].Name == name {
			return true
		}
	}
	return false
}

func (t *Table) check() error {
	var seen map[string]bool
	if len(t.Columns) > fewColumns {
		seen = make(map[string]bool, len(t.Columns))
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Type == TypeInvalid || c.Type >= numTypes {
			return fmt.Errorf("schema: table %s: column %q has no valid type", t, c.Name)
		}
		if seen[c.Name] || seen == nil && hasColumn(t.Columns[:i], c.Name) {
			return fmt.Errorf("schema: table %s: column %q is there twice", t, c.Name)
		}
		if seen != nil {
			seen[c.Name] = true
		}
		if most, ok := maxScale(c.Type); ok && (c.Scale < 0 || c.Scale > most) || c.Type == TypeBit && (c.Length < 1 || c.Length > 64) || c.Length < 0 {
			return fmt.Errorf("schema: table %s: column %q cannot be a %s of length %d and scale %d", t, c.Name, c.Type, c.Length, c.Scale)
		}
	}
	for _, key := range append([][]int{t.Key}, t.Unique...) {
		for _, k := range key {
			if k < 0 || k >= len(t.Columns) {
				return fmt.Errorf("schema: table %s: a key names column %d of %d", t, k, len(t.Columns))
			}
		}
	}
	return nil
}

// maxScale returns the largest scale that a type with one may have.
func maxScale(t Type) (int, bool) {
	switch t {
	case TypeDecimal:
		return 30, true
	case TypeTime, TypeDateTime, TypeTimestamp:
		return 6, true
	}
	return 0, false
}

// Project returns t with only the columns at keep, in that order. Unique keys
// stay if they are whole; all columns of the key must.
func (t *Table) Project(keep []int) (*Table, error) {
	n := &Table{Database: t.Database, Name: t.Name, Primary: t.Primary, UniqueUnknown: t.UniqueUnknown}
	for _, k := range keep {
		n.Columns = append(n.Columns, t.Columns[k])
	}
	for _, k := range t.Key {
		i := slices.Index(keep, k)
		if i < 0 {
			return nil, fmt.Errorf("table %s: column %s belongs to the key and cannot be left out", t, t.Columns[k].Name)
		}
		n.Key = append(n.Key, i)
	}
	for _, u := range t.Unique {
		var m []int
		whole := true
		for _, k := range u {
			i := slices.Index(keep, k)
			m, whole = append(m, i), whole && i >= 0
		}
		if whole {
			n.Unique = append(n.Unique, m)
		}
	}
	return New(n)
}

// ID returns the fingerprint of t's content.
func (t *Table) ID() ID { return t.id }

// String returns database.name.
func (t *Table) String() string { return t.Database + "." + t.Name }

// Column returns the index of the column of that name (exact match), or -1.
func (t *Table) Column(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// IsKey reports whether column i belongs to Key.
func (t *Table) IsKey(i int) bool { return slices.Contains(t.Key, i) }

// SameLayout reports whether rows of t and o have the same columns, in name,
// order, type and meaning, and the same key; what differs at most is what
// rows do not show, such as visibility or other unique keys.
func (t *Table) SameLayout(o *Table) bool {
	if t == o || t.id == o.id {
		return true
	}
	if len(t.Columns) != len(o.Columns) || !slices.Equal(t.Key, o.Key) {
		return false
	}
	for i := range t.Columns {
		a, b := &t.Columns[i], &o.Columns[i]
		if a.Name != b.Name || a.Type != b.Type || a.Unsigned != b.Unsigned || a.Scale != b.Scale ||
			a.Precision != b.Precision || a.Charset != b.Charset || !slices.Equal(a.Elements, b.Elements) ||
			(a.Type == TypeBit || a.Type == TypeBinary) && a.Length != b.Length {
			return false
		}
	}
	return true
}
