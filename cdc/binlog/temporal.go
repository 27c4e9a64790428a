package binlog

import (
	"encoding/binary"
	"fmt"

	"github.com/towline/towline/schema"
)

// Bytes in front of the fraction, and the microseconds of its lowest digit.
var temporalOps = map[uint8]column{
	typeTime2:      {op: opTime, width: 3},
	typeDateTime2:  {op: opDateTime, width: 5},
	typeTimestamp2: {op: opTimestamp, width: 4},
}

// fractionUnits has, for 0 to 3 bytes of fraction, the unit they count in.
var fractionUnits = [4]uint32{0, 10000, 100, 1}

// compileTemporal makes the step for a temporal type of fsp digits.
func compileTemporal(t uint8, fsp uint32) (column, error) {
	if fsp > 6 {
		return column{}, fmt.Errorf("%d fractional digits", fsp)
	}
	c := temporalOps[t]
	n := uint8(fsp+1) / 2
	c.width += n
	c.fsp, c.fracBits, c.fracUnit = uint8(fsp), 8*n, fractionUnits[n]
	return c, nil
}

func (c *column) fraction(v uint64) uint32 {
	return uint32(v&(1<<(c.fracBits&31)-1)) * c.fracUnit
}

// dateTime decodes the big-endian number v of a DATETIME, whose highest bit is
// always set.
func (c *column) dateTime(v uint64) (schema.Value, bool) {
	micro := c.fraction(v)
	hi := v >> (c.fracBits & 31)
	const sign = 1 << 39
	return schema.MakePackedDateTime(hi&^sign, micro, int(c.fsp)), hi&sign != 0 && micro < 1e6
}

func (c *column) timestamp(v uint64) (schema.Value, bool) {
	micro := c.fraction(v)
	return schema.MakeTimestamp(int64(v>>(c.fracBits&31))*1e6+int64(micro), int(c.fsp)), micro < 1e6
}

// time decodes the number of a TIME: hours, minutes, seconds and fraction as
// one number, moved by half its range.
func (c *column) time(v uint64) (schema.Value, bool) {
	n := int64(v) - 1<<(23+c.fracBits&63)
	abs := n
	if n < 0 {
		abs = -n
	}
	micro := int64(c.fraction(uint64(abs)))
	hms := abs >> (c.fracBits & 31)
	micros := ((hms>>12)*3600+(hms>>6&63)*60+hms&63)*1e6 + micro
	if n < 0 {
		micros = -micros
	}
	return schema.MakeTime(micros, int(c.fsp)), micro < 1e6
}

func year(b uint8) schema.Value {
	if b == 0 {
		return schema.MakeNum(schema.Year, 0)
	}
	return schema.MakeNum(schema.Year, 1900+uint64(b))
}

// date decodes day, month and year in 5, 4 and 15 bits.
func date(v uint32) schema.Value {
	return schema.MakeDate(int(v>>9), int(v>>5&15), int(v&31))
}

// oldTime decodes the TIME of servers before 5.6: hhmmss in decimal, signed.
func oldTime(b []byte) (schema.Value, error) {
	n := int64(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) >> 8
	abs := n
	if n < 0 {
		abs = -n
	}
	micros := (abs/10000*3600 + abs/100%100*60 + abs%100) * 1e6
	if n < 0 {
		micros = -micros
	}
	return schema.MakeTime(micros, 0), nil
}

// oldDateTime decodes the DATETIME of servers before 5.6: yyyymmddhhmmss in
// decimal.
func oldDateTime(b []byte) (schema.Value, error) {
	n := binary.LittleEndian.Uint64(b)
	if n > 99991231235959 {
		return schema.Value{}, errTemporal
	}
	d, t := int(n/1e6), int(n%1e6)
	return schema.MakeDateTime(schema.Civil{Year: d / 10000, Month: d / 100 % 100, Day: d % 100,
		Hour: t / 10000, Minute: t / 100 % 100, Second: t % 100}, 0), nil
}
