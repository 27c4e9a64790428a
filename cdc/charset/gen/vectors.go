package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// writeVectors asks the server about a sample of byte strings of every charset and writes its answers: one line per
// charset with its name, then lines of "hex:hex" (the bytes and their UTF-8) or "hex:-" (malformed, without a code
// point, or a code point that does not come back as the same bytes).
func writeVectors(ctx context.Context, db *sql.DB, out string, charsets []charsetRow, tables map[string]table) error {
	// The seed is fixed so that a second run against the same server changes nothing.
	rnd := rand.New(rand.NewPCG(9, 7))
	var b bytes.Buffer
	for _, c := range charsets {
		samples := sample(rnd, c, tables[c.name])
		fmt.Fprintf(&b, "%s\n", c.name)
		for i := 0; i < len(samples); i += 256 {
			if err := askServer(ctx, db, &b, c, samples[i:min(i+256, len(samples))]); err != nil {
				return fmt.Errorf("write vectors of %s: %w", c.name, err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(out, "testdata", "vectors.txt"), b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write vectors: %w", err)
	}
	return nil
}

// sample picks the strings to ask about: all single bytes, boundaries of the Unicode forms, the ends of the table's
// runs and ranges, random bytes, and random strings of characters that do exist.
func sample(rnd *rand.Rand, c charsetRow, t table) [][]byte {
	var out [][]byte
	for i := range 256 {
		out = append(out, []byte{byte(i)})
	}
	out = append(out, boundaries(c.name)...)
	if c.maxLen > 1 {
		out = append(out, runEnds(rnd, t)...)
	}
	for range 100 {
		s := make([]byte, 2+rnd.IntN(3))
		for i := range s {
			s[i] = byte(rnd.Uint32())
		}
		out = append(out, s)
	}
	for range min(len(t.codes), 50) {
		var s []byte
		for range 1 + rnd.IntN(6) {
			s = appendCode(s, t.codes[rnd.IntN(len(t.codes))])
		}
		out = append(out, s)
	}
	return out
}

func runEnds(rnd *rand.Rand, t table) [][]byte {
	var out [][]byte
	for i := 0; i < len(t.codes); {
		n := runLength(t.codes[i:])
		first, last := t.codes[i], t.codes[i+n-1]
		if rnd.IntN(4) == 0 {
			before, after := first, last
			before.bytes--
			after.bytes++
			for _, c := range []code{before, first, last, after} {
				out = append(out, appendCode(nil, c))
			}
		}
		i += n
	}
	for _, s := range t.ranges {
		for _, linear := range []uint32{s.linear - 1, s.linear, s.linear + s.count - 1, s.linear + s.count} {
			out = append(out, []byte{byte(0x81 + linear/12600), byte(0x30 + linear/1260%10), byte(0x81 + linear/10%126), byte(0x30 + linear%10)})
		}
	}
	return out
}

func boundaries(charset string) [][]byte {
	var list string
	switch charset {
	case "utf16", "ucs2":
		list = "0041 d7ff d800 dbff dc00 dfff e000 fffe ffff d800dc00 dbffdfff d83dde00 dc00d800 d8000041 0041d800 004100"
	case "utf16le":
		list = "4100 ffd7 00d8 ffdb 00dc ffdf 00e0 feff ffff 00d800dc ffdbffdf 3dd800de 00dc00d8 00d84100 410000d8 410000"
	case "utf32":
		list = "00000041 0000d7ff 0000d800 0000dfff 0000e000 0000ffff 00010000 0010ffff 00110000 ff000041 000041"
	default:
		list = "c280 dfbf c080 c1bf e0a080 e09fbf ed9fbf eda080 edbfbf ee8080 efbfbd efbfbf f0908080 f08fbfbf f48fbfbf f4908080 f5808080 c2 e282 f09f98 4180"
	}
	var out [][]byte
	for _, h := range strings.Fields(list) {
		s, _ := hex.DecodeString(h)
		out = append(out, s)
	}
	return out
}

func appendCode(dst []byte, c code) []byte {
	for i := c.size - 1; i >= 0; i-- {
		dst = append(dst, byte(c.bytes>>(8*i)))
	}
	return dst
}

func askServer(ctx context.Context, db *sql.DB, b *bytes.Buffer, c charsetRow, samples [][]byte) error {
	var values []string
	for i, s := range samples {
		values = append(values, fmt.Sprintf("ROW(%d,x'%x')", i, s))
	}
	// LENGTH is compared because the server pads a short string of a wide charset with zero bytes before it reads it.
	query := fmt.Sprintf(`SELECT HEX(CONVERT(CONVERT(s USING %[1]s) USING utf8mb4)), IFNULL(LENGTH(CONVERT(s USING %[1]s)) = LENGTH(s)
		AND HEX(CONVERT(CONVERT(CONVERT(s USING %[1]s) USING utf8mb4) USING %[1]s)) = HEX(s), FALSE)
		FROM (VALUES %[2]s) AS v(i, s) ORDER BY i`, c.name, strings.Join(values, ","))
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for i := 0; rows.Next(); i++ {
		var text sql.NullString
		var back bool
		if err := rows.Scan(&text, &back); err != nil {
			return err
		}
		answer := "-"
		if text.Valid && back {
			answer = strings.ToLower(text.String)
		}
		sep := byte(' ')
		if i%12 == 11 || i == len(samples)-1 {
			sep = '\n'
		}
		fmt.Fprintf(b, "%x:%s%c", samples[i], answer, sep)
	}
	return rows.Err()
}
