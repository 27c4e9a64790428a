package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect/deadletter"
	"github.com/towline/towline/e2e/mysqltest"
)

// Rows that the target has no room for become dead letters. Once there is room
// they are sent again, over kills, and the target is as the source: none is
// missing, none is there twice, and none has gone back to what it was.
func TestDeadLettersAreSentAgain(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	to := db + "_copy"
	t.Cleanup(func() { srv.DB().Exec("DROP DATABASE IF EXISTS " + to) })
	const n = 60
	for _, d := range []string{db, to} {
		size := map[string]int{db: 20, to: 3}[d]
		if d == to {
			srv.Exec(t, "CREATE DATABASE "+to)
		}
		srv.Exec(t, fmt.Sprintf("CREATE TABLE %s.a (id INT PRIMARY KEY, v VARCHAR(%d)); CREATE TABLE %s.k (v VARCHAR(%d))", d, size, d, size))
	}
	s := newSandbox(t)
	p := s.serveWorker()
	s.must(201, "POST", "/connectors", source(srv, srv.User, srv.Password, db))
	s.must(201, "POST", "/connectors", strings.Replace(target(srv, srv.User, srv.Password, to), `"connector.class"`,
		`"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead", "errors.log.enable": false, "schema.evolution": "none", "connector.class"`, 1))
	s.arrived()
	for i := range n {
		srv.Exec(t, fmt.Sprintf("INSERT INTO %s.a VALUES (%d, 'too long %d'); INSERT INTO %s.k VALUES ('too long %d'), ('%d')", db, i, i, db, i, i))
	}
	s.arrived()                                                           // else both changes of 7 may come in one batch, which leaves the last alone
	srv.Exec(t, fmt.Sprintf("UPDATE %s.a SET v = 'ok' WHERE id = 7", db)) // the letter of its first change is late
	s.arrived()

	count := func(state string) int {
		t.Helper()
		r := s.run("dlq", "list", "copy", "-state", state, "-json")
		var page deadletter.Page
		if err := json.Unmarshal([]byte(r.out), &page); err != nil || r.code != exitOK {
			t.Fatalf("%v: %s%s", err, r.out, r.err)
		}
		return len(page.Letters)
	}
	if got := count("open"); got != 2*n {
		t.Fatalf("%d dead letters, want %d", got, 2*n)
	}
	s.expect(exitOK, "too long 0", "dlq", "show", "copy", "0")
	s.expect(exitOK, "TASK_PUT", "dlq", "list", "copy")
	s.expect(exitRuntime, "is not taken", "dlq", "retry", "copy", "0")
	s.expect(exitRuntime, fmt.Sprintf("sent 0 of %d", 2*n), "dlq", "retry", "copy", "all")
	if got := count("open"); got != 2*n {
		t.Fatalf("what is refused again makes %d letters of %d", got, 2*n)
	}

	srv.Exec(t, fmt.Sprintf("ALTER TABLE %s.a MODIFY v VARCHAR(20); ALTER TABLE %s.k MODIFY v VARCHAR(20)", to, to))
	for _, rows := range []int{n + 3, n + n/2} { // of k, at which it is killed
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.run("dlq", "retry", "copy", "all") // cut short by the kill
		}()
		for deadline := time.Now().Add(patience); len(srv.Query(t, "SELECT v FROM "+to+".k")) < rows; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nothing is sent again")
			}
		}
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.wait()
		<-done
		p = s.serveWorker()
		s.says(exitOK, "0 RUNNING", "connector", "get", "copy")
	}
	s.says(exitRuntime, "a newer change of its row", "dlq", "retry", "copy", "all")
	if got := count("open"); got != 1 {
		t.Fatalf("%d letters are left, want the one that is late", got)
	}
	for _, q := range []string{"SELECT id, v FROM %s.a ORDER BY id", "SELECT v FROM %s.k ORDER BY v"} {
		want, got := srv.Query(t, fmt.Sprintf(q, db)), srv.Query(t, fmt.Sprintf(q, to))
		if fmt.Sprint(want) != fmt.Sprint(got) {
			t.Errorf("the target has %v, the source %v", got, want)
		}
	}
	s.expect(exitOK, "dropped 1", "dlq", "drop", "copy", "all")
	if open, sent, dropped := count("open"), count("sent"), count("dropped"); open != 0 || sent != 2*n-1 || dropped != 1 {
		t.Errorf("%d open, %d sent, %d dropped", open, sent, dropped)
	}
	s.expect(exitConfig, "has no dead letter 9999", "dlq", "drop", "copy", "9999")
	s.expect(exitConfig, "did you mean retry?", "dlq", "retri", "copy", "1")
	if r := p.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}
