package mysql

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/towline/towline/cdc/binlog"
	"github.com/towline/towline/offsets"
)

// The log has the rows of an XA transaction where it is prepared, and its
// outcome later, as a transaction of its own. What it changed becomes visible
// at the server with XA COMMIT, and so it does here: until then its row events
// are kept, in memory and in the State, which is saved in one step with the
// position behind XA PREPARE. So the position moves on however long the
// outcome takes, and the server may purge its log.
//
// What is kept is bounded. A transaction that is larger, or that was prepared
// before this connector began, changes tables by XA COMMIT in a way that is
// not known; they are then to be read anew.

// maxPrepared bounds the row events of all undecided transactions together.
const maxPrepared = 32 << 20

// preparedPart is about how large an entry of the State is.
const preparedPart = 512 << 10

const keyPrepared = "xa/"

// prepared is an XA transaction that is open in the log, or undecided.
type prepared struct {
	tables []preparedTable
	events [][]byte // type and body of TABLE_MAPs, row events and their statements
	bytes  int
	large  bool // rows were not kept
	parts  int  // entries of the State

	maps map[uint64]*binlog.TableMap // that are in events
}

// preparedTable is a table that a transaction changes.
type preparedTable struct {
	name tableName
	kept bool // all its rows are in events
}

// undecided are the XA transactions that are prepared, by the key of their
// entries.
type undecided struct {
	byKey map[string]*prepared
	bytes int
}

// xaKey is what a transaction is known by.
func xaKey(x *binlog.XATransaction) string {
	return fmt.Sprintf("%s%x/%x/%d/", keyPrepared, x.Global, x.Branch, x.FormatID)
}

// parseXID reads what follows XA COMMIT and XA ROLLBACK in the log:
// X'gtrid',X'bqual',format.
func parseXID(text string) (x binlog.XATransaction, err error) {
	text, x.OnePhase = strings.CutSuffix(strings.TrimSpace(text), "ONE PHASE")
	parts := strings.Split(strings.TrimSpace(text), ",")
	if len(parts) != 3 {
		return x, fmt.Errorf("%q is not the id of an XA transaction", text)
	}
	for i, to := range []*string{&x.Global, &x.Branch} {
		p := strings.TrimSpace(parts[i])
		if len(p) < 3 || p[0] != 'X' && p[0] != 'x' || p[1] != '\'' || p[len(p)-1] != '\'' {
			return x, fmt.Errorf("%q is not the id of an XA transaction", text)
		}
		b, err := hex.DecodeString(p[2 : len(p)-1])
		if err != nil {
			return x, fmt.Errorf("%q is not the id of an XA transaction: %w", text, err)
		}
		*to = string(b)
	}
	format, err := strconv.ParseInt(strings.TrimSpace(parts[2]), 10, 32)
	if err != nil {
		return x, fmt.Errorf("%q is not the id of an XA transaction: %w", text, err)
	}
	x.FormatID = int32(format)
	return x, nil
}

// table returns what is noted of a table.
func (p *prepared) table(n tableName) *preparedTable {
	i := slices.IndexFunc(p.tables, func(t preparedTable) bool { return t.name == n })
	if i < 0 {
		i, p.tables = len(p.tables), append(p.tables, preparedTable{n, true})
	}
	return &p.tables[i]
}

// lose gives up the rows.
func (p *prepared) lose() {
	p.large, p.events, p.bytes, p.maps = true, nil, 0, nil
	for i := range p.tables {
		p.tables[i].kept = false
	}
}

// keep keeps a row event of the open XA transaction.
func (q *sequencer) keep(h *binlog.Header, event, body []byte, f *binlog.Format, t *target, m *binlog.TableMap) error {
	if event != nil {
		if err := f.Verify(event); err != nil {
			return err
		}
	}
	x := q.tx.xa
	noted := x.table(t.name)
	if t.plan == nil || x.large {
		noted.kept = false
		return nil
	}
	if x.maps[m.TableID] != m {
		x.append(binlog.TableMapEvent, q.maps.Body(m.TableID))
		if x.maps == nil {
			x.maps = map[uint64]*binlog.TableMap{}
		}
		x.maps[m.TableID] = m
	}
	x.append(h.Type, body)
	if x.bytes+q.shapes.xa.bytes > maxPrepared {
		x.lose()
	}
	return nil
}

// append takes a copy: the event's memory may be part of something larger.
func (p *prepared) append(t binlog.EventType, body []byte) {
	e := append(append(make([]byte, 0, 1+len(body)), byte(t)), body...)
	p.events = append(p.events, e)
	p.bytes += len(e)
}

// xaPrepare ends the rows of an XA transaction.
func (q *sequencer) xaPrepare(ctx context.Context, h *binlog.Header, id binlog.XATransaction) error {
	x := q.tx.xa
	if x == nil {
		return errors.New("an XA_PREPARE event comes without its XA START")
	}
	if id.OnePhase {
		return q.deliverOpen(ctx, h)
	}
	q.tx.xa, x.maps = nil, nil
	key := xaKey(&id)
	entries := x.entries(key)
	x.parts = len(entries)
	q.open = append(q.open, entries...)
	q.shapes.xa.byKey[key] = x
	q.shapes.xa.bytes += x.bytes
	return nil
}

// deliverOpen hands out the rows of the XA transaction that is open, if any.
func (q *sequencer) deliverOpen(ctx context.Context, h *binlog.Header) error {
	x := q.tx.xa
	if x == nil {
		return nil
	}
	q.tx.xa = nil
	return q.deliver(ctx, h, x)
}

// xaCommit hands out the rows of a prepared transaction.
func (q *sequencer) xaCommit(ctx context.Context, h *binlog.Header, text string) error {
	id, err := parseXID(text)
	if err != nil {
		return q.xaUnknown(ctx, h, text)
	}
	x := q.forget(xaKey(&id))
	switch {
	case x != nil:
		return q.deliver(ctx, h, x)
	case q.tx.xa != nil:
		return q.deliverOpen(ctx, h)
	}
	return q.xaUnknown(ctx, h, text)
}

// xaRollback forgets a prepared transaction.
func (q *sequencer) xaRollback(text string) {
	q.tx.xa = nil
	if id, err := parseXID(text); err == nil {
		q.forget(xaKey(&id))
	}
}

// forget takes a transaction out of those that are undecided, nil if it is not
// one of them.
func (q *sequencer) forget(key string) *prepared {
	x := q.shapes.xa.byKey[key]
	if x == nil {
		return nil
	}
	delete(q.shapes.xa.byKey, key)
	q.shapes.xa.bytes -= x.bytes
	for i := range x.parts {
		q.open = append(q.open, offsets.Entry{Key: partKey(key, i)})
	}
	return x
}

// xaUnknown handles the commit of a transaction whose rows lie before the part
// of the log that this connector has read: it may have changed any table.
func (q *sequencer) xaUnknown(ctx context.Context, h *binlog.Header, id string) error {
	q.s.log.Warn("an XA transaction is committed that was prepared before the connector began; what it changed is not known, so all captured tables are copied anew", "xid", strings.TrimSpace(id))
	for _, n := range q.shapes.names(func(tableName) bool { return true }) {
		if err := q.anew(ctx, h, n, fmt.Sprintf("the XA transaction %s that is committed at %s:%d was prepared before the connector began, and may have changed it", strings.TrimSpace(id), q.file, q.offset)); err != nil {
			return err
		}
	}
	return nil
}

// deliver makes tasks of the kept rows, at the place where they became
// visible. Tables cannot change while a transaction on them is prepared; a
// table that did all the same is read anew.
func (q *sequencer) deliver(ctx context.Context, h *binlog.Header, x *prepared) error {
	var maps binlog.TableMaps
	targets := map[*binlog.TableMap]*target{}
	for _, e := range x.events {
		typ, body := binlog.EventType(e[0]), e[1:]
		if typ == binlog.TableMapEvent {
			m, err := maps.Put(body)
			if err != nil {
				return err
			}
			if targets[m] == nil {
				targets[m] = q.replayed(x, m)
			}
			continue
		}
		if typ == binlog.RowsQueryEvent {
			q.rowsQuery(body)
			continue
		}
		ev, err := binlog.ParseRows(typ, body)
		if err != nil {
			return err
		}
		t := targets[maps.Get(ev.TableID)]
		if t == nil || t.plan == nil {
			continue
		}
		q.tx.touch(t)
		if err := q.add(ctx, task{rows: ev, plan: t.plan, topic: t.topic}, h, len(body)); err != nil {
			return err
		}
	}
	for i := range x.tables {
		if t := &x.tables[i]; !t.kept {
			if err := q.anew(ctx, h, t.name, fmt.Sprintf("the XA transaction that is committed at %s:%d changed it, and its rows were not kept", q.file, q.offset)); err != nil {
				return err
			}
		}
	}
	return nil
}

// replayed returns what kept rows need.
func (q *sequencer) replayed(x *prepared, m *binlog.TableMap) *target {
	t := &target{name: tableName{m.Database, m.Name}}
	if t.captured = q.s.filter.table(t.name.db, t.name.table); !t.captured || q.shapes.stopped(t.name) {
		return t
	}
	t.topic = q.s.topics.of(t.name.db, t.name.table)
	var err error
	if known := q.shapes.table(t.name); known == nil {
		err = errors.New("its shape is not known")
	} else {
		t.plan, err = binlog.NewPlan(m, known)
	}
	if err != nil {
		t.plan = nil
		x.table(t.name).kept = false
		return t
	}
	q.project(t)
	return t
}

func partKey(key string, i int) string { return fmt.Sprintf("%s%05d", key, i) }

const preparedFormat = 1

// entries returns the State that keeps p: the tables first, then the events
// in parts.
//
//	format(1) large(1) #tables { #database database #table table kept(1) }
//	{ #event event }
func (p *prepared) entries(key string) []offsets.Entry {
	head := []byte{preparedFormat, flag(p.large)}
	head = binary.AppendUvarint(head, uint64(len(p.tables)))
	for _, t := range p.tables {
		head = appendBytes(appendBytes(head, []byte(t.name.db)), []byte(t.name.table))
		head = append(head, flag(t.kept))
	}
	list := []offsets.Entry{{Key: partKey(key, 0), Pos: head}}
	var part []byte
	for i, e := range p.events {
		part = appendBytes(part, e)
		if len(part) >= preparedPart || i == len(p.events)-1 {
			list = append(list, offsets.Entry{Key: partKey(key, len(list)), Pos: part})
			part = nil
		}
	}
	return list
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func takeBytes(b []byte) (taken, rest []byte, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, errors.New("it ends early")
	}
	return b[k : k+int(n)], b[k+int(n):], nil
}

// load takes over an entry that an earlier run saved. Entries come in order.
func (u *undecided) load(e offsets.Entry) error {
	at := strings.LastIndexByte(e.Key, '/') + 1
	key, part := e.Key[:at], e.Key[at:]
	p := u.byKey[key]
	if n, err := strconv.Atoi(part); err != nil || (p == nil) != (n == 0) || p != nil && n != p.parts {
		return errors.New("its parts are not in order")
	}
	if p == nil {
		p = &prepared{}
		u.byKey[key] = p
		p.parts++
		return p.loadHead(e.Pos)
	}
	p.parts++
	for b := bytes.Clone(e.Pos); len(b) > 0; {
		event, rest, err := takeBytes(b)
		if err != nil || len(event) == 0 {
			return errors.New("it ends early")
		}
		p.events, b = append(p.events, event), rest
		p.bytes, u.bytes = p.bytes+len(event), u.bytes+len(event)
	}
	return nil
}

func (p *prepared) loadHead(b []byte) error {
	if len(b) < 3 || b[0] != preparedFormat {
		return errors.New("not of a format that this build knows")
	}
	p.large, b = b[1] != 0, b[2:]
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)) {
		return errors.New("it ends early")
	}
	for b = b[k:]; n > 0; n-- {
		db, rest, err := takeBytes(b)
		if err != nil {
			return err
		}
		table, rest, err := takeBytes(rest)
		if err != nil || len(rest) == 0 {
			return errors.New("it ends early")
		}
		p.tables = append(p.tables, preparedTable{tableName{string(db), string(table)}, rest[0] != 0})
		b = rest[1:]
	}
	return nil
}

// preparedNow returns how many XA transactions the server has that are
// prepared; ok is false if the user may not ask.
func preparedNow(ctx context.Context, db *sql.DB) (n int, ok bool, err error) {
	rows, err := db.QueryContext(ctx, "XA RECOVER")
	if c, _ := code(err); c != 0 {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer rows.Close()
	for rows.Next() {
		n++
	}
	return n, true, rows.Err()
}
