package binlog

import "fmt"

// Flags of a row event.
const (
	RowsStatementEnd   = 0x0001 // the last event of its statement
	RowsNoForeignKeys  = 0x0002 // foreign_key_checks=0
	RowsRelaxedUnique  = 0x0004 // unique_checks=0
	RowsComplete       = 0x0008
	RowsSQLForeignKeys = 0x0010 // cascades, if any, are in the log as rows of their own
)

// RowsKind says what a row event does.
type RowsKind uint8

// The kinds of row event.
const (
	RowsWrite RowsKind = iota
	RowsUpdate
	RowsDelete
)

// RowsEvent is a row event whose images are not decoded yet. It aliases the
// event.
type RowsEvent struct {
	Kind    RowsKind
	TableID uint64
	Flags   uint16
	Columns int
	// Partial: JSON values after the change may be given as what changed in
	// those before (binlog_row_value_options=PARTIAL_JSON).
	Partial bool

	present, presentAfter []byte // bit maps; presentAfter of an update
	images                []byte
	packed                bool // images is compressed
	unpacked              int  // size of the images then
}

// Dummy reports whether the event only ends a statement that changed nothing
// the log shows: it has no rows, and no TABLE_MAP goes with it.
func (ev *RowsEvent) Dummy() bool { return ev.TableID == 0xffffff && len(ev.images) == 0 }

// Size returns the bytes of the row images.
func (ev *RowsEvent) Size() int {
	if ev.packed {
		return ev.unpacked
	}
	return len(ev.images)
}

// ParseRows reads the body of a row event (versions 1 and 2), up to its images.
func ParseRows(t EventType, body []byte) (RowsEvent, error) {
	var ev RowsEvent
	switch t {
	case WriteRowsEvent, WriteRowsEventV1, WriteRowsCompressedEvent, WriteRowsCompressedV1:
	case UpdateRowsEvent, UpdateRowsEventV1, UpdateRowsCompressedEvent, UpdateRowsCompressedV1:
		ev.Kind = RowsUpdate
	case DeleteRowsEvent, DeleteRowsEventV1, DeleteRowsCompressedEvent, DeleteRowsCompressedV1:
		ev.Kind = RowsDelete
	case PartialUpdateRowsEvent:
		ev.Kind, ev.Partial = RowsUpdate, true
	default:
		return ev, fmt.Errorf("binlog: a %s event has no rows", t)
	}
	c := cursor{b: body}
	ev.TableID, ev.Flags = c.uint(6), c.u16()
	if t >= WriteRowsEvent && (t < WriteRowsCompressedV1 || t > DeleteRowsCompressedV1) {
		extra := uint64(c.u16()) // counts itself
		if extra < 2 {
			c.fail()
		}
		c.take(extra - 2) // partition numbers, or what NDB has to say
	}
	n := c.packed()
	if n > maxColumns {
		c.fail()
	}
	ev.Columns = int(n)
	ev.present = c.take((n + 7) / 8)
	ev.presentAfter = ev.present
	if ev.Kind == RowsUpdate {
		ev.presentAfter = c.take((n + 7) / 8)
	}
	if c.bad {
		return RowsEvent{}, bodyError(t, body)
	}
	ev.images = c.b
	if t.compressedRows() {
		n, err := unpackedSize(c.b)
		if err != nil {
			return RowsEvent{}, fmt.Errorf("binlog: %s event: %w", t, err)
		}
		ev.packed, ev.unpacked = true, n
	}
	return ev, nil
}

// allSet reports whether the first n bits of m are set.
func allSet(m []byte, n int) bool {
	for ; n >= 8; n -= 8 {
		if m[0] != 0xff {
			return false
		}
		m = m[1:]
	}
	return n == 0 || m[0]|0xff<<n == 0xff
}
