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
	case formTimeMillis, formTimeMicros, formTimeNanos:
		return e.appendTime(dst, f, v)
	}
	us, ok := v.EpochMicros()
	if !ok {
		return dst, fmt.Errorf("%s %s is no point in time; set %s=isostring, which holds it", v.Kind(), v.AppendText(nil, f.column), optTime)
	}
	switch f.form {
	case formDays:
		return strconv.AppendInt(dst, us/dayMicros, 10), nil // a date is a whole number of days
	case formMillis:
		return appendMillis(dst, f, v, us)
	case formNanos:
		if us > math.MaxInt64/1000 || us < math.MinInt64/1000 {
			return dst, fmt.Errorf("%s %s is beyond 64 bits of nanoseconds; set %s=microseconds or isostring",
				v.Kind(), v.AppendText(nil, f.column), optTime)
		}
		us *= 1000
	}
	return strconv.AppendInt(dst, us, 10), nil
}

// appendMillis appends microseconds as milliseconds, if they are whole ones.
func appendMillis(dst []byte, f *field, v schema.Value, us int64) ([]byte, error) {
	if us%1000 != 0 {
		return dst, fmt.Errorf("%s %s does not fit milliseconds; set %s=microseconds or isostring", v.Kind(), v.AppendText(nil, f.column), optTime)
	}
	return strconv.AppendInt(dst, us/1000, 10), nil
}

const dayMicros = 86400e6

func (e *Encoder) appendTime(dst []byte, f *field, v schema.Value) ([]byte, error) {
	us := v.Micros()
	if e.opts.Time == TimeConnect && (us < 0 || us >= dayMicros) {
		return dst, fmt.Errorf("time %s is not within a day; set %s=microseconds or isostring", v.AppendText(nil, f.column), optTime)
	}
	switch f.form {
	case formTimeMillis:
		return appendMillis(dst, f, v, us)
	case formTimeNanos:
		us *= 1000 // 838 hours: far from the limit
	}
	return strconv.AppendInt(dst, us, 10), nil
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
