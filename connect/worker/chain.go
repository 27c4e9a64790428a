package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/deadletter"
)

// chain is the transforms of a task, in order.
type chain struct {
	steps []step
	buf   []connect.Record
}

type step struct {
	name      string
	transform connect.Transform
	predicate connect.Predicate // nil: for all records
	negate    bool
}

func newChain(c *config.Connector, env connect.Env) (*chain, error) {
	ch := &chain{}
	for _, s := range c.Transforms {
		t, err := s.Plugin.Transform(s.Config, env)
		if err != nil {
			return nil, fmt.Errorf("transform %s: %w", s.Plugin.Name, err)
		}
		st := step{name: s.Plugin.Name, transform: t, negate: s.Negate}
		if s.Predicate != nil {
			if st.predicate, err = s.Predicate.Plugin.Predicate(s.Predicate.Config, env); err != nil {
				return nil, fmt.Errorf("predicate %s: %w", s.Predicate.Plugin.Name, err)
			}
		}
		ch.steps = append(ch.steps, st)
	}
	return ch, nil
}

// apply runs all steps. Records that a step could not change are given to
// dead and taken out of b; without dead they are an error.
func (c *chain) apply(ctx context.Context, b *connect.Batch, dead func(*connect.Record, refusal) error) error {
	if len(c.steps) > 0 || dead != nil {
		for i := range b.Records {
			b.Records[i].Flags &^= connect.Exact // rows may be others than the source has, or missing
		}
	}
	for i := range c.steps {
		s := &c.steps[i]
		var err error
		if s.predicate == nil {
			err = s.transform.Apply(ctx, b)
		} else {
			err = c.applyWhere(ctx, b, s)
		}
		if err != nil {
			if err = takeOut(b, err, refusal{stage: deadletter.StageTransform, step: deadletter.StepOf(i, s.name)}, dead); err != nil {
				return fmt.Errorf("transform %s: %w", s.name, err)
			}
		}
	}
	return nil
}

// applyWhere runs s on the records that its predicate selects, a run of
// neighbours at a time, so that the order stays and the transform's memory is
// b's.
func (c *chain) applyWhere(ctx context.Context, b *connect.Batch, s *step) error {
	all, out := b.Records, c.buf[:0]
	var failed connect.BatchError
	for i := 0; i < len(all); {
		match := s.predicate.Test(&all[i]) != s.negate
		j := i + 1
		for j < len(all) && s.predicate.Test(&all[j]) != s.negate == match {
			j++
		}
		run := all[i:j:j]
		i = j
		if match {
			b.Records = run
			err := s.transform.Apply(ctx, b)
			run = b.Records
			if err = shift(&failed, err, len(out)); err != nil {
				return err
			}
		}
		out = append(out, run...)
	}
	clear(all)
	b.Records, c.buf = out, all[:0]
	if len(failed.Failed) > 0 {
		return &failed
	}
	return nil
}

// shift adds the failures in err to all, with their indexes moved by base.
func shift(all *connect.BatchError, err error, base int) error {
	var be *connect.BatchError
	if err == nil || !errors.As(err, &be) {
		return err
	}
	for _, f := range be.Failed {
		all.Failed = append(all.Failed, connect.RecordError{Index: f.Index + base, Err: f.Err})
	}
	return nil
}

// takeOut gives the records that err lists to dead, with where that was, and
// removes them from b.
func takeOut(b *connect.Batch, err error, where refusal, dead func(*connect.Record, refusal) error) error {
	var be *connect.BatchError
	if dead == nil || !errors.As(err, &be) {
		return err
	}
	next := 0
	i := -1
	var first error
	b.Keep(func(r *connect.Record) bool {
		i++
		if next == len(be.Failed) || be.Failed[next].Index != i {
			return true
		}
		where.err = be.Failed[next].Err
		if err := dead(r, where); err != nil && first == nil {
			first = err
		}
		next++
		return false
	})
	return first
}
