package mysql

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// From the place that is found for a time on comes what was committed at that time
// or later, over the ends of files, and nothing else.
func TestFind(t *testing.T) {
	for _, m := range []struct {
		name string
		opts []mysqltest.Option
	}{{"gtid", nil}, {"file", []mysqltest.Option{mysqltest.NoGTID()}}, {"mariadb", []mysqltest.Option{mysqltest.MariaDB()}}} {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, m.opts...))
			r.exec(t, "CREATE TABLE a (id INT PRIMARY KEY)")
			s := r.open(t, nil, nil)
			r.exec(t, "DO SLEEP(1.1)") // MariaDB's log tells seconds only, and before this one nothing may change a table
			for _, statement := range []string{"INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2), (3)", "FLUSH LOGS", "FLUSH LOGS", "INSERT INTO a VALUES (4)", "FLUSH LOGS", "INSERT INTO a VALUES (5)"} {
				r.exec(t, statement)
			}
			all := newTape(nil)
			var times []int64 // of the records
			head, err := s.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var b connect.Batch
			for b.Pos == nil || !Covers(b.Pos, head) {
				b.Reset()
				if err := s.Read(t.Context(), &b); err != nil {
					t.Fatal(err)
				}
				for i := range b.Records {
					times = append(times, b.Records[i].Time)
				}
				all.add(&b)
			}
			s.Close()
			for _, at := range append(times, times[0]-1, times[len(times)-1]+1, time.Now().Add(time.Hour).UnixMicro()) {
				for _, at := range []int64{at, at + 1} {
					first := 0
					for first < len(times) && times[first] < at {
						first++
					}
					r.find(t, all, time.UnixMicro(at), all.texts()[first:])
				}
			}
			if _, err := r.source(t).Find(t.Context(), time.Unix(1, 0)); err == nil || !connect.IsPermanent(err) || !strings.Contains(err.Error(), "log begins at") {
				t.Errorf("a time before the log: %v", err)
			}
		})
	}
}

// find goes to where a time is found, and reads on.
func (r *rig) find(t *testing.T, all *tape, at time.Time, want []string) {
	t.Helper()
	place, err := r.source(t).Find(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(place)
	if err != nil {
		t.Fatal(err)
	}
	last := all.stops[len(all.stops)-1]
	pos, changes, err := r.source(t).Seek(t.Context(), last.pos, last.state, parsed(t, string(text)))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	tp := newTapeAfter(last.state, changes)
	if len(want) > 0 { // else there is nothing to wait for
		until(t, r.open(t, pos, tp.entries()), tp)
	}
	diff(t, tp.texts(), want)
}
