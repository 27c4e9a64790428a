package worker

import (
	"context"
	"fmt"
	"sync"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// topicsKey is the prefix of what topics a connector has used.
const topicsKey = "topics/"

// tracker notes which topics a connector uses. Safe for concurrent use.
type tracker struct {
	prefix string

	mu    sync.Mutex
	known map[string]bool // that they are noted in the store
}

// fresh returns entries for the topics of msgs that are not noted.
func (t *tracker) fresh(msgs []connect.Message) (entries []offsets.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := ""
	for i := range msgs {
		if topic := msgs[i].Topic; topic != last {
			if last = topic; !t.known[topic] {
				entries = append(entries, offsets.Entry{Key: t.prefix + topic, Pos: offsets.Position{1}})
			}
		}
	}
	return entries
}

// note says that entries are in the store.
func (t *tracker) note(entries []offsets.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range entries {
		t.known[e.Key[len(t.prefix):]] = true
	}
}

func (t *tracker) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.known)
}

// tracker returns the one of a connector.
func (w *Worker) tracker(connector string) *tracker {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.trackers[connector]
	if t == nil {
		t = &tracker{prefix: topicsKey + connector + "/", known: map[string]bool{}}
		w.trackers[connector] = t
	}
	return t
}

// tracked returns a log as a connector uses it.
func (w *Worker) tracked(log connect.Log, connector string) connect.Log {
	return trackedLog{log, w.tracker(connector)}
}

// trackedLog notes the topics of what goes through it, once a topic.
type trackedLog struct {
	connect.Log
	t *tracker
}

// Append implements connect.Log: the note goes with the messages.
func (l trackedLog) Append(ctx context.Context, msgs []connect.Message, entries []offsets.Entry) error {
	fresh := l.t.fresh(msgs)
	if len(fresh) == 0 {
		return l.Log.Append(ctx, msgs, entries)
	}
	if err := l.Log.Append(ctx, msgs, append(entries[:len(entries):len(entries)], fresh...)); err != nil {
		return err
	}
	l.t.note(fresh)
	return nil
}

// OpenReader implements connect.Log.
func (l trackedLog) OpenReader(ctx context.Context, from []connect.Cursor) (connect.Reader, error) {
	r, err := l.Log.OpenReader(ctx, from)
	if err != nil {
		return nil, err
	}
	return trackedReader{r, l}, nil
}

// trackedReader notes the topics of what it reads.
type trackedReader struct {
	connect.Reader
	l trackedLog
}

// Read implements connect.Reader.
func (r trackedReader) Read(ctx context.Context, m *connect.Messages, maxBytes int) error {
	if err := r.Reader.Read(ctx, m, maxBytes); err != nil {
		return err
	}
	fresh := r.l.t.fresh(m.List)
	if len(fresh) == 0 {
		return nil
	}
	if err := r.l.Store().Save(ctx, fresh...); err != nil {
		return fmt.Errorf("note topics: %w", err)
	}
	r.l.t.note(fresh)
	return nil
}

// Topics returns the topics that a connector has used, in order.
func (w *Worker) Topics(ctx context.Context, connector string) ([]string, error) {
	prefix := topicsKey + connector + "/"
	entries, err := w.Log().Store().Load(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("load topics: %w", err)
	}
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Key[len(prefix):]
	}
	return list, nil
}

// ResetTopics forgets the topics that a connector has used.
func (w *Worker) ResetTopics(ctx context.Context, connector string) error {
	t := w.tracker(connector)
	entries, err := w.Log().Store().Load(ctx, t.prefix)
	if err != nil {
		return fmt.Errorf("load topics: %w", err)
	}
	for i := range entries {
		entries[i].Pos = nil
	}
	if err := w.Log().Store().Save(ctx, entries...); err != nil {
		return fmt.Errorf("save topics: %w", err)
	}
	t.forget()
	return nil
}
