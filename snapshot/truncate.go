package snapshot

import (
	"time"

	"github.com/towline/towline/connect"
)

// truncations is what is known of the truncations that a Source makes: of tables
// whose copies begin anew. In a topic of several partitions each of them must be
// told from all others, and known to be later than those before (connect.Barrier),
// also where a crash has left one in some partitions only. So runs are numbered,
// and the number of a run is durable before it makes its first truncation.
//
// Nothing goes out behind a truncation until that is durable too. A log that is not
// Atomic may else have, after a crash, changes that come again, and are dropped
// there since they are in it: but before the truncation that is made anew.
type truncations struct {
	run        uint64 // of the last one that has made any
	numbered   bool   // run is this one
	runUnsaved bool
	made       uint64 // in this run
	due        uint64 // the batch that must be durable before anything goes out; 0: none
}

// runShift is where the number of a run begins in that of a truncation.
const runShift = 24

// waits reports whether nothing may go out yet.
func (w *weaver) waits() bool { return w.due > w.durable }

// emitTruncations fills b with the truncations of tables whose copies begin anew,
// or, before the first ones of this run, with the number of the run alone.
func (w *weaver) emitTruncations(b *connect.Batch) bool {
	for _, t := range w.order {
		if !t.truncate || t.shape == nil || t.stopped {
			continue
		}
		if !w.numbered {
			w.run++
			w.numbered, w.runUnsaved = true, true
			break
		}
		t.truncate, t.dirty = false, false
		w.save(t)
		w.truncation(b, t)
	}
	if !w.runUnsaved && len(b.Records) == 0 {
		return false
	}
	w.stamp(b)
	w.due = w.sent + 1
	w.wakeWorkers()
	return true
}

// truncation adds the truncation of t to b.
func (w *weaver) truncation(b *connect.Batch, t *table) {
	at := w.changes.Anchor(w.pos)
	w.seq = max(w.seq, at.Seq)
	w.made++
	r := b.Add()
	r.Op, r.Flags, r.Table, r.Seq, r.Time = connect.OpTruncate, connect.TxEnd, t.shape, w.seq, time.Now().UnixMicro()
	r.Topic, r.Origin = w.changes.Topic(t.shape), b.NewOrigin()
	r.Origin.Snapshot, r.Origin.File, r.Origin.Pos = true, at.End.File, at.End.Pos
	r.Origin.Copy = w.run<<runShift | w.made
}
