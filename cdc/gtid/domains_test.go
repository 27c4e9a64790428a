package gtid

import (
	"testing"
)

func domains(t *testing.T, text string) *Domains {
	t.Helper()
	d, err := ParseDomains(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDomains(t *testing.T) {
	d := domains(t, "1-2-30, 0-7-18446744073709551615,4294967295-1-1")
	if got, want := d.String(), "0-7-18446744073709551615,1-2-30,4294967295-1-1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	back, rest, err := ParseDomainsBinary(append(d.AppendBinary(nil), 'x'))
	if err != nil || string(rest) != "x" || back.String() != d.String() {
		t.Errorf("binary form: %v, rest %q, %v", back, rest, err)
	}
	for _, bad := range []string{"1-2", "1-2-3-4", "a-1-1", "4294967296-1-1", "1--1", "-"} {
		if d, err := ParseDomains(bad); err == nil {
			t.Errorf("%q was read as %s", bad, d)
		}
	}
	for i, b := 0, d.AppendBinary(nil); i < len(b); i++ {
		if _, _, err := ParseDomainsBinary(b[:i]); err == nil {
			t.Errorf("%d of %d bytes are taken for whole", i, len(b))
		}
	}
}

func TestDomainsOrder(t *testing.T) {
	for _, c := range []struct{ a, b, missing string }{
		{"", "", ""},
		{"", "0-1-1", ""},
		{"0-1-1", "", "0-1-1"},
		{"0-1-5", "0-2-5", ""}, // another server went on with the number
		{"0-1-6,3-1-2", "0-2-5,3-1-9", "0-1-6"},
		{"0-1-1,2-1-1", "0-1-9", "2-1-1"},
	} {
		a, b := domains(t, c.a), domains(t, c.b)
		if got := a.Missing(b).String(); got != c.missing || a.Within(b) != (c.missing == "") {
			t.Errorf("%q beyond %q: %q, want %q", c.a, c.b, got, c.missing)
		}
	}
	d := domains(t, "0-1-5")
	before := d.Clone()
	d.Set(Last{0, 2, 6})
	d.Set(Last{9, 2, 1})
	if d.String() != "0-2-6,9-2-1" || before.String() != "0-1-5" {
		t.Errorf("got %s, and the copy %s", d, before)
	}
	if n := testing.AllocsPerRun(100, func() { d.Set(Last{0, 2, 7}) }); n != 0 {
		t.Errorf("a step of the log takes %v allocations", n)
	}
}
