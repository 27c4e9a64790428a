package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/towline/towline/connect"
)

// Bounds of one reading.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
	scanBytes    = 1 << 20 // of one read
	scanMost     = 64 << 20
	// quiet is how long a log may take to give a message that it has.
	quiet = 5 * time.Second
)

// ErrNone marks a letter that is not there.
var ErrNone = errors.New("there is no such dead letter")

// Query says which letters are wanted.
type Query struct {
	Topic     string
	Connector string // "": of all
	From      int64  // the first id
	Limit     int    // the most letters; 0: DefaultLimit
	State     State  // "": any
}

// Page is some letters.
type Page struct {
	Topic   string   `json:"topic"`
	Letters []Letter `json:"letters"`
	// Next is where to go on; none at the end.
	Next *int64 `json:"next,omitempty"`
	// End is the id that the next letter will get, whoever's it is.
	End int64 `json:"end"`
}

// List returns letters in order. It reads a bounded part of the topic: a page
// may be short, or empty, and have a Next.
func List(ctx context.Context, log connect.Log, q Query) (Page, error) {
	page := Page{Topic: q.Topic, Letters: []Letter{}}
	limit := q.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	known, err := loadNotes(ctx, log, q.Topic)
	if err != nil {
		return page, err
	}
	v := newViewer()
	next, end, err := scan(ctx, log, q.Topic, q.From, func(m *connect.Message) (bool, error) {
		l, ok := letterOf(m, known)
		if !ok || q.Connector != "" && l.Connector != "" && l.Connector != q.Connector || q.State != "" && l.State != q.State {
			return true, nil
		}
		if len(page.Letters) == limit {
			return false, nil
		}
		v.brief(&l, m)
		page.Letters = append(page.Letters, l)
		return true, nil
	})
	if page.End = end; next >= 0 {
		page.Next = &next
	}
	return page, err
}

// Get returns one letter whole. ErrNone if the topic has none of that id, or
// one of another connector.
func Get(ctx context.Context, log connect.Log, topic, connector string, id int64) (Letter, error) {
	var found Letter
	err := Read(ctx, log, topic, connector, id, func(m *connect.Message, l Letter) error {
		newViewer().whole(&l, m)
		found = l
		return nil
	})
	return found, err
}

// Read hands one letter, whose connector this is, to use: as a message, which is
// use's until it returns, and what is known of it. ErrNone is as of Get.
func Read(ctx context.Context, log connect.Log, topic, connector string, id int64, use func(*connect.Message, Letter) error) error {
	known, err := loadNotes(ctx, log, topic)
	if err != nil {
		return err
	}
	found := false
	_, _, err = scan(ctx, log, topic, id, func(m *connect.Message) (bool, error) {
		if m.Offset != id {
			return false, nil
		}
		l, ok := letterOf(m, known)
		if !ok || connector != "" && l.Connector != "" && l.Connector != connector {
			return false, nil
		}
		found = true
		return false, use(m, l)
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: %d in topic %s", ErrNone, id, topic)
	}
	return err
}

// Each hands all letters of a connector to use, whatever their State, in order.
func Each(ctx context.Context, log connect.Log, topic, connector string, use func(*connect.Message, Letter) error) error {
	known, err := loadNotes(ctx, log, topic)
	if err != nil {
		return err
	}
	for next := int64(0); next >= 0; {
		next, _, err = scan(ctx, log, topic, next, func(m *connect.Message) (bool, error) {
			l, ok := letterOf(m, known)
			if !ok || connector != "" && l.Connector != "" && l.Connector != connector {
				return true, nil
			}
			return true, use(m, l)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// DropThrough drops all open letters of a connector up to one, and returns how
// many these were.
func DropThrough(ctx context.Context, log connect.Log, topic, connector string, through int64) (int, error) {
	dropped := 0
	for from := int64(0); ; {
		known, err := loadNotes(ctx, log, topic)
		if err != nil {
			return dropped, err
		}
		var runs []note
		n, last, now := 0, int64(-1), time.Now().UTC()
		next, _, err := scan(ctx, log, topic, from, func(m *connect.Message) (bool, error) {
			if m.Offset > through {
				return false, nil
			}
			l, ok := letterOf(m, known)
			if !ok || l.State != Open || connector != "" && l.Connector != "" && l.Connector != connector {
				return true, nil
			}
			if len(runs) > 0 && last == m.Offset-1 {
				runs[len(runs)-1].Through = m.Offset
			} else {
				runs = append(runs, note{From: m.Offset, Through: m.Offset, State: Dropped, Time: now})
			}
			last = m.Offset
			n++
			return true, nil
		})
		if err == nil {
			err = save(ctx, log, topic, runs)
		}
		if err != nil {
			return dropped, err
		}
		dropped += n
		if next < 0 || next > through {
			return dropped, nil
		}
		from = next
	}
}

// scan calls visit for the messages of a topic from an offset on, until visit
// says no or it has read its share. It returns where to go on, -1 at the end,
// and where that is.
func scan(ctx context.Context, log connect.Log, topic string, from int64, visit func(*connect.Message) (bool, error)) (next, end int64, err error) {
	topics, err := log.Topics(ctx)
	if err != nil {
		return -1, 0, fmt.Errorf("list topics: %w", err)
	}
	if _, ok := topics[topic]; !ok {
		return -1, 0, nil // nothing has died yet
	}
	first, end, err := log.Bounds(ctx, topic, 0)
	if err != nil {
		return -1, 0, fmt.Errorf("bounds of topic %s: %w", topic, err)
	}
	at := max(from, first)
	if at >= end {
		return -1, end, nil
	}
	r, err := log.OpenReader(ctx, []connect.Cursor{{Topic: topic, Offset: at}})
	if err != nil {
		return -1, 0, fmt.Errorf("open reader of topic %s: %w", topic, err)
	}
	defer r.Close()
	var msgs connect.Messages
	defer msgs.Reset()
	for size := 0; at < end; {
		if size >= scanMost {
			return at, end, nil
		}
		msgs.Reset()
		if err := read(ctx, r, &msgs); err != nil || len(msgs.List) == 0 {
			return -1, end, err
		}
		size += msgs.Size()
		for i := range msgs.List {
			at = msgs.List[i].Offset + 1
			on, err := visit(&msgs.List[i])
			if err != nil || !on {
				return at - 1, end, err
			}
		}
	}
	return -1, end, nil
}

// read reads what there is. A log whose last messages are none for readers says
// nothing.
func read(ctx context.Context, r connect.Reader, msgs *connect.Messages) error {
	rctx, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	err := r.Read(rctx, msgs, scanBytes)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		msgs.Reset()
		return nil
	}
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	return nil
}
