package jdbc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// Sink writes to one MySQL server. It is one lane.
type Sink struct {
	env connect.Env
	set *settings
	url *mysql.Config

	db        *sql.DB
	main      *session
	catalogue catalogue
	ledger    ledger
	routes    map[routeKey]*route
	byID      map[routeID]*route
	last      routeKey // of lastRoute
	lastRoute *route
	targets   map[string]*group // groups by the target's name
	groups    []*group
	tx        transaction
	packet    packet
	events    eventWriter
	least     int // changes of a table for which there are row events
	asEvents  int // rows that went as events, for tests
	lists     lists
	stops     stops
	barriers  barriers
	// feeders are the tables of the source that rows of a target came from.
	feeders map[string][]string

	// passed is how far records went into transactions since the last State,
	// for when one has to end before the next.
	passed map[place]ahead
	batch  work
}

// routeKey finds a route by the shape's pointer, routeID by its content, for
// shapes that come anew with each message.
type routeKey struct {
	table *schema.Table
	topic string
}

type routeID struct {
	id    schema.ID
	topic string
}

// maxRoutes bounds the routes that are remembered.
const maxRoutes = 4096

const (
	maxAttempts = 8                // of one Write, where transactions collide
	idleCheck   = 20 * time.Second // after which a connection is tried before use
)

func newSink(cfg connect.Config, env connect.Env) (connect.Sink, error) {
	set, url, faults := readSettings(cfg)
	if len(faults) > 0 {
		return nil, &connect.ConfigError{Name: cfg.Name(), Faults: faults}
	}
	return &Sink{env: env, set: set, url: url, least: minEvents}, nil
}

// Open connects, claims the lane and returns the offsets that the target has.
func (s *Sink) Open(ctx context.Context) ([]offsets.Entry, error) {
	db, err := newDB(s.url)
	if err != nil {
		return nil, connect.Permanent(err)
	}
	s.db = db
	if err := s.openMain(ctx); err != nil {
		return nil, classify("connect to "+s.url.Addr, err)
	}
	s.forget()
	s.feeders, s.stops.list = map[string][]string{}, nil
	s.targets, s.groups, s.tx, s.passed = map[string]*group{}, nil, transaction{}, map[place]ahead{}
	s.packet.reset()
	s.events.reset()
	s.catalogue = catalogue{db: db, evolution: s.set.evolution, events: s.main.events}
	s.ledger = ledger{table: s.set.offsets.quoted(), connector: s.env.Connector, task: s.env.Task, lane: s.env.Lane, lanes: max(s.env.Lanes, 1),
		generation: s.env.Generation, grant: s.env.Epoch}
	if err := s.makeOffsets(ctx); err != nil {
		return nil, classify("create table "+s.set.offsets.String(), err)
	}
	entries, err := s.ledger.open(ctx, s.main.conn)
	if err != nil {
		return nil, classify("claim offsets in "+s.set.offsets.String(), err)
	}
	if err := s.loadStops(ctx); err != nil {
		return nil, classify("read stopped tables from "+s.stops.table.String(), err)
	}
	if s.env.Lane == 0 {
		if err := s.dropStops(ctx); err != nil {
			return nil, classify("forget stopped tables in "+s.stops.table.String(), err)
		}
	}
	return entries, nil
}

// makeOffsets makes the table of offsets where there is none, and its
// database. That it is there is looked up first, for users who may write but
// not create.
func (s *Sink) makeOffsets(ctx context.Context) error {
	n := s.set.offsets
	var there int
	err := s.main.conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?", n.db, n.table).Scan(&there)
	if err != nil || there > 0 {
		return err
	}
	hasDB, err := hasDatabase(ctx, s.main.conn, n.db)
	if err != nil {
		return err
	}
	if !hasDB {
		if _, err := s.main.conn.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+quoted(n.db)); err != nil {
			return err
		}
	}
	_, err = s.main.conn.ExecContext(ctx, fmt.Sprintf(createOffsets, n.quoted()))
	return err
}

// Close ends the session; what is not committed is rolled back.
func (s *Sink) Close() error {
	var errs []error
	if s.main != nil {
		errs = append(errs, s.main.close())
		s.main = nil
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
		s.db = nil
	}
	return errors.Join(errs...)
}

func (s *Sink) forget() {
	s.routes, s.byID = map[routeKey]*route{}, map[routeID]*route{}
	s.lastRoute = nil
}

// ready makes sure that a connection which has long been idle still works:
// servers and firewalls drop those. It holds nothing, and the claim is checked
// with each commit, so another one is as good.
func (s *Sink) ready(ctx context.Context) error {
	if s.main == nil {
		return errors.New("jdbc: write to a sink that is not open")
	}
	if s.tx.open || time.Since(s.main.used) < idleCheck {
		return nil
	}
	if s.main.conn.PingContext(ctx) == nil {
		return nil
	}
	_ = s.main.close() // it is broken
	if err := s.openMain(ctx); err != nil {
		return classify("connect to "+s.url.Addr, err)
	}
	return nil
}

// openMain opens the session for rows. One that takes row events by half,
// since the user lacks a right, is closed again.
func (s *Sink) openMain(ctx context.Context) (err error) {
	if s.main, err = openSession(ctx, s.db); err != nil {
		return err
	}
	if err = s.main.offerEvents(ctx); err != nil {
		_ = s.main.close()
		if s.main = nil; serverError(err) == nil {
			return err
		}
		s.main, err = openSession(ctx, s.db)
	}
	if err == nil {
		s.events.serverID = s.main.serverID
	}
	return err
}

// work is one Write.
type work struct {
	b    *connect.Batch
	done int // records before it are committed
	// scanned records are counted in passed.
	scanned int
	skip    []bool // records to leave out, nil: none
	failed  []connect.RecordError
	// careful: statement by statement, to find the records that fail.
	careful bool
	// statements: without row events, which have failed.
	statements bool
	// renewed: routes were read anew once already.
	renewed bool
	// left counts records of stopped tables, since done.
	left int
	// behind counts records from before a barrier, since done.
	behind int
	// begun is up to which record a table began anew: it does so once, also
	// where it is stopped again behind that.
	begun map[string]int
}

// Write applies b.
func (s *Sink) Write(ctx context.Context, b *connect.Batch) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if len(b.Records) > 0 && b.Records[0].Flags&connect.Again != 0 {
		s.forget() // somebody has mended something, here perhaps
	}
	s.batch = work{b: b, skip: s.batch.skip[:0]}
	s.skipBeyond()
	defer func() { s.batch.b = nil }()
	s.tx.inherited = s.tx.open
	for attempt := 1; ; attempt++ {
		err := s.pass(ctx)
		if err == nil {
			return s.outcome()
		}
		if err = s.recover(ctx, err, attempt); err != nil {
			return err
		}
	}
}

// outcome returns the records that failed.
func (s *Sink) outcome() error {
	s.stops.left += s.batch.left
	s.stops.behind += s.batch.behind
	if len(s.batch.failed) == 0 {
		return nil
	}
	return &connect.BatchError{Failed: sortFailed(s.batch.failed)}
}

// recover brings the sink back to where the records from work.done on can be
// tried again. It returns an error where that makes no sense.
func (s *Sink) recover(ctx context.Context, err error, attempt int) error {
	s.dropGroups()
	s.packet.reset()
	var events errEvents
	var table errTable
	byEvents, byTable := errors.As(err, &events), errors.As(err, &table)
	cause := classify("write to "+s.url.Addr, err)
	if serverError(err) == nil && !isData(err) && !byEvents && !byTable && !errors.Is(err, errChanged) {
		return cause // the connection, or our own verdict
	}
	if isConflict(err) && s.tx.inherited {
		return cause // the server has rolled back what came before, too
	}
	if rerr := s.rollback(ctx); rerr != nil {
		return cause
	}
	moved, ferr := s.ledger.check(ctx, s.main.conn, err)
	if ferr != nil {
		return ferr
	}
	done := s.batch.done // what failed before it was committed stays failed
	s.batch.failed = slices.DeleteFunc(s.batch.failed, func(f connect.RecordError) bool { return f.Index >= done })
	s.batch.left, s.batch.behind = 0, 0
	if moved {
		if s.tx.inherited {
			return cause
		}
		return s.loadStops(ctx)
	}
	return s.again(ctx, err, cause, attempt)
}

// again chooses another way for the records that are not committed, after err.
// It returns cause where there is none.
func (s *Sink) again(ctx context.Context, err, cause error, attempt int) error {
	var events errEvents
	var table errTable
	byTable := errors.As(err, &table)
	switch {
	case isConflict(err) && attempt < maxAttempts:
		return pause(ctx, time.Duration(attempt)*5*time.Millisecond)
	case errors.As(err, &events) && !s.batch.statements:
		s.batch.statements = !events.again
		return nil
	case (isStale(err) || errors.Is(err, errChanged)) && !s.batch.renewed:
		s.forget()
		s.batch.renewed = true
		return nil
	case byTable:
		if herr := s.halt(ctx, table); herr != nil {
			return classify("write to "+s.url.Addr, herr)
		}
		s.batch.careful, s.batch.renewed = false, false
		return nil
	case !s.batch.careful && (isData(err) || s.env.MayStop != nil && serverError(err) != nil && !isConflict(err) && !isTrouble(err)):
		s.batch.careful = true
		return nil
	}
	return cause
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// skipBeyond marks the records that an earlier run has committed ahead of its
// marks.
func (s *Sink) skipBeyond() {
	beyond := s.ledger.beyond
	if len(beyond) == 0 {
		return
	}
	records := s.batch.b.Records
	s.batch.skip = append(s.batch.skip[:0], make([]bool, len(records))...)
	for i := range records {
		at := place{records[i].Home(), records[i].Partition}
		a, ok := beyond[at]
		switch {
		case !ok || records[i].Flags&connect.Again != 0:
		case records[i].Offset < a.offset:
			s.batch.skip[i] = true
		case records[i].Offset == a.offset && a.count > 0:
			s.batch.skip[i] = true
			a.count--
			beyond[at] = a
			s.note(&records[i])
		default:
			delete(beyond, at)
		}
	}
}

// note counts a record as passed.
func (s *Sink) note(r *connect.Record) {
	if r.Flags&connect.Again != 0 {
		return
	}
	at := place{r.Home(), r.Partition}
	a, ok := s.passed[at]
	if !ok || a.offset != r.Offset {
		a = ahead{offset: r.Offset}
	}
	a.count++
	s.passed[at] = a
}

// notePassed counts the records before end.
func (s *Sink) notePassed(end int) {
	for ; s.batch.scanned < end; s.batch.scanned++ {
		if !s.skips(s.batch.scanned) {
			s.note(&s.batch.b.Records[s.batch.scanned])
		}
	}
}

func (s *Sink) skips(i int) bool { return len(s.batch.skip) > 0 && s.batch.skip[i] }

// routeFor returns the route of a record, and makes the target's table fit
// for it.
func (s *Sink) routeFor(ctx context.Context, i int, r *connect.Record) (*route, error) {
	key := routeKey{r.Table, r.Topic}
	if key == s.last && s.lastRoute != nil {
		return s.lastRoute, nil
	}
	rt := s.routes[key]
	if rt == nil {
		if rt = s.byID[routeID{r.Table.ID(), r.Topic}]; rt == nil {
			var err error
			if rt, err = s.makeRoute(ctx, i, r); err != nil {
				return nil, err
			}
		}
		if len(s.routes) >= maxRoutes {
			s.forget()
		}
		s.routes[key], s.byID[routeID{r.Table.ID(), r.Topic}] = rt, rt
	}
	s.last, s.lastRoute = key, rt
	return rt, nil
}

func (s *Sink) makeRoute(ctx context.Context, i int, r *connect.Record) (*route, error) {
	n, err := s.set.format.name(r.Topic, r.Table, s.set.database)
	if err != nil {
		return nil, connect.Permanent(fmt.Errorf("jdbc: %w", err))
	}
	key, err := s.set.keyOf(r.Table, s.writers())
	if err != nil {
		return nil, connect.Permanent(fmt.Errorf("jdbc: table %s: %w", r.Table, err))
	}
	written, writtenKey, err := s.set.project(r.Table, key)
	if err != nil {
		return nil, connect.Permanent(err)
	}
	sh, err := s.catalogue.look(ctx, n, written, writtenKey)
	if err != nil {
		return nil, fmt.Errorf("read the shape of table %s: %w", n, err)
	}
	if err := s.catalogue.verdict(n, r.Table, &sh); err != nil {
		return nil, err
	}
	if len(sh.todo) > 0 {
		if err := s.makeWay(ctx, i, n); err != nil {
			return nil, err
		}
		if sh, err = s.catalogue.evolve(ctx, n, written, writtenKey, s.guard(r)); err != nil {
			return nil, fmt.Errorf("change table %s: %w", n, err)
		}
		s.env.Logger.Info("table is ready", "table", n.String(), "source", r.Table.String())
	}
	rt, err := newRoute(n, r.Table, key, &sh, s.set, s.catalogue.charsets)
	if err != nil {
		return nil, connect.Permanent(fmt.Errorf("jdbc: table %s cannot take the rows of %s: %w", n, r.Table, err))
	}
	rt.target = s.targetKey(n)
	s.wrote(rt.target, r.Table.String())
	return rt, nil
}

// makeWay ends the transaction before record i where DDL on a table would
// wait for it: because it has touched the table, or because another lane or
// task may wait for what it has touched.
func (s *Sink) makeWay(ctx context.Context, i int, n name) error {
	if !s.tx.open || s.writers() == 1 && s.targets[s.targetKey(n)] == nil && !s.tx.touched[s.targetKey(n)] {
		return nil
	}
	return s.commitAhead(ctx, i)
}

// writers is how many sinks write for the connector at the same time.
func (s *Sink) writers() int { return s.ledger.lanes * max(s.env.Tasks, 1) }

// targetKey is the name by which the server tells tables apart.
func (s *Sink) targetKey(n name) string {
	k := n.db + "\x00" + n.table
	if s.main.foldNames {
		return strings.ToLower(k)
	}
	return k
}
