package mysql

import (
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

// Tables that show more, or something else, than before are read anew.
func TestWidened(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(100), b INT); CREATE TABLE u (id INT PRIMARY KEY, c INT)")
	in, out := r.db+`\.t\.`, r.db+`\.u\.`
	salt := "column.mask.hash.v2.SHA-256.with.salt."
	s := r.open(t, nil, nil)
	last := newTape(nil)
	until(t, s, last)
	s.Close()
	for i, step := range []struct {
		values map[string]string
		want   []string
	}{
		{nil, nil},
		{map[string]string{optColumnExclude: in + "b"}, nil}, // less
		{map[string]string{optColumnExclude: in + "b"}, nil},
		{map[string]string{optColumnInclude: in + ".*," + out + "c"}, []string{"s t id int,a varchar,b int reread end"}},
		{nil, nil}, // the same
		{map[string]string{salt + "x": in + "a"}, []string{"s t id int,a varchar,b int reread end"}},
		{map[string]string{salt + "x": in + "a"}, nil},
		{map[string]string{salt + "y": in + "a"}, []string{"s t id int,a varchar,b int reread end"}},
		{map[string]string{salt + "y": in + "a", "column.mask.with.3.chars": "nothing"}, nil},
		{map[string]string{salt + "y": in + "a", optColumnExclude: out + "c"}, nil},
		{nil, []string{"s t id int,a varchar,b int reread end", "s u id int,c int reread end"}},
	} {
		with := &rig{srv: r.srv, db: r.db, values: map[string]string{}}
		for k, v := range r.values {
			with.values[k] = v
		}
		for k, v := range step.values {
			with.values[k] = v
		}
		s := with.source(t)
		stop := last.stops[len(last.stops)-1]
		if err := s.Open(t.Context(), stop.pos, stop.state); err != nil {
			t.Fatal(err)
		}
		tp := newTape(stop.state)
		r.exec(t, "CREATE TABLE other (id INT); DROP TABLE other") // moves the position on
		until(t, s, tp)
		s.Close()
		last = tp
		var got []string
		for _, text := range tp.texts() {
			if !strings.Contains(text, "other") {
				got = append(got, text)
			}
		}
		t.Logf("step %d", i)
		diff(t, got, step.want)
		for _, e := range last.entries() {
			if strings.Contains(string(e.Pos), ".salt.x") || strings.Contains(string(e.Pos), ".salt.y") {
				t.Errorf("the state shows a salt: %q", e.Pos)
			}
		}
	}
}
