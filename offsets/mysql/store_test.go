package mysql

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/offsets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(mysqltest.Main(m)) }

func open(t *testing.T, srv *mysqltest.Server, table string) *Store {
	t.Helper()
	s, err := Open(t.Context(), srv.DB(), table)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	srv := mysqltest.Shared(t)
	connecttest.TestStore(t, func(t *testing.T) connecttest.StoreHarness {
		table := srv.CreateDB(t) + ".towline_offsets"
		return connecttest.StoreHarness{Store: open(t, srv, table), Reopen: func(t *testing.T) offsets.Store { return open(t, srv, table) }}
	})
}

// TestManyAndLarge saves more than one statement holds, and takes it back.
func TestManyAndLarge(t *testing.T) {
	srv := mysqltest.Shared(t)
	s := open(t, srv, srv.CreateDB(t)+".o")
	var all, gone []offsets.Entry
	for i := range 2*maxRows + 1 {
		e := offsets.Entry{Key: fmt.Sprintf("k/%06d", i), Pos: offsets.Position{byte(i)}}
		if i%500 == 0 {
			e.Pos = bytes.Repeat(e.Pos, maxBytes-100)
		}
		all = append(all, e)
		gone = append(gone, offsets.Entry{Key: e.Key})
	}
	if err := s.Save(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load(t.Context(), "k/")
	if err != nil || len(got) != len(all) {
		t.Fatalf("%d entries came back of %d: %v", len(got), len(all), err)
	}
	for i, e := range got {
		if e.Key != all[i].Key || !bytes.Equal(e.Pos, all[i].Pos) {
			t.Fatalf("entry %d is %s with %d bytes", i, e.Key, len(e.Pos))
		}
	}
	if err := s.Save(t.Context(), gone...); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(t.Context(), ""); len(got) > 0 || err != nil {
		t.Fatalf("%d entries are left: %v", len(got), err)
	}
}

func TestFaults(t *testing.T) {
	srv := mysqltest.Shared(t)
	for _, bad := range []string{"", "a.b.c", "a."} {
		if _, err := Open(t.Context(), srv.DB(), bad); err == nil || !strings.Contains(err.Error(), "is not the name of a table") {
			t.Errorf("table %q: %v", bad, err)
		}
	}
	s := open(t, srv, srv.CreateDB(t)+".o`o")
	if err := s.Save(t.Context(), offsets.Entry{Key: "a", Pos: offsets.Position("1")}, offsets.Entry{Key: strings.Repeat("k", maxKey+1), Pos: offsets.Position("1")}); err == nil {
		t.Error("a key that is too long is saved")
	}
	if got, err := s.Load(t.Context(), ""); len(got) > 0 || err != nil {
		t.Errorf("a save that failed left %q, %v", got, err)
	}
}
