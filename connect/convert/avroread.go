package convert

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/avro"
)

// avroReader reads one value that is not null.
type avroReader func(dst *connect.Batch, d *avroDecoder, c *avro.Cursor, ac *avroColumn) (schema.Value, error)

// avroReaderOf returns the reader for a field of type t into a column, nil if
// there is none.
func avroReaderOf(f *connectSchema, t *avro.Schema, c *schema.Column) avroReader {
	switch t.Kind {
	case avro.Boolean:
		return avroBool
	case avro.Int, avro.Long:
		return avroNumber(f, c)
	case avro.Float, avro.Double:
		if c.Type == schema.TypeDecimal {
			return avroDecimalDouble
		}
		return avroFloat
	case avro.Bytes, avro.Fixed:
		switch f.Name {
		case decimalName:
			return avroDecimal
		case "io.debezium.data.Bits":
			return avroBits
		}
		return avroBinary
	case avro.String, avro.Enum:
		return avroTextReader(f, c)
	case avro.Record:
		if f.Name == "io.debezium.data.geometry.Geometry" || f.Name == "io.debezium.data.geometry.Point" {
			return avroGeometry(t)
		}
	case avro.Array:
		if f.Name == "io.debezium.data.FloatVector" && t.Items.Kind == avro.Float {
			return avroVector
		}
	}
	return nil
}

// units are how many microseconds temporal numbers count: mul/div.
var units = map[string]struct{ mul, div int64 }{
	"io.debezium.time.Date": {dayMicros, 1}, "org.apache.kafka.connect.data.Date": {dayMicros, 1},
	"io.debezium.time.Time": {1000, 1}, "org.apache.kafka.connect.data.Time": {1000, 1},
	"io.debezium.time.MicroTime": {1, 1}, "io.debezium.time.NanoTime": {1, 1000},
	"io.debezium.time.Timestamp": {1000, 1}, "org.apache.kafka.connect.data.Timestamp": {1000, 1},
	"io.debezium.time.MicroTimestamp": {1, 1}, "io.debezium.time.NanoTimestamp": {1, 1000},
}

// avroNumber reads a whole number, and what is told by one.
func avroNumber(f *connectSchema, c *schema.Column) avroReader {
	if u, ok := units[f.Name]; ok {
		return func(_ *connect.Batch, _ *avroDecoder, c *avro.Cursor, ac *avroColumn) (schema.Value, error) {
			n, err := c.Long()
			if err == nil {
				n, err = microsOf(n, u.mul, u.div)
			}
			if err != nil {
				return schema.Value{}, err
			}
			switch ac.column.Type {
			case schema.TypeTime:
				return schema.MakeTime(n, ac.column.Scale), nil
			case schema.TypeDate:
				return dateAt(n)
			}
			return pointInTime(n, ac.column)
		}
	}
	if f.Name == "io.debezium.time.Year" {
		return avroYear
	}
	if c.Type == schema.TypeBit {
		return nil
	}
	return avroInteger
}

func avroYear(_ *connect.Batch, _ *avroDecoder, c *avro.Cursor, _ *avroColumn) (schema.Value, error) {
	n, err := c.Long()
	if err == nil && (n < 0 || n > math.MaxUint16) {
		err = fmt.Errorf("%d is not a year", n)
	}
	return schema.MakeNum(schema.Year, uint64(n)), err
}

func avroInteger(_ *connect.Batch, _ *avroDecoder, c *avro.Cursor, ac *avroColumn) (schema.Value, error) {
	n, err := c.Long()
	switch {
	case err != nil:
		return schema.Value{}, err
	case ac.typ.Kind == avro.Int && int64(int32(n)) != n:
		return schema.Value{}, fmt.Errorf("%d is not a number of 32 bits", n)
	case !ac.column.Unsigned:
		return schema.MakeInt(n), nil
	case n < 0:
		return schema.Value{}, fmt.Errorf("%d is not an unsigned whole number", n)
	}
	return schema.MakeUint(uint64(n)), nil
}

func avroBool(_ *connect.Batch, _ *avroDecoder, c *avro.Cursor, _ *avroColumn) (schema.Value, error) {
	b, err := c.Bool()
	if b {
		return schema.MakeNum(schema.Bit, 1), err
	}
	return schema.MakeNum(schema.Bit, 0), err
}

func (ac *avroColumn) double(c *avro.Cursor) (float64, error) {
	if ac.typ.Kind == avro.Double {
		return c.Double()
	}
	f, err := c.Float()
	return float64(f), err
}

func avroFloat(_ *connect.Batch, _ *avroDecoder, c *avro.Cursor, ac *avroColumn) (schema.Value, error) {
	f, err := ac.double(c)
	if ac.column.Type == schema.TypeFloat {
		return schema.MakeFloat32(float32(f)), err
	}
	return schema.MakeFloat64(f), err
}

func avroDecimalDouble(dst *connect.Batch, _ *avroDecoder, c *avro.Cursor, ac *avroColumn) (schema.Value, error) {
	f, err := ac.double(c)
	if err != nil {
		return schema.Value{}, err
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return schema.Value{}, fmt.Errorf("%v is not a decimal", f)
	}
	var buf [64]byte
	return digitsValue(dst, appendFloat(buf[:0], f, 64), ac.column)
}

// blob reads bytes, of any length or a fixed one.
func (ac *avroColumn) blob(c *avro.Cursor) ([]byte, error) {
	if ac.typ.Kind == avro.Fixed {
		return c.Take(ac.typ.Size)
	}
	return c.Bytes()
}

func avroDecimal(dst *connect.Batch, _ *avroDecoder, c *avro.Cursor, ac *avroColumn) (schema.Value, error) {
	b, err := ac.blob(c)
	if err != nil {
		return schema.Value{}, err
	}
	if n, ok := narrowOf(b); ok && ac.column.Type == schema.TypeDecimal && ac.column.Precision <= narrowDigits && inDigits(n, ac.column.Precision) {
		return schema.MakeDecimal(n, ac.column.Scale), nil
	}
	return unscaledValue(dst, b, ac.column)
}

// narrowDigits is up to how many digits a decimal is narrow.
const narrowDigits = 18

// narrowOf returns an unscaled number of at most 64 bits.
func narrowOf(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 8 {
		return 0, false
	}
	n = int64(int8(b[0]))
	for _, c := range b[1:] {
		n = n<<8 | int64(c)
	}
	return n, true
}

// inDigits reports whether n has no more than so many digits.
func inDigits(n int64, digits int) bool {
	limit := int64(1)
	for range digits {
		limit *= 10
	}
	return n > -limit && n < limit
}

func avroBits(_ *connect.Batch, _ *avroDecoder, c *avro.Cursor, ac *avroColumn) (schema.Value, error) {
	b, err := ac.blob(c)
	if err != nil {
		return schema.Value{}, err
	}
	return bitsOf(b)
}

func avroBinary(_ *connect.Batch, _ *avroDecoder, c *avro.Cursor, ac *avroColumn) (schema.Value, error) {
	b, err := ac.blob(c)
	return schema.MakeBytes(schema.Bytes, b), err
}

// textReader makes a value of a text.
type textReader func(dst *connect.Batch, d *avroDecoder, b []byte, c *schema.Column) (schema.Value, error)

// textOf returns how the text of a field becomes a value of a column.
func textOf(f *connectSchema, c *schema.Column) textReader {
	simple := func(parse func(b []byte, c *schema.Column) (schema.Value, error)) textReader {
		return func(_ *connect.Batch, _ *avroDecoder, b []byte, c *schema.Column) (schema.Value, error) {
			return parse(b, c)
		}
	}
	kind := func(k schema.Kind) textReader {
		return simple(func(b []byte, _ *schema.Column) (schema.Value, error) { return schema.MakeBytes(k, b), nil })
	}
	switch f.Name {
	case "io.debezium.data.Enum":
		return simple(enumOf)
	case "io.debezium.data.EnumSet":
		return simple(setOf)
	case "io.debezium.data.Json":
		return kind(schema.JSON)
	case "io.debezium.time.IsoDate":
		return simple(parseISODate)
	case "io.debezium.time.IsoTime":
		return simple(parseISOTime)
	case "io.debezium.time.IsoTimestamp":
		return simple(parseISODateTime)
	case "io.debezium.time.ZonedTimestamp":
		return simple(parseZoned)
	}
	switch {
	case c.Type == schema.TypeDecimal:
		return func(dst *connect.Batch, _ *avroDecoder, b []byte, c *schema.Column) (schema.Value, error) {
			return digitsValue(dst, b, c)
		}
	case c.Type.IsBinary():
		return func(dst *connect.Batch, d *avroDecoder, b []byte, _ *schema.Column) (schema.Value, error) {
			return binaryOf(dst, &d.decoder, b)
		}
	}
	return kind(schema.String)
}

func avroTextReader(f *connectSchema, c *schema.Column) avroReader {
	of := textOf(f, c)
	return func(dst *connect.Batch, d *avroDecoder, c *avro.Cursor, ac *avroColumn) (schema.Value, error) {
		b, err := ac.text(c)
		if err != nil {
			return schema.Value{}, err
		}
		return of(dst, d, b, ac.column)
	}
}

// text reads a string, or the symbol of an enum.
func (ac *avroColumn) text(c *avro.Cursor) ([]byte, error) {
	if ac.typ.Kind == avro.Enum {
		n, err := c.Long()
		if err == nil && (n < 0 || n >= int64(len(ac.typ.Symbols))) {
			err = fmt.Errorf("symbol %d of %s, which has %d", n, ac.typ.Name, len(ac.typ.Symbols))
		}
		if err != nil {
			return nil, err
		}
		return []byte(ac.typ.Symbols[n]), nil
	}
	b, err := c.Bytes()
	if err == nil && !utf8.Valid(b) {
		err = errors.New("the string is not UTF-8")
	}
	return b, err
}

// avroGeometry reads a record of a geometry; a point's x and y are in its bytes.
func avroGeometry(t *avro.Schema) avroReader {
	parts, err := partsOf(t, geometryParts)
	if err != nil {
		return nil
	}
	return func(dst *connect.Batch, _ *avroDecoder, c *avro.Cursor, _ *avroColumn) (schema.Value, error) {
		var wkb []byte
		var srid int64
		for i := range parts {
			p := &parts[i]
			there := true
			var err error
			if p.role == partOther {
				err = c.Skip(p.typ)
			} else if there, err = p.there(c); there && err == nil {
				if p.role == partWKB {
					wkb, err = c.Bytes()
				} else {
					srid, err = c.Long()
				}
			}
			if err != nil {
				return schema.Value{}, fmt.Errorf("field %s: %w", p.name, err)
			}
		}
		if srid < 0 || srid > math.MaxUint32 || wkb == nil {
			return schema.Value{}, fmt.Errorf("a geometry of %d bytes with the SRID %d is none", len(wkb), srid)
		}
		return geometryOf(dst, wkb, uint32(srid)), nil
	}
}

const (
	partWKB partRole = iota + 100
	partSRID
)

var geometryParts = partKinds{"wkb": {partWKB, []avro.Kind{avro.Bytes}}, "srid": {partSRID, numbers}}

func avroVector(dst *connect.Batch, _ *avroDecoder, c *avro.Cursor, ac *avroColumn) (schema.Value, error) {
	p := dst.Scratch(64)
	err := c.Each(ac.typ, func() error {
		b, err := c.Take(4)
		p = append(p, b...)
		return err
	})
	return schema.MakeBytes(schema.Vector, dst.Use(p)), err
}

// source reads the block of that name.
func (d *avroDecoder) source(dst *connect.Batch, w *avroWriter, c *avro.Cursor, src *source, block *avroPart) error {
	there, err := block.there(c)
	if !there || err != nil {
		return err
	}
	precise := false
	for i := range w.origin {
		p := &w.origin[i]
		if p.role == partOther {
			if err := c.Skip(p.typ); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			continue
		}
		there, err := p.there(c)
		if there && err == nil {
			if p.of.Kind == avro.String {
				err = d.originText(c, src, p.role)
			} else {
				err = originNumber(c, src, p.role, &precise)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func originNumber(c *avro.Cursor, src *source, role partRole, precise *bool) error {
	n, err := c.Long()
	if err != nil {
		return err
	}
	o := &src.origin
	switch role {
	case partMicros:
		*precise, src.rec.Time = true, n
	case partMillis:
		if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
			return fmt.Errorf("%d is out of range", n)
		}
		if !*precise {
			src.rec.Time = n * 1000
		}
	case partRow:
		if src.rec.Row = int32(n); int64(src.rec.Row) != n {
			return fmt.Errorf("%d is not a number of 32 bits", n)
		}
	case partServer:
		if o.ServerID = uint32(n); int64(o.ServerID) != n {
			return fmt.Errorf("%d is not a server id", n)
		}
	case partThread:
		o.Thread = uint32(n)
	case partPos:
		o.Pos = uint64(n)
	}
	return nil
}

func (d *avroDecoder) originText(c *avro.Cursor, src *source, role partRole) error {
	b, err := c.Bytes()
	if err == nil && !utf8.Valid(b) {
		err = errors.New("it is not UTF-8")
	}
	if err != nil {
		return err
	}
	o := &src.origin
	switch role {
	case partDB:
		src.db = d.intern(b)
	case partTable:
		src.table = d.intern(b)
	case partFile:
		o.File = d.intern(b)
	case partSnapshot:
		o.Snapshot = string(b) != "false"
	case partQuery:
		o.Query = string(b)
	case partGTID:
		return d.gtid(o, b)
	}
	return nil
}
