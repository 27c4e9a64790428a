package deadletter

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// State is what has become of a dead letter.
type State string

// The states.
const (
	Open    State = "open"
	Sent    State = "sent"    // again, and taken
	Dropped State = "dropped" // somebody does not want it
)

// storeKey is the prefix of what is remembered of letters.
const storeKey = "deadletter/"

// keyDigits is how many digits the number in a key has.
const keyDigits = 20

// note says what has become of a run of letters.
type note struct {
	From    int64     `json:"-"`
	Through int64     `json:"through"`
	State   State     `json:"state"`
	Time    time.Time `json:"time"`
}

func noteKey(topic string, from int64) string {
	return fmt.Sprintf("%s%s/%0*d", storeKey, topic, keyDigits, from)
}

// notes are all that there are for a topic, in order.
type notes []note

func loadNotes(ctx context.Context, log connect.Log, topic string) (notes, error) {
	base := storeKey + topic + "/"
	entries, err := log.Store().Load(ctx, base)
	if err != nil {
		return nil, fmt.Errorf("load what has become of dead letters: %w", err)
	}
	var list notes
	for _, e := range entries {
		digits := e.Key[len(base):]
		from, err := strconv.ParseInt(digits, 10, 64)
		if len(digits) != keyDigits || err != nil {
			continue // of a topic whose name goes on
		}
		n := note{From: from}
		if err := json.Unmarshal(e.Pos, &n); err != nil {
			return nil, fmt.Errorf("what has become of dead letter %d of topic %s is not readable: %w", from, topic, err)
		}
		list = append(list, n)
	}
	return list, nil
}

// of returns the note about a letter; one that is Open if there is none.
func (l notes) of(id int64) note {
	i, found := slices.BinarySearchFunc(l, id, func(n note, id int64) int { return int(max(-1, min(1, n.From-id))) })
	if !found {
		i--
	}
	if i >= 0 && l[i].Through >= id {
		return l[i]
	}
	return note{State: Open}
}

// entry returns what is saved for n.
func (n *note) entry(topic string) (offsets.Entry, error) {
	pos, err := json.Marshal(n)
	return offsets.Entry{Key: noteKey(topic, n.From), Pos: pos}, err
}

// save notes what has become of letters, and takes away notes about those that
// the topic has no more.
func save(ctx context.Context, log connect.Log, topic string, list []note) error {
	if len(list) == 0 {
		return nil
	}
	old, err := loadNotes(ctx, log, topic)
	if err != nil {
		return err
	}
	first, _, err := log.Bounds(ctx, topic, 0)
	if err != nil {
		return fmt.Errorf("bounds of topic %s: %w", topic, err)
	}
	var entries []offsets.Entry
	for _, n := range old {
		if n.Through < first {
			entries = append(entries, offsets.Entry{Key: noteKey(topic, n.From)})
		}
	}
	for i := range list {
		e, err := list[i].entry(topic)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	if err := log.Store().Save(ctx, entries...); err != nil {
		return fmt.Errorf("save what has become of dead letters: %w", err)
	}
	return nil
}

// Settle notes that an open letter was sent again; others stay what they are.
func Settle(ctx context.Context, log connect.Log, topic string, id int64) error {
	known, err := loadNotes(ctx, log, topic)
	if err != nil || known.of(id).State != Open {
		return err
	}
	return Resolve(ctx, log, topic, id, Sent)
}

// Resolve notes that one letter was sent again or dropped. It is durable when
// Resolve returns.
func Resolve(ctx context.Context, log connect.Log, topic string, id int64, state State) error {
	return save(ctx, log, topic, []note{{From: id, Through: id, State: state, Time: time.Now().UTC()}})
}
