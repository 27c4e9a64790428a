package cluster

import (
	"context"
	"fmt"

	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/deadletter"
	"github.com/towline/towline/connect/herder"
	"github.com/towline/towline/connect/worker"
)

// DeadLetters implements herder.Letters.
func (h *Herder) DeadLetters(_ context.Context, name string) (topic string, err error) {
	_, c, err := h.built(name)
	if err != nil {
		return "", err
	}
	return c.Config.String("errors.deadletterqueue.topic.name"), nil
}

// Retry implements herder.Letters: each letter is sent again by who runs its task.
func (h *Herder) Retry(ctx context.Context, name string, ids []int64, force bool) ([]worker.Retried, error) {
	r, c, err := h.built(name)
	if err != nil {
		return nil, err
	}
	return herder.Retry(ctx, retrier{h, c}, c, r.Target, ids, force)
}

// retrier is the herder.Retrier of a connector whose tasks run here and elsewhere.
type retrier struct {
	h *Herder
	c *config.Connector
}

// Retry implements herder.Retrier. Letters keep their order: those of one task that
// follow each other go in one question.
func (r retrier) Retry(ctx context.Context, name string, ids []int64, force bool) ([]worker.Retried, error) {
	aside, err := r.h.opts.Runner.Aside(r.c, r.h.opts.Log)
	if err != nil {
		return nil, err
	}
	tasks, err := aside.LetterTasks(ctx, name, ids)
	if err != nil {
		return nil, err
	}
	list := make([]worker.Retried, 0, len(ids))
	for from := 0; from < len(ids); {
		to := from + 1
		for to < len(ids) && tasks[to] == tasks[from] {
			to++
		}
		sent, err := r.send(ctx, Task{Connector: name, Task: tasks[from]}, ids[from:to], force)
		if err != nil && from == 0 && to == len(ids) {
			return nil, err
		}
		for i, id := range ids[from:to] {
			if err != nil {
				list = append(list, worker.Retried{ID: id, State: deadletter.Open, Error: err.Error()})
			} else {
				list = append(list, sent[i])
			}
		}
		from = to
	}
	return list, nil
}

// send has letters of one task sent again.
func (r retrier) send(ctx context.Context, t Task, ids []int64, force bool) ([]worker.Retried, error) {
	if r.h.runs(t) {
		return r.h.opts.Runner.Retry(ctx, t.Connector, ids, force)
	}
	got, err := r.h.question(ctx, ask{Connector: t.Connector, Task: t.Task, Letters: ids, Force: force})
	if err == nil && len(got.Letters) != len(ids) {
		err = fmt.Errorf("the worker that runs task %s-%d tells of %d dead letters and not of %d", t.Connector, t.Task, len(got.Letters), len(ids))
	}
	return got.Letters, err
}
