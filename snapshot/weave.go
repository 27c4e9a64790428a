package snapshot

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// weaver is what Read and the workers share: the tables, the open windows and
// the place of the stream. It does no I/O but to ask Changes. Methods in lower
// case that begin with a lock say so; all others want mu held.
type weaver struct {
	cfg     Config
	env     connect.Env
	changes Changes
	// touch remembers the keys of a change, identity is what a key is known by;
	// tests break them.
	touch    func(t *table, r *connect.Record)
	identity func(dst []byte, row schema.Row, key []int) []byte

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, when workers may find work
	ready   chan struct{} // has an element when Read may find something to emit

	tables   map[tableName]*table
	order    []*table
	work     []*table                 // those that are not copied, and perhaps others
	unsaved  []*table                 // whose progress is to be saved
	news     bool                     // a table may have a truncation or a shape to be told
	shapes   map[*schema.Table]*table // of lookups
	gone     []string                 // state keys to delete
	pos      offsets.Position
	boundary bool   // pos is where the stream is
	begun    bool   // a batch of the stream has passed
	seq      uint64 // of the last change
	seqSaved uint64
	server   string
	checked  time.Time
	upTos    int // tables that have one

	paused        bool // by a signal
	pausedUnsaved bool
	rest          string // why copies rest, says the Brake; "" is not
	file          signalFile
	fileFault     string // of the last look at it
	fileUnsaved   bool
	signals       chan struct{} // has an element when there may be something to attend to
	tell          bool          // the state is to go out soon
	tickets       []*ticket
	sent, durable uint64 // batches with a Pos
	truncations
	paceAt time.Time // no window opens before

	windows  []*window
	reserved int64
	emitting *window
	copy     *lockedCopy
	copied   bool // the last batch was one of the copy
	free     []*connect.Batch
	key      []byte
}

// window is a chunk between OPEN and CLOSE.
type window struct {
	table      *table
	shape      *schema.Table
	segment    *segment
	generation uint64
	chunk      Chunk
	reading    bool
	discarded  bool
}

func newWeaver(cfg Config, changes Changes, env connect.Env) *weaver {
	w := &weaver{cfg: cfg.filled(), env: env, changes: changes, changed: make(chan struct{}), ready: make(chan struct{}, 1),
		tables: map[tableName]*table{}, shapes: map[*schema.Table]*table{}, file: signalFile{path: cfg.SignalFile}, signals: make(chan struct{}, 1)}
	if w.env.Logger == nil {
		w.env.Logger = slog.New(slog.DiscardHandler)
	}
	w.touch, w.identity = w.remember, connect.AppendKey
	if w.cfg.Brake != nil {
		w.rest = notLooked
	}
	return w
}

// wakeWorkers lets the workers look for work.
func (w *weaver) wakeWorkers() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// wakeRead lets Read look for something to emit.
func (w *weaver) wakeRead() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *weaver) tableOf(s *schema.Table) *table {
	if t, ok := w.shapes[s]; ok {
		return t
	}
	t := w.tables[tableName{s.Database, s.Name}]
	if t != nil {
		if len(w.shapes) > 2*len(w.tables)+64 {
			clear(w.shapes)
		}
		w.shapes[s] = t
	}
	return t
}

func (w *weaver) add(n tableName) *table {
	t := &table{tableName: n}
	w.tables[n] = t
	w.order = append(w.order, t)
	return t
}

// load takes over what earlier runs saved. fresh means that the stream begins
// anew, so that nothing of it holds any more.
func (w *weaver) load(state []offsets.Entry, fresh bool) error {
	for _, e := range state {
		if e.Key == seqKey {
			if fresh {
				continue
			}
			w.seq = seqOf(e.Pos)
			w.seqSaved = w.seq
			continue
		}
		if e.Key == pausedKey {
			w.paused = len(e.Pos) > 0
			continue
		}
		if e.Key == runKey {
			w.run = seqOf(e.Pos)
			continue
		}
		if e.Key == fileKey {
			w.file.parse(e.Pos)
			continue
		}
		database, name, ok := parseStateKey(e.Key)
		if !ok {
			return connect.Permanent(fmt.Errorf("snapshot: state %q is not of this version", e.Key))
		}
		p, err := parseProgress(e.Pos)
		if err != nil {
			return connect.Permanent(fmt.Errorf("snapshot: state %q: %w", e.Key, err))
		}
		t := w.add(tableName{database, name})
		t.progress, t.announce = *p, p.status != done || fresh
		if t.revive {
			t.revivals = 1
		}
		w.want(t)
		switch {
		case fresh:
			t.whole()
			t.revive, t.told = false, toldNothing // all tables are followed anew
			t.dirty = true                        // rows may have been deleted meanwhile
			w.restart(t)
		case t.upTo.File != "":
			w.upTos++
		case t.dirty && t.status == copying: // a locked copy that was cut off
			w.restart(t)
		}
	}
	return nil
}

// setTables takes over the list of tables that there are.
func (w *weaver) setTables(list []*schema.Table) {
	there := make(map[*table]bool, len(list))
	for _, s := range list {
		if w.isSignals(s) {
			continue
		}
		t := w.tableOf(s)
		if t == nil {
			t = w.add(tableName{s.Database, s.Name})
			t.shape, t.announce = s, true
			w.admit(t, false)
			w.want(t)
		}
		there[t] = true
		if t.stopped {
			continue
		}
		if t.shape != s {
			w.reshape(t, s, false)
		}
		if t.reported == "" {
			t.report(&w.env, nil, w.why())
		}
	}
	for _, t := range slices.Clone(w.order) {
		if !there[t] && (t.shape != nil || w.begun) {
			w.vanish(t)
		}
	}
	w.wakeWorkers()
}

// admit decides what a table that was not known needs.
func (w *weaver) admit(t *table, empty bool) {
	if empty || w.cfg.Mode == NoData {
		t.progress = progress{status: done, dirty: t.keyless()}
	} else {
		t.begin()
		w.want(t)
	}
	w.save(t)
}

// want says that there may be something to do for t.
func (w *weaver) want(t *table) {
	w.news = true
	if !t.listed && t.status != done {
		t.listed = true
		w.work = append(w.work, t)
	}
}

// unwant is the inverse of want.
func (w *weaver) unwant(t *table) {
	if t.listed {
		t.listed = false
		w.work = slices.DeleteFunc(w.work, func(o *table) bool { return o == t })
	}
}

// vanish forgets a table that is not there, or not captured, any more. Should
// it come back it is copied anew. What must be truncated then is kept in mind.
// Until then there is nothing to wait for, which is reported.
func (w *weaver) vanish(t *table) {
	if t.stopped || t.dirty || t.truncate || t.revive {
		if t.shape != nil {
			w.restart(t)
			t.shape = nil
			clear(w.shapes)
			w.reportGone(t)
		}
		return
	}
	w.discardAll(t)
	w.clearUpTo(t)
	t.shape = nil
	w.reportGone(t)
	delete(w.tables, t.tableName)
	clear(w.shapes)
	w.order = slices.DeleteFunc(w.order, func(o *table) bool { return o == t })
	w.unwant(t)
	w.gone = append(w.gone, stateKey(t.database, t.name))
}

// reportGone tells that a table is not there any more or, if the change source
// has stopped it, again why: reports of its copy may have come in between.
func (w *weaver) reportGone(t *table) {
	if reason, ok := w.changes.Stopped(t.database, t.name); ok && w.env.Report != nil {
		t.reported = connect.TableStopped
		w.env.Report(connect.TableStatus{Table: t.String(), State: connect.TableStopped, Reason: reason})
		return
	}
	t.report(&w.env, nil, w.why())
}

// restart begins the copy of t anew.
func (w *weaver) restart(t *table) {
	w.discardAll(t)
	w.clearUpTo(t)
	if t.keyless() && t.status == done {
		t.dirty = true
	}
	t.begin()
	w.want(t)
	t.settled()
	t.big, t.hold, t.needHigh = false, High{}, false
	w.save(t)
	w.wakeWorkers()
	w.wakeRead()
}

// save puts t's progress into the next batch that has a Pos.
func (w *weaver) save(t *table) {
	if !t.unsaved {
		t.unsaved = true
		w.unsaved = append(w.unsaved, t)
	}
}

func (w *weaver) clearUpTo(t *table) {
	if t.upTo.File != "" {
		t.upTo, t.server = High{}, ""
		w.upTos--
		w.save(t)
	}
}

// reshape gives t another shape, and reports whether all of its rows are read
// anew for it.
func (w *weaver) reshape(t *table, s *schema.Table, reread bool) (restarted bool) {
	old := t.shape
	t.shape = s
	if old == nil {
		t.reported = "" // it is not gone any more
		w.want(t)
	}
	if old != nil && old.SameLayout(s) && !reread {
		return false
	}
	w.want(t)
	t.retryAt, t.hold, t.shapeFails = time.Time{}, High{}, 0
	copied := w.copy != nil && w.copy.table == t || t.upTo.File != ""
	w.discardAll(t)
	switch {
	case w.cfg.Mode == NoData && !t.ordered:
	case old != nil && len(old.Key) > 0 && len(s.Key) == 0 && (reread || t.status != done):
		t.dirty = true // rows are downstream by their old key
		t.extra, t.filter = false, ""
		w.restart(t)
		return true
	case reread, copied, old != nil && t.status != done && !sameKey(old, s):
		if reread && w.cfg.Mode != NoData { // every row is another one
			t.extra, t.filter = false, ""
		}
		w.restart(t)
		return reread || !t.extra
	}
	return false
}

// stop ends the following of t.
func (w *weaver) stop(t *table, reason error) {
	reason = fmt.Errorf("snapshot: table %s: %w", t, reason)
	if t.extra && t.status != done {
		w.env.Logger.Error("snapshot: a copy that a signal asked for is given up; the table is followed as before", "table", t.String(), "error", reason)
		w.abandon(t, "the copy was given up: "+reason.Error())
		return
	}
	shape := t.shape
	w.restart(t)
	w.unwant(t)
	t.stopped = true
	t.report(&w.env, reason, w.why())
	if shape != nil {
		w.changes.Stop(shape, reason)
	}
}

// remember adds the keys of a change to its table's log.
func (w *weaver) remember(t *table, r *connect.Record) {
	if r.Before != nil {
		w.key = w.identity(w.key[:0], r.Before, r.Table.Key)
		t.log.touch(w.key, false)
	}
	if r.After != nil {
		w.key = w.identity(w.key[:0], r.After, r.Table.Key)
		t.log.touch(w.key, slices.ContainsFunc(r.After, func(v schema.Value) bool { return v.Kind() == schema.Absent }))
	}
}

// see takes note of one record of the stream and reports whether it is to be
// kept.
func (w *weaver) see(r *connect.Record) bool {
	w.seq = max(w.seq, r.Seq)
	if w.isSignals(r.Table) {
		w.signalRow(r)
		return false
	}
	t := w.tableOf(r.Table)
	if t == nil {
		if r.Op == connect.OpSchema {
			t = w.add(tableName{r.Table.Database, r.Table.Name})
			t.shape = r.Table
			w.admit(t, w.begun && r.Flags&connect.Reread == 0)
		}
		return true
	}
	switch r.Op {
	case connect.OpSchema:
		if t.stopped && r.Flags&connect.Reread == 0 {
			return false
		}
		if t.revive {
			w.revived(t)
		}
		t.stopped = false
		reread := w.reshape(t, r.Table, r.Flags&connect.Reread != 0)
		r.Flags &^= connect.Reread // what sinks are told is what will be
		if reread {
			r.Flags |= connect.Reread
			t.told = toldBegin
			w.save(t)
		} else if t.status != done {
			r.Flags |= connect.Unsettled
		}
		return true
	case connect.OpTruncate:
		keep := !t.stopped
		if keep && w.superseded(t, r) {
			// A copy makes up for rows that are gone, but not for the table.
			if keep = (r.Flags&connect.Dropped != 0 || r.HasSchemaChange()) && !t.stopped; keep {
				w.restart(t)
			}
		}
		if keep {
			w.discardAll(t)
		} else {
			w.discardWindows(t)
		}
		return keep
	}
	if t.open > 0 && r.Op.HasRow() {
		w.touch(t, r)
	}
	if t.status == done && w.cfg.Mode != NoData {
		r.Flags |= connect.Exact // all rows of the copy are out
	}
	return !t.stopped && !w.superseded(t, r)
}

// superseded reports whether the copy of a table without a key contains, or
// will contain, what r tells.
func (w *weaver) superseded(t *table, r *connect.Record) bool {
	if t.upTo.File != "" {
		if r.Origin == nil {
			w.stop(t, fmt.Errorf("a change has no place in the log, so it is not known whether the copy holds it; copy the table anew"))
			return true
		}
		return t.upTo.Covers(r.Origin)
	}
	return t.keyless() && t.status != done
}

// observe takes note of a batch of the stream and removes from it what a copy
// supersedes.
func (w *weaver) observe(b *connect.Batch) {
	kept := 0
	b.Keep(func(r *connect.Record) bool {
		if w.see(r) {
			kept++
			return true
		}
		if r.Flags&connect.TxEnd != 0 && kept > 0 {
			b.Records[kept-1].Flags |= connect.TxEnd
		}
		return false
	})
	w.boundary = b.Pos != nil
	if !w.boundary {
		return
	}
	w.pos = slices.Clone(b.Pos)
	if w.upTos > 0 {
		for _, t := range w.order {
			if t.upTo.File != "" && w.changes.Reached(w.pos, t.upTo) {
				w.clearUpTo(t)
			}
		}
	}
	for _, win := range slices.Clone(w.windows) {
		if t := win.table; t.log.bytes > w.touchRoom() {
			w.overflow(t)
		}
	}
	w.checkServer(w.pos, false)
}

// touchRoom is how many bytes one table's remembered keys may take.
func (w *weaver) touchRoom() int64 { return max(w.cfg.MaxBytes/2, 16<<20) }

// overflow gives up t's windows until the stream has come to where they would
// have closed.
func (w *weaver) overflow(t *table) {
	w.discardAll(t)
	t.needHigh = true
	w.wakeWorkers()
}

// checkServer throws away everything that is bound to another server's log.
// It looks once a second, or at once if now is set or much depends on it.
func (w *weaver) checkServer(pos offsets.Position, now bool) {
	if !now && w.upTos == 0 && w.copy == nil && (len(w.windows) == 0 || time.Since(w.checked) < time.Second) {
		return
	}
	w.checked = time.Now()
	server := w.changes.Anchor(pos).ServerUUID
	if w.server == "" {
		w.server = server
	}
	if server == w.server {
		return
	}
	w.server = server
	for _, t := range w.order {
		if w.copy != nil && w.copy.table == t {
			w.restart(t)
		}
		w.discardAll(t)
		t.hold = High{}
	}
	for _, t := range w.order {
		if t.upTo.File != "" && t.server != server {
			w.restart(t)
		}
	}
}

// allDone reports whether every table is copied.
func (w *weaver) allDone() bool {
	if !w.begun || w.emitting != nil || w.copy != nil || w.upTos > 0 {
		return false
	}
	waits := func(t *table) bool { return !t.stopped && t.shape != nil && (t.status != done || t.unsaved) }
	return !slices.ContainsFunc(w.work, waits) && !slices.ContainsFunc(w.unsaved, waits)
}

// stamp gives b the position of the stream and all state that is to be saved.
func (w *weaver) stamp(b *connect.Batch) {
	b.Pos = w.pos
	for _, key := range w.gone {
		b.State = append(b.State, offsets.Entry{Key: key})
	}
	w.gone = w.gone[:0]
	active := len(w.work)+len(w.unsaved) > 0
	for _, t := range w.unsaved {
		t.unsaved = false
		if w.tables[t.tableName] != t {
			continue // it vanished, and its state with it
		}
		b.State = append(b.State, offsets.Entry{Key: stateKey(t.database, t.name), Pos: t.encode()})
		if t.shape != nil { // else reportGone has told
			t.report(&w.env, nil, w.why())
		}
	}
	clear(w.unsaved)
	w.unsaved = w.unsaved[:0]
	if w.pausedUnsaved {
		w.pausedUnsaved = false
		e := offsets.Entry{Key: pausedKey}
		if w.paused {
			e.Pos = offsets.Position{1}
		}
		b.State = append(b.State, e)
	}
	if w.fileUnsaved {
		w.fileUnsaved = false
		b.State = append(b.State, offsets.Entry{Key: fileKey, Pos: w.file.encode()})
	}
	if w.runUnsaved {
		w.runUnsaved = false
		b.State = append(b.State, offsets.Entry{Key: runKey, Pos: appendSeq(w.run)})
	}
	w.settleTickets()
	if active && w.seq != w.seqSaved {
		w.seqSaved = w.seq
		b.State = append(b.State, offsets.Entry{Key: seqKey, Pos: appendSeq(w.seq)})
	}
}
