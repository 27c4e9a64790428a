package connecttest

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// Row returns a random row of t in b's memory.
func (g *Gen) Row(b *connect.Batch, t *schema.Table) schema.Row {
	row := b.NewRow(len(t.Columns))
	for i := range row {
		c := &t.Columns[i]
		if t.IsKey(i) {
			row[i] = g.keyValue(b, c)
		} else {
			row[i] = g.Value(b, c)
		}
	}
	return row
}

// keyValue returns a value that no collation, time zone or SQL mode changes.
func (g *Gen) keyValue(b *connect.Batch, c *schema.Column) schema.Value {
	if c.Type == schema.TypeVarchar {
		const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
		p := b.Alloc(1 + g.IntN(20))
		for i := range p {
			p[i] = letters[g.IntN(len(letters))]
		}
		return schema.MakeBytes(schema.String, p)
	}
	strict := g.Strict
	g.Strict = true
	defer func() { g.Strict = strict }()
	return g.plain(b, c)
}

// Value returns a random value of a column in b's memory.
func (g *Gen) Value(b *connect.Batch, c *schema.Column) schema.Value {
	if c.Nullable && g.oneIn(4) {
		return schema.Value{}
	}
	if g.Odd && g.oneIn(8) {
		return g.odd(b)
	}
	return g.plain(b, c)
}

// odd returns a value that does not go by any column.
func (g *Gen) odd(b *connect.Batch) schema.Value {
	kind := schema.Kind(g.IntN(int(schema.Vector) + 1))
	switch {
	case kind == schema.Null || kind == schema.Absent:
		return schema.FromRaw(kind, 0, 0, nil)
	case kind.IsBytes():
		return schema.MakeBytes(kind, g.binary(b, g.length(0)))
	case kind == schema.Decimal && g.oneIn(2):
		return schema.MakeWideDecimal(g.decimalText(b, 30, 10), 10)
	case kind == schema.Float32:
		return schema.MakeFloat32(math.Float32frombits(g.Uint32()))
	}
	aux := uint32(0)
	switch kind {
	case schema.Decimal, schema.Time, schema.DateTime, schema.Timestamp:
		aux = g.Uint32N(7)
	}
	return schema.FromRaw(kind, g.number(64), aux, nil)
}

// number returns a number of at most so many bits: of all magnitudes, the
// limits more often than others.
func (g *Gen) number(bits int) uint64 {
	limit := uint64(1)<<bits - 1
	switch g.IntN(8) {
	case 0:
		return 0
	case 1:
		return limit
	case 2:
		return limit/2 + uint64(g.IntN(2))
	}
	return g.Uint64() >> g.IntN(64) & limit
}

// signed returns a signed number of so many bits.
func (g *Gen) signed(bits int) int64 { return int64(g.number(bits)<<(64-bits)) >> (64 - bits) }

var intBits = map[schema.Type]int{schema.TypeTinyInt: 8, schema.TypeSmallInt: 16, schema.TypeMediumInt: 24,
	schema.TypeInt: 32, schema.TypeBigInt: 64}

// plain returns a value of the kind that the column implies.
func (g *Gen) plain(b *connect.Batch, c *schema.Column) schema.Value {
	switch {
	case c.Type.IsInteger() && c.Unsigned:
		return schema.MakeUint(g.number(intBits[c.Type]))
	case c.Type.IsInteger():
		return schema.MakeInt(g.signed(intBits[c.Type]))
	case c.Type.IsText():
		return schema.MakeBytes(schema.String, g.text(b, g.length(c.Length)))
	case c.Type == schema.TypeBinary:
		return schema.MakeBytes(schema.Bytes, g.binary(b, c.Length))
	case c.Type.IsBinary():
		return schema.MakeBytes(schema.Bytes, g.binary(b, g.length(c.Length)))
	}
	switch c.Type {
	case schema.TypeFloat:
		return schema.MakeFloat32(float32(g.float() / 1e200))
	case schema.TypeDouble:
		return schema.MakeFloat64(g.float())
	case schema.TypeDecimal:
		return g.decimal(b, c)
	case schema.TypeBit:
		return schema.MakeNum(schema.Bit, g.number(c.Length))
	case schema.TypeYear:
		return schema.MakeNum(schema.Year, uint64(1901+g.IntN(255)))
	case schema.TypeEnum:
		if !g.Strict && g.oneIn(10) {
			return schema.MakeNum(schema.Enum, 0)
		}
		return schema.MakeNum(schema.Enum, 1+g.Uint64N(uint64(len(c.Elements))))
	case schema.TypeSet:
		return schema.MakeNum(schema.Set, g.number(len(c.Elements)))
	case schema.TypeJSON:
		return schema.MakeBytes(schema.JSON, g.json(b))
	case schema.TypeGeometry:
		return schema.MakeBytes(schema.Geometry, g.point(b, c))
	case schema.TypeVector:
		p := b.Alloc(4 * c.Length)
		for i := range c.Length {
			binary.LittleEndian.PutUint32(p[4*i:], math.Float32bits(g.Float32()*2-1))
		}
		return schema.MakeBytes(schema.Vector, p)
	}
	return g.temporal(c)
}

func (g *Gen) temporal(c *schema.Column) schema.Value {
	unit := int64(1e6)
	for range c.Scale {
		unit /= 10
	}
	civil := schema.CivilFromMicros(g.Int64N(4e9)*1e6 - 2e9*1e6 + g.Int64N(1e6)/unit*unit)
	if !g.Strict && g.oneIn(10) {
		if civil.Day = 0; g.oneIn(2) {
			civil = schema.Civil{}
		}
	}
	switch c.Type {
	case schema.TypeDate:
		return schema.MakeDate(civil.Year, civil.Month, civil.Day)
	case schema.TypeTime:
		return schema.MakeTime((g.Int64N(2*838*3600*1e6)-838*3600*1e6)/unit*unit, c.Scale)
	case schema.TypeDateTime:
		return schema.MakeDateTime(civil, c.Scale)
	}
	return schema.MakeTimestamp((1e6+g.Int64N(2147483646e6))/unit*unit, c.Scale)
}

// float returns a finite number that is exact in few digits or any at all.
func (g *Gen) float() float64 {
	switch g.IntN(4) {
	case 0:
		return 0
	case 1:
		return float64(g.IntN(1<<20)) / 64
	}
	return g.NormFloat64() * math.Pow(10, float64(g.IntN(400)-200))
}

func (g *Gen) decimal(b *connect.Batch, c *schema.Column) schema.Value {
	if c.Precision > schema.MaxNarrowDecimal {
		return schema.MakeWideDecimal(g.decimalText(b, c.Precision, c.Scale), c.Scale)
	}
	limit := int64(1)
	for range c.Precision {
		limit *= 10
	}
	return schema.MakeDecimal(g.Int64N(2*limit-1)-limit+1, c.Scale)
}

// decimalText returns a canonical decimal of at most so many digits.
func (g *Gen) decimalText(b *connect.Batch, precision, scale int) []byte {
	p := b.Scratch(precision + 3)
	digits := g.IntN(precision-scale+1) + scale
	whole := digits - scale
	if whole == 0 {
		p = append(p, '0')
	}
	zero := true
	for i := range digits {
		if i == whole && scale > 0 {
			p = append(p, '.')
		}
		d := byte('0' + g.IntN(10))
		if i == 0 && whole > 0 && d == '0' {
			d = '1'
		}
		zero = zero && d == '0'
		p = append(p, d)
	}
	if !zero && g.oneIn(2) {
		p = append(p, 0)
		copy(p[1:], p)
		p[0] = '-'
	}
	return b.Use(p)
}

// length returns a random length up to a column's, if it has one.
func (g *Gen) length(most int) int {
	limit := g.MaxBytes
	if limit == 0 {
		limit = 100
	}
	if most > 0 {
		limit = min(limit, most)
	}
	if g.oneIn(8) {
		return limit
	}
	return g.IntN(limit + 1)
}

var letters = []string{"a", "b", "z", "A", "0", "9", " ", "'", "\"", "\\", "\n", "\t", ",", "%", "_", "\u00e9", "\u00df", "\u0416", "\u4e2d", "\U0001f600"}

// text returns UTF-8 of n characters.
func (g *Gen) text(b *connect.Batch, n int) []byte {
	p := b.Scratch(4 * n)
	few := 5 + g.IntN(len(letters)-5) // plain text more often than not
	for range n {
		p = append(p, letters[g.IntN(few)]...)
	}
	for len(p) > 0 && p[len(p)-1] == ' ' { // which CHAR drops
		p[len(p)-1] = '.'
	}
	return b.Use(p)
}

func (g *Gen) binary(b *connect.Batch, n int) []byte {
	p := b.Alloc(n)
	for i := range p {
		p[i] = byte(g.Uint32())
	}
	return p
}

// json returns JSON text as the server prints it: keys ordered by length, one
// space after commas and colons.
func (g *Gen) json(b *connect.Batch) []byte {
	p := b.Scratch(200)
	switch g.IntN(6) {
	case 0:
		p = append(p, []string{"null", "true", "[]", "{}", `"text"`, "-1"}[g.IntN(6)]...)
	case 1:
		p = fmt.Appendf(p, `[%d, "%s", null, [%d]]`, g.Int32(), strings.Repeat("x", g.IntN(40)), g.IntN(9))
	default:
		p = fmt.Appendf(p, `{"a": %d, "bb": "%s", "ccc": {"d": [%v, false]}}`, g.Int32(), strings.Repeat("\u00e9", g.IntN(20)), g.oneIn(2))
	}
	return b.Use(p)
}

// point returns a point with its SRID.
func (g *Gen) point(b *connect.Batch, c *schema.Column) []byte {
	p := b.Scratch(25)
	p = binary.LittleEndian.AppendUint32(p, c.SRID)
	p = binary.LittleEndian.AppendUint32(append(p, 1), 1)
	p = binary.LittleEndian.AppendUint64(p, math.Float64bits(float64(g.IntN(180)-90)))
	p = binary.LittleEndian.AppendUint64(p, math.Float64bits(float64(g.IntN(180)-90)))
	return b.Use(p)
}
