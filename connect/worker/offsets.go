package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// Mark is how far a sink is in one partition of a topic.
type Mark struct {
	Topic     string
	Partition int32
	offsets.Mark
}

// Place is how far a source task is, by the names that its users know.
type Place struct {
	In, At map[string]any // At is nil before the first position
}

// ErrOffsets marks offsets that cannot be set.
var ErrOffsets = errors.New("the offsets cannot be set")

// Marks returns how far the tasks of a sink are, in order of topics.
func (w *Worker) Marks(ctx context.Context, name string) ([]Mark, error) {
	marks, err := w.savedMarks(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, s := range w.of(name) {
		maps.Copy(marks, s.prog.done())
	}
	list := make([]Mark, 0, len(marks))
	for p, m := range marks {
		list = append(list, Mark{p.topic, p.num, m})
	}
	slices.SortFunc(list, func(a, b Mark) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition - b.Partition)
	})
	return list, nil
}

func (w *Worker) of(name string) []*supervisor {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.named(name)
}

func (w *Worker) savedMarks(ctx context.Context, connector string) (map[partition]offsets.Mark, error) {
	prefix := offsets.SinkKey(connector)
	entries, err := w.Log().Store().Load(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("load offsets: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e offsets.Entry) bool { return e.Key == prefix+openedKey })
	for i := range entries {
		entries[i].Key = entries[i].Key[len(prefix):]
	}
	marks := map[partition]offsets.Mark{}
	return marks, addMarks(marks, entries)
}

// SetMarks sets how far a sink is, in its target where that keeps it. The sink
// is at rest: see Settle.
func (w *Worker) SetMarks(ctx context.Context, name string, marks []Mark) error {
	entries := make([]offsets.Entry, len(marks))
	for i, m := range marks {
		first, end, err := w.Log().Bounds(ctx, m.Topic, m.Partition)
		if err != nil {
			return fmt.Errorf("%w: %v", ErrOffsets, err)
		}
		if m.Offset < first || m.Offset > end {
			return fmt.Errorf("%w: partition %d of topic %s has offsets from %d to %d, and %d is none of them", ErrOffsets, m.Partition, m.Topic, first, end, m.Offset)
		}
		entries[i] = offsets.Entry{Key: offsets.MarkKey(m.Topic, m.Partition), Pos: m.Position()}
	}
	tasks := w.of(name)
	if len(tasks) == 0 {
		return nil
	}
	wants := tasks[0].wanter()
	for _, m := range marks {
		if !wants(m.Topic) {
			return fmt.Errorf("%w: the sink does not read topic %s", ErrOffsets, m.Topic)
		}
	}
	if err := tasks[0].setMarks(ctx, entries); err != nil {
		return err
	}
	topics, err := w.Log().Topics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	for _, s := range tasks {
		for _, m := range marks {
			if s.shares.owner(m.Topic, topics[m.Topic], m.Partition) == s.id.task {
				s.prog.begin(partition{m.Topic, m.Partition}, m.Mark)
			}
		}
	}
	return nil
}

// setMarks writes entries, which may be of partitions that other tasks read, into
// the target, if that keeps them, and here.
func (s *supervisor) setMarks(ctx context.Context, entries []offsets.Entry) (err error) {
	t, err := s.sinkTask(s.worker.Log(), nil, nil, nil) // to open its target and no more
	if err != nil {
		return err
	}
	defer func() {
		if cerr := t.closeSinks(); err == nil && cerr != nil {
			err = fmt.Errorf("close sink: %w", cerr)
		}
	}()
	if err := t.openSinks(ctx); err != nil {
		return err
	}
	if err := t.loadMarks(ctx); err != nil { // what the target has is of this log
		return err
	}
	if t.keeps {
		for _, sink := range t.sinks {
			b := &connect.Batch{State: slices.Clone(entries)}
			write := sink.Write
			if m, ok := sink.(connect.Mover); ok {
				write = m.Move
			}
			if err := write(ctx, b); err != nil {
				return fmt.Errorf("write offsets into the target: %w", err)
			}
		}
	}
	own := slices.Clone(entries)
	for i := range own {
		own[i].Key = t.prefix + own[i].Key
	}
	if err := t.log.Store().Save(ctx, own...); err != nil {
		return fmt.Errorf("save offsets: %w", err)
	}
	return nil
}

// Places returns how far the tasks of a source are.
func (w *Worker) Places(ctx context.Context, name string) ([]Place, error) {
	var list []Place
	for _, s := range w.of(name) {
		entries, err := w.Log().Store().Load(ctx, offsets.SourceKey(name, s.id.task)+posKey)
		if err != nil {
			return nil, fmt.Errorf("load offsets: %w", err)
		}
		var pos offsets.Position
		if len(entries) > 0 {
			pos = entries[0].Pos
		}
		p := Place{In: map[string]any{"task": s.id.task}}
		if f := s.conn.Plugin.Fields; f != nil {
			p.In, p.At = f(s.cfg, pos)
		} else if d := s.conn.Plugin.Describe; d != nil && pos != nil {
			p.At = map[string]any{"position": d(pos)}
		}
		if pos != nil || p.At != nil {
			list = append(list, p)
		}
	}
	return list, nil
}

// SeekSource has a source go on at a place, by the names that its users know. It is
// at rest.
func (w *Worker) SeekSource(ctx context.Context, name string, task int, to map[string]any) error {
	all := w.of(name)
	i := slices.IndexFunc(all, func(s *supervisor) bool { return s.id.task == task })
	if i < 0 || all[i].conn.Plugin.Seek == nil {
		return fmt.Errorf("%w: a source of this kind begins anew with null, and cannot be set to a place", ErrOffsets)
	}
	s, prefix := all[i], offsets.SourceKey(name, task)
	entries, err := w.Log().Store().Load(ctx, prefix)
	if err != nil {
		return fmt.Errorf("load offsets: %w", err)
	}
	var from offsets.Position
	var state []offsets.Entry
	for _, e := range entries {
		if key, ok := strings.CutPrefix(e.Key, prefix+stateKey); ok {
			state = append(state, offsets.Entry{Key: key, Pos: e.Pos})
		} else if e.Key == prefix+posKey {
			from = e.Pos
		}
	}
	if from == nil || slices.ContainsFunc(state, func(e offsets.Entry) bool { return e.Key == connect.ResetKey }) {
		return fmt.Errorf("%w: the source has not begun yet; let it run first", ErrOffsets)
	}
	pos, changes, err := s.conn.Plugin.Seek(ctx, s.cfg, s.aside(), from, state, to)
	if connect.IsPermanent(err) {
		return fmt.Errorf("%w: %v", ErrOffsets, err)
	} else if err != nil {
		return err
	}
	save := []offsets.Entry{{Key: prefix + posKey, Pos: pos}}
	for _, e := range changes {
		save = append(save, offsets.Entry{Key: prefix + stateKey + e.Key, Pos: e.Pos})
	}
	if err := w.Log().Store().Save(ctx, save...); err != nil {
		return fmt.Errorf("save offsets: %w", err)
	}
	s.prog.opened(pos)
	return nil
}

// aside returns what a source that does not run is made with: what is only looked at
// is not counted.
func (s *supervisor) aside() connect.Env {
	return connect.Env{Connector: s.id.connector, Task: s.id.task, Tasks: s.shares.tasks, Lanes: 1, Logger: s.logger, Cluster: s.worker.clusterID(), Report: func(connect.TableStatus) {},
		Gauge: func(string, float64, ...string) {}, Drop: func(string, int) {}}
}

// FindSource returns where the tasks of a source are to go on for what was committed
// at a time or later. It is at rest.
func (w *Worker) FindSource(ctx context.Context, name string, at time.Time) ([]Place, error) {
	list := []Place{}
	for _, s := range w.of(name) {
		if s.conn.Plugin.Find == nil {
			return nil, fmt.Errorf("%w: a source of this kind does not know times", ErrOffsets)
		}
		place, err := s.conn.Plugin.Find(ctx, s.cfg, s.aside(), at)
		if connect.IsPermanent(err) {
			return nil, fmt.Errorf("%w: %v", ErrOffsets, err)
		} else if err != nil {
			return nil, err
		}
		in := map[string]any{"task": s.id.task}
		if f := s.conn.Plugin.Fields; f != nil {
			in, _ = f(s.cfg, nil)
		}
		list = append(list, Place{In: in, At: place})
	}
	return list, nil
}

// ResetSource has a source begin anew when it next starts. It is at rest.
func (w *Worker) ResetSource(ctx context.Context, name string) error {
	for _, s := range w.of(name) {
		prefix := offsets.SourceKey(name, s.id.task)
		entries, err := w.Log().Store().Load(ctx, prefix)
		if err != nil {
			return fmt.Errorf("load offsets: %w", err)
		}
		positioned := slices.ContainsFunc(entries, func(e offsets.Entry) bool { return e.Key == prefix+posKey })
		if positioned && s.conn.Plugin.Resets {
			entries = []offsets.Entry{{Key: prefix + stateKey + connect.ResetKey, Pos: binary.AppendUvarint(nil, 1)}}
		} else {
			for i := range entries {
				entries[i].Pos = nil
			}
		}
		if err := w.Log().Store().Save(ctx, entries...); err != nil {
			return fmt.Errorf("save offsets: %w", err)
		}
		s.prog.opened(nil)
	}
	return nil
}
