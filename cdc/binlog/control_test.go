package binlog

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// describe tells an event in a line of what does not change between runs.
func describe(t testing.TB, h Header, body []byte) string {
	t.Helper()
	out, err := describeBody(h, body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(h.Type.String() + " " + out)
}

func describeBody(h Header, body []byte) (string, error) {
	switch h.Type {
	case QueryEvent:
		q, err := ParseQuery(body)
		s := &q.Status
		return fmt.Sprintf("%s | db=%s mode=%x client=%d tz=%s dbs=%s ddl=%v unknown=%d", q.Text, q.Database, s.SQLMode, s.CharsetClient,
			s.TimeZone, bytes.Join(s.UpdatedDatabases, []byte(",")), s.DDLXID != 0, s.Unknown), err
	case GTIDEvent, AnonymousGTIDEvent, GTIDTaggedEvent:
		g, err := ParseGTID(h.Type, body)
		return fmt.Sprintf("tag=%q statements=%v version=%d", g.Tag, g.MayHaveStatements, g.ServerVersion), err
	case RowsQueryEvent:
		q, err := ParseRowsQuery(body)
		return string(q), err
	case XAPrepareEvent:
		x, err := ParseXAPrepare(body)
		return fmt.Sprintf("%s one phase=%v", x.Key(), x.OnePhase), err
	case TableMapEvent:
		m, err := ParseTableMap(body)
		if err != nil {
			return "", err
		}
		return m.String(), nil
	case RotateEvent:
		r, err := ParseRotate(body)
		return fmt.Sprint(r.Pos, strings.HasPrefix(r.File, "binlog.")), err
	case TransactionPayload:
		p, err := ParsePayload(body)
		return fmt.Sprintf("compression=%d size=%v", p.Compression, p.Uncompressed > uint64(len(p.Data))), err
	case XIDEvent:
		_, err := ParseXID(body)
		return "", err
	case PreviousGTIDsEvent:
		_, err := ParsePreviousGTIDs(body)
		return "", err
	}
	if h.Type.IsRows() {
		ev, err := ParseRows(h.Type, body)
		return fmt.Sprintf("flags=%#x columns=%d", ev.Flags, ev.Columns), err
	}
	if h.Type.IsStatement() {
		return "statement", nil
	}
	return "", nil
}

func describeLog(t testing.TB, log []byte) string {
	var out strings.Builder
	events(t, log, func(h Header, format *Format, event []byte) {
		body, err := format.Body(event)
		if err != nil {
			t.Fatal(err)
		}
		line := describe(t, h, body)
		if !strings.HasSuffix(out.String(), line+"\n") { // rows come in many events
			out.WriteString(line + "\n")
		}
	})
	return out.String()
}

// TestControl goes over a log with every kind of event that carries no rows.
func TestControl(t *testing.T) {
	if *update {
		s := live(t)
		sql, err := os.ReadFile("testdata/control.sql")
		if err != nil {
			t.Fatal(err)
		}
		s.exec("SET GLOBAL binlog_row_metadata = FULL")
		log := s.record(func() { s.script(string(sql)) })
		s.exec("SET GLOBAL binlog_row_metadata = MINIMAL")
		if err := os.WriteFile("testdata/control.binlog", log, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/control.txt", []byte(describeLog(t, log)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, want := describeLog(t, golden(t, "control.binlog")), string(golden(t, "control.txt"))
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestTransactionLength adds up the events of each transaction and compares
// with what its GTID says; that reads the numbers in front of it rightly too.
func TestTransactionLength(t *testing.T) {
	var want, got uint64
	tagged, transactions := 0, 0
	check := func() {
		if got != want && transactions > 0 {
			t.Errorf("transaction %d has %d bytes, its GTID says %d", transactions, got, want)
		}
	}
	inner := false
	var last GTID
	events(t, golden(t, "control.binlog"), func(h Header, format *Format, event []byte) {
		if format.Checksum == ChecksumNone {
			inner = true
			return
		}
		body, _ := format.Body(event)
		switch h.Type {
		case GTIDEvent, GTIDTaggedEvent:
			check()
			g, err := ParseGTID(h.Type, body)
			if err != nil {
				t.Fatal(err)
			}
			if g.CommitTime/1e6-uint64(h.Timestamp) > 5 || g.OriginalTime != g.CommitTime || g.Sequence != last.Sequence+1 || g.SID[0]|g.SID[15] == 0 {
				t.Errorf("%+v follows %+v", g, last)
			}
			want, got, last = g.Length, 0, g
			transactions++
			if g.Tag == "blue" {
				tagged++
			}
		case RotateEvent:
			check()
			got = want
			return
		}
		got += uint64(len(event))
	})
	if tagged != 2 || transactions < 10 || !inner {
		t.Errorf("%d transactions, %d tagged, payload %v", transactions, tagged, inner)
	}
}

// TestPayloadRows compares what a compressed transaction did with the rows
// that it should have made, and looks at the limits of the reader.
func TestPayloadRows(t *testing.T) {
	b := walk(t, golden(t, "control.binlog"))
	inserts, deletes := 0, 0
	for i := range b.Records {
		r := &b.Records[i]
		row := r.Key()
		id := row[0].Int()
		if id < 100 {
			continue
		}
		if want := strings.Repeat(string(rune(65+id%26)), 1500); string(row[1].Bytes()) != want {
			t.Fatalf("row %d holds %.20q", id, row[1].Bytes())
		}
		switch {
		case r.After != nil && id == int64(100+inserts):
			inserts++
		case r.Before != nil && id == int64(100+deletes):
			deletes++
		default:
			t.Fatalf("row %d out of order", id)
		}
	}
	if inserts != 301 || deletes != 101 {
		t.Errorf("%d inserts, %d deletes", inserts, deletes)
	}
}

func payload(t testing.TB) Payload {
	t.Helper()
	var p Payload
	events(t, golden(t, "control.binlog"), func(h Header, format *Format, event []byte) {
		if h.Type == TransactionPayload {
			body, _ := format.Body(event)
			var err error
			if p, err = ParsePayload(body); err != nil {
				t.Fatal(err)
			}
		}
	})
	return p
}

func readAll(r *PayloadReader, p Payload) (events int, err error) {
	if err := r.Reset(p); err != nil {
		return 0, err
	}
	for {
		if _, err = r.Next(); err != nil {
			return events, err
		}
		events++
	}
}

func TestPayloadLimits(t *testing.T) {
	p := payload(t)
	r, err := NewPayloadReader(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := readAll(r, p); err == nil || !strings.Contains(err.Error(), "binlog_transaction_compression_level_zstd") {
		t.Errorf("a window that is too small gives %v", err)
	}
	r, err = NewPayloadReader(8 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, _ := readAll(r, p)
	r.MaxEvent = 100
	if _, err := readAll(r, p); err == nil || err.Error() == "EOF" {
		t.Error("an event above the limit passes")
	}
	r.MaxEvent = 1 << 30
	for cut := range len(p.Data) {
		short := p
		short.Data = p.Data[:cut]
		if k, err := readAll(r, short); err == nil || err.Error() == "EOF" || k >= n {
			t.Fatalf("%d of %d bytes give %d events and %v", cut, len(p.Data), k, err)
		}
	}
	for _, claim := range []uint64{0, 20, p.Uncompressed - 1, p.Uncompressed + 1} {
		lie := p
		lie.Uncompressed = claim
		if _, err := readAll(r, lie); err == nil || err.Error() == "EOF" {
			t.Errorf("a size of %d instead of %d passes", claim, p.Uncompressed)
		}
	}
	if k, err := readAll(r, p); k != n || err.Error() != "EOF" {
		t.Errorf("after faults the reader gives %d of %d events, %v", k, n, err)
	}
}

// TestChecksum flips every byte of an event.
func TestChecksum(t *testing.T) {
	events(t, golden(t, "minimal.binlog"), func(h Header, format *Format, event []byte) {
		for i := range event {
			bad := bytes.Clone(event)
			bad[i] ^= 0x10
			if err := format.Verify(bad); err == nil {
				t.Fatalf("%s: byte %d flipped passes", h.Type, i)
			}
		}
	})
}

func TestFormatFaults(t *testing.T) {
	fde := record(t, "sb").format
	f, err := ParseFormat(fde)
	if err != nil || !strings.HasPrefix(f.ServerVersion, "9.7") || f.Checksum != ChecksumCRC32 {
		t.Fatalf("%+v, %v", f, err)
	}
	for n := range fde {
		if _, err := ParseFormat(fde[:n]); err == nil {
			t.Fatalf("%d bytes pass", n)
		}
	}
	inUse := bytes.Clone(fde)
	inUse[17] ^= FlagInUse
	if _, err := ParseFormat(inUse); err != nil {
		t.Errorf("a log in use: %v", err)
	}
	for at, text := range map[int]string{HeaderSize: "format version", HeaderSize + 56: "headers of", len(fde) - 5: "checksum algorithm", 30: "damaged"} {
		bad := bytes.Clone(fde)
		bad[at] ^= 0x40
		if _, err := ParseFormat(bad); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

// TestTruncatedBodies cuts the body of every event of the logs that carries
// no rows at every length: that must give an error or a shorter text, and no
// panic.
func TestTruncatedBodies(t *testing.T) {
	for _, name := range []string{"control.binlog", "types.binlog"} {
		events(t, golden(t, name), func(h Header, format *Format, event []byte) {
			body, _ := format.Body(event)
			if h.Type.IsRows() || len(body) > 2000 {
				return
			}
			for n := range body {
				_, _ = describeBody(h, body[:n:n])
			}
		})
	}
}

func TestHeartbeats(t *testing.T) {
	r, err := ParseHeartbeat(Header{Type: HeartbeatEvent, LogPos: 77}, []byte("binlog.000001"))
	if err != nil || r.File != "binlog.000001" || r.Pos != 77 {
		t.Errorf("%+v, %v", r, err)
	}
	v2 := append([]byte{1, 13}, "binlog.000002"...)
	v2 = append(v2, 9, 2, 1, 1, 2, 9, 254, 0, 0, 0, 0, 1, 0, 0, 0, 0)
	r, err = ParseHeartbeat(Header{Type: HeartbeatEventV2}, v2)
	if err != nil || r.File != "binlog.000002" || r.Pos != 1<<32 {
		t.Errorf("%+v, %v", r, err)
	}
	for n := range v2 {
		if _, err := ParseHeartbeat(Header{Type: HeartbeatEventV2}, v2[:n]); err == nil {
			t.Errorf("%d bytes of a heartbeat pass", n)
		}
	}
}

func TestEventTypes(t *testing.T) {
	for typ := range 256 {
		e := EventType(typ)
		if e.Known() == strings.HasPrefix(e.String(), "event type ") {
			t.Errorf("%s: known %v", e, e.Known())
		}
	}
	for _, e := range []EventType{IntvarEvent, RandEvent, UserVarEvent, AppendBlockEvent, BeginLoadQueryEvent, ExecuteLoadQueryEvent} {
		if !e.IsStatement() {
			t.Errorf("%s is no statement", e)
		}
	}
	if EventType(0).Known() || EventType(20).Known() || EventType(43).Known() || EventType(159).Known() || EventType(172).Known() || QueryEvent.IsStatement() {
		t.Error("types known that are not")
	}
}

// TestPreviousGTIDsLive compares PREVIOUS_GTIDS with what the server says.
func TestPreviousGTIDsLive(t *testing.T) {
	s := live(t)
	s.exec("CREATE TABLE t (id INT)")
	for _, next := range []string{"AUTOMATIC:blue", "AUTOMATIC:a_tag", "AUTOMATIC", "11111111-2222-3333-4444-555555555555:x:7", "11111111-2222-3333-4444-555555555555:9"} {
		s.exec("SET gtid_next = '" + next + "'")
		if _, err := s.conn.Execute("INSERT INTO t VALUES (1)"); err != nil {
			t.Fatal(err)
		}
	}
	s.exec("SET gtid_next = 'AUTOMATIC'")
	s.exec("FLUSH BINARY LOGS")
	r := s.exec("SELECT @@gtid_executed")
	want, _ := r.GetString(0, 0)
	r = s.exec("SHOW BINARY LOG STATUS")
	file, _ := r.GetString(0, 0)
	found := false
	events(t, dump(t, file), func(h Header, format *Format, event []byte) {
		if h.Type != PreviousGTIDsEvent {
			return
		}
		found = true
		body, _ := format.Body(event)
		set, err := ParsePreviousGTIDs(body)
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		for _, g := range set {
			for _, i := range g.Intervals {
				one := GTID{SID: g.SID, Tag: g.Tag, GNO: i.First}
				parts = append(parts, fmt.Sprintf("%s-%d", one.AppendText(nil), i.Last))
			}
		}
		got := strings.Join(parts, ",")
		r := s.exec("SELECT GTID_SUBSET('" + got + "', '" + want + "') AND GTID_SUBSET('" + want + "', '" + got + "')")
		if ok, _ := r.GetInt(0, 0); ok != 1 {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	if !found {
		t.Error("no PREVIOUS_GTIDS")
	}
}

// TestNoChecksumLive reads a log without checksums.
func TestNoChecksumLive(t *testing.T) {
	s := live(t)
	s.exec("CREATE TABLE t (id INT PRIMARY KEY)")
	s.exec("SET GLOBAL binlog_checksum = NONE")
	s.exec("SET GLOBAL binlog_row_metadata = FULL")
	log := s.record(func() { s.exec("INSERT INTO t VALUES (1), (2)") })
	s.exec("SET GLOBAL binlog_row_metadata = MINIMAL")
	s.exec("SET GLOBAL binlog_checksum = CRC32")
	events(t, log, func(h Header, format *Format, event []byte) {
		if format.Checksum != ChecksumNone {
			t.Fatalf("%s has a checksum", h.Type)
		}
	})
	if b := walk(t, log); len(b.Records) != 2 || b.Records[1].After[0].Int() != 2 {
		t.Errorf("%d records", len(b.Records))
	}
}

// TestGTIDTail cuts a GTID event where older servers end it, and gives it an
// original time of its own.
func TestGTIDTail(t *testing.T) {
	body := []byte{1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 7, 0, 0, 0, 0, 0, 0, 0,
		2, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 0, 0, 0x80, 2, 0, 0, 0, 0, 0, 0,
		0xfc, 0, 1, 0x50, 0x62, 1, 0x80, 0x51, 0x62, 1, 0}
	full := GTID{SID: [16]byte(body[1:17]), GNO: 7, MayHaveStatements: true, LastCommitted: 5, Sequence: 6, CommitTime: 1, OriginalTime: 2,
		Length: 256, ServerVersion: 90704}
	for n := range len(body) + 1 {
		want := full
		g, err := ParseGTID(GTIDEvent, body[:n])
		switch n {
		case 25:
			want = GTID{SID: full.SID, GNO: 7, MayHaveStatements: true}
		case 42:
			want.CommitTime, want.OriginalTime, want.Length, want.ServerVersion = 0, 0, 0, 0
		case 56:
			want.Length, want.ServerVersion = 0, 0
		case 59:
			want.ServerVersion = 0
		case 63, 64, 65, 66, 67:
		default:
			if err == nil {
				t.Errorf("%d bytes pass: %+v", n, g)
			}
			continue
		}
		if err != nil || g != want {
			t.Errorf("%d bytes: %+v, %v, want %+v", n, g, err, want)
		}
	}
	if _, err := ParseGTID(QueryEvent, body); err == nil {
		t.Error("a statement has a GTID")
	}
	if s := string(full.AppendText(nil)); s != "01020304-0506-0708-090a-0b0c0d0e0f10:7" {
		t.Error(s)
	}
}
