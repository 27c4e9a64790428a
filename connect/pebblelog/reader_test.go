package pebblelog

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/towline/towline/connect"
)

// A message that waits alone comes back whole, whatever it is and wherever it is
// stored.
func TestOneWaits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l := openLog(t, Options{Dir: dir})
	mustCreate(t, l, "t", 1)
	large := func(n int) []byte { return bytes.Repeat([]byte("0123456789abcde"), n/15+1) }
	var want []string
	var ends []int64
	for _, msgs := range [][]connect.Message{
		{{Value: []byte("small")}},
		{{Key: []byte("k"), Time: 77, Headers: []connect.Header{{Key: "h", Value: []byte("v")}, {Key: "nil"}}}},
		{{Value: large(maxSmall)}},
		{{Value: large(2 * partBytes)}},
		{{Value: []byte("one")}, {Value: []byte("two")}, {Value: []byte("the last of a run")}},
		{{Value: []byte("behind it")}},
	} {
		for i := range msgs {
			msgs[i].Topic = "t"
		}
		mustAppend(t, l, msgs...)
		for i := range msgs {
			want = append(want, show(&msgs[i]))
		}
		_, end := bounds(t, l, 0)
		ends = append(ends, end)
		check := func(l *Log) {
			t.Helper()
			r := mustReader(t, l, connect.Cursor{Topic: "t", Offset: end - 1})
			if m := readN(t, r, 1, 1); len(m.List) != 1 || m.List[0].Offset != end-1 || show(&m.List[0]) != want[end-1] {
				t.Errorf("offset %d is %.100q, want %.100q", end-1, show(&m.List[0]), want[end-1])
			}
			_ = r.Close()
		}
		check(l)
		if err := l.db.Flush(); err != nil {
			t.Fatal(err)
		}
		check(l)
	}
	if len(ends) != 6 || ends[5] != int64(len(want)) {
		t.Fatal(ends)
	}
}

// To read what was appended a moment ago no file is looked into, though files
// have what is before and behind it.
func TestOneWaitsInMemory(t *testing.T) {
	l := openLog(t, Options{})
	const partitions = 3
	mustCreate(t, l, "t", partitions)
	value := bytes.Repeat([]byte("0123456789abcde"), 3000)
	for i := range 2 {
		for p := range int32(partitions) {
			mustAppend(t, l, connect.Message{Topic: "t", Partition: p, Value: fmt.Appendf(nil, "%d %s", i, value)})
		}
		if err := l.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	r := mustReader(t, l, connect.Cursor{Topic: "t", Partition: 1, Offset: 2})
	looks := func() int64 { m := l.db.Metrics(); return m.BlockCache.Hits + m.BlockCache.Misses }
	mustAppend(t, l, connect.Message{Topic: "t", Partition: 1, Value: value})
	before := looks()
	if m := readN(t, r, 1, 1); !bytes.Equal(m.List[0].Value, value) {
		t.Error("it is another one")
	}
	if n := looks() - before; n != 0 {
		t.Errorf("%d blocks of files were looked into", n)
	}
}
