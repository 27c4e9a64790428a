package mysql

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// What is not understood stops the tables that it may touch, and only those;
// that survives a restart.
func TestStops(t *testing.T) {
	for _, c := range []struct {
		name   string
		setup  string
		do     string   // touches t; u goes on
		stop   []string // tables
		reason string
		want   []string
	}{
		{
			name: "minimal image", do: "SET SESSION binlog_row_image = MINIMAL; UPDATE t SET v = 'y' WHERE id = 1",
			stop: []string{"t"}, reason: "binlog_row_image",
		},
		{
			name: "partial json", setup: "ALTER TABLE t ADD COLUMN j JSON; UPDATE t SET j = '{\"a\": 1, \"b\": \"xxxxxxxxxxxxxxxxxxxx\"}'",
			do: "SET SESSION binlog_row_value_options = PARTIAL_JSON; UPDATE t SET j = JSON_SET(j, '$.a', 2, '$.c', 3); UPDATE t SET id = 2, j = JSON_REMOVE(j, '$.a', '$.c')",
			want: []string{
				`u t (1,x,{"a": 1, "b": "xxxxxxxxxxxxxxxxxxxx"}) (1,x,{"a": 2, "b": "xxxxxxxxxxxxxxxxxxxx", "c": 3}) end`,
				`d t (1,x,{"a": 2, "b": "xxxxxxxxxxxxxxxxxxxx", "c": 3}) moved`, `c t (2,x,{"b": "xxxxxxxxxxxxxxxxxxxx"}) moved end`,
			},
		},
		{
			name: "partial json without the document", setup: "ALTER TABLE t ADD COLUMN j JSON; UPDATE t SET j = '{\"a\": 1, \"b\": \"xxxxxxxxxxxxxxxxxxxx\"}'",
			do:   "SET SESSION binlog_row_image = MINIMAL, binlog_row_value_options = PARTIAL_JSON; UPDATE t SET j = JSON_SET(j, '$.a', 2)",
			stop: []string{"t"}, reason: "SET PERSIST binlog_row_image=FULL",
		},
		{
			name: "statement", do: "SET SESSION binlog_format = STATEMENT; UPDATE t SET v = 'y'",
			stop: []string{"t", "u"}, reason: "binlog_format",
		},
		{
			name: "harmless", do: "SET SESSION binlog_format = STATEMENT; CREATE TEMPORARY TABLE x (id INT); DROP TEMPORARY TABLE x; SET SESSION binlog_format = ROW; " +
				"BEGIN; SAVEPOINT a; INSERT INTO t VALUES (7, 'a'); ROLLBACK TO a; INSERT INTO t VALUES (8, 'b'); COMMIT; " +
				"CREATE VIEW w AS SELECT * FROM t; CREATE PROCEDURE p() SELECT 1; CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 'trigger'; ANALYZE TABLE t; OPTIMIZE TABLE t; INSERT INTO t VALUES (9, '')",
			want: []string{"c t (8,b) end", "c t (9,trigger) end"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, mysqltest.Shared(t))
			r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE u (id INT PRIMARY KEY); INSERT INTO t VALUES (1, 'x');"+c.setup)
			s := r.open(t, nil, nil)
			before := newTape(nil)
			until(t, s, before)
			r.exec(t, c.do)
			r.exec(t, "INSERT INTO u VALUES (1)")
			want := c.want
			if len(c.stop) < 2 {
				want = append(want, "c u (1) end")
			}
			until(t, s, before)
			diff(t, before.texts(), want)
			checkStopped(t, r, s, c.stop, c.reason)

			s.Close() // and again, from what was saved
			r.reports = nil
			s = r.open(t, before.stops[len(before.stops)-1].pos, before.entries())
			checkStopped(t, r, s, c.stop, c.reason)
			r.exec(t, "SET foreign_key_checks = 0; DELETE FROM t; DELETE FROM u")
			after := newTape(before.entries())
			until(t, s, after)
			for _, text := range after.texts() {
				for _, table := range c.stop {
					if strings.HasPrefix(text[2:], table+" ") {
						t.Errorf("%s, but %s is stopped", text, table)
					}
				}
			}
			if len(c.stop) < 2 && !slices.Contains(after.texts(), "d u (1) end") {
				t.Errorf("table u does not go on: %q", after.texts())
			}
		})
	}
}

// Of a transaction that is rolled back the log has what cannot be, the rows of
// other engines.
func TestRollbackOfMixedEngines(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.NoGTID()))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (1, 'x'); CREATE TABLE m (id INT) ENGINE = MyISAM")
	s := r.open(t, nil, nil)
	r.exec(t, "BEGIN; UPDATE t SET v = 'y'; INSERT INTO m SELECT 1 FROM t; UPDATE t SET v = 'z'; ROLLBACK; DELETE FROM t")
	tp := newTape(nil)
	until(t, s, tp)
	diff(t, tp.texts(), []string{"c m (1) end", "d t (1,x) end"})
	checkStopped(t, r, s, nil, "")
}

func checkStopped(t *testing.T, r *rig, s *Source, tables []string, reason string) {
	t.Helper()
	for _, table := range tables {
		if got := r.reason(table); !strings.Contains(got, reason) {
			t.Errorf("table %s is stopped because of %q, want %q in it", table, got, reason)
		}
		for _, tab := range s.Tables() {
			if tab.Name == table {
				t.Errorf("table %s is still there", table)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.reports {
		if s.State == connect.TableStopped && (!strings.HasPrefix(s.Table, r.db+".") || !strings.Contains(s.Reason, "new snapshot of the table") && !strings.Contains(s.Reason, "copy the table anew")) {
			t.Errorf("the report does not say of which table it is, or what to do: %+v", s)
		}
	}
	if len(tables) == 0 && len(r.reports) > 0 {
		t.Errorf("reports %v", r.reports)
	}
}

func TestStopFromOutside(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE u (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	until(t, s, tp)
	for _, tab := range s.Tables() {
		if tab.Name == "t" {
			s.Stop(tab, errors.New("no more of it"))
		}
	}
	for len(s.Tables()) != 1 {
		var b connect.Batch
		if err := s.Read(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		tp.add(&b)
	}
	r.exec(t, "INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)")
	until(t, s, tp)
	diff(t, tp.texts(), []string{"c u (1) end"})
	s.Close()
	r.reports = nil
	r.open(t, tp.stops[len(tp.stops)-1].pos, tp.entries())
	if got := r.reason("t"); got != "no more of it" {
		t.Errorf("after a restart the reason is %q", got)
	}
}
