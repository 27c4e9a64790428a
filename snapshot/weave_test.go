package snapshot

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
	"github.com/towline/towline/schema"
)

// listed are changes whose tables a test sets.
type listed struct {
	*simChanges
	tables  []*schema.Table
	stopped string // why all tables are stopped
}

func (l *listed) Tables() []*schema.Table { return l.tables }

func (l *listed) Stopped(string, string) (string, bool) { return l.stopped, l.stopped != "" }

// script drives a weaver by hand.
type script struct {
	t   *testing.T
	w   *weaver
	l   *listed
	pos int
}

func newScript(t *testing.T, cfg Config, tables ...*schema.Table) *script {
	s := newSim(rand.New(rand.NewPCG(1, 1)), 10, false)
	l := &listed{simChanges: &simChanges{s: s}, tables: tables}
	k := &script{t: t, w: newWeaver(cfg, l, connect.Env{}), l: l}
	k.w.resume(nil)
	k.stream()
	k.announced(tables)
	return k
}

// announced takes the shapes that targets are told first of all, also of
// tables that turn out to have no rows.
func (k *script) announced(tables []*schema.Table) {
	k.t.Helper()
	var b connect.Batch
	if !k.w.emitNext(&b, false) || len(b.Records) != len(tables) || b.Pos == nil {
		k.t.Fatalf("%d tables are announced with %d records", len(tables), len(b.Records))
	}
	for i := range b.Records {
		if r := &b.Records[i]; r.Op != connect.OpSchema || r.Table != tables[i] || r.Topic == "" {
			k.t.Fatalf("announced: %+v", r)
		}
	}
}

// stream hands a transaction of the given records to the weaver and returns
// the batch as it goes out.
func (k *script) stream(records ...connect.Record) *connect.Batch {
	var b connect.Batch
	for _, r := range records {
		*b.Add() = r
	}
	k.pos++
	b.Pos = offsets.Position(strconv.Itoa(k.pos))
	k.w.follow(&b, k.l.tables, true)
	return &b
}

// job returns the next job that is not about a table's size.
func (k *script) job() *job {
	for {
		j, _, _, _ := k.w.next()
		if j == nil || j.sizes == nil {
			return j
		}
		k.w.measured(j, slices.Repeat([]Size{{Rows: 10, RowBytes: 16}}, len(j.sizes)), nil, High{})
	}
}

func (k *script) deliver(j *job, rows ...int64) {
	c := &j.window.chunk
	p := c.NewBatch()
	for _, id := range rows {
		r := p.Add()
		r.Op, r.Table, r.After = connect.OpRead, c.Table, rowOf(id, 1)
	}
	c.Parts, c.High = []*connect.Batch{p}, High{File: "binlog.000001", Pos: uint64(k.pos+1) * 10}
	k.w.delivered(j.window, nil, High{})
}

func rowOf(id, v int64) schema.Row { return schema.Row{schema.MakeInt(id), schema.MakeInt(v)} }

func (k *script) status(name string) string {
	t := k.w.tables[tableName{"sim", name}]
	if t == nil {
		return "unknown"
	}
	return fmt.Sprint(t.status == done, t.stopped)
}

func TestNewTables(t *testing.T) {
	a, b, c := simShape("a", true, 0), simShape("b", true, 0), simShape("c", true, 0)
	k := newScript(t, Config{}, a)
	k.l.tables = []*schema.Table{a, b, c}
	out := k.stream(connect.Record{Op: connect.OpSchema, Table: b}, connect.Record{Op: connect.OpSchema, Flags: connect.Reread, Table: c})
	if got := k.status("a") + k.status("b") + k.status("c"); got != "false falsetrue falsefalse false" {
		t.Fatalf("%s: only b, which was created, is whole", got)
	}
	if len(out.State) < 2 || len(out.Records) != 2 {
		t.Fatalf("state %v", out.State)
	}
	k.l.tables = []*schema.Table{a, c}
	out = k.stream(connect.Record{Op: connect.OpTruncate, Table: b})
	if k.status("b") != "unknown" || len(out.State) != 1 || out.State[0].Key != "snapshot/sim/b" || out.State[0].Pos != nil {
		t.Fatalf("a dropped table is kept: %s, %v", k.status("b"), out.State)
	}
}

func TestTouchedRowsAreDropped(t *testing.T) {
	a := simShape("a", true, 0)
	k := newScript(t, Config{}, a)
	j := k.job()
	k.deliver(j, 1, 2, 3)
	var b connect.Batch
	if k.w.emitNext(&b, false) {
		t.Fatal("emitted before the stream has reached HIGH")
	}
	k.stream(connect.Record{Op: connect.OpUpdate, Table: a, Before: rowOf(2, 1), After: rowOf(2, 5), Seq: 77})
	if !k.w.emitNext(&b, false) || len(b.Records) != 2 || b.Records[1].After[0].Int() != 3 || b.Records[0].Seq != 77 {
		t.Fatalf("%+v", b.Records)
	}
	if string(b.Pos) != strconv.Itoa(k.pos) || len(b.State) == 0 || k.status("a") != "true false" {
		t.Fatalf("pos %s, state %v, %s", b.Pos, b.State, k.status("a"))
	}
}

// A change whose image is not whole must not make a row vanish from the copy.
func TestPartialImagesStopTheTable(t *testing.T) {
	a := simShape("a", true, 0)
	k := newScript(t, Config{}, a)
	for range maxPartial {
		k.deliver(k.job(), 1)
		after := rowOf(1, 0)
		after[1] = schema.MakeAbsent()
		k.stream(connect.Record{Op: connect.OpUpdate, Table: a, Before: rowOf(1, 1), After: after})
		var b connect.Batch
		if k.w.emitNext(&b, false) {
			t.Fatalf("emitted %+v", b.Records)
		}
	}
	if k.status("a") != "false true" || len(k.l.faults) != 1 || !strings.Contains(k.l.faults[0].Error(), "binlog_row_image=FULL") {
		t.Fatalf("%s, %v", k.status("a"), k.l.faults)
	}
	if out := k.stream(connect.Record{Op: connect.OpDelete, Table: a, Before: rowOf(1, 1)}); len(out.Records) != 0 {
		t.Fatal("a stopped table still has changes")
	}
}

func TestFailuresStopOneTable(t *testing.T) {
	a, b := simShape("a", true, 0), simShape("b", true, 0)
	k := newScript(t, Config{}, a, b)
	j := k.job()
	k.w.delivered(j.window, connect.Permanent(errors.New("denied")), High{})
	if k.status("a") != "false true" || k.job().table.name != "b" {
		t.Fatal("one bad table holds up the other")
	}
	// A connection that fails is nobody's fault.
	k = newScript(t, Config{}, a)
	for range 50 {
		k.w.delivered(k.job().window, errBroken, High{})
	}
	if k.status("a") != "false false" || k.w.reserved != 0 || k.w.tables[tableName{"sim", "a"}].open != 0 {
		t.Fatalf("%s, %d bytes reserved", k.status("a"), k.w.reserved)
	}
}

func TestTooManyTouchesShutTheWindows(t *testing.T) {
	a := simShape("a", true, 0)
	k := newScript(t, Config{}, a)
	j := k.job()
	for id := int64(0); !j.window.discarded; id += 1000 {
		var records []connect.Record
		for i := range int64(1000) {
			records = append(records, connect.Record{Op: connect.OpInsert, Table: a, After: rowOf(id+i, 1)})
		}
		k.stream(records...)
	}
	k.deliver(j, 1)
	high := k.job()
	if high == nil || high.window != nil || high.split != nil || high.copy != nil {
		t.Fatalf("%+v: the end of the log is to be asked for", high)
	}
	k.w.told(high, nil, High{File: "binlog.000001", Pos: uint64(k.pos+1) * 10})
	if j := k.job(); j != nil {
		t.Fatal("a window opens before the stream has caught up")
	}
	k.stream()
	if j := k.job(); j == nil || j.window == nil {
		t.Fatal("no window opens after the stream has caught up")
	}
}

func TestNoLocks(t *testing.T) {
	bag := simShape("bag", false, 0)
	k := newScript(t, Config{NoLocks: true}, bag)
	for range maxWholeTries {
		k.deliver(k.job(), 1)
		k.stream(connect.Record{Op: connect.OpInsert, Table: bag, After: rowOf(1, 1)})
		var b connect.Batch
		if k.w.emitNext(&b, false) {
			t.Fatal("rows of a changing table without a key go out")
		}
	}
	if j := k.job(); j != nil || k.status("bag") != "false true" {
		t.Fatalf("%+v, %s", j, k.status("bag"))
	}
}

// A TRUNCATE touches no key, but what a window has read before it is gone,
// also in a table without a key, whose changes are not sent on until it is
// copied.
func TestTruncateShutsTheWindows(t *testing.T) {
	for _, name := range []string{"keyed", "bag"} {
		a := simShape(name, name == "keyed", 0)
		k := newScript(t, Config{}, a)
		k.deliver(k.job(), 1, 2)
		k.stream(connect.Record{Op: connect.OpTruncate, Table: a})
		var b connect.Batch
		if k.w.emitNext(&b, false) {
			t.Fatalf("%s: rows from before the TRUNCATE go out: %+v", name, b.Records)
		}
		k.deliver(k.job())
		k.stream()
		if !k.w.emitNext(&b, false) || len(b.Records) != 0 || k.status(name) != "true false" {
			t.Fatalf("%s: %+v, %s", name, b.Records, k.status(name))
		}
	}
}

// The copy of a table without a key makes up for a TRUNCATE before it, but not
// for a DROP: that goes on to the targets, and the copy begins anew.
func TestDroppedTablesWithoutAKeyAreToldOf(t *testing.T) {
	for flags, want := range map[connect.Flags]int{0: 0, connect.Dropped: 1} {
		a := simShape("bag", false, 0)
		k := newScript(t, Config{}, a)
		k.deliver(k.job(), 1, 2)
		out := k.stream(connect.Record{Op: connect.OpTruncate, Flags: flags, Table: a})
		if len(out.Records) != want || k.status("bag") != "false false" {
			t.Errorf("flags %d: %+v, %s", flags, out.Records, k.status("bag"))
		}
	}
}

// Sinks are told with a shape what they have of the table: all, less than that
// since it is being copied, or nothing that is sure since that begins anew.
func TestShapesTellHowSureTheRowsAre(t *testing.T) {
	for _, c := range []struct {
		mode   Mode
		flags  connect.Flags
		next   *schema.Table
		copied bool
		want   connect.Flags
	}{
		{Initial, 0, simShape("a", true, 1), true, 0},
		{Initial, 0, simShape("a", true, 1), false, connect.Unsettled},
		{Initial, connect.Reread, simShape("a", true, 1), true, connect.Reread},
		{Initial, 0, simShape("a", false, 1), false, connect.Reread},
		{NoData, connect.Reread, simShape("a", true, 1), true, 0},
	} {
		k := newScript(t, Config{Mode: c.mode}, simShape("a", true, 0))
		if c.copied {
			k.w.tables[tableName{"sim", "a"}].status = done
		}
		out := k.stream(connect.Record{Op: connect.OpSchema, Flags: c.flags, Table: c.next})
		if len(out.Records) != 1 || out.Records[0].Flags&(connect.Reread|connect.Unsettled) != c.want {
			t.Errorf("%+v: %+v", c, out.Records)
		}
	}
}

// Nobody is to wait for the copy of a table that was dropped meanwhile; should
// it come back its copy is waited for again.
func TestDroppedTablesAreNotWaitedFor(t *testing.T) {
	for _, name := range []string{"keyed", "dirty"} {
		a := simShape(name, true, 0)
		k := newScript(t, Config{}, a)
		states := map[string]connect.TableState{}
		k.w.env.Report = func(s connect.TableStatus) { states[s.Table] = s.State }
		k.w.tables[tableName{"sim", name}].dirty = name == "dirty"
		k.stream()
		k.deliver(k.job(), 1)
		if states["sim."+name] != connect.TableCopying {
			t.Fatalf("%s is %s while it is copied", name, states["sim."+name])
		}
		k.l.tables = nil
		k.stream(connect.Record{Op: connect.OpTruncate, Table: a})
		k.stream()
		if states["sim."+name] != connect.TableFollowing {
			t.Fatalf("%s is %s after it was dropped", name, states["sim."+name])
		}
		k.l.tables = []*schema.Table{a}
		k.stream(connect.Record{Op: connect.OpSchema, Flags: connect.Reread, Table: a})
		if states["sim."+name] != connect.TableWaiting {
			t.Fatalf("%s is %s after it has come back", name, states["sim."+name])
		}
	}
}

// A table that the change source has stopped is not gone: that it is stopped,
// and why, is the last that is told of it.
func TestStoppedTablesStayStopped(t *testing.T) {
	a := simShape("a", true, 0)
	k := newScript(t, Config{}, a)
	var last connect.TableStatus
	k.w.env.Report = func(s connect.TableStatus) { last = s }
	k.deliver(k.job(), 1)
	k.w.tables[tableName{"sim", "a"}].dirty = true // so that it is kept in mind
	k.l.tables, k.l.stopped = nil, "not understood"
	k.stream()
	k.stream()
	if last.State != connect.TableStopped || last.Reason != "not understood" {
		t.Fatalf("%+v", last)
	}
}
