package faults

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/workload"
)

// kills is how often the program is killed; TOWLINE_KILLS sets another number.
func kills(t *testing.T, n int) int {
	if s := os.Getenv("TOWLINE_KILLS"); s != "" {
		v, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("TOWLINE_KILLS=%s is not a number", s)
		}
		return v
	}
	return n
}

// seedOf is where random statements begin. It is the same each time, so that a
// run that fails tells of what has changed; TOWLINE_SEED sets another.
func seedOf(t *testing.T) uint64 {
	s := os.Getenv("TOWLINE_SEED")
	if s == "" {
		return 1
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("TOWLINE_SEED=%s is not a number", s)
	}
	return v
}

// killing kills and starts the program at random moments.
func (r *rig) killing(times int) {
	r.t.Helper()
	for range times {
		if err := r.proc.Start(); err != nil {
			r.t.Fatal(err)
		}
		time.Sleep(50*time.Millisecond + rand.N(900*time.Millisecond))
		if err, ended := r.proc.Ended(0); ended {
			r.t.Fatalf("the program ended by itself: %v\n%s", err, r.proc.LogTail(20))
		}
		r.proc.Kill()
	}
	r.start()
}

// killingWhile kills and starts the program until f is done.
func (r *rig) killingWhile(f func() error) {
	r.t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	for {
		r.killing(1)
		select {
		case err := <-done:
			if err != nil {
				r.t.Fatal(err)
			}
			return
		default:
			r.proc.Kill()
		}
	}
}

func TestKilledAllTheTime(t *testing.T) {
	r := newRig(t, options{rows: 20000, load: workload.Options{Writers: 3, Keyless: false, Types: true, Big: 3000, Pause: 2 * time.Millisecond}})
	stop := r.writing()
	r.killing(kills(t, 50))
	stop()
	r.settle()
}

func TestKilledWithMinimalMetadataAndDDL(t *testing.T) {
	r := newRig(t, options{rows: 5000, load: workload.Options{Writers: 3, DDL: true, Truncate: true, Pause: 2 * time.Millisecond}})
	stop := r.writing()
	r.killing(kills(t, 12))
	stop()
	r.settle()
}

func TestKilledWithFullMetadata(t *testing.T) {
	r := newRig(t, options{rows: 5000, sourceFlags: []mysqltest.Option{mysqltest.Flags("--binlog-row-metadata=FULL"), mysqltest.Compression()},
		load: workload.Options{Writers: 3, DDL: true, Big: 3000, Pause: 2 * time.Millisecond}})
	stop := r.writing()
	r.killing(kills(t, 12))
	stop()
	r.settle()
}

func TestKilledWithoutGTIDs(t *testing.T) {
	r := newRig(t, options{rows: 5000, sourceFlags: []mysqltest.Option{mysqltest.NoGTID()},
		load: workload.Options{Writers: 3, Types: true, Pause: 2 * time.Millisecond}})
	stop := r.writing()
	r.killing(kills(t, 12))
	stop()
	r.settle()
}

// Whole transactions, in order, through one topic of one partition.
func TestKilledWithWholeTransactions(t *testing.T) {
	r := newRig(t, options{rows: 5000, load: workload.Options{Writers: 3, Big: 3000, Pause: 2 * time.Millisecond},
		source: map[string]string{"topic.layout": "single"}, sink: map[string]string{"transaction.mode": "source"}})
	stop := r.writing()
	r.killing(kills(t, 12))
	stop()
	r.settle()
}

// Tables without a key: rows are matched whole, with their multiplicity.
func TestKilledWithKeylessTables(t *testing.T) {
	r := newRig(t, options{rows: 2000, load: workload.Options{Writers: 3, Keyless: true, Pause: 3 * time.Millisecond}})
	stop := r.writing()
	r.killing(kills(t, 12))
	stop()
	r.settle()
}

// Topics of several partitions: order per key holds, between keys it need not.
func TestKilledWithPartitions(t *testing.T) {
	r := newRig(t, options{rows: 3000, load: workload.Options{Writers: 3, Types: true, Big: 3000, Pause: 3 * time.Millisecond},
		source: map[string]string{"topic.creation.default.partitions": "4"}})
	stop := r.writing()
	r.killing(kills(t, 10))
	stop()
	r.settle()
}

// MariaDB as the source, with all that its log has of its own.
func TestKilledOnMariaDB(t *testing.T) {
	r := newRig(t, options{rows: 5000, sourceFlags: []mysqltest.Option{mysqltest.MariaDB(), mysqltest.Flags("--log-bin-compress=ON", "--binlog-row-metadata=MINIMAL")},
		load: workload.Options{Writers: 3, DDL: true, Truncate: true, Keyless: true, Big: 3000, Collation: "utf8mb4_general_ci", Pause: 2 * time.Millisecond}})
	stop := r.writing()
	r.killing(kills(t, 8))
	stop()
	r.settle()
}
