package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

func TestPositionCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := position{mode: rapid.SampledFrom([]mode{byGTID, byFile}).Draw(t, "mode"), seq: rapid.Uint64().Draw(t, "seq"),
			ordinal: rapid.Uint64().Draw(t, "ordinal"), file: rapid.String().Draw(t, "file"), pos: rapid.Uint64().Draw(t, "pos"), gtids: new(gtid.Set)}
		copy(p.server[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "server"))
		for range rapid.IntRange(0, 5).Draw(t, "gtids") {
			p.gtids.Add(gtid.UUID{rapid.Byte().Draw(t, "sid")}, "", rapid.Int64Range(1, 100).Draw(t, "gno"))
		}
		b := p.append(nil)
		putSeq(b, p.seq+1)
		p.seq++
		back, err := parsePosition(b)
		if err != nil || back.mode != p.mode || back.seq != p.seq || back.ordinal != p.ordinal || back.file != p.file ||
			back.pos != p.pos || back.server != p.server || !back.gtids.Equal(p.gtids) {
			t.Fatalf("%s came back as %s, %v", &p, &back, err)
		}
		for i := range b {
			if _, err := parsePosition(b[:i]); err == nil {
				t.Fatalf("%d bytes of %d pass", i, len(b))
			}
		}
	})
}

func TestPlaces(t *testing.T) {
	uuid := gtid.UUID{1}
	at := func(file string, pos uint64) offsets.Position {
		p := position{mode: byFile, server: uuid, file: file, pos: pos, gtids: new(gtid.Set)}
		return p.append(nil)
	}
	for _, c := range []struct {
		pos     offsets.Position
		file    string
		at      uint64
		reached bool
	}{
		{at("b.000001", 100), "b.000001", 100, true}, {at("b.000001", 100), "b.000001", 101, false}, {at("b.000002", 4), "b.000001", 1 << 40, true},
		{at("b.999999", 900), "b.1000000", 4, false}, {at("b.1000000", 4), "b.999999", 900, true}, {at("", 0), "b.000001", 4, false},
		{at("a.b.000002", 4), "a.b.000001", 5, true}, {at("b.000001", 1<<32+5), "b.000001", 1<<32 + 4, true},
	} {
		if got := new(Source).Reached(c.pos, c.file, c.at); got != c.reached {
			t.Errorf("%s reached %s:%d: %v", Describe(c.pos), c.file, c.at, got)
		}
		if got := Covers(c.pos, at(c.file, c.at)); got != c.reached {
			t.Errorf("%s covers %s:%d: %v", Describe(c.pos), c.file, c.at, got)
		}
	}
	set, _ := gtid.Parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:tag:1")
	p := position{mode: byGTID, server: uuid, seq: 1<<connect.SeqEpochShift | 7, gtids: set}
	gtids, server := new(Source).Anchor(p.append(nil))
	if gtids != set.String() || server != "01000000-0000-0000-0000-000000000000" {
		t.Errorf("anchor %q of %q", gtids, server)
	}
	if want := "GTIDs " + set.String() + " of server 01000000-0000-0000-0000-000000000000, change 7 of epoch 1"; p.String() != want {
		t.Errorf("%q, want %q", &p, want)
	}
	if got := Describe(offsets.Position("nonsense")); !strings.Contains(got, "not a position") {
		t.Errorf("%q", got)
	}
}

func TestTopics(t *testing.T) {
	top := topics{prefix: "p", delimiter: "."}
	for _, c := range [][3]string{
		{"db", "t", "p.db.t"}, {"a.b", "c", "p.a_x002E_b.c"}, {"a", "b.c", "p.a.b_x002E_c"}, {"a_x002E_b", "c", "p.a_x005F_x002E_b.c"},
		{"\u00e9", "\U0001F600", "p._x00E9_._x1F600_"}, {"_", "x", "p._.x"}, {"a b", "c'd", "p.a_x0020_b.c_x0027_d"},
	} {
		if got := top.of(c[0], c[1]); got != c[2] {
			t.Errorf("%q.%q: %s, want %s", c[0], c[1], got, c[2])
		}
	}
	if got := (topics{prefix: "all", single: true}).of("a", "b"); got != "all" {
		t.Error(got)
	}
	for in, want := range map[string]string{"": "", ".": "", "--": "", ".-.": "", "_": "'_'", "x": `"x"`, "|": `"|"`, "é": ""} {
		if err := checkDelimiter(in); (err == nil) != (strings.Trim(in, ".-") == "") || err != nil && !strings.Contains(err.Error(), strings.Trim(want, "'")) {
			t.Errorf("%q: %v", in, err)
		}
	}
	// A topic tells its table: it has one delimiter, and reading escapes from
	// left to right gives the names back. So no two tables share one.
	names := rapid.StringOfN(rapid.SampledFrom([]rune("_x0025DEFa-.\u00e9 \U0001F600")), 1, 12, -1)
	rapid.Check(t, func(t *rapid.T) {
		top := topics{prefix: "p.q-r", delimiter: rapid.SampledFrom([]string{".", "-", "--", ".-", "-.-"}).Draw(t, "delimiter")}
		db, table := names.Draw(t, "database"), names.Draw(t, "table")
		topic := top.of(db, table)
		parts := strings.Split(strings.TrimPrefix(topic, "p.q-r"+top.delimiter), top.delimiter)
		if len(parts) != 2 || unescape(parts[0]) != db || unescape(parts[1]) != table {
			t.Fatalf("%q.%q has the topic %s, which says %q", db, table, topic, parts)
		}
	})
}

func unescape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if strings.HasPrefix(s, "_x") {
			end := strings.IndexByte(s[2:], '_') + 2
			var r rune
			for _, c := range s[2:end] {
				r = r*16 + rune(strings.IndexRune("0123456789ABCDEF", c))
			}
			b.WriteRune(r)
			s = s[end+1:]
			continue
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		name   string
		values map[string]string
		in     []string
		out    []string
	}{
		{"all", nil, []string{"a.b", "x.y"}, []string{"mysql.user", "sys.x", "performance_schema.t", "information_schema.t"}},
		{"anchored", map[string]string{optDBInclude: "shop"}, []string{"shop.a", "SHOP.a"}, []string{"shop2.a", "ashop.a"}},
		{"tables", map[string]string{optTableInclude: `shop\.o.*,a\.b`}, []string{"shop.orders", "a.b"}, []string{"shop.items", "shopxorders.t", "a.bc"}},
		{"exclude", map[string]string{optDBExclude: "tmp.*", optTableExclude: `shop\.log`}, []string{"shop.a", "atmp.b"}, []string{"tmp1.a", "shop.log"}},
		{"system wins", map[string]string{optDBInclude: ".*", optTableInclude: `mysql\.user`}, nil, []string{"mysql.user"}},
	} {
		f, err := newFilter(connect.NewConfig(c.name, Options(), c.values))
		if err != nil {
			t.Fatal(err)
		}
		check := func(names []string, want bool) {
			for _, n := range names {
				db, table, _ := strings.Cut(n, ".")
				if f.table(db, table) != want {
					t.Errorf("%s: %s is captured: %v", c.name, n, !want)
				}
			}
		}
		check(c.in, true)
		check(c.out, false)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range Options() {
		if o.Doc == "" || o.Group == "" || o.Type == "" || o.Importance == "" || !strings.HasSuffix(o.Doc, ".") {
			t.Errorf("%s is not declared in full", o.Name)
		}
		if err := o.Validate(o.Default); err != nil && !o.Required {
			t.Errorf("%s: default: %v", o.Name, err)
		}
	}
	faults := Validate(connect.NewConfig("x", Options(), map[string]string{optDBInclude: "a", optDBExclude: "b", optSSLKey: "/no/such/file"}))
	if len(faults) != 3 {
		t.Errorf("faults %+v", faults)
	}
	if a, b := defaultServerID("a"), defaultServerID("b"); a == b || a < 1<<30 || b < 1<<30 {
		t.Errorf("server ids %d and %d", a, b)
	}
	if err := checkPrefix("a b"); err == nil {
		t.Error("a topic with a space passes")
	}
}

// Packets come back as they were sent, of any size and however the network
// cuts them, and what was handed out is not overwritten while it is held.
func TestPackets(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	sizes := []int{1, 20, 0, maxPacket - 1, maxPacket, maxPacket + 1, 2*maxPacket - 1, 2 * maxPacket, 3, slabSize - 4, slabSize, slabSize + 1}
	for range 3000 {
		sizes = append(sizes, 20+rnd.IntN(3000))
	}
	client, server := net.Pipe()
	defer client.Close()
	var want [][]byte
	go func() {
		defer server.Close()
		w := &chopped{server, rnd}
		seq := byte(1)
		for i, n := range sizes {
			seq = writePacket(w, packetOf(i, n), seq)
		}
	}()
	for i, n := range sizes {
		want = append(want, packetOf(i, n))
	}
	p := packets{conn: client, timeout: time.Minute, seq: 1}
	const kept = 64 // packets at a time
	var units [2]unit
	check := func(u *unit, first int) {
		for k := range u.events {
			if !bytes.Equal(u.events[k].bytes, want[first+k]) {
				t.Fatalf("packet %d of %d bytes is %d other bytes", first+k, len(want[first+k]), len(u.events[k].bytes))
			}
		}
		u.letGo() // and what it had is read into again
	}
	for i := range want {
		u := &units[i/kept%2]
		if i%kept == 0 {
			check(u, i-2*kept)
		}
		b, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		u.add(event{b, p.in})
	}
	last := (len(want) - 1) / kept
	check(&units[last%2], last*kept)
	check(&units[1-last%2], (last-1)*kept)
	if b, err := p.next(); err == nil {
		t.Fatalf("%d bytes come after the end", len(b))
	}
}

// packetOf makes packet i of n bytes, which has the size of its event where
// the header of an event has it.
func packetOf(i, n int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, n)
	if n > 20 {
		b[0] = 0
		binary.LittleEndian.PutUint32(b[10:], uint32(n-1))
	}
	return b
}

func writePacket(w io.Writer, b []byte, seq byte) byte {
	for {
		n := min(len(b), maxPacket)
		head := []byte{byte(n), byte(n >> 8), byte(n >> 16), seq}
		w.Write(head)
		w.Write(b[:n])
		b = b[n:]
		seq++
		if n < maxPacket {
			return seq
		}
	}
}

// chopped writes in pieces of random size.
type chopped struct {
	w   io.Writer
	rnd *rand.Rand
}

func (c *chopped) Write(b []byte) (int, error) {
	all := len(b)
	for len(b) > 0 {
		n := min(len(b), 1+c.rnd.IntN(100_000))
		if _, err := c.w.Write(b[:n]); err != nil {
			return 0, err
		}
		b = b[n:]
	}
	return all, nil
}

func TestPacketsOutOfOrder(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		writePacket(server, []byte("abc"), 5)
	}()
	p := packets{conn: client, timeout: time.Minute, seq: 1}
	if _, err := p.next(); !errors.Is(err, errSequence) {
		t.Fatal(err)
	}
}
