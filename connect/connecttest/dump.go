package connecttest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// DumpBatch returns b as text, a line for each record and image, for golden
// files and differences.
func DumpBatch(b *connect.Batch) string {
	var s strings.Builder
	for i := range b.Records {
		dumpRecord(&s, &b.Records[i])
	}
	if b.Pos != nil {
		fmt.Fprintf(&s, "pos %q\n", b.Pos)
	}
	for _, e := range b.State {
		fmt.Fprintf(&s, "state %q %q\n", e.Key, e.Pos)
	}
	return s.String()
}

// DumpRecord returns r as text.
func DumpRecord(r *connect.Record) string {
	var s strings.Builder
	dumpRecord(&s, r)
	return s.String()
}

var flagNames = []struct {
	flag connect.Flags
	name string
}{{connect.TxEnd, "txend"}, {connect.KeyMoved, "keymoved"}, {connect.Unwrapped, "unwrapped"}, {connect.Reread, "reread"}, {connect.Exact, "exact"},
	{connect.Dropped, "dropped"}, {connect.Unsettled, "unsettled"}, {connect.GivenUp, "givenup"}, {connect.Again, "again"}, {connect.Half, "half"}}

func dumpRecord(s *strings.Builder, r *connect.Record) {
	table := "no table"
	if r.Table != nil {
		table = r.Table.String()
	}
	fmt.Fprintf(s, "%c %s %s/%d seq=%d time=%d row=%d", r.Op, table, r.Topic, r.Partition, r.Seq, r.Time, r.Row)
	rest := r.Flags
	for _, f := range flagNames {
		if r.Flags&f.flag != 0 {
			s.WriteString(" " + f.name)
			rest &^= f.flag
		}
	}
	if rest != 0 {
		fmt.Fprintf(s, " flags=%#x", uint16(rest))
	}
	if o := r.Origin; o != nil {
		fmt.Fprintf(s, " origin=%d:%d:%s:%d:%d:%s", o.ServerID, o.Thread, o.File, o.Pos, o.Time, o.AppendGTID(nil))
		if o.Snapshot {
			s.WriteString(":snapshot")
		}
	}
	for _, h := range r.Headers {
		fmt.Fprintf(s, " %s=%q", h.Key, h.Value)
	}
	s.WriteByte('\n')
	dumpRow(s, "  before", r.Table, r.Before)
	dumpRow(s, "  after ", r.Table, r.After)
}

func dumpRow(s *strings.Builder, name string, t *schema.Table, row schema.Row) {
	if row == nil {
		return
	}
	s.WriteString(name)
	for i := range row {
		c := &schema.Column{Name: "?"} // of a row that does not fit its table
		if t != nil && i < len(t.Columns) {
			c = &t.Columns[i]
		}
		fmt.Fprintf(s, " %s=%s", c.Name, DumpValue(row[i], c))
	}
	s.WriteByte('\n')
}

// DumpValue returns v as text: its kind, scale and value.
func DumpValue(v schema.Value, c *schema.Column) string {
	kind := v.Kind()
	if kind == schema.Null || kind == schema.Absent {
		return kind.String()
	}
	s := kind.String()
	if _, aux, _ := v.Raw(); aux != 0 {
		s += fmt.Sprintf("(%d)", aux)
	}
	switch kind {
	case schema.Enum, schema.Set, schema.Bit:
		return s + fmt.Sprintf(":%d", v.Uint())
	case schema.Bytes, schema.RawString, schema.Geometry, schema.Vector:
		return s + fmt.Sprintf(":%x", v.Bytes())
	case schema.String, schema.JSON:
		return s + fmt.Sprintf(":%q", v.Bytes())
	}
	return s + ":" + string(v.AppendText(nil, c))
}

// EqualBatches returns how got differs from want, "" if it does not: the
// first record that does, Pos, or State. Offsets are left out, which a worker
// sets, and so is whether Headers are nil or empty.
func EqualBatches(got, want *connect.Batch) string {
	for i := range min(len(got.Records), len(want.Records)) {
		if !EqualRecords(&got.Records[i], &want.Records[i]) {
			return fmt.Sprintf("record %d is\n%swant\n%s", i, DumpRecord(&got.Records[i]), DumpRecord(&want.Records[i]))
		}
	}
	switch {
	case len(got.Records) != len(want.Records):
		return fmt.Sprintf("%d records, want %d", len(got.Records), len(want.Records))
	case !bytes.Equal(got.Pos, want.Pos) || (got.Pos == nil) != (want.Pos == nil):
		return fmt.Sprintf("pos is %q, want %q", got.Pos, want.Pos)
	case len(got.State) != len(want.State):
		return fmt.Sprintf("%d entries of state, want %d", len(got.State), len(want.State))
	}
	for i, e := range got.State {
		if w := want.State[i]; e.Key != w.Key || !bytes.Equal(e.Pos, w.Pos) || (e.Pos == nil) != (w.Pos == nil) {
			return fmt.Sprintf("state %d is %q, want %q", i, e, w)
		}
	}
	return ""
}

// EqualRecords reports whether a and b are the same change of the same table
// at the same place, with the same images and headers.
func EqualRecords(a, b *connect.Record) bool {
	if a.Op != b.Op || a.Flags != b.Flags || a.Topic != b.Topic || a.Partition != b.Partition ||
		a.Seq != b.Seq || a.Time != b.Time || a.Row != b.Row || a.Table.ID() != b.Table.ID() {
		return false
	}
	if (a.Origin == nil) != (b.Origin == nil) || a.Origin != nil && *a.Origin != *b.Origin {
		return false
	}
	return a.Before.Equal(b.Before) && a.After.Equal(b.After) && diffHeaders(a.Headers, b.Headers) == ""
}

// CopyBatch appends copies of the records of src to dst, in dst's memory.
func CopyBatch(dst, src *connect.Batch) {
	var from, to *connect.Origin
	for i := range src.Records {
		s := &src.Records[i]
		r := dst.Add()
		*r = *s
		if s.Origin != nil {
			if s.Origin != from {
				from, to = s.Origin, dst.NewOrigin()
				*to = *from
			}
			r.Origin = to
		}
		if s.Before != nil {
			r.Before = copyRow(dst, s.Before)
		}
		if s.After != nil {
			r.After = copyRow(dst, s.After)
		}
		if s.Headers != nil {
			r.Headers = dst.NewHeaders(len(s.Headers))
			for k, h := range s.Headers {
				v := dst.Alloc(len(h.Value))
				copy(v, h.Value)
				r.Headers[k] = connect.Header{Key: h.Key, Value: v}
			}
		}
	}
	dst.Pos = append(dst.Pos[:0:0], src.Pos...)
	dst.State = append(dst.State, src.State...)
	dst.Grow(src.Size())
}

// Scribble overwrites all bytes, values and origins that b's records point to,
// so that whoever kept some of it is found. b is to be Reset next.
func Scribble(b *connect.Batch) {
	for i := range b.Records {
		r := &b.Records[i]
		for _, row := range []schema.Row{r.Before, r.After} {
			for k := range row {
				if v := row[k]; v.Size() > 0 {
					_, _, p := v.Raw()
					for j := range p {
						p[j] = 0xdb
					}
				}
				row[k] = schema.MakeUint(0xdbdbdbdbdbdbdbdb)
			}
		}
		if r.Origin != nil {
			*r.Origin = connect.Origin{File: "scribbled"}
		}
		for k := range r.Headers {
			r.Headers[k] = connect.Header{Key: "scribbled"}
		}
	}
}
