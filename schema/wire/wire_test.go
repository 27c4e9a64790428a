package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// form holds one thing of each kind.
func form(u uint64, v int64, s string) []byte {
	b := []byte{7}
	b = binary.AppendUvarint(b, u)
	b = binary.AppendVarint(b, v)
	b = binary.LittleEndian.AppendUint64(b, u)
	b = AppendString(b, s)
	b = AppendString(b, []byte(s))
	b = binary.AppendUvarint(b, 2)
	return append(b, "wxyz"...)
}

// read reads a form and returns what is left of it.
func read(b []byte) (r Reader, c byte, u uint64, v int64, fixed uint64, s string, p []byte, n int, tail []byte) {
	r = NewReader(b)
	c, u, v, fixed, s, p = r.Byte(), r.Uvarint(), r.Varint(), r.Uint64(), r.Text(), r.Bytes()
	n = r.Count(2)
	return r, c, u, v, fixed, s, p, n, r.Take(4)
}

func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	numbers := []uint64{0, 1, 127, 128, 1 << 32, math.MaxInt64, math.MaxUint64}
	for range 200 {
		numbers = append(numbers, rnd.Uint64()>>rnd.IntN(64))
	}
	for _, x := range numbers {
		for _, y := range []int64{int64(x), -int64(x), math.MinInt64} {
			text := make([]byte, rnd.IntN(300))
			for i := range text {
				text[i] = byte(rnd.Uint32())
			}
			want := string(text)
			r, c, u, v, fixed, s, p, n, tail := read(form(x, y, want))
			if c != 7 || u != x || v != y || fixed != x || s != want || string(p) != want || n != 2 || string(tail) != "wxyz" || !r.OK() || !r.Done() {
				t.Fatalf("seed %d: %d, %d, %d bytes came back as %d %d %d %d, %d and %d bytes, count %d, %q, ok %t", seed, x, y, len(want), c, u, v, fixed, len(s), len(p), n, tail, r.OK())
			}
		}
	}
}

// Texts that share a copy are what they are alone, outlive the input, and are
// one piece of memory; a fault leaves none.
func TestShare(t *testing.T) {
	b := append([]byte{9}, AppendString(AppendString(AppendString(nil, "one"), ""), "three")...)
	r := NewReader(b)
	var texts [3]string
	n := testing.AllocsPerRun(10, func() {
		r = NewReader(b)
		r.Byte()
		r.Share()
		texts = [3]string{r.Text(), r.Text(), r.Text()}
	})
	clear(b)
	if texts != [3]string{"one", "", "three"} || !r.Done() || n != 1 {
		t.Errorf("got %q, done %t, %v allocations", texts, r.Done(), n)
	}
	r = NewReader([]byte{1, 'a', 5, 'b'})
	r.Share()
	if a, b, c := r.Text(), r.Text(), r.Text(); a != "a" || b != "" || c != "" || r.OK() {
		t.Errorf("got %q %q %q, ok %t", a, b, c, r.OK())
	}
}

// Wherever a form is cut off, the Reader says so.
func TestCutOff(t *testing.T) {
	whole := form(1<<40, -1<<40, "some text")
	for n := range whole {
		r, _, _, _, _, _, _, _, tail := read(whole[:n])
		if r.OK() || r.Done() || r.Rest() != nil || tail != nil {
			t.Errorf("%d bytes of %d: ok %t, done %t, %d left, tail %q", n, len(whole), r.OK(), r.Done(), len(r.Rest()), tail)
		}
	}
	r, _, _, _, _, _, _, _, _ := read(append(whole, 1))
	if !r.OK() || r.Done() || len(r.Rest()) != 1 {
		t.Errorf("with a byte too many: ok %t, done %t, %d left", r.OK(), r.Done(), len(r.Rest()))
	}
}

func TestFaultsStick(t *testing.T) {
	good := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}
	for name, fault := range map[string]func(*Reader){
		"a number without an end": func(r *Reader) { r.rest = bytes.Repeat([]byte{0x80}, 9); r.Uvarint() },
		"a number of 70 bits":     func(r *Reader) { r.rest = bytes.Repeat([]byte{0xff}, 20); r.Varint() },
		"a count":                 func(r *Reader) { r.rest = append([]byte{5}, good[:9]...); r.Count(2) },
		"the greatest count":      func(r *Reader) { r.rest = append(binary.AppendUvarint(nil, math.MaxUint64), good...); r.Count(1) },
		"a length":                func(r *Reader) { r.rest = append([]byte{10}, good...); r.Bytes() },
		"the greatest length":     func(r *Reader) { r.rest = append(binary.AppendUvarint(nil, math.MaxUint64), good...); _ = r.Text() },
		"Take":                    func(r *Reader) { r.rest = good; r.Take(10) },
		"Uint64":                  func(r *Reader) { r.rest = good[:7]; r.Uint64() },
		"Byte":                    func(r *Reader) { r.rest = nil; r.Byte() },
		"Fail":                    func(r *Reader) { r.rest = good; r.Fail() },
	} {
		var r Reader
		fault(&r)
		if r.OK() || r.Done() || r.Rest() != nil {
			t.Errorf("%s: ok %t, done %t, %d left", name, r.OK(), r.Done(), len(r.Rest()))
		}
		if r.Byte() != 0 || r.Uvarint() != 0 || r.Varint() != 0 || r.Uint64() != 0 || r.Count(1) != 0 || r.Take(0) != nil || r.Bytes() != nil || r.Text() != "" || r.OK() {
			t.Errorf("%s: something was read after it", name)
		}
	}
}

func TestTake(t *testing.T) {
	b := []byte{0, 2, 'a', 'b', 'c'}
	r := NewReader(b)
	if p := r.Bytes(); p == nil || len(p) != 0 {
		t.Errorf("no bytes are %v", p)
	}
	p := r.Bytes()
	if _ = append(p, 'x'); string(p) != "ab" || string(r.Rest()) != "c" {
		t.Errorf("%q, and %q left", p, r.Rest())
	}
	if p[0] = 'A'; b[2] != 'A' {
		t.Error("Bytes copies")
	}
	if p := r.Take(1); string(p) != "c" || !r.Done() {
		t.Errorf("%q, done %t", p, r.Done())
	}
	if p := r.Take(0); p == nil {
		t.Error("no bytes at the end are nil")
	}
}

func TestAllocatesNothing(t *testing.T) {
	b := form(1<<40, -5, "text")
	dst := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		r := NewReader(b)
		r.Byte()
		r.Uvarint()
		r.Varint()
		r.Uint64()
		dst = AppendString(dst[:0], r.Bytes())
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
