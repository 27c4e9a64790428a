package binlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/literals"
	"github.com/towline/towline/schema"
)

// TestRandomLive writes random rows and compares every value with what the
// server says that it is, with and without names in the log.
func TestRandomLive(t *testing.T) {
	s := live(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var ddl strings.Builder
	for i, c := range literals.Types {
		fmt.Fprintf(&ddl, ", c%d %s", i, c.SQL)
	}
	s.exec("CREATE TABLE rnd (id INT PRIMARY KEY" + ddl.String() + ")")
	s.exec("CREATE TABLE docs (id INT PRIMARY KEY, j JSON, f DOUBLE)")
	s.exec("SET GLOBAL binlog_row_metadata = FULL")
	defer s.exec("SET GLOBAL binlog_row_metadata = MINIMAL")
	log := s.record(func() {
		for id := range 120 {
			row := []string{strconv.Itoa(id)}
			for _, c := range literals.Types {
				lit := "NULL"
				if r.IntN(8) > 0 {
					lit = c.Literal(r)
				}
				row = append(row, lit)
			}
			s.exec("INSERT IGNORE INTO rnd VALUES (" + strings.Join(row, ", ") + ")")
		}
		for id := range 1500 {
			s.exec(fmt.Sprintf("INSERT INTO docs VALUES (%d, %s, %s)", id, literals.JSON(r, 5), strconv.FormatFloat(literals.Float(r), 'e', -1, 64)))
		}
	})
	b := walk(t, log)
	for _, table := range []string{"rnd", "docs"} {
		want := s.oracle(table)
		recs := slices.DeleteFunc(slices.Clone(b.Records), func(r connect.Record) bool { return r.Table.Name != table })
		if len(recs) != len(want) {
			t.Fatalf("table %s: %d records, %d rows", table, len(recs), len(want))
		}
		for i := range recs {
			compare(t, &recs[i], mapped(want[i]))
		}
	}
	if t.Failed() {
		return
	}
	minimalLive(t, s, b)
}

func mapped(row []string) []string {
	out := slices.Clone(row)
	for i := range out {
		out[i] = shortened(out[i])
	}
	return out
}

// minimalLive deletes all rows again, without names in the log: the images
// must be those of the inserts.
func minimalLive(t *testing.T, s *server, inserted *connect.Batch) {
	s.exec("SET GLOBAL binlog_row_metadata = MINIMAL")
	s.exec("SET SESSION binlog_transaction_compression = ON")
	log := s.record(func() { s.exec("DELETE FROM rnd"); s.exec("DELETE FROM docs") })
	shapes := map[string]*schema.Table{}
	for i := range inserted.Records {
		shapes[inserted.Records[i].Table.Name] = inserted.Records[i].Table
	}
	w := walker{t: t}
	w.planFor = func(m *TableMap) (*Plan, error) { return NewPlan(m, shapes[m.Name]) }
	events(t, log, w.event)
	if len(w.batch.Records) != len(inserted.Records) {
		t.Fatalf("%d deletes, %d inserts", len(w.batch.Records), len(inserted.Records))
	}
	for i := range w.batch.Records {
		a, b := &w.batch.Records[i], &inserted.Records[i]
		if a.Op != connect.OpDelete || !a.Before.Equal(b.After) {
			t.Fatalf("record %d of table %s: deleted and inserted row differ", i, a.Table)
		}
	}
	if bytes.Contains(log, []byte("docs")) {
		t.Error("the log is not compressed")
	}
}
