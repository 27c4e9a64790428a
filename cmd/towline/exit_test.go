package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

// fileSink is a connector that needs nothing outside.
const fileSink = `{"name": "out", "config": {"connector.class": "file", "topics": "t", "file": "out.jsonl"}}`

func TestExitCodesWithoutServer(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  []string
		file  string // content of c.json
		code  int
		wants []string // in stdout or stderr
	}{
		{"help", []string{"help"}, "", exitOK, []string{"towline run", "Exit codes"}},
		{"no command", nil, "", exitOK, []string{"towline run"}},
		{"help of a command", []string{"run", "-h"}, "", exitOK, []string{"-data-dir", "-retention"}},
		{"version", []string{"version"}, "", exitOK, []string{"towline dev"}},
		{"unknown command", []string{"rum"}, "", exitConfig, []string{`there is no command "rum"`, "towline run"}},
		{"unknown flag", []string{"run", "--data", "x", "c.json"}, fileSink, exitConfig, []string{"flag provided but not defined: -data"}},
		{"bad flag", []string{"run", "--retention", "long", "c.json"}, fileSink, exitConfig, []string{`invalid value "long"`, "-retention"}},
		{"bad log level", []string{"run", "--log-level", "loud", "c.json"}, fileSink, exitConfig, []string{`"loud" is not one of debug, info, warn, error`}},
		{"bad log format", []string{"run", "--log-format", "xml", "c.json"}, fileSink, exitConfig, []string{`"xml" is neither text nor json`}},
		{"no file", []string{"run"}, "", exitConfig, []string{"name at least one connector file"}},
		{"no file for doctor", []string{"doctor"}, "", exitConfig, []string{"name at least one connector file"}},
		{"missing file", []string{"run", "no-such.json"}, "", exitConfig, []string{"no-such.json", "no such file"}},
		{"invalid JSON", []string{"run", "c.json"}, "{\n\"name\": \"out\",\n}", exitConfig, []string{"c.json", "line 3"}},
		{"unknown key", []string{"run", "c.json"}, strings.Replace(fileSink, `"file":`, `"fiel":`, 1), exitConfig, []string{"fiel", "did you mean file?"}},
		{"unknown class", []string{"doctor", "c.json"}, strings.Replace(fileSink, `"file",`, `"flie",`, 1), exitConfig, []string{`no connector "flie"; did you mean file?`}},
		{"no variable", []string{"doctor", "c.json"}, strings.Replace(fileSink, "out.jsonl", "${env:TOWLINE_TEST_NOT_SET}", 1), exitConfig, []string{"no variable TOWLINE_TEST_NOT_SET"}},
		{"one name twice", []string{"run", "c.json", "c.json"}, fileSink, exitConfig, []string{"two connectors have this name"}},
		{"all faults of all files", []string{"doctor", "c.json", "no-such.json"}, strings.Replace(fileSink, `"file":`, `"fiel":`, 1), exitConfig, []string{"fiel", "no-such.json"}},
		{"doctor", []string{"doctor", "c.json"}, fileSink, exitOK, []string{"out (file)", "Nothing keeps Towline from working"}},
		{"status without a running one", []string{"status"}, "", exitEnvironment, []string{"no running towline is known in towline-data", "-address"}},
		{"status of a silent address", []string{"status", "--address", "127.0.0.1:1"}, "", exitEnvironment, []string{"towline does not answer"}},
		{"status with an argument", []string{"status", "shop"}, "", exitConfig, []string{`no argument "shop"`}},
		{"unknown plug-in", []string{"plugins", "kafka"}, "", exitConfig, []string{`no plug-in "kafka"`}},
		{"data folder without parent", []string{"run", "--data-dir", "a/b", "c.json"}, fileSink, exitEnvironment, []string{"its parent a does not exist"}},
		{"data folder is a file", []string{"run", "--data-dir", "c.json", "c.json"}, fileSink, exitEnvironment, []string{"it is a file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t)
			if c.file != "" {
				s.write("c.json", c.file)
			}
			r := s.run(c.args...)
			if r.code != c.code {
				t.Errorf("exit code %d, want %d", r.code, c.code)
			}
			for _, want := range c.wants {
				if !strings.Contains(r.out+r.err, want) {
					t.Errorf("nowhere %q", want)
				}
			}
			if n := strings.Count(r.err, "flag provided"); n > 1 {
				t.Errorf("said %d times", n)
			}
			if t.Failed() {
				t.Logf("stdout:\n%s\nstderr:\n%s", r.out, r.err)
			}
		})
	}
}

func TestDataFolderInUse(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.write("c.json", fileSink)
	first := s.serve("c.json")
	second := s.run("run", "--listen", "", "c.json")
	holder := fmt.Sprintf("process %d has it open", first.cmd.Process.Pid)
	if second.code != exitEnvironment || !strings.Contains(second.err, holder) {
		t.Errorf("exit code %d; want %d and %q in:\n%s", second.code, exitEnvironment, holder, second.err)
	}
	if r := first.stop(); r.code != exitOK {
		t.Errorf("exit code %d after SIGINT:\n%s", r.code, r.err)
	}
	if r := s.run("status"); r.code != exitEnvironment {
		t.Errorf("status after the end: exit code %d:\n%s", r.code, r.out)
	}
	if r := s.serve("c.json").stop(); r.code != exitOK {
		t.Errorf("second life: exit code %d:\n%s", r.code, r.err)
	}
}

func TestStatusAfterKill(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.write("c.json", fileSink)
	p := s.serve("c.json")
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait()
	if r := s.run("status"); r.code != exitEnvironment || !strings.Contains(r.err, "does not answer") {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newSandbox(t)
	s.write("c.json", fileSink)
	r := s.run("run", "--listen", l.Addr().String(), "c.json")
	for _, want := range []string{"address already in use", "-listen"} {
		if r.code != exitEnvironment || !strings.Contains(r.err, want) {
			t.Errorf("exit code %d, want %d and %q in:\n%s", r.code, exitEnvironment, want, r.err)
		}
	}
	if strings.Contains(r.err, "panic") || strings.Contains(r.err, "goroutine") {
		t.Errorf("a crash:\n%s", r.err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "towline-data", "PID")); err == nil {
		t.Error("the log was not closed")
	}
	if r := s.serve("c.json").stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}

// source returns a connector file for a server.
func source(srv *mysqltest.Server, user, password, db string) string {
	return fmt.Sprintf(`{"name": "in", "config": {"connector.class": "mysql", "database.hostname": %q, "database.port": %d, "database.user": %q,
		"database.password": %q, "database.include.list": %q, "topic.prefix": "t"}}`, srv.Host, srv.Port, user, password, db)
}

// target returns a connector file that copies topics into a database.
func target(srv *mysqltest.Server, user, password, db string) string {
	return fmt.Sprintf(`{"name": "copy", "config": {"connector.class": "jdbc", "connection.url": "jdbc:mysql://%s/%s", "topics.regex": "t\\..*",
		"connection.user": %q, "connection.password": %q}}`, srv.Addr(), db, user, password)
}

func TestDoctorAndRunWithRealServer(t *testing.T) {
	srv := mysqltest.Shared(t)
	db := srv.CreateDB(t)
	srv.Exec(t, "CREATE TABLE "+db+".a (id INT PRIMARY KEY); INSERT INTO "+db+".a VALUES (1), (2)")
	s := newSandbox(t)
	s.write("good.json", source(srv, srv.User, srv.Password, db))
	s.write("wrong.json", source(srv, "nobody", "wrong", db))
	s.write("away.json", strings.Replace(source(srv, srv.User, srv.Password, db), fmt.Sprint(srv.Port), "1", 1))
	s.write("copy.json", target(srv, srv.User, srv.Password, db+"_copy"))
	s.write("wrong-copy.json", target(srv, "nobody", "wrong", db+"_copy"))
	t.Cleanup(func() { srv.DB().Exec("DROP DATABASE IF EXISTS " + db + "_copy") })
	for _, c := range []struct {
		file string
		code int
		want string
	}{
		{"good.json", exitOK, "1 tables are captured"},
		{"copy.json", exitOK, "answers"},
		{"wrong.json", exitEnvironment, "1 fault keeps Towline from working"},
		{"wrong-copy.json", exitEnvironment, "1 fault keeps Towline from working"},
		{"away.json", exitEnvironment, "nothing listens there"},
	} {
		if r := s.run("doctor", c.file); r.code != c.code || !strings.Contains(r.out, c.want) {
			t.Errorf("doctor %s: exit code %d, want %d and %q in:\n%s%s", c.file, r.code, c.code, c.want, r.out, r.err)
		}
	}
	// A login that the server refuses ends the only task, and so the run.
	if r := s.run("run", "--listen", "", "wrong.json"); r.code != exitRuntime || !strings.Contains(r.err, "check database.user, database.password") {
		t.Errorf("run with a wrong password: exit code %d:\n%s", r.code, r.err)
	}
	copyAndStop(t, s, srv, db)
	waitFindsFaults(t, s)
	waitFindsStoppedTables(t, s, srv, db)
}

// copyAndStop runs a pipeline twice, the second time from where it was.
func copyAndStop(t *testing.T, s *sandbox, srv *mysqltest.Server, db string) {
	t.Helper()
	for _, want := range []string{"2", "3"} {
		p := s.serve("good.json", "copy.json")
		if r := s.run("status", "--wait"); r.code != exitOK || !strings.Contains(r.out, "has arrived") {
			t.Errorf("status --wait: exit code %d:\n%s%s", r.code, r.out, r.err)
		}
		if got := srv.Query(t, "SELECT COUNT(*) FROM "+db+"_copy.a")[0][0]; got != want {
			t.Errorf("%s rows have arrived, want %s", got, want)
		}
		if r := p.stop(); r.code != exitOK || !strings.Contains(r.err, "towline stopped") {
			t.Errorf("exit code %d after SIGINT:\n%s", r.code, r.err)
		}
		srv.Exec(t, "INSERT IGNORE INTO "+db+".a VALUES (3)")
	}
}

// waitFindsFaults runs a pipeline whose sink is not let in.
func waitFindsFaults(t *testing.T, s *sandbox) {
	t.Helper()
	p := s.serve("good.json", "wrong-copy.json")
	r := s.run("status", "--wait", "--timeout", "3m")
	if r.code != exitRuntime || !strings.Contains(r.err, "copy-0 has failed") {
		t.Errorf("status --wait beside a task that has failed: exit code %d:\n%s%s", r.code, r.out, r.err)
	}
	if r := p.stop(); r.code != exitRuntime {
		t.Errorf("the end of a run with a failed task: exit code %d:\n%s", r.code, r.err)
	}
}

// waitFindsStoppedTables makes a change that is not in the log as a whole row.
func waitFindsStoppedTables(t *testing.T, s *sandbox, srv *mysqltest.Server, db string) {
	t.Helper()
	srv.Exec(t, "CREATE TABLE "+db+".doc (id INT PRIMARY KEY, j JSON); INSERT INTO "+db+".doc VALUES (1, JSON_OBJECT('a', REPEAT('x', 1000), 'b', 12345678))")
	p := s.serve("good.json", "copy.json")
	srv.Exec(t, "SET SESSION binlog_row_image = MINIMAL; UPDATE "+db+".doc SET j = JSON_SET(j, '$.b', 1); SET SESSION binlog_row_image = DEFAULT")
	for _, form := range []string{"--json=false", "--json"} {
		r := s.run("status", "--wait", form)
		if want := "table " + db + ".doc of in is stopped: "; r.code != exitRuntime || !strings.Contains(r.err, want) {
			t.Errorf("status --wait %s with a stopped table: exit code %d, want %d and %q in:\n%s%s", form, r.code, exitRuntime, want, r.out, r.err)
		}
	}
	if r := s.run("status"); r.code != exitOK || !strings.Contains(r.out, "binlog_row_image") {
		t.Errorf("status with a stopped table: exit code %d:\n%s%s", r.code, r.out, r.err)
	}
	if r := p.stop(); r.code != exitOK {
		t.Errorf("exit code %d:\n%s", r.code, r.err)
	}
}
