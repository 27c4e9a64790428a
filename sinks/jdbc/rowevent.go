package jdbc

import (
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"strings"

	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
	"github.com/towline/towline/sinks/apply"
)

// Types of events.
const (
	formatEvent   = 15
	tableMapEvent = 19
	writeEvent    = 30
	updateEvent   = 31
)

const (
	eventHeader = 19
	// vectorDimensions is the optional part of a TABLE_MAP that VECTORs need.
	vectorDimensions = 13
	// tableID names the table within one BINLOG statement; any number does.
	tableID = 1
	// stmtEnd ends the statement that row events are; noForeignKeys is
	// foreign_key_checks = 0.
	stmtEnd, noForeignKeys = 1, 2
)

// rowEvents is how the rows of a route stand in row events.
type rowEvents struct {
	cells  []cell // one for each column of the target
	key    []bool // the columns of the primary key
	table  []byte // the TABLE_MAP event, but for its header
	all    []byte // bitmap of all columns
	keyMap []byte // bitmap of the key's
	after  []byte // bitmap of those that updates write
}

// newRowEvents returns how the rows of rt stand in row events, nil where they
// take statements: the event has to have all of the target's columns, and to
// find rows by the primary key.
func newRowEvents(rt *route, def *ddl.Def, index string, cs *charsets) *rowEvents {
	if rt.ordered || index != "PRIMARY" || !strings.EqualFold(def.Engine, "InnoDB") || len(rt.cols) != len(def.Table.Columns) {
		return nil
	}
	for i := range def.Indexes {
		if x := &def.Indexes[i]; x.Primary {
			for _, p := range x.Parts {
				if p.Prefix > 0 {
					return nil // rows would be found by a part of their key
				}
			}
		}
	}
	e := &rowEvents{}
	for i := range def.Table.Columns {
		d := &def.Table.Columns[i]
		src := find(rt.shape, d.Name)
		if src < 0 || d.Generated || d.Invisible {
			return nil
		}
		s := &rt.shape.Columns[src]
		f, spelled := fitOf(d, s, cs)
		c, ok := newCell(src, s, d, f, spelled, cs)
		if !ok {
			return nil
		}
		e.cells = append(e.cells, c)
		e.key = append(e.key, def.Table.IsKey(i))
	}
	e.setMaps(rt.name)
	return e
}

func (e *rowEvents) setMaps(n name) {
	size := (len(e.cells) + 7) / 8
	e.all, e.keyMap, e.after = make([]byte, size), make([]byte, size), make([]byte, size)
	nulls := make([]byte, size)
	var types, meta, dimensions []byte
	for i := range e.cells {
		c := &e.cells[i]
		e.all[i/8] |= 1 << (i % 8)
		if e.key[i] {
			e.keyMap[i/8] |= 1 << (i % 8)
		}
		if c.nullable {
			nulls[i/8] |= 1 << (i % 8)
		}
		types = append(types, c.log)
		meta = append(meta, c.meta[:c.metaLen]...)
		if c.log == logVector {
			dimensions = appendPacked(dimensions, c.most/4)
		}
	}
	b := appendLittle(nil, tableID, 6)
	b = append(b, 1, 0) // BIT columns tell their bits
	for _, s := range []string{n.db, n.table} {
		b = append(append(append(b, byte(len(s))), s...), 0)
	}
	b = append(appendPacked(b, uint64(len(types))), types...)
	b = append(appendPacked(b, uint64(len(meta))), meta...)
	b = append(b, nulls...)
	if len(dimensions) > 0 {
		b = append(appendPacked(append(b, vectorDimensions), uint64(len(dimensions))), dimensions...)
	}
	e.table = b
}

// appendPacked appends a number as row events have lengths.
func appendPacked(dst []byte, n uint64) []byte {
	switch {
	case n < 251:
		return append(dst, byte(n))
	case n < 1<<16:
		return appendLittle(append(dst, 252), n, 2)
	}
	return appendLittle(append(dst, 253), n, 3)
}

// setAfter decides which columns the updates of a list write: those that any of
// them changes where it is known what the target has, else all.
func (e *rowEvents) setAfter(changes []apply.Change, list []int32) {
	clear(e.after)
	for _, i := range list {
		c := &changes[i]
		if !c.Exact || len(c.First) != len(c.Row) {
			copy(e.after, e.all)
			return
		}
		for k := range e.cells {
			src := e.cells[k].src
			if e.after[k/8]>>(k%8)&1 == 0 && !c.First[src].Equal(c.Row[src]) {
				e.after[k/8] |= 1 << (k % 8)
			}
		}
	}
	for _, b := range e.after {
		if b != 0 {
			return
		}
	}
	copy(e.after, e.keyMap) // nothing changes, and an event has to have columns
}

// eventWriter builds the events of one BINLOG statement.
type eventWriter struct {
	buf      []byte
	begin    int // of the event that is not ended
	last     int // of the last event of rows
	kind     byte
	serverID uint32
	json     jsonEncoder
}

func (w *eventWriter) reset() { w.buf, w.kind = w.buf[:0], 0 }

func (w *eventWriter) start(kind byte) {
	w.begin, w.kind = len(w.buf), kind
	w.buf = append(w.buf, 0, 0, 0, 0, kind)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, w.serverID)
	w.buf = append(w.buf, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// end ends the event that is open.
func (w *eventWriter) end() {
	if w.kind != 0 {
		binary.LittleEndian.PutUint32(w.buf[w.begin+9:], uint32(len(w.buf)-w.begin))
		w.kind = 0
	}
}

// row appends a row to an event of its kind: a new one where the last is of
// another.
func (w *eventWriter) row(e *rowEvents, kind byte, row schema.Row) (err error) {
	if w.kind != kind {
		w.open(e, kind)
	}
	start, columns := len(w.buf), e.all
	if kind == updateEvent { // the row is found by its key
		columns = e.after
		w.buf, err = e.appendImage(w.buf, row, e.keyMap, &w.json)
	}
	if err == nil {
		w.buf, err = e.appendImage(w.buf, row, columns, &w.json)
	}
	if err != nil {
		w.buf = w.buf[:start]
	}
	return err
}

// open starts an event of rows, after one that describes their table.
func (w *eventWriter) open(e *rowEvents, kind byte) {
	w.end()
	if len(w.buf) == 0 {
		w.start(tableMapEvent)
		w.buf = append(w.buf, e.table...)
		w.end()
	}
	w.last = len(w.buf)
	w.start(kind)
	w.buf = appendLittle(w.buf, tableID, 6)
	w.buf = append(w.buf, noForeignKeys, 0, 2, 0)
	w.buf = appendPacked(w.buf, uint64(len(e.cells)))
	if kind == updateEvent {
		w.buf = append(append(w.buf, e.keyMap...), e.after...)
		return
	}
	w.buf = append(w.buf, e.all...)
}

// appendStatement appends the BINLOG statement of the events.
func (w *eventWriter) appendStatement(dst []byte) []byte {
	w.end()
	w.buf[w.last+eventHeader+6] |= stmtEnd
	dst = append(dst, "BINLOG '"...)
	dst = base64.StdEncoding.AppendEncode(dst, w.buf)
	return append(dst, '\'')
}

// appendImage appends the columns of row that are in the bitmap.
func (e *rowEvents) appendImage(dst []byte, row schema.Row, in []byte, json *jsonEncoder) (_ []byte, err error) {
	nulls, bit, n := len(dst), 0, 0
	for _, b := range in {
		n += bits.OnesCount8(b)
	}
	dst = append(dst, in[:(n+7)/8]...) // as many bytes
	clear(dst[nulls:])
	for i := range e.cells {
		if in[i/8]>>(i%8)&1 == 0 {
			continue
		}
		c := &e.cells[i]
		v := row[c.src]
		if v.IsNull() {
			if !c.nullable {
				return dst, errCell
			}
			dst[nulls+bit/8] |= 1 << (bit % 8)
		} else if dst, err = c.append(dst, v, json); err != nil {
			return dst, err
		}
		bit++
	}
	return dst, nil
}

// formatStatement is the BINLOG statement by which a session learns the format
// of the events to come. It changes nothing.
func formatStatement() string {
	w := eventWriter{}
	w.start(formatEvent)
	w.buf = append(w.buf, 4, 0)
	version := [50]byte{}
	copy(version[:], "8.0.19")
	w.buf = append(w.buf, version[:]...)
	w.buf = append(w.buf, 0, 0, 0, 0, eventHeader)
	// The fixed part of each type of event, by number from 1.
	w.buf = append(w.buf, 0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 96, 0, 4, 26, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0,
		10, 10, 10, 42, 42, 0, 18, 52, 0, 10)
	w.buf = append(w.buf, 0)          // no checksums
	w.buf = append(w.buf, 0, 0, 0, 0) // but room for one
	w.end()
	return "BINLOG '" + base64.StdEncoding.EncodeToString(w.buf) + "'"
}
