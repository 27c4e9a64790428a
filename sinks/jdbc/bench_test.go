package jdbc

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

// sbtest is a table as load generators use it, with a few more types.
func sbtest(t testing.TB) *schema.Table {
	text := func(name string, n int) schema.Column {
		return schema.Column{Name: name, Type: schema.TypeVarchar, Length: n, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"}
	}
	return mustTable(t, &schema.Table{Database: "shop", Name: "sbtest", Key: []int{0}, Primary: true, Columns: []schema.Column{
		{Name: "id", Type: schema.TypeBigInt}, {Name: "k", Type: schema.TypeInt}, text("c", 120), text("pad", 60),
		{Name: "d", Type: schema.TypeDecimal, Precision: 10, Scale: 2}, {Name: "t", Type: schema.TypeDateTime, Scale: 6}, {Name: "j", Type: schema.TypeJSON}}})
}

func sbRow(id int) schema.Row {
	return schema.Row{schema.MakeInt(int64(id)), schema.MakeInt(int64(id * 7)), schema.MakeString(sbC), schema.MakeString(sbPad),
		schema.MakeDecimal(int64(id), 2), schema.MakeDateTime(schema.Civil{Year: 2026, Month: 1, Day: 2, Hour: 3, Minute: 4, Second: 5, Micro: id % 1000000}, 6),
		schema.MakeBytes(schema.JSON, []byte(`{"a": 1, "b": [1, 2, 3], "c": "text"}`))}
}

var (
	sbC   = strings.Repeat("1234567890-", 10) + "123456789"
	sbPad = strings.Repeat("0987654321-", 5) + "1234"
)

// builder is a sink that builds statements and sends none.
func builder(t testing.TB, table *schema.Table) (*Sink, *group) {
	p := Plugin()
	set, _, faults := readSettings(connect.NewConfig("x", p.Options, map[string]string{"connection.url": "jdbc:mysql://h/db"}))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	def, err := ddl.NewDef(mustCopy(t, table), []ddl.Index{{Name: "PRIMARY", Primary: true, Unique: true, Parts: []ddl.Part{{Column: "id"}}}})
	if err != nil {
		t.Fatal(err)
	}
	rt, err := newRoute(name{"db", table.Name}, table, table.Key, &shape{def: def}, set, &charsets{})
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{set: set, main: &session{maxPacket: 64 << 20}, env: connect.Env{Logger: slog.New(slog.DiscardHandler)}}
	return s, newGroup(rt)
}

func mustCopy(t testing.TB, x *schema.Table) *schema.Table {
	c := *x
	return mustTable(t, &c)
}

func TestStatementsTakeNoMemory(t *testing.T) {
	table := sbtest(t)
	s, g := builder(t, table)
	recs := make([]connect.Record, 1000)
	for i := range recs {
		recs[i] = connect.Record{Op: connect.OpInsert, Table: table, After: sbRow(i / 2)}
		if i%5 == 4 {
			recs[i] = connect.Record{Op: connect.OpDelete, Table: table, Before: sbRow(i)}
		}
	}
	ctx := t.Context()
	run := func() {
		g.reset()
		s.packet.reset()
		for i := range recs {
			if err := g.add(i, &recs[i], modeUpsert); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.byKey(ctx, g); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations for %d records", n, len(recs))
	}
}

// eventsBuilder is a builder whose rows go as events.
func eventsBuilder(t testing.TB, table *schema.Table) (*Sink, *group, []int32) {
	s, g := builder(t, table)
	def, err := ddl.NewDef(mustCopy(t, table), []ddl.Index{{Name: "PRIMARY", Primary: true, Unique: true, Parts: []ddl.Part{{Column: "id"}}}})
	if err != nil {
		t.Fatal(err)
	}
	def.Engine = "InnoDB"
	g.route.direct.events = newRowEvents(g.route, def, "PRIMARY", &charsets{})
	list := make([]int32, 1000)
	for i := range list {
		list[i] = int32(i)
		if err := g.add(i, &connect.Record{Op: connect.OpInsert, Table: table, After: sbRow(i)}, modeUpsert); err != nil {
			t.Fatal(err)
		}
	}
	return s, g, list
}

func buildEvents(t testing.TB, s *Sink, g *group, list []int32) {
	s.events.reset()
	s.packet.reset()
	for _, kind := range []byte{writeEvent, updateEvent} {
		if err := s.putEvents(t.Context(), g, modeStrict, kind, list); err != nil {
			t.Fatal(err)
		}
	}
	s.packet.buf = s.events.appendStatement(s.packet.buf)
}

func TestRowEventsTakeNoMemory(t *testing.T) {
	s, g, list := eventsBuilder(t, sbtest(t))
	run := func() { buildEvents(t, s, g, list) }
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations for %d rows", n, 2*len(list))
	}
}

func BenchmarkRowEvents(b *testing.B) {
	s, g, list := eventsBuilder(b, sbtest(b))
	b.ReportAllocs()
	for b.Loop() {
		buildEvents(b, s, g, list)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N*len(list)), "ns/row")
}

func BenchmarkStatement(b *testing.B) {
	table := sbtest(b)
	s, g := builder(b, table)
	recs := make([]connect.Record, 2000)
	for i := range recs {
		recs[i] = connect.Record{Op: connect.OpInsert, Table: table, After: sbRow(i)}
	}
	b.ReportAllocs()
	for b.Loop() {
		g.reset()
		s.packet.reset()
		for i := range recs {
			_ = g.add(i, &recs[i], modeUpsert)
		}
		if err := s.byKey(b.Context(), g); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(recs)), "ns/row")
}

// BenchmarkApply writes rows of sbtest: inserts into an empty table, updates of
// two of their columns, deletes. Beside the rows per second it reports what
// a million rows cost the server in seconds of its processor, which is what
// bounds both on a machine that they share.
func BenchmarkApply(b *testing.B) {
	srv := mysqltest.Shared(b)
	const rows, perBatch = 100000, 16000
	for _, way := range []struct {
		name  string
		least int
	}{{"statements", math.MaxInt}, {"events", minEvents}} {
		for _, lanes := range []int{1, 4} {
			b.Run(fmt.Sprintf("%s/lanes=%d", way.name, lanes), func(b *testing.B) {
				for b.Loop() {
					db := srv.CreateDB(b)
					sinks := make([]*Sink, lanes)
					for i := range sinks {
						sinks[i] = newTestSink(b, srv.DSN(db), i, lanes)
						open(b, sinks[i])
						sinks[i].least = way.least
					}
					table := sbtest(b)
					var f feed
					f.write(b, sinks[0], connect.Record{Op: connect.OpSchema, Table: table})
					for _, op := range []connect.Op{connect.OpInsert, connect.OpUpdate, connect.OpDelete} {
						before, cpu := b.Elapsed(), serverCPU(b, srv)
						applyAll(b, sinks, table, op, rows, perBatch)
						b.ReportMetric(float64(rows)/(b.Elapsed()-before).Seconds(), string(op)+"-rows/s")
						b.ReportMetric((serverCPU(b, srv)-cpu)/rows*1e6, string(op)+"-server-s/M")
					}
				}
			})
		}
	}
	b.Run("prepared", func(b *testing.B) {
		for b.Loop() {
			naive(b, srv, srv.CreateDB(b), 10000, perBatch)
		}
	})
}

// serverCPU returns the seconds that a server's processor has worked for it, 0
// for one that is not ours.
func serverCPU(b *testing.B, srv *mysqltest.Server) float64 {
	pid, err := os.ReadFile(filepath.Join(filepath.Dir(srv.DataDir()), "mysqld.pid"))
	if err != nil {
		return 0
	}
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	var user, system int
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	return float64(user+system) / 100
}

func applyAll(b *testing.B, sinks []*Sink, table *schema.Table, op connect.Op, rows, perBatch int) {
	var wg sync.WaitGroup
	for lane, s := range sinks {
		wg.Go(func() {
			recs := make([]connect.Record, 0, perBatch)
			for id := lane; id < rows; id += len(sinks) {
				r := connect.Record{Op: op, Table: table}
				if op != connect.OpInsert {
					r.Before = sbRow(id)
				}
				if op != connect.OpDelete {
					r.After = sbRow(id)
					if op == connect.OpUpdate {
						r.After[1], r.After[4] = schema.MakeInt(int64(id)), schema.MakeDecimal(int64(id+1), 2)
					}
				}
				recs = append(recs, r)
				if len(recs) == perBatch/len(sinks) || id+len(sinks) >= rows {
					if err := s.Write(b.Context(), &connect.Batch{Records: recs, State: state(int64(id))}); err != nil {
						b.Error(err)
						return
					}
					recs = recs[:0]
				}
			}
		})
	}
	wg.Wait()
}

// naive writes the same rows one by one by prepared statements.
func naive(b *testing.B, srv *mysqltest.Server, db string, rows, perBatch int) {
	srv.Exec(b, "CREATE TABLE "+db+".sbtest (id bigint primary key, k int, c varchar(120), pad varchar(60), d decimal(10,2), t datetime(6), j json)")
	conn, err := sql.Open("mysql", srv.DSN(db))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	for _, op := range []string{"c", "u"} {
		before := b.Elapsed()
		for id := 0; id < rows; {
			tx, err := conn.Begin()
			if err != nil {
				b.Fatal(err)
			}
			stmt, err := tx.Prepare("INSERT INTO sbtest VALUES (?,?,?,?,?,?,?) AS n ON DUPLICATE KEY UPDATE k=n.k, c=n.c, pad=n.pad, d=n.d, t=n.t, j=n.j")
			if err != nil {
				b.Fatal(err)
			}
			for range perBatch {
				if _, err := stmt.Exec(id, id*7+len(op), sbC, sbPad, "1.23", "2026-01-02 03:04:05.000006", `{"a": 1, "b": [1, 2, 3], "c": "text"}`); err != nil {
					b.Fatal(err)
				}
				if id++; id == rows {
					break
				}
			}
			if err := tx.Commit(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(rows)/(b.Elapsed()-before).Seconds(), op+"-rows/s")
	}
}
