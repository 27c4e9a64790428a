package binlog

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// The fuzzers look for panics and for reads beyond the input: inputs have no
// capacity beyond their length, and nothing here is unsafe.

func FuzzTableMap(f *testing.F) {
	for _, name := range []string{"types.binlog", "minimal.binlog"} {
		events(f, golden(f, name), func(h Header, format *Format, event []byte) {
			if h.Type == TableMapEvent {
				body, _ := format.Body(event)
				f.Add(body)
			}
		})
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := ParseTableMap(body)
		if err != nil {
			return
		}
		s, err := m.Shape()
		if err != nil {
			return
		}
		_ = m.Matches(s)
		_, _ = NewPlan(m, s)
	})
}

func FuzzRows(f *testing.F) {
	rowsOf(f, "types.binlog", func(_ *Plan, typ EventType, mapBody, body []byte) {
		if len(body) < 1000 {
			f.Add(mapBody, byte(typ), body)
		}
	})
	var b connect.Batch
	f.Fuzz(func(t *testing.T, mapBody []byte, typ byte, body []byte) {
		m, err := ParseTableMap(mapBody)
		if err != nil {
			return
		}
		s, err := m.Shape()
		if err != nil {
			return
		}
		p, err := NewPlan(m, s)
		if err != nil {
			return
		}
		_ = decode(t, p, EventType(typ), body[:len(body):len(body)], &b)
	})
}

func FuzzJSON(f *testing.F) {
	rowsOf(f, "types.binlog", func(p *Plan, typ EventType, _, body []byte) {
		if p.Table().Name != "jsons" || len(body) > 9000 {
			return
		}
		for _, doc := range jsonDocuments(body) {
			f.Add(doc)
		}
	})
	f.Add([]byte{0, 255, 255})
	f.Fuzz(func(t *testing.T, doc []byte) {
		out, err := AppendJSON(nil, doc[:len(doc):len(doc)])
		if err != nil {
			return
		}
		// A control character takes six bytes, a double 8 bytes and at most 26.
		if len(out) > 8*len(doc)+32 {
			t.Fatalf("%d bytes become %d", len(doc), len(out))
		}
		if !json.Valid(out) && validStrings(out) {
			t.Fatalf("%x becomes %s", doc, out)
		}
	})
}

// validStrings reports whether out has no raw bytes that are not UTF-8, which
// only broken documents have.
func validStrings(out []byte) bool {
	for _, c := range out {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// jsonDocuments finds the documents in an event of the table jsons, whose
// rows are a bit map, an int and a document with its length.
func jsonDocuments(body []byte) [][]byte {
	ev, err := ParseRows(WriteRowsEvent, body)
	if err != nil {
		return nil
	}
	var docs [][]byte
	c := cursor{b: ev.images}
	for len(c.b) > 0 && !c.bad {
		nulls := c.u8()
		c.u32()
		if nulls&2 == 0 {
			docs = append(docs, c.take(uint64(c.u32())))
		}
	}
	return docs
}

// TestJSONFaults are documents that must not pass.
func TestJSONFaults(t *testing.T) {
	for name, doc := range map[string][]byte{
		"unknown type":      {14, 0, 0},
		"no array":          {jsonSmallArray},
		"count too large":   {jsonSmallArray, 9, 0, 7, 0, 4, 0, 0},
		"size too large":    {jsonSmallArray, 1, 0, 99, 0, 4, 0, 0},
		"offset beyond":     {jsonSmallArray, 1, 0, 7, 0, jsonString, 50, 0},
		"string beyond":     {jsonString, 5, 'a'},
		"length too long":   {jsonString, 0x80, 0x80, 0x80, 0x80, 0x80, 1},
		"literal":           {jsonLiteral, 3},
		"NaN":               {jsonDouble, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f},
		"infinity":          {jsonDouble, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f},
		"short double":      {jsonDouble, 0, 0},
		"itself":            {jsonSmallArray, 1, 0, 7, 0, jsonSmallArray, 0, 0},
		"date of 7 bytes":   {jsonOpaque, typeDate, 7, 0, 0, 0, 0, 0, 0, 0},
		"negative date":     {jsonOpaque, typeDate, 8, 255, 255, 255, 255, 255, 255, 255, 255},
		"decimal too short": {jsonOpaque, typeNewDecimal, 3, 10, 2, 0x80},
		"decimal(0,0)":      {jsonOpaque, typeNewDecimal, 3, 0, 0, 0x80},
		"opaque empty":      {jsonOpaque},
	} {
		if out, err := AppendJSON([]byte("keep"), doc); err == nil || string(out) != "keep" {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	// An array whose two elements are the same array, and so on: a bomb.
	bomb := []byte{0, 0, 4, 0}
	for range 22 {
		bomb = append([]byte{2, 0, byte(10 + len(bomb)), 0, jsonSmallArray, 10, 0, jsonSmallArray, 10, 0}, bomb...)
	}
	if out, err := AppendJSON(nil, append([]byte{jsonSmallArray}, bomb...)); err != errJSON {
		t.Errorf("a bomb of %d bytes becomes %d, %v", len(bomb), len(out), err)
	}
	deep := []byte{0, 0, 4, 0}
	for range maxJSONDepth {
		deep = append([]byte{1, 0, byte(7 + len(deep)), byte((7 + len(deep)) >> 8), jsonSmallArray, 7, 0}, deep...)
	}
	if _, err := AppendJSON(nil, append([]byte{jsonSmallArray}, deep...)); err != errJSONDepth {
		t.Errorf("too deep: %v", err)
	}
	if out, err := AppendJSON(nil, nil); err != nil || string(out) != "null" {
		t.Errorf("an empty document: %s, %v", out, err)
	}
}

// TestJSONDoubles checks the short way against the exact one.
func TestJSONDoubles(t *testing.T) {
	for n := int64(-3000000); n < 3000000; n += 71 {
		for _, f := range []float64{float64(n) / 1000, float64(n) / 10000, float64(n*n*n) / 1000, float64(n) * 1e7 / 3} {
			got := string(appendJSONDouble(nil, f))
			want := string(schema.AppendFloat(nil, f, 64))
			if float64(int64(f)) == f {
				want += ".0"
			}
			if a := math.Abs(f); math.Trunc(f) != f && a > 1e15 && a < 1e16 {
				want = strconv.FormatFloat(f, 'f', -1, 64)
			}
			if len(want) > 2 && want[len(want)-2:] == ".0" && float64(int64(f)) == f && (f >= 1e15 || f <= -1e15) {
				want = want[:len(want)-2]
			}
			if got != want {
				t.Fatalf("%v: got %s, want %s", f, got, want)
			}
		}
	}
}

// TestPlainPrefix compares with a plain loop, for each byte at each place.
func TestPlainPrefix(t *testing.T) {
	for n := range 20 {
		for at := range n {
			for c := range 256 {
				s := make([]byte, n)
				for i := range s {
					s[i] = 0x7f + byte(i%2)*0x61
				}
				s[at] = byte(c)
				want := n
				if c < 0x20 || c == '"' || c == '\\' {
					want = at
				}
				if got := plainPrefix(s); got != want {
					t.Fatalf("%q: got %d, want %d", s, got, want)
				}
				text := `"` + string(s[:want])
				if want < n {
					text += string(appendEscape(nil, byte(c))) + string(s[at+1:])
				}
				if got := string(appendJSONString(nil, s)); got != text+`"` {
					t.Fatalf("%q: got %s, want %s", s, got, text)
				}
			}
		}
	}
}
