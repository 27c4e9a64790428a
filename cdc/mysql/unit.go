package mysql

import (
	"context"
	"sync"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// unitSize is how many bytes of log a unit or a job has at most, but for a
// last event that is larger.
const unitSize = 256 << 10

// unit is a run of events as the reader found them. It holds their slabs.
type unit struct {
	events  []event
	drained bool  // nothing more was at hand
	err     error // the end, after the events
}

// event is one event, and the slab that it lies in or nil if it has memory of
// its own.
type event struct {
	bytes []byte
	in    *connect.Buffer
}

// add appends an event of a slab.
func (u *unit) add(e event) {
	if n := len(u.events); n == 0 || u.events[n-1].in != e.in {
		e.in.Hold()
	}
	u.events = append(u.events, e)
}

// letGo empties u, whose events are nobody's any more but for those whose slab
// others hold.
func (u *unit) letGo() {
	for i := range u.events {
		if in := u.events[i].in; i+1 == len(u.events) || u.events[i+1].in != in {
			in.Release()
		}
	}
	clear(u.events)
	u.events = u.events[:0]
}

// read passes on what the server sends until it fails or ctx ends.
func (d *dump) read(ctx context.Context, out chan<- unit, spare <-chan []event) {
	defer close(out)
	for {
		u := unit{events: takeSpare(spare)}
		for size := 0; u.err == nil && size < unitSize && (size == 0 || d.in.ready()); {
			b, err := d.next()
			if err != nil {
				u.err = err
				break
			}
			u.add(event{b, d.in.in})
			size += len(b)
		}
		u.drained = !d.in.ready()
		select {
		case out <- u:
		case <-ctx.Done():
			return
		}
		if u.err != nil {
			return
		}
	}
}

func takeSpare(spare <-chan []event) []event {
	select {
	case e := <-spare:
		return e
	default:
		return nil
	}
}

// tableName names a table of the server.
type tableName struct{ db, table string }

func (n tableName) String() string { return n.db + "." + n.table }

// place is what the records of an event have as their Origin.
type place struct {
	server, thread uint32
	sid            [16]byte
	tag            string
	gno            int64
	file           string
	pos            uint64
	time           int64
	query          string
}

// task is one step of a job: a row event, or a mark.
type task struct {
	rows   binlog.RowsEvent
	event  []byte          // whole, for the checksum; nil: it was checked
	in     *connect.Buffer // that rows and event may lie in
	format *binlog.Format  // of event
	plan   *binlog.Plan    // nil: a mark
	topic  string
	at     place
	commit int64
	last   bool // of its transaction

	// Of a mark.
	op    connect.Op
	flags connect.Flags
	table *schema.Table
	// change is how the table came to this shape, nil: not known, or not at all.
	change *connect.SchemaChange

	// Of one that is a message.
	kind       connect.Kind
	key, value []byte
}

// failure is a row event that could not be decoded.
type failure struct {
	table  tableName
	record int // how many records the batch had then
	err    error
}

// job is a run of tasks on its way to Read, and the batch that they fill.
type job struct {
	tasks  []task
	end    int // tasks up to here belong to transactions that have ended
	bytes  int
	pos    offsets.Position
	file   string // of pos
	offset uint64 // likewise
	commit int64  // of the last transaction up to pos
	state  []offsets.Entry
	tables []*schema.Table // the captured tables from here on; nil: as before
	err    error           // the end of all
	// revived are tables that were stopped and are followed again.
	revived []tableName

	batch    connect.Batch
	failures []failure
	done     chan struct{} // receives when the batch is full
}

func newJob() *job { return &job{done: make(chan struct{}, 1)} }

// add appends a task. The batch holds what the task, and its records after
// that, point to.
func (j *job) add(t task) {
	if t.in != nil {
		j.batch.Hold(t.in)
	}
	j.tasks = append(j.tasks, t)
}

// reset makes j empty.
func (j *job) reset() {
	clear(j.tasks)
	clear(j.failures)
	j.tasks, j.failures = j.tasks[:0], j.failures[:0]
	j.end, j.bytes, j.pos, j.state, j.tables, j.err, j.revived = 0, 0, nil, nil, nil, nil, nil
	j.batch.Reset()
}

// decode fills the batch.
func (j *job) decode() {
	for i := range j.tasks {
		t := &j.tasks[i]
		if t.plan == nil {
			t.mark(&j.batch)
		} else if err := t.decode(&j.batch); err != nil {
			s := t.plan.Table()
			j.failures = append(j.failures, failure{tableName{s.Database, s.Name}, len(j.batch.Records), err})
		}
		if n := len(j.batch.Records); t.last && n > 0 {
			j.batch.Records[n-1].Flags |= connect.TxEnd
		}
	}
	j.done <- struct{}{}
}

func (t *task) decode(b *connect.Batch) error {
	if t.event != nil {
		if err := t.format.Verify(t.event); err != nil {
			return damaged{err}
		}
	}
	stamp := binlog.Stamp{Topic: t.topic, Time: t.commit, Origin: t.origin(b)}
	return t.plan.DecodeRows(b, &t.rows, &stamp)
}

// damaged is an error of the transfer, not of a table.
type damaged struct{ error }

func (d damaged) Unwrap() error { return d.error }

func (t *task) mark(b *connect.Batch) {
	r := b.Add()
	r.Op, r.Flags, r.Table, r.Topic = t.op, t.flags, t.table, t.topic
	if t.op == connect.OpMessage {
		r.SetMessage(b, t.kind, t.key, t.value)
	}
	if t.change != nil {
		r.SetSchemaChange(b, t.change)
	}
	r.Time, r.Origin = t.commit, t.origin(b)
}

func (t *task) origin(b *connect.Batch) *connect.Origin {
	o := b.NewOrigin()
	o.ServerID, o.Thread, o.SID, o.Tag, o.GNO = t.at.server, t.at.thread, t.at.sid, t.at.tag, t.at.gno
	o.File, o.Pos, o.Time, o.Query = t.at.file, t.at.pos, t.at.time, t.at.query
	return o
}

// startDecoders starts n goroutines that decode jobs.
func startDecoders(wg *sync.WaitGroup, n int, work <-chan *job) {
	for range n {
		wg.Go(func() {
			for j := range work {
				j.decode()
			}
		})
	}
}
