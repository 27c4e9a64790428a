package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/offsets"
)

// ask is a question to who runs a connector's source: to take a signal.
type ask struct {
	Connector string         `json:"connector"`
	Signal    connect.Signal `json:"signal"`
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
	id := randomID()
	if err := h.put(ctx, encode(askKey+id, ask{connector, s, h.incarnation()})); err != nil {
		return nil, err
	}
	defer func() {
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = h.put(cctx, offsets.Entry{Key: askKey + id}, offsets.Entry{Key: answerKey + id}) // else it goes with this worker
	}()
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	for {
		changed := h.shared.Changed()
		m, err := h.current()
		if err != nil {
			return nil, err
		}
		if a, ok := m.answers[id]; ok {
			return a.Lines, a.err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("the worker that runs connector %s has not answered: %w", connector, ctx.Err())
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
	var names []string
	for n, r := range m.conns {
		if r.Type == "source" && (name == "" || n == name) {
			names = append(names, n)
		}
	}
	switch {
	case len(names) == 0:
		return "", herder.Errorf(herder.NotFound, "there is no source %q", name)
	case len(names) > 1:
		return "", herder.Errorf(herder.Invalid, "which source is meant? There are: %s", strings.Join(names, ", "))
	}
	return names[0], nil
}

func (h *Herder) put(ctx context.Context, list ...offsets.Entry) error {
	return h.shared.Update(ctx, func(offsets.View) ([]offsets.Entry, error) { return list, nil })
}

// answers answers what is asked about connectors whose first task runs here.
func (h *Herder) answers(ctx context.Context) {
	for ctx.Err() == nil {
		changed := h.shared.Changed()
		if m, err := h.current(); err == nil {
			if err := h.answerAll(ctx, m); err != nil && ctx.Err() == nil {
				h.opts.Logger.Warn("a signal could not be answered; trying again", "error", err)
				_ = pause(ctx, time.Second)
				continue
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (h *Herder) answerAll(ctx context.Context, m *model) error {
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
		switch {
		case !alive[a.By]:
			list = append(list, offsets.Entry{Key: askKey + id})
		case !has(m.answers, id) && h.runs(a.Connector):
			lines, err := h.opts.Runner.Signal(ctx, a.Connector, a.Signal)
			ans := answer{Lines: lines, By: a.By}
			if err != nil {
				ans.Fault, ans.Final = err.Error(), connect.IsPermanent(err)
			}
			list = append(list, encode(answerKey+id, ans))
		}
	}
	if len(list) == 0 {
		return nil
	}
	return h.put(ctx, list...)
}

// runs reports whether the first task of a connector runs here.
func (h *Herder) runs(connector string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.local[Task{Connector: connector}]
	return r != nil && r.left == nil && r.fault == ""
}
