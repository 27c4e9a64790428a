package faults

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/workload"
)

// What is read from a replica, that applies with several workers and may be
// written to by nobody else, is what its source has.
func TestReadFromReplica(t *testing.T) {
	var replica *mysqltest.Server
	r := newRig(t, options{rows: 2000, load: workload.Options{Writers: 3, Keyless: true, Types: true, DDL: true, XA: true, JSON: true, Big: 1500, Pause: 5 * time.Millisecond},
		sourceAddr: func(r *rig) (string, int) {
			replica = mysqltest.Start(t)
			follow(t, replica, r.source)
			catchUp(t, replica, r.source)
			return replica.Host, replica.Port
		}})
	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil { // what comes from here on comes by the log
		t.Fatal(err)
	}
	stop := r.writing()
	for range kills(t, 3) {
		time.Sleep(500*time.Millisecond + rand.N(time.Second))
		r.proc.Kill()
		r.start()
	}
	stop()
	catchUp(t, replica, r.source)
	r.settle()
}

// follow makes a server a replica of another.
func follow(t *testing.T, replica, source *mysqltest.Server) {
	t.Helper()
	replica.Exec(t, fmt.Sprintf("SET GLOBAL super_read_only = ON; CHANGE REPLICATION SOURCE TO SOURCE_HOST = '%s', SOURCE_PORT = %d, SOURCE_USER = '%s', "+
		"SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1; START REPLICA", source.Host, source.Port, source.User))
}

// takeOver makes the replica the server that is written to, when it has all
// that the source has, which is written to no more.
func takeOver(t *testing.T, replica, source *mysqltest.Server) {
	t.Helper()
	source.Exec(t, "SET GLOBAL super_read_only = ON")
	catchUp(t, replica, source)
	replica.Exec(t, "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF")
}

// catchUp waits until the replica has all that the source has now.
func catchUp(t *testing.T, replica, source *mysqltest.Server) {
	t.Helper()
	set := source.Query(t, "SELECT @@GLOBAL.gtid_executed")[0][0]
	if answer := replica.Query(t, "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 540)", set)[0][0]; answer != "0" {
		t.Fatalf("the replica has not all that the source has: %v", replica.Query(t, "SHOW REPLICA STATUS"))
	}
}
