package jdbc

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(mysqltest.Main(m)) }

// newTestSink makes a sink of a configuration for a lane; args are options
// and their values.
func newTestSink(t testing.TB, url string, lane, lanes int, args ...string) *Sink {
	t.Helper()
	p := Plugin()
	values := map[string]string{"connection.url": url}
	for i := 0; i < len(args); i += 2 {
		values[args[i]] = args[i+1]
	}
	for i := range p.Options {
		if err := p.Options[i].Validate(values[p.Options[i].Name]); err != nil {
			t.Fatalf("%s: %v", p.Options[i].Name, err)
		}
	}
	s, err := p.Sink(connect.NewConfig("test", p.Options, values), connect.Env{Connector: "test", Lane: lane, Lanes: lanes, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.(*Sink).least = 1
	return s.(*Sink)
}

// openTest opens a sink of one lane and closes it at the end.
func openTest(t testing.TB, url string, args ...string) *Sink {
	t.Helper()
	s := newTestSink(t, url, 0, 1, args...)
	open(t, s)
	return s
}

func open(t testing.TB, s *Sink) []offsets.Entry {
	t.Helper()
	entries, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return entries
}

// feed numbers records as a log would, one message each.
type feed struct{ next int64 }

// write sends records with the State behind them.
func (f *feed) write(t testing.TB, s *Sink, recs ...connect.Record) {
	t.Helper()
	if err := f.try(s, recs...); err != nil {
		t.Fatal(err)
	}
}

func (f *feed) try(s *Sink, recs ...connect.Record) error {
	b := f.batch(recs...)
	b.State = state(f.next)
	return s.Write(context.Background(), b)
}

func (f *feed) batch(recs ...connect.Record) *connect.Batch {
	for i := range recs {
		recs[i].Offset, recs[i].Topic = f.next, "topic"
		f.next++
	}
	return &connect.Batch{Records: recs}
}

func state(offset int64) []offsets.Entry {
	return []offsets.Entry{{Key: offsets.MarkKey("topic", 0), Pos: offsets.Mark{Offset: offset}.Position()}}
}

func insert(t *schema.Table, row ...any) connect.Record {
	return connect.Record{Op: connect.OpInsert, Table: t, After: rowOf(t, row)}
}

func remove(t *schema.Table, row ...any) connect.Record {
	return connect.Record{Op: connect.OpDelete, Table: t, Before: rowOf(t, row)}
}

// update takes the row before and the row after, one after the other.
func update(t *schema.Table, rows ...any) connect.Record {
	n := len(rows) / 2
	return connect.Record{Op: connect.OpUpdate, Table: t, Before: rowOf(t, rows[:n]), After: rowOf(t, rows[n:])}
}

func rowOf(t *schema.Table, values []any) schema.Row {
	if len(values) != len(t.Columns) {
		panic("a row of another table")
	}
	row := make(schema.Row, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case int:
			row[i] = schema.MakeInt(int64(v))
		case string:
			row[i] = schema.MakeString(v)
		case schema.Value:
			row[i] = v
		}
	}
	return row
}

// shapeOf reads the shape of a table, and gives it another database.
func shapeOf(t testing.TB, db *sql.DB, database, table, as string) *schema.Table {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := catalog.Prepare(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	s, err := catalog.Table(t.Context(), conn, database, table)
	if err != nil {
		t.Fatal(err)
	}
	c := *s
	c.Database = as
	out, err := schema.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// readRows reads all rows of a table as values, ordered by the first column.
func readRows(t testing.TB, db *sql.DB, database string, shape *schema.Table) []schema.Row {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "SET time_zone = '+00:00', NAMES utf8mb4"); err != nil {
		t.Fatal(err)
	}
	var exprs []string
	for i := range shape.Columns {
		c := &shape.Columns[i]
		e := quoted(c.Name)
		switch c.Type {
		case schema.TypeEnum, schema.TypeSet, schema.TypeBit:
			e = "CAST(" + e + " AS UNSIGNED)"
		case schema.TypeFloat:
			e += "*1e0" // all digits, and the sign of zero
		case schema.TypeGeometry, schema.TypeVector:
			e = "CAST(" + e + " AS BINARY)"
		}
		exprs = append(exprs, e)
	}
	rows, err := conn.QueryContext(t.Context(), "SELECT "+strings.Join(exprs, ", ")+" FROM "+name{database, shape.Name}.quoted()+" ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []schema.Row
	for rows.Next() {
		cells, ptrs := make([]sql.RawBytes, len(exprs)), make([]any, len(exprs))
		for i := range cells {
			ptrs[i] = &cells[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			t.Fatal(err)
		}
		row := make(schema.Row, len(exprs))
		for i := range cells {
			if cells[i] != nil {
				row[i] = valueOf(t, &shape.Columns[i], []byte(string(cells[i])))
			}
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func valueOf(t testing.TB, c *schema.Column, b []byte) (v schema.Value) {
	t.Helper()
	s := string(b)
	var err error
	num := func() (n uint64) { n, err = strconv.ParseUint(s, 10, 64); return n }
	switch typ := c.Type; {
	case typ.IsInteger() && c.Unsigned:
		v = schema.MakeUint(num())
	case typ.IsInteger():
		var n int64
		n, err = strconv.ParseInt(s, 10, 64)
		v = schema.MakeInt(n)
	case typ == schema.TypeFloat:
		var f float64
		f, err = strconv.ParseFloat(s, 64)
		v = schema.MakeFloat32(float32(f))
	case typ == schema.TypeDouble:
		var f float64
		f, err = strconv.ParseFloat(s, 64)
		v = schema.MakeFloat64(f)
	case typ == schema.TypeDecimal:
		v, err = schema.ParseDecimal(b, c.Precision, c.Scale)
	case typ == schema.TypeBit:
		v = schema.MakeNum(schema.Bit, num())
	case typ == schema.TypeYear:
		v = schema.MakeNum(schema.Year, num())
	case typ == schema.TypeEnum:
		v = schema.MakeNum(schema.Enum, num())
	case typ == schema.TypeSet:
		v = schema.MakeNum(schema.Set, num())
	case typ.IsText():
		v = schema.MakeBytes(schema.String, b)
	case typ.IsBinary():
		v = schema.MakeBytes(schema.Bytes, b)
	case typ == schema.TypeJSON:
		v = schema.MakeBytes(schema.JSON, b)
	case typ == schema.TypeGeometry:
		v = schema.MakeBytes(schema.Geometry, b)
	case typ == schema.TypeVector:
		v = schema.MakeBytes(schema.Vector, b)
	default:
		v = temporalOf(t, c, s)
	}
	if err != nil {
		t.Fatalf("column %s: %v", c.Name, err)
	}
	return v
}

func temporalOf(t testing.TB, c *schema.Column, s string) schema.Value {
	t.Helper()
	body, frac, _ := strings.Cut(s, ".")
	micro, _ := strconv.Atoi((frac + "000000")[:6])
	var civil schema.Civil
	if c.Type == schema.TypeTime {
		neg := strings.HasPrefix(body, "-")
		var h, m, sec int64
		if _, err := fmt.Sscanf(strings.TrimPrefix(body, "-"), "%d:%d:%d", &h, &m, &sec); err != nil {
			t.Fatal(err)
		}
		us := (h*3600+m*60+sec)*1e6 + int64(micro)
		if neg {
			us = -us
		}
		return schema.MakeTime(us, c.Scale)
	}
	n, _ := fmt.Sscanf(body, "%d-%d-%d %d:%d:%d", &civil.Year, &civil.Month, &civil.Day, &civil.Hour, &civil.Minute, &civil.Second)
	if n != 3 && n != 6 {
		t.Fatalf("%q is no date", s)
	}
	civil.Micro = micro
	switch c.Type {
	case schema.TypeDate:
		return schema.MakeDate(civil.Year, civil.Month, civil.Day)
	case schema.TypeDateTime:
		return schema.MakeDateTime(civil, c.Scale)
	}
	if civil.Month == 0 {
		return schema.MakeTimestamp(0, c.Scale)
	}
	us, _ := schema.MakeDateTime(civil, 6).EpochMicros()
	return schema.MakeTimestamp(us, c.Scale)
}

// same fails unless the target has exactly the rows wanted.
func same(t testing.TB, got, want []schema.Row, shape *schema.Table) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		for j := range want[i] {
			if !got[i][j].Equal(want[i][j]) {
				c := &shape.Columns[j]
				t.Errorf("row %d, column %s (%s): %q, want %q", i, c.Name, c.Type, got[i][j].AppendText(nil, c), want[i][j].AppendText(nil, c))
			}
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}
