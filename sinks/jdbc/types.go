package jdbc

import (
	"slices"
	"strconv"
	"strings"

	"github.com/towline/towline/schema"
)

// charsets tells which charsets and collations a server has, and how many
// bytes a character takes at most.
type charsets struct {
	collation map[string]string // collation -> charset
	maxLen    map[string]int    // charset -> bytes
}

// charBytes returns the bytes that a character of c may take.
func (s *charsets) charBytes(c *schema.Column) int {
	if n := s.maxLen[c.Charset]; n > 0 {
		return n
	}
	return 4
}

// appendType appends the type of a column that holds every value of c, as a
// statement spells it, with charset and nullability but no other attribute.
func appendType(dst []byte, c *schema.Column, cs *charsets) []byte {
	switch t := c.Type; {
	case t == schema.TypeTinyInt && c.Length == 1:
		dst = append(dst, "tinyint(1)"...)
	case t == schema.TypeDecimal, (t == schema.TypeFloat || t == schema.TypeDouble) && c.Precision > 0:
		dst = appendSizes(append(dst, t.String()...), c.Precision, c.Scale)
	case t == schema.TypeTime, t == schema.TypeDateTime, t == schema.TypeTimestamp:
		dst = append(dst, t.String()...)
		if c.Scale > 0 {
			dst = appendSizes(dst, c.Scale)
		}
	case t == schema.TypeChar, t == schema.TypeVarchar, t == schema.TypeBinary, t == schema.TypeVarbinary,
		t == schema.TypeBit, t == schema.TypeVector:
		dst = appendSizes(append(dst, t.String()...), c.Length)
	case t == schema.TypeEnum, t == schema.TypeSet:
		dst = appendElements(append(dst, t.String()...), c.Elements)
	case t == schema.TypeGeometry && c.Subtype != "":
		dst = append(dst, c.Subtype...)
	default:
		dst = append(dst, t.String()...)
	}
	if c.Unsigned || c.Zerofill {
		dst = append(dst, " unsigned"...)
	}
	return appendCharset(dst, c, cs)
}

// holding returns the column to make for the values of c, which may be more
// than c itself takes. The server holds a number against the digits of a
// FLOAT before it makes it a float, which may lie beyond them: a FLOAT(10,2)
// stores 99999999.99 as 100000000 and does not take that.
func holding(c *schema.Column) schema.Column {
	h := *c
	if c.Type == schema.TypeFloat && c.Precision > floatDigits {
		h.Precision, h.Scale = 0, 0
	}
	return h
}

// floatDigits is how many digits a FLOAT(M,D) may have so that each number of
// it, made a float and rounded to the digits again, is what it was.
const floatDigits = 7

func appendSizes(dst []byte, sizes ...int) []byte {
	for i, n := range sizes {
		dst = strconv.AppendInt(append(dst, "(,"[min(i, 1)]), int64(n), 10)
	}
	return append(dst, ')')
}

func appendElements(dst []byte, elements []string) []byte {
	for i, e := range elements {
		dst = appendString(append(dst, "(,"[min(i, 1)]), []byte(e))
	}
	return append(dst, ')')
}

// appendCharset appends charset and collation where the target has them. A
// charset that it lacks is left to its default, which is Unicode.
func appendCharset(dst []byte, c *schema.Column, cs *charsets) []byte {
	if c.Charset == "" || c.Charset == "binary" {
		return dst
	}
	if cs.maxLen[c.Charset] == 0 {
		return append(dst, " character set utf8mb4"...)
	}
	dst = append(append(dst, " character set "...), c.Charset...)
	if cs.collation[c.Collation] == c.Charset {
		dst = append(append(dst, " collate "...), c.Collation...)
	}
	return dst
}

// fit says how a column of the target takes the values of one of the source.
type fit uint8

const (
	fits    fit = iota // every value
	narrow             // not every one; the server refuses those that it cannot hold
	lossy              // not every one, and the server would change some without a word
	foreign            // no: the types have nothing in common
)

var (
	intBits   = map[schema.Type]int{schema.TypeTinyInt: 8, schema.TypeSmallInt: 16, schema.TypeMediumInt: 24, schema.TypeInt: 32, schema.TypeBigInt: 64}
	intDigits = map[schema.Type]int{schema.TypeTinyInt: 3, schema.TypeSmallInt: 5, schema.TypeMediumInt: 8, schema.TypeInt: 10, schema.TypeBigInt: 20}
)

// textSize returns what a text or binary column holds: in characters where
// the type counts those, else in bytes.
func textSize(c *schema.Column) (size int, bytes bool) {
	switch c.Type {
	case schema.TypeTinyText, schema.TypeTinyBlob:
		return 1<<8 - 1, true
	case schema.TypeText, schema.TypeBlob:
		return 1<<16 - 1, true
	case schema.TypeMediumText, schema.TypeMediumBlob:
		return 1<<24 - 1, true
	case schema.TypeLongText, schema.TypeLongBlob:
		return 1<<32 - 1, true
	}
	return c.Length, c.Type.IsBinary()
}

// fitOf returns how dst takes the values of src, and how they are spelled.
// Nullability is not looked at.
func fitOf(dst, src *schema.Column, cs *charsets) (fit, form) {
	d, s := dst.Type, src.Type
	switch {
	case s.IsInteger() && d.IsInteger():
		return fitInt(dst, src), formPlain
	case s.IsText() && d.IsText():
		return fitText(dst, src, cs), formPlain
	case s.IsBinary() && d.IsBinary():
		return fitBinary(dst, src), formPlain
	case s == d:
		return fitSame(dst, src)
	case d.IsText() && !s.IsBinary() && s != schema.TypeGeometry && s != schema.TypeVector && s != schema.TypeBit:
		return fitAsText(dst, src), formText
	}
	return fitOther(dst, src), formPlain
}

func fitInt(dst, src *schema.Column) fit {
	d, s := intBits[dst.Type], intBits[src.Type]
	switch {
	case dst.Unsigned == src.Unsigned && d >= s, src.Unsigned && !dst.Unsigned && d > s:
		return fits
	}
	return narrow
}

func fitText(dst, src *schema.Column, cs *charsets) fit {
	d, dBytes := textSize(dst)
	s, sBytes := textSize(src)
	switch {
	case dBytes && !sBytes:
		s *= cs.charBytes(dst)
	case sBytes && !dBytes: // as many characters as bytes at worst
	case sBytes && dBytes && dst.Charset != src.Charset && s < 1<<32-1:
		s *= cs.charBytes(dst)
	}
	switch {
	case dst.Type == schema.TypeChar && src.Type != schema.TypeChar:
		return lossy // CHAR drops spaces at the end
	case d < s:
		return narrow // spaces at the end the server would cut off: see column.limit
	}
	return fits // what its charset lacks the server refuses
}

func fitBinary(dst, src *schema.Column) fit {
	d, _ := textSize(dst)
	s, _ := textSize(src)
	switch {
	case dst.Type == schema.TypeBinary && (src.Type != schema.TypeBinary || d != s):
		return lossy // BINARY fills up with zeros
	case d < s:
		return narrow
	}
	return fits
}

// fitSame compares the attributes of columns of one type.
func fitSame(dst, src *schema.Column) (fit, form) {
	switch src.Type {
	case schema.TypeDecimal:
		return fitDecimal(dst, src.Precision-src.Scale, src.Scale, !src.Unsigned), formPlain
	case schema.TypeFloat, schema.TypeDouble:
		if dst.Precision > 0 && (src.Precision == 0 || dst.Scale < src.Scale) {
			return lossy, formPlain
		}
		return fitSign(dst, !src.Unsigned, dst.Precision > 0 && dst.Precision-dst.Scale < src.Precision-src.Scale), formPlain
	case schema.TypeTime, schema.TypeDateTime, schema.TypeTimestamp:
		if dst.Scale < src.Scale {
			return lossy, formPlain // rounds
		}
	case schema.TypeBit, schema.TypeVector:
		if dst.Length < src.Length {
			return narrow, formPlain
		}
	case schema.TypeEnum, schema.TypeSet:
		return fitElements(dst, src)
	case schema.TypeGeometry:
		if dst.Subtype != "" && dst.Subtype != src.Subtype || dst.HasSRID && (!src.HasSRID || dst.SRID != src.SRID) {
			return narrow, formPlain
		}
	}
	return fits, formPlain
}

func fitSign(dst *schema.Column, signed, short bool) fit {
	if short || signed && dst.Unsigned {
		return narrow
	}
	return fits
}

func fitDecimal(dst *schema.Column, digits, scale int, signed bool) fit {
	if dst.Scale < scale {
		return lossy // rounds
	}
	return fitSign(dst, signed, dst.Precision-dst.Scale < digits)
}

func fitElements(dst, src *schema.Column) (fit, form) {
	if len(dst.Elements) >= len(src.Elements) && slices.EqualFunc(dst.Elements[:len(src.Elements)], src.Elements, sameElement) {
		return fits, formPlain
	}
	for _, e := range src.Elements {
		if !hasElement(dst.Elements, e) {
			return narrow, formElements
		}
	}
	return fits, formElements
}

func hasElement(elements []string, e string) bool {
	return slices.ContainsFunc(elements, func(d string) bool { return sameElement(d, e) })
}

// sameElement compares an element as information_schema shows it, which has a
// question mark for what lies beyond the Basic Multilingual Plane.
func sameElement(shown, e string) bool {
	if shown == e || !strings.Contains(shown, "?") {
		return shown == e
	}
	a, b := []rune(shown), []rune(e)
	return slices.EqualFunc(a, b, func(x, y rune) bool { return x == y || x == '?' && y > 0xffff })
}

// fitAsText is for columns whose text goes into a text column.
func fitAsText(dst, src *schema.Column) fit {
	d, _ := textSize(dst)
	switch src.Type {
	case schema.TypeJSON:
		if d < 1<<32-1 {
			return narrow
		}
	case schema.TypeEnum, schema.TypeSet:
		return narrow // elements may be as long as they like
	default:
		if d < 70 { // no number or time is longer
			return narrow
		}
	}
	if dst.Type == schema.TypeChar {
		return narrow
	}
	return fits
}

// fitOther is for pairs of types that differ and still agree.
func fitOther(dst, src *schema.Column) fit {
	d, s := dst.Type, src.Type
	switch {
	case d == schema.TypeDecimal && s.IsInteger():
		return fitDecimal(dst, intDigits[s], 0, !src.Unsigned)
	case d == schema.TypeDouble && s == schema.TypeFloat && dst.Precision == 0:
		return fitSign(dst, !src.Unsigned, false)
	case d == schema.TypeDouble && s.IsInteger() && intBits[s] <= 32 && dst.Precision == 0:
		return fitSign(dst, !src.Unsigned, false)
	case d == schema.TypeBigInt && dst.Unsigned && s == schema.TypeBit,
		d.IsInteger() && s == schema.TypeYear && intBits[d] >= 16,
		d == schema.TypeDateTime && s == schema.TypeDate:
		return fits
	case d == schema.TypeDateTime && s == schema.TypeTimestamp: // as of UTC
		if dst.Scale < src.Scale {
			return lossy
		}
		return fits
	}
	return foreign
}

// widen returns a column that holds the values of both; ok is false when no
// type does. Attributes that rows do not show are those of dst.
func widen(dst, src *schema.Column, cs *charsets) (c schema.Column, ok bool) {
	c = *dst
	d, s := dst.Type, src.Type
	switch {
	case s.IsInteger() && d.IsInteger():
		return widenInt(c, src), true
	case s.IsText() && d.IsText() || s.IsBinary() && d.IsBinary():
		return widenString(c, src, cs), true
	case d == schema.TypeDecimal && s == schema.TypeDecimal:
		return widenDecimal(c, src.Precision-src.Scale, src.Scale, !src.Unsigned)
	case d == schema.TypeDecimal && s.IsInteger():
		return widenDecimal(c, intDigits[s], 0, !src.Unsigned)
	case (d == schema.TypeFloat || d == schema.TypeDouble) && (s == schema.TypeFloat || s == schema.TypeDouble):
		if s == schema.TypeDouble {
			c.Type = s
		}
		c.Precision, c.Scale = 0, 0
		c.Unsigned = c.Unsigned && src.Unsigned
		return c, true
	case s == d && (s == schema.TypeEnum || s == schema.TypeSet):
		c.Elements = slices.Clone(dst.Elements)
		for i, e := range src.Elements {
			if i < len(c.Elements) && sameElement(c.Elements[i], e) {
				c.Elements[i] = e // as it is, not as it is shown
			}
		}
		for _, e := range src.Elements {
			if !hasElement(c.Elements, e) {
				c.Elements = append(c.Elements, e)
			}
		}
		return c, s == schema.TypeEnum || len(c.Elements) <= 64
	case s == d && s == schema.TypeGeometry:
		c.Subtype, c.HasSRID, c.SRID = "", false, 0
		return c, true
	case s == d, d == schema.TypeDateTime && s == schema.TypeTimestamp: // temporal types, BIT, VECTOR
		c.Scale, c.Length = max(dst.Scale, src.Scale), max(dst.Length, src.Length)
		return c, true
	}
	return c, false
}

func widenInt(c schema.Column, src *schema.Column) schema.Column {
	bits := max(intBits[c.Type], intBits[src.Type])
	if c.Unsigned != src.Unsigned {
		if c.Unsigned && intBits[c.Type] == bits || src.Unsigned && intBits[src.Type] == bits {
			bits++ // a sign more than the larger one has
		}
		c.Unsigned = false
	}
	c.Length, c.Zerofill = 0, false
	for _, t := range []schema.Type{schema.TypeTinyInt, schema.TypeSmallInt, schema.TypeMediumInt, schema.TypeInt, schema.TypeBigInt} {
		if intBits[t] >= bits {
			c.Type = t
			return c
		}
	}
	c.Type, c.Precision, c.Scale = schema.TypeDecimal, 20, 0
	return c
}

func widenDecimal(c schema.Column, digits, scale int, signed bool) (schema.Column, bool) {
	digits, scale = max(digits, c.Precision-c.Scale), max(scale, c.Scale)
	c.Precision, c.Scale, c.Unsigned = digits+scale, scale, c.Unsigned && !signed
	return c, c.Precision <= 65 && c.Scale <= 30
}

// widenString makes a text or binary column long enough.
func widenString(c schema.Column, src *schema.Column, cs *charsets) schema.Column {
	target := c
	fixed := schema.TypeChar
	if c.Type.IsBinary() {
		fixed = schema.TypeBinary
	}
	if c.Type != src.Type && (c.Type == fixed || src.Type == fixed) {
		c.Type = fixed + 1 // VARCHAR, VARBINARY
	}
	c.Length = max(target.Length, src.Length)
	unit := 1
	if c.Type.IsText() {
		unit = cs.charBytes(&c)
	}
	_, big := textSize(src)
	_, has := textSize(&target)
	if src.Type.IsBinary() {
		big, has = src.Type > schema.TypeVarbinary, target.Type > schema.TypeVarbinary
	}
	if !big && !has && (c.Type == fixed && c.Length <= 255 || c.Type == fixed+1 && c.Length*unit <= 65532) {
		return c
	}
	need := 0
	for _, x := range []*schema.Column{&target, src} {
		n, bytes := textSize(x)
		if !bytes {
			n *= unit
		}
		need = max(need, n)
	}
	if src.Charset != target.Charset && big {
		need = min(need*unit, 1<<32-1)
	}
	for i := range schema.Type(4) {
		c.Type, c.Length = fixed+2+i, 0
		if n, _ := textSize(&c); n >= need {
			break
		}
	}
	return c
}

// sameOrder reports whether dst, which belongs to a key of the target, tells
// apart all values that src tells apart.
func sameOrder(dst, src *schema.Column) bool {
	if !src.Type.IsText() || !dst.Type.IsText() || src.Collation == "" || dst.Collation == src.Collation {
		return true
	}
	if strings.TrimPrefix(dst.Collation, dst.Charset) == strings.TrimPrefix(src.Collation, src.Charset) {
		return true
	}
	return dst.Collation == "utf8mb4_0900_bin" || strings.HasSuffix(dst.Collation, "_bin") && src.Collation != "utf8mb4_0900_bin"
}
