package connecttest

import (
	"fmt"
	"slices"

	"github.com/towline/towline/schema"
)

// allTypes has every type that a column can have.
var allTypes = func() (types []schema.Type) {
	for t := schema.TypeInvalid + 1; schema.ParseType(t.String()) == t; t++ {
		types = append(types, t)
	}
	return types
}()

// keyTypes has the types of key columns, which have plenty of values.
var keyTypes = []schema.Type{schema.TypeBigInt, schema.TypeInt, schema.TypeVarchar, schema.TypeVarbinary, schema.TypeDateTime, schema.TypeDecimal}

func (g *Gen) types() []schema.Type {
	if len(g.Types) > 0 {
		return g.Types
	}
	return allTypes
}

// Table returns a random table with a primary key of one or two columns, now
// and then without a key (but see Keyed).
func (g *Gen) Table() *schema.Table {
	g.tables++
	t := &schema.Table{Database: "db", Name: fmt.Sprintf("table%d", g.tables)}
	if !g.oneIn(8) || g.Keyed {
		t.Primary = true
		for range 1 + g.IntN(2) {
			t.Key = append(t.Key, len(t.Columns))
			t.Columns = append(t.Columns, g.keyColumn())
		}
	}
	for range 1 + g.IntN(14) {
		t.Columns = append(t.Columns, g.Column(g.types()[g.IntN(len(g.types()))]))
	}
	return g.finish(t)
}

// WideTable returns a table with a key and a column of every type, in random
// order.
func (g *Gen) WideTable() *schema.Table {
	g.tables++
	t := &schema.Table{Database: "db", Name: fmt.Sprintf("wide%d", g.tables), Primary: true, Key: []int{0}}
	t.Columns = append(t.Columns, g.keyColumn())
	types := slices.Clone(g.types())
	g.Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
	for _, typ := range types {
		t.Columns = append(t.Columns, g.Column(typ))
	}
	return g.finish(t)
}

// Tables returns n random tables and a wide one.
func (g *Gen) Tables(n int) []*schema.Table {
	tables := []*schema.Table{g.WideTable()}
	for range n {
		tables = append(tables, g.Table())
	}
	return tables
}

func (g *Gen) finish(t *schema.Table) *schema.Table {
	for i := range t.Columns {
		t.Columns[i].Name = fmt.Sprintf("c%d_%s", i, t.Columns[i].Type)
	}
	t, err := schema.New(t)
	if err != nil {
		panic(err) // a bug of this file
	}
	return t
}

// keyColumn returns a column that is fit for a key.
func (g *Gen) keyColumn() schema.Column {
	var types []schema.Type
	for _, t := range keyTypes {
		if slices.Contains(g.types(), t) {
			types = append(types, t)
		}
	}
	if len(types) == 0 {
		types = []schema.Type{schema.TypeBigInt}
	}
	c := g.Column(types[g.IntN(len(types))])
	c.Nullable = false
	switch c.Type {
	case schema.TypeVarchar:
		c.Length, c.Charset, c.Collation = 40, "utf8mb4", "utf8mb4_0900_bin"
	case schema.TypeVarbinary:
		c.Length = 40
	case schema.TypeDecimal:
		c.Precision, c.Scale = 18, 2
	case schema.TypeDateTime:
		c.Scale = 6
	}
	return c
}

// Column returns a random column of a type, without a name.
func (g *Gen) Column(typ schema.Type) schema.Column {
	c := schema.Column{Type: typ, Nullable: g.oneIn(2)}
	switch {
	case typ.IsInteger():
		c.Unsigned = g.oneIn(2)
	case typ.IsText():
		c.Charset, c.Collation = "utf8mb4", "utf8mb4_0900_ai_ci"
		if typ == schema.TypeChar || typ == schema.TypeVarchar {
			c.Length = 1 + g.IntN(60)
		}
	case typ == schema.TypeBinary || typ == schema.TypeVarbinary:
		c.Length = 1 + g.IntN(60)
	}
	switch typ {
	case schema.TypeDecimal:
		c.Precision = 1 + g.IntN(65)
		c.Scale = g.IntN(min(c.Precision, 30) + 1)
	case schema.TypeTime, schema.TypeDateTime, schema.TypeTimestamp:
		c.Scale = g.IntN(7)
	case schema.TypeBit:
		c.Length = 1 + g.IntN(64)
	case schema.TypeVector:
		c.Length = 1 + g.IntN(16)
	case schema.TypeEnum, schema.TypeSet:
		c.Charset, c.Collation = "utf8mb4", "utf8mb4_0900_ai_ci"
		for i := range 1 + g.IntN(20) {
			c.Elements = append(c.Elements, fmt.Sprintf("e%d'\u00e9", i))
		}
	case schema.TypeGeometry:
		c.Subtype = "point"
		if g.oneIn(2) {
			c.HasSRID, c.SRID = true, 4326
		}
	}
	return c
}
