package connect

import "testing"

// The ID of a barrier is the same whenever the record is made anew, and a later
// one has a greater one.
func TestBarriersAreOrdered(t *testing.T) {
	truncation := func(seq uint64, file string, pos uint64) *Record {
		return &Record{Op: OpTruncate, Seq: seq, Time: 5, Origin: &Origin{File: file, Pos: pos}}
	}
	copy := func(seq uint64, file string, pos, n uint64) *Record {
		return &Record{Op: OpTruncate, Seq: seq, Time: 9, Origin: &Origin{Snapshot: true, File: file, Pos: pos, Copy: n}}
	}
	copied := func(seq uint64, time int64) *Record {
		return &Record{Op: OpSchema, Flags: Reread, Seq: seq, Time: time}
	}
	for _, list := range [][]*Record{
		{truncation(1, "b.000009", 900), truncation(2, "b.000009", 100), truncation(2, "b.000010", 4), truncation(2, "b.000010", 256), truncation(2, "b.1000000", 4),
			truncation(1<<SeqEpochShift, "a.000001", 4)},
		{truncation(3, "", 0), copy(3, "", 0, 1), copy(3, "b.000009", 100, 2), copy(3, "b.000009", 100, 1<<24|1), truncation(3, "b.000009", 101), truncation(4, "", 0)},
		{copied(1, 9), copied(2, 3), copied(2, 4), copied(2, 1<<40)},
	} {
		before := ""
		for i, r := range list {
			var b Batch
			again := *r
			r.SetBarrier(&b, 3)
			again.SetBarrier(&b, 3)
			bar, err := r.Barrier()
			if err != nil || bar == nil || bar.Partitions != 3 || bar.ID <= before {
				t.Fatalf("record %d: %+v behind %s, %v", i, bar, before, err)
			}
			if same, err := again.Barrier(); err != nil || *same != *bar {
				t.Fatalf("record %d: %+v and %+v, %v", i, bar, same, err)
			}
			if seq, time, err := BarrierPlace(bar.ID); err != nil || seq != r.Seq || time != r.Time {
				t.Errorf("record %d is of %d, %d, %v", i, seq, time, err)
			}
			before = bar.ID
		}
	}
}

func TestBarriersOfOtherFormats(t *testing.T) {
	r := Record{Op: OpTruncate}
	if bar, err := r.Barrier(); bar != nil || err != nil {
		t.Fatal(bar, err)
	}
	for _, value := range []string{"", "3", "3 12", "1 00000000000000000000000000000000", "x 00000000000000000000000000000000", "3 0000000000000000000000000000000x"} {
		r.Headers = []Header{{Key: HeaderBarrier, Value: []byte(value)}}
		if bar, err := r.Barrier(); err == nil {
			t.Errorf("%q is taken for %+v", value, bar)
		}
	}
}

func TestInsert(t *testing.T) {
	var b Batch
	for i := range 5 {
		b.Add().Seq = uint64(i + 1)
	}
	b.Insert(2, 3)
	for i, want := range []uint64{1, 2, 0, 0, 0, 3, 4, 5} {
		if b.Records[i].Seq != want {
			t.Fatalf("record %d is %d, want %d", i, b.Records[i].Seq, want)
		}
	}
}
