package binlog

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMariaGTID(t *testing.T) {
	for _, c := range []struct {
		body, gtid string
		want       MariaGTID
	}{
		{"0200000000000000000000002900000000000000", "0-7-2", MariaGTID{Standalone: true, DDL: true}},
		{"ffffffffffffff7f05000000060a00000000000000", "5-7-9223372036854775807", MariaGTID{Domain: 5}},                    // in a group commit
		{"0d00000000000000000000004c010000000100" + "78" + "0101", "0-7-13", MariaGTID{Prepared: true}},                    // two engines
		{"0e00000000000000000000008d010000000100" + "78", "0-7-14", MariaGTID{Completed: true, Standalone: true}},          //
		{"120000000000000000000000290200000000000000", "0-7-18", MariaGTID{Standalone: true, DDL: true, StartAlter: true}}, //
		{"120000000000000000000000290811000000000000", "0-7-18", MariaGTID{Standalone: true, DDL: true, RollbackAlter: true}},
	} {
		g, err := ParseMariaGTID(Header{ServerID: 7}, unhex(t, c.body))
		if got := string(g.AppendText(nil)); err != nil || got != c.gtid || g.Maria != c.want {
			t.Errorf("%s: %s %+v, %v; want %s %+v", c.body, got, g.Maria, err, c.gtid, c.want)
		}
	}
	for _, bad := range []string{"", "02000000000000000000000029"[:24], "000000000000000000000000290000", "ffffffffffffffff0000000029", "0d00000000000000000000004c01000000ff00"} {
		if g, err := ParseMariaGTID(Header{}, unhex(t, bad)); err == nil {
			t.Errorf("%s was read as %s", bad, g.AppendText(nil))
		}
	}
}

func packed(t *testing.T, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	b.Write([]byte{0x83, byte(len(plain) >> 16), byte(len(plain) >> 8), byte(len(plain))})
	z := zlib.NewWriter(&b)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Compressed rows are those of the event that is not, and damage is found.
func TestCompressedRows(t *testing.T) {
	table, err := schema.New(&schema.Table{Database: "d", Name: "t", Columns: []schema.Column{{Name: "id", Type: schema.TypeInt}, {Name: "v", Type: schema.TypeVarbinary, Length: 5000, Nullable: true}}, Key: []int{0}})
	if err != nil {
		t.Fatal(err)
	}
	m := &TableMap{Database: "d", Name: "t", Columns: []MapColumn{{Type: typeLong}, {Type: typeVarchar, Meta: 5000, Nullable: true}}}
	p, err := NewPlan(m, table)
	if err != nil {
		t.Fatal(err)
	}
	var images []byte
	for i := range 10 {
		images = append(append(images, 0, byte(i), 0, 0, 0, 0xb8, 0x0b), bytes.Repeat([]byte{byte('a' + i)}, 3000)...)
	}
	head := unhex(t, "01000000000001000203")
	var want, got connect.Batch
	ev, err := ParseRows(WriteRowsEventV1, append(bytes.Clone(head), images...))
	if err == nil {
		err = p.DecodeRows(&want, &ev, &Stamp{})
	}
	if err != nil {
		t.Fatal(err)
	}
	body := append(bytes.Clone(head), packed(t, images)...)
	ev, err = ParseRows(WriteRowsCompressedV1, body)
	if err == nil {
		err = p.DecodeRows(&got, &ev, &Stamp{})
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Records) != 10 || ev.Size() != len(images) {
		t.Fatalf("%d rows of %d bytes", len(got.Records), ev.Size())
	}
	for i := range got.Records {
		if !got.Records[i].After.Equal(want.Records[i].After) {
			t.Errorf("row %d differs", i)
		}
	}
	for i := len(head); i < len(body); i++ {
		for _, damaged := range [][]byte{body[:i], append(append(bytes.Clone(body[:i]), body[i]^0x55), body[i+1:]...)} {
			var b connect.Batch
			ev, err := ParseRows(WriteRowsCompressedV1, damaged)
			if err == nil {
				err = p.DecodeRows(&b, &ev, &Stamp{})
			}
			if err == nil && i > len(head)+5 { // two bytes of zlib's own head say nothing of the content
				t.Errorf("damage at byte %d is not found", i)
			}
		}
	}
}

func TestCompressedQuery(t *testing.T) {
	body := append(unhex(t, "0100000000000000016400000000"), 0)[:13]
	body = append(append(body, "d\x00"...), packed(t, []byte("CREATE TABLE x"))...)
	q, err := ParseQueryEvent(QueryCompressedEvent, body)
	if err != nil || string(q.Text) != "CREATE TABLE x" || string(q.Database) != "d" {
		t.Fatalf("%q in %q, %v", q.Text, q.Database, err)
	}
	if _, err := ParseQueryEvent(QueryCompressedEvent, body[:len(body)-3]); err == nil || !strings.Contains(err.Error(), "QUERY_COMPRESSED") {
		t.Errorf("a text that is cut off: %v", err)
	}
}

// Addresses as MariaDB 10.11 prints them.
func TestINET6(t *testing.T) {
	for in, want := range map[string]string{
		"00000000000000000000000000000000": "::",
		"00000000000000000000000000000001": "::1",
		"00000000000000000000000001020304": "::1.2.3.4",
		"00000000000000000000ffff01020304": "::ffff:1.2.3.4",
		"20010db8000000010000000000000001": "2001:db8:0:1::1",
		"20010db8000100010001000000010001": "2001:db8:1:1:1::1:1",
		"00010000000000000000000000000000": "1::",
		"0001000200030004000500060007abcd": "1:2:3:4:5:6:7:abcd",
	} {
		var b [16]byte
		copy(b[:], unhex(t, in))
		if got := string(appendINET6(nil, b)); got != want {
			t.Errorf("%s is printed %s, want %s", in, got, want)
		}
	}
}
