package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// feed makes b a replica of a.
func feed(t *testing.T, a, b *mysqltest.Server, more string) {
	t.Helper()
	b.Exec(t, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '%s', SOURCE_PORT = %d, SOURCE_USER = '%s', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1%s; START REPLICA",
		a.Host, a.Port, a.User, more))
}

// executed is what a server has.
func executed(t *testing.T, s *mysqltest.Server) string {
	t.Helper()
	return strings.ReplaceAll(s.Query(t, "SELECT @@gtid_executed")[0][0], "\n", "")
}

// caughtUp waits until b has all that a has, and then ends the replication.
func caughtUp(t *testing.T, a, b *mysqltest.Server) {
	t.Helper()
	if got := b.Query(t, "SELECT WAIT_FOR_EXECUTED_GTID_SET('"+executed(t, a)+"', 600)")[0][0]; got != "0" {
		t.Fatal("the replica does not catch up")
	}
	b.Exec(t, "STOP REPLICA; RESET REPLICA ALL")
}

// moveTo has r read from another server.
func (r *rig) moveTo(s *mysqltest.Server) { r.srv, r.values[optPort] = s, fmt.Sprint(s.Port) }

// What was delivered and is not on the new server is reported with the tables
// that it changed, and given up only on request: then those are read anew.
func TestLostInFailover(t *testing.T) {
	a, b := mysqltest.Start(t), mysqltest.Start(t)
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY); CREATE TABLE y (id INT PRIMARY KEY); CREATE TABLE z (id INT PRIMARY KEY); CREATE TABLE w (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	r.exec(t, "INSERT INTO x VALUES (1); INSERT INTO y VALUES (1); INSERT INTO z VALUES (1); INSERT INTO w VALUES (1)")
	feed(t, a, b, "")
	caughtUp(t, a, b)
	kept := executed(t, a)
	r.exec(t, "INSERT INTO x VALUES (2); BEGIN; DELETE FROM y; INSERT INTO x VALUES (3); COMMIT; CREATE TABLE v (id INT PRIMARY KEY); ALTER TABLE w ADD COLUMN n INT")
	tp := newTape(nil)
	until(t, s, tp)
	s.Close()
	lost := b.Query(t, "SELECT GTID_SUBTRACT('"+executed(t, a)+"', '"+kept+"')")[0][0]
	b.Exec(t, "INSERT INTO "+r.db+".z VALUES (2)") // of the new server alone

	r.moveTo(b)
	words := []string{lost, "4 in all", optLost, fmt.Sprintf("%[1]s.v, %[1]s.w, %[1]s.x, %[1]s.y;", r.db)}
	less := strings.TrimSuffix(lost, lost[len(lost)-1:]) // one less, or other ones
	after := givenUpOnRequest(t, r, tp.stops[len(tp.stops)-1], lost, less, words, "INSERT INTO x VALUES (4); INSERT INTO w VALUES (4)")
	diff(t, after.texts(), []string{"t v end", "t w end", "t x end", "t y end", "s w id int reread end", "s x id int reread end", "s y id int reread end",
		"c z (2) end", "c x (4) end", "c w (4) end"})
	for _, rec := range after.records[7:] {
		if rec.seq>>connect.SeqEpochShift != 1 {
			t.Errorf("%s has seq %x", rec.text, rec.seq)
		}
	}
}

// givenUpOnRequest checks that r, which reads from a server that lacks what was lost, is refused
// with all words, also where something other than that is given up. It returns what
// comes when the lost is given up and sql is executed; after that it is done with.
func givenUpOnRequest(t *testing.T, r *rig, at stopAt, lost, other string, words []string, sql string) *tape {
	t.Helper()
	open := func() (*Source, error) {
		s := r.source(t)
		s.settings.commitWait = 100 * time.Millisecond
		err := s.Open(t.Context(), at.pos, at.state)
		t.Cleanup(func() { s.Close() })
		return s, err
	}
	_, err := open()
	if !connect.IsPermanent(err) || errors.Is(err, connect.ErrPositionLost) {
		t.Fatal(err)
	}
	for _, want := range words {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	r.values[optLost] = other
	if _, err := open(); err == nil || !strings.Contains(err.Error(), lost) {
		t.Fatalf("%s is not given up: %v", lost, err)
	}
	r.values[optLost] = lost
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	r.exec(t, sql)
	after := newTape(at.state)
	until(t, s, after)
	delete(r.values, optLost)
	at = after.stops[len(after.stops)-1]
	if s, err = open(); err != nil {
		t.Fatal(err)
	}
	r.exec(t, "INSERT INTO y VALUES (5)")
	rest := newTape(at.state)
	until(t, s, rest)
	diff(t, rest.texts(), []string{"c y (5) end"})
	return after
}

// Of a large transaction a part may be out when the server is exchanged, and
// the new one may have it later or never.
func TestPartialInFailover(t *testing.T) {
	a, b := mysqltest.Start(t), mysqltest.Start(t)
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000)); CREATE TABLE y (id INT PRIMARY KEY)")
	feed(t, a, b, "")
	caughtUp(t, a, b)
	s := r.open(t, nil, nil)
	r.exec(t, "INSERT INTO y VALUES (1); INSERT INTO x (v) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT REPEAT('v', 1000) FROM n")
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
	feed(t, a, b, "")
	caughtUp(t, a, b)
	r.moveTo(b)
	last := tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, tp.entries())
	after := newTape(tp.entries())
	until(t, s, after)
	if got := after.texts(); len(got) != 902 || got[0] != "t x end" || got[1] != "s x id int,v varchar reread end" {
		t.Errorf("%d records, which begin with %q", len(got), got[:min(len(got), 3)])
	}
	if _, ok := after.state[keyPartial]; !ok || after.state[keyPartial] != nil {
		t.Error("the part is not forgotten")
	}
	// On the same server the rest comes, and all is numbered as before.
	r.moveTo(a)
	s = r.open(t, last.pos, tp.entries())
	after = newTape(tp.entries())
	until(t, s, after)
	if got := after.records; got[len(got)-1].seq != 901 {
		t.Errorf("the last change has seq %d", got[len(got)-1].seq)
	}
	for _, text := range after.texts() {
		if strings.HasPrefix(text, "t ") || strings.HasPrefix(text, "s ") {
			t.Errorf("%s on the same server", text)
		}
	}
}

// A replica that is only late has lost nothing.
func TestReplicaThatIsBehind(t *testing.T) {
	a, b := mysqltest.Start(t), mysqltest.Start(t)
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	r.exec(t, "INSERT INTO x VALUES (1)")
	tp := newTape(nil)
	until(t, s, tp)
	s.Close()
	feed(t, a, b, ", SOURCE_DELAY = 3600")
	r.values[optPort] = fmt.Sprint(b.Port)
	last := tp.stops[len(tp.stops)-1]
	s = r.source(t)
	s.settings.commitWait = 10 * time.Millisecond
	err := s.Open(t.Context(), last.pos, last.state)
	if err == nil || connect.IsPermanent(err) || !errors.Is(err, errBehind) {
		t.Fatal(err)
	}
	b.Exec(t, "STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 0; START REPLICA")
	caughtUp(t, a, b)
	r.open(t, last.pos, last.state)
}

// The log is never read from a server that was not asked whether it fits.
func TestLogOfAnotherServer(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	until(t, s, tp)
	pos, err := parsePosition(tp.stops[0].pos)
	if err != nil {
		t.Fatal(err)
	}
	pos.server[0]++
	if _, _, err := s.settings.openDump(t.Context(), &pos); !errors.Is(err, errTwoServers) || connect.IsPermanent(err) {
		t.Fatal(err)
	}
}

// An address that has moved is noticed although the server that it has left
// still answers, and is silent.
func TestAddressMoves(t *testing.T) {
	a, b := mysqltest.Start(t), mysqltest.Start(t)
	r := newRig(t, a)
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY)")
	feed(t, a, b, "")
	caughtUp(t, a, b)
	addressMoves(t, r, b, "leads to server "+b.Query(t, "SELECT @@server_uuid")[0][0])
}

// addressMoves has r read over an address that moves to b, and checks that it goes on
// there, after an error that says text.
func addressMoves(t *testing.T, r *rig, b *mysqltest.Server, text string) {
	t.Helper()
	p := r.srv.Proxy(t)
	r.values[optHost], r.values[optPort] = p.Host(), fmt.Sprint(p.Port())
	s := r.source(t)
	s.settings.lookEvery = 20 * time.Millisecond
	if err := s.Open(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tp := newTape(nil)
	until(t, s, tp)
	p.Point(b.Addr())
	r.srv = b
	r.exec(t, "INSERT INTO x VALUES (1)")
	var err error
	for err == nil {
		var batch connect.Batch
		err = s.Read(t.Context(), &batch)
		tp.add(&batch)
	}
	if !strings.Contains(err.Error(), text) || connect.IsPermanent(err) {
		t.Fatal(err)
	}
	s.Close()
	last := tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, last.state)
	until(t, s, tp)
	diff(t, tp.texts(), []string{"c x (1) end"})
}

// A server that is gone without a word is found by its silence, and one that
// ends the connection of a reader that takes nothing has it back from where it
// was.
func TestSilence(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	r.exec(t, "CREATE TABLE x (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000))")
	p := r.srv.Proxy(t)
	r.values[optHost], r.values[optPort] = p.Host(), fmt.Sprint(p.Port())
	r.values[optNetWrite] = "1"
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	until(t, s, tp)
	// Nobody reads, and more is written than all buffers hold: the server waits
	// for a second and gives up. Then, or without it, all is to come.
	r.exec(t, "SET cte_max_recursion_depth = 100000; INSERT INTO x (v) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT REPEAT('v', 1000) FROM n")
	time.Sleep(2500 * time.Millisecond)
	last := tp.stops[len(tp.stops)-1]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for err := untilErr(ctx, s, tp); err != nil; err = untilErr(ctx, s, tp) {
		if connect.IsPermanent(err) || ctx.Err() != nil {
			t.Fatal(err)
		}
		t.Logf("after %d records: %v", len(tp.records), err)
		s.Close()
		delete(r.values, optNetWrite) // a busy machine may not read all of it within a second
		last = tp.stops[len(tp.stops)-1]
		tp.records = tp.records[:last.records]
		s = r.open(t, last.pos, last.state)
	}
	if n := len(tp.records); n != 20000 || tp.records[n-1].seq != 20000 {
		t.Fatalf("%d records", n)
	}
	s.Close()
	r.values[optLogHeartbeat] = "100"
	last = tp.stops[len(tp.stops)-1]
	s = r.open(t, last.pos, last.state)
	p.Freeze()
	defer p.Thaw()
	var err error
	for err == nil {
		var b connect.Batch
		err = s.Read(ctx, &b)
	}
	if connect.IsPermanent(err) || !strings.Contains(err.Error(), "silent for too long") {
		t.Fatal(err)
	}
}
