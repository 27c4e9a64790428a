package catalog

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/towline/towline/schema"
)

// parseType fills c from COLUMN_TYPE, which the server writes as
//
//	name[(number[,number] | 'element'[,'element']...)][ unsigned][ zerofill]
//
// MariaDB adds what else there is as a comment: that the rows are compressed,
// which their readers see, or that a temporal type is of its old format.
func parseType(text string, c *schema.Column) error {
	name, rest := text, ""
	if i := strings.IndexAny(text, "( "); i >= 0 {
		name, rest = text[:i], text[i:]
	}
	var args []int
	var err error
	if strings.HasPrefix(rest, "(") {
		if name == "enum" || name == "set" {
			c.Elements, rest, err = parseElements(rest[1:])
		} else {
			args, rest, err = parseNumbers(rest[1:])
		}
		if err != nil {
			return fmt.Errorf("type %s: %w", text, err)
		}
	}
	if text == name && c.SetFixed(name) {
		return nil
	}
	if i := strings.Index(rest, " /*"); i >= 0 && strings.HasSuffix(rest, "*/") {
		rest = rest[:i]
	}
	for _, word := range strings.Fields(rest) {
		switch word {
		case "unsigned":
			c.Unsigned = true
		case "zerofill":
			c.Zerofill = true
		default:
			return fmt.Errorf("type %s has an unknown attribute %q", text, word)
		}
	}
	if c.Type, c.Subtype = typeOf(name); c.Type == schema.TypeInvalid {
		return fmt.Errorf("type %s is not known", text)
	}
	return setSizes(c, args, text)
}

// typeOf returns the type that information_schema calls name, and the
// subtype of a geometry.
func typeOf(name string) (schema.Type, string) {
	switch name {
	case "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon":
		return schema.TypeGeometry, name
	case "geomcollection", "geometrycollection":
		return schema.TypeGeometry, "geometrycollection"
	}
	return schema.ParseType(name), ""
}

// setSizes gives the numbers of a type their meaning.
func setSizes(c *schema.Column, args []int, text string) error {
	var a, b int
	if len(args) > 0 {
		a = args[0]
	}
	if len(args) > 1 {
		b = args[1]
	}
	switch t := c.Type; {
	case t == schema.TypeTinyInt:
		if a == 1 && !c.Unsigned && !c.Zerofill { // what else has a width depends on the server's version
			c.Length = 1
		}
	case t.IsInteger(), t == schema.TypeYear:
	case t == schema.TypeFloat, t == schema.TypeDouble:
		if len(args) == 2 {
			c.Precision, c.Scale = a, b
		}
	case t == schema.TypeDecimal:
		if len(args) != 2 {
			return fmt.Errorf("type %s lacks its digits", text)
		}
		c.Precision, c.Scale = a, b
	case t == schema.TypeTime, t == schema.TypeDateTime, t == schema.TypeTimestamp:
		c.Scale = a
	case t == schema.TypeChar, t == schema.TypeVarchar, t == schema.TypeBinary, t == schema.TypeVarbinary,
		t == schema.TypeBit, t == schema.TypeVector:
		if len(args) != 1 {
			return fmt.Errorf("type %s lacks its length", text)
		}
		c.Length = a
	}
	return nil
}

// parseNumbers reads "1,2)" and returns the rest.
func parseNumbers(s string) (nums []int, rest string, err error) {
	list, rest, ok := strings.Cut(s, ")")
	if !ok {
		return nil, "", fmt.Errorf("no closing parenthesis")
	}
	for f := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(f))
		if err != nil || n < 0 {
			return nil, "", fmt.Errorf("%q is not a number", f)
		}
		nums = append(nums, n)
	}
	return nums, rest, nil
}

// parseElements reads "'a','b')" and returns the rest. Whatever the session's
// sql_mode, the server doubles quotes and writes a backslash before itself
// and before the letters that stand for NUL, line feed and carriage return.
func parseElements(s string) (elems []string, rest string, err error) {
	for {
		elem, tail, err := parseElement(s)
		if err != nil {
			return nil, "", err
		}
		elems = append(elems, elem)
		if rest, ok := strings.CutPrefix(tail, ")"); ok {
			return elems, rest, nil
		}
		if !strings.HasPrefix(tail, ",") {
			return nil, "", fmt.Errorf("an element ends before %q", tail)
		}
		s = tail[1:]
	}
}

func parseElement(s string) (elem, rest string, err error) {
	if !strings.HasPrefix(s, "'") {
		return "", "", fmt.Errorf("an element is expected at %q", s)
	}
	var b []byte
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
			b = append(b, '\'')
		case c == '\'':
			return string(b), s[i+1:], nil
		case c == '\\' && i+1 < len(s):
			i++
			b = append(b, unescape(s[i]))
		default:
			b = append(b, c)
		}
	}
	return "", "", fmt.Errorf("an element has no end: %q", s)
}

func unescape(c byte) byte {
	switch c {
	case '0':
		return 0
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	}
	return c
}

// charsetName gives the name that servers from 8.0.30 on use.
func charsetName(name string) string {
	if name == "utf8" {
		return "utf8mb3"
	}
	return name
}

// collationName gives the name that servers from 8.0.30 on use.
func collationName(name string) string {
	if rest, ok := strings.CutPrefix(name, "utf8_"); ok {
		return "utf8mb3_" + rest
	}
	return name
}

// charsetOf returns the charset of a collation, whose name begins with it.
func charsetOf(collation string) string {
	name, _, _ := strings.Cut(collation, "_")
	return charsetName(name)
}
