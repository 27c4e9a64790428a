package cluster

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/towline/towline/connect/cluster/assign"
	"github.com/towline/towline/connect/worker"
	"github.com/towline/towline/offsets"
)

// Key spaces of the state.
const (
	idKey        = "cluster/id"
	memberKey    = "member/"
	connectorKey = "connector/"
	claimKey     = "claim/"
	statusKey    = "status/"
	askKey       = "ask/"
	answerKey    = "answer/"
	levelKey     = "level/"
)

// Task names a task.
type Task = assign.Task

// member is a worker, and the lease that it renews.
type member struct {
	Incarnation string `json:"incarnation"` // of its process
	Beat        int64  `json:"beat"`        // rises with each renewal
	Session     int64  `json:"session_ms"`  // for how long a renewal holds
	Leaving     bool   `json:"leaving,omitempty"`
	Strategy    string `json:"strategy"`
}

// record is a connector.
type record struct {
	Config map[string]string `json:"config"` // as its user wrote it
	Type   string            `json:"type"`
	Target worker.Target     `json:"target"`
	Tasks  int               `json:"tasks"`
	// Generation rises with each change of the configuration.
	Generation int64 `json:"generation"`
	// Restarts are the numbers of the last orders to start tasks anew. They rise.
	Restarts map[int]int64 `json:"restarts,omitempty"`
}

// claim is the right to run a task. There is one only as long as its owner is a
// member.
type claim struct {
	Worker      string `json:"worker"`
	Incarnation string `json:"incarnation"`
	// Epoch is the place at which the claim was written.
	Epoch      int64 `json:"epoch"`
	Generation int64 `json:"generation"` // of the connector
}

// taskStatus is what a task does, as told by who has the claim of an epoch.
type taskStatus struct {
	State    worker.State `json:"state"`
	Trace    string       `json:"trace,omitempty"`
	Attempts int          `json:"attempts,omitempty"`
	Epoch    int64        `json:"epoch"`
	Restart  int64        `json:"restart,omitempty"` // number of the last order that it is newer than
}

// model is all that is in the state, as of one place. It is never changed.
type model struct {
	place    int64
	id       string
	members  map[string]member
	conns    map[string]record
	claims   map[Task]claim
	statuses map[Task]taskStatus
	asks     map[string]ask
	answers  map[string]answer
	levels   map[string]level
}

func taskKey(space string, t Task) string { return space + t.Connector + "/" + strconv.Itoa(t.Task) }

// parseTask is the inverse of taskKey, without the space.
func parseTask(key string) (t Task, err error) {
	at := strings.LastIndexByte(key, '/')
	if at < 0 {
		return t, fmt.Errorf("%q names no task", key)
	}
	t.Connector = key[:at]
	t.Task, err = strconv.Atoi(key[at+1:])
	return t, err
}

func encode(key string, v any) offsets.Entry {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // there is nothing in a record that could fail
	}
	return offsets.Entry{Key: key, Pos: text}
}

// parser makes models of views. What has not changed since the last one is not
// parsed again.
type parser struct {
	raw    map[string]offsets.Position
	parsed map[string]any
}

func newParser() *parser {
	return &parser{raw: map[string]offsets.Position{}, parsed: map[string]any{}}
}

// read returns what is in a view.
func (p *parser) read(v offsets.View) (*model, error) {
	m := &model{place: v.Place(), id: string(v.Get(idKey))}
	var err error
	text := func(key string) (string, error) { return key, nil }
	if m.members, err = readSpace[string, member](p, v, memberKey, text); err != nil {
		return nil, err
	}
	if m.conns, err = readSpace[string, record](p, v, connectorKey, text); err != nil {
		return nil, err
	}
	if m.claims, err = readSpace[Task, claim](p, v, claimKey, parseTask); err != nil {
		return nil, err
	}
	if m.statuses, err = readSpace[Task, taskStatus](p, v, statusKey, parseTask); err != nil {
		return nil, err
	}
	if m.asks, err = readSpace[string, ask](p, v, askKey, text); err != nil {
		return nil, err
	}
	if m.answers, err = readSpace[string, answer](p, v, answerKey, text); err != nil {
		return nil, err
	}
	m.levels, err = readSpace[string, level](p, v, levelKey, text)
	return m, err
}

func readSpace[K comparable, T any](p *parser, v offsets.View, space string, parse func(string) (K, error)) (map[K]T, error) {
	out := map[K]T{}
	for _, e := range v.Range(space) {
		key, err := parse(e.Key[len(space):])
		if err != nil {
			return nil, fmt.Errorf("the state has an entry %q: %w", e.Key, err)
		}
		if old, ok := p.parsed[e.Key].(T); ok && bytes.Equal(p.raw[e.Key], e.Pos) {
			out[key] = old
			continue
		}
		var t T
		if err := json.Unmarshal(e.Pos, &t); err != nil {
			return nil, fmt.Errorf("the state has an entry %q that cannot be read: %w", e.Key, err)
		}
		out[key], p.raw[e.Key], p.parsed[e.Key] = t, e.Pos, t
	}
	for key := range p.raw { // what is gone
		if rest, ok := strings.CutPrefix(key, space); ok {
			if k, err := parse(rest); err != nil || !has(out, k) {
				delete(p.raw, key)
				delete(p.parsed, key)
			}
		}
	}
	return out, nil
}

func has[K comparable, T any](m map[K]T, key K) bool {
	_, ok := m[key]
	return ok
}

// by reports whether a claim is that of a worker's incarnation.
func (c claim) by(id, incarnation string) bool {
	return c.Worker == id && c.Incarnation == incarnation
}

// workers returns those who are to have tasks, in order.
func (m *model) workers() []string {
	var list []string
	for id, mem := range m.members {
		if !mem.Leaving {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

func compareTasks(a, b Task) int {
	return cmp.Or(strings.Compare(a.Connector, b.Connector), cmp.Compare(a.Task, b.Task))
}

// tasks returns all tasks that are to be somewhere.
func (m *model) tasks() []Task {
	var list []Task
	for _, name := range slices.Sorted(maps.Keys(m.conns)) {
		if c := m.conns[name]; c.Target != worker.TargetStopped {
			for i := range c.Tasks {
				list = append(list, Task{Connector: name, Task: i})
			}
		}
	}
	return list
}

// strategy returns the one that all use: that of the first worker, where they
// differ. It is one of those that are known here, or own.
func (m *model) strategy(known assign.Registry, own string) assign.Strategy {
	for _, id := range m.workers() {
		if s, err := known.Get(m.members[id].Strategy); err == nil {
			return s
		}
		break
	}
	return known[own]
}

// assigned returns who is to have which task.
func (m *model) assigned(s assign.Strategy) map[Task]string {
	now := make(map[Task]string, len(m.claims))
	for t, c := range m.claims {
		now[t] = c.Worker
	}
	return s.Assign(m.workers(), m.tasks(), now)
}

// wanted reports whether a task is to run, and by a claim of this generation.
func (m *model) wanted(t Task, generation int64) bool {
	c, ok := m.conns[t.Connector]
	return ok && c.Target != worker.TargetStopped && t.Task < c.Tasks && c.Generation == generation
}
