package jdbc

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"

	"github.com/towline/towline/schema"
)

// errCell says that a value is not written as part of a row event. The server
// takes what such an event holds as it is, so everything that it would check
// or change in a statement is left to one.
var errCell = errors.New("left to a statement")

// Types of columns in a row event.
const (
	logTiny       = 1
	logShort      = 2
	logLong       = 3
	logFloat      = 4
	logDouble     = 5
	logLongLong   = 8
	logInt24      = 9
	logDate       = 10
	logYear       = 13
	logVarchar    = 15
	logBit        = 16
	logTimestamp2 = 17
	logDateTime2  = 18
	logTime2      = 19
	logVector     = 242
	logJSON       = 245
	logNewDecimal = 246
	logEnum       = 247
	logSet        = 248
	logBlob       = 252
	logString     = 254
)

// charsetRule says which text a column takes as bytes.
type charsetRule uint8

const (
	textUTF8 charsetRule = iota
	textBMP              // utf8mb3: nothing beyond the Basic Multilingual Plane
	textASCII
	textLatin1
)

// cell says how the values of a column of the target stand in a row event.
type cell struct {
	src      int // in rows
	log      byte
	meta     [2]byte
	metaLen  int
	nullable bool

	typ      schema.Type
	unsigned bool
	size     int // bytes of a number or of a length; fractional digits
	// most is how many bytes a string may have, or the largest number of an
	// ENUM, SET or BIT.
	most      uint64
	chars     int // that a string may have, 0: as many as fit
	rule      charsetRule
	precision int
	scale     int
}

// newCell returns how column d of the target takes values of s, which is
// column src of rows; ok is false where it takes a statement.
func newCell(src int, s, d *schema.Column, f fit, spelled form, cs *charsets) (c cell, ok bool) {
	c = cell{src: src, typ: d.Type, nullable: d.Nullable, unsigned: d.Unsigned}
	if f == lossy || f == foreign || spelled != formPlain {
		return c, false
	}
	switch t := d.Type; {
	case t.IsInteger() && s.Type.IsInteger():
		c.setInt()
		ok = true
	case t != s.Type && !(t.IsText() && s.Type.IsText()) && !(t.IsBinary() && s.Type.IsBinary()):
	case t.IsText():
		ok = c.setText(d, cs)
	case t.IsBinary():
		c.setBytes(uint64(d.Length))
		ok = true
	default:
		ok = c.setOther(s, d)
	}
	return c, ok
}

func (c *cell) setInt() {
	ints := map[schema.Type][2]int{schema.TypeTinyInt: {logTiny, 1}, schema.TypeSmallInt: {logShort, 2}, schema.TypeMediumInt: {logInt24, 3},
		schema.TypeInt: {logLong, 4}, schema.TypeBigInt: {logLongLong, 8}}
	x := ints[c.typ]
	c.log, c.size = byte(x[0]), x[1]
}

func (c *cell) setText(d *schema.Column, cs *charsets) bool {
	switch d.Charset {
	case "utf8mb4":
	case "utf8mb3":
		c.rule = textBMP
	case "ascii":
		c.rule = textASCII
	case "latin1":
		c.rule = textLatin1
	default:
		return false
	}
	if d.Type == schema.TypeChar || d.Type == schema.TypeVarchar {
		c.chars = max(d.Length, 1)
	}
	c.setBytes(uint64(d.Length) * uint64(cs.charBytes(d)))
	return true
}

// setBytes is for strings; most is what CHAR, VARCHAR and their like hold.
func (c *cell) setBytes(most uint64) {
	c.most = most
	switch c.typ {
	case schema.TypeChar, schema.TypeBinary:
		c.log = logString
		c.setMeta(byte(logString^(most&0x300)>>4), byte(most))
		c.size = 1 + int(min(most>>8, 1))
	case schema.TypeVarchar, schema.TypeVarbinary:
		c.log = logVarchar
		c.setMeta(byte(most), byte(most>>8))
		c.size = 1 + int(min(most>>8, 1))
	case schema.TypeTinyText, schema.TypeTinyBlob:
		c.setBlob(logBlob, 1)
	case schema.TypeText, schema.TypeBlob:
		c.setBlob(logBlob, 2)
	case schema.TypeMediumText, schema.TypeMediumBlob:
		c.setBlob(logBlob, 3)
	default:
		c.setBlob(logBlob, 4)
	}
}

func (c *cell) setBlob(log byte, size int) {
	c.log, c.size, c.most = log, size, 1<<(8*size)-1
	c.setMeta(byte(size))
}

func (c *cell) setMeta(b ...byte) { c.metaLen = copy(c.meta[:], b) }

// setOther is for types that only themselves go into.
func (c *cell) setOther(s, d *schema.Column) bool {
	switch d.Type {
	case schema.TypeFloat, schema.TypeDouble:
		return c.setFloat(s, d)
	case schema.TypeDecimal:
		c.log, c.precision, c.scale = logNewDecimal, d.Precision, d.Scale
		c.setMeta(byte(d.Precision), byte(d.Scale))
	case schema.TypeBit:
		c.log, c.size, c.most = logBit, (d.Length+7)/8, math.MaxUint64>>(64-d.Length)
		c.setMeta(byte(d.Length%8), byte(d.Length/8))
	case schema.TypeYear:
		c.log = logYear
	case schema.TypeDate:
		c.log = logDate
	case schema.TypeTime, schema.TypeDateTime, schema.TypeTimestamp:
		c.log = map[schema.Type]byte{schema.TypeTime: logTime2, schema.TypeDateTime: logDateTime2, schema.TypeTimestamp: logTimestamp2}[d.Type]
		c.size = d.Scale
		c.setMeta(byte(d.Scale))
	case schema.TypeEnum:
		c.log, c.most, c.size = logString, uint64(len(d.Elements)), 1+len(d.Elements)/256
		c.setMeta(logEnum, byte(c.size))
	case schema.TypeSet:
		c.log, c.most, c.size = logString, math.MaxUint64>>(64-len(d.Elements)), (len(d.Elements)+7)/8
		if c.size > 4 {
			c.size = 8
		}
		c.setMeta(logSet, byte(c.size))
	case schema.TypeJSON:
		c.setBlob(logJSON, 4)
	case schema.TypeVector:
		c.setBlob(logVector, 4)
		c.most = uint64(4 * d.Length)
	default: // GEOMETRY: the server looks into it
		return false
	}
	return true
}

func (c *cell) setFloat(s, d *schema.Column) bool {
	c.log, c.size = logFloat, 4
	if d.Type == schema.TypeDouble {
		c.log, c.size = logDouble, 8
	}
	c.setMeta(byte(c.size))
	return (!d.Unsigned || s.Unsigned) && (d.Precision == 0 || d.Precision == s.Precision && d.Scale == s.Scale)
}

// append appends a value that is not NULL.
func (c *cell) append(dst []byte, v schema.Value, e *jsonEncoder) ([]byte, error) {
	switch k := v.Kind(); {
	case k == schema.String && c.typ.IsText():
		return c.appendText(dst, v.Bytes())
	case k == schema.Bytes && c.typ.IsBinary():
		return c.appendBytes(dst, v.Bytes())
	case k == schema.Int && c.typ.IsInteger():
		return c.appendInt(dst, v.Int())
	case k == schema.Uint && c.typ.IsInteger():
		return c.appendUint(dst, v.Uint())
	case k == schema.JSON && c.typ == schema.TypeJSON:
		start := len(dst)
		dst, err := e.append(append(dst, 0, 0, 0, 0), v.Bytes())
		if err == nil {
			binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
		}
		return dst, err
	}
	return c.appendOther(dst, v)
}

func (c *cell) appendOther(dst []byte, v schema.Value) ([]byte, error) {
	k := v.Kind()
	switch {
	case k == schema.Decimal && c.typ == schema.TypeDecimal:
		return c.appendDecimal(dst, v)
	case k == schema.Float32 && c.typ == schema.TypeFloat:
		f := v.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, errCell
		}
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(f))), nil
	case k == schema.Float64 && c.typ == schema.TypeDouble:
		f := v.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, errCell
		}
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f)), nil
	case k == schema.Enum && c.typ == schema.TypeEnum, k == schema.Set && c.typ == schema.TypeSet:
		if v.Uint() > c.most {
			return dst, errCell
		}
		return appendLittle(dst, v.Uint(), c.size), nil
	case k == schema.Bit && c.typ == schema.TypeBit:
		if v.Uint() > c.most {
			return dst, errCell
		}
		return appendBig(dst, v.Uint(), c.size), nil
	case k == schema.Vector && c.typ == schema.TypeVector:
		return c.appendVector(dst, v.Bytes())
	}
	return c.appendTemporal(dst, v)
}

// integers

func (c *cell) appendInt(dst []byte, n int64) ([]byte, error) {
	if c.unsigned {
		if n < 0 {
			return dst, errCell
		}
		return c.appendUint(dst, uint64(n))
	}
	if shift := 64 - 8*c.size; n<<shift>>shift != n {
		return dst, errCell
	}
	return appendLittle(dst, uint64(n), c.size), nil
}

func (c *cell) appendUint(dst []byte, n uint64) ([]byte, error) {
	bits := 8 * c.size
	if !c.unsigned {
		bits--
	}
	if bits < 64 && n>>bits != 0 {
		return dst, errCell
	}
	return appendLittle(dst, n, c.size), nil
}

// appendLittle appends the low bytes of n, the lowest first.
func appendLittle(dst []byte, n uint64, size int) []byte {
	switch size {
	case 8:
		return binary.LittleEndian.AppendUint64(dst, n)
	case 4:
		return binary.LittleEndian.AppendUint32(dst, uint32(n))
	}
	for range size {
		dst = append(dst, byte(n))
		n >>= 8
	}
	return dst
}

// appendBig appends the low bytes of n, the highest first.
func appendBig(dst []byte, n uint64, size int) []byte {
	for i := size - 1; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}

// strings

func (c *cell) appendText(dst, b []byte) ([]byte, error) {
	if c.typ == schema.TypeChar { // stands there without the spaces that fill it up
		for len(b) > 0 && b[len(b)-1] == ' ' {
			b = b[:len(b)-1]
		}
	}
	high := ascii(b)
	switch {
	case high == len(b):
		if c.chars > 0 && len(b) > c.chars {
			return dst, errCell
		}
		return c.appendBytes(dst, b)
	case !utf8.Valid(b[high:]), c.rule == textASCII, c.chars > 0 && high+utf8.RuneCount(b[high:]) > c.chars:
		return dst, errCell
	case c.rule == textLatin1:
		return c.appendLatin1(dst, b)
	case c.rule == textBMP:
		for _, x := range b[high:] {
			if x >= 0xf0 {
				return dst, errCell
			}
		}
	}
	return c.appendBytes(dst, b)
}

// ascii returns how many bytes at the beginning are ASCII.
func ascii(b []byte) int {
	i := 0
	for ; i+8 <= len(b) && binary.LittleEndian.Uint64(b[i:])&0x8080808080808080 == 0; i += 8 {
	}
	for ; i < len(b) && b[i] < utf8.RuneSelf; i++ {
	}
	return i
}

// appendLatin1 appends text of ASCII and the characters that have the same
// number in Unicode as in the server's latin1.
func (c *cell) appendLatin1(dst, b []byte) ([]byte, error) {
	n := uint64(utf8.RuneCount(b))
	if n > c.most {
		return dst, errCell
	}
	dst = appendLittle(dst, n, c.size)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r >= 0x80 && r < 0xa0 || r > 0xff {
			return dst, errCell
		}
		dst = append(dst, byte(r))
		b = b[size:]
	}
	return dst, nil
}

// appendBytes appends a length and b. A BINARY that is too short the server
// fills up.
func (c *cell) appendBytes(dst, b []byte) ([]byte, error) {
	if uint64(len(b)) > c.most {
		return dst, errCell
	}
	return append(appendLittle(dst, uint64(len(b)), c.size), b...), nil
}

func (c *cell) appendVector(dst, b []byte) ([]byte, error) {
	if len(b) == 0 || len(b)%4 != 0 {
		return dst, errCell
	}
	for i := 0; i < len(b); i += 4 {
		if binary.LittleEndian.Uint32(b[i:])&0x7f800000 == 0x7f800000 { // no number
			return dst, errCell
		}
	}
	return c.appendBytes(dst, b)
}

// decimals

// digitBytes is how many bytes a group of up to nine digits takes.
var digitBytes = [10]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

// appendDecimal appends groups of nine digits, counted from the point. The
// first bit is the sign, so that bytes order as the numbers do.
func (c *cell) appendDecimal(dst []byte, v schema.Value) ([]byte, error) {
	var text, digits [100]byte
	t := v.AppendDecimal(text[:0])
	neg := len(t) > 0 && t[0] == '-'
	if neg {
		t = t[1:]
	}
	whole := len(t)
	if v.Scale() > 0 {
		whole -= v.Scale() + 1
	}
	before := c.precision - c.scale
	if whole == 1 && t[0] == '0' {
		whole, t = 0, t[1:]
	}
	if whole < 0 || whole > before || v.Scale() > c.scale || neg && c.unsigned {
		return dst, errCell
	}
	d := digits[:before+c.scale]
	for i := range d {
		d[i] = '0'
	}
	copy(d[before-whole:], t[:whole])
	if v.Scale() > 0 {
		copy(d[before:], t[whole+1:])
	}
	start := len(dst)
	for n := before % 9; len(d) > c.scale; n = 9 {
		if dst, d = appendDigits(dst, d, n); d == nil {
			return dst, errCell
		}
	}
	for len(d) > 0 {
		if dst, d = appendDigits(dst, d, min(9, len(d))); d == nil {
			return dst, errCell
		}
	}
	if neg {
		for i := range dst[start:] {
			dst[start+i] = ^dst[start+i]
		}
	}
	dst[start] ^= 0x80
	return dst, nil
}

// appendDigits appends the first n of some digits as a number; what is left of
// them is nil where one is no digit.
func appendDigits(dst, digits []byte, n int) ([]byte, []byte) {
	var x uint64
	for _, c := range digits[:n] {
		if c < '0' || c > '9' {
			return dst, nil
		}
		x = x*10 + uint64(c-'0')
	}
	return appendBig(dst, x, digitBytes[n]), digits[n:]
}

// times

func (c *cell) appendTemporal(dst []byte, v schema.Value) ([]byte, error) {
	switch k := v.Kind(); {
	case k == schema.Year && c.typ == schema.TypeYear:
		y := v.Uint()
		if y == 0 {
			return append(dst, 0), nil
		}
		if y < 1901 || y > 2155 {
			return dst, errCell
		}
		return append(dst, byte(y-1900)), nil
	case k == schema.Date && c.typ == schema.TypeDate:
		d := v.Civil()
		if d.Year > 9999 || d.Day > 31 {
			return dst, errCell
		}
		return appendLittle(dst, uint64(d.Year<<9|d.Month<<5|d.Day), 3), nil
	case k == schema.DateTime && c.typ == schema.TypeDateTime && v.FSP() <= c.size:
		return c.appendDateTime(dst, v)
	case k == schema.Timestamp && c.typ == schema.TypeTimestamp && v.FSP() <= c.size:
		us := v.Micros()
		if us < 0 || us/1e6 > math.MaxInt32 {
			return dst, errCell
		}
		return c.appendFraction(appendBig(dst, uint64(us/1e6), 4), us%1e6), nil
	case k == schema.Time && c.typ == schema.TypeTime && v.FSP() <= c.size:
		return c.appendTime(dst, v.Micros())
	}
	return dst, errCell
}

func (c *cell) appendDateTime(dst []byte, v schema.Value) ([]byte, error) {
	d := v.Civil()
	if d.Year > 9999 || d.Day > 31 || d.Hour > 23 || d.Minute > 59 || d.Second > 59 || d.Micro > 999999 {
		return dst, errCell
	}
	ymd := uint64(d.Year*13+d.Month)<<5 | uint64(d.Day)
	hms := uint64(d.Hour<<12 | d.Minute<<6 | d.Second)
	return c.appendFraction(appendBig(dst, 1<<39|ymd<<17|hms, 5), int64(d.Micro)), nil
}

// appendFraction appends microseconds in as many bytes as the column's digits
// take.
func (c *cell) appendFraction(dst []byte, micros int64) []byte {
	switch (c.size + 1) / 2 {
	case 1:
		return append(dst, byte(micros/10000))
	case 2:
		return appendBig(dst, uint64(micros/100), 2)
	case 3:
		return appendBig(dst, uint64(micros), 3)
	}
	return dst
}

// maxTime is 838:59:59, beyond which no TIME goes.
const maxTime = (838*3600 + 59*60 + 59) * 1000000

// appendTime appends a TIME: the fields and the microseconds as one signed
// number, of which the microseconds are cut short with their own sign.
func (c *cell) appendTime(dst []byte, micros int64) ([]byte, error) {
	neg := micros < 0
	if neg {
		micros = -micros
	}
	if micros > maxTime {
		return dst, errCell
	}
	secs := micros / 1e6
	n := (secs/3600<<12|secs/60%60<<6|secs%60)<<24 + micros%1e6
	if neg {
		n = -n
	}
	if c.size > 4 {
		return appendBig(dst, uint64(n+0x800000<<24), 6), nil
	}
	return c.appendFraction(appendBig(dst, uint64(n>>24+0x800000), 3), n%(1<<24)), nil
}
