package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
)

// Copies wait for a replica, and say so.
func TestCopiesWaitForAReplica(t *testing.T) {
	replica := mysqltest.Start(t)
	r := newRig(t, options{rows: 2000, load: light(), noLedger: true, source: map[string]string{
		"snapshot.throttle.control.replicas": replica.Addr(), "snapshot.throttle.max.load": "Threads_running=1000"}})
	follow(t, replica, r.source)
	replica.Exec(t, "STOP REPLICA SQL_THREAD")
	r.start()
	r.tells(t, "towline_snapshot_throttled", "} 1")
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // it is told table by table
		st, err := r.proc.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		table := st.Table("work.accounts")
		if table.State == "waiting" && strings.Contains(table.Reason, "does not replicate") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", table)
		}
	}
	replica.Exec(t, "START REPLICA SQL_THREAD")
	r.settle()
	r.tells(t, "towline_snapshot_throttled", "} 0")
}

// tells waits until a metric ends in what is wanted.
func (r *rig) tells(t *testing.T, metric, want string) {
	t.Helper()
	line := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		body, err := r.proc.Get(t.Context(), "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(body)) {
			if l = strings.TrimSpace(l); strings.HasPrefix(l, metric+"{") {
				if line = l; strings.HasSuffix(l, want) {
					return
				}
			}
		}
	}
	t.Fatalf("%s is %q, want %s", metric, line, want)
}
