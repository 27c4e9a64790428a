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
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// ask is a question to who runs a task, or to a worker: one of a signal to take,
// whether all that a source's server has by now has arrived in the log, dead
// letters to send again, and what the worker's tasks do.
type ask struct {
	ID        string          `json:"id"` // no other has it
	Worker    string          `json:"worker,omitempty"`
	Connector string          `json:"connector,omitempty"`
	Task      int             `json:"task"`
	Signal    *connect.Signal `json:"signal,omitempty"`
	Arrived   bool            `json:"arrived,omitempty"`
	Letters   []int64         `json:"letters,omitempty"`
	Force     bool            `json:"force,omitempty"`
	// By is who asks. The question is dropped when it is not a member any more.
	By string `json:"by"`
}

// answer is the answer to an ask.
type answer struct {
	ID      string           `json:"id"` // of the ask
	Lines   []string         `json:"lines,omitempty"`
	Letters []worker.Retried `json:"letters,omitempty"`
	Status  []byte           `json:"status,omitempty"` // see packStatus
	Fault   string           `json:"fault,omitempty"`
	Final   bool             `json:"final,omitempty"` // no other attempt mends the fault
	Retry   bool             `json:"retry,omitempty"` // it is a worker.ErrRetry
	By      string           `json:"by"`              // who asked
}

// askWait bounds how long one waits for an answer to a signal.
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
	got, err := h.question(ctx, ask{Connector: connector, Signal: &s})
	return got.Lines, err
}

// question asks, and waits for the answer. Its place in the state is one that is
// used again: what is deleted there leaves its key behind.
func (h *Herder) question(ctx context.Context, a ask) (answer, error) {
	slot := h.takeSlot()
	defer h.giveSlot(slot)
	key := fmt.Sprintf("%s/%d", h.opts.WorkerID, slot)
	a.ID, a.By = randomID(), h.incarnation()
	if err := h.put(ctx, encode(askKey+key, a)); err != nil {
		return answer{}, err
	}
	defer func() {
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = h.put(cctx, offsets.Entry{Key: askKey + key}, offsets.Entry{Key: answerKey + key}) // else it goes with this worker, or with the next question
	}()
	for {
		changed := h.shared.Changed()
		m, err := h.current()
		if err != nil {
			return answer{}, err
		}
		if got, ok := m.answers[key]; ok && got.ID == a.ID {
			return got, got.err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return answer{}, fmt.Errorf("%s has not answered: %w", a.whom(), ctx.Err())
		}
	}
}

// takeSlot returns the lowest number that no question of this worker has.
func (h *Herder) takeSlot() (slot int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.slots[slot] {
		slot++
	}
	h.slots[slot] = true
	return slot
}

func (h *Herder) giveSlot(slot int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.slots, slot)
}

// whom says who is asked.
func (a *ask) whom() string {
	if a.Worker != "" {
		return "worker " + a.Worker
	}
	return fmt.Sprintf("the worker that runs task %s-%d", a.Connector, a.Task)
}

// fault takes note of why there is no better answer.
func (a *answer) fault(err error) {
	if err != nil {
		a.Fault, a.Final, a.Retry = err.Error(), connect.IsPermanent(err), errors.Is(err, worker.ErrRetry)
	}
}

func (a answer) err() error {
	switch {
	case a.Fault == "":
		return nil
	case a.Final:
		return connect.Permanent(errors.New(a.Fault))
	case a.Retry:
		return fmt.Errorf("%w%s", worker.ErrRetry, strings.TrimPrefix(a.Fault, worker.ErrRetry.Error()))
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

// answers answers what is asked of this worker, or about tasks that run here.
func (h *Herder) answers(ctx context.Context) {
	begun := map[string]context.CancelFunc{} // by the ask's ID
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		changed := h.shared.Changed()
		if m, err := h.current(); err == nil {
			h.tidy(ctx, m)
			asked := map[string]bool{}
			for key, a := range m.asks {
				asked[a.ID] = true
				if begun[a.ID] == nil && m.answers[key].ID != a.ID && h.concerns(&a) {
					actx, cancel := context.WithCancel(ctx)
					begun[a.ID] = cancel
					wg.Go(func() { h.answer(actx, key, a) })
				}
			}
			for id, cancel := range begun {
				if !asked[id] { // nobody waits any more
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

// concerns reports whether this worker is to answer.
func (h *Herder) concerns(a *ask) bool {
	if a.Worker != "" {
		return a.Worker == h.opts.WorkerID
	}
	return h.runs(Task{Connector: a.Connector, Task: a.Task})
}

// answer answers one question, as soon as it concerns this worker, until nobody
// waits for it.
func (h *Herder) answer(ctx context.Context, key string, a ask) {
	for ; ctx.Err() == nil; _ = pause(ctx, statusEvery) {
		if !h.concerns(&a) {
			continue
		}
		ans, err := h.reply(ctx, &a)
		if ctx.Err() != nil || err != nil && !h.concerns(&a) {
			continue
		}
		ans.ID, ans.By = a.ID, a.By
		ans.fault(err)
		for h.tellAnswer(ctx, key, ans) != nil && pause(ctx, statusEvery) == nil { // what was done is not done again
		}
		return
	}
}

// tellAnswer writes an answer, if somebody still waits for it.
func (h *Herder) tellAnswer(ctx context.Context, key string, ans answer) error {
	return h.update(ctx, func(m *model) ([]offsets.Entry, error) {
		if m.asks[key].ID != ans.ID {
			return nil, nil
		}
		return []offsets.Entry{encode(answerKey+key, ans)}, nil
	})
}

// reply does what is asked.
func (h *Herder) reply(ctx context.Context, a *ask) (ans answer, err error) {
	switch {
	case a.Worker != "":
		ans.Status, err = packStatus(h.own(ctx))
	case a.Arrived:
		if err = h.opts.Runner.WaitSource(ctx, a.Connector, a.Task); err == nil {
			err = h.opts.Log.Shown(ctx) // who asks looks for himself how far sinks are
		}
	case a.Letters != nil:
		ans.Letters, err = h.opts.Runner.Retry(ctx, a.Connector, a.Letters, a.Force)
	case a.Signal != nil:
		ans.Lines, err = h.opts.Runner.Signal(ctx, a.Connector, *a.Signal)
	default:
		err = connect.Permanent(errors.New("this worker does not know what it is asked; it is of another version"))
	}
	return ans, err
}

// tidy removes questions and answers of those who are no members any more.
func (h *Herder) tidy(ctx context.Context, m *model) {
	if len(m.orphans()) > 0 {
		_ = h.update(ctx, func(m *model) ([]offsets.Entry, error) { return m.orphans(), nil }) // else the next time
	}
}

// orphans returns what removes them.
func (m *model) orphans() (list []offsets.Entry) {
	alive := map[string]bool{}
	for _, mem := range m.members {
		alive[mem.Incarnation] = true
	}
	for key, a := range m.answers {
		if !alive[a.By] {
			list = append(list, offsets.Entry{Key: answerKey + key})
		}
	}
	for key, a := range m.asks {
		if !alive[a.By] {
			list = append(list, offsets.Entry{Key: askKey + key})
		}
	}
	return list
}

// runs reports whether a task runs here.
func (h *Herder) runs(t Task) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.local[t]
	return r != nil && r.left == nil && r.fault == ""
}
