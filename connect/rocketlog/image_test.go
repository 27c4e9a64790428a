package rocketlog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/offsets"
)

func TestImageForm(t *testing.T) {
	s := &state{q: newQueue(nil, "t", remoting.Queue{Broker: "b"}, "w"), entries: map[string]entryAt{}, open: map[string]*save{}, dirty: map[string]int64{"x": 7, "": 0}}
	s.q.place, s.q.offset = 1<<40, 1<<39
	for i := range 500 {
		e := savedEntry{fmt.Sprint("key/", i), entryAt{at: int64(i)}}
		if i%3 > 0 {
			e.value = bytes.Repeat([]byte{byte(i)}, i%40)
		}
		s.commit(&save{list: []savedEntry{e}})
	}
	s.open["w.1"] = &save{last: "b", list: []savedEntry{{"a", entryAt{at: 3}}, {"c", entryAt{at: 4, value: []byte{}}}}}
	data := s.encodeImage()
	im, err := decodeImage(data)
	check(t, err)
	want := &image{place: s.q.place, offset: s.q.offset, sum: s.sum, entries: s.entries, open: s.open, dirty: s.dirty}
	if !reflect.DeepEqual(im, want) {
		t.Errorf("comes back as %+v", im)
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if _, err := decodeImage(bad); err == nil {
			t.Fatalf("byte %d is damaged and nothing is noticed", i)
		}
		if _, err := decodeImage(data[:i]); err == nil {
			t.Fatalf("it is cut at byte %d and nothing is noticed", i)
		}
	}
}

// fillState saves entries until there is an image, and returns them.
func fillState(t testing.TB, l *Log) map[string][]byte {
	t.Helper()
	model := map[string][]byte{}
	for round := 0; newestImage(t, l) == noImage; round++ {
		var list []offsets.Entry
		for i := range 100 {
			e := offsets.Entry{Key: fmt.Sprint("source/c/0/", i), Pos: fmt.Append(nil, round, i)}
			if model[e.Key] = e.Pos; i == round%100 {
				e.Pos = nil
				delete(model, e.Key)
			}
			list = append(list, e)
		}
		check(t, l.Store().Save(t.Context(), list...))
	}
	return model
}

func newestImage(t testing.TB, l *Log) int64 {
	t.Helper()
	check(t, l.state.q.acquire(t.Context()))
	defer l.state.q.release()
	return l.state.images.newest
}

// TestOpenAtImage: who opens a state reads from the newest image on, also if it
// is of several messages with those of others between.
func TestOpenAtImage(t *testing.T) {
	o := options(rockettest.Shared(t))
	l := openLog(t, o)
	model := fillState(t, l)
	big := bytes.Repeat([]byte("0123456789abcdef"), imagePart/8)
	for i := range big {
		big[i] ^= byte(i * i >> 8 * i) // does not compress to nothing
	}
	model["big"] = big
	check(t, l.Store().Save(t.Context(), offsets.Entry{Key: "big", Pos: big}))
	check(t, l.state.q.acquire(t.Context()))
	first := l.state.q.place
	check(t, l.state.writeImage(t.Context()))
	l.state.q.release()
	model["last"] = []byte("x")
	check(t, l.Store().Save(t.Context(), offsets.Entry{Key: "last", Pos: []byte("x")}))
	for range 2 {
		other := openLog(t, o)
		if other.state.began != first {
			t.Errorf("was read from %d on, the image is of %d", other.state.began, first)
		}
		wantModel(t, other, model)
		check(t, other.Close())
	}
	wantModel(t, l, model)
}

// lose makes it that an entry was saved whose message the broker has no more.
func lose(t *testing.T, l *Log, key, value string) {
	t.Helper()
	check(t, l.state.q.acquire(t.Context()))
	l.state.commit(&save{list: []savedEntry{{spaceEntry + key, entryAt{l.state.q.place - 1, []byte(value)}}}})
	l.state.q.release()
	check(t, l.Store().Save(t.Context(), offsets.Entry{Key: "after", Pos: []byte("y")}))
}

// TestCopyHeals: a state of which the broker has lost a part cannot be opened,
// but by a worker whose copy has it; and then by all.
func TestCopyHeals(t *testing.T) {
	o := options(rockettest.Shared(t))
	with := o
	with.Copy = filepath.Join(t.TempDir(), "copy")
	l := openLog(t, with)
	check(t, l.Store().Save(t.Context(), offsets.Entry{Key: "k", Pos: []byte("x")}))
	lose(t, l, "lost", "z")
	model := map[string][]byte{"k": []byte("x"), "lost": []byte("z"), "after": []byte("y")}
	wantModel(t, l, model)
	check(t, l.Close())

	short := o
	short.Wait = time.Millisecond
	for { // without patience a broker that is slow is at fault, too
		l, err := Open(t.Context(), short)
		if errors.Is(err, errHidden) {
			break
		}
		if err == nil {
			t.Fatal("a state that is not whole is opened", l.Close())
		}
		check(t, t.Context().Err())
	}
	l = openLog(t, with)
	wantModel(t, l, model)
	wantModel(t, openLog(t, o), model)
	info, err := os.Stat(filepath.Join(with.Copy, o.Namespace+".state"))
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the copy, which may have passwords, has mode %v", info.Mode())
	}
}

// TestOthersHeal: who cannot read all is helped by a worker that runs and has it.
func TestOthersHeal(t *testing.T) {
	o := options(rockettest.Shared(t))
	l := openLog(t, o)
	sharedOf(t, l) // follows what others write
	lose(t, l, "lost", "z")
	var stop atomic.Bool
	saved := make(chan error, 1)
	go func() {
		for !stop.Load() {
			if err := l.Store().Save(t.Context(), offsets.Entry{Key: "beat", Pos: []byte("1")}); err != nil {
				saved <- err
				return
			}
		}
		saved <- nil
	}()
	other := openLog(t, o)
	stop.Store(true)
	check(t, <-saved)
	wantModel(t, other, map[string][]byte{"lost": []byte("z"), "after": []byte("y"), "beat": []byte("1")})
}

// TestCopyAhead: a copy that tells of more than the broker has is not passed over.
func TestCopyAhead(t *testing.T) {
	o := options(rockettest.Shared(t))
	o.Copy = t.TempDir()
	l := openLog(t, o)
	model := fillState(t, l)
	check(t, l.Close())
	fresh := options(rockettest.Shared(t))
	fresh.Copy = o.Copy
	file := filepath.Join(o.Copy, fresh.Namespace+".state")
	check(t, os.Link(filepath.Join(o.Copy, o.Namespace+".state"), file))
	if _, err := Open(t.Context(), fresh); !errors.Is(err, errLost) || !strings.Contains(err.Error(), file) {
		t.Fatalf("the broker has less than the copy: %v", err)
	}
	check(t, os.Remove(file))
	wantModel(t, openLog(t, fresh), map[string][]byte{})
	damaged, err := os.ReadFile(filepath.Join(o.Copy, o.Namespace+".state"))
	check(t, err)
	damaged[len(damaged)/2] ^= 1
	check(t, os.WriteFile(filepath.Join(o.Copy, o.Namespace+".state"), damaged, 0o600))
	wantModel(t, openLog(t, o), maps.Clone(model))
}

// BenchmarkOpen opens a state of many entries.
func BenchmarkOpen(b *testing.B) {
	o := options(rockettest.Shared(b))
	l := openLog(b, o)
	for i := 0; i < 100_000; i += 100 {
		var list []offsets.Entry
		for j := range 100 {
			list = append(list, offsets.Entry{Key: fmt.Sprintf("source/connector-%d/0/state/table/%d", j, i+j), Pos: fmt.Appendf(nil, "%064d", i*j)})
		}
		if err := l.Store().Save(b.Context(), list...); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		o := openLog(b, o)
		if err := o.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
