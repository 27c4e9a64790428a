package mysql

import (
	"fmt"
	"strconv"
	"time"

	"github.com/towline/towline/connect"
)

// ledger counts what the open transaction has changed, for
// provide.transaction.metadata.
type ledger struct {
	open   bool
	id     []byte
	total  uint64
	tables []tally
	buf    []byte
	// Of the last record that was seen of it.
	time   int64
	seq    uint64
	origin connect.Origin
}

// tally is one table's share, in order of appearance.
type tally struct {
	name  string
	count uint64
}

// begin opens the transaction of r.
func (l *ledger) begin(r *connect.Record) {
	l.open, l.total, l.tables = true, 0, l.tables[:0]
	l.id = l.id[:0]
	if r.Origin.GNO != 0 {
		l.id = r.Origin.AppendGTID(l.id)
		return
	}
	l.id = append(append(append(l.id, "file="...), r.Origin.File...), ",pos="...)
	l.id = strconv.AppendUint(l.id, r.Origin.Pos, 10)
}

// count counts r and puts its place into a header.
func (l *ledger) count(b *connect.Batch, r *connect.Record, name string) {
	l.total++
	i := 0
	for i < len(l.tables) && l.tables[i].name != name {
		i++
	}
	if i == len(l.tables) {
		l.tables = append(l.tables, tally{name: name})
	}
	l.tables[i].count++
	p := append(b.Scratch(len(l.id)+96), `{"id":"`...)
	p = append(append(p, l.id...), `","total_order":`...)
	p = strconv.AppendUint(p, l.total, 10)
	p = strconv.AppendUint(append(p, `,"data_collection_order":`...), l.tables[i].count, 10)
	p = b.Use(append(p, '}'))
	all := b.NewHeaders(len(r.Headers) + 1)
	all[copy(all, r.Headers)] = connect.Header{Key: connect.HeaderTransaction, Value: p}
	r.Headers = all
}

// tell makes m the message of the transaction's begin or end.
func (l *ledger) tell(b *connect.Batch, m *connect.Record, status string, micros int64) {
	p := append(b.Scratch(len(l.id)+16), `{"id":"`...)
	key := b.Use(append(append(p, l.id...), `"}`...))
	p = append(append(append(l.buf[:0], `{"status":"`...), status...), `","id":"`...)
	p = append(append(p, l.id...), `","event_count":`...)
	if status == statusBegin {
		p = append(p, `null,"data_collections":null`...)
	} else {
		p = append(strconv.AppendUint(p, l.total, 10), `,"data_collections":[`...)
		for i, t := range l.tables {
			if i > 0 {
				p = append(p, ',')
			}
			p = appendJSON(append(p, `{"data_collection":`...), t.name)
			p = append(strconv.AppendUint(append(p, `,"event_count":`...), t.count, 10), '}')
		}
		p = append(p, ']')
	}
	p = append(p, `,"ts_ms":`...)
	l.buf = append(strconv.AppendInt(p, micros/1000, 10), '}')
	value := b.Alloc(len(l.buf))
	copy(value, l.buf)
	m.SetMessage(b, connect.KindTransaction, key, value)
}

const (
	statusBegin = "BEGIN"
	statusEnd   = "END"
)

// appendJSON appends s as a JSON string.
func appendJSON(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = fmt.Appendf(dst, "\\u%04x", r)
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}

// transactions puts the messages of transactions between the records of b,
// and their places into the records' headers. Rows that a snapshot reads are
// of no transaction.
func (e *Editor) transactions(b *connect.Batch) {
	l := &e.ledger
	e.asides = e.asides[:0]
	for i := range b.Records {
		r := &b.Records[i]
		e.seq = max(e.seq, r.Seq)
		if r.Origin == nil || r.Origin.Snapshot || r.Op == connect.OpMessage {
			continue
		}
		if r.Op.HasRow() {
			if !l.open {
				l.begin(r)
				e.asides = append(e.asides, aside{i, e.begin(b, r)})
			}
			l.count(b, r, e.name(r))
			l.time, l.seq, l.origin = r.Time, r.Seq, *r.Origin
		}
		if r.Flags&connect.TxEnd != 0 && l.open {
			e.asides = append(e.asides, aside{i + 1, e.end(b)})
		}
	}
	if b.Pos != nil && l.open { // what ended it was skipped
		e.asides = append(e.asides, aside{len(b.Records), e.end(b)})
	}
	insert(b, e.asides)
	clear(e.asides) // nothing of the batch stays (invariant 7)
}

// aside is a record to insert before the one at an index.
type aside struct {
	at     int
	record connect.Record
}

// insert puts the records of list, in order, between those of b.
func insert(b *connect.Batch, list []aside) {
	from := len(b.Records) - 1
	to := from + len(list)
	b.Room(len(list))
	b.Records = b.Records[:to+1]
	for n := len(list) - 1; n >= 0; n-- {
		for ; from >= list[n].at; from, to = from-1, to-1 {
			b.Records[to] = b.Records[from]
		}
		b.Records[to] = list[n].record
		to--
	}
}

// begin returns the message of the begin of r's transaction. Its Seq is that of
// the change before.
func (e *Editor) begin(b *connect.Batch, r *connect.Record) connect.Record {
	m := connect.Record{Topic: e.transactionTopic, Time: r.Time, Origin: r.Origin, Seq: r.Seq - 1}
	e.ledger.tell(b, &m, statusBegin, r.Time)
	return m
}

// end closes the transaction and returns the message of that.
func (e *Editor) end(b *connect.Batch) connect.Record {
	l := &e.ledger
	m := connect.Record{Topic: e.transactionTopic, Time: l.time, Origin: b.NewOrigin(), Seq: l.seq, Flags: connect.TxEnd}
	*m.Origin = l.origin
	l.tell(b, &m, statusEnd, l.time)
	l.open = false
	return m
}

// name returns the name of r's table.
func (e *Editor) name(r *connect.Record) string {
	if e.named != r.Table {
		e.named, e.nameOf = r.Table, r.Table.String()
	}
	return e.nameOf
}

// heartbeat adds a sign of life to a batch that has a position, when it is
// time for one.
func (e *Editor) heartbeat(b *connect.Batch) {
	now := time.Now()
	if e.interval == 0 || b.Pos == nil || now.Sub(e.beat) < e.interval {
		return
	}
	e.beat = now
	p := strconv.AppendInt(append(b.Scratch(40), `{"ts_ms":`...), now.UnixMilli(), 10)
	value := b.Use(append(p, '}'))
	r := b.Add()
	r.Topic, r.Time, r.Seq, r.Flags = e.heartbeatTopic, now.UnixMicro(), e.seq, connect.TxEnd
	r.SetMessage(b, connect.KindHeartbeat, e.heartbeatKey, value)
}
