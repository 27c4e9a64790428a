package ddl

import (
	"encoding/binary"
	"errors"

	"github.com/towline/towline/schema"
)

const defFormat = 1

const (
	indexUnique = 1 << iota
	indexPrimary
	indexImplicit
)

// AppendDef appends the binary form of d:
//
//	format(1) table engine charset collation #indexes index...
//
// where table is the binary form of the schema.Table, a string a length and
// its bytes, and all numbers unsigned varints. An index is
//
//	name flags(1) #parts (column prefix)...
func AppendDef(dst []byte, d *Def) []byte {
	dst = schema.AppendTable(append(dst, defFormat), d.Table)
	dst = appendString(dst, d.Engine)
	dst = appendString(dst, d.Charset)
	dst = appendString(dst, d.Collation)
	dst = binary.AppendUvarint(dst, uint64(len(d.Indexes)))
	for i := range d.Indexes {
		x := &d.Indexes[i]
		var flags byte
		for bit, on := range [...]bool{x.Unique, x.Primary, x.Implicit} {
			if on {
				flags |= 1 << bit
			}
		}
		dst = append(appendString(dst, x.Name), flags)
		dst = binary.AppendUvarint(dst, uint64(len(x.Parts)))
		for _, p := range x.Parts {
			dst = binary.AppendUvarint(appendString(dst, p.Column), uint64(p.Prefix))
		}
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

var errDef = errors.New("ddl: not the binary form of a table's definition")

// ParseDef reads what AppendDef wrote and returns the Def and the rest of
// src. The Def has memory of its own.
func ParseDef(src []byte) (*Def, []byte, error) {
	if len(src) == 0 || src[0] != defFormat {
		return nil, nil, errDef
	}
	t, rest, err := schema.ParseTable(src[1:])
	if err != nil {
		return nil, nil, err
	}
	r := defReader{b: rest}
	d := &Def{Table: t, Engine: r.string(), Charset: r.string(), Collation: r.string()}
	if n := r.count(); n > 0 {
		d.Indexes = make([]Index, n)
		for i := range d.Indexes {
			r.index(&d.Indexes[i])
		}
	}
	if r.bad {
		return nil, nil, errDef
	}
	return d, r.b, nil
}

// defReader takes a binary form apart; after the first fault all reads give
// zero and bad is set.
type defReader struct {
	b   []byte
	bad bool
}

func (r *defReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of things that take a byte or more each.
func (r *defReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *defReader) string() string {
	n := r.count()
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *defReader) index(x *Index) {
	x.Name = r.string()
	if len(r.b) == 0 {
		r.bad = true
		return
	}
	f := r.b[0]
	r.b = r.b[1:]
	x.Unique, x.Primary, x.Implicit = f&indexUnique != 0, f&indexPrimary != 0, f&indexImplicit != 0
	x.Parts = make([]Part, r.count())
	for i := range x.Parts {
		x.Parts[i] = Part{Column: r.string(), Prefix: int(r.uvarint())}
	}
}
