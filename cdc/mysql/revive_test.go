package mysql

import (
	"slices"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

// A stopped table is followed again from where an OpSchema with Reread stands,
// with the shape that it has on the server, and that survives a restart.
func TestResume(t *testing.T) {
	for _, how := range []string{"by its rows", "by a statement"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t, mysqltest.Shared(t))
			r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE u (id INT PRIMARY KEY); INSERT INTO t VALUES (1, 'x')")
			s := r.open(t, nil, nil)
			tp := newTape(nil)
			until(t, s, tp)
			if how == "by its rows" {
				r.exec(t, "SET SESSION binlog_row_image = MINIMAL; UPDATE t SET v = 'y' WHERE id = 1; SET SESSION binlog_row_image = FULL")
			} else {
				r.exec(t, "SET SESSION binlog_format = STATEMENT; UPDATE t SET v = 'y'; SET SESSION binlog_format = ROW")
			}
			r.exec(t, "ALTER TABLE t ADD COLUMN w INT; INSERT INTO t VALUES (2, 'dropped', 2)")
			until(t, s, tp)
			if got := s.Halted(); !slices.Contains(got, [2]string{r.db, "t"}) {
				t.Fatalf("stopped: %v", got)
			}
			if err := s.Resume(t.Context(), r.db, "t"); err != nil {
				t.Fatal(err)
			}
			tp = newTape(tp.entries())
			for slices.Contains(s.Halted(), [2]string{r.db, "t"}) {
				until(t, s, tp)
			}
			r.exec(t, "INSERT INTO t VALUES (3, 'seen', 3)")
			until(t, s, tp)
			diff(t, tp.texts(), []string{"s t id int,v varchar,w int reread end", "c t (3,seen,3) end"})
			if !slices.ContainsFunc(s.Tables(), func(x *schema.Table) bool { return x.Name == "t" }) {
				t.Fatal("it is not among the tables")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			again := newTape(tp.entries())
			s = r.open(t, tp.stops[len(tp.stops)-1].pos, tp.entries())
			r.exec(t, "INSERT INTO t VALUES (4, 'seen', 4)")
			until(t, s, again)
			diff(t, again.texts(), []string{"c t (4,seen,4) end"})
		})
	}
}

func TestResumeOfATableThatIsNotThere(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	s := r.open(t, nil, nil)
	if err := s.Resume(t.Context(), r.db, "nix"); !connect.IsPermanent(err) {
		t.Fatal(err)
	}
}
