package mysql

import (
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

const cascadeTables = `CREATE TABLE p (id INT PRIMARY KEY, code VARCHAR(9) UNIQUE, v INT);
CREATE TABLE c1 (id INT PRIMARY KEY, p INT, CONSTRAINT by_id FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE c2 (id INT PRIMARY KEY, c1 INT, FOREIGN KEY (c1) REFERENCES c1 (id) ON DELETE SET NULL);
CREATE TABLE c3 (id INT PRIMARY KEY, code VARCHAR(9), CONSTRAINT by_code FOREIGN KEY (code) REFERENCES p (code) ON UPDATE CASCADE);
CREATE TABLE c4 (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES p (id));
CREATE TABLE tree (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES tree (id) ON DELETE CASCADE);
INSERT INTO p VALUES (1, 'a', 1), (2, 'b', 1), (3, 'c', 1); INSERT INTO c1 VALUES (1, 1), (2, 2); INSERT INTO c2 VALUES (1, 1), (2, 2); INSERT INTO c3 VALUES (1, 'a'); INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2)`

// Where the server logs what cascades, all of it comes out.
func TestCascadesInTheLog(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	if v := r.srv.Query(t, "SHOW VARIABLES LIKE 'innodb_native_foreign_keys'"); len(v) == 0 || v[0][1] != "OFF" {
		t.Skip("the server does not log cascades")
	}
	r.exec(t, cascadeTables)
	s := r.open(t, nil, nil)
	r.exec(t, "DELETE FROM p WHERE id = 2; UPDATE p SET id = 10 WHERE id = 1; UPDATE p SET code = 'z' WHERE id = 10; DELETE FROM tree WHERE id = 1")
	tp := newTape(nil)
	until(t, s, tp)
	got := strings.Join(tp.texts(), "\n")
	for _, want := range []string{"u c2 (2,2) (2,NULL)", "d c1 (2,2)", "d p (2,b,1) end", "u c1 (1,1) (1,10)", "u c3 (1,a) (1,z)", "d tree (3,2)", "d tree (2,1)", "d tree (1,NULL) end"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among\n%s", want, got)
		}
	}
	checkStopped(t, r, s, nil, "")
	found, err := Check(t.Context(), r.config())
	if err != nil || !strings.Contains(whats(found), "the server logs what foreign keys change") {
		t.Errorf("%v, %s", err, whats(found))
	}
}

// Where it does not, the children stop at the first change that they miss, and
// not before.
func TestCascadesNotInTheLog(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.Flags("--innodb-native-foreign-keys=ON")))
	r.exec(t, cascadeTables)
	found, err := Check(t.Context(), r.config())
	if err != nil || !strings.Contains(whats(found), "does not log what foreign keys change by cascade") || !strings.Contains(whats(found), ".c1 (by_id), ") {
		t.Errorf("%v, %s", err, whats(found))
	}
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	r.exec(t, "UPDATE p SET v = 2; INSERT INTO p VALUES (4, 'd', 1); DELETE FROM c2 WHERE id = 2; SET foreign_key_checks = 0; DELETE FROM p WHERE id = 4")
	until(t, s, tp)
	checkStopped(t, r, s, nil, "")
	for _, step := range []struct {
		do   string
		stop []string
		key  string
	}{
		{"UPDATE p SET code = 'z' WHERE id = 1", []string{"c3"}, "by_code"},
		{"UPDATE p SET id = 10 WHERE id = 1", []string{"c1", "c2"}, "by_id"},
		{"DELETE FROM tree WHERE id = 1", []string{"tree"}, "tree_ibfk_1"},
		{"CREATE TABLE late (id INT PRIMARY KEY, p INT, CONSTRAINT late_key FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE); DELETE FROM p WHERE id = 3", []string{"late"}, "late_key"},
	} {
		r.reports = nil
		r.exec(t, step.do)
		until(t, s, tp)
		if len(r.reports) != len(step.stop) {
			t.Errorf("%s: reports %v", step.do, r.reports)
		}
		checkStopped(t, r, s, step.stop, "innodb_native_foreign_keys=OFF")
		if reason := r.reason(step.stop[0]); !strings.Contains(reason, "foreign key "+step.key) {
			t.Errorf("%s: %s", step.do, reason)
		}
	}
	r.exec(t, "DELETE FROM c4; INSERT INTO c4 VALUES (1, 10)")
	until(t, s, tp)
	if got := tp.texts(); got[len(got)-1] != "c c4 (1,10) end" {
		t.Errorf("the last record is %s", got[len(got)-1])
	}
}
