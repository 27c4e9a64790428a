package mysql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// Each fault of a connection says where, what and what to do.
func TestConnectFaults(t *testing.T) {
	srv := mysqltest.Shared(t)
	for _, c := range []struct {
		name      string
		values    map[string]string
		want      []string
		permanent bool
	}{
		{"password", map[string]string{optPassword: "wrong"}, []string{srv.Addr(), "does not let user", optPassword}, true},
		{"name", map[string]string{optHost: "no.such.host.invalid."}, []string{"no.such.host.invalid", optHost}, false},
		{"port", map[string]string{optPort: "1"}, []string{"127.0.0.1:1", "nothing listens", optPort}, false},
		{"authority", map[string]string{optSSLMode: "verify_identity"}, []string{"certificate", optSSLMode}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, srv)
			for k, v := range c.values {
				r.values[k] = v
			}
			err := r.source(t).Open(t.Context(), nil, nil)
			if err == nil {
				t.Fatal("it opens")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if connect.IsPermanent(err) != c.permanent {
				t.Errorf("permanent is %v: %v", !c.permanent, err)
			}
		})
	}
}

func TestLogins(t *testing.T) {
	srv := mysqltest.Start(t)
	r := newRig(t, srv)
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY); CREATE USER sha2@'%' IDENTIFIED WITH caching_sha2_password BY 'geheim'; GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO sha2@'%'")
	users := []string{"sha2"}
	if _, err := srv.DB().Exec("CREATE USER sha256@'%' IDENTIFIED WITH sha256_password BY 'geheim'; GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO sha256@'%'"); err == nil {
		users = append(users, "sha256")
	}
	ca := filepath.Join(srv.DataDir(), "ca.pem")
	for _, user := range users {
		for _, c := range []struct{ mode, ca, fault string }{
			{"disabled", "", ""}, {"preferred", "", ""}, {"required", "", ""}, {"verify_ca", ca, ""}, {"verify_ca", "", "signed by nobody"}, {"verify_identity", ca, "certificate"},
		} {
			t.Run(fmt.Sprintf("%s %s %v", user, c.mode, c.ca != ""), func(t *testing.T) {
				srv.Exec(t, "FLUSH PRIVILEGES") // forgets passwords, so that logins are in full
				r.values[optUser], r.values[optPassword], r.values[optSSLMode], r.values[optSSLCA] = user, "geheim", c.mode, c.ca
				s := r.source(t)
				err := s.Open(t.Context(), nil, nil)
				s.Close()
				if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
					t.Fatalf("%v, want %q", err, c.fault)
				}
			})
		}
	}
}

func TestUnfitServer(t *testing.T) {
	for _, c := range []struct{ flag, want string }{
		{"--skip-log-bin", "log_bin"}, {"--binlog-format=STATEMENT", "binlog_format"},
	} {
		r := newRig(t, mysqltest.Start(t, mysqltest.NoGTID(), mysqltest.Flags(c.flag)))
		err := r.source(t).Open(t.Context(), nil, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !connect.IsPermanent(err) {
			t.Errorf("%s: %v", c.flag, err)
		}
	}
}

func TestPurged(t *testing.T) {
	for _, m := range []struct {
		name string
		opts []mysqltest.Option
		want string
	}{{"gtid", nil, "purged transactions"}, {"file", []mysqltest.Option{mysqltest.NoGTID()}, "has no file"}} {
		t.Run(m.name, func(t *testing.T) {
			r := newRig(t, mysqltest.Start(t, m.opts...))
			r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY)")
			s := r.open(t, nil, nil)
			tp := newTape(nil)
			until(t, s, tp)
			s.Close()
			r.exec(t, "INSERT INTO t VALUES (1); FLUSH BINARY LOGS; INSERT INTO t VALUES (2); FLUSH BINARY LOGS")
			r.purge(t)
			s = r.source(t)
			defer s.Close()
			err := s.Open(t.Context(), tp.stops[0].pos, tp.entries())
			if err == nil {
				var b connect.Batch
				err = s.Read(t.Context(), &b)
			}
			if !errors.Is(err, connect.ErrPositionLost) || !strings.Contains(err.Error(), m.want) {
				t.Fatal(err)
			}
		})
	}
}

func TestLogReset(t *testing.T) {
	r := newRig(t, mysqltest.Start(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY)")
	s := r.open(t, nil, nil)
	tp := newTape(nil)
	until(t, s, tp)
	s.Close()
	r.srv.Exec(t, "RESET BINARY LOGS AND GTIDS")
	s = r.source(t)
	s.settings.commitWait = time.Second
	err := s.Open(t.Context(), tp.stops[0].pos, tp.entries())
	if !errors.Is(err, connect.ErrPositionLost) || !strings.Contains(err.Error(), "does not have them") {
		t.Fatal(err)
	}
}

func TestRival(t *testing.T) {
	r := newRig(t, mysqltest.Shared(t))
	r.open(t, nil, nil)
	o := newRig(t, mysqltest.Shared(t))
	o.values[optServerID] = r.values[optServerID]
	if err := o.source(t).Open(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), optServerID) {
		t.Fatal(err)
	}
	// The same connector once more takes over, and the first one is told.
	s, first := r.source(t), r.open(t, nil, nil)
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY)")
	readUntil(t, first, newTape(nil), func(tp *tape) bool { return len(tp.records) > 0 }) // the server has begun with it
	if err := s.Open(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var b connect.Batch
	for {
		b.Reset()
		if err := first.Read(t.Context(), &b); err != nil {
			if !strings.Contains(err.Error(), optServerID) || !errors.Is(err, connect.ErrFenced) { // which of them has it a cluster knows
				t.Fatal(err)
			}
			return
		}
	}
}

// The workers of a cluster are one reader to the server, on whatever host: who is
// given a task ends the connection of one that hangs.
func TestReaderOfCluster(t *testing.T) {
	id := func(cluster string) string {
		d := dump{s: &settings{connector: "in", serverID: 7, cluster: cluster}}
		return d.uuid()
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if id("a") != id("a") || id("a") == id("b") || id("a") == id("") || id(host) == id("") {
		t.Errorf("%s, %s, %s, %s", id("a"), id("b"), id(host), id(""))
	}
}

// A connection that breaks at any moment loses and doubles nothing, when the
// source goes on from what was saved and known changes are left out.
func TestCutConnections(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	r := newRig(t, mysqltest.Shared(t))
	r.exec(t, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200))")
	ref := r.open(t, nil, nil)
	var first connect.Batch
	if err := ref.Read(t.Context(), &first); err != nil {
		t.Fatal(err)
	}
	all := newTape(nil)
	all.add(&first)
	for i := range 60 {
		switch i % 3 {
		case 0:
			r.exec(t, "INSERT INTO t (v) VALUES (REPEAT('x', 100)), ('y'); INSERT INTO t (v) SELECT v FROM t LIMIT 3000")
		case 1:
			r.exec(t, fmt.Sprintf("ALTER TABLE t ADD COLUMN c%d INT", i))
		case 2:
			r.exec(t, "UPDATE t SET v = CONCAT(LEFT(v, 50), id) WHERE id % 7 = 0; FLUSH LOGS")
		}
	}
	until(t, ref, all)

	p := r.srv.Proxy(t)
	r.values[optHost], r.values[optPort] = p.Host(), strconv.Itoa(p.Port())
	r.values[optServerID] = "77"
	tp := newTape(nil)
	tp.add(&first)
	tp.records = nil
	cuts := 0
	for done := false; !done; {
		done = readThrough(t, r, p, tp, rnd, cuts < 40)
		if !done {
			cuts++
		}
	}
	t.Logf("%d cuts, %d records", cuts, len(tp.records))
	if cuts < 10 {
		t.Errorf("the connection was cut %d times only", cuts)
	}
	diff(t, tp.texts(), all.texts())
}

// readThrough reads until the end or a fault, and then forgets what was not
// yet saved.
func readThrough(t *testing.T, r *rig, p *mysqltest.Proxy, tp *tape, rnd *rand.Rand, cut bool) bool {
	last := tp.stops[len(tp.stops)-1]
	tp.records = tp.records[:last.records]
	state := newTape(last.state)
	state.records, state.stops = tp.records, tp.stops
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := r.source(t)
	if err := s.Open(ctx, last.pos, last.state); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p.Limit(0)
	if cut {
		p.Limit(10 << 20)
		timer := time.AfterFunc(time.Duration(rnd.IntN(30))*time.Millisecond, p.Cut)
		defer timer.Stop()
	}
	err := untilErr(ctx, s, state)
	tp.records, tp.stops = state.records, state.stops
	if err != nil && (ctx.Err() != nil || connect.IsPermanent(err)) {
		t.Fatal(err)
	}
	return err == nil
}
