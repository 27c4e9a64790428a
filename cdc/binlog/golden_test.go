package binlog

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// goldenTables are the tables of testdata/types.sql whose rows are inserted
// and not changed.
var goldenTables = []string{"ints", "bits", "decimals", "times", "texts", "binaries", "sets", "geometries", "vectors", "jsons"}

// record makes testdata/types.binlog and types.txt: the log of types.sql, and
// what the server says that the tables hold, one line for a row.
func recordGolden(t *testing.T) {
	s := live(t)
	sql, err := os.ReadFile("testdata/types.sql")
	if err != nil {
		t.Fatal(err)
	}
	s.exec("SET SESSION binlog_row_image = FULL")
	s.exec("SET GLOBAL binlog_row_metadata = FULL")
	log := s.record(func() { s.script(string(sql)) })
	var want strings.Builder
	for _, table := range goldenTables {
		for _, row := range s.oracle(table) {
			for i := range row {
				row[i] = shortened(row[i])
			}
			want.WriteString(table + "\t" + strings.Join(row, "\t") + "\n")
		}
	}
	s.exec("SET GLOBAL binlog_row_metadata = MINIMAL")
	minimal := s.record(func() { s.script("UPDATE texts SET c = 'x' WHERE id = 4;\nUPDATE ints SET y = 1999 WHERE id = 3;\n") })
	for name, b := range map[string][]byte{"types.binlog": log, "minimal.binlog": minimal, "types.txt": []byte(want.String())} {
		if err := os.WriteFile("testdata/"+name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// shortened stands for a long text in types.txt.
func shortened(s string) string {
	if len(s) <= 800 {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return fmt.Sprintf("%d bytes, %x", len(s), sum[:8])
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGolden compares every value of the recorded log with what the server
// said of it.
func TestGolden(t *testing.T) {
	if *update {
		recordGolden(t)
	}
	want := strings.Split(strings.TrimSuffix(string(golden(t, "types.txt")), "\n"), "\n")
	b := walk(t, golden(t, "types.binlog"))
	got := map[string][]*connect.Record{}
	for i := range b.Records {
		r := &b.Records[i]
		got[r.Table.Name] = append(got[r.Table.Name], r)
	}
	used := map[string]int{}
	for _, line := range want {
		fields := strings.Split(line, "\t")
		table := fields[0]
		n := used[table]
		used[table]++
		if n >= len(got[table]) {
			t.Fatalf("table %s: only %d rows decoded", table, n)
		}
		compare(t, got[table][n], fields[1:])
	}
	for _, table := range goldenTables {
		if len(got[table]) != used[table] || used[table] == 0 {
			t.Errorf("table %s: %d rows decoded, %d expected", table, len(got[table]), used[table])
		}
	}
}

func compare(t *testing.T, r *connect.Record, want []string) {
	t.Helper()
	if len(r.After) != len(want) {
		t.Fatalf("table %s: %d columns, expected %d", r.Table, len(r.After), len(want))
	}
	for i, v := range r.After {
		c := &r.Table.Columns[i]
		text := shortened(testText(v, c))
		if text != want[i] {
			t.Errorf("table %s, row %s, column %s: got %.200s, want %.200s", r.Table.Name, want[0], c.Name, text, want[i])
		}
	}
}

// TestGoldenOps looks at updates, deletes, moved keys and shapes.
func TestGoldenOps(t *testing.T) {
	b := walk(t, golden(t, "types.binlog"))
	var ops []string
	var shape *schema.Table
	for i := range b.Records {
		r := &b.Records[i]
		if r.Seq != uint64(i+1) {
			t.Fatalf("record %d has Seq %d", i, r.Seq)
		}
		if r.Table.Name != "keys1" {
			continue
		}
		shape = r.Table
		s := string(r.Op)
		for _, row := range []schema.Row{r.Before, r.After} {
			if row == nil {
				s += " -"
				continue
			}
			for j := range row[:4] {
				s += " " + string(row[j].AppendText(nil, nil))
			}
		}
		if r.Flags&connect.KeyMoved != 0 {
			s += " moved"
		}
		ops = append(ops, s)
	}
	want := []string{"c - 1 one 5 2", "c - 2 two 5 3", "c - 3 three 5 4", "u 1 one 5 2 1 one 6 2",
		"d 3 three 5 4 - moved", "c - 13 three 5 14 moved", "d 2 two 5 3 - moved", "c - 12 two 5 13 moved", "d 12 two 5 13 -"}
	if strings.Join(ops, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(ops, "\n"), strings.Join(want, "\n"))
	}
	if !shape.Primary || len(shape.Key) != 2 || shape.Key[0] != 1 || shape.Key[1] != 0 || !shape.Columns[2].Invisible || !shape.UniqueUnknown {
		t.Errorf("shape of keys1: %+v", shape)
	}
}

// TestDecodeTwice decodes the same log into a used batch and compares.
func TestDecodeTwice(t *testing.T) {
	log := golden(t, "types.binlog")
	a, b := walk(t, log), walk(t, bytes.Clone(log))
	for i := range a.Records {
		if !a.Records[i].After.Equal(b.Records[i].After) || !a.Records[i].Before.Equal(b.Records[i].Before) {
			t.Fatalf("record %d of table %s differs", i, a.Records[i].Table)
		}
	}
}
