package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// Status is what the worker's connectors do now.
type Status struct {
	Time       time.Time         `json:"time"`
	Connectors []ConnectorStatus `json:"connectors"`
	// Arrived says whether all that the sources had committed when asked is
	// in all targets. Waiting is why not.
	Arrived bool   `json:"arrived"`
	Waiting string `json:"waiting,omitempty"`
}

// ConnectorStatus is the state of one connector.
type ConnectorStatus struct {
	Name     string       `json:"name"`
	Type     string       `json:"type"` // source or sink
	Class    string       `json:"class"`
	Tasks    []TaskStatus `json:"tasks"`
	Records  totals       `json:"records"`
	Position string       `json:"position,omitempty"` // of a source, in words
	// Tables are those of a source and, of a sink, those that it has stopped or
	// begins anew, by name.
	Tables []connect.TableStatus `json:"tables,omitempty"`
	// LagSeconds is the age of the last record that is through, while there
	// are others behind it; 0 when there are none.
	LagSeconds float64 `json:"lag_seconds"`
	// LagMessages is how many messages of its topics a sink has not done.
	LagMessages int64 `json:"lag_messages"`
	// Stages are how the task, the first one of several, spends its time, and
	// Limit says in words which of them holds back the others.
	Stages []StageStatus `json:"stages,omitempty"`
	Limit  string        `json:"limit,omitempty"`
}

// Status returns what all connectors do. It asks the sources how far their
// servers have got; ctx bounds that.
func (w *Worker) Status(ctx context.Context) Status {
	st := Status{Time: time.Now().UTC()}
	goal := w.goal(ctx)
	st.Waiting = w.waitingFor(ctx, goal, true)
	st.Arrived = st.Waiting == ""
	for _, s := range w.all() {
		st.Add(w.connectorStatus(ctx, s))
	}
	return st
}

// Add adds tasks of a connector, beside others of it that are there.
func (st *Status) Add(c ConnectorStatus) {
	at := slices.IndexFunc(st.Connectors, func(o ConnectorStatus) bool { return o.Name == c.Name })
	if at < 0 {
		st.Connectors = append(st.Connectors, c)
		return
	}
	o := &st.Connectors[at]
	o.Tasks = append(o.Tasks, c.Tasks...)
	for _, t := range c.Tables { // tasks of a sink may know of the same
		if !slices.ContainsFunc(o.Tables, func(o connect.TableStatus) bool { return o.Table == t.Table }) {
			o.Tables = append(o.Tables, t)
		}
	}
	o.Records.add(c.Records)
	o.LagMessages += c.LagMessages
	o.LagSeconds = max(o.LagSeconds, c.LagSeconds)
	o.Position = cmp.Or(o.Position, c.Position)
	if o.Limit == "" {
		o.Stages, o.Limit = c.Stages, c.Limit
	}
}

// Has reports whether a task is in it.
func (st *Status) Has(connector string, task int) bool {
	return slices.ContainsFunc(st.Connectors, func(c ConnectorStatus) bool {
		return c.Name == connector && slices.ContainsFunc(c.Tasks, func(t TaskStatus) bool { return t.ID == task })
	})
}

// Sort orders connectors by name and tasks by number.
func (st *Status) Sort() {
	slices.SortFunc(st.Connectors, func(a, b ConnectorStatus) int { return cmpString(a.Name, b.Name) })
	for _, c := range st.Connectors {
		slices.SortFunc(c.Tasks, func(a, b TaskStatus) int { return a.ID - b.ID })
		slices.SortFunc(c.Tables, func(a, b connect.TableStatus) int { return cmpString(a.Table, b.Table) })
	}
}

// DropTables leaves out all tables, and reports whether there were any.
func (st *Status) DropTables() (any bool) {
	for i := range st.Connectors {
		any = any || len(st.Connectors[i].Tables) > 0
		st.Connectors[i].Tables = nil
	}
	return any
}

func (w *Worker) connectorStatus(ctx context.Context, s *supervisor) ConnectorStatus {
	c := ConnectorStatus{Name: s.id.connector, Type: "sink", Class: s.conn.Plugin.Name, Tasks: []TaskStatus{s.status()}, Records: s.meter.totals()}
	c.Stages, c.Limit = s.meter.stages.status(time.Now(), s.conn.IsSource())
	pos, marks, tables := s.prog.snapshot()
	for _, t := range tables {
		if s.conn.IsSource() || t.State != connect.TableFollowing {
			c.Tables = append(c.Tables, t)
		}
	}
	slices.SortFunc(c.Tables, func(a, b connect.TableStatus) int { return cmpString(a.Table, b.Table) })
	if s.conn.IsSource() {
		c.Type = "source"
		if d := s.conn.Plugin.Describe; d != nil && len(pos) > 0 {
			c.Position = d(pos)
		}
		return c
	}
	c.LagMessages = sum(unread(ctx, w.Log(), marks))
	if last := s.prog.lastTime(); c.LagMessages > 0 && !last.IsZero() {
		c.LagSeconds = time.Since(last).Seconds()
	}
	return c
}

// unread returns how many messages log has from marks on, in each partition.
func unread(ctx context.Context, log connect.Log, marks map[partition]offsets.Mark) map[partition]int64 {
	each := make(map[partition]int64, len(marks))
	for p, m := range marks {
		if _, end, err := log.Bounds(ctx, p.topic, p.num); err == nil {
			each[p] = max(0, end-m.Offset)
		}
	}
	return each
}

func sum(each map[partition]int64) (n int64) {
	for _, v := range each {
		n += v
	}
	return n
}

func cmpString(a, b string) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// goal is how far every source's server has got.
type goal struct {
	heads map[taskID]offsets.Position
	errs  map[taskID]error
}

func (w *Worker) goal(ctx context.Context) goal {
	return w.goalOf(ctx, func(s *supervisor) bool { return s.conn.IsSource() })
}

// goalOf is the goal of some sources.
func (w *Worker) goalOf(ctx context.Context, of func(*supervisor) bool) goal {
	g := goal{heads: map[taskID]offsets.Position{}, errs: map[taskID]error{}}
	for _, s := range w.all() {
		if !of(s) {
			continue
		}
		s.mu.Lock()
		src := s.source
		s.mu.Unlock()
		if src == nil {
			g.errs[s.id] = fmt.Errorf("is not running")
			continue
		}
		if head, err := src.Head(ctx); err != nil {
			g.errs[s.id] = err
		} else {
			g.heads[s.id] = head
		}
	}
	return g
}

// Wait returns once all that the sources have committed by now, the rows that
// snapshots have still to read among it, is in all targets. It fails when a
// task is given up, and when ctx ends.
func (w *Worker) Wait(ctx context.Context) error {
	return w.waitFor(ctx, func(s *supervisor) bool { return s.conn.IsSource() }, func(g goal) string { return w.waitingFor(ctx, g, false) })
}

// WaitSource returns once all that one task of a source has at its server by now
// is in the log.
func (w *Worker) WaitSource(ctx context.Context, connector string, task int) error {
	of := func(s *supervisor) bool { return s.id == taskID{connector, task} && s.conn.IsSource() }
	return w.waitFor(ctx, of, func(g goal) string {
		if !slices.ContainsFunc(w.all(), of) || len(g.heads) == 0 {
			return "the task does not run here"
		}
		return w.sourcesBehind(g, false, of)
	})
}

// Unread returns how many messages of its topics some tasks of a sink have not
// done, as far as is known, of a worker that runs nothing, see Aside.
func (w *Worker) Unread(ctx context.Context, name string, tasks []int) (n int64) {
	topics, err := w.Log().Topics(ctx)
	if err != nil {
		return 0
	}
	marks, err := w.savedMarks(ctx, name)
	if err != nil {
		return 0
	}
	for _, s := range w.of(name) {
		if !slices.Contains(tasks, s.id.task) {
			continue
		}
		wants := s.wanter()
		for topic, partitions := range topics {
			for i := range partitions {
				if !wants(topic) || s.shares.owner(topic, partitions, i) != s.id.task {
					continue
				}
				if first, end, err := w.Log().Bounds(ctx, topic, i); err == nil {
					n += max(0, end-max(first, marks[partition{topic, i}].Offset))
				}
			}
		}
	}
	return n
}

// Behind says what the sinks of a worker that runs nothing, see Aside, still have
// to do, or "".
func (w *Worker) Behind(ctx context.Context) (string, error) {
	for _, s := range w.all() {
		marks, err := w.Marks(ctx, s.id.connector)
		if err != nil {
			return "", err
		}
		for _, m := range marks {
			s.prog.begin(partition{m.Topic, m.Partition}, m.Mark)
		}
	}
	return w.sinksBehind(ctx, false), nil
}

// waitFor waits until behind, asked with the goal of some sources, says "".
func (w *Worker) waitFor(ctx context.Context, of func(*supervisor) bool, behind func(goal) string) error {
	var g goal
	for {
		if g = w.goalOf(ctx, of); len(g.errs) == 0 {
			break
		}
		if err := w.givenUp(); err != nil {
			return err
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return fmt.Errorf("%w; %s", ctx.Err(), behind(g))
		}
	}
	for begin := time.Now(); ; {
		if err := w.givenUp(); err != nil {
			return err
		}
		why := behind(g)
		if why == "" {
			return nil
		}
		// to notice the end late by no more than a small part of the wait
		pause := min(max(time.Since(begin)/50, 2*time.Millisecond), 200*time.Millisecond)
		if !sleep(ctx, pause) {
			return fmt.Errorf("%w; %s", ctx.Err(), why)
		}
	}
}

func (w *Worker) givenUp() error {
	for _, s := range w.all() {
		if st := s.status(); st.State == StateFailed {
			return fmt.Errorf("task %s has failed: %s", s.id, st.Trace)
		}
	}
	return nil
}

// waitingFor says what is still to come until all of g is in all targets, or
// "". A table that is stopped is not waited for; with stopped it is named.
func (w *Worker) waitingFor(ctx context.Context, g goal, stopped bool) string {
	if why := w.sourcesBehind(g, stopped, func(s *supervisor) bool { return s.conn.IsSource() }); why != "" {
		return why
	}
	return w.sinksBehind(ctx, stopped)
}

// sourcesBehind is waitingFor as far as some sources go.
func (w *Worker) sourcesBehind(g goal, stopped bool, of func(*supervisor) bool) string {
	for _, s := range w.all() {
		if !of(s) {
			continue
		}
		if err := g.errs[s.id]; err != nil {
			return fmt.Sprintf("source %s: %v", s.id, err)
		}
		pos, _, tables := s.prog.snapshot()
		for name, t := range tables {
			if t.State == connect.TableWaiting || t.State == connect.TableCopying {
				return fmt.Sprintf("source %s: table %s is %s", s.id, name, t.State)
			}
			if stopped && t.State == connect.TableStopped {
				return fmt.Sprintf("source %s: table %s is stopped: %s", s.id, name, t.Reason)
			}
		}
		if s.prog.onTheWay() {
			return fmt.Sprintf("source %s: rows of a copy are on their way to the log", s.id)
		}
		if c := s.conn.Plugin.Covers; c != nil && (len(pos) == 0 || !c(pos, g.heads[s.id])) {
			return fmt.Sprintf("source %s has not read all yet", s.id)
		}
	}
	return ""
}

func (w *Worker) sinksBehind(ctx context.Context, stopped bool) string {
	topics, err := w.Log().Topics(ctx)
	if err != nil {
		return "list topics: " + err.Error()
	}
	for _, s := range w.all() {
		if s.conn.IsSource() {
			continue
		}
		if st := s.status(); st.State == StateFailed {
			return fmt.Sprintf("sink %s has failed: %s", s.id, st.Trace)
		}
		_, marks, tables := s.prog.snapshot()
		for name, t := range tables {
			if stopped && t.State == connect.TableStopped {
				return fmt.Sprintf("sink %s: table %s is stopped: %s", s.id, name, t.Reason)
			}
		}
		wants := s.wanter()
		for topic, n := range topics {
			if !wants(topic) {
				continue
			}
			for i := range n {
				first, end, err := w.Log().Bounds(ctx, topic, i)
				if err != nil {
					return fmt.Sprintf("sink %s: %v", s.id, err)
				}
				if m := marks[partition{topic, i}]; s.shares.owner(topic, n, i) == s.id.task && end > first && m.Offset < end {
					return fmt.Sprintf("sink %s has %d messages of %s to go", s.id, end-max(first, m.Offset), topic)
				}
			}
		}
	}
	return ""
}
