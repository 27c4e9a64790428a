package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/schema"
)

func testTable(t *testing.T, key []int, unique [][]int, names ...string) *schema.Table {
	t.Helper()
	s := &schema.Table{Database: "Shop", Name: "t", Key: key, Primary: key != nil, Unique: unique}
	for _, n := range names {
		s.Columns = append(s.Columns, schema.Column{Name: n, Type: schema.TypeInt})
	}
	s, err := schema.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestColumnLists(t *testing.T) {
	for _, c := range []struct {
		include, exclude string
		key              []int
		want             string // names of columns, or the fault
	}{
		{"", "", []int{0}, "id,a,b,ab unique [[2 3] [1]]"},
		{"", "shop.t.a", []int{0}, "id,b,ab unique [[1 2]]"},
		{"", `SHOP\.T\.A`, []int{0}, "id,b,ab unique [[1 2]]"},
		{"", `shop\.t\..`, []int{0}, "id,ab unique []"},                  // whole names only
		{"", `.*\.a|.*\.b`, []int{0}, "id,ab unique []"},                 // alternatives are anchored too
		{"", `other\.t\.a,shop\.t\.ab`, []int{0}, "id,a,b unique [[1]]"}, // lists
		{`shop\.t\.b`, "", []int{0}, "id,b unique []"},                   // the key stays
		{`shop\.t\.b`, "", []int{1}, "a,b unique [[0]]"},
		{`other\..*`, "", []int{0}, "id unique []"},
		{`other\..*`, "", nil, "fault: no column of table Shop.t is captured"},
		{"", `shop\.t\.id`, []int{0}, "fault: column.exclude.list matches Shop.t.id, which belongs to the key"},
		{"", `shop\.t\.id`, nil, "a,b,ab unique [[1 2] [0]]"},
	} {
		cfg := connect.NewConfig("c", Options(), map[string]string{optColumnInclude: c.include, optColumnExclude: c.exclude})
		f, err := newFilter(cfg)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if v, err := f.view(testTable(t, c.key, [][]int{{2, 3}, {1}}, "id", "a", "b", "ab")); err != nil {
			got = "fault: " + err.Error()
		} else {
			var names []string
			for i := range v.table.Columns {
				names = append(names, v.table.Columns[i].Name)
			}
			got = fmt.Sprintf("%s unique %v", strings.Join(names, ","), v.table.Unique)
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("include %q, exclude %q, key %v: %s, want %s", c.include, c.exclude, c.key, got, c.want)
		}
	}
}

// A table whose rows are for this program has all of its columns.
func TestWholeTable(t *testing.T) {
	f, err := newFilter(connect.NewConfig("c", Options(), map[string]string{optColumnInclude: "nothing"}))
	if err != nil {
		t.Fatal(err)
	}
	s := testTable(t, []int{0}, nil, "id", "type", "data")
	for whole, want := range map[string]int{"": 1, "shop.other": 1, "shop.T": 3} {
		f.whole = whole
		if v, err := f.view(s); err != nil || len(v.table.Columns) != want {
			t.Errorf("%q: %+v, %v", whole, v, err)
		}
	}
}

// Columns that are left out do not show, whatever statements do to them.
func TestColumnsLeftOut(t *testing.T) {
	for _, flag := range []string{"FULL", "MINIMAL"} {
		t.Run(flag, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, mysqltest.Flags("--binlog-row-metadata="+flag)))
			r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, secret TEXT, v INT, pin CHAR(4) UNIQUE, w INT)")
			r.values[optColumnExclude] = r.db + `\..*\.(secret|pin)`
			s := r.open(t, nil, nil)
			if got := s.Tables()[0]; len(got.Columns) != 3 || len(got.Unique) != 0 {
				t.Errorf("the table is %+v", got)
			}
			r.exec(t, `INSERT INTO t VALUES (1, 'x', 10, '1234', 100); UPDATE t SET secret = 'y'; UPDATE t SET v = 11, pin = NULL;
				ALTER TABLE t MODIFY secret LONGTEXT; ALTER TABLE t MODIFY v BIGINT FIRST; INSERT INTO t VALUES (12, 2, 'z', '9', 1);
				RENAME TABLE t TO u; INSERT INTO u VALUES (13, 3, 'z', '8', 1); CREATE TABLE n (pin INT, k INT PRIMARY KEY); INSERT INTO n VALUES (1, 2)`)
			tp := newTape(nil)
			until(t, s, tp)
			diff(t, tp.texts(), []string{"c t (1,10,100) end", "u t (1,10,100) (1,10,100) end", "u t (1,10,100) (1,11,100) end",
				"s t v bigint,id int,w int end", "c t (12,2,1) end", "t t", "s u v bigint,id int,w int reread end", "c u (13,3,1) end",
				"s n k int end", "c n (2) end"})

			// A statement may make a key of what is left out.
			r.exec(t, "ALTER TABLE n DROP PRIMARY KEY, ADD PRIMARY KEY (pin); INSERT INTO n VALUES (5, 6); INSERT INTO u VALUES (14, 4, 'z', '7', 1)")
			tp = newTape(nil)
			until(t, s, tp)
			diff(t, tp.texts(), []string{"c u (14,4,1) end"})
			if got := r.reason("n"); !strings.Contains(got, optColumnExclude) || !strings.Contains(got, "n.pin") {
				t.Errorf("the reason is %q", got)
			}
		})
	}
}

// Options that cannot hold are told at the start, and lose nothing.
func TestKeyLeftOut(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, v INT)")
	r.values[optColumnExclude] = r.db + `\.t\..*`
	err := r.source(t).Open(t.Context(), nil, nil)
	if err == nil || !connect.IsPermanent(err) || !strings.Contains(err.Error(), "t.id, which belongs to the key") {
		t.Fatal(err)
	}
	found, err := Check(t.Context(), r.config())
	if err != nil || !slices.ContainsFunc(found, func(f connect.Finding) bool { return f.Fatal && strings.Contains(f.What, "t.id, which belongs") }) {
		t.Errorf("the doctor says %+v, %v", found, err)
	}
	r.values[optColumnExclude] = r.db + `\.t\.(v|nothing),nowhere`
	if found, err = Check(t.Context(), r.config()); err != nil || !slices.ContainsFunc(found, func(f connect.Finding) bool { return strings.Contains(f.What, `"nowhere" in column.exclude.list`) }) {
		t.Errorf("the doctor says %+v, %v", found, err)
	}
}
