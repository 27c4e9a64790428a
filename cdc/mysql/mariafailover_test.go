package mysql

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// mariaPair is a MariaDB server and one that replicates from it.
func mariaPair(t *testing.T) (a, b *mysqltest.Server) {
	t.Helper()
	start := func(id uint32) *mysqltest.Server {
		return mysqltest.Start(t, mysqltest.MariaDB(), mysqltest.ServerID(id), mysqltest.Flags("--log-slave-updates=ON", "--gtid-strict-mode=ON"))
	}
	a, b = start(1), start(2)
	// Both have transactions of their own, of the template's users.
	a.Exec(t, "RESET MASTER")
	b.Exec(t, "RESET MASTER")
	return a, b
}

// feedMaria makes b a replica of a.
func feedMaria(t *testing.T, a, b *mysqltest.Server, more string) {
	t.Helper()
	b.Exec(t, fmt.Sprintf("CHANGE MASTER TO MASTER_HOST = '%s', MASTER_PORT = %d, MASTER_USER = '%s', MASTER_USE_GTID = slave_pos%s; START SLAVE", a.Host, a.Port, a.User, more))
}

func lastOf(t *testing.T, s *mysqltest.Server) string {
	t.Helper()
	return s.Query(t, "SELECT @@gtid_binlog_pos")[0][0]
}

// caughtUpMaria waits until b has all that a has, and then ends the replication.
func caughtUpMaria(t *testing.T, a, b *mysqltest.Server) {
	t.Helper()
	if got := b.Query(t, "SELECT MASTER_GTID_WAIT('"+lastOf(t, a)+"', 600)")[0][0]; got != "0" {
		t.Fatal("the replica does not catch up")
	}
	b.Exec(t, "STOP SLAVE; RESET SLAVE ALL")
}

// A replica of MariaDB goes on where its source was, and back; the epoch tells.
func TestMariaDBFailover(t *testing.T) {
	a, b := mariaPair(t)
	feedMaria(t, a, b, "")
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	r.exec(t, "INSERT INTO t VALUES (1); CREATE TABLE x (id INT PRIMARY KEY); XA START 'a'; INSERT INTO x VALUES (10); XA END 'a'; XA PREPARE 'a'")
	until(t, s, tp)
	s.Close()
	r.exec(t, "INSERT INTO t VALUES (2); ALTER TABLE t ADD COLUMN v INT; INSERT INTO t VALUES (3, 3); SET gtid_domain_id = 9; INSERT INTO t VALUES (4, 4)")
	caughtUpMaria(t, a, b)
	r.moveTo(b)
	last := tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, last.state)
	r.exec(t, "INSERT INTO t VALUES (5, 5); XA COMMIT 'a'") // what was prepared at the old server
	until(t, s, tp)
	s.Close()
	diff(t, tp.texts(), []string{"c t (1) end", "s x id int end", "c t (2) end", "s t id int,v int end", "c t (3,3) end", "c t (4,4) end", "c t (5,5) end", "c x (10) end"})
	if got, want := tp.records[7].seq, uint64(1)<<connect.SeqEpochShift+6; got != want {
		t.Errorf("the last change has seq %x, want %x", got, want)
	}
	feedMaria(t, b, a, "")
	caughtUpMaria(t, b, a)
	r.moveTo(a)
	last = tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, last.state)
	r.exec(t, "INSERT INTO t VALUES (6, 6)")
	after := newTape(last.state)
	until(t, s, after)
	diff(t, after.texts(), []string{"c t (6,6) end"})
}

// What was delivered and MariaDB's other server does not have is reported, with
// the tables that it changed, and given up only on request.
func TestMariaDBLostInFailover(t *testing.T) {
	a, b := mariaPair(t)
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY); CREATE TABLE y (id INT PRIMARY KEY); CREATE TABLE z (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	r.exec(t, "INSERT INTO x VALUES (1); INSERT INTO y VALUES (1); INSERT INTO z VALUES (1)")
	feedMaria(t, a, b, "")
	caughtUpMaria(t, a, b)
	kept := lastOf(t, a)
	r.exec(t, "INSERT INTO x VALUES (2); BEGIN; DELETE FROM y; INSERT INTO x VALUES (3); COMMIT; CREATE TABLE v (id INT PRIMARY KEY)")
	tp := newTape(nil)
	until(t, s, tp)
	s.Close()
	lost := lastOf(t, a)
	// The new server has more, and higher numbers, than what is lost.
	for id := 10; id < 20; id++ {
		b.Exec(t, fmt.Sprintf("INSERT INTO %s.z VALUES (%d)", r.db, id))
	}
	r.moveTo(b)
	words := []string{"after " + kept + " up to " + lost, "at most 3", optLost + " to " + lost, fmt.Sprintf("%[1]s.v, %[1]s.x, %[1]s.y;", r.db)}
	after := givenUpOnRequest(t, r, tp.stops[len(tp.stops)-1], lost, kept, words, "INSERT INTO x VALUES (4)")
	want := []string{"t v end", "t x end", "t y end", "s x id int reread end", "s y id int reread end"}
	for id := 10; id < 20; id++ {
		want = append(want, fmt.Sprintf("c z (%d) end", id))
	}
	diff(t, after.texts(), append(want, "c x (4) end"))
}

// refusal returns why a source does not go on behind a stop, when it is opened or
// while it reads.
func refusal(t *testing.T, r *rig, at stopAt) error {
	t.Helper()
	s := r.source(t)
	defer s.Close()
	if err := s.Open(t.Context(), at.pos, at.state); err != nil {
		return err
	}
	after := newTape(at.state)
	err := untilErr(t.Context(), s, after)
	if err == nil {
		t.Fatalf("went on with %v", after.texts())
	}
	return err
}

// A server that went on without what was delivered may have later transactions of
// the server that made it: its log has a hole there, which is found too.
func TestMariaDBHole(t *testing.T) {
	a, b := mariaPair(t)
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY)")
	feedMaria(t, a, b, "")
	caughtUpMaria(t, a, b)
	s := r.open(t, nil, nil)
	r.exec(t, "INSERT INTO x VALUES (1)")
	tp := newTape(nil)
	until(t, s, tp)
	s.Close()
	b.Exec(t, "INSERT INTO "+r.db+".x VALUES (2); SET server_id = 1; INSERT INTO "+r.db+".x VALUES (3)")
	r.moveTo(b)
	last := tp.stops[len(tp.stops)-1]
	err := refusal(t, r, last)
	if !errors.Is(err, connect.ErrPositionLost) || !strings.Contains(err.Error(), lastOf(t, a)) {
		t.Fatal(err)
	}
}

// What is purged is a position that is lost.
func TestMariaDBPurged(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.MariaDB()))
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	until(t, s, tp)
	s.Close()
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY); INSERT INTO x VALUES (1); FLUSH BINARY LOGS; INSERT INTO x VALUES (2)")
	r.purge(t)
	err := refusal(t, r, tp.stops[0])
	if !errors.Is(err, connect.ErrPositionLost) {
		t.Fatal(err)
	}
}

// A replica that is only late has lost nothing.
func TestMariaDBThatIsBehind(t *testing.T) {
	a, b := mariaPair(t)
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY)")
	feedMaria(t, a, b, "")
	caughtUpMaria(t, a, b)
	s := r.open(t, nil, nil)
	r.exec(t, "INSERT INTO x VALUES (1)")
	tp := newTape(nil)
	until(t, s, tp)
	s.Close()
	feedMaria(t, a, b, ", MASTER_DELAY = 3600")
	r.moveTo(b)
	last := tp.stops[len(tp.stops)-1]
	err := r.source(t).Open(t.Context(), last.pos, last.state)
	if err == nil || connect.IsPermanent(err) || !errors.Is(err, errBehind) {
		t.Fatal(err)
	}
	b.Exec(t, "STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = 0; START SLAVE")
	caughtUpMaria(t, a, b)
	r.open(t, last.pos, last.state)
}

// An address that has moved to another MariaDB server is noticed although the one
// that it has left still answers.
func TestMariaDBAddressMoves(t *testing.T) {
	a, b := mariaPair(t)
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY)")
	feedMaria(t, a, b, "")
	caughtUpMaria(t, a, b)
	addressMoves(t, r, b, "leads to server")
}

// Of a large transaction a part may be out when the server is exchanged. Once all
// of it is, that is forgotten.
func TestMariaDBPartialInFailover(t *testing.T) {
	a, b := mariaPair(t)
	feedMaria(t, a, b, "")
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000)); CREATE TABLE y (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	r.exec(t, "INSERT INTO y VALUES (1); INSERT INTO x (v) SELECT REPEAT('v', 1000) FROM seq_1_to_900")
	tp := newTape(nil)
	var batch connect.Batch
	for len(tp.records) < 300 || batch.Pos != nil {
		batch.Reset()
		if err := s.Read(t.Context(), &batch); err != nil {
			t.Fatal(err)
		}
		tp.add(&batch)
	}
	s.Close()
	caughtUpMaria(t, a, b)
	last := tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, tp.entries()) // on the same server the rest comes
	after := newTape(tp.entries())
	until(t, s, after)
	s.Close()
	if _, ok := after.state[keyPartial]; !ok || after.state[keyPartial] != nil {
		t.Error("the part is not forgotten")
	}
	if texts := after.texts(); len(texts) != 900 {
		t.Errorf("%d records, which begin with %q", len(texts), texts[:min(len(texts), 3)])
	}
	r.moveTo(b)
	s = r.open(t, last.pos, tp.entries())
	after = newTape(tp.entries())
	until(t, s, after)
	if got := after.texts(); len(got) != 902 || got[0] != "t x end" || got[1] != "s x id int,v varchar reread end" {
		t.Errorf("%d records, which begin with %q", len(got), got[:min(len(got), 3)])
	}
}

// Wherever the connection to MariaDB is cut, the sequence of records is the same.
func TestMariaDBCutAfterEveryEvent(t *testing.T) {
	r := newRig(t, mysqltest.Start(t, mysqltest.MariaDB(), mysqltest.Flags("--log-bin-compress=ON", "--log-bin-compress-min-len=10")))
	r.values[optSSLMode] = "disabled"
	rel := newRelay(t, r.srv.Addr())
	r.values[optPort] = strconv.Itoa(rel.ln.Addr().(*net.TCPAddr).Port)
	s := r.open(t, nil, nil)
	for _, step := range mariaStory {
		awaitXA(t, r, step.sql)
		r.exec(t, step.sql)
	}
	r.exec(t, "CREATE TABLE big (id INT PRIMARY KEY, v LONGTEXT); INSERT INTO big SELECT seq, REPEAT('huge', 500) FROM seq_1_to_12; SET binlog_alter_two_phase = ON; ALTER TABLE big ADD COLUMN two INT, ALGORITHM = COPY; DELETE FROM big WHERE id > 3")
	first := newTape(nil)
	readUntil(t, s, first, func(tp *tape) bool { return len(tp.stops) > 0 })
	all := newTape(first.entries())
	until(t, s, all)
	s.Close()
	whole := newTape(nil)
	whole.records = append(append(whole.records, first.records...), all.records...)
	if len(whole.records) < 40 || r.reason("t") != "" || r.reason("big") != "" {
		t.Fatalf("%d records, %s %s", len(whole.records), r.reason("t"), r.reason("big"))
	}
	n := 1
	for ; sweepOnce(t, r, rel, first.stops[0], whole, n); n++ {
	}
	t.Logf("%d cuts, %d records", n-1, len(whole.records))
	if n < 60 {
		t.Errorf("the log has only %d events", n)
	}
}
