package schema

import (
	"reflect"
	"testing"
	"time"
)

func TestValueIsSmall(t *testing.T) {
	if s := reflect.TypeFor[Value]().Size(); s != 24 {
		t.Fatalf("a Value takes %d bytes", s)
	}
}

func TestDecimalText(t *testing.T) {
	for _, c := range []struct {
		v    Value
		want string
	}{
		{MakeDecimal(0, 0), "0"}, {MakeDecimal(0, 2), "0.00"}, {MakeDecimal(5, 2), "0.05"}, {MakeDecimal(-5, 2), "-0.05"},
		{MakeDecimal(12345, 2), "123.45"}, {MakeDecimal(-12345, 4), "-1.2345"}, {MakeDecimal(100, 0), "100"},
		{MakeDecimal(-999999999999999999, 18), "-0.999999999999999999"},
		{MakeWideDecimal([]byte("-12345678901234567890.5"), 1), "-12345678901234567890.5"},
	} {
		if got := string(c.v.AppendDecimal(nil)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		back, err := ParseDecimal([]byte(c.want), 18+20*boolInt(c.v.Size() > 0), c.v.Scale())
		if err != nil || !back.Equal(c.v) {
			t.Errorf("%s does not come back: %v", c.want, err)
		}
	}
	for _, bad := range []string{"", "-", "1.2.3", "1e5", "abc", "1.234"} {
		if _, err := ParseDecimal([]byte(bad), 10, 2); err == nil {
			t.Errorf("%q passes as a decimal(10,2)", bad)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestCivil(t *testing.T) {
	for days := int64(-800000); days < 3000000; days += 13 {
		want := time.Unix(days*86400, 0).UTC()
		c := civilFromDays(days)
		if c.Year != want.Year() || c.Month != int(want.Month()) || c.Day != want.Day() {
			t.Fatalf("day %d: %+v, want %s", days, c, want)
		}
		if d := DaysFromCivil(c.Year, c.Month, c.Day); d != days {
			t.Fatalf("%+v: day %d, want %d", c, d, days)
		}
	}
}

func TestTemporalText(t *testing.T) {
	for _, c := range []struct {
		v    Value
		want string
	}{
		{MakeDate(0, 0, 0), "0000-00-00"}, {MakeDate(2020, 0, 15), "2020-00-15"}, {MakeDate(9999, 12, 31), "9999-12-31"},
		{MakeDateTime(Civil{Year: 9999, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59, Micro: 999999}, 6), "9999-12-31 23:59:59.999999"},
		{MakeDateTime(Civil{}, 3), "0000-00-00 00:00:00.000"},
		{MakeTimestamp(0, 0), "0000-00-00 00:00:00"}, {MakeTimestamp(1e6+500000, 1), "1970-01-01 00:00:01.5"},
		{MakeTime(-(838*3600+59*60+59)*1e6-999999, 6), "-838:59:59.999999"}, {MakeTime(0, 0), "00:00:00"},
		{MakeTime(12*3600*1e6, 3), "12:00:00.000"}, {MakeNum(Year, 0), "0000"}, {MakeNum(Year, 2155), "2155"},
	} {
		if got := string(c.v.AppendText(nil, nil)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	if !MakePackedDateTime((2021*13+7)<<22|4<<17|5<<12|6<<6|7, 890000, 2).Equal(
		MakeDateTime(Civil{2021, 7, 4, 5, 6, 7, 890000}, 2)) {
		t.Error("packed fields differ from civil ones")
	}
}

func TestFloatText(t *testing.T) {
	for _, c := range []struct {
		f    float64
		bits int
		want string
	}{
		{0, 64, "0"}, {1, 64, "1"}, {-1.5, 64, "-1.5"}, {1e14, 64, "100000000000000"}, {1e15, 64, "1e15"}, {1e20, 64, "1e20"},
		{1e-15, 64, "0.000000000000001"}, {1e-16, 64, "1e-16"}, {16777216, 32, "16777216"}, {1.7976931348623157e308, 64, "1.7976931348623157e308"},
		{float64(float32(3.4028235e38)), 32, "3.4028235e38"},
	} {
		if got := string(AppendFloat(nil, c.f, c.bits)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestTableCodec(t *testing.T) {
	tab, err := New(&Table{
		Database: "shop", Name: "o'rders", Primary: true, Key: []int{1, 0}, Unique: [][]int{{2}, {0, 2}},
		Columns: []Column{
			{Name: "id", Type: TypeBigInt, Unsigned: true, AutoIncrement: true},
			{Name: "e", Type: TypeEnum, Charset: "utf8mb4", Collation: "utf8mb4_bin", Elements: []string{"a,b", "c'd", ""}},
			{Name: "p", Type: TypeGeometry, Subtype: "point", SRID: 4326, HasSRID: true, Nullable: true},
			{Name: "d", Type: TypeDecimal, Precision: 65, Scale: 30, Zerofill: true, Generated: true, Invisible: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := append(AppendTable(nil, tab), "rest"...)
	back, rest, err := ParseTable(b)
	if err != nil || string(rest) != "rest" || !reflect.DeepEqual(back, tab) {
		t.Fatalf("%+v came back as %+v, rest %q, %v", tab, back, rest, err)
	}
	for i := range len(b) - 4 {
		if _, _, err := ParseTable(b[:i]); err == nil {
			t.Fatalf("%d bytes of it pass as a table", i)
		}
	}
}

func TestTableFaults(t *testing.T) {
	id := Column{Name: "id", Type: TypeInt}
	for _, bad := range []*Table{
		{Name: "t", Columns: []Column{{Name: "x"}}},
		{Name: "t", Columns: []Column{id, id}},
		{Name: "t", Columns: []Column{id}, Key: []int{1}},
		{Name: "t", Columns: []Column{{Name: "b", Type: TypeBit, Length: 65}}},
		{Name: "t", Columns: []Column{{Name: "d", Type: TypeDateTime, Scale: 7}}},
		{Name: "t", Columns: []Column{{Name: "d", Type: TypeDecimal, Scale: 31}}},
	} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}
