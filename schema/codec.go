package schema

import (
	"encoding/binary"
	"errors"

	"github.com/towline/towline/schema/wire"
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
	dst = wire.AppendString(dst, t.Database)
	dst = wire.AppendString(dst, t.Name)
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
	dst = wire.AppendString(dst, c.Name)
	dst = append(dst, byte(c.Type), c.flags())
	dst = binary.AppendUvarint(dst, uint64(c.Length))
	dst = binary.AppendUvarint(dst, uint64(c.Precision))
	dst = binary.AppendUvarint(dst, uint64(c.Scale))
	dst = wire.AppendString(dst, c.Charset)
	dst = wire.AppendString(dst, c.Collation)
	dst = binary.AppendUvarint(dst, uint64(len(c.Elements)))
	for _, e := range c.Elements {
		dst = wire.AppendString(dst, e)
	}
	dst = wire.AppendString(dst, c.Subtype)
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
	r := wire.NewReader(src)
	if r.Byte() != tableFormat {
		return nil, nil, errTable
	}
	r.Share()
	flags := r.Byte()
	t := &Table{Primary: flags&tablePrimary != 0, UniqueUnknown: flags&tableUniqueUnknown != 0}
	t.Database = r.Text()
	t.Name = r.Text()
	t.Columns = make([]Column, r.Count(1))
	for i := range t.Columns {
		readColumn(&r, &t.Columns[i])
	}
	t.Key = readKey(&r)
	if n := r.Count(1); n > 0 {
		t.Unique = make([][]int, n)
		for i := range t.Unique {
			t.Unique[i] = readKey(&r)
		}
	}
	if !r.OK() {
		return nil, nil, errTable
	}
	t, err := New(t)
	return t, r.Rest(), err
}

func readKey(r *wire.Reader) []int {
	n := r.Count(1)
	if n == 0 {
		return nil
	}
	key := make([]int, n)
	for i := range key {
		key[i] = int(r.Uvarint())
	}
	return key
}

func readColumn(r *wire.Reader, c *Column) {
	c.Name = r.Text()
	c.Type = Type(r.Byte())
	f := r.Byte()
	c.Unsigned, c.Zerofill, c.Nullable = f&colUnsigned != 0, f&colZerofill != 0, f&colNullable != 0
	c.Generated, c.Invisible = f&colGenerated != 0, f&colInvisible != 0
	c.AutoIncrement, c.HasSRID = f&colAutoIncrement != 0, f&colHasSRID != 0
	c.Length, c.Precision, c.Scale = int(r.Uvarint()), int(r.Uvarint()), int(r.Uvarint())
	c.Charset, c.Collation = r.Text(), r.Text()
	if n := r.Count(1); n > 0 {
		c.Elements = make([]string, n)
		for i := range c.Elements {
			c.Elements[i] = r.Text()
		}
	}
	c.Subtype = r.Text()
	c.SRID = uint32(r.Uvarint())
}
