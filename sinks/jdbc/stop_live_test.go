package jdbc

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

// stopRig is a source database with tables, and lanes of a sink that may stop
// them.
type stopRig struct {
	t       *testing.T
	db      *sql.DB
	url     string
	src, to string
	lanes   []*Sink
	feeds   feed
	told    []string // by Report
	dropped int
	args    []string
	never   string // why no table may be stopped
}

func newStopRig(t *testing.T, lanes int, args ...string) *stopRig {
	srv := mysqltest.Shared(t)
	r := &stopRig{t: t, db: srv.DB(), src: srv.CreateDB(t), to: srv.CreateDB(t), args: args, lanes: make([]*Sink, lanes)}
	r.url = srv.DSN(r.to)
	return r
}

// reopen is what follows a kill: all lanes begin with what the target has.
func (r *stopRig) reopen() {
	r.t.Helper()
	for i := range r.lanes {
		if r.lanes[i] != nil {
			_ = r.lanes[i].Close()
		}
		s := newTestSink(r.t, r.url, i, len(r.lanes), r.args...)
		s.env.Report = func(st connect.TableStatus) {
			r.told = append(r.told, fmt.Sprint(strings.TrimPrefix(st.Table, r.src+"."), " ", st.State))
			if st.State == connect.TableStopped && (!strings.Contains(st.Reason, "towline snapshot start '"+r.src+`\.`) || st.Reason == "") {
				r.t.Errorf("reason %q does not say how to go on", st.Reason)
			}
		}
		s.env.Drop = func(_ string, n int) { r.dropped += n }
		s.env.MayStop = func(context.Context, string) (string, error) { return r.never, nil }
		open(r.t, s)
		r.lanes[i] = s
	}
}

// table makes a table at the source and, with to, one of the target's own.
func (r *stopRig) table(name, def, to string) *schema.Table {
	r.t.Helper()
	mustExec(r.t, r.db, "CREATE TABLE "+r.src+"."+name+" "+def)
	if to != "" {
		mustExec(r.t, r.db, "CREATE TABLE "+r.to+"."+name+" "+to)
	}
	return shapeOf(r.t, r.db, r.src, name, r.src)
}

func mustExec(t testing.TB, db *sql.DB, stmt string) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), stmt); err != nil {
		t.Fatalf("%s: %v", stmt, err)
	}
}

// rows fails unless a table of the target has so many rows, -1: is not there.
func (r *stopRig) rows(table string, want int) {
	r.t.Helper()
	got := -1
	if err := r.db.QueryRow("SELECT COUNT(*) FROM " + r.to + "." + table).Scan(&got); err != nil && !isCode(err, errNoTable) {
		r.t.Fatal(err)
	}
	if got != want {
		r.t.Errorf("%s has %d rows, want %d", table, got, want)
	}
}

// stops fails unless these are the tables that the target knows as stopped.
func (r *stopRig) stops(want string) {
	r.t.Helper()
	var got string
	err := r.db.QueryRow("SELECT COALESCE(GROUP_CONCAT(target_table, ' ', state ORDER BY target_table), '') FROM " + r.to + "._towline_offsets_stopped").Scan(&got)
	if err != nil && !isCode(err, errNoTable) {
		r.t.Fatal(err)
	}
	if got != want {
		r.t.Errorf("stopped are %q, want %q", got, want)
	}
}

func (r *stopRig) heard(want ...string) {
	r.t.Helper()
	if got := strings.Join(r.told, ", "); got != strings.Join(want, ", ") {
		r.t.Errorf("reported are %q, want %q", got, want)
	}
	r.told = nil
}

func told(t *schema.Table, f connect.Flags) connect.Record {
	return connect.Record{Op: connect.OpSchema, Flags: f, Table: t}
}

func truncated(t *schema.Table, f connect.Flags) connect.Record {
	return connect.Record{Op: connect.OpTruncate, Flags: f, Table: t}
}

// A table that cannot be written to holds up no other, whatever it is that is
// wrong, and stays stopped after a kill.
func TestOneTableStopsAlone(t *testing.T) {
	good, long := "(id INT PRIMARY KEY, v VARCHAR(20))", "(id INT PRIMARY KEY, v VARCHAR(9000))"
	for _, c := range []struct {
		name, def, to string
		args          []string
		first         func(*schema.Table) connect.Record
		why           string
	}{
		{"a value that does not fit", good, "(id INT PRIMARY KEY, v VARCHAR(2))", []string{"schema.evolution", "none"},
			func(b *schema.Table) connect.Record { return insert(b, 2, "long") }, "takes 2 characters"},
		{"a check", good, "(id INT PRIMARY KEY, v VARCHAR(20), CHECK (v <> 'no'))", nil,
			func(b *schema.Table) connect.Record { return insert(b, 2, "no") }, "Check constraint"},
		{"a trigger", good, "trigger", nil, func(b *schema.Table) connect.Record { return insert(b, 2, "x") }, "not this one"},
		{"a table that is missing", good, "", []string{"schema.evolution", "none"},
			func(b *schema.Table) connect.Record { return insert(b, 2, "x") }, "is not there"},
		{"a column that is missing", good, "(id INT PRIMARY KEY)", []string{"schema.evolution", "none"},
			func(b *schema.Table) connect.Record { return insert(b, 2, "x") }, "column `v` is missing"},
		{"a statement that is needed", good, "(id INT PRIMARY KEY)", []string{"schema.evolution", "validate-only"},
			func(b *schema.Table) connect.Record { return told(b, 0) }, "ALTER TABLE"},
		{"a key that is not there", good, "(id INT, v VARCHAR(20))", nil,
			func(b *schema.Table) connect.Record { return insert(b, 2, "x") }, "no primary or unique key"},
		{"a DDL that fails", long, "(id INT PRIMARY KEY, w VARCHAR(9000), x VARCHAR(5000)) CHARSET utf8mb4", nil,
			func(b *schema.Table) connect.Record { return told(b, 0) }, "Row size too large"},
		{"an update of a row that is not there", "(id INT, v VARCHAR(20))", "(id INT, v VARCHAR(20))", nil,
			func(b *schema.Table) connect.Record { return update(b, 2, "x", 2, "y") }, "no row that is as the source says"},
		{"a table that is no table", good, "view", nil,
			func(b *schema.Table) connect.Record { return insert(b, 2, "x") }, "is a view"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newStopRig(t, 1, c.args...)
			to := c.to
			if to == "trigger" || to == "view" {
				to = ""
			}
			a, b := r.table("a", good, good), r.table("b", c.def, to)
			switch c.to {
			case "trigger":
				mustExec(t, r.db, "CREATE TABLE "+r.to+".b "+good)
				mustExec(t, r.db, "CREATE TRIGGER "+r.to+".tr BEFORE INSERT ON "+r.to+".b FOR EACH ROW BEGIN IF NEW.id = 2 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF; END")
			case "view":
				mustExec(t, r.db, "CREATE VIEW "+r.to+".b AS SELECT 1 AS id, 'x' AS v")
			}
			r.reopen()
			r.feeds.write(t, r.lanes[0], insert(a, 1, "x"), c.first(b), insert(a, 2, "x"))
			r.rows("a", 2)
			r.stops("b stopped")
			r.heard("b stopped")
			if got := r.lanes[0].stops.list[r.lanes[0].targetKey(name{r.to, "b"})].reason; !strings.Contains(got, c.why) {
				t.Errorf("the reason is %q, want %q", got, c.why)
			}
			r.reopen()
			r.heard("b stopped")
			r.feeds.write(t, r.lanes[0], insert(b, 3, "x"), insert(a, 3, "x"))
			r.rows("a", 3)
			if r.dropped != 2 {
				t.Errorf("%d records are counted as left out", r.dropped)
			}
			if _, err := r.db.Exec("SELECT 1 FROM " + r.to + ".b WHERE id = 3"); err == nil {
				var n int
				_ = r.db.QueryRow("SELECT COUNT(*) FROM " + r.to + ".b WHERE id = 3").Scan(&n)
				if n != 0 {
					t.Error("a change came through after the one that failed")
				}
			}
		})
	}
}

// What was written of a table before it is stopped, and all of the others, is
// one transaction with the stop.
func TestAStopIsOneStepWithWhatItLeavesOut(t *testing.T) {
	r := newStopRig(t, 1)
	def := "(id INT PRIMARY KEY, v VARCHAR(20), CHECK (v <> 'no'))"
	a, b := r.table("a", "(id INT PRIMARY KEY, v VARCHAR(20))", ""), r.table("b", "(id INT PRIMARY KEY, v VARCHAR(20))", def)
	r.reopen()
	big := r.feeds.batch(insert(a, 1, "x"), insert(b, 1, "x")) // the first part of a large transaction
	if err := r.lanes[0].Write(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	if err := r.lanes[0].Write(t.Context(), r.feeds.batch(insert(b, 2, "no"), insert(a, 2, "x"))); err != nil {
		t.Fatal(err)
	}
	r.heard() // it is not durable
	r.feeds.next = 0
	r.reopen() // a kill
	r.stops("")
	r.rows("a", 0)
	for _, recs := range [][]connect.Record{{insert(a, 1, "x"), insert(b, 1, "x")}, {insert(b, 2, "no"), insert(a, 2, "x")}} {
		if err := r.lanes[0].Write(t.Context(), r.feeds.batch(recs...)); err != nil {
			t.Fatal(err)
		}
	}
	r.feeds.write(t, r.lanes[0], insert(b, 3, "x"), insert(a, 3, "x"))
	r.heard("b stopped")
	r.stops("b stopped")
	r.rows("a", 3)
	r.rows("b", 1)
	if r.dropped != 2 {
		t.Errorf("%d records are counted as left out", r.dropped)
	}
}

// A stopped table begins anew where the source says that its rows are read
// anew, or that there are none; a copy that is given up stops it again.
func TestAStoppedTableBeginsAnew(t *testing.T) {
	for _, c := range []struct {
		name  string
		tail  []func(*schema.Table) connect.Record
		rows  int
		stops string
		told  []string
	}{
		{"a shape", []func(*schema.Table) connect.Record{func(b *schema.Table) connect.Record { return told(b, connect.Unsettled) }}, 1, "b stopped", nil},
		{"a copy", []func(*schema.Table) connect.Record{
			func(b *schema.Table) connect.Record { return told(b, connect.Reread) },
			func(b *schema.Table) connect.Record { return insert(b, 7, "x") }}, 1, "b copying", []string{"b copying"}},
		{"a copy and its end", []func(*schema.Table) connect.Record{
			func(b *schema.Table) connect.Record { return told(b, connect.Reread) },
			func(b *schema.Table) connect.Record { return insert(b, 7, "x") },
			func(b *schema.Table) connect.Record { return told(b, connect.Unsettled) },
			func(b *schema.Table) connect.Record { return insert(b, 8, "x") },
			func(b *schema.Table) connect.Record { return told(b, 0) }}, 2, "", []string{"b copying", "b following"}},
		{"a copy that fails again", []func(*schema.Table) connect.Record{
			func(b *schema.Table) connect.Record { return told(b, connect.Reread) },
			func(b *schema.Table) connect.Record { return insert(b, 7, "no") }}, 0, "b stopped", []string{"b copying", "b stopped"}},
		{"a copy that is given up", []func(*schema.Table) connect.Record{
			func(b *schema.Table) connect.Record { return told(b, connect.Reread) },
			func(b *schema.Table) connect.Record { return told(b, connect.GivenUp) },
			func(b *schema.Table) connect.Record { return insert(b, 7, "x") }}, 0, "b stopped", []string{"b copying", "b stopped"}},
		{"TRUNCATE", []func(*schema.Table) connect.Record{
			func(b *schema.Table) connect.Record { return truncated(b, 0) },
			func(b *schema.Table) connect.Record { return insert(b, 7, "x") }}, 1, "", []string{"b following"}},
		{"DROP and CREATE", []func(*schema.Table) connect.Record{
			func(b *schema.Table) connect.Record { return truncated(b, connect.Dropped) },
			func(b *schema.Table) connect.Record { return insert(b, 7, "x") }}, 1, "", []string{"b following"}},
	} {
		for _, one := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, one), func(t *testing.T) {
				r := newStopRig(t, 1)
				def := "(id INT PRIMARY KEY, v VARCHAR(20), CHECK (v <> 'no'))"
				a, b := r.table("a", "(id INT PRIMARY KEY, v VARCHAR(20))", ""), r.table("b", "(id INT PRIMARY KEY, v VARCHAR(20))", def)
				r.reopen()
				r.feeds.write(t, r.lanes[0], insert(b, 1, "x"), insert(a, 1, "x"))
				r.feeds.write(t, r.lanes[0], insert(b, 2, "no"))
				r.heard("b stopped")
				if one { // all in one batch
					var recs []connect.Record
					for _, f := range c.tail {
						recs = append(recs, f(b))
					}
					r.feeds.write(t, r.lanes[0], append(recs, insert(a, 2, "x"))...)
				} else { // with a kill behind each record
					for _, f := range c.tail {
						r.feeds.write(t, r.lanes[0], f(b))
						said := r.told
						r.reopen()
						r.told = said
					}
					r.feeds.write(t, r.lanes[0], insert(a, 2, "x"))
				}
				r.rows("b", c.rows)
				r.rows("a", 2)
				r.stops(c.stops)
				if !one {
					r.heard(c.told...)
				}
			})
		}
	}
}

// What one lane stops all lanes leave out, from its commit on, and what lane 0
// lets begin anew all write again.
func TestAllLanesStopATable(t *testing.T) {
	r := newStopRig(t, 3)
	def := "(id INT PRIMARY KEY, v VARCHAR(20), CHECK (v <> 'no'))"
	a, b := r.table("a", "(id INT PRIMARY KEY, v VARCHAR(20))", ""), r.table("b", "(id INT PRIMARY KEY, v VARCHAR(20))", def)
	r.reopen()
	for i, s := range r.lanes {
		r.feeds.write(t, s, insert(a, i, "x"), insert(b, i, "x"))
	}
	r.feeds.write(t, r.lanes[1], insert(b, 10, "no"), insert(a, 10, "x"))
	for i, s := range r.lanes {
		r.feeds.write(t, s, insert(a, 20+i, "x"), insert(b, 20+i, "x"))
	}
	r.rows("b", 3)
	r.rows("a", 7)
	r.feeds.write(t, r.lanes[2], remove(b, 2, "x"), insert(b, 11, "no"))
	r.rows("b", 3)
	r.stops("b stopped")
	r.feeds.write(t, r.lanes[0], told(b, connect.Reread))
	r.rows("b", 0)
	for i, s := range r.lanes {
		r.feeds.write(t, s, insert(b, 30+i, "x"), insert(a, 30+i, "x"))
	}
	r.rows("b", 3)
	r.rows("a", 10)
	r.stops("b copying")
	r.feeds.write(t, r.lanes[0], told(b, 0))
	r.stops("")
	for i, s := range r.lanes {
		r.feeds.write(t, s, insert(b, 40+i, "x"))
	}
	r.rows("b", 6)
}

// Where a table cannot be told apart from others nothing is left out, and the
// reason is told.
func TestWhereNoTableStopsAlone(t *testing.T) {
	r := newStopRig(t, 1, "schema.evolution", "none")
	r.never = "it belongs to others"
	a, b := r.table("a", "(id INT PRIMARY KEY, v VARCHAR(20))", "(id INT PRIMARY KEY, v VARCHAR(20))"), r.table("b", "(id INT PRIMARY KEY, v VARCHAR(20))", "")
	r.reopen()
	err := r.feeds.try(r.lanes[0], insert(a, 1, "x"), insert(b, 1, "x"))
	if err == nil || !connect.IsPermanent(err) || !strings.Contains(err.Error(), r.never) || !strings.Contains(err.Error(), "is not there") {
		t.Fatal(err)
	}
	r.rows("a", 0)
	r.stops("")
}

// A target that several tables are written to cannot begin anew for one.
func TestASharedTableDoesNotBeginAnew(t *testing.T) {
	r := newStopRig(t, 1, "table.name.format", "all")
	def := "(id INT PRIMARY KEY, v VARCHAR(20))"
	mustExec(t, r.db, "CREATE TABLE "+r.to+".`all` (id INT PRIMARY KEY, v VARCHAR(20), CHECK (v <> 'no'))")
	a, b := r.table("a", def, ""), r.table("b", def, "")
	r.reopen()
	r.feeds.write(t, r.lanes[0], insert(a, 1, "x"), insert(b, 2, "x"))
	r.feeds.write(t, r.lanes[0], insert(a, 3, "no"))
	r.feeds.write(t, r.lanes[0], told(a, connect.Reread), insert(a, 1, "x"))
	r.rows("`all`", 2)
	r.stops("all stopped")
	if st := r.lanes[0].stops.list[r.lanes[0].targetKey(name{r.to, "all"})]; !strings.Contains(st.reason, "cannot begin anew for one of them") {
		t.Error(st.reason)
	}
}

// What was stopped is forgotten with the offsets: all comes anew.
func TestStopsGoWithTheOffsets(t *testing.T) {
	r := newStopRig(t, 1, "schema.evolution", "none")
	b := r.table("b", "(id INT PRIMARY KEY, v VARCHAR(20))", "")
	r.reopen()
	r.feeds.write(t, r.lanes[0], insert(b, 1, "x"))
	r.stops("b stopped")
	mustExec(t, r.db, "DELETE FROM "+r.to+"._towline_offsets WHERE `partition` >= 0")
	mustExec(t, r.db, "CREATE TABLE "+r.to+".b (id INT PRIMARY KEY, v VARCHAR(20))")
	r.reopen()
	r.stops("")
	r.feeds.write(t, r.lanes[0], insert(b, 1, "x"))
	r.rows("b", 1)
}
