package rocketlog

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/schema"
)

// properties returns those of a parcel, but for what is only ours.
func properties(p *parcel) (list []string) {
	m := remoting.Message{Props: p.props}
	m.Each(func(name, value []byte) {
		if string(name) != propMeta {
			list = append(list, fmt.Sprintf("%s=%s", name, value))
		}
	})
	return list
}

func TestLabels(t *testing.T) {
	table := &schema.Table{Database: "shop", Name: "orders"}
	at := &connect.Origin{SID: [16]byte{15: 1}, GNO: 7, File: "binlog.000003", Pos: 4711}
	where := []string{"gtid=00000000-0000-0000-0000-000000000001:7", "file=binlog.000003", "pos=4711"}
	for _, c := range []struct {
		name string
		m    connect.Message
		want []string
	}{
		{"many records", connect.Message{Count: 9, Key: []byte("k")}, []string{"KEYS=k"}},
		{"an insert", connect.Message{Op: connect.OpInsert, Table: table, Origin: at, Time: 1700000000123456, Key: []byte(`{"id":1}`)},
			append([]string{`KEYS={"id":1}`, "TAGS=c", "op=c", "ts_ms=1700000000123", "db=shop", "table=orders"}, where...)},
		{"of the same event", connect.Message{Op: connect.OpInsert, Table: table, Origin: at, Time: 1700000000123456, Key: []byte(`{"id":2}`)},
			append([]string{`KEYS={"id":2}`, "TAGS=c", "op=c", "ts_ms=1700000000123", "db=shop", "table=orders"}, where...)},
		{"another op", connect.Message{Op: connect.OpDelete, Table: table, Origin: at, Time: 1700000000123456},
			append([]string{"TAGS=d", "op=d", "ts_ms=1700000000123", "db=shop", "table=orders"}, where...)},
		{"without a log", connect.Message{Op: connect.OpRead, Table: table, Key: []byte("two words")}, []string{"TAGS=r", "op=r", "ts_ms=0", "db=shop", "table=orders"}},
		{"a name that would break properties", connect.Message{Op: connect.OpRead, Table: &schema.Table{Database: "a\x01b\x02c", Name: "t t"}}, []string{"TAGS=r", "op=r", "ts_ms=0", "table=t t"}},
		{"a message for people", connect.Message{Op: connect.OpMessage, Table: table}, []string{"TAGS=m", "op=m", "ts_ms=0"}},
	} {
		var k packer
		k.pack(3, &c.m)
		if got := properties(&k.list[0]); !slices.Equal(got, c.want) || len(k.list) != 1 || k.owner[0] != 3 {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestPropertiesFit: whatever a message has, its properties are what brokers take.
func TestPropertiesFit(t *testing.T) {
	long := strings.Repeat("\U0001f600", 64)
	m := connect.Message{Op: connect.OpUpdate, Table: &schema.Table{Database: long, Name: long}, Key: []byte(strings.Repeat("k", maxKeys)),
		Origin: &connect.Origin{GNO: 1<<63 - 1, Tag: strings.Repeat("t", 32), File: strings.Repeat("f", 255), Pos: 1<<64 - 1}, Source: strings.Repeat("s", 200),
		Headers: []connect.Header{{Key: "h", Value: make([]byte, maxMeta-300)}}}
	for range 3 { // near the limit of the meta, and beyond it
		var k packer
		k.pack(0, &m)
		if n := len(k.list[0].props) + 100; n > remoting.MaxProperties { // with the stamp and what a broker adds
			t.Errorf("properties of %d bytes", n)
		}
		m.Headers[0].Value = append(m.Headers[0].Value, make([]byte, 200)...)
	}
}

// Packing the rows of events allocates nothing for each.
func TestPackingAllocates(t *testing.T) {
	table, at := &schema.Table{Database: "shop", Name: "orders"}, &connect.Origin{GNO: 7, File: "binlog.000003"}
	msgs := make([]connect.Message, 1000)
	for i := range msgs {
		msgs[i] = connect.Message{Op: connect.OpInsert, Table: table, Origin: at, Key: []byte(`{"id":1}`), Value: []byte("value"), Source: "source/in/0/", Seq: uint64(i)}
	}
	var k packer
	run := func() {
		k.begin()
		for i := range msgs {
			k.pack(i, &msgs[i])
		}
	}
	run()
	if n := testing.AllocsPerRun(10, run); n > 0 {
		t.Errorf("packing %d messages allocates %v times", len(msgs), n)
	}
}
