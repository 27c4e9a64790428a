package binlog

import (
	"os"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/towline/towline/connect"
)

// TestRecordBench makes testdata/bench.binlog from bench.sql.
func TestRecordBench(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	s := live(t)
	sql, err := os.ReadFile("testdata/bench.sql")
	if err != nil {
		t.Fatal(err)
	}
	s.exec("SET GLOBAL binlog_row_metadata = FULL")
	defer s.exec("SET GLOBAL binlog_row_metadata = MINIMAL")
	log := s.record(func() { s.script(string(sql)) })
	if err := os.WriteFile("testdata/bench.binlog", log, 0o644); err != nil {
		t.Fatal(err)
	}
}

// recorded is what the log has of one table.
type recorded struct {
	format, tableMap []byte
	rows             [][]byte
	count, size      int // rows, and bytes of their events
}

func record(t testing.TB, table string) *recorded {
	t.Helper()
	var r recorded
	var maps TableMaps
	events(t, golden(t, "bench.binlog"), func(h Header, format *Format, event []byte) {
		body, _ := format.Body(event)
		switch {
		case h.Type == FormatDescriptionEvent:
			r.format = event
		case h.Type == TableMapEvent:
			if m, err := maps.Put(body); err != nil {
				t.Fatal(err)
			} else if m.Name == table {
				r.tableMap = event
			}
		case h.Type.IsRows():
			ev, err := ParseRows(h.Type, body)
			if err != nil {
				t.Fatal(err)
			}
			if maps.Get(ev.TableID).Name == table {
				r.rows = append(r.rows, event)
				r.size += len(event)
			}
		}
	})
	if r.tableMap == nil || len(r.rows) == 0 {
		t.Fatalf("no rows of %s in the log", table)
	}
	return &r
}

// decoder returns a function that decodes all row events of r, as a source does, each into an empty
// batch, and returns the number of records.
func (r *recorded) decoder(t testing.TB) func() int {
	t.Helper()
	format, err := ParseFormat(r.format)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := format.Body(r.tableMap)
	var maps TableMaps
	m, err := maps.Put(body)
	if err != nil {
		t.Fatal(err)
	}
	table, err := m.Shape()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := NewPlan(m, table)
	if err != nil {
		t.Fatal(err)
	}
	var b connect.Batch
	var st Stamp
	return func() int {
		n := 0
		if _, err := maps.Put(body); err != nil {
			t.Fatal(err)
		}
		for _, event := range r.rows {
			b.Reset()
			h, err := ParseHeader(event)
			if err != nil {
				t.Fatal(err)
			}
			body, err := format.Body(event)
			if err != nil {
				t.Fatal(err)
			}
			ev, err := ParseRows(h.Type, body)
			if err != nil {
				t.Fatal(err)
			}
			if err := plan.DecodeRows(&b, &ev, &st); err != nil {
				t.Fatal(err)
			}
			n += len(b.Records)
		}
		return n
	}
}

// goMySQL decodes the same with go-mysql.
func (r *recorded) goMySQL(t testing.TB) func() int {
	t.Helper()
	p := replication.NewBinlogParser()
	p.SetRenderJSONAsMySQLText(true)
	for _, event := range [][]byte{r.format, r.tableMap} {
		if _, err := p.Parse(event); err != nil {
			t.Fatal(err)
		}
	}
	return func() int {
		n := 0
		if _, err := p.Parse(r.tableMap); err != nil { // it forgets tables at the end of a statement
			t.Fatal(err)
		}
		for _, event := range r.rows {
			e, err := p.Parse(event)
			if err != nil {
				t.Fatal(err)
			}
			n += len(e.Event.(*replication.RowsEvent).Rows)
		}
		return n
	}
}

// TestNoAllocations: a warm batch takes rows of every type without allocating.
func TestNoAllocations(t *testing.T) {
	for _, table := range []string{"sb", "narrow", "wide"} {
		decode := record(t, table).decoder(t)
		if n := testing.AllocsPerRun(20, func() { decode() }); n != 0 {
			t.Errorf("table %s: %v allocations", table, n)
		}
	}
}
