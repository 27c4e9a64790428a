package gtid

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"pgregory.net/rapid"

	"github.com/towline/towline/e2e/mysqltest"
)

const (
	textA = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	textB = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
)

func must(t testing.TB, text string) *Set {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{" \n", ""},
		{textA + ":1", textA + ":1"},
		{strings.ToUpper(textA) + ":5-7:1-4", textA + ":1-7"},
		{textA + ":1-5:7", textA + ":1-5:7"},
		{textA + ":1-5:7," + textA + ":tag:1-3", textA + ":1-5:7:tag:1-3"},
		{textA + ":1-3:tag:5-6", textA + ":1-3:tag:5-6"},
		{textA + ":B_1:5:aa:1:2:4", textA + ":aa:1-2:4:b_1:5"},
		{textB + ":2,\n" + textA + ":9", textA + ":9," + textB + ":2"},
		{strings.ReplaceAll(textA, "-", "") + ":1", textA + ":1"},
		{textA + ":5-3:1", textA + ":1"},
	} {
		if got := must(t, c.in).String(); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
	for _, bad := range []string{
		"x:1", textA, textA + ":", textA + ":0", textA + ":1-", textA + ":-1", textA + ":tag", textA + ":tag:", textA + ":a:b:1",
		textA + ":9223372036854775807", textA + ":1-2-3", textA + ":t-g:1", textA + ":" + strings.Repeat("a", 33) + ":1", textA[:35] + ":1",
	} {
		if s, err := Parse(bad); err == nil {
			t.Errorf("%q passes as %s", bad, s)
		}
	}
}

// model is a set of GTIDs as slow and plain as can be.
type model map[string]bool

func (m model) name(sid UUID, tag string, gno int64) string {
	return fmt.Sprintf("%x/%s/%d", sid[0], tag, gno)
}

var tags = []string{"", "blue", "b", "z_9"}

const domain = 24

func drawSet(t *rapid.T, label string) (*Set, model) {
	s, m := new(Set), model{}
	n := rapid.IntRange(0, 40).Draw(t, label)
	for range n {
		sid := UUID{rapid.Byte().Draw(t, "sid") % 3}
		tag := rapid.SampledFrom(tags).Draw(t, "tag")
		first := rapid.Int64Range(1, domain).Draw(t, "first")
		last := min(first+rapid.Int64Range(0, 4).Draw(t, "more"), domain)
		if first == last {
			s.Add(sid, tag, first)
		} else {
			s.AddInterval(sid, tag, Interval{first, last})
		}
		for g := first; g <= last; g++ {
			m[m.name(sid, tag, g)] = true
		}
	}
	return s, m
}

func check(t *rapid.T, what string, s *Set, has func(string) bool) {
	var m model
	n := uint64(0)
	for sid := range byte(3) {
		for _, tag := range tags {
			for g := int64(0); g <= domain+1; g++ {
				want := has(m.name(UUID{sid}, tag, g))
				if want {
					n++
				}
				if got := s.Contains(UUID{sid}, tag, g); got != want {
					t.Fatalf("%s: %d/%s/%d is in %s: %v, want %v", what, sid, tag, g, s, got, want)
				}
			}
		}
	}
	if s.Len() != n || s.Empty() != (n == 0) {
		t.Fatalf("%s: %s has %d, want %d", what, s, s.Len(), n)
	}
	for i := range s.lines {
		runs := s.lines[i].runs
		for j := 1; j < len(runs); j++ {
			if runs[j-1].Last+1 >= runs[j].First {
				t.Fatalf("%s: runs of %s touch", what, s)
			}
		}
	}
}

func TestOperations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, ma := drawSet(t, "a")
		b, mb := drawSet(t, "b")
		check(t, "add", a, func(k string) bool { return ma[k] })
		u := a.Clone()
		u.Union(b)
		check(t, "union", u, func(k string) bool { return ma[k] || mb[k] })
		d := a.Clone()
		d.Subtract(b)
		check(t, "subtract", d, func(k string) bool { return ma[k] && !mb[k] })
		check(t, "operand", a, func(k string) bool { return ma[k] })
		if a.SubsetOf(b) != d.Empty() {
			t.Fatalf("%s is in %s: %v, but the difference is %s", a, b, a.SubsetOf(b), d)
		}
		if !a.SubsetOf(u) || !b.SubsetOf(u) || a.Equal(b) != (a.SubsetOf(b) && b.SubsetOf(a)) {
			t.Fatalf("%s and %s: subset and equal disagree", a, b)
		}
	})
}

func TestForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, _ := drawSet(t, "s")
		back, err := Parse(s.String())
		if err != nil || !back.Equal(s) {
			t.Fatalf("text: %s came back as %s, %v", s, back, err)
		}
		bin := append(s.AppendBinary(nil), "rest"...)
		back, rest, err := ParseBinary(bin)
		if err != nil || !back.Equal(s) || string(rest) != "rest" {
			t.Fatalf("binary: %s came back as %s, %q, %v", s, back, rest, err)
		}
		if cut := rapid.IntRange(0, len(bin)-5).Draw(t, "cut"); len(bin) > 5 {
			if got, _, err := ParseBinary(bin[:cut]); err == nil {
				t.Fatalf("%d bytes of %d pass as %s", cut, len(bin)-4, got)
			}
		}
		back, err = ParseDump(s.AppendDump(nil))
		if err != nil || !back.Equal(s) {
			t.Fatalf("dump: %s came back as %s, %v", s, back, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(textA + ":1-3:tag:5-6," + textB + ":1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := Parse(string(b)); err == nil {
			if back, err := Parse(s.String()); err != nil || !back.Equal(s) {
				t.Fatalf("%q is %s, which is %s, %v", b, s, back, err)
			}
		}
		if s, rest, err := ParseBinary(b); err == nil {
			if back, _, err := ParseBinary(s.AppendBinary(nil)); err != nil || !back.Equal(s) || len(rest) > len(b) {
				t.Fatalf("%x is %s, which is %s, %v", b, s, back, err)
			}
		}
		if s, err := ParseDump(b); err == nil {
			if back, err := ParseDump(s.AppendDump(nil)); err != nil || !back.Equal(s) {
				t.Fatalf("%x is %s, which is %s, %v", b, s, back, err)
			}
		}
	})
}

func TestAddNextAllocatesNothing(t *testing.T) {
	s := must(t, textA+":1-5:7:tag:1-3,"+textB+":1")
	a, b := s.lines[0].sid, s.lines[2].sid
	gno := int64(8)
	if n := testing.AllocsPerRun(100, func() {
		s.Add(a, "", gno)
		s.Add(a, "tag", gno-4)
		s.Add(b, "", gno-6)
		gno++
	}); n != 0 {
		t.Fatalf("adding the next number allocates %v times", n)
	}
	if want := must(t, fmt.Sprintf("%s:1-5:7-%d:tag:1-%d,%s:1-%d", textA, gno-1, gno-5, textB, gno-7)); !s.Equal(want) {
		t.Fatalf("%s, want %s", s, want)
	}
}

func TestMain(m *testing.M) { os.Exit(mysqltest.Main(m).Run()) }

// The server is the judge of what the operations mean.
func TestAgainstServer(t *testing.T) {
	db, err := sql.Open("mysql", mysqltest.Shared(t).DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var version string
	if err := db.QueryRow("SELECT VERSION()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	tagged := !strings.HasPrefix(version, "8.0") && !strings.HasPrefix(version, "5.")
	random := func() *Set {
		s := new(Set)
		for range rnd.IntN(12) {
			tag := ""
			if tagged {
				tag = tags[rnd.IntN(len(tags))]
			}
			first := 1 + rnd.Int64N(20)
			s.AddInterval(UUID{1, byte(rnd.IntN(2))}, tag, Interval{first, first + rnd.Int64N(5)})
		}
		return s
	}
	for range 300 {
		a, b := random(), random()
		var diff, norm string
		var subset bool
		err := db.QueryRow("SELECT GTID_SUBTRACT(?, ?), GTID_SUBSET(?, ?), GTID_SUBTRACT(?, '')",
			a.String(), b.String(), a.String(), b.String(), a.String()).Scan(&diff, &subset, &norm)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(norm, "\n", ""); got != a.String() {
			t.Fatalf("the server writes %s, we %s", got, a)
		}
		d := a.Clone()
		d.Subtract(b)
		if !must(t, diff).Equal(d) || subset != a.SubsetOf(b) {
			t.Fatalf("a %s\nb %s\nserver: a-b %s, subset %v\nwe:     a-b %s, subset %v", a, b, diff, subset, d, a.SubsetOf(b))
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	s := new(Set)
	for i := range byte(100) {
		s.AddInterval(UUID{i}, "", Interval{1, 1000})
	}
	b.ReportAllocs()
	for i := range b.N {
		s.Add(UUID{50}, "", int64(1001+i))
	}
}
