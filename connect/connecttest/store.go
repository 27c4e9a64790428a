package connecttest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/towline/towline/offsets"
)

// StoreHarness is one fresh, empty store under test.
type StoreHarness struct {
	Store offsets.Store
	// Reopen closes the store and opens it again on the same data. A store
	// that lives in memory returns itself.
	Reopen func(t *testing.T) offsets.Store
}

// TestStore checks that the stores which open returns keep the contract of
// offsets.Store.
func TestStore(t *testing.T, open func(t *testing.T) StoreHarness) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, ctx context.Context, h StoreHarness)
	}{
		{"Prefix", testStorePrefix},
		{"SaveLoad", testStoreSaveLoad},
		{"Copies", testStoreCopies},
		{"Together", testStoreTogether},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, deadline(t), open(t)) })
	}
}

// entry returns an Entry; a pos of "-" is nil.
func entry(key, pos string) offsets.Entry {
	if pos == "-" {
		return offsets.Entry{Key: key}
	}
	return offsets.Entry{Key: key, Pos: append(offsets.Position{}, pos...)}
}

// wantEntries checks what a store holds under a prefix.
func wantEntries(t testing.TB, ctx context.Context, s offsets.Store, prefix string, want ...offsets.Entry) {
	t.Helper()
	got, err := s.Load(ctx, prefix)
	must(t, err)
	same := func(a, b offsets.Entry) bool { return a.Key == b.Key && a.Pos != nil && bytes.Equal(a.Pos, b.Pos) }
	if !slices.EqualFunc(got, want, same) {
		t.Fatalf("Load of %q gives %q, want %q", prefix, got, want)
	}
}

// testStorePrefix uses keys that begin with each other.
func testStorePrefix(t *testing.T, ctx context.Context, h StoreHarness) {
	wantEntries(t, ctx, h.Store, "")
	all := []offsets.Entry{
		entry("a", "1"), entry("sink/a/0/t/0", "2"), entry("sink/a/0/t/1", "3"), entry("sink/a/0/t/10", "4"),
		entry("sink/a/10/t/0", "5"), entry("sink/ab/0/t/0", "6"), entry("source/a/0/pos", "7"), entry("source/\u00e9/0/pos", "8"),
		entry("zz\U0010ffff", "9"),
	}
	shuffled := slices.Clone(all)
	slices.Reverse(shuffled)
	must(t, h.Store.Save(ctx, shuffled...))
	for range 2 {
		wantEntries(t, ctx, h.Store, "", all...)
		wantEntries(t, ctx, h.Store, "sink/a/0/", all[1:4]...)
		wantEntries(t, ctx, h.Store, "sink/a/0/t/1", all[2:4]...)
		wantEntries(t, ctx, h.Store, "sink/a/10/", all[4])
		wantEntries(t, ctx, h.Store, "sink/a", all[1:6]...)
		wantEntries(t, ctx, h.Store, "zz\U0010ffff", all[8])
		wantEntries(t, ctx, h.Store, "nothing")
		h.Store = h.Reopen(t)
	}
}

func testStoreSaveLoad(t *testing.T, ctx context.Context, h StoreHarness) {
	must(t, h.Store.Save(ctx)) // nothing is fine
	must(t, h.Store.Save(ctx, entry("k/gone", "-")))
	must(t, h.Store.Save(ctx, entry("k/a", "1"), entry("k/b", "2"), entry("k/empty", ""), entry("k/bin", "\x00\xff\x00")))
	must(t, h.Store.Save(ctx, entry("k/b", "-"), entry("k/c", "3"), entry("k/a", "4"), entry("k/a", "5")))
	must(t, h.Store.Save(ctx, entry("k/d", "6"), entry("k/d", "-"))) // the later wins
	must(t, h.Store.Save(ctx, entry("k/e", "-"), entry("k/e", "7")))
	large := entry("k/large", string(bytes.Repeat([]byte("0123456789"), 30000)))
	must(t, h.Store.Save(ctx, large))
	for range 2 {
		wantEntries(t, ctx, h.Store, "k/", entry("k/a", "5"), entry("k/bin", "\x00\xff\x00"), entry("k/c", "3"),
			entry("k/e", "7"), entry("k/empty", ""), large)
		h.Store = h.Reopen(t)
	}
}

// testStoreCopies: neither side keeps the other's memory.
func testStoreCopies(t *testing.T, ctx context.Context, h StoreHarness) {
	e := entry("k", "value")
	must(t, h.Store.Save(ctx, e))
	clear(e.Pos)
	got, err := h.Store.Load(ctx, "k")
	must(t, err)
	if len(got) != 1 || string(got[0].Pos) != "value" {
		t.Fatalf("the store has %q", got)
	}
	clear(got[0].Pos)
	wantEntries(t, ctx, h.Store, "", entry("k", "value"))
}

// testStoreTogether: two entries that are always saved together are always
// loaded together.
func testStoreTogether(t *testing.T, ctx context.Context, h StoreHarness) {
	const writers, rounds = 4, 30
	var wg sync.WaitGroup
	errs := make([]error, writers+1)
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				pos := fmt.Sprint(i)
				a, b := entry(fmt.Sprintf("w%d/a", w), pos), entry(fmt.Sprintf("w%d/b", w), pos)
				if errs[w] = h.Store.Save(ctx, a, b); errs[w] != nil {
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range rounds {
			if errs[writers] = loadPairs(ctx, h.Store); errs[writers] != nil {
				return
			}
		}
	})
	wg.Wait()
	for _, err := range errs {
		must(t, err)
	}
	for w := range writers {
		last := fmt.Sprint(rounds - 1)
		wantEntries(t, ctx, h.Store, fmt.Sprintf("w%d/", w), entry(fmt.Sprintf("w%d/a", w), last), entry(fmt.Sprintf("w%d/b", w), last))
	}
}

func loadPairs(ctx context.Context, s offsets.Store) error {
	got, err := s.Load(ctx, "")
	if err != nil {
		return err
	}
	for i := 0; i < len(got); i += 2 {
		if i+1 == len(got) || !bytes.Equal(got[i].Pos, got[i+1].Pos) {
			return fmt.Errorf("Load saw half of a Save: %q", got)
		}
	}
	return nil
}
