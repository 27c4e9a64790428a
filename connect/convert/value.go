package convert

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/towline/towline/schema"
)

// maxSafe is the largest integer up to which a double holds all.
const maxSafe = 1 << 53

// kinds are the value kinds that each form writes.
var kinds = [...]schema.Kind{
	formBool: schema.Bit, formInt16: schema.Int, formInt32: schema.Int, formInt64: schema.Int, formUnsignedLong: schema.Uint,
	formUnsigned: schema.Uint, formInteger: schema.Int, formFloat32: schema.Float32, formFloat64: schema.Float64,
	formDecimal: schema.Decimal, formDecimalDouble: schema.Decimal, formDecimalString: schema.Decimal, formText: schema.String,
	formBinary: schema.Bytes, formBits: schema.Bit, formYear: schema.Year, formDays: schema.Date, formISODate: schema.Date,
	formTimeMillis: schema.Time, formTimeMicros: schema.Time, formTimeNanos: schema.Time, formISOTime: schema.Time,
	formMillis: schema.DateTime, formMicros: schema.DateTime, formNanos: schema.DateTime, formISODateTime: schema.DateTime,
	formZoned: schema.Timestamp, formEnum: schema.Enum, formSet: schema.Set, formJSON: schema.JSON,
	formGeometry: schema.Geometry, formPoint: schema.Geometry, formVector: schema.Vector,
}

// appendValue appends a value that is there and not NULL. Errors leave
// garbage behind dst's length.
func (e *Encoder) appendValue(dst []byte, f *field, v schema.Value) ([]byte, error) {
	kind := v.Kind()
	if kind == schema.RawString {
		return e.appendRaw(dst, v.Bytes(), f.column)
	}
	if err := f.takes(kind); err != nil {
		return dst, err
	}
	switch f.form {
	case formBool:
		return strconv.AppendBool(dst, v.Uint() != 0), nil
	case formInteger:
		return e.appendInteger(dst, v), nil
	case formInt16, formInt32, formInt64, formUnsignedLong:
		if err := f.fitsSigned(v); err != nil {
			return dst, err
		}
		return e.appendInteger(dst, v), nil
	case formUnsigned:
		var buf [20]byte
		return e.appendDecimal(dst, strconv.AppendUint(buf[:0], v.Uint(), 10), 0)
	case formFloat32, formFloat64:
		return e.appendFloat(dst, v)
	case formDecimal, formDecimalDouble, formDecimalString:
		return e.appendDecimalValue(dst, f.form, v)
	case formText:
		return e.appendText(dst, v.Bytes())
	case formBinary:
		return appendBinary(dst, v.Bytes(), e.opts.Binary), nil
	case formBits:
		return appendBits(dst, v.Uint(), f.column.Length), nil
	case formYear:
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	case formEnum:
		return e.appendEnum(dst, f, v.Uint())
	case formSet:
		return e.appendSet(dst, f, v.Uint())
	case formJSON:
		return e.appendJSON(dst, v.Bytes())
	case formGeometry, formPoint:
		return appendGeometry(dst, v.Bytes(), f.form == formPoint)
	case formVector:
		return appendVector(dst, v.Bytes())
	}
	return e.appendTemporal(dst, f, v)
}

// takes returns an error if values of f's form are not of this kind.
func (f *field) takes(kind schema.Kind) error {
	switch {
	case kind == kinds[f.form]:
	case (kind == schema.Uint || kind == schema.Bit) && kinds[f.form] == schema.Int: // an unsigned or BIT column
	case kind == schema.Float32 && f.form == formFloat64:
	default:
		return fmt.Errorf("it holds a value of kind %s", kind)
	}
	return nil
}

// fitsSigned returns an error if an integer is beyond a signed long.
func (f *field) fitsSigned(v schema.Value) error {
	switch {
	case v.Kind() == schema.Int || v.Uint() <= math.MaxInt64:
		return nil
	case f.form == formUnsignedLong:
		return fmt.Errorf("uint %d is beyond a signed long; set %s=precise", v.Uint(), optUnsigned)
	}
	return fmt.Errorf("%s %d is beyond the column's range", v.Kind(), v.Uint())
}

func (e *Encoder) appendInteger(dst []byte, v schema.Value) []byte {
	if v.Kind() == schema.Int {
		n := v.Int()
		if safe := n >= -maxSafe && n <= maxSafe; safe || !e.opts.Readable {
			return strconv.AppendInt(dst, n, 10)
		}
		return append(strconv.AppendInt(append(dst, '"'), n, 10), '"')
	}
	if v.Uint() <= maxSafe || !e.opts.Readable {
		return strconv.AppendUint(dst, v.Uint(), 10)
	}
	return append(strconv.AppendUint(append(dst, '"'), v.Uint(), 10), '"')
}

func (e *Encoder) appendFloat(dst []byte, v schema.Value) ([]byte, error) {
	bits := 64
	if v.Kind() == schema.Float32 {
		bits = 32
	}
	f := v.Float()
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, fmt.Errorf("%s %v has no form in JSON", v.Kind(), f)
	}
	return appendFloat(dst, f, bits), nil
}

func (e *Encoder) appendDecimal(dst, text []byte, scale int) ([]byte, error) {
	if e.opts.DecimalNumeric {
		return appendDecimalNumeric(dst, text, scale), nil
	}
	dst, ok := appendDecimalBase64(dst, text)
	if !ok {
		return dst, fmt.Errorf("%q is not a decimal of at most 65 digits", string(text))
	}
	return dst, nil
}

func (e *Encoder) appendDecimalValue(dst []byte, form form, v schema.Value) ([]byte, error) {
	if form == formDecimalString {
		return append(v.AppendDecimal(append(dst, '"')), '"'), nil
	}
	if n, narrow := v.Narrow(); narrow && form == formDecimal && !e.opts.DecimalNumeric {
		return appendNarrowBase64(dst, n), nil
	}
	var buf [80]byte
	digits := v.AppendDecimal(buf[:0])
	if form == formDecimal {
		return e.appendDecimal(dst, digits, v.Scale())
	}
	f, err := strconv.ParseFloat(text(digits), 64)
	if err != nil || !holdsDecimal(f, digits) {
		return dst, fmt.Errorf("a double does not hold decimal %s; set %s=precise or string", string(digits), optDecimal)
	}
	return appendFloat(dst, f, 64), nil
}

func (e *Encoder) appendText(dst, b []byte) ([]byte, error) {
	dst, valid := appendQuoted(dst, text(b), !e.opts.Readable)
	if !valid {
		return dst, fmt.Errorf("a string is not UTF-8")
	}
	return dst, nil
}

// appendRaw appends text whose bytes its charset cannot decode.
func (e *Encoder) appendRaw(dst, b []byte, c *schema.Column) ([]byte, error) {
	if !e.opts.Readable {
		return dst, fmt.Errorf("a rawstring of %d bytes is not text in charset %s; correct the row, or use value.converter=frame, which holds it", len(b), c.Charset)
	}
	dst = append(dst, `{"$base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, `"}`...), nil
}

// appendBits appends bits as little-endian bytes, as many as the column has.
func appendBits(dst []byte, v uint64, length int) []byte {
	var buf [8]byte
	binary.LittleEndian.PutUint64(buf[:], v)
	return appendBinary(dst, buf[:min((length+7)/8, 8)], BinaryBytes)
}

func (e *Encoder) appendEnum(dst []byte, f *field, n uint64) ([]byte, error) {
	el, err := f.element(n)
	if err != nil {
		return dst, err
	}
	return e.quote(dst, el), nil
}

// element returns the text of an element of an ENUM; that of the error value is
// empty.
func (f *field) element(n uint64) (string, error) {
	switch {
	case n > uint64(len(f.column.Elements)):
		return "", fmt.Errorf("enum %d is beyond its %d elements", n, len(f.column.Elements))
	case n > 0:
		return f.column.Elements[n-1], nil
	case f.empty:
		return "", fmt.Errorf("enum 0, the error value, looks like the element ''; correct the row, or use value.converter=frame")
	}
	return "", nil
}

// checkSet returns an error if the text of a SET does not tell what it is.
func (f *field) checkSet(mask uint64) error {
	elements := f.column.Elements
	if n := len(elements); n < 64 && mask>>n != 0 {
		return fmt.Errorf("set %#x has bits beyond its %d elements", mask, n)
	}
	if !f.empty {
		return nil
	}
	for i, el := range elements {
		if el == "" && mask&(1<<i) != 0 {
			return fmt.Errorf("set %#x has the element '', which looks like none; use value.converter=frame", mask)
		}
	}
	return nil
}

func (e *Encoder) appendSet(dst []byte, f *field, mask uint64) ([]byte, error) {
	if err := f.checkSet(mask); err != nil {
		return dst, err
	}
	begin := len(dst)
	dst = append(dst, '"')
	for i, el := range f.column.Elements {
		if mask&(1<<i) == 0 {
			continue
		}
		if len(dst) > begin+1 {
			dst = append(dst, ',')
		}
		at := len(dst)
		dst = e.quote(dst, el)
		copy(dst[at:], dst[at+1:]) // the element without its quotes
		dst = dst[:len(dst)-2]
	}
	return append(dst, '"'), nil
}

func (e *Encoder) appendJSON(dst, b []byte) ([]byte, error) {
	if !e.opts.Readable {
		return e.appendText(dst, b)
	}
	if !json.Valid(b) {
		return dst, fmt.Errorf("json of %d bytes is not JSON", len(b))
	}
	begin := len(dst)
	dst = append(dst, b...)
	for i, c := range dst[begin:] { // outside of strings, by the grammar
		if c == '\n' || c == '\r' {
			dst[begin+i] = ' '
		}
	}
	return dst, nil
}

const pointSize = 21 // of a point in WKB: order, type, x, y

func appendGeometry(dst, b []byte, point bool) ([]byte, error) {
	if len(b) < 9 {
		return dst, fmt.Errorf("geometry of %d bytes is too short", len(b))
	}
	srid, wkb := binary.LittleEndian.Uint32(b), b[4:]
	dst = append(dst, '{')
	if point {
		x, y, ok := pointOf(wkb)
		if !ok {
			return dst, fmt.Errorf("geometry %x is not a point", wkb)
		}
		dst = appendFloat(append(dst, `"x":`...), x, 64)
		dst = append(appendFloat(append(dst, `,"y":`...), y, 64), ',')
	}
	dst = appendBinary(append(dst, `"wkb":`...), wkb, BinaryBytes)
	if srid == 0 {
		return append(dst, `,"srid":null}`...), nil
	}
	return append(strconv.AppendUint(append(dst, `,"srid":`...), uint64(srid), 10), '}'), nil
}

func pointOf(wkb []byte) (x, y float64, ok bool) {
	if len(wkb) != pointSize {
		return 0, 0, false
	}
	var order binary.ByteOrder = binary.BigEndian
	if wkb[0] == 1 {
		order = binary.LittleEndian
	}
	x, y = math.Float64frombits(order.Uint64(wkb[5:])), math.Float64frombits(order.Uint64(wkb[13:]))
	finite := !math.IsNaN(x+y) && !math.IsInf(x, 0) && !math.IsInf(y, 0)
	return x, y, finite && order.Uint32(wkb[1:]) == 1
}

func appendVector(dst, b []byte) ([]byte, error) {
	if len(b)%4 != 0 {
		return dst, fmt.Errorf("vector of %d bytes is not a run of floats", len(b))
	}
	dst = append(dst, '[')
	for i := 0; i < len(b); i += 4 {
		f := float64(math.Float32frombits(binary.LittleEndian.Uint32(b[i:])))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, fmt.Errorf("vector element %d is %v, which has no form in JSON", i/4, f)
		}
		dst = appendFloat(comma(dst, i), f, 32)
	}
	return append(dst, ']'), nil
}
