package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/catalog"
	"github.com/towline/towline/schema/ddl"
)

// Keys of the State, each followed by names that are escaped as in topics.
// Since State is saved in one step with the position, it holds the shapes as
// of that position and needs no older versions.
const (
	keyShape    = "shape/"
	keyDatabase = "database/"
	keyStopped  = "stopped/"
	keyLost     = "lost/"
)

// shapes knows the definitions of tables as of the place in the log that the
// sequencer has reached, of all databases that the filter lets through: also
// tables that are not captured may be renamed to one that is, or be the model
// for one. It is a ddl.Model.
type shapes struct {
	filter    *filter
	defs      map[tableName]*ddl.Def
	databases map[string]ddl.Database
	halted    map[tableName]string
	report    func(n tableName, reason string) // tells of a stop
	// lost are tables whose shape comes with their next table map. They are to
	// be read anew then.
	lost  map[tableName]string
	saved offsets.Position    // the options in force before
	views map[tableName]*view // of the captured tables, as far as asked for
	xa    undecided
	temps temporaries
	keys  cascades
	touch touches

	version     int    // of the server that wrote the log
	versionText string // likewise
	maria       bool   // likewise
	implicitTS  bool   // explicit_defaults_for_timestamp is OFF; MariaDB's log does not tell
	lowerCase   bool
	full        bool // binlog_row_metadata is FULL, as far as known
	engine      string
	serverColl  string
}

func newShapes(s *settings, f facts, report func(n tableName, reason string)) *shapes {
	return &shapes{
		filter: s.filter, defs: map[tableName]*ddl.Def{}, databases: map[string]ddl.Database{},
		halted: map[tableName]string{}, lost: map[tableName]string{}, views: map[tableName]*view{}, report: report,
		xa: undecided{byKey: map[string]*prepared{}}, temps: temporaries{},
		touch:      touches{byTable: map[tableName]*touched{}},
		implicitTS: f.is("explicit_defaults_for_timestamp", "OFF"),
		lowerCase:  f["lower_case_table_names"] == "1", full: f.is("binlog_row_metadata", "FULL"), serverColl: f["collation_server"],
	}
}

// Def implements ddl.Model.
func (s *shapes) Def(db, table string) *ddl.Def { return s.defs[tableName{db, table}] }

// Database implements ddl.Model.
func (s *shapes) Database(db string) (ddl.Database, bool) {
	d, ok := s.databases[db]
	return d, ok
}

// table returns the shape of a table, nil if it is not known.
func (s *shapes) table(n tableName) *schema.Table {
	if d := s.defs[n]; d != nil {
		return d.Table
	}
	return nil
}

func (s *shapes) stopped(n tableName) bool { _, ok := s.halted[n]; return ok }

// heardOf reports whether there is or was a table of that name.
func (s *shapes) heardOf(n tableName) bool {
	_, lost := s.lost[n]
	return lost || s.defs[n] != nil || s.stopped(n)
}

// stop notes that a table is not followed any more, and returns the entry that
// keeps it; ok is false if that is so already.
func (s *shapes) stop(n tableName, reason string) (e offsets.Entry, ok bool) {
	if s.stopped(n) {
		return e, false
	}
	if s.maria {
		reason = mariaWords(reason)
	}
	s.halted[n] = reason
	s.report(n, reason)
	return stopEntry(n, reason), true
}

// captured returns the shapes of the captured tables' records, in order of name.
func (s *shapes) captured() []*schema.Table {
	list := []*schema.Table{}
	for n := range s.defs {
		if !s.filter.table(n.db, n.table) || s.stopped(n) {
			continue
		}
		if t := s.shown(n); t != nil {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *schema.Table) int {
		return cmp.Or(strings.Compare(a.Database, b.Database), strings.Compare(a.Name, b.Name))
	})
	return list
}

// setVersion takes note of the server that wrote a log file.
func (s *shapes) setVersion(text string) {
	if text == s.versionText {
		return
	}
	s.versionText, s.version, s.maria = text, 0, catalog.IsMariaDB(text)
	parts := strings.SplitN(text, ".", 3)
	for i := range 3 {
		n := 0
		if i < len(parts) {
			end := strings.IndexFunc(parts[i], func(r rune) bool { return r < '0' || r > '9' })
			if end < 0 {
				end = len(parts[i])
			}
			n, _ = strconv.Atoi(parts[i][:end])
		}
		s.version = s.version*100 + n
	}
}

// learn takes over a shape that a table map has told.
func (s *shapes) learn(t *schema.Table) offsets.Entry {
	n := tableName{t.Database, t.Name}
	d := &ddl.Def{Table: t}
	if old := s.defs[n]; old != nil {
		d.Engine, d.Charset, d.Collation = old.Engine, old.Charset, old.Collation
	}
	if t.Primary {
		x := ddl.Index{Name: "PRIMARY", Primary: true, Unique: true}
		for _, k := range t.Key {
			x.Parts = append(x.Parts, ddl.Part{Column: t.Columns[k].Name})
		}
		d.Indexes = []ddl.Index{x}
	}
	return s.set(n, d)
}

// lose notes that the shape of a table is to come from its next table map.
func (s *shapes) lose(n tableName, reason string) offsets.Entry {
	s.lost[n] = reason
	return offsets.Entry{Key: keyOf(keyLost, n), Pos: appendStrings(nil, n.db, n.table, reason)}
}

// found takes that back; ok is false if it was not so.
func (s *shapes) found(n tableName) (e offsets.Entry, ok bool) {
	_, ok = s.lost[n]
	delete(s.lost, n)
	return offsets.Entry{Key: keyOf(keyLost, n)}, ok
}

// names returns the tables that match, those that are lost too, in order.
func (s *shapes) names(match func(tableName) bool) []tableName {
	var list []tableName
	for n := range s.defs {
		if match(n) {
			list = append(list, n)
		}
	}
	for n := range s.lost {
		if s.defs[n] == nil && match(n) {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b tableName) int {
		return cmp.Or(strings.Compare(a.db, b.db), strings.Compare(a.table, b.table))
	})
	return list
}

// stops returns the tables that are stopped.
func (s *shapes) stops() []stopOrder {
	var list []stopOrder
	for n, reason := range s.halted {
		list = append(list, stopOrder{table: n, reason: reason})
	}
	return list
}

// set sets or, with nil, removes a definition, and returns the entry for it.
func (s *shapes) set(n tableName, d *ddl.Def) offsets.Entry {
	e := offsets.Entry{Key: keyOf(keyShape, n)}
	if d == nil {
		delete(s.defs, n)
		delete(s.views, n)
		return e
	}
	s.defs[n] = d
	e.Pos = ddl.AppendDef(nil, d)
	return e
}

// setDatabase likewise, for the defaults of a database.
func (s *shapes) setDatabase(name string, d *ddl.Database) offsets.Entry {
	e := offsets.Entry{Key: keyDatabase + escaped(name)}
	if d == nil {
		delete(s.databases, name)
		return e
	}
	s.databases[name] = *d
	e.Pos = appendStrings(nil, d.Name, d.Charset, d.Collation)
	return e
}

func escaped(name string) string {
	var b strings.Builder
	escape(&b, name, false)
	return b.String()
}

func keyOf(prefix string, n tableName) string { return prefix + escaped(n.db) + "/" + escaped(n.table) }

func stopEntry(n tableName, reason string) offsets.Entry {
	return offsets.Entry{Key: keyOf(keyStopped, n), Pos: appendStrings(nil, n.db, n.table, reason)}
}

const stringsFormat = 1

// appendStrings appends a format byte and each string with its length.
func appendStrings(dst []byte, list ...string) []byte {
	dst = append(dst, stringsFormat)
	for _, s := range list {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return dst
}

func parseStrings(b []byte, n int) ([]string, error) {
	if len(b) == 0 || b[0] != stringsFormat {
		return nil, errors.New("not of a format that this build knows")
	}
	b = b[1:]
	list := make([]string, n)
	for i := range list {
		size, k := binary.Uvarint(b)
		if k <= 0 || size > uint64(len(b)-k) {
			return nil, errors.New("it ends early")
		}
		list[i], b = string(b[k:k+int(size)]), b[k+int(size):]
	}
	return list, nil
}

// load reads what earlier runs saved.
func (s *shapes) load(state []offsets.Entry) error {
	for _, e := range state {
		var err error
		switch {
		case strings.HasPrefix(e.Key, keyShape):
			var d *ddl.Def
			if d, _, err = ddl.ParseDef(e.Pos); err == nil {
				s.defs[tableName{d.Table.Database, d.Table.Name}] = d
			}
		case strings.HasPrefix(e.Key, keyDatabase):
			var l []string
			if l, err = parseStrings(e.Pos, 3); err == nil {
				s.databases[l[0]] = ddl.Database{Name: l[0], Charset: l[1], Collation: l[2]}
			}
		case strings.HasPrefix(e.Key, keyStopped), strings.HasPrefix(e.Key, keyLost):
			var l []string
			if l, err = parseStrings(e.Pos, 3); err == nil && e.Key[0] == keyLost[0] {
				s.lost[tableName{l[0], l[1]}] = l[2]
			} else if err == nil {
				s.halted[tableName{l[0], l[1]}] = l[2]
			}
		case e.Key == keyShown:
			s.saved = e.Pos
		case strings.HasPrefix(e.Key, keyPrepared):
			err = s.xa.load(e)
		case strings.HasPrefix(e.Key, keyTemporary):
			err = s.temps.load(e.Pos)
		case strings.HasPrefix(e.Key, keyTouched), e.Key == keyTracked, e.Key == keyPartial:
			err = s.touch.load(e)
		}
		if err != nil {
			return fmt.Errorf("entry %s: %w", e.Key, err)
		}
	}
	return nil
}

// entries returns the State of all that is known.
func (s *shapes) entries() []offsets.Entry {
	var list []offsets.Entry
	for n, d := range s.defs {
		list = append(list, s.set(n, d))
	}
	for name, d := range s.databases {
		list = append(list, s.setDatabase(name, &d))
	}
	for n, reason := range s.halted {
		list = append(list, stopEntry(n, reason))
	}
	slices.SortFunc(list, func(a, b offsets.Entry) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// catalogSession returns a connection that reads the catalog; close it.
func catalogSession(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err := catalog.Prepare(ctx, conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// seedTries bounds how often the catalog is read anew because of DDL.
const seedTries = 20

// seed fills s with the tables as they are at the place in the log that mark
// reads: it reads the catalog before and after, until both are the same, so
// that no statement lies between.
func (s *shapes) seed(ctx context.Context, conn *sql.Conn, mark func() error) error {
	if err := s.readCatalog(ctx, conn); err != nil {
		return err
	}
	for range seedTries {
		old := s.defs
		if err := mark(); err != nil {
			return err
		}
		if err := s.readCatalog(ctx, conn); err != nil {
			return err
		}
		if sameShapes(old, s.defs) {
			return nil
		}
	}
	return fmt.Errorf("tables change all the time: their shapes were read %d times and never twice the same; try again when there is less DDL", seedTries)
}

// admit adds the databases that the filter lets through now and did not when
// the state was saved, with their tables as they are now, and returns what is
// to be saved of them. Should the log still hold statements on them, their
// tables do not fit it, which each table map is checked for.
func (s *shapes) admit(ctx context.Context, db *sql.DB) ([]offsets.Entry, error) {
	conn, err := catalogSession(ctx, db)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	there, err := catalog.Databases(ctx, conn)
	if err != nil || !slices.ContainsFunc(there, s.isNew) {
		return nil, err
	}
	now := &shapes{filter: s.filter}
	if err := now.readCatalog(ctx, conn); err != nil {
		return nil, err
	}
	var fresh []offsets.Entry
	for _, d := range there {
		if !s.isNew(d) {
			continue
		}
		fresh = append(fresh, s.setDatabase(d.Name, &d))
		for n, def := range now.defs {
			if n.db == d.Name {
				fresh = append(fresh, s.set(n, def))
			}
		}
		for n, reason := range now.halted {
			if n.db != d.Name {
				continue
			}
			if e, ok := s.stop(n, reason); ok {
				fresh = append(fresh, e)
			}
		}
	}
	return fresh, nil
}

// isNew reports whether a database is to be followed and was not.
func (s *shapes) isNew(d ddl.Database) bool {
	_, known := s.databases[d.Name]
	return !known && s.filter.database(d.Name)
}

func sameShapes(a, b map[tableName]*ddl.Def) bool {
	if len(a) != len(b) {
		return false
	}
	for n, d := range a {
		if o := b[n]; o == nil || o.Table.ID() != d.Table.ID() {
			return false
		}
	}
	return true
}

func (s *shapes) readCatalog(ctx context.Context, conn *sql.Conn) error {
	dbs, err := catalog.Databases(ctx, conn)
	if err != nil {
		return err
	}
	infos, err := catalog.Read(ctx, conn, func(db, _ string) bool { return s.filter.database(db) })
	if err != nil {
		return err
	}
	s.defs, s.databases, s.halted = map[tableName]*ddl.Def{}, map[string]ddl.Database{}, map[tableName]string{}
	for _, d := range dbs {
		if s.filter.database(d.Name) {
			s.databases[d.Name] = d
		}
	}
	for i := range infos {
		n := tableName{infos[i].Database, infos[i].Name}
		if infos[i].Err == nil {
			s.defs[n] = infos[i].Def
		} else if s.filter.table(n.db, n.table) {
			s.halted[n] = fmt.Sprintf("its shape cannot be read: %v; mend the cause, then take a new snapshot of the table, or leave it out with table.exclude.list", infos[i].Err)
		}
	}
	return nil
}
