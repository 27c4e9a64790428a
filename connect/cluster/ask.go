package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/offsets"
)

// ask is a question to who runs a task of a source: to take a signal, or to say
// when all that its server has by now has arrived in the log.
type ask struct {
	Connector string         `json:"connector"`
	Task      int            `json:"task"`
	Signal    connect.Signal `json:"signal"`
	Arrived   bool           `json:"arrived,omitempty"`
	// By is who asks. The question is dropped when it is not a member any more.
	By string `json:"by"`
}

// answer is the answer to an ask.
type answer struct {
	Lines []string `json:"lines,omitempty"`
	Fault string   `json:"fault,omitempty"`
	Final bool     `json:"final,omitempty"` // no other attempt mends the fault
	By    string   `json:"by"`              // who asked
}

// askWait bounds how long one waits for an answer.
const askWait = 30 * time.Second

// Signal implements herder.Herder: it goes to the worker that runs the source.
func (h *Herder) Signal(ctx context.Context, connector string, s connect.Signal) ([]string, error) {
	m, err := h.known()
	if err != nil {
		return nil, err
	}
	if connector, err = m.source(connector); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	return h.question(ctx, ask{Connector: connector, Signal: s})
}

// question asks who runs a task.
func (h *Herder) question(ctx context.Context, a ask) ([]string, error) {
	id := randomID()
	a.By = h.incarnation()
	if err := h.put(ctx, encode(askKey+id, a)); err != nil {
		return nil, err
	}
	defer func() {
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = h.put(cctx, offsets.Entry{Key: askKey + id}, offsets.Entry{Key: answerKey + id}) // else it goes with this worker
	}()
	for {
		changed := h.shared.Changed()
		m, err := h.current()
		if err != nil {
			return nil, err
		}
		if got, ok := m.answers[id]; ok {
			return got.Lines, got.err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("the worker that runs task %s-%d has not answered: %w", a.Connector, a.Task, ctx.Err())
		}
	}
}

func (a answer) err() error {
	switch {
	case a.Fault == "":
		return nil
	case a.Final:
		return connect.Permanent(errors.New(a.Fault))
	}
	return errors.New(a.Fault)
}

// source returns the name of the source that is meant; "" means the only one.
func (m *model) source(name string) (string, error) {
	var names, found []string
	for _, n := range slices.Sorted(maps.Keys(m.conns)) {
		if m.conns[n].Type != "source" {
			continue
		}
		names = append(names, n)
		if name == "" || n == name {
			found = append(found, n)
		}
	}
	switch {
	case len(found) == 0:
		return "", herder.Errorf(herder.Invalid, "there is no source %q; there are: %s", name, strings.Join(names, ", "))
	case len(found) > 1:
		return "", herder.Errorf(herder.Invalid, "which source is meant? There are: %s", strings.Join(names, ", "))
	}
	return found[0], nil
}

func (h *Herder) put(ctx context.Context, list ...offsets.Entry) error {
	return h.shared.Update(ctx, func(offsets.View) ([]offsets.Entry, error) { return list, nil })
}

// answers answers what is asked about tasks that run here.
func (h *Herder) answers(ctx context.Context) {
	begun := map[string]context.CancelFunc{} // by ask
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		changed := h.shared.Changed()
		if m, err := h.current(); err == nil {
			h.tidy(ctx, m)
			for id, a := range m.asks {
				if begun[id] == nil && !has(m.answers, id) && h.runs(Task{Connector: a.Connector, Task: a.Task}) {
					actx, cancel := context.WithCancel(ctx)
					begun[id] = cancel
					wg.Go(func() { h.answer(actx, id, a) })
				}
			}
			for id, cancel := range begun {
				if !has(m.asks, id) { // nobody waits any more
					cancel()
					delete(begun, id)
				}
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	for _, cancel := range begun {
		cancel()
	}
}

// answer answers one question, when the task runs here, until nobody waits for it.
func (h *Herder) answer(ctx context.Context, id string, a ask) {
	t := Task{Connector: a.Connector, Task: a.Task}
	for ; ctx.Err() == nil; _ = pause(ctx, statusEvery) {
		if !h.runs(t) {
			continue
		}
		var lines []string
		var err error
		if a.Arrived {
			if err = h.opts.Runner.WaitSource(ctx, a.Connector, a.Task); err == nil {
				err = h.opts.Log.Shown(ctx) // who asks looks for himself how far sinks are
			}
		} else {
			lines, err = h.opts.Runner.Signal(ctx, a.Connector, a.Signal)
		}
		if ctx.Err() != nil || err != nil && !h.runs(t) {
			continue
		}
		ans := answer{Lines: lines, By: a.By}
		if err != nil {
			ans.Fault, ans.Final = err.Error(), connect.IsPermanent(err)
		}
		if h.put(ctx, encode(answerKey+id, ans)) == nil {
			return
		}
	}
}

// tidy removes questions and answers of those who are no members any more.
func (h *Herder) tidy(ctx context.Context, m *model) {
	alive := map[string]bool{}
	for _, mem := range m.members {
		alive[mem.Incarnation] = true
	}
	var list []offsets.Entry
	for id, a := range m.answers {
		if !alive[a.By] {
			list = append(list, offsets.Entry{Key: answerKey + id})
		}
	}
	for id, a := range m.asks {
		if !alive[a.By] {
			list = append(list, offsets.Entry{Key: askKey + id})
		}
	}
	if len(list) > 0 {
		_ = h.put(ctx, list...) // else the next time
	}
}

// runs reports whether a task runs here.
func (h *Herder) runs(t Task) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.local[t]
	return r != nil && r.left == nil && r.fault == ""
}
