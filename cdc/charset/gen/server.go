package main

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// charsetRow is one line of SHOW CHARACTER SET with what was found out about it.
type charsetRow struct {
	name   string
	maxLen int
	form   string // the constant of package charset that says how the charset is converted
	ascii  bool   // bytes below 0x80 are the ASCII characters
}

// collationRow is one line of information_schema.COLLATIONS.
type collationRow struct {
	id            int
	name, charset string
	padSpace      bool
}

// code is one character of a charset: its bytes as a big-endian number, how many, and its code point.
type code struct {
	bytes uint32
	size  int
	r     rune
}

// span is a range of four-byte gb18030 codes, counted linearly, that maps to a range of code points.
type span struct {
	linear, count uint32
	r             rune
}

// table is the whole mapping of one charset, in code order.
type table struct {
	codes  []code
	ranges []span
}

// algorithmic names the charsets that package charset computes; for these no table is written.
var algorithmic = map[string]string{
	"ascii": "formASCII", "binary": "formUTF8", "utf8mb4": "formUTF8", "utf8mb3": "formUTF8MB3",
	"ucs2": "formUCS2", "utf16": "formUTF16", "utf16le": "formUTF16LE", "utf32": "formUTF32",
}

func readCharsets(ctx context.Context, db *sql.DB) ([]charsetRow, error) {
	rows, err := db.QueryContext(ctx, `SELECT CHARACTER_SET_NAME, MAXLEN FROM information_schema.CHARACTER_SETS`)
	if err != nil {
		return nil, fmt.Errorf("read charsets: %w", err)
	}
	defer rows.Close()
	var out []charsetRow
	for rows.Next() {
		var c charsetRow
		if err := rows.Scan(&c.name, &c.maxLen); err != nil {
			return nil, fmt.Errorf("read charsets: %w", err)
		}
		c.form = cmp.Or(algorithmic[c.name], "formTable")
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b charsetRow) int { return strings.Compare(a.name, b.name) })
	return out, rows.Err()
}

func readCollations(ctx context.Context, db *sql.DB) ([]collationRow, error) {
	rows, err := db.QueryContext(ctx, `SELECT ID, COLLATION_NAME, CHARACTER_SET_NAME, PAD_ATTRIBUTE = 'PAD SPACE'
		FROM information_schema.COLLATIONS`)
	if err != nil {
		return nil, fmt.Errorf("read collations: %w", err)
	}
	defer rows.Close()
	var out []collationRow
	for rows.Next() {
		var c collationRow
		if err := rows.Scan(&c.id, &c.name, &c.charset, &c.padSpace); err != nil {
			return nil, fmt.Errorf("read collations: %w", err)
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b collationRow) int { return cmp.Compare(a.id, b.id) })
	return out, rows.Err()
}

// oneByte is the part of a statement that yields the hex of all 256 bytes as n.h.
const oneByte = `WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 255),
	n AS (SELECT LPAD(HEX(i), 2, '0') AS h, i FROM c) `

// candidates are the byte strings of each length that are tried; %s is the charset. Lengths one to three are tried in
// full; of four bytes only the shape of gb18030 is, the one charset with a table that has four-byte codes.
var candidates = []string{
	1: `FROM n a`,
	2: `FROM n a, n b`,
	3: `FROM n a, n b, n c WHERE a.i >= 128`,
	4: `FROM n a, n b, n c, n d WHERE a.i BETWEEN 0x81 AND 0xFE AND b.i BETWEEN 0x30 AND 0x39
		AND c.i BETWEEN 0x81 AND 0xFE AND d.i BETWEEN 0x30 AND 0x39`,
}

func readTable(ctx context.Context, db *sql.DB, c charsetRow) (table, error) {
	var t table
	longest := c.maxLen
	if c.form != "formTable" {
		longest = 1 // enough to see whether ASCII is ASCII
	}
	for size := 1; size <= longest; size++ {
		codes, err := readCodes(ctx, db, c.name, size)
		if err != nil {
			return table{}, fmt.Errorf("read charset %s: codes of %d bytes: %w", c.name, size, err)
		}
		if size == 4 {
			t.ranges = joinRanges(codes)
			continue
		}
		t.codes = append(t.codes, codes...)
	}
	return t, nil
}

// readCodes asks for all codes of one size. NO_MERGE makes the server keep each string in a row of its own, and every
// conversion ends in HEX: conversions that share an argument otherwise share its buffer and may overwrite each other.
func readCodes(ctx context.Context, db *sql.DB, charset string, size int) ([]code, error) {
	parts := []string{"a.h", "b.h", "c.h", "d.h"}[:size]
	query := fmt.Sprintf(`%[1]s SELECT /*+ NO_MERGE(v) */ HEX(s), HEX(CONVERT(CONVERT(s USING %[3]s) USING utf8mb4))
		FROM (SELECT UNHEX(CONCAT(%[2]s)) AS s %[4]s) AS v
		WHERE LENGTH(CONVERT(s USING %[3]s)) = %[5]d AND CHAR_LENGTH(CONVERT(s USING %[3]s)) = 1
		AND HEX(CONVERT(CONVERT(CONVERT(s USING %[3]s) USING utf8mb4) USING %[3]s)) = HEX(s)`,
		oneByte, strings.Join(parts, ","), charset, candidates[size], size)
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []code
	for rows.Next() {
		var from, to string
		if err := rows.Scan(&from, &to); err != nil {
			return nil, err
		}
		c, err := parseCode(from, to)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b code) int { return cmp.Compare(a.bytes, b.bytes) })
	return out, rows.Err()
}

func parseCode(from, to string) (code, error) {
	src, err := hex.DecodeString(from)
	if err != nil {
		return code{}, err
	}
	text, err := hex.DecodeString(to)
	if err != nil {
		return code{}, err
	}
	r, n := utf8.DecodeRune(text)
	if n != len(text) || r == utf8.RuneError && n < 2 {
		return code{}, fmt.Errorf("x'%s' maps to x'%s', which is not one code point", from, to)
	}
	c := code{size: len(src), r: r}
	for _, b := range src {
		c.bytes = c.bytes<<8 | uint32(b)
	}
	return c, nil
}

// joinRanges turns four-byte codes in order into the fewest ranges that run in step with the code points.
func joinRanges(codes []code) []span {
	var out []span
	for _, c := range codes {
		b := [4]uint32{c.bytes >> 24, c.bytes >> 16 & 0xFF, c.bytes >> 8 & 0xFF, c.bytes & 0xFF}
		linear := ((b[0]-0x81)*10+b[1]-0x30)*1260 + (b[2]-0x81)*10 + b[3] - 0x30
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.linear+last.count == linear && last.r+rune(last.count) == c.r {
				last.count++
				continue
			}
		}
		out = append(out, span{linear: linear, count: 1, r: c.r})
	}
	return out
}

func (t table) asciiIdentity() bool {
	for i := range 0x80 {
		if i >= len(t.codes) || t.codes[i].bytes != uint32(i) || t.codes[i].r != rune(i) || t.codes[i].size != 1 {
			return false
		}
	}
	return true
}
