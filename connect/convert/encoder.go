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
	if r.Op == connect.OpSchema {
		return dst, nil
	}
	begin, p := len(dst), e.plan(r.Table)
	var err error
	switch {
	case r.Flags&connect.Unwrapped == 0 || !r.Op.HasRow():
		dst, err = e.appendEnvelope(append(dst, p.envelopeHead...), p, r)
	case r.After == nil:
		return append(dst, "null"...), nil
	default:
		dst, err = e.appendRow(append(dst, p.flatHead...), p, r.After)
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
	dst, err := e.appendRow(dst, p, r.Before)
	if err != nil {
		return dst, err
	}
	dst = append(dst, `,"after":`...)
	if dst, err = e.appendRow(dst, p, r.After); err != nil {
		return dst, err
	}
	dst = e.appendSource(append(dst, ','), p, r)
	dst = append(dst, `,"transaction":null,"op":"`...)
	dst = append(append(dst, byte(r.Op)), `","ts_ms":`...)
	now := r.Time
	if e.opts.Clock != nil {
		now = e.opts.Clock()
	}
	dst = strconv.AppendInt(dst, floorMillis(now), 10)
	dst = strconv.AppendInt(append(dst, `,"ts_us":`...), now, 10)
	dst = strconv.AppendInt(append(dst, `,"ts_ns":`...), now*1000, 10)
	return append(dst, '}'), nil
}

// noOrigin stands for the origin of records that have none.
var noOrigin connect.Origin

func (e *Encoder) appendSource(dst []byte, p *plan, r *connect.Record) []byte {
	o := r.Origin
	if o == nil {
		o = &noOrigin
	}
	dst = append(dst, p.sourceBegin...)
	dst = strconv.AppendInt(dst, floorMillis(r.Time), 10)
	if r.Op == connect.OpRead || o.Snapshot {
		dst = append(dst, `,"snapshot":"true"`...)
	} else {
		dst = append(dst, `,"snapshot":"false"`...)
	}
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
	dst = strconv.AppendInt(append(dst, `,"row":`...), int64(r.Row), 10)
	if o.Thread == 0 {
		dst = append(dst, `,"thread":null`...)
	} else {
		dst = strconv.AppendUint(append(dst, `,"thread":`...), uint64(o.Thread), 10)
	}
	return append(dst, `,"query":null}`...)
}

// fits makes a row that is not of its table an error instead of a panic.
func fits(t *schema.Table, row schema.Row) error {
	if len(row) != len(t.Columns) {
		return fmt.Errorf("convert: table %s has %d columns, but a row of it has %d", t, len(t.Columns), len(row))
	}
	return nil
}

// appendRow appends a row as an object; nil is null.
func (e *Encoder) appendRow(dst []byte, p *plan, row schema.Row) ([]byte, error) {
	if row == nil {
		return append(dst, "null"...), nil
	}
	if err := fits(p.table, row); err != nil {
		return dst, err
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
		var err error
		if dst, err = e.appendValue(dst, f, row[i]); err != nil {
			return dst, fmt.Errorf("convert: table %s, column %s %s: %w", p.table, f.column.Name, f.column.Type, err)
		}
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
