package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
)

// Signal hands a signal to a source, by the name of its connector; "" is the
// only one. It returns what that means for which table.
func (w *Worker) Signal(ctx context.Context, connector string, s connect.Signal) ([]string, error) {
	var found []*supervisor
	var names []string
	for _, t := range w.all() {
		if !t.conn.IsSource() {
			continue
		}
		names = append(names, t.id.connector)
		if connector == "" || t.id.connector == connector {
			found = append(found, t)
		}
	}
	slices.Sort(names)
	switch {
	case len(found) == 0:
		return nil, connect.Permanent(fmt.Errorf("there is no source %q; there are: %s", connector, strings.Join(names, ", ")))
	case len(found) > 1:
		return nil, connect.Permanent(fmt.Errorf("which source is meant? There are: %s", strings.Join(names, ", ")))
	}
	found[0].mu.Lock()
	src := found[0].source
	found[0].mu.Unlock()
	if src == nil {
		return nil, fmt.Errorf("source %s is not running", found[0].id)
	}
	to, ok := src.(connect.Signaler)
	if !ok {
		return nil, connect.Permanent(fmt.Errorf("source %s takes no signals", found[0].id))
	}
	return to.Signal(ctx, s)
}
