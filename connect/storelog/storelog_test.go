package storelog

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/offsets"
)

// split is a log that is not atomic. After so many saves of its store the next
// ones fail, as if the process had been killed.
type split struct {
	*memlog.Log
	left *int
}

func (split) Atomic() bool { return false }

func (l split) Store() offsets.Store { return dying{l.Log.Store(), l.left} }

type dying struct {
	offsets.Store
	left *int
}

func (s dying) Save(ctx context.Context, entries ...offsets.Entry) error {
	if *s.left == 0 {
		return fmt.Errorf("killed")
	}
	*s.left--
	return s.Store.Save(ctx, entries...)
}

func newLog() split { return split{memlog.New(), new(1 << 30)} }

func entry(key, pos string) offsets.Entry {
	return offsets.Entry{Key: key, Pos: offsets.Position(pos)}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantKeys checks what a store has beside the notes.
func wantKeys(t *testing.T, s offsets.Store, want ...string) {
	t.Helper()
	list, err := s.Load(t.Context(), "")
	check(t, err)
	var got []string
	for _, e := range list {
		if !strings.HasPrefix(e.Key, noteKey) && e.Key != awayKey {
			got = append(got, e.Key+"="+string(e.Pos))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("the store has %q, want %q", got, want)
	}
}

// TestEntriesGoToTheStore: those that the log had, too.
func TestEntriesGoToTheStore(t *testing.T) {
	log, store := newLog(), memlog.New().Store()
	check(t, log.CreateTopic(t.Context(), "t", 1))
	check(t, log.Store().Save(t.Context(), entry("source/a/0/pos", "1"), entry("connector/a/config", "{}")))
	l, err := Open(t.Context(), log, store, "there")
	check(t, err)
	if l.Atomic() {
		t.Error("two stores are said to be atomic")
	}
	wantKeys(t, store, "connector/a/config={}", "source/a/0/pos=1")
	wantKeys(t, log.Store())
	check(t, l.Append(t.Context(), []connect.Message{{Topic: "t", Value: []byte("v")}}, []offsets.Entry{entry("source/a/0/pos", "2")}))
	check(t, l.Store().Save(t.Context(), entry("sink/b", "3")))
	wantKeys(t, store, "connector/a/config={}", "sink/b=3", "source/a/0/pos=2")
	wantKeys(t, log.Store())
	if _, end, err := log.Bounds(t.Context(), "t", 0); end != 1 || err != nil {
		t.Errorf("the log ends at %d, %v", end, err)
	}
	if _, err := Open(t.Context(), log, store, "there"); err != nil {
		t.Error(err)
	}
	if err := Home(t.Context(), log); err == nil || !strings.Contains(err.Error(), "the positions of this log are in there; name that place") {
		t.Errorf("the log without its store: %v", err)
	}
	if err := Home(t.Context(), newLog()); err != nil {
		t.Error(err)
	}
}

// TestKilledWhileMoving begins anew after a kill before each step.
func TestKilledWhileMoving(t *testing.T) {
	for kill := range 4 {
		log, store := newLog(), memlog.New().Store()
		check(t, log.Store().Save(t.Context(), entry("a", "1"), entry("gone", "1")))
		*log.left = kill
		_, err := Open(t.Context(), log, store, "there")
		if died := err != nil; died != (kill < 2) {
			t.Fatalf("with %d saves: %v", kill, err)
		}
		*log.left = 100
		if kill == 1 { // somebody went on without the store
			check(t, log.Store().Save(t.Context(), entry("a", "1"), offsets.Entry{Key: "gone"}))
		}
		_, err = Open(t.Context(), log, store, "there")
		check(t, err)
		if want := []string{"a=1", "gone=1"}; kill == 1 {
			wantKeys(t, store, want[:1]...)
		} else {
			wantKeys(t, store, want...)
		}
		wantKeys(t, log.Store())
	}
}

// TestStrangers: a log and a store that do not belong together are refused, and so
// is a log that is better off alone.
func TestStrangers(t *testing.T) {
	one, other := newLog(), newLog()
	store := memlog.New().Store()
	_, err := Open(t.Context(), one, store, "there")
	check(t, err)
	for _, c := range []struct {
		log   connect.Log
		store offsets.Store
		want  string
	}{
		{other, store, "the positions in here belong to another log"},
		{one, memlog.New().Store(), "the positions of this log are in there, and here has none of them"},
		{memlog.New(), memlog.New().Store(), "keeps positions with the data, in one step"},
	} {
		if _, err := Open(t.Context(), c.log, c.store, "here"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
