package history

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

var rewrite = flag.Bool("rewrite", false, "write the outputs of the scripts anew")

// define returns a table with these columns.
func define(t testing.TB, db, name string, columns ...string) *ddl.Def {
	t.Helper()
	x := &schema.Table{Database: db, Name: name}
	for _, c := range columns {
		x.Columns = append(x.Columns, schema.Column{Name: c, Type: schema.TypeInt})
	}
	d, err := ddl.NewDef(x, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func show(v *Version) string {
	switch {
	case v == nil:
		return "unknown"
	case v.Gone():
		return fmt.Sprintf("%d gone", v.At)
	case v.Stopped != "":
		return fmt.Sprintf("%d stopped: %s", v.At, v.Stopped)
	}
	s := fmt.Sprintf("%d %s", v.At, v.Def.Table)
	for _, c := range v.Def.Table.Columns {
		s += " " + c.Name
	}
	return s
}

// script runs the commands of testdata/history: a line "> command" and its
// output below.
type script struct {
	t     *testing.T
	h     *History
	store map[string]offsets.Position
}

func (s *script) run(line string) string {
	f := strings.Fields(line)
	at := func(i int) Ordinal {
		n, err := strconv.ParseUint(f[i], 10, 64)
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		return Ordinal(n)
	}
	name := func(i int) ddl.Name {
		db, table, _ := strings.Cut(f[i], ".")
		return ddl.Name{Database: db, Table: table}
	}
	switch f[0] {
	case "put":
		n := name(1)
		s.h.Put(n.Database, n.Table, at(2), define(s.t, n.Database, n.Table, f[3:]...))
	case "drop":
		s.h.Drop(name(1).Database, name(1).Table, at(2))
	case "stop":
		s.h.Stop(name(1).Database, name(1).Table, at(2), strings.Join(f[3:], " "))
	case "rename":
		n := name(2)
		s.h.Rename(name(1), n, at(3), define(s.t, n.Database, n.Table, f[4:]...))
	case "database":
		s.h.PutDatabase(ddl.Database{Name: f[1], Charset: f[3], Collation: f[3] + "_bin"}, at(2))
	case "sql":
		return s.sql(at(1), strings.Join(f[2:], " "))
	case "get":
		return show(s.h.Lookup(name(1).Database, name(1).Table, at(2)))
	case "getdb":
		return fmt.Sprintln(s.h.Database(f[1], at(2)))
	case "names":
		return fmt.Sprint(s.h.Names(at(1)))
	case "prune":
		s.h.Prune(at(1))
	case "save":
		return s.save()
	case "restart":
		s.restart()
	default:
		s.t.Fatalf("unknown command %s", line)
	}
	return ""
}

func (s *script) sql(at Ordinal, text string) string {
	st, err := ddl.Parse(text, ddl.Context{Database: "d"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.h.Apply(ddl.Apply(st, s.h.View(at-1)), at, func(_, name string) bool { return !strings.HasPrefix(name, "_") })
	return ""
}

func (s *script) save() string {
	var b strings.Builder
	for _, e := range s.h.Changed() {
		if s.store[e.Key] = e.Pos; e.Pos == nil {
			delete(s.store, e.Key)
			e.Key = "-" + e.Key
		}
		fmt.Fprintln(&b, e.Key)
	}
	return b.String()
}

func (s *script) restart() {
	var entries []offsets.Entry
	for k, v := range s.store {
		entries = append(entries, offsets.Entry{Key: k, Pos: v})
	}
	h, err := Load(entries)
	if err != nil {
		s.t.Fatal(err)
	}
	s.h = h
}

func TestScript(t *testing.T) {
	const path = "testdata/history"
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, h: New(), store: map[string]offsets.Position{}}
	var got bytes.Buffer
	in := bufio.NewScanner(bytes.NewReader(want))
	for in.Scan() {
		line := in.Text()
		if strings.HasPrefix(line, "#") || line == "" {
			if fmt.Fprintln(&got, line); line == "# new" {
				s.h, s.store = New(), map[string]offsets.Position{}
			}
		}
		if cmd, ok := strings.CutPrefix(line, "> "); ok {
			fmt.Fprintln(&got, line)
			if out := strings.TrimSpace(s.run(cmd)); out != "" {
				fmt.Fprintln(&got, out)
			}
		}
	}
	if *rewrite {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got\n%s", got.Bytes())
	}
}

// TestRestartAnywhere puts in random versions, prunes and saves at random
// positions, and holds a restarted History against one that forgets nothing.
func TestRestartAnywhere(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	all, kept := New(), New()
	store := map[string]offsets.Position{}
	names := []string{"a", "b", "c/d", "é%", "\x00 ", "a.b"}
	pruned := Ordinal(0)
	for at := Ordinal(1); at < 400; at++ {
		n := names[r.IntN(len(names))]
		d := define(t, "x/y", n, fmt.Sprintf("c%d", at))
		for _, h := range []*History{all, kept} {
			switch at % 7 {
			case 0:
				h.Drop("x/y", n, at)
			case 1:
				h.Stop("x/y", n, at, "reason")
			default:
				h.Put("x/y", n, at, d)
			}
		}
		if r.IntN(10) == 0 {
			pruned = at - Ordinal(r.IntN(int(at-pruned)+1))
			kept.Prune(pruned)
		}
		if r.IntN(5) > 0 {
			continue
		}
		for _, e := range kept.Changed() {
			if store[e.Key] = e.Pos; e.Pos == nil {
				delete(store, e.Key)
			}
		}
		var entries []offsets.Entry
		for k, v := range store {
			entries = append(entries, offsets.Entry{Key: k, Pos: v})
		}
		var err error
		if kept, err = Load(entries); err != nil {
			t.Fatal(seed, err)
		}
		for from := pruned; from <= at; from++ {
			for _, n := range names {
				got, want := show(kept.Lookup("x/y", n, from)), show(all.Lookup("x/y", n, from))
				if strings.HasSuffix(want, " gone") && got == "unknown" {
					continue
				}
				if got != want {
					t.Fatalf("seed %d: %q at %d, pruned before %d: %s, want %s", seed, n, from, pruned, got, want)
				}
			}
		}
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct{ db, name, want string }{
		{"shop", "orders_2", "table/shop/orders_2"},
		{"a/b", "c%d", "table/a%2Fb/c%25d"},
		{"é", "x\x00 y", "table/%C3%A9/x%00%20y"},
	} {
		if got := TableKey(c.db, c.name); got != c.want || !Owns(got) {
			t.Errorf("got %s, want %s", got, c.want)
		}
		h := New()
		h.Put(c.db, c.name, 1, define(t, c.db, c.name, "a"))
		back, err := Load(h.Changed())
		if err != nil || back.Lookup(c.db, c.name, 1) == nil {
			t.Errorf("%s does not come back: %v", c.want, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	h := New()
	h.Put("d", "t", 3, define(t, "d", "t", "a"))
	h.Stop("d", "t", 5, "x")
	h.PutDatabase(ddl.Database{Name: "d", Charset: "latin1", Collation: "latin1_bin"}, 1)
	entries := h.Changed()
	if len(entries) != 2 {
		t.Fatal(entries)
	}
	for _, e := range entries {
		for i := range e.Pos {
			if _, err := Load([]offsets.Entry{{Key: e.Key, Pos: e.Pos[:i]}}); err == nil {
				t.Errorf("%d of %d bytes of %s are taken", i, len(e.Pos), e.Key)
			}
		}
		if _, err := Load([]offsets.Entry{{Key: e.Key, Pos: append(slices.Clone(e.Pos), 0)}}); err == nil {
			t.Errorf("a byte too much in %s is taken", e.Key)
		}
	}
	for _, key := range []string{"", "other", "table/d", "table/%zz/t", "table/d/%2", "database/%"} {
		if _, err := Load([]offsets.Entry{{Key: key, Pos: entries[0].Pos}}); err == nil {
			t.Errorf("key %q is taken", key)
		}
	}
	if _, err := Load([]offsets.Entry{{Key: "table/%/t"}}); !errors.Is(err, errKey) {
		t.Error(err)
	}
}
