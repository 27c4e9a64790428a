package mysql

import (
	"encoding/binary"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// sample is a decoder and a packet of a row with the usual types.
func sample(t testing.TB) (*decoder, []byte) {
	shape, err := schema.New(&schema.Table{Database: "d", Name: "t", Columns: []schema.Column{
		{Name: "id", Type: schema.TypeBigInt}, {Name: "name", Type: schema.TypeVarchar, Charset: "utf8mb4"},
		{Name: "old", Type: schema.TypeVarchar, Charset: "latin1"}, {Name: "price", Type: schema.TypeDecimal, Precision: 10, Scale: 2},
		{Name: "at", Type: schema.TypeDateTime, Scale: 6}, {Name: "none", Type: schema.TypeInt, Nullable: true}}})
	if err != nil {
		t.Fatal(err)
	}
	fields := []mysql.Field{{Type: mysql.MYSQL_TYPE_LONGLONG}, {Type: mysql.MYSQL_TYPE_VAR_STRING, Charset: 255}, {Type: mysql.MYSQL_TYPE_VAR_STRING, Charset: 8},
		{Type: mysql.MYSQL_TYPE_NEWDECIMAL, Decimal: 2}, {Type: mysql.MYSQL_TYPE_DATETIME, Decimal: 6}, {Type: mysql.MYSQL_TYPE_LONG}}
	d, err := newDecoder(shape, allColumns(shape), fields, testText)
	if err != nil {
		t.Fatal(err)
	}
	p := []byte{0, 1 << (5 + 2)}
	p = binary.LittleEndian.AppendUint64(p, 42)
	p = append(p, "\x05hello\x04caf\xe9\x0512.50"...)
	p = append(p, 11, 0xe5, 7, 2, 3, 4, 5, 6)
	return d, binary.LittleEndian.AppendUint32(p, 789)
}

func TestRowsAreDecodedWithoutAllocating(t *testing.T) {
	d, p := sample(t)
	var b connect.Batch
	fill := func() {
		b.Reset()
		for range 100 {
			if _, err := d.row(&b, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill()
	if n := testing.AllocsPerRun(20, fill); n != 0 {
		t.Fatalf("100 rows allocate %v times", n)
	}
	row, _ := d.row(&b, p)
	want := schema.Row{schema.MakeInt(42), schema.MakeString("hello"), schema.MakeString("café"), schema.MakeDecimal(1250, 2),
		schema.MakeDateTime(schema.Civil{Year: 2021, Month: 2, Day: 3, Hour: 4, Minute: 5, Second: 6, Micro: 789}, 6), schema.Value{}}
	if !row.Equal(want) {
		t.Fatalf("%+v", row)
	}
}

// What is cut off or damaged is an error, never a panic.
func FuzzRow(f *testing.F) {
	d, p := sample(f)
	for i := range p {
		f.Add(p[:i])
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var b connect.Batch
		d.row(&b, p)
	})
}

func BenchmarkRow(b *testing.B) {
	d, p := sample(b)
	var batch connect.Batch
	b.SetBytes(int64(len(p)))
	for i := 0; b.Loop(); i++ {
		if i%1000 == 0 {
			batch.Reset()
		}
		if _, err := d.row(&batch, p); err != nil {
			b.Fatal(err)
		}
	}
}
