package rocketlog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/offsets"
)

// lossy loses what a log sends to its state, or the answer, or has it come late.
type lossy struct {
	t  *testing.T
	l  *Log
	mu sync.Mutex
	r  *rand.Rand
	wg sync.WaitGroup
}

var errNoAnswer = errors.New("no answer")

func newLossy(t *testing.T, l *Log, seed uint64) *lossy {
	y := &lossy{t: t, l: l, r: rand.New(rand.NewPCG(seed, 7))}
	check(t, l.state.q.acquire(t.Context()))
	l.state.q.post, l.state.most = y.post, 1+y.r.IntN(12)
	l.state.q.release()
	return y
}

func (y *lossy) chance(n int) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.r.IntN(n)
}

func (y *lossy) post(ctx context.Context) (int64, error) {
	q := y.l.state.q
	switch y.chance(25) {
	case 0: // it is lost
		return 0, errNoAnswer
	case 1: // the answer is
		_, err := q.request(ctx)
		return 0, errors.Join(err, errNoAnswer)
	case 2: // it comes late
		batch := &remoting.Batch{Group: q.c.group, Topic: q.topic, Queue: q.q, Keys: q.keys, Body: bytes.Clone(q.buf)}
		y.wg.Go(func() {
			time.Sleep(time.Duration(y.chance(150)) * time.Millisecond)
			_ = q.c.on(context.WithoutCancel(ctx), q.q.Broker, func(ctx context.Context, addr string) error {
				_, err := q.c.client.Send(ctx, addr, batch)
				return err
			})
		})
		return 0, errNoAnswer
	}
	return q.request(ctx)
}

// doing is what an update has seen and done, as it writes it.
type doing struct {
	ID     string            `json:"id"`
	Place  int64             `json:"place"`
	Saw    map[string]string `json:"saw"`
	Writes map[string]string `json:"writes"` // "": it deletes
}

// ledger is what is known of updates beside what is in the state.
type ledger struct {
	mu   sync.Mutex
	done map[string]int64 // the place of each that was answered
	not  map[string]bool  // that were answered with their own error
	seen []doing          // of those that did not want to write
}

var errAgainst = errors.New("against it")

// modelKeys are few, so that updates depend on each other.
var modelKeys = []string{"k/a", "k/b", "k/c", "k/d", "k/e"}

// act makes one update at random.
func (g *ledger) act(ctx context.Context, sh offsets.Shared, id string, r *rand.Rand) error {
	var last doing
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kind, write := r.IntN(10), sh.Update
	if kind == 1 {
		write = sh.UpdateFirst
	}
	err := write(ctx, func(v offsets.View) ([]offsets.Entry, error) {
		last = doing{ID: id, Place: v.Place(), Saw: map[string]string{}, Writes: map[string]string{}}
		for _, key := range modelKeys {
			last.Saw[key] = string(v.Get(key))
		}
		if got := v.Range("k/"); len(got) != len(modelKeys)-count(last.Saw, "") {
			return nil, fmt.Errorf("%d entries are in a range, of %v", len(got), last.Saw)
		}
		switch {
		case kind == 2 && last.Saw["k/a"] != "": // like one that finds that all is done
			return nil, nil
		case kind == 3 && last.Saw["k/b"] != "":
			return nil, errAgainst
		case kind == 4:
			cancel() // whoever asked goes while it is on its way
		}
		var list []offsets.Entry
		for range 1 + r.IntN(3) {
			key, value := modelKeys[r.IntN(len(modelKeys))], ""
			if r.IntN(3) > 0 {
				value = fmt.Sprint(id, "@", v.Place())
			}
			last.Writes[key] = value
		}
		for key, value := range last.Writes {
			e := offsets.Entry{Key: key}
			if value != "" {
				e.Pos = offsets.Position(value)
			}
			list = append(list, e)
		}
		text, err := json.Marshal(last)
		return append(list, offsets.Entry{Key: "done/" + id, Pos: text}), err
	})
	return g.note(id, last, err)
}

func count(m map[string]string, value string) (n int) {
	for _, v := range m {
		if v == value {
			n++
		}
	}
	return n
}

// note takes note of an answer.
func (g *ledger) note(id string, last doing, err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled): // it may count or not
	case errors.Is(err, errAgainst):
		g.not[id] = true
		g.seen = append(g.seen, last)
	case err != nil:
		return err
	case len(last.Writes) == 0:
		g.not[id] = true
		g.seen = append(g.seen, last)
	default:
		g.done[id] = last.Place
	}
	return nil
}

// verify compares what is in the state with what comes out when the updates that
// count are done one after the other, in the order of their places.
func (g *ledger) verify(t *testing.T, sh offsets.Shared) {
	t.Helper()
	now, byID := map[string]string{}, map[string]doing{}
	sh.Look(func(v offsets.View) {
		for _, e := range v.Range("k/") {
			now[e.Key] = string(e.Pos)
		}
		for _, e := range v.Range("done/") {
			var d doing
			check(t, json.Unmarshal(e.Pos, &d))
			byID[d.ID] = d
		}
	})
	for id, place := range g.done {
		if d, ok := byID[id]; !ok || d.Place != place {
			t.Errorf("%s was answered as of %d and is %+v", id, place, d)
		}
	}
	for id := range g.not {
		if d, ok := byID[id]; ok {
			t.Errorf("%s has decided against a write and is %+v", id, d)
		}
	}
	model, places := map[string]string{}, map[int64]bool{}
	for _, key := range modelKeys {
		model[key] = ""
	}
	were := map[string]bool{fmt.Sprint(model): true}
	for _, d := range slices.SortedFunc(maps.Values(byID), func(a, b doing) int { return cmp.Compare(a.Place, b.Place) }) {
		if places[d.Place] {
			t.Errorf("%s is not alone at place %d", d.ID, d.Place)
		}
		places[d.Place] = true
		if !maps.Equal(d.Saw, model) {
			t.Fatalf("%s saw %v at %d, it was %v", d.ID, d.Saw, d.Place, model)
		}
		maps.Copy(model, d.Writes)
		were[fmt.Sprint(model)] = true
	}
	for _, d := range g.seen { // others may have written before it was answered
		if !were[fmt.Sprint(d.Saw)] {
			t.Errorf("%s saw %v, which never was", d.ID, d.Saw)
		}
	}
	maps.DeleteFunc(model, func(_, value string) bool { return value == "" })
	if !maps.Equal(model, now) {
		t.Errorf("the state is %v, and should be %v", now, model)
	}
	t.Logf("%d updates count, %d were answered so, %d were against a write", len(byID), len(g.done), len(g.not))
}

// TestUpdatesAreSerial has many update one state at random, from several logs whose
// requests and answers get lost or come late: the outcome is that of the updates
// one after the other, as each says that it saw it. TOWLINE_UPDATES is how many
// each makes.
func TestUpdatesAreSerial(t *testing.T) {
	rounds := 12
	if n, err := strconv.Atoi(os.Getenv("TOWLINE_UPDATES")); err == nil {
		rounds = n
	}
	const logs, each = 3, 6
	o := options(rockettest.Shared(t))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	g := &ledger{done: map[string]int64{}, not: map[string]bool{}}
	var wg sync.WaitGroup
	var all []offsets.Shared
	var lossies []*lossy
	for i := range logs {
		l := openLog(t, o)
		sh := sharedOf(t, l)
		all, lossies = append(all, sh), append(lossies, newLossy(t, l, seed+uint64(i)))
		for j := range each {
			r := rand.New(rand.NewPCG(seed, uint64(100*i+j)))
			wg.Go(func() {
				for n := range rounds {
					if err := g.act(t.Context(), sh, fmt.Sprintf("%d.%d.%d", i, j, n), r); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	for _, y := range lossies {
		y.wg.Wait()
	}
	for i, sh := range append(all, sharedOf(t, openLog(t, o))) {
		check(t, sh.Update(t.Context(), put(fmt.Sprint("end/", i), "x"))) // has seen all that came before
		g.verify(t, sh)
	}
}
