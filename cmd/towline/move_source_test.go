package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
)

// A source that is stopped goes back to where it was, and forward over changes that
// nobody wants; not over a statement that changes a table.
func TestSourceIsMoved(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	t.Cleanup(func() { srv.DB().Exec("DROP DATABASE IF EXISTS " + db + "_copy") })
	srv.Exec(t, "CREATE TABLE "+db+".a (id INT PRIMARY KEY); INSERT INTO "+db+".a VALUES (1)")
	s := newSandbox(t)
	p := s.serveWorker()
	rows := func(want string) {
		t.Helper()
		s.must(202, "PUT", "/connectors/in/resume", "")
		s.arrived()
		if got := fmt.Sprint(srv.Query(t, "SELECT id FROM "+db+"_copy.a ORDER BY id")); got != want {
			t.Fatalf("the copy has %s, want %s", got, want)
		}
	}
	stop := func() (place string) {
		t.Helper()
		s.must(204, "PUT", "/connectors/in/stop", "")
		s.atRest("in") // else it may go on for a moment, and take what comes next with it
		return s.must(200, "GET", "/connectors/in/offsets", "")
	}
	insert := func(id int) { srv.Exec(t, fmt.Sprintf("INSERT INTO %s.a VALUES (%d)", db, id)) }
	s.must(201, "POST", "/connectors", source(srv, srv.User, srv.Password, db))
	s.must(201, "POST", "/connectors", target(srv, srv.User, srv.Password, db+"_copy"))
	rows("[[1]]")
	first := stop()
	insert(2)
	rows("[[1] [2]]")
	stop()
	third := time.Now().UTC().Format(time.RFC3339Nano)
	insert(3)
	rows("[[1] [2] [3]]")

	// Back: what came since comes again, and nothing else.
	stop()
	srv.Exec(t, "DELETE FROM "+db+"_copy.a")
	s.write("first.json", first)
	s.expect(exitOK, "the offsets are set", "connector", "offsets-set", "in", "first.json")
	if got := s.must(200, "GET", "/connectors/in/offsets", ""); gtidsIn(t, got) != gtidsIn(t, first) {
		t.Errorf("it is at %s, want %s", got, first)
	}
	rows("[[2] [3]]")

	// Forward: what lies between does not come.
	there := stop()
	insert(4)
	there = strings.Replace(there, gtidsIn(t, there), strings.ReplaceAll(fmt.Sprint(srv.Query(t, "SELECT @@global.gtid_executed")[0][0]), "\n", ""), 1)
	insert(5)
	s.must(200, "PATCH", "/connectors/in/offsets", there)
	rows("[[2] [3] [5]]")

	// By time: what was committed from the third row on comes again.
	stop()
	srv.Exec(t, "DELETE FROM "+db+"_copy.a")
	s.must(200, "PATCH", "/connectors/in/offsets", s.must(200, "GET", "/v1/connectors/in/position?at="+url.QueryEscape(third), ""))
	rows("[[3] [4] [5]]")

	// What is known of a table counts for the place where it is.
	before := stop()
	srv.Exec(t, "ALTER TABLE "+db+".a ADD COLUMN v INT")
	srv.Exec(t, "INSERT INTO "+db+".a VALUES (6, 6)")
	rows("[[3] [4] [5] [6]]")
	after := stop()
	if got := s.must(400, "PATCH", "/connectors/in/offsets", before); !strings.Contains(got, "changes what is known of the tables (table "+db+".a)") {
		t.Errorf("back over an ALTER: %s", got)
	}
	if got := s.must(200, "GET", "/connectors/in/offsets", ""); got != after {
		t.Errorf("what was refused has moved it to %s", got)
	}
	if r := p.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}

// gtidsIn returns the GTIDs of the one offset in an answer.
func gtidsIn(t *testing.T, answer string) string {
	t.Helper()
	var list struct {
		Offsets []struct{ Offset struct{ GTIDs string } }
	}
	if err := json.Unmarshal([]byte(answer), &list); err != nil || len(list.Offsets) != 1 {
		t.Fatalf("%s: %v", answer, err)
	}
	return list.Offsets[0].Offset.GTIDs
}
