package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

// idlePositions is how often positions come while the log has nothing for us.
const idlePositions = time.Second

// While the log is older than behindTime, small jobs wait for more, up to
// holdTime.
const (
	behindTime = time.Second
	holdTime   = time.Millisecond
)

// sequencer walks the events in order. It alone knows where we are in the log,
// which transaction is open, and what the tables look like.
type sequencer struct {
	s      *settings
	shapes *shapes
	out    chan<- *job // to Read, in order
	work   chan<- *job // to the decoders
	free   <-chan *job
	stops  *stopBox

	format  *binlog.Format
	started uint32         // when the server that wrote the log was started, 0: not known
	inner   *binlog.Format // of the events inside payloads
	maps    binlog.TableMaps
	targets map[*binlog.TableMap]*target
	payload *binlog.PayloadReader

	// Where the next event begins. Offsets have 64 bits; the log's own wrap.
	file   string
	offset uint64
	skipTo uint64 // events of the first file before it were read by an earlier run

	tx    transaction
	pos   position // of the end of the last transaction
	moved bool     // pos is not yet in a job
	sent  time.Time

	in      *connect.Buffer // that the event at hand lies in
	hold    *time.Timer     // runs while holding
	holding bool            // cur waits for more
	cur     *job
	open    []offsets.Entry // state changed by the open transaction
	settled []offsets.Entry // state changed up to pos
	tables  []*schema.Table // to go out with the next job
	pending []stopOrder     // wait for the end of the transaction
	// reshaped: the open transaction has changed the shape of a table.
	reshaped bool
}

// transaction is what is known of the open one.
type transaction struct {
	open   bool
	gtid   binlog.GTID
	commit int64       // microseconds since 1970
	thread uint32      // connection that made it
	began  bool        // its BEGIN has come
	xa     *prepared   // of an XA transaction: its rows so far
	query  string      // the statement that the rows are of
	tasks  int         // of it, in all jobs
	hit    []*target   // captured tables with rows in it
	named  []tableName // tables that its statements changed otherwise
	part   bool        // some of its rows are out before its end
}

// stopOrder ends the following of a table or, with a definition, begins it
// again.
type stopOrder struct {
	table  tableName
	reason string
	resume *ddl.Def
}

// stopBox passes orders to the sequencer without ever waiting for it.
type stopBox struct {
	mu     sync.Mutex
	orders []stopOrder
	wake   chan struct{} // holds one token while there are orders
}

func newStopBox() *stopBox { return &stopBox{wake: make(chan struct{}, 1)} }

func (b *stopBox) put(o stopOrder) {
	b.mu.Lock()
	b.orders = append(b.orders, o)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *stopBox) take(dst []stopOrder) []stopOrder {
	b.mu.Lock()
	defer b.mu.Unlock()
	dst = append(dst, b.orders...)
	b.orders = nil
	return dst
}

// target is what the rows under one TABLE_MAP need.
type target struct {
	name     tableName
	captured bool
	plan     *binlog.Plan // nil: rows are dropped
	topic    string
}

// run walks all units, until they end or ctx does. What is to be told of tables
// comes before.
func (q *sequencer) run(ctx context.Context, units <-chan unit, spare chan<- []event, first marks) {
	defer func() {
		close(q.work)
		close(q.out)
		if q.payload != nil {
			q.payload.Close()
		}
	}()
	err := q.loop(ctx, units, spare, first)
	if err != nil && ctx.Err() == nil {
		q.emit(ctx, &job{err: err, done: closedChan})
	}
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (q *sequencer) loop(ctx context.Context, units <-chan unit, spare chan<- []event, first marks) error {
	var err error
	if q.cur, err = q.newJob(ctx); err != nil {
		return err
	}
	q.hold = time.NewTimer(holdTime)
	q.hold.Stop()
	q.empties(first.gone)
	q.reread(first.reread)
	for {
		select {
		case <-q.hold.C:
			q.holding = false
			if err := q.flush(ctx, true); err != nil {
				return err
			}
		case u, ok := <-units:
			if !ok {
				return io.ErrUnexpectedEOF
			}
			if err := q.unit(ctx, &u); err != nil {
				return err
			}
			u.letGo()
			select {
			case spare <- u.events:
			default:
			}
		case <-q.stops.wake:
			q.pending = q.stops.take(q.pending)
			q.applyStops()
			if err := q.flush(ctx, true); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (q *sequencer) unit(ctx context.Context, u *unit) error {
	for i := range u.events {
		q.in = u.events[i].in
		if err := q.event(ctx, u.events[i].bytes); err != nil {
			if ctx.Err() != nil || connect.IsPermanent(err) {
				return err
			}
			return fmt.Errorf("read the log of MySQL at %s: at %s:%d: %w", q.s.addr(), q.file, q.offset, err)
		}
	}
	if u.err != nil {
		if err := q.flush(ctx, true); err != nil {
			return err
		}
		return q.s.lost(u.err, &q.pos)
	}
	if u.drained && q.behind() {
		if !q.holding {
			q.hold.Reset(holdTime)
			q.holding = true
		}
		return nil
	}
	return q.flush(ctx, u.drained)
}

// behind reports whether more of the log is at the server for certain: what
// came last is old. A server that sends small transactions is slower than we
// are, and one job for each of its packets would cost more than they do.
func (q *sequencer) behind() bool {
	return q.cur.bytes < unitSize && len(q.cur.tasks) > 0 && time.Since(time.UnixMicro(q.tx.commit)) > behindTime
}

// newJob waits until Read has given one back.
func (q *sequencer) newJob(ctx context.Context) (*job, error) {
	select {
	case j := <-q.free:
		return j, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (q *sequencer) emit(ctx context.Context, j *job) {
	select {
	case q.out <- j:
	case <-ctx.Done():
		return
	}
	if j.err == nil {
		q.work <- j // has room for all jobs there are
	}
}

// flush sends off what belongs to transactions that have ended, and of a large
// open one all but its last task, which may turn out to be the transaction's
// last. With nothing but a new position it waits until the log is drained, or
// a while.
func (q *sequencer) flush(ctx context.Context, drained bool) error {
	n := q.cur.end
	switch {
	case q.moved || n > 0:
		if n == 0 && len(q.settled) == 0 && q.tables == nil && !drained && time.Since(q.sent) < idlePositions {
			return nil
		}
	case q.cur.bytes < unitSize || len(q.cur.tasks) < 2:
		return nil
	default:
		n = len(q.cur.tasks) - 1
	}
	if q.holding {
		q.hold.Stop()
		q.holding = false
	}
	next, err := q.newJob(ctx)
	if err != nil {
		return err
	}
	j := q.cur
	for _, t := range j.tasks[n:] {
		next.add(t)
		next.bytes += t.rows.Size()
	}
	clear(j.tasks[n:])
	j.tasks = j.tasks[:n]
	if q.moved || j.end > 0 {
		j.pos = q.pos.append(nil)
		j.file, j.offset, j.commit = q.pos.file, q.pos.pos, q.tx.commit
		j.state, q.settled = q.shapes.touch.save(q.settled), nil
		j.tables, q.tables = q.tables, nil
		q.moved = false
	} else if q.tx.gtid.GNO != 0 {
		q.tx.part = true
		j.state = append(j.state[:0], q.tx.partialEntry())
	}
	q.cur, q.sent = next, time.Now()
	q.emit(ctx, j)
	return nil
}

// begin opens a transaction.
func (q *sequencer) begin(g binlog.GTID, h *binlog.Header) {
	hit, named := q.tx.hit[:0], q.tx.named[:0]
	clear(q.tx.hit)
	q.tx = transaction{open: true, gtid: g, commit: int64(g.CommitTime), hit: hit, named: named}
	if q.tx.commit == 0 {
		q.tx.commit = int64(h.Timestamp) * 1e6
	}
}

// end closes the transaction, at the end of the event just read: the position
// moves (invariant 3), whether it was captured or not.
func (q *sequencer) end() {
	if g := &q.tx.gtid; q.pos.mode == byDomain {
		q.pos.domains.Set(g.Last())
		q.touched(g)
	} else if g.GNO != 0 {
		q.pos.gtids.Add(g.SID, g.Tag, g.GNO)
		q.touched(g)
	}
	if q.tx.tasks > 0 {
		q.cur.tasks[len(q.cur.tasks)-1].last = true // flush has kept it back
	}
	q.tx.open, q.tx.tasks = false, 0
	q.pos.ordinal++
	q.cur.end = len(q.cur.tasks)
	q.settled = append(q.settled, q.open...)
	clear(q.open)
	q.open = q.open[:0]
	q.advance()
	q.applyStops()
}

// touched takes note of the tables that the transaction changed.
func (q *sequencer) touched(g *binlog.GTID) {
	by := originOf(g)
	for _, t := range q.tx.hit {
		q.shapes.touch.note(t.name, by)
	}
	for _, n := range q.tx.named {
		q.shapes.touch.note(n, by)
	}
	if p := q.shapes.touch.partial; q.tx.part || p != nil && p.id.Contains(g.SID, g.Tag, g.GNO) {
		q.open = append(q.open, offsets.Entry{Key: keyPartial})
		q.shapes.touch.partial = nil
	}
}

// advance moves the position to where we are, outside of transactions. A dump
// may begin before the place in the log that an earlier run has reached.
func (q *sequencer) advance() {
	if !before(q.file, q.offset, q.pos.file, q.pos.pos) {
		q.pos.file, q.pos.pos = q.file, q.offset
	}
	q.moved = true
}

// add appends a task of the open transaction to the current job.
func (q *sequencer) add(ctx context.Context, t task, h *binlog.Header, size int) error {
	t.at = place{server: h.ServerID, thread: q.tx.thread, sid: q.tx.gtid.SID, tag: q.tx.gtid.Tag, gno: q.tx.gtid.GNO,
		file: q.file, pos: q.offset, time: int64(h.Timestamp) * 1e6, query: q.tx.query}
	t.commit, t.in = q.tx.commit, q.in
	q.cur.add(t)
	q.cur.bytes += size
	q.tx.tasks++
	if q.cur.bytes >= unitSize {
		return q.flush(ctx, false)
	}
	return nil
}

// mark appends a record that is about a table and not about a row.
func (q *sequencer) mark(ctx context.Context, h *binlog.Header, op connect.Op, flags connect.Flags, t *schema.Table) error {
	return q.add(ctx, task{op: op, flags: flags, table: t, topic: q.s.topics.of(t.Database, t.Name)}, h, 256)
}

// reshape appends the record that a table has the shape t now, by the change c.
func (q *sequencer) reshape(ctx context.Context, h *binlog.Header, flags connect.Flags, t *schema.Table, c *connect.SchemaChange) error {
	q.reshaped = true
	return q.add(ctx, task{op: connect.OpSchema, flags: flags, table: t, change: c, topic: q.s.topics.of(t.Database, t.Name)}, h, 256)
}

// stop ends the following of a table from here on.
func (q *sequencer) stop(name tableName, reason string) {
	if e, ok := q.shapes.stop(name, reason); ok {
		q.remember(e)
		q.retarget()
	}
}

// retarget forgets what was compiled for table maps, since shapes or stops
// have changed.
func (q *sequencer) retarget() {
	clear(q.targets)
	q.tables = q.shapes.captured()
}

// applyStops carries out orders that came from outside, between transactions.
func (q *sequencer) applyStops() {
	if q.tx.open || len(q.pending) == 0 {
		return
	}
	for _, o := range q.pending {
		if o.resume != nil {
			q.resume(o)
		} else {
			q.stop(o.table, o.reason)
		}
	}
	q.pending = q.pending[:0]
}

var errCut = errors.New("a transaction has no end in the log")

// unfinished is an error when a transaction is open.
func (q *sequencer) unfinished() error {
	if !q.tx.open {
		return nil
	}
	return fmt.Errorf("%w; if this repeats the server's log is damaged there, and only a new snapshot helps", errCut)
}
