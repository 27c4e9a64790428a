package mysql

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/snapshot"
)

func dialTo(srv *mysqltest.Server) Dialer { return Dial(srv.Addr(), srv.User, srv.Password) }

func TestLoadOfTheSource(t *testing.T) {
	srv := mysqltest.Shared(t)
	for _, c := range []struct {
		max, critical []snapshot.Load
		why           string
		isCritical    bool
	}{
		{nil, nil, "", false},
		{[]snapshot.Load{{Variable: "Threads_running", Most: 1000}, {Variable: "uptime", Most: 1 << 40}}, nil, "", false},
		{[]snapshot.Load{{Variable: "threads_running", Most: 0}}, nil, "threads_running is ", false},
		{[]snapshot.Load{{Variable: "Threads_running", Most: 0}}, []snapshot.Load{{Variable: "Threads_connected", Most: 0}}, "Threads_connected is ", true},
		{[]snapshot.Load{{Variable: "Thread_running", Most: 5}}, nil, "no status variable Thread_running", false},
	} {
		b := NewBrake(&snapshot.Throttle{MaxLoad: c.max, CriticalLoad: c.critical}, dialTo(srv))
		why, critical := b.Look(t.Context(), false)
		if (why == "") != (c.why == "") || !strings.Contains(why, c.why) || critical != c.isCritical {
			t.Errorf("%+v: %q, critical %v", c, why, critical)
		}
		b.Close()
	}
}

func TestRestEndsWellBelowTheLimit(t *testing.T) {
	for _, c := range []struct {
		value   int64
		resting bool
		want    bool
	}{{10, false, false}, {11, false, true}, {10, true, true}, {9, true, true}, {8, true, false}} {
		if got := above(c.value, 10, c.resting); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// A real replica lags, stops, and is away.
func TestLagOfReplicas(t *testing.T) {
	source, replica := mysqltest.Start(t), mysqltest.Start(t)
	b := NewBrake(&snapshot.Throttle{MaxLag: time.Second}, dialTo(source))
	b.Watch(replica.Addr(), dialTo(replica))
	t.Cleanup(b.Close)
	resting := false
	look := func(want string) {
		t.Helper()
		why := ""
		for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			why, _ = b.Look(t.Context(), resting)
			resting = why != ""
			if (why == "") == (want == "") && strings.Contains(why, want) {
				return
			}
		}
		t.Fatalf("the brake says %q, want %q", why, want)
	}
	look("does not replicate")
	replica.Exec(t, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '%s', SOURCE_PORT = %d, SOURCE_USER = '%s', SOURCE_AUTO_POSITION = 1, "+
		"GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1; START REPLICA", source.Host, source.Port, source.User))
	source.Exec(t, "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY)")
	look("")
	replica.Exec(t, "STOP REPLICA SQL_THREAD; CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 3600")
	look("does not replicate")
	replica.Exec(t, "START REPLICA SQL_THREAD")
	source.Exec(t, "INSERT INTO d.t VALUES (1)")
	look("lags by")
	replica.Exec(t, "STOP REPLICA SQL_THREAD; CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 0; START REPLICA SQL_THREAD")
	look("")
	if err := replica.Stop(); err != nil {
		t.Fatal(err)
	}
	look("is not known")
	if err := replica.Restart(); err != nil {
		t.Fatal(err)
	}
	look("")
}
