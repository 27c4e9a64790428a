package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"go.uber.org/goleak"

	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/e2e/redistest"
	"github.com/towline/towline/offsets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, opts Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// command does one as somebody else.
func command(t *testing.T, addr string, name string, args ...any) any {
	t.Helper()
	c, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := c.Do(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestContract(t *testing.T) {
	srv := redistest.Start(t, redistest.Durable...)
	n := 0
	connecttest.TestStore(t, func(t *testing.T) connecttest.StoreHarness {
		n++
		opts := Options{Addr: srv.Addr, Key: fmt.Sprint("store-", n), DB: n % 3}
		return connecttest.StoreHarness{Store: open(t, opts), Reopen: func(t *testing.T) offsets.Store { return open(t, opts) }}
	})
}

// TestMany saves and loads more than one command takes.
func TestMany(t *testing.T) {
	srv := redistest.Start(t, redistest.Durable...)
	s := open(t, Options{Addr: srv.Addr})
	var all, gone []offsets.Entry
	for i := range 2*maxArgs + 1 {
		e := offsets.Entry{Key: fmt.Sprintf("k/%06d", i), Pos: offsets.Position(fmt.Sprint(i))}
		all, gone = append(all, e), append(gone, offsets.Entry{Key: e.Key})
	}
	if err := s.Save(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load(t.Context(), "k/")
	if err != nil || len(got) != len(all) {
		t.Fatalf("%d entries came back of %d: %v", len(got), len(all), err)
	}
	for i, e := range got {
		if e.Key != all[i].Key || string(e.Pos) != string(all[i].Pos) {
			t.Fatalf("entry %d is %q", i, e)
		}
	}
	if err := s.Save(t.Context(), gone...); err != nil {
		t.Fatal(err)
	}
	if n := command(t, srv.Addr, "DBSIZE"); n != int64(0) {
		t.Fatalf("%v keys are left", n)
	}
}

// TestKill kills the server while positions are saved: what was answered is
// there, and no save in half.
func TestKill(t *testing.T) {
	srv := redistest.Start(t, redistest.Durable...)
	saved := 0
	for round := range 6 {
		s := open(t, Options{Addr: srv.Addr})
		stop, stopped := rand.IntN(150), make(chan error, 1)
		go func() {
			for i := saved + 1; ; i++ {
				pos := offsets.Position(fmt.Sprint(i))
				if err := s.Save(context.Background(), offsets.Entry{Key: "a", Pos: pos}, offsets.Entry{Key: "b", Pos: pos}, offsets.Entry{Key: "c", Pos: pos}); err != nil {
					stopped <- err
					return
				}
				if saved = i; stop == 0 {
					stopped <- srv.Kill()
					stop = -1
				}
				stop--
			}
		}()
		if err := <-stopped; err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := <-stopped; err == nil {
			t.Fatal("a server that is dead has saved something")
		}
		if err := srv.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := s.Load(t.Context(), "") // the connections are made anew
		if err != nil || len(got) != 3 {
			t.Fatalf("round %d: %q, %v", round, got, err)
		}
		for _, e := range got {
			if string(e.Pos) != string(got[0].Pos) {
				t.Fatalf("half of a save is there: %q", got)
			}
		}
		var have int
		if _, err := fmt.Sscan(string(got[0].Pos), &have); err != nil || have < saved || have > saved+1 {
			t.Fatalf("round %d: %d was saved, and %d is there", round, saved, have)
		}
		saved = have
	}
}

// TestNotDurable: servers that may lose what they have answered are refused, also
// when they become so.
func TestNotDurable(t *testing.T) {
	for _, c := range []struct {
		settings []string
		want     string
	}{
		{nil, "it has appendonly no and needs yes"},
		{[]string{"--appendonly", "yes"}, "it has appendfsync everysec and needs always"},
		{append([]string{"--no-appendfsync-on-rewrite", "yes"}, redistest.Durable...), "it has no-appendfsync-on-rewrite yes and needs no"},
		{append([]string{"--maxmemory-policy", "allkeys-lru"}, redistest.Durable...), "it has maxmemory-policy allkeys-lru"},
		{append([]string{"--replicaof", "127.0.0.1 1"}, redistest.Durable...), "it is a slave; name the server that takes the writes"},
		{append([]string{"--rename-command", "CONFIG", ""}, redistest.Durable...), "it cannot be seen whether it keeps what it has answered: CONFIG GET appendonly: "},
	} {
		srv := redistest.Start(t, c.settings...)
		if _, err := Open(t.Context(), Options{Addr: srv.Addr}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.settings, err)
		}
	}
	srv := redistest.Start(t, redistest.Durable...)
	s := open(t, Options{Addr: srv.Addr})
	command(t, srv.Addr, "CONFIG", "SET", "appendfsync", "no")
	command(t, srv.Addr, "CLIENT", "KILL", "SKIPME", "yes", "TYPE", "normal")
	var err error
	for range 2 { // the first may find its connection cut
		err = s.Save(t.Context(), offsets.Entry{Key: "a", Pos: offsets.Position("1")})
	}
	if err == nil || !strings.Contains(err.Error(), "it has appendfsync no and needs always") {
		t.Errorf("a new connection to a server that is not durable any more: %v", err)
	}
}

func TestFaults(t *testing.T) {
	srv := redistest.Start(t, append([]string{"--requirepass", "secret"}, redistest.Durable...)...)
	if _, err := Open(t.Context(), Options{Addr: srv.Addr, Password: "wrong"}); err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %v", err)
	}
	open(t, Options{Addr: srv.Addr, Password: "secret"})
	if _, err := Open(t.Context(), Options{Addr: srv.Addr, Password: "secret", Key: "a{b}"}); err == nil || !strings.Contains(err.Error(), "has braces") {
		t.Errorf("a key with braces: %v", err)
	}
	srv = redistest.Start(t, redistest.Durable...)
	s := open(t, Options{Addr: srv.Addr, Key: "k"})
	command(t, srv.Addr, "SET", "{other}:keys", "x")
	if _, err := Open(t.Context(), Options{Addr: srv.Addr, Key: "other"}); err == nil || !strings.Contains(err.Error(), "the key {other}:keys is a string of somebody else") {
		t.Errorf("a key of somebody else: %v", err)
	}
	if err := s.Save(t.Context(), offsets.Entry{Key: "a", Pos: offsets.Position("1")}); err != nil {
		t.Fatal(err)
	}
	command(t, srv.Addr, "HDEL", s.values, "a")
	if _, err := s.Load(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "do not fit together") {
		t.Errorf("a value that somebody took away: %v", err)
	}
}
