package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect/memlog"
	"github.com/towline/towline/offsets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newStore(t *testing.T) offsets.Store {
	t.Helper()
	log := memlog.New()
	t.Cleanup(func() { log.Close() })
	return log.Store()
}

func record(n int) string {
	return fmt.Sprintf(`{"type":"record","name":"r%d","fields":[{"name":"a","type":"int"}]}`, n)
}

// A schema has one id, whoever registers it and how often, and is there for
// whoever comes later.
func TestOwn(t *testing.T) {
	store := newStore(t)
	a, b := NewOwn(store), NewOwn(store)
	id, err := a.Register(t.Context(), "s", record(1))
	if err != nil || id == 0 || id >= 1<<31 {
		t.Fatal(id, err)
	}
	for _, reg := range []*Own{a, b, NewOwn(store)} {
		again, err := reg.Register(t.Context(), "s", "{ \"name\": \"r1\", \"type\": \"record\",\n\"fields\":[{\"name\":\"a\",\"type\":\"int\"}]}")
		if err != nil || again != id {
			t.Fatal(again, err)
		}
		if text, err := reg.Schema(t.Context(), id); err != nil || text != record(1) {
			t.Fatal(text, err)
		}
	}
	other, err := b.Register(t.Context(), "s", record(2))
	if err != nil || other == id {
		t.Fatal(other, err)
	}
	if back, err := a.Register(t.Context(), "an/other s", record(1)); err != nil || back != id {
		t.Fatal(back, err)
	}
	all, err := a.All(t.Context())
	if want := fmt.Sprintf("[{an/other s 1 %d 1} {s 1 %d 1} {s 2 %d 2}]", id, id, other); err != nil || fmt.Sprint(all) != want {
		t.Fatal(all, err, want)
	}
	if v, err := a.Find(t.Context(), "s", record(2)); err != nil || v.Version != 2 || v.ID != other {
		t.Fatal(v, err)
	}
	for _, err := range []error{second(a.Schema(t.Context(), 7)), second(a.Versions(t.Context(), "nobody")), second(a.Find(t.Context(), "s", record(3)))} {
		if !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
	if _, err := a.Register(t.Context(), "s", `{"type":"record"}`); err == nil || !strings.Contains(err.Error(), "has no name") {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

// Versions go on behind the ninth, and do not change when a schema comes again.
func TestVersions(t *testing.T) {
	store := newStore(t)
	var ids []uint32
	for i := range 25 {
		id, err := NewOwn(store).Register(t.Context(), "s", record(i))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		if _, err := NewOwn(store).Register(t.Context(), "s", record(i/2)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := NewOwn(store).Versions(t.Context(), "s")
	if err != nil || len(list) != len(ids) {
		t.Fatal(list, err)
	}
	for i, v := range list {
		if v.Version != i+1 || v.ID != ids[i] {
			t.Errorf("version %d: %+v", i+1, v)
		}
	}
}

// bad gives all schemas fingerprints with the same id.
func bad(store offsets.Store) *Own {
	o := NewOwn(store)
	o.print = func(normal string) []byte {
		p := fingerprint(normal)
		copy(p, []byte{0x7f, 0xff, 0xff, 0xff}) // the last id: what follows is the first
		return p
	}
	return o
}

func TestCollisions(t *testing.T) {
	store := newStore(t)
	ids := map[uint32]string{}
	for i := range 5 {
		id, err := bad(store).Register(t.Context(), "s", record(i))
		if err != nil || ids[id] != "" {
			t.Fatal(id, ids[id], err)
		}
		ids[id] = record(i)
	}
	reg := bad(store)
	for id, want := range ids {
		if text, err := reg.Schema(t.Context(), id); err != nil || text != want {
			t.Error(id, text, err)
		}
		if again, err := reg.Register(t.Context(), "s", want); err != nil || again != id {
			t.Error(id, again, err)
		}
	}
	for i := range probes {
		if _, err := reg.Register(t.Context(), "s", record(100+i)); err != nil {
			if i != probes-5 || !strings.Contains(err.Error(), "16 ids in a row") {
				t.Fatal(i, err)
			}
			return
		}
	}
	t.Fatal("there is no end of ids")
}

// slow lets others go on before and behind each of its calls.
type slow struct {
	offsets.Store
	mu  sync.Mutex
	rnd *rand.Rand
}

func (s *slow) pause() {
	s.mu.Lock()
	n := s.rnd.IntN(50)
	s.mu.Unlock()
	for range n {
		// The scheduler takes turns at channels.
		c := make(chan struct{})
		go close(c)
		<-c
	}
}

func (s *slow) Load(ctx context.Context, prefix string) ([]offsets.Entry, error) {
	s.pause()
	defer s.pause()
	return s.Store.Load(ctx, prefix)
}

func (s *slow) Save(ctx context.Context, entries ...offsets.Entry) error {
	s.pause()
	defer s.pause()
	return s.Store.Save(ctx, entries...)
}

// Workers that register at the same time schemas which want the same ids: each
// id that was given has one schema, the one that it was given for.
func TestWorkersAtOnce(t *testing.T) {
	for seed := range uint64(30) {
		store := &slow{Store: newStore(t), rnd: rand.New(rand.NewPCG(seed, 1))}
		var wg sync.WaitGroup
		var mu sync.Mutex
		given := map[uint32]string{}
		for i := range 6 {
			wg.Go(func() {
				text := record(i / 2) // two workers each
				id, err := bad(store).Register(t.Context(), "s", text)
				var away *Outage
				if errors.As(err, &away) {
					return // they were in each other's way: a retry mends it
				}
				mu.Lock()
				defer mu.Unlock()
				if err != nil || given[id] != "" && given[id] != text {
					t.Errorf("id %d: %v, %s and %s", id, err, text, given[id])
				}
				given[id] = text
			})
		}
		wg.Wait()
		for id, want := range given {
			if text, err := NewOwn(store.Store).Schema(t.Context(), id); err != nil || text != want {
				t.Errorf("seed %d, id %d: %s, %v", seed, id, text, err)
			}
		}
	}
}

// An id that two schemas have, or whose schema is damaged, is an error.
func TestNeverAWrongSchema(t *testing.T) {
	store := newStore(t)
	id, err := NewOwn(store).Register(t.Context(), "s", record(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Save(t.Context(), offsets.Entry{Key: idKey(id) + schemaPart + "ff", Pos: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if text, err := NewOwn(store).Schema(t.Context(), id); err == nil || !strings.Contains(err.Error(), "two schemas") {
		t.Error(text, err)
	}
	if again, err := NewOwn(store).Register(t.Context(), "s", record(1)); err != nil || again == id {
		t.Error(again, err)
	}
	if err := store.Save(t.Context(), offsets.Entry{Key: idKey(9) + schemaPart + "ff", Pos: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if text, err := NewOwn(store).Schema(t.Context(), 9); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Error(text, err)
	}
}
