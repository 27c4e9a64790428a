package snapshot

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/towline/towline/connect"
)

func TestProgressCodec(t *testing.T) {
	full := &progress{status: copying, dirty: true, rows: 7, bytes: 1 << 40, total: 9, started: 1, ended: 2, upTo: High{File: "binlog.000009", Pos: 1 << 33},
		server: "uuid", segments: []*segment{{hi: Key("a"), done: true}, {hi: Key("")}, {wide: true}}}
	for _, p := range []*progress{full, {status: done, truncate: true}, {status: waiting, segments: []*segment{{wide: true}}}} {
		b := p.encode()
		back, err := parseProgress(b)
		if err != nil || !reflect.DeepEqual(back, p) {
			t.Fatalf("%+v came back as %+v, %v", p, back, err)
		}
		for i := range b {
			if _, err := parseProgress(b[:i]); err == nil {
				t.Fatalf("%d bytes of %d pass", i, len(b))
			}
		}
	}
}

func TestStateKey(t *testing.T) {
	for _, n := range [][2]string{{"shop", "orders"}, {"a/b", "c%2F/"}, {"é\x00", " "}} {
		key := stateKey(n[0], n[1])
		d, name, ok := parseStateKey(key)
		if !ok || d != n[0] || name != n[1] {
			t.Errorf("%q came back as %q, %q, %t", key, d, name, ok)
		}
	}
	for _, key := range []string{seqKey, "other/a/b", ""} {
		if _, _, ok := parseStateKey(key); ok {
			t.Errorf("%q passes", key)
		}
	}
}

// Segments always make up the whole table, in order, and neighbours that are
// done become one.
func TestSegments(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 1))
	for range 200 {
		var p progress
		p.begin()
		next := 0
		for range 100 {
			var left []*segment
			for _, s := range p.segments {
				if !s.done {
					left = append(left, s)
				}
			}
			if len(left) == 0 {
				break
			}
			s := left[rng.IntN(len(left))]
			if s.hi == nil && rng.IntN(3) > 0 {
				next++
				p.split(s, Key(fmt.Sprintf("%03d", next)))
				continue
			}
			all := p.finish(s)
			if all != (len(p.segments) == 1 && p.segments[0].hi == nil && p.segments[0].done) {
				t.Fatal("finish does not know when all is done")
			}
			for i := 1; i < len(p.segments); i++ {
				a, b := p.segments[i-1], p.segments[i]
				if a.done && b.done || b.hi != nil && string(a.hi) >= string(b.hi) || string(p.lo(b)) != string(a.hi) {
					t.Fatalf("segments %+v %+v", a, b)
				}
			}
		}
	}
}

func TestTouchLogKnowsItsWindows(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 1))
	type window struct {
		generation uint64
		keys       map[string]bool
	}
	var l touchLog
	var open []window
	for range 5000 {
		switch rng.IntN(6) {
		case 0:
			open = append(open, window{l.open(), map[string]bool{}})
		case 1:
			if len(open) > 0 {
				i := rng.IntN(len(open))
				l.close(open[i].generation)
				open = append(open[:i], open[i+1:]...)
			}
		default:
			k := fmt.Sprint(rng.IntN(50))
			l.touch([]byte(k), false)
			for _, w := range open {
				w.keys[k] = true
			}
		}
		for _, w := range open {
			k := fmt.Sprint(rng.IntN(50))
			if w.keys[k] && !l.touched([]byte(k), w.generation) {
				t.Fatalf("key %s is forgotten", k)
			}
			if any, _ := l.since(w.generation); len(w.keys) > 0 && !any {
				t.Fatal("touches are forgotten")
			}
		}
		if len(open) == 0 && (len(l.generations) > 0 || l.bytes != 0) {
			t.Fatalf("%d generations and %d bytes are kept for nobody", len(l.generations), l.bytes)
		}
	}
}

func TestHighCovers(t *testing.T) {
	h := High{File: "binlog.999999", Pos: 100}
	for _, c := range []struct {
		file string
		pos  uint64
		want bool
	}{{"binlog.999999", 99, true}, {"binlog.999999", 100, false}, {"binlog.999998", 500, true}, {"binlog.1000000", 4, false}} {
		if got := h.Covers(&connect.Origin{File: c.file, Pos: c.pos}); got != c.want {
			t.Errorf("%s:%d: %t", c.file, c.pos, got)
		}
	}
}

func TestOptions(t *testing.T) {
	options := Options()
	for i := range options {
		if err := options[i].Validate(options[i].Default); err != nil {
			t.Errorf("%s: its default %v", options[i].Name, err)
		}
	}
	got := ParseConfig(connect.NewConfig("c", options, map[string]string{optMode: "Schema_Only", optLocking: "none"}))
	if want := (Config{Mode: NoData, Threads: 2, ChunkBytes: 4 << 20, MaxBytes: 64 << 20, NoLocks: true, Throttle: Throttle{MaxLag: 10 * time.Second}}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}
