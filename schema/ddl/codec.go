package ddl

import (
	"encoding/binary"
	"errors"

	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/wire"
)

const defFormat = 1

const (
	indexUnique = 1 << iota
	indexPrimary
	indexImplicit
	indexSpecial
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
	dst = wire.AppendString(dst, d.Engine)
	dst = wire.AppendString(dst, d.Charset)
	dst = wire.AppendString(dst, d.Collation)
	dst = binary.AppendUvarint(dst, uint64(len(d.Indexes)))
	for i := range d.Indexes {
		x := &d.Indexes[i]
		var flags byte
		for bit, on := range [...]bool{x.Unique, x.Primary, x.Implicit, x.Special} {
			if on {
				flags |= 1 << bit
			}
		}
		dst = append(wire.AppendString(dst, x.Name), flags)
		dst = binary.AppendUvarint(dst, uint64(len(x.Parts)))
		for _, p := range x.Parts {
			dst = binary.AppendUvarint(wire.AppendString(dst, p.Column), uint64(p.Prefix))
		}
	}
	return dst
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
	r := wire.NewReader(rest)
	d := &Def{Table: t, Engine: r.Text(), Charset: r.Text(), Collation: r.Text()}
	if n := r.Count(1); n > 0 {
		d.Indexes = make([]Index, n)
		for i := range d.Indexes {
			readIndex(&r, &d.Indexes[i])
		}
	}
	if !r.OK() {
		return nil, nil, errDef
	}
	return d, r.Rest(), nil
}

func readIndex(r *wire.Reader, x *Index) {
	x.Name = r.Text()
	f := r.Byte()
	x.Unique, x.Primary = f&indexUnique != 0, f&indexPrimary != 0
	x.Implicit, x.Special = f&indexImplicit != 0, f&indexSpecial != 0
	x.Parts = make([]Part, r.Count(1))
	for i := range x.Parts {
		x.Parts[i] = Part{Column: r.Text(), Prefix: int(r.Uvarint())}
	}
}
