package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// maxWindow is the most memory that unpacking a compressed transaction takes:
// the window of zstd's highest level.
const maxWindow = 128 << 20

// event handles one event as the server sent it: keeps count of the place in
// the log, then looks inside.
func (q *sequencer) event(ctx context.Context, event []byte) error {
	h, err := binlog.ParseHeader(event)
	if err != nil {
		return err
	}
	wrapped := uint32(q.offset)+h.Size == 0 // an event may end where 32 bits do
	if h.Flags&binlog.FlagArtificial != 0 || h.LogPos == 0 && !wrapped || h.Type == binlog.HeartbeatEvent || h.Type == binlog.HeartbeatEventV2 {
		return q.artificial(&h, event)
	}
	end, err := q.locate(&h)
	if err != nil {
		return err
	}
	if end <= q.skipTo && h.Type != binlog.FormatDescriptionEvent && h.Type != binlog.RotateEvent {
		q.offset = end
		return nil
	}
	if h.Type == binlog.FormatDescriptionEvent {
		q.offset = end
		return q.setFormat(event)
	}
	if q.format == nil {
		return fmt.Errorf("a %s event comes before the FORMAT_DESCRIPTION", h.Type)
	}
	if !h.Type.IsRows() {
		if err := q.format.Verify(event); err != nil {
			return err
		}
	}
	body, err := q.format.Body(event)
	if err != nil {
		return err
	}
	return q.outer(ctx, &h, event, body, end)
}

// locate returns where the event ends. The log's own count has 32 bits; ours
// must agree with it as far as it goes. In GTID mode the server leaves out
// transactions that we have, so between transactions it may jump.
func (q *sequencer) locate(h *binlog.Header) (uint64, error) {
	end := q.offset + uint64(h.Size)
	gap := h.LogPos - uint32(end)
	if gap == 0 {
		return end, nil
	}
	if q.pos.mode.gtids() && !q.tx.open {
		q.offset += uint64(gap)
		return end + uint64(gap), nil
	}
	return 0, fmt.Errorf("a %s event of %d bytes ends at %d, but by our count at %d: events are missing or doubled", h.Type, h.Size, h.LogPos, uint32(end))
}

// artificial handles events that are not in the log: where it goes on, its
// format, and signs of life.
func (q *sequencer) artificial(h *binlog.Header, event []byte) error {
	switch h.Type {
	case binlog.RotateEvent:
		r, err := binlog.ParseRotate(bareBody(event))
		if err != nil {
			return err
		}
		q.rotate(r)
		return nil
	case binlog.FormatDescriptionEvent:
		return q.setFormat(event)
	case binlog.HeartbeatEvent, binlog.HeartbeatEventV2:
		if q.tx.open {
			return nil
		}
		r, err := binlog.ParseHeartbeat(*h, bareBody(event))
		if err != nil {
			return err
		}
		if h.Type == binlog.HeartbeatEvent { // its position has 32 bits
			r.Pos = q.offset + uint64(uint32(r.Pos)-uint32(q.offset))
		}
		if q.pos.mode.gtids() && r.File == q.file && r.Pos > q.offset {
			q.offset = r.Pos
		}
		q.advance()
		return nil
	case binlog.MariaGTIDListEvent, binlog.StartEncryptionEvent, binlog.BinlogCheckpointEvent:
		return nil
	}
	if h.Ignorable() {
		return nil
	}
	return fmt.Errorf("a %s event has no place in the log", h.Type)
}

// bareBody returns the body of an event that was made for this connection. It
// has a checksum if the server's setting, not the file's format, says so;
// what looks like one is one.
func bareBody(event []byte) []byte {
	n := len(event) - 4
	if n >= binlog.HeaderSize && crc32.ChecksumIEEE(event[:n]) == binary.LittleEndian.Uint32(event[n:]) {
		return event[binlog.HeaderSize:n]
	}
	return event[binlog.HeaderSize:]
}

func (q *sequencer) rotate(r binlog.Rotate) {
	if q.file == r.File && q.offset == r.Pos {
		return
	}
	if q.file != "" && q.file != r.File {
		q.skipTo = 0
	}
	first := q.file == ""
	q.file, q.offset = r.File, r.Pos
	if !first && !q.tx.open {
		q.advance()
	}
}

func (q *sequencer) setFormat(event []byte) error {
	if err := q.unfinished(); err != nil {
		return err
	}
	f, err := binlog.ParseFormat(event)
	if err != nil {
		return err
	}
	q.format, q.inner = f, f.Inner()
	q.maps.Reset()
	clear(q.targets)
	q.shapes.setVersion(f.ServerVersion)
	q.serverStarted(f.Created)
	return nil
}

// outer handles an event of the log that ends at end. The place moves before
// a transaction ends, and after an event's own tasks were made.
func (q *sequencer) outer(ctx context.Context, h *binlog.Header, event, body []byte, end uint64) error {
	switch h.Type {
	case binlog.GTIDEvent, binlog.AnonymousGTIDEvent, binlog.GTIDTaggedEvent:
		if err := q.unfinished(); err != nil {
			return err
		}
		g, err := binlog.ParseGTID(h.Type, body)
		if err != nil {
			return err
		}
		if q.pos.mode == byGTID && g.GNO == 0 {
			return connect.Permanent(fmt.Errorf("the log has a transaction without a GTID at %s:%d, but the position counts in GTIDs; gtid_mode must stay ON", q.file, q.offset))
		}
		q.begin(g, h)
	case binlog.MariaGTIDEvent:
		if err := q.unfinished(); err != nil {
			return err
		}
		if err := q.beginMaria(h, body); err != nil {
			return err
		}
	case binlog.RotateEvent:
		if err := q.unfinished(); err != nil {
			return err
		}
		r, err := binlog.ParseRotate(body)
		if err != nil {
			return err
		}
		q.rotate(r)
		return nil
	case binlog.PreviousGTIDsEvent, binlog.StopEvent, binlog.MariaGTIDListEvent, binlog.BinlogCheckpointEvent, binlog.StartEncryptionEvent:
		q.offset = end
		if !q.tx.open {
			q.advance()
		}
		return nil
	case binlog.TransactionPayload:
		return q.unpack(ctx, body, end)
	default:
		return q.inside(ctx, h, event, body, end, q.format)
	}
	q.offset = end
	return nil
}

// unpack walks the events of a compressed transaction, one at a time.
func (q *sequencer) unpack(ctx context.Context, body []byte, end uint64) error {
	p, err := binlog.ParsePayload(body)
	if err != nil {
		return err
	}
	if q.payload == nil {
		if q.payload, err = binlog.NewPayloadReader(maxWindow); err != nil {
			return err
		}
	}
	if err := q.payload.Reset(p); err != nil {
		return err
	}
	for {
		event, err := q.payload.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		h, err := binlog.ParseHeader(event)
		if err != nil {
			return err
		}
		if err := q.inside(ctx, &h, nil, event[binlog.HeaderSize:], end, q.inner); err != nil {
			return err
		}
	}
	q.offset = end
	if q.tx.open {
		return errors.New("a compressed transaction has no end")
	}
	return nil
}

// inside handles the events of transactions. event is nil when there is no
// checksum to verify.
func (q *sequencer) inside(ctx context.Context, h *binlog.Header, event, body []byte, end uint64, f *binlog.Format) error {
	var err error
	done := false
	switch t := h.Type; {
	case t.IsRows():
		err = q.rows(ctx, h, event, body, f)
	case t == binlog.TableMapEvent:
		_, err = q.maps.Put(body)
	case t == binlog.XIDEvent:
		if _, err = binlog.ParseXID(body); err == nil {
			err = q.deliverOpen(ctx, h)
		}
		done = true
	case t == binlog.QueryEvent, t == binlog.QueryCompressedEvent:
		done, err = q.query(ctx, h, body)
	case t == binlog.XAPrepareEvent:
		var id binlog.XATransaction
		if id, err = binlog.ParseXAPrepare(body); err == nil {
			err = q.xaPrepare(ctx, h, id)
		}
		done = true
	case t == binlog.RowsQueryEvent:
		q.rowsQuery(body)
	case t == binlog.AnnotateRowsEvent:
		q.annotated(body)
	case t == binlog.IgnorableEvent, t == binlog.TransactionContext, t == binlog.ViewChangeEvent:
	case t == binlog.IncidentEvent:
		err = q.incident(body)
	case t.IsStatement():
		if t == binlog.ExecuteLoadQueryEvent {
			err = q.statementDML(nil, "LOAD DATA")
		}
	case h.Ignorable():
	default:
		err = connect.Permanent(fmt.Errorf("the log of MySQL at %s has an event at %s:%d that this build does not know (%s); a newer build may", q.s.addr(), q.file, q.offset, t))
	}
	if err != nil {
		return err
	}
	if done || f != q.inner {
		q.offset = end
	}
	if done {
		return q.flushFull(ctx)
	}
	return nil
}

// flushFull ends the transaction and sends the job off if it is full. One that
// changed the shape of a table is the last of its job: a log that is not Atomic may
// get it again, which does no harm as long as no other change of the table's shape is
// between the two.
func (q *sequencer) flushFull(ctx context.Context) error {
	q.end()
	alone := q.s.single || q.reshaped
	q.reshaped = false
	if q.cur.bytes >= unitSize || alone {
		return q.flush(ctx, alone)
	}
	return nil
}

func (q *sequencer) incident(body []byte) error {
	i, err := binlog.ParseIncident(body)
	if err != nil {
		return err
	}
	return connect.Permanent(fmt.Errorf("the server says at %s:%d that its log has a gap (incident %d: %s); take a new snapshot", q.file, q.offset, i.Number, i.Message))
}

// rows makes a task of a row event, if its table is captured.
func (q *sequencer) rows(ctx context.Context, h *binlog.Header, event, body []byte, f *binlog.Format) error {
	ev, err := binlog.ParseRows(h.Type, body)
	if err != nil {
		return err
	}
	m := q.maps.Get(ev.TableID)
	if m == nil {
		if ev.Dummy() {
			return nil
		}
		return fmt.Errorf("a %s event is of table id %d, which no TABLE_MAP event has introduced", h.Type, ev.TableID)
	}
	const harmless = binlog.RowsSQLForeignKeys | binlog.RowsNoForeignKeys
	if ev.Flags&harmless == 0 && ev.Kind != binlog.RowsWrite {
		if err := q.cascaded(ctx, &ev, m); err != nil {
			return err
		}
	}
	t, err := q.target(ctx, m, h)
	if err != nil {
		return err
	}
	if q.tx.xa != nil {
		return q.keep(h, event, body, f, t, m)
	}
	if !t.captured {
		return nil
	}
	q.tx.touch(t)
	if t.plan == nil {
		return nil
	}
	return q.add(ctx, task{rows: ev, event: event, format: f, plan: t.plan, topic: t.topic}, h, len(body))
}

// rowsQuery takes note of the statement whose rows come next. A byte in front
// of it is of no use.
func (q *sequencer) rowsQuery(body []byte) {
	if !q.s.query || len(body) <= 1 {
		return
	}
	if x := q.tx.xa; x != nil && !x.large {
		x.append(binlog.RowsQueryEvent, body)
	} else {
		q.tx.query = strings.ToValidUTF8(string(body[1:]), "\ufffd")
	}
}

// touch notes that t has rows in the transaction.
func (x *transaction) touch(t *target) {
	for _, o := range x.hit {
		if o == t {
			return
		}
	}
	x.hit = append(x.hit, t)
}

// maxTargets bounds what is remembered; every altered table leaves one behind.
const maxTargets = 1 << 15

// target returns what the rows under m need.
func (q *sequencer) target(ctx context.Context, m *binlog.TableMap, h *binlog.Header) (*target, error) {
	if t := q.targets[m]; t != nil {
		return t, nil
	}
	t := &target{name: tableName{m.Database, m.Name}}
	t.captured = q.s.filter.table(t.name.db, t.name.table)
	if t.captured && q.shapes.maria && isSequence(m) && !q.shapes.heardOf(t.name) {
		t.captured = false
	}
	if t.captured && !q.shapes.stopped(t.name) {
		if err := q.compile(ctx, t, m, h); err != nil {
			return nil, err
		}
	}
	if len(q.targets) >= maxTargets {
		clear(q.targets)
	}
	q.targets[m] = t // after compile, which may clear the map
	return t, nil
}

// compile finds the shape of t's rows. What the log says of it is the truth;
// what the history says is more, where both agree.
func (q *sequencer) compile(ctx context.Context, t *target, m *binlog.TableMap, h *binlog.Header) error {
	q.shapes.full = m.HasNames
	t.topic = q.s.topics.of(t.name.db, t.name.table)
	err := errors.New("no statement that this connector has seen created it, and it was not there at the start")
	if known := q.shapes.table(t.name); known != nil {
		if t.plan, err = binlog.NewPlan(m, known); err == nil {
			q.project(t)
			return nil
		}
	}
	if name, old := oldTemporal(m, q.shapes.table(t.name)); q.shapes.maria && old {
		q.stop(t.name, fmt.Sprintf("the log does not tell the fractions of seconds of its column %s, which is in the format of MariaDB before 10.1: "+
			"SET GLOBAL mysql56_temporal_format = ON, ALTER TABLE %s FORCE, then take a new snapshot of the table", name, t.name))
		return nil
	}
	if !m.HasNames {
		q.stop(t.name, fmt.Sprintf("its shape is not known for certain at %s:%d: %v; SET PERSIST binlog_row_metadata = FULL on the server to have shapes in the log, then take a new snapshot of the table", q.file, q.offset, err))
		return nil
	}
	shape, err := m.Shape()
	if err == nil && q.shapes.maria {
		err = ambiguous(shape)
	}
	if err == nil {
		t.plan, err = binlog.NewPlan(m, shape)
	}
	if err != nil {
		t.plan = nil
		q.stop(t.name, fmt.Sprintf("its rows at %s:%d cannot be read: %v; leave it out with table.exclude.list, or alter what is not understood, then take a new snapshot of the table", q.file, q.offset, err))
		return nil
	}
	return q.learned(ctx, h, t, shape)
}

// project makes t's plan one whose rows are as the options want them.
func (q *sequencer) project(t *target) {
	v, err := q.shapes.view(t.name)
	if err != nil {
		t.plan = nil
		q.stop(t.name, fmt.Sprintf("the options do not fit it at %s:%d: %v; then take a new snapshot of the table", q.file, q.offset, err))
		return
	}
	t.plan = v.plan(t.plan)
}

// learned takes over a shape that a table map has told. If the table was not
// known, or a statement that was not understood came before it, there are rows
// that no change has told of.
func (q *sequencer) learned(ctx context.Context, h *binlog.Header, t *target, shape *schema.Table) error {
	var flags connect.Flags
	if q.shapes.table(t.name) == nil {
		flags = connect.Reread
	}
	reason := q.shapes.lost[t.name]
	q.open = append(q.open, q.shapes.learn(shape))
	e, lost := q.shapes.found(t.name)
	if lost {
		q.open = append(q.open, e)
	}
	q.retarget()
	q.project(t)
	if t.plan == nil {
		return nil
	}
	if err := q.s.guard.check(len(q.tables)); err != nil {
		return err
	}
	if !lost {
		return q.mark(ctx, h, connect.OpSchema, flags, t.plan.Table())
	}
	if err := q.empty(ctx, h, t.plan.Table(), t.plan.Table(), nil, reason); err != nil {
		return err
	}
	if q.shapes.stopped(t.name) {
		t.plan = nil
	}
	return nil
}
