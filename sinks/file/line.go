package file

import (
	"strconv"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/convert"
)

// maxKeep is how large the buffer of lines may stay between batches.
const maxKeep = 8 << 20

// liner turns records into lines.
type liner struct {
	enc    *convert.Encoder
	format string
	buf    []byte
	record connect.Record // scratch: a record as its format wants it
}

// encode returns the lines of b, valid until the next call, and the records
// that have no line.
func (l *liner) encode(b *connect.Batch) ([]byte, *connect.BatchError) {
	if cap(l.buf) > maxKeep {
		l.buf = nil
	}
	l.buf = l.buf[:0]
	var failed *connect.BatchError
	for i := range b.Records {
		r := &b.Records[i]
		if r.Op == connect.OpSchema {
			continue
		}
		begin := len(l.buf)
		buf, err := l.appendLine(l.buf, r)
		if err != nil {
			if failed == nil {
				failed = &connect.BatchError{}
			}
			failed.Failed = append(failed.Failed, connect.RecordError{Index: i, Err: err})
			l.buf = l.buf[:begin]
			continue
		}
		l.buf = append(buf, '\n')
	}
	l.record = connect.Record{} // nothing of the batch stays (invariant 7)
	return l.buf, failed
}

func (l *liner) appendLine(dst []byte, r *connect.Record) ([]byte, error) {
	if l.format == formatValue {
		return l.enc.AppendValue(dst, r)
	}
	dst = convert.AppendString(append(dst, `{"topic":`...), r.Topic)
	dst = strconv.AppendInt(append(dst, `,"partition":`...), int64(r.Partition), 10)
	dst = strconv.AppendInt(append(dst, `,"offset":`...), r.Offset, 10)
	dst = strconv.AppendUint(append(dst, `,"seq":"`...), r.Seq, 10)
	dst = append(dst, '"')
	if l.format == formatFlat {
		dst = append(append(append(dst, `,"op":"`...), byte(r.Op)), '"')
	}
	dst = append(dst, `,"key":`...)
	n := len(dst)
	dst, err := l.enc.AppendKey(dst, r)
	if err != nil {
		return dst, err
	}
	if len(dst) == n {
		dst = append(dst, "null"...)
	}
	if l.format == formatFlat {
		dst, err = l.appendRow(append(dst, `,"row":`...), r)
	} else {
		dst, err = l.enc.AppendValue(append(dst, `,"value":`...), r)
	}
	return append(dst, '}'), err
}

// appendRow appends the row that r is about.
func (l *liner) appendRow(dst []byte, r *connect.Record) ([]byte, error) {
	if r.Op == connect.OpMessage {
		return l.enc.AppendValue(dst, r)
	}
	if !r.Op.HasRow() {
		return append(dst, "null"...), nil
	}
	l.record = *r
	l.record.Flags |= connect.Unwrapped
	if r.After == nil {
		l.record.After = r.Before
	}
	return l.enc.AppendValue(dst, &l.record)
}
