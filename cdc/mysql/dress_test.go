package mysql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

func TestMessageKeys(t *testing.T) {
	s := table(t, &schema.Table{Columns: []schema.Column{text("id", 64), text("a", 64), text("B", 63)}, Key: []int{0}, Primary: true, Unique: [][]int{{2}}})
	for _, c := range []struct{ rules, want string }{
		{"", "[0] true"},
		{"db.t:a", "[1] false"},
		{"other.t:x; db.t:b,a ;", "[2 1] false"},
		{`.*\.T:id`, "[0] true"}, // the table's own
		{`db\.(t|u):a,id`, "[1 0] false"},
		{"db.t:nothing", "fault: message.key.columns names column nothing of table db.t, which is not there"},
		{"db.t:a,A", "fault: message.key.columns names column A of table db.t twice"},
		{"db.t:a;db.*:b", "fault: message.key.columns has two expressions that match table db.t"},
		{"db.t", `fault: message.key.columns: "db.t" is not of the form`},
		{"db.t:", `fault: message.key.columns: "db.t:" names no column`},
		{"db.(t:a", `fault: message.key.columns: "db.(t" is not a regular expression`},
	} {
		f, err := newFilter(connect.NewConfig("c", Options(), map[string]string{optKeys: c.rules}))
		var d *dress
		if err == nil {
			d, err = f.dress(s)
		}
		got := fmt.Sprint("fault: ", err)
		if err == nil {
			got = fmt.Sprint(d.table.Key, d.table.Primary)
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: %s, want %s", c.rules, got, c.want)
		}
	}
}

// edited reads what the server has logged, as the options want it shown.
func edited(t *testing.T, r *rig, s *Source) []string {
	t.Helper()
	e, err := NewEditor(r.config(), r.env())
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tp := newTape(nil)
	var b connect.Batch
	for b.Pos == nil || !Covers(b.Pos, head) {
		b.Reset()
		err := s.Read(t.Context(), &b)
		if err == nil {
			err = e.Edit(&b)
		}
		if err != nil {
			t.Fatal(err)
		}
		tp.add(&b)
	}
	return tp.texts()
}

// Changes are counted alike whatever the key of messages is.
func TestSeqIsOfRows(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, owner INT); CREATE TABLE k (a INT, b INT)")
	plain := r.open(t, nil, nil)
	r.values[optKeys], r.values[optServerID] = r.db+".t:owner;"+r.db+".k:b", r.values[optServerID]+"9"
	keyed := r.open(t, nil, nil)
	r.exec(t, "INSERT INTO t VALUES (1, 10), (2, 20); INSERT INTO k VALUES (1, 1), (1, 2); UPDATE t SET owner = owner + 1; UPDATE t SET id = 3, owner = 9 WHERE id = 1; UPDATE k SET a = 2, b = b + 1; DELETE FROM t")
	var last []uint64
	for _, s := range []*Source{plain, keyed} {
		tp := newTape(nil)
		until(t, s, tp)
		last = append(last, tp.records[len(tp.records)-1].seq)
	}
	if last[0] != 12 || last[1] != 12 {
		t.Errorf("the last changes have %d", last)
	}
}

// An update of the key of messages is a delete and an insert.
func TestMessageKeysMove(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, owner INT, v INT, w INT); CREATE TABLE k (a INT, b INT, c INT)")
	r.values[optKeys] = r.db + ".t:owner;" + r.db + ".k:b"
	r.values[optColumnExclude] = r.db + `\.[tk]\.(v|a)`
	s := r.open(t, nil, nil)
	r.exec(t, `INSERT INTO t VALUES (1, 10, 100, 5), (2, 10, 100, 6); UPDATE t SET w = 7 WHERE id = 1; UPDATE t SET owner = 11 WHERE id = 1; UPDATE t SET id = 3 WHERE id = 2;
		INSERT INTO k VALUES (1, 2, 3); UPDATE k SET a = 5; UPDATE k SET b = NULL; ALTER TABLE t DROP COLUMN owner; INSERT INTO t VALUES (9, 9, 9); INSERT INTO k VALUES (1, 2, 4)`)
	diff(t, edited(t, r, s), []string{"c t (1,10,5)", "c t (2,10,6) end", "u t (1,10,5) (1,10,7) end", "d t (1,10,7) moved", "c t (1,11,7) moved end", "d t (2,10,6) moved", "c t (3,10,6) moved end",
		"c k (2,3) end", "u k (2,3) (2,3) end", "d k (2,3) moved", "c k (NULL,3) moved end", "c k (2,4) end"})
	if got := r.reason("t"); !strings.Contains(got, "names column owner") {
		t.Errorf("the reason is %q", got)
	}
}

func TestSkippedOperations(t *testing.T) {
	for _, c := range []struct {
		skip string
		want []string
	}{
		{"none", []string{"c t (1)", "c t (2) end", "u t (1) (1)", "d t (2) end", "t t end"}},
		{"t", []string{"c t (1)", "c t (2) end", "u t (1) (1)", "d t (2) end"}},
		{"C, d", []string{"u t (1) (1) end", "t t end"}},
	} {
		r := newRig(t, mysqltest.Shared(t))
		r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, secret INT)")
		r.values[optSkipped] = c.skip
		r.values[optColumnExclude] = `.*\.secret`
		s := r.open(t, nil, nil)
		r.exec(t, "INSERT INTO t VALUES (1, 1), (2, 2); BEGIN; UPDATE t SET secret = 3 WHERE id = 1; DELETE FROM t WHERE id = 2; COMMIT; TRUNCATE t")
		diff(t, edited(t, r, s), c.want)
	}
	for _, bad := range []string{"x", "c,none", "cu", "r"} {
		if checkSkipped(bad) == nil {
			t.Errorf("%q passes", bad)
		}
	}
}
