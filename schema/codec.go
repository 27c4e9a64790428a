package schema

import (
	"encoding/binary"
	"errors"
)

// tableFormat is the first byte of a Table's binary form.
const tableFormat = 1

const (
	colUnsigned = 1 << iota
	colZerofill
	colNullable
	colGenerated
	colInvisible
	colAutoIncrement
	colHasSRID
)

const (
	tablePrimary = 1 << iota
	tableUniqueUnknown
)

// AppendTable appends the binary form of t:
//
//	format(1) flags(1) database name #columns column... key #unique key...
//
// where a string is a length and its bytes, a key a count and its indexes,
// and all numbers are unsigned varints. A column is
//
//	name type(1) flags(1) length precision scale charset collation
//	#elements element... subtype srid
func AppendTable(dst []byte, t *Table) []byte {
	var flags byte
	if t.Primary {
		flags |= tablePrimary
	}
	if t.UniqueUnknown {
		flags |= tableUniqueUnknown
	}
	dst = append(dst, tableFormat, flags)
	dst = appendString(dst, t.Database)
	dst = appendString(dst, t.Name)
	dst = binary.AppendUvarint(dst, uint64(len(t.Columns)))
	for i := range t.Columns {
		dst = appendColumn(dst, &t.Columns[i])
	}
	dst = appendKey(dst, t.Key)
	dst = binary.AppendUvarint(dst, uint64(len(t.Unique)))
	for _, u := range t.Unique {
		dst = appendKey(dst, u)
	}
	return dst
}

func appendColumn(dst []byte, c *Column) []byte {
	dst = appendString(dst, c.Name)
	dst = append(dst, byte(c.Type), c.flags())
	dst = binary.AppendUvarint(dst, uint64(c.Length))
	dst = binary.AppendUvarint(dst, uint64(c.Precision))
	dst = binary.AppendUvarint(dst, uint64(c.Scale))
	dst = appendString(dst, c.Charset)
	dst = appendString(dst, c.Collation)
	dst = binary.AppendUvarint(dst, uint64(len(c.Elements)))
	for _, e := range c.Elements {
		dst = appendString(dst, e)
	}
	dst = appendString(dst, c.Subtype)
	return binary.AppendUvarint(dst, uint64(c.SRID))
}

func (c *Column) flags() byte {
	var f byte
	for i, on := range [...]bool{c.Unsigned, c.Zerofill, c.Nullable, c.Generated, c.Invisible, c.AutoIncrement, c.HasSRID} {
		if on {
			f |= 1 << i
		}
	}
	return f
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendKey(dst []byte, key []int) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	for _, k := range key {
		dst = binary.AppendUvarint(dst, uint64(k))
	}
	return dst
}

var errTable = errors.New("schema: not the binary form of a table")

// ParseTable reads what AppendTable wrote and returns the Table and the rest
// of src. The Table has memory of its own.
func ParseTable(src []byte) (*Table, []byte, error) {
	r := reader{b: src}
	if r.byte() != tableFormat {
		return nil, nil, errTable
	}
	flags := r.byte()
	t := &Table{Primary: flags&tablePrimary != 0, UniqueUnknown: flags&tableUniqueUnknown != 0}
	t.Database = r.string()
	t.Name = r.string()
	t.Columns = make([]Column, r.count())
	for i := range t.Columns {
		r.column(&t.Columns[i])
	}
	t.Key = r.key()
	if n := r.count(); n > 0 {
		t.Unique = make([][]int, n)
		for i := range t.Unique {
			t.Unique[i] = r.key()
		}
	}
	if r.bad {
		return nil, nil, errTable
	}
	t, err := New(t)
	return t, r.b, err
}

// reader takes a binary form apart; after the first fault all reads give
// zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of things that take a byte or more each, so that a
// broken count cannot make us allocate more than the input is long.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) string() string {
	n := r.count()
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) key() []int {
	n := r.count()
	if n == 0 {
		return nil
	}
	key := make([]int, n)
	for i := range key {
		key[i] = int(r.uvarint())
	}
	return key
}

func (r *reader) column(c *Column) {
	c.Name = r.string()
	c.Type = Type(r.byte())
	f := r.byte()
	c.Unsigned, c.Zerofill, c.Nullable = f&colUnsigned != 0, f&colZerofill != 0, f&colNullable != 0
	c.Generated, c.Invisible = f&colGenerated != 0, f&colInvisible != 0
	c.AutoIncrement, c.HasSRID = f&colAutoIncrement != 0, f&colHasSRID != 0
	c.Length, c.Precision, c.Scale = int(r.uvarint()), int(r.uvarint()), int(r.uvarint())
	c.Charset, c.Collation = r.string(), r.string()
	if n := r.count(); n > 0 {
		c.Elements = make([]string, n)
		for i := range c.Elements {
			c.Elements[i] = r.string()
		}
	}
	c.Subtype = r.string()
	c.SRID = uint32(r.uvarint())
}
