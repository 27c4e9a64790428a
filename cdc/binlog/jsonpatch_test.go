package binlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/literals"
	"github.com/towline/towline/schema"
)

// patchKeys are names of members that paths must quote, or not.
var patchKeys = []string{"a", "b", "key", "ü", "two words", `quo"te`, `back\slash`, "", "1", "tab\t", "$", "a.b", "x[0]"}

// randomPath is a path that often leads somewhere.
func randomPath(r *rand.Rand) string {
	path := "$"
	for range 1 + r.IntN(4) {
		switch r.IntN(8) {
		case 0, 1:
			path += fmt.Sprintf("[%d]", r.IntN(4))
		case 2:
			path += []string{"[last]", "[last-1]", "[last-3]", "[0]"}[r.IntN(4)]
		default:
			path += "." + jsonQuote(patchKeys[r.IntN(len(patchKeys))])
		}
	}
	return sqlQuote(path)
}

func jsonQuote(s string) string { return string(appendJSONString(nil, []byte(s))) }

func sqlQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// randomDocument is an expression for a document with members that
// randomPath knows.
func randomDocument(r *rand.Rand, depth int) string {
	n := r.IntN(7)
	var parts []string
	switch k := r.IntN(10); {
	case depth == 0 || k == 0:
		return literals.JSON(r, 1)
	case k < 4:
		for range n {
			parts = append(parts, randomDocument(r, depth-1))
		}
		return "JSON_ARRAY(" + strings.Join(parts, ",") + ")"
	case k == 4 && depth < 3 && r.IntN(3) == 0:
		return fmt.Sprintf("CAST(CONCAT('[', REPEAT('%d, ', %d), '%d]') AS JSON)", r.IntN(1000), r.IntN(3)*7000, r.IntN(99)) // may be a large array
	}
	for range n {
		parts = append(parts, sqlQuote(patchKeys[r.IntN(len(patchKeys))]), randomDocument(r, depth-1))
	}
	return "JSON_OBJECT(" + strings.Join(parts, ",") + ")"
}

// randomPatch is an expression that changes a column in part, mostly.
func randomPatch(r *rand.Rand, column string) string {
	out := column
	for range 1 + r.IntN(3) {
		f := []string{"JSON_SET", "JSON_SET", "JSON_REPLACE", "JSON_REMOVE"}[r.IntN(4)]
		if r.IntN(30) == 0 { // these are not logged in part, and leave other documents behind
			f = []string{"JSON_INSERT", "JSON_ARRAY_INSERT", "JSON_ARRAY_APPEND"}[r.IntN(3)]
		}
		args := []string{out}
		for range 1 + r.IntN(4) {
			path := randomPath(r)
			if f == "JSON_ARRAY_INSERT" {
				path = strings.TrimSuffix(path, "'") + fmt.Sprintf("[%d]'", r.IntN(4))
			}
			args = append(args, path)
			if f != "JSON_REMOVE" {
				args = append(args, randomDocument(r, r.IntN(3)))
			}
		}
		out = f + "(" + strings.Join(args, ", ") + ")"
	}
	return out
}

// TestPartialLive changes documents at random under PARTIAL_JSON and compares
// every image with what the server says.
func TestPartialLive(t *testing.T) {
	s := live(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	s.exec("CREATE TABLE parts (id INT PRIMARY KEY, n INT NOT NULL DEFAULT 0, j0 JSON, t VARCHAR(9) DEFAULT 'x', j1 JSON, j2 JSON)")
	s.exec("SET GLOBAL binlog_row_metadata = FULL")
	s.exec("SET SESSION binlog_row_value_options = PARTIAL_JSON")
	defer s.exec("SET GLOBAL binlog_row_metadata = MINIMAL")
	const rows = 6
	var want [][]string
	note := func(where string) {
		res := s.exec("SELECT id, n, CAST(j0 AS CHAR), t, CAST(j1 AS CHAR), CAST(j2 AS CHAR) FROM parts WHERE " + where + " ORDER BY id")
		for i := range res.RowNumber() {
			var row []string
			for j := range 6 {
				text, _ := res.GetString(i, j)
				if null, _ := res.IsNull(i, j); null {
					text = "NULL"
				}
				row = append(row, text)
			}
			want = append(want, row)
		}
	}
	log := s.record(func() {
		for id := range rows {
			doc := func() string { return fmt.Sprintf("JSON_SET(%s, '$.pad', REPEAT('=', 300))", randomDocument(r, 4)) }
			s.exec(fmt.Sprintf("INSERT INTO parts (id, j0, j1, j2) VALUES (%d, %s, %s, NULLIF(%s, JSON_OBJECT()))", id, doc(), doc(), doc()))
		}
		note("TRUE")
		for range 400 {
			set := "n = n + 1"
			for c := range 3 {
				col := fmt.Sprintf("j%d", c)
				switch k := r.IntN(40); {
				case k < 20:
					set += fmt.Sprintf(", %s = %s", col, randomPatch(r, col))
				case k == 20:
					set += fmt.Sprintf(", %s = %s", col, randomDocument(r, 4))
				case k == 21:
					set += fmt.Sprintf(", %s = NULL", col)
				case k == 22:
					set += ", t = 'é'"
				}
			}
			where := fmt.Sprintf("id IN (%d, %d)", r.IntN(rows), r.IntN(rows))
			s.exec("UPDATE IGNORE parts SET " + set + " WHERE " + where + " ORDER BY id")
			note(where)
			s.exec(fmt.Sprintf("UPDATE parts SET n = n + 1, j0 = IF(JSON_LENGTH(j0) > 1, j0, JSON_SET(%s, '$.pad', REPEAT('=', 300))) WHERE id = %d", randomDocument(r, 4), r.IntN(rows)))
			want = append(want, nil) // not looked at
		}
	})
	comparePartial(t, log, want)
}

// comparePartial checks that after each change the row is as it should be, and
// that it was so before the next change.
func comparePartial(t *testing.T, log []byte, want [][]string) {
	b := walk(t, log)
	if len(b.Records) != len(want) {
		t.Fatalf("%d records, %d rows", len(b.Records), len(want))
	}
	state := map[int64]schema.Row{}
	for i := range b.Records {
		rec := &b.Records[i]
		id := rec.After[0].Int()
		if before := state[id]; rec.Op == connect.OpUpdate && !rec.Before.Equal(before) {
			t.Fatalf("record %d: the row before the change is %s, not %s", i, rowText(rec.Before, rec.Table), rowText(before, rec.Table))
		}
		state[id] = rec.After
		for c := range want[i] {
			if text := rowText(rec.After[c:c+1], rec.Table); c != 3 && text != want[i][c] {
				t.Fatalf("record %d, column %d: got %.2000s, want %.2000s", i, c, text, want[i][c])
			}
		}
	}
	docs, changes := 0, 0
	events(t, log, func(h Header, f *Format, event []byte) {
		if h.Type == PartialUpdateRowsEvent {
			body, _ := f.Body(event)
			d, c := countPartial(t, body)
			docs, changes = docs+d, changes+c
		}
	})
	t.Logf("%d documents were changed in part, by %d changes", docs, changes)
	if docs < 100 || changes < docs+50 {
		t.Errorf("only %d documents were changed in part, by %d changes", docs, changes)
	}
}

func rowText(row schema.Row, table *schema.Table) string {
	var parts []string
	for _, v := range row {
		if v.IsNull() {
			parts = append(parts, "NULL")
		} else {
			parts = append(parts, string(v.AppendText(nil, nil)))
		}
	}
	return strings.Join(parts, ", ")
}

// countPartial counts the values of an event of the table parts that are given
// as changes, and the changes.
func countPartial(t *testing.T, body []byte) (docs, changes int) {
	ev, err := ParseRows(PartialUpdateRowsEvent, body)
	if err != nil {
		t.Fatal(err)
	}
	c := cursor{b: ev.images}
	image := func(bits uint8) {
		nulls := c.u8()
		for i, json := 0, 0; i < 6; i++ {
			partial := false
			if i == 2 || i > 3 {
				partial = bits>>json&1 != 0
				json++
			}
			switch {
			case nulls>>i&1 != 0:
			case i < 2:
				c.u32()
			case i == 3:
				c.short()
			default:
				doc := cursor{b: c.take(uint64(c.u32()))}
				if partial && len(doc.b) > 0 {
					docs++
				}
				for partial && len(doc.b) > 0 {
					op := doc.u8()
					doc.packedBytes()
					if op != patchRemove {
						doc.packedBytes()
					}
					changes++
				}
			}
		}
	}
	for len(c.b) > 0 && !c.bad {
		image(0)
		if c.u8() == 1 {
			image(c.u8())
		} else {
			image(0)
		}
	}
	if c.bad {
		t.Fatal("the event is not of the form that is expected")
	}
	return docs, changes
}

// smallArray is a binary array of small integers.
func smallArray(n int) []byte {
	b := []byte{jsonSmallArray, byte(n), byte(n >> 8), 0, 0}
	for i := range n {
		b = append(b, jsonInt16, byte(i), byte(i>>8))
	}
	binary.LittleEndian.PutUint16(b[3:], uint16(len(b)-1))
	return b
}

// appendChange appends a change in the form of the log.
func appendChange(dst []byte, op byte, path string, value []byte) []byte {
	dst = append(append(dst, op, byte(len(path))), path...)
	if op != patchRemove {
		dst = append(append(dst, byte(len(value))), value...)
	}
	return dst
}

func TestPatch(t *testing.T) {
	object := []byte{jsonSmallObject, 2, 0, 24, 0, 18, 0, 1, 0, 19, 0, 2, 0, jsonInt16, 7, 0, jsonLiteral, 1, 0, 'b', 'a', 'a', 'x', 'x', 'x'}
	seven := []byte{jsonInt16, 9, 0}
	for _, c := range []struct {
		doc  []byte
		op   byte
		path string
		want string // "": an error
	}{
		{object, patchReplace, "$.b", `{"b": 9, "aa": true}`},
		{object, patchReplace, `$."aa"`, `{"b": 7, "aa": 9}`},
		{object, patchReplace, `$.\u0061a`, ""},
		{object, patchReplace, `$."\u0061a"`, `{"b": 7, "aa": 9}`},
		{object, patchReplace, "$.b[0]", `{"b": 9, "aa": true}`},
		{object, patchReplace, "$.b[last][last]", `{"b": 9, "aa": true}`},
		{object, patchInsert, "$.c", `{"b": 7, "c": 9, "aa": true}`},
		{object, patchInsert, `$.""`, `{"": 9, "b": 7, "aa": true}`},
		{object, patchInsert, "$.zz", `{"b": 7, "aa": true, "zz": 9}`},
		{object, patchRemove, "$.b", `{"aa": true}`},
		{object, patchInsert, "$.b", ""}, {object, patchReplace, "$.c", ""}, {object, patchRemove, "$.c", ""}, {object, patchInsert, "$[0]", ""},
		{object, patchReplace, "$", ""}, {object, patchReplace, "$[0]", ""}, {object, patchReplace, "", ""}, {object, patchReplace, "$.*", ""},
		{object, patchReplace, `$."b`, ""}, {object, patchReplace, "$[", ""}, {object, patchReplace, "$.", ""}, {object, patchReplace, "x.b", ""},
		{object, patchReplace, `$."b\`, ""}, {object, patchReplace, "$.b[1]", ""}, {object, patchReplace, "$.b.c", ""}, {object, 3, "$.b", ""},
		{smallArray(3), patchReplace, "$[1]", "[0, 9, 2]"}, {smallArray(3), patchReplace, "$[last]", "[0, 1, 9]"},
		{smallArray(3), patchReplace, "$[last-2]", "[9, 1, 2]"}, {smallArray(3), patchRemove, "$[last-1]", "[0, 2]"},
		{smallArray(3), patchInsert, "$[0]", "[9, 0, 1, 2]"}, {smallArray(3), patchInsert, "$[7]", "[0, 1, 2, 9]"},
		{smallArray(3), patchInsert, "$[last]", "[0, 1, 9, 2]"}, {smallArray(3), patchInsert, "$[last-9]", "[9, 0, 1, 2]"},
		{smallArray(3), patchReplace, "$[3]", ""}, {smallArray(3), patchReplace, "$[last-3]", ""}, {smallArray(3), patchReplace, "$[x]", ""},
		{smallArray(3), patchReplace, "$[-1]", ""}, {smallArray(3), patchReplace, "$[last+1]", ""}, {smallArray(3), patchReplace, "$[99999999999]", ""},
		{nil, patchReplace, "$.a", ""}, {[]byte{jsonSmallArray, 9, 0, 7, 0, 4, 0, 0}, patchReplace, "$[0]", ""},
	} {
		var p jsonPatch
		got, err := p.append([]byte("keep "), c.doc, appendChange(nil, c.op, c.path, seven))
		if want := "keep " + c.want; err == nil && string(got) != want || (err != nil) != (c.want == "") || err != nil && string(got) != "keep " {
			t.Errorf("%d %s: got %s, %v; want %q", c.op, c.path, got, err, c.want)
		}
	}
	for _, cut := range [][]byte{{0}, {0, 5, '$'}, {0, 2, '$', '.', 0}, {0, 3, '$', '.', 'b', 9, 1}, {0, 3, '$', '.', 'b', 0}} {
		var p jsonPatch
		if got, err := p.append(nil, object, cut); err == nil {
			t.Errorf("% x gives %s", cut, got)
		}
	}
}

// TestPatchDepth: changes may not nest deeper than the server does.
func TestPatchDepth(t *testing.T) {
	var changes []byte
	path := "$"
	for range maxJSONDepth - 2 {
		path += "[0]"
		changes = append(changes, patchReplace, 252)
		changes = binary.LittleEndian.AppendUint16(changes, uint16(len(path)))
		changes = append(append(changes, path...), 8)
		changes = append(changes, smallArray(1)...)
	}
	var p jsonPatch
	out, err := p.append(nil, smallArray(1), changes)
	if err != nil || !strings.HasPrefix(string(out), strings.Repeat("[", maxJSONDepth-1)+"0]") {
		t.Fatalf("%s, %v", out, err)
	}
	changes = append(changes, patchReplace, 252)
	changes = binary.LittleEndian.AppendUint16(changes, uint16(len(path)+3))
	changes = append(append(append(changes, path...), "[0]"...), 8)
	if _, err = p.append(nil, smallArray(1), append(changes, smallArray(1)...)); err != errJSONDepth {
		t.Fatal(err)
	}
}

// TestPatchAllocates nothing once it is warm, and little for a large document.
func TestPatchAllocates(t *testing.T) {
	doc := smallArray(9000)
	changes := appendChange(appendChange(nil, patchReplace, "$[5]", []byte{jsonInt16, 9, 0}), patchRemove, "$[7]", nil)
	var p jsonPatch
	out := make([]byte, 0, 1<<20)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := p.append(out, doc, changes); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzPatch(f *testing.F) {
	f.Add(smallArray(5), appendChange(appendChange(nil, patchInsert, "$[1]", smallArray(2)), patchRemove, "$[1][0]", nil))
	f.Add([]byte{jsonSmallObject, 1, 0, 12, 0, 11, 0, 1, 0, jsonInt16, 7, 0, 'b'}, appendChange(nil, patchInsert, "$.c", smallArray(2)))
	var p jsonPatch
	f.Fuzz(func(t *testing.T, doc, changes []byte) {
		doc, changes = doc[:len(doc):len(doc)], changes[:len(changes):len(changes)]
		doc2, changes2 := bytes.Clone(doc), bytes.Clone(changes)
		out, err := p.append(nil, doc, changes)
		if !bytes.Equal(doc, doc2) || !bytes.Equal(changes, changes2) {
			t.Fatal("the input was changed")
		}
		if err == nil && len(out) > 8*(len(doc)+len(changes))+32 {
			t.Fatalf("%d bytes become %d", len(doc)+len(changes), len(out))
		}
	})
}
