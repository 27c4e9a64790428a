package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// Plugin is the change source without snapshots.
func Plugin() connect.Plugin {
	return connect.Plugin{
		Name:     "mysql-cdc",
		Doc:      "Follows the binary log of a MySQL server.",
		Options:  Options(),
		Source:   func(cfg connect.Config, env connect.Env) (connect.Source, error) { return New(cfg, env) },
		Covers:   Covers,
		Describe: Describe,
		Fields:   Fields,
		Check:    Check,
		Validate: Validate,
		Explain:  Explain,
	}
}

// Source follows the binary log of one server. See the package comment for
// its concurrency.
type Source struct {
	settings *settings
	env      connect.Env

	mu     sync.Mutex // guards what follows, up to tables
	db     *sql.DB
	run    *run // nil when closed
	mode   mode
	server gtid.UUID

	tables  []*schema.Table      // captured, as of the last Read
	reasons map[tableName]string // of the tables that are stopped

	reached reached

	// Of Read alone.
	seq    uint64
	failed map[tableName]bool // tables that were stopped by their rows
	state  []offsets.Entry    // of such tables, for the next batch with a Pos
}

// run is all that runs between Open and Close.
type run struct {
	cancel context.CancelFunc
	dump   *dump
	out    chan *job
	free   chan *job
	stops  *stopBox
	wg     sync.WaitGroup
	err    error // what Read has returned, and returns again
}

// New returns a Source that is not open yet.
func New(cfg connect.Config, env connect.Env) (*Source, error) {
	s, err := newSettings(cfg)
	if err != nil {
		return nil, err
	}
	if env.Logger != nil {
		s.log = env.Logger
	}
	s.guard.log = s.log
	s.cluster = env.Cluster
	return &Source{settings: s, env: env}, nil
}

// Whole names a table, database.table, of which lists of columns leave out
// none: one whose rows are for this program. It comes before Open.
func (s *Source) Whole(table string) { s.settings.filter.whole = table }

// NoReread says that nobody reads tables anew. Then a table is stopped when its
// rows are not known any more. It comes before Open.
func (s *Source) NoReread() { s.settings.noReread = true }

// Scattered says, before Open, that the rows of a table go to several partitions
// of its topic. A table whose columns or keys change so that rows of both shapes
// cannot be mixed (see carried) is emptied and read anew then.
func (s *Source) Scattered() { s.settings.scattered = true }

// Open implements connect.Source. With a nil position it begins where the
// server is now, with the tables as they are now.
func (s *Source) Open(ctx context.Context, from offsets.Position, state []offsets.Entry) error {
	return s.openAt(ctx, from, state, false)
}

// openAt opens the source behind from or, anew, where the server is now.
func (s *Source) openAt(ctx context.Context, from offsets.Position, state []offsets.Entry, anew bool) error {
	db, err := s.settings.openDB()
	if err != nil {
		return err
	}
	if err := s.open(ctx, db, from, state, anew); err != nil {
		db.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.settings.explain("open the log of", err)
	}
	return nil
}

func (s *Source) open(ctx context.Context, db *sql.DB, from offsets.Position, state []offsets.Entry, anew bool) error {
	f, err := readFacts(ctx, db)
	if err != nil {
		return err
	}
	if err := f.refuse(); err != nil {
		return connect.Permanent(fmt.Errorf("follow MySQL at %s: %w", s.settings.addr(), err))
	}
	s.mu.Lock()
	s.reasons = map[tableName]string{}
	s.mu.Unlock()
	sh := newShapes(s.settings, f, s.halted)
	var pos position
	var fresh []offsets.Entry
	var first marks
	switch {
	case from == nil:
		pos, fresh, err = s.first(ctx, db, f, sh)
	case anew:
		pos, fresh, first.gone, err = s.anew(ctx, db, f, sh, from, state)
	default:
		pos, fresh, first, err = s.resume(ctx, db, f, sh, from, state)
	}
	if err != nil {
		return err
	}
	if err := sh.viewable(); err != nil {
		return connect.Permanent(err)
	}
	if err := s.settings.guard.check(len(sh.captured())); err != nil {
		return err
	}
	if shown := s.settings.shown; from != nil && !anew && !bytes.Equal(sh.saved, shown.Pos) {
		saved, err := parseShown(sh.saved)
		if err != nil {
			return connect.Permanent(fmt.Errorf("saved state: entry %s: %w", keyShown, err))
		}
		first.reread, fresh = append(first.reread, sh.widened(saved)...), append(fresh, shown)
	}
	if err := s.warnCascades(ctx, db, f, &sh.keys); err != nil {
		return err
	}
	dump, skipTo, err := s.settings.openDump(ctx, &pos)
	if err != nil {
		return err
	}
	s.report(sh)
	s.start(db, dump, skipTo, pos, sh, fresh, first)
	return nil
}

// first returns the place where the server is now, and the State that holds
// the tables as of there.
func (s *Source) first(ctx context.Context, db *sql.DB, f facts, sh *shapes) (position, []offsets.Entry, error) {
	server, err := f.uuid()
	if err != nil {
		return position{}, nil, err
	}
	conn, err := catalogSession(ctx, db)
	if err != nil {
		return position{}, nil, err
	}
	defer conn.Close()
	m := f.mode()
	settle := m == byFile
	if settle {
		unlock, locked, err := lockStatements(ctx, conn, s.settings.commitWait)
		if err != nil {
			return position{}, nil, err
		}
		defer unlock()
		settle = !locked
	}
	var pos position
	err = sh.seed(ctx, conn, func() (err error) {
		if m == byGTID {
			err = awaitOwned(ctx, db, s.settings.commitWait)
		} else if settle { // what is seen is in the log
			err = sh.settle(ctx, conn, s.settings.commitWait)
		}
		if err != nil {
			return err
		}
		if pos, err = head(ctx, db, m, server); err != nil || !settle {
			return err
		}
		return sh.settle(ctx, conn, s.settings.commitWait) // and what is in the log will be seen
	})
	if err != nil {
		return pos, nil, err
	}
	return pos, slices.Concat(sh.entries(), sh.touch.track(&pos), []offsets.Entry{s.settings.shown}), s.warnPrepared(ctx, db)
}

// warnPrepared tells of XA transactions that are prepared at the first start:
// the log had their rows before.
func (s *Source) warnPrepared(ctx context.Context, db *sql.DB) error {
	n, _, err := preparedNow(ctx, db)
	if n > 0 {
		s.settings.log.Warn("the server has XA transactions that were prepared before this first start; when one of them is committed all captured tables are copied anew, since what it changed is not known", "prepared", n)
	}
	return err
}

// resume returns where an earlier run has got, what the State lacks, and what
// is to be told first.
func (s *Source) resume(ctx context.Context, db *sql.DB, f facts, sh *shapes, from offsets.Position, state []offsets.Entry) (position, []offsets.Entry, marks, error) {
	pos, err := parsePosition(from)
	if err != nil {
		return pos, nil, marks{}, connect.Permanent(fmt.Errorf("saved position %x: %w", []byte(from), err))
	}
	if err := sh.load(state); err != nil {
		return pos, nil, marks{}, connect.Permanent(fmt.Errorf("saved state: %w", err))
	}
	lost, err := resumable(ctx, db, f, &pos, &s.settings.sources, s.settings.commitWait)
	if err != nil {
		return pos, nil, marks{}, err
	}
	server, err := f.uuid()
	if err != nil {
		return pos, nil, marks{}, err
	}
	first, fresh, err := s.rejoin(ctx, db, server, sh, &pos, lost)
	if err != nil {
		return pos, nil, marks{}, err
	}
	fresh = append(fresh, sh.touch.track(&pos)...)
	more, err := sh.admit(ctx, db)
	if err != nil {
		return pos, nil, marks{}, err
	}
	if server != pos.server || lost != nil { // a GTID position on another server
		pos.seq = nextEpoch(pos.seq)
		pos.server, pos.file, pos.pos = server, "", 0
	}
	return pos, append(fresh, more...), first, nil
}

// start starts the goroutines. sh is the sequencer's from then on.
func (s *Source) start(db *sql.DB, d *dump, skipTo uint64, pos position, sh *shapes, fresh []offsets.Entry, first marks) {
	tables := sh.captured()
	ctx, cancel := context.WithCancel(context.Background())
	decoders := max(1, runtime.GOMAXPROCS(0)-1)
	jobs := 2*decoders + 3
	r := &run{cancel: cancel, dump: d, out: make(chan *job, jobs+1), free: make(chan *job, jobs), stops: newStopBox()}
	for range jobs {
		r.free <- newJob()
	}
	units, spare, work := make(chan unit, 2), make(chan []event, 4), make(chan *job, jobs+1)
	q := &sequencer{s: s.settings, shapes: sh, out: r.out, work: work, free: r.free, stops: r.stops,
		targets: map[*binlog.TableMap]*target{}, pos: pos, skipTo: skipTo, settled: fresh, moved: fresh != nil}
	if pos.mode == byFile {
		q.file, q.offset = pos.file, pos.pos
	}
	r.wg.Go(func() { d.read(ctx, units, spare) })
	r.wg.Go(func() { q.run(ctx, units, spare, first) })
	startDecoders(&r.wg, decoders, work)
	r.wg.Go(func() { s.watchLog(ctx, db, d) })
	if s.settings.action != "" {
		r.wg.Go(func() { s.act(ctx, db) })
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.db, s.run, s.mode, s.server = db, r, pos.mode, pos.server
	s.tables, s.seq = tables, pos.seq
	s.failed, s.state = map[tableName]bool{}, nil
}

// report tells which tables were stopped by an earlier run.
func (s *Source) report(sh *shapes) {
	for _, o := range sh.stops() {
		if !s.settings.filter.table(o.table.db, o.table.table) {
			continue // another connector may follow it now
		}
		s.halted(o.table, o.reason)
	}
}

// halted takes note of a table that is stopped, and reports it.
func (s *Source) halted(n tableName, reason string) {
	s.mu.Lock()
	s.reasons[n] = reason
	s.mu.Unlock()
	s.env.Report(connect.TableStatus{Table: n.String(), State: connect.TableStopped, Reason: reason})
}

// Stopped returns why a table is stopped; ok is false if it is not. It may run
// beside Read, and ahead of it.
func (s *Source) Stopped(database, name string) (reason string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reason, ok = s.reasons[tableName{database, name}]
	return reason, ok
}

func (s *Source) running() *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

var errClosed = errors.New("mysql: the source is closed")

// Read implements connect.Source.
func (s *Source) Read(ctx context.Context, b *connect.Batch) error {
	r := s.running()
	if r == nil {
		return errClosed
	}
	for r.err == nil {
		var j *job
		select {
		case j = <-r.out:
		case <-ctx.Done():
			return ctx.Err()
		}
		if j == nil {
			r.err = errClosed
			break
		}
		if r.err = j.err; r.err != nil {
			break
		}
		<-j.done
		if r.err = s.finish(r, j); r.err != nil {
			break
		}
		some := len(j.batch.Records) > 0 || j.batch.Pos != nil
		if some {
			b.Swap(&j.batch)
		}
		j.reset()
		r.free <- j // has room for all jobs there are
		if some {
			return nil
		}
	}
	return r.err
}

// finish does to a job's batch what must be done in order: it takes out the
// rows of tables that failed, numbers the changes, and sets the position.
func (s *Source) finish(r *run, j *job) error {
	b := &j.batch
	s.revived(j)
	if err := s.fail(r, j); err != nil {
		return err
	}
	for i := range b.Records {
		rec := &b.Records[i]
		switch {
		case !rec.Op.HasRow():
		case i > 0 && halves(&b.Records[i-1], rec):
			b.Records[i-1].Flags |= connect.Half
		default:
			s.seq++
		}
		rec.Seq = s.seq
	}
	s.setTables(j)
	if j.pos == nil {
		b.State = append(b.State, j.state...) // of a part of a transaction
		return nil
	}
	putSeq(j.pos, s.seq)
	s.reached.set(j.file, j.offset, j.commit, j.pos)
	b.Pos = j.pos
	b.State = append(append(b.State, j.state...), s.state...)
	s.state = nil
	return nil
}

// halves reports whether a delete and an insert are one change of a row whose
// own key stays. They have one Seq, so that what changes are counted as does
// not depend on options: else a count that was saved in the middle of a
// transaction would mean another change after they were altered.
func halves(del, ins *connect.Record) bool {
	if del.Flags&ins.Flags&connect.KeyMoved == 0 || del.Op != connect.OpDelete || ins.Op != connect.OpInsert {
		return false
	}
	for _, k := range ins.Table.Key {
		if !del.Before[k].Equal(ins.After[k]) {
			return false
		}
	}
	return true
}

// setTables takes over the captured tables as of the end of j, without those
// that failed, of which the sequencer may not know yet.
func (s *Source) setTables(j *job) {
	if j.tables == nil && len(j.failures) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.tables != nil {
		s.tables = j.tables
	}
	if len(s.failed) > 0 {
		s.tables = slices.DeleteFunc(slices.Clone(s.tables), func(t *schema.Table) bool { return s.failed[tableName{t.Database, t.Name}] })
	}
}

// fail stops tables whose rows could not be decoded, as of the event that
// failed, and takes out what comes after it.
func (s *Source) fail(r *run, j *job) error {
	if len(j.failures) == 0 && len(s.failed) == 0 {
		return nil
	}
	from := map[tableName]int{}
	for _, f := range j.failures {
		var d damaged
		if errors.As(f.err, &d) {
			return fmt.Errorf("read the log of MySQL at %s: %w", s.settings.addr(), f.err)
		}
		if s.failed[f.table] {
			continue
		}
		if _, ok := from[f.table]; ok {
			continue
		}
		from[f.table] = f.record
		reason := fmt.Sprintf("its rows cannot be read: %v; mend the cause, then take a new snapshot of the table", f.err)
		if s.mode == byDomain {
			reason = mariaWords(reason)
		}
		s.state = append(s.state, stopEntry(f.table, reason))
		r.stops.put(stopOrder{table: f.table, reason: reason})
		s.halted(f.table, reason)
	}
	i := -1
	j.batch.Keep(func(rec *connect.Record) bool {
		i++
		name := tableName{rec.Table.Database, rec.Table.Name}
		first, now := from[name]
		return !s.failed[name] && (!now || i < first)
	})
	for name := range from {
		s.failed[name] = true
	}
	return nil
}

// Commit implements connect.Source. The server keeps no position of ours, so
// there is nothing to do.
func (s *Source) Commit(context.Context, offsets.Position) error { return nil }

// Head implements connect.Source: the transactions that the server has
// executed, or the end of its log.
func (s *Source) Head(ctx context.Context) (offsets.Position, error) {
	s.mu.Lock()
	db, m, server, open := s.db, s.mode, s.server, s.run != nil
	s.mu.Unlock()
	if !open {
		return nil, errClosed
	}
	p, err := head(ctx, db, m, server)
	if err != nil {
		return nil, s.settings.explain("ask for the end of the log of", err)
	}
	return p.append(nil), nil
}

// Tables returns the shapes of all captured tables that exist and are not
// stopped, as of the last Read. The caller must not change the slice.
func (s *Source) Tables() []*schema.Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tables
}

// Stop ends the following of a table: what the log has of it is dropped from
// the next transaction on that is not yet read. The State keeps that.
func (s *Source) Stop(table *schema.Table, reason error) {
	if r := s.running(); r != nil {
		r.stops.put(stopOrder{table: tableName{table.Database, table.Name}, reason: reason.Error()})
	}
}

// Close implements connect.Source.
func (s *Source) Close() error {
	s.mu.Lock()
	r, db := s.run, s.db
	s.run, s.db = nil, nil
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	r.cancel()
	r.dump.close()
	r.wg.Wait()
	return db.Close()
}

var _ connect.Source = (*Source)(nil)
