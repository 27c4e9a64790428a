package worker

import (
	"fmt"
	"testing"

	"github.com/towline/towline/connect"
)

// A message goes with the changes behind it: read again, it is dropped if one
// of them is in the log. A heartbeat goes with none.
func TestRepeats(t *testing.T) {
	for skip, want := range map[uint64]string{0: "m4 c5 c6 m6 h0", 4: "m4 c5 c6 m6 h0", 5: "c6 m6 h0", 6: "m6 h0", 7: "h0"} {
		var b connect.Batch
		for _, r := range []struct {
			op   connect.Op
			seq  uint64
			kind connect.Kind
		}{{connect.OpMessage, 4, connect.KindTransaction}, {connect.OpInsert, 5, ""}, {connect.OpInsert, 6, ""}, {connect.OpMessage, 6, connect.KindTransaction}, {connect.OpMessage, 0, connect.KindHeartbeat}} {
			rec := b.Add()
			rec.Op, rec.Seq = r.op, r.seq
			if r.kind != "" {
				rec.SetMessage(&b, r.kind, nil, nil)
			}
		}
		task := &sourceTask{skip: skip}
		last := task.dropRepeats(&b)
		got := ""
		for i := range b.Records {
			r := &b.Records[i]
			op := string(rune(r.Op))
			if kind, _, _, _ := r.Message(); kind == connect.KindHeartbeat {
				op = "h"
			}
			got += fmt.Sprintf(" %s%d", op, r.Seq)
		}
		if got != " "+want || last != max(6, skip) {
			t.Errorf("after %d: %s up to %d, want %s", skip, got, last, want)
		}
	}
}
