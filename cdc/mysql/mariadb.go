package mysql

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// MariaDB writes a log of its own make. Positions are the last GTIDs of its
// domains; the GTID event stands for BEGIN and XA START too. It sends statements
// (ANNOTATE_ROWS) only to who asks for them; we always do, since a log without
// gaps is what tells that no event is missing.

// beginMaria opens a transaction of MariaDB.
func (q *sequencer) beginMaria(h *binlog.Header, body []byte) error {
	g, err := binlog.ParseMariaGTID(*h, body)
	if err != nil {
		return err
	}
	if q.pos.mode != byDomain {
		return connect.Permanent(fmt.Errorf("the log has a transaction of MariaDB at %s:%d, but the position is not one of MariaDB; take a new snapshot", q.file, q.offset))
	}
	q.begin(g, h)
	q.tx.began = !g.Maria.Standalone
	if g.Maria.Prepared {
		q.tx.xa = &prepared{}
	}
	return nil
}

// isSequence reports whether the rows under m are those of a sequence, which
// nothing but its eight columns tells. Tables are known by name before their
// rows come.
func isSequence(m *binlog.TableMap) bool {
	const long, tiny = 8, 1
	types := [...]uint8{long, long, long, long, long, long, tiny, long}
	if len(m.Columns) != len(types) {
		return false
	}
	for i := range m.Columns {
		c := &m.Columns[i]
		if c.Type != types[i] || c.Nullable || m.HasNames && c.Name != sequenceColumns[i] {
			return false
		}
	}
	return true
}

var sequenceColumns = [...]string{"next_not_cached_value", "minimum_value", "maximum_value", "start_value", "increment", "cache_size", "cycle_option", "cycle_count"}

// ambiguous returns an error if MariaDB's log does not tell what columns of that
// shape are.
func ambiguous(t *schema.Table) error {
	for i := range t.Columns {
		if c := &t.Columns[i]; c.Type == schema.TypeBinary && (c.Length == 16 || c.Length == 4) {
			return fmt.Errorf("the log does not tell whether its column %s is a BINARY(%d), a UUID or an address", c.Name, c.Length)
		}
	}
	return nil
}

// oldTemporal returns a column under m in the temporal format of MariaDB before
// 10.1, which takes other bytes where it has fractions of seconds. How many the log
// does not tell, not with full metadata either, so only a known shape that fits tells.
func oldTemporal(m *binlog.TableMap, known *schema.Table) (name string, old bool) {
	const timestamp, time, dateTime = 7, 11, 12
	for i := range m.Columns {
		switch m.Columns[i].Type {
		default:
			continue
		case timestamp, time, dateTime:
		}
		switch {
		case m.HasNames:
			return m.Columns[i].Name, true
		case known != nil && len(known.Columns) == len(m.Columns):
			return known.Columns[i].Name, true
		}
		return strconv.Itoa(i + 1), true
	}
	return "", false
}

// versioning reports whether a statement that was not understood may have made
// a table one that keeps the history of its rows. The log shows such a table as
// any other, with rows of its history.
func versioning(text string) bool {
	words := strings.Join(strings.Fields(strings.ToUpper(text)), " ")
	return strings.Contains(words, "SYSTEM VERSIONING") || strings.Contains(words, "FOR SYSTEM_TIME") || strings.Contains(words, "ROW START")
}

// mariaWords puts words of MariaDB for those of MySQL into a text.
func mariaWords(text string) string { return strings.ReplaceAll(text, "SET PERSIST ", "SET GLOBAL ") }

// annotated takes note of the statement whose rows come next.
func (q *sequencer) annotated(text []byte) {
	if q.s.query {
		q.rowsQuery(append([]byte{0}, text...)) // there, a byte of no use is in front
	}
}
