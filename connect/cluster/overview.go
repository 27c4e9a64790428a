package cluster

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/towline/towline/connect/worker"
)

const (
	// viewFor is for how long an overview is good enough: to make one, workers write
	// to each other.
	viewFor = time.Second
	// viewWait is how long the others have to say what their tasks do.
	viewWait = 3 * time.Second
	// maxView bounds what one says; with more, tables are left out.
	maxView = 1 << 20
)

// Overview implements herder.Herder. What tasks do that run elsewhere is asked of
// those who run them; of who does not answer in time it is what he told last.
func (h *Herder) Overview(ctx context.Context) worker.Status {
	h.viewing.Lock()
	defer h.viewing.Unlock()
	if time.Since(h.view.Time) > viewFor {
		h.view = h.overview(ctx)
	}
	return h.view
}

// forgetView has the next overview made anew.
func (h *Herder) forgetView() {
	h.viewing.Lock()
	defer h.viewing.Unlock()
	h.view = worker.Status{}
}

func (h *Herder) overview(ctx context.Context) worker.Status {
	m, err := h.known()
	if err != nil {
		return worker.Status{Time: time.Now().UTC(), Waiting: err.Error()}
	}
	said := h.askAll(ctx, m)
	if m, err = h.current(); err != nil { // as of what they said, or later
		return worker.Status{Time: time.Now().UTC(), Waiting: err.Error()}
	}
	st := worker.Status{Time: time.Now().UTC()}
	for _, id := range slices.Sorted(maps.Keys(said)) {
		if st.Waiting == "" {
			st.Waiting = said[id].Waiting
		}
		for _, c := range said[id].Connectors {
			c.Tasks = slices.DeleteFunc(c.Tasks, func(t worker.TaskStatus) bool { return m.claims[Task{Connector: c.Name, Task: t.ID}].Worker != id })
			for i := range c.Tasks {
				c.Tasks[i].Worker = id
			}
			if len(c.Tasks) > 0 {
				st.Add(c)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.conns)) {
		h.addUnheard(ctx, m, name, &st)
	}
	st.Sort()
	if st.Waiting == "" {
		st.Waiting = h.sinksBehind(ctx, m)
	}
	st.Arrived = st.Waiting == ""
	return st
}

// askAll returns what each worker that is alive says of its tasks, in time.
func (h *Herder) askAll(ctx context.Context, m *model) map[string]worker.Status {
	ctx, cancel := context.WithTimeout(ctx, viewWait)
	defer cancel()
	busy := map[string]bool{}
	for _, c := range m.claims {
		busy[c.Worker] = c.Worker != h.opts.WorkerID
	}
	var mu sync.Mutex
	said := map[string]worker.Status{}
	var wg sync.WaitGroup
	for _, id := range h.alive(m) {
		if !busy[id] {
			continue
		}
		wg.Go(func() {
			got, err := h.question(ctx, ask{Worker: id})
			var st worker.Status
			if err == nil {
				st, err = unpackStatus(got.Status)
			}
			if err != nil {
				h.opts.Logger.Warn("a worker does not say what its tasks do", "worker", id, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			said[id] = st
		})
	}
	own := h.own(ctx)
	wg.Wait()
	said[h.opts.WorkerID] = own
	return said
}

// own is what the tasks here do. What its sources have in the log the others see.
func (h *Herder) own(ctx context.Context) worker.Status {
	st := h.opts.Runner.Status(ctx)
	if st.Waiting == "" {
		if err := h.opts.Log.Shown(ctx); err != nil {
			st.Waiting, st.Arrived = err.Error(), false
		}
	}
	return st
}

// addUnheard adds the tasks of a connector that nobody has spoken of.
func (h *Herder) addUnheard(ctx context.Context, m *model, name string, st *worker.Status) {
	r := m.conns[name]
	add := worker.ConnectorStatus{Name: name, Type: r.Type, Class: r.Config["connector.class"]}
	_, c, err := h.built(name)
	if err == nil {
		add.Class = c.Plugin.Name
	}
	state := h.state(m, name, r)
	for i := range r.Tasks {
		if st.Has(name, i) {
			continue
		}
		t := worker.TaskStatus{ID: i, State: worker.StateStopped}
		if i < len(state.Tasks) {
			t.State, t.Trace, t.Worker = state.Tasks[i].State, state.Tasks[i].Trace, state.Tasks[i].Worker
		}
		add.Tasks = append(add.Tasks, t)
		if r.Target != worker.TargetStopped && st.Waiting == "" {
			st.Waiting = fmt.Sprintf("%s %s-%d is %s", r.Type, name, i, t.State)
		}
	}
	if len(add.Tasks) == 0 {
		return
	}
	if err == nil && r.Type == "sink" {
		if w, err := h.opts.Runner.Aside(c, h.opts.Log); err == nil {
			tasks := make([]int, len(add.Tasks))
			for i, t := range add.Tasks {
				tasks[i] = t.ID
			}
			add.LagMessages = w.Unread(ctx, name, tasks)
		}
	}
	st.Add(add)
}

// sinksBehind says what sinks have still to do, or "".
func (h *Herder) sinksBehind(ctx context.Context, m *model) string {
	for _, name := range slices.Sorted(maps.Keys(m.conns)) {
		if r := m.conns[name]; r.Type != "sink" || r.Target == worker.TargetStopped {
			continue
		}
		_, c, err := h.built(name)
		if err != nil {
			return err.Error()
		}
		w, err := h.opts.Runner.Aside(c, h.opts.Log)
		if err != nil {
			return err.Error()
		}
		if why, err := w.Behind(ctx); err != nil || why != "" {
			if err != nil {
				why = err.Error()
			}
			return why
		}
	}
	return ""
}

// packStatus makes of a Status what is sent to another worker.
func packStatus(st worker.Status) ([]byte, error) {
	for {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		err := json.NewEncoder(z).Encode(st)
		if cerr := z.Close(); err == nil {
			err = cerr
		}
		if err != nil || b.Len() <= maxView || !st.DropTables() {
			return b.Bytes(), err
		}
	}
}

func unpackStatus(packed []byte) (st worker.Status, err error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return st, err
	}
	text, err := io.ReadAll(io.LimitReader(z, 256<<20))
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(text, &st)
}
