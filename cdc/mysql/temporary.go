package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema/ddl"
)

// A session whose binlog_format is STATEMENT has statements on its temporary
// tables in the log. Where such a table has the name of another one, they must
// not be taken for statements on that: ALTER, TRUNCATE and CREATE INDEX go to
// the temporary table, RENAME TABLE never does, and DROP is logged as DROP
// TEMPORARY.

const keyTemporary = "temporary/"

// temporary is a temporary table of a session.
type temporary struct {
	server, thread uint32
	name           tableName
}

// temporaries are the temporary tables there are, each with the time at which
// its server was started: they end with it. 0: not known.
type temporaries map[temporary]uint32

func (t temporary) key() string {
	return fmt.Sprintf("%s%d/%d/%s/%s", keyTemporary, t.server, t.thread, escaped(t.name.db), escaped(t.name.table))
}

func (t temporary) entry(started uint32) offsets.Entry {
	b := []byte{stringsFormat}
	for _, n := range []uint32{t.server, t.thread, started} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return offsets.Entry{Key: t.key(), Pos: appendBytes(appendBytes(b, []byte(t.name.db)), []byte(t.name.table))}
}

// load takes over what an earlier run saved.
func (all temporaries) load(b []byte) error {
	if len(b) < 13 || b[0] != stringsFormat {
		return errors.New("not of a format that this build knows")
	}
	db, rest, err := takeBytes(b[13:])
	if err != nil {
		return err
	}
	table, _, err := takeBytes(rest)
	if err != nil {
		return err
	}
	t := temporary{binary.LittleEndian.Uint32(b[1:]), binary.LittleEndian.Uint32(b[5:]), tableName{string(db), string(table)}}
	all[t] = binary.LittleEndian.Uint32(b[9:])
	return nil
}

// serverStarted forgets the tables of a server's earlier life.
func (q *sequencer) serverStarted(created uint32) {
	if created == 0 || created == q.started {
		return
	}
	q.started = created
	for t, started := range q.shapes.temps {
		if started != created {
			q.dropTemporary(t)
		}
	}
}

func (q *sequencer) addTemporary(t temporary) {
	q.shapes.temps[t] = q.started
	q.remember(t.entry(q.started))
}

func (q *sequencer) dropTemporary(t temporary) {
	if _, ok := q.shapes.temps[t]; ok {
		delete(q.shapes.temps, t)
		q.remember(offsets.Entry{Key: t.key()})
	}
}

// remember puts e into the State, with the open transaction if there is one.
func (q *sequencer) remember(e offsets.Entry) {
	if q.tx.open {
		q.open = append(q.open, e)
	} else {
		q.settled = append(q.settled, e)
		q.moved = true
	}
}

// onTemporary takes note of a statement on temporary tables, and reports
// whether it is one.
func (q *sequencer) onTemporary(h *binlog.Header, s *binlog.Query, st *ddl.Statement) bool {
	of := func(n ddl.Name) temporary {
		return temporary{h.ServerID, s.Thread, tableName{n.Database, n.Table}}
	}
	switch {
	case st.Temporary:
		for _, n := range st.Tables {
			if st.Kind == ddl.DropTable {
				q.dropTemporary(of(n))
			} else if q.s.filter.database(n.Database) {
				q.addTemporary(of(n))
			}
		}
		return true
	case len(q.shapes.temps) == 0 || len(st.Tables) == 0 || st.Kind != ddl.AlterTable && st.Kind != ddl.TruncateTable:
		return false
	}
	t := of(st.Tables[0])
	if _, ok := q.shapes.temps[t]; !ok {
		return false
	}
	if to, ok := st.NewName(); ok {
		q.dropTemporary(t)
		q.addTemporary(of(to))
	}
	return true
}

// likeTemporary reports whether a statement makes a table like a temporary
// one, of which nothing is known.
func (q *sequencer) likeTemporary(h *binlog.Header, s *binlog.Query, st *ddl.Statement) bool {
	like, ok := st.Like()
	if !ok {
		return false
	}
	_, ok = q.shapes.temps[temporary{h.ServerID, s.Thread, tableName{like.Database, like.Table}}]
	return ok
}

// stopTemporary stops the tables whose names a CREATE TEMPORARY TABLE has that
// was not understood: from there on statements may mean another table. It
// reports whether the statement is one.
func (q *sequencer) stopTemporary(text string, tables []ddl.Name, cause error) bool {
	words := strings.Fields(text)
	if len(words) < 3 || !strings.EqualFold(words[0], "CREATE") || !strings.EqualFold(words[1], "TEMPORARY") {
		return false
	}
	slices.SortFunc(tables, func(a, b ddl.Name) int { return strings.Compare(a.String(), b.String()) })
	for _, n := range tables {
		if q.s.filter.table(n.Database, n.Table) {
			q.stop(tableName{n.Database, n.Table}, fmt.Sprintf("the statement %s at %s:%d makes a temporary table of its name and is not understood (%v), so it cannot be told which of the two a statement is for; use another name for it, then take a new snapshot of the table",
				quote(text), q.file, q.offset, cause))
		}
	}
	return true
}
