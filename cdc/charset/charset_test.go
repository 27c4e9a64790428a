package charset

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/towline/towline/e2e/mysqltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(mysqltest.Main(m)) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("hex %q: %v", s, err)
	}
	return b
}

// check compares Decode with the server's answer and, when it decodes, takes the text back.
func check(t testing.TB, c *Charset, src, want []byte, wantOK bool) {
	t.Helper()
	dst := []byte("dst")
	got, ok := c.Decode(dst, src)
	if ok != wantOK {
		t.Fatalf("%s: Decode(x'%x') = %q, %v; the server says ok=%v, x'%x'", c, src, got[3:], ok, wantOK, want)
	}
	if !ok {
		if string(got) != "dst" {
			t.Fatalf("%s: Decode(x'%x') refused but returned %q", c, src, got)
		}
		if c.Verbatim(src) {
			t.Fatalf("%s: Verbatim(x'%x') of a string that does not decode", c, src)
		}
		return
	}
	if string(got[:3]) != "dst" || !bytes.Equal(got[3:], want) {
		t.Fatalf("%s: Decode(x'%x') = x'%x', the server says x'%x'", c, src, got[3:], want)
	}
	back, ok := c.Encode([]byte("dst"), want)
	if !ok || string(back[:3]) != "dst" || !bytes.Equal(back[3:], src) {
		t.Fatalf("%s: Encode(x'%x') = x'%x', %v; want x'%x'", c, want, back, ok, src)
	}
	if c.Verbatim(src) && !bytes.Equal(src, want) {
		t.Fatalf("%s: Verbatim(x'%x') but its text is x'%x'", c, src, want)
	}
}

func TestDecodeAsTheServerDid(t *testing.T) {
	f, err := os.Open("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	counts := map[string]int{}
	var c *Charset
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 1 && !strings.Contains(fields[0], ":") {
			if c, err = ByName(fields[0]); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for _, field := range fields {
			src, want, _ := strings.Cut(field, ":")
			if want == "-" {
				check(t, c, unhex(t, src), nil, false)
			} else {
				check(t, c, unhex(t, src), unhex(t, want), true)
			}
			counts[c.name]++
		}
	}
	for i := range charsets {
		if n := counts[charsets[i].name]; n < 256 {
			t.Errorf("%s: only %d vectors", charsets[i].name, n)
		}
	}
}

func TestKnownText(t *testing.T) {
	for _, v := range []struct{ charset, src, text string }{
		{"latin1", "80", "\u20ac"}, // Windows-1252, not ISO 8859-1
		{"latin1", "818d8f909d", "\u0081\u008d\u008f\u0090\u009d"},
		{"swe7", "5b5c5d", "\u00c4\u00d6\u00c5"},
		{"sjis", "815f", `\`}, // the code the server writes for a backslash, see TestRefused
		{"cp932", "8740", "\u2460"},
		{"cp932", "81e0", "\u2252"},
		{"eucjpms", "a1c1", "\uff5e"},
		{"ujis", "a1c1", "\u301c"},
		{"ujis", "8fb0a1", "\u4e02"},
		{"ujis", "8eb1", "\uff71"},
		{"gbk", "c4e3bac3", "\u4f60\u597d"},
		{"big5", "a440", "\u4e00"},
		{"euckr", "b0a1", "\uac00"},
		{"gb18030", "81308130", "\u0080"},
		{"gb18030", "90308130", "\U00010000"},
		{"gb18030", "e3329a35", "\U0010ffff"},
		{"gb18030", "613130", "a10"},
		{"koi8r", "f0d2c9d7c5d4", "\u041f\u0440\u0438\u0432\u0435\u0442"},
		{"utf16", "d83dde00", "\U0001f600"},
		{"utf16le", "3dd800de", "\U0001f600"},
		{"utf32", "0001f600", "\U0001f600"},
		{"utf8mb4", "f09f9880", "\U0001f600"},
		{"utf16", "feff0041", "\ufeffA"}, // a byte order mark is a character like others
		{"gbk", "", ""},
	} {
		c, err := ByName(v.charset)
		if err != nil {
			t.Fatal(err)
		}
		check(t, c, unhex(t, v.src), []byte(v.text), true)
	}
}

func TestRefused(t *testing.T) {
	for _, v := range []struct{ charset, src, why string }{
		{"utf8mb3", "f09f9880", "four bytes"},
		{"utf8mb4", "eda080", "surrogate"},
		{"ascii", "e9", "eight bits"},
		{"ucs2", "d83dde00", "surrogates are not paired in ucs2"},
		{"utf16", "d83d", "half a pair"},
		{"utf16", "de00d83d", "pair in the wrong order"},
		{"utf16le", "00d8", "half a pair"},
		{"utf32", "00110000", "above the last code point"},
		{"utf32", "80000041", "above the last code point"},
		{"utf16", "004100", "odd length"},
		{"cp932", "8790", "one way: decodes to U+2252, whose code is 81E0"},
		{"sjis", "5c", "one way: decodes to a backslash, whose code is 815F"},
		{"eucjpms", "8fa2b7", "one way: decodes to U+FF5E, whose code is A1C1"},
		{"gbk", "a140", "no code point"},
		{"gbk", "6181", "cut character"},
		{"gb18030", "813081", "cut character"},
		{"cp1251", "98", "no code point"},
	} {
		c, err := ByName(v.charset)
		if err != nil {
			t.Fatal(err)
		}
		if out, ok := c.Decode(nil, unhex(t, v.src)); ok || out != nil {
			t.Errorf("%s: Decode(x'%s') = %q, %v; want it refused: %s", c, v.src, out, ok, v.why)
		}
	}
	latin1, _ := ByName("latin1")
	for _, text := range []string{"\u4e00", "a\xff", "\xe2\x82"} {
		if out, ok := latin1.Encode([]byte("x"), []byte(text)); ok || string(out) != "x" {
			t.Errorf("latin1: Encode(%q) = %q, %v; want it refused", text, out, ok)
		}
	}
	ucs2, _ := ByName("ucs2")
	if _, ok := ucs2.Encode(nil, []byte("\U00010000")); ok {
		t.Error("ucs2: Encode took a character above U+FFFF")
	}
}

func TestByName(t *testing.T) {
	for name, want := range map[string]string{"utf8": "utf8mb3", "UTF8MB4": "utf8mb4", "armscii8": "armscii8", "utf8mb4": "utf8mb4", "big5": "big5"} {
		if c, err := ByName(name); err != nil || c.Name() != want {
			t.Errorf("ByName(%q) = %v, %v; want %s", name, c, err, want)
		}
	}
	for _, name := range []string{"", "utf9", "zzz", "aaa"} {
		if c, err := ByName(name); err == nil {
			t.Errorf("ByName(%q) = %v; want an error", name, c)
		}
	}
	utf8Names, lens := "", map[string]int{"latin1": 1, "gbk": 2, "ujis": 3, "gb18030": 4, "utf8mb3": 3, "utf32": 4}
	for i := range charsets {
		c := &charsets[i]
		if c.IsUTF8() {
			utf8Names += c.name + " "
		}
		if n := lens[c.name]; n != 0 && c.MaxLen() != n {
			t.Errorf("%s: MaxLen %d, want %d", c, c.MaxLen(), n)
		}
	}
	if utf8Names != "ascii utf8mb3 utf8mb4 " {
		t.Errorf("IsUTF8 holds for %s", utf8Names)
	}
}

func TestCollations(t *testing.T) {
	for _, want := range []struct {
		id                uint16
		name, charset     string
		binary, padSpaces bool
	}{
		{8, "latin1_swedish_ci", "latin1", false, true},
		{33, "utf8mb3_general_ci", "utf8mb3", false, true},
		{46, "utf8mb4_bin", "utf8mb4", true, true},
		{63, "binary", "binary", true, false},
		{255, "utf8mb4_0900_ai_ci", "utf8mb4", false, false},
		{309, "utf8mb4_0900_bin", "utf8mb4", true, false},
		{323, "utf8mb4_mn_cyrl_0900_as_cs", "utf8mb4", false, false},
	} {
		c, ok := CollationByID(want.id)
		if !ok || c.ID != want.id || c.Name != want.name || c.Charset.Name() != want.charset || c.Binary != want.binary || c.PadSpace != want.padSpaces {
			t.Errorf("CollationByID(%d) = %+v, %v", want.id, c, ok)
		}
		if byName, ok := CollationByName(strings.ToUpper(want.name)); !ok || byName != c {
			t.Errorf("CollationByName(%q) = %+v, %v", want.name, byName, ok)
		}
	}
	if c, ok := CollationByName("utf8_bin"); !ok || c.ID != 83 {
		t.Errorf("CollationByName(utf8_bin) = %+v, %v", c, ok)
	}
	for _, id := range []uint16{0, 17, 324, 65535} {
		if c, ok := CollationByID(id); ok {
			t.Errorf("CollationByID(%d) = %+v; want none", id, c)
		}
	}
	if _, ok := CollationByName(""); ok {
		t.Error("CollationByName of no name found a collation")
	}
}

// TestOneToOne holds every table against what the codecs need: no code and no code point twice, and no code the
// beginning of another.
func TestOneToOne(t *testing.T) {
	for i := range charsets {
		c := &charsets[i]
		if c.form != formTable {
			continue
		}
		tab := readTable(c.name)
		runes := map[rune]bool{}
		for _, code := range tab.codes {
			if runes[code.r] {
				t.Errorf("%s: U+%04X has two codes", c, code.r)
			}
			runes[code.r] = true
			src := make([]byte, 0, 4)
			for s := code.size - 1; s >= 0; s-- {
				src = append(src, byte(code.bytes>>(8*s)))
			}
			check(t, c, src, []byte(string(code.r)), true)
			for cut := 1; cut < len(src); cut++ {
				if _, ok := c.Decode(nil, src[:cut]); ok {
					t.Errorf("%s: x'%x' is a character and the beginning of x'%x'", c, src[:cut], src)
				}
			}
		}
		for _, s := range tab.ranges {
			for k := range s.count {
				r := s.r + rune(k)
				if runes[r] {
					t.Errorf("%s: U+%04X has two codes", c, r)
				}
				check(t, c, appendGB18030(nil, s.linear+k), []byte(string(r)), true)
			}
		}
	}
}

// TestEveryCodePoint encodes each code point in each charset with a table: as many succeed as the table has, and each
// comes back.
func TestEveryCodePoint(t *testing.T) {
	for i := range charsets {
		c := &charsets[i]
		if c.form != formTable {
			continue
		}
		tab := readTable(c.name)
		want, last := len(tab.codes), rune(0x2FFFF) // no table but that with ranges goes beyond plane 2
		for _, s := range tab.ranges {
			want, last = want+int(s.count), utf8.MaxRune
		}
		var text, code, back []byte
		got := 0
		for r := rune(0); r <= last; r++ {
			if r >= 0xD800 && r < 0xE000 {
				continue
			}
			text = utf8.AppendRune(text[:0], r)
			var ok bool
			if code, ok = c.Encode(code[:0], text); !ok {
				continue
			}
			got++
			if back, ok = c.Decode(back[:0], code); !ok || !bytes.Equal(back, text) {
				t.Fatalf("%s: U+%04X became x'%x' and came back as x'%x', %v", c, r, code, back, ok)
			}
		}
		if got != want {
			t.Errorf("%s: %d code points encode, its table has %d", c, got, want)
		}
	}
}

// TestFirstUseTogether unpacks a table from several goroutines at once; the race detector is its judge.
func TestFirstUseTogether(t *testing.T) {
	c := &Charset{name: "gbk", maxLen: 2, form: formTable, ascii: true}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			text, ok := c.Decode(nil, []byte{0xc4, 0xe3})
			back, ok2 := c.Encode(nil, text)
			if !ok || !ok2 || string(back) != "\xc4\xe3" {
				t.Errorf("x'c4e3' became %q and x'%x'", text, back)
			}
		})
	}
	all.Wait()
}

func TestNoAllocations(t *testing.T) {
	dst := make([]byte, 0, 4096)
	for i := range charsets {
		c := &charsets[i]
		text := []byte("plain text, long enough")
		if c.form == formTable {
			for _, code := range readTable(c.name).codes[90:] {
				if text = append(text, string(code.r)...); len(text) > 500 {
					break
				}
			}
		}
		text = bytes.ReplaceAll(text, []byte("\x7f"), nil)
		src, ok := c.Encode(nil, text)
		if !ok {
			t.Fatalf("%s: Encode(%q) refused", c, text)
		}
		if _, ok := c.Decode(dst, src); !ok {
			t.Fatalf("%s: Decode(x'%x') refused", c, src)
		}
		if n := testing.AllocsPerRun(10, func() { c.Decode(dst, src); c.Encode(dst, text); c.Verbatim(src) }); n != 0 {
			t.Errorf("%s: %v allocations for a conversion", c, n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for i := range charsets {
		f.Add(uint8(i), []byte("a\x81\x30\x81\x30\x8f\xa2\xb7\xd8\x3d\xde\x00\xf0\x9f\x98\x80"))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		c := &charsets[int(which)%len(charsets)]
		if text, ok := c.Decode(nil, b); ok {
			check(t, c, b, text, true)
			if len(text) > 3*len(b) {
				t.Fatalf("%s: %d bytes became %d", c, len(b), len(text))
			}
		}
		if code, ok := c.Encode(nil, b); ok {
			check(t, c, code, b, true)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, v := range []struct{ charset, text string }{
		{"utf8mb4", "plain text of forty-eight bytes, nothing special"},
		{"latin1", "plain text of forty-eight bytes, nothing special"},
		{"cp1251", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440, \u043a\u0430\u043a \u0434\u0435\u043b\u0430"},
		{"gbk", "\u4f60\u597d\u4e16\u754c\u4f60\u597d\u4e16\u754c\u4f60\u597d\u4e16\u754c"},
		{"gb18030", "\U0001f600\U0001f600\U0001f600\U0001f600"},
		{"utf16", "plain text of forty-eight bytes, nothing special"},
	} {
		c, err := ByName(v.charset)
		if err != nil {
			b.Fatal(err)
		}
		src, ok := c.Encode(nil, []byte(v.text))
		if !ok {
			b.Fatalf("%s: Encode(%q) refused", c, v.text)
		}
		b.Run(v.charset, func(b *testing.B) {
			dst := make([]byte, 0, 3*len(src))
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				c.Decode(dst, src)
			}
		})
	}
}
