package worker

import (
	"strings"
	"testing"

	"github.com/towline/towline/connect"
)

// What concerns all rows of a table is put into each partition of its topic, in
// its place among the changes; how a shape came about is told in the first one.
func TestBarriersAreInEachPartition(t *testing.T) {
	g := newRig(t, 1, true, true)
	tab := tables(t)[0]
	task := &sourceTask{topics: map[string]int32{"many": 4, "one": 1}, log: g.log}
	var b connect.Batch
	add := func(op connect.Op, topic string, flags connect.Flags) *connect.Record {
		r := b.Add()
		r.Op, r.Topic, r.Table, r.Flags, r.Seq = op, topic, tab, flags, uint64(len(b.Records))
		r.Origin = &connect.Origin{File: "binlog.000001", Pos: 4}
		return r
	}
	add(connect.OpSchema, "many", 0)
	add(connect.OpTruncate, "many", 0)
	add(connect.OpSchema, "many", connect.Reread).SetSchemaChange(&b, &connect.SchemaChange{Was: tab, Now: tab, From: []int{0, 1}})
	add(connect.OpTruncate, "one", 0)
	add(connect.OpSchema, "many", 0)
	add(connect.OpTruncate, "many", 0).SetSchemaChange(&b, &connect.SchemaChange{Was: tab, Now: tab, From: []int{0, 1}})
	if err := task.route(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range b.Records {
		r := &b.Records[i]
		bar, err := r.Barrier()
		if err != nil || (bar != nil) != (isBarrier(r) && r.Topic == "many") {
			t.Fatalf("record %d: %v, %v", i, bar, err)
		}
		c, err := r.SchemaChange()
		if err != nil || (c != nil) != (r.Flags&connect.Reread != 0 && r.Partition == 0 || i >= 11) { // whoever empties the table changes it
			t.Errorf("record %d has the change %v, %v", i, c, err)
		}
		got = append(got, string(r.Op)+string(rune('0'+r.Partition)))
	}
	if got := strings.Join(got, " "); got != "s0 t0 t1 t2 t3 s0 s1 s2 s3 t0 s0 t0 t1 t2 t3" {
		t.Errorf("the records are %s", got)
	}
}

// A truncation that has neither a place at the source nor a number is not told from
// others.
func TestTruncationsWithoutAPlaceAreNoBarriers(t *testing.T) {
	for _, o := range []*connect.Origin{nil, {Snapshot: true, File: "binlog.000001"}} {
		var b connect.Batch
		r := b.Add()
		r.Op, r.Topic, r.Table, r.Origin = connect.OpTruncate, "many", tables(t)[0], o
		if err := spreadBarrier(&b, 0, 4); err == nil || !connect.IsPermanent(err) || !strings.Contains(err.Error(), "4 partitions") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// A sink that does not know of barriers refuses a truncation of several
// partitions, and every sink one that does not say that it is such.
func TestSinksRefuseTruncationsOfSeveralPartitions(t *testing.T) {
	for _, c := range []struct {
		topic         string
		knows, header bool
		fault         string
	}{
		{"many", true, true, ""}, {"many", false, true, "each of the 4 partitions"}, {"many", true, false, "each of the 4 partitions"},
		{"one", true, false, ""}, {"one", false, false, ""},
	} {
		g := newRig(t, 1, true, true)
		for topic, n := range map[string]int32{"many": 4, "one": 1} {
			if err := g.log.CreateTopic(t.Context(), topic, n); err != nil {
				t.Fatal(err)
			}
		}
		task := &sinkTask{log: g.log, barriers: c.knows}
		var u sinkUnit
		r := u.batch.Add()
		r.Op, r.Topic, r.Table, r.Origin = connect.OpTruncate, c.topic, tables(t)[0], &connect.Origin{File: "binlog.000001"}
		if c.header {
			r.SetBarrier(&u.batch, 4)
		}
		err := task.checkBarriers(t.Context(), &u)
		if (err == nil) != (c.fault == "") || err != nil && (!connect.IsPermanent(err) || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
