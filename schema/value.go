package schema

import (
	"bytes"
	"fmt"
	"math"
	"unsafe"
)

// Kind says what a Value holds.
type Kind uint8

// The kinds. Their numbers are part of the frame format: append only.
const (
	Null      Kind = iota // SQL NULL
	Absent                // the image does not have this column (partial row image)
	Int                   // signed integer: Int
	Uint                  // unsigned integer: Uint
	Float32               // IEEE single, exact bits: Float
	Float64               // IEEE double, exact bits: Float
	Decimal               // exact decimal: Decimal
	String                // valid UTF-8 text: Bytes
	RawString             // text whose bytes its charset cannot decode: Bytes, in the column's own charset
	Bytes                 // binary string: Bytes
	Date                  // calendar date, may be zero or partial: Civil
	Time                  // signed duration: Micros
	DateTime              // date and time without zone, may be zero or partial: Civil
	Timestamp             // instant: Micros since 1970-01-01 UTC; 0 is the zero timestamp
	Year                  // year, 0 or 1901 to 2155: Uint
	JSON                  // JSON text as the server prints it: Bytes
	Enum                  // 1-based index into Column.Elements, 0 is the error value '': Uint
	Set                   // bit mask over Column.Elements: Uint
	Bit                   // up to 64 bits, Column.Length wide: Uint
	Geometry              // 4 bytes SRID (little-endian) and WKB: Bytes
	Vector                // little-endian float32s: Bytes
	numKinds
)

var kindNames = [numKinds]string{"null", "absent", "int", "uint", "float32", "float64", "decimal", "string", "rawstring",
	"bytes", "date", "time", "datetime", "timestamp", "year", "json", "enum", "set", "bit", "geometry", "vector"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool { return k < numKinds }

// IsBytes reports whether values of this kind carry bytes (Bytes works on them).
// A Decimal carries bytes only when it is wide; ask its accessor.
func (k Kind) IsBytes() bool {
	switch k {
	case String, RawString, Bytes, JSON, Geometry, Vector:
		return true
	}
	return false
}

// Value is one column value. The zero Value is Null.
//
// For kinds with bytes, ptr and num are the slice and its length. For all
// other kinds num is the value itself. aux is the number of fractional digits
// for Decimal and for the temporal kinds.
type Value struct {
	ptr  *byte
	num  uint64
	aux  uint32
	kind Kind
}

// Row is one image of a row: one Value for each column of its Table.
type Row []Value

// MakeInt returns a signed integer.
func MakeInt(v int64) Value { return Value{num: uint64(v), kind: Int} }

// MakeUint returns an unsigned integer.
func MakeUint(v uint64) Value { return Value{num: v, kind: Uint} }

// MakeFloat32 returns a single-precision float; its bits are kept.
func MakeFloat32(v float32) Value { return Value{num: uint64(math.Float32bits(v)), kind: Float32} }

// MakeFloat64 returns a double-precision float; its bits are kept.
func MakeFloat64(v float64) Value { return Value{num: math.Float64bits(v), kind: Float64} }

// MakeBytes returns a Value of a kind with bytes (see Kind.IsBytes) that
// aliases b.
func MakeBytes(kind Kind, b []byte) Value {
	return Value{ptr: unsafe.SliceData(b), num: uint64(len(b)), kind: kind}
}

// MakeString returns a String that aliases s. s must be valid UTF-8.
func MakeString(s string) Value {
	return Value{ptr: unsafe.StringData(s), num: uint64(len(s)), kind: String}
}

// MakeNum returns a Value of one of the kinds Year, Enum, Set and Bit.
func MakeNum(kind Kind, v uint64) Value { return Value{num: v, kind: kind} }

// MakeAbsent returns the value of a column that the image does not have.
func MakeAbsent() Value { return Value{kind: Absent} }

// Kind returns what v holds.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether v is SQL NULL.
func (v Value) IsNull() bool { return v.kind == Null }

// Int returns the number of an Int.
func (v Value) Int() int64 { v.want(Int); return int64(v.num) }

// Uint returns the number of a Uint, Year, Enum, Set or Bit.
func (v Value) Uint() uint64 {
	switch v.kind {
	case Uint, Year, Enum, Set, Bit:
		return v.num
	}
	panic("schema: Uint of " + v.kind.String())
}

// Float returns the number of a Float32 or Float64.
func (v Value) Float() float64 {
	if v.kind == Float32 {
		return float64(math.Float32frombits(uint32(v.num)))
	}
	v.want(Float64)
	return math.Float64frombits(v.num)
}

// Bytes returns the bytes of a kind that has bytes. They alias the batch;
// they must not be written to.
func (v Value) Bytes() []byte {
	if !v.kind.IsBytes() {
		panic("schema: Bytes of " + v.kind.String())
	}
	return unsafe.Slice(v.ptr, int(v.num))
}

// Raw returns the three parts of v, for codecs that store Values: see
// FromRaw. b is nil for a Value without bytes.
func (v Value) Raw() (num uint64, aux uint32, b []byte) {
	if v.kind.IsBytes() || v.kind == Decimal && v.ptr != nil {
		return 0, v.aux, unsafe.Slice(v.ptr, int(v.num))
	}
	return v.num, v.aux, nil
}

// FromRaw is the inverse of Raw. b is used for kinds with bytes, and for a
// Decimal when it is not nil. It panics on an invalid kind.
func FromRaw(kind Kind, num uint64, aux uint32, b []byte) Value {
	if !kind.Valid() {
		panic("schema: FromRaw of " + kind.String())
	}
	v := Value{num: num, aux: aux, kind: kind}
	if kind.IsBytes() || kind == Decimal && b != nil {
		v.ptr, v.num = unsafe.SliceData(b), uint64(len(b))
	}
	return v
}

// Size returns how many bytes v points to, 0 for a Value without bytes.
func (v Value) Size() int {
	if v.kind.IsBytes() || v.kind == Decimal && v.ptr != nil {
		return int(v.num)
	}
	return 0
}

// Clone returns v with memory of its own.
func (v Value) Clone() Value {
	if n := v.Size(); n > 0 {
		v.ptr = unsafe.SliceData(bytes.Clone(unsafe.Slice(v.ptr, n)))
	}
	return v
}

// Equal reports whether both hold the same value of the same kind. Floats are
// equal when their bits are.
func (v Value) Equal(o Value) bool {
	if v.kind != o.kind || v.num != o.num || v.aux != o.aux {
		return false
	}
	n := v.Size()
	if n == 0 {
		return v.kind != Decimal || (v.ptr == nil) == (o.ptr == nil)
	}
	if v.ptr == o.ptr {
		return true
	}
	return o.Size() == n && bytes.Equal(unsafe.Slice(v.ptr, n), unsafe.Slice(o.ptr, n))
}

func (v Value) want(k Kind) {
	if v.kind != k {
		panic("schema: " + k.String() + " of " + v.kind.String())
	}
}

// Clone returns a row with memory of its own; nil stays nil.
func (r Row) Clone() Row {
	if r == nil {
		return nil
	}
	c := make(Row, len(r))
	for i := range r {
		c[i] = r[i].Clone()
	}
	return c
}

// Equal reports whether both rows have equal values.
func (r Row) Equal(o Row) bool {
	if len(r) != len(o) || (r == nil) != (o == nil) {
		return false
	}
	for i := range r {
		if !r[i].Equal(o[i]) {
			return false
		}
	}
	return true
}
