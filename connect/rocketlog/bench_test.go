package rocketlog

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/rockettest"
	"github.com/towline/towline/schema"
)

// changes are messages of one change each, about as JSON makes them, for 8
// partitions.
func changes(n int) []connect.Message {
	table := &schema.Table{Database: "bench", Name: "sb"}
	origin := &connect.Origin{GNO: 12345, File: "binlog.000001", Pos: 123456789}
	msgs := make([]connect.Message, n)
	for i := range msgs {
		msgs[i] = connect.Message{Topic: "t", Partition: int32(i % 8), Count: 1, Time: 1700000000000000, Key: fmt.Appendf(nil, `{"id":%d}`, i),
			Value: bytes.Repeat([]byte("0123456789"), 90), Source: "source/src/0/", Seq: uint64(i), Op: connect.OpUpdate, Table: table, Origin: origin}
	}
	return msgs
}

func benchLog(b *testing.B) *Log {
	l := openLog(b, options(rockettest.Shared(b)))
	check(b, l.CreateTopic(b.Context(), "t", 8))
	return l
}

// BenchmarkAppend appends changes, 4,000 at a time. Most of the time is the broker's.
func BenchmarkAppend(b *testing.B) {
	l, msgs := benchLog(b), changes(4000)
	b.ReportAllocs()
	for b.Loop() {
		check(b, l.Append(b.Context(), msgs, nil))
	}
}
