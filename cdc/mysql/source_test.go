package mysql

import (
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

func TestChanges(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (1, 'before')")
	s := r.open(t, nil, nil)
	if got := s.Tables(); len(got) != 1 || got[0].Name != "t" {
		t.Fatalf("tables %v", got)
	}
	r.exec(t, `INSERT INTO t VALUES (2, 'two'), (3, NULL); UPDATE t SET v = 'x' WHERE id = 2; UPDATE t SET id = 4 WHERE id = 3; DELETE FROM t WHERE id = 1;
		BEGIN; INSERT INTO t VALUES (5, 'a'); INSERT INTO t VALUES (6, 'b'); DELETE FROM t WHERE id = 5; COMMIT;
		BEGIN; INSERT INTO t VALUES (7, 'c'); ROLLBACK`)
	tp := newTape(nil)
	until(t, s, tp)
	diff(t, tp.texts(), []string{
		"c t (2,two)", "c t (3,NULL) end", "u t (2,two) (2,x) end", "d t (3,NULL) moved", "c t (4,NULL) moved end", "d t (1,before) end",
		"c t (5,a)", "c t (6,b)", "d t (5,a) end",
	})
	for i, rec := range tp.records {
		if rec.seq != uint64(i+1) {
			t.Errorf("record %d has seq %d", i, rec.seq)
		}
	}
}
