package herder

import (
	"context"
	"errors"

	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/worker"
)

// Retrier sends the dead letters of the tasks that run in it again.
type Retrier interface {
	Retry(ctx context.Context, name string, ids []int64, force bool) ([]worker.Retried, error)
}

// Retry sends dead letters of a connector again where its tasks run, if it can be
// done at all.
func Retry(ctx context.Context, in Retrier, c *config.Connector, target worker.Target, ids []int64, force bool) ([]worker.Retried, error) {
	switch {
	case c.IsSource():
		return nil, Errorf(Invalid, "Connector %s is a source, and what its topics have got since cannot be overtaken by a dead letter; "+
			"mend the cause, have the rows read again by a signal (towline snapshot start, with a condition), and drop the letter", c.Name)
	case target != worker.TargetRunning:
		return nil, Errorf(Conflict, "Connector %s does not run; resume it first", c.Name)
	}
	list, err := in.Retry(ctx, c.Name, ids, force)
	if errors.Is(err, worker.ErrRetry) {
		err = Errorf(Conflict, "%v", err)
	}
	return list, err
}
