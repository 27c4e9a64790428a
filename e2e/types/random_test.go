package pairs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/towline/towline/e2e/literals"
	"github.com/towline/towline/e2e/mysqltest"
)

// TestRandomPairs sends random rows of tables of random columns on both ways.
// They are the same each time, so that a run that fails tells of what has changed;
// TOWLINE_TEST_SEED sets others.
func TestRandomPairs(t *testing.T) {
	src, dst := mysqltest.Start(t), mysqltest.Shared(t)
	seed := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("TOWLINE_TEST_SEED"), 10, 64); err == nil {
		seed = n
	}
	for _, metadata := range []string{"MINIMAL", "FULL"} {
		t.Run(metadata, func(t *testing.T) {
			t.Logf("seed %d", seed)
			src.Exec(t, "SET GLOBAL binlog_row_metadata = "+metadata)
			r := &run{rig: newRig(t, src, dst, map[string]string{"snapshot.fetch.size": "7"}), set: map[string]*fixture{}}
			r.fixtures = randomFixtures(rand.New(rand.NewPCG(seed, 1)), 16)
			for i := range r.fixtures {
				r.set[r.fixtures[i].name] = &r.fixtures[i]
			}
			r.all(t)
		})
	}
}

// randomFixtures returns n tables, with a key of one or of more columns, or none.
func randomFixtures(r *rand.Rand, n int) (list []fixture) {
	for i := range n {
		f := fixture{name: fmt.Sprint("random", i), full: true, keys: "-"}
		var columns []string
		var types []literals.Type
		var filled []bool
		key := "id"
		for c, k := range r.Perm(len(literals.Types))[:1+r.IntN(12)] {
			typ := literals.Types[k]
			text := fmt.Sprintf("c%d %s", c, typ.SQL)
			full := r.IntN(3) == 0 && !strings.HasSuffix(typ.SQL, "NULL")
			if full {
				text += " NOT NULL"
				if indexable(typ.SQL) {
					key += fmt.Sprint(", c", c)
				}
			}
			columns, types, filled = append(columns, text), append(types, typ), append(filled, full)
			// A JSON text has no decimals, dates and bytes of its own, see jsonFixtures.
			f.sourceOnly = f.sourceOnly || typ.SQL == "JSON"
		}
		f.columns = strings.Join(columns, ", ")
		switch r.IntN(4) {
		case 0, 1:
			f.keys = "PRIMARY KEY (id)"
		case 2:
			f.keys = "PRIMARY KEY (" + key + ")"
		}
		for range 1 + r.IntN(20) {
			row := make([]string, len(types))
			for c, typ := range types {
				if row[c] = typ.Literal(r); !filled[c] && r.IntN(6) == 0 {
					row[c] = "NULL"
				}
			}
			f.rows = append(f.rows, strings.Join(row, ", "))
		}
		list = append(list, f)
	}
	return list
}

// indexable reports whether columns of a type may be whole in a key.
func indexable(typ string) bool {
	for _, kind := range []string{"TEXT", "BLOB", "JSON", "GEOMETRY", "VECTOR", "VARCHAR(500)", "FLOAT", "DOUBLE"} {
		if strings.Contains(typ, kind) {
			return false
		}
	}
	return true
}
