package main

import (
	"context"
	"fmt"
)

// side does a run once. Runs are counted from 0.
type side func(ctx context.Context, run int) (sample, error)

// race is a figure of rows that ours and a peer bring over.
type race struct {
	name    string
	unit    string // default rows/s
	mark    *mark
	before  func(ctx context.Context, run int) error // makes ready for a run of each side; nil: nothing to do
	ours    side
	peer    string // as PEERS names it; empty: there is none
	against string // what it does
	theirs  side
	note    string
	runs    int // default: as the flag says
}

// versus runs ours and the peer, where it is wanted, in turns and reports the
// outcome.
func (b *bench) versus(ctx context.Context, r race) error {
	var ours, theirs series
	if r.runs == 0 {
		r.runs = b.runs
	}
	for run := range r.runs {
		if r.before != nil {
			if err := r.before(ctx, run); err != nil {
				return err
			}
		}
		s, err := r.ours(ctx, run)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		ours = append(ours, s)
		b.progress("%s: ours %s", r.name, number(s.rate()))
		if r.peer == "" || !b.wants(r.peer) {
			continue
		}
		if s, err = r.theirs(ctx, run); err != nil {
			return fmt.Errorf("%s: %s: %w", r.name, r.against, err)
		}
		theirs = append(theirs, s)
		b.progress("%s: %s %s", r.name, r.against, number(s.rate()))
	}
	l := line{name: r.name, value: ours.rate(), unit: r.unit, mark: r.mark, ours: ours.spread(), cpu: ours.cpu(), peak: ours.peak(), note: r.note}
	if l.unit == "" {
		l.unit = "rows/s"
	}
	if len(theirs) > 0 {
		l.ratio, l.against, l.peers = ours.rate()/theirs.rate(), r.against, theirs.spread()
		for who, v := range theirs.cpu() {
			l.cpu["peer's "+who] = v
		}
	}
	b.report(l)
	return nil
}
