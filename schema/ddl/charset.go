package ddl

import "strings"

// charsets holds the name, the default collation and the length in bytes of
// the longest character of every charset.
var charsets = map[string]struct {
	collation string
	size      int
}{
	"armscii8": {"armscii8_general_ci", 1}, "ascii": {"ascii_general_ci", 1}, "big5": {"big5_chinese_ci", 2},
	"binary": {"binary", 1}, "cp1250": {"cp1250_general_ci", 1}, "cp1251": {"cp1251_general_ci", 1},
	"cp1256": {"cp1256_general_ci", 1}, "cp1257": {"cp1257_general_ci", 1}, "cp850": {"cp850_general_ci", 1},
	"cp852": {"cp852_general_ci", 1}, "cp866": {"cp866_general_ci", 1}, "cp932": {"cp932_japanese_ci", 2},
	"dec8": {"dec8_swedish_ci", 1}, "eucjpms": {"eucjpms_japanese_ci", 3}, "euckr": {"euckr_korean_ci", 2},
	"gb18030": {"gb18030_chinese_ci", 4}, "gb2312": {"gb2312_chinese_ci", 2}, "gbk": {"gbk_chinese_ci", 2},
	"geostd8": {"geostd8_general_ci", 1}, "greek": {"greek_general_ci", 1}, "hebrew": {"hebrew_general_ci", 1},
	"hp8": {"hp8_english_ci", 1}, "keybcs2": {"keybcs2_general_ci", 1}, "koi8r": {"koi8r_general_ci", 1},
	"koi8u": {"koi8u_general_ci", 1}, "latin1": {"latin1_swedish_ci", 1}, "latin2": {"latin2_general_ci", 1},
	"latin5": {"latin5_turkish_ci", 1}, "latin7": {"latin7_general_ci", 1}, "macce": {"macce_general_ci", 1},
	"macroman": {"macroman_general_ci", 1}, "sjis": {"sjis_japanese_ci", 2}, "swe7": {"swe7_swedish_ci", 1},
	"tis620": {"tis620_thai_ci", 1}, "ucs2": {"ucs2_general_ci", 2}, "ujis": {"ujis_japanese_ci", 3},
	"utf16": {"utf16_general_ci", 4}, "utf16le": {"utf16le_general_ci", 4}, "utf32": {"utf32_general_ci", 4},
	"utf8mb3": {"utf8mb3_general_ci", 3}, "utf8mb4": {"utf8mb4_0900_ai_ci", 4},
}

// textSet is a charset with a collation; the zero textSet is none.
type textSet struct{ charset, collation string }

var binarySet = textSet{"binary", "binary"}

// lookCharset returns the charset of that name with its default collation.
func (c *Context) lookCharset(name string) (textSet, bool) {
	name = strings.ToLower(name)
	if name == "utf8" {
		name = "utf8mb3"
	}
	if name == "utf8mb4" && c.UTF8MB4Collation != "" {
		return textSet{name, c.UTF8MB4Collation}, true
	}
	cs, ok := charsets[name]
	return textSet{name, cs.collation}, ok
}

// lookCollation returns the collation of that name with its charset.
func lookCollation(name string) (textSet, bool) {
	name = strings.ToLower(name)
	if rest, ok := strings.CutPrefix(name, "utf8_"); ok {
		name = "utf8mb3_" + rest
	}
	cs, _, _ := strings.Cut(name, "_")
	_, ok := charsets[cs]
	return textSet{cs, name}, ok
}

// binaryOf returns the collation of the charset that compares bytes.
func (s textSet) binaryOf() textSet {
	if s.charset == "binary" {
		return s
	}
	return textSet{s.charset, s.charset + "_bin"}
}

// maxLen returns the length in bytes of the charset's longest character.
func (s textSet) maxLen() int { return max(charsets[s.charset].size, 1) }

// contains reports whether every text of charset a has a form in b.
func contains(b, a string) bool {
	if a == b || a == "ascii" && b != "binary" {
		return true
	}
	switch b {
	case "utf8mb4", "utf16", "utf16le", "utf32", "gb18030":
		return a != "binary"
	case "utf8mb3", "ucs2":
		return !strings.HasPrefix(a, "utf") && a != "gb18030" && a != "binary" || a == "utf8mb3"
	}
	return false
}
