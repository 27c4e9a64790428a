package ddl

import (
	"slices"
	"strings"

	"github.com/towline/towline/schema"
)

// oldIndexes carries over the indexes that stay.
func (a *alteration) oldIndexes() {
	for _, x := range cloneIndexes(a.prev.Indexes) {
		if containsFold(a.spec.dropKeys, x.Name) || x.Unique && containsFold(a.spec.dropConstraints, x.Name) {
			continue
		}
		parts := x.Parts[:0]
		for _, p := range x.Parts {
			if p.Column != "" {
				i := a.carried(p.Column)
				if i < 0 {
					continue
				}
				old := p.Column
				p.Column = a.cols[i].Name
				a.oldPart(&x, &p, old, i)
			}
			parts = append(parts, p)
		}
		if x.Parts = parts; len(parts) == 0 {
			continue
		}
		if to, ok := a.spec.renameKeys[lower(x.Name)]; ok {
			x.Name, x.Implicit = to, false
		}
		a.indexes = append(a.indexes, x)
	}
}

// carried returns the column that takes an old column's place in indexes, -1
// for none. It is the first one, by place, that was the old column under
// another name or that has its name without having been another: a new column
// in front can inherit the indexes of one that was renamed.
func (a *alteration) carried(old string) int {
	return slices.IndexFunc(a.cols, func(c schema.Column) bool {
		for was, name := range a.names {
			if strings.EqualFold(name, c.Name) {
				return was == lower(old)
			}
		}
		return strings.EqualFold(c.Name, old)
	})
}

// oldPart applies to a part of an index what the column's change does to it.
func (a *alteration) oldPart(x *Index, p *Part, old string, i int) {
	c := &a.prev.Table.Columns[columnIndex(a.prev.Table.Columns, old)]
	next := &a.cols[i]
	if x.Primary {
		next.Nullable = false
	}
	switch {
	case p.Prefix > 0 || x.Special:
	case a.added(next):
		// Of a new column that has the old one's name the server takes as much as
		// the index had of the old one, counted in characters of that.
		p.Prefix = keyLen(c) / textSet{charset: c.Charset}.maxLen()
	case (next.Type.IsText() || next.Type.IsBinary()) && (c.Type == schema.TypeEnum || c.Type == schema.TypeSet):
		// The server takes the bytes of the number for the prefix of the text.
		p.Prefix = keyLen(c) / textSet{charset: c.Charset}.maxLen()
	}
}

// added reports whether a column was none before.
func (a *alteration) added(c *schema.Column) bool {
	for _, name := range a.names {
		if strings.EqualFold(name, c.Name) {
			return false
		}
	}
	return true
}

// keyLen returns the bytes that a value of a column takes in an index, where it
// is there whole.
func keyLen(c *schema.Column) int {
	fraction := (c.Scale + 1) / 2
	switch c.Type {
	case schema.TypeTinyInt, schema.TypeYear:
		return 1
	case schema.TypeSmallInt:
		return 2
	case schema.TypeMediumInt, schema.TypeDate:
		return 3
	case schema.TypeInt, schema.TypeFloat:
		return 4
	case schema.TypeBigInt, schema.TypeDouble:
		return 8
	case schema.TypeBit:
		return (c.Length + 7) / 8
	case schema.TypeDecimal:
		return digitsLen(c.Precision-c.Scale) + digitsLen(c.Scale)
	case schema.TypeTime:
		return 3 + fraction
	case schema.TypeTimestamp:
		return 4 + fraction
	case schema.TypeDateTime:
		return 5 + fraction
	case schema.TypeEnum, schema.TypeSet:
		return packedLen(c)
	}
	if n := c.FixedSize(); n > 0 {
		return n
	}
	return c.Length * textSet{charset: c.Charset}.maxLen()
}

// digitsLen returns the bytes of digits of a DECIMAL: nine have four.
func digitsLen(n int) int { return n/9*4 + (n%9+1)/2 }

// packedLen returns the bytes that a value of an ENUM or SET takes.
func packedLen(c *schema.Column) int {
	n := len(c.Elements)
	if c.Type == schema.TypeEnum {
		return 1 + min(n>>8, 1)
	}
	if n = (n + 7) / 8; n > 4 {
		return 8
	}
	return n
}
