package faults

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/towline/towline/connect"
)

// entry is a line of the ledger.
type entry struct {
	Topic string          `json:"topic"`
	Seq   uint64          `json:"seq,string"`
	Key   json.RawMessage `json:"key"`
	Value struct {
		Op     string `json:"op"`
		Source struct {
			Table string `json:"table"`
		} `json:"source"`
	} `json:"value"`
}

// checkLedger looks for changes that came twice or out of order.
//
// gaps says that changes may be missing: those of a table without a key that
// its copy contains.
func checkLedger(t *testing.T, path string, gaps bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := map[uint64]bool{}
	last := map[string]uint64{}
	reads := map[string]uint64{}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 64<<20)
	n := 0
	for sc.Scan() {
		n++
		var e entry
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			t.Fatalf("line %d of the ledger: %v: %.200s", n, err, sc.Bytes())
		}
		key := e.Value.Source.Table + string(e.Key)
		switch e.Value.Op {
		case "c", "u", "d":
			if seen[e.Seq] {
				t.Fatalf("line %d: change %d came twice", n, e.Seq)
			}
			seen[e.Seq] = true
			if len(e.Key) > 0 && string(e.Key) != "null" && e.Seq <= last[key] {
				t.Fatalf("line %d: change %d of %s came after %d", n, e.Seq, key, last[key])
			}
			last[key] = e.Seq
		case "r":
			if e.Seq < last[key] {
				t.Fatalf("line %d: a row read at %d came after change %d of %s", n, e.Seq, last[key], key)
			}
			reads[fmt.Sprint(key, e.Seq)]++
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	if len(seen) == 0 {
		t.Fatal("the ledger has no changes")
	}
	// Seq counts every captured change without a gap, over all epochs. What was
	// delivered of a transaction that another server then had to send again counts
	// once.
	var lo, hi uint64
	counts := map[uint64]bool{}
	for s := range seen {
		s &= 1<<connect.SeqEpochShift - 1
		counts[s] = true
		if lo == 0 || s < lo {
			lo = s
		}
		hi = max(hi, s)
	}
	if want := hi - lo + 1; !gaps && uint64(len(counts)) != want {
		t.Fatalf("the ledger has %d changes from %d to %d, want %d", len(counts), lo, hi, want)
	}
	t.Logf("ledger: %d lines, %d changes, each once", n, len(seen))
}
