package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/cdc/charset"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/schema/ddl"
)

var textBegin, textCommit = []byte("BEGIN"), []byte("COMMIT")

// query handles a statement; done says that it ends its transaction.
func (q *sequencer) query(ctx context.Context, h *binlog.Header, body []byte) (done bool, err error) {
	s, err := binlog.ParseQueryEvent(h.Type, body)
	if err != nil {
		return false, err
	}
	if !q.tx.open { // servers before 5.7 without GTIDs
		if q.pos.mode.gtids() {
			return false, fmt.Errorf("a statement comes without the GTID event of its transaction: %s", quote(string(s.Text)))
		}
		q.begin(binlog.GTID{}, h)
	}
	if !q.tx.began {
		q.tx.thread = s.Thread
	}
	switch {
	case bytes.Equal(s.Text, textBegin):
		q.tx.began = true
		return false, nil
	case bytes.Equal(s.Text, textCommit):
		return true, q.deliverOpen(ctx, h)
	}
	return q.statement(ctx, h, &s)
}

// statement handles all but BEGIN and COMMIT.
func (q *sequencer) statement(ctx context.Context, h *binlog.Header, s *binlog.Query) (done bool, err error) {
	text, err := statementText(s)
	if err != nil {
		return !q.tx.began, q.unclear(nil, s, text, err)
	}
	word := func(prefix string) bool {
		t := strings.TrimSpace(text)
		return len(t) >= len(prefix) && strings.EqualFold(t[:len(prefix)], prefix) &&
			(len(t) == len(prefix) || strings.IndexByte(" \t\r\n;`'", t[len(prefix)]) >= 0)
	}
	switch {
	case word("BEGIN"), word("START TRANSACTION"):
		q.tx.began = true
		return false, nil
	case word("XA START"), word("XA BEGIN"):
		q.tx.began, q.tx.xa = true, &prepared{}
		return false, nil
	case word("XA END"), word("SAVEPOINT"), word("RELEASE SAVEPOINT"):
		return false, nil
	case word("ROLLBACK TO"):
		return false, q.rolledBack(ctx, h, text)
	case word("ROLLBACK"):
		return true, q.rolledBack(ctx, h, text)
	case word("COMMIT"):
		return true, q.deliverOpen(ctx, h)
	case word("XA COMMIT"):
		return true, q.xaCommit(ctx, h, strings.TrimSpace(text)[len("XA COMMIT"):])
	case word("XA ROLLBACK"):
		q.xaRollback(strings.TrimSpace(text)[len("XA ROLLBACK"):])
		return true, nil
	}
	if a := &q.tx.gtid.Maria; a.StartAlter || a.RollbackAlter {
		return !q.tx.began, nil // the table is as it was until the ALTER is committed
	}
	return !q.tx.began, q.define(ctx, h, s, text)
}

// statementText returns the text in UTF-8.
func statementText(s *binlog.Query) (string, error) {
	if s.Status.HasCharset {
		c, ok := charset.CollationByID(s.Status.CharsetClient)
		if !ok {
			return string(s.Text), fmt.Errorf("its charset %d is not known to this build", s.Status.CharsetClient)
		}
		text, ok := c.Charset.Decode(nil, s.Text)
		if !ok {
			return string(s.Text), fmt.Errorf("it is not valid %s", c.Charset.Name())
		}
		return string(text), nil
	}
	return string(s.Text), nil
}

// rolledBack has the tables read anew that have rows in the transaction, which
// are out already or about to be. Only a transaction that also changed tables
// of other engines than InnoDB is in the log and rolled back.
func (q *sequencer) rolledBack(ctx context.Context, h *binlog.Header, text string) error {
	if q.tx.xa != nil {
		q.tx.xa.lose()
	}
	reason := fmt.Sprintf("a transaction with rows of it was rolled back in the log at %s:%d (%s), after statements that cannot be (tables of other engines than InnoDB)", q.file, q.offset, quote(text))
	for _, t := range q.tx.hit {
		if err := q.anew(ctx, h, t.name, reason); err != nil {
			return err
		}
	}
	return nil
}

// define applies a statement to the shapes.
func (q *sequencer) define(ctx context.Context, h *binlog.Header, s *binlog.Query, text string) error {
	st, err := ddl.Parse(text, q.context(s))
	if err != nil {
		var e *ddl.Error
		if errors.As(err, &e) && e.Tables != nil {
			if q.stopTemporary(text, e.Tables, err) {
				return nil
			}
			return q.unclear(e.Tables, s, text, err)
		}
		return q.unclear(nil, s, text, err)
	}
	switch st.Kind {
	case ddl.Other, ddl.Transaction:
		return nil
	case ddl.DML:
		return q.dml(st, s, text)
	}
	if q.onTemporary(h, s, st) {
		return nil
	}
	if q.likeTemporary(h, s, st) {
		return q.unclear(st.Tables, s, text, errors.New("it makes a table like a temporary one"))
	}
	if s.ErrorCode != 0 {
		return q.unclear(st.Tables, s, text, fmt.Errorf("it failed half way with error %d", s.ErrorCode))
	}
	if q.cur.end > 0 { // what came before may tell of the shape as it was
		if err := q.flush(ctx, true); err != nil {
			return err
		}
	}
	outcomes := ddl.Apply(st, q.shapes)
	were := map[tableName]bool{}
	for i := range outcomes {
		n := tableName{outcomes[i].Name.Database, outcomes[i].Name.Table}
		were[n] = q.shapes.table(n) != nil
	}
	for i := range outcomes {
		if err := q.outcome(ctx, h, &outcomes[i], text); err != nil {
			return err
		}
	}
	q.retarget()
	q.forgetCascades(st)
	if q.s.schemaChanges {
		if err := q.announce(ctx, h, outcomes, were, text); err != nil {
			return err
		}
	}
	return q.s.guard.check(len(q.tables))
}

// context returns what the statement's meaning depends on.
func (q *sequencer) context(s *binlog.Query) ddl.Context {
	c := ddl.Context{Database: string(s.Database), MariaDB: q.shapes.maria, Version: q.shapes.version, LowerCaseNames: q.shapes.lowerCase,
		ServerCollation: q.shapes.serverColl, ImplicitTimestamps: !s.Status.ExplicitDefaultsTS}
	if s.Status.HasSQLMode {
		c.SQLMode = ddl.SQLModeFromBits(s.Status.SQLMode)
	}
	name := func(id uint16, to *string) {
		if id != 0 {
			if x, ok := charset.CollationByID(id); ok {
				*to = x.Name
			}
		}
	}
	name(s.Status.CollationServer, &c.ServerCollation)
	c.DatabaseCollation = c.ServerCollation
	name(s.Status.CollationDatabase, &c.DatabaseCollation)
	name(s.Status.CollationUTF8MB4, &c.UTF8MB4Collation)
	if c.MariaDB {
		c.UTF8MB4Collation, c.ImplicitTimestamps = "utf8mb4_general_ci", q.shapes.implicitTS
	}
	return c
}

// outcome takes over what a statement did to one name, and tells it.
func (q *sequencer) outcome(ctx context.Context, h *binlog.Header, o *ddl.Outcome, text string) error {
	if o.Name.Table == "" {
		return q.database(ctx, h, o)
	}
	n := tableName{o.Name.Database, o.Name.Table}
	if !q.s.filter.database(n.db) {
		return nil
	}
	q.tx.named = append(q.tx.named, n)
	if o.Err != nil {
		return q.lose(n, fmt.Sprintf("its shape after %s at %s:%d is not known: %v", quote(text), q.file, q.offset, o.Err))
	}
	old := q.shapes.shown(n)
	q.open = append(q.open, q.shapes.set(n, o.Def))
	if e, ok := q.shapes.found(n); ok {
		q.open = append(q.open, e)
	}
	if !q.s.filter.table(n.db, n.table) || q.shapes.stopped(n) {
		return nil
	}
	if o.Def != nil {
		if _, err := q.shapes.view(n); err != nil {
			q.stop(n, fmt.Sprintf("the options do not fit it after %s at %s:%d: %v; then take a new snapshot of the table", quote(text), q.file, q.offset, err))
			return nil
		}
	}
	return q.tell(ctx, h, o, old, q.shapes.shown(n), text)
}

// tell makes the records for an outcome on a captured table. Its records had
// the shape old before and have the shape t now, nil if it was or is not there.
func (q *sequencer) tell(ctx context.Context, h *binlog.Header, o *ddl.Outcome, old, t *schema.Table, text string) error {
	if t == nil {
		if old == nil {
			return nil
		}
		return q.mark(ctx, h, connect.OpTruncate, connect.Dropped, old)
	}
	c, permuted := changeOf(o, old, t)
	rewrites := o.Effect&ddl.Rewrites != 0 || permuted
	gone := o.Effect&ddl.Removes != 0 && o.Effect&ddl.Empties == 0 || // some of the rows
		c != nil && (permuted || rewrites && keyRewritten(c)) // rows by their old key, or in the way of others
	if c != nil && !gone && o.From == nil && q.s.scattered && !q.bears(c) {
		return q.empty(ctx, h, old, t, c, fmt.Sprintf("%s at %s:%d changes its columns or keys so that rows of before and after it must not be mixed, as they are in several partitions", quote(text), q.file, q.offset))
	}
	if old != nil && (o.From != nil || gone) {
		return q.empty(ctx, h, old, t, c, fmt.Sprintf("%s at %s:%d takes rows out of it or puts others in, which are not in the log", quote(text), q.file, q.offset))
	}
	if old != nil && o.Effect&ddl.Empties != 0 {
		if err := q.mark(ctx, h, connect.OpTruncate, 0, old); err != nil {
			return err
		}
	}
	var flags connect.Flags
	if o.From != nil || rewrites || gone {
		flags = connect.Reread
	}
	if flags == 0 && c == nil && old != nil {
		return nil
	}
	return q.reshape(ctx, h, flags, t, c)
}

// bears reports whether a change of a table's shape is told among rows of both
// shapes. Where nobody reads a table anew only what would be wrong for certain is
// not: a column with another name, and keys by which rows go to other partitions.
func (q *sequencer) bears(c *connect.SchemaChange) bool {
	if _, _, renamed := c.Renamed(); q.s.noReread {
		return !renamed && sameKeys(c)
	}
	return carried(c)
}

// anew has a table emptied and read anew whose rows are not known any more.
func (q *sequencer) anew(ctx context.Context, h *binlog.Header, n tableName, reason string) error {
	if !q.s.filter.table(n.db, n.table) || q.shapes.stopped(n) {
		return nil
	}
	if t := q.shapes.shown(n); t != nil {
		return q.empty(ctx, h, t, t, nil, reason)
	}
	if q.shapes.table(n) == nil { // its next table map says what it looks like
		return q.lose(n, reason)
	}
	return nil
}

// empty tells that a table of the shape old has lost its rows and has the
// shape t now, by the change c, with rows that a snapshot is to read. Where
// nobody does that the table is stopped: to empty it would be the end of its
// rows.
func (q *sequencer) empty(ctx context.Context, h *binlog.Header, old, t *schema.Table, c *connect.SchemaChange, reason string) error {
	q.tx.named = append(q.tx.named, tableName{t.Database, t.Name})
	if q.s.noReread {
		q.stop(tableName{t.Database, t.Name}, reason+"; with snapshot.mode=no_data nothing is copied, so copy the table anew yourself")
		return nil
	}
	gone := task{op: connect.OpTruncate, table: old, topic: q.s.topics.of(old.Database, old.Name)}
	if q.s.scattered { // it is made where the table is emptied, for that is one place of all partitions
		gone.change, c = c, nil
	}
	if err := q.add(ctx, gone, h, 256); err != nil {
		return err
	}
	return q.reshape(ctx, h, connect.Reread, t, c)
}

// database takes over what a statement did to a database.
func (q *sequencer) database(ctx context.Context, h *binlog.Header, o *ddl.Outcome) error {
	name := o.Name.Database
	if !q.s.filter.database(name) {
		return nil
	}
	if o.Err == nil {
		q.open = append(q.open, q.shapes.setDatabase(name, o.Database))
	} else {
		q.open = append(q.open, q.shapes.setDatabase(name, nil)) // what is made in it will not be clear
	}
	if o.Database != nil || o.Err != nil {
		return nil
	}
	for _, n := range q.shapes.names(func(n tableName) bool { return n.db == name }) {
		gone := ddl.Outcome{Name: ddl.Name{Database: n.db, Table: n.table}, Effect: o.Effect}
		if err := q.outcome(ctx, h, &gone, ""); err != nil {
			return err
		}
	}
	return nil
}

// lose gives up the shape of a table. Where the log tells shapes the table is
// to be read anew once the next one has come; else it is stopped.
func (q *sequencer) lose(n tableName, reason string) error {
	q.open = append(q.open, q.shapes.set(n, nil))
	if !q.s.filter.table(n.db, n.table) || q.shapes.stopped(n) {
		return nil
	}
	if !q.shapes.full {
		q.stop(n, reason+"; SET PERSIST binlog_row_metadata = FULL on the server to have shapes in the log, then take a new snapshot of the table")
		return nil
	}
	q.open = append(q.open, q.shapes.lose(n, reason))
	return nil
}

// unclear gives up the shapes of all captured tables that a statement may
// have touched: tables if they are known, else those of its databases.
func (q *sequencer) unclear(tables []ddl.Name, s *binlog.Query, text string, cause error) error {
	reason := fmt.Sprintf("the statement %s at %s:%d is not understood: %v", quote(text), q.file, q.offset, cause)
	var names []tableName
	if tables != nil {
		for _, t := range tables {
			if q.s.filter.database(t.Database) {
				names = append(names, tableName{t.Database, t.Table})
			}
		}
	} else {
		names = q.affected(s)
	}
	versioned := q.shapes.maria && versioning(text)
	for _, n := range names {
		if versioned && q.s.filter.table(n.db, n.table) {
			q.stop(n, reason+"; tables that keep the history of their rows are not supported: leave it out with table.exclude.list")
		} else if err := q.lose(n, reason); err != nil {
			return err
		}
	}
	q.retarget()
	return nil
}

// affected returns the tables that a statement may touch: those of the
// databases that the server says it updates, or of its default one.
func (q *sequencer) affected(s *binlog.Query) []tableName {
	dbs := map[string]bool{}
	if s != nil {
		for _, db := range s.Status.UpdatedDatabases {
			dbs[string(db)] = true
		}
		if len(dbs) == 0 && !s.Status.TooManyDatabases && len(s.Database) > 0 {
			dbs[string(s.Database)] = true
		}
	}
	return q.shapes.names(func(n tableName) bool { return len(dbs) == 0 || dbs[n.db] })
}

// dml stops the captured tables that a statement changes whose rows are not in
// the log.
func (q *sequencer) dml(st *ddl.Statement, s *binlog.Query, text string) error {
	var names []tableName
	system := len(st.Tables) > 0
	for _, t := range st.Tables {
		system = system && systemDB(t.Database)
	}
	if system && len(s.Status.UpdatedDatabases) <= 1 {
		return nil // heartbeats of hosted servers, and the like
	}
	// Triggers and functions may change tables that the text does not name.
	names = q.affected(s)
	return q.statementOnly(names, text)
}

// statementDML is dml for statements whose text is not at hand.
func (q *sequencer) statementDML(s *binlog.Query, text string) error {
	return q.statementOnly(q.affected(s), text)
}

func (q *sequencer) statementOnly(names []tableName, text string) error {
	for _, n := range names {
		if q.s.filter.table(n.db, n.table) {
			q.stop(n, fmt.Sprintf("the log has the statement %s at %s:%d instead of the rows it changed, perhaps of this table; SET PERSIST binlog_format = 'ROW' on the server and in all sessions, then take a new snapshot of the table",
				quote(text), q.file, q.offset))
		}
	}
	return nil
}

// quote returns a statement in quotes, shortened.
func quote(text string) string {
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return fmt.Sprintf("%q", text)
}
