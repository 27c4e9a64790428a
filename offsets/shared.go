package offsets

import "context"

// View is what a Shared has, as of one place in the order of its writes. It is
// valid during the call that it is given to. Positions are never changed.
type View interface {
	// Place is that of the next write. Of writes that count, places rise, and none
	// comes twice. A write may land behind its place, where what came between does
	// not count.
	Place() int64
	Get(key string) Position // nil: not there
	// Range returns the entries whose key begins with prefix, ordered by key.
	Range(prefix string) []Entry
}

// Shared keeps entries that many processes write, in one order that all of them
// see. It is safe for concurrent use.
type Shared interface {
	// Update writes what decide returns, at the place of the view that it is
	// given: when others come first, it is asked again. With an error or
	// without entries nothing is written; then what decide saw may not be all
	// that there is. decide is called with locks held, by any goroutine but not
	// after Update has returned, and must not call back.
	// When Update fails for another reason the write may still count, later.
	Update(ctx context.Context, decide func(View) ([]Entry, error)) error
	// UpdateFirst is Update, for what has little time: it comes before all
	// updates of this process that wait, behind those alone that are on their way.
	UpdateFirst(ctx context.Context, decide func(View) ([]Entry, error)) error
	// Look shows what is known here; what others write comes soon.
	Look(see func(View))
	// Changed returns a channel that is closed when entries change after this
	// call.
	Changed() <-chan struct{}
}
