package convert

import (
	"fmt"
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// Encoder writes keys and values of records as JSON.
type Encoder struct {
	opts  EncoderOptions
	max   int // plans to keep
	plans map[*schema.Table]*plan
	last  *plan
	// planning is the table that newPlan is at.
	planning *schema.Table
	// spans is where the values of the row image that was encoded last stand.
	spans []span
	// What neighbours have in common, as bytes: records of one event their
	// source, records of one time the end of the envelope.
	source sourceText
	times  timesText
}

// span is a piece of a buffer.
type span struct{ begin, end int }

// sourceText is "source" up to the number of the row, and from there on.
type sourceText struct {
	plan        *plan
	origin      connect.Origin
	time        int64
	snapshot    bool
	begin, rest []byte
}

// timesText is the end of an envelope, from ts_ms on.
type timesText struct {
	time int64
	text []byte
}

const cacheSize = 1000

// NewEncoder returns an Encoder.
func NewEncoder(opts EncoderOptions) *Encoder {
	if opts.Version == "" {
		opts.Version = buildVersion()
	}
	return &Encoder{opts: opts, max: cacheSize, plans: map[*schema.Table]*plan{}}
}

// plan returns what is known of t.
func (e *Encoder) plan(t *schema.Table) *plan {
	if e.last != nil && e.last.table == t {
		return e.last
	}
	p := e.plans[t]
	if p == nil {
		if len(e.plans) >= e.max {
			clear(e.plans)
		}
		e.planning = t
		p = e.newPlan(t)
		e.plans[t] = p
	}
	e.last = p
	return p
}

// AppendKey appends the JSON of r's key columns. It appends nothing if r is
// not about a row or its table has no key.
func (e *Encoder) AppendKey(dst []byte, r *connect.Record) ([]byte, error) {
	if r.Op == connect.OpMessage {
		return e.appendMessage(dst, r, true)
	}
	if !r.Op.HasRow() || len(r.Table.Key) == 0 {
		return dst, nil
	}
	p, row := e.plan(r.Table), r.Key()
	if err := fits(r.Table, row); err != nil {
		return dst, err
	}
	begin := len(dst)
	dst = append(append(dst, p.keyHead...), '{')
	var err error
	for i, k := range r.Table.Key {
		f := &p.fields[k]
		dst = append(comma(dst, i), f.name...)
		if kind := row[k].Kind(); kind == schema.Null || kind == schema.Absent {
			return dst[:begin], fmt.Errorf("convert: table %s, key column %s: the value is %s", r.Table, f.column.Name, kind)
		}
		if dst, err = e.appendValue(dst, f, row[k]); err != nil {
			return dst[:begin], fmt.Errorf("convert: table %s, column %s %s: %w", r.Table, f.column.Name, f.column.Type, err)
		}
	}
	return e.end(append(dst, '}')), nil
}

// AppendValue appends the JSON of r's value: the envelope or, of an Unwrapped
// record, the row. It appends null for an Unwrapped delete that has no After,
// and nothing for an OpSchema.
func (e *Encoder) AppendValue(dst []byte, r *connect.Record) ([]byte, error) {
	switch r.Op {
	case connect.OpSchema:
		return dst, nil
	case connect.OpMessage:
		return e.appendMessage(dst, r, false)
	}
	begin, p := len(dst), e.plan(r.Table)
	var err error
	switch {
	case r.Flags&connect.Unwrapped == 0 || !r.Op.HasRow():
		dst, err = e.appendEnvelope(append(dst, p.envelopeHead...), p, r)
	case r.After == nil:
		return append(dst, "null"...), nil
	default:
		dst, err = e.appendRow(append(dst, p.flatHead...), p, r.After, nil)
	}
	if err != nil {
		return dst[:begin], err
	}
	return e.end(dst), nil
}

// end closes what a head opened.
func (e *Encoder) end(dst []byte) []byte {
	if e.opts.Schemas {
		return append(dst, '}')
	}
	return dst
}

func (e *Encoder) appendEnvelope(dst []byte, p *plan, r *connect.Record) ([]byte, error) {
	dst = append(dst, `{"before":`...)
	dst, err := e.appendRow(dst, p, r.Before, nil)
	if err != nil {
		return dst, err
	}
	dst = append(dst, `,"after":`...)
	if dst, err = e.appendRow(dst, p, r.After, r.Before); err != nil {
		return dst, err
	}
	e.describeSource(p, r)
	dst = append(append(dst, ','), e.source.begin...)
	dst = append(strconv.AppendInt(dst, int64(r.Row), 10), e.source.rest...)
	dst = appendTransaction(append(dst, `,"transaction":`...), r)
	dst = append(append(dst, `,"op":"`...), byte(r.Op))
	now := r.Time
	if e.opts.Clock != nil {
		now = e.opts.Clock()
	}
	if t := &e.times; t.text == nil || t.time != now {
		t.time = now
		t.text = strconv.AppendInt(append(t.text[:0], `","ts_ms":`...), floorMillis(now), 10)
		t.text = strconv.AppendInt(append(t.text, `,"ts_us":`...), now, 10)
		t.text = strconv.AppendInt(append(t.text, `,"ts_ns":`...), now*1000, 10)
		t.text = append(t.text, '}')
	}
	return append(dst, e.times.text...), nil
}

// noOrigin stands for the origin of records that have none.
var noOrigin connect.Origin

// describeSource makes e.source that of r.
func (e *Encoder) describeSource(p *plan, r *connect.Record) {
	o := r.Origin
	if o == nil {
		o = &noOrigin
	}
	s, snapshot := &e.source, r.Op == connect.OpRead || o.Snapshot
	if s.plan == p && s.time == r.Time && s.snapshot == snapshot && s.origin == *o {
		return
	}
	s.plan, s.time, s.snapshot, s.origin = p, r.Time, snapshot, *o
	dst := append(s.begin[:0], p.sourceBegin...)
	dst = strconv.AppendInt(dst, floorMillis(r.Time), 10)
	dst = append(strconv.AppendBool(append(dst, `,"snapshot":"`...), snapshot), '"')
	dst = append(dst, p.sourceDB...)
	dst = strconv.AppendInt(dst, r.Time, 10)
	dst = strconv.AppendInt(append(dst, `,"ts_ns":`...), r.Time*1000, 10)
	dst = append(dst, p.sourceTable...)
	dst = strconv.AppendUint(dst, uint64(o.ServerID), 10)
	if o.GNO == 0 {
		dst = append(dst, `,"gtid":null`...)
	} else {
		dst = append(o.AppendGTID(append(dst, `,"gtid":"`...)), '"')
	}
	dst = e.quote(append(dst, `,"file":`...), o.File)
	dst = strconv.AppendUint(append(dst, `,"pos":`...), o.Pos, 10)
	s.begin = append(dst, `,"row":`...)
	s.rest = append(s.rest[:0], `,"thread":null`...)
	if o.Thread != 0 {
		s.rest = strconv.AppendUint(append(s.rest[:0], `,"thread":`...), uint64(o.Thread), 10)
	}
	if o.Query == "" {
		s.rest = append(s.rest, `,"query":null}`...)
		return
	}
	s.rest = append(e.quote(append(s.rest, `,"query":`...), o.Query), '}')
}

// fits makes a row that is not of its table an error instead of a panic.
func fits(t *schema.Table, row schema.Row) error {
	if len(row) != len(t.Columns) {
		return fmt.Errorf("convert: table %s has %d columns, but a row of it has %d", t, len(t.Columns), len(row))
	}
	return nil
}

// appendRow appends a row as an object; nil is null. Values that are as in
// before, the row that was appended last, are copied from its text.
func (e *Encoder) appendRow(dst []byte, p *plan, row, before schema.Row) ([]byte, error) {
	if row == nil {
		return append(dst, "null"...), nil
	}
	if err := fits(p.table, row); err != nil {
		return dst, err
	}
	if len(e.spans) < len(row) {
		e.spans = make([]span, len(row))
	}
	dst = append(dst, '{')
	n := 0
	for i := range row {
		f := &p.fields[i]
		kind := row[i].Kind()
		if kind == schema.Absent {
			if e.opts.Schemas {
				return dst, fmt.Errorf("convert: table %s, column %s: the row image does not have it, and a row with a schema has all columns; "+
					"set binlog_row_image=FULL on the server, or %s=false", p.table, f.column.Name, optSchemas)
			}
			continue
		}
		dst = append(comma(dst, n), f.name...)
		n++
		if kind == schema.Null {
			dst = append(dst, "null"...)
			continue
		}
		if before != nil && row[i].Equal(before[i]) {
			s := e.spans[i]
			dst = append(dst, dst[s.begin:s.end]...)
			continue
		}
		begin := len(dst)
		var err error
		if dst, err = e.appendValue(dst, f, row[i]); err != nil {
			return dst, fmt.Errorf("convert: table %s, column %s %s: %w", p.table, f.column.Name, f.column.Type, err)
		}
		e.spans[i] = span{begin, len(dst)}
	}
	return append(dst, '}'), nil
}

func floorMillis(micros int64) int64 {
	ms := micros / 1000
	if micros%1000 < 0 {
		ms--
	}
	return ms
}
