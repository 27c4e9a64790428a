package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/rockettest"
)

// TestMoveToRocketMQ moves a running pipeline as deploy/cluster.md says. The
// table without a key shows what is lost and what comes twice.
func TestMoveToRocketMQ(t *testing.T) {
	t.Parallel()
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	t.Cleanup(func() { srv.DB().Exec("DROP DATABASE IF EXISTS " + db + "_copy") })
	srv.Exec(t, "CREATE TABLE "+db+".a (id INT PRIMARY KEY, n INT)")
	srv.Exec(t, "CREATE TABLE "+db+".b (n INT)")
	srv.Exec(t, "INSERT INTO "+db+".a VALUES (1, 1), (2, 2)")
	srv.Exec(t, "INSERT INTO "+db+".b VALUES (1), (1)")
	in, out := source(srv, srv.User, srv.Password, db), target(srv, srv.User, srv.Password, db+"_copy")
	c := rockettest.Start(t, rockettest.Config{})
	w := startRocket(t, c, nil) // step 1
	s := newSandbox(t)
	old := s.start("run", "--listen", "127.0.0.1:0", s.write("in.json", in), s.write("copy.json", out))
	s.awaitFile(old, filepath.Join("towline-data", addressFile))
	srv.Exec(t, "INSERT INTO "+db+".b VALUES (2), (2)")
	srv.Exec(t, "DELETE FROM "+db+".a WHERE id = 2")
	if r := s.run("status", "--wait"); r.code != exitOK { // 3; nobody writes (2)
		t.Fatalf("exit code %d:\n%s", r.code, r.err)
	}
	if r := old.stop(); r.code != exitOK { // 4
		t.Fatalf("exit code %d:\n%s", r.code, r.err)
	}
	w.up()
	w.must(201, "POST", "/connectors", strings.Replace(in, `"name": "in", "config": {`, `"name": "in-2", "config": {"snapshot.mode": "no_data", `, 1)) // 5
	w.await("a position", func() bool {
		code, answer := w.ask("GET", "/connectors/in-2/offsets", "")
		return code == 200 && strings.Contains(answer, `"gtids"`)
	})
	srv.Exec(t, "INSERT INTO "+db+".b VALUES (3), (3)") // 6
	srv.Exec(t, "INSERT INTO "+db+".a VALUES (3, 3)")
	srv.Exec(t, "UPDATE "+db+".a SET n = 10 WHERE id = 1")
	w.must(201, "POST", "/connectors", strings.Replace(out, `"name": "copy"`, `"name": "copy-2"`, 1)) // 7
	w.must(200, "GET", "/v1/status?wait=3m", "")
	for table, want := range map[string]string{"a": "[[1 10] [3 3]]", "b": "[[1] [1] [2] [2] [3] [3]]"} {
		if got := fmt.Sprint(srv.Query(t, "SELECT * FROM "+db+"_copy."+table+" ORDER BY 1")); got != want {
			t.Errorf("the copy of %s has %s, want %s", table, got, want)
		}
	}
}
