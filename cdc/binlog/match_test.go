package binlog

import (
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/schema"
)

// maps returns the last TableMap of each table in a log.
func mapsOf(t testing.TB, name string) map[string]*TableMap {
	t.Helper()
	out := map[string]*TableMap{}
	events(t, golden(t, name), func(h Header, format *Format, event []byte) {
		if h.Type != TableMapEvent {
			return
		}
		body, _ := format.Body(event)
		m, err := ParseTableMap(body)
		if err != nil {
			t.Fatal(err)
		}
		out[m.Name] = m
	})
	return out
}

// changed returns a copy of a table with a change.
func changed(t testing.TB, from *schema.Table, change func(*schema.Table)) *schema.Table {
	t.Helper()
	c := schema.Table{Database: from.Database, Name: from.Name, Key: slices.Clone(from.Key), Primary: from.Primary}
	c.Columns = slices.Clone(from.Columns)
	change(&c)
	out, err := schema.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func shapeOf(t testing.TB, m *TableMap) *schema.Table {
	t.Helper()
	s, err := m.Shape()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOwnShapeMatches(t *testing.T) {
	full := mapsOf(t, "types.binlog")
	for _, m := range full {
		if err := m.Matches(shapeOf(t, m)); err != nil {
			t.Error(err)
		}
		if len(m.UnknownFields) > 0 {
			t.Errorf("%s: unknown fields %d", m, m.UnknownFields)
		}
	}
	minimal := mapsOf(t, "minimal.binlog")
	for name, m := range minimal {
		if err := m.Matches(shapeOf(t, full[name])); err != nil {
			t.Error(err)
		}
		if _, err := m.Shape(); err == nil || !strings.Contains(err.Error(), "binlog_row_metadata=FULL") {
			t.Errorf("shape of %s without names: %v", m, err)
		}
	}
	if len(minimal) != 2 {
		t.Errorf("%d tables", len(minimal))
	}
}

// TestUniqueKeyMatches: without a primary key the log has the unique key that
// stands in for it, or none.
func TestUniqueKeyMatches(t *testing.T) {
	m := mapsOf(t, "types.binlog")["ints"]
	s := changed(t, shapeOf(t, m), func(s *schema.Table) { s.Primary = false })
	if err := m.Matches(s); err != nil {
		t.Error(err)
	}
	m.PrimaryKey = nil
	if err := m.Matches(s); err != nil {
		t.Error(err)
	}
	if err := m.Matches(changed(t, s, func(s *schema.Table) { s.Primary = true })); err == nil {
		t.Error("a primary key that the log has not passes")
	}
}

// TestMismatch changes one thing of a shape at a time.
func TestMismatch(t *testing.T) {
	full, minimal := mapsOf(t, "types.binlog"), mapsOf(t, "minimal.binlog")
	column := func(name string, change func(*schema.Column)) func(*schema.Table) {
		return func(s *schema.Table) { change(&s.Columns[s.Column(name)]) }
	}
	for _, c := range []struct {
		table, want string
		minimal     bool // whether minimal metadata show it too
		change      func(*schema.Table)
	}{
		{"ints", "16 columns, the shape known for it 15", true, func(s *schema.Table) { s.Columns = s.Columns[:15] }},
		{"ints", `column 3 "t1": the log has signed, the shape known for it unsigned`, true, column("t1", func(c *schema.Column) { c.Unsigned = true })},
		{"ints", `"t1": the log has a 1-byte integer, the shape known for it a 2-byte integer`, true, column("t1", func(c *schema.Column) { c.Type = schema.TypeSmallInt })},
		{"ints", `"n1": the log has decimal(10,2), the shape known for it decimal(10,3)`, true, column("n1", func(c *schema.Column) { c.Scale = 3 })},
		{"ints", `"t1": the log has NULL allowed, the shape known for it NOT NULL`, true, column("t1", func(c *schema.Column) { c.Nullable = false })},
		{"ints", `the log has the name t1, the shape known for it the name other`, false, column("t1", func(c *schema.Column) { c.Name = "other" })},
		{"ints", `primary key (id), the shape known for it (y)`, false, func(s *schema.Table) { s.Key = []int{1} }},
		{"ints", `primary key (id), the shape known for it ()`, false, func(s *schema.Table) { s.Primary, s.Key = false, nil }},
		{"ints", `primary key (id), the shape known for it (y)`, false, func(s *schema.Table) { s.Primary, s.Key = false, []int{1} }},
		{"texts", `"c": the log has char or binary of 40 bytes, the shape known for it char or binary of 44 bytes`, true, column("c", func(c *schema.Column) { c.Length = 11 })},
		{"texts", `"l": the log has char or binary of 20 bytes, the shape known for it char or binary of 80 bytes`, true, column("l", func(c *schema.Column) { c.Charset = "utf8mb4" })},
		{"texts", `"t2": the log has collation utf8mb4_0900_ai_ci, the shape known for it collation binary`, true, column("t2", func(c *schema.Column) { c.Type = schema.TypeBlob })},
		{"texts", `"v": the log has collation utf8mb4_0900_ai_ci, the shape known for it collation utf8mb4_bin`, true, column("v", func(c *schema.Column) { c.Collation = "utf8mb4_bin" })},
		{"texts", `"gb": the log has charset gb18030, the shape known for it charset utf8mb4`, true, column("gb", func(c *schema.Column) { c.Charset, c.Collation = "utf8mb4", "" })},
		{"texts", `"t3": the log has text or blob with a 3-byte length, the shape known for it text or blob with a 2-byte length`, true, column("t3", func(c *schema.Column) { c.Type = schema.TypeText })},
		{"times", `"t3": the log has time(3), the shape known for it time(2)`, false, column("t3", func(c *schema.Column) { c.Scale = 2 })},
		{"times", `"dt0": the log has datetime(0), the shape known for it timestamp(0)`, false, column("dt0", func(c *schema.Column) { c.Type = schema.TypeTimestamp })},
		{"bits", `"b9": the log has bit(9), the shape known for it bit(10)`, false, column("b9", func(c *schema.Column) { c.Length = 10 })},
		{"sets", `"s9": the log has set of 2 bytes, the shape known for it set of 1 bytes`, false, column("s9", func(c *schema.Column) { c.Elements = c.Elements[:8] })},
		{"sets", `"e": the log has the elements ["a,b" "c'd" "" "é"], the shape known for it ["c'd" "a,b" "" "é"]`, false, column("e", func(c *schema.Column) { c.Elements = []string{"c'd", "a,b", "", "é"} })},
		{"binaries", `"b16": the log has char or binary of 16 bytes, the shape known for it char or binary of 15 bytes`, false, column("b16", func(c *schema.Column) { c.Length = 15 })},
		{"vectors", `"v": the log has vector(3), the shape known for it vector(4)`, false, column("v", func(c *schema.Column) { c.Length = 4 })},
		{"vectors", `"v": the log has a vector, the shape known for it json`, false, column("v", func(c *schema.Column) { c.Type = schema.TypeJSON })},
	} {
		s := changed(t, shapeOf(t, full[c.table]), c.change)
		check := func(m *TableMap, wantErr bool) {
			err := m.Matches(s)
			if wantErr && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), m.String())) {
				t.Errorf("%s: got %v, want %s", c.table, err, c.want)
			}
			if !wantErr && err != nil {
				t.Errorf("%s: the log does not tell, yet: %v", c.table, err)
			}
			if _, planErr := NewPlan(m, s); (planErr != nil) != (err != nil) {
				t.Errorf("%s: Matches says %v, NewPlan %v", c.table, err, planErr)
			}
		}
		check(full[c.table], true)
		if m := minimal[c.table]; m != nil {
			check(m, c.minimal)
		}
	}
}

// TestShape looks at what only a shape from the log shows.
func TestShape(t *testing.T) {
	full := mapsOf(t, "types.binlog")
	col := func(table, name string) schema.Column {
		s := shapeOf(t, full[table])
		return s.Columns[s.Column(name)]
	}
	for _, c := range []struct{ got, want any }{
		{col("texts", "c").Length, 10}, {col("texts", "c255").Length, 255}, {col("texts", "l2").Length, 300}, {col("texts", "u32").Length, 10},
		{col("texts", "t1").Length, 0}, {col("texts", "t1").Type, schema.TypeTinyText}, {col("binaries", "l4").Type, schema.TypeLongBlob},
		{col("texts", "u16").Charset, "utf16"}, {col("texts", "c255").Collation, "utf8mb4_bin"}, {col("vectors", "v").Length, 3},
		{col("sets", "e2").Elements[1], "ö"}, {col("sets", "e2").Charset, "latin1"}, {len(col("sets", "s64").Elements), 64},
		{col("geometries", "p").Subtype, "point"}, {col("geometries", "g").Subtype, ""}, {col("geometries", "gc").Subtype, "geomcollection"},
		{col("bits", "b64").Length, 64}, {col("decimals", "d11").Precision, 65}, {col("decimals", "d11").Scale, 30}, {col("times", "dt6").Scale, 6},
		{col("ints", "y").Unsigned, false}, {col("ints", "n1").Unsigned, true}, {col("keys1", "c").Invisible, true}, {col("keys1", "b").Invisible, false},
		{full["keys1"].Prefixed, true}, {full["ints"].Prefixed, false}, {col("keys1", "a").Nullable, false}, {col("keys1", "gv").Nullable, true},
	} {
		if c.got != c.want {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
}

// TestTableMapsRemember: same bytes, same *TableMap; others, another.
func TestTableMapsRemember(t *testing.T) {
	r := record(t, "sb")
	body := r.tableMap[HeaderSize : len(r.tableMap)-checksumSize]
	var maps TableMaps
	a, err := maps.Put(body)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() {
		if b, _ := maps.Put(body); a != b || maps.Get(a.TableID) != a {
			t.Error("another map for the same bytes")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	other := slices.Clone(body)
	other[6] ^= 2 // flags
	if b, err := maps.Put(other); err != nil || b == a || maps.Get(a.TableID) != b {
		t.Errorf("%v, %v", b, err)
	}
	maps.Reset()
	if maps.Get(a.TableID) != nil {
		t.Error("Reset remembers")
	}
}

// TestTableMapsForget: what is used stays however many others come, those of a
// transaction among them, and what is not used goes.
func TestTableMapsForget(t *testing.T) {
	r := record(t, "narrow")
	body := slices.Clone(r.tableMap[HeaderSize : len(r.tableMap)-checksumSize])
	var maps TableMaps
	put := func(id uint64) *TableMap {
		t.Helper()
		body[0], body[1], body[2] = byte(id), byte(id>>8), byte(id>>16)
		m, err := maps.Put(body)
		if err != nil || m.TableID != id {
			t.Fatalf("%v, %v", m, err)
		}
		return m
	}
	first := put(0)
	var before *TableMap
	for id := uint64(1); id <= 3*maxTableMaps; id++ {
		m := put(id)
		if before != nil && maps.Get(id-1) != before {
			t.Fatalf("with table id %d its neighbour is gone", id)
		}
		before = m
		if id%1000 == 0 && (maps.Get(0) != first || put(0) != first) {
			t.Fatalf("table id 0 is gone with %d, though it was used", id)
		}
	}
	if maps.Get(1) != nil || maps.Body(1) != nil {
		t.Error("what was not used is still there")
	}
	if n := len(maps.byID) + len(maps.older); n > 2*maxTableMaps {
		t.Errorf("%d are remembered, want at most %d", n, 2*maxTableMaps)
	}
}

// TestTypedArray: the metadata of multi-valued index columns are as long as
// their element type says, so that the columns after them are read right.
func TestTypedArray(t *testing.T) {
	body := []byte{1, 0, 0, 0, 0, 0, 1, 0, 1, 'd', 0, 1, 't', 0,
		4, typeTypedArray, typeVarchar, typeTypedArray, typeNewDecimal,
		11, typeVarchar, 0x10, 0x20, 0x30, 0x40, 0x50, typeNewDecimal, 10, 2, 12, 3,
		0x0f}
	m, err := ParseTableMap(body)
	if err != nil {
		t.Fatal(err)
	}
	if m.Columns[0].Meta != 0x302010 || m.Columns[1].Meta != 0x5040 || m.Columns[2].Meta != 10<<8|2 || m.Columns[3].Meta != 12<<8|3 {
		t.Errorf("%+v", m.Columns)
	}
	if m.Columns[2].Type != typeTypedArray || m.Columns[2].Element != typeNewDecimal {
		t.Errorf("%+v", m.Columns[2])
	}
}
