package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/worker"
)

// play begins workers and a connector, and lets them settle.
func play(t *testing.T, ids []string, tasks int) *drama {
	return playIn(newWorld(t, 3), ids, tasks)
}

func playIn(w *world, ids []string, tasks int) *drama {
	d := &drama{world: w, all: map[string]*process{}}
	for _, id := range ids {
		d.all[id] = d.begin(id, "")
	}
	for {
		if _, _, err := d.all[ids[0]].h.Configure(context.Background(), "c", simConfig(tasks)); err == nil {
			break
		}
		time.Sleep(time.Second)
	}
	d.settle(w.t)
	return d
}

func (d *drama) settle(t *testing.T) {
	time.Sleep(time.Minute)
	if why := d.missing(); why != "" {
		t.Fatal(why)
	}
}

// Whoever is asked, the worker that runs the task answers, and what remains in the
// state does not grow with the number of questions.
func TestWhoRunsATaskAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"w0:1", "w1:1", "w2:1"}
		d := play(t, ids, 1)
		defer d.end()
		want := []string{"by " + d.model().claims[Task{Connector: "c"}].Worker}
		answered := 0
		for i := range 60 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			lines, err := d.all[ids[i%len(ids)]].h.Signal(ctx, "", connect.Signal{ID: fmt.Sprint(i)})
			cancel()
			if err == nil {
				answered++
			}
			if err == nil && !slices.Equal(lines, want) {
				t.Fatalf("the answer is %q, want %q", lines, want)
			}
		}
		if answered < 40 { // of some the answer gets lost
			t.Errorf("%d of 60 questions are answered", answered)
		}
		time.Sleep(time.Minute)
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.asked) > len(ids) {
			t.Errorf("60 questions have left the keys %v behind", d.asked)
		}
	})
}

// What two questions of the same worker ask at the same time is kept apart.
func TestQuestionsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := play(t, []string{"w0:1"}, 3)
		defer d.end()
		h := d.all["w0:1"].h
		for i := range 3 {
			d.calls.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				_, _ = h.question(ctx, ask{Connector: "c", Task: i, Arrived: true})
			})
		}
		d.calls.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.asked) != 3 {
			t.Errorf("three questions at once have the keys %v", d.asked)
		}
	})
}

func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.calm = true // a lost answer may cost a lease, and would be counted
		d := playIn(w, []string{"w0:1"}, 12)
		defer d.end()
		first := d.all["w0:1"].h
		if c := first.Counts(); c.Members != 1 || c.Claims != 12 || c.Moves != 0 || c.Lapses != 0 || c.Renewals < 5 || c.Lease <= 0 {
			t.Errorf("alone: %+v", c)
		}
		before := first.Counts().Rebalances
		second := d.begin("w1:1", "")
		d.all["w1:1"] = second
		d.settle(t)
		a, b := first.Counts(), second.h.Counts()
		if a.Members != 2 || b.Members != 2 || a.Claims+b.Claims != 12 || b.Moves != int64(b.Claims) || b.Claims == 0 || a.Rebalances != before+1 {
			t.Errorf("with another: %+v and %+v", a, b)
		}
		second.pause() // until the others have given it up
		time.Sleep(DefaultSession + 3*DefaultDelay)
		if c := second.h.Counts(); c.Lapses != 1 || c.Lease != 0 || c.Expulsions != 0 {
			t.Errorf("asleep: %+v", c)
		}
		second.resume()
		d.settle(t)
		a, c := first.Counts(), second.h.Counts()
		if c.Expulsions != 1 || c.Lapses != 1 || a.Lapses != 0 || a.Moves != int64(b.Claims) || c.Moves != 2*int64(b.Claims) {
			t.Errorf("awake: %+v and %+v", a, c)
		}
	})
}

func TestStatusIsPacked(t *testing.T) {
	st := worker.Status{Waiting: "w", Connectors: []worker.ConnectorStatus{{Name: "c", Tasks: []worker.TaskStatus{{ID: 1, State: worker.StateRunning}}}}}
	for i := range 200_000 { // more than goes into an entry
		st.Connectors[0].Tables = append(st.Connectors[0].Tables, connect.TableStatus{Table: randomID() + fmt.Sprint(i), State: connect.TableFollowing})
	}
	packed, err := packStatus(st)
	if err != nil || len(packed) > maxView {
		t.Fatalf("%d bytes, %v", len(packed), err)
	}
	got, err := unpackStatus(packed)
	if err != nil || got.Waiting != "w" || len(got.Connectors) != 1 || len(got.Connectors[0].Tasks) != 1 || got.Connectors[0].Tables != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
