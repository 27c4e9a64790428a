package convert

import (
	"fmt"
	"math"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// temporalReader returns the reader of a semantic type of time.
func temporalReader(name string) reader {
	switch name {
	case "io.debezium.time.Date", "org.apache.kafka.connect.data.Date":
		return readDays
	case "io.debezium.time.Time", "org.apache.kafka.connect.data.Time":
		return readTime(1000, 1)
	case "io.debezium.time.MicroTime":
		return readTime(1, 1)
	case "io.debezium.time.NanoTime":
		return readTime(1, 1000)
	case "io.debezium.time.Timestamp", "org.apache.kafka.connect.data.Timestamp":
		return readEpoch(1000, 1)
	case "io.debezium.time.MicroTimestamp":
		return readEpoch(1, 1)
	case "io.debezium.time.NanoTimestamp":
		return readEpoch(1, 1000)
	case "io.debezium.time.IsoDate":
		return isoReader(parseISODate)
	case "io.debezium.time.IsoTime":
		return isoReader(parseISOTime)
	case "io.debezium.time.IsoTimestamp":
		return isoReader(parseISODateTime)
	case "io.debezium.time.ZonedTimestamp":
		return isoReader(parseZoned)
	}
	return nil
}

// micros reads a number and makes it microseconds.
func micros(s *scanner, mul, div int64) (int64, error) {
	b, err := s.number()
	if err != nil {
		return 0, err
	}
	n, err := integer(b, 64)
	if err != nil {
		return 0, err
	}
	return microsOf(n, mul, div)
}

// microsOf returns n units of mul/div microseconds as microseconds.
func microsOf(n, mul, div int64) (int64, error) {
	if n > math.MaxInt64/mul || n < math.MinInt64/mul || n%div != 0 {
		return 0, fmt.Errorf("%d is no whole number of microseconds", n)
	}
	return n * mul / div, nil
}

func readDays(_ *connect.Batch, _ *decoder, s *scanner, _ *schema.Column) (schema.Value, error) {
	us, err := micros(s, dayMicros, 1)
	if err != nil {
		return schema.Value{}, err
	}
	return dateAt(us)
}

func dateAt(us int64) (schema.Value, error) {
	c, err := civil(us)
	return schema.MakeDate(c.Year, c.Month, c.Day), err
}

// civil returns the date and time of us, within the years that MySQL has.
func civil(us int64) (schema.Civil, error) {
	const first, last = -62167219200e6, 253402300799999999
	if us < first || us > last {
		return schema.Civil{}, fmt.Errorf("%d microseconds are outside of the years 0 to 9999", us)
	}
	return schema.CivilFromMicros(us), nil
}

func readTime(mul, div int64) reader {
	return func(_ *connect.Batch, _ *decoder, s *scanner, c *schema.Column) (schema.Value, error) {
		us, err := micros(s, mul, div)
		return schema.MakeTime(us, c.Scale), err
	}
}

func readEpoch(mul, div int64) reader {
	return func(_ *connect.Batch, _ *decoder, s *scanner, c *schema.Column) (schema.Value, error) {
		us, err := micros(s, mul, div)
		if err != nil {
			return schema.Value{}, err
		}
		return pointInTime(us, c)
	}
}

func pointInTime(us int64, c *schema.Column) (schema.Value, error) {
	if c.Type == schema.TypeTimestamp {
		return schema.MakeTimestamp(us, c.Scale), nil
	}
	cv, err := civil(us)
	return schema.MakeDateTime(cv, c.Scale), err
}

// isoReader reads a string that parse knows.
func isoReader(parse func(b []byte, c *schema.Column) (schema.Value, error)) reader {
	return func(_ *connect.Batch, _ *decoder, s *scanner, c *schema.Column) (schema.Value, error) {
		b, _, err := s.quoted()
		if err != nil {
			return schema.Value{}, err
		}
		return parse(b, c)
	}
}

// local drops the Z that local dates and times have.
func local(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == 'Z' {
		b = b[:n-1]
	}
	return b
}

func parseISODate(b []byte, _ *schema.Column) (schema.Value, error) {
	b = local(b)
	c, rest, ok := parseDate(b)
	if !ok || len(rest) > 0 {
		return schema.Value{}, fmt.Errorf("%q is not a date", b)
	}
	return schema.MakeDate(c.Year, c.Month, c.Day), nil
}

func parseISODateTime(b []byte, c *schema.Column) (schema.Value, error) {
	b = local(b)
	cv, rest, ok := parseDateTime(b)
	if !ok || len(rest) > 0 {
		return schema.Value{}, fmt.Errorf("%q is not a date and time", b)
	}
	return schema.MakeDateTime(cv, c.Scale), nil
}

func parseISOTime(b []byte, c *schema.Column) (schema.Value, error) {
	b = local(b)
	t := b
	neg := len(t) > 0 && t[0] == '-'
	if neg {
		t = t[1:]
	}
	digits := 0
	for digits < len(t) && digits < 4 && t[digits] >= '0' && t[digits] <= '9' {
		digits++
	}
	hours, t, ok := fixed(t, digits)
	minutes, seconds, us, rest, ok2 := parseMinutes(t)
	if !ok || !ok2 || digits < 2 || len(rest) > 0 {
		return schema.Value{}, fmt.Errorf("%q is not a time", b)
	}
	total := (int64(hours)*3600+int64(minutes)*60+int64(seconds))*1e6 + int64(us)
	if neg {
		total = -total
	}
	return schema.MakeTime(total, c.Scale), nil
}

// parseZoned reads an instant with any offset. The zero timestamp is the zero
// date.
func parseZoned(raw []byte, c *schema.Column) (schema.Value, error) {
	cv, rest, ok := parseDateTime(raw)
	offset, zoned := parseOffset(rest)
	if !ok || !zoned {
		return schema.Value{}, fmt.Errorf("%q is not a point in time", raw)
	}
	v := schema.MakeDateTime(cv, c.Scale)
	us, ok := v.EpochMicros()
	if !ok && !cv.IsZero() {
		return schema.Value{}, fmt.Errorf("%q is not a point in time", raw)
	}
	if us -= offset; c.Type == schema.TypeTimestamp {
		return schema.MakeTimestamp(us, c.Scale), nil
	}
	if !ok {
		return v, nil
	}
	cv, err := civil(us)
	return schema.MakeDateTime(cv, c.Scale), err
}

// fixed reads a number of exactly n digits.
func fixed(b []byte, n int) (v int, rest []byte, ok bool) {
	if n == 0 || len(b) < n {
		return 0, b, false
	}
	for _, c := range b[:n] {
		if c < '0' || c > '9' {
			return 0, b, false
		}
		v = v*10 + int(c-'0')
	}
	return v, b[n:], true
}

// then reads a byte of punctuation and a number of two digits up to most.
func then(b []byte, c byte, most int) (v int, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != c {
		return 0, b, false
	}
	v, rest, ok = fixed(b[1:], 2)
	return v, rest, ok && v <= most
}

func parseDate(b []byte) (c schema.Civil, rest []byte, ok bool) {
	if c.Year, b, ok = fixed(b, 4); !ok {
		return c, b, false
	}
	if c.Month, b, ok = then(b, '-', 12); !ok {
		return c, b, false
	}
	c.Day, b, ok = then(b, '-', 31)
	return c, b, ok
}

func parseDateTime(b []byte) (c schema.Civil, rest []byte, ok bool) {
	if c, b, ok = parseDate(b); !ok {
		return c, b, false
	}
	if c.Hour, b, ok = then(b, 'T', 23); !ok {
		return c, b, false
	}
	c.Minute, c.Second, c.Micro, b, ok = parseMinutes(b)
	return c, b, ok
}

// parseMinutes reads :mm:ss and a fraction of up to six digits.
func parseMinutes(b []byte) (minutes, seconds, us int, rest []byte, ok bool) {
	if minutes, b, ok = then(b, ':', 59); !ok {
		return 0, 0, 0, b, false
	}
	if len(b) == 0 || b[0] != ':' { // whole minutes
		return minutes, 0, 0, b, true
	}
	if seconds, b, ok = then(b, ':', 59); !ok || len(b) == 0 || b[0] != '.' {
		return minutes, seconds, 0, b, ok
	}
	b = b[1:]
	unit := 100000
	for ; len(b) > 0 && b[0] >= '0' && b[0] <= '9'; b, unit = b[1:], unit/10 {
		if unit == 0 && b[0] != '0' {
			return 0, 0, 0, b, false // finer than microseconds
		}
		us += int(b[0]-'0') * unit
	}
	return minutes, seconds, us, b, true
}

// parseOffset reads Z or an offset from UTC, in microseconds.
func parseOffset(b []byte) (us int64, ok bool) {
	if len(b) == 1 && b[0] == 'Z' {
		return 0, true
	}
	if len(b) < 3 {
		return 0, false
	}
	hours, rest, ok := fixed(b[1:], 2)
	minutes := 0
	if ok && len(rest) > 0 {
		minutes, rest, ok = then(rest, ':', 59)
	}
	us = (int64(hours)*60 + int64(minutes)) * 60e6
	if b[0] == '-' {
		us = -us
	} else if b[0] != '+' {
		return 0, false
	}
	return us, ok && len(rest) == 0 && hours < 24
}
