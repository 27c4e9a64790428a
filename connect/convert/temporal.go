package convert

import (
	"fmt"
	"math"
	"strconv"

	"github.com/towline/towline/schema"
)

func (e *Encoder) appendTemporal(dst []byte, f *field, v schema.Value) ([]byte, error) {
	switch f.form {
	case formISODate, formISODateTime, formISOTime, formZoned:
		return e.appendISO(dst, f, v), nil
	}
	n, err := e.epochCount(f, v)
	if err != nil {
		return dst, err
	}
	return strconv.AppendInt(dst, n, 10), nil
}

// epochCount returns a date or a time of day as the number that its form is.
func (e *Encoder) epochCount(f *field, v schema.Value) (int64, error) {
	switch f.form {
	case formTimeMillis, formTimeMicros, formTimeNanos:
		return e.timeCount(f, v)
	}
	us, ok := v.EpochMicros()
	if !ok {
		return 0, fmt.Errorf("%s %s is no point in time; set %s=isostring, which holds it", v.Kind(), v.AppendText(nil, f.column), optTime)
	}
	switch f.form {
	case formDays:
		return us / dayMicros, nil // a date is a whole number of days
	case formMillis:
		return wholeMillis(f, v, us)
	case formNanos:
		if us > math.MaxInt64/1000 || us < math.MinInt64/1000 {
			return 0, fmt.Errorf("%s %s is beyond 64 bits of nanoseconds; set %s=microseconds or isostring",
				v.Kind(), v.AppendText(nil, f.column), optTime)
		}
		us *= 1000
	}
	return us, nil
}

// wholeMillis returns microseconds as milliseconds, if they are whole ones.
func wholeMillis(f *field, v schema.Value, us int64) (int64, error) {
	if us%1000 != 0 {
		return 0, fmt.Errorf("%s %s does not fit milliseconds; set %s=microseconds or isostring", v.Kind(), v.AppendText(nil, f.column), optTime)
	}
	return us / 1000, nil
}

const dayMicros = 86400e6

func (e *Encoder) timeCount(f *field, v schema.Value) (int64, error) {
	us := v.Micros()
	if e.opts.Time == TimeConnect && (us < 0 || us >= dayMicros) {
		return 0, fmt.Errorf("time %s is not within a day; set %s=microseconds or isostring", v.AppendText(nil, f.column), optTime)
	}
	switch f.form {
	case formTimeMillis:
		return wholeMillis(f, v, us)
	case formTimeNanos:
		us *= 1000 // 838 hours: far from the limit
	}
	return us, nil
}

// appendISO appends a temporal value as an ISO 8601 string. What the calendar
// does not have, zero and partial dates and times beyond a day, is written in
// the same way, so that nothing is lost. Local values have a Z as Debezium
// writes them, but for readers who would take it for UTC.
func (e *Encoder) appendISO(dst []byte, f *field, v schema.Value) []byte {
	dst = append(dst, '"')
	begin := len(dst)
	dst = v.AppendText(dst, f.column)
	if v.Kind() == schema.DateTime || v.Kind() == schema.Timestamp {
		dst[begin+10] = 'T'
	}
	if v.FSP() > 0 && f.form != formZoned && !e.opts.Readable {
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
		if dst[len(dst)-1] == '.' {
			dst = dst[:len(dst)-1]
		}
	}
	if f.form == formZoned || !e.opts.Readable {
		dst = append(dst, 'Z')
	}
	return append(dst, '"')
}
