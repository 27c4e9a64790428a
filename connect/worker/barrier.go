package worker

import (
	"context"
	"fmt"

	"github.com/towline/towline/connect"
)

// checkBarriers returns an error for a truncation that the sink cannot follow:
// one of several partitions, where it does not know of barriers, or where a
// transform has taken away that this is one.
func (t *sinkTask) checkBarriers(ctx context.Context, u *sinkUnit) error {
	for i := range u.batch.Records {
		r := &u.batch.Records[i]
		if r.Op != connect.OpTruncate {
			continue
		}
		bar, err := r.Barrier()
		if err != nil {
			return connect.Permanent(err)
		}
		if bar != nil && t.barriers {
			continue
		}
		topics, err := t.log.Topics(ctx)
		if err != nil {
			return fmt.Errorf("list topics: %w", err)
		}
		if n := topics[r.Home()]; n > 1 {
			return connect.Permanent(fmt.Errorf("table %s was emptied (TRUNCATE or DROP), which comes in each of the %d partitions of topic %s, and this sink cannot tell when that is to happen: "+
				"give the rows of the table a topic with one partition, or write them with a jdbc sink and keep the header %s", r.Table, n, r.Home(), connect.HeaderBarrier))
		}
	}
	return nil
}
