package mysql

import (
	"errors"
	"fmt"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// What servers that do not count made of their own need not be there, and is
// not told; the shapes of tables are followed all the same.
func TestSourcesOfGTIDs(t *testing.T) {
	a, b := mysqltest.Start(t), mysqltest.Start(t)
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	r.exec(t, "INSERT INTO x VALUES (1)")
	tp := newTape(nil)
	until(t, s, tp)
	s.Close()
	b.Exec(t, "CREATE DATABASE local; CREATE TABLE local.t (id INT); FLUSH BINARY LOGS; PURGE BINARY LOGS TO 'binlog.000002'")
	feed(t, a, b, "")
	r.exec(t, "INSERT INTO x VALUES (2)")
	caughtUp(t, a, b)
	b.Exec(t, "INSERT INTO "+r.db+".x VALUES (3); ALTER TABLE "+r.db+".x ADD COLUMN v INT; UPDATE "+r.db+".x SET v = 4 WHERE id = 3")
	r.srv, r.values[optPort] = b, fmt.Sprint(b.Port)
	last := tp.stops[len(tp.stops)-1]
	if err := r.source(t).Open(t.Context(), last.pos, last.state); !errors.Is(err, connect.ErrPositionLost) {
		t.Fatal(err)
	}
	uuid := b.Query(t, "SELECT @@server_uuid")[0][0]
	want := []string{"c x (2) end", "s x id int,v int end"}
	for _, c := range []struct {
		option, value, rows string
		want                []string
	}{
		{optSourceExclude, uuid, "true", want},
		{optSourceInclude, a.Query(t, "SELECT UPPER(@@server_uuid)")[0][0] + ",other", "true", want},
		{optSourceExclude, uuid[:8] + ".*", "false", []string{"c x (2) end", "c x (3) end", "s x id int,v int end", "u x (3,NULL) (3,4) end"}},
	} {
		r.values[optSourceInclude], r.values[optSourceExclude], r.values[optSourceRows] = "", "", c.rows
		r.values[c.option] = c.value
		s := r.open(t, last.pos, last.state)
		got := edited(t, r, s)
		s.Close()
		diff(t, got, c.want)
	}
}
