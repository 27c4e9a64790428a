package convert

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/registry"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/avro"
)

// avroHead is the length of what comes before a message's Avro: a zero, and the
// id of the schema.
const avroHead = 5

// registerTimeout is how long a registry may take to take a schema.
const registerTimeout = 60 * time.Second

// avroEncoder writes keys and values of records as Avro. What types and schemas
// they have is what the Encoder says, so that no form knows more than another.
type avroEncoder struct {
	*Encoder
	registry registry.Registry
	subjects subjects
	plans    map[*schema.Table]*avroPlan
	last     *avroPlan
	messages map[connect.Kind]*avroMessage
	spans    []span
	source   avroSource
	text     []byte // for what is written first as text
}

// avroPlan is what is known of one table.
type avroPlan struct {
	table                *schema.Table
	fields               []avroField
	key, envelope, flat  *avroSchema
	room                 int
	sourceHead, sourceDB []byte
	sourceTable          []byte
}

// avroField is one column of a plan.
type avroField struct {
	field
	null bool // in a value; a key has none
}

// avroSchema is a schema that messages are written with.
type avroSchema struct {
	text string
	name string // of the record
	key  bool
	typ  *avro.Schema // of text, where values are written by it
	heads
}

// heads are what messages with a schema begin with, by the topic.
type heads struct {
	topic  string // of the last message
	head   []byte
	others map[string][]byte
}

// avroSource is the source of a record, up to the number of its row and from
// there on, which neighbours have in common.
type avroSource struct {
	table       *schema.Table
	origin      connect.Origin
	time        int64
	snapshot    bool
	begin, rest []byte
}

// avroMessage are the schemas of a kind of OpMessage.
type avroMessage struct{ key, value *avroSchema }

// subjects are strategies of names.
type subjects struct{ key, value string }

func newAvroEncoder(e *Encoder, reg registry.Registry, s subjects) *avroEncoder {
	return &avroEncoder{Encoder: e, registry: reg, subjects: s, plans: map[*schema.Table]*avroPlan{}, messages: map[connect.Kind]*avroMessage{}}
}

// plan returns what is known of t.
func (e *avroEncoder) plan(t *schema.Table) (*avroPlan, error) {
	if e.last != nil && e.last.table == t {
		return e.last, nil
	}
	p := e.plans[t]
	if p == nil {
		var err error
		if p, err = e.newPlan(t); err != nil {
			return nil, err
		}
		if len(e.plans) >= e.max {
			clear(e.plans)
		}
		e.plans[t] = p
	}
	e.last = p
	return p, nil
}

func (e *avroEncoder) newPlan(t *schema.Table) (*avroPlan, error) {
	e.planning = t
	of := e.Encoder.newPlan(t)
	p := &avroPlan{table: t, fields: make([]avroField, len(of.fields)), room: envelopeRoom}
	for i := range of.fields {
		p.fields[i] = avroField{of.fields[i], of.fields[i].column.Nullable}
		p.room += 2 * valueRoom
		for _, el := range t.Columns[i].Elements {
			p.room += 2*len(el) + 2
		}
	}
	for _, s := range []struct {
		head   []byte
		schema **avroSchema
	}{{of.keyHead, &p.key}, {of.envelopeHead, &p.envelope}, {of.flatHead, &p.flat}} {
		text := strings.TrimSuffix(strings.TrimPrefix(string(s.head), `{"schema":`), `,"payload":`)
		var err error
		if *s.schema, err = newAvroSchema(text, s.schema == &p.key); err != nil {
			return nil, fmt.Errorf("convert: table %s: %w", t, err)
		}
	}
	p.sourceHead = appendAvroText(appendAvroText(appendAvroText(nil, e.opts.Version), "mysql"), e.opts.Prefix)
	p.sourceDB = append(appendAvroText(nil, t.Database), 0) // no sequence
	p.sourceTable = appendAvroText([]byte{second}, t.Name)
	return p, nil
}

// newAvroSchema makes a schema of one of Kafka Connect in JSON.
func newAvroSchema(text string, key bool) (*avroSchema, error) {
	var c connectSchema
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, err
	}
	b, err := appendAvroSchema(nil, &c)
	return &avroSchema{text: string(b), name: avro.FullName(c.Name), key: key}, err
}

// appendHead appends what a message with schema s begins with. A schema that
// was not seen in this topic is durable in the registry before that (invariant
// 1).
func (e *avroEncoder) appendHead(dst []byte, s *avroSchema, topic string) ([]byte, error) {
	if s.head != nil && s.topic == topic {
		return append(dst, s.head...), nil
	}
	head := s.others[topic]
	if head == nil {
		ctx, cancel := context.WithTimeout(context.Background(), registerTimeout)
		defer cancel()
		id, err := e.registry.Register(ctx, e.subjectOf(s, topic), s.text)
		if err != nil {
			return dst, fmt.Errorf("convert: the schema %s of topic %s: %w", s.name, topic, err)
		}
		head = binary.BigEndian.AppendUint32([]byte{0}, id)
		if s.others == nil || len(s.others) >= e.max {
			s.others = map[string][]byte{}
		}
		s.others[topic] = head
	}
	s.topic, s.head = topic, head
	return append(dst, head...), nil
}

func (e *avroEncoder) subjectOf(s *avroSchema, topic string) string {
	strategy, suffix := e.subjects.value, "-value"
	if s.key {
		strategy, suffix = e.subjects.key, "-key"
	}
	switch strings.ToLower(strings.TrimPrefix(strategy, subjectPackage)) {
	case "recordnamestrategy":
		return s.name
	case "topicrecordnamestrategy":
		return topic + "-" + s.name
	}
	return topic + suffix
}

// room implements writer.
func (e *avroEncoder) room(r *connect.Record) int {
	n := envelopeRoom
	if r.Op != connect.OpMessage && r.Table != nil {
		if p, err := e.plan(r.Table); err == nil {
			n = p.room
		}
	}
	for _, row := range [...]schema.Row{r.Before, r.After} {
		for i := range row {
			n += 3 * row[i].Size() // binary may be text, and a key stands in it twice
		}
	}
	if r.Origin != nil {
		n += len(r.Origin.File) + len(r.Origin.Query) + len(r.Origin.Tag)
	}
	return n
}

// AppendKey implements writer.
func (e *avroEncoder) AppendKey(dst []byte, r *connect.Record) ([]byte, error) {
	if r.Op == connect.OpMessage {
		return e.appendMessage(dst, r, true)
	}
	if !r.Op.HasRow() || len(r.Table.Key) == 0 {
		return dst, nil
	}
	row := r.Key()
	if err := fits(r.Table, row); err != nil {
		return dst, err
	}
	p, err := e.plan(r.Table)
	if err != nil {
		return dst, err
	}
	begin := len(dst)
	if dst, err = e.appendHead(dst, p.key, r.Topic); err != nil {
		return dst[:begin], err
	}
	for _, k := range r.Table.Key {
		f := &p.fields[k]
		if kind := row[k].Kind(); kind == schema.Null || kind == schema.Absent {
			return dst[:begin], fmt.Errorf("convert: table %s, key column %s: the value is %s", r.Table, f.column.Name, kind)
		}
		if dst, err = e.appendValue(dst, &f.field, row[k]); err != nil {
			return dst[:begin], fmt.Errorf("convert: table %s, column %s %s: %w", r.Table, f.column.Name, f.column.Type, err)
		}
	}
	return dst, nil
}

// AppendValue implements writer.
func (e *avroEncoder) AppendValue(dst []byte, r *connect.Record) ([]byte, error) {
	switch r.Op {
	case connect.OpSchema:
		return dst, nil
	case connect.OpMessage:
		return e.appendMessage(dst, r, false)
	}
	p, err := e.plan(r.Table)
	if err != nil {
		return dst, err
	}
	begin := len(dst)
	if r.Flags&connect.Unwrapped == 0 || !r.Op.HasRow() {
		if dst, err = e.appendHead(dst, p.envelope, r.Topic); err == nil {
			dst, err = e.appendEnvelope(dst, p, r)
		}
	} else if dst, err = e.appendHead(dst, p.flat, r.Topic); err == nil {
		dst, err = e.appendRow(dst, p, r.After, nil)
	}
	if err != nil {
		return dst[:begin], err
	}
	return dst, nil
}

// The types of a union, of which null is the first.
const (
	first  = 0
	second = 2 // 1, as Avro writes it
)

// appendOptional appends a row that may be nil.
func (e *avroEncoder) appendOptional(dst []byte, p *avroPlan, row, before schema.Row) ([]byte, error) {
	if row == nil {
		return append(dst, first), nil
	}
	return e.appendRow(append(dst, second), p, row, before)
}

func (e *avroEncoder) appendEnvelope(dst []byte, p *avroPlan, r *connect.Record) ([]byte, error) {
	dst, err := e.appendOptional(dst, p, r.Before, nil)
	if err != nil {
		return dst, err
	}
	if dst, err = e.appendOptional(dst, p, r.After, r.Before); err != nil {
		return dst, err
	}
	e.describeSource(p, r)
	dst = append(dst, e.source.begin...)
	dst = append(binary.AppendVarint(dst, int64(r.Row)), e.source.rest...)
	if dst, err = e.appendTransaction(dst, r); err != nil {
		return dst, err
	}
	dst = append(dst, 1<<1, byte(r.Op)) // a string of one byte
	now := r.Time
	if e.opts.Clock != nil {
		now = e.opts.Clock()
	}
	for _, n := range [...]int64{floorMillis(now), now, now * 1000} {
		dst = binary.AppendVarint(append(dst, second), n)
	}
	return dst, nil
}

// describeSource makes e.source that of r.
func (e *avroEncoder) describeSource(p *avroPlan, r *connect.Record) {
	o := r.Origin
	if o == nil {
		o = &noOrigin
	}
	s, snapshot := &e.source, r.Op == connect.OpRead || o.Snapshot
	if s.begin != nil && s.table == p.table && s.time == r.Time && s.snapshot == snapshot && s.origin == *o {
		return
	}
	s.table, s.time, s.snapshot, s.origin = p.table, r.Time, snapshot, *o
	dst := append(s.begin[:0], p.sourceHead...)
	dst = binary.AppendVarint(dst, floorMillis(r.Time))
	told := "false"
	if snapshot {
		told = "true"
	}
	dst = appendAvroText(append(dst, first), told) // whose default is no null
	dst = append(dst, p.sourceDB...)
	dst = binary.AppendVarint(append(dst, second), r.Time)
	dst = binary.AppendVarint(append(dst, second), r.Time*1000)
	dst = append(dst, p.sourceTable...)
	dst = binary.AppendVarint(dst, int64(o.ServerID))
	if o.GNO == 0 {
		dst = append(dst, first)
	} else {
		e.text = o.AppendGTID(e.text[:0])
		dst = appendAvroBytes(append(dst, second), e.text)
	}
	dst = appendAvroText(dst, o.File)
	s.begin = binary.AppendVarint(dst, int64(o.Pos))
	s.rest = append(s.rest[:0], first)
	if o.Thread != 0 {
		s.rest[0] = second
		s.rest = binary.AppendVarint(s.rest, int64(o.Thread))
	}
	if o.Query == "" {
		s.rest = append(s.rest, first)
		return
	}
	s.rest = appendAvroText(append(s.rest, second), strings.ToValidUTF8(o.Query, "\uFFFD"))
}

// appendRow appends a row. Values that are as in before, the row that was
// appended last, are copied from there.
func (e *avroEncoder) appendRow(dst []byte, p *avroPlan, row, before schema.Row) ([]byte, error) {
	if err := fits(p.table, row); err != nil {
		return dst, err
	}
	if len(e.spans) < len(row) {
		e.spans = make([]span, len(row))
	}
	for i := range row {
		f := &p.fields[i]
		if before != nil && row[i].Equal(before[i]) {
			s := e.spans[i]
			dst = append(dst, dst[s.begin:s.end]...)
			continue
		}
		begin := len(dst)
		kind := row[i].Kind()
		switch {
		case kind == schema.Absent:
			return dst, fmt.Errorf("convert: table %s, column %s: the row image does not have it, and a row in Avro has all columns; set binlog_row_image=FULL on the server", p.table, f.column.Name)
		case kind == schema.Null && !f.null:
			return dst, fmt.Errorf("convert: table %s, column %s: the value is null, and the column has none", p.table, f.column.Name)
		case kind == schema.Null:
			dst = append(dst, first)
		default:
			if f.null {
				dst = append(dst, second)
			}
			var err error
			if dst, err = e.appendValue(dst, &f.field, row[i]); err != nil {
				return dst, fmt.Errorf("convert: table %s, column %s %s: %w", p.table, f.column.Name, f.column.Type, err)
			}
		}
		e.spans[i] = span{begin, len(dst)}
	}
	return dst, nil
}
