package mysql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

// findings returns what the doctor says, a line each.
func findings(t *testing.T, r *rig, needs Needs) string {
	t.Helper()
	list, err := CheckFor(t.Context(), r.config(), needs)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range list {
		text := "warn"
		if f.OK {
			text = "ok"
		} else if f.Fatal {
			text = "fatal"
		}
		fmt.Fprintf(&b, "%s %s => %s\n", text, f.What, f.Fix)
	}
	return b.String()
}

// Each right that is missing is named with the statement that gives it.
func TestMissingRights(t *testing.T) {
	srv := mysqltest.Shared(t)
	r := newRig(t, srv)
	user := "u" + r.db[len(r.db)-8:]
	r.exec(t, fmt.Sprintf(`CREATE TABLE good (id INT PRIMARY KEY); CREATE TABLE bag (id INT); CREATE TABLE beat (n INT PRIMARY KEY); CREATE TABLE half (id INT PRIMARY KEY, secret INT);
		CREATE TABLE sig (id INT PRIMARY KEY, type INT); CREATE USER %[1]s@'%%' IDENTIFIED BY 'x'; GRANT INSERT ON %[2]s.* TO %[1]s@'%%'; GRANT SELECT (id) ON %[2]s.half TO %[1]s@'%%'`, user, r.db))
	t.Cleanup(func() { _, _ = srv.DB().Exec("DROP USER " + user) })
	r.values[optUser], r.values[optPassword] = user, "x"
	r.values[optActionQuery], r.values[optHeartbeat] = "UPDATE "+r.db+".beat SET n = n + 1", "1000"
	needs := Needs{SignalTable: r.db + ".sig", Locks: true}
	missing := []struct{ want, grant string }{
		{"fatal the user lacks REPLICATION SLAVE => GRANT REPLICATION SLAVE ON *.* TO '" + user + "'@'%'", "REPLICATION SLAVE ON *.*"},
		{"fatal the user lacks REPLICATION CLIENT", "REPLICATION CLIENT ON *.*"},
		{"fatal the user may not read table `" + r.db + "`.`good`", "SELECT ON " + r.db + ".good"},
		{"fatal the user may not read table `" + r.db + "`.`half`", "SELECT ON " + r.db + ".half"},
		{"fatal " + optActionQuery + " cannot be executed: ", "SELECT, UPDATE ON " + r.db + ".beat"},
		{"warn the user lacks LOCK TABLES on table `" + r.db + "`.`bag`", "LOCK TABLES ON " + r.db + ".*"},
		{"fatal the user may not read table `" + r.db + "`.`bag`", "SELECT ON " + r.db + ".*"},
	}
	for _, m := range missing {
		if text := findings(t, r, needs); !strings.Contains(text, m.want) {
			t.Fatalf("%q is not among\n%s", m.want, text)
		}
		srv.Exec(t, "GRANT "+m.grant+" TO "+user+"@'%'")
		if text := findings(t, r, needs); strings.Contains(text, m.want) {
			t.Fatalf("%q is among, after the grant\n%s", m.want, text)
		}
	}
	text := findings(t, r, needs)
	if want := "fatal the table of signals " + r.db + ".sig lacks the columns data"; strings.Count(text, "fatal") != 1 || !strings.Contains(text, want) {
		t.Errorf("%q is not all that is wrong in\n%s", want, text)
	}
	if text := findings(t, r, Needs{SignalTable: r.db + ".none"}); !strings.Contains(text, "fatal the table of signals "+r.db+".none is not captured") {
		t.Errorf("a table of signals that is not there is not among\n%s", text)
	}
}

func TestRights(t *testing.T) {
	var r rights
	for _, line := range []string{"GRANT USAGE ON *.* TO `u`@`%`", "GRANT SELECT, LOCK TABLES ON `shop\\_a%`.* TO `u`@`%`", "GRANT ALL PRIVILEGES ON `a``b`.* TO `u`@`%`",
		"GRANT SELECT (`id`) ON `other`.`t` TO `u`@`%`", "GRANT DELETE ON `other`.`t` TO `u`@`%`"} {
		r.add(line)
	}
	for _, c := range []struct {
		database, privilege string
		want                bool
	}{
		{"shop_a", "SELECT", true}, {"shop_abc", "LOCK TABLES", true}, {"shopxa", "SELECT", false}, {"shop_a", "INSERT", false},
		{"a`b", "INSERT", true}, {"other", "SELECT", false}, {"other", "DELETE", false},
	} {
		if got := r.on(c.database, c.privilege); got != c.want {
			t.Errorf("%s on %s: %v", c.privilege, c.database, got)
		}
	}
}

func TestCheckOfReplicas(t *testing.T) {
	a, b := mysqltest.Start(t), mysqltest.Start(t, mysqltest.Flags("--log-replica-updates=OFF"))
	r := newRig(t, b)
	if text := findings(t, r, Needs{}); !strings.Contains(text, "warn log_replica_updates is OFF") {
		t.Errorf("no word of log_replica_updates:\n%s", text)
	}
	feed(t, a, b, "")
	if text := findings(t, r, Needs{}); !strings.Contains(text, "fatal the server is a replica and log_replica_updates is OFF") {
		t.Errorf("no word of the replica:\n%s", text)
	}
	b.Exec(t, "STOP REPLICA")
	if text := findings(t, r, Needs{}); !strings.Contains(text, "warn the server is a replica of 127.0.0.1, and its replication does not run") {
		t.Errorf("no word of the replication that stands still:\n%s", text)
	}
}
