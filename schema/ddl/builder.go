package ddl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/towline/towline/schema"
)

// builder puts a table together by the server's rules; after the first fault
// err is set.
type builder struct {
	ctx     *Context
	set     textSet // the table's default
	convert bool    // CONVERT TO: all text takes the default
	cols    []schema.Column
	indexes []Index
	// free is how many of the indexes, of the first ones, no foreign key needs
	// any more. The server takes a FULLTEXT index for one that does their work.
	free int
	err  error
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// generatePrimaryKey adds the server's invisible key where nothing can stand
// in for a primary key. A key over a virtual column cannot.
func (b *builder) generatePrimaryKey(specs []*columnSpec) {
	virtual := func(p Part) bool {
		return slices.ContainsFunc(specs, func(s *columnSpec) bool { return s.generated && !s.stored && strings.EqualFold(s.name, p.Column) })
	}
	var real []Index
	for _, x := range b.indexes {
		if x.Primary {
			return
		}
		if !slices.ContainsFunc(x.Parts, virtual) {
			real = append(real, x)
		}
	}
	if standIn(&schema.Table{Columns: b.cols}, real) != nil {
		return
	}
	b.cols = slices.Insert(b.cols, 0, schema.Column{Name: generatedKey, Type: schema.TypeBigInt, Unsigned: true, AutoIncrement: true, Invisible: true})
	b.indexes = append(b.indexes, Index{Name: "PRIMARY", Primary: true, Unique: true, Parts: []Part{{Column: generatedKey}}})
}

// generatedKey is the name of the column of a generated primary key.
const generatedKey = "my_row_id"

// hasGeneratedKey reports whether the server takes the primary key of d for
// one that it generated, whoever did.
func hasGeneratedKey(d *Def) bool {
	c := &d.Table.Columns[0]
	return d.Engine == "InnoDB" && d.Table.Primary && len(d.Table.Key) == 1 && d.Table.Key[0] == 0 && strings.EqualFold(c.Name, generatedKey) &&
		c.Type == schema.TypeBigInt && c.Unsigned && c.AutoIncrement && c.Invisible
}

// resolve applies the rules of the table to a column's definition.
func (b *builder) resolve(s *columnSpec) schema.Column {
	c := s.typ.col
	c.Name = s.name
	c.Nullable = !s.notNull
	if c.Type == schema.TypeTimestamp && b.ctx.ImplicitTimestamps && !s.null {
		c.Nullable = false
	}
	c.AutoIncrement, c.Generated, c.Invisible = s.autoIncrement, s.generated, s.invisible
	if c.Type == schema.TypeGeometry {
		c.SRID, c.HasSRID = s.srid, s.hasSRID
	}
	if s.typ.fixed {
		return c
	}
	if c.Type.IsText() || c.Type == schema.TypeEnum || c.Type == schema.TypeSet {
		b.recode(&c, b.textSet(s), s.typ.textLength)
		if s.typ.hexa && !plain(c.Charset) {
			b.fail("column %q: elements in hexadecimal in charset %s: %w", c.Name, c.Charset, ErrElements)
		}
	} else if c.Type.IsBinary() {
		b.recode(&c, binarySet, s.typ.textLength)
	}
	return c
}

// textSet returns the charset and collation that a text column asks for.
func (b *builder) textSet(s *columnSpec) textSet {
	set := b.set
	if s.typ.charset != "" {
		set, _ = b.ctx.lookCharset(s.typ.charset)
	}
	if s.typ.binary && s.typ.charset != "" {
		set = set.binaryOf()
	}
	if s.collation != "" {
		coll, _ := lookCollation(s.collation)
		if s.typ.charset != "" && coll.charset != set.charset {
			b.fail("column %q: collation %s is not one of charset %s", s.name, s.collation, s.typ.charset)
		}
		set = coll
	}
	if b.convert && set.charset != "binary" {
		set = b.set
	}
	if s.typ.binary && s.typ.charset == "" { // the attribute outlasts what comes after it
		set = set.binaryOf()
	}
	return set
}

// blobSizes holds the capacity in bytes of the four sizes of TEXT and BLOB.
var blobSizes = [...]int{1<<8 - 1, 1<<16 - 1, 1<<24 - 1, 1<<32 - 1}

// blobType returns the smallest type of the family that begins with tiny
// which holds n bytes.
func blobType(tiny schema.Type, n int) schema.Type {
	for i, size := range blobSizes {
		if n <= size {
			return tiny + schema.Type(i)
		}
	}
	return tiny + 3
}

// recode gives a column of text or bytes its charset, and the type that goes
// with it: the binary charset makes bytes of text, and what is too long for a
// VARCHAR becomes a TEXT. textLength is that of a TEXT or BLOB, or -1.
func (b *builder) recode(c *schema.Column, set textSet, textLength int) {
	c.Charset, c.Collation = set.charset, set.collation
	if c.Type == schema.TypeEnum || c.Type == schema.TypeSet {
		if set.charset != "binary" {
			c.Elements = b.storedElements(c.Elements, set.charset)
		}
		return
	}
	if textLength >= 0 {
		tiny := schema.TypeTinyText
		if c.Type.IsBinary() {
			tiny = schema.TypeTinyBlob
		}
		c.Type = blobType(tiny, textLength*set.maxLen())
	}
	if n := c.Length * set.maxLen(); n > 1<<16-1 && c.Type == schema.TypeVarchar {
		c.Type, c.Length = blobType(schema.TypeTinyText, n), 0
	} else if n > 1<<16-1 && c.Type == schema.TypeVarbinary {
		c.Type, c.Length = blobType(schema.TypeTinyBlob, n), 0
	}
	if set.charset != "binary" {
		return
	}
	c.Charset, c.Collation = "", ""
	if c.Type.IsText() {
		c.Type += schema.TypeBinary - schema.TypeChar
	}
}

// storedElements returns elements as the server keeps them in a charset:
// without spaces at their ends, and with question marks for characters that
// the charset has not.
func (b *builder) storedElements(list []string, cs string) []string {
	list = slices.Clone(list)
	for i := range list {
		list[i] = strings.TrimRight(list[i], " ")
		if b.ctx.CanEncode != nil && !ascii(list[i]) {
			list[i] = strings.Map(func(r rune) rune {
				if b.ctx.CanEncode(cs, r) {
					return r
				}
				return '?'
			}, list[i])
		}
	}
	return list
}

// convertText converts a column that stays as it is to the table's charset.
func (b *builder) convertText(c *schema.Column) {
	if c.Charset == "" || c.Charset == "binary" {
		return
	}
	old := textSet{c.Charset, c.Collation}
	if !b.keepsElements(c) {
		b.fail("column %q: %w", c.Name, ErrElements)
	}
	if c.Type >= schema.TypeTinyText && c.Type <= schema.TypeLongText {
		chars := blobSizes[c.Type-schema.TypeTinyText] / old.maxLen()
		c.Type = max(c.Type, blobType(schema.TypeTinyText, chars*b.set.maxLen()))
	}
	if n := c.Length * b.set.maxLen(); c.Type == schema.TypeVarchar && n > 1<<16-1 {
		if !b.ctx.MariaDB {
			n /= old.maxLen() // MySQL divides by the old charset's length
		}
		c.Type, c.Length = blobType(schema.TypeTinyText, n), 0
	}
	b.recode(c, b.set, -1)
}

// keepsElements reports whether an ENUM or SET has the same elements in the
// table's charset: a server converts the charset of the column but leaves the
// bytes of its elements as they are.
func (b *builder) keepsElements(c *schema.Column) bool {
	utf8 := func(cs string) bool { return cs == "utf8mb3" || cs == "utf8mb4" }
	if c.Charset == b.set.charset || utf8(c.Charset) && utf8(b.set.charset) {
		return true
	}
	if len(c.Elements) > 0 && cutsShort(c.Charset) && !utf8(b.set.charset) {
		return false
	}
	for _, e := range c.Elements {
		if !ascii(e) || !plain(c.Charset) || !plain(b.set.charset) || strings.ContainsAny(e, "\\~[]{}|^@#$`?") {
			return false
		}
	}
	return true
}

// cutsShort reports whether an element of a column in a charset may have more
// bytes than a server shows: a conversion can have left it with half a character
// at its end, which no catalog shows and which is a whole one again in the next
// charset. Only in UTF-8 it never is: after ASCII such a half is no text there, and
// of an element that is no text the server shows the bytes.
func cutsShort(cs string) bool {
	switch cs {
	case "big5", "cp932", "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "sjis", "ujis":
		return true
	}
	return false
}

// plain reports whether the letters of ASCII are single bytes of their own
// value in a charset.
func plain(cs string) bool {
	switch cs {
	case "ucs2", "utf16", "utf16le", "utf32":
		return false
	}
	return true
}

// addKeys adds new indexes and gives those without a name theirs.
func (b *builder) addKeys(keys []*keySpec) {
	for _, k := range keys {
		x := Index{Name: k.name, Unique: k.unique, Primary: k.primary, Implicit: k.implicit, Special: k.special, Parts: slices.Clone(k.parts)}
		for i := range x.Parts {
			b.part(&x, &x.Parts[i])
		}
		b.indexes = append(b.indexes, x)
	}
	b.dropRedundant()
	for i := range b.indexes {
		x := &b.indexes[i]
		if x.Primary {
			x.Name = "PRIMARY"
		} else if x.Name == "" {
			x.Name = b.keyName(x.Parts, b.indexes[:i])
		}
	}
}

// part checks a part of an index and gives the column its own spelling.
func (b *builder) part(x *Index, p *Part) {
	if p.Column == "" {
		return
	}
	i := columnIndex(b.cols, p.Column)
	if i < 0 {
		b.fail("an index names column %q, which is not there", p.Column)
		return
	}
	p.Column = b.cols[i].Name
	if x.Special { // lengths of parts do not count
		p.Prefix = 0
	}
	if x.Primary {
		b.cols[i].Nullable = false
	}
}

// keyName makes a name for an index of these parts.
func (b *builder) keyName(parts []Part, before []Index) string {
	column := parts[0].Column
	if slices.ContainsFunc(parts, func(p Part) bool { return p.Column == "" }) {
		column = "functional_index"
	}
	taken := func(name string) bool {
		return strings.EqualFold(name, "PRIMARY") ||
			slices.ContainsFunc(before, func(x Index) bool { return strings.EqualFold(x.Name, name) })
	}
	if !taken(column) {
		return column
	}
	for i := 2; ; i++ {
		if n := column + "_" + strconv.Itoa(i); !taken(n) {
			return n
		}
	}
}

// dropRedundant drops indexes made for foreign keys whose work another index
// does.
func (b *builder) dropRedundant() {
	gone := make([]bool, len(b.indexes))
	for i := range b.indexes {
		for j := range i {
			x, y := &b.indexes[i], &b.indexes[j]
			if gone[j] || !x.Implicit && !y.Implicit {
				continue
			}
			if x.Implicit && (!y.Implicit || len(x.Parts) < len(y.Parts)) && covers(y, x, i < b.free) {
				gone[i] = true
				break
			}
			if y.Implicit && covers(x, y, j < b.free) {
				gone[j] = true
				break
			}
			if x.Implicit && y.Implicit && covers(y, x, i < b.free) {
				gone[i] = true
				break
			}
		}
	}
	var kept []Index
	for i := range b.indexes {
		if !gone[i] {
			kept = append(kept, b.indexes[i])
		}
	}
	b.indexes = kept
}

// covers reports whether index y begins with the parts of x and finds rows by
// them, which a special one does not.
func covers(y, x *Index, special bool) bool {
	if y.Special && !special || len(x.Parts) > len(y.Parts) {
		return false
	}
	for i := range x.Parts {
		if !strings.EqualFold(x.Parts[i].Column, y.Parts[i].Column) || x.Parts[i].Prefix != y.Parts[i].Prefix || x.Parts[i].Column == "" {
			return false
		}
	}
	return true
}

// finish returns the indexes, with prefixes that span a whole column gone.
func (b *builder) finish() []Index {
	for i := range b.indexes {
		for j := range b.indexes[i].Parts {
			p := &b.indexes[i].Parts[j]
			if k := columnIndex(b.cols, p.Column); k >= 0 && p.Prefix > 0 && !b.canPrefix(k, p.Prefix) {
				p.Prefix = 0
			}
		}
	}
	return b.indexes
}

// canPrefix reports whether a prefix of n is less than the whole column.
func (b *builder) canPrefix(k, n int) bool {
	switch c := &b.cols[k]; c.Type {
	case schema.TypeChar, schema.TypeVarchar, schema.TypeBinary, schema.TypeVarbinary:
		return n < c.Length
	default:
		return c.Type.IsText() || c.Type.IsBinary() || c.Type == schema.TypeGeometry
	}
}
