package binlog

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// events cuts a log file into events, verifies them, and calls f for each,
// those inside payloads too.
func events(t testing.TB, log []byte, f func(h Header, format *Format, event []byte)) {
	t.Helper()
	var format *Format
	for log = log[4:]; len(log) > 0; {
		size := int(log[9]) | int(log[10])<<8 | int(log[11])<<16 | int(log[12])<<24
		event := log[:size]
		log = log[size:]
		h, err := ParseHeader(event)
		if err == nil && h.Type == FormatDescriptionEvent {
			format, err = ParseFormat(event)
		}
		if err == nil {
			err = format.Verify(event)
		}
		if err != nil {
			t.Fatal(err)
		}
		f(h, format, event)
		if h.Type == TransactionPayload {
			innerEvents(t, format, event, f)
		}
	}
}

func innerEvents(t testing.TB, format *Format, event []byte, f func(h Header, format *Format, event []byte)) {
	t.Helper()
	body, _ := format.Body(event)
	p, err := ParsePayload(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewPayloadReader(128 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Reset(p); err != nil {
		t.Fatal(err)
	}
	for {
		in, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHeader(in)
		if err != nil {
			t.Fatal(err)
		}
		f(h, format.Inner(), in)
	}
}

// walker decodes all rows of a log file into one batch.
type walker struct {
	t     testing.TB
	maps  TableMaps
	plans map[*TableMap]*Plan
	stamp Stamp
	batch connect.Batch
	// planFor makes the plan for a table.
	planFor func(*TableMap) (*Plan, error)
}

func walk(t testing.TB, log []byte) *connect.Batch {
	t.Helper()
	w := walker{t: t, planFor: planByLog}
	w.stamp.Seq = 1
	events(t, log, w.event)
	return &w.batch
}

// planByLog makes the plan for a table whose names are in the log.
func planByLog(m *TableMap) (*Plan, error) {
	s, err := m.Shape()
	if err != nil {
		return nil, err
	}
	return NewPlan(m, s)
}

func (w *walker) event(h Header, format *Format, event []byte) {
	w.t.Helper()
	body, err := format.Body(event)
	switch {
	case h.Type == FormatDescriptionEvent:
		w.maps.Reset()
	case h.Type == TableMapEvent:
		_, err = w.maps.Put(body)
	case h.Type.IsRows():
		err = w.rows(h, body)
	case h.Type == QueryEvent:
		var q Query
		if q, err = ParseQuery(body); q.Status.Unknown != 0 {
			w.t.Errorf("%s: unknown status variable %d", q.Text, q.Status.Unknown)
		}
	case h.Type == GTIDEvent || h.Type == AnonymousGTIDEvent || h.Type == GTIDTaggedEvent:
		_, err = ParseGTID(h.Type, body)
	case !h.Type.Known():
		err = fmt.Errorf("unknown %s", h.Type)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *walker) rows(h Header, body []byte) error {
	ev, err := ParseRows(h.Type, body)
	if err != nil || ev.Dummy() {
		return err
	}
	m := w.maps.Get(ev.TableID)
	if w.plans[m] == nil {
		p, err := w.planFor(m)
		if err != nil {
			return err
		}
		if w.plans == nil {
			w.plans = map[*TableMap]*Plan{}
		}
		w.plans[m] = p
	}
	return w.plans[m].DecodeRows(&w.batch, &ev, &w.stamp)
}

// testText is the form in which values are compared with what a server says.
func testText(v schema.Value, c *schema.Column) string {
	if want := KindOf(c); v.Kind() != want && !v.IsNull() {
		return fmt.Sprintf("a %s, not a %s", v.Kind(), want)
	}
	switch v.Kind() {
	case schema.Null:
		return "NULL"
	case schema.String, schema.RawString, schema.Bytes, schema.Geometry, schema.Vector:
		return hex.EncodeToString(v.Bytes())
	case schema.Bit, schema.Enum, schema.Set:
		return strconv.FormatUint(v.Uint(), 10)
	case schema.Float32, schema.Float64:
		return string(appendJSONDouble(nil, v.Float()))
	}
	return string(v.AppendText(nil, c))
}
